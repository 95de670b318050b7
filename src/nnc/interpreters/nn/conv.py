"""
Reference implementations of convolution and pooling.

All of them work on channels-last arrays `[N, spatial..., C]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nnc.dialects.nn import conv as nn
from nnc.dialects.nn.base import ints, location_of
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

MAX_WINDOW_ELEMENTS = 1 << 23
"""Windows are copied to a matrix in pieces of about this many elements."""


def _to_channels_last(op: nn.WindowOp, x: Array) -> Array:
    return x if op.channels_last else np.moveaxis(x, 1, -1)


def _from_channels_last(op: nn.WindowOp, x: Array) -> Array:
    return x if op.channels_last else np.moveaxis(x, -1, 1)


def _filter_last(op: nn.ConvOp | nn.ConvTransposeOp, weights: Array) -> Array:
    """
    The filter with its spatial axes first: `[k..., a, b]`.

    `a` and `b` are `C/groups, O` for a convolution, `O/groups, C` for a transposed one.
    """
    if op.channels_last:
        return weights
    return np.moveaxis(weights, (1, 0), (-2, -1))


def _padded(
    op: nn.WindowOp, env: Environment, x: Array, fill: float, extra: tuple[int, ...]
) -> Array:
    """`x` with the op's padding, and `extra` elements more at the high ends."""
    low, high = env.sizes(op.low_padding, op), env.sizes(op.high_padding, op)
    if min((*low, *high)) < 0:
        raise RunError(f"node '{location_of(op)}': negative padding {low}, {high}")
    after = [h + e for h, e in zip(high, extra, strict=True)]
    if not any(low) and not any(after):
        return x
    amounts = [(0, 0), *zip(low, after, strict=True), (0, 0)]
    return np.pad(x, amounts, constant_values=fill)


def _output_sizes(op: nn.WindowOp, env: Environment) -> tuple[int, ...]:
    shape = env.shape_of(op.result, op)
    return tuple(shape[a] for a in op.spatial_axes)


def _positions(
    op: nn.WindowOp, kernel: tuple[int, ...], sizes: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Each position in the window, with the inputs that it meets."""
    strides, dilations = ints(op.strides), ints(op.dilations)
    for position in product(*map(range, kernel)):
        box = [
            slice(p * d, p * d + (n - 1) * s + 1 if n else p * d, s)
            for p, d, s, n in zip(position, dilations, strides, sizes, strict=True)
        ]
        yield position, (slice(None), *box, slice(None))


@REFERENCES.implements(nn.ConvOp)
def _conv(op: nn.ConvOp, env: Environment, x: Array, weights: Array) -> Array:
    wide = doubled(x)
    kernel, sizes = op.kernel, _output_sizes(op, env)
    image = _padded(op, env, _to_channels_last(op, wide), 0, (0,) * len(kernel))
    filter_ = _filter_last(op, doubled(weights))
    groups = op.groups.value.data
    if 0 in (x.size, *sizes):
        result = np.zeros((len(image), *sizes, filter_.shape[-1]), wide.dtype)
    elif filter_.shape[-2] == 1 and filter_.shape[-1] == groups:
        result = np.zeros((len(image), *sizes, groups), wide.dtype)
        for position, box in _positions(op, kernel, sizes):
            result += image[box] * filter_[position][0]
    else:
        result = _conv_by_windows(op, image, filter_, sizes)
    return narrowed(_from_channels_last(op, result), x)


def _conv_by_windows(
    op: nn.ConvOp, image: Array, filter_: Array, sizes: tuple[int, ...]
) -> Array:
    """Windows copied to the rows of a matrix, times the filter as a matrix."""
    kernel, groups, rank = op.kernel, op.groups.value.data, len(sizes)
    depth, channels = filter_.shape[-2:]
    area = int(np.prod(kernel))
    dilations = ints(op.dilations)
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    windows = sliding_window_view(image, spans, tuple(range(1, rank + 1)))
    strided = [slice(None, None, s) for s in ints(op.strides)]
    dilated = [slice(None, None, d) for d in dilations]
    windows = windows[(slice(None), *strided, slice(None), *dilated)]
    windows = windows[(slice(None), *(slice(0, n) for n in sizes))]
    # [N, o..., C, k...] to [N, o..., k..., C]
    windows = np.moveaxis(windows, rank + 1, -1)
    # [k..., C/g, g, O/g] to [g, k * C/g, O/g]
    matrix = filter_.reshape(area * depth, groups, channels // groups)
    matrix = np.ascontiguousarray(matrix.transpose(1, 0, 2))
    result = np.empty((len(image), *sizes, channels), image.dtype)
    row = int(np.prod(windows.shape[2:], dtype=np.int64))
    step = max(1, MAX_WINDOW_ELEMENTS // max(1, row))
    for sample in range(len(image)):
        for start in range(0, sizes[0], step):
            piece = windows[sample, start : start + step]
            rows = piece.reshape(-1, area, groups, depth).transpose(2, 0, 1, 3)
            product_ = rows.reshape(groups, -1, area * depth) @ matrix
            target = result[sample, start : start + step]
            target[...] = product_.transpose(1, 0, 2).reshape(target.shape)
    return result


@REFERENCES.implements(nn.ConvTransposeOp)
def _conv_transpose(
    op: nn.ConvTransposeOp, env: Environment, x: Array, weights: Array
) -> Array:
    wide = _to_channels_last(op, doubled(x))
    filter_ = _filter_last(op, doubled(weights))
    kernel, groups = op.kernel, op.groups.value.data
    depth, channels = filter_.shape[-1], filter_.shape[-2] * groups
    sizes, before = wide.shape[1:-1], env.sizes(op.low_padding, op)
    full = [
        max(n - 1, 0) * s + (k - 1) * d + 1 + e
        for n, s, k, d, e in zip(
            sizes,
            ints(op.strides),
            kernel,
            ints(op.dilations),
            ints(op.output_padding),
            strict=True,
        )
    ]
    buffer = np.zeros((len(wide), *full, channels), wide.dtype)
    grouped = wide.reshape(*wide.shape[:-1], groups, 1, depth // groups)
    for position, box in _positions(op, kernel, sizes):
        # [O/g, C] to [g, C/g, O/g]
        matrix = filter_[position].T.reshape(groups, depth // groups, -1)
        buffer[box] += (grouped @ matrix).reshape(*wide.shape[:-1], channels)
    crop = [
        slice(low, low + n)
        for low, n in zip(before, _output_sizes(op, env), strict=True)
    ]
    result = buffer[(slice(None), *crop, slice(None))]
    return narrowed(_from_channels_last(op, result), x)


@REFERENCES.implements(nn.PoolOp)
def _pool(op: nn.PoolOp, env: Environment, x: Array) -> Array:
    kernel, sizes = op.kernel, _output_sizes(op, env)
    # Elements that windows need beyond the padding, in ceil mode.
    low, high = env.sizes(op.low_padding, op), env.sizes(op.high_padding, op)
    inside = [x.shape[a] for a in op.spatial_axes]
    extra = tuple(
        max(0, (n - 1) * s + (k - 1) * d + 1 - (a + m + b))
        for n, s, k, d, a, m, b in zip(
            sizes,
            ints(op.strides),
            kernel,
            ints(op.dilations),
            low,
            inside,
            high,
            strict=True,
        )
    )
    image = _to_channels_last(op, x)
    if op.kind.data == "max":
        result = _max_pool(op, env, widened(image), extra, sizes)
    else:
        result = _average_pool(op, env, image, extra, sizes)
    return narrowed(_from_channels_last(op, result), x)


def _max_pool(
    op: nn.PoolOp,
    env: Environment,
    image: Array,
    extra: tuple[int, ...],
    sizes: tuple[int, ...],
) -> Array:
    lowest = -np.inf if is_floating(image) else np.iinfo(image.dtype).min
    image = _padded(op, env, image, lowest, extra)
    shape = (len(image), *sizes, image.shape[-1])
    result = np.full(shape, lowest, image.dtype)
    for _, box in _positions(op, op.kernel, sizes):
        np.maximum(result, image[box], out=result)
    return result


def _average_pool(
    op: nn.PoolOp,
    env: Environment,
    image: Array,
    extra: tuple[int, ...],
    sizes: tuple[int, ...],
) -> Array:
    counted = np.ones((1, *image.shape[1:-1], 1), np.int64)
    if op.count_padding.value.data:
        counted = _padded(op, env, counted, 1, (0,) * len(sizes))
        none = [(0, e) for e in extra]
        counted = np.pad(counted, [(0, 0), *none, (0, 0)])
    else:
        counted = _padded(op, env, counted, 0, extra)
    wide = doubled(image) if is_floating(image) else image.astype(np.int64)
    wide = _padded(op, env, wide, 0, extra)
    total = np.zeros((len(wide), *sizes, wide.shape[-1]), wide.dtype)
    count = np.zeros((1, *sizes, 1), np.int64)
    for _, box in _positions(op, op.kernel, sizes):
        total += wide[box]
        count += counted[box]
    if is_floating(wide):
        return total / count
    # Integers truncate; a window without elements has sum 0.
    count = np.maximum(count, 1)
    return np.sign(total) * (np.abs(total) // count)
