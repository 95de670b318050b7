"""
Exponentials, logarithms and their relatives as f32 polynomials; each defined once.

All of them hold for NaN, infinities, denormals and both zeros, and give the same bits
in a lane of any vector as in a scalar. Coefficients are minimax fits with f32 rounding
taken into account (relative error against the function well below 0.1 ulp); what
remains is rounding in the last operations. f64 operands go to the C library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Final

from xdsl.dialects import llvm
from xdsl.dialects.builtin import IntegerType, f32, i32
from xdsl.ir import Attribute, SSAValue

from nnc.dialects.simd.types import bits_of, width_of
from nnc.lowering.convert_simd_to_llvm import libm
from nnc.lowering.convert_simd_to_llvm.builder import Builder, like
from nnc.lowering.convert_simd_to_llvm.casts import clamp

MathFn = Callable[[Builder, SSAValue], SSAValue]

LOG2_E: Final = 1.4426950408889634
LN2: Final = 0.6931471805599453
# ln 2 in two parts, the first of 10 bits: times a small integer it is exact.
LN2_HIGH: Final = 0.693359375
LN2_LOW: Final = -2.12194440e-4
# Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
ROUND_MAGIC: Final = 12582912.0
ROUND_MAGIC_BITS: Final = 0x4B400000

# (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2
_EXP: Final = (0.49999994, 0.166665211, 0.0416682661, 0.00836867746, 0.00138207339)
# the same, to 1e-7 of exp(r)
_COARSE_EXP: Final = (0.499992311, 0.166671142, 0.0418901481, 0.0083125215)
# -exp(-r) on |r| <= ln(2) / 2, to 1e-7
_MINUS_EXP_OF_MINUS: Final = (
    *(-1.0, 1.0, -0.499991477, 0.166664571, -0.0418983139, 0.00837464631),
)
# (log(1 + f) - f + f^2 / 2) / f^3 on sqrt(1/2) <= 1 + f <= sqrt(2)
_LOG: Final = (
    *(0.333333135, -0.250000089, 0.200020716, -0.166679889, 0.142203599),
    *(-0.124062397, 0.118835375, -0.116700247, 0.0674918965),
)
# erf(x) / x - 1 in x^2 on |x| <= 0.75
_ERF_SMALL: Final = (
    *(0.128379166, -0.3761262, 0.112833768),
    *(-0.0268346239, 0.00511434581, -0.000674951356),
)
# -log(erfc(x)) / x - 1 on 0.75 <= x <= 3.95
_ERF_LARGE: Final = (
    *(0.128534898, 0.635647595, 0.105356552),
    *(-0.022951616, 0.00323444861, -0.000216379369),
)


def f32_or_libm(fn: MathFn) -> MathFn:
    """`fn` for f32; the C library's function of the same name for f64."""

    @wraps(fn)
    def choose(b: Builder, x: SSAValue) -> SSAValue:
        if bits_of(x.type) == 64:
            return libm.call(b, fn.__name__, x)
        return fn(b, x)

    return choose


def polynomial(
    b: Builder, x: SSAValue, coefficients: Sequence[float | SSAValue]
) -> SSAValue:
    """
    `c[0] + c[1] * x + ...` by Estrin's scheme.

    What an elementwise loop waits for is latency: as many multiply-adds as Horner's
    rule has, and a power or two, but a chain of half the length.
    """
    terms = [
        b.constant(c, x.type) if isinstance(c, float | int) else c for c in coefficients
    ]
    power = x
    while len(terms) > 3:
        pairs = [
            b.fma(v, power, u) for u, v in zip(terms[:-1:2], terms[1::2], strict=True)
        ]
        terms = pairs + terms[len(pairs) * 2 :]
        power = b.fmul(power, power)
    result = terms[-1]
    for term in reversed(terms[:-1]):
        result = b.fma(result, power, term)
    return result


def _at_least(b: Builder, x: SSAValue, limit: float) -> SSAValue:
    bound = b.constant(limit, x.type)
    return b.select(b.fcmp("olt", x, bound), bound, x)


def _at_most(b: Builder, x: SSAValue, limit: float) -> SSAValue:
    bound = b.constant(limit, x.type)
    return b.select(b.fcmp("ogt", x, bound), bound, x)


def copysign(b: Builder, magnitude: SSAValue, sign: SSAValue) -> SSAValue:
    """The magnitude with another sign."""
    return b.intrinsic("llvm.copysign", (magnitude, sign), magnitude.type)


def _power_of_two(b: Builder, exponent: SSAValue) -> SSAValue:
    """`2**n` of integers -126..127."""
    biased = b.add(exponent, b.constant(127, exponent.type))
    return b.bitcast(b.shl(biased, 23), like(exponent.type, f32))


def _reduce_by_ln2(b: Builder, x: SSAValue) -> tuple[SSAValue, SSAValue, SSAValue]:
    """`x = n * ln 2 + r`: r, n, and n + ROUND_MAGIC."""
    magic = b.constant(ROUND_MAGIC, x.type)
    shifted = b.fma(x, b.constant(LOG2_E, x.type), magic)
    n = b.fsub(shifted, magic)
    r = b.fma(n, b.constant(-LN2_HIGH, x.type), x)
    r = b.fma(n, b.constant(-LN2_LOW, x.type), r)
    return r, n, shifted


def _exponent(b: Builder, shifted: SSAValue) -> SSAValue:
    """The integer n of the float n + ROUND_MAGIC."""
    bits = b.bits(shifted)
    return b.sub(bits, b.constant(ROUND_MAGIC_BITS, bits.type))


def _expm1_reduced(b: Builder, r: SSAValue) -> SSAValue:
    """`e**r - 1` on |r| <= ln(2) / 2."""
    return b.fma(polynomial(b, r, _EXP), b.fmul(r, r), r)


def _exp_reduced(b: Builder, r: SSAValue) -> SSAValue:
    return b.fadd(_expm1_reduced(b, r), b.constant(1.0, r.type))


_SCALEF = {16: ("512", 16), 8: ("256", 8), 4: ("128", 8)}


def _scale(b: Builder, p: SSAValue, n: SSAValue, shifted: SSAValue) -> SSAValue:
    """`p * 2**n`, rounded once, for n that may under- or overflow."""
    width = width_of(p.type)
    if b.target.has_masks and width in _SCALEF:
        suffix, bits = _SCALEF[width]
        every = b.constant(-1, IntegerType(bits))
        args = [p, n, b.constant(0.0, p.type), every]
        if width == 16:
            args.append(b.constant(4, i32))
        return b.intrinsic(f"llvm.x86.avx512.mask.scalef.ps.{suffix}", args, p.type, ())
    # Two factors: the first product is exact, so only the second one rounds.
    exponent = _exponent(b, shifted)
    half = b.ashr(exponent, 1)
    scaled = b.fmul(p, _power_of_two(b, half))
    return b.fmul(scaled, _power_of_two(b, b.sub(exponent, half)))


@f32_or_libm
def exp(b: Builder, x: SSAValue) -> SSAValue:
    """Reduce to |r| <= ln(2) / 2, polynomial, scale by a power of two."""
    x = clamp(b, x, -104.0, 89.0)
    r, n, shifted = _reduce_by_ln2(b, x)
    return _scale(b, _exp_reduced(b, r), n, shifted)


@f32_or_libm
def exp2(b: Builder, x: SSAValue) -> SSAValue:
    """The fraction times ln 2 is the reduced argument of exp."""
    x = clamp(b, x, -151.0, 128.0)
    magic = b.constant(ROUND_MAGIC, x.type)
    shifted = b.fadd(x, magic)
    n = b.fsub(shifted, magic)
    r = b.fmul(b.fsub(x, n), b.constant(LN2, x.type))
    return _scale(b, _exp_reduced(b, r), n, shifted)


def _normal_power(b: Builder, shifted: SSAValue) -> SSAValue:
    """`2**n` of n + ROUND_MAGIC, for n from -126 to 127."""
    # The shift drops all of the magic number and leaves n where exponents are.
    bits = b.bits(shifted)
    one = b.constant(0x3F800000, bits.type)
    return b.bitcast(b.add(b.shl(bits, 23), one), shifted.type)


def exp2_of_f64(b: Builder, x: SSAValue, type: Attribute) -> SSAValue:
    """exp2 of f64 numbers -152..129 as f32."""
    magic = b.constant(ROUND_MAGIC, type)
    shifted = b.fadd(b.cast(llvm.FPTruncOp, x, type), magic)
    n = b.fsub(shifted, magic)
    fraction = b.fsub(x, b.cast(llvm.FPExtOp, n, x.type))
    scaled = b.fmul(fraction, b.constant(LN2, x.type))
    r = b.cast(llvm.FPTruncOp, scaled, type)
    return _scale(b, _exp_reduced(b, r), n, shifted)


@f32_or_libm
def expm1(b: Builder, x: SSAValue) -> SSAValue:
    """`2^n * (e^r - 1) + (2^n - 1)`, halved so that 2^128 cannot appear."""
    bounded = clamp(b, x, -30.0, 89.0)
    r, _, shifted = _reduce_by_ln2(b, bounded)
    exponent = _exponent(b, shifted)
    half_power = _power_of_two(b, b.sub(exponent, b.constant(1, exponent.type)))
    rest = b.fsub(half_power, b.constant(0.5, x.type))
    half = b.fma(half_power, _expm1_reduced(b, r), rest)
    result = b.fadd(half, half)
    tiny = b.fcmp("olt", b.fabs(x), b.constant(2.0**-30, x.type))
    return b.select(tiny, x, result)


def mantissa_and_exponent(b: Builder, x: SSAValue) -> tuple[SSAValue, SSAValue]:
    """m in sqrt(1/2)..sqrt(2) and e with `x = m * 2**e`, of finite x > 0."""
    is_denormal = b.fcmp("olt", x, b.constant(2.0**-126, x.type))
    normal = b.select(is_denormal, b.fmul(x, b.constant(2.0**23, x.type)), x)
    zero = b.constant(0.0, x.type)
    lift = b.select(is_denormal, b.constant(-23.0, x.type), zero)
    bits = b.bits(normal)
    e = b.ashr(b.sub(bits, b.constant(0x3F3504F3, bits.type)), 23)
    mantissa = b.bitcast(b.sub(bits, b.shl(e, 23)), x.type)
    return mantissa, b.fadd(b.cast(llvm.SIToFPOp, e, x.type), lift)


@f32_or_libm
def log(b: Builder, x: SSAValue) -> SSAValue:
    """`x = 2^e * (1 + f)`; e * ln 2 + f is summed without losing its tail."""
    zero, infinity = b.constant(0.0, x.type), b.constant(float("inf"), x.type)
    mantissa, exponent = mantissa_and_exponent(b, x)
    f = b.fsub(mantissa, b.constant(1.0, x.type))
    square = b.fmul(f, f)
    tail = b.fmul(b.fmul(square, f), polynomial(b, f, _LOG))
    tail = b.fma(exponent, b.constant(LN2_LOW, x.type), tail)
    tail = b.fma(square, b.constant(-0.5, x.type), tail)
    high = b.fmul(exponent, b.constant(LN2_HIGH, x.type))
    total = b.fadd(high, f)
    lost = b.fadd(b.fsub(high, total), f)
    result = b.fadd(total, b.fadd(lost, tail))
    # Infinity and NaN stay; zero gives -infinity, negative numbers NaN.
    nan = b.constant(float("nan"), x.type)
    special = b.select(b.fcmp("olt", x, zero), nan, x)
    minus_infinity = b.constant(float("-inf"), x.type)
    special = b.select(b.fcmp("oeq", x, zero), minus_infinity, special)
    ordinary = b.and_(b.fcmp("ogt", x, zero), b.fcmp("olt", x, infinity))
    return b.select(ordinary, result, special)


@f32_or_libm
def log1p(b: Builder, x: SSAValue) -> SSAValue:
    """`log(u) + (x - (u - 1)) / u` with u = 1 + x rounded."""
    one = b.constant(1.0, x.type)
    u = b.fadd(x, one)
    lost = b.fsub(x, b.fsub(u, one))
    log_u = log(b, u)
    result = b.fadd(log_u, b.fdiv(lost, u))
    inside = b.fcmp("ogt", x, b.constant(-1.0, x.type))
    below = b.fcmp("olt", x, b.constant(float("inf"), x.type))
    result = b.select(b.and_(inside, below), result, log_u)
    tiny = b.fcmp("olt", b.fabs(x), b.constant(2.0**-30, x.type))
    return b.select(tiny, x, result)


@f32_or_libm
def tanh(b: Builder, x: SSAValue) -> SSAValue:
    """
    `m / (m + 2)` with m = expm1(2|x|), which is accurate for small x too.

    The argument is reduced by ln(2) / 2 and the polynomial of exp is one in twice of
    what is left, so that nothing has to be doubled.
    """
    a = _at_most(b, b.fabs(x), 10.0)
    magic = b.constant(ROUND_MAGIC, x.type)
    shifted = b.fma(a, b.constant(2 * LOG2_E, x.type), magic)
    n = b.fsub(shifted, magic)
    # One step is enough: where n is large the result is 1 whatever the error.
    r = b.fma(n, b.constant(-LN2 / 2, x.type), a)
    rest = polynomial(b, r, [c * 4 * 2**k for k, c in enumerate(_EXP)])
    p = b.fma(b.fmul(r, r), rest, b.fadd(r, r))
    one = b.constant(1.0, x.type)
    power = _normal_power(b, shifted)
    m = b.fma(p, power, b.fsub(power, one))
    return copysign(b, b.fdiv(m, b.fadd(m, b.constant(2.0, x.type))), x)


@f32_or_libm
def erf(b: Builder, x: SSAValue) -> SSAValue:
    """
    `p` below 0.75 and `1 - exp(-p)` above, each with a polynomial p of its own.

    Both have as many terms, so one evaluation with coefficients chosen lane by lane
    serves them.
    """
    magnitude = b.fabs(x)
    is_small = b.fcmp("olt", magnitude, b.constant(0.75, x.type))
    a = _at_most(b, magnitude, 4.0)
    argument = b.select(is_small, b.fmul(a, a), a)
    coefficients = [
        b.select(is_small, b.constant(small, x.type), b.constant(large, x.type))
        for small, large in zip(_ERF_SMALL, _ERF_LARGE, strict=True)
    ]
    p = b.fma(polynomial(b, argument, coefficients), a, a)
    magic = b.constant(ROUND_MAGIC, x.type)
    shifted = b.fma(p, b.constant(-LOG2_E, x.type), magic)
    # The larger n, the less what this one step leaves wrong weighs in `1 - e`.
    r = b.fma(b.fsub(shifted, magic), b.constant(LN2, x.type), p)
    minus_e = polynomial(b, r, _MINUS_EXP_OF_MINUS)
    large = b.fma(minus_e, _normal_power(b, shifted), b.constant(1.0, x.type))
    return copysign(b, b.select(is_small, p, large), x)


def sigmoid(b: Builder, x: SSAValue) -> SSAValue:
    """
    `e / (1 + e)` or `1 / (1 + e)` with e = exp(-|x|), which never overflows.

    Networks are full of it, so e is rounded more coarsely than by `exp`: reduced in one
    step where multiply-adds are fused, a term less in the polynomial.
    """
    one = b.constant(1.0, x.type)
    minus = b.fneg(b.fabs(x))
    e = exp(b, minus) if bits_of(x.type) == 64 else _coarse_exp(b, minus)
    negative = b.fcmp("olt", x, b.constant(0.0, x.type))
    return b.fdiv(b.select(negative, e, one), b.fadd(e, one))


def _coarse_exp(b: Builder, x: SSAValue) -> SSAValue:
    """exp of x <= 0."""
    x = _at_least(b, x, -104.0)
    r, n, shifted = _reduce_by_ln2(b, x)
    if b.target.has_fma:
        # Unfused, one step would lose the digits that cancel.
        r = b.fma(n, b.constant(-LN2, x.type), x)
    low, c1, c2, high = (b.constant(c, x.type) for c in _COARSE_EXP)
    square = b.fmul(r, r)
    rest = b.fma(b.fma(high, r, c2), square, b.fma(c1, r, low))
    p = b.fma(rest, square, b.fadd(r, b.constant(1.0, x.type)))
    return _scale(b, p, n, shifted)


# exp(a) / 2 is finite a little longer than exp(a).
_HALF_EXP_FROM: Final = 88.0


def _half_exp(b: Builder, a: SSAValue) -> SSAValue:
    half = b.constant(0.5, a.type)
    root = exp(b, b.fmul(a, half))
    return b.fmul(b.fmul(root, half), root)


@f32_or_libm
def sinh(b: Builder, x: SSAValue) -> SSAValue:
    """`(m + m / (m + 1)) / 2` with m = expm1(|x|)."""
    a = b.fabs(x)
    m = expm1(b, a)
    one, half = b.constant(1.0, x.type), b.constant(0.5, x.type)
    moderate = b.fmul(half, b.fadd(m, b.fdiv(m, b.fadd(m, one))))
    is_moderate = b.fcmp("olt", a, b.constant(_HALF_EXP_FROM, x.type))
    return copysign(b, b.select(is_moderate, moderate, _half_exp(b, a)), x)


@f32_or_libm
def cosh(b: Builder, x: SSAValue) -> SSAValue:
    """`(e + 1 / e) / 2` with e = exp(|x|)."""
    a = b.fabs(x)
    e = exp(b, a)
    half = b.constant(0.5, x.type)
    moderate = b.fma(e, half, b.fdiv(half, e))
    is_moderate = b.fcmp("olt", a, b.constant(_HALF_EXP_FROM, x.type))
    return b.select(is_moderate, moderate, _half_exp(b, a))
