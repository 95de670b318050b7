"""
Attention for many queries: blocks of them against blocks of keys, by register tiles.

Scores are computed transposed: only the queries of the task have to be transposed, keys
and values are read where they lie, and the softmax needs no sum across lanes. The
register tile of contractions does both products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.lowering.lower_dispatches.attention.operands import (
    Operands,
    Place,
    kept_weights,
)
from nnc.lowering.lower_dispatches.attention.softmax import OnlineSoftmax, Scratch
from nnc.lowering.lower_dispatches.attention.tiling import AttentionTiling
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder


class BlockedAttention:
    """Emits the attention of blocks of queries."""

    def __init__(
        self, kb: KernelBuilder, operands: Operands, tiling: AttentionTiling
    ) -> None:
        self._kb, self._operands, self._tiling = kb, operands, tiling
        self._element = operands.element
        columns = tiling.score_vectors * tiling.width
        # Tiles of scores and of masks may reach beyond the keys of a block.
        rows = tiling.keys + tiling.slack + max(tiling.slack, tiling.width)
        self._queries_ptr = self._alloca(operands.depth * tiling.row_stride)
        self._scores = Scratch(
            # Score tiles may reach beyond the columns of a short row, never the end.
            self._alloca(rows * tiling.row_stride + columns),
            tiling.slack * tiling.row_stride,
            tiling.row_stride,
        )
        size = tiling.padded_queries * operands.value_depth
        self._results_ptr = self._alloca(size)
        statistics = [
            self._alloca(tiling.queries + tiling.result_rows) for _ in range(3)
        ]
        self._softmax = OnlineSoftmax(kb, operands, tiling, self._scores, statistics)

    def _alloca(self, count: int) -> SSAValue:
        return self._kb.add(simd.AllocaOp(count, self._element), depth=0)

    def emit(self, place: Place, count: Index) -> None:
        """The results of `count` queries."""
        kb, tiling = self._kb, self._tiling
        keys = self._operands.visible_keys(kb, place.first + count)
        self._load_queries(place.query, count)
        if tiling.is_single:
            self._key_block(place, Index.of(0), keys, count)
        else:
            self._softmax.reset(count)
            self._clear_results()
            with kb.loop(0, keys, tiling.keys, extent=self._operands.keys) as start:
                block = kb.minimum(Index.of(keys) - start, tiling.keys)
                self._key_block(place, start, block, count)
        self._store_results(place.result, count)

    def _key_block(self, place: Place, start: Index, keys: Index, count: Index) -> None:
        """Scores, softmax and results of the keys from `start` on."""
        kb, tiling = self._kb, self._tiling
        value = place.value + start * self._operands.value.row_stride
        columns = tiling.score_vectors * tiling.width
        with kb.loop(0, count, columns, extent=tiling.queries) as column:
            left = count - column

            def weights(vectors: int) -> Sequence[SSAValue]:
                largest = self._score_tiles(place.key, start, keys, column, vectors)
                self._softmax.block(place, start, keys, column, left, largest)
                return ()

            narrow = tiling.narrow_vectors
            if narrow is None:
                weights(tiling.score_vectors)
            else:
                kb.choose(
                    kb.compare("sgt", left, narrow * tiling.width),
                    lambda: weights(tiling.score_vectors),
                    lambda: weights(narrow),
                )
        self._result_tiles(value, keys, count)

    # ---- queries

    def _load_queries(self, start: Index, count: Index) -> None:
        """The scaled queries of a block, transposed."""
        kb, width = self._kb, self._tiling.width
        scale = self._operands.op.scale.value.data
        whole = kb.floordiv(count, width) * width
        rows, columns = self._operands.query.strides[-2:]
        squares = self._operands.depth // width * width if width > 1 else 0
        ptr, target = self._operands.query.ptr, self._queries_ptr
        stride = self._tiling.row_stride
        factor = kb.constant(scale, self._element, width)

        def scaled(value: SSAValue) -> SSAValue:
            return value if scale == 1 else kb.pure(simd.MulOp(value, factor))

        def single(d: Index, c: Index, mask: SSAValue | None) -> None:
            index = start + c * rows + d * columns
            value = kb.load_strided(ptr, index, rows, width, mask)
            kb.store(scaled(value), target, d * stride + c)

        with kb.loop(0, whole, width, extent=self._tiling.queries) as c:
            with kb.loop(0, squares, width) as d:
                base, offset = kb.address(ptr, start + c * rows + d * columns)
                tile = simd.LoadTransposedOp(base, offset, kb.value(rows), width)
                kb.add(tile)
                values = [scaled(v) for v in tile.results]
                base, offset = kb.address(target, d * stride + c)
                kb.add(simd.StoreRowsOp(values, base, offset, kb.value(stride)))
            with kb.loop(squares, self._operands.depth) as d:
                single(d, c, None)
        rest = count - whole
        if rest.dim == 0:
            return
        with kb.when(kb.compare("sgt", rest, 0)):
            mask = kb.mask(rest, width)
            with kb.loop(0, self._operands.depth) as d:
                single(d, whole, mask)

    # ---- products

    def _score_tiles(
        self, key: Index, start: Index, keys: Index, column: Index, vectors: int
    ) -> list[SSAValue]:
        """
        The products of keys and some vectors of queries; gives the largest of each.

        The last tile of a block moves up so that it ends with the last key there is:
        the rows that it computes again, or that belong before the block, do not hurt.
        """
        kb, total = self._kb, Index.of(self._operands.keys)
        minimum = kb.constant(-math.inf, self._element, self._tiling.width)

        def tiles(height: int) -> Sequence[SSAValue]:
            def step(j: Index, largest: list[SSAValue]) -> list[SSAValue]:
                row = kb.minimum(start + j, total - height)
                tile = self._score_tile(key, row, row - start, column, height, vectors)
                for position, score in enumerate(tile):
                    v = position % vectors
                    largest[v] = self._softmax.larger(largest[v], score)
                return largest

            initial = [minimum] * vectors
            return kb.fold(0, keys, height, initial, step, extent=total.dim)

        height = self._tiling.score_rows
        is_tall = kb.compare("sge", total, height)
        return list(kb.choose(is_tall, lambda: tiles(height), lambda: tiles(1)))

    def _score_tile(
        self,
        key: Index,
        row: Index,
        place: Index,
        column: Index,
        height: int,
        vectors: int,
    ) -> Sequence[SSAValue]:
        """Scores of `height` keys from `row` on, stored and given."""
        kb, tiling, scores = self._kb, self._tiling, self._scores
        width = tiling.width
        rows, columns = self._operands.key.strides[-2:]
        step = columns.as_int()
        assert step is not None, "keys are dense along their last axis"
        one = (kb.value(1), kb.value(0))
        op = simd.ContractOp(
            *kb.address(self._operands.key.ptr, key + row * rows),
            *kb.address(self._queries_ptr, column),
            row_stride=kb.value(rows),
            k=kb.value(self._operands.depth),
            outer=one,
            inner=one,
            b_stride=kb.value(tiling.row_stride),
            mr=height,
            nv=vectors,
            width=width,
            a_k_stride=step if self._operands.depth > 1 else 1,
        )
        kb.add(op)
        first = place * scores.stride + column + scores.offset
        for position, value in enumerate(op.results):
            i, v = divmod(position, vectors)
            kb.store(value, scores.ptr, first + (i * scores.stride + v * width))
        return op.results

    def _clear_results(self) -> None:
        kb, width = self._kb, self._tiling.result_width
        zero = kb.constant(0, self._element, width)
        total = self._tiling.padded_queries * self._operands.value_depth
        with kb.loop(0, total, width) as i:
            kb.store(zero, self._results_ptr, i)

    def _result_tiles(self, value: Index, keys: Index, count: Index) -> None:
        """Weights times values, added to what earlier blocks of keys gave."""
        kb, tiling = self._kb, self._tiling
        rows, last = tiling.result_rows, tiling.last_result_rows
        columns = tiling.result_vectors * tiling.result_width
        whole = count if last == rows else kb.floordiv(count, rows) * rows
        with kb.loop(0, self._operands.value_depth, columns) as e:
            with kb.loop(0, whole, rows, extent=tiling.queries) as r:
                self._result_tile(value, keys, r, e, rows)
            if last == rows:
                return
            with kb.when(kb.compare("sgt", count, whole)):
                self._result_tile(value, keys, whole, e, last)

    def _result_tile(
        self, value: Index, keys: Index, row: Index, column: Index, height: int
    ) -> None:
        """The results of `height` queries from `row` on."""
        kb, tiling = self._kb, self._tiling
        width, vectors = tiling.result_width, tiling.result_vectors
        place = row * self._operands.value_depth + column
        initial = [] if tiling.is_single else self._rescaled(place, row, height)
        one = (kb.value(1), kb.value(0))
        op = simd.ContractOp(
            *kb.address(self._scores.ptr, row + self._scores.offset),
            *kb.address(self._operands.value.ptr, value + column),
            row_stride=kb.value(1),
            k=kb.value(keys),
            outer=one,
            inner=one,
            b_stride=kb.value(self._operands.value.row_stride),
            mr=height,
            nv=vectors,
            width=width,
            init=initial,
            a_k_stride=self._scores.stride,
        )
        kb.add(op)
        for position, accumulator in enumerate(op.results):
            i, v = divmod(position, vectors)
            at = place + (i * self._operands.value_depth + v * width)
            kb.store(accumulator, self._results_ptr, at)

    def _rescaled(self, place: Index, row: Index, height: int) -> list[SSAValue]:
        """The results so far, relative to the new maximum."""
        kb, tiling = self._kb, self._tiling
        width = tiling.result_width
        values: list[SSAValue] = []
        for i in range(height):
            factor = kb.load(self._softmax.corrections, row + i)
            for v in range(tiling.result_vectors):
                at = place + (i * self._operands.value_depth + v * width)
                old = kb.load(self._results_ptr, at, width)
                values.append(kb.pure(simd.MulOp(old, kb.splat(factor, width))))
        return values

    def _store_results(self, start: Index, count: Index) -> None:
        """The results over the sums of their weights."""
        kb, width = self._kb, self._tiling.result_width
        self._softmax.invert_sums(count)
        rows, columns = self._operands.result.strides[-2:]
        with kb.loop(0, count, extent=self._tiling.queries) as i:
            factor = kb.load(self._softmax.sums, i)
            keeps = kept_weights(kb, self._operands, factor, width)
            with kb.loop(0, self._operands.value_depth, width) as e:
                value = kb.load(
                    self._results_ptr, i * self._operands.value_depth + e, width
                )
                value = kb.pure(simd.MulOp(value, kb.splat(factor, width)))
                if keeps is not None:
                    zeros = kb.constant(0, self._element, width)
                    value = kb.pure(simd.SelectOp(keeps, value, zeros))
                index = start + i * rows + e * columns
                if columns == 1 or width == 1:
                    kb.store(value, self._operands.result.ptr, index)
                else:
                    kb.store_strided(value, self._operands.result.ptr, index, columns)
