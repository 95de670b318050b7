"""References of Winograd's convolution: the three parts together are `nn.conv`."""

from __future__ import annotations

import numpy as np
import pytest

from nnc.dialects.nn.conv import ConvOp
from nnc.dialects.nn.winograd import (
    WinogradFilterOp,
    WinogradInputOp,
    WinogradProductOp,
)
from nnc.testing import compare, run_one_op

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("group", [1, 5, 12])
@pytest.mark.parametrize(
    ("shape", "padding"),
    [
        ((1, 8, 8, 3), (1, 1, 1, 1)),
        ((2, 7, 9, 4), (1, 1, 1, 1)),
        ((1, 3, 3, 1), (0, 0, 0, 0)),
        ((3, 5, 4, 2), (0, 2, 3, 1)),
        ((1, 1, 1, 2), (1, 1, 1, 1)),
        ((1, 2, 8, 2), (9, 0, 0, 0)),
        ((0, 8, 8, 3), (1, 1, 1, 1)),
        ((1, 2, 8, 3), (0, 0, 0, 0)),
        ((1, 8, 8, 0), (1, 1, 1, 1)),
    ],
)
def test_parts_make_the_convolution(
    tile: int, group: int, shape: tuple[int, ...], padding: tuple[int, ...]
) -> None:
    x = GENERATOR.normal(size=shape)
    w = GENERATOR.normal(size=(3, 3, shape[-1], 5))
    expected = run_one_op(ConvOp, x, w, padding=padding, layout="channels_last")
    tiles = run_one_op(WinogradInputOp, x, tile=tile, group=group, padding=padding)
    filters = run_one_op(WinogradFilterOp, w, tile=tile)
    image = expected.shape[:3]
    actual = run_one_op(WinogradProductOp, tiles, filters, tile=tile, image=image)
    compare(actual, expected, rtol=1e-10, atol=1e-10)


def test_tiles_beyond_the_last_are_zero() -> None:
    x = np.ones((1, 4, 4, 2), np.float32)
    tiles = run_one_op(WinogradInputOp, x, tile=4, group=3, padding=(1, 1, 1, 1))
    assert tiles.shape == (1, 36, 3, 2)
    assert tiles[:, :, 0].any()
    assert not tiles[:, :, 1:].any()


def test_f32_results_are_rounded_once() -> None:
    x = GENERATOR.normal(size=(1, 8, 8, 64)).astype(np.float32)
    w = GENERATOR.normal(size=(3, 3, 64, 8)).astype(np.float32)
    filters = run_one_op(WinogradFilterOp, w, tile=4)
    wide = run_one_op(WinogradFilterOp, w.astype(np.float64), tile=4)
    np.testing.assert_array_equal(filters, wide.astype(np.float32))
    tiles = run_one_op(WinogradInputOp, x, tile=4, group=4, padding=(1, 1, 1, 1))
    wide = run_one_op(
        WinogradInputOp,
        x.astype(np.float64),
        tile=4,
        group=4,
        padding=(1, 1, 1, 1),
    )
    np.testing.assert_array_equal(tiles, wide.astype(np.float32))
