"""Patterns that drop, merge and reorder ops that only look at elements elsewhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from xdsl.ir import SSAValue

from nnc.analysis.axes import AxisMap, merged_permutation
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.elementwise import ELEMENTWISE_OPS
from nnc.dialects.nn.movement import (
    BroadcastOp,
    ConcatOp,
    DimCastOp,
    GatherOp,
    PadOp,
    ReshapeOp,
    SliceOp,
    TransposeOp,
)
from nnc.dialects.nn.structure import ConstantOp, DimsOp
from nnc.dialects.nn.types import dims_of, rank_of
from nnc.symbolic import Dim
from nnc.transforms.worklist import PatternContext, PatternTable, is_splat

_ELEMENTWISE = frozenset((*ELEMENTWISE_OPS, BroadcastOp))

MAX_CHAIN = 8
"""Views looked at in one chain; longer ones shrink step by step."""


# ---- transpose and reshape


def drop_view_without_effect(
    op: ReshapeOp | TransposeOp | BroadcastOp | DimCastOp, ctx: PatternContext
) -> SSAValue | None:
    """`reshape %x` to the shape it has → `%x`; likewise broadcast, dim_cast."""
    _ = ctx
    if isinstance(op, TransposeOp):
        is_same = op.axes == tuple(range(len(op.axes)))
    else:
        is_same = op.operand.type == op.result.type
    return op.operand if is_same else None


def merge_reshapes(op: ReshapeOp, ctx: PatternContext) -> SSAValue | None:
    """`reshape(reshape %x)` → `reshape %x`."""
    inner = op.operand.owner
    if not isinstance(inner, ReshapeOp):
        return None
    if dims_of(inner.operand) == dims_of(op.result):
        return inner.operand
    return ctx.add(ReshapeOp(inner.operand, dims_of(op.result))).result


def merge_transposes(op: TransposeOp, ctx: PatternContext) -> SSAValue | None:
    """`transpose(transpose %x)` → `transpose %x`."""
    inner = op.operand.owner
    if not isinstance(inner, TransposeOp):
        return None
    axes = [inner.axes[a] for a in op.axes]
    return ctx.add(TransposeOp(inner.operand, axes)).result


def transpose_to_reshape(op: TransposeOp, ctx: PatternContext) -> SSAValue | None:
    """A transpose that only moves axes of size 1 → `reshape`."""
    dims = dims_of(op.operand)
    moved = [a for a in op.axes if dims[a] != 1]
    if moved != sorted(moved):
        return None
    return ctx.add(ReshapeOp(op.operand, dims_of(op.result))).result


def normalize_view_chain(
    op: ReshapeOp | TransposeOp, ctx: PatternContext
) -> SSAValue | None:
    """
    A chain of reshapes and transposes → at most one of the latter, or a reshape.

    `transpose(reshape(transpose %x))` that ends in the order of `%x` → `reshape %x`.
    Otherwise a chain with two transposes → `reshape(transpose(reshape %x))`.
    """
    chain: list[ReshapeOp | TransposeOp] = [op]
    root = op.operand
    transposes = int(isinstance(op, TransposeOp))
    best: tuple[SSAValue, AxisMap] | None = None
    while isinstance(root.owner, ReshapeOp | TransposeOp) and len(chain) < MAX_CHAIN:
        chain.append(root.owner)
        transposes += isinstance(root.owner, TransposeOp)
        root = root.owner.operand
        axis_map = _axis_map(root, chain)
        if axis_map is None:
            break
        if axis_map.is_row_major:
            return ctx.add(ReshapeOp(root, dims_of(op.result))).result
        if transposes > 1 and isinstance(chain[-1], TransposeOp):
            best = (root, axis_map)
    if best is None:
        return None
    root, axis_map = best
    dims, axes = merged_permutation(axis_map)
    value = root
    if tuple(dims) != dims_of(value):
        value = ctx.add(ReshapeOp(value, dims)).result
    value = ctx.add(TransposeOp(value, axes)).result
    if dims_of(value) != dims_of(op.result):
        value = ctx.add(ReshapeOp(value, dims_of(op.result))).result
    return value


def split_before_transpose(op: ReshapeOp, ctx: PatternContext) -> SSAValue | None:
    """`reshape(transpose %x)` that only splits axes → `transpose(reshape %x)`."""
    inner = op.operand.owner
    if not isinstance(inner, TransposeOp):
        return None
    axis_map = _axis_map(inner.operand, [op, inner])
    if axis_map is None or any(len(axis) != 1 for axis in axis_map.axes):
        return None
    split = ctx.add(ReshapeOp(inner.operand, axis_map.source_dims)).result
    return ctx.add(TransposeOp(split, axis_map.permutation)).result


def _axis_map(root: SSAValue, chain: list[ReshapeOp | TransposeOp]) -> AxisMap | None:
    """What `chain` (last op first) does to the axes of `root`, if that is known."""
    axis_map = AxisMap(dims_of(root))
    for view in reversed(chain):
        if isinstance(view, TransposeOp):
            axis_map.transpose(view.axes)
        elif not axis_map.reshape(dims_of(view.result)):
            return None
    return axis_map


# ---- broadcast and dim_cast


def merge_broadcasts(op: BroadcastOp, ctx: PatternContext) -> SSAValue | None:
    """`broadcast(broadcast %x)` → `broadcast %x`."""
    inner = op.operand.owner
    if not isinstance(inner, BroadcastOp):
        return None
    return ctx.add(BroadcastOp(inner.operand, dims_of(op.result))).result


def drop_reshape_before_broadcast(
    op: BroadcastOp, ctx: PatternContext
) -> SSAValue | None:
    """A reshape that only changes the number of leading 1s → none."""
    inner = op.operand.owner
    if not isinstance(inner, ReshapeOp):
        return None
    source = dims_of(inner.operand)
    if len(source) > rank_of(op.result):
        return None
    if _without_leading_ones(source) != _without_leading_ones(dims_of(inner.result)):
        return None
    return ctx.add(BroadcastOp(inner.operand, dims_of(op.result))).result


def broadcast_to_reshape(op: BroadcastOp, ctx: PatternContext) -> SSAValue | None:
    """A broadcast that only adds leading axes of size 1 → `reshape`."""
    source, target = dims_of(op.operand), dims_of(op.result)
    offset = len(target) - len(source)
    if target[offset:] != source or any(d != 1 for d in target[:offset]):
        return None
    return ctx.add(ReshapeOp(op.operand, target)).result


def reshape_of_repetition(op: ReshapeOp, ctx: PatternContext) -> SSAValue | None:
    """`reshape(broadcast %x)` of one element → `broadcast %x`."""
    inner = op.operand.owner
    if not isinstance(inner, BroadcastOp) or any(
        d != 1 for d in dims_of(inner.operand)
    ):
        return None
    value: SSAValue = inner.operand
    if rank_of(value) > rank_of(op.result):
        value = ctx.add(ReshapeOp(value, [])).result
    return ctx.add(BroadcastOp(value, dims_of(op.result))).result


def transpose_of_broadcast(op: TransposeOp, ctx: PatternContext) -> SSAValue | None:
    """`transpose(broadcast %x)` → `broadcast(transpose %x)`, which moves less."""
    inner = op.operand.owner
    if not isinstance(inner, BroadcastOp):
        return None
    dims = dims_of(inner.operand)
    full = [Dim.of(1)] * (rank_of(inner.result) - len(dims)) + list(dims)
    value: SSAValue = inner.operand
    if len(full) != len(dims):
        value = ctx.add(ReshapeOp(value, full)).result
    value = ctx.add(TransposeOp(value, op.axes)).result
    return ctx.add(BroadcastOp(value, dims_of(op.result))).result


def merge_dim_casts(op: DimCastOp, ctx: PatternContext) -> SSAValue | None:
    """
    `dim_cast(dim_cast %x)` → `dim_cast %x` where the middle name is no news.

    A cast states an equality: one in the middle may only go if an end names its dim.
    """
    inner = op.operand.owner
    if not isinstance(inner, DimCastOp):
        return None
    first, middle, last = map(dims_of, (inner.operand, inner.result, op.result))
    if any(m not in (f, e) for f, m, e in zip(first, middle, last, strict=True)):
        return None
    return ctx.add(DimCastOp(inner.operand, last)).result


def _without_leading_ones(dims: tuple[Dim, ...]) -> tuple[Dim, ...]:
    first = next((i for i, d in enumerate(dims) if d != 1), len(dims))
    return dims[first:]


# ---- slice, pad, concat, gather


def drop_full_slice(op: SliceOp, ctx: PatternContext) -> SSAValue | None:
    """A slice of everything → its operand."""
    _ = ctx
    is_full = op.operand.type == op.result.type and all(
        s == 1 or d == 1
        for s, d in zip(ints(op.steps), dims_of(op.result), strict=True)
    )
    return op.operand if is_full and not any(op.offsets.dims) else None


def merge_slices(op: SliceOp, ctx: PatternContext) -> SSAValue | None:
    """`slice(slice %x)` → `slice %x`."""
    inner = op.operand.owner
    if not isinstance(inner, SliceOp):
        return None
    pairs = list(zip(inner.offsets.dims, ints(inner.steps), strict=True))
    offsets = [o + p * s for (o, s), p in zip(pairs, op.offsets.dims, strict=True)]
    steps = [s * t for (_, s), t in zip(pairs, ints(op.steps), strict=True)]
    sizes = dims_of(op.result)
    return ctx.add(SliceOp(inner.operand, offsets, sizes, steps)).result


def slice_of_concat(op: SliceOp, ctx: PatternContext) -> SSAValue | None:
    """A slice that lies in one operand of a concat → a slice of that operand."""
    inner = op.operand.owner
    if not isinstance(inner, ConcatOp):
        return None
    axis = inner.axis.value.data % rank_of(inner.result)
    first, step = op.offsets.dims[axis], ints(op.steps)[axis]
    last = first + (dims_of(op.result)[axis] - 1) * step
    low, high = (first, last) if step > 0 else (last, first)
    start = Dim.of(0)
    for argument in inner.arguments:
        end = start + dims_of(argument)[axis]
        if _at_least(low, start) and _at_least(end - 1, high):
            offsets = list(op.offsets.dims)
            offsets[axis] = first - start
            sizes, steps = dims_of(op.result), ints(op.steps)
            return ctx.add(SliceOp(argument, offsets, sizes, steps)).result
        start = end
    return None


def _at_least(value: Dim, bound: Dim) -> bool:
    lower = (value - bound).lower_bound()
    return lower is not None and lower >= 0


def drop_empty_pad(op: PadOp, ctx: PatternContext) -> SSAValue | None:
    """A pad by nothing → its operand."""
    _ = ctx
    return None if any(op.low.dims) or any(op.high.dims) else op.operand


def simplify_concat(op: ConcatOp, ctx: PatternContext) -> SSAValue | None:
    """Operands without elements go; one operand alone → that operand."""
    axis = op.axis.value.data % rank_of(op.result)
    kept = [a for a in op.arguments if dims_of(a)[axis] != 0]
    if len(kept) == 1:
        return kept[0]
    if len(kept) == len(op.arguments) or not kept:
        return None
    return ctx.add(ConcatOp(kept, axis)).result


def merge_concats(op: ConcatOp, ctx: PatternContext) -> SSAValue | None:
    """A concat of a concat of the same axis that is used here only → one concat."""
    axis = op.axis.value.data % rank_of(op.result)
    merged: list[SSAValue] = []
    for argument in op.arguments:
        inner = argument.owner
        is_mergeable = (
            isinstance(inner, ConcatOp)
            and inner.axis.value.data % rank_of(inner.result) == axis
            and inner.result.has_one_use()
        )
        if is_mergeable and isinstance(inner, ConcatOp):
            merged.extend(inner.arguments)
        else:
            merged.append(argument)
    if len(merged) == len(op.arguments):
        return None
    return ctx.add(ConcatOp(merged, axis)).result


def join_slices(op: ConcatOp, ctx: PatternContext) -> SSAValue | None:
    """
    Slices of one value that lie next to each other there → one slice.

    As where a model splits a value, and later concatenates the parts with others.
    """
    axis = op.axis.value.data % rank_of(op.result)
    joined: list[SSAValue] = []
    for argument in op.arguments:
        last = joined[-1].owner if joined else None
        both = (
            _joined(last, argument.owner, axis, ctx)
            if isinstance(last, SliceOp) and isinstance(argument.owner, SliceOp)
            else None
        )
        if both is None:
            joined.append(argument)
        else:
            joined[-1] = both
    if len(joined) == len(op.arguments):
        return None
    if len(joined) == 1:
        return joined[0]
    return ctx.add(ConcatOp(joined, axis)).result


def _joined(
    first: SliceOp, second: SliceOp, axis: int, ctx: PatternContext
) -> SSAValue | None:
    """A slice with the elements of both, one after the other along `axis`."""
    steps, sizes = ints(first.steps), list(dims_of(first.result))
    if first.operand is not second.operand or steps != ints(second.steps):
        return None
    expected = list(first.offsets.dims)
    expected[axis] = expected[axis] + sizes[axis] * steps[axis]
    if tuple(expected) != second.offsets.dims:
        return None
    sizes[axis] = sizes[axis] + dims_of(second.result)[axis]
    return ctx.add(SliceOp(first.operand, first.offsets.dims, sizes, steps)).result


def gather_of_range(op: GatherOp, ctx: PatternContext) -> SSAValue | None:
    """Constant indices that are one position, or evenly spaced ones → a slice."""
    indices = ctx.array(op.indices)
    if indices is None or indices.size == 0 or indices.ndim > 1:
        return None
    dims, axis = dims_of(op.operand), op.axis.value.data % rank_of(op.operand)
    positions = [int(i) for i in indices.reshape(-1)]
    step = positions[1] - positions[0] if len(positions) > 1 else 1
    is_even = step != 0 and all(b - a == step for a, b in pairwise(positions))
    if not is_even or min(positions) < 0 <= max(positions):
        return None
    offset = Dim.of(positions[0]) + (dims[axis] if positions[0] < 0 else 0)
    # Symbolic sizes: whether the index is inside is known when the model runs, and
    # the slice would not check.
    if not all(_is_inside(p, dims[axis]) for p in positions):
        return None
    offsets = [Dim.of(0)] * len(dims)
    offsets[axis] = offset
    sizes, steps = list(dims), [1] * len(dims)
    sizes[axis], steps[axis] = Dim.of(len(positions)), step
    value = ctx.add(SliceOp(op.operand, offsets, sizes, steps)).result
    if dims_of(value) != dims_of(op.result):
        value = ctx.add(ReshapeOp(value, dims_of(op.result))).result
    return value


def _is_inside(position: int, size: Dim) -> bool:
    limit = position + 1 if position >= 0 else -position
    lower = (size - limit).lower_bound()
    # Symbolic sizes have a lower bound of 0; the first and the last element of an
    # axis exist in every tensor that is not empty.
    return (lower is not None and lower >= 0) or (
        size.as_int() is None and position in (0, -1)
    )


# ---- constants


def splat_to_scalar(op: ConstantOp, ctx: PatternContext) -> SSAValue | None:
    """
    A constant of equal elements → a broadcast scalar, where elements are all it is.

    Other users, such as a convolution by its filter, want a constant.
    """
    if rank_of(op.result) == 0:
        return None
    if not all(type(u.operation) in _ELEMENTWISE for u in op.result.uses):
        return None
    array = ctx.array(op.result)
    if array is None or array.size < 2 or not is_splat(array):
        return None
    scalar = ctx.constant(np.array(array.reshape(-1)[0]))
    return ctx.add(BroadcastOp(scalar, dims_of(op.result))).result


def dims_to_constant(op: DimsOp, ctx: PatternContext) -> SSAValue | None:
    """`nn.dims` of numbers → `nn.constant`."""
    array = ctx.array(op.result)
    return None if array is None else ctx.constant(array)


PATTERNS: PatternTable = {
    TransposeOp: (
        drop_view_without_effect,
        merge_transposes,
        transpose_of_broadcast,
        transpose_to_reshape,
        normalize_view_chain,
    ),
    ReshapeOp: (
        drop_view_without_effect,
        merge_reshapes,
        normalize_view_chain,
        split_before_transpose,
        reshape_of_repetition,
    ),
    BroadcastOp: (
        drop_view_without_effect,
        merge_broadcasts,
        drop_reshape_before_broadcast,
        broadcast_to_reshape,
    ),
    DimCastOp: (drop_view_without_effect, merge_dim_casts),
    SliceOp: (drop_full_slice, merge_slices, slice_of_concat),
    PadOp: (drop_empty_pad,),
    ConcatOp: (simplify_concat, merge_concats, join_slices),
    GatherOp: (gather_of_range,),
    ConstantOp: (splat_to_scalar,),
    DimsOp: (dims_to_constant,),
}
