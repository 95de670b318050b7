"""
Conversions between element types.

bf16 converts by integer arithmetic on every target, so that results agree bit by bit
(AVX-512's own instruction flushes denormals). f16 uses the hardware where it exists;
without it LLVM would call a compiler-runtime function that a JIT cannot count on.
What is smaller than 16 bits goes by way of f32 or of a byte.
"""

from __future__ import annotations

from xdsl.dialects import llvm
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    IntegerType,
    Signedness,
    f32,
    f64,
    i16,
    i32,
)
from xdsl.ir import Attribute, Operation, SSAValue

from nnc.dialects import llvmx, simd
from nnc.dialects.simd.types import (
    bits_of,
    element_type_of,
    is_float,
    is_integer,
    is_small_float,
    is_stored_only,
    is_unsigned,
)
from nnc.lowering.convert_simd_to_llvm import small_floats
from nnc.lowering.convert_simd_to_llvm.builder import Builder, like, llvm_type
from nnc.lowering.convert_simd_to_llvm.lowering import Converter, KernelLowering


def is_half(type: Attribute) -> bool:
    """Whether lanes are f16 or bf16, which compute in f32."""
    return isinstance(element_type_of(type), Float16Type | BFloat16Type)


def _has_f16(b: Builder) -> bool:
    return b.target.arch == "aarch64" or b.target.has("f16c")


def half_to_f32(b: Builder, value: SSAValue, source: Attribute) -> SSAValue:
    """Exact, from the kernel type `source`."""
    wide = like(value.type, f32)
    if isinstance(element_type_of(source), BFloat16Type):
        bits = b.cast(llvm.ZExtOp, value, like(wide, i32))
        return b.bitcast(b.shl(bits, 16), wide)
    if _has_f16(b):
        return b.cast(llvm.FPExtOp, value, wide)
    # Put the 15 magnitude bits where f32 has them; multiplying by 2^112 then corrects
    # the exponent bias and normalises denormals at once.
    bits = b.cast(llvm.ZExtOp, b.bits(value), like(wide, i32))
    magnitude = b.shl(b.and_(bits, b.constant(0x7FFF, bits.type)), 13)
    scaled = b.fmul(b.bitcast(magnitude, wide), b.constant(2.0**112, wide))
    special = b.icmp("uge", magnitude, b.constant(0x7C00 << 13, bits.type))
    as_inf = b.or_(magnitude, b.constant(0x7F800000, bits.type))
    magnitude = b.select(special, as_inf, b.bits(scaled))
    sign = b.shl(b.and_(bits, b.constant(0x8000, bits.type)), 16)
    return b.bitcast(b.or_(magnitude, sign), wide)


def f32_to_half(b: Builder, value: SSAValue, result: Attribute) -> SSAValue:
    """Round to nearest even, to the kernel type `result`; NaN stays NaN."""
    if isinstance(element_type_of(result), BFloat16Type):
        return _f32_to_bf16(b, value)
    if _has_f16(b):
        return b.cast(llvm.FPTruncOp, value, result)
    return _f32_to_f16(b, value, result)


def _f32_to_bf16(b: Builder, value: SSAValue) -> SSAValue:
    bits = b.bits(value)
    odd = b.and_(b.lshr(bits, 16), b.constant(1, bits.type))
    rounded = b.add(b.add(bits, b.constant(0x7FFF, bits.type)), odd)
    quiet = b.or_(bits, b.constant(0x400000, bits.type))
    kept = b.select(b.fcmp("uno", value, value), quiet, rounded)
    return b.cast(llvm.TruncOp, b.lshr(kept, 16), like(value.type, i16))


def _f32_to_f16(b: Builder, value: SSAValue, type: Attribute) -> SSAValue:
    bits = b.bits(value)
    ints = bits.type

    def c(number: int) -> SSAValue:
        return b.constant(number, ints)

    magnitude = b.and_(bits, c(0x7FFFFFFF))
    sign = b.and_(b.lshr(bits, 16), c(0x8000))
    # Normal results: rebias the exponent and round to nearest even in one addition.
    odd = b.and_(b.lshr(magnitude, 13), c(1))
    normal = b.lshr(b.add(b.sub(magnitude, c((112 << 23) - 0xFFF)), odd), 13)
    # Denormal results: adding 0.5 lets the adder align and round the mantissa.
    half = b.constant(0.5, value.type)
    shifted = b.fadd(b.bitcast(magnitude, value.type), half)
    denormal = b.sub(b.bits(shifted), c(0x3F000000))
    finite = b.select(b.icmp("ult", magnitude, c(113 << 23)), denormal, normal)
    is_nan = b.icmp("ugt", magnitude, c(0x7F800000))
    special = b.select(is_nan, c(0x7E00), c(0x7C00))
    result = b.select(b.icmp("uge", magnitude, c(143 << 23)), special, finite)
    narrow = b.cast(llvm.TruncOp, b.or_(result, sign), like(type, i16))
    return b.bitcast(narrow, type)


def _f64_to_odd_f32(b: Builder, value: SSAValue) -> SSAValue:
    """Rounded to odd, so that rounding it further is as if that were done once."""
    bits = b.bits(value)
    mask = (1 << 29) - 1
    dropped = b.and_(bits, b.constant(mask, bits.type))
    sticky = b.icmp("ne", dropped, b.constant(0, bits.type))
    sticky = b.cast(llvm.ZExtOp, sticky, bits.type)
    odd = b.or_(b.and_(bits, b.constant(~mask, bits.type)), b.shl(sticky, 29))
    keep = b.fcmp("uno", value, value)
    exact = b.select(keep, value, b.bitcast(odd, value.type))
    return b.cast(llvm.FPTruncOp, exact, like(value.type, f32))


def float_to_float(
    b: Builder, value: SSAValue, source: Attribute, result: Attribute
) -> SSAValue:
    """Between any two float types of a kernel."""
    if source == result:
        return value
    if is_half(source):
        single = half_to_f32(b, value, source)
        return float_to_float(b, single, single.type, result)
    if is_half(result):
        if bits_of(source) == 64:
            return f32_to_half(b, _f64_to_odd_f32(b, value), result)
        return f32_to_half(b, value, result)
    wider = bits_of(result) > bits_of(source)
    return b.cast(llvm.FPExtOp if wider else llvm.FPTruncOp, value, result)


def int_to_int(
    b: Builder, value: SSAValue, source: Attribute, result: Attribute
) -> SSAValue:
    """Extend by the signedness of the source, or drop high bits; to i1 asks `!= 0`."""
    bits, wanted = bits_of(source), bits_of(result)
    type = llvm_type(result)
    if bits == wanted:
        return value
    if wanted == 1:
        return b.icmp("ne", value, b.constant(0, value.type))
    if wanted < bits:
        return b.cast(llvm.TruncOp, value, type)
    return b.cast(llvm.ZExtOp if is_unsigned(source) else llvm.SExtOp, value, type)


def int_to_float(
    b: Builder, value: SSAValue, source: Attribute, result: Attribute
) -> SSAValue:
    """Nearest float."""
    if is_half(result):
        # A 32-bit integer is exact in f64; via f32 it would round twice.
        wide = like(value.type, f64 if bits_of(source) > 16 else f32)
        return float_to_float(b, int_to_float(b, value, source, wide), wide, result)
    bits, unsigned = bits_of(source), is_unsigned(source)
    if bits < 32:
        extend = llvm.ZExtOp if unsigned else llvm.SExtOp
        value = b.cast(extend, value, like(value.type, i32))
    elif unsigned:
        return b.cast(llvmx.UIToFPOp, value, result)
    return b.cast(llvm.SIToFPOp, value, result)


def float_to_int(
    b: Builder, value: SSAValue, source: Attribute, result: Attribute
) -> SSAValue:
    """Towards zero, saturating, NaN to 0; to i1 asks `!= 0`."""
    if is_half(source):
        value = half_to_f32(b, value, source)
    bits, unsigned, type = bits_of(result), is_unsigned(result), llvm_type(result)
    if bits == 1:
        return b.fcmp("une", value, b.constant(0.0, value.type))
    if bits < 32:
        # Clamped in floats, the value fits the i32 that the hardware converts to.
        low = 0.0 if unsigned else -(2.0 ** (bits - 1))
        high = 2.0**bits - 1 if unsigned else 2.0 ** (bits - 1) - 1
        clamped = clamp(b, value, low, high)
        zero = b.constant(0.0, value.type)
        clamped = b.select(b.fcmp("uno", value, value), zero, clamped)
        wide = b.cast(llvmx.FPToSIOp, clamped, like(type, i32))
        return b.cast(llvm.TruncOp, wide, type)
    name = "llvm.fptoui.sat" if unsigned else "llvm.fptosi.sat"
    return b.intrinsic(name, (value,), type, (type, value.type))


def clamp(b: Builder, x: SSAValue, low: float, high: float) -> SSAValue:
    """`x` limited to [low, high]; NaN stays NaN. One min and one max instruction."""
    lo, hi = b.constant(low, x.type), b.constant(high, x.type)
    x = b.select(b.fcmp("olt", x, lo), lo, x)
    return b.select(b.fcmp("ogt", x, hi), hi, x)


def _converted(
    b: Builder, value: SSAValue, source: Attribute, result: Attribute
) -> SSAValue:
    """Any pair of types that are computed with."""
    if is_float(source):
        convert = float_to_float if is_float(result) else float_to_int
    else:
        convert = int_to_float if is_float(result) else int_to_int
    return convert(b, value, source, result)


def _from_small(
    b: Builder, value: SSAValue, source: Attribute
) -> tuple[SSAValue, Attribute]:
    """A small float as f32, a small integer as a byte; and that kernel type."""
    element = element_type_of(source)
    if is_small_float(element):
        return small_floats.to_f32(b, value, element), like(source, f32)
    assert is_integer(element)
    bits = element.width.data
    if is_unsigned(element):
        mask = b.constant((1 << bits) - 1, value.type)
        return b.and_(value, mask), like(source, IntegerType(8, Signedness.UNSIGNED))
    return b.ashr(b.shl(value, 8 - bits), 8 - bits), like(source, IntegerType(8))


def _to_small(
    b: Builder, op: simd.CastOp, value: SSAValue, source: Attribute
) -> SSAValue:
    """To a small float or integer, from a kernel type that is computed with."""
    element, result = element_type_of(op.result.type), llvm_type(op.result.type)
    if is_integer(element):
        whole = like(source, i32)
        if is_float(source):
            value, source = float_to_int(b, value, source, whole), whole
        byte = int_to_int(b, value, source, like(source, IntegerType(8)))
        return b.and_(byte, b.constant((1 << element.width.data) - 1, byte.type))
    assert is_small_float(element)
    if bits_of(source) > 16 and element.SEMANTICS.has_sign and not _is_f32(source):
        # Integers, too, are rounded once: those of 32 bits are exact in f64.
        value = _converted(b, value, source, like(source, f64))
        single = _f64_to_odd_f32(b, value)
    else:
        single = _converted(b, value, source, like(source, f32))
    return small_floats.from_f32(
        b, single, element, result, saturates=op.saturates, rounding=op.rounding
    )


def _is_f32(type: Attribute) -> bool:
    return element_type_of(type) == f32


def convert_cast(lw: KernelLowering, op: simd.CastOp) -> None:
    """Any pair of element types."""
    source, result = op.value.type, op.result.type
    value = lw.value(op.value)
    if is_stored_only(source):
        value, source = _from_small(lw.b, value, source)
    if is_stored_only(result):
        lw.define(op.result, _to_small(lw.b, op, value, source))
    else:
        lw.define(op.result, _converted(lw.b, value, source, result))


def convert_bitcast(lw: KernelLowering, op: simd.BitcastOp) -> None:
    """Nothing but a change of type."""
    lw.define(op.result, lw.b.bitcast(lw.value(op.value), lw.type_of(op.result)))


CONVERTERS: dict[type[Operation], Converter] = {
    simd.CastOp: convert_cast,
    simd.BitcastOp: convert_bitcast,
}
