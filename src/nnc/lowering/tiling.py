"""
How a contraction is cut into register tiles: pure functions on sizes and a target.

A register tile is `mr` rows times `nv` vectors of `width` columns. Its accumulators,
one row of B and one element of A, repeated, have to fit into the registers. The
columns are cut into panels of `nv * width`; constant operands are stored in panels
(`nn.pack`), so `panel_width` is a contract between packing and the kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from xdsl.dialects.builtin import Float32Type, Float64Type
from xdsl.ir import Attribute

from nnc.symbolic import Dim, DimLike, ceildiv
from nnc.target import Target

MAX_COLUMN_VECTORS: Final = 4
"""More vectors a row leave too few rows for the loads of B to pay off."""

_MAX_ROWS: Final = 14
"""Taller tiles gain nothing and cost code."""

_MAX_TILE_GROUP: Final = 12
"""With tiles of 14 rows, products that end on the stack took half as long again."""

_SMALL_TILE: Final = 6
"""Tiles of up to that many rows lose speed with every row less."""

_COLUMN_PENALTY: Final = {
    32: (1.12, 1.0, 1.005, 1.03),
    16: (1.25, 1.0, 1.03, 1.5),
}
"""Registers → relative time of a tile of 1, 2, 3, 4 column vectors, measured."""

_ODD_HALVES: Final = {1: 1.12, 3: 1.005}
"""Vectors of half the width in a panel → relative time of a tile of them."""

_HALF_GAIN: Final = 1.15
"""What panels of half vectors must gain, as there are more of them."""

_BUSY: Final = 11
"""Fewer accumulators leave units idle that wait for each other's results: two units of
four cycles, and some for what does not go as planned."""

_REMAINDER_ROWS: Final = (4, 2, 1)
"""Tile heights that finish a row count unknown to the compiler."""


def accumulator_bits(element_type: Attribute) -> int:
    """Bits of the type that products of `element_type` are summed in."""
    return 64 if isinstance(element_type, Float64Type) else 32


def vector_width(target: Target, element_type: Attribute) -> int:
    """Lanes of the accumulators of a contraction over `element_type`."""
    return target.lanes(accumulator_bits(element_type))


def max_rows(target: Target, nv: int) -> int:
    """The tallest tile of `nv` column vectors that does not spill."""
    return max(1, min(_MAX_ROWS, (target.vector_registers - 1 - nv) // nv))


def column_vectors(target: Target, width: int, columns: int) -> int:
    """
    How many vectors a panel has, so that a matrix of `columns` wastes little time.

    Few columns get narrower panels; otherwise the panel is the one whose tile is
    fastest, unless padding the last panel would cost more than another tile does.
    """
    return _fastest(target, width, columns, MAX_COLUMN_VECTORS)[1]


def _fastest(
    target: Target,
    width: int,
    columns: int,
    most: int,
    row_sizes: Sequence[DimLike] = (),
) -> tuple[float, int]:
    """The relative time of all columns, and the vectors of a panel that takes it."""
    needed = max(1, -(-columns // width))
    penalty = _COLUMN_PENALTY[32 if target.vector_registers >= 32 else 16]
    times = [
        (
            -(-needed // nv) * nv * penalty[nv - 1] * _idling(target, nv, row_sizes),
            abs(nv - 2),
            nv,
        )
        for nv in range(1, min(most, needed) + 1)
    ]
    time, _, nv = min(times)
    return time, nv


def _idling(target: Target, nv: int, row_sizes: Sequence[DimLike]) -> float:
    """By what factor tiles of `nv` vectors slow down because there are few rows."""
    if not row_sizes:
        return 1.0
    height = max_rows(target, nv)
    rows = row_sizes[tiled_axis(row_sizes, height)]
    known = Dim.of(rows).as_int()
    if known in (None, 0, 1):
        # A single row waits for memory, whatever its tile.
        return 1.0
    tiles = balanced_row_tiles(known, height)
    counts = (tiles.full.as_int() or 0, (tiles.count - tiles.full).as_int() or 0)
    heights = (tiles.rows, tiles.rest_rows)
    time = sum(
        count * max(height * nv, _BUSY)
        for count, height in zip(counts, heights, strict=True)
    )
    return time / (known * nv)


def panel_width(
    target: Target,
    element_type: Attribute,
    columns: int,
    row_sizes: Sequence[DimLike] = (),
    *,
    may_halve: bool = True,
) -> int:
    """
    The columns of one panel of a constant contraction operand.

    `columns` is the number of output columns (of one group), `row_sizes` are the sizes
    of the axes of rows, where they matter: few rows get wider panels. With `may_halve`,
    a panel may have an odd number of vectors of half the width, where whole ones would
    be too empty: `panel_vectors` tells.
    """
    width = vector_width(target, element_type)
    time, nv = _fastest(target, width, columns, MAX_COLUMN_VECTORS, row_sizes)
    half = width // 2
    if not may_halve or not target.has_masks:
        return nv * width
    if columns <= half:
        return half
    if target.splits_vectors:
        halves = min(
            (-(-columns // (n * half)) * n * half * _ODD_HALVES[n], n) for n in (1, 3)
        )
        if halves[0] / width * _HALF_GAIN < time:
            return halves[1] * half
    return nv * width


def columns_time(target: Target, element_type: Attribute, columns: int) -> float:
    """Time of a row of packed `columns`, in multiply-adds of a whole vector."""
    width = vector_width(target, element_type)
    panel = panel_width(target, element_type, columns)
    nv, lanes = panel_vectors(panel, width)
    penalty = _COLUMN_PENALTY[32 if target.vector_registers >= 32 else 16]
    vector = 0.5 if lanes < width and target.splits_vectors else 1.0
    return -(-columns // panel) * nv * vector * penalty[nv - 1]


def panel_vectors(panel: int, width: int) -> tuple[int, int]:
    """Vectors of a panel, and their lanes: `width`, half of that, or single ones."""
    for lanes in (width, width // 2):
        if lanes and panel % lanes == 0:
            return panel // lanes, lanes
    return 1, 1


def tile_group(target: Target, columns: int, tiles: DimLike) -> int:
    """
    How many transformed tiles of a Winograd convolution are multiplied at a time.

    As many as a register tile has rows, less where that leaves fewer rows unused.
    """
    panel = panel_width(target, Float32Type(), columns, may_halve=False)
    nv, _ = panel_vectors(panel, target.lanes(32))
    most = min(max_rows(target, nv), _MAX_TILE_GROUP)
    known = Dim.of(tiles).as_int()
    if known is None:
        return most
    rows = balanced_row_tiles(known, most)
    return rows.rows if rows.full != 0 else max(rows.rest_rows, 1)


@dataclass(frozen=True)
class RowTiles:
    """
    How the tiled row axis is cut.

    Tile `t` starts at row `t * rows` while `t < full`, later ones at
    `full * rows + (t - full) * rest_rows`. With `remainders` (an unknown size) there is
    at most one later tile, whose rows are done in steps of these heights.
    """

    rows: int
    """Height of the first `full` tiles."""
    full: Dim
    """Number of tiles of that height."""
    rest_rows: int
    """Height of the other tiles; 0 if there are none, or if it is unknown."""
    count: Dim
    """Number of tiles."""
    remainders: tuple[int, ...] = ()
    """Heights that an unknown rest is composed of, descending to 1."""

    @property
    def heights(self) -> tuple[int, ...]:
        """The distinct heights of tiles that code is made for."""
        rest = (self.rest_rows,) if self.rest_rows else ()
        return (*((self.rows,) if self.full != 0 else ()), *rest, *self.remainders)


def balanced_row_tiles(rows: int, max_height: int) -> RowTiles:
    """
    Tiles of at most two heights that differ by one: 130 rows are 10 x 13.

    Tiles of one height are half the code, hence preferred if they are tall enough to
    run as fast: 128 rows are 16 x 8, not 8 x 13 + 2 x 12; 127 are 7 x 13 + 3 x 12.
    """
    count = -(-rows // max_height)
    if count == 0:
        return RowTiles(1, Dim.of(0), 0, Dim.of(0))
    least = (max_height + 1) // 2 if max_height > _SMALL_TILE else max_height - 1
    for height in range(min(rows, max_height), max(least, 1) - 1, -1):
        if rows % height == 0:
            return RowTiles(height, Dim.of(rows // height), 0, Dim.of(rows // height))
    low, extra = divmod(rows, count)
    return RowTiles(low + 1, Dim.of(extra), low, Dim.of(count))


def row_tiles(rows: DimLike, max_height: int) -> RowTiles:
    """The tiles of an axis of `rows`: balanced where the size is known."""
    rows = Dim.of(rows)
    fixed = rows.as_int()
    if fixed is not None:
        return balanced_row_tiles(fixed, max_height)
    full = rows // max_height
    if rows == full * max_height:
        return RowTiles(max_height, full, 0, full)
    remainders = tuple(r for r in _REMAINDER_ROWS if r < max_height)
    return RowTiles(max_height, full, 0, ceildiv(rows, max_height), remainders)


def tiled_axis(sizes: Sequence[DimLike], max_height: int) -> int:
    """
    The row axis to cut into tiles: the innermost one that makes tall tiles.

    Sizes that are unknown count as large. The result is an index into `sizes`, which
    must not be empty.
    """

    def mean_height(size: DimLike) -> float:
        fixed = Dim.of(size).as_int()
        if fixed is None:
            return max_height
        return fixed / max(1, -(-fixed // max_height))

    best = len(sizes) - 1
    for axis in reversed(range(len(sizes))):
        if mean_height(sizes[axis]) > 1.25 * mean_height(sizes[best]):
            best = axis
    return best


Tail = Literal["none", "mask", "scalar"]
"""What guards the columns beyond the last one: nothing has to, masked loads and
stores, or an epilogue that goes column by column."""


@dataclass(frozen=True)
class ColumnTiles:
    """Consecutive column tiles that run the same code."""

    start: Dim
    """The first column."""
    count: Dim
    """How many tiles."""
    nv: int
    width: int
    tail: Tail = "none"
    masks_b: bool = False
    """Whether loads of the last vector of B need a mask, too."""

    @property
    def columns(self) -> int:
        """Columns from one tile to the next."""
        return self.nv * self.width


def column_tiles(
    target: Target, columns: Dim, nv: int, width: int, *, is_packed: bool
) -> tuple[ColumnTiles, ...]:
    """
    How the column axis is cut into tiles of `nv` vectors of `width` and a rest.

    A packed B is padded with zeros, so only results need care. Where there are masks,
    one code then does all tiles; elsewhere the last tile has its own.
    """
    panel = nv * width
    full = columns // panel
    if full * panel == columns:
        return (ColumnTiles(Dim.of(0), full, nv, width),)
    if is_packed and target.has_masks:
        return (ColumnTiles(Dim.of(0), ceildiv(columns, panel), nv, width, "mask"),)
    first = ColumnTiles(Dim.of(0), full, nv, width)
    start, rest = full * panel, columns - full * panel
    tail: Tail = "mask" if target.has_masks else "scalar"
    can_mask_loads = target.has_masks or target.has("avx")
    fixed = rest.as_int()
    tiles = [first]
    if is_packed or (fixed is not None and can_mask_loads):
        assert fixed is not None, "a packed operand has a static shape"
        is_whole = fixed % width == 0
        tiles.append(
            ColumnTiles(
                start,
                Dim.of(1),
                -(-fixed // width),
                width,
                "none" if is_whole else tail,
                masks_b=not is_whole and not is_packed,
            )
        )
    elif can_mask_loads:
        tiles.append(
            ColumnTiles(start, ceildiv(rest, width), 1, width, tail, masks_b=True)
        )
    else:
        vectors = columns // width - full * nv
        nv_rest = vectors.as_int()
        if nv_rest is None:
            tiles.append(ColumnTiles(start, vectors, 1, width))
        elif nv_rest:
            tiles.append(ColumnTiles(start, Dim.of(1), nv_rest, width))
        done = columns // width * width
        tiles.append(ColumnTiles(done, columns - done, 1, 1))
    return tuple(t for t in tiles if t.count != 0)
