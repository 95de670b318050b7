"""
Row programs, taken apart: reductions over the same axes and what is elementwise around.

A row is what one point of the axes that are kept sees. Reductions that do not depend on
each other share a loop over the row; those that need results of others come in a later
loop, a *phase*: `softmax` has the phases max, sum and quotient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import i64
from xdsl.ir import Attribute, SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects import simd
from nnc.dialects.nn import elementwise as nn
from nnc.dialects.nn.reduction import ReduceOp
from nnc.dialects.nn.types import element_type_of as tensor_element_type
from nnc.dialects.nn.types import is_bool, is_float
from nnc.lowering.lower_dispatches.access import Elements, HoleRule, Indices
from nnc.lowering.lower_dispatches.elementwise import (
    MakeOp,
    compute_type,
    convert,
    integer_range,
    running_extremum,
)
from nnc.lowering.lower_dispatches.expressions import (
    Apply,
    AxisSet,
    Call,
    Hole,
    Node,
    all_indices,
    walk,
)
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.loops import (
    Space,
    make_axes,
    merged_space,
)
from nnc.lowering.lower_dispatches.stores import (
    Store,
    stored_before,
)
from nnc.symbolic import Dim, DimLike, dim_product

UNROLL = 4
"""Vectors in flight: enough accumulators to hide the latency of an addition."""


_EXPENSIVE = frozenset(
    {
        nn.ExpOp,
        nn.LogOp,
        nn.TanhOp,
        nn.ErfOp,
        nn.SigmoidOp,
        nn.PowOp,
        nn.SinOp,
        nn.CosOp,
        nn.TanOp,
        nn.AsinOp,
        nn.AcosOp,
        nn.AtanOp,
        nn.SinhOp,
        nn.CoshOp,
        nn.AsinhOp,
        nn.AcoshOp,
        nn.AtanhOp,
    }
)


def is_expensive(nodes: Sequence[Node]) -> bool:
    """Whether computing the nodes takes many instructions."""
    return any(isinstance(n, Apply) and type(n.op) in _EXPENSIVE for n in walk(nodes))


@dataclass(frozen=True)
class Reduction:
    """How one `nn.reduce` is computed."""

    op: ReduceOp
    node: Node
    """The element that is reduced."""

    level: int
    """The phase that computes it, from 1."""

    @property
    def kind(self) -> str:
        """`nn.reduce`'s kind."""
        return self.op.kind.data

    @property
    def type(self) -> Attribute:
        """The element type of the accumulators."""
        if self.kind == "mean" and not is_float(self.node.type):
            return i64
        return self.node.type

    def identity(self, kb: KernelBuilder, width: int) -> SSAValue:
        """The accumulator of no elements."""
        return kb.constant(_identity(self.kind, self.type), self.type, width)

    def combine(self, kb: KernelBuilder, a: SSAValue, b: SSAValue) -> SSAValue:
        """Two accumulators, or an accumulator and an element, as one."""
        if self.kind in ("max", "min") and not is_bool(self.type):
            return running_extremum(kb, a, b, largest=self.kind == "max")
        op = _COMBINE[self.kind]
        if is_bool(self.type):
            op = _COMBINE_BOOL[self.kind]
        return kb.add(op(a, b))

    def across(self, kb: KernelBuilder, vector: SSAValue) -> SSAValue:
        """All lanes of an accumulator as one scalar."""
        kind = {"mean": "add", "sum": "add", "prod": "mul"}.get(self.kind, self.kind)
        if is_bool(self.type):
            kind = {"max": "or", "add": "or", "min": "and", "mul": "and"}.get(
                kind, kind
            )
        return kb.add(simd.ReduceOp(kind, vector))

    def finish(
        self, kb: KernelBuilder, total: SSAValue, count: DimLike, width: int
    ) -> SSAValue:
        """The result from the complete accumulator."""
        if self.kind != "mean":
            return total
        number = kb.splat(kb.to_data(count, self.type), width)
        return convert(kb, kb.pure(simd.DivOp(total, number)), self.node.type)


_COMBINE: Mapping[str, MakeOp] = {
    "sum": simd.AddOp,
    "mean": simd.AddOp,
    "prod": simd.MulOp,
    "max": simd.MaxOp,
    "min": simd.MinOp,
    "and": simd.AndOp,
    "or": simd.OrOp,
}
_COMBINE_BOOL: Mapping[str, MakeOp] = {
    "sum": simd.OrOp,
    "mean": simd.OrOp,
    "prod": simd.AndOp,
    "max": simd.OrOp,
    "min": simd.AndOp,
    "and": simd.AndOp,
    "or": simd.OrOp,
}


def _identity(kind: str, type: Attribute) -> float:
    if kind in ("sum", "mean", "or"):
        return 0
    if kind == "prod":
        return 1
    if kind == "and":
        return -1 if not is_bool(type) else 1
    sign = -1 if kind == "max" else 1
    if is_float(type):
        return sign * math.inf
    lowest, highest = integer_range(type)
    return lowest if kind == "max" else highest


@dataclass
class RowProgram:
    """A dispatch of reductions, taken apart into phases."""

    kept: Space
    row: Space
    reductions: list[Reduction]
    full: list[tuple[int, Store]]
    """Results on the full shape, each with the phase that stores it."""

    reduced: list[Store]
    """Results with one element a row."""

    count: Dim
    """Elements of a row."""

    @property
    def phases(self) -> int:
        """The number of loops over a row."""
        levels = [r.level for r in self.reductions] + [p for p, _ in self.full]
        return max(levels)

    def roots(self, phase: int) -> list[Node]:
        """What one phase computes for an element of the row."""
        return [
            *(r.node for r in self.reductions if r.level == phase),
            *(s.node for p, s in self.full if p == phase),
        ]


def analyze_rows(
    form: DispatchForm,
    inputs: Mapping[SSAValue, BufferArg],
    outputs: Sequence[BufferArg],
) -> RowProgram:
    """Take a dispatch apart."""
    dims = form.full_dims
    is_reduced = [axis in form.reduced_axes for axis in range(len(dims))]
    axes, indices = make_axes(dims)
    kept_axes = [
        a
        for a in axes
        if not is_reduced[next(i for i, x in enumerate(indices) if a in x.terms)]
    ]
    row_axes = [a for a in axes if a not in kept_axes]
    places: AxisSet = frozenset(kept_axes)
    holes: dict[SSAValue, HoleRule] = {
        r.result: _hole(r.result, places) for r in form.reductions
    }
    elements = _RowElements(inputs, holes, frozenset(row_axes))
    at_row = [
        Index({}, 0) if reduced else index
        for index, reduced in zip(indices, is_reduced, strict=True)
    ]
    levels: dict[SSAValue, int] = {}
    reductions: list[Reduction] = []
    for op in form.reductions:
        node = elements.at(op.operand, indices)
        level = 1 + max((levels[h] for h in node.holes), default=0)
        levels[op.result] = level
        reductions.append(Reduction(op, node, level))
    full: list[tuple[int, Store]] = []
    reduced: list[Store] = []
    for yielded, output in zip(form.yields, outputs, strict=True):
        buffer = stored_before(output, yielded.views)
        is_full = any(
            d != 1 and r for d, r in zip(buffer.dims, is_reduced, strict=True)
        )
        where = indices if is_full else at_row
        store = Store(elements.at(yielded.value, where), buffer, buffer.index(where))
        if is_full:
            level = 1 + max((levels[h] for h in store.node.holes), default=0)
            full.append((level, store))
        else:
            reduced.append(store)
    roots = [r.node for r in reductions]
    stores = [*(s for _, s in full), *reduced]
    used = [*all_indices([*roots, *(s.node for s in stores)])]
    used.extend(s.index for s in stores)
    return RowProgram(
        merged_space(kept_axes, used),
        merged_space(row_axes, used),
        reductions,
        full,
        reduced,
        dim_product(d for d, r in zip(dims, is_reduced, strict=True) if r),
    )


class _RowElements(Elements):
    """Elements where dividing by a value of the whole row is a multiplication."""

    def __init__(
        self,
        buffers: Mapping[SSAValue, BufferArg],
        holes: Mapping[SSAValue, HoleRule],
        row: AxisSet,
    ) -> None:
        super().__init__(buffers, holes)
        self.row = row

    def _make(self, value: SSAValue, indices: Indices) -> Node:
        node = super()._make(value, indices)
        if not isinstance(node, Apply) or not isinstance(node.op, nn.DivOp):
            return node
        dividend, divisor = node.args
        if divisor.axes & self.row or not dividend.axes & self.row:
            return node
        if not is_float(node.type) or not _has_reciprocal(divisor):
            return node
        inverse = Call(node.type, _reciprocal, (divisor,))
        return Call(node.type, _product, (dividend, inverse))


def _has_reciprocal(node: Node) -> bool:
    """Whether `1 / node` is finite wherever `x / node` might be."""
    if isinstance(node, Apply):
        return isinstance(node.op, nn.SqrtOp)
    if not isinstance(node, Hole):
        return False
    op = node.source.owner
    if not isinstance(op, ReduceOp) or op.kind.data != "sum":
        return False
    # A sum of powers e^(x - max x) is at least 1.
    return isinstance(op.operand.owner, nn.ExpOp)


def _reciprocal(kb: KernelBuilder, values: Sequence[SSAValue]) -> SSAValue:
    return kb.pure(simd.ReciprocalOp(values[0]))


def _product(kb: KernelBuilder, values: Sequence[SSAValue]) -> SSAValue:
    return kb.pure(simd.MulOp(values[0], values[1]))


def _hole(value: SSAValue, places: AxisSet) -> HoleRule:
    type_ = compute_type(tensor_element_type(value))

    def rule(_: Indices) -> Node:
        return Hole(type_, value, places)

    return rule
