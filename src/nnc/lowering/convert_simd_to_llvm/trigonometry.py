"""
Sine, cosine, tangent and their inverses as f32 polynomials; each defined once.

f64 operands, and arguments too large for the reduction, go to the C library.
"""

from __future__ import annotations

from typing import Final

from xdsl.dialects import llvm
from xdsl.dialects.builtin import f64, i1, i32
from xdsl.ir import SSAValue

from nnc.dialects.simd.types import bits_of, is_vector
from nnc.lowering.convert_simd_to_llvm import libm
from nnc.lowering.convert_simd_to_llvm.builder import Builder, like
from nnc.lowering.convert_simd_to_llvm.math import copysign, f32_or_libm, polynomial

# pi / 2 in two f64 parts, the first of 33 bits: n * it is exact for n < 2^20.
_HALF_PI_HIGH: Final = 1.57079632673412561417e00
_HALF_PI_LOW: Final = 6.07710050650619224932e-11
_TWO_OVER_PI: Final = 0.6366197723675814
_ROUND_MAGIC: Final = 6755399441055744.0
_REDUCE_BELOW: Final = 1.0e6

# (sin(r) - r) / r^3 and (cos(r) - 1 + r^2 / 2) / r^4 in r^2 on |r| <= pi / 4
_SIN: Final = (-0.166666672, 0.0083333794, -0.000198530674, 2.83259624e-06)
_COS: Final = (0.0416666456, -0.00138873106, 2.44325529e-05)
# (asin(x) - x) / x^3 in x^2 on |x| <= 1/2
_ASIN: Final = (
    *(0.166666597, 0.0750052184, 0.0445133746, 0.0318391062),
    *(0.0143146515, 0.0376974046),
)
# (atan(x) - x) / x^3 in x^2 on |x| <= 1
_ATAN: Final = (
    *(-0.333332986, 0.199985296, -0.142640159, 0.109508798, -0.0839930028),
    *(0.0578811988, -0.0310966931, 0.0108684711, -0.0017827613),
)
# pi / 2 and pi as sums of two f32
_PI_2_HIGH: Final = 1.57079637050628662109375
_PI_2_LOW: Final = -4.37113900018624283e-8


def _sin_and_cos(b: Builder, a: SSAValue) -> tuple[SSAValue, SSAValue]:
    """Sine and cosine of 0 <= a < 1e6; the argument is reduced in f64."""
    wide = b.cast(llvm.FPExtOp, a, like(a.type, f64))
    magic = b.constant(_ROUND_MAGIC, wide.type)
    shifted = b.fadd(b.fmul(wide, b.constant(_TWO_OVER_PI, wide.type)), magic)
    n = b.fsub(shifted, magic)
    # Not fused on purpose: the first product is exact, so every target agrees.
    r = b.fsub(wide, b.fmul(n, b.constant(_HALF_PI_HIGH, wide.type)))
    r = b.fsub(r, b.fmul(n, b.constant(_HALF_PI_LOW, wide.type)))
    r = b.cast(llvm.FPTruncOp, r, a.type)
    quadrant = b.cast(llvm.TruncOp, b.bits(shifted), like(a.type, i32))

    square = b.fmul(r, r)
    sine = b.fma(b.fmul(r, square), polynomial(b, square, _SIN), r)
    rest = b.fmul(b.fmul(square, square), polynomial(b, square, _COS))
    rest = b.fma(square, b.constant(-0.5, a.type), rest)
    cosine = b.fadd(rest, b.constant(1.0, a.type))

    one, zero = b.constant(1, quadrant.type), b.constant(0, quadrant.type)
    is_odd = b.icmp("ne", b.and_(quadrant, one), zero)
    sin_sign = b.shl(b.lshr(quadrant, 1), 31)
    cos_sign = b.shl(b.lshr(b.add(quadrant, one), 1), 31)
    return (
        _flip(b, b.select(is_odd, cosine, sine), sin_sign),
        _flip(b, b.select(is_odd, sine, cosine), cos_sign),
    )


def _flip(b: Builder, x: SSAValue, sign: SSAValue) -> SSAValue:
    return b.bitcast(b.xor(b.bits(x), sign), x.type)


def _with_fallback(b: Builder, x: SSAValue, fast: SSAValue, name: str) -> SSAValue:
    """`fast`, unless some lane is too large (or NaN): then the C library for all."""
    usable = b.fcmp("olt", b.fabs(x), b.constant(_REDUCE_BELOW, x.type))
    every = usable
    if is_vector(x.type):
        every = b.intrinsic("llvm.vector.reduce.and", (usable,), i1, (usable.type,))
    slow_block, merge = b.new_block(), b.new_block([x.type])
    b.cond_br(every, merge, (fast,), slow_block, ())
    b.enter(slow_block)
    # Lanes within reach keep their value, whatever their neighbours are.
    b.br(merge, (b.select(usable, fast, libm.call(b, name, x)),))
    b.enter(merge)
    return merge.args[0]


@f32_or_libm
def sin(b: Builder, x: SSAValue) -> SSAValue:
    """Odd: the sign of x goes to the result."""
    a = b.fabs(x)
    sine, _ = _sin_and_cos(b, a)
    sign = b.and_(b.bits(x), b.constant(-(2**31), like(x.type, i32)))
    return _with_fallback(b, x, _flip(b, sine, sign), "sin")


@f32_or_libm
def cos(b: Builder, x: SSAValue) -> SSAValue:
    """Even."""
    _, cosine = _sin_and_cos(b, b.fabs(x))
    return _with_fallback(b, x, cosine, "cos")


@f32_or_libm
def tan(b: Builder, x: SSAValue) -> SSAValue:
    """Sine over cosine."""
    sine, cosine = _sin_and_cos(b, b.fabs(x))
    sign = b.and_(b.bits(x), b.constant(-(2**31), like(x.type, i32)))
    return _with_fallback(b, x, _flip(b, b.fdiv(sine, cosine), sign), "tan")


def _asin_core(b: Builder, a: SSAValue) -> tuple[SSAValue, SSAValue]:
    """For 0 <= a <= 1: whether a > 1/2, and asin of a or of sqrt((1 - a) / 2)."""
    half, one = b.constant(0.5, a.type), b.constant(1.0, a.type)
    is_large = b.fcmp("ogt", a, half)
    reduced = b.fmul(b.fsub(one, a), half)
    square = b.select(is_large, reduced, b.fmul(a, a))
    root = b.intrinsic("llvm.sqrt", (reduced,), a.type)
    s = b.select(is_large, root, a)
    return is_large, b.fma(b.fmul(s, square), polynomial(b, square, _ASIN), s)


@f32_or_libm
def asin(b: Builder, x: SSAValue) -> SSAValue:
    """`pi/2 - 2 asin(sqrt((1 - x) / 2))` above 1/2."""
    is_large, p = _asin_core(b, b.fabs(x))
    high, low = b.constant(_PI_2_HIGH, x.type), b.constant(_PI_2_LOW, x.type)
    large = b.fadd(b.fsub(high, b.fadd(p, p)), low)
    return copysign(b, b.select(is_large, large, p), x)


@f32_or_libm
def acos(b: Builder, x: SSAValue) -> SSAValue:
    """`2 asin(sqrt((1 - |x|) / 2))` above 1/2, mirrored for negative x."""
    is_large, p = _asin_core(b, b.fabs(x))
    high, low = b.constant(_PI_2_HIGH, x.type), b.constant(_PI_2_LOW, x.type)
    signed = copysign(b, p, x)
    small = b.fsub(high, b.fsub(signed, low))
    twice = b.fadd(p, p)
    pi_high, pi_low = b.fadd(high, high), b.fadd(low, low)
    mirrored = b.fsub(pi_high, b.fsub(twice, pi_low))
    negative = b.fcmp("olt", x, b.constant(0.0, x.type))
    return b.select(is_large, b.select(negative, mirrored, twice), small)


@f32_or_libm
def atan(b: Builder, x: SSAValue) -> SSAValue:
    """`pi/2 - atan(1 / x)` above 1."""
    a = b.fabs(x)
    one = b.constant(1.0, x.type)
    is_large = b.fcmp("ogt", a, one)
    t = b.select(is_large, b.fdiv(one, a), a)
    square = b.fmul(t, t)
    p = b.fma(b.fmul(t, square), polynomial(b, square, _ATAN), t)
    high, low = b.constant(_PI_2_HIGH, x.type), b.constant(_PI_2_LOW, x.type)
    large = b.fsub(high, b.fsub(p, low))
    return copysign(b, b.select(is_large, large, p), x)


def atan2(b: Builder, y: SSAValue, x: SSAValue) -> SSAValue:
    """The angle of (x, y): atan of smaller over larger, turned to its octant."""
    if bits_of(x.type) == 64:
        return libm.call(b, "atan2", y, x)
    along, across = b.fabs(x), b.fabs(y)
    is_steep = b.fcmp("ogt", across, along)
    smaller = b.select(is_steep, along, across)
    larger = b.select(is_steep, across, along)
    t = b.fdiv(smaller, larger)
    # Equal ones, also two zeros or infinities, have no quotient to take.
    zero, one = b.constant(0.0, x.type), b.constant(1.0, x.type)
    diagonal = b.select(b.fcmp("oeq", larger, zero), zero, one)
    t = b.select(b.fcmp("oeq", smaller, larger), diagonal, t)
    square = b.fmul(t, t)
    p = b.fma(b.fmul(t, square), polynomial(b, square, _ATAN), t)
    high, low = b.constant(_PI_2_HIGH, x.type), b.constant(_PI_2_LOW, x.type)
    p = b.select(is_steep, b.fsub(high, b.fsub(p, low)), p)
    bits = b.bits(x)
    is_left = b.icmp("slt", bits, b.constant(0, bits.type))
    mirrored = b.fsub(b.fadd(high, high), b.fsub(p, b.fadd(low, low)))
    p = b.select(is_left, mirrored, p)
    is_nan = b.fcmp("uno", x, y)
    return b.select(is_nan, b.fadd(x, y), copysign(b, p, y))
