"""
split-stages: a function with steps that native code cannot do, cut into stages.

Before::

    func.func @main(%x: tensor<4xi1>) -> tensor<?xi64, #nn.shape<n>> {
      %i, %c = nn.compact %x
      nn.define_dims %c {symbols = #nn.shape<n>, what = "the count"}
      %r = nn.slice %i {offsets = #nn.shape<0>, …} -> tensor<?xi64, #nn.shape<n>>
      func.return %r
    }

After::

    builtin.module @stage0 { func.func @main(%x) { %i, %c = nn.compact %x … } }
    builtin.module @stage1 { func.func @main(%i, %sizes) { nn.slice %i … } }
    func.func @main(%x: tensor<4xi1>) -> tensor<?xi64, #nn.shape<n>> {
      %i, %c = nn.run_stage %x {stage = @stage0, sizes = #nn.shape<>}
      nn.define_dims %c {symbols = #nn.shape<n>, what = "the count"}
      %r = nn.run_stage %i {stage = @stage1, sizes = #nn.shape<n>}
      func.return %r
    }

Stages are numbered by what they wait for: an op belongs to the first stage at whose
start all steps have run whose results or symbols it needs. So there are as few stages
as the longest chain of steps has links. Views and constants belong to no stage: each
that reads one has a copy of its own, so that what crosses the border is not a copy of
a part of an array, but the array.

On entry: an `nn` module with the function `@main`. On exit: it has no step among its
other ops, or `@main` consists of steps and `nn.run_stage` alone. A stage's argument
with the attribute `nn.symbols` holds the values of these symbols. Symbols that nothing
uses are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    ModuleOp,
    StringAttr,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, OpResult, Region, SSAValue
from xdsl.passes import ModulePass

from nnc.analysis.symbols import (
    drop_unused_symbols,
    symbols_in_types,
    symbols_of,
)
from nnc.analysis.views import VIEWS
from nnc.dialects.nn.base import LOCATION, copy_location
from nnc.dialects.nn.movement import BroadcastOp, IotaOp
from nnc.dialects.nn.program import PROGRAM_OPS, DefineDimsOp, RunStageOp, ValueType
from nnc.dialects.nn.structure import ConstantOp, DimsOp, WeightOp
from nnc.dialects.nn.types import I64, ShapeAttr, dims_of, tensor_type
from nnc.interpreters.nn.inputs import input_names, main_of
from nnc.symbolic import Dim

NAME = "nn.name"
SYMBOLS = "nn.symbols"
SIZES = "sizes"
"""What the argument is called that holds the values of symbols."""

_COPIED = VIEWS | {BroadcastOp, IotaOp, ConstantOp, DimsOp, WeightOp}


@dataclass(frozen=True)
class SplitStagesPass(ModulePass):
    """Cuts a function at the steps that the host does."""

    name = "split-stages"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Split `@main`, if there is anything to split at."""
        if has_steps(op):
            _Splitter(op).run()


def has_steps(module: ModuleOp) -> bool:
    """Whether a module needs to be split."""
    if is_split(module):
        return False
    inputs = (a for f in module.ops if isinstance(f, FuncOp) for a in f.args)
    return any(isinstance(a.type, ValueType) for a in inputs) or any(
        isinstance(op, PROGRAM_OPS) for op in module.walk()
    )


def is_split(module: ModuleOp) -> bool:
    """Whether a module consists of stages and a function that runs them."""
    return any(isinstance(op, ModuleOp) for op in module.body.block.ops)


@dataclass
class _Stage:
    """One stretch of native code: its ops, and what others read of them."""

    ops: list[Operation] = field(default_factory=list[Operation])
    outputs: dict[SSAValue, None] = field(default_factory=dict[SSAValue, None])


class _Splitter:
    def __init__(self, module: ModuleOp) -> None:
        self.module = module
        self.main = main_of(module)
        self.block = self.main.body.block
        self.ready: dict[SSAValue, int] = {}
        """The first stage that can read a value."""
        self.given = symbols_in_types(self.block.args)
        self.defined: dict[str, int] = {}
        """The first stage that can use a symbol that is not given by an input."""
        self.stages: dict[int, _Stage] = {}
        self.level_of: dict[Operation, int] = {}
        """The stage of an op that is computed in just one."""
        self.steps: dict[int, list[Operation]] = {}
        """Steps by the stage that comes after them."""
        self.values: dict[SSAValue, SSAValue] = {}
        """What the values of the function are in the new one."""

    def run(self) -> None:
        """Replace the body of the function, and add modules before it."""
        drop_unused_symbols(self.block)
        end = self.block.last_op
        assert isinstance(end, ReturnOp)
        for op in self.block.ops:
            if op is not end:
                self._place(op)
        for value in end.operands:
            self._demand(value)
        for stage in self.stages.values():
            for op in stage.ops:
                self._cross_borders(op)
        self._rebuild(end)

    # ---- where each op goes

    def _place(self, op: Operation) -> None:
        level = max(
            (
                *(self.ready.get(v, 0) for v in op.operands),
                *(self.defined.get(s, 0) for s in symbols_of(op)),
            ),
            default=0,
        )
        if isinstance(op, PROGRAM_OPS):
            level = max((self._demand(v) for v in op.operands), default=0)
            self.steps.setdefault(level, []).append(op)
            names = op.names if isinstance(op, DefineDimsOp) else ()
            for name in (*names, *symbols_in_types(op.results)):
                if name not in self.given:
                    self.defined.setdefault(name, level)
        elif not _is_copied(op):
            self.level_of[op] = level
            self.stages.setdefault(level, _Stage()).ops.append(op)
        self.ready.update(dict.fromkeys(op.results, level))

    def _demand(self, value: SSAValue) -> int:
        """Have a value ready between stages; the first stage that comes after that."""
        level = self.ready.get(value, 0)
        if not isinstance(value, OpResult) or isinstance(value.op, PROGRAM_OPS):
            return level
        self.stages.setdefault(level, _Stage()).outputs[value] = None
        return level + 1

    def _cross_borders(self, op: Operation) -> None:
        """Let other stages give an op what it reads of theirs."""
        level = self.level_of[op]
        for operand in op.operands:
            for root in self._roots(operand):
                source = root.owner
                if isinstance(source, Operation) and source in self.level_of:
                    other = self.level_of[source]
                    if other != level:
                        self.stages[other].outputs[root] = None

    def _roots(self, value: SSAValue) -> Iterable[SSAValue]:
        """What is not copied of all that a value is made from."""
        if isinstance(value, OpResult) and _is_copied(value.op):
            return [root for o in value.op.operands for root in self._roots(o)]
        return [value]

    # ---- the new text

    def _rebuild(self, end: ReturnOp) -> None:
        # Outputs that are views: what they show has to cross the border as well.
        for level, stage in self.stages.items():
            for value in list(stage.outputs):
                for root in self._roots(value):
                    source = root.owner
                    if isinstance(source, Operation):
                        other = self.level_of.get(source, level)
                        if other != level:
                            self.stages[other].outputs[root] = None
        new = Block(arg_types=[a.type for a in self.block.args])
        for old, argument in zip(self.block.args, new.args, strict=True):
            argument.name_hint = old.name_hint
        self.values.update(zip(self.block.args, new.args, strict=True))
        modules: list[ModuleOp] = []
        for level in range(max((*self.stages, *self.steps), default=-1) + 1):
            for step in self.steps.get(level, ()):
                copy = step.clone(self.values)
                new.add_op(copy)
                self.values.update(zip(step.results, copy.results, strict=True))
            stage = self.stages.get(level)
            if stage is not None and stage.outputs:
                modules.append(self._add_stage(new, level, stage, len(modules)))
        new.add_op(ReturnOp(*(self.values[v] for v in end.operands)))
        self.block.drop_all_references()
        old = self.main.detach_region(self.main.body)
        old.drop_all_references()
        self.main.add_region(Region(new))
        self.module.body.block.insert_ops_before(modules, self.main)

    def _add_stage(
        self, new: Block, level: int, stage: _Stage, number: int
    ) -> ModuleOp:
        name = f"stage{number}"
        made = _StageBuilder(self, level)
        outputs = made.build(stage)
        run = RunStageOp(
            name,
            [self.values[v] for v in made.inputs],
            made.sizes,
            [v.type for v in outputs],
        )
        new.add_op(run)
        for old, result in zip(outputs, run.res, strict=True):
            result.name_hint = old.name_hint
            self.values[old] = result
        function = made.function(self._name_of)
        return ModuleOp([function], sym_name=StringAttr(name))

    def _name_of(self, value: SSAValue) -> str:
        """What a value is called in errors."""
        if not isinstance(value, OpResult):
            return input_names(self.main)[self.block.args.index(value)]
        location = value.op.attributes.get(LOCATION)
        text = location.data if isinstance(location, StringAttr) else value.op.name
        count = len(value.op.results)
        return text if count == 1 else f"{text}#{value.index}"


class _StageBuilder:
    """Builds the function of one stage."""

    def __init__(self, splitter: _Splitter, level: int) -> None:
        self.splitter = splitter
        self.level = level
        self.block = Block()
        self.inputs: list[SSAValue] = []
        """What it reads from outside, in the order of its arguments."""
        self.sizes: list[Dim] = []
        self.inside: dict[SSAValue, SSAValue] = {}

    def build(self, stage: _Stage) -> list[SSAValue]:
        """Fill the block; the outer values of the stage that it gives, in order."""
        for op in stage.ops:
            self._copy(op)
        outputs = list(stage.outputs)
        self.block.add_op(ReturnOp(*(self._inner(v) for v in outputs)))
        self._add_sizes()
        return outputs

    def function(self, name_of: Callable[[SSAValue], str]) -> FuncOp:
        """The function around the block."""
        end = self.block.last_op
        assert end is not None
        entries: list[dict[str, Attribute]] = [
            {NAME: StringAttr(name_of(v))} for v in self.inputs
        ]
        if self.sizes:
            sizes = ShapeAttr.of(self.sizes)
            entries.append({NAME: StringAttr(SIZES), SYMBOLS: sizes})
        return FuncOp(
            "main",
            ([a.type for a in self.block.args], [v.type for v in end.operands]),
            Region(self.block),
            arg_attrs=ArrayAttr(DictionaryAttr(e) for e in entries),
        )

    def _copy(self, op: Operation) -> None:
        for operand in op.operands:
            self._inner(operand)
        copy = op.clone(self.inside)
        copy_location(op, copy)
        self.block.add_op(copy)
        self.inside.update(zip(op.results, copy.results, strict=True))

    def _inner(self, value: SSAValue) -> SSAValue:
        if value in self.inside:
            return self.inside[value]
        if isinstance(value, OpResult) and _is_copied(value.op):
            # What another stage has made of it is read only by steps.
            self._copy(value.op)
            return self.inside[value]
        argument = self.block.insert_arg(value.type, len(self.block.args))
        argument.name_hint = value.name_hint
        self.inputs.append(value)
        self.inside[value] = argument
        return argument

    def _add_sizes(self) -> None:
        """An argument for the symbols that no shape shows."""
        used = {s: None for op in self.block.ops for s in sorted(symbols_of(op))}
        shown: set[str] = set()
        for argument in self.block.args:
            for dim in dims_of(argument):
                used.update(dict.fromkeys(sorted(dim.symbols)))
                if dim.symbols == frozenset((str(dim),)):
                    shown.add(str(dim))
        self.sizes = [Dim.symbol(s) for s in used if s not in shown]
        if self.sizes:
            type_ = tensor_type(I64, [len(self.sizes)])
            self.block.insert_arg(type_, len(self.block.args))


def _is_copied(op: Operation) -> bool:
    """Whether each stage that needs an op has one of its own."""
    return type(op) in _COPIED
