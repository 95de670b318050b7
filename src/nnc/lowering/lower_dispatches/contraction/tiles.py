"""
One register tile: the products, and what follows them.

The epilogue runs on the accumulators where they are, in registers, if that is little
code; else they go through a small block of memory, and a loop over its rows follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects import simd
from nnc.lowering.lower_dispatches.contraction.epilogue import (
    Epilogue,
    Place,
    first_place,
)
from nnc.lowering.lower_dispatches.contraction.reductions import Parts, ReductionNest
from nnc.lowering.lower_dispatches.contraction.space import Axis, Reduction, Space
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.lowering.tiling import ColumnTiles, RowTiles
from nnc.symbolic import Dim, dim_product

MAX_REGISTER_EPILOGUE_OPS = 130
"""Above this many ops, the epilogue is a loop over accumulators in memory."""

_MANY_PRODUCTS = 192
"""With as many products a result, the way through memory costs next to nothing."""

Position = tuple[tuple[Axis, Index], ...]
"""Where some axes are at."""


@dataclass(frozen=True)
class Tiling:
    """How the axes of a space are cut; what the loops are made from."""

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
class Panel:
    """The columns of one tile, for one position of the axes along which B changes."""

    tiles: ColumnTiles
    column: Index
    """First column, along the innermost column axis."""
    position: Position
    b: Index
    """Distance of the first element of B."""
    masks: tuple[SSAValue | None, ...]
    """Which columns exist, for each vector."""


@dataclass(frozen=True)
class Ahead:
    """What of B a tile asks for, to be in the cache when its panel is reached."""

    distance: Index
    """Elements from the first one of the tile's own panel to the first one."""
    stride: Dim
    """Elements from one product of a result to the next."""


@dataclass(frozen=True)
class Strip:
    """A panel at one position of all axes but the one that is cut into row tiles."""

    panel: Panel
    position: Position
    ahead: Ahead | None = None

    @property
    def tiles(self) -> ColumnTiles:
        """The kind of column tile."""
        return self.panel.tiles


class TileEmitter:
    """Emits the register tiles of one contraction."""

    def __init__(
        self, kb: KernelBuilder, form: DispatchForm, space: Space, tiling: Tiling
    ) -> None:
        self._kb = kb
        self._space = space
        self._tiling = tiling
        self._epilogue = Epilogue(kb, form, space)
        self._scratch_ptr: SSAValue | None = None
        nest = ReductionNest.of(space.reductions)
        self._extra = nest.extra
        self._parts = Parts.of(nest, is_row=not space.rows)
        self._totals: SSAValue | None = None
        a_type = kb.buffers[space.a.argument].element_type
        self._accumulator = simd.accumulator_type(a_type, 1)
        self.row_axis = (
            space.rows[tiling.row_axis] if space.rows else _single(len(space.views))
        )

    def fits_registers(self, tiles: ColumnTiles) -> bool:
        """Whether the epilogue runs on registers, not on accumulators in memory."""
        if tiles.tail == "scalar" or not self._epilogue.is_cheap:
            return False
        if any(s.as_int() is None for s in self.row_axis.views):
            return False
        heights = self._tiling.rows.heights
        products = dim_product(r.size for r in self._space.reductions).as_int()
        if (products or 0) >= _MANY_PRODUCTS and max(heights, default=1) > 1:
            return False
        ops = sum(heights) * tiles.nv * self._epilogue.ops_a_vector
        return ops <= MAX_REGISTER_EPILOGUE_OPS

    # -- products -------------------------------------------------------------

    def products(self, strip: Strip, row: Index, height: int) -> list[SSAValue]:
        """The accumulators of `height` rows from `row` on."""
        kb, space = self._kb, self._space
        a = Index.of(space.a.offset) + row * self.row_axis.a
        for axis, index in strip.position:
            a = a + index * axis.a
        zero = kb.constant(0, self._accumulator, strip.tiles.width)

        def level(
            extra: Sequence[Reduction], a: Index, b: Index, initial: list[SSAValue]
        ) -> list[SSAValue]:
            if not extra and self._parts.loops:
                return self._sum_of_parts(strip, a, b, height, initial)
            if not extra:
                size = self._parts.whole
                return self._contract(strip, a, b, height, initial, size)
            if not initial:
                initial = [zero] * (height * strip.tiles.nv)
            axis, *others = extra
            return kb.fold(
                0,
                axis.size,
                1,
                initial,
                lambda i, acc: level(others, a + i * axis.a, b + i * axis.b, acc),
            )

        return level(self._extra, a, strip.panel.b, [])

    def _sum_of_parts(
        self, strip: Strip, a: Index, b: Index, height: int, initial: list[SSAValue]
    ) -> list[SSAValue]:
        """The products of all parts, added up in memory."""
        kb, parts, tiles = self._kb, self._parts, strip.tiles
        if self._totals is None:
            self._totals = self._allocate()
        totals = self._totals
        zero = kb.constant(0, self._accumulator, tiles.width)
        places = range(height * tiles.nv)
        for i in places:
            kb.store(initial[i] if initial else zero, totals, i * tiles.width)
        with ExitStack() as loops:
            size = Index.of(parts.nest.k.size)
            for axis in parts.loops:
                i = loops.enter_context(kb.loop(0, axis.size))
                a, b = a + i * axis.a, b + i * axis.b
                if axis is parts.loops[-1] and not parts.is_even:
                    size = kb.minimum(Index.of(parts.whole) - i * size, size)
            for i, part in enumerate(self._contract(strip, a, b, height, [], size)):
                total = kb.load(totals, i * tiles.width, tiles.width)
                kb.store(kb.add(simd.AddOp(total, part)), totals, i * tiles.width)
        return [kb.load(totals, i * tiles.width, tiles.width) for i in places]

    def _contract(
        self,
        strip: Strip,
        a: Index,
        b: Index,
        height: int,
        initial: list[SSAValue],
        size: IndexLike,
    ) -> list[SSAValue]:
        kb, space, nest, panel = self._kb, self._space, self._parts.nest, strip.panel
        tiles = panel.tiles
        op = simd.ContractOp(
            *kb.address(kb.buffers[space.a.argument].ptr, a),
            *kb.address(kb.buffers[space.b.argument].ptr, b),
            row_stride=kb.value(self.row_axis.a),
            k=kb.value(size),
            outer=(kb.value(nest.outer.size), kb.value(nest.outer.a)),
            inner=(kb.value(nest.inner.size), kb.value(nest.inner.a)),
            b_stride=kb.value(nest.k.b),
            prefetch=self._prefetch(strip, b),
            mr=height,
            nv=tiles.nv,
            width=tiles.width,
            mask=panel.masks[-1] if tiles.masks_b else None,
            init=initial,
            a_k_stride=nest.a_k_stride,
        )
        kb.add(op)
        return list(op.results)

    def _prefetch(self, strip: Strip, b: Index) -> tuple[SSAValue, SSAValue] | None:
        """What products asks for whose first element of B is at `b`."""
        kb, ahead = self._kb, strip.ahead
        if ahead is None:
            return None
        # Both streams began with the panel, and have moved on by the same steps.
        done = b - strip.panel.b
        steps = kb.floordiv(done, self._parts.nest.k.b)
        distance = ahead.distance - done + steps * ahead.stride
        return kb.value(distance), kb.value(ahead.stride)

    # -- epilogues ------------------------------------------------------------

    def finish_in_registers(
        self, strip: Strip, row: Index, accumulators: Sequence[SSAValue]
    ) -> None:
        """Epilogue and stores of the accumulators of the rows from `row` on."""
        start = self._place(strip, row)
        tiles = strip.tiles
        for position, value in enumerate(accumulators):
            i, j = divmod(position, tiles.nv)
            place = start.moved(self.row_axis, i)
            place = place.moved(self._space.columns, j * tiles.width)
            self._epilogue.run(
                value, place.with_lanes(tiles.width, strip.panel.masks[j])
            )

    def to_scratch(
        self, strip: Strip, accumulators: Sequence[SSAValue], row: IndexLike = 0
    ) -> None:
        """Leave accumulators in memory, as the rows from `row` of the tile on."""
        tiles = strip.tiles
        start = Index.of(row) * tiles.columns
        for position, value in enumerate(accumulators):
            self._kb.store(value, self._scratch(), start + position * tiles.width)

    def finish_from_scratch(self, strip: Strip, row: Index, height: IndexLike) -> None:
        """Epilogue and stores of a tile in memory whose first row is `row`."""
        kb, tiles = self._kb, strip.tiles
        start = self._place(strip, row)
        with kb.loop(0, height) as i:
            place = start.moved(self.row_axis, i)
            if tiles.tail == "scalar":
                self._finish_row_by_column(strip, place, i)
                return
            for j, mask in enumerate(strip.panel.masks):
                index = i * tiles.columns + j * tiles.width
                value = kb.load(self._scratch(), index, tiles.width)
                shifted = place.moved(self._space.columns, j * tiles.width)
                self._epilogue.run(value, shifted.with_lanes(tiles.width, mask))

    def _finish_row_by_column(self, strip: Strip, place: Place, row: Index) -> None:
        kb, tiles, columns = self._kb, strip.tiles, self._space.columns
        left = Index.of(columns.size) - strip.panel.column
        with kb.loop(0, kb.minimum(left, tiles.columns)) as j:
            value = kb.load(self._scratch(), row * tiles.columns + j)
            self._epilogue.run(value, place.moved(columns, j).with_lanes(1, None))

    def _place(self, strip: Strip, row: Index) -> Place:
        """The first column of the panel in a row."""
        columns = (self._space.columns, strip.panel.column)
        return first_place(
            self._space, [*strip.position, (self.row_axis, row), columns]
        )

    def _scratch(self) -> SSAValue:
        if self._scratch_ptr is None:
            self._scratch_ptr = self._allocate()
        return self._scratch_ptr

    def _allocate(self) -> SSAValue:
        """Memory for the largest tile."""
        rows = max(self._tiling.rows.heights, default=1)
        columns = max(t.columns for t in self._tiling.columns)
        tile = simd.AllocaOp(rows * columns, self._accumulator)
        return self._kb.add(tile, depth=0)


def _single(views: int) -> Axis:
    """The row axis of a result of one row."""
    zero = Dim.of(0)
    return Axis(Dim.of(1), zero, zero, zero, (zero,) * views)
