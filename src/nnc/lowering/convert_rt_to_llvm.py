"""
convert-rt-to-llvm: the host function becomes calls of kernels, and data.

Before::

    func.func @main(%x: !rt.buffer<..>, %y: !rt.buffer<..> {rt.output}) {
      rt.launch @relu(%x, %y) {dims = #nn.shape<>, tasks = #nn.shape<4>} : ...
      func.return
    }

After::

    llvm.func @nnc_run(%state: !llvm.ptr, %table: !llvm.ptr) {
      %n = llvm.call @nnc_next_launch(%state, %table, %begin, %index)
      %slots = llvm.getelementptr %table[1]
      llvm.call @relu(%slots, %zero, %n)
      llvm.return
    }

and the module carries the attribute `rt.plan`, the text of a `Plan`: what the executor
needs in order to fill the table. The table holds, for each launch one after another,
the number of tasks and the slots of the kernel. Before each launch the state is looked
at: after a cancellation or an error the remaining kernels get no tasks.

The state is `STATE_WORDS` words: cancel flag, error code, site, detail, launch index.

On entry: kernels are llvm functions of the kernel ABI, buffers are planned. On exit: no
rt op is left.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import llvm
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from nnc.context import weights_of
from nnc.dialects import rt
from nnc.lowering.make_plan import make_plan
from nnc.runtime.artifact import Plan
from nnc.runtime.state import StateWord

PLAN = "rt.plan"
"""Module attribute with the plan's text."""

NEXT_LAUNCH = "nnc_next_launch"

_PTR = llvm.LLVMPointerType()
_EXTERNAL = llvm.LinkageAttr("external")


@dataclass(frozen=True)
class ConvertRtToLlvmPass(ModulePass):
    """Turn the host function into calls, and its data into the module's plan."""

    name = "convert-rt-to-llvm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Convert the host function of a module."""
        for function in list(op.body.block.ops):
            if isinstance(function, FuncOp) and _is_host(function):
                plan = make_plan(function, weights_of(ctx))
                op.attributes[PLAN] = StringAttr(plan.to_json())
                op.body.block.insert_ops_before([_next_launch(), _host(plan)], function)
                function.detach()
                function.erase()


def _is_host(function: FuncOp) -> bool:
    return not function.is_declaration and all(
        isinstance(t, rt.BufferType) for t in function.function_type.inputs
    )


def _host(plan: Plan) -> llvm.FuncOp:
    """The calls of all launches of a plan, in order."""
    region = Region(Block(arg_types=[_PTR, _PTR]))
    state, table = region.block.args
    state.name_hint, table.name_hint = "state", "table"
    builder = Builder(InsertPoint.at_end(region.block))
    zero = _constant(builder, 0)
    begin = 0
    for index, launch in enumerate(plan.launches):
        call = llvm.CallOp(
            NEXT_LAUNCH,
            state,
            table,
            _constant(builder, begin),
            _constant(builder, index),
            return_type=i64,
        )
        tasks = builder.insert(call).returned
        assert tasks is not None
        slots = _word(builder, table, begin + 1)
        builder.insert(llvm.CallOp(launch.kernel, slots, zero, tasks))
        begin += 1 + len(launch.slots)
    builder.insert(llvm.ReturnOp())
    type_ = llvm.LLVMFunctionType([_PTR, _PTR])
    return llvm.FuncOp(plan.entry, type_, linkage=_EXTERNAL, body=region)


def _next_launch() -> llvm.FuncOp:
    """How many tasks to run: those in the table at `begin`, or none after a stop."""
    entry = Block(arg_types=[_PTR, _PTR, i64, i64])
    run, stop = Block(), Block()
    state, table, begin, index = entry.args
    builder = Builder(InsertPoint.at_end(entry))
    cancel = _load(builder, _word(builder, state, StateWord.CANCEL))
    error = _load(builder, _word(builder, state, StateWord.ERROR))
    either = builder.insert(llvm.OrOp(cancel, error)).res
    zero = _constant(builder, 0)
    stopped = builder.insert(
        llvm.ICmpOp(either, zero, IntegerAttr(llvm.ICmpPredicateFlag.NE.to_int(), i64))
    ).res
    builder.insert(llvm.CondBrOp(stopped, stop, (), run, ()))
    builder = Builder(InsertPoint.at_end(run))
    builder.insert(llvm.StoreOp(index, _word(builder, state, StateWord.LAUNCH)))
    address = llvm.GEPOp(table, [llvm.GEP_USE_SSA_VAL], i64, [begin])
    builder.insert(address)
    builder.insert(llvm.ReturnOp(_load(builder, address.result)))
    Builder(InsertPoint.at_end(stop)).insert(llvm.ReturnOp(zero))
    return llvm.FuncOp(
        NEXT_LAUNCH,
        llvm.LLVMFunctionType([_PTR, _PTR, i64, i64], i64),
        linkage=llvm.LinkageAttr("internal"),
        body=Region([entry, run, stop]),
    )


def _constant(builder: Builder, value: int) -> SSAValue:
    return builder.insert(llvm.ConstantOp(IntegerAttr(value, i64), i64)).result


def _word(builder: Builder, pointer: SSAValue, index: int) -> SSAValue:
    return builder.insert(llvm.GEPOp(pointer, [index], i64)).result


def _load(builder: Builder, pointer: SSAValue) -> SSAValue:
    return builder.insert(llvm.LoadOp(pointer, i64)).dereferenced_value
