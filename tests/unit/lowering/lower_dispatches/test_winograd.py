"""Winograd's convolution: transformed tiles, and products transformed back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from xdsl.dialects.builtin import f32, f64
from xdsl.ir import SSAValue

from nnc.dialects.nn.conv import ConvOp
from nnc.dialects.nn.elementwise import AddOp, MulOp, ReluOp, TanhOp
from nnc.dialects.nn.linear import PackOp, UnpackOp
from nnc.dialects.nn.movement import BroadcastOp, SliceOp, TransposeOp
from nnc.dialects.nn.types import dims_of, tensor_type
from nnc.dialects.nn.winograd import (
    WinogradFilterOp,
    WinogradInputOp,
    WinogradProductOp,
)
from nnc.lowering.tiling import panel_width, tile_group
from nnc.symbolic import Dim, ceildiv
from nnc.target import Target
from nnc.testing import run_one_op
from nnc.testing_dispatches import Array, Operand, check_dispatch, lower_dispatch

N, H, W = (Dim.symbol(s) for s in "NHW")
Generator = np.random.Generator

IMAGES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "whole tiles": ((1, 8, 8, 16), (1, 1, 1, 1)),
    "part tiles": ((2, 7, 9, 20), (1, 1, 1, 1)),
    "uneven padding": ((1, 6, 13, 33), (0, 1, 2, 3)),
    "no padding": ((3, 6, 5, 3), (0, 0, 0, 0)),
    "one pixel": ((1, 1, 1, 5), (1, 1, 1, 1)),
    "wide padding": ((1, 2, 3, 8), (9, 0, 0, 7)),
    "no image": ((0, 8, 8, 4), (1, 1, 1, 1)),
    "no result": ((1, 2, 8, 4), (0, 0, 0, 0)),
    "no channel": ((1, 8, 8, 0), (1, 1, 1, 1)),
}


def floats(rng: Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize(("shape", "padding"), IMAGES.values(), ids=list(IMAGES))
def test_tiles(
    target: Target,
    rng: Generator,
    tile: int,
    shape: tuple[int, ...],
    padding: tuple[int, ...],
) -> None:
    x = floats(rng, *shape)
    for group, dims in ((5, None), (12, [N, H, W, shape[-1]])):
        check_dispatch(
            lambda x, group=group: WinogradInputOp(x, tile, group, padding),
            [Operand(x, dims)],
            target,
            rtol=1e-5,
            atol=1e-5,
        )


def test_tiles_of_a_strided_image(target: Target, rng: Generator) -> None:
    x = floats(rng, 2, 7, 6, 17)
    pixel = 17 + 16
    check_dispatch(
        lambda x: WinogradInputOp(x, 4, 7, (1, 1, 1, 1)),
        [Operand(x, None, [7 * 8 * pixel, 8 * pixel, pixel, 1])],
        target,
        rtol=1e-5,
        atol=1e-5,
    )


def test_tiles_of_views(target: Target, rng: Generator) -> None:
    x = floats(rng, 2, 9, 8, 40)
    check_dispatch(
        lambda x: WinogradInputOp(
            SliceOp(x, [0, 1, 2, 8], [2, 4, 6, 32], [1, 2, 1, 1]), 4, 3, (1, 1, 1, 1)
        ),
        [x],
        target,
        rtol=1e-5,
        atol=1e-5,
    )
    check_dispatch(
        lambda x: WinogradInputOp(TransposeOp(x, [0, 2, 3, 1]), 2, 3, (1, 1, 1, 1)),
        [floats(rng, 1, 20, 5, 6)],
        target,
        rtol=1e-5,
        atol=1e-5,
    )


def image_of(shape: Sequence[int], padding: Sequence[int]) -> tuple[int, ...]:
    return tuple(
        max(0, d + p) for d, p in zip(shape[:3], (0, *_totals(padding)), strict=True)
    )


def _totals(padding: Sequence[int]) -> tuple[int, int]:
    return padding[0] + padding[2] - 2, padding[1] + padding[3] - 2


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize(
    ("name", "outputs"),
    [(name, 37) for name in IMAGES] + [("part tiles", n) for n in (1, 16, 96)],
)
def test_products(
    target: Target, rng: Generator, tile: int, name: str, outputs: int
) -> None:
    shape, padding = IMAGES[name]
    image = image_of(shape, padding)
    count = image[0] * -(-image[1] // tile) * -(-image[2] // tile)
    group = tile_group(target, outputs, count)
    tiles = floats(rng, -(-count // group), (tile + 2) ** 2, group, shape[-1])
    filters = floats(rng, (tile + 2) ** 2, shape[-1], outputs)
    bias, residual = floats(rng, outputs), floats(rng, *image, outputs)
    panel = panel_width(target, f32, outputs)
    packed = run_one_op(PackOp, filters, panel=panel)
    whole = tensor_type(f32, filters.shape)

    def build(
        tiles: SSAValue, filters: SSAValue, bias: SSAValue, residual: SSAValue
    ) -> ReluOp:
        if dims_of(filters)[-1] != outputs or len(dims_of(filters)) == 4:
            filters = UnpackOp(filters, whole, panel).result
        made = WinogradProductOp(tiles, filters, tile, image).result
        biased = AddOp(made, BroadcastOp(bias, dims_of(made)).result).result
        return ReluOp(AddOp(biased, residual).result)

    for weights in (packed, filters):
        check_dispatch(
            build, [tiles, weights, bias, residual], target, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("tile", [2, 4])
def test_products_of_free_sizes(target: Target, rng: Generator, tile: int) -> None:
    shape, outputs, group = (2, 7, 11, 24), 48, 6
    count = 2 * -(-7 // tile) * -(-11 // tile)
    groups = ceildiv(N * ceildiv(H, tile) * ceildiv(W, tile), group)
    elements = (tile + 2) ** 2
    tiles = floats(rng, -(-count // group), elements, group, shape[-1])
    filters = floats(rng, elements, shape[-1], outputs)

    def build(x: SSAValue, tiles: SSAValue, filters: SSAValue) -> AddOp:
        made = WinogradProductOp(tiles, filters, tile, [N, H, W]).result
        return AddOp(made, x)

    check_dispatch(
        build,
        [
            Operand(floats(rng, 2, 7, 11, outputs), [N, H, W, outputs]),
            Operand(tiles, [groups, elements, group, shape[-1]]),
            filters,
        ],
        target,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("free", [False, True], ids=["known", "free"])
@pytest.mark.parametrize(("shape", "padding"), IMAGES.values(), ids=list(IMAGES))
def test_products_of_own_tiles(
    target: Target,
    rng: Generator,
    tile: int,
    free: bool,
    shape: tuple[int, ...],
    padding: tuple[int, ...],
) -> None:
    outputs, group = 24, 5
    x = Operand(floats(rng, *shape), [N, H, W, shape[-1]] if free else None)
    filters = floats(rng, (tile + 2) ** 2, shape[-1], outputs)
    bias = floats(rng, outputs)

    def build(bias: SSAValue, x: SSAValue, filters: SSAValue) -> ReluOp:
        tiles = WinogradInputOp(x, tile, group, padding)
        image = tiles.sizes
        made = WinogradProductOp(
            tiles.result, filters, tile, [dims_of(x)[0], *image]
        ).result
        return ReluOp(AddOp(made, BroadcastOp(bias, dims_of(made)).result))

    lowered = check_dispatch(build, [bias, x, filters], target, rtol=1e-4, atol=1e-4)
    schedule = lowered.launch.schedule if lowered.launch is not None else None
    assert schedule is None or schedule.data.endswith("own tiles")


def test_epilogue_of_views_and_functions(target: Target, rng: Generator) -> None:
    tiles, filters = floats(rng, 1, 36, 4, 8), floats(rng, 36, 8, 32)
    other, scale = floats(rng, 1, 32, 8, 8), floats(rng, 8, 1, 1)

    def build(
        tiles: SSAValue, filters: SSAValue, other: SSAValue, scale: SSAValue
    ) -> list[TanhOp | MulOp]:
        made = WinogradProductOp(tiles, filters, 4, [1, 8, 8]).result
        moved = TransposeOp(other, [0, 2, 3, 1]).result
        scaled = MulOp(made, BroadcastOp(scale, dims_of(made)).result)
        return [TanhOp(AddOp(scaled.result, moved).result), scaled]

    check_dispatch(build, [tiles, filters, other, scale], target, rtol=1e-4, atol=1e-4)


def test_double_precision(target: Target, rng: Generator) -> None:
    x, w = rng.standard_normal((1, 7, 7, 12)), rng.standard_normal((3, 3, 12, 24))
    filters = run_one_op(WinogradFilterOp, w, tile=4)
    panel = panel_width(target, f64, 24)
    packed = run_one_op(PackOp, filters, panel=panel)
    padding = (1, 1, 1, 1)
    tiles = run_one_op(WinogradInputOp, x, tile=4, group=4, padding=padding)
    check_dispatch(
        lambda x: WinogradInputOp(x, 4, 4, padding), [x], target, rtol=1e-12, atol=1e-12
    )

    def build(tiles: SSAValue, packed: SSAValue) -> WinogradProductOp:
        unpacked = UnpackOp(packed, tensor_type(f64, filters.shape), panel)
        return WinogradProductOp(tiles, unpacked.result, 4, [1, 7, 7])

    check_dispatch(build, [tiles, packed], target, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tile", [2, 4])
def test_the_convolution_is_as_exact_as_promised(
    target: Target, rng: Generator, tile: int
) -> None:
    """No further from the exact result than some times what a plain sum is."""
    channels = 128
    x = np.maximum(floats(rng, 1, 12, 12, channels), 0)
    w = floats(rng, 3, 3, channels, 32) / np.float32(np.sqrt(9 * channels))
    padding, image = (1, 1, 1, 1), (1, 12, 12)
    conv = lower_dispatch(
        lambda x, w: ConvOp(x, w, layout="channels_last"),
        [Operand(np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])), Operand(w)],
        target,
    )
    direct = conv.run([np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]), w], {})[0]
    exact = run_one_op(
        ConvOp,
        x.astype(np.float64),
        w.astype(np.float64),
        padding=padding,
        layout="channels_last",
    )
    group = tile_group(target, 32, (12 // tile) ** 2)
    forward = lower_dispatch(
        lambda x: WinogradInputOp(x, tile, group, padding), [Operand(x)], target
    )
    tiles = forward.run([x], {})[0]
    filters = run_one_op(WinogradFilterOp, w, tile=tile)
    back = lower_dispatch(
        lambda t, u: WinogradProductOp(t, u, tile, image),
        [Operand(tiles), Operand(filters)],
        target,
    )
    actual = back.run([tiles, filters], {})[0]

    def error(result: Array) -> float:
        return float(np.sqrt(np.mean((result - exact) ** 2)))

    assert error(actual) < {2: 1.5, 4: 4.5}[tile] * error(direct)
    assert np.abs(actual - exact).max() < {2: 2e-6, 4: 1e-5}[tile] * np.abs(exact).max()
