"""
explicit-padding: convolutions that are contractions get their padding from `nn.pad`.

Before::

    %0 = nn.conv %x, %w {padding = #nn.shape<1, 1, 1, 1>, ...}

After::

    %0 = nn.pad %x {low = #nn.shape<0, 1, 1, 0>, high = ..., mode = "constant"}
    %1 = nn.conv %0, %w {padding = #nn.shape<0, 0, 0, 0>, ...}

The contraction kernel reads a window as a row of its input, so border elements have to
exist; bufferization lets the producer write into the middle of a padded buffer.
Depthwise convolutions and pools keep their padding: their kernels clip the window.

On entry: any `nn` module. On exit: no `nn.conv` pads unless it is depthwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from nnc.analysis.dispatches import is_depthwise
from nnc.context import weights_of
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.conv import CHANNELS_FIRST, CHANNELS_LAST, ConvOp
from nnc.dialects.nn.movement import PadOp
from nnc.symbolic import Dim
from nnc.transforms.worklist import PatternContext, rewrite


def pad_conv_input(op: ConvOp, ctx: PatternContext) -> SSAValue | None:
    """`conv {padding}` → `conv(pad)`, unless it is depthwise."""
    if not any(op.padding.dims) or is_depthwise(op):
        return None
    padded = PadOp(
        op.input, _amounts(op, op.low_padding), _amounts(op, op.high_padding)
    )
    conv = ConvOp(
        ctx.add(padded).result,
        op.filter,
        strides=ints(op.strides),
        dilations=ints(op.dilations),
        groups=op.groups.value.data,
        layout=CHANNELS_LAST if op.channels_last else CHANNELS_FIRST,
    )
    return ctx.add(conv).result


def _amounts(op: ConvOp, spatial: Sequence[Dim]) -> list[Dim]:
    """`spatial` amounts as those of all axes of the input."""
    amounts = [Dim.of(0)] * (len(spatial) + 2)
    for axis, amount in zip(op.spatial_axes, spatial, strict=True):
        amounts[axis] = amount
    return amounts


@dataclass(frozen=True)
class ExplicitPaddingPass(ModulePass):
    """Pad the inputs of contraction convolutions by an op of its own."""

    name: ClassVar[str] = "explicit-padding"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Visit all convolutions."""
        rewrite(op, {ConvOp: (pad_conv_input,)}, weights_of(ctx))
