"""The matrices of Winograd's algorithm, exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nnc.winograd import KERNEL, TILES, Row, Winograd, winograd


def times(matrix: tuple[Row, ...], vector: list[Fraction]) -> list[Fraction]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]  # pyright: ignore[reportReturnType] # the sum of nothing is an int


@pytest.mark.parametrize("tile", TILES)
def test_matrices_compute_the_convolution_of_all_basis_vectors(tile: int) -> None:
    algorithm = winograd(tile)
    for position in range(algorithm.size):
        inputs = [Fraction(int(i == position)) for i in range(algorithm.size)]
        for tap in range(KERNEL):
            filter_ = [Fraction(int(i == tap)) for i in range(KERNEL)]
            products = [
                a * b
                for a, b in zip(
                    times(algorithm.input_matrix, inputs),
                    times(algorithm.filter_matrix, filter_),
                    strict=True,
                )
            ]
            expected = [Fraction(int(i + tap == position)) for i in range(tile)]
            assert times(algorithm.output_matrix, products) == expected


def test_any_points_will_do() -> None:
    algorithm = Winograd(4, (Fraction(1), Fraction(2)))
    inputs = [Fraction(i * i - 3) for i in range(6)]
    filter_ = [Fraction(2), Fraction(-1), Fraction(5)]
    products = [
        a * b
        for a, b in zip(
            times(algorithm.input_matrix, inputs),
            times(algorithm.filter_matrix, filter_),
            strict=True,
        )
    ]
    assert times(algorithm.output_matrix, products) == [
        sum(inputs[i + k] * filter_[k] for k in range(3)) for i in range(4)
    ]


@pytest.mark.parametrize("tile", TILES)
def test_rows_of_opposite_points_are_neighbours(tile: int) -> None:
    algorithm = winograd(tile)
    for i in range(len(algorithm.pairs)):
        positive, negative = algorithm.input_matrix[2 * i + 1 : 2 * i + 3]
        assert [a + b for a, b in zip(positive[1::2], negative[1::2], strict=True)] == [
            0
        ] * len(positive[1::2])
        assert positive[::2] == negative[::2]
