"""
Row programs with lanes across neighbouring rows, where those lie side by side.

A row is walked one element at a time, for several vectors of rows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.lowering.lower_dispatches.elementwise import (
    convert,
)
from nnc.lowering.lower_dispatches.emit import Emitter
from nnc.lowering.lower_dispatches.expressions import (
    Axis,
)
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.lowering.lower_dispatches.loops import (
    lane_loop,
    row_loops,
    split_tasks,
)
from nnc.lowering.lower_dispatches.row_program import (
    UNROLL,
    Reduction,
    RowProgram,
    is_expensive,
)
from nnc.lowering.lower_dispatches.stores import (
    Store,
    store_element,
)
from nnc.symbolic import Dim, DimLike, dim_product

FEWEST_TASKS = 8
LEAST_BYTES = 256
"""Less side by side, and the prefetchers of a CPU find no stream."""
MOST_EXPENSIVE = 8
"""Vectors side by side of what takes many instructions."""
PART = 32
"""Elements that are reduced one after the other; parts are then reduced in turn."""
SMALL_PART = 8
"""Fewer are no part of their own."""


@dataclass
class AcrossRows:
    """Lanes run across neighbouring rows; a row is walked one element at a time."""

    kb: KernelBuilder
    program: RowProgram
    lane: Axis
    width: int

    def emit(self) -> Dim:
        kb, program = self.kb, self.program
        kept = program.kept
        length = kept.extent(self.lane)
        width, vectors = self._shape(length)
        block = width * vectors
        blocks = Axis(extent=_blocks(length, block))
        outer = [a for a in kept.axes if a is not self.lane]
        extents = [kept.extent(a) for a in outer]
        assert blocks.extent is not None
        axes, sizes = [*outer, blocks], [*extents, blocks.extent]
        if blocks.extent == 1:
            axes, sizes = axes[:-1], sizes[:-1]
        work = dim_product(program.row.extents) * block
        split = split_tasks(axes, sizes, work)
        inner = axes[len(split.axes) :]
        inner_sizes = sizes[len(split.axes) :]
        with row_loops(kb, split, inner, inner_sizes, kb.begin, kb.end) as bound:
            bound.update((a, Index({}, 0)) for a in (*kept.merged, *program.row.merged))
            first = bound.pop(blocks, Index({}, 0)) * block
            is_whole = kb.compare("sle", first + block, length)
            if is_whole is not False:
                with kb.when(is_whole):
                    self._columns(bound, first, width, vectors, None)
            if is_whole is not True:
                self._rest(bound, first, length, width, is_whole)
        return split.tasks

    def _rest(
        self,
        bound: Mapping[Axis, Index],
        first: Index,
        length: DimLike,
        width: int,
        is_whole: SSAValue | bool,
    ) -> None:
        kb = self.kb
        block = width * self._shape(length)[1]
        upper = kb.minimum(first + block, length)
        # Nothing is left of a whole block: done twice, it could not be done in place.
        lower = first if is_whole is False else kb.select(is_whole, upper, first)

        def step(start: Index, lanes: int, mask: SSAValue | None) -> None:
            self._columns(bound, start, lanes, 1, mask)

        lane_loop(kb, lower, upper, width, step)

    def _shape(self, length: DimLike) -> tuple[int, int]:
        """Lanes, and vectors side by side."""
        width = self.width
        if isinstance(length, int):
            while width > length and not (
                self.kb.target.has_masks and width // 2 < length
            ):
                width //= 2
            return width, max(1, min(self._vectors(length, width), length // width))
        return width, UNROLL

    def _vectors(self, length: int, width: int) -> int:
        """
        How many vectors side by side, of a known number of rows.

        The wider, the longer is what is read at once, where elements of a row lie far
        apart; as long as accumulators fit into registers, and there are enough tasks.
        """
        program = self.program
        most = self.kb.target.vector_registers // 2 // max(1, len(program.reductions))
        roots = [n for p in range(1, program.phases + 1) for n in program.roots(p)]
        if is_expensive(roots):
            most = MOST_EXPENSIVE
        outer = dim_product(program.kept.extents).as_int() or length
        size = self.kb.target.vector_bits // 8
        vectors = UNROLL
        while vectors * size < LEAST_BYTES or (
            2 * vectors <= most and outer >= FEWEST_TASKS * 2 * vectors * width
        ):
            vectors *= 2
        return vectors

    def _columns(
        self,
        bound: Mapping[Axis, Index],
        first: Index,
        width: int,
        vectors: int,
        mask: SSAValue | None,
    ) -> None:
        """The whole program for `vectors * width` rows side by side."""
        kb, program = self.kb, self.program
        holes: list[dict[SSAValue, SSAValue]] = [{} for _ in range(vectors)]

        def emitters(row: Mapping[Axis, Index]) -> list[Emitter]:
            return [
                Emitter(
                    kb,
                    {**bound, **row, self.lane: first + v * width},
                    self.lane,
                    width,
                    mask,
                    holes[v],
                )
                for v in range(vectors)
            ]

        for phase in range(1, program.phases + 1):
            reductions = [r for r in program.reductions if r.level == phase]
            stores = [s for p, s in program.full if p == phase]
            parts = _Parts(kb, reductions, width, vectors)

            def element(
                row: Mapping[Axis, Index],
                totals: list[SSAValue],
                reductions: Sequence[Reduction] = reductions,
                stores: Sequence[Store] = stores,
            ) -> list[SSAValue]:
                made = emitters(row)
                result: list[SSAValue] = []
                for position, reduction in enumerate(reductions):
                    for v, emitter in enumerate(made):
                        value = emitter.vector(reduction.node)
                        value = convert(kb, value, reduction.type)
                        total = totals[position * vectors + v]
                        result.append(reduction.combine(kb, total, value))
                for emitter in made:
                    values = [emitter.vector(s.node) for s in stores]
                    for store, value in zip(stores, values, strict=True):
                        store_element(emitter, store, value)
                return result

            totals = self._fold(0, {}, parts.start(), element, parts)
            for position, reduction in enumerate(reductions):
                for v in range(vectors):
                    total = totals[position * vectors + v]
                    holes[v][reduction.op.result] = reduction.finish(
                        kb, total, program.count, width
                    )
        for emitter in emitters({}):
            for store in program.reduced:
                store_element(emitter, store, emitter.vector(store.node))

    def _fold(
        self,
        level: int,
        row: dict[Axis, Index],
        totals: list[SSAValue],
        element: Callable[[dict[Axis, Index], list[SSAValue]], list[SSAValue]],
        parts: _Parts,
    ) -> list[SSAValue]:
        """
        All elements of a row, combined with `totals`.

        Long rows are reduced in parts: the rounding errors of a sum grow with the
        number of its terms.
        """
        kb, space = self.kb, self.program.row
        if level == len(space.axes):
            return element(row, totals)
        axis, extent = space.axes[level], space.extents[level]
        inner = dim_product(space.extents[level + 1 :]).as_int()
        is_small = inner is not None and inner < SMALL_PART

        def body(i: Index, values: list[SSAValue]) -> list[SSAValue]:
            inside = {**row, axis: i}
            if is_small:
                return self._fold(level + 1, inside, values, element, parts)
            part = self._fold(level + 1, inside, parts.start(), element, parts)
            return parts.combine(values, part)

        def part(start: Index, values: list[SSAValue]) -> list[SSAValue]:
            end = kb.minimum(start + PART, extent)
            return parts.combine(values, kb.fold(start, end, 1, parts.start(), body))

        is_short = isinstance(extent, int) and extent <= 2 * PART
        if level < len(space.axes) - 1 or is_short or not parts.reductions:
            return kb.fold(0, extent, 1, totals, body)
        return kb.fold(0, extent, PART, totals, part)


@dataclass(frozen=True)
class _Parts:
    """The reductions of a phase, for each of the vectors side by side."""

    kb: KernelBuilder
    reductions: Sequence[Reduction]
    width: int
    vectors: int

    def start(self) -> list[SSAValue]:
        """What reductions begin with."""
        return [
            r.identity(self.kb, self.width)
            for r in self.reductions
            for _ in range(self.vectors)
        ]

    def combine(
        self, totals: Sequence[SSAValue], part: Sequence[SSAValue]
    ) -> list[SSAValue]:
        """Totals of which some elements are those of `part`."""
        pairs = zip(totals, part, strict=True)
        return [
            self.reductions[i // self.vectors].combine(self.kb, total, value)
            for i, (total, value) in enumerate(pairs)
        ]


def _blocks(length: DimLike, block: int) -> DimLike:
    blocks = (Dim.of(length) + (block - 1)) // block
    known = blocks.as_int()
    return blocks if known is None else known
