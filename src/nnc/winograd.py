"""
Winograd's minimal filtering: the matrices of F(m x m, 3 x 3).

A tile of `m x m` outputs of a 3 x 3 convolution with stride 1 is `A^T [(G g G^T) .
(B^T d B)] A` for the `(m + 2)^2` inputs `d` and the filter `g`: as many products of
transformed elements as there are inputs, where the direct way takes `9 m^2` products.
The matrices come from evaluating polynomials at points (Toom, Cook), transposed:
Winograd, "Arithmetic Complexity of Computations", 1980. Their use for networks is that
of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015.

Rounding errors depend on the points. For m = 4, the pairs +-5/8 and +-3/2 have about
half of the error of the usual +-1 and +-2; +-1 alone, for m = 2, has less than the
direct sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Final

KERNEL: Final = 3
"""Size of the filters."""

Row = tuple[Fraction, ...]

_PAIRS: Final = {2: (Fraction(1),), 4: (Fraction(5, 8), Fraction(3, 2))}
"""Tile size → the points that are used with both signs, beside 0 and infinity."""

TILES: Final = tuple(_PAIRS)
"""The tile sizes that there are matrices for."""


@dataclass(frozen=True)
class Winograd:
    """The matrices of one tile size, exactly. Rows of points p, -p are neighbours."""

    tile: int
    """Outputs of a tile along one axis."""
    pairs: tuple[Fraction, ...]
    """Row 0 stands for the point 0, rows 2i + 1 and 2i + 2 for +-pairs[i], the last
    row for infinity."""

    @property
    def size(self) -> int:
        """Inputs of a tile along one axis, and transformed elements."""
        return self.tile + KERNEL - 1

    @property
    def points(self) -> tuple[Fraction, ...]:
        """The finite points in the order of rows."""
        return (Fraction(0), *(s * p for p in self.pairs for s in (1, -1)))

    @property
    def input_matrix(self) -> tuple[Row, ...]:
        """B^T: the row of a point is the product of (x - q) over all others."""
        rows = [
            _product([q for q in self.points if q != point], self.size)
            for point in self.points
        ]
        return (*rows, _product(self.points, self.size))

    @property
    def filter_matrix(self) -> tuple[Row, ...]:
        """G: powers of the points, over the values of the products at the points."""
        rows: list[Row] = []
        for point in self.points:
            scale = Fraction(1)
            for other in self.points:
                if other != point:
                    scale *= point - other
            rows.append(tuple(point**i / scale for i in range(KERNEL)))
        return (*rows, _unit(KERNEL - 1, KERNEL))

    @property
    def output_matrix(self) -> tuple[Row, ...]:
        """A^T: powers of the points; infinity has only the highest one."""
        return tuple(
            (
                *(point**i for point in self.points),
                Fraction(1 if i == self.tile - 1 else 0),
            )
            for i in range(self.tile)
        )


@cache
def winograd(tile: int) -> Winograd:
    """The matrices for `tile`, one of `TILES`."""
    return Winograd(tile, _PAIRS[tile])


def _product(roots: tuple[Fraction, ...] | list[Fraction], size: int) -> Row:
    """The coefficients of the product of (x - root), constant term first."""
    result = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *result]
        for power, coefficient in enumerate(result):
            shifted[power] -= root * coefficient
        result = shifted
    return tuple(result + [Fraction(0)] * (size - len(result)))


def _unit(position: int, size: int) -> Row:
    return tuple(Fraction(int(i == position)) for i in range(size))
