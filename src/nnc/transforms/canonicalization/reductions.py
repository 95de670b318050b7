"""Patterns on reductions and contractions: one canonical form each."""

from __future__ import annotations

from typing import cast

import numpy as np
from xdsl.ir import SSAValue

from nnc.dialects.nn.base import ints
from nnc.dialects.nn.conv import CHANNELS_FIRST, CHANNELS_LAST, ConvOp
from nnc.dialects.nn.elementwise import MulOp
from nnc.dialects.nn.linear import MatmulOp
from nnc.dialects.nn.movement import BroadcastOp, PadOp, ReshapeOp
from nnc.dialects.nn.reduction import ArgReduceOp, ReduceKind, ReduceOp
from nnc.dialects.nn.types import dims_of, element_type_of, is_float, rank_of
from nnc.transforms.worklist import PatternContext, PatternTable


def keep_reduced_dims(op: ReduceOp, ctx: PatternContext) -> SSAValue | None:
    """`reduce {keep_dims = false}` → `reduce {keep_dims = true}`, `reshape`."""
    if op.keep_dims.value.data:
        return None
    value = ctx.add(ReduceOp(op.operand, kind_of(op), op.reduced_axes)).result
    return ctx.add(ReshapeOp(value, dims_of(op.result))).result


def drop_unit_axes(op: ReduceOp, ctx: PatternContext) -> SSAValue | None:
    """Axes of size 1 need no reducing; a reduction of none → its operand."""
    if not op.keep_dims.value.data:
        return None
    dims = dims_of(op.operand)
    axes = [a for a in op.reduced_axes if dims[a] != 1]
    if not axes:
        return op.operand
    if len(axes) == len(op.reduced_axes):
        return None
    return ctx.add(ReduceOp(op.operand, kind_of(op), axes)).result


def merge_reductions(op: ReduceOp, ctx: PatternContext) -> SSAValue | None:
    """
    `reduce(reduce %x)` of one kind over other axes → one `reduce`.

    Means too: the mean over equally many elements of means is the mean.
    """
    inner = op.operand.owner
    if not isinstance(inner, ReduceOp) or kind_of(inner) != kind_of(op):
        return None
    if not (op.keep_dims.value.data and inner.keep_dims.value.data):
        return None
    if not inner.result.has_one_use():
        return None
    axes = sorted({*inner.reduced_axes, *op.reduced_axes})
    return ctx.add(ReduceOp(inner.operand, kind_of(op), axes)).result


def keep_arg_reduced_dim(op: ArgReduceOp, ctx: PatternContext) -> SSAValue | None:
    """`arg_reduce {keep_dims = false}` → `arg_reduce {keep_dims = true}`, `reshape`."""
    if op.keep_dims.value.data:
        return None
    kept = ArgReduceOp(
        op.operand,
        "max" if op.kind.data == "max" else "min",
        op.axis.value.data % rank_of(op.operand),
        select_last=bool(op.select_last.value.data),
    )
    return ctx.add(ReshapeOp(ctx.add(kept).result, dims_of(op.result))).result


def drop_unit_batch_of_rhs(op: MatmulOp, ctx: PatternContext) -> SSAValue | None:
    """A right operand `[1, ..., K, N]` → `[K, N]`: one matrix for all rows."""
    dims = dims_of(op.rhs)
    lead = dims[:-2]
    if not lead or any(d != 1 for d in lead) or rank_of(op.lhs) < len(dims):
        return None
    rhs = ctx.add(ReshapeOp(op.rhs, dims[-2:])).result
    return ctx.add(MatmulOp(op.lhs, rhs)).result


def drop_broadcast_of_rhs(op: MatmulOp, ctx: PatternContext) -> SSAValue | None:
    """A right operand that only repeats a matrix → the matrix."""
    inner = op.rhs.owner
    if not isinstance(inner, BroadcastOp) or rank_of(inner.operand) < 2:
        return None
    source, target = dims_of(inner.operand), dims_of(inner.result)
    lhs = dims_of(op.lhs)
    if source[-2:] != target[-2:] or len(lhs) != len(target):
        return None
    if lhs[:-2] != target[:-2]:
        return None
    return ctx.add(MatmulOp(op.lhs, inner.operand)).result


def scale_after_matmul(op: MatmulOp, ctx: PatternContext) -> SSAValue | None:
    """`matmul(x * c, y)` → `matmul(x, y) * c`, where it joins the epilogue."""
    for index, operand in enumerate(op.operands):
        inner = operand.owner
        if not isinstance(inner, MulOp) or not operand.has_one_use():
            continue
        splat = ctx.splat(inner.rhs)
        if splat is None or not is_float(element_type_of(operand)):
            continue
        operands = list(op.operands)
        operands[index] = inner.lhs
        product = ctx.add(MatmulOp(*operands)).result
        scalar = ctx.constant(np.array(splat))
        factor = ctx.add(BroadcastOp(scalar, dims_of(product))).result
        return ctx.add(MulOp(product, factor)).result
    return None


def pad_in_conv(op: ConvOp, ctx: PatternContext) -> SSAValue | None:
    """`conv(pad %x)` with zeros around the spatial axes → `conv {padding}`."""
    inner = op.input.owner
    if not isinstance(inner, PadOp) or inner.mode.data != "constant":
        return None
    if inner.value is not None:
        splat = ctx.splat(inner.value)
        if splat is None or splat != 0:
            return None
    low, high = inner.low.dims, inner.high.dims
    others = [a for a in range(len(low)) if a not in op.spatial_axes]
    if any(low[a] != 0 or high[a] != 0 for a in others):
        return None
    amounts = [
        *(low[a] + p for a, p in zip(op.spatial_axes, op.low_padding, strict=True)),
        *(high[a] + p for a, p in zip(op.spatial_axes, op.high_padding, strict=True)),
    ]
    conv = ConvOp(
        inner.operand,
        op.filter,
        strides=ints(op.strides),
        dilations=ints(op.dilations),
        padding=amounts,
        groups=op.groups.value.data,
        layout=CHANNELS_LAST if op.channels_last else CHANNELS_FIRST,
    )
    return ctx.add(conv).result


def kind_of(op: ReduceOp) -> ReduceKind:
    """The kind of a reduction, as its builder takes it."""
    return cast("ReduceKind", op.kind.data)


PATTERNS: PatternTable = {
    ConvOp: (pad_in_conv,),
    ReduceOp: (keep_reduced_dims, drop_unit_axes, merge_reductions),
    ArgReduceOp: (keep_arg_reduced_dim,),
    MatmulOp: (drop_unit_batch_of_rhs, drop_broadcast_of_rhs, scale_after_matmul),
}
