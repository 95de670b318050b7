"""Reference implementations of the ops that move elements."""

from __future__ import annotations

import numpy as np
from xdsl.ir import Operation

from nnc.dialects.nn import movement as nn
from nnc.dialects.nn.base import ints, location_of
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.errors import IndexOutOfRange, RunError
from nnc.interpreters.nn.environment import Array, Environment, References

REFERENCES = References()


@REFERENCES.implements(nn.ReshapeOp)
def _reshape(op: nn.ReshapeOp, env: Environment, x: Array) -> Array:
    shape = env.shape_of(op.result, op)
    if x.size != np.prod(shape, dtype=np.int64):
        raise RunError(
            f"node '{location_of(op)}': {x.size} elements of shape {list(x.shape)} "
            f"cannot take shape {list(shape)}"
        )
    return x.reshape(shape)


@REFERENCES.implements(nn.TransposeOp)
def _transpose(op: nn.TransposeOp, _: Environment, x: Array) -> Array:
    return x.transpose(op.axes)


@REFERENCES.implements(nn.BroadcastOp)
def _broadcast(op: nn.BroadcastOp, env: Environment, x: Array) -> Array:
    return np.broadcast_to(x, env.shape_of(op.result, op))


@REFERENCES.implements(nn.DimCastOp)
def _dim_cast(op: nn.DimCastOp, env: Environment, x: Array) -> Array:
    dims = dims_of(op.result)
    for axis, (dim, size) in enumerate(zip(dims, env.sizes(dims, op), strict=True)):
        if x.shape[axis] != size:
            raise RunError(
                f"node '{location_of(op)}': axis {axis} has size {x.shape[axis]}, "
                f"but must have size {dim} = {size}"
            )
    return x


@REFERENCES.implements(nn.SliceOp)
def _slice(op: nn.SliceOp, env: Environment, x: Array) -> Array:
    offsets = env.sizes(op.offsets.dims, op)
    sizes = env.shape_of(op.result, op)
    ranges: list[slice] = []
    for axis, (start, step, size) in enumerate(
        zip(offsets, ints(op.steps), sizes, strict=True)
    ):
        last = start + (size - 1) * step
        if size == 0:
            ranges.append(slice(0, 0))
            continue
        if not (0 <= start < x.shape[axis] and 0 <= last < x.shape[axis]):
            raise RunError(
                f"node '{location_of(op)}': elements {start} to {last} of axis {axis} "
                f"are not inside of size {x.shape[axis]}"
            )
        stop = last + (1 if step > 0 else -1)
        ranges.append(slice(start, None if stop < 0 else stop, step))
    return x[tuple(ranges)]


@REFERENCES.implements(nn.PadOp)
def _pad(op: nn.PadOp, env: Environment, x: Array, value: Array | None = None) -> Array:
    low, high = env.sizes(op.low.dims, op), env.sizes(op.high.dims, op)
    amounts = list(zip(low, high, strict=True))
    if min((*low, *high), default=0) < 0:
        raise RunError(f"node '{location_of(op)}': negative padding {amounts}")
    if op.mode.data == "constant":
        result = np.zeros(env.shape_of(op.result, op), x.dtype)
        if value is not None:
            result[...] = value
        result[tuple(slice(a, a + n) for a, n in zip(low, x.shape, strict=True))] = x
        return result
    for axis, (before, after) in enumerate(amounts):
        x = np.take(x, _source_indices(op, x.shape[axis], before, after), axis)
    return x


def _source_indices(op: nn.PadOp, size: int, low: int, high: int) -> Array:
    """Where the elements of a padded axis come from."""
    indices = np.arange(-low, size + high)
    if size == 0 and indices.size:
        raise RunError(f"node '{location_of(op)}': cannot extend an empty axis")
    if op.mode.data == "edge":
        return np.clip(indices, 0, size - 1)
    if op.mode.data == "wrap":
        return indices % max(size, 1)
    period = max(2 * (size - 1), 1)
    folded = indices % period
    return np.where(folded < size, folded, period - folded)


@REFERENCES.implements(nn.ConcatOp)
def _concat(op: nn.ConcatOp, _: Environment, *operands: Array) -> Array:
    return np.concatenate(operands, op.axis.value.data)


def _checked_indices(op: Operation, indices: Array, size: int) -> Array:
    """
    `indices` counted from the front.

    Raises:
        IndexOutOfRange: one is outside of [-size, size).
    """
    wide = indices.astype(np.int64)
    wrong = (wide < -size) | (wide >= size)
    if np.any(wrong):
        raise IndexOutOfRange(
            f"node '{location_of(op)}': index {wide[wrong][0]} is outside of "
            f"[{-size}, {size})"
        )
    return np.where(wide < 0, wide + size, wide)


@REFERENCES.implements(nn.GatherOp)
def _gather(op: nn.GatherOp, _: Environment, x: Array, indices: Array) -> Array:
    axis = op.axis.value.data
    return np.take(x, _checked_indices(op, indices, x.shape[axis]), axis)


@REFERENCES.implements(nn.GatherElementsOp)
def _gather_elements(
    op: nn.GatherElementsOp, _: Environment, x: Array, indices: Array
) -> Array:
    axis = op.axis.value.data % x.ndim
    positions: list[Array] = list(np.indices(indices.shape, sparse=True))
    positions[axis] = _checked_indices(op, indices, x.shape[axis])
    return x[tuple(positions)]


@REFERENCES.implements(nn.IotaOp)
def _iota(op: nn.IotaOp, env: Environment) -> Array:
    shape = env.shape_of(op.result, op)
    axis = op.axis.value.data % len(shape)
    steps = np.arange(shape[axis]).astype(numpy_dtype(element_type_of(op.result)))
    aligned = steps.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return np.broadcast_to(aligned, shape)
