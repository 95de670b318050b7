"""
bufferize: tensors become buffers; the program says where everything lies.

Before::

    func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
      %0 = nn.dispatch(%x) : (tensor<4xf32>) -> tensor<4xf32> { ... }
      func.return %0 : tensor<4xf32>
    }

After::

    func.func @main(%x: !rt.buffer<..>, %y: !rt.buffer<..> {rt.output}) {
      rt.dispatch ins(%x : !rt.buffer<..>) outs(%y : !rt.buffer<..>) { ... }
      func.return
    }

On entry: what verify-dispatched accepts. On exit: `main` holds rt ops and func.return;
each buffer is written before it is read. Views become other strides of one memory;
concatenations and padded tensors are produced in place where their operands allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FunctionType,
    ModuleOp,
    UnitAttr,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, BlockArgument, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from nnc.dialects import rt
from nnc.dialects.nn import movement
from nnc.dialects.nn.base import copy_location
from nnc.dialects.nn.structure import ConstantOp, DimsOp, DispatchOp, WeightOp
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.errors import CompileError
from nnc.lowering.bufferize import copies
from nnc.lowering.bufferize.destinations import (
    concat_parts,
    decide_destinations,
    pad_interior,
)
from nnc.lowering.bufferize.in_place import LastUses, operand_to_overwrite
from nnc.lowering.bufferize.places import Place, Root, RootKind, view_place
from nnc.lowering.bufferize.strides import can_read
from nnc.symbolic import Dim, dim_product

OUTPUT: Final = "rt.output"
"""Marks the arguments of the host function that it writes."""


@dataclass(frozen=True)
class BufferizePass(ModulePass):
    """Turn the tensors of `main` into buffers."""

    name = "bufferize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Bufferize the functions of a module."""
        for function in list(op.body.block.ops):
            if isinstance(function, FuncOp) and not function.is_declaration:
                _Program(function).rewrite()


class _Program:
    """The rewrite of one function: one walk over its ops, appending to a new body."""

    def __init__(self, function: FuncOp) -> None:
        self.function = function
        self.ops = list(function.body.block.ops)
        block = function.body.block
        terminator = self.ops[-1]
        assert isinstance(terminator, ReturnOp)
        self.results = list(terminator.arguments)
        inputs = [_contiguous(a) for a in block.args]
        outputs = [_contiguous(v) for v in self.results]
        self.block = Block(arg_types=[*inputs, *outputs])
        self.builder = Builder(InsertPoint.at_end(self.block))
        self.places: dict[SSAValue, Place] = {}
        for old, new, type_ in zip(block.args, self.block.args, inputs, strict=False):
            new.name_hint = old.name_hint
            self.places[old] = Place.whole(Root(RootKind.READ_ONLY, type_, new))
        self.outputs = [
            Root(RootKind.OUTPUT, type_, value)
            for type_, value in zip(
                outputs, self.block.args[len(inputs) :], strict=True
            )
        ]
        self.last_uses = LastUses(self.ops)
        self.destinations = decide_destinations(function, self.outputs, self.last_uses)

    def rewrite(self) -> None:
        """Replace the function's body and type."""
        for position, op in enumerate(self.ops):
            self._emit(position, op)
        self.builder.insert(ReturnOp())
        function = self.function
        arguments = list(function.arg_attrs or [])
        arguments += [DictionaryAttr({})] * (
            len(function.body.block.args) - len(arguments)
        )
        results = list(function.res_attrs or [])
        results += [DictionaryAttr({})] * (len(self.results) - len(results))
        old = function.detach_region(function.body)
        function.add_region(Region(self.block))
        function.properties["function_type"] = FunctionType.from_lists(
            [a.type for a in self.block.args], []
        )
        function.properties["arg_attrs"] = ArrayAttr(
            [*arguments, *(_as_output(r) for r in results)]
        )
        function.properties.pop("res_attrs", None)
        old.drop_all_references()

    # ---- one op

    def _emit(self, position: int, op: Operation) -> None:
        match op:
            case ConstantOp() | WeightOp():
                pass  # emitted where a dispatch reads them
            case DispatchOp():
                self._emit_dispatch(position, op)
            case DimsOp():
                place = self.destinations[op.result]
                self._insert_dispatch(op, [], [place], copies.dims_region(op))
                self.places[op.result] = place
            case movement.ConcatOp():
                self._emit_concat(op)
            case movement.PadOp():
                self._emit_pad(op)
            case ReturnOp():
                for value, root in zip(op.arguments, self.outputs, strict=True):
                    self._move(op, value, Place.whole(root))
            case _ if type(op) in movement.VIEW_OPS:
                self._emit_view(op)
            case _:
                raise CompileError(
                    f"bufferize: {op.name} is not in a dispatch; run form-dispatches"
                )

    def _emit_dispatch(self, position: int, op: DispatchOp) -> None:
        operands = [
            self._readable(op, value, argument)
            for value, argument in zip(op.arguments, op.block.args, strict=True)
        ]
        results = [self.destinations[r] for r in op.res]
        taken = operand_to_overwrite(op, position, results[0], operands, self.last_uses)
        if taken is not None:
            results = [taken]
        self._check_sizes(op)
        self._insert_dispatch(op, operands, results, op.detach_region(op.body))
        self.places.update(zip(op.res, results, strict=True))

    def _emit_concat(self, op: movement.ConcatOp) -> None:
        place = self.destinations[op.result]
        for value, part in zip(op.arguments, concat_parts(op, place), strict=True):
            self._move(op, value, part)
        self.places[op.result] = place

    def _emit_pad(self, op: movement.PadOp) -> None:
        if op.mode.data != "constant":
            raise CompileError(
                f"bufferize: nn.pad of mode '{op.mode.data}' is not in a dispatch"
            )
        place = self.destinations[op.result]
        self._move(op, op.operand, pad_interior(op, place))
        value = copies.fill_value(op)
        for part in copies.border(op, place):
            if isinstance(value, SSAValue):
                region = copies.scalar_region(value.type, part)
                self._insert_dispatch(op, [self._place(value)], [part], region)
            else:
                region = copies.constant_region(value, part)
                self._insert_dispatch(op, [], [part], region)
        self.places[op.result] = place

    def _emit_view(self, op: Operation) -> None:
        self._check_sizes_of(op)
        result = op.results[0]
        if result in self.destinations:
            self.places[result] = self.destinations[result]
            return
        source = op.operands[0]
        place = view_place(op, self._place(source))
        if place is None:
            dense = view_place(op, self._dense_copy(op, source))
            assert dense is not None, "contiguous storage has every shape"
            place = dense
        self.places[result] = place

    # ---- places and buffers

    def _place(self, value: SSAValue) -> Place:
        """Where `value` lies; constants are emitted when they are first asked for."""
        if value in self.places:
            return self.places[value]
        op = value.owner
        if isinstance(op, WeightOp):
            new = rt.WeightOp(op.resource.data, _contiguous(value))
        else:
            assert isinstance(op, ConstantOp), f"{value} has not been produced"
            new = rt.ConstantOp(op.value)
        copy_location(op, new)
        new.result.name_hint = value.name_hint
        self.builder.insert(new)
        root = Root(RootKind.READ_ONLY, _contiguous(value), new.result)
        self.places[value] = Place.whole(root)
        return self.places[value]

    def _readable(
        self, op: Operation, value: SSAValue, argument: BlockArgument
    ) -> Place:
        """Where a dispatch can read `value`: where it is, or a contiguous copy."""
        place = self._place(value)
        if can_read(argument, place.strides):
            return place
        return self._dense_copy(op, value)

    def _dense_copy(self, op: Operation, value: SSAValue) -> Place:
        root = Root(RootKind.ALLOC, _contiguous(value))
        place = Place.whole(root)
        self._copy(op, self._place(value), place)
        return place

    def _move(self, op: Operation, value: SSAValue, target: Place) -> None:
        """Have `value` at `target`: it was produced there, or is copied."""
        source = self._place(value)
        if source != target:
            self._copy(op, source, target)

    def _copy(self, op: Operation, source: Place, target: Place) -> None:
        region = copies.identity_region(target)
        self._insert_dispatch(op, [source], [target], region)

    def _insert_dispatch(
        self,
        op: Operation,
        inputs: Sequence[Place],
        outputs: Sequence[Place],
        region: Region,
    ) -> None:
        """Run `region`, which stands for `op`, on the buffers of these places."""
        dispatch = rt.DispatchOp(
            [self._buffer(p) for p in inputs],
            [self._buffer(p) for p in outputs],
            region,
        )
        copy_location(op, dispatch)
        self.builder.insert(dispatch)

    def _buffer(self, place: Place) -> SSAValue:
        """The buffer that shows a place: its root, or a view of it."""
        root = place.root
        if root.value is None:
            root.value = self.builder.insert(rt.AllocOp(root.type)).result
        if not place.offset and place.type == root.type:
            return root.value
        key = (place.type, place.offset)
        if key not in root.views:
            view = rt.ViewOp(root.value, place.type, place.offset)
            root.views[key] = self.builder.insert(view).result
        return root.views[key]

    # ---- checks

    def _check_sizes(self, op: DispatchOp) -> None:
        for inner in op.block.ops:
            self._check_sizes_of(inner, op)

    def _check_sizes_of(self, op: Operation, located: Operation | None = None) -> None:
        """State that dims which only the model's author says are equal are so."""
        check = _SIZE_CHECKS.get(type(op))
        if check is None:
            return
        lhs, rhs = check(op)
        pairs = [(a, b) for a, b in zip(lhs, rhs, strict=True) if a != b]
        if not pairs:
            return
        new = rt.AssertEqualOp([a for a, _ in pairs], [b for _, b in pairs])
        copy_location(op, new)
        copy_location(located or op, new)
        self.builder.insert(new)


def _cast_dims(op: Operation) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
    return dims_of(op.operands[0]), dims_of(op.results[0])


def _reshape_counts(op: Operation) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
    before, after = _cast_dims(op)
    return (dim_product(before),), (dim_product(after),)


_SIZE_CHECKS: Mapping[
    type[Operation],
    Callable[[Operation], tuple[tuple[Dim, ...], tuple[Dim, ...]]],
] = {
    movement.DimCastOp: _cast_dims,
    movement.ReshapeOp: _reshape_counts,
}


def _contiguous(value: SSAValue) -> rt.BufferType:
    return rt.BufferType(element_type_of(value), dims_of(value))


def _as_output(attributes: Attribute) -> DictionaryAttr:
    assert isinstance(attributes, DictionaryAttr)
    return DictionaryAttr({**attributes.data, OUTPUT: UnitAttr()})
