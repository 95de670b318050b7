"""Converters of normalisations."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import (
    BF16,
    F16,
    F32,
    dims_of,
    element_type_of,
    rank_of,
)
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.conv import channel_vector
from nnc.frontends.onnx.node import Node, normalized_axes
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import dim_product


def standardized(
    b: Builder, x: SSAValue, axes: Sequence[int], epsilon: float
) -> tuple[SSAValue, SSAValue, SSAValue]:
    """`x` with mean 0 and variance 1 over axes; the mean and 1 / deviation."""
    mean = b.reduce(x, "mean", axes)
    centred = b.sub(x, mean)
    variance = b.reduce(b.mul(centred, centred), "mean", axes)
    deviation = b.unary(ew.SqrtOp, b.add(variance, epsilon))
    return b.div(centred, deviation), mean, b.unary(ew.ReciprocalOp, deviation)


@converter("InstanceNormalization")
def _instance_normalization(node: Node, b: Builder) -> Converted:
    x, rank = node.input(0), rank_of(node.input(0))
    if rank < 3:
        raise InvalidNodeError(f"the input has rank {rank}, without spatial axes")
    axes = list(range(2, rank))
    result, _, _ = standardized(b, x, axes, node.attr_float("epsilon", 1e-5))
    scaled = b.mul(result, channel_vector(b, node.input(1), rank))
    return b.add(scaled, channel_vector(b, node.input(2), rank))


@converter("GroupNormalization", since=18)
def _group_normalization(node: Node, b: Builder) -> Converted:
    x, scale, bias = node.input(0), node.input(1), node.input(2)
    groups, rank = node.attr_int("num_groups"), rank_of(x)
    if groups < 1 or rank < 3:
        raise InvalidNodeError(f"{groups} groups of an input of rank {rank}")
    batch, channels, *spatial = dims_of(x)
    count = channels.as_int()
    if count is not None and count % groups:
        raise InvalidNodeError(f"{count} channels do not make {groups} groups")
    wide = node.attr_int("stash_type", 1) == 1 and node.version >= 21
    type_ = element_type_of(x)
    grouped = b.reshape(x, [batch, groups, (channels // groups) * dim_product(spatial)])
    grouped = b.cast(grouped, F32) if wide and type_ in (F16, BF16) else grouped
    result, _, _ = standardized(b, grouped, [2], node.attr_float("epsilon", 1e-5))
    result = b.cast(result, type_)
    if node.version < 21:
        # One scale and bias a group; later versions have one a channel.
        scale, bias = (b.reshape(p, [1, *dims_of(p), 1]) for p in (scale, bias))
        return b.reshape(b.add(b.mul(result, scale), bias), dims_of(x))
    result = b.reshape(result, dims_of(x))
    scaled = b.mul(result, channel_vector(b, scale, rank))
    return b.add(scaled, channel_vector(b, bias, rank))


def _layer_normalization(node: Node, b: Builder, default_epsilon: float) -> Converted:
    x, scale, bias = node.input(0), node.input(1), node.optional_input(2)
    axis = node.attr_axis(-1, rank_of(x))
    epsilon = node.attr_float("epsilon", default_epsilon)
    dims = dims_of(x)[axis:]
    plain = not any(node.uses_output(i) for i in (1, 2))
    type_ = element_type_of(x)
    if plain and type_ not in (F16, BF16):
        scale = b.broadcast_to(scale, dims)
        bias = None if bias is None else b.broadcast_to(bias, dims)
        return [b.emit(nn.LayerNormOp(x, scale, bias, axis, epsilon)), None, None]
    axes = list(range(axis, rank_of(x)))
    wide = b.cast(x, F32) if node.attr_int("stash_type", 1) == 1 else x
    result, mean, inverse = standardized(b, wide, axes, epsilon)
    result = b.mul(b.cast(result, type_), scale)
    return [result if bias is None else b.add(result, bias), mean, inverse]


@converter("LayerNormalization", since=1)
def _convert_layer_normalization(node: Node, b: Builder) -> Converted:
    # Standard since opset 17; ONNX Runtime wrote it to older models, too.
    return _layer_normalization(node, b, 1e-5)


def root_mean_square(
    b: Builder, x: SSAValue, axes: list[int], epsilon: float
) -> SSAValue:
    """The root of the mean square over axes, and of `epsilon`."""
    mean = b.reduce(b.mul(x, x), "mean", axes)
    return b.unary(ew.SqrtOp, b.add(mean, epsilon))


@converter("RMSNormalization", since=23)
@converter("SimplifiedLayerNormalization")
def _rms_normalization(node: Node, b: Builder) -> Converted:
    x, scale = node.input(0), node.input(1)
    axes = list(range(node.attr_axis(-1, rank_of(x)), rank_of(x)))
    type_ = element_type_of(x)
    wide = b.cast(x, F32) if node.attr_int("stash_type", 1) == 1 else x
    size = root_mean_square(b, wide, axes, node.attr_float("epsilon", 1e-5))
    result = b.cast(b.div(wide, size), type_)
    return [b.mul(result, scale)]


@converter("MeanVarianceNormalization", since=9)
def _mean_variance_normalization(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axes = normalized_axes(node.attr_ints("axes", [0, 2, 3]), rank_of(x))
    mean = b.reduce(x, "mean", axes)
    centred = b.sub(x, mean)
    deviation = b.unary(ew.SqrtOp, b.reduce(b.mul(centred, centred), "mean", axes))
    return b.div(centred, b.add(deviation, 1e-9))


@converter("LpNormalization")
def _lp_normalization(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axis, power = node.attr_axis(-1, rank_of(x)), node.attr_int("p", 2)
    if power == 1:
        size = b.reduce(b.unary(ew.AbsOp, x), "sum", [axis])
    elif power == 2:
        size = b.unary(ew.SqrtOp, b.reduce(b.mul(x, x), "sum", [axis]))
    else:
        raise InvalidNodeError(f"p must be 1 or 2, got {power}")
    # Rows of zeros stay zeros.
    size = b.broadcast_to(size, dims_of(x))
    return b.select(b.compare(size, 0.0, "eq"), b.full(0.0, x), b.div(x, size))


@converter("LRN")
def _lrn(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    size = node.attr_int("size")
    if size < 1 or rank_of(x) < 2:
        raise InvalidNodeError(f"size {size} over the channels of {x.type}")
    alpha, beta = node.attr_float("alpha", 1e-4), node.attr_float("beta", 0.75)
    squares = b.mul(x, x)
    total = (
        _summed_slices(b, squares, size)
        if size <= _MAX_SLICES
        else _summed_pool(b, squares, size)
    )
    base = b.add(b.mul(total, alpha / size), node.attr_float("bias", 1.0))
    return b.div(x, b.binary(ew.PowOp, base, beta))


_MAX_SLICES = 16


def _summed_slices(b: Builder, x: SSAValue, size: int) -> SSAValue:
    """Sums over windows of `size` channels, as a sum of shifted tensors."""
    if size == 1:
        return x
    dims = dims_of(x)
    low = [0] * len(dims)
    high = list(low)
    low[1], high[1] = (size - 1) // 2, size // 2
    padded = b.emit(nn.PadOp(x, low, high))
    parts: list[SSAValue] = []
    for first in range(size):
        offsets = [0] * len(dims)
        offsets[1] = first
        parts.append(b.emit(nn.SliceOp(padded, offsets, dims)))
    total = parts[0]
    for part in parts[1:]:
        total = b.add(total, part)
    return total


def _summed_pool(b: Builder, x: SSAValue, size: int) -> SSAValue:
    """Sums over windows of `size` channels, as an average over a spatial axis."""
    batch, channels, *spatial = dims_of(x)
    low, high = (size - 1) // 2, size // 2
    if (count := channels.as_int()) is not None:
        # Windows beyond all channels hold nothing more.
        low, high = min(low, count), min(high, count)
    rows = b.reshape(x, [batch, 1, channels, dim_product(spatial)])
    padded = b.emit(nn.PadOp(rows, [0, 0, low, 0], [0, 0, high, 0]))
    pooled = b.emit(nn.PoolOp(padded, "average", [low + high + 1, 1]))
    return b.reshape(b.mul(pooled, float(low + high + 1)), dims_of(x))
