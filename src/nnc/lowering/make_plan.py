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
from xdsl.ir import Attribute, BlockArgument, SSAValue

from nnc.dialects import rt
from nnc.dialects.nn.base import LOCATION
from nnc.dialects.nn.constants import dense_array
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.rt.types import buffer_type_of
from nnc.errors import CompileError
from nnc.runtime import artifact
from nnc.symbolic import Dim, DimLike
from nnc.weights import WeightStore

NAME = "nn.name"
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


def make_plan(function: FuncOp, weights: WeightStore) -> artifact.Plan:
    """
    The plan of a host function of launches over planned buffers.

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
        self.constraints: list[artifact.Constraint] = []
        self.sizes: dict[Dim, str] = {}
        self.ops: dict[str, tuple[str, ...]] = {}

    def plan(self) -> artifact.Plan:
        """The plan, after one walk."""
        inputs, outputs = self._arguments()
        for op in self.function.body.block.ops:
            match op:
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
                    self._add_launch(op)
                case rt.AssertEqualOp():
                    for lhs, rhs in zip(op.lhs.dims, op.rhs.dims, strict=True):
                        self.constraints.append(
                            artifact.Constraint(
                                self.exprs.add(lhs),
                                self.exprs.add(rhs),
                                _text(op.attributes.get(LOCATION)) or "",
                            )
                        )
                case _:
                    pass
        return self._checked(
            artifact.Plan(
                inputs=inputs,
                outputs=outputs,
                symbols=tuple(self.symbols.values()),
                constraints=tuple(dict.fromkeys(self.constraints)),
                sizes=tuple(
                    artifact.SizeCheck(self.exprs.add(dim), node)
                    for dim, node in self.sizes.items()
                ),
                allocations=tuple(self.allocations),
                weights=tuple(self.weights),
                launches=tuple(self.launches),
                kernels=tuple(artifact.Kernel(n, o) for n, o in self.ops.items()),
                exprs=self.exprs.texts,
            )
        )

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
        """The first axis of an input that shows each symbol."""
        found: dict[str, artifact.SymbolSource] = {}
        for argument, memory in self.memory.items():
            if memory.base != "input" or not isinstance(argument, BlockArgument):
                continue
            for axis, dim in enumerate(buffer_type_of(argument).dims):
                text = str(dim)
                if dim.symbols == frozenset((text,)):
                    source = artifact.SymbolSource(text, memory.index, axis)
                    found.setdefault(text, source)
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

    def _add_launch(self, op: rt.LaunchOp) -> None:
        zero = self.exprs.add(0)
        slots = [artifact.Slot("state", 0, zero)]
        for buffer in op.buffers:
            memory = self.memory[buffer]
            offset = self.exprs.add(memory.offset)
            slots.append(artifact.Slot(memory.base, memory.index, offset))
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
            )
        )
        self.ops.setdefault(kernel, _ops(op.ops))

    def _check_sizes(self, buffer: SSAValue, node: str) -> None:
        for dim in buffer_type_of(buffer).dims:
            bound = dim.lower_bound()
            if bound is None or bound < 0:
                self.sizes.setdefault(dim, node)


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
