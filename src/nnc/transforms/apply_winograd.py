"""
apply-winograd: 3x3 convolutions with stride 1 by Winograd's algorithm.

Before::

    %1 = nn.conv %x, %w {padding = #nn.shape<1, 1, 1, 1>, ...}

After::

    %t = nn.winograd_input %x {tile = 4 : i64, group = 14 : i64, padding = ...}
    %u = nn.winograd_filter %w {tile = 4 : i64}
    %1 = nn.winograd_product %t, %u {tile = 4 : i64, image = #nn.shape<1, 56, 56>}

A quarter to 4/9 of the multiplications remain; in exchange tiles are transformed, and
the transformed filters are two to four times as large. The pass weighs that with a
model of the machine (`choose_tile`). With `tiles` f2 or f4 only that one is considered.

On entry: layouts are chosen, filters are constants. On exit: `fold-constants` has to
evaluate the `nn.winograd_filter` ops before dispatches are formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from xdsl.context import Context
from xdsl.dialects.builtin import Float32Type, ModuleOp
from xdsl.ir import OpResult, SSAValue
from xdsl.passes import ModulePass

from nnc.context import weights_of
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.conv import ConvOp
from nnc.dialects.nn.structure import ConstantOp, WeightOp
from nnc.dialects.nn.types import dims_of, element_type_of, static_shape
from nnc.dialects.nn.winograd import (
    WinogradFilterOp,
    WinogradInputOp,
    WinogradProductOp,
)
from nnc.errors import CompileError
from nnc.lowering.tiling import panel_width, tile_group, vector_width
from nnc.symbolic import Dim, ceildiv
from nnc.target import Target
from nnc.transforms.worklist import PatternContext, rewrite
from nnc.winograd import KERNEL, TILES

CHOICES: Final = {"auto": TILES, "off": (), "f2": (2,), "f4": (4,)}
"""Values of the option → tile sizes to consider."""

_UNKNOWN_SIZES: Final = (1, 32, 32)
"""What images, rows and columns are taken for that only the run time knows."""

_MIN_CHANNELS: Final = 16

_TRANSFORM: Final = 12.0
"""Multiply-adds in the time that a vector of a transformed tile takes to be made, or to
be transformed back."""

_FILTER: Final = 5.3
"""Multiply-adds in the time that a vector of a filter takes to come from memory."""

_LAUNCH: Final = 4000.0
"""Multiply-adds in the time that a further kernel takes to start."""

_GAIN: Final = 0.85
"""What part of the time must be left for larger tiles to be worth their rounding errors
and the memory for their filters."""


def choose_tile(
    sizes: tuple[Dim, ...],
    channels: tuple[int, int],
    tiles: tuple[int, ...],
    target: Target,
) -> int | None:
    """
    The tile size that is expected to be fastest; None for the direct way.

    `sizes` are images, rows and columns of the result, `channels` those that are read
    and written. Times are counted in multiply-adds of one vector.
    """
    images, rows, columns = (
        unknown if (known := size.as_int()) is None else known
        for size, unknown in zip(sizes, _UNKNOWN_SIZES, strict=True)
    )
    inputs, outputs = channels
    width = vector_width(target, Float32Type())
    if min(channels) < _MIN_CHANNELS or (outputs % width and not target.has_masks):
        return None
    panel = panel_width(target, Float32Type(), outputs, may_halve=False)
    outputs = -(-outputs // panel) * panel
    filter_vectors = inputs * outputs / width
    best = (images * rows * columns + _FILTER) * KERNEL**2 * filter_vectors
    result: int | None = None
    for tile in tiles:
        count = images * -(-rows // tile) * -(-columns // tile)
        elements = (tile + KERNEL - 1) ** 2
        moved = count * elements * (inputs + outputs) / width
        products = (count + _FILTER) * elements * filter_vectors
        time = products + _TRANSFORM * moved + _LAUNCH
        if time < _GAIN * best:
            best, result = time, tile
    return result


@dataclass(frozen=True)
class _Rewriting:
    target: Target
    tiles: tuple[int, ...]

    def convolution(self, op: ConvOp, ctx: PatternContext) -> SSAValue | None:
        """`conv` → tiles and products, where that is faster."""
        if not is_eligible(op):
            return None
        shape = static_shape(op.filter)
        assert shape is not None, "constants have static shapes"
        _, _, inputs, outputs = shape
        image = dims_of(op.result)[:3]
        tile = choose_tile(image, (inputs, outputs), self.tiles, self.target)
        if tile is None:
            return None
        count = image[0] * ceildiv(image[1], tile) * ceildiv(image[2], tile)
        group = tile_group(self.target, outputs, count)
        tiles = ctx.add(WinogradInputOp(op.input, tile, group, op.padding.dims))
        filters = ctx.add(WinogradFilterOp(op.filter, tile))
        product = WinogradProductOp(tiles.result, filters.result, tile, image)
        return ctx.add(product).result


def is_eligible(op: ConvOp) -> bool:
    """Whether the algorithm computes `op`: 3x3, stride 1, dense, constant, f32."""
    return (
        op.channels_last
        and op.spatial_rank == 2
        and op.kernel == (KERNEL, KERNEL)
        and set((*ints(op.strides), *ints(op.dilations))) == {1}
        and op.groups.value.data == 1
        and isinstance(element_type_of(op.input), Float32Type)
        and isinstance(op.filter, OpResult)
        and isinstance(op.filter.op, WeightOp | ConstantOp)
    )


@dataclass(frozen=True)
class ApplyWinogradPass(ModulePass):
    """Compute 3x3 convolutions by Winograd's algorithm where that is faster."""

    name: ClassVar[str] = "apply-winograd"

    target: str = "native"
    """Name of the target that the choice is made for."""

    tiles: str = "auto"
    """Tile sizes to consider: auto, f2, f4, or off for none."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Visit all convolutions."""
        if self.tiles not in CHOICES:
            known = ", ".join(CHOICES)
            raise CompileError(f"unknown tiles '{self.tiles}'; known are: {known}")
        tiles = CHOICES[self.tiles]
        if not tiles:
            return
        # Asking the machine imports LLVM.
        from nnc.backend.host import resolve_target

        rewriting = _Rewriting(resolve_target(self.target), tiles)
        rewrite(op, {ConvOp: (rewriting.convolution,)}, weights_of(ctx))
