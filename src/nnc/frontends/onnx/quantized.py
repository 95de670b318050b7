"""Converters of quantized ops, as the plain arithmetic that defines them."""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import F32, I32, U8, dims_of, element_type_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.conv import channel_vector, convolution
from nnc.frontends.onnx.linear import matmul
from nnc.frontends.onnx.node import Node, normalized_axis
from nnc.frontends.onnx.registry import Converted, converter

_RANGES = {"i8": (-128.0, 127.0), "ui8": (0.0, 255.0), "i16": (-32768.0, 32767.0)}


def _along(node: Node, b: Builder, x: SSAValue, parameter: SSAValue) -> SSAValue:
    """A scalar, or a vector along `axis`, ready to broadcast with `x`."""
    if node.attr_int("block_size", 0):
        raise UnsupportedError("blocked quantization")
    if rank_of(parameter) == 0 or dims_of(parameter) == (1,):
        return b.reshape(parameter, ())
    if rank_of(parameter) != 1:
        raise InvalidNodeError(f"a scale of type {parameter.type}")
    axis = normalized_axis(node.attr_int("axis", 1), rank_of(x))
    return b.reshape(parameter, [*dims_of(parameter), *[1] * (rank_of(x) - axis - 1)])


@converter("DequantizeLinear", since=10)
def _dequantize_linear(node: Node, b: Builder) -> Converted:
    x, scale, zero = node.input(0), node.input(1), node.optional_input(2)
    value = b.cast(x, I32)
    if zero is not None:
        value = b.sub(value, b.cast(_along(node, b, x, zero), I32))
    return b.mul(b.cast(value, element_type_of(scale)), _along(node, b, x, scale))


@converter("QuantizeLinear", since=10)
def _quantize_linear(node: Node, b: Builder) -> Converted:
    x, scale, zero = node.input(0), node.input(1), node.optional_input(2)
    target = U8 if zero is None else element_type_of(zero)
    if node.attr_int("output_dtype", 0) and zero is None:
        raise UnsupportedError("output_dtype")
    return _quantized(node, b, x, scale, zero, str(target))


def _quantized(
    node: Node,
    b: Builder,
    x: SSAValue,
    scale: SSAValue,
    zero: SSAValue | None,
    target: str,
) -> SSAValue:
    if target not in _RANGES:
        raise UnsupportedError(f"quantization to {target}")
    scaled = b.div(x, b.cast(_along(node, b, x, scale), element_type_of(x)))
    value = b.unary(ew.RoundOp, scaled)
    if zero is not None:
        value = b.add(value, b.cast(_along(node, b, x, zero), element_type_of(x)))
    clamped = b.emit(ew.ClampOp(value, *_RANGES[target]))
    return b.cast(clamped, U8 if zero is None else element_type_of(zero))


@converter("DynamicQuantizeLinear", since=11)
def _dynamic_quantize_linear(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axes = list(range(rank_of(x)))
    low = b.binary(ew.MinimumOp, b.reshape(b.reduce(x, "min", axes), ()), 0.0)
    high = b.binary(ew.MaximumOp, b.reshape(b.reduce(x, "max", axes), ()), 0.0)
    scale = b.div(b.sub(high, low), 255.0)
    zero = b.emit(
        ew.ClampOp(
            b.unary(ew.RoundOp, b.div(b.unary(ew.NegOp, low), scale)), 0.0, 255.0
        )
    )
    value = b.add(b.unary(ew.RoundOp, b.div(x, scale)), zero)
    return [
        b.cast(b.emit(ew.ClampOp(value, 0.0, 255.0)), U8),
        scale,
        b.cast(zero, U8),
    ]


@converter("MatMulInteger", since=10)
def _matmul_integer(node: Node, b: Builder) -> Converted:
    operands: list[SSAValue] = []
    for index in range(2):
        value, zero = b.cast(node.input(index), I32), node.optional_input(index + 2)
        if zero is not None:
            zero = b.cast(zero, I32)
            if rank_of(zero) == 1 and index == 0 and dims_of(zero) != (1,):
                zero = b.reshape(zero, [*dims_of(zero), 1])
            value = b.sub(value, zero)
        operands.append(value)
    return matmul(b, operands[0], operands[1])


# ---------------------------------------------------------------- QLinear ops


def _requantized(
    b: Builder,
    product: SSAValue,
    scales: list[SSAValue],
    scale: SSAValue,
    zero: SSAValue,
) -> SSAValue:
    """An integer product, whose factors have `scales`, as quantized numbers."""
    value = b.cast(product, F32)
    for factor in scales:
        value = b.mul(value, factor)
    value = b.unary(ew.RoundOp, b.div(value, b.cast(scale, F32)))
    value = b.add(value, b.cast(zero, F32))
    target = element_type_of(zero)
    return b.cast(b.emit(ew.ClampOp(value, *_RANGES[str(target)])), target)


@converter("QLinearMatMul", since=10)
def _qlinear_matmul(node: Node, b: Builder) -> Converted:
    sides: list[SSAValue] = []
    scales: list[SSAValue] = []
    for first in (0, 3):
        value, scale, zero = (node.input(first + i) for i in range(3))
        if first == 0 and rank_of(scale) == 1 and dims_of(scale) != (1,):
            # One a row; those of the other side are one a column.
            scale, zero = (b.reshape(p, [*dims_of(p), 1]) for p in (scale, zero))
        sides.append(b.sub(b.cast(value, I32), b.cast(zero, I32)))
        scales.append(b.cast(scale, F32))
    product = matmul(b, sides[0], sides[1])
    return _requantized(b, product, scales, node.input(6), node.input(7))


def _centered_filter(b: Builder, filter: SSAValue, zero: SSAValue | None) -> SSAValue:
    """A filter less its zero point, which may be one for each output channel."""
    value = b.cast(filter, I32)
    if zero is None:
        return value
    ones = [1] * (rank_of(filter) - 1)
    dims = [*dims_of(zero), *ones] if rank_of(zero) == 1 else []
    return b.sub(value, b.reshape(b.cast(zero, I32), dims))


def _centered(b: Builder, x: SSAValue, zero: SSAValue | None) -> SSAValue:
    value = b.cast(x, I32)
    return value if zero is None else b.sub(value, b.reshape(b.cast(zero, I32), ()))


@converter("ConvInteger", since=10)
def _conv_integer(node: Node, b: Builder) -> Converted:
    x = _centered(b, node.input(0), node.optional_input(2))
    filter = _centered_filter(b, node.input(1), node.optional_input(3))
    return convolution(node, b, x, filter)


@converter("QLinearConv", since=10)
def _qlinear_conv(node: Node, b: Builder) -> Converted:
    x = _centered(b, node.input(0), node.input(2))
    filter = _centered_filter(b, node.input(3), node.input(5))
    product = convolution(node, b, x, filter)
    bias = node.optional_input(8)
    if bias is not None:
        product = b.add(product, channel_vector(b, bias, rank_of(x)))
    scale = b.cast(node.input(4), F32)
    if rank_of(scale) == 1:
        scale = channel_vector(b, scale, rank_of(x))
    scales = [b.cast(node.input(1), F32), scale]
    return _requantized(b, product, scales, node.input(6), node.input(7))
