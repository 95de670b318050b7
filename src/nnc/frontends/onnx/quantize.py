"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear, as plain arithmetic."""

from __future__ import annotations

from typing import cast

from xdsl.dialects.builtin import IntegerType
from xdsl.ir import Attribute, SSAValue

from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.dtypes import element_type_for
from nnc.dialects.nn.types import (
    F4E2M1FN,
    F6E2M3FN,
    F6E3M2FN,
    F8E4M3FN,
    F8E4M3FNUZ,
    F8E5M2,
    F8E5M2FNUZ,
    F32,
    F64,
    I2,
    I4,
    I8,
    I16,
    I32,
    SMALL_FLOATS,
    U2,
    U4,
    U8,
    U16,
    bit_width,
    dims_of,
    element_type_of,
    is_float,
    rank_of,
)
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.node import Node, normalized_axis
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.onnx.tensors import dtype_of
from nnc.symbolic import ceildiv

_INTEGERS = (I2, I4, I8, I16, U2, U4, U8, U16)
_FLOATS = (F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F4E2M1FN, F6E2M3FN, F6E3M2FN)


def integer_range(element_type: Attribute) -> tuple[float, float]:
    """The least and the largest number of an integer type."""
    bits = cast("IntegerType", element_type).width.data
    if element_type in (U2, U4, U8, U16):
        return 0.0, 2.0**bits - 1
    return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1


def quantized(
    b: Builder,
    value: SSAValue,
    zero: SSAValue | None,
    target: Attribute,
    *,
    saturate: bool = True,
) -> SSAValue:
    """
    Numbers that are scaled already, as elements of `target`; `zero` broadcasts.

    Integers are rounded before the zero point is added, floats afterwards.

    Raises:
        UnsupportedError: nothing is quantized to `target`.
    """
    if target not in _INTEGERS and target not in _FLOATS:
        raise UnsupportedError(f"quantization to {target}")
    if target in _INTEGERS:
        value = b.unary(ew.RoundOp, value)
    # Zero points of 16 bits are exact in f32, sums with them are where it matters.
    value = b.cast(value, _at_least_f32(element_type_of(value)))
    if zero is not None and not _is_zero(b, zero):
        value = b.add(value, b.cast(zero, element_type_of(value)))
    if target in _INTEGERS:
        value = b.emit(ew.ClampOp(value, *integer_range(target)))
    return b.cast(value, target, saturate=saturate)


def _at_least_f32(element_type: Attribute) -> Attribute:
    """The type to compute numbers of `element_type` in."""
    wide = is_float(element_type) and bit_width(element_type) > 32
    return F64 if wide else F32


def _is_zero(b: Builder, zero: SSAValue) -> bool:
    """Whether a zero point is known to be 0; adding it would turn -0 into 0."""
    array = b.constant_value(zero)
    return array is not None and not array.astype("f8").any()


def _aligned(node: Node, b: Builder, x: SSAValue, parameter: SSAValue) -> SSAValue:
    """A scale or zero point, ready to broadcast with `x`."""
    if rank_of(parameter) == 0 or dims_of(parameter) == (1,):
        return b.reshape(parameter, ())
    axis = normalized_axis(node.attr_int("axis", 1), rank_of(x))
    if (size := node.attr_int("block_size", 0)) != 0:
        return _unblocked(b, x, parameter, axis, size)
    if rank_of(parameter) != 1:
        raise InvalidNodeError(f"a scale of type {parameter.type} without block_size")
    return b.reshape(parameter, [*dims_of(parameter), *[1] * (rank_of(x) - axis - 1)])


def _unblocked(
    b: Builder, x: SSAValue, parameter: SSAValue, axis: int, size: int
) -> SSAValue:
    """A parameter for each element, of one for each block of `size` along `axis`."""
    if size < 0:
        raise InvalidNodeError(f"block_size {size} is negative")
    dims = list(dims_of(x))
    blocks = ceildiv(dims[axis], size)
    before, after = dims[:axis], dims[axis + 1 :]
    parameter = b.dim_cast(parameter, [*before, blocks, *after])
    apart = b.reshape(parameter, [*before, blocks, 1, *after])
    repeated = b.broadcast_to(apart, [*before, blocks, size, *after])
    joined = b.reshape(repeated, [*before, blocks * size, *after])
    if dims_of(joined)[axis] == dims[axis]:
        return joined
    return b.slice(joined, [0], [dims[axis]], [axis], [1])


# ---------------------------------------------------------------- converters


@converter("DequantizeLinear", since=10)
def _dequantize_linear(node: Node, b: Builder) -> Converted:
    x, scale, zero = node.input(0), node.input(1), node.optional_input(2)
    result = _named_type(node) or element_type_of(scale)
    # Half precision is computed in f32 and rounded once.
    wide = _at_least_f32(result)
    centred = F32 if element_type_of(x) in SMALL_FLOATS else I32
    value = b.cast(x, centred)
    if zero is not None:
        value = b.sub(value, b.cast(_aligned(node, b, x, zero), centred))
    factor = b.cast(_aligned(node, b, x, scale), wide)
    return b.cast(b.mul(b.cast(value, wide), factor), result)


@converter("QuantizeLinear", since=10)
def _quantize_linear(node: Node, b: Builder) -> Converted:
    x, scale, zero = node.input(0), node.input(1), node.optional_input(2)
    target = _target_type(node, zero)
    precision = _precision(node, x, scale)
    divisor = b.cast(_aligned(node, b, x, scale), precision)
    value = b.div(b.cast(x, precision), divisor)
    if zero is not None:
        zero = _aligned(node, b, x, zero)
    saturate = bool(node.attr_int("saturate", 1))
    return quantized(b, value, zero, target, saturate=saturate)


def _named_type(node: Node, attribute: str = "output_dtype") -> Attribute | None:
    number = node.attr_int(attribute, 0)
    return element_type_for(dtype_of(number, attribute)) if number else None


def _target_type(node: Node, zero: SSAValue | None) -> Attribute:
    named = _named_type(node)
    if zero is None:
        return named or U8
    if named is not None and named != element_type_of(zero):
        raise InvalidNodeError(
            f"output_dtype is {named}, but the zero point has type {zero.type}"
        )
    return element_type_of(zero)


def _precision(node: Node, x: SSAValue, scale: SSAValue) -> Attribute:
    """The type to divide in: as said, or that of the scale, or one that holds both."""
    named = _named_type(node, "precision")
    if named is not None:
        if not is_float(named):
            raise InvalidNodeError(f"precision is {named}, which is no float to divide")
        return named
    if is_float(element_type_of(scale)):
        return element_type_of(scale)
    # A scale that is a power of two is exact in any float, an integer in f64.
    if element_type_of(scale) not in SMALL_FLOATS:
        return F64
    return element_type_of(x) if is_float(element_type_of(x)) else F32


@converter("DynamicQuantizeLinear", since=11)
def _dynamic_quantize_linear(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axes = list(range(rank_of(x)))
    low = b.binary(ew.MinimumOp, b.reshape(b.reduce(x, "min", axes), ()), 0.0)
    high = b.binary(ew.MaximumOp, b.reshape(b.reduce(x, "max", axes), ()), 0.0)
    # All zeros are quantized with any scale but 0.
    extent = b.select(b.compare(high, low, "eq"), 1.0, b.sub(high, low))
    scale = b.div(extent, 255.0)
    zero = quantized(b, b.div(b.unary(ew.NegOp, low), scale), None, U8)
    return [quantized(b, b.div(x, scale), zero, U8), scale, zero]
