"""What an attention reads and writes, as strided memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import Attribute, SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects import simd
from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.dialects.rt.types import BufferType
from nnc.errors import CompileError
from nnc.lowering.lower_dispatches.contraction.views import View
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.symbolic import Dim

_ZERO = Dim.of(0)


@dataclass(frozen=True)
class Operand:
    """A tensor `[batch..., H, rows, columns]` in memory, one stride an axis."""

    ptr: SSAValue
    element: Attribute
    offset: Dim
    strides: tuple[Dim, ...]
    """Of the result's axes; 0 along those that the operand repeats."""

    @property
    def row_stride(self) -> Dim:
        """From row to row."""
        return self.strides[-2]

    @property
    def column_stride(self) -> Dim:
        """From column to column."""
        return self.strides[-1]

    def start(self, position: Sequence[Index]) -> Index:
        """Where the rows of a batch element and head, or from a row on, begin."""
        total = Index.of(self.offset)
        for index, stride in zip(position, self.strides, strict=False):
            total = total + index * stride
        return total


@dataclass(frozen=True)
class Operands:
    """All that one attention reads and writes."""

    op: AttentionOp
    query: Operand
    key: Operand
    value: Operand
    masks: tuple[Operand, ...]
    result: Operand

    @staticmethod
    def of(
        kb: KernelBuilder, form: DispatchForm, buffers: Sequence[BufferType]
    ) -> Operands:
        """The operands of a dispatch whose inputs, then outputs are `buffers`."""
        op = form.anchor
        assert isinstance(op, AttentionOp)
        rank = len(dims_of(op.result))

        def operand(view: View | None, value: SSAValue) -> Operand:
            if view is None or any(len(a) > 1 for a in view.axes):
                raise CompileError(
                    f"{location_of(op)}: {value.type} of {op.name} has no strides"
                )
            buffer = kb.buffers[view.argument]
            strides = [a[0][1] if a else _ZERO for a in view.axes]
            missing = [_ZERO] * (rank - len(strides))
            all_strides = (*missing, *strides)
            return Operand(buffer.ptr, buffer.element_type, view.offset, all_strides)

        read: list[Operand] = []
        for value, chain in zip(op.operands, form.operands, strict=True):
            argument = form.block.args.index(chain.root)
            view = View.of_buffer(argument, buffers[argument])
            read.append(operand(view.seen_through(chain.ops), value))
        (yielded,) = form.yields
        last = len(buffers) - 1
        stored = View.of_buffer(last, buffers[last]).seen_before(yielded.views)
        query, key, value, *masks = read
        return Operands(op, query, key, value, tuple(masks), operand(stored, op.result))

    @property
    def element(self) -> Attribute:
        """What queries, keys, values and scores are."""
        return element_type_of(self.op.query)

    @property
    def outer(self) -> tuple[Dim, ...]:
        """Batch axes and heads."""
        return dims_of(self.op.result)[:-2]

    @property
    def queries(self) -> Dim:
        """How many queries there are."""
        return dims_of(self.op.result)[-2]

    @property
    def keys(self) -> Dim:
        """How many keys there are."""
        return dims_of(self.op.key)[-2]

    @property
    def depth(self) -> int:
        """Elements of a query or key."""
        return _known(dims_of(self.op.query)[-1])

    @property
    def value_depth(self) -> int:
        """Elements of a value."""
        return _known(dims_of(self.op.value)[-1])

    def visible_keys(self, kb: KernelBuilder, end: Index) -> Index:
        """How many keys the queries before `end` see at most."""
        offset = self.op.causal_offset
        if offset is None:
            return Index.of(self.keys)
        return kb.maximum(kb.minimum(end + offset, self.keys), 0)


def kept_weights(
    kb: KernelBuilder, operands: Operands, factor: SSAValue, width: int
) -> SSAValue | None:
    """
    Whether a row of weights counts, in `width` lanes; None if all rows do.

    `factor` is one over the sum of the row: infinite if all scores are -inf.
    """
    op = operands.op
    if not op.zeroes_nan and not op.zeroes_empty:
        return None
    limit = kb.constant(math.inf, operands.element)
    # Of NaN the first is false, the second true.
    test = simd.CmpOp("lt" if op.zeroes_nan else "ne", factor, limit)
    return kb.splat(kb.pure(test), width)


def _known(size: Dim) -> int:
    number = size.as_int()
    assert number is not None, "a depth that is not known has no kernel"
    return number


@dataclass(frozen=True)
class Place:
    """Where the operands of one task lie: a batch element, a head, some queries."""

    query: Index
    key: Index
    value: Index
    masks: tuple[Index, ...]
    result: Index
    first: Index
    """The position of the first query."""

    @staticmethod
    def of(
        operands: Operands, position: Sequence[Index], shared: Index, first: Index
    ) -> Place:
        """For `position`, the head of keys and values being `shared`."""
        keys = [*position[:-1], shared]
        rows = [*position, first]
        return Place(
            operands.query.start(rows),
            operands.key.start(keys),
            operands.value.start(keys),
            tuple(m.start(rows) for m in operands.masks),
            operands.result.start(rows),
            first,
        )
