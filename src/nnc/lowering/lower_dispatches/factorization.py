"""The kernel of an LU factorization: Gaussian elimination in place, a task a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.dialects.nn.linear import LuOp
from nnc.dialects.nn.types import bit_width, dims_of
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.loops import lane_loop
from nnc.lowering.lower_dispatches.selection import load, simple, store
from nnc.symbolic import Dim


class LuKernel:
    """Builds the kernel of one `nn.lu`."""

    def __init__(
        self,
        kb: KernelBuilder,
        op: LuOp,
        inputs: Mapping[SSAValue, BufferArg],
        outputs: Sequence[BufferArg],
    ) -> None:
        self.kb = kb
        self.source = inputs[op.operand]
        self.factors, self.sign = outputs
        self.count, self.size, _ = (simple(d) for d in dims_of(op.operand))
        self.type = self.factors.element_type
        self.lanes = kb.target.lanes(bit_width(self.type))
        self.matrix: IndexLike = 0

    def build(self) -> Dim:
        """Emit the kernel; gives its task count."""
        if self.count == 0:
            return Dim.of(0)
        kb = self.kb
        with kb.loop(kb.begin, kb.end) as self.matrix:
            with kb.loop(0, self.size) as row:
                self._copy(row)
            sign = kb.fold(0, self.size, 1, [kb.constant(1, self.type)], self._step)
            store(kb, sign[0], self.sign, [self.matrix])
        return Dim.of(self.count)

    def _copy(self, row: IndexLike) -> None:
        """Set a row of the factors to that of the matrix."""
        kb = self.kb

        def body(column: Index, width: int, mask: SSAValue | None) -> None:
            place = [self.matrix, row, column]
            value = load(kb, self.source, place, width, mask)
            store(kb, value, self.factors, place, width, mask)

        lane_loop(kb, 0, self.size, self.lanes, body)

    def _step(self, step: Index, state: list[SSAValue]) -> list[SSAValue]:
        """Bring the pivot up, then clear the column below it."""
        kb = self.kb
        pivot = self._pivot(step)
        moved = kb.compare("ne", pivot, step)
        with kb.when(moved):
            self._swap(step, pivot)
        turned = kb.add(simd.NegOp(state[0]))
        places = (kb.to_data(i, i64) for i in (pivot, step))
        flag = kb.add(simd.CmpOp("ne", *places))
        sign = kb.add(simd.SelectOp(flag, turned, state[0]))
        head = load(kb, self.factors, [self.matrix, step, step])
        is_zero = kb.add(simd.CmpOp("eq", head, kb.constant(0, self.type)))
        # A column of zeros is clear already.
        safe = kb.add(simd.SelectOp(is_zero, kb.constant(1, self.type), head))
        with kb.loop(step + 1, self.size) as row:
            self._eliminate(step, row, safe)
        return [sign]

    def _pivot(self, step: Index) -> Index:
        """The row with the largest element of the column, of equal ones the first."""
        kb = self.kb

        def look(row: Index, state: list[SSAValue]) -> list[SSAValue]:
            value = kb.add(simd.AbsOp(load(kb, self.factors, [self.matrix, row, step])))
            is_larger = kb.add(simd.CmpOp("gt", value, state[0]))
            return [
                kb.add(simd.SelectOp(is_larger, value, state[0])),
                kb.add(simd.SelectOp(is_larger, kb.to_data(row, i64), state[1])),
            ]

        head = kb.add(simd.AbsOp(load(kb, self.factors, [self.matrix, step, step])))
        start = [head, kb.to_data(step, i64)]
        _, place = kb.fold(step + 1, self.size, 1, start, look)
        return kb.to_index(place)

    def _swap(self, a: IndexLike, b: IndexLike) -> None:
        kb = self.kb

        def body(column: Index, width: int, mask: SSAValue | None) -> None:
            places = [[self.matrix, row, column] for row in (a, b)]
            values = [load(kb, self.factors, p, width, mask) for p in places]
            for value, place in zip(reversed(values), places, strict=True):
                store(kb, value, self.factors, place, width, mask)

        lane_loop(kb, 0, self.size, self.lanes, body)

    def _eliminate(self, step: Index, row: Index, head: SSAValue) -> None:
        kb = self.kb
        place = [self.matrix, row, step]
        factor = kb.add(simd.DivOp(load(kb, self.factors, place), head))
        store(kb, factor, self.factors, place)

        def body(column: Index, width: int, mask: SSAValue | None) -> None:
            above = load(kb, self.factors, [self.matrix, step, column], width, mask)
            here = [self.matrix, row, column]
            old = load(kb, self.factors, here, width, mask)
            part = kb.add(simd.MulOp(kb.splat(factor, width), above))
            new = kb.add(simd.SubOp(old, part))
            store(kb, new, self.factors, here, width, mask)

        lane_loop(kb, step + 1, self.size, self.lanes, body)
