"""
Powers and the inverse hyperbolic functions, from logarithm and exponential in f32.

f64 operands go to the C library.
"""

from __future__ import annotations

from typing import Final

from xdsl.dialects import llvm
from xdsl.dialects.builtin import f64
from xdsl.ir import SSAValue

from nnc.dialects.simd.types import bits_of
from nnc.lowering.convert_simd_to_llvm import libm
from nnc.lowering.convert_simd_to_llvm.builder import Builder, like
from nnc.lowering.convert_simd_to_llvm.casts import clamp
from nnc.lowering.convert_simd_to_llvm.math import (
    LN2,
    copysign,
    exp2_of_f64,
    f32_or_libm,
    log1p,
    mantissa_and_exponent,
    polynomial,
)

# log2(1 + f) / f on sqrt(1/2) <= 1 + f <= sqrt(2), to 2^-35
_LOG2: Final = (
    *(1.44269504087, -0.721347520869, 0.480898361396, -0.36067367483),
    *(0.288537293459, -0.240453165456, 0.206175359662, -0.180300604326),
    *(0.158769802194, -0.143156431841, 0.144748417322, -0.142839424581),
    0.0773705264761,
)
# From here on a + 1 and sqrt(a^2 + 1) do not differ from a.
_LARGE: Final = 2.0**28


def _log2(b: Builder, x: SSAValue) -> SSAValue:
    """log2 of f32 numbers >= 0 in f64: what is lost is far below an ulp of f32."""
    mantissa, exponent = mantissa_and_exponent(b, x)
    wide = like(x.type, f64)
    f = b.cast(llvm.FPExtOp, b.fsub(mantissa, b.constant(1.0, x.type)), wide)
    e = b.cast(llvm.FPExtOp, exponent, wide)
    result = b.fma(polynomial(b, f, _LOG2), f, e)
    infinity = b.constant(float("inf"), x.type)
    minus_infinity = b.constant(float("-inf"), wide)
    is_zero = b.fcmp("oeq", x, b.constant(0.0, x.type))
    result = b.select(is_zero, minus_infinity, result)
    # Infinity and NaN are their own logarithms.
    is_ordinary = b.fcmp("olt", x, infinity)
    return b.select(is_ordinary, result, b.cast(llvm.FPExtOp, x, wide))


def power(b: Builder, x: SSAValue, y: SSAValue) -> SSAValue:
    """
    `x ** y` as `2 ** (y * log2|x|)`, the product in f64; at most 1 ulp off.

    The special cases are those of C: `x ** 0` and `1 ** y` are 1 even for NaN, a
    negative x has integer powers only.
    """
    if bits_of(x.type) == 64:
        return libm.call(b, "pow", x, y)
    zero, one = b.constant(0.0, x.type), b.constant(1.0, x.type)
    wide = like(x.type, f64)
    magnitude = b.fabs(x)
    product = b.fmul(_log2(b, magnitude), b.cast(llvm.FPExtOp, y, wide))
    result = exp2_of_f64(b, clamp(b, product, -152.0, 129.0), x.type)

    is_integer, sign = _parity(b, y)
    negated = b.bitcast(
        b.or_(b.bits(result), b.and_(sign, b.bits(x))),
        x.type,
    )
    finite = b.fcmp("ogt", x, b.constant(float("-inf"), x.type))
    is_negative = b.and_(b.fcmp("olt", x, zero), finite)
    is_undefined = b.and_(is_negative, b.not_(is_integer))
    result = b.select(is_undefined, b.constant(float("nan"), x.type), negated)
    is_infinite = b.fcmp("oeq", b.fabs(y), b.constant(float("inf"), x.type))
    is_one = b.or_(
        b.fcmp("oeq", x, one),
        b.and_(b.fcmp("oeq", magnitude, one), is_infinite),
    )
    return b.select(b.or_(is_one, b.fcmp("oeq", y, zero)), one, result)


def _parity(b: Builder, y: SSAValue) -> tuple[SSAValue, SSAValue]:
    """Whether y is an integer, and the sign bit alone if that is odd, else 0."""
    a = b.fabs(y)
    limit = b.constant(2.0**23, y.type)
    has_fraction = b.fcmp("olt", a, limit)
    # Adding 2^23 rounds to an integer, whose last bit ends up last.
    biased = b.fadd(a, limit)
    is_rounded = b.fcmp("oeq", b.fsub(biased, limit), a)
    above = b.fcmp("oge", a, limit)
    is_integer = b.or_(above, is_rounded)
    last = b.bits(b.select(has_fraction, biased, a))
    sign = b.shl(last, 31)
    may_be_odd = b.and_(is_integer, b.fcmp("olt", a, b.constant(2.0**24, y.type)))
    return is_integer, b.select(may_be_odd, sign, b.constant(0, sign.type))


def _sqrt(b: Builder, x: SSAValue) -> SSAValue:
    return b.intrinsic("llvm.sqrt", (x,), x.type)


def _log1p_or_log_twice(b: Builder, a: SSAValue, moderate: SSAValue) -> SSAValue:
    """`log1p(moderate)`, but `log(2 a)` where a is large."""
    is_large = b.fcmp("ogt", a, b.constant(_LARGE, a.type))
    result = log1p(b, b.select(is_large, a, moderate))
    return b.select(is_large, b.fadd(result, b.constant(LN2, a.type)), result)


@f32_or_libm
def asinh(b: Builder, x: SSAValue) -> SSAValue:
    """`log1p(a + a^2 / (1 + sqrt(a^2 + 1)))` with a = |x|."""
    a = b.fabs(x)
    one = b.constant(1.0, x.type)
    square = b.fmul(a, a)
    root = _sqrt(b, b.fadd(square, one))
    moderate = b.fadd(a, b.fdiv(square, b.fadd(root, one)))
    return copysign(b, _log1p_or_log_twice(b, a, moderate), x)


@f32_or_libm
def acosh(b: Builder, x: SSAValue) -> SSAValue:
    """`log1p(t + sqrt(2 t + t^2))` with t = x - 1."""
    one = b.constant(1.0, x.type)
    t = b.fsub(x, one)
    root = _sqrt(b, b.fma(t, t, b.fadd(t, t)))
    result = _log1p_or_log_twice(b, x, b.fadd(t, root))
    outside = b.fcmp("olt", x, one)
    return b.select(outside, b.constant(float("nan"), x.type), result)


@f32_or_libm
def atanh(b: Builder, x: SSAValue) -> SSAValue:
    """`log1p(2 a / (1 - a)) / 2` with a = |x|."""
    a = b.fabs(x)
    quotient = b.fdiv(b.fadd(a, a), b.fsub(b.constant(1.0, x.type), a))
    half = b.fmul(log1p(b, quotient), b.constant(0.5, x.type))
    return copysign(b, half, x)
