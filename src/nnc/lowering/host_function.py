"""The host function: steps of the host program as llvm blocks."""

from __future__ import annotations

from xdsl.builder import Builder
from xdsl.dialects import llvm
from xdsl.dialects.builtin import i8, i64
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.rewriter import InsertPoint

from nnc.dialects import llvmx
from nnc.lowering.host_helpers import (
    LAUNCH,
    REFUSE,
    STAMP,
    UPDATE,
    clock_declaration,
    compare,
    constant,
    launch_function,
    load,
    refuse_function,
    stamp_function,
    stopped,
    update_function,
    word,
)
from nnc.lowering.host_program import (
    IfStep,
    LaunchStep,
    LoopStep,
    Steps,
    Updates,
)
from nnc.runtime.state import END

_PTR = llvm.LLVMPointerType()
_UNBOUNDED = (1 << 63) - 1


class HostFunction:
    """Builds the host function, step by step."""

    def __init__(self, name: str) -> None:
        """A function without steps."""
        self._name = name
        self._blocks = [Block(arg_types=[_PTR, _PTR])]
        self._state, self._table = self._blocks[0].args
        self._state.name_hint, self._table.name_hint = "state", "table"
        self._builder = Builder(InsertPoint.at_end(self._blocks[0]))
        self._old = self._builder.insert(llvmx.EnterFloatStateOp()).old
        self._needs_update = self._needs_refuse = False

    def add(self, steps: Steps) -> None:
        """Append steps."""
        if steps.guard is not None:
            self._needs_refuse = True
            refused = self._load(self._word(steps.guard))
            self._call(REFUSE, self._state, refused)
        for step in steps.steps:
            match step:
                case LaunchStep():
                    self._add_launch(step)
                case IfStep():
                    self._add_if(step)
                case LoopStep():
                    self._add_loop(step)

    def finish(self) -> list[llvm.FuncOp]:
        """The function, behind the helpers that it calls."""
        self._call(STAMP, self._state, self._constant(END))
        self._builder.insert(llvmx.RestoreFloatStateOp(self._old))
        self._builder.insert(llvm.ReturnOp())
        type_ = llvm.LLVMFunctionType([_PTR, _PTR])
        linkage = llvm.LinkageAttr("external")
        body = Region(self._blocks)
        made = [llvm.FuncOp(self._name, type_, linkage=linkage, body=body)]
        if self._needs_refuse:
            made.insert(0, refuse_function())
        if self._needs_update:
            made.insert(0, update_function())
        return [clock_declaration(), stamp_function(), launch_function(), *made]

    # ---- steps

    def _add_launch(self, step: LaunchStep) -> None:
        begin, index = self._constant(step.begin), self._constant(step.index)
        kernel = self._builder.insert(llvm.AddressOfOp(step.kernel, _PTR)).result
        self._call(LAUNCH, self._state, self._table, begin, index, kernel)

    def _add_if(self, step: IfStep) -> None:
        flag = self._load_flag(step.condition)
        then, otherwise, merge = self._new_block(), self._new_block(), self._new_block()
        self._branch_if(self._not_zero(flag), then, otherwise)
        for block, steps in ((then, step.then), (otherwise, step.otherwise)):
            self._enter(block)
            self.add(steps)
            self._branch(merge)
        self._enter(merge)

    def _add_loop(self, step: LoopStep) -> None:
        if step.trips is not None:
            bound = self._load(self._word(step.trips))
        elif step.count is not None:
            bound = self._load(self._address(step.count))
        else:
            bound = self._constant(_UNBOUNDED)
        one = self._constant(1)
        flag = one if step.condition is None else self._load_flag(step.condition)
        head, body, done = self._new_block(i64, i64), self._new_block(), None
        self._branch(head, self._constant(0), flag)
        self._enter(head)
        iteration, goes_on = head.args
        is_below = self._compare("slt", iteration, bound)
        is_going = self._not_zero(goes_on)
        is_stopped = self._not_zero(stopped(self._builder, self._state))
        both = self._builder.insert(llvm.AndOp(is_below, is_going)).res
        # A stopped program computes nothing that could end the loop.
        done = self._new_block()
        checked = self._new_block()
        self._branch_if(both, checked, done)
        self._enter(checked)
        self._branch_if(is_stopped, done, body)
        self._enter(body)
        self._update(step.at_start, iteration)
        if step.iteration is not None:
            target = self._address(step.iteration)
            self._builder.insert(llvm.StoreOp(iteration, target))
        self.add(step.body)
        flag = one if step.following is None else self._load_flag(step.following)
        following = self._builder.insert(llvm.AddOp(iteration, one)).res
        self._branch(head, following, flag)
        self._enter(done)
        self._update(step.at_end, iteration)

    def _update(self, updates: Updates, number: SSAValue) -> None:
        if not updates.count:
            return
        self._needs_update = True
        begin, count = self._constant(updates.begin), self._constant(updates.count)
        self._call(UPDATE, self._table, begin, count, number)

    # ---- values

    def _constant(self, value: int) -> SSAValue:
        return constant(self._builder, value)

    def _word(self, index: int) -> SSAValue:
        return word(self._builder, self._table, index)

    def _load(self, pointer: SSAValue) -> SSAValue:
        return load(self._builder, pointer)

    def _address(self, index: int) -> SSAValue:
        """What the word of that number points to."""
        number = self._load(self._word(index))
        return self._builder.insert(llvm.IntToPtrOp(number)).output

    def _load_flag(self, index: int) -> SSAValue:
        """The boolean that the word of that number points to."""
        byte = self._builder.insert(llvm.LoadOp(self._address(index), i8))
        return self._builder.insert(llvm.ZExtOp(byte.dereferenced_value, i64)).res

    def _compare(self, how: str, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        return compare(self._builder, how, lhs, rhs)

    def _not_zero(self, value: SSAValue) -> SSAValue:
        return self._compare("ne", value, self._constant(0))

    def _call(self, name: str, *arguments: SSAValue) -> None:
        self._builder.insert(llvm.CallOp(name, *arguments))

    # ---- blocks

    def _new_block(self, *types: Attribute) -> Block:
        return Block(arg_types=types)

    def _enter(self, block: Block) -> None:
        self._blocks.append(block)
        self._builder = Builder(InsertPoint.at_end(block))

    def _branch(self, block: Block, *values: SSAValue) -> None:
        self._builder.insert(llvm.BrOp(block, *values))

    def _branch_if(self, condition: SSAValue, then: Block, otherwise: Block) -> None:
        self._builder.insert(llvm.CondBrOp(condition, then, (), otherwise, ()))
