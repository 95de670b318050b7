"""Elements at given indices, of tensors of any type."""

from __future__ import annotations

import numpy as np

from nnc.runtime.host_ops.axes import checked_axis
from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.shape_rules import replaced
from nnc.runtime.host_ops.types import HostType, tensor
from nnc.runtime.host_ops.values import Array, HostOpError, HostValue, described


def checked_indices(call: Call, index: int, size: int) -> Array:
    """
    The indices that an input holds, counted from the front.

    Raises:
        HostOpError: one is not in `[-size, size)`.
    """
    indices = call.tensor(index)
    if indices.dtype.kind not in "iu":
        raise HostOpError(f"indices must be integers, not {described(indices)}")
    wrong = (indices < -size) | (indices >= size)
    if wrong.any():
        raise HostOpError(
            f"index {indices[wrong].flat[0]} is out of range for an axis of size {size}"
        )
    return np.where(indices < 0, indices + size, indices)


def _axis_types(call: TypeCall) -> HostType:
    shape, indices = call.shape(0), call.shape(1)
    if shape is None or indices is None:
        return tensor(call.dtype(0))
    axis = checked_axis(call.attributes.integer("axis", 0), len(shape))
    return tensor(call.dtype(0), (*shape[:axis], *indices, *shape[axis + 1 :]))


@host_op("Gather", types=_axis_types)
def _gather(call: Call) -> HostValue:
    x = call.tensor(0)
    axis = checked_axis(call.attributes.integer("axis", 0), x.ndim)
    indices = checked_indices(call, 1, x.shape[axis])
    # A vector of indices: for a scalar, numpy would give no array of strings.
    taken = np.take(x, indices.ravel(), axis)
    return taken.reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])


def _elements_types(call: TypeCall) -> HostType:
    return tensor(call.dtype(0), call.shape(1))


@host_op("GatherElements", since=11, types=_elements_types)
def _gather_elements(call: Call) -> HostValue:
    x = call.tensor(0)
    axis = checked_axis(call.attributes.integer("axis", 0), x.ndim)
    indices = checked_indices(call, 1, x.shape[axis])
    check_within(indices, x, axis)
    return x[open_grid(indices, axis)]


def check_within(indices: Array, x: Array, axis: int) -> None:
    """
    Check that positions of `indices` are positions of `x` but along an axis.

    Raises:
        HostOpError: another axis of the indices is longer.
    """
    pairs = enumerate(zip(indices.shape, x.shape, strict=False))
    if indices.ndim != x.ndim or any(a > b for i, (a, b) in pairs if i != axis):
        raise HostOpError(f"indices {list(indices.shape)} do not fit {described(x)}")


def open_grid(indices: Array, axis: int) -> tuple[Array, ...]:
    """An index for each axis: the position of the index itself, or the index."""
    grid = list(np.ogrid[tuple(slice(0, n) for n in indices.shape)])
    grid[axis] = indices
    return tuple(grid)


def tuples_of(call: Call, index: int, x: Array, batch: int) -> tuple[Array, ...]:
    """
    The tuples of indices along the last axis of an input, one array a member.

    Raises:
        HostOpError: they are too long, or one is out of range.
    """
    indices = call.tensor(index)
    depth = indices.shape[-1] if indices.ndim else 0
    if not 1 <= depth <= x.ndim - batch:
        raise HostOpError(f"indices {list(indices.shape)} do not fit {described(x)}")
    found: list[Array] = []
    for i in range(depth):
        member = Call(call.op_type, [indices[..., i]], call.attributes, 1)
        found.append(checked_indices(member, 0, x.shape[batch + i]))
    return tuple(found)


def _nd_types(call: TypeCall) -> HostType:
    shape, indices = call.shape(0), call.shape(1)
    if shape is None or not indices or not isinstance(indices[-1], int):
        return tensor(call.dtype(0))
    batch = call.attributes.integer("batch_dims", 0)
    return tensor(call.dtype(0), (*indices[:-1], *shape[batch + indices[-1] :]))


@host_op("GatherND", since=11, types=_nd_types)
def _gather_nd(call: Call) -> HostValue:
    x, indices = call.tensor(0), call.tensor(1)
    batch = call.attributes.integer("batch_dims", 0)
    if not 0 <= batch < min(x.ndim, indices.ndim):
        raise HostOpError(f"batch_dims {batch} is out of range")
    if x.shape[:batch] != indices.shape[:batch]:
        raise HostOpError(f"{described(x)} and the indices differ in their batches")
    members = tuples_of(call, 1, x, batch)
    # The batch axes of the indices go along with those of the data.
    rank = indices.ndim - 1
    grids: list[Array] = [*np.ogrid[tuple(slice(0, n) for n in x.shape[:batch])]]
    grids = [g.reshape(g.shape + (1,) * (rank - batch)) for g in grids]
    result = x[tuple(m[..., None] for m in (*grids, *members))]
    return np.moveaxis(result, rank, -1)[..., 0]


def _feature_types(call: TypeCall) -> HostType:
    shape, indices = call.shape(0), call.shape(1)
    count = None if not indices else indices[-1]
    if shape is None:
        return tensor(call.dtype(0))
    if len(shape) == 1:
        return tensor(call.dtype(0), (1, count))
    return tensor(call.dtype(0), replaced(shape, len(shape) - 1, count))


@host_op("ArrayFeatureExtractor", domain="ai.onnx.ml", types=_feature_types)
def _array_feature_extractor(call: Call) -> HostValue:
    x = call.tensor(0)
    if not x.ndim:
        raise HostOpError("a scalar has no features")
    indices = checked_indices(call, 1, x.shape[-1]).ravel()
    features = np.take(x, indices, -1)
    return features.reshape(1, -1) if x.ndim == 1 else features
