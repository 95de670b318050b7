"""
Quantized ops that are defined by what floats do: dequantize, compute, quantize.

They compute just that. ONNX Runtime multiplies some scales beforehand, so a result that
lies next to a tie may be the neighbouring number there.
"""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import F32, dims_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.microsoft.quantized import centred, quantized
from nnc.frontends.onnx.microsoft.standard import (
    as_standard,
    channels_first,
    channels_last,
    first_of,
)
from nnc.frontends.onnx.node import Node, normalized_axes
from nnc.frontends.onnx.registry import MICROSOFT, converter
from nnc.symbolic import dim_product


def _dequantized(
    b: Builder, x: SSAValue, scale: SSAValue, zero: SSAValue | None
) -> SSAValue:
    return b.mul(b.cast(centred(b, x, zero), F32), b.reshape(scale, []))


def _unary(node: Node, b: Builder, compute: Callable[[SSAValue], SSAValue]) -> SSAValue:
    """One tensor, its scale and zero point, then those of the result."""
    x = node.input(0)
    value = compute(_dequantized(b, x, node.input(1), node.optional_input(2)))
    return quantized(b, value, node.input(3), node.optional_input(4), x)


@converter("QLinearSigmoid", domain=MICROSOFT)
def _sigmoid(node: Node, b: Builder) -> SSAValue:
    return _unary(node, b, lambda x: b.unary(ew.SigmoidOp, x))


@converter("QLinearLeakyRelu", domain=MICROSOFT)
def _leaky_relu(node: Node, b: Builder) -> SSAValue:
    alpha = node.attr_float("alpha", 0.01)

    def compute(x: SSAValue) -> SSAValue:
        return b.select(b.compare(x, 0, "ge"), x, b.mul(x, alpha))

    return _unary(node, b, compute)


@converter("QLinearSoftmax", domain=MICROSOFT)
def _softmax(node: Node, b: Builder) -> SSAValue:
    """Over one axis; before opset 13 over all axes from it on."""
    axis = node.attr_axis(-1, rank_of(node.input(0)))

    def compute(x: SSAValue) -> SSAValue:
        if node.attr_int("opset") >= 13:
            return b.emit(nn.SoftmaxOp(x, axis))
        dims = dims_of(x)
        rows = b.reshape(x, [dim_product(dims[:axis]), dim_product(dims[axis:])])
        return b.reshape(b.emit(nn.SoftmaxOp(rows, 1)), dims)

    return _unary(node, b, compute)


@converter("QLinearReduceMean", domain=MICROSOFT)
def _reduce_mean(node: Node, b: Builder) -> SSAValue:
    axes = normalized_axes(node.attr_ints("axes"), rank_of(node.input(0)))
    keep = bool(node.attr_int("keepdims", 1))
    return _unary(node, b, lambda x: b.reduce(x, "mean", axes, keep))


@converter("QLinearAveragePool", domain=MICROSOFT)
def _average_pool(node: Node, b: Builder) -> SSAValue:
    def compute(x: SSAValue) -> SSAValue:
        return first_of(as_standard(node.derived([x]), b, "AveragePool", 11))

    return _pooled(node, b, compute)


@converter("QLinearGlobalAveragePool", domain=MICROSOFT)
def _global_average_pool(node: Node, b: Builder) -> SSAValue:
    def compute(x: SSAValue) -> SSAValue:
        return b.reduce(x, "mean", list(range(2, rank_of(x))))

    return _pooled(node, b, compute)


def _pooled(
    node: Node, b: Builder, compute: Callable[[SSAValue], SSAValue]
) -> SSAValue:
    if not node.attr_int("channels_last", 0):
        return _unary(node, b, compute)
    inputs = [channels_first(b, node.input(0)), *node.inputs[1:]]
    return channels_last(b, _unary(node.derived(inputs), b, compute))


def _operands(node: Node, b: Builder) -> list[SSAValue]:
    """Two tensors, each followed by its scale and zero point."""
    return [
        _dequantized(b, node.input(i), node.input(i + 1), node.optional_input(i + 2))
        for i in (0, 3)
    ]


@converter("QLinearAdd", domain=MICROSOFT)
def _add(node: Node, b: Builder) -> SSAValue:
    value = b.add(*_operands(node, b))
    return quantized(b, value, node.input(6), node.optional_input(7), node.input(0))


@converter("QLinearMul", domain=MICROSOFT)
def _mul(node: Node, b: Builder) -> SSAValue:
    value = b.mul(*_operands(node, b))
    return quantized(b, value, node.input(6), node.optional_input(7), node.input(0))


@converter("QLinearWhere", domain=MICROSOFT)
def _where(node: Node, b: Builder) -> SSAValue:
    shifted = node.derived(node.inputs[1:])
    value = b.select(node.input(0), *_operands(shifted, b))
    return quantized(b, value, node.input(7), node.optional_input(8), node.input(1))


@converter("QLinearConcat", domain=MICROSOFT)
def _concat(node: Node, b: Builder) -> SSAValue:
    scale, zero, *rest = node.variadic_inputs()
    if not rest or len(rest) % 3:
        raise InvalidNodeError(f"{len(rest)} inputs are no triples")
    axis = node.attr_axis(None, rank_of(rest[0]))
    parts = [
        quantized(b, _dequantized(b, *rest[i : i + 3]), scale, zero, zero)
        for i in range(0, len(rest), 3)
    ]
    return b.concat(parts, axis)
