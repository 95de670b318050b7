"""Softmax, normalisations and means in terms of sums, maxima and elementwise ops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.ir import SSAValue

from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.elementwise import (
    AddOp,
    CastOp,
    DivOp,
    ExpOp,
    MulOp,
    ReciprocalOp,
    SqrtOp,
    SubOp,
)
from nnc.dialects.nn.movement import BroadcastOp, ReshapeOp
from nnc.dialects.nn.reduction import (
    BatchNormOp,
    LayerNormOp,
    ReduceOp,
    SoftmaxOp,
)
from nnc.dialects.nn.structure import DimsOp
from nnc.dialects.nn.types import (
    F32,
    bit_width,
    dims_of,
    element_type_of,
    is_float,
    rank_of,
)
from nnc.symbolic import dim_product
from nnc.transforms.worklist import PatternContext


def _spread(value: SSAValue, like: SSAValue, ctx: PatternContext) -> SSAValue:
    """`value` broadcast to the shape of `like`."""
    dims = dims_of(like)
    if dims_of(value) == dims:
        return value
    return ctx.add(BroadcastOp(value, dims)).result


def _scalar(number: float, like: SSAValue, ctx: PatternContext) -> SSAValue:
    """A constant of the element type and shape of `like`."""
    dtype = numpy_dtype(element_type_of(like))
    return _spread(ctx.constant(np.array(number, dtype)), like, ctx)


def _wide(value: SSAValue, ctx: PatternContext) -> SSAValue:
    """`value` as at least f32: sums of 16-bit floats lose too much."""
    element_type = element_type_of(value)
    if is_float(element_type) and bit_width(element_type) < 32:
        return ctx.add(CastOp(value, F32)).result
    return value


def _as_type_of(value: SSAValue, like: SSAValue, ctx: PatternContext) -> SSAValue:
    if element_type_of(value) == element_type_of(like):
        return value
    return ctx.add(CastOp(value, element_type_of(like))).result


def _mean(value: SSAValue, axes: Sequence[int], ctx: PatternContext) -> SSAValue:
    """The mean over `axes`, which stay as size 1."""
    total = ctx.add(ReduceOp(value, "sum", axes)).result
    dims = dims_of(value)
    count = dim_product(dims[a] for a in axes)
    known = count.as_int()
    element_type = element_type_of(value)
    if known and is_float(element_type):
        return ctx.add(MulOp(total, _scalar(1 / known, total, ctx))).result
    scalar = ctx.add(ReshapeOp(ctx.add(DimsOp([count])).result, [])).result
    divisor = ctx.add(CastOp(scalar, element_type)).result
    return ctx.add(DivOp(total, _spread(divisor, total, ctx))).result


def decompose_mean(op: ReduceOp, ctx: PatternContext) -> SSAValue | None:
    """`reduce mean` → `reduce sum`, times `1 / n` (or divided by a symbolic `n`)."""
    if op.kind.data != "mean":
        return None
    mean = _mean(_wide(op.operand, ctx), op.reduced_axes, ctx)
    mean = _as_type_of(mean, op.operand, ctx)
    if dims_of(mean) != dims_of(op.result):
        mean = ctx.add(ReshapeOp(mean, dims_of(op.result))).result
    return mean


def decompose_softmax(op: SoftmaxOp, ctx: PatternContext) -> SSAValue | None:
    """`e^(x - max x)`, times the reciprocal of its sum."""
    axis = op.axis.value.data % rank_of(op.operand)
    x = _wide(op.operand, ctx)
    largest = ctx.add(ReduceOp(x, "max", [axis])).result
    centred = ctx.add(SubOp(x, _spread(largest, x, ctx))).result
    powers = ctx.add(ExpOp(centred)).result
    total = ctx.add(ReduceOp(powers, "sum", [axis])).result
    factor = ctx.add(ReciprocalOp(total)).result
    result = ctx.add(MulOp(powers, _spread(factor, x, ctx))).result
    return _as_type_of(result, op.operand, ctx)


def decompose_layer_norm(op: LayerNormOp, ctx: PatternContext) -> SSAValue | None:
    """Two passes over a row: the mean, then the mean of squared differences."""
    rank = rank_of(op.operand)
    axes = list(range(op.axis.value.data % rank, rank))
    x = _wide(op.operand, ctx)
    centred = ctx.add(SubOp(x, _spread(_mean(x, axes, ctx), x, ctx))).result
    variance = _mean(ctx.add(MulOp(centred, centred)).result, axes, ctx)
    epsilon = _scalar(op.epsilon.value.data, variance, ctx)
    deviation = ctx.add(SqrtOp(ctx.add(AddOp(variance, epsilon)).result)).result
    factor = ctx.add(ReciprocalOp(deviation)).result
    value = ctx.add(MulOp(centred, _spread(factor, x, ctx))).result
    scale = _spread(_wide(op.scale, ctx), x, ctx)
    value = ctx.add(MulOp(value, scale)).result
    if op.bias is not None:
        bias = _spread(_wide(op.bias, ctx), x, ctx)
        value = ctx.add(AddOp(value, bias)).result
    return _as_type_of(value, op.operand, ctx)


def decompose_batch_norm(op: BatchNormOp, ctx: PatternContext) -> SSAValue | None:
    """`x * s + t`: `s = scale / sqrt(variance + epsilon)`, `t = bias - mean * s`."""
    x = _wide(op.operand, ctx)
    scale, bias, mean, variance = (
        _wide(p, ctx) for p in (op.scale, op.bias, op.mean, op.variance)
    )
    epsilon = _scalar(op.epsilon.value.data, variance, ctx)
    deviation = ctx.add(SqrtOp(ctx.add(AddOp(variance, epsilon)).result)).result
    factor = ctx.add(DivOp(scale, deviation)).result
    offset = ctx.add(MulOp(mean, factor)).result
    shift = ctx.add(SubOp(bias, offset)).result
    inner = rank_of(x) - 1 - op.axis.value.data % rank_of(x)
    dims = [*dims_of(op.scale), *[1] * inner]
    spread = [
        _spread(ctx.add(ReshapeOp(v, dims)).result, x, ctx) for v in (factor, shift)
    ]
    value = ctx.add(MulOp(x, spread[0])).result
    value = ctx.add(AddOp(value, spread[1])).result
    return _as_type_of(value, op.operand, ctx)
