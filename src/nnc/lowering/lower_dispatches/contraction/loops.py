"""
The loops of a contraction kernel around its register tiles.

    for q in panels of all batches:           # the columns of B that stay in cache
      for r in row tiles of all outer rows:   # A streams
        tile = simd.contract A[r, :], B[:, q]
        results[r, q] = epilogue(tile)

While one panel is in use, its tiles prefetch the next one, each a share of it: weights
come from memory in a network, and the first tile of a panel would wait for all of it.

Tasks are the pairs (q, r) in that order, or in the other one where all of B stays in
the cache. What a tile computes does not depend on how tasks are shared out, nor a row's
result on the height of the tile that computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from xdsl.ir import SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.lowering.lower_dispatches.contraction.space import Axis, Space
from nnc.lowering.lower_dispatches.contraction.tiles import (
    Ahead,
    Panel,
    Position,
    Strip,
    TileEmitter,
    Tiling,
)
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.lowering.tiling import ColumnTiles
from nnc.symbolic import Dim, ceildiv, dim_max, dim_min, dim_product

_LEAST_AHEAD = 2
"""Elements that a tile prefetches with each step of its own, at least."""

_MOST_AHEAD = 16
"""The same at most: a line."""


class ContractionLoops:
    """Emits one contraction into a kernel."""

    def __init__(
        self, kb: KernelBuilder, form: DispatchForm, space: Space, tiling: Tiling
    ) -> None:
        self._kb = kb
        self._space = space
        self._tiling = tiling
        self._emitter = TileEmitter(kb, form, space, tiling)
        self._outer_rows = [a for i, a in enumerate(space.rows) if i != tiling.row_axis]
        groups = (space.groups,) if space.groups else ()
        self._outer_columns: list[Axis] = [*space.batches, *groups]
        self._column_tiles = sum((t.count for t in tiling.columns), Dim.of(0))
        self._panels = self._column_tiles * dim_product(
            a.size for a in self._outer_columns
        )
        self._row_tiles = tiling.rows.count * dim_product(
            a.size for a in self._outer_rows
        )

    @property
    def tasks(self) -> Dim:
        """How many tasks the kernel has."""
        return self._panels * self._row_tiles

    def emit(self) -> None:
        """All loops."""
        kb, rows, panels = self._kb, self._row_tiles, self._panels
        if self.tasks == 0:
            return
        if not self._tiling.rows_outermost:
            with self._part_of_tasks(panels, rows) as (panel, low, high):
                self._each_panel(panel, lambda p: self._rows(p, low, high))
            return
        with (
            self._part_of_tasks(rows, panels) as (row, low, high),
            kb.loop(low, high, extent=panels) as panel,
        ):
            self._each_panel(panel, lambda p: self._row_tile(p, row))

    @contextmanager
    def _part_of_tasks(
        self, outer: Dim, inner: Dim
    ) -> Generator[tuple[Index, Index, Index]]:
        """A loop over `outer`; gives its counter and the range to do of `inner`."""
        kb = self._kb
        if outer == 1:
            yield Index.of(0), kb.begin, kb.end
            return
        if inner == 1:
            with kb.loop(kb.begin, kb.end, extent=outer) as counter:
                yield counter, Index.of(0), Index.of(1)
            return
        first = kb.floordiv(kb.begin, inner)
        last = kb.floordiv(kb.end + (inner - 1), inner)
        with kb.loop(first, last, extent=outer) as counter:
            low = kb.maximum(kb.begin - counter * inner, 0)
            high = kb.minimum(kb.end - counter * inner, inner)
            yield counter, low, high

    def _split(self, index: Index, sizes: Sequence[Dim]) -> list[Index]:
        """The indices of nested axes for the index of their product."""
        result: list[Index] = []
        for size in reversed(sizes[1:]):
            index, rest = self._kb.divmod(index, size)
            result.append(rest)
        return [index, *reversed(result)]

    # -- columns --------------------------------------------------------------

    def _each_panel(self, index: Index, body: Callable[[Panel], None]) -> None:
        """The body for the panel of columns that `index` stands for."""
        sizes = [*(a.size for a in self._outer_columns), self._column_tiles]
        *outer, tile = self._split(index, sizes)
        position = tuple(zip(self._outer_columns, outer, strict=True))

        def choose(kinds: Sequence[ColumnTiles], tile: Index) -> Sequence[SSAValue]:
            first, *others = kinds
            if not others:
                body(self._panel(first, tile, position))
                return ()

            def then() -> Sequence[SSAValue]:
                body(self._panel(first, tile, position))
                return ()

            is_first = self._kb.compare("slt", tile, first.count)
            self._kb.choose(is_first, then, lambda: choose(others, tile - first.count))
            return ()

        choose(self._tiling.columns, tile)

    def _panel(self, tiles: ColumnTiles, index: Index, position: Position) -> Panel:
        column = index * tiles.columns + tiles.start
        b = self._b_offset(column, position)
        return Panel(tiles, column, position, b, self._masks(tiles, column))

    def _b_offset(self, column: Index, position: Position) -> Index:
        """How far the first element of a column of B is from the first one of all."""
        kb, space, packing = self._kb, self._space, self._space.packing
        b = Index.of(space.b.offset)
        if packing is None:
            for axis, index in position:
                b = b + index * axis.b
            return b + column * space.columns.b
        for axis, index in position:
            column = column + index * axis.column
            if axis is space.groups:
                b = b + index * packing.group_elements
        panel, within = kb.divmod(column, packing.panel)
        return b + panel * packing.panel_elements + within

    def _masks(self, tiles: ColumnTiles, column: Index) -> tuple[SSAValue | None, ...]:
        masks: list[SSAValue | None] = []
        for j in range(tiles.nv):
            left = Index.of(self._space.columns.size) - column - j * tiles.width
            known = left.dim
            is_full = isinstance(known, int) and known >= tiles.width
            is_used = tiles.tail == "mask" or (tiles.masks_b and j == tiles.nv - 1)
            is_needed = is_used and not is_full
            masks.append(self._kb.mask(left, tiles.width) if is_needed else None)
        return tuple(masks)

    # -- rows -----------------------------------------------------------------

    def _rows(self, panel: Panel, low: Index, high: Index) -> None:
        with self._kb.loop(low, high, extent=self._row_tiles) as index:
            self._row_tile(panel, index)

    def _row_tile(self, panel: Panel, index: Index) -> None:
        """The tile that `index` stands for, of the height that it has."""
        sizes = [*(a.size for a in self._outer_rows), self._tiling.rows.count]
        *outer, tile = self._split(index, sizes)
        outer_rows = zip(self._outer_rows, outer, strict=True)
        ahead = self._ahead(panel, index)
        strip = Strip(panel, (*panel.position, *outer_rows), ahead)
        kb, tiles = self._kb, self._tiling.rows
        if not tiles.rest_rows and not tiles.remainders:
            self._whole_tile(strip, tile * tiles.rows, tiles.rows)
            return
        row = self._first_row(tile)
        is_full = kb.compare("slt", tile, tiles.full)
        in_registers = self._emitter.fits_registers(strip.tiles)

        def full() -> Sequence[SSAValue]:
            self._half_tile(strip, row, tiles.rows, in_registers)
            return ()

        def rest() -> Sequence[SSAValue]:
            if tiles.remainders:
                self._composed_tile(strip, row, in_registers)
            else:
                self._half_tile(strip, row, tiles.rest_rows, in_registers)
            return ()

        kb.choose(is_full, full, rest)
        if in_registers:
            return
        if tiles.remainders:
            left = Index.of(self._emitter.row_axis.size) - row
            height = kb.minimum(left, tiles.rows)
        else:
            height = kb.select(is_full, tiles.rows, tiles.rest_rows)
        self._emitter.finish_from_scratch(strip, row, height)

    def _ahead(self, panel: Panel, index: Index) -> Ahead | None:
        """The part of the next panel that row tile `index` of all asks for."""
        packing = self._space.packing
        if packing is None or self._panels == 1 or self._tiling.rows_outermost:
            return None
        if panel.tiles.columns != packing.panel or self._row_tiles == 1:
            return None
        most = max(1, packing.panel // _LEAST_AHEAD)
        shares = dim_min(dim_max(self._row_tiles, 1), most)
        stride = dim_min(ceildiv(packing.panel, shares), _MOST_AHEAD)
        share = self._kb.minimum(index, shares - 1)
        distance = share * (stride * packing.k) + packing.panel_elements
        return Ahead(distance, stride)

    def _first_row(self, tile: Index) -> Index:
        """The first row of a tile; heights differ by one if both are known."""
        tiles = self._tiling.rows
        if tiles.remainders:
            return tile * tiles.rows
        return tile * tiles.rest_rows + self._kb.minimum(tile, tiles.full)

    def _whole_tile(self, strip: Strip, row: Index, height: int) -> None:
        """Products and epilogue of a tile of the only height."""
        accumulators = self._emitter.products(strip, row, height)
        if self._emitter.fits_registers(strip.tiles):
            self._emitter.finish_in_registers(strip, row, accumulators)
            return
        self._emitter.to_scratch(strip, accumulators)
        self._emitter.finish_from_scratch(strip, row, height)

    def _half_tile(
        self, strip: Strip, row: Index, height: int, in_registers: bool
    ) -> None:
        """A tile of one of two heights, which share an epilogue that uses memory."""
        accumulators = self._emitter.products(strip, row, height)
        if in_registers:
            self._emitter.finish_in_registers(strip, row, accumulators)
        else:
            self._emitter.to_scratch(strip, accumulators)

    def _composed_tile(self, strip: Strip, row: Index, in_registers: bool) -> None:
        """The last rows of an unknown count, in steps of fixed heights."""
        kb = self._kb
        left = Index.of(self._emitter.row_axis.size) - row
        start = Index.of(0)
        for height in self._tiling.rows.remainders:
            end = start + kb.floordiv(left - start, height) * height
            with kb.loop(start, end, height) as i:
                done = self._emitter.products(strip, row + i, height)
                self._emitter.to_scratch(strip, done, i)
            start = end
        if in_registers:
            self._emitter.finish_from_scratch(strip, row, left)
