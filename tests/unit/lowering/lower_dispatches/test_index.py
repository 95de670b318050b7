"""Affine index expressions: arithmetic, bounds, splitting by a divisor."""

from __future__ import annotations

from nnc.lowering.lower_dispatches.index import (
    Index,
    Var,
    is_below,
    is_nonnegative,
    lower_bound,
    split,
)
from nnc.symbolic import Dim, DimLike

N = Dim.symbol("N")


def counter(extent: DimLike | None = None) -> tuple[Var, Index]:
    var = Var(0, extent, True)
    return var, Index.var(var)


def test_sum_of_equal_terms_cancels() -> None:
    _, i = counter(8)
    assert (i * 3 - i * 3 + 4).dim == 4


def test_coefficients_may_be_dims() -> None:
    var, i = counter(8)
    address = i * (N * 4) + N + 3
    assert address.coefficient(var) == N * 4
    assert address.offset == N + 3


def test_constant_dims_become_ints() -> None:
    var, i = counter(8)
    assert isinstance((i * Dim.of(4)).coefficient(var), int)
    assert isinstance((i * N + i * -N + N - N).dim, int)


def test_equal_expressions_are_equal_in_any_order() -> None:
    _, i = counter(8)
    _, j = counter(8)
    assert i * 2 + j == j + i + i
    assert hash(i * 2 + j) == hash(j + i + i)


def test_substitute_replaces_variables() -> None:
    var, i = counter(8)
    _, j = counter(8)
    assert (i * N + 1).substitute({var: j * 2 + 3}) == j * (N * 2) + N * 3 + 1


def test_lower_bound_of_a_difference() -> None:
    _, i = counter(8)
    assert lower_bound(i * 2 + 3) == 3
    assert lower_bound(7 - i) == 0
    assert lower_bound(i - N) is None


def test_bounds_that_are_known() -> None:
    _, i = counter(N)
    _, j = counter(4)
    assert is_nonnegative(i * 4 + j)
    assert is_below(i * 4 + j, N * 4)
    assert not is_below(i * 4 + j, N * 4 - 1)
    assert not is_below(i * 4 + j + 1, N * 4)


def test_split_moves_divisible_terms_to_the_quotient() -> None:
    _, i = counter(8)
    _, j = counter(4)
    quotient, rest = split(i * (N * 2) + j + N * 6, N)
    assert quotient == i * 2 + 6
    assert rest == j


def test_split_by_a_constant_keeps_the_rest_nonnegative() -> None:
    _, i = counter(8)
    quotient, rest = split(i * 8 - 3, 4)
    assert quotient == i * 2 - 1
    assert rest.dim == 1
