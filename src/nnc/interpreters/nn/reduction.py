"""Reference implementations of the reductions and normalisations."""

from __future__ import annotations

import numpy as np

from nnc.dialects.nn import reduction as nn
from nnc.dialects.nn.base import location_of
from nnc.errors import RunError
from nnc.interpreters.nn.environment import (
    Array,
    Environment,
    References,
    doubled,
    is_floating,
    narrowed,
    widened,
)

REFERENCES = References()


@REFERENCES.implements(nn.ReduceOp)
def _reduce(op: nn.ReduceOp, _: Environment, x: Array) -> Array:
    axes, keep = op.reduced_axes, bool(op.keep_dims.value.data)
    match op.kind.data:
        case "sum":
            result = np.sum(doubled(x), axes, dtype=_total_dtype(x), keepdims=keep)
        case "mean":
            result = _mean(x, axes, keep)
        case "prod":
            result = np.prod(doubled(x), axes, dtype=_total_dtype(x), keepdims=keep)
        case "max":
            worst = _extreme(x, largest=False)
            result = np.max(widened(x), axes, initial=worst, keepdims=keep)
        case "min":
            worst = _extreme(x, largest=True)
            result = np.min(widened(x), axes, initial=worst, keepdims=keep)
        case "and":
            result = np.all(x, axes, keepdims=keep)
        case _:
            result = np.any(x, axes, keepdims=keep)
    return narrowed(result, x)


def _total_dtype(x: Array) -> np.dtype[np.generic]:
    return np.dtype(np.float64) if is_floating(x) else x.dtype


def _mean(x: Array, axes: tuple[int, ...], keep: bool) -> Array:
    count = int(np.prod([x.shape[a] for a in axes], dtype=np.int64))
    total = np.sum(doubled(x), axes, keepdims=keep)
    if is_floating(x):
        return np.true_divide(total, count)
    # Integers truncate; no elements have mean 0.
    return np.sign(total) * (np.abs(total) // max(count, 1))


def _extreme(x: Array, *, largest: bool) -> float | int | bool:
    if x.dtype == np.bool_:
        return largest
    if is_floating(x):
        return np.inf if largest else -np.inf
    limits = np.iinfo(x.dtype)
    return limits.max if largest else limits.min


@REFERENCES.implements(nn.ArgReduceOp)
def _arg_reduce(op: nn.ArgReduceOp, env: Environment, x: Array) -> Array:
    axis = op.axis.value.data % x.ndim
    shape = env.shape_of(op.result, op)
    if x.shape[axis] == 0:
        if 0 not in shape:
            raise RunError(f"node '{location_of(op)}': no elements along axis {axis}")
        return np.zeros(shape, np.int64)
    last = bool(op.select_last.value.data)
    wide = np.flip(widened(x), axis) if last else widened(x)
    select = np.argmax if op.kind.data == "max" else np.argmin
    position = select(wide, axis).astype(np.int64).reshape(shape)
    return x.shape[axis] - 1 - position if last else position


@REFERENCES.implements(nn.CumulativeOp)
def _cumulative(op: nn.CumulativeOp, _: Environment, x: Array) -> Array:
    axis = op.axis.value.data
    wide = doubled(x)
    wide = np.flip(wide, axis) if op.reverse.value.data else wide
    is_sum = op.kind.data == "sum"
    total = (np.cumsum if is_sum else np.cumprod)(wide, axis, dtype=wide.dtype)
    if op.exclusive.value.data:
        total = np.roll(total, 1, axis)
        np.moveaxis(total, axis, 0)[:1] = 0 if is_sum else 1
    return narrowed(np.flip(total, axis) if op.reverse.value.data else total, x)


@REFERENCES.implements(nn.SoftmaxOp)
def _softmax(op: nn.SoftmaxOp, _: Environment, x: Array) -> Array:
    axis, wide = op.axis.value.data, doubled(x)
    powers = np.exp(wide - np.max(wide, axis, initial=-np.inf, keepdims=True))
    return narrowed(powers / np.sum(powers, axis, keepdims=True), x)


@REFERENCES.implements(nn.LayerNormOp)
def _layer_norm(
    op: nn.LayerNormOp,
    _: Environment,
    x: Array,
    scale: Array,
    bias: Array | None = None,
) -> Array:
    axes = tuple(range(op.axis.value.data % x.ndim, x.ndim))
    wide = doubled(x)
    centered = wide - np.mean(wide, axes, keepdims=True)
    variance = np.mean(centered * centered, axes, keepdims=True)
    result = centered / np.sqrt(variance + op.epsilon.value.data) * doubled(scale)
    return narrowed(result if bias is None else result + doubled(bias), x)


@REFERENCES.implements(nn.BatchNormOp)
def _batch_norm(
    op: nn.BatchNormOp,
    _: Environment,
    x: Array,
    scale: Array,
    bias: Array,
    mean: Array,
    variance: Array,
) -> Array:
    axis = op.axis.value.data % x.ndim
    channel = [-1 if a == axis else 1 for a in range(x.ndim)]
    deviation = np.sqrt(doubled(variance) + op.epsilon.value.data)
    factor = (doubled(scale) / deviation).reshape(channel)
    centered = doubled(x) - doubled(mean).reshape(channel)
    return narrowed(centered * factor + doubled(bias).reshape(channel), x)
