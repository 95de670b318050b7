"""Products of quantized matrices: exact in integers, then scaled."""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import F32, I32, dims_of, element_type_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.linear import matmul, swap_last
from nnc.frontends.onnx.microsoft.attention import self_attention
from nnc.frontends.onnx.microsoft.standard import as_standard
from nnc.frontends.onnx.node import Node, normalized_axes
from nnc.frontends.onnx.registry import MICROSOFT, Converted, converter

_RANGES = {
    "i8": (-128.0, 127.0),
    "ui8": (0.0, 255.0),
    "i16": (-32768.0, 32767.0),
    "ui16": (0.0, 65535.0),
}


def centred(b: Builder, x: SSAValue, zero: SSAValue | None) -> SSAValue:
    """Quantized numbers less their zero point, as i32."""
    value = b.cast(x, I32)
    if zero is None:
        return value
    zero = b.cast(zero, I32)
    return b.sub(value, b.reshape(zero, []) if dims_of(zero) == (1,) else zero)


def quantized(
    b: Builder,
    value: SSAValue,
    scale: SSAValue | None,
    zero: SSAValue | None,
    like: SSAValue,
) -> SSAValue:
    """
    Floats as quantized numbers of the element type of `like`, ties to even.

    Raises:
        UnsupportedError: nothing is quantized to that type.
    """
    type_ = element_type_of(like)
    if str(type_) not in _RANGES:
        raise UnsupportedError(f"quantization to {type_}")
    if scale is not None:
        value = b.div(value, b.reshape(scale, []))
    value = b.unary(ew.RoundOp, value)
    if zero is not None:
        value = b.add(value, b.reshape(b.cast(zero, F32), []))
    return b.cast(b.emit(ew.ClampOp(value, *_RANGES[str(type_)])), type_)


def quantized_product(
    b: Builder,
    sides: tuple[SSAValue, SSAValue],
    zeros: tuple[SSAValue | None, SSAValue | None],
    scales: tuple[SSAValue, SSAValue],
    bias: SSAValue | None,
) -> SSAValue:
    """The product of quantized matrices as floats; the right side may have columns."""
    lhs, rhs = (centred(b, x, z) for x, z in zip(sides, zeros, strict=True))
    factor = b.mul(*(_flat(b, s) for s in scales))
    result = b.mul(b.cast(matmul(b, lhs, rhs), F32), factor)
    return result if bias is None else b.add(result, bias)


def _flat(b: Builder, scale: SSAValue) -> SSAValue:
    """A vector of one scale as a scalar, so that it adds no axis."""
    return b.reshape(scale, []) if dims_of(scale) == (1,) else scale


@converter("MatMulIntegerToFloat", domain=MICROSOFT)
def _matmul_integer_to_float(node: Node, b: Builder) -> Converted:
    return quantized_product(
        b,
        (node.input(0), node.input(1)),
        (node.optional_input(4), node.optional_input(5)),
        (node.input(2), node.input(3)),
        node.optional_input(6),
    )


@converter("DynamicQuantizeMatMul", domain=MICROSOFT)
def _dynamic_quantize_matmul(node: Node, b: Builder) -> Converted:
    x, scale, zero = dynamically_quantized(node, b, node.input(0))
    return quantized_product(
        b,
        (x, node.input(1)),
        (zero, node.optional_input(3)),
        (scale, node.input(2)),
        node.optional_input(4),
    )


def dynamically_quantized(
    node: Node, b: Builder, x: SSAValue
) -> tuple[SSAValue, SSAValue, SSAValue]:
    """Floats as u8 that cover their range, the scale and the zero point."""
    parts = as_standard(node.derived([x]), b, "DynamicQuantizeLinear", 11)
    assert not isinstance(parts, SSAValue)
    values, scale, zero = parts
    assert values is not None
    assert scale is not None
    assert zero is not None
    return values, scale, zero


@converter("QAttention", domain=MICROSOFT)
def _quantized_attention(node: Node, b: Builder) -> Converted:
    """Attention whose projections are products of quantized matrices."""
    projected = quantized_product(
        b,
        (node.input(0), node.input(1)),
        (node.optional_input(6), node.optional_input(7)),
        (node.input(3), node.input(4)),
        node.input(2),
    )
    return self_attention(
        node, b, projected, node.optional_input(5), node.optional_input(8)
    )


@converter("QGemm", domain=MICROSOFT)
def _quantized_gemm(node: Node, b: Builder) -> Converted:
    lhs, rhs = node.input(0), node.input(3)
    if rank_of(lhs) != 2 or rank_of(rhs) != 2:
        raise InvalidNodeError(f"inputs must be matrices: {lhs.type}, {rhs.type}")
    lhs = centred(
        b, swap_last(b, lhs) if node.attr_int("transA", 0) else lhs, node.input(2)
    )
    rhs = swap_last(b, rhs) if node.attr_int("transB", 0) else rhs
    total = b.matmul(lhs, centred(b, rhs, node.input(5)))
    addend = node.optional_input(6)
    if addend is not None:
        total = b.add(total, b.broadcast_to(addend, dims_of(total)))
    scales = [_flat(b, s) for s in (node.input(1), node.input(4))]
    factor = b.mul(b.mul(*scales), node.attr_float("alpha", 1.0))
    result = b.mul(b.cast(total, F32), factor)
    scale, zero = node.optional_input(7), node.optional_input(8)
    if scale is None or zero is None:
        return result
    return quantized(b, result, scale, zero, zero)


@converter("MulInteger", domain=MICROSOFT)
def _mul_integer(node: Node, b: Builder) -> Converted:
    lhs = centred(b, node.input(0), node.optional_input(1))
    return b.mul(lhs, centred(b, node.input(2), node.optional_input(3)))


@converter("ReduceSumInteger", domain=MICROSOFT)
def _reduce_sum_integer(node: Node, b: Builder) -> Converted:
    x = b.cast(node.input(0), I32)
    rank = rank_of(x)
    axes = normalized_axes(node.attr_ints("axes"), rank)
    return b.reduce(x, "sum", axes, bool(node.attr_int("keepdims", 1)))
