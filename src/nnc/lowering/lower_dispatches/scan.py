"""
Scans: running sums and products, and the position of the largest or smallest element.

One loop along the scanned axis carries the state; lanes run across the last axis. If
that is the scanned one, each lane looks for the extreme of its share of a row, and the
best lane wins; running sums go one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import f64, i32, i64
from xdsl.ir import Attribute, SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects import simd
from nnc.dialects.nn.reduction import ArgReduceOp, CumulativeOp
from nnc.dialects.nn.types import dims_of, is_bool, is_float
from nnc.dialects.simd.types import bits_of, element_type_of, width_of
from nnc.lowering.lower_dispatches.access import Elements
from nnc.lowering.lower_dispatches.elementwise import convert, integer_range
from nnc.lowering.lower_dispatches.emit import Emitter
from nnc.lowering.lower_dispatches.expressions import Axis, Hole, Node
from nnc.lowering.lower_dispatches.index import Index, simplified
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.loops import (
    lane_loop,
    make_axes,
    power_of_two_below,
    row_loops,
    split_tasks,
)
from nnc.lowering.lower_dispatches.stores import (
    Store,
    store_element,
    stored_before,
    vector_width,
)
from nnc.symbolic import Dim, DimLike

Column = Callable[[Index | None], Emitter]
"""Gives the emitter of a vector of columns at a position along the scanned axis."""


class ScanKernel:
    """Builds the kernel of one scan."""

    def __init__(
        self,
        kb: KernelBuilder,
        form: DispatchForm,
        inputs: Mapping[SSAValue, BufferArg],
        outputs: Sequence[BufferArg],
    ) -> None:
        op = form.anchor
        assert isinstance(op, ArgReduceOp | CumulativeOp)
        self.kb, self.op = kb, op
        dims = dims_of(op.operand)
        scanned = op.axis.value.data % len(dims)
        self.axes, indices = make_axes(dims)
        index = indices[scanned]
        self.scanned = next((a for a in self.axes if a in index.terms), None)
        self.size: DimLike = simplified(dims[scanned])
        position = list(indices)
        if isinstance(op, ArgReduceOp):
            keep = bool(op.keep_dims.value.data)
            position[scanned : scanned + 1] = [Index({}, 0)] if keep else []
        places = frozenset(a for i in position for a in i.terms if isinstance(a, Axis))
        type_ = i64 if isinstance(op, ArgReduceOp) else None
        elements = Elements(
            inputs,
            {op.result: lambda _: Hole(type_ or self.node.type, op.result, places)},
        )
        self.node: Node = elements.at(op.operand, indices)
        self.stores = [
            Store(elements.at(y.value, position), buffer, buffer.index(position))
            for y, buffer in (
                (y, stored_before(output, y.views))
                for y, output in zip(form.yields, outputs, strict=True)
            )
        ]

    def build(self) -> Dim:
        """Emit the kernel; gives its task count."""
        kb = self.kb
        kept = [a for a in self.axes if a is not self.scanned]
        if any(a.extent == 0 for a in kept):
            return Dim.of(0)
        lane = kept[-1] if kept and self.axes[-1] is kept[-1] else None
        outer = [a for a in kept if a is not lane]
        extents = [a.extent or 0 for a in outer]
        length: DimLike = 1 if lane is None else lane.extent or 0
        split = split_tasks(outer, extents, Dim.of(length) * self.size)
        inner = outer[len(split.axes) :]
        width = vector_width(kb.target, self.stores, [self.node])
        with row_loops(
            kb, split, inner, extents[len(split.axes) :], kb.begin, kb.end
        ) as bound:
            if lane is not None:
                self._columns(bound, lane, length, width)
            elif isinstance(self.op, ArgReduceOp) and self._runs_along(lane):
                ArgReduceAlong(self, self.op, bound).emit()
            else:
                self._scan([self._column(bound, None, 1, None)])
        return split.tasks

    def _columns(
        self, bound: Mapping[Axis, Index], lane: Axis, length: DimLike, width: int
    ) -> None:
        """Groups of vectors side by side if they are stored, then single ones."""
        kb, whole = self.kb, Index({}, 0)
        if isinstance(self.op, CumulativeOp):
            wide = width * (8 if kb.target.vector_registers >= 32 else 4)
            whole = kb.floordiv(length, wide) * wide
            with kb.loop(0, whole, wide) as first:
                places = [{**bound, lane: first + v} for v in range(0, wide, width)]
                self._scan([self._column(p, lane, width, None) for p in places])

        def single(first: Index, lanes: int, mask: SSAValue | None) -> None:
            self._scan([self._column({**bound, lane: first}, lane, lanes, mask)])

        lane_loop(kb, whole, length, width, single)

    def _column(
        self,
        bound: Mapping[Axis, Index],
        lane: Axis | None,
        width: int,
        mask: SSAValue | None,
    ) -> Column:
        def emitter(i: Index | None) -> Emitter:
            axes = dict(bound)
            if self.scanned is not None and i is not None:
                axes[self.scanned] = i
            return Emitter(self.kb, axes, lane, width, mask)

        return emitter

    def _scan(self, columns: Sequence[Column]) -> None:
        if isinstance(self.op, CumulativeOp):
            self._running_sum(self.op, columns)
        else:
            self._arg_reduce(self.op, columns)

    def _runs_along(self, lane: Axis | None) -> bool:
        """Whether lanes can run along the scanned axis."""
        return lane is None and self.scanned is not None and not is_bool(self.node.type)

    def store(self, emitter: Emitter, value: SSAValue) -> None:
        """Store results for a value of the scan."""
        emitter.fill(self.op.result, value)
        values = [emitter.vector(s.node) for s in self.stores]
        for store, stored in zip(self.stores, values, strict=True):
            store_element(emitter, store, stored)

    def _running_sum(self, op: CumulativeOp, columns: Sequence[Column]) -> None:
        kb, node = self.kb, self.node
        type_ = f64 if is_float(node.type) else node.type
        is_sum = op.kind.data == "sum"
        combine, neutral = (simd.AddOp, 0) if is_sum else (simd.MulOp, 1)

        def step(i: Index, totals: list[SSAValue]) -> list[SSAValue]:
            place = Index.of(self.size) - 1 - i if op.reverse.value.data else i
            new: list[SSAValue] = []
            for column, before in zip(columns, totals, strict=True):
                made = column(place)
                value = convert(kb, made.vector(node), type_)
                new.append(kb.add(combine(before, value)))
                shown = before if op.exclusive.value.data else new[-1]
                self.store(made, convert(kb, shown, node.type))
            return new

        width = columns[0](None).width
        start = kb.constant(neutral, type_, width)
        kb.fold(0, self.size, 1, [start] * len(columns), step)

    def _arg_reduce(self, op: ArgReduceOp, columns: Sequence[Column]) -> None:
        kb, node = self.kb, self.node
        width = columns[0](None).width

        def step(i: Index, state: list[SSAValue]) -> list[SSAValue]:
            here = kb.splat(kb.to_data(i, i64), width)
            new: list[SSAValue] = []
            for column, best, place in zip(
                columns, state[::2], state[1::2], strict=True
            ):
                value = column(i).vector(node)
                better = is_better(kb, op, value, best)
                new.append(kb.add(simd.SelectOp(better, value, best)))
                new.append(kb.add(simd.SelectOp(better, here, place)))
            return new

        initial = [
            kb.constant(worst(op, node.type), node.type, width),
            kb.constant(0, i64, width),
        ]
        state = kb.fold(0, self.size, 1, initial * len(columns), step)
        for column, place in zip(columns, state[1::2], strict=True):
            self.store(column(None), place)


def worst(op: ArgReduceOp, type: Attribute) -> float:
    """A number that no element is worse than."""
    is_max = op.kind.data == "max"
    if is_float(type):
        return -math.inf if is_max else math.inf
    return integer_range(type)[0 if is_max else 1]


def is_better(
    kb: KernelBuilder, op: ArgReduceOp, value: SSAValue, best: SSAValue
) -> SSAValue:
    """Whether an element takes the place of the best one before it."""
    is_max, last = op.kind.data == "max", bool(op.select_last.value.data)
    predicate = ("ge" if last else "gt") if is_max else ("le" if last else "lt")
    better = kb.add(simd.CmpOp(predicate, value, best))
    if not is_float(element_type_of(value.type)):
        return better
    # NaN counts as the extreme, as numpy has it.
    is_nan = kb.add(simd.IsNanOp(value))
    if not last:
        ordered = kb.add(simd.NotOp(kb.add(simd.IsNanOp(best))))
        is_nan = kb.add(simd.AndOp(is_nan, ordered))
    return kb.add(simd.OrOp(better, is_nan))


@dataclass
class ArgReduceAlong:
    """The position of the extreme of one row, with lanes along the row."""

    scan: ScanKernel
    op: ArgReduceOp
    bound: Mapping[Axis, Index]

    def emit(self) -> None:
        """Vectors of the row, then what is left, then the best lane."""
        scan, kb = self.scan, self.scan.kb
        size = scan.size
        width = vector_width(kb.target, [], [scan.node])
        if isinstance(size, int):
            width = min(width, power_of_two_below(size))
        # Places are as wide as elements if they fit, for lanes side by side.
        fits = isinstance(size, int) and size < 2**31
        places = i32 if fits and bits_of(scan.node.type) <= 32 else i64
        ramp = convert(kb, kb.add(simd.IotaOp(width)), places) if width > 1 else None
        whole = kb.floordiv(size, width) * width

        def step(
            first: Index, state: list[SSAValue], mask: SSAValue | None = None
        ) -> list[SSAValue]:
            return self._step(first, state, width, ramp, mask)

        state = self._initial(places, width)
        state = kb.fold(0, whole, width, state, step)
        rest = Index.of(size) - whole
        is_masked = kb.target.has_masks and width > 1
        if rest.dim != 0 and is_masked:
            mask = kb.mask(rest, width)
            state = step(whole, state, mask)
        if width > 1:
            state = self._across(state, places)
        if rest.dim != 0 and not is_masked:
            state = kb.fold(
                whole, size, 1, state, lambda i, s: self._step(i, s, 1, None, None)
            )
        place = convert(kb, state[1], i64)
        scan.store(Emitter(kb, self.bound, None, 1, None), place)

    def _initial(self, places: Attribute, width: int) -> list[SSAValue]:
        kb, type_ = self.scan.kb, self.scan.node.type
        start = kb.constant(worst(self.op, type_), type_, width)
        return [start, kb.constant(0, places, width)]

    def _step(
        self,
        first: Index,
        state: list[SSAValue],
        width: int,
        ramp: SSAValue | None,
        mask: SSAValue | None,
    ) -> list[SSAValue]:
        scan, kb = self.scan, self.scan.kb
        assert scan.scanned is not None
        axes = {**self.bound, scan.scanned: first}
        value = Emitter(kb, axes, scan.scanned, width, mask).vector(scan.node)
        best, place = state
        better = is_better(kb, self.op, value, best)
        if mask is not None:
            better = kb.add(simd.AndOp(better, mask))
        here = kb.splat(kb.to_data(first, element_type_of(place.type)), width)
        if ramp is not None:
            here = kb.add(simd.AddOp(here, ramp))
        return [
            kb.add(simd.SelectOp(better, value, best)),
            kb.add(simd.SelectOp(better, here, place)),
        ]

    def _across(self, state: list[SSAValue], places: Attribute) -> list[SSAValue]:
        """Of the lanes with the best element the first (or last) place."""
        kb, op = self.scan.kb, self.op
        best, place = state
        width = width_of(best.type)
        extreme = kb.add(simd.ReduceOp(op.kind.data, best))
        is_best = kb.add(simd.CmpOp("eq", best, kb.splat(extreme, width)))
        if is_float(element_type_of(best.type)):
            # Where a lane is NaN the extreme is, which equals nothing.
            is_best = kb.add(simd.OrOp(is_best, kb.add(simd.IsNanOp(best))))
        last = bool(op.select_last.value.data)
        nowhere = kb.constant(-1 if last else integer_range(places)[1], places, width)
        kept = kb.add(simd.SelectOp(is_best, place, nowhere))
        return [extreme, kb.add(simd.ReduceOp("max" if last else "min", kept))]
