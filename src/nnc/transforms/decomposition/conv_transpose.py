"""
Transposed convolution as one convolution of all phases at once.

Along one axis with stride `s`, output position `y` of the unpadded result gets
`x[i] * w[j]` for `y = i * s + j`. With `y = q * s + p`, `p` in `[0, s)`, the taps are
`j = p + s * t`, and `i = q - t`: a convolution over `q` for each phase `p`, with `T =
ceil(k / s)` taps. All phases run as one convolution with `s` times as many channels,
whose result is shuffled: `[Q, s * O]` → `[Q * s, O]`, and cropped by the low padding.
Where the phases are few and wide, each is a convolution of its own (see `phases`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from xdsl.ir import SSAValue

from nnc.dialects.nn.base import ints
from nnc.dialects.nn.conv import CHANNELS_LAST, ConvOp, ConvTransposeOp
from nnc.dialects.nn.elementwise import AddOp
from nnc.dialects.nn.movement import (
    BroadcastOp,
    PadOp,
    ReshapeOp,
    SliceOp,
    TransposeOp,
)
from nnc.dialects.nn.structure import ConstantOp, WeightOp
from nnc.dialects.nn.types import dims_of, rank_of
from nnc.symbolic import Dim, DimLike
from nnc.transforms.decomposition.phases import phase_convolutions
from nnc.transforms.worklist import PatternContext


@dataclass(frozen=True)
class AxisPlan:
    """How one spatial axis of a transposed convolution is computed."""

    stride: int
    taps: int
    """`T`, of each phase."""
    conv_dilation: int
    filter_dilation: int
    """Zeros are put between the taps of the filter instead, where phases need it."""
    low: int
    high: int
    """Padding of the convolution over `q`."""
    offset: Dim
    """What the shuffled result is cropped by at its start."""


def plan_axis(
    kernel: int,
    stride: int,
    dilation: int,
    low: DimLike,
    high: DimLike,
    output_padding: int,
) -> AxisPlan:
    """The plan for one axis; padding may be symbolic."""
    if stride == 1:
        taps, conv_dilation, filter_dilation = kernel, dilation, 1
    else:
        extent = (kernel - 1) * dilation + 1
        taps, conv_dilation, filter_dilation = -(-extent // stride), 1, dilation
    reach = (taps - 1) * conv_dilation
    low, high = Dim.of(low), Dim.of(high)
    # Positions that the low padding cuts off need not be computed.
    skipped = min((low.as_int() or 0) // stride, reach)
    # The last position needed is that of the last output; see the module's text.
    end = (kernel - 1) * dilation + 1 + output_padding - (high.as_int() or 0)
    return AxisPlan(
        stride,
        taps,
        conv_dilation,
        filter_dilation,
        reach - skipped,
        max(0, -(-end // stride) - 1),
        low - skipped * stride,
    )


def decompose_biased(op: AddOp, ctx: PatternContext) -> SSAValue | None:
    """
    `conv_transpose + channel constants`: the constants are added before the shuffle.

    So they stay in the epilogue of the contraction; one constant a phase and channel.
    """
    conv = op.lhs.owner
    if not isinstance(conv, ConvTransposeOp) or not op.lhs.has_one_use():
        return None
    bias = _channel_bias(op.rhs, conv)
    return None if bias is None else _decompose(conv, bias, ctx)


def decompose_conv_transpose(
    op: ConvTransposeOp, ctx: PatternContext
) -> SSAValue | None:
    """`conv_transpose` → `conv` with phases as channels, shuffle, crop."""
    return _decompose(op, None, ctx)


def _channel_bias(value: SSAValue, conv: ConvTransposeOp) -> SSAValue | None:
    """The constant vector that `value` repeats along all axes but the channels."""
    if not isinstance(value.owner, BroadcastOp):
        return None
    source = value.owner.operand
    if not isinstance(source.owner, ConstantOp | WeightOp):
        return None
    rank = rank_of(value)
    dims = [Dim.of(1)] * (rank - rank_of(source)) + list(dims_of(source))
    if any(d != 1 for i, d in enumerate(dims) if i != conv.channel_axis):
        return None
    is_vector = dims[conv.channel_axis] == dims_of(value)[conv.channel_axis]
    return source if is_vector else None


def _decompose(
    op: ConvTransposeOp, bias: SSAValue | None, ctx: PatternContext
) -> SSAValue:
    rank = op.spatial_rank
    separate = phase_convolutions(op, bias, ctx)
    if separate is not None:
        return separate if op.channels_last else _channels_first(separate, rank, ctx)
    plans = _plans(op)
    groups = op.groups.value.data
    value = op.input
    if not op.channels_last:
        axes = [0, *range(2, rank + 2), 1]
        value = ctx.add(TransposeOp(value, axes)).result
    conv = ConvOp(
        value,
        _phase_filter(op, plans, ctx),
        dilations=[p.conv_dilation for p in plans],
        padding=[*(p.low for p in plans), *(p.high for p in plans)],
        groups=groups,
        layout=CHANNELS_LAST,
    )
    value = ctx.add(conv).result
    if bias is not None:
        value = ctx.add(AddOp(value, _phase_bias(bias, value, op, ctx))).result
    value = _shuffle(value, plans, groups, ctx)
    dims = list(dims_of(op.result))
    if not op.channels_last:
        dims = [dims[0], *dims[2:], dims[1]]
    offsets = [Dim.of(0), *(p.offset for p in plans), Dim.of(0)]
    if tuple(dims) != dims_of(value):
        value = ctx.add(SliceOp(value, offsets, dims)).result
    return value if op.channels_last else _channels_first(value, rank, ctx)


def _channels_first(value: SSAValue, rank: int, ctx: PatternContext) -> SSAValue:
    axes = [0, rank + 1, *range(1, rank + 1)]
    return ctx.add(TransposeOp(value, axes)).result


def _plans(op: ConvTransposeOp) -> list[AxisPlan]:
    kernel, strides, dilations = op.kernel, ints(op.strides), ints(op.dilations)
    extra = ints(op.output_padding)
    return [
        plan_axis(
            kernel[i],
            strides[i],
            dilations[i],
            op.low_padding[i],
            op.high_padding[i],
            extra[i],
        )
        for i in range(op.spatial_rank)
    ]


def _phase_bias(
    bias: SSAValue, like: SSAValue, op: ConvTransposeOp, ctx: PatternContext
) -> SSAValue:
    """`[O]` → `[g * s... * O/g]`, broadcast to the shape of `like`."""
    array = ctx.array(bias)
    assert array is not None
    phases = prod(ints(op.strides))
    split = array.reshape(op.groups.value.data, 1, -1)
    tiled = np.repeat(split, phases, axis=1).reshape(-1)
    constant = ctx.constant(tiled, "phase_bias")
    return ctx.add(BroadcastOp(constant, dims_of(like))).result


def _phase_filter(
    op: ConvTransposeOp, plans: Sequence[AxisPlan], ctx: PatternContext
) -> SSAValue:
    """`[C, O/g, k...]` → `[T..., C/g, g * s... * O/g]`, taps reversed."""
    rank, groups = len(plans), op.groups.value.data
    value: SSAValue = op.filter
    if op.channels_last:
        axes = [rank + 1, rank, *range(rank)]
        value = ctx.add(TransposeOp(value, axes)).result
    value = _dilated(value, plans, ctx)
    dims = dims_of(value)
    missing = [p.taps * p.stride - d for p, d in zip(plans, dims[2:], strict=True)]
    if any(missing):
        value = ctx.add(PadOp(value, [0] * (rank + 2), [0, 0, *missing])).result
    channels, outputs = dims[:2]
    split = [groups, channels // groups, outputs]
    for plan in plans:
        split += [plan.taps, plan.stride]
    value = ctx.add(ReshapeOp(value, split)).result
    taps = [3 + 2 * i for i in range(rank)]
    phases = [4 + 2 * i for i in range(rank)]
    value = ctx.add(TransposeOp(value, [*taps, 1, 0, *phases, 2])).result
    dims = dims_of(value)
    if any(p.taps > 1 for p in plans):
        fixed = [0] * (len(dims) - rank)
        offsets = [*(p.taps - 1 for p in plans), *fixed]
        steps = [-1] * rank + [1] * len(fixed)
        value = ctx.add(SliceOp(value, offsets, dims, steps)).result
    columns = Dim.of(groups) * outputs
    for plan in plans:
        columns = columns * plan.stride
    return ctx.add(ReshapeOp(value, [*dims[: rank + 1], columns])).result


def _dilated(
    value: SSAValue, plans: Sequence[AxisPlan], ctx: PatternContext
) -> SSAValue:
    """The filter `[C, O/g, k...]` with zeros between its taps."""
    if all(p.filter_dilation == 1 for p in plans):
        return value
    dims = dims_of(value)
    split, zeros, merged = list(dims[:2]), [0, 0], list(dims[:2])
    sizes = list(dims[:2])
    for plan, size in zip(plans, dims[2:], strict=True):
        split += [size, Dim.of(1)]
        zeros += [0, plan.filter_dilation - 1]
        merged.append(size * plan.filter_dilation)
        sizes.append((size - 1) * plan.filter_dilation + 1)
    value = ctx.add(ReshapeOp(value, split)).result
    value = ctx.add(PadOp(value, [0] * len(zeros), zeros)).result
    value = ctx.add(ReshapeOp(value, merged)).result
    return ctx.add(SliceOp(value, [0] * len(sizes), sizes)).result


def _shuffle(
    value: SSAValue, plans: Sequence[AxisPlan], groups: int, ctx: PatternContext
) -> SSAValue:
    """`[N, Q..., g * s... * O]` → `[N, Q * s..., g * O]`."""
    strides = [p.stride for p in plans]
    if all(s == 1 for s in strides):
        return value
    rank, dims = len(plans), dims_of(value)
    outputs = dims[-1] // groups
    for stride in strides:
        outputs = outputs // stride
    split = [*dims[:-1], groups, *strides, outputs]
    value = ctx.add(ReshapeOp(value, split)).result
    axes = [0]
    for i in range(rank):
        axes += [1 + i, rank + 2 + i]
    axes += [rank + 1, 2 * rank + 2]
    value = ctx.add(TransposeOp(value, axes)).result
    merged = [d * s for d, s in zip(dims[1:-1], strides, strict=True)]
    return ctx.add(ReshapeOp(value, [dims[0], *merged, outputs * groups])).result
