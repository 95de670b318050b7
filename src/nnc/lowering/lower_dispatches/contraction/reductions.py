"""How the axes that are summed over are shared out among loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnc.lowering.lower_dispatches.contraction.space import Reduction
from nnc.symbolic import Dim

_ZERO, _ONE = Dim.of(0), Dim.of(1)


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
