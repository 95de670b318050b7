"""Reference implementation of attention."""

from __future__ import annotations

import numpy as np

from nnc.dialects.nn import attention as nn
from nnc.interpreters.nn.environment import (
    Array,
    Environment,
    References,
    doubled,
    narrowed,
    widened,
)

REFERENCES = References()


@REFERENCES.implements(nn.AttentionOp)
def _attention(
    op: nn.AttentionOp,
    env: Environment,
    query: Array,
    key: Array,
    value: Array,
    *masks: Array,
) -> Array:
    repeats = query.shape[-3] // max(key.shape[-3], 1)
    keys, values = (np.repeat(doubled(x), repeats, -3) for x in (key, value))
    products: Array = np.matmul(doubled(query), np.swapaxes(keys, -1, -2))
    # Masks of the smallest float are to swallow the scores, as they do in the models.
    dtype = widened(query).dtype
    scores = (products * op.scale.value.data).astype(dtype)
    for mask in masks:
        if mask.dtype == np.bool_:
            scores = np.where(mask, scores, np.array(op.fill_value, dtype))
        else:
            scores = scores + widened(mask)
    if (offset := op.causal_offset) is not None:
        rows, columns = scores.shape[-2:]
        seen = np.tri(rows, columns, env.sizes([offset], op)[0]) != 0
        scores = np.where(seen, scores, np.array(-np.inf, dtype))
    weights = _softmax(scores.astype(np.float64))
    if op.zeroes_empty:
        is_empty = np.all(scores == -np.inf, -1, keepdims=True)
        weights = np.where(is_empty, 0, weights)
    if op.zeroes_nan:
        weights = np.where(np.isnan(weights), 0, weights)
    return narrowed(np.matmul(weights, values), query)


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - np.max(scores, -1, initial=-np.inf, keepdims=True))
    return powers / np.sum(powers, -1, keepdims=True)
