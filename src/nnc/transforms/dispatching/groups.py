"""
Which ops share a dispatch: greedy grouping along the order of the program.

Every op that computes either joins the group of one of its operands or starts its own.
Groups stay convex: for each unit (a group, or an op that stays outside) a bit set holds
the units that it depends on, so that a cycle is seen before it is made.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from xdsl.ir import Block, Operation, OpResult, SSAValue
from xdsl.traits import IsTerminator

from nnc.analysis.dispatches import (
    ELEMENTWISE,
    SCANS,
    DispatchKind,
    is_contraction,
    is_window,
    made_tiles,
)
from nnc.analysis.views import root_of
from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.movement import BroadcastOp, DimCastOp
from nnc.dialects.nn.reduction import ReduceOp
from nnc.dialects.nn.selection import SELECTION_OPS
from nnc.dialects.nn.structure import DispatchOp
from nnc.dialects.nn.types import dims_of
from nnc.dialects.nn.winograd import WinogradInputOp
from nnc.symbolic import Dim
from nnc.transforms.dispatching.values import (
    is_made_where_used,
    is_scalar_expression,
    is_top_level,
)

logger = logging.getLogger(__name__)

Dims = tuple[Dim, ...]

MAX_OPS = 96
"""Ops of one dispatch; longer chains are cut so that kernels stay small."""

_PREFERENCE = {
    DispatchKind.CONTRACTION: 5,
    DispatchKind.ATTENTION: 4,
    DispatchKind.TILES: 4,
    DispatchKind.SELECTION: 4,
    DispatchKind.WINDOW: 3,
    DispatchKind.SCAN: 2,
    DispatchKind.ROWS: 1,
    DispatchKind.POINTWISE: 0,
}


@dataclass(eq=False)
class Group:
    """Ops that will share a dispatch."""

    unit: int
    kind: DispatchKind
    dims: Dims
    """The shape that elementwise ops run on."""
    ops: list[Operation]
    reduced: Dims = ()
    axes: tuple[int, ...] = ()
    """Of a row program."""
    is_elementwise: bool = True
    """Whether all ops (but the reductions) are elementwise."""
    names: set[Dims] = field(default_factory=set[Dims])
    """Other expressions for `dims`, which `nn.dim_cast` ops between members state."""

    @property
    def is_prologue(self) -> bool:
        """Whether a row program may still take over the group."""
        return self.kind is DispatchKind.POINTWISE and self.is_elementwise

    @property
    def shapes(self) -> tuple[Dims, ...]:
        """The shapes that members may have."""
        if self.reduced:
            return self.dims, self.reduced
        return self.dims, *self.names


def feeds_only_reductions(op: Operation, depth: int = 4) -> bool:
    """Whether all that `op` computes goes to `nn.reduce`, past elementwise ops."""
    users = {use.operation for result in op.results for use in result.uses}
    return bool(users) and all(
        isinstance(user, ReduceOp)
        or (
            type(user) in ELEMENTWISE
            and depth
            and feeds_only_reductions(user, depth - 1)
        )
        for user in users
    )


def _uncast(op: Operation) -> Iterable[tuple[SSAValue, SSAValue]]:
    """Each operand of `op`, and what it is before any renaming of dims."""
    for operand in op.operands:
        value = operand
        while isinstance(value, OpResult) and isinstance(value.op, DimCastOp):
            value = value.op.operands[0]
        yield operand, value


@dataclass
class Grouping:
    """The groups of one block."""

    block: Block
    group_of: dict[Operation, Group] = field(default_factory=dict[Operation, Group])
    units: dict[Operation, int] = field(default_factory=dict[Operation, int])
    """The units of ops that stay outside, but depend on groups (concat, pad)."""
    ancestors: list[int] = field(default_factory=list[int])
    """For each unit the set of units that it depends on, as bits."""
    reducers: dict[tuple[SSAValue, tuple[int, ...]], Group] = field(
        default_factory=dict[tuple[SSAValue, tuple[int, ...]], Group]
    )
    """The row program that reduces a value over these axes."""

    def run(self) -> list[Group]:
        """Visit all ops; the groups in the order in which they were started."""
        for op in self.block.ops:
            if op.has_trait(IsTerminator):
                continue
            if is_top_level(op) or isinstance(op, DispatchOp):
                self.add_outside(op)
            elif op.results and is_scalar_expression(op.results[0]):
                continue
            else:
                self.place(op)
        return list(dict.fromkeys(self.group_of.values()))

    # ---- units and their order

    def new_unit(self, operands: Iterable[SSAValue]) -> int:
        unit = len(self.ancestors)
        self.ancestors.append(self.dependencies(operands))
        return unit

    def dependencies(self, values: Iterable[SSAValue]) -> int:
        """The units that `values` depend on, as bits."""
        found = 0
        for value in values:
            unit = self.unit_of(value)
            if unit is not None:
                found |= self.ancestors[unit] | (1 << unit)
        return found

    def unit_of(self, value: SSAValue) -> int | None:
        root = root_of(value)
        if not isinstance(root, OpResult):
            return None
        group = self.group_of.get(root.op)
        return self.units.get(root.op) if group is None else group.unit

    def add_outside(self, op: Operation) -> None:
        if any(self.unit_of(o) is not None for o in op.operands):
            if len(op.operands) == 1 and root_of(op.results[0]) is not op.results[0]:
                return
            self.units[op] = self.new_unit(op.operands)

    def depend(self, unit: int, needed: int) -> None:
        """Let `unit` depend on the units `needed`, and all that depend on it too."""
        ancestors = self.ancestors
        if needed & ~ancestors[unit] == 0:
            return
        ancestors[unit] |= needed
        bit = 1 << unit
        for other, mask in enumerate(ancestors):
            if mask & bit:
                ancestors[other] = mask | needed

    # ---- placing ops

    def place(self, op: Operation) -> None:
        if type(op) in ELEMENTWISE:
            self.place_elementwise(op)
        elif isinstance(op, ReduceOp):
            self.place_reduce(op)
        elif is_contraction(op):
            self.start_contraction(op)
        elif isinstance(op, AttentionOp):
            self.start(op, DispatchKind.ATTENTION)
        elif is_window(op):
            self.start(op, DispatchKind.WINDOW)
        elif isinstance(op, WinogradInputOp):
            if not is_made_where_used(op):
                self.start(op, DispatchKind.TILES)
        elif isinstance(op, SELECTION_OPS):
            self.start(op, DispatchKind.SELECTION)
        elif type(op) in SCANS:
            self.start(op, DispatchKind.SCAN)
        else:
            group = self.start(op, DispatchKind.POINTWISE)
            group.is_elementwise = False

    def start(self, op: Operation, kind: DispatchKind) -> Group:
        unit = self.new_unit(op.operands)
        group = Group(unit, kind, dims_of(op.results[0]), [op])
        self.group_of[op] = group
        return group

    def start_contraction(self, op: Operation) -> None:
        """A contraction, with its tiles if they have no dispatch of their own."""
        tiles = made_tiles(op)
        if tiles is None or tiles in self.group_of:
            self.start(op, DispatchKind.CONTRACTION)
            return
        unit = self.new_unit([*tiles.operands, *op.operands])
        dims = dims_of(op.results[0])
        group = Group(unit, DispatchKind.CONTRACTION, dims, [tiles, op])
        self.group_of[tiles] = self.group_of[op] = group

    def join(self, op: Operation, group: Group) -> None:
        outside = [o for o in op.operands if self.unit_of(o) != group.unit]
        group.ops.append(op)
        self.group_of[op] = group
        self.depend(group.unit, self.dependencies(outside))

    def place_elementwise(self, op: Operation) -> None:
        groups = self.candidates(op)
        if feeds_only_reductions(op):
            # The row program that reduces it computes it best.
            groups = [g for g in groups if g.kind is DispatchKind.ROWS or g.is_prologue]
        for group in groups:
            reason = self.why_not(op, group)
            if reason is None:
                self.join(op, group)
                self._note_names(op, group)
                for other in groups:
                    if other is not group:
                        self.try_merge(other, group)
                return
            logger.debug(
                "%s stays out of the %s of %s: %s",
                location_of(op),
                group.kind,
                location_of(group.ops[0]),
                reason,
            )
        self.start(op, DispatchKind.POINTWISE)

    def candidates(self, op: Operation) -> list[Group]:
        """Groups that `op` reads from, the best to join first."""
        found: dict[Group, None] = {}
        for operand in op.operands:
            source = self.inner_source(operand)
            if source is not None:
                found[self.group_of[source.op]] = None
        return sorted(found, key=lambda g: (_PREFERENCE[g.kind], g.unit), reverse=True)

    def inner_source(self, value: SSAValue) -> OpResult | None:
        """The value of a group that `value` is, or repeats, or renames dims of."""
        while isinstance(value, OpResult) and isinstance(
            value.op, BroadcastOp | DimCastOp
        ):
            value = value.op.operands[0]
        if isinstance(value, OpResult) and value.op in self.group_of:
            return value
        return None

    def why_not(self, op: Operation, group: Group) -> str | None:
        """Why `op`, elementwise, cannot join `group`; None if it can."""
        if group.kind is DispatchKind.TILES:
            return "transformed tiles stand alone"
        if group.kind is DispatchKind.SELECTION:
            return "what is selected stands alone"
        dims = dims_of(op.results[0])
        if group.kind is DispatchKind.ATTENTION:
            return "nothing follows attention in its dispatch"
        if dims not in group.shapes and not self._is_renamed(op, group):
            return "its shape is another one"
        if len(group.ops) >= MAX_OPS:
            return "the dispatch is large enough"
        for operand in op.operands:
            reason = self.why_not_operand(operand, group, dims)
            if reason is not None:
                return reason
        return None

    def _is_renamed(self, op: Operation, group: Group) -> bool:
        """Whether `op` reads a member under other names of its dims."""
        return not group.reduced and any(
            value is not operand
            and isinstance(value, OpResult)
            and self.group_of.get(value.op) is group
            and dims_of(value) in group.shapes
            for operand, value in _uncast(op)
        )

    def _note_names(self, op: Operation, group: Group) -> None:
        """Take down the names of dims that `op`, a new member, knows."""
        if group.reduced:
            return
        group.names.add(dims_of(op.results[0]))
        if group.kind is DispatchKind.POINTWISE:
            group.names.update(dims_of(value) for _, value in _uncast(op))

    def why_not_operand(
        self, operand: SSAValue, group: Group, dims: Dims
    ) -> str | None:
        if is_scalar_expression(root_of(operand)):
            return None
        unit = self.unit_of(operand)
        if unit is None:
            return None
        if unit == group.unit:
            return self._why_not_inner(operand, group, dims)
        if self.ancestors[unit] & (1 << group.unit):
            return "another operand depends on the group"
        return None

    def _why_not_inner(self, operand: SSAValue, group: Group, dims: Dims) -> str | None:
        """Whether an operand that is a view of a member can be read inside."""
        source = operand
        while isinstance(source, OpResult) and source.op not in self.group_of:
            view = source.op
            is_spread = (
                isinstance(view, BroadcastOp)
                and group.reduced == dims_of(view.operand)
                and group.dims == dims_of(view.result)
            )
            is_renaming = isinstance(view, DimCastOp) and not group.reduced
            if not is_spread and not is_renaming:
                return f"it reads a member through {view.name}"
            source = view.operands[0]
        if dims_of(operand) != dims:
            return "it reads a member of another shape"
        return None

    # ---- reductions

    def place_reduce(self, op: ReduceOp) -> None:
        if not op.keep_dims.value.data:
            self.start_rows(op)
            return
        dims, axes = dims_of(op.operand), op.reduced_axes
        source = op.operand
        group: Group | None = None
        if isinstance(source, OpResult):
            group = self.group_of.get(source.op)
        if group is None or not self._can_reduce_in(group, dims, axes):
            group = self.reducers.get((source, axes))
            unit = self.unit_of(source)
            is_cycle = (
                group is not None
                and unit is not None
                and self.ancestors[unit] & (1 << group.unit)
            )
            if is_cycle:
                group = None
        if group is None:
            self.start_rows(op)
        else:
            if group.kind is DispatchKind.POINTWISE:
                group.kind = DispatchKind.ROWS
                group.reduced, group.axes = dims_of(op.result), axes
            self.join(op, group)
        self.reducers[source, axes] = self.group_of[op]

    def start_rows(self, op: ReduceOp) -> None:
        group = self.start(op, DispatchKind.ROWS)
        group.dims, group.reduced = dims_of(op.operand), dims_of(op.result)
        group.axes = op.reduced_axes

    def _can_reduce_in(self, group: Group, dims: Dims, axes: Sequence[int]) -> bool:
        if len(group.ops) >= MAX_OPS or group.dims != dims:
            return False
        if group.kind is DispatchKind.ROWS:
            return group.axes == tuple(axes)
        return group.is_prologue and group.names <= {group.dims}

    # ---- merging

    def try_merge(self, small: Group, into: Group) -> None:
        """Merge a pointwise group into the one that reads it, where that is fine."""
        shapes = set(small.shapes)
        is_fitting = (
            small.kind is DispatchKind.POINTWISE
            and (
                not shapes.isdisjoint(into.shapes)
                if into.kind is DispatchKind.POINTWISE
                else small.is_elementwise and shapes <= set(into.shapes)
            )
            and len(small.ops) + len(into.ops) <= MAX_OPS
        )
        if not is_fitting or self._is_between(small.unit, into.unit):
            return
        if self._is_between(into.unit, small.unit) or self._feeds_anchor(small, into):
            return
        escapes = any(
            self.group_of.get(use.operation) not in (small, into)
            for op in small.ops
            for result in op.results
            for use in result.uses
        )
        if escapes and into.kind is not DispatchKind.POINTWISE:
            return
        into.ops = sorted([*small.ops, *into.ops], key=self._position)
        into.is_elementwise = into.is_elementwise and small.is_elementwise
        if not into.reduced:
            into.names |= shapes
        for op in small.ops:
            self.group_of[op] = into
        bit = 1 << into.unit
        inherited = self.ancestors[small.unit]
        for other, mask in enumerate(self.ancestors):
            if mask & (1 << small.unit) and other != into.unit:
                self.ancestors[other] = mask | bit | self.ancestors[into.unit]
        self.depend(into.unit, inherited & ~bit)
        self.ancestors[into.unit] &= ~(bit | (1 << small.unit))

    def _feeds_anchor(self, small: Group, into: Group) -> bool:
        """Whether the contraction of a group reads what another group computes."""
        return into.kind is DispatchKind.CONTRACTION and any(
            self.dependencies(op.operands) & (1 << small.unit)
            for op in into.ops
            if is_contraction(op) or isinstance(op, WinogradInputOp)
        )

    def _position(self, op: Operation) -> int:
        return self.positions[op]

    @property
    def positions(self) -> dict[Operation, int]:
        """The place of each op in the block."""
        if not self._positions:
            self._positions.update({op: i for i, op in enumerate(self.block.ops)})
        return self._positions

    _positions: dict[Operation, int] = field(default_factory=dict[Operation, int])

    def _is_between(self, first: int, last: int) -> bool:
        """Whether some third unit depends on `first` and `last` depends on it."""
        middle = self.ancestors[last]
        bit = 1 << first
        return any(
            middle >> unit & 1 and mask & bit
            for unit, mask in enumerate(self.ancestors)
            if unit not in (first, last)
        )
