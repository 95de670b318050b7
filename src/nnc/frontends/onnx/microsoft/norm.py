"""Normalisations that are fused with additions, embeddings and gates."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import BF16, F16, F32, I32, dims_of, element_type_of, rank_of
from nnc.frontends.common import (
    Builder,
    InvalidNodeError,
    UnsupportedError,
    dims_of_rank,
)
from nnc.frontends.onnx.elementwise import gated
from nnc.frontends.onnx.microsoft.standard import channels_first, channels_last
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.norm import root_mean_square, standardized
from nnc.frontends.onnx.registry import MICROSOFT, Converted, converter
from nnc.symbolic import dim_product


def _layer_norm(
    b: Builder, x: SSAValue, scale: SSAValue, bias: SSAValue | None, epsilon: float
) -> SSAValue:
    """Layer normalisation over the last axis, in single precision at least."""
    axis = rank_of(x) - 1
    width = dims_of(x)[axis:]
    type_ = element_type_of(x)
    x, scale = _wide(b, x), b.broadcast_to(_wide(b, scale), width)
    if bias is not None:
        bias = b.broadcast_to(_wide(b, bias), width)
    return b.cast(b.emit(nn.LayerNormOp(x, scale, bias, axis, epsilon)), type_)


def _rms_norm(b: Builder, x: SSAValue, scale: SSAValue, epsilon: float) -> SSAValue:
    """`x` over its root mean square along the last axis, in single precision."""
    wide = _wide(b, x)
    size = root_mean_square(b, wide, [rank_of(x) - 1], epsilon)
    return b.cast(b.mul(b.div(wide, size), _wide(b, scale)), element_type_of(x))


def _wide(b: Builder, x: SSAValue) -> SSAValue:
    return b.cast(x, F32) if element_type_of(x) in (F16, BF16) else x


def _skip_sum(node: Node, b: Builder, bias: SSAValue | None) -> SSAValue:
    """The input plus what skipped the layers before it."""
    if any(node.uses_output(i) for i in (1, 2)):
        raise UnsupportedError("outputs 'mean' and 'inv_std_var'")
    total = b.add(node.input(0), node.input(1))
    return total if bias is None else b.add(total, bias)


@converter("SkipLayerNormalization", domain=MICROSOFT)
def _skip_layer_normalization(node: Node, b: Builder) -> Converted:
    total = _skip_sum(node, b, node.optional_input(4))
    epsilon = node.attr_float("epsilon", 1e-12)
    scale, bias = node.input(2), node.optional_input(3)
    return [_layer_norm(b, total, scale, bias, epsilon), None, None, total]


@converter("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def _skip_simplified_layer_normalization(node: Node, b: Builder) -> Converted:
    total = _skip_sum(node, b, node.optional_input(3))
    epsilon = node.attr_float("epsilon", 1e-12)
    return [_rms_norm(b, total, node.input(2), epsilon), None, None, total]


@converter("EmbedLayerNormalization", domain=MICROSOFT)
def _embed_layer_normalization(node: Node, b: Builder) -> Converted:
    total = _embedded(node, b, node.optional_input(8), lambda _, rows: rows)
    epsilon = node.attr_float("epsilon", 1e-12)
    result = _layer_norm(b, total, node.input(5), node.input(6), epsilon)
    return [result, _mask_index(node, b), total][: len(node.used_outputs)]


@converter("QEmbedLayerNormalization", domain=MICROSOFT)
def _quantized_embed_layer_normalization(node: Node, b: Builder) -> Converted:
    """Of quantized tables; rows become floats after they are looked up."""

    def dequantized(index: int, value: SSAValue) -> SSAValue:
        # Scales begin at input 8, zero points at 13, in the order of inputs 2 to 6.
        scale, zero = node.input(index + 6), node.input(index + 11)
        value = b.sub(b.cast(value, I32), b.reshape(b.cast(zero, I32), []))
        return b.mul(b.cast(value, element_type_of(scale)), b.reshape(scale, []))

    total = _embedded(node, b, None, dequantized)
    scale, bias = (dequantized(i, node.input(i)) for i in (5, 6))
    epsilon = node.attr_float("epsilon", 1e-12)
    result = _layer_norm(b, total, scale, bias, epsilon)
    return [result, _mask_index(node, b)][: len(node.used_outputs)]


def _embedded(
    node: Node,
    b: Builder,
    positions: SSAValue | None,
    widened: Callable[[int, SSAValue], SSAValue],
) -> SSAValue:
    """
    The sum of the embeddings of words, positions and segments.

    `widened` makes rows of the table that is input 2, 3 or 4 what they stand for.
    """
    length = dims_of_rank(node.input(0), 2, "input_ids")[1]
    total = widened(2, b.emit(nn.GatherOp(node.input(2), node.input(0), 0)))
    table = node.input(3)
    dims_of_rank(table, 2, "position_embedding")
    if positions is None:
        # The first rows of the table are those of the first positions.
        added = b.slice(table, [0], [length], [0], [1])
        added = b.with_dim(added, 0, length)
    else:
        added = b.emit(nn.GatherOp(table, positions, 0))
    total = b.add(total, widened(3, added))
    segments, table = node.optional_input(1), node.optional_input(4)
    if segments is not None and table is not None:
        total = b.add(total, widened(4, b.emit(nn.GatherOp(table, segments, 0))))
    return total


def _mask_index(node: Node, b: Builder) -> SSAValue:
    """How many words of each row the mask keeps; 0 without a mask."""
    mask = node.optional_input(7)
    if mask is None:
        return b.broadcast_to(b.scalar(0, I32), dims_of(node.input(0))[:1])
    kept = b.cast(b.compare(mask, 1, "eq"), I32)
    return b.reduce(kept, "sum", [1], False)


@converter("GroupNorm", domain=MICROSOFT)
def _group_norm(node: Node, b: Builder) -> Converted:
    return _grouped(node, b, node.input(0))


@converter("SkipGroupNorm", domain=MICROSOFT)
def _skip_group_norm(node: Node, b: Builder) -> Converted:
    x, skip, bias = node.input(0), node.input(3), node.optional_input(4)
    if rank_of(skip) == 2:
        rows, width = dims_of(skip)
        skip = b.reshape(skip, [rows, *[1] * (rank_of(x) - 2), width])
    if not node.attr_int("channels_last", 1):
        raise UnsupportedError("channels that are not last")
    total = b.add(x, skip)
    total = total if bias is None else b.add(total, bias)
    return [_grouped(node, b, total), total][: len(node.used_outputs)]


def _grouped(node: Node, b: Builder, x: SSAValue) -> SSAValue:
    """Group normalisation, scale, bias and perhaps SiLU."""
    if rank_of(x) < 2:
        raise InvalidNodeError(f"{x.type} has no channels")
    is_last, type_ = bool(node.attr_int("channels_last", 1)), element_type_of(x)
    first = channels_first(b, x) if is_last else x
    groups, (batch, channels, *spatial) = node.attr_int("groups"), dims_of(first)
    count = channels.as_int()
    if groups < 1 or (count is not None and count % groups):
        raise InvalidNodeError(f"{channels} channels do not make {groups} groups")
    size = (channels // groups) * dim_product(spatial)
    rows = _wide(b, b.reshape(first, [batch, groups, size]))
    epsilon = node.attr_float("epsilon", 1e-5)
    result, _, _ = standardized(b, rows, [2], epsilon)
    result = b.reshape(result, dims_of(first))
    parameters = [b.cast(node.input(i), element_type_of(result)) for i in (1, 2)]
    scale, bias = (b.reshape(p, [*dims_of(p), *[1] * len(spatial)]) for p in parameters)
    result = b.add(b.mul(result, scale), bias)
    if node.attr_int("activation", 0):
        result = gated(b, result, 1.0)
    result = b.cast(result, type_)
    return channels_last(b, result) if is_last else result


@converter("GatedRMSNorm", domain=MICROSOFT)
def _gated_rms_norm(node: Node, b: Builder) -> Converted:
    """RMS normalisation of each group of columns, times an activated gate."""
    x, scale = node.input(0), node.input(1)
    gate, name = _wide(b, node.input(2)), node.attr_string("activation", "silu")
    if name not in ("silu", "swish", "sigmoid"):
        raise InvalidNodeError(f"there is no gate activation '{name[:40]}'")
    if not rank_of(x):
        raise InvalidNodeError("a scalar has no columns")
    *outer, width = dims_of(x)
    (size,) = dims_of_rank(scale, 1, "the scale")
    columns, each = width.as_int(), size.as_int()
    if each is not None and (each < 1 or (columns is not None and columns % each)):
        raise InvalidNodeError(f"{width} columns are no groups of {size}")
    split = b.reshape(_wide(b, x), [*outer, width // size, size])
    normal = _rms_norm(b, split, scale, node.attr_float("epsilon", 1e-5))
    bent = b.unary(ew.SigmoidOp, gate) if name == "sigmoid" else gated(b, gate, 1.0)
    return b.cast(b.mul(b.reshape(normal, dims_of(x)), bent), element_type_of(x))
