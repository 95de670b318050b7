"""Attention for few queries: one after the other, with lanes along keys and values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.dialects.nn.types import is_bool
from nnc.lowering.lower_dispatches.attention.operands import (
    Operands,
    Place,
    kept_weights,
)
from nnc.lowering.lower_dispatches.attention.tiling import (
    KEYS_AT_ONCE,
    power_of_two_divisor,
)
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder

_MAX_UNROLLED: Final = 8
"""Vectors of a query that are kept in registers."""


class RowAttention:
    """Emits the attention of single queries."""

    def __init__(self, kb: KernelBuilder, operands: Operands, width: int) -> None:
        self._kb, self._operands, self._width = kb, operands, width
        self._element = operands.element
        self._lanes = power_of_two_divisor(operands.depth, width)
        self._result_lanes = power_of_two_divisor(operands.value_depth, width)
        vectors = operands.value_depth // self._result_lanes
        self._vectors = next(n for n in (4, 3, 5, 2, 1) if vectors % n == 0)
        self._scores = self._alloca(KEYS_AT_ONCE + width)
        self._results = self._alloca(operands.value_depth)

    def _alloca(self, count: int) -> SSAValue:
        return self._kb.add(simd.AllocaOp(count, self._element), depth=0)

    def emit(self, place: Place, count: Index) -> None:
        """The results of `count` queries."""
        kb, operands = self._kb, self._operands
        with kb.loop(0, count, extent=operands.queries) as i:
            row = Place(
                place.query + i * operands.query.row_stride,
                place.key,
                place.value,
                tuple(
                    start + i * mask.row_stride
                    for start, mask in zip(place.masks, operands.masks, strict=True)
                ),
                place.result + i * operands.result.row_stride,
                place.first + i,
            )
            self._row(row)

    def _row(self, place: Place) -> None:
        kb = self._kb
        keys = self._operands.visible_keys(kb, place.first + 1)
        zero = kb.constant(0, self._element, self._result_lanes)
        with kb.loop(0, self._operands.value_depth, self._result_lanes) as e:
            kb.store(zero, self._results, e)
        minimum = kb.constant(-math.inf, self._element)

        def step(start: Index, carried: list[SSAValue]) -> list[SSAValue]:
            count = kb.minimum(Index.of(keys) - start, KEYS_AT_ONCE)
            return self._block(place, start, count, carried[0], carried[1])

        initial = [minimum, self._initial_sum()]
        _, total = kb.fold(0, keys, KEYS_AT_ONCE, initial, step)
        self._store(place, total)

    def _initial_sum(self) -> SSAValue:
        """0, or 1 if there are no keys: then the results are 0, not NaN."""
        kb = self._kb
        is_empty = kb.compare("eq", self._operands.keys, 0)
        if isinstance(is_empty, bool):
            return kb.constant(float(is_empty), self._element)
        one, zero = (kb.constant(n, self._element) for n in (1, 0))
        return kb.pure(simd.SelectOp(is_empty, one, zero))

    def _block(
        self,
        place: Place,
        start: Index,
        count: Index,
        maximum: SSAValue,
        total: SSAValue,
    ) -> list[SSAValue]:
        """One block of keys; gives the maximum and the sum so far."""
        kb = self._kb
        self._dots(place, start, count)
        largest = self._mask_and_maximum(place, start, count)
        merged = self._larger(maximum, kb.pure(simd.ReduceOp("max", largest)))
        nothing = kb.constant(-math.inf, self._element)
        is_nothing = kb.pure(simd.CmpOp("eq", merged, nothing))
        zero = kb.constant(0, self._element)
        origin = kb.pure(simd.SelectOp(is_nothing, zero, merged))
        correction = kb.pure(simd.ExpOp(kb.pure(simd.SubOp(maximum, origin))))
        powers = kb.pure(simd.ReduceOp("add", self._powers(count, origin)))
        total = kb.pure(simd.AddOp(kb.pure(simd.MulOp(total, correction)), powers))
        self._add_values(place, start, count, correction)
        return [merged, total]

    def _larger(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """The larger one; `a` if `b` is NaN, which makes the sum NaN."""
        kb = self._kb
        return kb.pure(simd.SelectOp(kb.pure(simd.CmpOp("gt", b, a)), b, a))

    # ---- scores

    def _dots(self, place: Place, start: Index, count: Index) -> None:
        kb, operands, lanes = self._kb, self._operands, self._lanes
        scale = kb.constant(operands.op.scale.value.data, self._element)
        vectors = operands.depth // lanes
        kept: list[SSAValue] = []
        if vectors <= _MAX_UNROLLED:
            kept = [self._query(place, Index.of(v * lanes)) for v in range(vectors)]
        with kb.loop(0, count, extent=operands.keys) as j:
            row = place.key + (start + j) * operands.key.row_stride
            score = kb.pure(simd.ReduceOp("add", self._dot(place, row, kept)))
            kb.store(kb.pure(simd.MulOp(score, scale)), self._scores, j)

    def _query(self, place: Place, d: Index) -> SSAValue:
        stride = self._operands.query.column_stride
        index = place.query + d * stride
        return self._load(self._operands.query.ptr, index, stride.as_int() == 1)

    def _load(self, ptr: SSAValue, index: Index, is_dense: bool) -> SSAValue:
        assert is_dense or self._lanes == 1, "rows are dense"
        return self._kb.load(ptr, index, self._lanes)

    def _dot(self, place: Place, row: Index, kept: Sequence[SSAValue]) -> SSAValue:
        """The products of a query and a key, summed in lanes."""
        kb, operands, lanes = self._kb, self._operands, self._lanes
        is_dense = operands.key.column_stride.as_int() == 1
        zero = kb.constant(0, self._element, lanes)

        def key(d: Index) -> SSAValue:
            index = row + d * operands.key.column_stride
            return self._load(operands.key.ptr, index, is_dense)

        def product(a: SSAValue, b: SSAValue, total: SSAValue) -> SSAValue:
            return kb.pure(simd.FmaOp(a, b, total))

        if kept:
            totals = [zero, zero]
            for position, query in enumerate(kept):
                d = Index.of(position * lanes)
                half = position % 2
                totals[half] = product(query, key(d), totals[half])
            return kb.pure(simd.AddOp(*totals)) if len(kept) > 1 else totals[0]

        def step(d: Index, carried: list[SSAValue]) -> list[SSAValue]:
            return [product(self._query(place, d), key(d), carried[0])]

        (total,) = kb.fold(0, operands.depth, lanes, [zero], step)
        return total

    def _mask_and_maximum(self, place: Place, start: Index, count: Index) -> SSAValue:
        """Apply all masks; gives the largest score in lanes."""
        kb, width = self._kb, self._width
        nothing = kb.constant(-math.inf, self._element, width)
        fill = kb.constant(self._operands.op.fill_value, self._element, width)

        def step(c: Index, carried: list[SSAValue]) -> list[SSAValue]:
            lanes = kb.mask(count - c, width)
            score = kb.load(self._scores, c, width)
            for origin, mask in zip(place.masks, self._operands.masks, strict=True):
                stride = mask.column_stride
                index = origin + (start + c) * stride
                if stride == 0:
                    value = kb.splat(kb.load(mask.ptr, index), width)
                else:
                    value = kb.load_strided(mask.ptr, index, stride, width, lanes)
                if is_bool(mask.element):
                    score = kb.pure(simd.SelectOp(value, score, fill))
                else:
                    score = kb.pure(simd.AddOp(score, value))
            score = kb.pure(simd.SelectOp(lanes, score, nothing))
            kb.store(score, self._scores, c)
            return [self._larger(carried[0], score)]

        (largest,) = kb.fold(0, count, width, [nothing], step)
        return largest

    def _powers(self, count: Index, origin: SSAValue) -> SSAValue:
        """Replace scores by their powers; gives the sum in lanes."""
        kb, width = self._kb, self._width

        def step(c: Index, carried: list[SSAValue]) -> list[SSAValue]:
            score = kb.load(self._scores, c, width)
            difference = kb.pure(simd.SubOp(score, kb.splat(origin, width)))
            power = kb.pure(simd.ExpOp(difference))
            kb.store(power, self._scores, c)
            return [kb.pure(simd.AddOp(carried[0], power))]

        zero = kb.constant(0, self._element, width)
        (total,) = kb.fold(0, count, width, [zero], step)
        return total

    # ---- results

    def _add_values(
        self, place: Place, start: Index, count: Index, correction: SSAValue
    ) -> None:
        """Rescale the results so far, and add weights times values."""
        kb, operands = self._kb, self._operands
        lanes, vectors = self._result_lanes, self._vectors
        origin = place.value + start * operands.value.row_stride
        factor = kb.splat(correction, lanes)
        one = (kb.value(1), kb.value(0))
        with kb.loop(0, operands.value_depth, vectors * lanes) as e:
            initial: list[SSAValue] = []
            for v in range(vectors):
                old = kb.load(self._results, e + v * lanes, lanes)
                initial.append(kb.pure(simd.MulOp(old, factor)))
            op = simd.ContractOp(
                *kb.address(self._scores, Index.of(0)),
                *kb.address(operands.value.ptr, origin + e),
                row_stride=kb.value(0),
                k=kb.value(count),
                outer=one,
                inner=one,
                b_stride=kb.value(operands.value.row_stride),
                mr=1,
                nv=vectors,
                width=lanes,
                init=initial,
            )
            kb.add(op)
            for v, accumulator in enumerate(op.results):
                kb.store(accumulator, self._results, e + v * lanes)

    def _store(self, place: Place, total: SSAValue) -> None:
        """The results over the sum of their weights."""
        kb, operands, lanes = self._kb, self._operands, self._result_lanes
        stride = operands.result.column_stride
        factor = kb.pure(simd.DivOp(kb.constant(1, self._element), total))
        keeps = kept_weights(kb, operands, factor, lanes)
        zeros = kb.constant(0, self._element, lanes)
        with kb.loop(0, operands.value_depth, lanes) as e:
            value = kb.load(self._results, e, lanes)
            value = kb.pure(simd.MulOp(value, kb.splat(factor, lanes)))
            if keeps is not None:
                value = kb.pure(simd.SelectOp(keeps, value, zeros))
            index = place.result + e * stride
            if stride == 1 or lanes == 1:
                kb.store(value, operands.result.ptr, index)
            else:
                kb.store_strided(value, operands.result.ptr, index, stride)
