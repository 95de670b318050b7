"""
Pass `convert-simd-to-llvm`: kernels to xDSL's llvm dialect.

Before: `func.func`s over `!simd.ptr` and `index` arguments, with scf, arith and simd
ops in one block. After: `llvm.func`s of basic blocks with explicit vector types, plus
declarations of the C library functions they call. Other functions (the host program)
stay as they are. One walk with a table from op class to converter; no patterns.

The width of vectors is the kernel's choice and is kept. The target decides which
instructions express an op: fused multiply-add, scaling, f16 conversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from xdsl.context import Context
from xdsl.dialects import func, llvm
from xdsl.dialects.builtin import IndexType, ModuleOp
from xdsl.ir import Block, Operation, Region
from xdsl.passes import ModulePass

from nnc.dialects.simd.types import PtrType
from nnc.lowering.convert_simd_to_llvm.builder import llvm_type
from nnc.lowering.convert_simd_to_llvm.lowering import Converter, KernelLowering
from nnc.target import Target
from nnc.target_record import record_target

_EXTERNAL = llvm.LinkageAttr("external")


@cache
def _converters() -> dict[type[Operation], Converter]:
    from nnc.lowering.convert_simd_to_llvm import (
        casts,
        compute,
        contract,
        control,
        memory,
        tiles,
    )

    return {
        **control.CONVERTERS,
        **memory.CONVERTERS,
        **compute.CONVERTERS,
        **casts.CONVERTERS,
        **contract.CONVERTERS,
        **tiles.CONVERTERS,
    }


def is_kernel(op: Operation) -> bool:
    """Whether an op is a kernel: a function of pointers and indices to nothing."""
    return (
        isinstance(op, func.FuncOp)
        and not op.is_declaration
        and not op.function_type.outputs.data
        and all(
            isinstance(t, PtrType | IndexType) for t in op.function_type.inputs.data
        )
    )


def convert_kernel(
    kernel: func.FuncOp, target: Target
) -> tuple[llvm.FuncOp, dict[str, llvm.LLVMFunctionType]]:
    """The llvm function of a kernel, and the C functions that it calls."""
    inputs = [llvm_type(t) for t in kernel.function_type.inputs.data]
    region = Region(Block(arg_types=inputs))
    lowering = KernelLowering(target, region, _converters())
    body = kernel.body.block
    for old, new in zip(body.args, region.blocks[0].args, strict=True):
        lowering.define(old, new)
    lowering.convert_ops(body.ops)
    converted = llvm.FuncOp(
        kernel.sym_name.data,
        llvm.LLVMFunctionType(inputs),
        linkage=_EXTERNAL,
        body=region,
    )
    return converted, lowering.b.externals


@dataclass(frozen=True)
class ConvertSimdToLlvmPass(ModulePass):
    """Lower every kernel of the module to the llvm dialect."""

    name = "convert-simd-to-llvm"

    target: str = "native"
    """Name of the machine to generate code for."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        # Asking the machine imports LLVM.
        from nnc.backend.host import resolve_target

        target = resolve_target(self.target)
        record_target(op, target)
        convert_module(op, target)


def convert_module(module: ModuleOp, target: Target) -> None:
    """Replace the kernels of a module in place."""
    externals: dict[str, llvm.LLVMFunctionType] = {}
    for op in list(module.ops):
        if is_kernel(op):
            assert isinstance(op, func.FuncOp)
            converted, called = convert_kernel(op, target)
            externals |= called
            module.body.block.insert_op_before(converted, op)
            op.detach()
            op.erase()
    for name, type in sorted(externals.items()):
        if not any(
            isinstance(o, llvm.FuncOp) and o.sym_name.data == name for o in module.ops
        ):
            module.body.block.add_op(llvm.FuncOp(name, type, linkage=_EXTERNAL))
