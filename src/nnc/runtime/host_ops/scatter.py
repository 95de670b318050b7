"""Updates of elements at given indices, of tensors of any type."""

from __future__ import annotations

import numpy as np

from nnc.runtime.host_ops.axes import checked_axis
from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.gather import (
    check_within,
    checked_indices,
    open_grid,
    tuples_of,
)
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.types import HostType, tensor
from nnc.runtime.host_ops.values import Array, HostOpError, HostValue, described


def _same_types(call: TypeCall) -> HostType:
    return tensor(call.dtype(0), call.shape(0))


def _check_no_reduction(call: Call) -> None:
    reduction = call.attributes.text("reduction", "none")
    if reduction != "none":
        raise HostOpError(f"reduction '{reduction[:40]}' of {described(call.value(0))}")


def _check_same_dtype(x: Array, updates: Array) -> None:
    if x.dtype != updates.dtype:
        raise HostOpError(f"{described(updates)} cannot update {described(x)}")


def _has_no_reduction(call: TypeCall) -> bool:
    return call.attributes.text("reduction", "none") == "none"


@host_op("Scatter", since=9, types=_same_types)
@host_op("ScatterElements", since=11, types=_same_types, condition=_has_no_reduction)
def _scatter_elements(call: Call) -> HostValue:
    _check_no_reduction(call)
    x, updates = call.tensor(0), call.tensor(2)
    _check_same_dtype(x, updates)
    axis = checked_axis(call.attributes.integer("axis", 0), x.ndim)
    indices = checked_indices(call, 1, x.shape[axis])
    check_within(indices, x, axis)
    if updates.shape != indices.shape:
        raise HostOpError(f"{described(updates)} for indices {list(indices.shape)}")
    result = x.copy()
    result[open_grid(indices, axis)] = updates
    return result


@host_op("ScatterND", since=11, types=_same_types, condition=_has_no_reduction)
def _scatter_nd(call: Call) -> HostValue:
    _check_no_reduction(call)
    x, indices, updates = call.tensor(0), call.tensor(1), call.tensor(2)
    _check_same_dtype(x, updates)
    members = tuples_of(call, 1, x, 0)
    if updates.shape != (*indices.shape[:-1], *x.shape[len(members) :]):
        raise HostOpError(f"{described(updates)} for indices {list(indices.shape)}")
    result = x.copy()
    result[members] = updates
    return result


@host_op("TensorScatter", since=24, types=_same_types)
def _tensor_scatter(call: Call) -> HostValue:
    x, updates = call.tensor(0), call.tensor(1)
    _check_same_dtype(x, updates)
    axis = checked_axis(call.attributes.integer("axis", -2), x.ndim)
    starts = call.integers(2) if call.has(2) else [0] * x.shape[0]
    if axis == 0 or len(starts) != x.shape[0]:
        raise HostOpError(f"{len(starts)} indices for {described(x)} along axis {axis}")
    circular = call.attributes.text("mode", "linear") == "circular"
    size, count = x.shape[axis], updates.shape[axis]
    result = x.copy()
    for row, start in enumerate(starts):
        if start < 0 or (not circular and start + count > size):
            raise HostOpError(f"{count} updates at {start} do not fit a size of {size}")
        places = [(start + i) % size for i in range(count)]
        where = (*(slice(None),) * (axis - 1), places)
        result[row][where] = updates[row]
    return result


def _one_hot_types(call: TypeCall) -> HostType:
    shape, depth = call.shape(0), call.known(1)
    if shape is None:
        return tensor(call.dtype(2))
    axis = checked_axis(call.attributes.integer("axis", -1), len(shape) + 1)
    size = depth[0] if depth else None
    return tensor(call.dtype(2), (*shape[:axis], size, *shape[axis:]))


@host_op("OneHot", since=9, types=_one_hot_types)
def _one_hot(call: Call) -> HostValue:
    indices, values = call.tensor(0), call.tensor(2)
    if values.shape != (2,) or call.tensor(1).size != 1:
        raise HostOpError("there must be one depth, and a value for off and for on")
    depth = int(call.tensor(1).ravel()[0])
    if depth < 0:
        raise HostOpError(f"a depth of {depth}")
    axis = checked_axis(call.attributes.integer("axis", -1), indices.ndim + 1)
    places = np.expand_dims(np.where(indices < 0, indices + depth, indices), axis)
    shape = [1] * (indices.ndim + 1)
    shape[axis] = depth
    # An index out of range has no place, so that all its values are off.
    is_on: Array = places == np.arange(depth).reshape(shape)
    return np.where(is_on, values[1:], values[:1])
