"""The kernel signature: which slot every argument comes from, and what is refused."""

from __future__ import annotations

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import IndexType, ModuleOp, f32, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from nnc.dialects import simd
from nnc.errors import InternalError
from nnc.lowering.finalize_kernel_abi import (
    KERNEL_ABI,
    NEEDS_STATE,
    FinalizeKernelAbiPass,
    slot_of,
)
from nnc.testing_kernels import INDEX, KernelWriter, kernel

WORDS = simd.PtrType(i64)


def finalized(function: FuncOp) -> FuncOp:
    module = ModuleOp([function])
    module.verify()
    FinalizeKernelAbiPass().apply(Context(), module)
    module.verify()
    (result,) = module.ops
    assert isinstance(result, FuncOp)
    return result


def slots(function: FuncOp) -> list[tuple[int, Attribute]]:
    return [
        (op.slot.value.data, op.result.type)
        for op in function.walk()
        if isinstance(op, simd.LoadSlotOp)
    ]


def nothing(w: KernelWriter, *args: SSAValue) -> None:
    pass


def test_arguments_come_from_slots_in_order() -> None:
    types = [simd.PtrType(f32), INDEX, WORDS]
    result = finalized(kernel("k", types, nothing))
    assert slots(result) == [(1, types[0]), (2, INDEX), (3, WORDS)]
    assert result.function_type.inputs.data == (WORDS, INDEX, INDEX)
    assert KERNEL_ABI in result.attributes


def test_state_is_slot_zero() -> None:
    function = kernel("k", [WORDS, simd.PtrType(f32)], nothing, needs_state=True)
    assert slots(finalized(function)) == [(0, WORDS), (1, simd.PtrType(f32))]
    assert slot_of(0, needs_state=True) == 0
    assert slot_of(0, needs_state=False) == 1


def test_slots_are_read_at_the_head_of_the_kernel() -> None:
    def body(w: KernelWriter, a: SSAValue, n: SSAValue) -> None:
        w.loop(w.index(0), n, 1, lambda w, i: w.do(simd.PtrAddOp(a, i)))

    result = finalized(kernel("k", [simd.PtrType(f32), INDEX], body))
    first, second, *_ = result.body.block.ops
    assert isinstance(first, simd.LoadSlotOp)
    assert isinstance(second, simd.LoadSlotOp)


def test_kernel_of_the_task_range_alone_has_no_slots() -> None:
    assert slots(finalized(kernel("k", [], nothing))) == []


def test_running_twice_changes_nothing_more() -> None:
    module = ModuleOp([kernel("k", [INDEX], nothing)])
    FinalizeKernelAbiPass().apply(Context(), module)
    once = str(module)
    FinalizeKernelAbiPass().apply(Context(), module)
    assert str(module) == once


def test_other_functions_are_left_alone() -> None:
    host = FuncOp("main", ([f32], []), Region(Block([ReturnOp()], arg_types=[f32])))
    module = ModuleOp([host])
    before = str(module)
    FinalizeKernelAbiPass().apply(Context(), module)
    assert str(module) == before


def test_kernel_without_a_task_range_is_an_internal_error() -> None:
    types = [simd.PtrType(f32), IndexType()]
    function = FuncOp("k", (types, []), Region(Block([ReturnOp()], arg_types=types)))
    with pytest.raises(InternalError, match="task range"):
        finalized(function)


def test_state_of_another_type_is_an_internal_error() -> None:
    function = kernel("k", [simd.PtrType(f32)], nothing)
    function.attributes[NEEDS_STATE] = function.sym_name
    with pytest.raises(InternalError, match="needs the run state"):
        finalized(function)
