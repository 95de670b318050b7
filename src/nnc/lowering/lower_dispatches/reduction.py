"""
Row programs: reductions over the same axes, and elementwise ops before and after them.

A row is what one point of the axes that are kept sees. Reductions that do not depend on
each other share a loop over the row; those that need results of others come in a later
loop, a *phase*. `softmax` has phases max, sum and quotient. Lanes run either along the
row, with several vector accumulators and a fixed order in the end, or across rows if
those lie next to each other in memory. What is dear and needed in two phases, such as
`exp(x - max)`, is left in the row of a result in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import IntegerType, i64
from xdsl.ir import Attribute, Operation, SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects import simd
from nnc.dialects.nn import elementwise as nn
from nnc.dialects.nn.reduction import ReduceOp
from nnc.dialects.nn.types import element_type_of as tensor_element_type
from nnc.dialects.nn.types import is_bool, is_float
from nnc.lowering.lower_dispatches.access import Elements, HoleRule, Indices
from nnc.lowering.lower_dispatches.elementwise import (
    compute_type,
    convert,
    integer_range,
    running_extremum,
)
from nnc.lowering.lower_dispatches.emit import Emitter
from nnc.lowering.lower_dispatches.expressions import (
    Apply,
    Axis,
    AxisSet,
    Call,
    Hole,
    Load,
    Node,
    all_indices,
    walk,
)
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.loops import (
    Space,
    lane_loop,
    make_axes,
    merged_space,
    row_loops,
    split_tasks,
)
from nnc.lowering.lower_dispatches.pointwise import accesses_of, lane_cost
from nnc.lowering.lower_dispatches.stores import (
    Store,
    store_element,
    stored_before,
    vector_width,
)
from nnc.symbolic import Dim, DimLike, dim_product

UNROLL = 4
"""Vectors in flight: enough accumulators to hide the latency of an addition."""
MAX_STRAIGHT = 4
"""Rows of up to so many vectors have no loop and stay in registers."""
MAX_SCRATCH = 8192
"""The most elements of a row that are kept on the stack."""

_EXPENSIVE = frozenset(
    {
        nn.ExpOp,
        nn.LogOp,
        nn.TanhOp,
        nn.ErfOp,
        nn.SigmoidOp,
        nn.PowOp,
        nn.SinOp,
        nn.CosOp,
        nn.TanOp,
        nn.AsinOp,
        nn.AcosOp,
        nn.AtanOp,
        nn.SinhOp,
        nn.CoshOp,
        nn.AsinhOp,
        nn.AcoshOp,
        nn.AtanhOp,
    }
)


# -- one reduction ---------------------------------------------------------------


@dataclass(frozen=True)
class Reduction:
    """How one `nn.reduce` is computed."""

    op: ReduceOp
    node: Node
    """The element that is reduced."""

    level: int
    """The phase that computes it, from 1."""

    @property
    def kind(self) -> str:
        """`nn.reduce`'s kind."""
        return self.op.kind.data

    @property
    def type(self) -> Attribute:
        """The element type of the accumulators."""
        if self.kind == "mean" and not is_float(self.node.type):
            return i64
        return self.node.type

    def identity(self, kb: KernelBuilder, width: int) -> SSAValue:
        """The accumulator of no elements."""
        return kb.constant(_identity(self.kind, self.type), self.type, width)

    def combine(self, kb: KernelBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        """Two accumulators, or an accumulator and an element, as one."""
        if self.kind in ("max", "min") and not is_bool(self.type):
            return running_extremum(kb, a, b, largest=self.kind == "max")
        op = _COMBINE[self.kind]
        if is_bool(self.type):
            op = _COMBINE_BOOL[self.kind]
        return kb.add(op(a, b))

    def across(self, kb: KernelBuilder, vector: SSAValue) -> SSAValue:
        """All lanes of an accumulator as one scalar."""
        kind = {"mean": "add", "sum": "add", "prod": "mul"}.get(self.kind, self.kind)
        if is_bool(self.type):
            kind = {"max": "or", "add": "or", "min": "and", "mul": "and"}.get(
                kind, kind
            )
        return kb.add(simd.ReduceOp(kind, vector))

    def finish(
        self, kb: KernelBuilder, total: SSAValue, count: DimLike, width: int
    ) -> SSAValue:
        """The result from the complete accumulator."""
        if self.kind != "mean":
            return total
        number = kb.splat(kb.to_data(count, self.type), width)
        return convert(kb, kb.pure(simd.DivOp(total, number)), self.node.type)


_COMBINE: Mapping[str, type[Operation]] = {
    "sum": simd.AddOp,
    "mean": simd.AddOp,
    "prod": simd.MulOp,
    "max": simd.MaxOp,
    "min": simd.MinOp,
    "and": simd.AndOp,
    "or": simd.OrOp,
}
_COMBINE_BOOL: Mapping[str, type[Operation]] = {
    "sum": simd.OrOp,
    "mean": simd.OrOp,
    "prod": simd.AndOp,
    "max": simd.OrOp,
    "min": simd.AndOp,
    "and": simd.AndOp,
    "or": simd.OrOp,
}


def _identity(kind: str, type: Attribute) -> float:
    if kind in ("sum", "mean", "or"):
        return 0
    if kind == "prod":
        return 1
    if kind == "and":
        return -1 if not is_bool(type) else 1
    sign = -1 if kind == "max" else 1
    if is_float(type):
        return sign * math.inf
    assert isinstance(type, IntegerType)
    lowest, highest = integer_range(type)
    return lowest if kind == "max" else highest


# -- the program -----------------------------------------------------------------


@dataclass
class RowProgram:
    """A dispatch of reductions, taken apart into phases."""

    kept: Space
    row: Space
    reductions: list[Reduction]
    full: list[tuple[int, Store]]
    """Results on the full shape, each with the phase that stores it."""

    reduced: list[Store]
    """Results with one element a row."""

    count: Dim
    """Elements of a row."""

    @property
    def phases(self) -> int:
        """The number of loops over a row."""
        levels = [r.level for r in self.reductions] + [p for p, _ in self.full]
        return max(levels)

    def roots(self, phase: int) -> list[Node]:
        """What one phase computes for an element of the row."""
        return [
            *(r.node for r in self.reductions if r.level == phase),
            *(s.node for p, s in self.full if p == phase),
        ]


def analyze_rows(
    form: DispatchForm,
    inputs: Mapping[SSAValue, BufferArg],
    outputs: Sequence[BufferArg],
) -> RowProgram:
    """Take a dispatch apart."""
    dims = form.full_dims
    is_reduced = [axis in form.reduced_axes for axis in range(len(dims))]
    axes, indices = make_axes(dims)
    kept_axes = [
        a
        for a in axes
        if not is_reduced[next(i for i, x in enumerate(indices) if a in x.terms)]
    ]
    row_axes = [a for a in axes if a not in kept_axes]
    places: AxisSet = frozenset(kept_axes)
    holes = {r.result: _hole(r.result, places) for r in form.reductions}
    elements = _RowElements(inputs, holes, frozenset(row_axes))
    at_row = [
        Index({}, 0) if reduced else index
        for index, reduced in zip(indices, is_reduced, strict=True)
    ]
    levels: dict[SSAValue, int] = {}
    reductions: list[Reduction] = []
    for op in form.reductions:
        node = elements.at(op.operand, indices)
        level = 1 + max((levels[h] for h in node.holes), default=0)
        levels[op.result] = level
        reductions.append(Reduction(op, node, level))
    full: list[tuple[int, Store]] = []
    reduced: list[Store] = []
    for yielded, output in zip(form.yields, outputs, strict=True):
        buffer = stored_before(output, yielded.views)
        is_full = any(
            d != 1 and r for d, r in zip(buffer.dims, is_reduced, strict=True)
        )
        where = indices if is_full else at_row
        store = Store(elements.at(yielded.value, where), buffer, buffer.index(where))
        if is_full:
            level = 1 + max((levels[h] for h in store.node.holes), default=0)
            full.append((level, store))
        else:
            reduced.append(store)
    roots = [r.node for r in reductions]
    stores = [*(s for _, s in full), *reduced]
    used = [*all_indices([*roots, *(s.node for s in stores)])]
    used.extend(s.index for s in stores)
    return RowProgram(
        merged_space(kept_axes, used),
        merged_space(row_axes, used),
        reductions,
        full,
        reduced,
        dim_product(d for d, r in zip(dims, is_reduced, strict=True) if r),
    )


class _RowElements(Elements):
    """Elements where dividing by a value of the whole row is a multiplication."""

    def __init__(
        self,
        buffers: Mapping[SSAValue, BufferArg],
        holes: Mapping[SSAValue, HoleRule],
        row: AxisSet,
    ) -> None:
        super().__init__(buffers, holes)
        self.row = row

    def _make(self, value: SSAValue, indices: Indices) -> Node:
        node = super()._make(value, indices)
        if not isinstance(node, Apply) or not isinstance(node.op, nn.DivOp):
            return node
        dividend, divisor = node.args
        if divisor.axes & self.row or not dividend.axes & self.row:
            return node
        if not is_float(node.type) or not _has_reciprocal(divisor):
            return node
        inverse = Call(node.type, _reciprocal, (divisor,))
        return Call(node.type, _product, (dividend, inverse))


def _has_reciprocal(node: Node) -> bool:
    """Whether `1 / node` is finite wherever `x / node` might be."""
    if isinstance(node, Apply):
        return isinstance(node.op, nn.SqrtOp)
    if not isinstance(node, Hole):
        return False
    op = node.source.owner
    if not isinstance(op, ReduceOp) or op.kind.data != "sum":
        return False
    # A sum of powers e^(x - max x) is at least 1.
    return isinstance(op.operand.owner, nn.ExpOp)


def _reciprocal(kb: KernelBuilder, values: Sequence[SSAValue]) -> SSAValue:
    return kb.pure(simd.ReciprocalOp(values[0]))


def _product(kb: KernelBuilder, values: Sequence[SSAValue]) -> SSAValue:
    return kb.pure(simd.MulOp(values[0], values[1]))


def _hole(value: SSAValue, places: AxisSet) -> HoleRule:
    type_ = compute_type(tensor_element_type(value))

    def rule(_: Indices) -> Node:
        return Hole(type_, value, places)

    return rule


# -- emission --------------------------------------------------------------------


def build_rows(
    kb: KernelBuilder,
    form: DispatchForm,
    inputs: Mapping[SSAValue, BufferArg],
    outputs: Sequence[BufferArg],
    aliased: frozenset[SSAValue] = frozenset(),
) -> tuple[Dim, str]:
    """
    Emit the kernel; gives its task count and the name of the schedule.

    `aliased` are pointers of outputs that are inputs too: no place for scratch.
    """
    program = analyze_rows(form, inputs, outputs)
    if any(e == 0 for e in program.kept.extents):
        return Dim.of(0), "rows"
    stores = [*(s for _, s in program.full), *program.reduced]
    nodes = [r.node for r in program.reductions]
    width = vector_width(kb.target, stores, nodes)
    accesses = accesses_of(stores, nodes)
    candidates = [
        *zip(reversed(program.row.axes), reversed(program.row.extents), strict=True),
        *zip(reversed(program.kept.axes), reversed(program.kept.extents), strict=True),
    ]
    if not candidates:
        width = 1
        lane = None
    else:
        lane, _ = min(candidates, key=lambda c: lane_cost(accesses, c[0], c[1], width))
    if lane is None or lane in program.row.axes:
        along = _AlongRows(kb, program, lane, width, aliased)
        return along.emit(), "rows along"
    across = _AcrossRows(kb, program, lane, width)
    return across.emit(), "rows across"


@dataclass
class _AlongRows:
    """Lanes run along the row."""

    kb: KernelBuilder
    program: RowProgram
    lane: Axis | None
    width: int
    aliased: frozenset[SSAValue]
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
        with row_loops(kb, split, inner, extents, kb.begin, kb.end) as bound:
            bound.update((a, Index({}, 0)) for a in (*kept.merged, *row.merged))
            if not self._is_straight:
                self._plan_stashes()
            for phase in range(1, program.phases + 1):
                self._phase(phase, bound)
            emitter = Emitter(kb, bound, holes=self.holes)
            for store in program.reduced:
                store_element(emitter, store, emitter.value(store.node))
        return split.tasks

    @property
    def _is_straight(self) -> bool:
        return _RowLoops(self, [], [], [], {}).is_straight

    def _phase(self, phase: int, bound: Mapping[Axis, Index]) -> None:
        """One loop over the row."""
        kb, program = self.kb, self.program
        reductions = [r for r in program.reductions if r.level == phase]
        stores = [s for p, s in program.full if p == phase]
        stashes = self.plans.get(phase, [])
        if not (reductions or stores):
            return
        loops = _RowLoops(self, reductions, stores, stashes, bound)
        totals = loops.run()
        for reduction, total in zip(reductions, totals, strict=True):
            self.holes[reduction.op.result] = reduction.finish(
                kb, total, program.count, 1
            )
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
        places = [(p, s) for p, s in program.full if s.buffer.ptr not in self.aliased]
        for node in dict.fromkeys(shared):
            first, final = min(seen[node]), max(seen[node])
            place = next(
                (
                    (p, s)
                    for p, s in places
                    if p >= final and s.buffer.element_type == node.type
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

    def _find_shared(
        self, node: Node, seen: Mapping[Node, list[int]], shared: list[Node]
    ) -> None:
        """The outermost dear nodes below `node` that several phases compute."""
        row = frozenset(self.program.row.axes)
        if not node.axes & row:
            return
        if len(set(seen[node])) > 1 and _is_expensive(node):
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


def _is_expensive(node: Node) -> bool:
    return any(isinstance(n, Apply) and type(n.op) in _EXPENSIVE for n in walk([node]))


class _RowLoops:
    """The loops of one phase over a row, with accumulators."""

    def __init__(
        self,
        rows: _AlongRows,
        reductions: Sequence[Reduction],
        stores: Sequence[Store],
        stashes: Sequence[Store],
        bound: Mapping[Axis, Index],
    ) -> None:
        self.rows = rows
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
        stashed = [emitter.vector(s.node) for s in self.stashes]
        values = [convert(kb, emitter.vector(r.node), r.type) for r in self.reductions]
        stored = [emitter.vector(s.node) for s in self.stores]
        for store, value in zip(
            [*self.stashes, *self.stores], [*stashed, *stored], strict=True
        ):
            store_element(emitter, store, value)
        return values


@dataclass
class _AcrossRows:
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
        lower = first if is_whole is False else kb.select(is_whole, length, first)
        upper = kb.minimum(first + block, length)

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
            return width, max(1, min(UNROLL, length // width))
        return width, UNROLL

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
            initial = [
                r.identity(kb, width) for r in reductions for _ in range(vectors)
            ]

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

            totals = self._fold(0, {}, initial, element)
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
    ) -> list[SSAValue]:
        space = self.program.row
        if level == len(space.axes):
            return element(row, totals)
        axis = space.axes[level]

        def body(i: Index, values: list[SSAValue]) -> list[SSAValue]:
            return self._fold(level + 1, {**row, axis: i}, values, element)

        return self.kb.fold(0, space.extents[level], 1, totals, body)


def _blocks(length: DimLike, block: int) -> DimLike:
    blocks = (Dim.of(length) + (block - 1)) // block
    known = blocks.as_int()
    return blocks if known is None else known
