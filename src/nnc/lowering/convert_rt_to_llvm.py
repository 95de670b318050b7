"""
convert-rt-to-llvm: the host function becomes calls of kernels, and data.

Before::

    func.func @main(%x: !rt.buffer<..>, %y: !rt.buffer<..> {rt.output}) {
      rt.launch @relu(%x, %y) {dims = #nn.shape<>, tasks = #nn.shape<4>} : ...
      func.return
    }

After::

    llvm.func @nnc_run(%state: !llvm.ptr, %table: !llvm.ptr) {
      %old = llvmx.enter_float_state
      %kernel = llvm.mlir.addressof @relu
      llvm.call @nnc_launch(%state, %table, %begin, %index, %kernel)
      llvmx.restore_float_state %old
      llvm.return
    }

and the module carries the attribute `rt.plan`, the text of a `Plan`: what the executor
needs in order to fill the table. The table holds, for each launch one after another,
the number of tasks, the number of threads that they are worth, and the slots of the
kernel. Before each launch the state is looked at: after a cancellation or an error the
remaining kernels get no tasks. A launch worth several threads is handed to the function
whose address the state holds, if it does; otherwise all tasks are done here.

The state is `STATE_WORDS` words; `StateWord` lists them.

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
from nnc.dialects import llvmx, rt
from nnc.lowering.make_plan import make_plan
from nnc.runtime.artifact import RECORD_WORDS, Plan
from nnc.runtime.state import StateWord

PLAN = "rt.plan"
"""Module attribute with the plan's text."""

LAUNCH = "nnc_launch"
"""The function that runs one launch."""

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
                op.body.block.insert_ops_before([_launch(), _host(plan)], function)
                function.detach()
                function.erase()


def _is_host(function: FuncOp) -> bool:
    return not function.is_declaration and all(
        isinstance(t, rt.BufferType) for t in function.function_type.inputs
    )


def _host(plan: Plan) -> llvm.FuncOp:
    """The launches of a plan, in order."""
    region = Region(Block(arg_types=[_PTR, _PTR]))
    state, table = region.block.args
    state.name_hint, table.name_hint = "state", "table"
    builder = Builder(InsertPoint.at_end(region.block))
    old = builder.insert(llvmx.EnterFloatStateOp()).old
    begin = 0
    for index, launch in enumerate(plan.launches):
        where, number = _constant(builder, begin), _constant(builder, index)
        kernel = builder.insert(llvm.AddressOfOp(launch.kernel, _PTR)).result
        builder.insert(llvm.CallOp(LAUNCH, state, table, where, number, kernel))
        begin += RECORD_WORDS + len(launch.slots)
    builder.insert(llvmx.RestoreFloatStateOp(old))
    builder.insert(llvm.ReturnOp())
    type_ = llvm.LLVMFunctionType([_PTR, _PTR])
    return llvm.FuncOp(plan.entry, type_, linkage=_EXTERNAL, body=region)


def _launch() -> llvm.FuncOp:
    """Run a kernel on the tasks of its record at `begin`, or on none after a stop."""
    entry = Block(arg_types=[_PTR, _PTR, i64, i64, _PTR])
    run, ask, share, alone, stop = (Block() for _ in range(5))
    state, table, begin, index, kernel = entry.args
    builder = Builder(InsertPoint.at_end(entry))
    cancel = _load(builder, _word(builder, state, StateWord.CANCEL))
    error = _load(builder, _word(builder, state, StateWord.ERROR))
    either = builder.insert(llvm.OrOp(cancel, error)).res
    stopped = _compare(builder, "ne", either, 0)
    builder.insert(llvm.CondBrOp(stopped, stop, (), run, ()))

    builder = Builder(InsertPoint.at_end(run))
    builder.insert(llvm.StoreOp(index, _word(builder, state, StateWord.LAUNCH)))
    record = llvm.GEPOp(table, [llvm.GEP_USE_SSA_VAL], i64, [begin])
    builder.insert(record)
    tasks = _load(builder, record.result)
    ways = _load(builder, _word(builder, record.result, 1))
    slots = _word(builder, record.result, RECORD_WORDS)
    are_many = _compare(builder, "ugt", ways, 1)
    builder.insert(llvm.CondBrOp(are_many, ask, (), alone, ()))

    builder = Builder(InsertPoint.at_end(ask))
    word = _word(builder, state, StateWord.PARALLEL)
    parallel = builder.insert(llvm.LoadOp(word, _PTR)).dereferenced_value
    address = builder.insert(llvm.PtrToIntOp(parallel, i64)).output
    has_pool = _compare(builder, "ne", address, 0)
    builder.insert(llvm.CondBrOp(has_pool, share, (), alone, ()))

    builder = Builder(InsertPoint.at_end(share))
    _call(builder, parallel, kernel, slots, tasks, ways)
    builder.insert(llvm.ReturnOp())

    builder = Builder(InsertPoint.at_end(alone))
    _call(builder, kernel, slots, _constant(builder, 0), tasks)
    builder.insert(llvm.ReturnOp())

    Builder(InsertPoint.at_end(stop)).insert(llvm.ReturnOp())
    return llvm.FuncOp(
        LAUNCH,
        llvm.LLVMFunctionType([_PTR, _PTR, i64, i64, _PTR]),
        linkage=llvm.LinkageAttr("internal"),
        body=Region([entry, run, ask, share, alone, stop]),
    )


def _call(builder: Builder, function: SSAValue, *arguments: SSAValue) -> None:
    """Call a function by its address."""
    op = llvm.CallOp("", function, *arguments)
    del op.properties["callee"]
    builder.insert(op)


def _compare(
    builder: Builder, predicate: str, value: SSAValue, number: int
) -> SSAValue:
    flag = llvm.ICmpPredicateFlag(predicate)
    other = _constant(builder, number)
    attribute = IntegerAttr(flag.to_int(), i64)
    return builder.insert(llvm.ICmpOp(value, other, attribute)).res


def _constant(builder: Builder, value: int) -> SSAValue:
    return builder.insert(llvm.ConstantOp(IntegerAttr(value, i64), i64)).result


def _word(builder: Builder, pointer: SSAValue, index: int) -> SSAValue:
    return builder.insert(llvm.GEPOp(pointer, [index], i64)).result


def _load(builder: Builder, pointer: SSAValue) -> SSAValue:
    return builder.insert(llvm.LoadOp(pointer, i64)).dereferenced_value
