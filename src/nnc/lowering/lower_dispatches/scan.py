"""
Scans: running sums, and the position of the largest or smallest element.

One loop along the scanned axis carries the state; lanes run across the last axis,
unless that is the scanned one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from xdsl.dialects.builtin import f64, i64
from xdsl.ir import SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects import simd
from nnc.dialects.nn.reduction import ArgReduceOp, CumulativeOp
from nnc.dialects.nn.types import dims_of, is_float
from nnc.lowering.lower_dispatches.access import Elements
from nnc.lowering.lower_dispatches.elementwise import convert, integer_range
from nnc.lowering.lower_dispatches.emit import Emitter
from nnc.lowering.lower_dispatches.expressions import Axis, Hole, Node
from nnc.lowering.lower_dispatches.index import Index, simplified
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.loops import (
    lane_loop,
    make_axes,
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

            def column(first: Index, lanes: int, mask: SSAValue | None) -> None:
                place = bound if lane is None else {**bound, lane: first}
                self._column(place, lane, lanes, mask)

            if lane is None:
                column(Index({}, 0), 1, None)
            else:
                lane_loop(kb, 0, length, width, column)
        return split.tasks

    def _column(
        self,
        bound: Mapping[Axis, Index],
        lane: Axis | None,
        width: int,
        mask: SSAValue | None,
    ) -> None:
        def emitter(i: Index | None) -> Emitter:
            axes = dict(bound)
            if self.scanned is not None and i is not None:
                axes[self.scanned] = i
            return Emitter(self.kb, axes, lane, width, mask)

        if isinstance(self.op, CumulativeOp):
            self._running_sum(self.op, emitter, width)
        else:
            self._arg_reduce(self.op, emitter, width)

    def _running_sum(
        self, op: CumulativeOp, emitter: Callable[[Index | None], Emitter], width: int
    ) -> None:
        kb, node = self.kb, self.node
        type_ = f64 if is_float(node.type) else node.type

        def step(i: Index, totals: list[SSAValue]) -> list[SSAValue]:
            place = Index.of(self.size) - 1 - i if op.reverse.value.data else i
            made = emitter(place)
            value = convert(kb, made.vector(node), type_)
            total = kb.add(simd.AddOp(totals[0], value))
            shown = totals[0] if op.exclusive.value.data else total
            self._store(made, convert(kb, shown, node.type))
            return [total]

        kb.fold(0, self.size, 1, [kb.constant(0, type_, width)], step)

    def _arg_reduce(
        self, op: ArgReduceOp, emitter: Callable[[Index | None], Emitter], width: int
    ) -> None:
        kb, node = self.kb, self.node
        is_max = op.kind.data == "max"
        last = bool(op.select_last.value.data)
        predicate = ("ge" if last else "gt") if is_max else ("le" if last else "lt")
        if is_float(node.type):
            start: float = -math.inf if is_max else math.inf
        else:
            start = integer_range(node.type)[0 if is_max else 1]

        def step(i: Index, state: list[SSAValue]) -> list[SSAValue]:
            value = emitter(i).vector(node)
            best, place = state
            better = kb.add(simd.CmpOp(predicate, value, best))
            if is_float(node.type):
                # NaN counts as the extreme, as numpy has it.
                is_nan = kb.add(simd.IsNanOp(value))
                if not last:
                    ordered = kb.add(simd.NotOp(kb.add(simd.IsNanOp(best))))
                    is_nan = kb.add(simd.AndOp(is_nan, ordered))
                better = kb.add(simd.OrOp(better, is_nan))
            here = kb.splat(kb.to_data(i, i64), width)
            return [
                kb.add(simd.SelectOp(better, value, best)),
                kb.add(simd.SelectOp(better, here, place)),
            ]

        initial = [kb.constant(start, node.type, width), kb.constant(0, i64, width)]
        _, place = kb.fold(0, self.size, 1, initial, step)
        self._store(emitter(None), place)

    def _store(self, emitter: Emitter, value: SSAValue) -> None:
        emitter.fill(self.op.result, value)
        values = [emitter.vector(s.node) for s in self.stores]
        for store, stored in zip(self.stores, values, strict=True):
            store_element(emitter, store, stored)
