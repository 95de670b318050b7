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

from nnc.analysis.dispatches import STORED_ONCE
from nnc.dialects import rt
from nnc.dialects.nn import movement
from nnc.dialects.nn.base import copy_location
from nnc.dialects.nn.control import COUNT, FLAG, IfOp, LoopOp
from nnc.dialects.nn.structure import (
    ConstantOp,
    DimsOp,
    DispatchOp,
    WeightOp,
    YieldOp,
)
from nnc.dialects.nn.tiles import TileAttr
from nnc.dialects.nn.types import NnTensorType, dims_of, element_type_of
from nnc.dialects.rt.types import buffer_type_of
from nnc.errors import CompileError
from nnc.lowering.bufferize import copies
from nnc.lowering.bufferize.destinations import (
    concat_parts,
    decide_destinations,
    pad_interior,
)
from nnc.lowering.bufferize.in_place import LastUses, operand_to_overwrite
from nnc.lowering.bufferize.loops import (
    carried_place,
    final_iteration,
    loop_numbers,
    loop_symbols,
    slice_place,
)
from nnc.lowering.bufferize.places import Place, Root, RootKind, view_place
from nnc.lowering.bufferize.strides import can_read, is_readable
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
    """The rewrite of one function."""

    def __init__(self, function: FuncOp) -> None:
        self.function = function
        block = function.body.block
        terminator = block.last_op
        assert isinstance(terminator, ReturnOp)
        self.result_count = len(terminator.arguments)
        inputs = [_contiguous(a) for a in block.args]
        outputs = [_contiguous(v) for v in terminator.arguments]
        self.block = Block(arg_types=[*inputs, *outputs])
        places: dict[SSAValue, Place] = {}
        for old, new, type_ in zip(block.args, self.block.args, inputs, strict=False):
            new.name_hint = old.name_hint
            places[old] = Place.whole(Root(RootKind.READ_ONLY, type_, new))
        roots = [
            Root(RootKind.OUTPUT, type_, value)
            for type_, value in zip(
                outputs, self.block.args[len(inputs) :], strict=True
            )
        ]
        loops = loop_numbers(list(function.walk()))
        self.body = _Body(block, self.block, places, roots, loops)

    def rewrite(self) -> None:
        """Replace the function's body and type."""
        self.body.rewrite()
        self.block.add_op(ReturnOp())
        function = self.function
        arguments = list(function.arg_attrs or [])
        arguments += [DictionaryAttr({})] * (
            len(function.body.block.args) - len(arguments)
        )
        results = list(function.res_attrs or [])
        results += [DictionaryAttr({})] * (self.result_count - len(results))
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


class _Body:
    """The rewrite of one block: one walk over its ops, appending to a new block."""

    def __init__(
        self,
        source: Block,
        target: Block,
        places: dict[SSAValue, Place],
        outputs: Sequence[Root],
        loops: Mapping[LoopOp, int],
    ) -> None:
        """`places` are those of the block's arguments, `outputs` what it fills."""
        self.ops = list(source.ops)
        self.builder = Builder(InsertPoint.at_end(target))
        self.places = places
        self.outputs = outputs
        self.loops = loops
        self.last_uses = LastUses(self.ops)
        decisions = decide_destinations(source, outputs, self.last_uses)
        self.destinations, self.copies = decisions.places, decisions.copies

    def rewrite(self) -> None:
        """Emit what stands for each op."""
        for position, op in enumerate(self.ops):
            self._emit(position, op)

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
            case IfOp():
                self._emit_if(op)
            case LoopOp():
                self._emit_loop(op)
            case ReturnOp() | YieldOp():
                for value, root in zip(op.operands, self.outputs, strict=True):
                    place = Place.whole(root)
                    if place not in self.copies.get(value, ()):
                        self._move(op, value, place)
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
        outputs = list(results)
        terminator = op.yield_op
        stores_once = any(isinstance(o, STORED_ONCE) for o in op.block.ops)
        for index, result in enumerate(op.res):
            for place in () if stores_once else self.copies.get(result, ()):
                outputs.append(place)
                value = terminator.arguments[index]
                terminator.operands = [*terminator.operands, value]
        region = op.detach_region(op.body)
        self._insert_dispatch(op, operands, outputs, region, op.tile)
        self.places.update(zip(op.res, results, strict=True))
        if stores_once:
            for result, source in zip(op.res, results, strict=True):
                for place in self.copies.get(result, ()):
                    self._copy(op, source, place)

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

    # ---- branches and loops

    def _emit_if(self, op: IfOp) -> None:
        condition = self._buffer(self._place(op.condition))
        captured = [self._buffer(self._captured(op, v)) for v in op.arguments]
        places = [self.destinations[r] for r in op.res]
        results = [self._buffer(p) for p in places]
        regions: list[Region] = []
        for region in list(op.regions):
            block = Block()
            arguments: dict[SSAValue, SSAValue] = dict(
                zip(region.block.args, captured, strict=True)
            )
            self._emit_region(region.block, block, arguments, results)
            regions.append(Region(block))
        new = rt.IfOp(condition, *regions)
        copy_location(op, new)
        self.builder.insert(new)
        self.places.update(zip(op.res, places, strict=True))

    def _emit_loop(self, op: LoopOp) -> None:
        index, ended = loop_symbols(self.loops[op])
        iteration = Dim.symbol(index)
        roots = [self.destinations[r].root for r in op.res[: len(op.initial)]]
        for value, root in zip(op.initial, roots, strict=True):
            self._move(op, value, carried_place(root, 0))
        scanned = [self._captured(op, v, is_sliced=True) for v in op.scanned]
        stacked = [self.destinations[r] for r in op.stacked]
        # The memory has to be there before the loop.
        for place in (*map(Place.whole, roots), *scanned, *stacked):
            self._buffer(place)
        arguments: dict[SSAValue, SSAValue] = {
            argument: self._buffer(self._captured(op, value))
            for argument, value in zip(op.inner(op.block), op.captured, strict=True)
        }
        count = self._scalar(op.count)
        condition = self._scalar(op.condition)
        following = None if op.next_condition is None else self._temporary(FLAG)
        number: SSAValue | None = None
        if op.iteration.first_use is not None:
            number = arguments[op.iteration] = self._temporary(COUNT)
        block = Block()

        def view(place: Place) -> SSAValue:
            source = self._buffer(Place.whole(place.root))
            new = rt.ViewOp(source, place.type, place.offset)
            block.add_op(new)
            return new.result

        for argument, root in zip(op.carried, roots, strict=True):
            arguments[argument] = view(carried_place(root, iteration))
        for argument, place in zip(op.slices, scanned, strict=True):
            arguments[argument] = view(slice_place(place, iteration))
        results = [] if following is None else [following]
        results += [view(carried_place(r, iteration, is_next=True)) for r in roots]
        results += [view(slice_place(place, iteration)) for place in stacked]
        self._emit_region(op.block, block, arguments, results)
        new = rt.LoopOp(
            index,
            ended,
            Region(block),
            trips=op.trip_dim,
            count=count,
            condition=condition,
            next=following,
            iteration=number,
        )
        copy_location(op, new)
        self.builder.insert(new)
        last = final_iteration(op, Dim.symbol(ended))
        final = [carried_place(root, last) for root in roots]
        self.places.update(zip(op.res, (*final, *stacked), strict=True))

    def _emit_region(
        self,
        source: Block,
        target: Block,
        arguments: Mapping[SSAValue, SSAValue],
        results: Sequence[SSAValue],
    ) -> None:
        """Rewrite a region's block, whose arguments and results have buffers."""
        places: dict[SSAValue, Place] = {}
        for argument, buffer in arguments.items():
            root = Root(RootKind.READ_ONLY, buffer_type_of(buffer), buffer)
            places[argument] = Place.whole(root)
        outputs = [Root(RootKind.OUTPUT, buffer_type_of(b), b) for b in results]
        _Body(source, target, places, outputs, self.loops).rewrite()
        target.add_op(rt.EndOp())

    def _captured(
        self, op: IfOp | LoopOp, value: SSAValue, *, is_sliced: bool = False
    ) -> Place:
        """Where the regions of `op` can read `value` without copying it each time."""
        place = self._place(value)
        for region in op.regions:
            if is_sliced:
                assert isinstance(op, LoopOp)
                inside = zip(op.scanned, op.slices, strict=True)
            else:
                inside = zip(op.captured, op.inner(region.block), strict=True)
            strides = place.strides[1:] if is_sliced else place.strides
            for outer, argument in inside:
                if outer is value and not is_readable(argument, strides):
                    return self._dense_copy(op, value)
        return place

    def _scalar(self, value: SSAValue | None) -> SSAValue | None:
        return None if value is None else self._buffer(self._place(value))

    def _temporary(self, type: NnTensorType) -> SSAValue:
        buffer = rt.BufferType(type.get_element_type(), dims_of(type))
        return self.builder.insert(rt.AllocOp(buffer)).result

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
        tile: TileAttr | None = None,
    ) -> None:
        """Run `region`, which stands for `op`, on the buffers of these places."""
        dispatch = rt.DispatchOp(
            [self._buffer(p) for p in inputs],
            [self._buffer(p) for p in outputs],
            region,
            tile,
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
