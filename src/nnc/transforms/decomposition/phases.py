"""
Transposed convolution as one convolution a phase, whose results are interleaved.

Along one axis with stride `s`, output position `m * s + r` of phase `r` gets `x[i] *
w[j]` where `i * s + j * dilation = m * s + r + low`. So the taps `j` of a phase are
those with `j * dilation` of one remainder, and each reads `x` at `m` plus a constant:
an ordinary convolution over `m` with a part of the taps. No tap meets a zero. The
results of all phases are a concatenation of axes of size 1, which bufferization turns
into strided stores: nothing is shuffled afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd, prod

import numpy as np
from xdsl.ir import SSAValue

from nnc.dialects.nn.base import ints
from nnc.dialects.nn.conv import CHANNELS_LAST, ConvOp, ConvTransposeOp
from nnc.dialects.nn.elementwise import AddOp
from nnc.dialects.nn.movement import (
    BroadcastOp,
    ConcatOp,
    PadOp,
    ReshapeOp,
    SliceOp,
    TransposeOp,
)
from nnc.dialects.nn.types import dims_of
from nnc.symbolic import Dim, ceildiv
from nnc.transforms.worklist import PatternContext

MAX_PHASES = 8
"""With more, the single convolutions get small, and too many."""

MIN_CHANNELS = 8
"""Results of fewer channels are stored too sparsely; they are shuffled instead."""


@dataclass(frozen=True)
class Phase:
    """One phase along one axis."""

    first_tap: int
    taps: int
    tap_step: int
    """From one of its taps to the next one."""
    dilation: int
    """How much further back in the input the next tap reads."""
    shift: int
    """Where in the input the first tap of output 0 reads."""
    size: Dim
    """How many outputs it has."""

    @property
    def before(self) -> int:
        """How many elements it reads in front of the input."""
        return self.reach - self.shift

    @property
    def reach(self) -> int:
        """From the first to the last element read for one output."""
        return (self.taps - 1) * self.dilation

    def behind(self, size: Dim) -> int | None:
        """How many it reads behind an input of this size; None if that varies."""
        return (self.size + self.shift - size).as_int()


@dataclass(frozen=True)
class AxisPhases:
    """All phases along one axis, and how the input is padded for all of them."""

    phases: tuple[Phase, ...]
    low: int
    high: int


def phase_convolutions(
    op: ConvTransposeOp, bias: SSAValue | None, ctx: PatternContext
) -> SSAValue | None:
    """
    The channels-last result of `op` plus `bias`, a constant vector of channels.

    None where phases are too many, too thin or without taps.
    """
    strides, groups = ints(op.strides), op.groups.value.data
    channels = dims_of(op.result)[op.channel_axis].as_int()
    if not 1 < prod(strides) <= MAX_PHASES or (channels or 0) < MIN_CHANNELS:
        return None
    axes = [_axis_phases(op, i) for i in range(op.spatial_rank)]
    known = [a for a in axes if a is not None]
    if len(known) < len(axes):
        return None
    image = _image(op, known, ctx)
    added = None if bias is None else _vector(bias, ctx)
    parts: list[SSAValue] = []
    for phases in product(*(a.phases for a in known)):
        filter_ = _filter(op, phases, groups, ctx)
        window = _window(image, phases, known, ctx)
        conv = ConvOp(
            window,
            filter_,
            dilations=[p.dilation for p in phases],
            groups=groups,
            layout=CHANNELS_LAST,
        )
        value = ctx.add(conv).result
        if added is not None:
            repeated = ctx.add(BroadcastOp(added, dims_of(value))).result
            value = ctx.add(AddOp(value, repeated)).result
        parts.append(value)
    return _interleaved(parts, strides, _sizes(op), ctx)


def _sizes(op: ConvTransposeOp) -> list[Dim]:
    return [dims_of(op.result)[a] for a in op.spatial_axes]


def _axis_phases(op: ConvTransposeOp, axis: int) -> AxisPhases | None:
    """The phases along a spatial axis; None if one of them has no tap."""
    stride, dilation = ints(op.strides)[axis], ints(op.dilations)[axis]
    kernel, low = op.kernel[axis], op.low_padding[axis].as_int()
    outputs = _sizes(op)[axis]
    size = dims_of(op.input)[op.spatial_axes[axis]]
    if low is None:
        return None
    step = stride // gcd(stride, dilation)
    phases: list[Phase] = []
    for r in range(stride):
        taps = [j for j in range(kernel) if (j * dilation - r - low) % stride == 0]
        if not taps:
            return None
        phase = Phase(
            first_tap=taps[0],
            taps=len(taps),
            tap_step=step,
            dilation=step * dilation // stride,
            shift=(r + low - taps[0] * dilation) // stride,
            size=ceildiv(outputs - r, stride),
        )
        phases.append(phase)
    behind = [p.behind(size) for p in phases]
    known = [b for b in behind if b is not None]
    if len(known) < len(behind):
        return None
    high = max(0, *known)
    return AxisPhases(tuple(phases), max(0, *(p.before for p in phases)), high)


def _image(
    op: ConvTransposeOp, axes: Sequence[AxisPhases], ctx: PatternContext
) -> SSAValue:
    """The input, channels last, with all elements around it that a phase reads."""
    value: SSAValue = op.input
    if not op.channels_last:
        value = ctx.add(TransposeOp(value, [0, *op.spatial_axes, 1])).result
    low, high = [0, *(a.low for a in axes), 0], [0, *(a.high for a in axes), 0]
    if any(low) or any(high):
        value = ctx.add(PadOp(value, low, high)).result
    return value


def _window(
    image: SSAValue,
    phases: Sequence[Phase],
    axes: Sequence[AxisPhases],
    ctx: PatternContext,
) -> SSAValue:
    """The part of the padded input that the convolution of some phases reads."""
    dims = dims_of(image)
    offsets = [0, *(a.low - p.before for a, p in zip(axes, phases, strict=True)), 0]
    sizes = [dims[0], *(p.size + p.reach for p in phases), dims[-1]]
    if tuple(sizes) == dims:
        return image
    return ctx.add(SliceOp(image, offsets, sizes)).result


def _vector(bias: SSAValue, ctx: PatternContext) -> SSAValue:
    """The channels' constants as a vector."""
    array = ctx.array(bias)
    assert array is not None
    return ctx.constant(np.ascontiguousarray(array.reshape(-1)), "phase_bias")


def _filter(
    op: ConvTransposeOp, phases: Sequence[Phase], groups: int, ctx: PatternContext
) -> SSAValue:
    """`[C, O/g, k...]` → `[taps..., C/g, O]`, the last tap first."""
    rank = op.spatial_rank
    value: SSAValue = op.filter
    if op.channels_last:
        axes = [rank + 1, rank, *range(rank)]
        value = ctx.add(TransposeOp(value, axes)).result
    channels, outputs, *kernel = dims_of(value)
    taps = [p.taps for p in phases]
    if any(p.taps != k for p, k in zip(phases, kernel, strict=True)) or max(taps) > 1:
        last = [p.first_tap + (p.taps - 1) * p.tap_step for p in phases]
        steps = [1, 1, *(-p.tap_step for p in phases)]
        sizes = [channels, outputs, *taps]
        value = ctx.add(SliceOp(value, [0, 0, *last], sizes, steps)).result
    split = [groups, channels // groups, outputs, *taps]
    value = ctx.add(ReshapeOp(value, split)).result
    value = ctx.add(TransposeOp(value, [*range(3, rank + 3), 1, 0, 2])).result
    return ctx.add(
        ReshapeOp(value, [*taps, channels // groups, outputs * groups])
    ).result


def _interleaved(
    parts: Sequence[SSAValue],
    strides: Sequence[int],
    sizes: Sequence[Dim],
    ctx: PatternContext,
) -> SSAValue:
    """The results of all phases, the last axis' phases first, as one tensor."""
    values = list(parts)
    for axis in reversed(range(len(strides))):
        stride, position = strides[axis], 1 + axis
        if stride == 1:
            continue
        # Phases that have one element less get a last one that is cropped again.
        full = ceildiv(sizes[axis], stride)
        spread = [_with_axis(v, position, full, ctx) for v in values]
        joined: list[SSAValue] = []
        for first in range(0, len(spread), stride):
            value = ctx.add(
                ConcatOp(spread[first : first + stride], position + 1)
            ).result
            dims = list(dims_of(value))
            dims[position : position + 2] = [full * stride]
            value = ctx.add(ReshapeOp(value, dims)).result
            if full * stride != sizes[axis]:
                dims[position] = sizes[axis]
                value = ctx.add(SliceOp(value, [0] * len(dims), dims)).result
            joined.append(value)
        values = joined
    (result,) = values
    return result


def _with_axis(value: SSAValue, axis: int, size: Dim, ctx: PatternContext) -> SSAValue:
    """`value` padded to `size` along `axis`, and an axis of size 1 behind that."""
    dims = list(dims_of(value))
    missing = size - dims[axis]
    if missing != 0:
        high = [Dim.of(0)] * len(dims)
        high[axis] = missing
        value = ctx.add(PadOp(value, [0] * len(dims), high)).result
        dims[axis] = size
    return ctx.add(ReshapeOp(value, [*dims[: axis + 1], 1, *dims[axis + 1 :]])).result
