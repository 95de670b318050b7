"""Reference implementations of pooling of regions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from xdsl.ir import Operation

from nnc.dialects.nn import regions as nn
from nnc.dialects.nn.base import location_of
from nnc.errors import IndexOutOfRange
from nnc.interpreters.nn.environment import (
    Array,
    Environment,
    References,
    narrowed,
    widened,
)

REFERENCES = References()


def _image(op: Operation, x: Array, number: int) -> Array:
    if not -len(x) <= number < len(x):
        raise IndexOutOfRange(
            f"index {number} is outside of an axis of {len(x)} (node "
            f"'{location_of(op)}')"
        )
    return x[number]


@REFERENCES.implements(nn.RoiAlignOp)
def _roi_align(
    op: nn.RoiAlignOp, env: Environment, x: Array, regions: Array, images: Array
) -> Array:
    result = np.zeros(env.shape_of(op.result, op), widened(x).dtype)
    rows, columns = result.shape[1:3]
    for number, region in enumerate(regions):
        image = widened(_image(op, x, int(images[number])))
        if not image.size:
            continue
        for row in range(rows):
            ys, count_y = _samples(region[0], region[2], row, image.shape[0])
            for column in range(columns):
                xs, count_x = _samples(region[1], region[3], column, image.shape[1])
                count = max(count_y * count_x, 1)
                result[number, row, column] = _bin(op, image, ys, xs, count)
    return narrowed(result, x)


def _samples(start: float, size: float, place: int, length: int) -> tuple[Array, float]:
    """The positions of a bin's samples that may count, and how many it has."""
    one = np.float32
    count = one(min(math.ceil(size), 2**31) if 0 < size < np.inf else 0)
    base = one(start) + one(place) * one(size)
    if not count or not np.isfinite(base):
        return np.zeros(0, np.float32), float(count)
    step = one(size) / count
    first = max(0, math.floor((-1 - float(base)) / float(step)) - 2)
    behind = min(int(count), first + math.ceil((length + 1) / float(step)) + 5)
    places = np.arange(first, behind).astype(np.float32)
    points = base + (places + one(0.5)) * one(size) / count
    return points[(points >= -1) & (points <= length)], float(count)


def _bin(op: nn.RoiAlignOp, image: Array, ys: Array, xs: Array, count: float) -> Array:
    parts: list[Array] = []
    nothing: Array = np.zeros(image.shape[2:], image.dtype)
    for y in ys:
        for x in xs:
            parts += _corners(image, y, x)
    if not parts:
        return nothing
    if op.kind.data == "max":
        if len(parts) < 4 * count:
            # Samples outside are zeros.
            parts.append(nothing)
        best: Array = np.max(parts, 0)
        return best
    total: Array = np.sum(parts, 0)
    return total / count


def _corners(image: Array, y: float, x: float) -> list[Array]:
    """The four pixels around a point, weighted."""
    pairs: list[list[tuple[int, Any]]] = []
    for point, length in ((y, image.shape[0]), (x, image.shape[1])):
        inner = min(max(np.float32(point), np.float32(0)), np.float32(length - 1))
        low = math.floor(inner)
        part = inner - np.float32(low)
        high = min(low + 1, length - 1)
        pairs.append([(low, np.float32(1) - part), (high, part)])
    return [image[i, j] * (wy * wx) for i, wy in pairs[0] for j, wx in pairs[1]]


@REFERENCES.implements(nn.RoiMaxPoolOp)
def _roi_max_pool(
    op: nn.RoiMaxPoolOp,
    env: Environment,
    x: Array,
    rows: Array,
    columns: Array,
    images: Array,
) -> Array:
    result = np.zeros(env.shape_of(op.result, op), x.dtype)
    for number in range(len(rows)):
        image = _image(op, x, int(images[number]))
        for row, (top, bottom) in enumerate(_clipped(rows[number], image.shape[0])):
            for column, (left, right) in enumerate(
                _clipped(columns[number], image.shape[1])
            ):
                part = image[top:bottom, left:right]
                if part.shape[0] and part.shape[1]:
                    best = np.max(widened(part), (0, 1))
                    result[number, row, column] = best.astype(x.dtype)
    return result


def _clipped(ranges: Array, length: int) -> list[tuple[int, int]]:
    return [(a, b) for a, b in np.clip(ranges, 0, length).tolist()]
