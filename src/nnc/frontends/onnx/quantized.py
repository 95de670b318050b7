"""Converters of ops on quantized numbers, as the arithmetic that defines them."""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.dialects.nn.types import (
    F32,
    I32,
    SMALL_FLOATS,
    dims_of,
    element_type_of,
    rank_of,
)
from nnc.frontends.common import Builder
from nnc.frontends.onnx.conv import channel_vector, convolution
from nnc.frontends.onnx.linear import matmul
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.quantize import quantized
from nnc.frontends.onnx.registry import Converted, converter


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
    """A product, whose factors have `scales`, as quantized numbers."""
    value = b.cast(product, F32)
    for factor in scales:
        value = b.mul(value, factor)
    return quantized(b, b.div(value, b.cast(scale, F32)), zero, element_type_of(zero))


@converter("QLinearMatMul", since=10)
def _qlinear_matmul(node: Node, b: Builder) -> Converted:
    sides: list[SSAValue] = []
    scales: list[SSAValue] = []
    for first in (0, 3):
        value, scale, zero = (node.input(first + i) for i in range(3))
        if first == 0 and rank_of(scale) == 1 and dims_of(scale) != (1,):
            # One a row; those of the other side are one a column.
            scale, zero = (b.reshape(p, [*dims_of(p), 1]) for p in (scale, zero))
        # Products of floats of 8 bits are exact in f32.
        wide = F32 if element_type_of(value) in SMALL_FLOATS else I32
        sides.append(b.sub(b.cast(value, wide), b.cast(zero, wide)))
        scales.append(b.cast(scale, F32))
    if len({element_type_of(side) for side in sides}) > 1:
        sides = [b.cast(side, F32) for side in sides]
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
