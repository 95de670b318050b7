"""
What happens to accumulators: the elementwise ops after the anchor, and stores.

A value of the epilogue is computed for one vector of one row at a time. Operands that
do not change from row to row (biases, scales) are read once for a panel of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import IntegerType
from xdsl.ir import BlockArgument, OpResult, SSAValue

from nnc.analysis.dispatches import ELEMENTWISE, DispatchForm, view_chain
from nnc.dialects.nn import elementwise as nn
from nnc.dialects.nn.constants import dense_array
from nnc.dialects.nn.movement import DimCastOp
from nnc.dialects.nn.structure import ConstantOp, DimsOp
from nnc.lowering.lower_dispatches.contraction.space import Axis, Space, is_single
from nnc.lowering.lower_dispatches.elementwise import (
    convert,
    emit_elementwise,
    to_compute,
)
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.symbolic import Dim

_CHEAP = frozenset(
    {
        nn.AddOp,
        nn.SubOp,
        nn.MulOp,
        nn.MaximumOp,
        nn.MinimumOp,
        nn.ReluOp,
        nn.ClampOp,
        nn.NegOp,
        nn.AbsOp,
        nn.CompareOp,
        nn.SelectOp,
        nn.CastOp,
        nn.AndOp,
        nn.OrOp,
        nn.XorOp,
        nn.NotOp,
    }
)
"""Ops of about one instruction a vector."""


@dataclass(frozen=True)
class Place:
    """Where a vector of results lies: an index into each view, and guards."""

    offsets: tuple[Index, ...]
    width: int
    mask: SSAValue | None = None

    def moved(self, axis: Axis, distance: IndexLike) -> Place:
        """The place `distance` steps along `axis`."""
        offsets = tuple(
            offset + _product(distance, stride)
            for offset, stride in zip(self.offsets, axis.views, strict=True)
        )
        return Place(offsets, self.width, self.mask)

    def with_lanes(self, width: int, mask: SSAValue | None) -> Place:
        """The same place for vectors of another width or mask."""
        return Place(self.offsets, width, mask)


def _product(distance: IndexLike, stride: Dim) -> Index:
    return Index.of(distance) * stride


class Epilogue:
    """Emits the epilogue of one dispatch into a kernel."""

    def __init__(self, kb: KernelBuilder, form: DispatchForm, space: Space) -> None:
        self._kb = kb
        self._form = form
        self._space = space
        assert form.anchor is not None
        self._anchor = form.anchor.results[0]
        self._steady = [
            all(a.views[i] == 0 for a in space.rows) for i in range(len(space.views))
        ]

    @property
    def is_cheap(self) -> bool:
        """Whether each op is about one instruction."""
        return all(
            type(op) in _CHEAP for op in self._form.epilogue if type(op) in ELEMENTWISE
        )

    @property
    def ops_a_vector(self) -> int:
        """About how many `simd` ops each vector of results takes."""
        ops = sum(type(op) in ELEMENTWISE for op in self._form.epilogue)
        loads = sum(not self._steady[i] for i in self._space.leaves.values())
        return ops + 2 * (loads + len(self._space.outputs))

    def run(self, accumulator: SSAValue, place: Place) -> None:
        """Compute all results for one vector of accumulators and store them."""
        memo: dict[SSAValue, SSAValue] = {self._anchor: accumulator}
        values = [self._value(y.value, place, memo) for y in self._form.yields]
        for value, view in zip(values, self._space.outputs, strict=True):
            self._store(value, view, place)

    def _store(self, value: SSAValue, view: int, place: Place) -> None:
        kb = self._kb
        buffer = kb.buffers[self._space.views[view].argument]
        value = kb.splat(convert(kb, value, buffer.element_type), place.width)
        stride = self._space.columns.views[view]
        if place.width == 1 or stride == 1 or self._space.columns.size == 1:
            kb.store(value, buffer.ptr, place.offsets[view], place.mask)
        else:
            kb.store_strided(value, buffer.ptr, place.offsets[view], stride, place.mask)

    def _value(
        self, value: SSAValue, place: Place, memo: dict[SSAValue, SSAValue]
    ) -> SSAValue:
        known = memo.get(value)
        if known is None:
            known = memo[value] = self._compute(value, place, memo)
        return known

    def _compute(
        self, value: SSAValue, place: Place, memo: dict[SSAValue, SSAValue]
    ) -> SSAValue:
        if value in self._space.leaves:
            return self._load(self._space.leaves[value], place)
        if isinstance(value, BlockArgument):
            return self._load_single(value)
        assert isinstance(value, OpResult)
        op = value.op
        match op:
            case ConstantOp():
                return self._constant(op)
            case DimsOp():
                element_type = IntegerType(64)
                return self._kb.to_data(op.dims.dims[0], element_type)
            case _ if type(op) in ELEMENTWISE:
                operands = [self._value(o, place, memo) for o in op.operands]
                mask = place.mask if place.width > 1 else None
                return emit_elementwise(self._kb, op, operands, mask)
            case DimCastOp():
                return self._value(op.operand, place, memo)
            case _:
                # A view of one element, which is the same everywhere.
                return self._value(view_chain(value).root, place, memo)

    def _constant(self, op: ConstantOp) -> SSAValue:
        array = dense_array(op.value).reshape(-1)
        number = array[0].item() if array.size else 0
        value = self._kb.constant(number, op.value.get_element_type())
        return to_compute(self._kb, value)

    def _load_single(self, value: BlockArgument) -> SSAValue:
        kb = self._kb
        buffer = kb.buffers[value.index]
        assert is_single(value)
        return to_compute(kb, kb.load_invariant(buffer.ptr, 0))

    def _load(self, view: int, place: Place) -> SSAValue:
        kb = self._kb
        ptr = kb.buffers[self._space.views[view].argument].ptr
        offset, stride = place.offsets[view], self._space.columns.views[view]
        read = kb.load_invariant if self._steady[view] else kb.load
        if place.width == 1 or stride == 0:
            loaded = kb.splat(to_compute(kb, read(ptr, offset)), place.width)
        elif stride == 1:
            loaded = to_compute(kb, read(ptr, offset, place.width, place.mask))
        else:
            loaded = to_compute(
                kb, kb.load_strided(ptr, offset, stride, place.width, place.mask)
            )
        return loaded


def first_place(space: Space, indices: Sequence[tuple[Axis, Index]]) -> Place:
    """Where the element at `indices` of some axes, and 0 of the others, lies."""
    offsets = [Index.of(v.offset) for v in space.views]
    place = Place(tuple(offsets), 1)
    for axis, index in indices:
        place = place.moved(axis, index)
    return place
