"""
Pointwise nests whose operands lie across their results: tiles transposed in registers.

Where results are contiguous along one axis and an operand along another one, neither
axis alone gives good vectors. Square tiles do: the operand is read along its axis, the
tile is transposed, and results are written along theirs, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.lowering.lower_dispatches.loops import Space
from nnc.lowering.lower_dispatches.stores import Store
from nnc.symbolic import Dim, DimLike

MAX_TILE = 16
"""More vectors than that do not fit into registers."""
MIN_EXTENT = 4
"""Axes that are shorter leave a tile mostly empty."""


@dataclass(frozen=True)
class Transposition:
    """A nest that is worth tiles: results run along `lane`, `crossed` along `row`."""

    row: Axis
    lane: Axis
    crossed: tuple[Load, ...]
    width: int


def find_transposition(
    space: Space, stores: Sequence[Store], width: int
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
        if any(set(i.terms) - set(space.axes) - set(space.merged) for i in node.indices):
            return None
    for axis in (row, lane):
        extent = space.extent(axis)
        if isinstance(extent, int) and extent < MIN_EXTENT:
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
        # Half of the tiles of a narrow axis would be empty.
        self.width = plan.width
        for axis in (plan.row, plan.lane):
            extent = space.extent(axis)
            while isinstance(extent, int) and extent <= self.width // 2:
                self.width //= 2

    def emit(
        self, bound: Mapping[Axis, Index], lower: Index, upper: Index
    ) -> None:
        """All tiles, for rows from `lower` to `upper`, both multiples of a tile."""
        kb, plan, width = self.kb, self.plan, self.width
        rows, columns = self.space.extent(plan.row), self.space.extent(plan.lane)
        with kb.loop(lower, upper, width, extent=rows) as row:
            with kb.loop(0, columns, width) as column:
                tile = {**bound, plan.row: row, plan.lane: column}
                row_fits = self._fits(row, rows)
                column_fits = self._fits(column, columns)
                fits = kb.both(row_fits, column_fits)
                if fits is True:
                    self._tile(tile, None)
                    continue
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
            self._tile(tile, counts)
            return []

        self.kb.choose(fits, whole, part)

    def _fits(self, first: Index, extent: DimLike) -> SSAValue | bool:
        if simplified_mod(extent, self.width) == 0:
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
            base, offset = kb.address(store.buffer.ptr, emitter.resolve(store.index).base)
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
        for result in op.results[1:]:
            kb.place(result, op.results[0])
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
        for r in range(self.width):
            axes = {**tile, plan.row: tile[plan.row] + r}
            given = {
                node: to_compute(kb, values[r]) for node, values in crossed.items()
            }
            emitter = Emitter(kb, axes, plan.lane, self.width, mask, given=given)
            value = emitter.vector(store.node)
            vectors.append(convert(kb, value, store.buffer.element_type))
        return vectors


def simplified_mod(extent: DimLike, divisor: int) -> DimLike:
    """The rest of a division of sizes."""
    return Dim.of(extent) % divisor
