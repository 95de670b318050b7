"""The reference implementation of `nn.resize`, one axis after another."""

from __future__ import annotations

import numpy as np

from nnc.dialects.nn import movement as nn
from nnc.dialects.nn.base import location_of
from nnc.errors import RunError
from nnc.interpreters.nn.environment import (
    Array,
    Environment,
    References,
    doubled,
    is_floating,
)

REFERENCES = References()

CUBIC_COEFFICIENT = -0.75


@REFERENCES.implements(nn.ResizeOp)
def _resize(op: nn.ResizeOp, env: Environment, x: Array) -> Array:
    shape = env.shape_of(op.result, op)
    given = op.scale_values
    result = x if op.mode.data == "nearest" else doubled(x)
    for axis, (before, after) in enumerate(zip(x.shape, shape, strict=True)):
        scale = given[axis] if given else after / before if before else 1.0
        if before == after and scale == 1:
            continue
        if before == 0 and after:
            raise RunError(f"node '{location_of(op)}': cannot resize an empty axis")
        result = _resize_axis(op, result, axis, after, scale)
    if not is_floating(x) and op.mode.data != "nearest":
        result = np.rint(result)
    return result.astype(x.dtype, copy=False)


def _resize_axis(
    op: nn.ResizeOp, x: Array, axis: int, size: int, scale: float
) -> Array:
    points = _coordinates(op.coordinate_mode.data, x.shape[axis], size, scale)
    if op.mode.data == "nearest":
        nearest = _rounded(op.nearest_mode.data, points)
        return np.take(x, np.clip(nearest, 0, x.shape[axis] - 1), axis)
    left = np.floor(points).astype(np.int64)
    offset = points - left
    taps = {0: 1 - offset, 1: offset} if op.mode.data == "linear" else _cubic(offset)
    column = [-1 if a == axis else 1 for a in range(x.ndim)]
    total = np.zeros((), np.float64)
    for tap, weight in taps.items():
        source = np.clip(left + tap, 0, x.shape[axis] - 1)
        total = total + np.take(x, source, axis) * weight.reshape(column)
    return total


def _coordinates(mode: str, before: int, after: int, scale: float) -> Array:
    """Where each output element lies on the input axis."""
    x = np.arange(after, dtype=np.float64)
    match mode:
        case "half_pixel":
            return (x + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            adjustment = after / (scale * before)
            return before / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (x + 0.5) / scale - 0.5 if after > 1 else x
        case "align_corners":
            # A single element lies on the first one, whatever the step.
            return x * ((before - 1) / max(scale * before - 1, 1))
        case _:
            return x / scale


def _rounded(mode: str, points: Array) -> Array:
    match mode:
        case "round_prefer_floor":
            rounded = np.ceil(points - 0.5)
        case "round_prefer_ceil":
            rounded = np.floor(points + 0.5)
        case "floor":
            rounded = np.floor(points)
        case _:
            rounded = np.ceil(points)
    return rounded.astype(np.int64)


def _cubic(t: Array) -> dict[int, Array]:
    """The weights of the four taps around a point at offset `t` from tap 0."""
    a = CUBIC_COEFFICIENT
    u = 1 - t
    return {
        -1: ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a,
        0: ((a + 2) * t - (a + 3)) * t * t + 1,
        1: ((a + 2) * u - (a + 3)) * u * u + 1,
        2: ((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a,
    }
