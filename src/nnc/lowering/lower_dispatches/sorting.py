"""
The kernel that sorts the rows of a matrix: a heap sort of their numbers.

Rows stay where they are. A row's number decides between equal rows, so that the order
is stable although a heap is not.
"""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.dialects.nn.selection import ArgSortOp
from nnc.dialects.nn.types import dims_of, is_float
from nnc.dialects.simd.types import element_type_of
from nnc.lowering.lower_dispatches.elementwise import compute_type, convert
from nnc.lowering.lower_dispatches.heap import Element, Heap, levels_of
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.selection import load, simple, store
from nnc.symbolic import Dim


class ArgSortKernel:
    """Builds the kernel of one `nn.arg_sort`, which is one task."""

    def __init__(
        self,
        kb: KernelBuilder,
        op: ArgSortOp,
        inputs: Mapping[SSAValue, BufferArg],
        output: BufferArg,
    ) -> None:
        self.kb = kb
        self.source, self.order = inputs[op.operand], output
        self.rows, self.columns = (simple(d) for d in dims_of(op.operand))

    def build(self) -> Dim:
        """Emit the kernel; gives its task count."""
        if self.rows == 0:
            return Dim.of(0)
        kb = self.kb
        heap = Heap(kb, self._get, self._put, self._is_after, levels_of(kb, self.rows))
        with kb.loop(0, self.rows) as i:
            self._put(i, (kb.to_data(i, i64),))
        heap.build(self.rows)
        # The root is the last row of those that are left, and goes to their end.
        with kb.loop(1, self.rows) as i:
            heap.pop(Index.of(self.rows) - i + 1)
        return Dim.of(1)

    def _get(self, place: IndexLike) -> Element:
        return (load(self.kb, self.order, [place]),)

    def _put(self, place: IndexLike, row: Element) -> None:
        store(self.kb, row[0], self.order, [place])

    def _is_after(self, first: Element, second: Element) -> SSAValue:
        """Whether the first row comes behind the second one."""
        kb, (a,), (b,) = self.kb, first, second
        rows = [kb.to_index(v) for v in (a, b)]
        undecided = kb.constant(0, i64)

        def column(at: Index, state: list[SSAValue]) -> list[SSAValue]:
            x, y = (self._element(row, at) for row in rows)
            order = self._compared(x, y)
            is_open = kb.add(simd.CmpOp("eq", state[0], undecided))
            return [kb.add(simd.SelectOp(is_open, order, state[0]))]

        (order,) = kb.fold(0, self.columns, 1, [undecided], column)
        is_after = kb.add(simd.CmpOp("gt", order, undecided))
        is_equal = kb.add(simd.CmpOp("eq", order, undecided))
        is_later = kb.add(simd.CmpOp("gt", a, b))
        return kb.add(simd.OrOp(is_after, kb.add(simd.AndOp(is_equal, is_later))))

    def _element(self, row: Index, column: Index) -> SSAValue:
        value = load(self.kb, self.source, [row, column])
        return convert(self.kb, value, compute_type(element_type_of(value.type)))

    def _compared(self, x: SSAValue, y: SSAValue) -> SSAValue:
        """1 if `x` is larger, -1 if it is smaller, else 0; NaN is larger than all."""
        kb = self.kb
        larger, smaller = (kb.add(simd.CmpOp(p, x, y)) for p in ("gt", "lt"))
        if is_float(element_type_of(x.type)):
            nan = [kb.add(simd.IsNanOp(v)) for v in (x, y)]
            only = [kb.add(simd.NotOp(v)) for v in reversed(nan)]
            larger = kb.add(simd.OrOp(larger, kb.add(simd.AndOp(nan[0], only[0]))))
            smaller = kb.add(simd.OrOp(smaller, kb.add(simd.AndOp(nan[1], only[1]))))
        signs = [kb.constant(n, i64) for n in (1, -1, 0)]
        rest = kb.add(simd.SelectOp(smaller, signs[1], signs[2]))
        return kb.add(simd.SelectOp(larger, signs[0], rest))
