"""From a module that was split into stages to the record of its steps: no IR."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from xdsl.dialects.builtin import (
    DictionaryAttr,
    ModuleOp,
    StringAttr,
    TensorType,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Operation, SSAValue

from nnc.dialects.nn.base import ints, location_of
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.program import DefineDimsOp, HostOp, RunStageOp, ValueType
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.errors import CompileError
from nnc.interpreters.nn.inputs import input_names, main_of
from nnc.runtime.artifact import SymbolSource
from nnc.runtime.program_plan import (
    GraphUse,
    HostCall,
    ProgramPlan,
    SizesRead,
    StageCall,
    Step,
    ValueSpec,
)

NAME = "nn.name"


def make_program(module: ModuleOp) -> tuple[ProgramPlan, list[ModuleOp]]:
    """
    The steps of a split module, and the modules of its stages.

    Raises:
        CompileError: something in `@main` is no step.
    """
    main = main_of(module)
    stages = [op for op in module.body.block.ops if isinstance(op, ModuleOp)]
    order = {s.sym_name.data: i for i, s in enumerate(stages) if s.sym_name is not None}
    return _Recorder(main, order).plan(), stages


class _Recorder:
    def __init__(self, main: FuncOp, stages: dict[str, int]) -> None:
        self.main = main
        self.stages = stages
        self.numbers: dict[SSAValue, int] = {}

    def plan(self) -> ProgramPlan:
        """The whole record."""
        block = self.main.body.block
        end = block.last_op
        assert isinstance(end, ReturnOp)
        self._number(block.args)
        steps = [self._step(op) for op in block.ops if op is not end]
        results = tuple(self.numbers[v] for v in end.operands)
        return ProgramPlan(
            inputs=tuple(map(_spec, input_names(self.main), block.args)),
            outputs=tuple(map(_spec, _output_names(self.main), end.operands)),
            results=results,
            values=len(self.numbers),
            symbols=self._symbols(),
            steps=tuple(_with_last_reads(steps, {*results, *range(len(block.args))})),
        )

    def _number(self, values: Sequence[SSAValue]) -> tuple[int, ...]:
        for value in values:
            self.numbers[value] = len(self.numbers)
        return tuple(self.numbers[v] for v in values)

    def _step(self, op: Operation) -> Step:
        inputs = tuple(self.numbers[v] for v in op.operands)
        outputs = self._number(op.results)
        node = location_of(op)
        match op:
            case RunStageOp():
                sizes = tuple(map(str, op.sizes.dims))
                number = self.stages[op.stage.root_reference.data]
                return Step("", inputs, outputs, stage=StageCall(number, sizes))
            case DefineDimsOp():
                read = SizesRead(op.names, op.what.data)
                return Step(node, inputs, outputs, sizes=read)
            case HostOp():
                return Step(node, inputs, outputs, host=_host_call(op))
            case _:
                raise CompileError(
                    f"{op.name} is no step of a program; run split-stages first"
                )

    def _symbols(self) -> tuple[SymbolSource, ...]:
        """The first axis of an input that shows each symbol."""
        found: dict[str, SymbolSource] = {}
        for index, argument in enumerate(self.main.args):
            if not isinstance(argument.type, TensorType):
                continue
            for axis, dim in enumerate(dims_of(argument)):
                if dim.symbols == frozenset((str(dim),)):
                    found.setdefault(str(dim), SymbolSource(str(dim), index, axis))
        return tuple(found.values())


def _host_call(op: HostOp) -> HostCall:
    text = op.graphs.data if op.graphs is not None else "{}"
    graphs = cast("dict[str, tuple[str, list[int]]]", json.loads(text))
    return HostCall(
        domain=op.domain.data,
        op_type=op.op_type.data,
        version=op.version.value.data,
        attributes=op.attributes_text.data,
        inputs=ints(op.inputs),
        graphs=tuple(
            GraphUse(name, resource, tuple(captured))
            for name, (resource, captured) in graphs.items()
        ),
        results=tuple(_spec("result", r) for r in op.res),
    )


def _spec(name: str, value: SSAValue) -> ValueSpec:
    if isinstance(value.type, ValueType):
        return ValueSpec(name, kind=value.type.kind.data)
    dtype = numpy_dtype(element_type_of(value)).name
    return ValueSpec(name, dtype, tuple(map(str, dims_of(value))))


def _output_names(main: FuncOp) -> list[str]:
    end = main.body.block.last_op
    assert end is not None
    entries = list(main.res_attrs.data) if main.res_attrs is not None else []
    entries += [DictionaryAttr({})] * (len(end.operands) - len(entries))
    return [_text(e.data.get(NAME)) or f"output{i}" for i, e in enumerate(entries)]


def _text(attribute: Attribute | None) -> str | None:
    return attribute.data if isinstance(attribute, StringAttr) else None


def _with_last_reads(steps: Sequence[Step], kept: set[int]) -> list[Step]:
    """The steps, each with the values that nothing reads after it."""
    later = set(kept)
    result: list[Step] = []
    for step in reversed(steps):
        touched = {*step.inputs, *step.outputs}
        dead = tuple(sorted(touched - later))
        later |= touched
        result.append(replace(step, last_reads=dead) if dead else step)
    return result[::-1]
