"""
Padding that repeats elements, as a concatenation of slices.

Whatever computes the operand writes it into the middle of the result, and only the
border is copied; a kernel that looks up the source of every element would copy all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.ir import SSAValue

from nnc.dialects.nn.movement import BroadcastOp, ConcatOp, PadOp, SliceOp
from nnc.dialects.nn.types import dims_of
from nnc.symbolic import Dim
from nnc.transforms.worklist import PatternContext

Border = Callable[[SSAValue, int, int, bool, PatternContext], SSAValue]
"""Of a value along an axis, so many elements, before it (True) or behind it."""


def decompose_padding(op: PadOp, ctx: PatternContext) -> SSAValue | None:
    """
    `pad {mode = "reflect"}` → `concat(slice, x, slice)`, one an axis.

    Where all sizes are known and each border is at most as long as what it repeats.
    """
    make = _BORDERS.get(op.mode.data)
    if make is None:
        return None
    border, shortest = make
    amounts = [_known(p) for p in zip(op.low.dims, op.high.dims, strict=True)]
    for amount, size in zip(amounts, dims_of(op.operand), strict=True):
        if amount is None:
            return None
        longest = max(amount)
        known = size.as_int()
        if longest and (known is None or known < shortest(longest)):
            return None
    value: SSAValue = op.operand
    # The last axis first: the outer ones then repeat whole runs of memory.
    for axis in reversed(range(len(amounts))):
        low, high = amounts[axis] or (0, 0)
        parts = [value]
        if low:
            parts.insert(0, border(value, axis, low, True, ctx))
        if high:
            parts.append(border(value, axis, high, False, ctx))
        if len(parts) > 1:
            value = ctx.add(ConcatOp(parts, axis)).result
    return value


def _known(amounts: Sequence[Dim]) -> tuple[int, int] | None:
    low, high = (a.as_int() for a in amounts)
    return None if low is None or high is None else (low, high)


def _sliced(
    value: SSAValue, axis: int, start: int, size: int, step: int, ctx: PatternContext
) -> SSAValue:
    dims = list(dims_of(value))
    offsets, steps = [0] * len(dims), [1] * len(dims)
    offsets[axis], steps[axis], dims[axis] = start, step, Dim.of(size)
    return ctx.add(SliceOp(value, offsets, dims, steps)).result


def _size(value: SSAValue, axis: int) -> int:
    size = dims_of(value)[axis].as_int()
    assert size is not None
    return size


def _mirrored(
    value: SSAValue, axis: int, amount: int, is_low: bool, ctx: PatternContext
) -> SSAValue:
    start = amount if is_low else _size(value, axis) - 2
    return _sliced(value, axis, start, amount, -1, ctx)


def _continued(
    value: SSAValue, axis: int, amount: int, is_low: bool, ctx: PatternContext
) -> SSAValue:
    start = _size(value, axis) - amount if is_low else 0
    return _sliced(value, axis, start, amount, 1, ctx)


def _repeated(
    value: SSAValue, axis: int, amount: int, is_low: bool, ctx: PatternContext
) -> SSAValue:
    start = 0 if is_low else _size(value, axis) - 1
    element = _sliced(value, axis, start, 1, 1, ctx)
    dims = list(dims_of(element))
    dims[axis] = Dim.of(amount)
    return ctx.add(BroadcastOp(element, dims)).result


_BORDERS: dict[str, tuple[Border, Callable[[int], int]]] = {
    "reflect": (_mirrored, lambda amount: amount + 1),
    "wrap": (_continued, lambda amount: amount),
    "edge": (_repeated, lambda _: 1),
}
"""By mode: the border, and how many elements there must be for one so long."""
