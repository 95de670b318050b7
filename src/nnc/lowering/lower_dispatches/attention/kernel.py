"""
The attention kernel: scores never leave the scratch of a task.

A task is a block of queries of one head::

    Q' = transpose(scale * Q[block])
    for each block of keys:
        S' = K[keys] * Q'                   # a row a key, so lanes are queries
        m, l, P' = online softmax of S'
        O = O * e^(m_old - m_new) + transpose(P') * V[keys]
    out[block] = O / l

Scores are computed transposed: only the queries of the task have to be transposed, keys
and values are read where they lie, and the softmax needs no sum across lanes. The
register tile of contractions does both products. Sources: Milakov, Gimelshein, "Online
normalizer calculation for softmax" (2018); Dao et al., "FlashAttention" (2022).

Scratch is on the stack: bounded whatever the lengths are, and private to a task, so
results do not depend on how tasks are shared out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import Attribute, SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects import simd
from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.types import bit_width, dims_of, element_type_of
from nnc.dialects.rt.types import BufferType
from nnc.errors import CompileError
from nnc.lowering.lower_dispatches.attention.softmax import (
    Mask,
    OnlineSoftmax,
    Scratch,
)
from nnc.lowering.lower_dispatches.attention.tiling import (
    AttentionTiling,
    attention_tiling,
)
from nnc.lowering.lower_dispatches.contraction.views import View
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import Kernel, KernelBuilder
from nnc.lowering.tiling import vector_width
from nnc.symbolic import Dim, dim_product
from nnc.target import Target

_ZERO = Dim.of(0)


@dataclass(frozen=True)
class AttentionKernel:
    """A kernel, how many tasks a launch of it has, and what it is called."""

    kernel: Kernel
    tasks: Dim
    schedule: str


def attention_kernel(
    form: DispatchForm, buffers: Sequence[BufferType], target: Target
) -> AttentionKernel:
    """The kernel of a dispatch whose inputs, then outputs are `buffers`."""
    op = form.anchor
    assert isinstance(op, AttentionOp)
    element = element_type_of(op.query)
    depths = [dims_of(v)[-1].as_int() for v in (op.query, op.value)]
    depth, value_depth = depths
    assert depth
    assert value_depth
    tiling = attention_tiling(
        target,
        vector_width(target, element),
        dims_of(op.query)[-2],
        dims_of(op.key)[-2],
        (depth, value_depth),
        bit_width(element) // 8,
    )
    kb = KernelBuilder(target, buffers)
    program = _Attention(kb, form, buffers, tiling, (depth, value_depth))
    program.emit()
    return AttentionKernel(kb.finish(), program.tasks, "attention")


@dataclass(frozen=True)
class _Operand:
    """A tensor `[batch..., H, rows, columns]` in memory, one stride an axis."""

    ptr: SSAValue
    element: Attribute
    offset: Dim
    strides: tuple[Dim, ...]
    """Of the result's axes; 0 along those that the operand repeats."""

    def start(self, position: Sequence[Index]) -> Index:
        """Where the rows of a batch element and head begin."""
        total = Index.of(self.offset)
        for index, stride in zip(position, self.strides, strict=False):
            total = total + index * stride
        return total


class _Attention:
    """Emits one attention into a kernel."""

    def __init__(
        self,
        kb: KernelBuilder,
        form: DispatchForm,
        buffers: Sequence[BufferType],
        tiling: AttentionTiling,
        depths: tuple[int, int],
    ) -> None:
        self._kb, self._tiling = kb, tiling
        op = form.anchor
        assert isinstance(op, AttentionOp)
        self._op = op
        self._depth, self._value_depth = depths
        *self._batch, self._heads, self._count, _ = dims_of(op.result)
        self._keys = dims_of(op.key)[-2]
        self._element = element_type_of(op.query)
        operands: list[_Operand] = []
        for value, chain in zip(op.operands, form.operands, strict=True):
            argument = form.block.args.index(chain.root)
            view = View.of_buffer(argument, buffers[argument]).seen_through(chain.ops)
            operands.append(self._operand(view, value))
        self._query, self._key, self._value, *masks = operands
        self._masks = [Mask(m.ptr, m.element, *m.strides[-2:]) for m in masks]
        self._mask_operands = masks
        (yielded,) = form.yields
        last = len(buffers) - 1
        stored = View.of_buffer(last, buffers[last]).seen_before(yielded.views)
        self._result = self._operand(stored, op.result)
        columns = tiling.score_vectors * tiling.width
        rows = tiling.keys + 2 * tiling.slack
        self._queries_ptr = self._alloca(depths[0] * tiling.row_stride)
        self._scores = Scratch(
            # Score tiles may reach beyond the columns of a short row, never the end.
            self._alloca(rows * tiling.row_stride + columns),
            tiling.slack * tiling.row_stride,
            tiling.row_stride,
        )
        self._results_ptr = self._alloca(tiling.padded_queries * depths[1])
        self._softmax = OnlineSoftmax(
            kb,
            op,
            tiling,
            self._scores,
            [self._alloca(tiling.queries + tiling.result_rows) for _ in range(3)],
            self._masks,
        )

    @property
    def tasks(self) -> Dim:
        """Blocks of queries of all heads."""
        if any(d == 0 for d in dims_of(self._op.result)):
            return _ZERO
        return dim_product([*self._batch, self._heads, self._tiling.blocks])

    def _operand(self, view: View | None, value: SSAValue) -> _Operand:
        if view is None or any(len(a) > 1 for a in view.axes):
            raise CompileError(
                f"{location_of(self._op)}: {value.type} of nn.attention has no strides"
            )
        buffer = self._kb.buffers[view.argument]
        dims = dims_of(value)
        missing = len(self._batch) + 3 - len(dims)
        strides = [a[0][1] if a else _ZERO for a in view.axes]
        return _Operand(
            buffer.ptr, buffer.element_type, view.offset, (*[_ZERO] * missing, *strides)
        )

    def _alloca(self, count: int) -> SSAValue:
        return self._kb.add(simd.AllocaOp(count, self._element), depth=0)

    # ---- loops

    def emit(self) -> None:
        """All loops."""
        if self.tasks == 0:
            return
        kb, tiling = self._kb, self._tiling
        sizes = [*self._batch, self._heads, tiling.blocks]
        with kb.loop(kb.begin, kb.end, extent=self.tasks) as task:
            position: list[Index] = []
            for size in reversed(sizes[1:]):
                task, rest = kb.divmod(task, size)
                position.insert(0, rest)
            *position, block = [task, *position]
            first = block * self._block_size()
            count = kb.minimum(Index.of(self._count) - first, self._block_size())
            self._task(position, first, count)

    def _block_size(self) -> int:
        """Queries of a block; there may be room for more."""
        fixed = self._count.as_int()
        size = self._tiling.queries
        return size if fixed is None else min(fixed, size)

    def _task(self, position: Sequence[Index], first: Index, count: Index) -> None:
        kb, tiling = self._kb, self._tiling
        head = position[-1]
        shared = [*position[:-1], kb.floordiv(head, self._op.group_size)]
        self._load_queries(self._query.start([*position, first]), count)
        starts = [m.start([*position, first]) for m in self._mask_operands]
        keys = self._visible_keys(first, count)
        key, value = self._key.start(shared), self._value.start(shared)
        if tiling.is_single:
            self._key_block(key, value, Index.of(0), keys, count, starts, first)
        else:
            self._softmax.reset(count, self._keys)
            self._clear_results()
            with kb.loop(0, keys, tiling.keys, extent=self._keys) as start:
                block = kb.minimum(Index.of(keys) - start, tiling.keys)
                self._key_block(key, value, start, block, count, starts, first)
        self._store_results(self._result.start([*position, first]), count)

    def _visible_keys(self, first: Index, count: Index) -> Index:
        """How many keys the queries of a block see at most."""
        offset = self._op.causal_offset
        if offset is None:
            return Index.of(self._keys)
        limit = self._kb.minimum(first + count + offset, self._keys)
        return self._kb.maximum(limit, 0)

    def _key_block(
        self,
        key: Index,
        value: Index,
        start: Index,
        keys: Index,
        count: Index,
        masks: Sequence[Index],
        first: Index,
    ) -> None:
        """Scores, softmax and results of the keys from `start` on."""
        self._score_tiles(key, start, keys, count)
        self._softmax.block(start, keys, count, masks, first)
        self._result_tiles(value + start * self._value.strides[-2], keys, count)

    # ---- queries

    def _load_queries(self, start: Index, count: Index) -> None:
        """The scaled queries of a block, transposed."""
        kb, width = self._kb, self._tiling.width
        scale = self._op.scale.value.data
        whole = kb.floordiv(count, width) * width
        rows, columns = self._query.strides[-2:]
        squares = self._depth // width * width if width > 1 else 0
        ptr, target = self._query.ptr, self._queries_ptr
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
            with kb.loop(squares, self._depth) as d:
                single(d, c, None)
        rest = count - whole
        if rest.dim == 0:
            return
        with kb.when(kb.compare("sgt", rest, 0)):
            mask = kb.mask(rest, width)
            with kb.loop(0, self._depth) as d:
                single(d, whole, mask)

    # ---- products

    def _score_tiles(self, key: Index, start: Index, keys: Index, count: Index) -> None:
        """
        The products of keys and queries.

        The last tile of a block moves up so that it ends with the last key there is:
        the rows that it computes again, or that belong before the block, do not hurt.
        """
        kb, tiling = self._kb, self._tiling
        columns = tiling.score_vectors * tiling.width

        def tiles(height: int) -> Sequence[SSAValue]:
            with (
                kb.loop(0, count, columns, extent=tiling.queries) as c,
                kb.loop(0, keys, height, extent=self._keys) as j,
            ):
                row = kb.minimum(start + j, Index.of(self._keys) - height)
                self._score_tile(key, row, row - start, c, height)
            return ()

        height = tiling.score_rows
        is_tall = kb.compare("sge", Index.of(self._keys), height)
        kb.choose(is_tall, lambda: tiles(height), lambda: tiles(1))

    def _score_tile(
        self, key: Index, row: Index, place: Index, column: Index, height: int
    ) -> None:
        kb, tiling, scores = self._kb, self._tiling, self._scores
        vectors, width = tiling.score_vectors, tiling.width
        rows, columns = self._key.strides[-2:]
        step = columns.as_int()
        assert step is not None, "keys are dense along their last axis"
        one = (kb.value(1), kb.value(0))
        op = simd.ContractOp(
            *kb.address(self._key.ptr, key + row * rows),
            *kb.address(self._queries_ptr, column),
            row_stride=kb.value(rows),
            k=kb.value(self._depth),
            outer=one,
            inner=one,
            b_stride=kb.value(tiling.row_stride),
            mr=height,
            nv=vectors,
            width=width,
            a_k_stride=step if self._depth > 1 else 1,
        )
        kb.add(op)
        first = place * scores.stride + column + scores.offset
        for position, value in enumerate(op.results):
            i, v = divmod(position, vectors)
            kb.store(value, scores.ptr, first + (i * scores.stride + v * width))

    def _clear_results(self) -> None:
        kb, width = self._kb, self._tiling.result_width
        zero = kb.constant(0, self._element, width)
        total = self._tiling.padded_queries * self._value_depth
        with kb.loop(0, total, width) as i:
            kb.store(zero, self._results_ptr, i)

    def _result_tiles(self, value: Index, keys: Index, count: Index) -> None:
        """Weights times values, added to what earlier blocks of keys gave."""
        kb, tiling = self._kb, self._tiling
        width, vectors = tiling.result_width, tiling.result_vectors
        columns = vectors * width
        with (
            kb.loop(0, self._value_depth, columns) as e,
            kb.loop(0, count, tiling.result_rows, extent=tiling.queries) as r,
        ):
            place = r * self._value_depth + e
            initial = [] if tiling.is_single else self._rescaled(place, r)
            one = (kb.value(1), kb.value(0))
            op = simd.ContractOp(
                *kb.address(self._scores.ptr, r + self._scores.offset),
                *kb.address(self._value.ptr, value + e),
                row_stride=kb.value(1),
                k=kb.value(keys),
                outer=one,
                inner=one,
                b_stride=kb.value(self._value.strides[-2]),
                mr=tiling.result_rows,
                nv=vectors,
                width=width,
                init=initial,
                a_k_stride=self._scores.stride,
            )
            kb.add(op)
            for position, accumulator in enumerate(op.results):
                i, v = divmod(position, vectors)
                at = place + (i * self._value_depth + v * width)
                kb.store(accumulator, self._results_ptr, at)

    def _rescaled(self, place: Index, row: Index) -> list[SSAValue]:
        """The results so far, relative to the new maximum."""
        kb, tiling = self._kb, self._tiling
        width = tiling.result_width
        values: list[SSAValue] = []
        for i in range(tiling.result_rows):
            factor = kb.load(self._softmax.corrections, row + i)
            for v in range(tiling.result_vectors):
                at = place + (i * self._value_depth + v * width)
                old = kb.load(self._results_ptr, at, width)
                values.append(kb.pure(simd.MulOp(old, kb.splat(factor, width))))
        return values

    def _store_results(self, start: Index, count: Index) -> None:
        """The results over the sums of their weights."""
        kb, width = self._kb, self._tiling.result_width
        self._softmax.invert_sums(count)
        rows, columns = self._result.strides[-2:]
        with kb.loop(0, count, extent=self._tiling.queries) as i:
            factor = kb.load(self._softmax.sums, i)
            keeps: SSAValue | None = None
            if self._op.zeroes_nan:
                limit = kb.constant(math.inf, self._element)
                keeps = kb.splat(kb.pure(simd.CmpOp("lt", factor, limit)), width)
            with kb.loop(0, self._value_depth, width) as e:
                value = kb.load(self._results_ptr, i * self._value_depth + e, width)
                value = kb.pure(simd.MulOp(value, kb.splat(factor, width)))
                if keeps is not None:
                    zeros = kb.constant(0, self._element, width)
                    value = kb.pure(simd.SelectOp(keeps, value, zeros))
                index = start + i * rows + e * columns
                if columns == 1 or width == 1:
                    kb.store(value, self._result.ptr, index)
                else:
                    kb.store_strided(value, self._result.ptr, index, columns)
