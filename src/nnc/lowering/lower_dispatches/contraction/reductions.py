"""
How the axes that are summed over are shared out among loops.

A long sum is made of the sums of its parts (`Parts`): the rounding errors of a sum grow
with the number of its terms, those of a sum of sums with that of a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from nnc.lowering.lower_dispatches.contraction.space import Reduction
from nnc.symbolic import Dim

_ZERO, _ONE = Dim.of(0), Dim.of(1)

_LONG: Final = 768
"""Longer sums are sums of parts."""

_PART: Final = 512
"""Terms of a part; each costs three instructions for every accumulator."""

_ROW_PART: Final = 256
"""The same for a single row, which waits for memory anyway."""


@dataclass(frozen=True)
class ReductionNest:
    """Loops around the register tile, and the three loops that it has itself."""

    extra: tuple[Reduction, ...]
    outer: Reduction
    inner: Reduction
    k: Reduction

    @property
    def a_k_stride(self) -> int:
        """The stride of A in the innermost loop."""
        stride = self.k.a.as_int()
        assert stride is not None
        return stride

    @staticmethod
    def of(axes: Sequence[Reduction]) -> ReductionNest:
        """The tile's own loops are the innermost axes through which B is one stream."""
        none = Reduction(_ONE, _ZERO, _ZERO)
        rest = list(axes)
        k = rest[-1] if rest else Reduction(_ONE, _ONE, _ZERO)
        if k.a.as_int() is None:
            # The tile steps through k by a constant: let its next loop do this axis.
            own = [Reduction(_ONE, _ONE, k.b)]
        else:
            own = [k]
            rest = rest[:-1]
        stream = k
        while rest and len(own) < 3:
            axis = rest[-1]
            is_stream = axis is stream or axis.b == stream.b * stream.size
            if not is_stream:
                break
            own.insert(0, axis)
            stream = axis
            rest.pop()
        own = [none] * (3 - len(own)) + own
        return ReductionNest(tuple(rest), own[0], own[1], own[2])


@dataclass(frozen=True)
class Parts:
    """A nest whose outer loops are run by the kernel, one part of the sum at a time."""

    loops: tuple[Reduction, ...]
    nest: ReductionNest
    """The loops of one part."""
    whole: Dim
    """The innermost size of all parts; the last one may be shorter than the nest's."""

    @property
    def is_even(self) -> bool:
        """Whether all parts have the same number of terms."""
        return self.whole % self.nest.k.size == 0

    @staticmethod
    def of(nest: ReductionNest, *, is_row: bool) -> Parts:
        """The parts of a long sum, where sizes are known; a single one of others."""
        loops: list[Reduction] = []
        none = Reduction(_ONE, _ZERO, _ZERO)
        whole = nest.k.size
        most = _ROW_PART if is_row else _LONG
        run = whole * nest.inner.size
        if _is_above(run * nest.outer.size, most) and nest.outer.size != 1:
            loops.append(Reduction(nest.outer.size, nest.outer.a, run * nest.k.b))
            nest = replace(nest, outer=none)
        if _is_above(run, most) and nest.inner.size != 1:
            loops.append(Reduction(nest.inner.size, nest.inner.a, whole * nest.k.b))
            nest = replace(nest, inner=none)
        known = whole.as_int()
        if known is not None and known > most:
            count = -(-known // min(most, _PART))
            terms = -(-known // count)
            loops.append(Reduction(Dim.of(count), nest.k.a * terms, nest.k.b * terms))
            nest = replace(nest, k=replace(nest.k, size=Dim.of(terms)))
        return Parts(tuple(loops), nest, whole)


def _is_above(terms: Dim, bound: int) -> bool:
    known = terms.as_int()
    return known is not None and known > bound
