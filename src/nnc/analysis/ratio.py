"""Exact quotients of dims: the floats of shape arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from nnc.symbolic import Dim, DimLike


@dataclass(frozen=True)
class Ratio:
    """An exact quotient of two dims; what a float of shape arithmetic holds."""

    numerator: Dim
    denominator: Dim

    @staticmethod
    def of(numerator: DimLike, denominator: DimLike = 1) -> Ratio:
        """`numerator / denominator` in lowest terms, as far as that is seen."""
        top, bottom = Dim.of(numerator), Dim.of(denominator)
        if not bottom:
            raise ZeroDivisionError("ratio with denominator zero")
        quotient = top // bottom
        if quotient * bottom == top:
            return Ratio(quotient, Dim.of(1))
        factor = math.gcd(*(c for d in (top, bottom) for _, c in d.terms))
        sign = -1 if bottom.terms[0][1] < 0 else 1
        return Ratio(top // (factor * sign), bottom // (factor * sign))

    def as_fraction(self) -> Fraction | None:
        """The value if it is a constant, else None."""
        top, bottom = self.numerator.as_int(), self.denominator.as_int()
        return None if top is None or bottom is None else Fraction(top, bottom)

    def as_float(self) -> float | None:
        """The value as a float if it is a constant, else None."""
        fraction = self.as_fraction()
        return None if fraction is None else float(fraction)

    def floor(self) -> Dim:
        """The largest integer that is not larger."""
        return self.numerator // self.denominator

    def __add__(self, other: Ratio) -> Ratio:
        return Ratio.of(
            self.numerator * other.denominator + other.numerator * self.denominator,
            self.denominator * other.denominator,
        )

    def __sub__(self, other: Ratio) -> Ratio:
        return self + Ratio(-other.numerator, other.denominator)

    def __mul__(self, other: Ratio) -> Ratio:
        # Crosswise, so that h * (w / h) is w without multivariate division.
        first = Ratio.of(self.numerator, other.denominator)
        second = Ratio.of(other.numerator, self.denominator)
        return Ratio.of(
            first.numerator * second.numerator, first.denominator * second.denominator
        )

    def __truediv__(self, other: Ratio) -> Ratio:
        if not other.numerator:
            raise ZeroDivisionError("division by a ratio of zero")
        return self * Ratio(other.denominator, other.numerator)
