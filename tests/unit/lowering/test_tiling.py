"""Register tiles: what fits, what is balanced, what covers everything once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from xdsl.dialects.builtin import BFloat16Type, f32, f64

from nnc.lowering.tiling import (
    ColumnTiles,
    RowTiles,
    balanced_row_tiles,
    column_tiles,
    column_vectors,
    max_rows,
    panel_vectors,
    panel_width,
    row_tiles,
    tiled_axis,
    vector_width,
)
from nnc.symbolic import Dim
from nnc.target import Target

TARGETS = [Target.named(n) for n in ("generic", "avx2", "avx512")]
TARGETS.append(Target.named("neon", arch="aarch64"))
M, N = Dim.symbol("M"), Dim.symbol("N")


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("nv", [1, 2, 3, 4])
def test_max_rows_tile_fits_registers(target: Target, nv: int) -> None:
    rows = max_rows(target, nv)
    assert 1 <= rows <= 14
    assert rows == 1 or rows * nv + nv + 1 <= target.vector_registers


@pytest.mark.parametrize(
    ("name", "columns", "panel"),
    [
        ("avx512", 768, 32),
        ("avx512", 64, 32),
        ("avx512", 48, 48),  # one panel of three vectors, not two with a half empty
        ("avx512", 144, 48),
        ("avx512", 16, 16),
        ("avx512", 9, 16),
        ("avx512", 8, 8),  # half a vector
        ("avx512", 5, 8),
        ("avx512", 24, 32),
        ("avx2", 768, 16),
        ("avx2", 24, 24),
        ("avx2", 8, 8),
        ("generic", 64, 8),
    ],
)
def test_panel_width_for_columns(name: str, columns: int, panel: int) -> None:
    assert panel_width(Target.named(name), f32, columns) == panel


@pytest.mark.parametrize(
    ("columns", "panel"),
    [(3, 8), (9, 16), (24, 24), (32, 32), (40, 48), (48, 48), (72, 24), (768, 32)],
)
def test_panel_width_where_vectors_are_split(columns: int, panel: int) -> None:
    target = replace(Target.named("avx512"), cpu="znver4")
    assert panel_width(target, f32, columns) == panel
    assert panel_vectors(panel, 16) == (
        (panel // 16, 16) if panel % 16 == 0 else (panel // 8, 8)
    )


def test_panel_width_of_whole_vectors() -> None:
    target = replace(Target.named("avx512"), cpu="znver4")
    assert panel_width(target, f32, 24, may_halve=False) == 32
    assert panel_width(target, f32, 3, may_halve=False) == 16


def test_panel_vectors_of_a_foreign_panel_are_single() -> None:
    assert panel_vectors(12, 16) == (1, 1)
    assert panel_vectors(12, 1) == (12, 1)


def test_panel_width_few_rows_get_wider_panels() -> None:
    target = Target.named("avx2")
    unknown = Dim.symbol("N")
    # Tiles of 4 and 3 rows need 3 vectors to keep two units of multiply-adds busy.
    assert panel_width(target, f32, 512, [1, 7, 7]) == 24
    assert panel_width(target, f32, 512, [49]) == 16
    assert panel_width(target, f32, 512, [unknown, 7]) == 16
    assert panel_width(target, f32, 512, [0]) == 16
    assert panel_width(target, f32, 512, [1]) == 16
    assert panel_width(Target.named("avx512"), f32, 512, [1, 7, 7]) == 32


def test_panel_width_follows_accumulators() -> None:
    target = Target.named("avx512")
    assert panel_width(target, f64, 64) == 16
    assert panel_width(target, BFloat16Type(), 64) == 32
    assert vector_width(target, BFloat16Type()) == 16


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_column_vectors_never_wastes_a_whole_vector_of_few(target: Target) -> None:
    for columns in range(1, 65):
        nv = column_vectors(target, 16, columns)
        assert nv <= -(-columns // 16)


@pytest.mark.parametrize("rows", [0, 1, 13, 14, 15, 28, 49, 128, 196, 3136])
def test_balanced_row_tiles_cover_rows_with_two_heights(rows: int) -> None:
    tiles = balanced_row_tiles(rows, 14)
    full, count = tiles.full.as_int(), tiles.count.as_int()
    assert full is not None
    assert count is not None
    assert full * tiles.rows + (count - full) * tiles.rest_rows == rows
    assert all(h <= 14 for h in tiles.heights)
    assert tiles.rest_rows in (0, tiles.rows - 1)


def test_balanced_row_tiles_bert() -> None:
    # One height where it divides the rows, else two that differ by one; never 9 x 14
    # and a tile of 2.
    eight = balanced_row_tiles(128, 14)
    assert eight == RowTiles(8, Dim.of(16), 0, Dim.of(16))
    mixed = balanced_row_tiles(127, 14)
    assert mixed == RowTiles(13, Dim.of(7), 12, Dim.of(10))


def test_row_tiles_unknown_rows_end_in_single_rows() -> None:
    tiles = row_tiles(M, 14)
    assert tiles.heights == (14, 4, 2, 1)
    assert tiles.count.evaluate({"M": 15}) == 2
    assert tiles.count.evaluate({"M": 0}) == 0


def test_row_tiles_unknown_multiple_has_no_rest() -> None:
    assert row_tiles(28 * M, 14).heights == (14,)


@pytest.mark.parametrize(
    ("sizes", "axis"),
    [
        ([56, 56], 1),
        ([56, 1], 0),
        ([100, 3], 0),
        ([7, 7], 1),
        ([M, 7], 0),
        ([100, M], 1),
    ],
)
def test_tiled_axis_prefers_inner_axis_of_tall_tiles(
    sizes: list[Dim | int], axis: int
) -> None:
    assert tiled_axis(sizes, 14) == axis


def covered(tiles: tuple[ColumnTiles, ...], columns: int, **sizes: int) -> list[int]:
    """All columns that some tile computes and that exist."""
    found: list[int] = []
    for part in tiles:
        start = part.start.evaluate(sizes)
        for i in range(part.count.evaluate(sizes)):
            first = start + i * part.columns
            end = first + part.columns
            assert end <= columns or part.tail != "none"
            found += range(first, min(end, columns))
    return found


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("nv", [1, 2, 3])
def test_column_tiles_cover_each_column_once(
    target: Target, nv: int, is_packed: bool
) -> None:
    width = target.lanes(32)
    for columns in (0, 1, 3, 7, 16, 31, 32, 33, 47, 100):
        tiles = column_tiles(target, Dim.of(columns), nv, width, is_packed=is_packed)
        assert covered(tiles, columns) == list(range(columns))
        if not is_packed:
            tiles = column_tiles(target, N, nv, width, is_packed=False)
            assert covered(tiles, columns, N=columns) == list(range(columns))


def test_column_tiles_masks_make_one_code_for_packed_operands() -> None:
    (only,) = column_tiles(Target.named("avx512"), Dim.of(1000), 2, 16, is_packed=True)
    assert only == ColumnTiles(Dim.of(0), Dim.of(32), 2, 16, "mask")


def test_column_tiles_without_masks_last_tile_goes_column_by_column() -> None:
    whole, rest = column_tiles(Target.named("avx2"), Dim.of(27), 2, 8, is_packed=True)
    assert whole == ColumnTiles(Dim.of(0), Dim.of(1), 2, 8)
    assert rest == ColumnTiles(Dim.of(16), Dim.of(1), 2, 8, "scalar")
