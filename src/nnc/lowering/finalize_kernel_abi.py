"""
Pass `finalize-kernel-abi`: one signature for all kernels.

Before::

    func.func @k(%a: !simd.ptr<f32>, %n: index, %begin: index, %end: index)

After::

    func.func @k(%slots: !simd.ptr<i64>, %begin: index, %end: index) {
      %a = simd.load_slot %slots[1] : !simd.ptr<f32>
      %n = simd.load_slot %slots[2] : index

Slot 0 is the run state. A kernel that needs it has the unit attribute `needs_state`
and takes it as its first argument, of type `!simd.ptr<i64>`; all other arguments but
the last two follow in order from slot 1. The last two are the range of tasks to run.
Every slot is read once, in the entry block. Kernels already in this form are marked
`kernel_abi` and left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import FunctionType, IndexType, ModuleOp, UnitAttr, i64
from xdsl.ir import Attribute
from xdsl.passes import ModulePass

from nnc.dialects.simd import LoadSlotOp, PtrType
from nnc.errors import InternalError
from nnc.lowering.convert_simd_to_llvm import is_kernel

NEEDS_STATE = "needs_state"
KERNEL_ABI = "kernel_abi"
STATE_SLOT = 0
_WORDS = PtrType(i64)
_ABI = (_WORDS, IndexType(), IndexType())


@dataclass(frozen=True)
class FinalizeKernelAbiPass(ModulePass):
    """Give every kernel the signature `(slots, begin, end)`."""

    name = "finalize-kernel-abi"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in op.ops:
            if is_kernel(kernel) and KERNEL_ABI not in kernel.attributes:
                assert isinstance(kernel, func.FuncOp)
                finalize_kernel(kernel)


def finalize_kernel(kernel: func.FuncOp) -> None:
    """Rewrite one kernel in place."""
    name = kernel.sym_name.data
    inputs = kernel.function_type.inputs.data
    if len(inputs) < 2 or inputs[-2:] != _ABI[-2:]:
        raise InternalError(
            f"finalize-kernel-abi: kernel '{name}' must end in two index arguments, "
            "the task range"
        )
    needs_state = NEEDS_STATE in kernel.attributes
    if needs_state and inputs[0] != _WORDS:
        raise InternalError(
            f"finalize-kernel-abi: kernel '{name}' needs the run state, but its first "
            f"argument is {inputs[0]}"
        )
    block = kernel.body.block
    slots = block.insert_arg(_WORDS, 0)
    slots.name_hint = "slots"
    first = block.first_op
    assert first is not None
    for position, old in enumerate(block.args[1:-2]):
        slot = slot_of(position, needs_state)
        load = LoadSlotOp(slots, slot, old.type)
        load.result.name_hint = old.name_hint
        block.insert_op_before(load, first)
        old.replace_all_uses_with(load.result)
        block.erase_arg(old)
    kernel.function_type = FunctionType.from_lists(list[Attribute](_ABI), [])
    kernel.arg_attrs = None
    kernel.attributes[KERNEL_ABI] = UnitAttr()


def slot_of(argument: int, needs_state: bool) -> int:
    """The slot that a kernel's argument of that position is read from."""
    if needs_state:
        return argument
    return argument + 1
