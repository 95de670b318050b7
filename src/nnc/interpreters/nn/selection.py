"""Reference implementations of scattering and of the largest elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nnc.dialects.nn import selection as nn
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.suppression import NonMaxSuppressionOp
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
    combine = _COMBINE.get(op.combination.data)
    for position, row in zip(indices.tolist(), updates, strict=True):
        if not -len(x) <= position < len(x):
            raise IndexOutOfRange(
                f"index {position} is outside of an axis of {len(x)} (node "
                f"'{location_of(op)}')"
            )
        if combine is None:
            result[position] = row
            continue
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


@REFERENCES.implements(nn.ArgSortOp)
def _arg_sort(_: nn.ArgSortOp, __: Environment, x: Array) -> Array:
    if not x.shape[1]:
        return np.arange(len(x))
    # The first key counts least; numpy sorts NaN to the end.
    return np.lexsort(widened(x).T[::-1])


@REFERENCES.implements(NonMaxSuppressionOp)
def _non_max_suppression(
    op: NonMaxSuppressionOp,
    env: Environment,
    boxes: Array,
    scores: Array,
    threshold: Array,
    score_threshold: Array,
    limit: Array,
) -> tuple[Array, ...]:
    picked, count, corners, order = (
        np.zeros(env.shape_of(r, op), d)
        for r, d in zip(
            op.results, (np.int64, np.int64, np.float32, np.int64), strict=True
        )
    )
    most = min(int(limit), picked.shape[2])
    for place in np.ndindex(*count.shape):
        image, own = boxes[place[0]], scores[place]
        chosen: list[int] = []
        for number in np.argsort(-own, kind="stable").tolist():
            is_candidate = own[number] > score_threshold or np.isnan(score_threshold)
            if not is_candidate or len(chosen) >= most:
                continue
            if not np.any(_overlaps(image[number], image[chosen]) > threshold):
                chosen.append(number)
        picked[place][: len(chosen)], count[place] = chosen, len(chosen)
    return picked, count, corners, order


def _overlaps(box: Array, others: Array) -> Array:
    """The intersection's part of the union, for one box and many."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    common = np.prod(high - low, 1)
    area, areas = np.prod(box[2:] - box[:2]), np.prod(others[:, 2:] - others[:, :2], 1)
    union = area + areas - common
    is_real = np.all(high > low, 1) & (common > 0) & (union > 0)
    return np.where(is_real & (area > 0) & (areas > 0), common / union, -np.inf)


@REFERENCES.implements(nn.CompactOp)
def _compact(_op: nn.CompactOp, _: Environment, mask: Array) -> tuple[Array, Array]:
    (found,) = np.nonzero(mask)
    indices = np.zeros(mask.shape, np.int64)
    indices[: len(found)] = found
    return indices, np.array([len(found)], np.int64)
