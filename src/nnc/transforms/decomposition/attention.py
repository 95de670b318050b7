"""Attention that has no kernel of its own, as products around a softmax."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from nnc.analysis.attention import has_kernel
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.linear import MatmulOp
from nnc.dialects.nn.movement import BroadcastOp, IotaOp, ReshapeOp, TransposeOp
from nnc.dialects.nn.reduction import ReduceOp, SoftmaxOp
from nnc.dialects.nn.structure import DimsOp
from nnc.dialects.nn.types import (
    F32,
    I64,
    bit_width,
    dims_of,
    element_type_of,
    is_bool,
    rank_of,
    tensor_type,
)
from nnc.symbolic import Dim
from nnc.transforms.worklist import PatternContext

_Dims = tuple[Dim, ...]


def decompose_attention(op: AttentionOp, ctx: PatternContext) -> SSAValue | None:
    """Scores, masks, softmax and results; half precision is computed in f32."""
    if has_kernel(op):
        return None
    query, key, value = (_wide(v, ctx) for v in (op.query, op.key, op.value))
    heads, groups = dims_of(query)[-3], dims_of(key)[-3]
    masks = [m if is_bool(element_type_of(m)) else _wide(m, ctx) for m in op.masks]
    if heads != groups:
        query = _split_heads(query, groups, ctx)
        key, value = (_with_axis(v, ctx) for v in (key, value))
        masks = [_split_mask(m, groups, ctx) for m in masks]
    rank = rank_of(key)
    axes = [*range(rank - 2), rank - 1, rank - 2]
    scores = ctx.add(MatmulOp(query, ctx.add(TransposeOp(key, axes)).result)).result
    scale = _scalar(op.scale.value.data, scores, ctx)
    scores = ctx.add(ew.MulOp(scores, scale)).result
    for mask in masks:
        scores = _masked(op, scores, mask, ctx)
    scores = _causal(op, scores, ctx)
    weights = ctx.add(SoftmaxOp(scores)).result
    if op.zeroes_empty:
        largest = ctx.add(ReduceOp(scores, "max", [rank_of(scores) - 1])).result
        nothing = _scalar(float("-inf"), largest, ctx)
        is_empty = ctx.add(ew.CompareOp(largest, nothing, "eq")).result
        is_empty = _spread(is_empty, dims_of(weights), ctx)
        zero = _scalar(0, weights, ctx)
        weights = ctx.add(ew.SelectOp(is_empty, zero, weights)).result
    if op.zeroes_nan:
        is_nan = ctx.add(ew.IsNanOp(weights)).result
        zero = _scalar(0, weights, ctx)
        weights = ctx.add(ew.SelectOp(is_nan, zero, weights)).result
    result = ctx.add(MatmulOp(weights, value)).result
    if element_type_of(result) != element_type_of(op.result):
        result = ctx.add(ew.CastOp(result, element_type_of(op.result))).result
    if dims_of(result) != dims_of(op.result):
        result = ctx.add(ReshapeOp(result, dims_of(op.result))).result
    return result


def _wide(value: SSAValue, ctx: PatternContext) -> SSAValue:
    if bit_width(element_type_of(value)) >= 32:
        return value
    return ctx.add(ew.CastOp(value, F32)).result


def _spread(value: SSAValue, dims: _Dims, ctx: PatternContext) -> SSAValue:
    return value if dims_of(value) == dims else ctx.add(BroadcastOp(value, dims)).result


def _scalar(number: float, like: SSAValue, ctx: PatternContext) -> SSAValue:
    array = np.array(number, numpy_dtype(element_type_of(like)))
    return _spread(ctx.constant(array), dims_of(like), ctx)


def _split_heads(value: SSAValue, groups: Dim, ctx: PatternContext) -> SSAValue:
    """`[..., H, S, D]` as `[..., G, H / G, S, D]`."""
    *batch, heads, rows, columns = dims_of(value)
    dims = [*batch, groups, heads // groups, rows, columns]
    return ctx.add(ReshapeOp(value, dims)).result


def _with_axis(value: SSAValue, ctx: PatternContext) -> SSAValue:
    """`[..., G, T, D]` as `[..., G, 1, T, D]`."""
    *batch, rows, columns = dims_of(value)
    return ctx.add(ReshapeOp(value, [*batch, 1, rows, columns])).result


def _split_mask(mask: SSAValue, groups: Dim, ctx: PatternContext) -> SSAValue:
    dims = dims_of(mask)
    if len(dims) < 3:
        return mask
    if dims[-3] == 1:
        return _with_axis(mask, ctx)
    return _split_heads(mask, groups, ctx)


def _masked(
    op: AttentionOp, scores: SSAValue, mask: SSAValue, ctx: PatternContext
) -> SSAValue:
    mask = _spread(mask, dims_of(scores), ctx)
    if not is_bool(element_type_of(mask)):
        return ctx.add(ew.AddOp(scores, mask)).result
    fill = _scalar(op.fill_value, scores, ctx)
    return ctx.add(ew.SelectOp(mask, scores, fill)).result


def _causal(op: AttentionOp, scores: SSAValue, ctx: PatternContext) -> SSAValue:
    offset = op.causal_offset
    if offset is None:
        return scores
    dims = dims_of(scores)
    type_ = tensor_type(I64, dims[-2:])
    queries, keys = (ctx.add(IotaOp(type_, axis)).result for axis in (0, 1))
    limit = ctx.add(ReshapeOp(ctx.add(DimsOp([offset])).result, [])).result
    last = ctx.add(ew.AddOp(queries, _spread(limit, dims[-2:], ctx))).result
    seen = ctx.add(ew.CompareOp(keys, last, "le")).result
    blind = _scalar(float("-inf"), scores, ctx)
    return ctx.add(ew.SelectOp(_spread(seen, dims, ctx), scores, blind)).result
