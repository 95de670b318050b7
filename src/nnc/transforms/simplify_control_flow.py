"""
simplify-control-flow: branches and loops do as little as they can.

Before::

    %w = nn.weight "w"
    %r = nn.loop trips <T> carry(%h, %k) scan(%x) capture(%w, %b) {
    ^bb0(%i, %h0, %k0, %x0, %w0, %b0):
      %0 = nn.exp %b0
      %1 = nn.mul %h0, %w0
      %2 = nn.add %1, %0
      nn.yield %2, %k0
    }

After::

    %0 = nn.exp %b
    %r = nn.loop trips <T> carry(%h) scan() capture(%0) {
    ^bb0(%i, %h0, %e):
      %w0 = nn.weight "w"
      %1 = nn.mul %h0, %w0
      %2 = nn.add %1, %e
      nn.yield %2
    }

- A branch whose condition is a constant is replaced by the region that it takes, a loop
  that runs once or never by its body or its initial values.
- A trip count that is known becomes a property; a condition that is always true goes.
- Constants, and views of them, are not handed in but repeated inside, where they fold.
- What a loop computes from captured values alone is computed before it, unless it could
  fail: the loop might have run no iteration.
- Carried values that never change are captured; what nobody reads is neither carried,
  stacked, scanned nor captured.

On entry: any `nn` module. On exit: none of these is left to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, BlockArgument, Operation, OpResult, Region, SSAValue
from xdsl.passes import ModulePass

from nnc.analysis.known_values import known_dims
from nnc.context import weights_of
from nnc.dialects.nn.base import copy_location
from nnc.dialects.nn.constants import constant_value, dense_attribute
from nnc.dialects.nn.control import REGION_OPS, IfOp, LoopOp, yield_of
from nnc.dialects.nn.elementwise import ELEMENTWISE_OPS, DivOp, ModOp, RemOp
from nnc.dialects.nn.linear import MatmulOp
from nnc.dialects.nn.movement import (
    BroadcastOp,
    ReshapeOp,
    SliceOp,
    TransposeOp,
)
from nnc.dialects.nn.reduction import ReduceOp
from nnc.dialects.nn.structure import ConstantOp, DimsOp, WeightOp, YieldOp
from nnc.dialects.nn.types import dims_of, element_type_of, is_float
from nnc.symbolic import Dim
from nnc.transforms.regions import program_blocks
from nnc.transforms.worklist import erase, erase_dead, is_dead
from nnc.weights import WeightStore

_VIEWS = (ReshapeOp, TransposeOp, BroadcastOp, SliceOp)
_HOISTED = (*ELEMENTWISE_OPS, MatmulOp, ReduceOp)


@dataclass(frozen=True)
class SimplifyControlFlowPass(ModulePass):
    """Simplify branches and loops."""

    name: ClassVar[str] = "simplify-control-flow"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Visit all branches and loops, outer ones first, until nothing changes."""
        weights = weights_of(ctx)
        changed = True
        while changed:
            changed = False
            for inner in list(op.walk()):
                if isinstance(inner, REGION_OPS) and _is_inside(inner, op):
                    changed = _simplify(inner, weights) or changed
        for block in program_blocks(op):
            erase_dead(block)


def _simplify(op: IfOp | LoopOp, weights: WeightStore) -> bool:
    """Apply what applies; the op may be gone afterwards."""
    if is_dead(op):
        erase(op)
        return True
    for region in op.regions:
        erase_dead(region.block)
    changed = _sink_constants(op)
    if isinstance(op, IfOp):
        return _take_known_branch(op, weights) or _drop_from_if(op) or changed
    return (
        _hoist(op)
        or _know_trips(op, weights)
        or _inline_short(op)
        or _drop_from_loop(op)
        or changed
    )


# ---- both


def _sink_constants(op: IfOp | LoopOp) -> bool:
    """Repeat captured constants inside."""
    changed = False
    for position, value in enumerate(op.captured):
        ops = _constant_chain(value)
        if ops is None:
            continue
        for region in op.regions:
            argument = op.inner(region.block)[position]
            if argument.first_use is None:
                continue
            copies: dict[SSAValue, SSAValue] = {}
            new = [o.clone(copies) for o in ops]
            for index in reversed(range(len(new))):
                first = region.block.first_op
                assert first is not None
                region.block.insert_op_before(new[index], first)
            argument.replace_all_uses_with(new[-1].results[0])
            changed = True
    return changed


def _constant_chain(value: SSAValue) -> list[Operation] | None:
    """The ops that make `value` from nothing but a constant, through views; or None."""
    ops: list[Operation] = []
    while isinstance(value, OpResult):
        ops.append(value.op)
        if isinstance(value.op, ConstantOp | WeightOp | DimsOp):
            return ops[::-1]
        if not isinstance(value.op, _VIEWS):
            return None
        value = value.op.operands[0]
    return None


def _is_inside(op: Operation, module: ModuleOp) -> bool:
    """Whether `op` is still part of the module."""
    current: Operation | None = op
    while current is not None and current is not module:
        current = current.parent_op()
    return current is module


def _replace(op: Operation, values: Sequence[SSAValue]) -> bool:
    for result, value in zip(op.results, values, strict=True):
        result.replace_all_uses_with(value)
    erase(op)
    return True


def _inline(op: Operation, block: Block, arguments: Sequence[SSAValue]) -> YieldOp:
    """Move the ops of `block` in front of `op`; its terminator, which is detached."""
    terminator = yield_of(block)
    for argument, value in zip(block.args, arguments, strict=True):
        argument.replace_all_uses_with(value)
    terminator.detach()
    parent = op.parent
    assert parent is not None
    for inner in list(block.ops):
        inner.detach()
        copy_location(op, inner)
        parent.insert_op_before(inner, op)
    return terminator


# ---- branches


def _take_known_branch(op: IfOp, weights: WeightStore) -> bool:
    condition = constant_value(op.condition, weights)
    if condition is None:
        return False
    region = op.then_body if condition.item() else op.else_body
    terminator = _inline(op, region.block, op.arguments)
    values = list(terminator.arguments)
    terminator.erase()
    return _replace(op, values)


def _drop_from_if(op: IfOp) -> bool:
    """Drop results and arguments that nobody reads, and repeated arguments."""
    blocks = [op.then_body.block, op.else_body.block]
    changed = _merge_repeated(op)
    for index, result in enumerate(op.res):
        # Both branches may hand the same value through.
        values = [yield_of(b).arguments[index] for b in blocks]
        positions = {v.index for v in values if isinstance(v, BlockArgument)}
        is_handed = all(isinstance(v, BlockArgument) for v in values)
        if is_handed and len(positions) == 1 and result.first_use is not None:
            result.replace_all_uses_with(op.arguments[positions.pop()])
            changed = True
    results = [i for i, r in enumerate(op.res) if r.first_use is not None]
    arguments = [
        i
        for i in range(len(op.arguments))
        if any(b.args[i].first_use is not None for b in blocks)
    ]
    if len(results) == len(op.res) and len(arguments) == len(op.arguments):
        return changed
    for block in blocks:
        _keep_yielded(block, results)
        # Yields may have been the only readers.
        erase_dead(block)
    arguments = [i for i in arguments if any(b.args[i].first_use for b in blocks)]
    for block in blocks:
        _keep_arguments(block, arguments)
    new = IfOp(
        op.condition,
        [op.arguments[i] for i in arguments],
        *[op.detach_region(region) for region in list(op.regions)],
    )
    _exchange(op, new, [op.res[i] for i in results])
    return True


def _merge_repeated(op: IfOp | LoopOp) -> bool:
    """Let equal captured values be read through the first of their arguments."""
    changed = False
    first: dict[SSAValue, int] = {}
    for position, value in enumerate(op.captured):
        kept = first.setdefault(value, position)
        for region in op.regions if kept != position else ():
            arguments = op.inner(region.block)
            if arguments[position].first_use is not None:
                arguments[position].replace_all_uses_with(arguments[kept])
                changed = True
    return changed


def _keep_yielded(block: Block, kept: Sequence[int]) -> None:
    terminator = yield_of(block)
    terminator.operands = [terminator.operands[i] for i in kept]


def _keep_arguments(block: Block, kept: Sequence[int]) -> None:
    wanted = set(kept)
    for argument in reversed(block.args):
        if argument.index not in wanted:
            block.erase_arg(argument)


def _exchange(op: Operation, new: Operation, results: Sequence[SSAValue]) -> None:
    """Put `new` in the place of `op`; it computes the `results` of it that are read."""
    copy_location(op, new)
    block = op.parent
    assert block is not None
    block.insert_op_before(new, op)
    for old, value in zip(results, new.results, strict=True):
        value.name_hint = old.name_hint
        old.replace_all_uses_with(value)
    erase(op)


# ---- loops


def _hoist(op: LoopOp) -> bool:
    """Compute before the loop what depends on captured values alone."""
    block = op.block
    outside: dict[SSAValue, SSAValue] = dict(
        zip(op.inner(block), op.captured, strict=True)
    )
    captured = list(op.captured)
    for inner in list(block.ops):
        if not _may_hoist(inner):
            continue
        chains = [_views_inside(o, block) for o in inner.operands]
        roots = [chain[0].operands[0] if chain else o for chain, o in chains]
        if not all(_is_constant(r) or r in outside for r in roots):
            continue
        if all(_is_constant(r) for r in roots):
            continue  # fold-constants is for that.
        copy = _copy_outside(op, [*(o for c, _ in chains for o in c), inner], outside)
        argument = block.insert_arg(inner.results[0].type, len(block.args))
        captured.append(copy)
        outside[argument] = copy
        inner.results[0].replace_all_uses_with(argument)
        erase(inner)
    if len(captured) == len(op.captured):
        return False
    _rebuild(op, list(op.initial), list(op.scanned), captured, list(op.res))
    return True


def _views_inside(value: SSAValue, block: Block) -> tuple[list[Operation], SSAValue]:
    """The views in `block` that lead to `value`, in order, and `value`."""
    ops: list[Operation] = []
    source = value
    while isinstance(source.owner, _VIEWS) and source.owner.parent is block:
        ops.append(source.owner)
        source = source.owner.operands[0]
    return ops[::-1], value


def _is_constant(value: SSAValue) -> bool:
    return isinstance(value.owner, ConstantOp | WeightOp | DimsOp)


def _copy_outside(
    loop: LoopOp, ops: Sequence[Operation], outside: dict[SSAValue, SSAValue]
) -> SSAValue:
    """The result of the last of `ops`, which are repeated in front of the loop."""
    parent = loop.parent
    assert parent is not None
    copies = dict(outside)
    for op in ops:
        for operand in op.operands:
            if operand not in copies:
                constant = operand.owner
                assert isinstance(constant, Operation)
                parent.insert_op_before(constant.clone(copies), loop)
        if op.results[0] not in copies:
            parent.insert_op_before(op.clone(copies), loop)
    return copies[ops[-1].results[0]]


def _may_hoist(op: Operation) -> bool:
    if not isinstance(op, _HOISTED):
        return False
    if isinstance(op, DivOp | ModOp | RemOp):
        return is_float(element_type_of(op.results[0]))
    return True


def _know_trips(op: LoopOp, weights: WeightStore) -> bool:
    """Make a known trip count a property; drop a condition that is always true."""
    trips, count, condition = op.trip_dim, op.count, op.condition
    if count is not None and (dims := known_dims(count, weights)) is not None:
        trips, count = dims[0], None
        size = trips.as_int()
        trips = trips if size is None else Dim.of(max(0, size))
        if size is None and (bound := trips.lower_bound()) is not None and bound < 0:
            # A size that may be negative is no trip count.
            trips, count = None, op.count
    if condition is not None:
        first = constant_value(condition, weights)
        following = op.next_condition
        assert following is not None
        later = constant_value(following, weights)
        if first is not None and not first.item():
            trips, count, condition = Dim.of(0), None, None
        elif later is not None and not later.item() and first is not None:
            at_most = trips.as_int() if trips is not None else None
            if trips is None and count is None:
                trips, condition = Dim.of(1), None
            elif at_most is not None:
                trips, condition = Dim.of(min(1, at_most)), None
        elif (
            later is not None
            and first is not None
            and (trips is not None or count is not None)
        ):
            condition = None
    if (count, condition) == (op.count, op.condition):
        return False
    if op.condition is not None and condition is None:
        _keep_yielded(op.block, range(1, len(yield_of(op.block).arguments)))
    new = LoopOp(
        op.detach_region(op.body),
        list(op.initial),
        list(op.scanned),
        list(op.captured),
        trips=trips,
        count=count,
        condition=condition,
    )
    _exchange(op, new, list(op.res))
    return True


def _inline_short(op: LoopOp) -> bool:
    """Replace a loop of no iteration, or of one."""
    trips = None if op.trip_dim is None else op.trip_dim.as_int()
    if trips is None or trips > 1 or op.condition is not None:
        return False
    parent = op.parent
    assert parent is not None

    def add(new: Operation) -> SSAValue:
        copy_location(op, new)
        parent.insert_op_before(new, op)
        return new.results[0]

    values = list(op.initial)
    if not trips:
        if op.stacked:
            return False
        return _replace(op, values)
    iteration = add(ConstantOp(dense_attribute(np.zeros((), np.int64))))
    slices = [add(ReshapeOp(value, dims_of(value)[1:])) for value in op.scanned]
    terminator = _inline(op, op.block, [iteration, *values, *slices, *op.captured])
    elements = terminator.arguments[len(values) :]
    values = [
        *terminator.arguments[: len(values)],
        *(add(ReshapeOp(element, (1, *dims_of(element)))) for element in elements),
    ]
    terminator.erase()
    return _replace(op, values)


def _drop_from_loop(op: LoopOp) -> bool:
    """Drop what is carried, stacked, scanned or captured in vain."""
    block = op.block
    changed = _merge_repeated(op)
    captured = list(op.captured)
    carried: list[int] = []
    for index, (argument, following) in enumerate(
        zip(op.carried, op.next_values, strict=True)
    ):
        result = op.res[index]
        is_constant = following is argument
        if is_constant or (
            isinstance(following, BlockArgument)
            and following in (inner := list(op.inner(block)))
            and captured[inner.index(following)] is op.initial[index]
        ):
            result.replace_all_uses_with(op.initial[index])
            inside = block.insert_arg(argument.type, len(block.args))
            captured.append(op.initial[index])
            argument.replace_all_uses_with(inside)
        elif result.first_use is not None or _is_read(argument, following, index, op):
            carried.append(index)
    count = len(op.initial)
    elements = [i for i, r in enumerate(op.stacked) if r.first_use is not None]
    start = int(op.condition is not None)
    yielded = [
        *range(start),
        *(start + i for i in carried),
        *(start + count + i for i in elements),
    ]
    if len(yielded) < len(yield_of(block).arguments):
        _keep_yielded(block, yielded)
        erase_dead(block)
    first_slice = 1 + count
    slices = [i for i, s in enumerate(op.slices) if s.first_use is not None]
    first_captured = first_slice + len(op.scanned)
    inner = block.args[first_captured:]
    kept = [i for i, a in enumerate(inner) if a.first_use is not None]
    is_same = (
        len(carried) == count
        and len(elements) == len(op.stacked)
        and len(slices) == len(op.scanned)
        and len(kept) == len(op.captured)
    )
    if is_same:
        return changed
    _keep_arguments(
        block,
        [
            0,
            *(1 + i for i in carried),
            *(first_slice + i for i in slices),
            *(first_captured + i for i in kept),
        ],
    )
    _rebuild(
        op,
        [op.initial[i] for i in carried],
        [op.scanned[i] for i in slices],
        [captured[i] for i in kept],
        [*(op.res[i] for i in carried), *(op.stacked[i] for i in elements)],
    )
    return True


def _is_read(
    argument: BlockArgument, following: SSAValue, index: int, op: LoopOp
) -> bool:
    """Whether anything but the computation of its own next value reads `argument`."""
    terminator = yield_of(op.block)
    position = int(op.condition is not None) + index
    pending: list[SSAValue] = [argument]
    seen: set[SSAValue] = set()
    while pending:
        value = pending.pop()
        for use in value.uses:
            user = use.operation
            if user is terminator:
                if use.index != position:
                    return True
                continue
            new = [r for r in user.results if r not in seen]
            seen.update(new)
            pending += new
    return False


def _rebuild(
    op: LoopOp,
    initial: Sequence[SSAValue],
    scanned: Sequence[SSAValue],
    captured: Sequence[SSAValue],
    results: Sequence[SSAValue],
) -> None:
    """The same loop, whose block was changed, with these operands."""
    body: Region = op.detach_region(op.body)
    new = LoopOp(
        body,
        initial,
        scanned,
        captured,
        trips=op.trip_dim,
        count=op.count,
        condition=op.condition,
    )
    _exchange(op, new, results)
