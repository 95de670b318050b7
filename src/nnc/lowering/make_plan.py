"""From the host function to the `Plan` of the executor: plain records, no IR."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from xdsl.dialects.builtin import (
    ArrayAttr,
    BytesAttr,
    DictionaryAttr,
    IntegerAttr,
    StringAttr,
)
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Block, BlockArgument, Region, SSAValue

from nnc.dialects import rt
from nnc.dialects.nn.base import LOCATION
from nnc.dialects.nn.constants import dense_array
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.types import ShapeAttr
from nnc.dialects.rt.types import buffer_type_of
from nnc.errors import CompileError
from nnc.lowering.control_words import ControlWords
from nnc.lowering.host_program import IfStep, LaunchStep, LoopStep, Step, Steps
from nnc.runtime import artifact
from nnc.symbolic import Dim, DimLike
from nnc.weights import WeightStore

NAME = "nn.name"
SYMBOLS = "nn.symbols"
OUTPUT = "rt.output"


@dataclass(frozen=True)
class _Memory:
    """What a buffer shows: a base, and how far from it, in bytes."""

    base: artifact.Base
    index: int
    offset: Dim


class _Exprs:
    """The distinct expressions of a plan, numbered."""

    def __init__(self) -> None:
        self._positions: dict[Dim, int] = {}

    def add(self, dim: DimLike) -> int:
        """The position of an expression."""
        return self._positions.setdefault(Dim.of(dim), len(self._positions))

    def __iter__(self) -> Iterator[Dim]:
        return iter(self._positions)

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them, in order."""
        return tuple(map(str, self._positions))


def make_plan(function: FuncOp, weights: WeightStore) -> tuple[artifact.Plan, Steps]:
    """
    The plan of a host function over planned buffers, and what the function does.

    The values of rt.constant ops are added to `weights`.

    Raises:
        CompileError: a dim uses a symbol that is not the size of an input's axis.
    """
    return _Planner(function, weights).plan()


class _Planner:
    def __init__(self, function: FuncOp, weights: WeightStore) -> None:
        self.function = function
        self.store = weights
        self.exprs = _Exprs()
        self.memory: dict[SSAValue, _Memory] = {}
        self.allocations: list[artifact.Allocation] = []
        self.weights: list[artifact.Weight] = []
        self.launches: list[artifact.Launch] = []
        self.begin = 0
        """Where the words of the next launch start in the table."""
        self.constraints: list[artifact.Constraint] = []
        self.sizes: dict[tuple[Dim, int], str] = {}
        self.ops: dict[str, tuple[str, ...]] = {}
        self.words = ControlWords(self.exprs.add)
        self.listed: dict[int, tuple[str, ...]] = {}
        """The symbols whose values are the elements of an input, by its position."""
        self.guard = -1
        """The guard of the region that the walk is in."""

    def plan(self) -> tuple[artifact.Plan, Steps]:
        """The plan and the program, after one walk."""
        inputs, outputs = self._arguments()
        steps = self._visit(self.function.body.block)
        control, guards, resolve = self.words.finish(
            sum(artifact.RECORD_WORDS + len(n.slots) for n in self.launches)
        )
        plan = artifact.Plan(
            inputs=inputs,
            outputs=outputs,
            symbols=tuple(self.symbols.values()),
            constraints=tuple(dict.fromkeys(self.constraints)),
            sizes=tuple(
                artifact.SizeCheck(self.exprs.add(dim), node, guard)
                for (dim, guard), node in self.sizes.items()
            ),
            allocations=tuple(self.allocations),
            weights=tuple(self.weights),
            launches=tuple(self.launches),
            kernels=tuple(artifact.Kernel(n, o) for n, o in self.ops.items()),
            exprs=self.exprs.texts,
            control=control,
            guards=guards,
        )
        return self._checked(plan), resolve(Steps(tuple(steps)))

    def _visit(self, block: Block) -> list[Step]:
        steps: list[Step] = []
        for op in block.ops:
            match op:
                case rt.IfOp():
                    steps.append(self._add_if(op))
                case rt.LoopOp():
                    steps.append(self._add_loop(op))
                case rt.AllocOp():
                    self._add_alloc(op)
                case rt.WeightOp():
                    self._add_weight(op.result, op.resource.data)
                case rt.ConstantOp():
                    array = dense_array(op.value)
                    self._add_weight(op.result, self.store.add("constant", array))
                case rt.ViewOp():
                    source = self.memory[op.source]
                    size = buffer_type_of(op.source).element_bytes
                    self.memory[op.result] = _Memory(
                        source.base, source.index, source.offset + op.offset_dim * size
                    )
                case rt.LaunchOp():
                    steps.append(self._add_launch(op))
                case rt.AssertEqualOp():
                    self._add_constraints(op)
                case _:
                    pass
        return steps

    def _add_constraints(self, op: rt.AssertEqualOp) -> None:
        for lhs, rhs in zip(op.lhs.dims, op.rhs.dims, strict=True):
            node = _text(op.attributes.get(LOCATION)) or ""
            self.constraints.append(
                artifact.Constraint(
                    self.exprs.add(lhs), self.exprs.add(rhs), node, self._guarded()
                )
            )

    # ---- branches and loops

    def _region(self, region: Region) -> Steps:
        """What a region does, behind a guard of its own if it needs one."""
        outer = self.guard
        self.guard = self.words.open_guard()
        steps = self._visit(region.block)
        guard = self.words.close_guard(self.guard)
        number, self.guard = self.guard, outer
        return Steps(tuple(steps), guard, number)

    def _guarded(self) -> int:
        """The guard for a check that belongs here."""
        if self.guard >= 0:
            self.words.use_guard(self.guard)
        return self.guard

    def _add_if(self, op: rt.IfOp) -> IfStep:
        condition = self._address_word(op.condition)
        then, otherwise = (self._region(r) for r in op.regions)
        return IfStep(condition, then, otherwise)

    def _add_loop(self, op: rt.LoopOp) -> LoopStep:
        trips = None if op.trip_dim is None else self.words.value(op.trip_dim)
        if op.trip_dim is not None:
            self._check_size(op.trip_dim, _text(op.attributes.get(LOCATION)) or op.name)
        count, condition = (
            None if v is None else self._address_word(v)
            for v in (op.count, op.condition)
        )
        iteration = None if op.iteration is None else self._address_word(op.iteration)
        following = None if op.next is None else self._address_word(op.next)
        at_start = self.words.define(op.index.data)
        body = self._region(op.body)
        at_end = self.words.define(op.ended.data)
        return LoopStep(
            trips, count, condition, following, iteration, body, at_start, at_end
        )

    def _address_word(self, buffer: SSAValue) -> int:
        """The word of the table with the address of a buffer."""
        memory = self.memory[buffer]
        return self.words.address(memory.base, memory.index, memory.offset)

    def _arguments(
        self,
    ) -> tuple[tuple[artifact.Tensor, ...], tuple[artifact.Tensor, ...]]:
        tensors: dict[artifact.Base, list[artifact.Tensor]] = {
            "input": [],
            "output": [],
        }
        arguments = self.function.body.block.args
        for argument, attributes in zip(
            arguments, _attributes(self.function, len(arguments)), strict=True
        ):
            base: artifact.Base = "output" if OUTPUT in attributes else "input"
            index = len(tensors[base])
            text = _text(attributes.get(NAME)) or f"{base}{index}"
            tensors[base].append(self._tensor(text, argument))
            if isinstance(symbols := attributes.get(SYMBOLS), ShapeAttr):
                self.listed[index] = tuple(map(str, symbols.dims))
            self.memory[argument] = _Memory(base, index, Dim.of(0))
            if base == "output":
                self._check_sizes(argument, text)
        return tuple(tensors["input"]), tuple(tensors["output"])

    def _tensor(self, name: str, argument: BlockArgument) -> artifact.Tensor:
        type_ = buffer_type_of(argument)
        return artifact.Tensor(
            name=name,
            dtype=numpy_dtype(type_.element_type).name,
            dims=tuple(map(str, type_.dims)),
            exprs=tuple(self.exprs.add(d) for d in type_.dims),
        )

    @cached_property
    def symbols(self) -> dict[str, artifact.SymbolSource]:
        """The first axis, or else element, of an input that shows each symbol."""
        found: dict[str, artifact.SymbolSource] = {}
        for argument, memory in self.memory.items():
            if memory.base != "input" or not isinstance(argument, BlockArgument):
                continue
            for axis, dim in enumerate(buffer_type_of(argument).dims):
                text = str(dim)
                if dim.symbols == frozenset((text,)):
                    source = artifact.SymbolSource(text, memory.index, axis)
                    found.setdefault(text, source)
        for index, names in self.listed.items():
            for element, name in enumerate(names):
                source = artifact.SymbolSource(name, index, -1, element)
                found.setdefault(name, source)
        return found

    def _checked(self, plan: artifact.Plan) -> artifact.Plan:
        for dim in self.exprs:
            unknown = sorted(dim.symbols.difference(self.symbols))
            if unknown:
                raise CompileError(
                    f"the size {dim} depends on '{unknown[0]}', which is not the size "
                    "of an axis of an input; fix it with input_shapes"
                )
        return plan

    def _add_alloc(self, op: rt.AllocOp) -> None:
        self.memory[op.result] = _Memory("arena", len(self.allocations), Dim.of(0))
        assert op.first is not None, "run plan-arena first"
        assert op.last is not None
        self.allocations.append(
            artifact.Allocation(
                nbytes=self.exprs.add(op.nbytes),
                first=op.first.value.data,
                last=op.last.value.data,
                offset=_int(op.offset),
            )
        )

    def _add_weight(self, result: SSAValue, resource: str) -> None:
        type_ = buffer_type_of(result)
        shape = type_.shape.ints
        assert shape is not None
        dtype = numpy_dtype(type_.element_type)
        nbytes = type_.span.as_int() or 0
        self.memory[result] = _Memory("weight", len(self.weights), Dim.of(0))
        self.weights.append(
            artifact.Weight(resource, dtype.name, shape, nbytes * dtype.itemsize)
        )

    def _add_launch(self, op: rt.LaunchOp) -> LaunchStep:
        zero = self.exprs.add(0)
        slots = [artifact.Slot("state", 0, zero)]
        begin, index = self.begin, len(self.launches)
        for buffer in op.buffers:
            memory = self.memory[buffer]
            offset = memory.offset
            if self.words.is_moving(offset):
                word = begin + artifact.RECORD_WORDS + len(slots)
                self.words.move(word, memory.base, memory.index, offset)
                offset = Dim.of(0)
            slot = artifact.Slot(memory.base, memory.index, self.exprs.add(offset))
            slots.append(slot)
        slots += [artifact.Slot("value", 0, self.exprs.add(d)) for d in op.dims.dims]
        node = _text(op.attributes.get(LOCATION)) or ""
        kernel = op.kernel.root_reference.data
        for buffer in op.buffers:
            self._check_sizes(buffer, node or kernel)
        self.launches.append(
            artifact.Launch(
                kernel=kernel,
                tasks=self.exprs.add(op.task_count),
                cost=self.exprs.add(op.nanoseconds),
                slots=tuple(slots),
                schedule=op.schedule.data if op.schedule is not None else "",
                node=node,
                work=tuple(map(str, op.work.dims)) if op.work is not None else (),
            )
        )
        self.ops.setdefault(kernel, _ops(op.ops))
        self.begin += artifact.RECORD_WORDS + len(slots)
        return LaunchStep(index, kernel, begin)

    def _check_sizes(self, buffer: SSAValue, node: str) -> None:
        for dim in buffer_type_of(buffer).dims:
            self._check_size(dim, node)

    def _check_size(self, dim: Dim, node: str) -> None:
        bound = dim.lower_bound()
        if (bound is None or bound < 0) and (dim, -1) not in self.sizes:
            self.sizes.setdefault((dim, self._guarded()), node)


def _attributes(function: FuncOp, count: int) -> Sequence[dict[str, Attribute]]:
    given = function.arg_attrs or ArrayAttr[DictionaryAttr]([])
    found = [dict(a.data) for a in given]
    return found + [{}] * (count - len(found))


def _text(attribute: Attribute | None) -> str | None:
    # xDSL reads back strings of other letters than ASCII's as bytes.
    if isinstance(attribute, BytesAttr):
        return attribute.data.decode()
    return attribute.data if isinstance(attribute, StringAttr) else None


def _int(attribute: Attribute | None) -> int | None:
    return attribute.value.data if isinstance(attribute, IntegerAttr) else None


def _ops(attribute: Attribute | None) -> tuple[str, ...]:
    return tuple((_text(attribute) or "").split())
