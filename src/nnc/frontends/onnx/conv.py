"""Converters of convolutions."""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn.types import dims_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.pool import (
    padding_of,
    require_positions,
    spatial_rank_of,
    window_ints,
)
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.shape_rules import simplest
from nnc.symbolic import Dim


def channel_vector(b: Builder, vector: SSAValue, rank: int) -> SSAValue:
    """A vector over channels as `[1, C, 1, ...]`, to broadcast with `[N, C, ...]`."""
    if rank_of(vector) != 1:
        raise InvalidNodeError("a parameter over channels must be a vector")
    return b.reshape(vector, [1, dims_of(vector)[0], *[1] * (rank - 2)])


def kernel_of(node: Node, filter: SSAValue, rank: int) -> list[int]:
    """
    The spatial sizes of a filter.

    Raises:
        InvalidNodeError: they do not fit the input or the attribute.
        UnsupportedError: they are not constant.
    """
    sizes = [d.as_int() for d in dims_of(filter)[2:]]
    kernel = [s for s in sizes if s is not None]
    if len(kernel) != len(sizes):
        raise UnsupportedError("a filter whose size is not constant")
    if len(kernel) != rank:
        raise InvalidNodeError(
            f"the filter has {len(kernel)} spatial axes, the input {rank}"
        )
    if any(k < 1 for k in kernel):
        raise InvalidNodeError(f"the filter has sizes {kernel}")
    if node.has_attr("kernel_shape") and node.attr_ints("kernel_shape") != kernel:
        raise InvalidNodeError(
            f"kernel_shape is {node.attr_ints('kernel_shape')}, but the filter's sizes "
            f"are {kernel}"
        )
    return kernel


def _with_bias(node: Node, b: Builder, value: SSAValue) -> SSAValue:
    bias = node.optional_input(2)
    if bias is None:
        return value
    channels = dims_of(value)[1]
    sizes = [d.as_int() for d in (channels, *dims_of(bias))]
    if rank_of(bias) == 1 and None in sizes:
        bias = b.with_dim(bias, 0, channels)
    if dims_of(bias) != (channels,):
        raise InvalidNodeError(
            f"the bias must have {channels} elements, got {bias.type}"
        )
    return b.add(value, channel_vector(b, bias, rank_of(value)))


@converter("Conv")
def _conv(node: Node, b: Builder) -> Converted:
    return _with_bias(node, b, convolution(node, b, node.input(0), node.input(1)))


def convolution(node: Node, b: Builder, x: SSAValue, filter: SSAValue) -> SSAValue:
    """
    The convolution that the attributes of a node describe, without a bias.

    Raises:
        InvalidNodeError: attributes and operands do not fit.
        UnsupportedError: the size of the filter is not constant, or not known to fit.
    """
    rank = spatial_rank_of(x)
    kernel = kernel_of(node, filter, rank)
    groups = node.attr_int("group", 1)
    if groups < 1:
        raise InvalidNodeError(f"group must be positive, got {groups}")
    strides = window_ints(node, "strides", rank)
    dilations = window_ints(node, "dilations", rank)
    outputs, inputs, *_ = dims_of(filter)
    known = dims_of(x)[1].as_int()
    if inputs.as_int() is None and known is not None and known % groups == 0:
        filter = b.with_dim(filter, 1, known // groups)
    if groups > 1 and outputs.as_int() is None:
        raise UnsupportedError(f"{outputs} channels of the result in {groups} groups")
    x = b.with_dim(x, 1, dims_of(filter)[1] * groups)
    padding = padding_of(node, dims_of(x)[2:], kernel, strides, dilations)
    x, padding = _crop_negative(b, x, padding)
    result = b.emit(
        nn.ConvOp(
            x,
            filter,
            strides=strides,
            dilations=dilations,
            padding=padding,
            groups=groups,
        )
    )
    return require_positions(result)


def _crop_negative(
    b: Builder, x: SSAValue, padding: list[Dim]
) -> tuple[SSAValue, list[Dim]]:
    """Negative padding crops the input."""
    crop = [min(0, p.as_int() or 0) for p in padding]
    if not any(crop):
        return x, padding
    rank = len(padding) // 2
    dims = dims_of(x)[2:]
    starts = [-c for c in crop[:rank]]
    ends = [d + c for d, c in zip(dims, crop[rank:], strict=True)]
    x = b.slice(x, starts, ends, range(2, 2 + rank), [1] * rank)
    return x, [p - c for p, c in zip(padding, crop, strict=True)]


@converter("ConvTranspose")
def _conv_transpose(node: Node, b: Builder) -> Converted:
    x, filter = node.input(0), node.input(1)
    rank = spatial_rank_of(x)
    kernel = kernel_of(node, filter, rank)
    groups = node.attr_int("group", 1)
    if groups < 1:
        raise InvalidNodeError(f"group must be positive, got {groups}")
    strides = window_ints(node, "strides", rank)
    dilations = window_ints(node, "dilations", rank)
    extra = node.attr_ints("output_padding", [0] * rank)
    if len(extra) != rank or any(e < 0 for e in extra):
        raise InvalidNodeError(f"output_padding is {extra}")
    channels = simplest([dims_of(x)[1], dims_of(filter)[0]])
    if groups > 1 and channels.as_int() is None:
        raise UnsupportedError(f"{channels} channels in {groups} groups")
    x, filter = b.with_dim(x, 1, channels), b.with_dim(filter, 0, channels)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    full = [
        (d - 1) * s + span + e
        for d, s, span, e in zip(dims_of(x)[2:], strides, spans, extra, strict=True)
    ]
    padding = _transposed_padding(node, dims_of(x)[2:], full, strides)
    # Padding that is negative adds positions which no element reaches.
    low = [max(0, -(p.as_int() or 0)) for p in padding[:rank]]
    high = [max(0, -(p.as_int() or 0)) for p in padding[rank:]]
    result = b.emit(
        nn.ConvTransposeOp(
            x,
            filter,
            strides=strides,
            dilations=dilations,
            padding=[
                *(p + extra for p, extra in zip(padding[:rank], low, strict=True)),
                *(p + h for p, h in zip(padding[rank:], high, strict=True)),
            ],
            output_padding=[e + h for e, h in zip(extra, high, strict=True)],
            groups=groups,
        )
    )
    if any(low):
        none = [0] * (rank + 2)
        result = b.emit(nn.PadOp(result, [0, 0, *low], none))
    return _with_bias(node, b, result)


def _transposed_padding(
    node: Node, spatial: tuple[Dim, ...], full: list[Dim], strides: list[int]
) -> list[Dim]:
    """Low, then high padding of a transposed convolution with `full` positions."""
    rank = len(full)
    mode = node.attr_string("auto_pad", "NOTSET")
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise InvalidNodeError(f"there is no auto_pad '{mode[:40]}'")
    if node.has_attr("output_shape"):
        # Some writers give the spatial sizes, others all of them.
        shape = node.attr_ints("output_shape")[-rank:]
        if len(shape) != rank:
            raise InvalidNodeError(f"output_shape has {len(shape)} values")
        total = [f - s for f, s in zip(full, shape, strict=True)]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        total = [f - d * s for f, d, s in zip(full, spatial, strides, strict=True)]
    elif mode == "VALID":
        return [Dim.of(0)] * 2 * rank
    else:
        pads = node.attr_ints("pads", [0] * 2 * rank)
        if len(pads) != 2 * rank:
            raise InvalidNodeError(f"pads has {len(pads)} values for {rank} axes")
        return [Dim.of(p) for p in pads]
    # The odd element goes to the end with SAME_UPPER, else to the beginning.
    half = [t // 2 for t in total]
    rest = [t - h for t, h in zip(total, half, strict=True)]
    return [*half, *rest] if mode == "SAME_UPPER" else [*rest, *half]
