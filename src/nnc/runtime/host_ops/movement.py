"""
Movement of elements of any type: views, slices, concatenations, selections by a mask.

Numbers move in compiled code; these are for strings, and for what a program keeps on
the host anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnc.runtime.host_ops.axes import checked_axes, checked_axis
from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.shape_rules import (
    broadcast_sizes,
    product,
    replaced,
    total,
)
from nnc.runtime.host_ops.types import HostType, Shape, Size, tensor
from nnc.runtime.host_ops.values import HostOpError, HostValue, described

# ---------------------------------------------------------------- views


def _reshape_types(call: TypeCall) -> HostType:
    sizes = call.known(1)
    if sizes is None:
        count = (call.shape(1) or (None,))[0]
        shape: Shape = (None,) * count if isinstance(count, int) else None
        return tensor(call.dtype(0), shape)
    return tensor(call.dtype(0), _reshaped(sizes, call.shape(0), call))


def _reshaped(sizes: Sequence[int], old: Shape, call: TypeCall) -> tuple[Size, ...]:
    keep = not call.attributes.integer("allowzero", 0)
    new: list[Size] = []
    for axis, size in enumerate(sizes):
        kept = old[axis] if old is not None and axis < len(old) else None
        new.append(kept if size == 0 and keep else None if size < 0 else size)
    known = [s for s in new if isinstance(s, int)]
    whole = product(old) if old is not None else None
    others = product(known)
    if len(known) == len(new) - 1 and isinstance(whole, int) and others:
        assert isinstance(others, int)
        return tuple(whole // others if s is None else s for s in new)
    return tuple(new)


@host_op("Reshape", since=5, types=_reshape_types)
def _reshape(call: Call) -> HostValue:
    x, sizes = call.tensor(0), call.integers(1)
    if not call.attributes.integer("allowzero", 0):
        if any(s == 0 and i >= x.ndim for i, s in enumerate(sizes)):
            raise HostOpError(f"{described(x)} has no size to keep for shape {sizes}")
        sizes = [x.shape[i] if s == 0 else s for i, s in enumerate(sizes)]
    return x.reshape(sizes)


def _flatten_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    if shape is None:
        return tensor(call.dtype(0), (None, None))
    axis = _flatten_axis(call.attributes.integer("axis", 1), len(shape))
    return tensor(call.dtype(0), (product(shape[:axis]), product(shape[axis:])))


def _flatten_axis(axis: int, rank: int) -> int:
    if not -rank <= axis <= rank:
        raise HostOpError(f"axis {axis} is out of range for {rank} axes")
    return axis + rank if axis < 0 else axis


@host_op("Flatten", types=_flatten_types)
def _flatten(call: Call) -> HostValue:
    x = call.tensor(0)
    axis = _flatten_axis(call.attributes.integer("axis", 1), x.ndim)
    rows = int(np.prod(x.shape[:axis], dtype=np.int64))
    columns = int(np.prod(x.shape[axis:], dtype=np.int64))
    return x.reshape(rows, columns)


def _squeeze_types(call: TypeCall) -> HostType:
    shape, axes = call.shape(0), call.axes(1)
    if shape is None:
        return tensor(call.dtype(0))
    if axes is None and (call.has(1) or not all(isinstance(s, int) for s in shape)):
        count = (call.shape(1) or (None,))[0] if call.has(1) else None
        known = isinstance(count, int)
        return tensor(call.dtype(0), (None,) * (len(shape) - count) if known else None)
    if axes is None:
        return tensor(call.dtype(0), [s for s in shape if s != 1])
    gone = checked_axes(axes, len(shape))
    return tensor(call.dtype(0), [s for i, s in enumerate(shape) if i not in gone])


@host_op("Squeeze", types=_squeeze_types)
def _squeeze(call: Call) -> HostValue:
    x, axes = call.tensor(0), call.axes(1)
    if axes is None:
        return np.squeeze(x)
    return np.squeeze(x, tuple(checked_axes(axes, x.ndim)))


def _unsqueeze_types(call: TypeCall) -> HostType:
    shape, axes = call.shape(0), call.axes(1)
    if shape is None:
        return tensor(call.dtype(0))
    if axes is None:
        count = (call.shape(1) or (None,))[0]
        known = isinstance(count, int)
        return tensor(call.dtype(0), (None,) * (len(shape) + count) if known else None)
    new = checked_axes(axes, len(shape) + len(axes))
    sizes = iter(shape)
    count = len(shape) + len(axes)
    return tensor(call.dtype(0), [1 if i in new else next(sizes) for i in range(count)])


@host_op("Unsqueeze", types=_unsqueeze_types)
def _unsqueeze(call: Call) -> HostValue:
    x, axes = call.tensor(0), call.axes(1)
    if axes is None:
        raise HostOpError("there are no axes")
    return np.expand_dims(x, tuple(checked_axes(axes, x.ndim + len(axes))))


def _permutation(call: Call | TypeCall, rank: int) -> list[int]:
    order = call.attributes.integers("perm", range(rank)[::-1])
    if sorted(order) != list(range(rank)):
        raise HostOpError(f"{order} is no order of {rank} axes")
    return order


def _transpose_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    if shape is None:
        return tensor(call.dtype(0))
    return tensor(call.dtype(0), [shape[i] for i in _permutation(call, len(shape))])


@host_op("Transpose", types=_transpose_types)
def _transpose(call: Call) -> HostValue:
    x = call.tensor(0)
    return np.transpose(x, _permutation(call, x.ndim))


# ---------------------------------------------------------------- joined and split


def _concat_types(call: TypeCall) -> HostType:
    shapes = [call.shape(i) for i in range(len(call.inputs))]
    known = [s for s in shapes if s is not None]
    if not known:
        return tensor(call.dtype(0))
    axis = checked_axis(call.attributes.integer("axis", 1), len(known[0]))
    if len(known) < len(shapes) or len({len(s) for s in known}) > 1:
        return tensor(call.dtype(0), replaced(known[0], axis, None))
    return tensor(
        call.dtype(0), replaced(known[0], axis, total([s[axis] for s in known]))
    )


@host_op("Concat", types=_concat_types)
def _concat(call: Call) -> HostValue:
    parts = [call.tensor(i) for i in range(len(call.inputs))]
    if not parts:
        raise HostOpError("there is nothing to concatenate")
    return np.concatenate(
        parts, checked_axis(call.attributes.integer("axis", 1), parts[0].ndim)
    )


def _split_types(call: TypeCall) -> tuple[HostType, ...]:
    shape = call.shape(0)
    if shape is None:
        return (tensor(call.dtype(0)),) * call.outputs
    axis = checked_axis(call.attributes.integer("axis", 0), len(shape))
    size = shape[axis]
    sizes: Sequence[Size] = (None,) * call.outputs
    if call.has(1):
        sizes = call.known(1) or sizes
    elif "split" in call.attributes:
        sizes = call.attributes.integers("split")
    elif isinstance(size, int):
        sizes = _even_sizes(size, call.attributes.integer("num_outputs", call.outputs))
    return tuple(tensor(call.dtype(0), replaced(shape, axis, s)) for s in sizes)


def _even_sizes(size: int, count: int) -> list[int]:
    """Equal sizes, the last one smaller if need be."""
    if count < 1:
        raise HostOpError(f"{count} is no number of parts")
    step = -(-size // count)
    sizes = [step] * (count - 1)
    if size < sum(sizes):
        raise HostOpError(f"an axis of size {size} cannot be split into {count}")
    return [*sizes, size - sum(sizes)]


@host_op("Split", types=_split_types)
def _split(call: Call) -> tuple[HostValue, ...]:
    x = call.tensor(0)
    axis = checked_axis(call.attributes.integer("axis", 0), x.ndim)
    size = x.shape[axis]
    if call.has(1):
        sizes = call.integers(1)
    elif "split" in call.attributes:
        sizes = call.attributes.integers("split")
    else:
        sizes = _even_sizes(size, call.attributes.integer("num_outputs", call.outputs))
    if sum(sizes) != size or min(sizes, default=0) < 0:
        raise HostOpError(f"an axis of size {size} cannot be split into {sizes}")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


# ---------------------------------------------------------------- slices


def _slice_bounds(
    call: Call | TypeCall, rank: int
) -> tuple[list[int], list[int], list[int], list[int]] | None:
    """Starts, ends, axes and steps; None if they are not known yet."""

    def listed(index: int, name: str) -> list[int] | None:
        if call.has(index):
            if isinstance(call, Call):
                return call.integers(index)
            known = call.known(index)
            return None if known is None else list(known)
        return call.attributes.integers(name) if name in call.attributes else []

    found = [listed(i, n) for i, n in enumerate(("starts", "ends", "axes", "steps"), 1)]
    starts, ends, axes, steps = found
    if starts is None or ends is None or axes is None or steps is None:
        return None
    axes = axes or list(range(len(starts)))
    steps = steps or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise HostOpError("starts, ends, axes and steps are not of one length")
    return starts, ends, checked_axes(axes, rank), steps


def _taken(start: int, end: int, step: int, size: int) -> range:
    """The positions that a slice of an axis takes."""
    if step == 0:
        raise HostOpError("a step is 0")
    start, end = (v + size if v < 0 else v for v in (start, end))
    if step > 0:
        return range(min(max(start, 0), size), min(max(end, 0), size), step)
    return range(min(max(start, 0), size - 1), min(max(end, -1), size - 1), step)


def _slice_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    if shape is None:
        return tensor(call.dtype(0))
    bounds = _slice_bounds(call, len(shape))
    if bounds is None:
        return tensor(call.dtype(0), (None,) * len(shape))
    for start, end, axis, step in zip(*bounds, strict=True):
        size = shape[axis]
        known = isinstance(size, int)
        new = len(_taken(start, end, step, size)) if known else None
        shape = replaced(shape, axis, new)
    return tensor(call.dtype(0), shape)


@host_op("Slice", types=_slice_types)
def _slice(call: Call) -> HostValue:
    x = call.tensor(0)
    bounds = _slice_bounds(call, x.ndim)
    assert bounds is not None, "a call has all values"
    for start, end, axis, step in zip(*bounds, strict=True):
        taken = _taken(start, end, step, x.shape[axis])
        stop = taken.stop if taken.stop >= 0 else None
        part = slice(taken.start, stop, step) if len(taken) else slice(0, 0)
        x = x[(slice(None),) * axis + (part,)]
    return x


def _compress_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    if "axis" not in call.attributes:
        return tensor(call.dtype(0), (None,))
    if shape is None:
        return tensor(call.dtype(0))
    axis = checked_axis(call.attributes.integer("axis"), len(shape))
    return tensor(call.dtype(0), replaced(shape, axis, None))


@host_op("Compress", since=9, types=_compress_types)
def _compress(call: Call) -> HostValue:
    x, condition = call.tensor(0), call.tensor(1).astype(np.bool_)
    if condition.ndim != 1:
        raise HostOpError(f"the condition must be a vector, not {described(condition)}")
    if "axis" not in call.attributes:
        return np.compress(condition, x.ravel())
    axis = checked_axis(call.attributes.integer("axis"), x.ndim)
    return np.compress(condition, x, axis)


# ---------------------------------------------------------------- repeated and chosen


def _expand_types(call: TypeCall) -> HostType:
    sizes, shape = call.known(1), call.shape(0)
    if sizes is not None:
        return tensor(call.dtype(0), broadcast_sizes(shape, sizes))
    count = (call.shape(1) or (None,))[0]
    if shape is None or not isinstance(count, int):
        return tensor(call.dtype(0))
    return tensor(call.dtype(0), (None,) * max(count, len(shape)))


@host_op("Expand", since=8, types=_expand_types)
def _expand(call: Call) -> HostValue:
    x, sizes = call.tensor(0), call.integers(1)
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(sizes)))


def _tile_types(call: TypeCall) -> HostType:
    shape, repeats = call.shape(0), call.known(1)
    if shape is None or repeats is None or len(repeats) != len(shape):
        return tensor(call.dtype(0), None if shape is None else (None,) * len(shape))
    return tensor(
        call.dtype(0), [product(pair) for pair in zip(shape, repeats, strict=True)]
    )


@host_op("Tile", since=6, types=_tile_types)
def _tile(call: Call) -> HostValue:
    x, repeats = call.tensor(0), call.integers(1)
    if len(repeats) != x.ndim or min(repeats, default=0) < 0:
        raise HostOpError(f"{described(x)} cannot be repeated {repeats} times")
    return np.tile(x, repeats)


def _where_types(call: TypeCall) -> HostType:
    shape = broadcast_sizes(call.shape(0), call.shape(1), call.shape(2))
    return tensor(call.dtype(1), shape)


@host_op("Where", since=9, types=_where_types)
def _where(call: Call) -> HostValue:
    return np.where(call.tensor(0).astype(np.bool_), call.tensor(1), call.tensor(2))
