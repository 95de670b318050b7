"""Reference implementations of scattering and of the largest elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nnc.dialects.nn import selection as nn
from nnc.dialects.nn.base import location_of
from nnc.errors import IndexOutOfRange
from nnc.interpreters.nn.environment import (
    Array,
    Environment,
    References,
    is_floating,
    narrowed,
    widened,
)

REFERENCES = References()

_COMBINE: Mapping[str, Callable[[Array, Array], Array]] = {
    "none": lambda old, new: new,
    "add": np.add,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}


@REFERENCES.implements(nn.ScatterOp)
def _scatter(
    op: nn.ScatterOp, _: Environment, x: Array, indices: Array, updates: Array
) -> Array:
    result = x.copy()
    combine = _COMBINE[op.combination.data]
    for position, row in zip(indices.tolist(), updates, strict=True):
        if not -len(x) <= position < len(x):
            raise IndexOutOfRange(
                f"index {position} is outside of an axis of {len(x)} (node "
                f"'{location_of(op)}')"
            )
        old = result[position]
        result[position] = narrowed(combine(widened(old), widened(row)), x)
    return result


@REFERENCES.implements(nn.TopKOp)
def _top_k(op: nn.TopKOp, env: Environment, x: Array) -> tuple[Array, Array]:
    (count,) = env.sizes([op.count_dim], op)
    keys = widened(x)
    if op.largest.value.data:
        # Wider integers can be turned round without overflow.
        keys = -keys if is_floating(keys) else ~keys
    order = np.argsort(keys, axis=1, kind="stable")[:, :count].astype(np.int64)
    return np.take_along_axis(x, order, 1), order


@REFERENCES.implements(nn.CompactOp)
def _compact(_op: nn.CompactOp, _: Environment, mask: Array) -> tuple[Array, Array]:
    (found,) = np.nonzero(mask)
    indices = np.zeros(mask.shape, np.int64)
    indices[: len(found)] = found
    return indices, np.array([len(found)], np.int64)
