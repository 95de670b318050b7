"""
choose-layout: convolutions and what lies between them become channels-last.

Before::

    %0 = nn.conv %x, %w {layout = "channels_first"}
    %1 = nn.relu %0
    %2 = nn.conv %1, %w2 {layout = "channels_first"}

After::

    %t = nn.transpose %x {permutation = array<i64: 0, 2, 3, 1>}
    %0 = nn.conv %t, %wt {layout = "channels_last"}
    %1 = nn.relu %0
    %2 = nn.conv %1, %wt2 {layout = "channels_last"}
    %3 = nn.transpose %2 {permutation = array<i64: 0, 3, 1, 2>}

One walk in order: a windowed op computes a channels-last *twin* of its result; an op
that works in any layout follows as soon as one operand (other than a mere repetition)
has such a twin; all others, and the outputs, take the twin transposed back, once.
A shuffle of channels (reshape, transpose, reshape) is done on the last axis.
Twins of other values are made by transposing; `canonicalize-nn` afterwards cancels
what meets, and `fold-constants` transposes the weights.

On entry: any `nn` module; reductions keep dims, or they end the layout. On exit: every
windowed op is channels_last.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar, cast

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, Float64Type, ModuleOp, f64
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from nnc.analysis.axes import AxisMap
from nnc.analysis.views import strides_of
from nnc.dialects.nn.base import copy_location, ints
from nnc.dialects.nn.conv import (
    CHANNELS_LAST,
    ConvOp,
    ConvTransposeOp,
    PoolOp,
    WindowOp,
)
from nnc.dialects.nn.elementwise import ELEMENTWISE_OPS, AddOp
from nnc.dialects.nn.movement import (
    BroadcastOp,
    ConcatOp,
    DimCastOp,
    GatherElementsOp,
    GatherOp,
    PadOp,
    ReshapeOp,
    ResizeOp,
    SliceOp,
    TransposeOp,
)
from nnc.dialects.nn.reduction import (
    ArgReduceOp,
    CumulativeOp,
    ReduceOp,
    SoftmaxOp,
)
from nnc.dialects.nn.types import (
    ShapeAttr,
    dims_of,
    element_type_of,
    rank_of,
    tensor_type,
)
from nnc.transforms.regions import program_blocks
from nnc.transforms.worklist import erase_dead

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")

_ELEMENTWISE = frozenset(ELEMENTWISE_OPS)
_MIN_CHAIN, _MAX_CHAIN = 3, 4
"""Views that a permutation of channels is made of: split, transpose, merge."""
_ONE_AXIS = (
    ConcatOp,
    GatherElementsOp,
    GatherOp,
    ArgReduceOp,
    CumulativeOp,
    SoftmaxOp,
)


def to_last(rank: int) -> list[int]:
    """The permutation that makes channels-first axes channels-last."""
    return [0, *range(2, rank), 1]


def to_first(rank: int) -> list[int]:
    """The inverse of `to_last`."""
    return [0, rank - 1, *range(1, rank - 1)]


def permuted(items: Sequence[ItemT]) -> list[ItemT]:
    """One item an axis, from channels-first to channels-last order."""
    return [items[a] for a in to_last(len(items))]


def moved_axis(axis: int, rank: int) -> int:
    """Where a channels-first axis is in the channels-last order."""
    return to_last(rank).index(axis % rank)


@dataclass
class _Layouts:
    """The walk over one block."""

    block: Block
    twins: dict[SSAValue, SSAValue] = field(default_factory=dict[SSAValue, SSAValue])
    """The channels-last values of channels-first ones."""
    computed: set[SSAValue] = field(default_factory=set[SSAValue])
    """Values that are computed as their twins; the op itself will go, or be rebuilt."""
    strong: set[SSAValue] = field(default_factory=set[SSAValue])
    """Those of them that later ops follow."""
    transposes: int = 0

    def run(self) -> None:
        for op in list(self.block.ops):
            if isinstance(op, WindowOp) and not op.channels_last:
                self.take(op, self.window(op), is_strong=True)
            elif isinstance(op, TransposeOp) and is_restoring(op):
                self.restore_operands(op)
                self.twins[op.result] = op.operand
                self.computed.add(op.result)
                self.strong.add(op.result)
            elif (shuffle := self.channel_shuffle(op)) is not None:
                self.take(op, self.shuffled(op, *shuffle), is_strong=True)
            elif self.should_follow(op):
                is_strong = any(o in self.strong for o in op.operands)
                is_repetition = isinstance(op, BroadcastOp)
                self.take(op, self.follow(op), is_strong and not is_repetition)
            else:
                self.restore_operands(op)
        erase_dead(self.block)

    def take(self, op: Operation, new: Operation, is_strong: bool) -> None:
        """Let `new` compute the twin of the result of `op`."""
        self.insert(op, new)
        self.twins[op.results[0]] = new.results[0]
        self.computed.add(op.results[0])
        if is_strong:
            self.strong.add(op.results[0])

    def insert(self, before: Operation, new: Operation) -> None:
        copy_location(before, new)
        self.block.insert_op_before(new, before)

    def twin(self, value: SSAValue, user: Operation) -> SSAValue:
        """The channels-last form of `value`, made in front of `user` if need be."""
        found = self.twins.get(value)
        if found is None:
            transpose = TransposeOp(value, to_last(rank_of(value)))
            owner = value.owner
            if isinstance(owner, Operation) and owner.next_op is not None:
                copy_location(owner, transpose)
                self.block.insert_op_before(transpose, owner.next_op)
            else:
                self.insert(user, transpose)
            found = self.twins[value] = transpose.result
            self.transposes += 1
        return found

    def restore_operands(self, op: Operation) -> None:
        """Give an op that stays channels-first the operands that it reads."""
        for index, operand in enumerate(op.operands):
            if operand in self.computed:
                op.operands[index] = self.restored(operand)

    def restored(self, value: SSAValue) -> SSAValue:
        owner = value.owner
        if isinstance(owner, TransposeOp) and is_restoring(owner):
            self.computed.discard(value)
            return value
        twin = self.twins[value]
        back = TransposeOp(twin, to_first(rank_of(twin)))
        owner = twin.owner
        assert isinstance(owner, Operation)
        copy_location(owner, back)
        self.block.insert_op_after(back, owner)
        # From here on the restored value is the value: readers share one transpose.
        value.replace_all_uses_with(back.result)
        self.computed.discard(value)
        self.twins[back.result] = twin
        if value in self.strong:
            self.strong.add(back.result)
        self.transposes += 1
        return back.result

    def should_follow(self, op: Operation) -> bool:
        if len(op.results) != 1 or not is_layout_agnostic(op):
            return False
        if isinstance(op, BroadcastOp):
            return op.operand in self.computed
        return any(o in self.strong for o in op.operands)

    def channel_shuffle(self, op: Operation) -> tuple[SSAValue, AxisMap] | None:
        """The value whose channels alone `op` and the views before it permute."""
        if not isinstance(op, ReshapeOp):
            return None
        chain: list[ReshapeOp | TransposeOp] = [op]
        value: SSAValue = op.operand
        while value not in self.strong:
            if not isinstance(value.owner, ReshapeOp | TransposeOp):
                return None
            if len(chain) == _MAX_CHAIN:
                return None
            chain.append(value.owner)
            value = value.owner.operand
        if len(chain) < _MIN_CHAIN or dims_of(value) != dims_of(op.result):
            return None
        axis_map = AxisMap(dims_of(value))
        for view in reversed(chain):
            if isinstance(view, TransposeOp):
                axis_map.transpose(view.axes)
            elif not axis_map.reshape(dims_of(view.result)):
                return None
        batch, channels, *spatial = axis_map.axes
        rest = [atom for axis in spatial for atom in axis]
        kept = [*batch, *sorted(channels, key=axis_map.source.index), *rest]
        return (value, axis_map) if kept == axis_map.source else None

    # ---- rebuilding ops

    def shuffled(self, op: Operation, source: SSAValue, axis_map: AxisMap) -> Operation:
        """The permutation of channels that `axis_map` does, on the last axis."""
        twin = self.twin(source, op)
        *outer, channels = dims_of(twin)
        order = axis_map.axes[1]
        atoms = sorted(order, key=axis_map.source.index)
        split = ReshapeOp(twin, [*outer, *(axis_map.sizes[a] for a in atoms)])
        moved = [len(outer) + atoms.index(a) for a in order]
        transpose = TransposeOp(split.result, [*range(len(outer)), *moved])
        self.insert(op, split)
        self.insert(op, transpose)
        return ReshapeOp(transpose.result, [*outer, channels])

    def window(self, op: WindowOp) -> Operation:
        """A windowed op in channels-last form."""
        x = self.twin(op.input, op)
        strides, dilations = ints(op.strides), ints(op.dilations)
        padding = op.padding.dims
        if isinstance(op, PoolOp):
            return PoolOp(
                x,
                "max" if op.kind.data == "max" else "average",
                op.kernel,
                strides=strides,
                dilations=dilations,
                padding=padding,
                ceil_mode=bool(op.ceil_mode.value.data),
                count_padding=bool(op.count_padding.value.data),
                layout=CHANNELS_LAST,
            )
        assert isinstance(op, ConvOp | ConvTransposeOp)
        rank = rank_of(op.filter)
        filter_ = TransposeOp(op.filter, [*range(2, rank), 1, 0])
        self.insert(op, filter_)
        groups = op.groups.value.data
        if isinstance(op, ConvOp):
            return ConvOp(
                x,
                filter_,
                strides=strides,
                dilations=dilations,
                padding=padding,
                groups=groups,
                layout=CHANNELS_LAST,
            )
        return ConvTransposeOp(
            x,
            filter_,
            strides=strides,
            dilations=dilations,
            padding=padding,
            output_padding=ints(op.output_padding),
            groups=groups,
            layout=CHANNELS_LAST,
        )

    def follow(self, op: Operation) -> Operation:
        """A layout-agnostic op on the twins of its operands."""
        rank = rank_of(op.results[0])
        operands = [
            self.twin(o, op) if rank_of(o) == rank else self.plain(o)
            for o in op.operands
        ]
        properties = dict(op.properties)
        match op:
            case PadOp():
                properties["low"] = ShapeAttr(permuted(op.low.dims))
                properties["high"] = ShapeAttr(permuted(op.high.dims))
            case SliceOp():
                properties["offsets"] = ShapeAttr(permuted(op.offsets.dims))
                properties["steps"] = _array(permuted(ints(op.steps)))
            case ReduceOp():
                axes = sorted(moved_axis(a, rank) for a in op.reduced_axes)
                properties["axes"] = _array(axes)
            case ResizeOp() if len(op.scales):
                scales = cast("DenseArrayBase[Float64Type]", op.scales).get_values()
                properties["scales"] = DenseArrayBase.from_list(f64, permuted(scales))
            case _ if isinstance(op, _ONE_AXIS):
                axis = op.axis
                properties["axis"] = type(axis)(
                    moved_axis(axis.value.data, rank), axis.type
                )
            case _:
                pass
        (result,) = op.results
        type_ = tensor_type(element_type_of(result), permuted(dims_of(result)))
        return type(op).create(
            operands=operands,
            result_types=[type_],
            properties=properties,
            attributes=dict(op.attributes),
        )

    def plain(self, value: SSAValue) -> SSAValue:
        return self.restored(value) if value in self.computed else value


def is_restoring(op: TransposeOp) -> bool:
    """
    Whether `op` makes channels-last axes channels-first ones: its operand is a twin.

    With three axes the permutation alone does not tell its direction.
    """
    rank = len(op.axes)
    if rank < 3 or list(op.axes) != to_first(rank):
        return False
    if rank > 3:
        return True
    return strides_of(op.operand)[-1] == 1 and _is_channels_last(op.operand)


def _is_channels_last(value: SSAValue) -> bool:
    """Whether `value` is what a channels-last windowed op computed, seen otherwise."""
    while isinstance(
        value.owner, ReshapeOp | TransposeOp | SliceOp | AddOp | ConcatOp | PadOp
    ):
        value = value.owner.operands[0]
    return isinstance(value.owner, WindowOp) and value.owner.channels_last


def is_layout_agnostic(op: Operation) -> bool:
    """Whether `op` means the same with the axes of operands and result permuted."""
    rank = rank_of(op.results[0]) if op.results else 0
    if rank < 3:
        return False
    match op:
        case _ if type(op) in _ELEMENTWISE:
            return True
        case BroadcastOp():
            return rank_of(op.operand) == rank
        case ReduceOp() | ArgReduceOp():
            return bool(op.keep_dims.value.data)
        case GatherOp():
            return rank_of(op.indices) == 1
        case _:
            return isinstance(
                op,
                ConcatOp
                | PadOp
                | SliceOp
                | DimCastOp
                | ResizeOp
                | GatherElementsOp
                | CumulativeOp
                | SoftmaxOp,
            )


def _array(values: Sequence[int]) -> DenseArrayBase:
    from xdsl.dialects.builtin import i64

    return DenseArrayBase.from_list(i64, list(values))


@dataclass(frozen=True)
class ChooseLayoutPass(ModulePass):
    """Make convolutions, pools and what lies between them channels-last."""

    name: ClassVar[str] = "choose-layout"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Walk over the body of every function."""
        _ = ctx
        for block in program_blocks(op):
            layouts = _Layouts(block)
            layouts.run()
            logger.debug("choose-layout: %d transposes", layouts.transposes)
