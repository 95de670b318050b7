"""
Shapes that a model computes: arithmetic that makes sizes of what its tensors hold.

Source models count from the end, say -1 for "the rest" and 0 for "as before". Where
such numbers are known, `shape_rules` resolves them. Where they are data, the functions
here emit the same rules as tensor arithmetic, so that what becomes a symbol is a size.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import F64, I64, element_type_of, is_float
from nnc.frontends.common import Builder
from nnc.frontends.shape_rules import SliceRange
from nnc.symbolic import Dim, dim_max, dim_min, dim_product

Element = Dim | SSAValue
"""A size that is known, or an i64 scalar."""


def _value(b: Builder, element: Element) -> SSAValue:
    return element if isinstance(element, SSAValue) else b.dim_scalar(element)


def _scalars(elements: Sequence[Element]) -> list[SSAValue]:
    return [e for e in elements if isinstance(e, SSAValue)]


def reshape_target(
    b: Builder, dims: Sequence[Dim], target: Sequence[Element], *, keep_zeros: bool
) -> list[Dim]:
    """The target of a reshape, whose elements may be 0 (copy) and -1 (infer) data."""
    with b.at_root(*_scalars(target)):
        copied: list[Element] = []
        for axis, element in enumerate(target):
            if isinstance(element, SSAValue) and not keep_zeros and axis < len(dims):
                is_zero = b.compare(element, 0, "eq")
                element = b.select(is_zero, b.dim_scalar(dims[axis]), element)
            copied.append(element)
        return [
            b.size(_inferred(b, dims, copied, axis), "a size of the target shape")
            if isinstance(element, SSAValue)
            else element
            for axis, element in enumerate(copied)
        ]


def _inferred(
    b: Builder, dims: Sequence[Dim], target: Sequence[Element], axis: int
) -> SSAValue:
    """An element of a target, the number of elements that are left if it is -1."""
    element = target[axis]
    assert isinstance(element, SSAValue)
    others = b.scalar(1, I64)
    for position, other in enumerate(target):
        if position == axis or other == Dim.of(-1):
            continue
        value = _value(b, other)
        if isinstance(other, SSAValue):
            value = b.select(b.compare(value, -1, "eq"), 1, value)
        others = b.mul(others, value)
    others = b.binary(ew.MaximumOp, others, 1)
    rest = b.div(b.dim_scalar(dim_product(dims)), others)
    return b.select(b.compare(element, -1, "eq"), rest, element)


def expanded_dims(
    b: Builder, dims: Sequence[Dim], target: Sequence[Element]
) -> list[Dim]:
    """The sizes of a target that dims are broadcast to; 1 keeps the dim."""
    what = "a size of the target shape"
    result: list[Dim] = []
    for axis, element in enumerate(target):
        own = axis - len(target) + len(dims)
        if isinstance(element, Dim):
            result.append(element)
        elif own < 0 or dims[own] == 1:
            result.append(b.size(element, what))
        else:
            with b.at_root(element):
                is_one = b.compare(element, 1, "eq")
                kept = b.select(is_one, b.dim_scalar(dims[own]), element)
                result.append(b.size(kept, what))
    return result


def data_slice(
    b: Builder, size: Dim, start: Element, end: Element, step: int
) -> SliceRange:
    """What Python's `[start:end:step]` picks of an axis, where bounds are data."""
    with b.at_root(*_scalars([start, end])):
        length = b.dim_scalar(size)
        low = 0 if step > 0 else -1
        high = length if step > 0 else b.sub(length, 1)
        first, last = (_bounded(b, e, length, low, high) for e in (start, end))
        span = b.sub(last, first) if step > 0 else b.sub(first, last)
        span = b.binary(ew.MaximumOp, span, 0)
        count = b.div(b.add(span, abs(step) - 1), abs(step))
        offset = b.size(b.binary(ew.MaximumOp, first, 0), "the start of a slice")
        number = b.size(count, "the size of a slice")
    if step > 0:
        required = dim_max(size, offset + (number - 1) * step + 1)
    else:
        required = dim_max(size, offset + dim_min(number, 1))
    return SliceRange(offset, number, required)


def _bounded(
    b: Builder, bound: Element, length: SSAValue, low: int, high: SSAValue
) -> SSAValue:
    """A bound, counted from the front and moved into `[low, high]`."""
    value = _value(b, bound)
    value = b.select(b.compare(value, 0, "lt"), b.add(value, length), value)
    return b.binary(ew.MaximumOp, b.binary(ew.MinimumOp, value, high), low)


def range_count(b: Builder, start: SSAValue, limit: SSAValue, step: SSAValue) -> Dim:
    """How many numbers there are from `start` up to `limit`, in steps; all scalars."""
    with b.at_root(start, limit, step):
        if is_float(element_type_of(start)):
            first, last, wide = (b.cast(v, F64) for v in (start, limit, step))
            steps = b.unary(ew.CeilOp, b.div(b.sub(last, first), wide))
            count = b.cast(b.binary(ew.MaximumOp, steps, 0), I64)
            count = b.select(b.emit(ew.IsNanOp(steps)), -1, count)
        else:
            first, last, wide = (b.cast(v, I64) for v in (start, limit, step))
            is_backward = b.compare(wide, 0, "lt")
            distance = b.sub(last, first)
            distance = b.select(is_backward, b.sub(first, last), distance)
            distance = b.binary(ew.MaximumOp, distance, 0)
            by = b.binary(ew.MaximumOp, b.select(is_backward, b.sub(0, wide), wide), 1)
            count = b.div(b.add(distance, b.sub(by, 1)), by)
        # Steps of 0 or NaN have no count: what is negative is refused.
        count = b.select(b.compare(wide, 0, "eq"), -1, count)
        return b.size(count, "the number of elements (-1: delta is 0 or NaN)")
