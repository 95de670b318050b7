"""The reference of attention, against torch-like arithmetic written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.dialects.nn.attention import AttentionOp
from nnc.testing import compare, run_one_op

GENERATOR = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return GENERATOR.normal(size=shape).astype(np.float32)


def by_hand(q: Any, k: Any, v: Any, scale: float, allowed: Any = None) -> Any:
    """One row at a time; `allowed[..., s, t]` tells which keys a query sees."""
    result = np.zeros((*q.shape[:-1], v.shape[-1]))
    group = q.shape[1] // k.shape[1]
    for b, h, s in np.ndindex(q.shape[:3]):
        scores = scale * (k[b, h // group].astype(np.float64) @ q[b, h, s])
        if allowed is not None:
            scores = np.where(allowed[b, h, s], scores, -np.inf)
        powers = np.exp(scores - scores.max())
        result[b, h, s] = powers / powers.sum() @ v[b, h // group]
    return result.astype(np.float32)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_of_grouped_heads(heads: int):
    q, k, v = normal(2, 4, 5, 8), normal(2, heads, 7, 8), normal(2, heads, 7, 3)
    result = run_one_op(AttentionOp, q, k, v, scale=0.3)
    compare(result, by_hand(q, k, v, 0.3), rtol=1e-6)


def test_float_masks_add_and_boolean_masks_replace():
    q, k, v = normal(1, 2, 5, 8), normal(1, 2, 7, 8), normal(1, 2, 7, 8)
    keep = GENERATOR.random((5, 7)) < 0.7
    keep[:, 0] = True
    expected = by_hand(q, k, v, 1.0, np.broadcast_to(keep, (1, 2, 5, 7)))
    result = run_one_op(AttentionOp, q, k, v, keep, scale=1.0)
    compare(result, expected, rtol=1e-6)
    added = np.where(keep, 0, -np.inf).astype(np.float32)
    result = run_one_op(AttentionOp, q, k, v, added, scale=1.0)
    compare(result, expected, rtol=1e-6)


def test_causal_counts_from_the_offset():
    q, k, v = normal(1, 1, 3, 4), normal(1, 1, 5, 4), normal(1, 1, 5, 4)
    seen = np.tril(np.ones((3, 5), bool), 2)[None, None]
    result = run_one_op(AttentionOp, q, k, v, scale=1.0, causal=2)
    compare(result, by_hand(q, k, v, 1.0, seen), rtol=1e-6)


def test_rows_without_keys():
    q = normal(1, 1, 2, 4)
    keep = np.array([[False, False], [True, False]])
    nothing = run_one_op(AttentionOp, q, q, q, keep, scale=1.0)
    assert np.isnan(nothing[0, 0, 0]).all()
    compare(nothing[0, 0, 1], q[0, 0, 0])
    zero = run_one_op(AttentionOp, q, q, q, keep, scale=1.0, nan_to_zero=True)
    assert not zero[0, 0, 0].any()
    low = float(np.finfo(np.float32).min)
    even = run_one_op(AttentionOp, q, q, q, keep, scale=1.0, fill=low)
    compare(even[0, 0, 0], q[0, 0].mean(0), rtol=1e-6)
