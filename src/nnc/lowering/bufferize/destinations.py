"""
Where results are produced: into model outputs, concatenations and padded tensors.

One walk from the end of the function: the place of a concatenation is known before
its operands are reached, so each operand can be given a slice of it. A value gets a
place of somebody else only if its maker and all its readers can work there.

What a dispatch may overwrite is produced where the result goes, if that is such a
place: no memory of the arena is needed for it. Nobody else writes there, and nobody
reads there before the result exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xdsl.ir import Block, Operation, OpResult, SSAValue

from nnc.analysis.strides import contiguous_strides
from nnc.dialects.nn import movement
from nnc.dialects.nn.base import normalized_axis
from nnc.dialects.nn.control import IfOp, LoopOp
from nnc.dialects.nn.structure import DimsOp, DispatchOp
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.dialects.rt.types import BufferType
from nnc.lowering.bufferize.in_place import LastUses, can_overwrite
from nnc.lowering.bufferize.loops import carried_place, carried_root
from nnc.lowering.bufferize.places import Place, Root, RootKind, operand_place
from nnc.lowering.bufferize.strides import can_have_strides, result_strides
from nnc.symbolic import Dim

_MAKERS = (DispatchOp, DimsOp, movement.ConcatOp, movement.PadOp, IfOp, LoopOp)
"""Ops that write their results somewhere."""

Destinations = dict[SSAValue, Place]
"""The place of each value that the program produces, and of views made to fit one."""


@dataclass(frozen=True)
class Decisions:
    """Where everything goes."""

    places: Destinations = field(default_factory=dict[SSAValue, Place])
    copies: dict[SSAValue, list[Place]] = field(
        default_factory=dict[SSAValue, list[Place]]
    )
    """Further outputs that the dispatch which makes a value stores it to."""


def decide_destinations(
    block: Block, outputs: Sequence[Root], last_uses: LastUses
) -> Decisions:
    """A place for the result of every op of `block` that produces one."""
    decisions = Decisions()
    destinations = decisions.places
    terminator = block.last_op
    assert terminator is not None
    for value, root in zip(terminator.operands, outputs, strict=True):
        place = Place.whole(root)
        if not _try_place(value, place, destinations) and _can_store_twice(
            value, place, destinations
        ):
            decisions.copies.setdefault(value, []).append(place)
    ops = list(block.ops)
    for position in reversed(range(len(ops))):
        _decide(ops[position], destinations)
        if isinstance(op := ops[position], DispatchOp):
            _pass_on(op, position, destinations, last_uses)
    return decisions


def _can_store_twice(value: SSAValue, place: Place, destinations: Destinations) -> bool:
    """Whether the dispatch that makes `value` for one output can fill another too."""
    return (
        isinstance(value, OpResult)
        and isinstance(value.op, DispatchOp)
        and value in destinations
        and can_have_strides(value, place.strides)
    )


def _decide(op: Operation, destinations: Destinations) -> None:
    if isinstance(op, LoopOp):
        _decide_carried(op, destinations)
    if isinstance(op, _MAKERS):
        for result in op.results:
            if result not in destinations:
                destinations[result] = Place.whole(new_root(result))
    if isinstance(op, movement.ConcatOp):
        place = destinations[op.result]
        place.root.is_shared = True
        for operand, part in zip(op.arguments, concat_parts(op, place), strict=True):
            _try_place(operand, part, destinations)
    elif isinstance(op, movement.PadOp):
        place = destinations[op.result]
        place.root.is_shared = True
        _try_place(op.operand, pad_interior(op, place), destinations)


def _decide_carried(op: LoopOp, destinations: Destinations) -> None:
    """Buffers for the carried values; the initial ones are produced there."""
    # Where a value lies after the loop is decided when it is known how to say it.
    for value, result in zip(op.initial, op.res, strict=False):
        place = carried_place(carried_root(result), 0)
        destinations[result] = place
        # The loop overwrites it: nobody else may read it.
        if _is_read_once(value):
            _try_place(value, place, destinations)


def _is_read_once(value: SSAValue) -> bool:
    """Whether `value`, and what it is a view of, has one reader."""
    while value.has_one_use():
        op = value.owner
        if not isinstance(op, Operation) or type(op) not in movement.VIEW_OPS:
            return True
        value = op.operands[0]
    return False


def _pass_on(
    op: DispatchOp, position: int, destinations: Destinations, last_uses: LastUses
) -> None:
    """Have an operand that dies here produced where the result will overwrite it."""
    place = destinations[op.res[0]]
    if place.root.kind is RootKind.ALLOC and not place.root.is_shared:
        return  # Rather the other way round: the result takes over the operand's place.
    sources = [last_uses.source(v) for v in op.arguments]
    for index, source in enumerate(sources):
        # Parts of a concatenation may be read after it: they must not be overwritten.
        if (
            isinstance(source.owner, DispatchOp)
            and source not in destinations
            and last_uses.of(source) <= position
            and sources.count(source) == 1
            and result_strides(source) == contiguous_strides(dims_of(source))
            and not _is_part(source)
            and can_overwrite(op, index)
            and _try_place(op.arguments[index], place, destinations)
        ):
            return


def _is_part(value: SSAValue) -> bool:
    """Whether a concatenation or padding reads `value`, perhaps through views."""
    return any(
        isinstance(use.operation, movement.ConcatOp | movement.PadOp)
        or (
            type(use.operation) in movement.VIEW_OPS
            and _is_part(use.operation.results[0])
        )
        for use in value.uses
    )


def new_root(value: SSAValue) -> Root:
    """Memory of the arena for `value`, with strides that suit it."""
    type_ = BufferType(element_type_of(value), dims_of(value), result_strides(value))
    return Root(RootKind.ALLOC, type_)


def concat_parts(op: movement.ConcatOp, place: Place) -> list[Place]:
    """The parts of a concatenation at `place` that its operands fill."""
    axis = normalized_axis(op, op.axis.value.data, len(place.dims))
    parts: list[Place] = []
    offsets = [Dim.of(0)] * len(place.dims)
    for operand in op.arguments:
        dims = dims_of(operand)
        parts.append(place.box(offsets, dims))
        offsets[axis] = offsets[axis] + dims[axis]
    return parts


def pad_interior(op: movement.PadOp, place: Place) -> Place:
    """The part of a padded tensor at `place` that the operand fills."""
    return place.box(op.low.dims, dims_of(op.operand))


def _try_place(value: SSAValue, place: Place, destinations: Destinations) -> bool:
    """Let `value` be produced at `place`, if everyone concerned can work there."""
    if not isinstance(value, OpResult) or value in destinations:
        return False
    if not can_have_strides(value, place.strides):
        return False
    op = value.op
    if isinstance(op, _MAKERS):
        if isinstance(op, LoopOp) and value.index < len(op.initial):
            return False
        destinations[value] = place
        return True
    before = operand_place(op, place)
    if before is None or not _try_place(op.operands[0], before, destinations):
        return False
    destinations[value] = place
    return True
