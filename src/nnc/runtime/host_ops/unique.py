"""Unique elements and slices, of tensors of any type."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnc.runtime.host_ops.axes import checked_axis
from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.shape_rules import replaced
from nnc.runtime.host_ops.types import HostType, tensor
from nnc.runtime.host_ops.values import HostValue


def _unique_types(call: TypeCall) -> tuple[HostType, ...]:
    shape, counts = call.shape(0), tensor("int64", (None,))
    first = tensor(call.dtype(0), (None,))
    if "axis" in call.attributes:
        first = tensor(call.dtype(0))
        if shape is not None:
            axis = checked_axis(call.attributes.integer("axis"), len(shape))
            first = tensor(call.dtype(0), replaced(shape, axis, None))
    return first, counts, counts, counts


@host_op("Unique", since=11, types=_unique_types)
def _unique(call: Call) -> tuple[HostValue, ...]:
    x, axis = call.tensor(0), 0
    if "axis" in call.attributes:
        axis = checked_axis(call.attributes.integer("axis"), x.ndim)
    else:
        x = x.ravel()
    keys: list[Any] = [
        tuple(row.ravel().tolist()) for row in np.moveaxis(x, axis, 0)[..., None]
    ]
    firsts: dict[Any, int] = {}
    for i, key in enumerate(keys):
        firsts.setdefault(key, i)
    order = list(firsts)
    if call.attributes.integer("sorted", 1):
        order.sort(key=_comparable)
    places = {key: i for i, key in enumerate(order)}
    inverse = np.array([places[key] for key in keys], np.int64)
    indices = np.array([firsts[key] for key in order], np.int64)
    counts = np.bincount(inverse, minlength=len(order)).astype(np.int64)
    return np.take(x, indices, axis), indices, inverse, counts


def _comparable(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Complex numbers are compared by their real parts first, as numpy does."""
    return tuple((v.real, v.imag) if isinstance(v, complex) else v for v in key)
