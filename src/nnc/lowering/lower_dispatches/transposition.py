"""
Pointwise nests whose operands lie across their results: tiles transposed in registers.

Where results are contiguous along one axis and an operand along another one, neither
axis alone gives good vectors. Square tiles do: the operand is read along its axis, the
tile is transposed, and results are written along theirs, row by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.lowering.lower_dispatches.elementwise import convert, to_compute
from nnc.lowering.lower_dispatches.emit import Emitter
from nnc.lowering.lower_dispatches.expressions import (
    Apply,
    Axis,
    Call,
    Load,
    Node,
    Number,
    walk,
)
from nnc.lowering.lower_dispatches.index import Index, simplified
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.lowering.lower_dispatches.loops import Space
from nnc.lowering.lower_dispatches.stores import Store, store_element
from nnc.symbolic import Dim, DimLike, ceildiv

MAX_TILE = 16
"""More vectors than that do not fit into registers."""
MIN_EXTENT = 3
"""Axes that are shorter leave a tile mostly empty."""


@dataclass(frozen=True)
class Transposition:
    """A nest that is worth tiles: results run along `lane`, `crossed` along `row`."""

    row: Axis
    lane: Axis
    crossed: tuple[Load, ...]
    width: int


def find_transposition(
    space: Space, stores: Sequence[Store], width: int, *, has_masks: bool
) -> Transposition | None:
    """How to tile the nest, if an operand lies across the results."""
    width = min(width, MAX_TILE)
    if width < 2 or not stores:
        return None
    lane = _unit_axis(space, [s.index for s in stores])
    if lane is None:
        return None
    nodes = list(walk(s.node for s in stores))
    loads = [n for n in nodes if isinstance(n, Load)]
    across = [n for n in loads if n.index.coefficient(lane) not in (0, 1)]
    if not across:
        return None
    row = _unit_axis(space, [n.index for n in across])
    if row is None or row is lane:
        return None
    for node in nodes:
        is_plain = isinstance(node, Load | Apply | Call | Number)
        if not is_plain and node.axes & {row, lane}:
            return None
        if any(
            set(i.terms) - set(space.axes) - set(space.merged) for i in node.indices
        ):
            return None
    for axis in (row, lane):
        extent = space.extent(axis)
        if isinstance(extent, int) and extent < MIN_EXTENT + (not has_masks):
            return None
    return Transposition(row, lane, tuple(across), width)


def _unit_axis(space: Space, indices: Sequence[Index]) -> Axis | None:
    """The axis that all of `indices` step by one along."""
    for axis in reversed(space.axes):
        if all(i.coefficient(axis) == 1 for i in indices):
            return axis
    return None


class TransposingLoops:
    """Emits the tiles of a nest for fixed outer axes."""

    def __init__(
        self,
        kb: KernelBuilder,
        space: Space,
        stores: Sequence[Store],
        plan: Transposition,
    ) -> None:
        self.kb, self.space, self.stores, self.plan = kb, space, stores, plan
        self._reads_rows = any(
            isinstance(n, Load) and n not in plan.crossed and plan.row in n.axes
            for n in walk(s.node for s in stores)
        )
        # Half of the tiles of a narrow axis would be empty.
        self.width = plan.width
        for axis in (plan.row, plan.lane):
            extent = space.extent(axis)
            while isinstance(extent, int) and extent <= self.width // 2:
                self.width //= 2

    @property
    def blocks(self) -> DimLike:
        """How many rows of tiles there are."""
        return simplified(ceildiv(self.space.extent(self.plan.row), self.width))

    def emit(self, bound: Mapping[Axis, Index], block: Index) -> None:
        """One row of tiles."""
        kb, plan, width = self.kb, self.plan, self.width
        rows, columns = self.space.extent(plan.row), self.space.extent(plan.lane)
        row = block * width
        with kb.loop(0, columns, width) as column:
            tile = {**bound, plan.row: row, plan.lane: column}
            fits = kb.both(self._fits(row, rows), self._fits(column, columns))
            if fits is True:
                self._tile(tile, None)
            else:
                counts = (
                    kb.minimum(Index.of(rows) - row, width),
                    kb.minimum(Index.of(columns) - column, width),
                )
                self._branch(fits, tile, counts)

    def _branch(
        self,
        fits: SSAValue | bool,
        tile: Mapping[Axis, Index],
        counts: tuple[Index, Index],
    ) -> None:
        def whole() -> list[SSAValue]:
            self._tile(tile, None)
            return []

        def part() -> list[SSAValue]:
            if self.kb.target.has_masks:
                self._tile(tile, counts)
            else:
                self._single_elements(tile, counts)
            return []

        self.kb.choose(fits, whole, part)

    def _single_elements(
        self, tile: Mapping[Axis, Index], counts: tuple[Index, Index]
    ) -> None:
        """A part of a tile, element by element."""
        kb, plan = self.kb, self.plan
        with kb.loop(0, counts[0]) as r, kb.loop(0, counts[1]) as c:
            axes = {
                **tile,
                plan.row: tile[plan.row] + r,
                plan.lane: tile[plan.lane] + c,
            }
            emitter = Emitter(kb, axes)
            values = [emitter.value(s.node) for s in self.stores]
            for store, value in zip(self.stores, values, strict=True):
                store_element(emitter, store, value)

    def _fits(self, first: Index, extent: DimLike) -> SSAValue | bool:
        if Dim.of(extent) % self.width == 0:
            return True
        return self.kb.compare("sle", first + self.width, extent)

    def _tile(
        self, tile: Mapping[Axis, Index], counts: tuple[Index, Index] | None
    ) -> None:
        """One tile: whole, or with these numbers of rows and columns."""
        kb, plan, width = self.kb, self.plan, self.width
        rows = columns = None
        mask: SSAValue | None = None
        if counts is not None:
            rows, columns = (kb.value(c) for c in counts)
            mask = kb.mask(counts[1], width)
        emitter = Emitter(kb, tile, plan.lane, width, mask)
        crossed: dict[Node, Sequence[SSAValue]] = {}
        for node in plan.crossed:
            crossed[node] = self._read(emitter, node, columns, rows)
        values = [self._values(tile, s, crossed, mask) for s in self.stores]
        for store, vectors in zip(self.stores, values, strict=True):
            base, offset = kb.address(
                store.buffer.ptr, emitter.resolve(store.index).base
            )
            stride = kb.value(store.index.coefficient(plan.row))
            kb.add(simd.StoreRowsOp(vectors, base, offset, stride, rows, columns))

    def _read(
        self,
        emitter: Emitter,
        node: Load,
        lanes: SSAValue | None,
        rows: SSAValue | None,
    ) -> Sequence[SSAValue]:
        kb = self.kb
        base, offset = kb.address(node.buffer.ptr, emitter.resolve(node.index).base)
        stride = kb.value(node.index.coefficient(self.plan.lane))
        op = simd.LoadTransposedOp(base, offset, stride, self.width, lanes, rows)
        kb.add(op)
        return op.results

    def _values(
        self,
        tile: Mapping[Axis, Index],
        store: Store,
        crossed: Mapping[Node, Sequence[SSAValue]],
        mask: SSAValue | None,
    ) -> list[SSAValue]:
        """The vectors of a result, one a row of the tile."""
        kb, plan = self.kb, self.plan
        vectors: list[SSAValue] = []
        last = self.space.extent(plan.row)
        for r in range(self.width):
            row = tile[plan.row] + r
            if mask is not None and self._reads_rows:
                # Rows that do not exist are computed from the last one, not stored.
                row = kb.minimum(row, simplified(Dim.of(last) - 1))
            axes = {**tile, plan.row: row}
            given = {
                node: to_compute(kb, values[r]) for node, values in crossed.items()
            }
            emitter = Emitter(kb, axes, plan.lane, self.width, mask, given=given)
            value = emitter.vector(store.node)
            vectors.append(convert(kb, value, store.buffer.element_type))
        return vectors
