"""Building the `nn.dispatch` ops: what a group of ops becomes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Block, BlockArgument, Operation, OpResult, Region, SSAValue, Use

from nnc.analysis.dispatches import (
    DispatchKind,
    is_contraction,
    is_splat,
    is_storable_view,
    is_window,
)
from nnc.analysis.strides import contiguous_strides, reshaped_strides
from nnc.analysis.views import root_of
from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.base import LOCATION
from nnc.dialects.nn.movement import ReshapeOp, TransposeOp
from nnc.dialects.nn.selection import SELECTION_OPS
from nnc.dialects.nn.structure import ConstantOp, DispatchOp, YieldOp
from nnc.dialects.nn.types import dims_of
from nnc.dialects.nn.winograd import WinogradProductOp
from nnc.transforms.dispatching.groups import Group
from nnc.transforms.dispatching.values import (
    PULLED_VIEWS,
    is_scalar_expression,
    is_top_level,
)
from nnc.transforms.worklist import erase, is_dead


def build_dispatch(members: Sequence[Operation], kind: DispatchKind) -> DispatchOp:
    """
    Move `members`, in order, into a new dispatch, which is not inserted.

    Views that feed them come along as copies, up to the first reshape; so do constants
    of one value. Results are the members' values that others use.
    """
    outer = members[-1].parent
    assert outer is not None
    members = [*members, *_trailing_views(members, kind)]
    inside = set(members)
    body = _Body(inside)
    for op in members:
        body.take(op, outer)
    body.erase_pulled()
    outside = {
        r: uses
        for op in members
        for r in op.results
        if (uses := [u for u in r.uses if u.operation.parent is not body.block])
        or kind is DispatchKind.SELECTION
    }
    body.block.add_op(YieldOp(*outside))
    dispatch = DispatchOp(list(body.arguments), Region(body.block))
    location = joined_locations(members)
    if location is not None:
        dispatch.attributes[LOCATION] = location
    for uses, new in zip(outside.values(), dispatch.res, strict=True):
        _redirect(uses, new)
    return dispatch


def _redirect(uses: Iterable[Use], value: SSAValue) -> None:
    for use in uses:
        use.operation.operands[use.index] = value


@dataclass
class _Body:
    """The block of a dispatch while it is filled."""

    inside: set[Operation]
    block: Block = field(default_factory=Block)
    arguments: dict[SSAValue, BlockArgument] = field(
        default_factory=dict[SSAValue, BlockArgument]
    )
    pulled: dict[SSAValue, SSAValue] = field(default_factory=dict[SSAValue, SSAValue])
    from_memory: dict[SSAValue, SSAValue] = field(
        default_factory=dict[SSAValue, SSAValue]
    )
    """As `pulled`, for values that are read from memory even if they are constants."""

    def erase_pulled(self) -> None:
        """Erase the originals of what was copied and is now unused."""
        kept = {v.op for v in self.arguments if isinstance(v, OpResult)} | self.inside
        copied = (*self.pulled, *self.from_memory)
        pending = [v.op for v in copied if isinstance(v, OpResult)]
        while pending:
            op = pending.pop()
            if op not in kept and op.parent is not None and is_dead(op):
                pending += [o.op for o in op.operands if isinstance(o, OpResult)]
                erase(op)

    def take(self, op: Operation, outer: Block) -> None:
        """Move `op` to the end of the body."""
        # Kernels read the operands of these in tiles, so that they have to be memory.
        from_memory = is_contraction(op) or is_window(op) or isinstance(op, AttentionOp)
        for index, operand in enumerate(op.operands):
            if isinstance(op, SELECTION_OPS):
                op.operands[index] = self.argument(operand)
            else:
                op.operands[index] = self.inner(operand, from_memory)
        if op.parent is outer:
            op.detach()
        self.block.add_op(op)

    def inner(self, value: SSAValue, from_memory: bool = False) -> SSAValue:
        """What stands for an outer `value` in the body."""
        if isinstance(value, OpResult) and value.op in self.inside:
            return value
        pulled = self.from_memory if from_memory else self.pulled
        found = pulled.get(value)
        if found is None:
            found = pulled[value] = self.pull(value, from_memory)
        return found

    def pull(self, value: SSAValue, from_memory: bool) -> SSAValue:
        if isinstance(value, OpResult):
            op = value.op
            is_small = isinstance(op, ConstantOp) and is_splat(op)
            is_scalar = is_scalar_expression(root_of(value))
            is_view = isinstance(op, PULLED_VIEWS)
            if is_view or (not from_memory and (is_small or is_scalar)):
                copy = op.clone({o: self.inner(o, from_memory) for o in op.operands})
                self.block.add_op(copy)
                return copy.results[value.index]
        return self.argument(value)

    def argument(self, value: SSAValue) -> SSAValue:
        """The argument of the body that stands for `value`."""
        argument = self.arguments.get(value)
        if argument is None:
            argument = self.block.insert_arg(value.type, len(self.block.args))
            self.arguments[value] = argument
        return argument


def _trailing_views(
    members: Sequence[Operation], kind: DispatchKind
) -> list[Operation]:
    """
    Views behind the members that are stored through instead of copied later.

    `transpose` that keeps the last axis, then a `reshape` that would have to copy.
    """
    if kind in (DispatchKind.POINTWISE, DispatchKind.SELECTION) or any(
        isinstance(op, WinogradProductOp) for op in members
    ):
        return []
    found: list[Operation] = []
    for op in members:
        for result in op.results:
            found += _stored_views(result)
    return found


def _stored_views(value: SSAValue) -> list[Operation]:
    transpose = _only_user(value)
    if not isinstance(transpose, TransposeOp):
        return []
    if transpose.axes[-1] != len(transpose.axes) - 1:
        return []
    reshape = _only_user(transpose.result)
    if not isinstance(reshape, ReshapeOp):
        return []
    dims = dims_of(value)
    strides = contiguous_strides(dims)
    moved = [dims[a] for a in transpose.axes], [strides[a] for a in transpose.axes]
    if reshaped_strides(*moved, dims_of(reshape.result)) is not None:
        return []
    views = [transpose, reshape]
    return list(views) if is_storable_view(views) else []


def _only_user(value: SSAValue) -> Operation | None:
    use = value.first_use
    return use.operation if use is not None and value.has_one_use() else None


def joined_locations(ops: Sequence[Operation]) -> StringAttr | None:
    """The source names of `ops`, each once, joined by `+`."""
    names: dict[str, None] = {}
    for op in ops:
        location = op.attributes.get(LOCATION)
        if isinstance(location, StringAttr):
            names.update(dict.fromkeys(location.data.split("+")))
    return StringAttr("+".join(names)) if names else None


def sort_block(block: Block, order: Sequence[Operation]) -> None:
    """
    Reorder the ops of `block` so that values come before their users.

    Keeps to `order` (all ops of the block but the terminator, which stays last) where
    that is possible.
    """
    terminator = block.last_op
    assert terminator is not None
    done: set[Operation] = set()
    sorted_ops: list[Operation] = []
    for start in order:
        pending = [start]
        while pending:
            op = pending[-1]
            if op in done:
                pending.pop()
                continue
            missing = [
                o.op
                for o in op.operands
                if isinstance(o, OpResult) and o.op not in done
            ]
            if missing:
                pending.extend(reversed(missing))
            else:
                done.add(op)
                sorted_ops.append(op)
                pending.pop()
    for op in sorted_ops:
        op.detach()
    block.insert_ops_before(sorted_ops, terminator)


def build_all(block: Block, groups: Sequence[Group]) -> None:
    """Replace all groups by dispatches, in an order that respects their results."""
    positions = {op: i for i, op in enumerate(block.ops)}
    keyed: list[tuple[int, Operation]] = []
    grouped: set[Operation] = set()
    for group in groups:
        group.ops.sort(key=positions.__getitem__)
        grouped.update(group.ops)
    terminator = block.last_op
    assert terminator is not None
    keyed += [
        (positions[op], op)
        for op in block.ops
        if op not in grouped and op is not terminator
    ]
    for group in groups:
        position = positions[group.ops[-1]]
        dispatch = build_dispatch(group.ops, group.kind)
        block.insert_op_before(dispatch, terminator)
        keyed.append((position, dispatch))
    for index, (position, op) in enumerate(keyed):
        if op.parent is not block or isinstance(op, DispatchOp):
            continue
        if is_dead(op) or is_top_level(op):
            continue
        # A scalar expression that is wanted as a value.
        dispatch = build_dispatch([op], DispatchKind.POINTWISE)
        block.insert_op_before(dispatch, terminator)
        keyed[index] = position, dispatch
    keyed = [(p, op) for p, op in keyed if op.parent is block]
    keyed.sort(key=lambda item: item[0])
    sort_block(block, [op for _, op in keyed])
