"""
The loops of a contraction kernel around its register tiles.

    for q in panels of all batches:           # the columns of B that stay in cache
      for r in row tiles of all outer rows:   # A streams
        tile = simd.contract A[r, :], B[:, q]
        results[r, q] = epilogue(tile)

Tasks are the pairs (q, r) in that order. What a tile computes does not depend on how
tasks are shared out, nor a row's result on the height of the tile that computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects import simd
from nnc.lowering.lower_dispatches.contraction.epilogue import (
    Epilogue,
    Place,
    first_place,
)
from nnc.lowering.lower_dispatches.contraction.space import Axis, Reduction, Space
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.lowering.tiling import ColumnTiles, RowTiles
from nnc.symbolic import Dim, dim_product

MAX_REGISTER_EPILOGUE_OPS = 200
"""Above this many ops, the epilogue is a loop over accumulators in memory."""

_MANY_PRODUCTS = 512
"""With as many products a result, the way through memory costs next to nothing."""

_ONE = Dim.of(1)


@dataclass(frozen=True)
class Tiling:
    """How the axes of a space are cut; what `ContractionLoops` emits."""

    row_axis: int
    """Position in `space.rows` of the axis that is cut into row tiles."""
    rows: RowTiles
    columns: tuple[ColumnTiles, ...]
    rows_outermost: bool = False
    """Whether all columns of some rows are done before the next rows."""

    @property
    def name(self) -> str:
        """The tile as text: rows times column vectors."""
        height = self.rows.heights[0] if self.rows.heights else 1
        return f"{height}x{self.columns[0].nv}" if self.columns else "empty"


@dataclass(frozen=True)
class _Panel:
    """The columns that the loops are at: a column tile of one batch."""

    tiles: ColumnTiles
    column: Index
    """First column, along the innermost column axis."""
    batch: tuple[tuple[Axis, Index], ...]
    b: Index
    """Distance of the first element of B."""
    masks: tuple[SSAValue | None, ...]
    """Which columns exist, for each vector."""


class ContractionLoops:
    """Emits one contraction into a kernel."""

    def __init__(
        self, kb: KernelBuilder, form: DispatchForm, space: Space, tiling: Tiling
    ) -> None:
        self._kb = kb
        self._space = space
        self._tiling = tiling
        self._epilogue = Epilogue(kb, form, space)
        self._scratch_ptr: SSAValue | None = None
        a_type = kb.buffers[space.a.argument].element_type
        self._accumulator = simd.accumulator_type(a_type, 1)
        self._row_axis = (
            space.rows[tiling.row_axis]
            if space.rows
            else Axis(_ONE, *[Dim.of(0)] * 3, (Dim.of(0),) * len(space.views))
        )
        self._outer_rows = [
            a for i, a in enumerate(space.rows) if i != tiling.row_axis
        ]

    # -- tasks ----------------------------------------------------------------

    @property
    def _column_count(self) -> Dim:
        total = Dim.of(0)
        for tiles in self._tiling.columns:
            total = total + tiles.count
        return total

    @property
    def _outer_axes(self) -> list[Axis]:
        """Axes along which B changes, other than the columns of a tile."""
        groups = self._space.groups
        return [*self._space.batches, *([groups] if groups else [])]

    @property
    def _panel_count(self) -> Dim:
        return dim_product(a.size for a in self._outer_axes) * self._column_count

    @property
    def _row_blocks(self) -> Dim:
        return dim_product(a.size for a in self._outer_rows) * self._tiling.rows.count

    @property
    def tasks(self) -> Dim:
        """How many tasks the kernel has."""
        return self._panel_count * self._row_blocks

    def emit(self) -> None:
        """All loops."""
        kb = self._kb
        if self.tasks == 0:
            return
        blocks, panels = self._row_blocks, self._panel_count
        if not self._tiling.rows_outermost:
            with self._part_of_tasks(panels, blocks) as (panel, low, high):
                self._each_panel(panel, lambda p: self._rows(p, low, high))
            return
        with (
            self._part_of_tasks(blocks, panels) as (block, low, high),
            kb.loop(low, high, extent=panels) as panel,
        ):
            self._each_panel(panel, lambda p: self._row_block(p, block))

    @contextmanager
    def _part_of_tasks(
        self, outer: Dim, inner: Dim
    ) -> Iterator[tuple[Index, Index, Index]]:
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

    def _rows(self, panel: _Panel, low: Index, high: Index) -> None:
        blocks = self._row_blocks
        with self._kb.loop(low, high, extent=blocks) as block:
            self._row_block(panel, block)

    def _each_panel(self, index: Index, body: Callable[[_Panel], None]) -> None:
        """The body for the panel of columns that `index` stands for."""
        *outer, column = self._split(
            index, [*(a.size for a in self._outer_axes), self._column_count]
        )
        batch = list(zip(self._outer_axes, outer, strict=True))
        self._each_segment(
            list(self._tiling.columns),
            column,
            lambda tiles, position: body(self._panel(tiles, position, batch)),
        )

    def _split(self, index: Index, sizes: Sequence[Dim]) -> list[Index]:
        """The indices of nested axes for the index of their product."""
        result: list[Index] = []
        for size in reversed(sizes[1:]):
            index, rest = self._kb.divmod(index, size)
            result.append(rest)
        result.append(index)
        return result[::-1]

    def _each_segment(
        self,
        segments: list[ColumnTiles],
        index: Index,
        body: Callable[[ColumnTiles, Index], None],
    ) -> None:
        """The body for the kind of tile that `index` is among."""
        if not segments:
            return
        first, *others = segments
        if not others:
            body(first, index)
            return

        def then() -> Sequence[SSAValue]:
            body(first, index)
            return ()

        def otherwise() -> Sequence[SSAValue]:
            self._each_segment(others, index - first.count, body)
            return ()

        self._kb.choose(self._kb.compare("slt", index, first.count), then, otherwise)

    def _panel(
        self, tiles: ColumnTiles, index: Index, batch: list[tuple[Axis, Index]]
    ) -> _Panel:
        kb, space = self._kb, self._space
        column = index * tiles.columns + tiles.start
        if space.packing is None:
            b = Index.of(space.b.offset) + column * space.columns.b
            for axis, position in batch:
                b = b + position * axis.b
        else:
            total = column
            b = Index.of(space.b.offset)
            for axis, position in batch:
                total = total + position * axis.column
                if axis is space.groups:
                    b = b + position * space.packing.group_elements
            panel, within = kb.divmod(total, space.packing.panel)
            b = b + panel * space.packing.panel_elements + within
        return _Panel(tiles, column, tuple(batch), b, self._masks(tiles, column))

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

    def _row_block(self, panel: _Panel, block: Index) -> None:
        sizes = [*(a.size for a in self._outer_rows), self._tiling.rows.count]
        *outer, tile = self._split(block, sizes)
        axes = [*panel.batch, *zip(self._outer_rows, outer, strict=True)]
        self._row_tile(panel, axes, tile)

    def _row_tile(
        self, panel: _Panel, axes: list[tuple[Axis, Index]], tile: Index
    ) -> None:
        """One tile, of the height that it has."""
        kb, tiles = self._kb, self._tiling.rows
        in_registers = self._fits_registers(panel)

        def full() -> Sequence[SSAValue]:
            self._tile(panel, axes, row, tiles.rows, in_registers)
            return ()

        def rest() -> Sequence[SSAValue]:
            self._tile(panel, axes, row, tiles.rest_rows, in_registers)
            return ()

        def composed() -> Sequence[SSAValue]:
            self._composed_tile(panel, axes, row)
            return ()

        if not tiles.remainders and not tiles.rest_rows:
            row = tile * tiles.rows
            full()
            return
        is_full = kb.compare("slt", tile, tiles.full)
        if tiles.remainders:
            row = tile * tiles.rows
            kb.choose(is_full, full, composed)
        else:
            row = tile * tiles.rest_rows + kb.minimum(tile, tiles.full)
            kb.choose(is_full, full, rest)
        if not in_registers:
            left = Index.of(self._row_axis.size) - row
            height = (
                kb.minimum(left, tiles.rows)
                if tiles.remainders
                else kb.select(is_full, tiles.rows, tiles.rest_rows)
            )
            self._epilogue_loop(panel, axes, row, height)

    @property
    def _is_small(self) -> bool:
        """Whether tiles are of one row."""
        return max(self._tiling.rows.heights, default=1) == 1

    def _fits_registers(self, panel: _Panel) -> bool:
        """Whether the epilogue runs on registers, not on accumulators in memory."""
        if panel.tiles.tail == "scalar" or not self._epilogue.is_cheap:
            return False
        if any(s.as_int() is None for s in self._row_axis.views):
            return False
        products = dim_product(r.size for r in self._space.reductions).as_int()
        if products is not None and products >= _MANY_PRODUCTS and not self._is_small:
            return False
        rows = sum(h for h in self._tiling.rows.heights)
        vectors = rows * panel.tiles.nv
        return vectors * self._epilogue.ops_a_vector <= MAX_REGISTER_EPILOGUE_OPS

    def _tile(
        self,
        panel: _Panel,
        axes: list[tuple[Axis, Index]],
        row: Index,
        height: int,
        in_registers: bool,
    ) -> None:
        """
        A tile of a fixed height; without a register epilogue, its accumulators are
        left in scratch memory, and the epilogue follows if no other height exists."""
        accumulators = self._contract(panel, axes, row, height)
        if in_registers:
            self._register_epilogue(panel, axes, row, height, accumulators)
            return
        self._to_scratch(panel, accumulators, Index.of(0))
        tiles = self._tiling.rows
        if not tiles.remainders and not tiles.rest_rows:
            self._epilogue_loop(panel, axes, row, Index.of(height))

    def _composed_tile(
        self, panel: _Panel, axes: list[tuple[Axis, Index]], row: Index
    ) -> None:
        """The last rows of an unknown count, in steps of fixed heights."""
        kb = self._kb
        left = Index.of(self._row_axis.size) - row
        start = Index.of(0)
        for height in self._tiling.rows.remainders:
            end = start + kb.floordiv(left - start, height) * height
            with kb.loop(start, end, height) as i:
                done = self._contract(panel, axes, row + i, height)
                self._to_scratch(panel, done, i)
            start = end
        if self._fits_registers(panel):
            self._epilogue_loop(panel, axes, row, left)

    # -- tiles ----------------------------------------------------------------

    def _contract(
        self, panel: _Panel, axes: list[tuple[Axis, Index]], row: Index, height: int
    ) -> list[SSAValue]:
        kb, space = self._kb, self._space
        a = Index.of(space.a.offset) + row * self._row_axis.a
        for axis, position in axes:
            a = a + position * axis.a
        nest = _ReductionNest.of(space.reductions)
        tiles = panel.tiles
        zero = kb.constant(0, self._accumulator, tiles.width)

        def level(
            extra: Sequence[Reduction], a: Index, b: Index, initial: list[SSAValue]
        ) -> list[SSAValue]:
            if not extra:
                return self._contract_op(panel, nest, a, b, height, initial)
            if not initial:
                initial = [zero] * (height * tiles.nv)
            axis, *others = extra
            return kb.fold(
                0,
                axis.size,
                1,
                initial,
                lambda i, acc: level(others, a + i * axis.a, b + i * axis.b, acc),
            )

        return level(nest.extra, a, panel.b, [])

    def _contract_op(
        self,
        panel: _Panel,
        nest: _ReductionNest,
        a: Index,
        b: Index,
        height: int,
        initial: list[SSAValue],
    ) -> list[SSAValue]:
        kb, space, tiles = self._kb, self._space, panel.tiles
        op = simd.ContractOp(
            *kb.address(kb.buffers[space.a.argument].ptr, a),
            *kb.address(kb.buffers[space.b.argument].ptr, b),
            row_stride=kb.value(self._row_axis.a),
            k=kb.value(nest.k.size),
            outer=(kb.value(nest.outer.size), kb.value(nest.outer.a)),
            inner=(kb.value(nest.inner.size), kb.value(nest.inner.a)),
            b_stride=kb.value(nest.b_stride),
            mr=height,
            nv=tiles.nv,
            width=tiles.width,
            mask=panel.masks[-1] if tiles.masks_b else None,
            init=initial,
            a_k_stride=nest.k.a.as_int() or 0,
        )
        kb.add(op)
        return list(op.results)

    # -- epilogues ------------------------------------------------------------

    def _place(
        self, panel: _Panel, axes: list[tuple[Axis, Index]], row: IndexLike
    ) -> Place:
        """The first column of the panel in a row."""
        indices = [*axes, (self._row_axis, Index.of(row))]
        indices.append((self._space.columns, panel.column))
        return first_place(self._space, indices)

    def _register_epilogue(
        self,
        panel: _Panel,
        axes: list[tuple[Axis, Index]],
        row: Index,
        height: int,
        accumulators: list[SSAValue],
    ) -> None:
        start = self._place(panel, axes, row)
        for i in range(height):
            for j, mask in enumerate(panel.masks):
                place = start.moved(self._row_axis, i)
                place = place.moved(self._space.columns, j * panel.tiles.width)
                self._epilogue.run(
                    accumulators[i * panel.tiles.nv + j],
                    place.with_lanes(panel.tiles.width, mask),
                )

    def _scratch(self, tiles: ColumnTiles) -> SSAValue:
        if self._scratch_ptr is None:
            rows = max(self._tiling.rows.heights, default=1)
            columns = max(t.columns for t in self._tiling.columns)
            self._scratch_ptr = self._kb.add(
                simd.AllocaOp(rows * columns, self._accumulator), depth=0
            )
        return self._scratch_ptr

    def _to_scratch(
        self, panel: _Panel, accumulators: list[SSAValue], row: Index
    ) -> None:
        ptr = self._scratch(panel.tiles)
        start = row * panel.tiles.columns
        for position, value in enumerate(accumulators):
            self._kb.store(value, ptr, start + position * panel.tiles.width)

    def _epilogue_loop(
        self,
        panel: _Panel,
        axes: list[tuple[Axis, Index]],
        row: Index,
        height: Index,
    ) -> None:
        """The epilogue of accumulators in scratch memory, row by row."""
        kb, tiles = self._kb, panel.tiles
        ptr = self._scratch(tiles)
        start = self._place(panel, axes, row)
        with kb.loop(0, height) as i:
            place = start.moved(self._row_axis, i)
            if tiles.tail == "scalar":
                self._column_loop(panel, place, i)
                return
            for j, mask in enumerate(panel.masks):
                value = kb.load(ptr, i * tiles.columns + j * tiles.width, tiles.width)
                shifted = place.moved(self._space.columns, j * tiles.width)
                self._epilogue.run(value, shifted.with_lanes(tiles.width, mask))

    def _column_loop(self, panel: _Panel, place: Place, row: Index) -> None:
        """The columns of one row that exist, one after another."""
        kb, tiles = self._kb, panel.tiles
        count = kb.minimum(Index.of(self._space.columns.size) - panel.column, tiles.columns)
        with kb.loop(0, count) as j:
            value = kb.load(self._scratch(tiles), row * tiles.columns + j)
            shifted = place.moved(self._space.columns, j)
            self._epilogue.run(value, shifted.with_lanes(1, None))


@dataclass(frozen=True)
class _ReductionNest:
    """The reduction axes shared out: loops around the tile, and the tile's own three."""

    extra: tuple[Reduction, ...]
    outer: Reduction
    inner: Reduction
    k: Reduction
    b_stride: Dim

    @staticmethod
    def of(axes: Sequence[Reduction]) -> _ReductionNest:
        """The tile's own loops are the innermost axes through which B is one stream."""
        none = Reduction(_ONE, Dim.of(0), Dim.of(0))
        rest = list(axes)
        k = rest[-1] if rest else Reduction(_ONE, _ONE, Dim.of(0))
        if k.a.as_int() is None:
            # The tile steps through k by a constant: let its next loop do this axis.
            own = [Reduction(_ONE, _ONE, k.b)]
        else:
            own = [k]
            rest = rest[:-1]
        stream = k
        while rest and len(own) < 3:
            axis = rest[-1]
            is_stream = axis is stream or axis.b == stream.b * stream.size
            if not is_stream:
                break
            own.insert(0, axis)
            stream = axis
            rest.pop()
        own = [none] * (3 - len(own)) + own
        return _ReductionNest(tuple(rest), own[0], own[1], own[2], k.b)
