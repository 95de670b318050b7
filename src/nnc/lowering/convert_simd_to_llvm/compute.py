"""
Lane-wise arithmetic, constants and reductions.

f16 and bf16 operands are widened to f32, computed there and rounded once per op.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from xdsl.dialects import llvm
from xdsl.dialects.builtin import (
    BFloat16Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    f32,
    f64,
    i1,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue

from nnc.dialects import llvmx, simd
from nnc.dialects.simd import CmpPredicate, ReduceKind
from nnc.dialects.simd.base import BinaryOp, UnaryOp
from nnc.dialects.simd.types import bits_of, is_float, is_unsigned, is_vector, width_of
from nnc.lowering.convert_simd_to_llvm import casts, math, powers, trigonometry
from nnc.lowering.convert_simd_to_llvm.builder import (
    Builder,
    float_value,
    like,
)
from nnc.lowering.convert_simd_to_llvm.lowering import Converter, KernelLowering

FloatFn = Callable[..., SSAValue]
"""`f(builder, *operands)` on f32 or f64 scalars or vectors."""


def in_float(b: Builder, fn: FloatFn, type: Attribute, *args: SSAValue) -> SSAValue:
    """Apply `fn` to operands of a kernel type, in f32 if that is f16 or bf16."""
    if not casts.is_half(type):
        return fn(b, *args)
    wide = [casts.half_to_f32(b, a, type) for a in args]
    return casts.f32_to_half(b, fn(b, *wide), type)


def _widened(lw: KernelLowering, value: SSAValue) -> SSAValue:
    """An operand, as f32 if it is f16 or bf16."""
    new = lw.value(value)
    if casts.is_half(value.type):
        return casts.half_to_f32(lw.b, new, value.type)
    return new


# ---------------------------------------------------------------------------
# Unary
# ---------------------------------------------------------------------------


def _float_unary(fn: FloatFn) -> Converter:
    def convert(lw: KernelLowering, op: UnaryOp) -> None:
        x = lw.value(op.value)
        lw.define(op.result, in_float(lw.b, fn, op.value.type, x))

    return convert


def _sign_bit(b: Builder, value: SSAValue) -> SSAValue:
    bits = like(value.type, IntegerType(bits_of(value.type)))
    return b.constant(-(2 ** (bits_of(value.type) - 1)), bits)


def convert_neg(lw: KernelLowering, op: simd.NegOp) -> None:
    """Flip the sign."""
    b, x = lw.b, lw.value(op.value)
    if not is_float(op.value.type):
        new = b.sub(b.constant(0, x.type), x)
    elif casts.is_half(op.value.type):
        new = b.bitcast(b.xor(b.bits(x), _sign_bit(b, x)), x.type)
    else:
        new = b.fneg(x)
    lw.define(op.result, new)


def convert_abs(lw: KernelLowering, op: simd.AbsOp) -> None:
    """Drop the sign."""
    b, x = lw.b, lw.value(op.value)
    if is_unsigned(op.value.type):
        new = x
    elif not is_float(op.value.type):
        new = b.intrinsic("llvm.abs", (x, b.constant(0, i1)), x.type)
    elif casts.is_half(op.value.type):
        mask = b.constant(0x7FFF, like(x.type, IntegerType(16)))
        new = b.bitcast(b.and_(b.bits(x), mask), x.type)
    else:
        new = b.fabs(x)
    lw.define(op.result, new)


def _float_sign(b: Builder, x: SSAValue) -> SSAValue:
    zero, one = b.constant(0.0, x.type), b.constant(1.0, x.type)
    signed = b.intrinsic("llvm.copysign", (one, x), x.type)
    # Unordered or equal: the value itself, so NaN and both zeros stay.
    return b.select(b.fcmp("one", x, zero), signed, x)


def convert_sign(lw: KernelLowering, op: simd.SignOp) -> None:
    """-1, 0 or 1."""
    b, x = lw.b, lw.value(op.value)
    if is_float(op.value.type):
        lw.define(op.result, in_float(b, _float_sign, op.value.type, x))
        return
    zero = b.constant(0, x.type)
    positive = b.cast(llvm.ZExtOp, b.icmp("ne", x, zero), x.type)
    if not is_unsigned(op.value.type):
        positive = b.or_(b.ashr(x, bits_of(x.type) - 1), positive)
    lw.define(op.result, positive)


def convert_not(lw: KernelLowering, op: simd.NotOp) -> None:
    """All bits flipped."""
    x = lw.value(op.value)
    lw.define(op.result, lw.b.xor(x, lw.b.constant(-1, x.type)))


def _rounding(name: str) -> FloatFn:
    def convert(b: Builder, x: SSAValue) -> SSAValue:
        if b.target.arch == "x86_64" and not b.target.has("sse4.1"):
            return _round_by_integers(b, x, name)
        return b.intrinsic(f"llvm.{name}", (x,), x.type)

    return convert


def _round_by_integers(b: Builder, x: SSAValue, name: str) -> SSAValue:
    """Rounding without an instruction for it: add and subtract 2^23 (2^52)."""
    mantissa = 23 if bits_of(x.type) == 32 else 52
    big = b.constant(2.0**mantissa, x.type)
    one = b.constant(1.0, x.type)
    magnitude = b.fabs(x)
    rounded = b.fsub(b.fadd(magnitude, big), big)
    if name != "roundeven":
        # Truncate the magnitude first, then step for floor and ceil.
        above = b.fcmp("ogt", rounded, magnitude)
        rounded = b.select(above, b.fsub(rounded, one), rounded)
    rounded = b.intrinsic("llvm.copysign", (rounded, x), x.type)
    if name == "floor":
        rounded = b.select(b.fcmp("ogt", rounded, x), b.fsub(rounded, one), rounded)
    elif name == "ceil":
        up = b.intrinsic("llvm.copysign", (b.fadd(rounded, one), x), x.type)
        rounded = b.select(b.fcmp("olt", rounded, x), up, rounded)
    # Large values (and NaN) have no fraction.
    return b.select(b.fcmp("olt", magnitude, big), rounded, x)


def _sqrt(b: Builder, x: SSAValue) -> SSAValue:
    return b.intrinsic("llvm.sqrt", (x,), x.type)


def _reciprocal(b: Builder, x: SSAValue) -> SSAValue:
    return b.fdiv(b.constant(1.0, x.type), x)


def _rsqrt(b: Builder, x: SSAValue) -> SSAValue:
    return _reciprocal(b, _sqrt(b, x))


def convert_is_nan(lw: KernelLowering, op: simd.IsNanOp) -> None:
    """Unordered with itself."""
    b, x = lw.b, _widened(lw, op.value)
    lw.define(op.result, b.fcmp("uno", x, x))


def convert_is_inf(lw: KernelLowering, op: simd.IsInfOp) -> None:
    """Magnitude equals infinity."""
    b, x = lw.b, _widened(lw, op.value)
    infinity = b.constant(float("inf"), x.type)
    lw.define(op.result, b.fcmp("oeq", b.fabs(x), infinity))


# ---------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------


def _fadd(b: Builder, x: SSAValue, y: SSAValue) -> SSAValue:
    return b.fadd(x, y)


def _fsub(b: Builder, x: SSAValue, y: SSAValue) -> SSAValue:
    return b.fsub(x, y)


def _fmul(b: Builder, x: SSAValue, y: SSAValue) -> SSAValue:
    return b.fmul(x, y)


def _fdiv(b: Builder, x: SSAValue, y: SSAValue) -> SSAValue:
    return b.fdiv(x, y)


def _fma(b: Builder, x: SSAValue, y: SSAValue, z: SSAValue) -> SSAValue:
    return b.fma(x, y, z)


def _arithmetic(float_fn: FloatFn, int_op: type[Operation]) -> Converter:
    def convert(lw: KernelLowering, op: BinaryOp) -> None:
        x, y = lw.value(op.lhs), lw.value(op.rhs)
        if is_float(op.lhs.type):
            new = in_float(lw.b, float_fn, op.lhs.type, x, y)
        else:
            new = lw.b.binary(int_op, x, y)
        lw.define(op.result, new)

    return convert


def _bitwise(int_op: type[Operation]) -> Converter:
    def convert(lw: KernelLowering, op: BinaryOp) -> None:
        lw.define(op.result, lw.b.binary(int_op, lw.value(op.lhs), lw.value(op.rhs)))

    return convert


def divide_ints(
    b: Builder, x: SSAValue, y: SSAValue, type: Attribute
) -> tuple[SSAValue, SSAValue]:
    """Quotient and remainder towards zero, of a kernel type, that never trap."""
    bits, unsigned = bits_of(type), is_unsigned(type)
    zero, one = b.constant(0, x.type), b.constant(1, x.type)
    unusable = b.icmp("eq", y, zero)
    minus_one = None
    if not unsigned:
        # The smallest number divided by -1 overflows, which traps on x86.
        minus_one = b.icmp("eq", y, b.constant(-1, x.type))
        unusable = b.or_(unusable, minus_one)
    divisor = b.select(unusable, one, y)
    if is_vector(x.type) and bits <= 32:
        # No vector unit divides integers; a float quotient of twice as many bits,
        # truncated, is exact.
        wide = like(x.type, f32 if bits <= 16 else f64)
        quotient = b.fdiv(
            casts.int_to_float(b, x, type, wide),
            casts.int_to_float(b, divisor, type, wide),
        )
        whole = like(x.type, i64 if unsigned and bits == 32 else i32)
        q = b.cast(llvmx.FPToSIOp, quotient, whole)
        q = casts.int_to_int(b, q, whole, x.type)
    else:
        q = b.binary(llvm.UDivOp if unsigned else llvm.SDivOp, x, divisor)
    remainder = b.sub(x, b.binary(llvm.MulOp, q, divisor))
    if minus_one is not None:
        q = b.select(minus_one, b.sub(zero, x), q)
    return q, remainder


def convert_div(lw: KernelLowering, op: simd.DivOp) -> None:
    """Quotient."""
    b, x, y = lw.b, lw.value(op.lhs), lw.value(op.rhs)
    if is_float(op.lhs.type):
        new = in_float(b, _fdiv, op.lhs.type, x, y)
    else:
        new, _ = divide_ints(b, x, y, op.lhs.type)
    lw.define(op.result, new)


def _frem(b: Builder, x: SSAValue, y: SSAValue) -> SSAValue:
    return b.binary(llvm.FRemOp, x, y)


def convert_rem(lw: KernelLowering, op: simd.RemOp) -> None:
    """Remainder with the sign of the dividend."""
    b, x, y = lw.b, lw.value(op.lhs), lw.value(op.rhs)
    if is_float(op.lhs.type):
        new = in_float(b, _frem, op.lhs.type, x, y)
    else:
        _, new = divide_ints(b, x, y, op.lhs.type)
    lw.define(op.result, new)


def _fmod_floor(b: Builder, x: SSAValue, y: SSAValue) -> SSAValue:
    zero = b.constant(0.0, x.type)
    rest = _frem(b, x, y)
    opposite = b.xor(b.fcmp("olt", rest, zero), b.fcmp("olt", y, zero))
    shifted = b.select(opposite, b.fadd(rest, y), rest)
    exact = b.intrinsic("llvm.copysign", (zero, y), x.type)
    return b.select(b.fcmp("oeq", rest, zero), exact, shifted)


def convert_mod_floor(lw: KernelLowering, op: simd.ModFloorOp) -> None:
    """Remainder with the sign of the divisor."""
    b, x, y = lw.b, lw.value(op.lhs), lw.value(op.rhs)
    if is_float(op.lhs.type):
        new = in_float(b, _fmod_floor, op.lhs.type, x, y)
    else:
        _, new = divide_ints(b, x, y, op.lhs.type)
        if not is_unsigned(op.lhs.type):
            zero = b.constant(0, x.type)
            opposite = b.icmp("slt", b.xor(new, y), zero)
            wrong = b.and_(opposite, b.icmp("ne", new, zero))
            new = b.select(wrong, b.add(new, y), new)
    lw.define(op.result, new)


def extremum(b: Builder, x: SSAValue, y: SSAValue, largest: bool) -> SSAValue:
    """Float min or max that propagates NaN and orders -0 below +0."""
    for value, other in ((x, y), (y, x)):
        limit = float_value(other)
        if limit is None or limit != limit:
            continue
        # One instruction: it returns its second operand for NaN.
        predicate = "olt" if largest else "ogt"
        zero_matters = limit == 0 and str(limit) == ("0.0" if largest else "-0.0")
        result = b.select(b.fcmp(predicate, value, other), other, value)
        if not zero_matters:
            return result
        if largest:
            # max(-0, +0) is +0, and adding +0 makes it so.
            return b.fadd(result, other)
    name = "llvm.maximum" if largest else "llvm.minimum"
    return b.intrinsic(name, (x, y), x.type)


def _fmin(b: Builder, x: SSAValue, y: SSAValue) -> SSAValue:
    return extremum(b, x, y, largest=False)


def _fmax(b: Builder, x: SSAValue, y: SSAValue) -> SSAValue:
    return extremum(b, x, y, largest=True)


def _extremum(fn: FloatFn, word: str) -> Converter:
    def convert(lw: KernelLowering, op: simd.MinOp | simd.MaxOp) -> None:
        b, x, y = lw.b, lw.value(op.lhs), lw.value(op.rhs)
        if is_float(op.lhs.type):
            new = in_float(b, fn, op.lhs.type, x, y)
        else:
            prefix = "u" if is_unsigned(op.lhs.type) else "s"
            new = b.intrinsic(f"llvm.{prefix}{word}", (x, y), x.type)
        lw.define(op.result, new)

    return convert


def convert_shl(lw: KernelLowering, op: simd.ShlOp) -> None:
    """Left shift; 0 when too far."""
    b, x, y = lw.b, lw.value(op.lhs), lw.value(op.rhs)
    fits = b.icmp("ult", y, b.constant(bits_of(x.type), y.type))
    zero = b.constant(0, x.type)
    amount = b.select(fits, y, zero)
    lw.define(op.result, b.select(fits, b.binary(llvm.ShlOp, x, amount), zero))


def convert_shr(lw: KernelLowering, op: simd.ShrOp) -> None:
    """Right shift; all sign bits (0 when unsigned) when too far."""
    b, x, y = lw.b, lw.value(op.lhs), lw.value(op.rhs)
    bits = bits_of(x.type)
    fits = b.icmp("ult", y, b.constant(bits, y.type))
    amount = b.select(fits, y, b.constant(bits - 1, y.type))
    if is_unsigned(op.lhs.type):
        shifted = b.binary(llvm.LShrOp, x, amount)
        new = b.select(fits, shifted, b.constant(0, x.type))
    else:
        new = b.binary(llvm.AShrOp, x, amount)
    lw.define(op.result, new)


def integer_power(b: Builder, x: SSAValue, y: SSAValue, unsigned: bool) -> SSAValue:
    """Repeated squaring, wrapping; a negative exponent leaves only powers of +-1."""
    type, bits = x.type, bits_of(x.type)
    zero, one = b.constant(0, type), b.constant(1, type)
    loop = b.new_block([i32, type, type, type])
    done = b.new_block([type])
    b.br(loop, (b.constant(0, i32), one, x, y))
    b.enter(loop)
    count, result, base, exponent = loop.args
    odd = b.icmp("ne", b.and_(exponent, one), zero)
    result = b.select(odd, b.binary(llvm.MulOp, result, base), result)
    base = b.binary(llvm.MulOp, base, base)
    count = b.add(count, b.constant(1, i32))
    again = b.icmp("ult", count, b.constant(bits, i32))
    b.cond_br(again, loop, (count, result, base, b.lshr(exponent, 1)), done, (result,))
    b.enter(done)
    power = done.args[0]
    if unsigned:
        return power
    # Two's complement keeps the parity of the exponent, so +-1 came out right.
    unit = b.or_(b.icmp("eq", x, one), b.icmp("eq", x, b.constant(-1, type)))
    return b.select(
        b.and_(b.icmp("slt", y, zero), b.xor(unit, b.constant(-1, unit.type))),
        zero,
        power,
    )


def convert_pow(lw: KernelLowering, op: simd.PowOp) -> None:
    """Power."""
    b, x, y = lw.b, lw.value(op.lhs), lw.value(op.rhs)
    if is_float(op.lhs.type):
        new = in_float(b, powers.power, op.lhs.type, x, y)
    else:
        new = integer_power(b, x, y, is_unsigned(op.lhs.type))
    lw.define(op.result, new)


def convert_atan2(lw: KernelLowering, op: simd.Atan2Op) -> None:
    """Angle."""
    x, y = lw.value(op.lhs), lw.value(op.rhs)
    lw.define(op.result, in_float(lw.b, trigonometry.atan2, op.lhs.type, x, y))


def convert_fma(lw: KernelLowering, op: simd.FmaOp) -> None:
    """Multiply and add."""
    operands = lw.values((op.a, op.b, op.c))
    lw.define(op.result, in_float(lw.b, _fma, op.a.type, *operands))


_FLOAT_PREDICATES = {
    CmpPredicate.EQ: "oeq",
    CmpPredicate.NE: "une",
    CmpPredicate.LT: "olt",
    CmpPredicate.LE: "ole",
    CmpPredicate.GT: "ogt",
    CmpPredicate.GE: "oge",
}


def convert_cmp(lw: KernelLowering, op: simd.CmpOp) -> None:
    """Comparison."""
    b, x, y = lw.b, _widened(lw, op.lhs), _widened(lw, op.rhs)
    predicate = op.predicate.data
    if is_float(op.lhs.type):
        new = b.fcmp(_FLOAT_PREDICATES[predicate], x, y)
    else:
        word = predicate.value
        if predicate not in (CmpPredicate.EQ, CmpPredicate.NE):
            word = ("u" if is_unsigned(op.lhs.type) else "s") + word
        new = b.icmp(word, x, y)
    lw.define(op.result, new)


def convert_select(lw: KernelLowering, op: simd.SelectOp) -> None:
    """Choice."""
    lw.define(op.result, lw.b.select(*lw.values((op.condition, op.a, op.b))))


# ---------------------------------------------------------------------------
# Constants, lanes, reductions
# ---------------------------------------------------------------------------


def convert_constant(lw: KernelLowering, op: simd.ConstantOp) -> None:
    """A number in every lane."""
    value = op.value
    assert isinstance(value, IntegerAttr | FloatAttr)
    number = value.value.data
    if isinstance(value.type, BFloat16Type):
        number = bf16_bits(number)
    lw.define(op.result, lw.b.constant(number, lw.type_of(op.result)))


def bf16_bits(number: float) -> int:
    """The bits of a number that bf16 can represent."""
    return struct.unpack("<I", struct.pack("<f", number))[0] >> 16


def convert_broadcast(lw: KernelLowering, op: simd.BroadcastOp) -> None:
    """A scalar in every lane."""
    lw.define(op.result, lw.b.splat(lw.value(op.value), op.lanes))


def convert_iota(lw: KernelLowering, op: simd.IotaOp) -> None:
    """Lane numbers."""
    if op.lanes == 1:
        lw.define(op.result, lw.b.i64(0))
    else:
        lw.define(op.result, lw.b.vector_constant(tuple(range(op.lanes)), i64))


_INT_REDUCE = {
    ReduceKind.ADD: "add",
    ReduceKind.MUL: "mul",
    ReduceKind.AND: "and",
    ReduceKind.OR: "or",
    ReduceKind.XOR: "xor",
}
_FLOAT_REDUCE: dict[ReduceKind, FloatFn] = {
    ReduceKind.ADD: _fadd,
    ReduceKind.MUL: _fmul,
}


def reduce_extremum(b: Builder, x: SSAValue, *, largest: bool) -> SSAValue:
    """The extreme lane, NaN if one is; which zero wins is open."""
    predicate = "ogt" if largest else "olt"

    def pick(b: Builder, u: SSAValue, v: SSAValue) -> SSAValue:
        return b.select(b.fcmp(predicate, u, v), u, v)

    best = reduce_floats(b, x, pick)
    is_nan = b.fcmp("uno", x, x)
    some = b.intrinsic("llvm.vector.reduce.or", (is_nan,), i1, (is_nan.type,))
    return b.select(some, b.constant(float("nan"), best.type), best)


def reduce_floats(b: Builder, x: SSAValue, fn: FloatFn) -> SSAValue:
    """Combine the upper with the lower half until one lane is left."""
    width = width_of(x.type)
    while width > 2:
        half = width // 2
        low = b.shuffle(x, x, tuple(range(half)))
        high = b.shuffle(x, x, tuple(range(half, width)))
        x, width = fn(b, low, high), half
    return fn(b, b.extract_lane(x, 0), b.extract_lane(x, 1))


def convert_reduce(lw: KernelLowering, op: simd.ReduceOp) -> None:
    """All lanes into one; the order matters for floats only."""
    b, x, kind = lw.b, lw.value(op.value), op.kind.data
    if op.lanes == 1:
        new = x
    elif is_float(op.value.type):
        wide = _widened(lw, op.value)
        if kind in _FLOAT_REDUCE:
            new = reduce_floats(b, wide, _FLOAT_REDUCE[kind])
        else:
            new = reduce_extremum(b, wide, largest=kind is ReduceKind.MAX)
        if casts.is_half(op.value.type):
            new = casts.f32_to_half(b, new, op.result.type)
    else:
        word = _INT_REDUCE.get(kind)
        if word is None:
            word = ("u" if is_unsigned(op.value.type) else "s") + kind.value
        new = b.intrinsic(
            f"llvm.vector.reduce.{word}", (x,), lw.type_of(op.result), (x.type,)
        )
    lw.define(op.result, new)


CONVERTERS: dict[type[Operation], Converter] = {
    simd.NegOp: convert_neg,
    simd.AbsOp: convert_abs,
    simd.SignOp: convert_sign,
    simd.NotOp: convert_not,
    simd.SqrtOp: _float_unary(_sqrt),
    simd.RsqrtOp: _float_unary(_rsqrt),
    simd.ReciprocalOp: _float_unary(_reciprocal),
    simd.FloorOp: _float_unary(_rounding("floor")),
    simd.CeilOp: _float_unary(_rounding("ceil")),
    simd.RoundEvenOp: _float_unary(_rounding("roundeven")),
    simd.TruncOp: _float_unary(_rounding("trunc")),
    simd.ExpOp: _float_unary(math.exp),
    simd.Exp2Op: _float_unary(math.exp2),
    simd.Expm1Op: _float_unary(math.expm1),
    simd.LogOp: _float_unary(math.log),
    simd.Log1pOp: _float_unary(math.log1p),
    simd.TanhOp: _float_unary(math.tanh),
    simd.ErfOp: _float_unary(math.erf),
    simd.SigmoidOp: _float_unary(math.sigmoid),
    simd.SinhOp: _float_unary(math.sinh),
    simd.CoshOp: _float_unary(math.cosh),
    simd.SinOp: _float_unary(trigonometry.sin),
    simd.CosOp: _float_unary(trigonometry.cos),
    simd.TanOp: _float_unary(trigonometry.tan),
    simd.AsinOp: _float_unary(trigonometry.asin),
    simd.AcosOp: _float_unary(trigonometry.acos),
    simd.AtanOp: _float_unary(trigonometry.atan),
    simd.AsinhOp: _float_unary(powers.asinh),
    simd.AcoshOp: _float_unary(powers.acosh),
    simd.AtanhOp: _float_unary(powers.atanh),
    simd.IsNanOp: convert_is_nan,
    simd.IsInfOp: convert_is_inf,
    simd.AddOp: _arithmetic(_fadd, llvm.AddOp),
    simd.SubOp: _arithmetic(_fsub, llvm.SubOp),
    simd.MulOp: _arithmetic(_fmul, llvm.MulOp),
    simd.DivOp: convert_div,
    simd.RemOp: convert_rem,
    simd.ModFloorOp: convert_mod_floor,
    simd.MinOp: _extremum(_fmin, "min"),
    simd.MaxOp: _extremum(_fmax, "max"),
    simd.PowOp: convert_pow,
    simd.Atan2Op: convert_atan2,
    simd.AndOp: _bitwise(llvm.AndOp),
    simd.OrOp: _bitwise(llvm.OrOp),
    simd.XorOp: _bitwise(llvm.XOrOp),
    simd.ShlOp: convert_shl,
    simd.ShrOp: convert_shr,
    simd.FmaOp: convert_fma,
    simd.CmpOp: convert_cmp,
    simd.SelectOp: convert_select,
    simd.ConstantOp: convert_constant,
    simd.BroadcastOp: convert_broadcast,
    simd.IotaOp: convert_iota,
    simd.ReduceOp: convert_reduce,
}
