"""
Contractions that the register tile cannot do: integers, and unusual views.

One result element (or a vector of neighbours) at a time: loops over the products, and
the epilogue on the sum. Right for everything, fast for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects import simd
from nnc.dialects.nn.base import ints, location_of
from nnc.dialects.nn.conv import ConvOp
from nnc.dialects.nn.linear import MatmulOp, UnpackOp
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.dialects.rt.types import BufferType
from nnc.errors import CompileError
from nnc.lowering.lower_dispatches.access import ELEMENT_RULES, Elements
from nnc.lowering.lower_dispatches.contraction.views import View
from nnc.lowering.lower_dispatches.elementwise import compute_type
from nnc.lowering.lower_dispatches.emit import Emitter
from nnc.lowering.lower_dispatches.expressions import (
    Axis,
    Hole,
    Load,
    Node,
    axes_of,
    walk,
)
from nnc.lowering.lower_dispatches.index import Index
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
    vector_width,
)
from nnc.symbolic import Dim

Indices = tuple[Index, ...]


def emit_generic(
    kb: KernelBuilder, form: DispatchForm, buffers: Sequence[BufferType]
) -> Dim:
    """Emit the kernel of any contraction; gives its task count."""
    return _GenericContraction(kb, form, buffers).emit()


class _GenericContraction:
    def __init__(
        self, kb: KernelBuilder, form: DispatchForm, buffers: Sequence[BufferType]
    ) -> None:
        assert isinstance(form.anchor, MatmulOp | ConvOp)
        self._kb = kb
        self._anchor = form.anchor
        self._sum = form.anchor.result
        self._type = compute_type(element_type_of(self._sum))
        args: dict[SSAValue, BufferArg] = dict(
            zip(form.block.args, kb.buffers, strict=False)
        )
        self._elements = Elements(
            args, {self._sum: lambda at: Hole(self._type, self._sum, axes_of(*at))}
        )
        self._axes, indices = make_axes(form.full_dims)
        self._reduced, self._factors = _products(
            self._elements, form.anchor, tuple(indices)
        )
        self._stores: list[Store] = []
        for position, yielded in enumerate(form.yields, len(form.block.args)):
            whole = View.of_buffer(position, buffers[position])
            view = whole.seen_before(yielded.views)
            if view is None:
                raise CompileError(
                    f"{location_of(form.anchor)}: result {yielded.result.type} cannot "
                    f"be stored to {buffers[position]}"
                )
            node = self._elements.at(yielded.value, indices)
            index = self._stored_index(view, indices)
            self._stores.append(Store(node, kb.buffers[position], index))

    def _stored_index(self, view: View, indices: Sequence[Index]) -> Index:
        """Where the element at `indices` lies in the memory of a result."""
        total = Index.of(view.offset)
        for steps, index in zip(view.axes, indices, strict=True):
            for size, stride in reversed(steps[1:]):
                index, rest = self._elements.divmod(index, size)
                total = total + rest * stride
            if steps:
                total = total + index * steps[0][1]
        return total

    def emit(self) -> Dim:
        """Emit all loops; gives the task count."""
        kb, axes = self._kb, self._axes
        if any(a.extent == 0 for a in axes):
            return Dim.of(0)
        lane = axes[-1] if axes and self._is_vectorizable(axes[-1]) else None
        outer = [a for a in axes if a is not lane]
        extents = [a.extent or 0 for a in outer]
        length = lane.extent or 0 if lane else 1
        split = split_tasks(outer, extents, length)
        inner = outer[len(split.axes) :]
        inner_extents = [a.extent or 0 for a in inner]
        with row_loops(kb, split, inner, inner_extents, kb.begin, kb.end) as bound:
            if lane is None:
                self._step(bound, None, 1, None)
                return split.tasks

            def step(first: Index, width: int, mask: SSAValue | None) -> None:
                self._step({**bound, lane: first}, lane, width, mask)

            lane_loop(kb, 0, length, vector_width(kb.target, self._stores), step)
        return split.tasks

    def _is_vectorizable(self, axis: Axis) -> bool:
        """Whether everything is at steady distances along `axis`."""
        roots = [*self._factors, *(s.node for s in self._stores)]
        accesses = [n.index for n in walk(roots) if isinstance(n, Load)]
        accesses += [s.index for s in self._stores]
        return all(
            isinstance(var, Axis) or axis not in getattr(var, "axes", (axis,))
            for index in accesses
            for var in index.terms
        )

    def _step(
        self,
        bound: dict[Axis, Index],
        lane: Axis | None,
        width: int,
        mask: SSAValue | None,
    ) -> None:
        total = self._sum_of_products(bound, lane, width, mask)
        emitter = Emitter(self._kb, bound, lane, width, mask, {self._sum: total})
        values = [emitter.value(s.node) for s in self._stores]
        for store, value in zip(self._stores, values, strict=True):
            store_element(emitter, store, value)

    def _sum_of_products(
        self,
        bound: dict[Axis, Index],
        lane: Axis | None,
        width: int,
        mask: SSAValue | None,
    ) -> SSAValue:
        kb = self._kb

        def level(
            axes: Sequence[Axis], bound: dict[Axis, Index], total: SSAValue
        ) -> SSAValue:
            if not axes:
                emitter = Emitter(kb, bound, lane, width, mask)
                a, b = (emitter.vector(f) for f in self._factors)
                return kb.pure(simd.AddOp(total, kb.pure(simd.MulOp(a, b))))
            axis, *others = axes
            (result,) = kb.fold(
                0,
                axis.extent or 0,
                1,
                [total],
                lambda i, carried: [level(others, {**bound, axis: i}, carried[0])],
            )
            return result

        return level(self._reduced, bound, kb.constant(0, self._type, width))


def _products(
    elements: Elements, anchor: MatmulOp | ConvOp, indices: Indices
) -> tuple[list[Axis], tuple[Node, Node]]:
    """The axes that are summed over, and the two factors of each product."""
    if isinstance(anchor, MatmulOp):
        axes, (k,) = make_axes(dims_of(anchor.lhs)[-1:])
        *batch, m, n = indices
        lhs = _broadcast(dims_of(anchor.lhs)[:-2], batch)
        rhs = _broadcast(dims_of(anchor.rhs)[:-2], batch)
        return axes, (
            elements.at(anchor.lhs, [*lhs, m, k]),
            elements.at(anchor.rhs, [*rhs, k, n]),
        )
    image, *positions, out = indices
    *kernel, depth, columns = dims_of(anchor.filter)
    axes, taps = make_axes([*kernel, depth])
    group_size = columns // anchor.groups.value.data
    group, _ = elements.divmod(out, group_size)
    strides, dilations = ints(anchor.strides), ints(anchor.dilations)
    spatial = [
        p * s + t * d
        for p, s, t, d in zip(positions, strides, taps, dilations, strict=False)
    ]
    return axes, (
        elements.at(anchor.input, [image, *spatial, group * depth + taps[-1]]),
        elements.at(anchor.filter, [*taps, out]),
    )


def _broadcast(dims: Sequence[Dim], batch: Sequence[Index]) -> list[Index]:
    """The batch indices of an operand with these batch dims."""
    own = batch[len(batch) - len(dims) :]
    return [Index.of(0) if d == 1 else i for d, i in zip(dims, own, strict=True)]


def _unpack(elements: Elements, op: UnpackOp, indices: Indices) -> Node:
    """The element in the panels that `nn.pack` made."""
    *rows, column = indices
    dims = dims_of(op.result)
    k = Index.of(0)
    for index, size in zip(rows, dims[:-1], strict=True):
        k = k * size + index
    group, within = elements.divmod(column, dims[-1] // op.groups.value.data)
    panel, lane = elements.divmod(within, op.panel.value.data)
    return elements.at(op.operand, [group, panel, k, lane])


ELEMENT_RULES[UnpackOp] = _unpack
