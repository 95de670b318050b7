"""
Softmax over keys, one block after the other: lanes are queries.

For each query the largest score so far, `m`, and the sum of `e^(score - m)`, `l`, are
kept; a new block multiplies `l` by `e^(m_old - m_new)` before it adds its own terms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import Attribute, SSAValue

from nnc.dialects import simd
from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.types import element_type_of, is_bool
from nnc.lowering.lower_dispatches.attention.tiling import AttentionTiling
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.symbolic import Dim


@dataclass(frozen=True)
class Scratch:
    """A matrix on the stack."""

    ptr: SSAValue
    offset: int
    """Where row 0 begins."""
    stride: int


@dataclass(frozen=True)
class Mask:
    """A mask in memory."""

    ptr: SSAValue
    element: Attribute
    query_stride: Dim
    key_stride: Dim


class OnlineSoftmax:
    """Emits the softmax of blocks of keys for one block of queries."""

    def __init__(
        self,
        kb: KernelBuilder,
        op: AttentionOp,
        tiling: AttentionTiling,
        scores: Scratch,
        statistics: Sequence[SSAValue],
        masks: Sequence[Mask],
    ) -> None:
        self._kb, self._op, self._tiling = kb, op, tiling
        self._scores, self._masks = scores, masks
        self._element = element_type_of(op.query)
        self.maxima, self.sums, self.corrections = statistics

    def _constant(self, number: float) -> SSAValue:
        return self._kb.constant(number, self._element, self._tiling.width)

    def reset(self, count: Index, keys: Dim) -> None:
        """Before the first block of keys; without any, sums are 1 and results 0."""
        kb, width = self._kb, self._tiling.width
        is_empty = kb.compare("eq", keys, 0)
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
        start: Index,
        keys: Index,
        count: Index,
        masks: Sequence[Index],
        first: Index,
    ) -> None:
        """
        Scores of the keys from `start` on become weights.

        `masks` is where each mask's row for the first query begins, `first` the
        position of that query.
        """
        kb, width = self._kb, self._tiling.width
        with kb.loop(0, count, width, extent=self._tiling.queries) as c:
            rest = count - c
            known = rest.dim
            is_full = isinstance(known, int) and known >= width
            lanes = None if is_full else kb.mask(rest, width)
            largest = self._mask_and_maximum(start, keys, c, masks, first, lanes)
            if self._tiling.is_single:
                total = self._powers(keys, c, self._finite(largest))
                kb.store(total, self.sums, c)
            else:
                self._merge(keys, c, largest)

    def _merge(self, keys: Index, column: Index, largest: SSAValue) -> None:
        """Weights of a block of keys relative to the largest score so far."""
        kb, width = self._kb, self._tiling.width
        old = kb.load(self.maxima, column, width)
        merged = self._larger(old, largest)
        origin = self._finite(merged)
        correction = self._exp(kb.pure(simd.SubOp(old, origin)))
        kb.store(merged, self.maxima, column)
        kb.store(correction, self.corrections, column)
        total = self._powers(keys, column, origin)
        before = kb.pure(simd.MulOp(kb.load(self.sums, column, width), correction))
        kb.store(kb.pure(simd.AddOp(before, total)), self.sums, column)

    # ---- parts

    def _at(self, key: Index, column: Index) -> Index:
        return key * self._scores.stride + column + self._scores.offset

    def _larger(self, a: SSAValue, b: SSAValue) -> SSAValue:
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
        self,
        start: Index,
        keys: Index,
        column: Index,
        masks: Sequence[Index],
        first: Index,
        lanes: SSAValue | None,
    ) -> SSAValue:
        """Apply all masks to a column of scores; gives the largest of it."""
        kb, width = self._kb, self._tiling.width

        def step(key: Index, carried: list[SSAValue]) -> list[SSAValue]:
            at = self._at(key, column)
            score = value = kb.load(self._scores.ptr, at, width)
            for mask, origin in zip(self._masks, masks, strict=True):
                value = self._masked(value, mask, origin, start + key, column, lanes)
            value = self._causal(value, start + key, first + column)
            if value is not score:
                kb.store(value, self._scores.ptr, at)
            return [self._larger(carried[0], value)]

        (largest,) = kb.fold(0, keys, 1, [self._constant(-math.inf)], step)
        return largest

    def _masked(
        self,
        score: SSAValue,
        mask: Mask,
        origin: Index,
        key: Index,
        column: Index,
        lanes: SSAValue | None,
    ) -> SSAValue:
        kb, width = self._kb, self._tiling.width
        index = origin + key * mask.key_stride
        if mask.query_stride == 0:
            value = kb.splat(kb.load(mask.ptr, index), width)
        else:
            index = index + column * mask.query_stride
            value = kb.load_strided(mask.ptr, index, mask.query_stride, width, lanes)
        if not is_bool(mask.element):
            return kb.pure(simd.AddOp(score, value))
        fill = self._constant(self._op.fill_value)
        return kb.pure(simd.SelectOp(value, score, fill))

    def _causal(self, score: SSAValue, key: Index, query: Index) -> SSAValue:
        """-inf in the lanes whose query lies more than the offset before the key."""
        offset = self._op.causal_offset
        if offset is None:
            return score
        kb = self._kb
        blind = kb.mask(key - query - offset, self._tiling.width)
        return kb.pure(simd.SelectOp(blind, self._constant(-math.inf), score))

    def _powers(self, keys: Index, column: Index, origin: SSAValue) -> SSAValue:
        """Replace scores by their powers; gives the sum."""
        kb, width = self._kb, self._tiling.width

        def step(key: Index, carried: list[SSAValue]) -> list[SSAValue]:
            at = self._at(key, column)
            score = kb.load(self._scores.ptr, at, width)
            power = self._exp(kb.pure(simd.SubOp(score, origin)))
            kb.store(power, self._scores.ptr, at)
            return [kb.pure(simd.AddOp(carried[0], power))]

        (total,) = kb.fold(0, keys, 1, [self._constant(0)], step)
        return total
