"""
Loads, stores and pointers.

Booleans are bytes in memory and `i1` in registers. Half-precision data moves as
`i16`, because not every target has loads or masked loads of it. All addresses are
getelementptr, all accesses assume element alignment only.
"""

from __future__ import annotations

from xdsl.dialects import llvm
from xdsl.dialects.builtin import IntegerType, i1, i8, i32, i64
from xdsl.ir import Attribute, Operation, SSAValue

from nnc.dialects import llvmx, simd
from nnc.dialects.simd.types import (
    bits_of,
    is_float,
    is_vector,
    storage_bytes,
    width_of,
)
from nnc.lowering.convert_simd_to_llvm.builder import (
    PTR,
    Builder,
    int_value,
    like,
    llvm_type,
)
from nnc.lowering.convert_simd_to_llvm.lowering import Converter, KernelLowering

CACHE_LINE = 64
NEAREST = 3
"""Where what is prefetched goes, as LLVM counts: 3 is the first cache, 2 the second."""


def memory_type(type: Attribute) -> Attribute:
    """What a value of `type` is in memory and in masked accesses."""
    bits = bits_of(type)
    if bits == 1:
        return like(type, i8)
    if bits == 16 and is_float(type):
        return like(type, IntegerType(16))
    return type


def element_in_memory(ptr: SSAValue) -> Attribute:
    """The element type for address arithmetic on a kernel pointer."""
    assert isinstance(ptr.type, simd.PtrType)
    return memory_type(llvm_type(ptr.type.element_type))


def from_memory(b: Builder, raw: SSAValue, type: Attribute) -> SSAValue:
    """The register form of what was loaded."""
    if bits_of(type) == 1:
        return b.icmp("ne", raw, b.constant(0, raw.type))
    return b.bitcast(raw, type)


def to_memory(b: Builder, value: SSAValue) -> SSAValue:
    """The memory form of what is stored."""
    type = memory_type(value.type)
    if bits_of(value.type) == 1:
        return b.cast(llvm.ZExtOp, value, type)
    return b.bitcast(value, type)


def masked_load(b: Builder, ptr: SSAValue, type: Attribute, mask: SSAValue) -> SSAValue:
    """Load the lanes that are on; the others are zero and not touched."""
    zero = b.constant(0.0 if is_float(type) else 0, type)
    if is_vector(type):
        alignment = b.constant(storage_bytes(type), i32)
        return b.intrinsic(
            "llvm.masked.load", (ptr, alignment, mask, zero), type, (type, PTR)
        )
    then, merge = b.new_block(), b.new_block([type])
    b.cond_br(mask, then, (), merge, (zero,))
    b.enter(then)
    b.br(merge, (b.load(ptr, type, storage_bytes(type)),))
    b.enter(merge)
    return merge.args[0]


def masked_store(b: Builder, value: SSAValue, ptr: SSAValue, mask: SSAValue) -> None:
    """Store the lanes that are on."""
    if is_vector(value.type):
        alignment = b.constant(storage_bytes(value.type), i32)
        b.intrinsic(
            "llvm.masked.store", (value, ptr, alignment, mask), None, (value.type, PTR)
        )
        return
    then, after = b.new_block(), b.new_block()
    b.cond_br(mask, then, (), after, ())
    b.enter(then)
    b.store(value, ptr, storage_bytes(value.type))
    b.br(after)
    b.enter(after)


def _load(
    lw: KernelLowering, address: SSAValue, type: Attribute, mask: SSAValue | None
) -> SSAValue:
    raw_type = memory_type(type)
    if mask is None:
        raw = lw.b.load(address, raw_type, storage_bytes(raw_type))
    else:
        raw = masked_load(lw.b, address, raw_type, lw.value(mask))
    return from_memory(lw.b, raw, type)


def _store(
    lw: KernelLowering, value: SSAValue, address: SSAValue, mask: SSAValue | None
) -> None:
    raw = to_memory(lw.b, value)
    if mask is None:
        lw.b.store(raw, address, storage_bytes(raw.type))
    else:
        masked_store(lw.b, raw, address, lw.value(mask))


def convert_load(lw: KernelLowering, op: simd.LoadOp) -> None:
    """Neighbouring elements."""
    address = lw.b.gep(lw.value(op.ptr), lw.value(op.index), element_in_memory(op.ptr))
    lw.define(op.result, _load(lw, address, lw.type_of(op.result), op.mask))


def convert_store(lw: KernelLowering, op: simd.StoreOp) -> None:
    """Neighbouring elements."""
    address = lw.b.gep(lw.value(op.ptr), lw.value(op.index), element_in_memory(op.ptr))
    _store(lw, lw.value(op.value), address, op.mask)


def _gather(
    lw: KernelLowering,
    base: SSAValue,
    indices: SSAValue,
    result: SSAValue,
    mask: SSAValue | None,
) -> None:
    b = lw.b
    type = lw.type_of(result)
    raw_type = memory_type(type)
    on = lw.value(mask) if mask is not None else b.constant(1, like(type, i1))
    zero = b.constant(0.0 if is_float(raw_type) else 0, raw_type)
    raw = b.insert(
        llvmx.MaskedGatherOp.create(
            operands=(base, indices, on, zero), result_types=(raw_type,)
        )
    )
    lw.define(result, from_memory(b, raw, type))


def _lane_indices(b: Builder, stride: SSAValue, width: int) -> SSAValue:
    """`0, stride, 2 * stride, ...` as i64 lanes."""
    lanes = tuple(range(width))
    known = int_value(stride)
    if known is not None:
        return b.vector_constant(tuple(lane * known for lane in lanes), i64)
    iota = b.vector_constant(lanes, i64)
    return b.binary(llvm.MulOp, iota, b.splat(stride, width))


def convert_gather(lw: KernelLowering, op: simd.GatherOp) -> None:
    """Elements anywhere."""
    base, indices = lw.value(op.ptr), lw.value(op.indices)
    if op.lanes == 1:
        address = lw.b.gep(base, indices, element_in_memory(op.ptr))
        lw.define(op.result, _load(lw, address, lw.type_of(op.result), op.mask))
    else:
        _gather(lw, base, indices, op.result, op.mask)


def convert_load_strided(lw: KernelLowering, op: simd.LoadStridedOp) -> None:
    """Elements at equal distances."""
    b = lw.b
    address = b.gep(lw.value(op.ptr), lw.value(op.index), element_in_memory(op.ptr))
    stride = lw.value(op.stride)
    if op.lanes == 1 or int_value(stride) == 1:
        lw.define(op.result, _load(lw, address, lw.type_of(op.result), op.mask))
    else:
        _gather(lw, address, _lane_indices(b, stride, op.lanes), op.result, op.mask)


def convert_store_strided(lw: KernelLowering, op: simd.StoreStridedOp) -> None:
    """Elements at equal distances."""
    b = lw.b
    address = b.gep(lw.value(op.ptr), lw.value(op.index), element_in_memory(op.ptr))
    stride = lw.value(op.stride)
    value = lw.value(op.value)
    if op.lanes == 1 or int_value(stride) == 1:
        _store(lw, value, address, op.mask)
        return
    raw = to_memory(b, value)
    on = lw.value(op.mask) if op.mask is not None else None
    if on is None:
        on = b.constant(1, like(raw.type, i1))
    indices = _lane_indices(b, stride, op.lanes)
    b.block.add_op(llvmx.MaskedScatterOp.create(operands=(raw, address, indices, on)))


def convert_mask(lw: KernelLowering, op: simd.MaskOp) -> None:
    """Compare lane numbers with the clamped count, in lanes as narrow as they fit."""
    b = lw.b
    count, width = lw.value(op.count), width_of(op.result.type)
    if width == 1:
        lw.define(op.result, b.icmp("sgt", count, b.i64(0)))
        return
    known = int_value(count)
    if known is not None:
        lanes = tuple(int(lane < known) for lane in range(width))
        lw.define(op.result, b.vector_constant(lanes, i1))
        return
    element = i32 if width <= 16 else IntegerType(16)
    at_least = b.intrinsic("llvm.smax", (count, b.i64(0)), i64)
    clamped = b.intrinsic("llvm.smin", (at_least, b.i64(width)), i64)
    limit = b.splat(b.cast(llvm.TruncOp, clamped, element), width)
    lanes = b.vector_constant(tuple(range(width)), element)
    lw.define(op.result, b.icmp("slt", lanes, limit))


def convert_ptr_add(lw: KernelLowering, op: simd.PtrAddOp) -> None:
    """One getelementptr."""
    ptr, offset = lw.value(op.ptr), lw.value(op.offset)
    lw.define(op.result, lw.b.gep(ptr, offset, element_in_memory(op.ptr)))


def convert_prefetch(lw: KernelLowering, op: simd.PrefetchOp) -> None:
    """An address that need not be within the buffer, and the hint."""
    b = lw.b
    address = b.gep(lw.value(op.ptr), lw.value(op.index), element_in_memory(op.ptr))
    b.prefetch(b.gep(address, op.ahead.value.data, i8, is_inside=False), NEAREST)


def convert_alloca(lw: KernelLowering, op: simd.AllocaOp) -> None:
    """A slot in the frame."""
    count = op.count.value.data
    element = element_in_memory(op.result)
    lw.define(op.result, lw.b.alloca(count, element, CACHE_LINE))


def convert_load_slot(lw: KernelLowering, op: simd.LoadSlotOp) -> None:
    """One word of the slot table."""
    address = lw.b.gep(lw.value(op.slots), op.slot.value.data, i64)
    lw.define(op.result, lw.b.load(address, lw.type_of(op.result), 8))


def convert_raise(lw: KernelLowering, op: simd.RaiseOp) -> None:
    """Claim the error word if the condition holds; the winner fills in the rest."""
    b = lw.b
    state, condition = lw.value(op.state), lw.value(op.condition)
    failed, claimed, after = b.new_block(), b.new_block(), b.new_block()
    b.cond_br(condition, failed, (), after, ())
    b.enter(failed)
    won = b.insert(
        llvmx.CmpXchgOp(b.gep(state, 1, i64), b.i64(0), b.i64(op.code.value.data))
    )
    b.cond_br(won, claimed, (), after, ())
    b.enter(claimed)
    b.store(b.i64(op.site.value.data), b.gep(state, 2, i64), 8)
    if op.detail is not None:
        b.store(lw.value(op.detail), b.gep(state, 3, i64), 8)
    b.br(after)
    b.enter(after)


CONVERTERS: dict[type[Operation], Converter] = {
    simd.LoadOp: convert_load,
    simd.StoreOp: convert_store,
    simd.GatherOp: convert_gather,
    simd.LoadStridedOp: convert_load_strided,
    simd.StoreStridedOp: convert_store_strided,
    simd.MaskOp: convert_mask,
    simd.PtrAddOp: convert_ptr_add,
    simd.PrefetchOp: convert_prefetch,
    simd.AllocaOp: convert_alloca,
    simd.LoadSlotOp: convert_load_slot,
    simd.RaiseOp: convert_raise,
}
