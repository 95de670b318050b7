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
      llvm.call @nnc_stamp(%state, %end)
      llvmx.restore_float_state %old
      llvm.return
    }

and the module carries the attribute `rt.plan`, the text of a `Plan`: what the executor
needs in order to fill the table. The table holds, for each launch one after another,
the number of tasks, the number of threads that they are worth, and the slots of the
kernel. Before each launch the state is looked at: after a cancellation or an error the
remaining kernels get no tasks. A launch worth several threads is handed to the function
whose address the state holds, if it does; otherwise all tasks are done here. If the
state holds the address of a log, times are written there before each launch and at the
end: `CompiledModel.profile` costs other runs one load a launch.

Branches and loops become blocks. A loop keeps up the slots that move with its
iterations by a call of `@nnc_update`, which walks over records in the table; see
`nnc.lowering.control_words`.

The state is `STATE_WORDS` words; `StateWord` lists them.

On entry: kernels are llvm functions of the kernel ABI, buffers are planned. On exit: no
rt op is left.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from nnc.context import weights_of
from nnc.dialects import rt
from nnc.lowering.host_function import HostFunction
from nnc.lowering.make_plan import make_plan

PLAN = "rt.plan"
"""Module attribute with the plan's text."""


@dataclass(frozen=True)
class ConvertRtToLlvmPass(ModulePass):
    """Turn the host function into calls, and its data into the module's plan."""

    name = "convert-rt-to-llvm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Convert the host function of a module."""
        for function in list(op.body.block.ops):
            if isinstance(function, FuncOp) and _is_host(function):
                plan, steps = make_plan(function, weights_of(ctx))
                op.attributes[PLAN] = StringAttr(plan.to_json())
                host = HostFunction(plan.entry)
                host.add(steps)
                op.body.block.insert_ops_before(host.finish(), function)
                function.detach()
                function.erase()


def _is_host(function: FuncOp) -> bool:
    return not function.is_declaration and all(
        isinstance(t, rt.BufferType) for t in function.function_type.inputs
    )
