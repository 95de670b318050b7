"""
Index expressions of kernels: affine in variables, with dims as coefficients.

An `Index` is `offset + sum(coefficient * variable)`, where offset and coefficients are
ints or dims, and variables are values that a kernel knows only while it runs: loop
counters, or what could not be written affinely. No IR is made until a value is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from xdsl.ir import SSAValue

from nnc.symbolic import Dim, DimLike

_SERIAL = count()


@dataclass(eq=False)
class Var:
    """
    A variable: the scope depth that it is defined at, and its range.

    `extent` bounds it from above, exclusively; `is_nonnegative` from below.
    """

    depth: int = 0
    extent: DimLike | None = None
    is_nonnegative: bool = False
    serial: int = field(default_factory=lambda: next(_SERIAL))


@dataclass(eq=False)
class ValueVar(Var):
    """A variable that stands for an SSA value of type index."""

    value: SSAValue = field(kw_only=True)


def _order(term: tuple[Var, DimLike]) -> tuple[int, int]:
    return term[0].depth, term[0].serial


IndexKey: TypeAlias = tuple[tuple[tuple[Var, DimLike], ...], DimLike]
IndexLike: TypeAlias = "Index | Dim | int"


def simplified(dim: DimLike) -> DimLike:
    """The int that `dim` is, if it is one."""
    if isinstance(dim, int):
        return dim
    value = dim.as_int()
    return dim if value is None else value


class Index:
    """An affine index expression; immutable."""

    __slots__ = ("offset", "terms")

    terms: Mapping[Var, DimLike]
    offset: DimLike

    def __init__(self, terms: Mapping[Var, DimLike], offset: DimLike = 0) -> None:
        self.terms = terms
        self.offset = offset

    @staticmethod
    def of(value: IndexLike) -> Index:
        """`value` as an index expression."""
        return value if isinstance(value, Index) else Index({}, simplified(value))

    @staticmethod
    def var(var: Var) -> Index:
        """The variable itself."""
        return Index({var: 1})

    @property
    def dim(self) -> DimLike | None:
        """The dim or int if there are no variables, else None."""
        return None if self.terms else self.offset

    @property
    def key(self) -> IndexKey:
        """Equal for equal expressions."""
        terms = self.terms
        if len(terms) > 1:
            return self.by_depth(), self.offset
        return tuple(terms.items()), self.offset

    def by_depth(self) -> tuple[tuple[Var, DimLike], ...]:
        """The terms, those of outer scopes first."""
        return tuple(sorted(self.terms.items(), key=_order))

    @property
    def depth(self) -> int:
        """The deepest scope depth that a variable belongs to."""
        return max((v.depth for v in self.terms), default=0)

    def coefficient(self, var: Var) -> DimLike:
        """What `var` is multiplied with; 0 if it does not occur."""
        return self.terms.get(var, 0)

    def without(self, var: Var) -> Index:
        """The expression less the term of `var`."""
        return Index({v: c for v, c in self.terms.items() if v is not var}, self.offset)

    def substitute(self, values: Mapping[Var, Index]) -> Index:
        """Variables replaced by expressions."""
        if not any(v in values for v in self.terms):
            return self
        result = Index({}, self.offset)
        for var, coefficient in self.terms.items():
            replacement = values.get(var)
            if replacement is None:
                replacement = Index({var: 1})
            result = result + replacement * coefficient
        return result

    def __add__(self, other: IndexLike) -> Index:
        if not isinstance(other, Index):
            if isinstance(other, int) and other == 0:
                return self
            return Index(self.terms, simplified(self.offset + other))
        if not other.terms:
            return Index(self.terms, simplified(self.offset + other.offset))
        terms = dict(self.terms)
        for var, coefficient in other.terms.items():
            total = simplified(terms.get(var, 0) + coefficient)
            if total == 0:
                terms.pop(var, None)
            else:
                terms[var] = total
        return Index(terms, simplified(self.offset + other.offset))

    __radd__ = __add__

    def __neg__(self) -> Index:
        return self * -1

    def __sub__(self, other: IndexLike) -> Index:
        return self + Index.of(other) * -1

    def __rsub__(self, other: IndexLike) -> Index:
        return Index.of(other) + self * -1

    def __mul__(self, factor: IndexLike) -> Index:
        if isinstance(factor, Index):
            if not self.terms:
                return factor * self.offset
            known = factor.dim
            assert known is not None, "a product of variables is not affine"
            factor = known
        factor = simplified(factor)
        if factor == 0:
            return Index({}, 0)
        if factor == 1:
            return self
        return Index(
            {v: simplified(c * factor) for v, c in self.terms.items()},
            simplified(self.offset * factor),
        )

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Index)
            and self.offset == other.offset
            and dict(self.terms) == dict(other.terms)
        )

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        parts = [f"{c}*v{v.serial}" for v, c in self.terms.items()]
        return " + ".join([*parts, str(self.offset)])


def lower_bound(index: Index) -> int | None:
    """A number that the index is never below, if one is known."""
    offset = (
        index.offset if isinstance(index.offset, int) else index.offset.lower_bound()
    )
    if offset is None:
        return None
    total = offset
    for var, coefficient in index.terms.items():
        low = coefficient if isinstance(coefficient, int) else coefficient.lower_bound()
        if low is not None and low >= 0 and var.is_nonnegative:
            continue
        extent = var.extent
        if isinstance(coefficient, int) and isinstance(extent, int):
            total += coefficient * (extent - 1)
            continue
        return None
    return total


def is_below(index: Index, bound: DimLike) -> bool:
    """Whether the index is provably less than `bound`."""
    largest: DimLike = index.offset
    for var, coefficient in index.terms.items():
        low = coefficient if isinstance(coefficient, int) else coefficient.lower_bound()
        if low is None:
            return False
        if low >= 0:
            if var.extent is None:
                return False
            largest = largest + (var.extent - 1) * coefficient
        elif not var.is_nonnegative:
            return False
    distance = Dim.of(bound) - largest
    least = distance.lower_bound()
    return least is not None and least > 0


def split(index: Index, divisor: DimLike) -> tuple[Index, Index]:
    """
    `quotient, rest` with `index == quotient * divisor + rest`.

    Terms that the divisor divides go to the quotient. The rest may still be larger
    than the divisor.
    """
    quotient, rest = Index({}, 0), Index({}, 0)
    for var, coefficient in index.terms.items():
        part, left = _divided(coefficient, divisor)
        if left == 0:
            quotient = quotient + Index({var: part})
        else:
            rest = rest + Index({var: coefficient})
    part, left = _divided(index.offset, divisor)
    return quotient + part, rest + left


def is_nonnegative(index: Index) -> bool:
    """Whether the index is provably not below 0."""
    low = lower_bound(index)
    return low is not None and low >= 0


def _divided(value: DimLike, divisor: DimLike) -> tuple[DimLike, DimLike]:
    """Quotient and rest of a coefficient; the rest is all of it if none divides."""
    if isinstance(value, int) and isinstance(divisor, int):
        return divmod(value, divisor)
    if divisor == 0:
        return 0, value
    rest = simplified(value % divisor)
    if rest == 0:
        return simplified(value // divisor), 0
    return 0, value


def quotient_extent(index: Index, divisor: DimLike) -> DimLike | None:
    """An exclusive upper bound of `index / divisor`, for a variable by itself."""
    if index.offset != 0 or len(index.terms) != 1:
        return None
    ((var, coefficient),) = index.terms.items()
    if coefficient != 1 or var.extent is None:
        return None
    return simplified((Dim.of(var.extent) + divisor - 1) // divisor)
