"""
Row programs with lanes along the row.

Several vector accumulators hide the latency of an addition; they are combined in a
fixed order in the end. What is dear and needed in two phases, such as `exp(x - max)`,
is left in the row of a result, or on the stack, in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.dialects.nn.types import is_bool
from nnc.lowering.lower_dispatches.elementwise import (
    convert,
)
from nnc.lowering.lower_dispatches.emit import Emitter
from nnc.lowering.lower_dispatches.expressions import (
    Axis,
    Load,
    Node,
    walk,
)
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.loops import (
    TaskSplit,
    lane_loop,
    row_loops,
    split_tasks,
    task_range,
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

MAX_STRAIGHT = 4
"""Rows of up to so many vectors have no loop and stay in registers."""
MAX_SCRATCH = 8192
"""The most elements of a row that are kept on the stack."""


@dataclass
class AlongRows:
    """Lanes run along the row."""

    kb: KernelBuilder
    program: RowProgram
    lane: Axis | None
    width: int
    aliased: Mapping[SSAValue, AbstractSet[SSAValue]]
    """Pointers of outputs → those of the inputs that they overwrite."""
    holes: dict[SSAValue, SSAValue] = field(default_factory=dict[SSAValue, SSAValue])
    stashed: dict[Node, Load] = field(default_factory=dict[Node, Load])
    plans: dict[int, list[Store]] = field(default_factory=dict[int, list[Store]])
    """Phase → what it leaves in memory for later phases."""

    def emit(self) -> Dim:
        kb, program = self.kb, self.program
        kept, row = program.kept, program.row
        work = dim_product(row.extents)
        split = split_tasks(kept.axes, kept.extents, work)
        inner = kept.axes[len(split.axes) :]
        extents = [kept.extent(a) for a in inner]
        if not self._is_straight:
            self._plan_stashes()
        if not inner and self._can_overlap(split):
            self._overlapping_rows(split)
            return split.tasks
        with row_loops(kb, split, inner, extents, kb.begin, kb.end) as bound:
            bound.update((a, Index({}, 0)) for a in (*kept.merged, *row.merged))
            for phase in range(1, program.phases + 1):
                self._phase(phase, bound)
            self._store_reduced(bound)
        return split.tasks

    def _store_reduced(self, bound: Mapping[Axis, Index]) -> None:
        emitter = Emitter(self.kb, bound, holes=self.holes)
        for store in self.program.reduced:
            store_element(emitter, store, emitter.value(store.node))

    # -- the last phase of a row and the first one of the next row as one ------

    def _can_overlap(self, split: TaskSplit) -> bool:
        """
        Whether it pays to walk a row for the last time while the next one is read.

        Memory is then read and written all the time, not in turns.
        """
        program = self.program
        if self._is_straight or program.phases < 2 or not split.axes:
            return False
        last = program.phases
        is_first_plain = not self.plans.get(1) and not any(
            p == 1 for p, _ in program.full
        )
        is_last_plain = not any(r.level == last for r in program.reductions)
        return is_first_plain and is_last_plain

    def _overlapping_rows(self, split: TaskSplit) -> None:
        kb, program = self.kb, self.program
        lower, upper = task_range(kb, split.rows, split.grain, kb.begin, kb.end)
        final = upper + -1

        def place(row: Index) -> dict[Axis, Index]:
            merged = (*program.kept.merged, *program.row.merged)
            return {**split.place(kb, row), **{a: Index({}, 0) for a in merged}}

        first = [r for r in program.reductions if r.level == 1]
        totals = _RowLoops(self, first, [], [], place(lower)).run()

        def body(row: Index, totals: list[SSAValue]) -> list[SSAValue]:
            bound = place(row)
            self._fill(first, totals)
            for phase in range(2, program.phases):
                self._phase(phase, bound)
            # After the last row it is read once more, for nothing.
            following = place(kb.minimum(row + 1, final))
            stores = [s for p, s in program.full if p == program.phases]
            loops = _RowLoops(self, first, stores, [], bound, following)
            totals = loops.run()
            self._store_reduced(bound)
            return totals

        kb.fold(lower, upper, 1, totals, body, extent=split.rows)

    def _fill(
        self, reductions: Sequence[Reduction], totals: Sequence[SSAValue]
    ) -> None:
        for reduction, total in zip(reductions, totals, strict=True):
            self.holes[reduction.op.result] = reduction.finish(
                self.kb, total, self.program.count, 1
            )

    @property
    def _is_straight(self) -> bool:
        return _RowLoops(self, [], [], [], {}).is_straight

    def _phase(self, phase: int, bound: Mapping[Axis, Index]) -> None:
        """One loop over the row."""
        program = self.program
        reductions = [r for r in program.reductions if r.level == phase]
        stores = [s for p, s in program.full if p == phase]
        stashes = self.plans.get(phase, [])
        if not (reductions or stores):
            return
        loops = _RowLoops(self, reductions, stores, stashes, bound)
        totals = loops.run()
        self._fill(reductions, totals)
        for store in stashes:
            self.stashed[store.node] = Load(store.node.type, store.buffer, store.index)

    # -- values that are kept between phases ----------------------------------

    def _plan_stashes(self) -> None:
        program = self.program
        last = program.phases
        seen: dict[Node, list[int]] = {}
        for phase in range(1, last + 1):
            for node in walk(program.roots(phase)):
                seen.setdefault(node, []).append(phase)
        shared: list[Node] = []
        for phase in range(2, last + 1):
            for root in program.roots(phase):
                self._find_shared(root, seen, shared)
        places = list(program.full)
        for node in dict.fromkeys(shared):
            first, final = min(seen[node]), max(seen[node])
            place = next(
                (
                    (p, s)
                    for p, s in places
                    if p >= final
                    and s.buffer.element_type == node.type
                    and not self._is_read_after(first, s.buffer.ptr, node)
                ),
                None,
            )
            if place is not None:
                places.remove(place)
                store = Store(node, place[1].buffer, place[1].index)
            else:
                scratch = self._scratch(node)
                if scratch is None:
                    continue
                store = scratch
            self.plans.setdefault(first, []).append(store)

    def _is_read_after(self, phase: int, output: SSAValue, stashed: Node) -> bool:
        """Whether phases after `phase` read what `output` overwrites, but `stashed`."""
        overwritten = self.aliased.get(output)
        if not overwritten:
            return False
        program = self.program
        pending = [s.node for s in program.reduced]
        for later in range(phase + 1, program.phases + 1):
            pending.extend(program.roots(later))
        seen = {stashed}
        while pending:
            node = pending.pop()
            if node in seen:
                continue
            seen.add(node)
            if isinstance(node, Load) and node.buffer.ptr in overwritten:
                return True
            pending.extend(node.inputs)
        return False

    def _find_shared(
        self, node: Node, seen: Mapping[Node, list[int]], shared: list[Node]
    ) -> None:
        """The outermost dear nodes below `node` that several phases compute."""
        row = frozenset(self.program.row.axes)
        if not node.axes & row:
            return
        if len(set(seen[node])) > 1 and is_expensive([node]):
            shared.append(node)
            return
        for operand in node.inputs:
            self._find_shared(operand, seen, shared)

    def _scratch(self, node: Node) -> Store | None:
        """A row on the stack."""
        row = self.program.row
        size = dim_product(row.extents).as_int()
        if size is None or not 0 < size <= MAX_SCRATCH:
            return None
        if is_bool(node.type):
            return None
        ptr = self.kb.add(simd.AllocaOp(size, node.type), 0)
        index, stride = Index({}, 0), 1
        for axis, extent in zip(reversed(row.axes), reversed(row.extents), strict=True):
            index = index + Index.var(axis) * stride
            assert isinstance(extent, int)
            stride *= extent
        return Store(node, BufferArg(ptr, node.type, (), ()), index)


class _RowLoops:
    """The loops of one phase over a row, with accumulators."""

    def __init__(
        self,
        rows: AlongRows,
        reductions: Sequence[Reduction],
        stores: Sequence[Store],
        stashes: Sequence[Store],
        bound: Mapping[Axis, Index],
        following: Mapping[Axis, Index] | None = None,
    ) -> None:
        """`following` is the row of the reductions, if it is not that of the stores."""
        self.rows = rows
        self.following = following
        self.kb = rows.kb
        self.reductions = reductions
        self.stores = stores
        self.stashes = stashes
        self.bound = dict(bound)
        row = rows.program.row
        self.outer = [a for a in row.axes if a is not rows.lane]
        self.length: DimLike = 1 if rows.lane is None else row.extent(rows.lane)
        self.width, self.unroll = self._shape()

    def _shape(self) -> tuple[int, int]:
        """Lanes and vectors a step."""
        width = self.rows.width if self.rows.lane is not None else 1
        if isinstance(self.length, int):
            while width > 1 and width > self.length:
                width //= 2
            if self.kb.target.has_masks and width < self.length < 2 * width:
                width = min(self.rows.width, 2 * width)
            vectors = self.length // width
            unroll = vectors if vectors <= MAX_STRAIGHT else UNROLL
            return width, max(1, unroll)
        return width, UNROLL

    @property
    def is_straight(self) -> bool:
        """Whether there is no loop: then all phases see the same values."""
        return (
            not self.outer
            and isinstance(self.length, int)
            and self.length < (self.unroll + 1) * self.width
            and (self.kb.target.has_masks or self.length % self.width == 0)
        )

    def run(self) -> list[SSAValue]:
        """Emit the loops; gives one scalar a reduction."""
        kb = self.kb
        if not self.reductions:
            if self.is_straight:
                self._lane_loops([])
            else:
                self._no_accumulators()
            return []
        vectors = [
            r.identity(kb, self.width)
            for r in self.reductions
            for _ in range(self.unroll)
        ]
        has_scalars = self.width > 1 and not kb.target.has_masks and self._has_tail
        scalars = [r.identity(kb, 1) for r in self.reductions] if has_scalars else []
        results = self._outer_loops(0, [*vectors, *scalars])
        totals: list[SSAValue] = []
        for position, reduction in enumerate(self.reductions):
            group = results[position * self.unroll : (position + 1) * self.unroll]
            total = self._sum_up(reduction, group)
            if has_scalars:
                rest = results[len(vectors) + position]
                total = reduction.combine(kb, total, rest)
            totals.append(total)
        return totals

    @property
    def _has_tail(self) -> bool:
        return not isinstance(self.length, int) or self.length % self.width != 0

    def _sum_up(self, reduction: Reduction, group: Sequence[SSAValue]) -> SSAValue:
        values = list(group)
        while len(values) > 1:
            half = (len(values) + 1) // 2
            upper = values[half:]
            values = [
                reduction.combine(self.kb, v, upper[i]) if i < len(upper) else v
                for i, v in enumerate(values[:half])
            ]
        if self.width == 1:
            return values[0]
        return reduction.across(self.kb, values[0])

    def _no_accumulators(self) -> None:
        def at(level: int) -> None:
            if level < len(self.outer):
                axis = self.outer[level]
                with self.kb.loop(0, self.rows.program.row.extent(axis)) as i:
                    self.bound[axis] = i
                    at(level + 1)
                return
            lane_loop(self.kb, 0, self.length, self.width, step)

        def step(first: Index, width: int, mask: SSAValue | None) -> None:
            self._step(first, width, mask)

        at(0)

    def _outer_loops(self, level: int, carried: list[SSAValue]) -> list[SSAValue]:
        if level == len(self.outer):
            return self._lane_loops(carried)
        axis = self.outer[level]

        def body(i: Index, values: list[SSAValue]) -> list[SSAValue]:
            self.bound[axis] = i
            return self._outer_loops(level + 1, values)

        extent = self.rows.program.row.extent(axis)
        return self.kb.fold(0, extent, 1, carried, body)

    def _lane_loops(self, carried: list[SSAValue]) -> list[SSAValue]:
        kb, width, unroll = self.kb, self.width, self.unroll
        count = len(self.reductions) * unroll
        vectors, scalars = carried[:count], carried[count:]
        step = width * unroll
        whole = kb.floordiv(self.length, step) * step

        def main(first: Index, values: list[SSAValue]) -> list[SSAValue]:
            values = list(values)
            for u in range(unroll):
                found = self._step(first + u * width, width, None)
                for r, value in enumerate(found):
                    place = r * unroll + u
                    values[place] = self.reductions[r].combine(kb, values[place], value)
            return values

        vectors = kb.fold(0, whole, step, vectors, main)
        lower, upper = whole, Index.of(self.length)
        if (upper - lower).dim == 0:
            return [*vectors, *scalars]
        vectors, scalars = self._rest(lower, upper, vectors, scalars)
        return [*vectors, *scalars]

    def _rest(
        self,
        lower: Index,
        upper: Index,
        vectors: list[SSAValue],
        scalars: list[SSAValue],
    ) -> tuple[list[SSAValue], list[SSAValue]]:
        """What is less than a full step."""
        kb, width, unroll = self.kb, self.width, self.unroll
        has_masks = kb.target.has_masks
        firsts = vectors[::unroll]
        is_masked = has_masks and width > 1 and self._has_tail

        def body(first: Index, values: list[SSAValue]) -> list[SSAValue]:
            mask = kb.mask(upper - first, width) if is_masked else None
            found = self._step(first, width, mask)
            return [
                self._accumulate(r, a, v, mask)
                for r, a, v in zip(self.reductions, values, found, strict=True)
            ]

        end = upper
        if width > 1 and not has_masks:
            end = kb.floordiv(upper, width) * width
        firsts = kb.fold(lower, end, width, firsts, body)
        vectors = list(vectors)
        vectors[::unroll] = firsts
        if not scalars:
            return vectors, scalars

        def single(first: Index, values: list[SSAValue]) -> list[SSAValue]:
            found = self._step(first, 1, None)
            return [
                r.combine(kb, a, v)
                for r, a, v in zip(self.reductions, values, found, strict=True)
            ]

        return vectors, kb.fold(end, upper, 1, scalars, single)

    def _accumulate(
        self,
        reduction: Reduction,
        total: SSAValue,
        value: SSAValue,
        mask: SSAValue | None,
    ) -> SSAValue:
        combined = reduction.combine(self.kb, total, value)
        if mask is None:
            return combined
        return self.kb.add(simd.SelectOp(mask, combined, total))

    def _step(self, first: Index, width: int, mask: SSAValue | None) -> list[SSAValue]:
        """One vector of the row: stores, and the values to accumulate."""
        rows, kb = self.rows, self.kb
        bound = dict(self.bound)
        if rows.lane is not None:
            bound[rows.lane] = first
        emitter = Emitter(kb, bound, rows.lane, width, mask, rows.holes, rows.stashed)
        reading = emitter
        if self.following is not None:
            row = {a: bound[a] for a in rows.program.row.axes}
            reading = Emitter(kb, {**self.following, **row}, rows.lane, width, mask)
        stashed = [emitter.vector(s.node) for s in self.stashes]
        values = [convert(kb, reading.vector(r.node), r.type) for r in self.reductions]
        stored = [emitter.vector(s.node) for s in self.stores]
        for store, value in zip(
            [*self.stashes, *self.stores], [*stashed, *stored], strict=True
        ):
            store_element(emitter, store, value)
        return values
