"""
Softmax over keys, one block after the other: lanes are queries.

For each query the largest score so far, `m`, and the sum of `e^(score - m)`, `l`, are
kept; a new block multiplies `l` by `e^(m_old - m_new)` before it adds its own terms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.dialects.nn.types import is_bool
from nnc.lowering.lower_dispatches.attention.operands import (
    Operand,
    Operands,
    Place,
)
from nnc.lowering.lower_dispatches.attention.tiling import AttentionTiling
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder


@dataclass(frozen=True)
class Scratch:
    """A matrix on the stack."""

    ptr: SSAValue
    offset: int
    """Where row 0 begins."""
    stride: int


class OnlineSoftmax:
    """Emits the softmax of blocks of keys for one block of queries."""

    def __init__(
        self,
        kb: KernelBuilder,
        operands: Operands,
        tiling: AttentionTiling,
        scores: Scratch,
        statistics: Sequence[SSAValue],
    ) -> None:
        self._kb, self._operands, self._tiling = kb, operands, tiling
        self._scores, self._element = scores, operands.element
        self.maxima, self.sums, self.corrections = statistics

    def _constant(self, number: float) -> SSAValue:
        return self._kb.constant(number, self._element, self._tiling.width)

    def reset(self, count: Index) -> None:
        """Before the first block of keys; without any, sums are 1 and results 0."""
        kb, width = self._kb, self._tiling.width
        is_empty = kb.compare("eq", self._operands.keys, 0)
        if isinstance(is_empty, bool):
            total = self._constant(float(is_empty))
        else:
            one, zero = kb.constant(1, self._element), kb.constant(0, self._element)
            total = kb.splat(kb.pure(simd.SelectOp(is_empty, one, zero)), width)
        with kb.loop(0, count, width, extent=self._tiling.queries) as c:
            kb.store(self._constant(-math.inf), self.maxima, c)
            kb.store(total, self.sums, c)

    def invert_sums(self, count: Index) -> None:
        """After the last block: the sums become what results are multiplied with."""
        kb, width = self._kb, self._tiling.width
        with kb.loop(0, count, width, extent=self._tiling.queries) as c:
            total = kb.load(self.sums, c, width)
            kb.store(kb.pure(simd.DivOp(self._constant(1), total)), self.sums, c)

    def block(
        self,
        place: Place,
        start: Index,
        keys: Index,
        column: Index,
        queries: Index,
        largest: Sequence[SSAValue],
    ) -> None:
        """
        Scores of the keys from `start` on become weights, for some vectors of queries.

        `queries` is how many there are from the column on, `largest` what their
        largest scores are before masks.
        """
        width = self._tiling.width
        largest = list(largest)
        if self._operands.masks or self._operands.op.causal_offset is not None:
            for v in range(len(largest)):
                moved = v * width
                largest[v] = self._mask_and_maximum(
                    place, start, keys, column + moved, queries - moved
                )
        if self._tiling.is_single:
            origins = [self._finite(maximum) for maximum in largest]
            for v, total in enumerate(self._powers(keys, column, origins)):
                self._kb.store(total, self.sums, column + v * width)
        else:
            self._merge(keys, column, largest)

    def _merge(self, keys: Index, column: Index, largest: Sequence[SSAValue]) -> None:
        """Weights of a block of keys relative to the largest score so far."""
        kb, width = self._kb, self._tiling.width
        origins: list[SSAValue] = []
        corrections: list[SSAValue] = []
        for v, maximum in enumerate(largest):
            old = kb.load(self.maxima, column + v * width, width)
            merged = self.larger(old, maximum)
            origin = self._finite(merged)
            correction = self._exp(kb.pure(simd.SubOp(old, origin)))
            kb.store(merged, self.maxima, column + v * width)
            kb.store(correction, self.corrections, column + v * width)
            origins.append(origin)
            corrections.append(correction)
        totals = self._powers(keys, column, origins)
        for v, (total, factor) in enumerate(zip(totals, corrections, strict=True)):
            sums = kb.load(self.sums, column + v * width, width)
            before = kb.pure(simd.MulOp(sums, factor))
            after = kb.pure(simd.AddOp(before, total))
            kb.store(after, self.sums, column + v * width)

    # ---- parts

    def _at(self, key: Index, column: Index) -> Index:
        return key * self._scores.stride + column + self._scores.offset

    def larger(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """
        The larger of two scores; `a` if `b` is NaN.

        A NaN need not reach the maximum: it makes the sum NaN.
        """
        kb = self._kb
        return kb.pure(simd.SelectOp(kb.pure(simd.CmpOp("gt", b, a)), b, a))

    def _finite(self, maximum: SSAValue) -> SSAValue:
        """The maximum; 0 for rows that are all -inf, whose powers are then all 0."""
        kb = self._kb
        nothing = kb.pure(simd.CmpOp("eq", maximum, self._constant(-math.inf)))
        return kb.pure(simd.SelectOp(nothing, self._constant(0), maximum))

    def _exp(self, value: SSAValue) -> SSAValue:
        return self._kb.pure(simd.ExpOp(value))

    def _mask_and_maximum(
        self, place: Place, start: Index, keys: Index, column: Index, queries: Index
    ) -> SSAValue:
        """
        Apply all masks to a column of scores; gives the largest of it.

        `queries` is how many there are from the column on.
        """
        kb, width = self._kb, self._tiling.width
        masks = list(zip(self._operands.masks, place.masks, strict=True))
        while masks and masks[0][0].row_stride != 0 and masks[0][0].column_stride == 1:
            mask, origin = masks.pop(0)
            index = origin + start + column * mask.row_stride
            self._mask_tiles(mask, index, keys, column, queries)

        def step(key: Index, carried: list[SSAValue]) -> list[SSAValue]:
            at = self._at(key, column)
            score = value = kb.load(self._scores.ptr, at, width)
            for mask, origin in masks:
                index = origin + (start + key) * mask.column_stride
                index = index + column * mask.row_stride
                value = self._masked(value, mask, index, queries)
            value = self._causal(value, start + key, place.first + column)
            if value is not score:
                kb.store(value, self._scores.ptr, at)
            return [self.larger(carried[0], value)]

        (largest,) = kb.fold(0, keys, 1, [self._constant(-math.inf)], step)
        return largest

    def _mask_tiles(
        self, mask: Operand, index: Index, keys: Index, column: Index, queries: Index
    ) -> None:
        """Apply a mask that is dense along keys: its tiles are transposed."""
        kb, width = self._kb, self._tiling.width
        with kb.loop(0, keys, width, extent=self._operands.keys) as key:
            left = keys - key

            def whole() -> Sequence[SSAValue]:
                self._mask_tile(mask, index + key, key, column, None)
                return ()

            def part() -> Sequence[SSAValue]:
                if kb.target.has_masks:
                    counts = kb.minimum(queries, width), kb.minimum(left, width)
                    self._mask_tile(mask, index + key, key, column, counts)
                    return ()
                with kb.loop(0, kb.minimum(left, width)) as k:
                    at = self._at(key + k, column)
                    score = kb.load(self._scores.ptr, at, width)
                    value = self._masked(score, mask, index + key + k, queries)
                    kb.store(value, self._scores.ptr, at)
                return ()

            fits = kb.both(
                kb.compare("sge", queries, width), kb.compare("sge", left, width)
            )
            kb.choose(fits, whole, part)

    def _mask_tile(
        self,
        mask: Operand,
        index: Index,
        key: Index,
        column: Index,
        counts: tuple[Index, Index] | None,
    ) -> None:
        """Apply a square of a mask; rows of scores beyond the keys do not matter."""
        kb, width = self._kb, self._tiling.width
        rows = columns = None
        if counts is not None:
            rows, columns = map(kb.value, counts)
        base, offset = kb.address(mask.ptr, index)
        stride = kb.value(mask.row_stride)
        tile = simd.LoadTransposedOp(base, offset, stride, width, rows, columns)
        kb.add(tile)
        for i, value in enumerate(tile.results):
            at = self._at(key + i, column)
            score = kb.load(self._scores.ptr, at, width)
            kb.store(self._apply(score, value, mask), self._scores.ptr, at)

    def _masked(
        self, score: SSAValue, mask: Operand, index: Index, queries: Index
    ) -> SSAValue:
        """Scores of a key under a mask; `index` is its value for the first query."""
        kb, width = self._kb, self._tiling.width
        if mask.row_stride == 0:
            value = kb.splat(kb.load(mask.ptr, index), width)
        else:
            known = queries.dim
            is_full = isinstance(known, int) and known >= width
            lanes = None if is_full else kb.mask(queries, width)
            value = kb.load_strided(mask.ptr, index, mask.row_stride, width, lanes)
        return self._apply(score, value, mask)

    def _apply(self, score: SSAValue, value: SSAValue, mask: Operand) -> SSAValue:
        kb = self._kb
        if not is_bool(mask.element):
            return kb.pure(simd.AddOp(score, value))
        fill = self._constant(self._operands.op.fill_value)
        return kb.pure(simd.SelectOp(value, score, fill))

    def _causal(self, score: SSAValue, key: Index, query: Index) -> SSAValue:
        """-inf in the lanes whose query lies more than the offset before the key."""
        offset = self._operands.op.causal_offset
        if offset is None:
            return score
        kb = self._kb
        blind = kb.mask(key - query - offset, self._tiling.width)
        return kb.pure(simd.SelectOp(blind, self._constant(-math.inf), score))

    def _powers(
        self, keys: Index, column: Index, origins: Sequence[SSAValue]
    ) -> Sequence[SSAValue]:
        """Replace scores by their powers; gives the sum of each vector of queries."""
        kb, width = self._kb, self._tiling.width

        def step(key: Index, totals: list[SSAValue]) -> list[SSAValue]:
            for v, origin in enumerate(origins):
                at = self._at(key, column + v * width)
                score = kb.load(self._scores.ptr, at, width)
                power = self._exp(kb.pure(simd.SubOp(score, origin)))
                kb.store(power, self._scores.ptr, at)
                totals[v] = kb.pure(simd.AddOp(totals[v], power))
            return totals

        return kb.fold(0, keys, 1, [self._constant(0)] * len(origins), step)
