"""
block-thin-convs: filters to few channels compute several positions at a time.

Before, with three taps and one output channel::

    %1 = nn.conv %x, %w : (1x16x4, 3x4x1) -> 1x14x1

After, with seven positions a block::

    %1 = nn.conv %x, %v {strides = array<i64: 7>} : (1x16x4, 9x4x7) -> 1x2x7
    %2 = nn.reshape %1 -> 1x14x1

Channels are the lanes of vectors: with one channel all lanes but one are empty. Here
the positions of a block along the last spatial axis are the channels. They see the
same window, that of all of them, through copies of the filter moved by the stride;
what one position does not see is multiplied by zero. (An infinity in the window makes
NaNs of those products, so it spreads over its block.) `block_size` weighs the wider
window against fuller vectors. Only windows along one axis are taken, as filters of
signals have them.

On entry: layouts are chosen, filters are constants. On exit: the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import OpResult, SSAValue
from xdsl.passes import ModulePass

from nnc.context import weights_of
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.conv import CHANNELS_LAST, ConvOp
from nnc.dialects.nn.elementwise import AddOp
from nnc.dialects.nn.movement import BroadcastOp, ReshapeOp, SliceOp
from nnc.dialects.nn.structure import ConstantOp, WeightOp
from nnc.dialects.nn.types import dims_of, element_type_of, is_float
from nnc.lowering.tiling import columns_time
from nnc.symbolic import Dim, ceildiv
from nnc.target import Target
from nnc.transforms.canonicalize_nn import PATTERNS
from nnc.transforms.worklist import PatternContext, rewrite
from nnc.weights import Array

COLUMNS: Final = (8, 16)
"""Channels of a block that are tried: whole vectors, or half of one."""

_GAIN: Final = 0.7
"""What part of the time must be left for the larger filter to pay off."""

_CROPPED: Final = 1.15
"""Relative time where positions of the last block have to be cut off."""


def block_size(op: ConvOp, target: Target) -> int | None:
    """How many positions of `op` to compute at a time, if that is much faster."""
    element_type = element_type_of(op.input)
    channels = dims_of(op.filter)[-1].as_int()
    if channels is None or op.kernel[-1] == 1:
        return None
    size = _positions(op).as_int()
    stride, window = ints(op.strides)[-1], _window(op)

    def time(block: int) -> float:
        """For one position, in multiply-adds of a vector for each of its rows."""
        taps = window + (block - 1) * stride if block > 1 else op.kernel[-1]
        is_whole = size is not None and size % block == 0
        columns = columns_time(target, element_type, channels * block)
        return taps * columns / block * (1.0 if is_whole else _CROPPED)

    sizes = [n // channels for n in COLUMNS if channels and n % channels == 0]
    sizes = [b for b in sizes if b > 1 and (size is None or b <= size)]
    best = min(sizes, key=time, default=1)
    return best if best > 1 and time(best) < _GAIN * time(1) else None


def _positions(op: ConvOp) -> Dim:
    """Results along the last spatial axis."""
    return dims_of(op.result)[-2]


def _window(op: ConvOp) -> int:
    """From the first to the last tap along the last spatial axis."""
    return (op.kernel[-1] - 1) * ints(op.dilations)[-1] + 1


@dataclass(frozen=True)
class _Rewriting:
    target: Target

    def biased(self, op: AddOp, ctx: PatternContext) -> SSAValue | None:
        """`conv + channel constants`: these are repeated for the positions."""
        conv = op.lhs.owner
        if not isinstance(conv, ConvOp) or not op.lhs.has_one_use():
            return None
        if not isinstance(op.rhs.owner, BroadcastOp):
            return None
        source = op.rhs.owner.operand
        channels = dims_of(conv.result)[-1]
        dims = dims_of(source)
        if any(d != 1 for d in dims[:-1]) or (dims and dims[-1] != channels):
            return None
        if not dims and channels != 1:
            return None
        bias = ctx.array(source)
        return None if bias is None else self._blocked(conv, bias, ctx)

    def plain(self, op: ConvOp, ctx: PatternContext) -> SSAValue | None:
        """`conv` → `reshape(conv)` of blocks of positions."""
        return self._blocked(op, None, ctx)

    def _blocked(
        self, op: ConvOp, bias: Array | None, ctx: PatternContext
    ) -> SSAValue | None:
        if not _is_eligible(op):
            return None
        block = block_size(op, self.target)
        high = None if block is None else _high_padding(op, block)
        if block is None or high is None:
            return None
        filter_ = ctx.array(op.filter)
        assert filter_ is not None
        conv = ConvOp(
            op.input,
            ctx.constant(_moved_copies(op, filter_, block), "blocked"),
            strides=[*ints(op.strides)[:-1], ints(op.strides)[-1] * block],
            dilations=[*ints(op.dilations)[:-1], 1],
            padding=[*op.padding.dims[:-1], high],
            layout=CHANNELS_LAST,
        )
        value = ctx.add(conv).result
        if bias is not None:
            tiled = ctx.constant(np.tile(bias.reshape(-1), block), "blocked_bias")
            spread = ctx.add(BroadcastOp(tiled, dims_of(value))).result
            value = ctx.add(AddOp(value, spread)).result
        *outer, blocks, _ = dims_of(value)
        dims = dims_of(op.result)
        value = ctx.add(ReshapeOp(value, [*outer, blocks * block, dims[-1]])).result
        if dims_of(value) != dims:
            value = ctx.add(SliceOp(value, [0] * len(dims), dims)).result
        return value


def _is_eligible(op: ConvOp) -> bool:
    return (
        op.channels_last
        and all(size == 1 for size in op.kernel[:-1])
        and op.groups.value.data == 1
        and is_float(element_type_of(op.input))
        and isinstance(op.filter, OpResult)
        and isinstance(op.filter.op, WeightOp | ConstantOp)
    )


def _high_padding(op: ConvOp, block: int) -> Dim | None:
    """Padding behind the last spatial axis for whole blocks; None if not known."""
    stride, size = ints(op.strides)[-1], dims_of(op.input)[-2]
    low, high = op.low_padding[-1], op.high_padding[-1]
    missing = ceildiv(_positions(op), block) * block - _positions(op)
    unused = Dim.of(0) if stride == 1 else (low + size + high - _window(op)) % stride
    needed = high + missing * stride - unused
    if stride == 1:
        return needed
    known = needed.as_int()
    return needed if known is not None and known >= 0 else None


def _moved_copies(op: ConvOp, filter: Array, block: int) -> Array:
    """`[k..., taps, C, O]` → `[k..., window, C, block * O]`."""
    *outer, _, channels, outputs = filter.shape
    stride, dilation = ints(op.strides)[-1], ints(op.dilations)[-1]
    window = _window(op)
    whole = window + (block - 1) * stride
    result = np.zeros((*outer, whole, channels, block, outputs), filter.dtype)
    for position in range(block):
        start = position * stride
        result[..., start : start + window : dilation, :, position, :] = filter
    return result.reshape(*outer, whole, channels, block * outputs)


@dataclass(frozen=True)
class BlockThinConvsPass(ModulePass):
    """Make positions of convolutions to few channels channels themselves."""

    name: ClassVar[str] = "block-thin-convs"

    target: str = "native"
    """Name of the target that the choice is made for."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Visit all convolutions."""
        # Asking the machine imports LLVM.
        from nnc.backend.host import resolve_target

        rewriting, weights = _Rewriting(resolve_target(self.target)), weights_of(ctx)
        count = rewrite(op, {AddOp: (rewriting.biased,)}, weights)
        count += rewrite(op, {ConvOp: (rewriting.plain,)}, weights)
        if count:
            # Activations move in front of the reshapes.
            rewrite(op, PATTERNS, weights)
