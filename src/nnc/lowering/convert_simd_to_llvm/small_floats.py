"""
Floats of 8 bits or less: their codes, a byte each, from and to f32.

All is integer arithmetic and one multiplication or addition of floats, on any target;
both directions are exact, or rounded once. What a format is follows from its type's
`FloatSemantics`.
"""

from __future__ import annotations

from xdsl.dialects import llvm
from xdsl.dialects.builtin import (
    FloatNanEncoding,
    FloatNonfiniteBehavior,
    ReducedPrecisionFloatType,
    f32,
    i32,
)
from xdsl.ir import Attribute, SSAValue

from nnc.lowering.convert_simd_to_llvm.builder import Builder, like

_MANTISSA, _BIAS = 23, 127
_INFINITY, _MAGNITUDE = 0x7F800000, 0x7FFFFFFF
"""Fields and bit patterns of f32."""


class _Format:
    """The codes of one type."""

    def __init__(self, type: ReducedPrecisionFloatType) -> None:
        semantics = type.SEMANTICS
        self.sign = 1 << (type.bitwidth - 1)
        self.magnitude = self.sign - 1
        self.bias = semantics.exponent_bias
        self.shift = _MANTISSA - semantics.mantissa_bits
        """How much further left the mantissa is in f32."""
        ones = ((1 << semantics.exponent_bits) - 1) << semantics.mantissa_bits
        self.is_ieee = semantics.nonfinite is FloatNonfiniteBehavior.IEEE
        self.is_finite = semantics.nonfinite is FloatNonfiniteBehavior.FINITE_ONLY
        self.nan_is_minus_zero = (
            not self.is_finite
            and semantics.nan_encoding is FloatNanEncoding.NEGATIVE_ZERO
        )
        if self.is_ieee:
            self.largest, self.overflow = ones - 1, ones
            self.nan = ones | 1 << (semantics.mantissa_bits - 1)
        elif self.is_finite:
            # Without NaN, its place is taken by -0.
            self.largest = self.overflow = self.magnitude
            self.nan = self.sign
        elif self.nan_is_minus_zero:
            self.largest = self.magnitude
            self.overflow = self.nan = self.sign
        else:
            self.largest = self.magnitude - 1
            self.overflow = self.nan = self.magnitude


def to_f32(b: Builder, code: SSAValue, type: ReducedPrecisionFloatType) -> SSAValue:
    """The numbers of codes; what is above the bits of a format is not looked at."""
    wide = like(code.type, i32)
    bits = b.cast(llvm.ZExtOp, code, wide)
    if not type.SEMANTICS.has_sign:
        return _power_to_f32(b, bits)
    format, single = _Format(type), like(wide, f32)

    def c(number: int) -> SSAValue:
        return b.constant(number, wide)

    # With the fields where f32 has them, a multiplication corrects the bias of the
    # exponent and normalises denormals.
    magnitude = b.and_(bits, c(format.magnitude))
    fields = b.shl(magnitude, format.shift)
    scale = b.constant(2.0 ** (_BIAS - format.bias), single)
    result = b.bits(b.fmul(b.bitcast(fields, single), scale))
    if format.is_ieee:
        is_special = b.icmp("ugt", magnitude, c(format.largest))
        result = b.select(is_special, b.or_(fields, c(_INFINITY)), result)
    elif not format.is_finite and not format.nan_is_minus_zero:
        is_nan = b.icmp("eq", magnitude, c(format.nan))
        result = b.select(is_nan, c(0x7FC00000), result)
    sign = b.shl(b.and_(bits, c(format.sign)), 32 - format.sign.bit_length())
    result = b.or_(result, sign)
    if format.nan_is_minus_zero:
        result = b.select(b.icmp("eq", bits, c(format.nan)), c(0x7FC00000), result)
    return b.bitcast(result, single)


def from_f32(
    b: Builder,
    value: SSAValue,
    type: ReducedPrecisionFloatType,
    result: Attribute,
    *,
    saturates: bool,
    rounding: str,
) -> SSAValue:
    """
    The codes of numbers, in integers of the llvm type `result`.

    Rounded to nearest even; to powers of two as `rounding` says. What is out of range,
    infinities too, becomes the largest number, or what the format has for it.
    """
    if type.SEMANTICS.has_sign:
        code = _encoded(b, value, _Format(type), saturates=saturates)
    else:
        code = _power_from_f32(b, value, saturates=saturates, rounding=rounding)
    return b.cast(llvm.TruncOp, code, result)


def _encoded(
    b: Builder, value: SSAValue, format: _Format, *, saturates: bool
) -> SSAValue:
    bits = b.bits(value)
    ints, shift = bits.type, format.shift

    def c(number: int) -> SSAValue:
        return b.constant(number, ints)

    magnitude = b.and_(bits, c(_MAGNITUDE))
    # Normal results: rebias the exponent and round to nearest even in one addition.
    odd = b.and_(b.lshr(magnitude, shift), c(1))
    rebias = (_BIAS - format.bias) << _MANTISSA
    half = (1 << (shift - 1)) - 1
    normal = b.lshr(b.add(b.sub(magnitude, c(rebias - half)), odd), shift)
    # Denormal results: the adder aligns and rounds the mantissa to the last place of a
    # float that is so large that its own last place is that of the format.
    anchor = _BIAS + 1 - format.bias + shift
    first = b.constant(2.0 ** (anchor - _BIAS), value.type)
    aligned = b.fadd(b.bitcast(magnitude, value.type), first)
    denormal = b.sub(b.bits(aligned), c(anchor << _MANTISSA))
    least_normal = (_BIAS + 1 - format.bias) << _MANTISSA
    code = b.select(b.icmp("ult", magnitude, c(least_normal)), denormal, normal)
    beyond = format.largest if saturates else format.overflow
    is_beyond = b.icmp("sgt", code, c(format.largest))
    code = b.select(is_beyond, c(beyond), code)
    if not format.nan_is_minus_zero and not format.is_finite:
        is_nan = b.icmp("ugt", magnitude, c(_INFINITY))
        code = b.select(is_nan, c(format.nan), code)
    sign = b.lshr(bits, 32 - format.sign.bit_length())
    signed = b.or_(code, b.and_(sign, c(format.sign)))
    if format.nan_is_minus_zero:
        # There is one zero; a sign would make it NaN.
        signed = b.select(b.icmp("eq", code, c(0)), code, signed)
    if format.nan_is_minus_zero or format.is_finite:
        is_nan = b.icmp("ugt", magnitude, c(_INFINITY))
        signed = b.select(is_nan, c(format.nan), signed)
    return signed


# ---------------------------------------------------------------- powers of two

_LEAST, _NAN = 0x00400000, 255
"""The f32 that is 2^-127, a denormal; the code of NaN."""


def _power_to_f32(b: Builder, code: SSAValue) -> SSAValue:
    """A code is the exponent of f32; 2^-127 is one of its denormals."""

    def c(number: int) -> SSAValue:
        return b.constant(number, code.type)

    bits = b.select(b.icmp("eq", code, c(0)), c(_LEAST), b.shl(code, _MANTISSA))
    bits = b.select(b.icmp("eq", code, c(_NAN)), c(0x7FC00000), bits)
    return b.bitcast(bits, like(code.type, f32))


def _power_from_f32(
    b: Builder, value: SSAValue, *, saturates: bool, rounding: str
) -> SSAValue:
    bits = b.bits(value)

    def c(number: int) -> SSAValue:
        return b.constant(number, bits.type)

    magnitude = b.and_(bits, c(_MAGNITUDE))
    # Adding carries into the exponent from the least mantissa that rounds up. That of
    # a denormal has its leading one in the last place but one, and is looked at apart.
    carry, denormal_limit = {
        "up": (0x7FFFFF, _LEAST + 1),
        "nearest": (0x400000, _LEAST + _LEAST // 2),
        "down": (0, 0x800000),
    }[rounding]
    code = b.lshr(b.add(magnitude, c(carry)), _MANTISSA)
    is_denormal = b.icmp("ult", magnitude, c(0x800000))
    rounds_up = b.icmp("uge", magnitude, c(denormal_limit))
    code = b.select(is_denormal, b.select(rounds_up, c(1), c(0)), code)
    beyond = c(_NAN - 1 if saturates else _NAN)
    code = b.select(b.icmp("uge", code, c(_NAN)), beyond, code)
    if not saturates:
        code = b.select(b.icmp("ult", magnitude, c(_LEAST)), c(_NAN), code)
    return b.select(b.icmp("ugt", magnitude, c(_INFINITY)), c(_NAN), code)
