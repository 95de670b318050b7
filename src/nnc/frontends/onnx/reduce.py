"""Converters of reductions."""

from __future__ import annotations

from functools import partial

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.reduction import ArgReduceKind, CumulativeKind, ReduceKind
from nnc.dialects.nn.types import dims_of, element_type_of, is_bool, rank_of
from nnc.frontends.common import Builder
from nnc.frontends.onnx.node import (
    Node,
    known_axes,
    known_int,
    normalized_axes,
    normalized_axis,
)
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import Dim


def _axes_of(node: Node, b: Builder, rank: int) -> list[int]:
    """The reduced axes; all of them if none are given."""
    axes = known_axes(node, b, 1)
    if axes:
        return normalized_axes(axes, rank)
    return [] if node.attr_int("noop_with_empty_axes", 0) else list(range(rank))


def _finish(node: Node, b: Builder, value: SSAValue, axes: list[int]) -> SSAValue:
    """Drop the reduced axes of `value` unless they are to be kept."""
    if node.attr_int("keepdims", 1):
        return value
    dims = dims_of(value)
    return b.reshape(value, [d for i, d in enumerate(dims) if i not in axes])


def _reduce(kind: ReduceKind, node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axes = _axes_of(node, b, rank_of(x))
    if is_bool(element_type_of(x)):
        logical: dict[ReduceKind, ReduceKind] = {"max": "or", "min": "and"}
        kind = logical.get(kind, kind)
    return _finish(node, b, b.reduce(x, kind, axes), axes)


_KINDS: dict[str, ReduceKind] = {
    "ReduceMax": "max",
    "ReduceMean": "mean",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceSum": "sum",
}
for _name, _kind in _KINDS.items():
    converter(_name)(partial(_reduce, _kind))


@converter("ReduceL1")
def _reduce_l1(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axes = _axes_of(node, b, rank_of(x))
    return _finish(node, b, b.reduce(b.unary(ew.AbsOp, x), "sum", axes), axes)


@converter("ReduceL2")
def _reduce_l2(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axes = _axes_of(node, b, rank_of(x))
    total = b.reduce(b.mul(x, x), "sum", axes)
    return _finish(node, b, b.unary(ew.SqrtOp, total), axes)


@converter("ReduceSumSquare")
def _reduce_sum_square(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axes = _axes_of(node, b, rank_of(x))
    return _finish(node, b, b.reduce(b.mul(x, x), "sum", axes), axes)


@converter("ReduceLogSum")
def _reduce_log_sum(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axes = _axes_of(node, b, rank_of(x))
    return _finish(node, b, b.unary(ew.LogOp, b.reduce(x, "sum", axes)), axes)


@converter("ReduceLogSumExp")
def _reduce_log_sum_exp(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axes = _axes_of(node, b, rank_of(x))
    highest = b.reduce(x, "max", axes)
    # Infinities must not meet in a difference.
    shift = b.select(b.emit(ew.IsInfOp(highest)), 0.0, highest)
    total = b.reduce(b.unary(ew.ExpOp, b.sub(x, shift)), "sum", axes)
    return _finish(node, b, b.add(b.unary(ew.LogOp, total), shift), axes)


def _arg_reduce(kind: ArgReduceKind, node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axis = node.attr_axis(0, rank_of(x))
    last = bool(node.attr_int("select_last_index", 0))
    return _finish(node, b, b.emit(nn.ArgReduceOp(x, kind, axis, True, last)), [axis])


converter("ArgMax")(partial(_arg_reduce, "max"))
converter("ArgMin")(partial(_arg_reduce, "min"))


def _cumulative(kind: CumulativeKind, node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axis = normalized_axis(known_int(b, node.input(1), "the axis"), rank_of(x))
    exclusive = bool(node.attr_int("exclusive", 0))
    reverse = bool(node.attr_int("reverse", 0))
    return b.emit(nn.CumulativeOp(x, axis, exclusive, reverse, kind))


converter("CumSum", since=11)(partial(_cumulative, "sum"))
converter("CumProd", since=26)(partial(_cumulative, "prod"))


# ---------------------------------------------------------------- softmax


def _flattened(b: Builder, x: SSAValue, axis: int) -> SSAValue:
    """`x` as a matrix: the axes before `axis`, and those from it on."""
    rows, columns = Dim.of(1), Dim.of(1)
    for i, dim in enumerate(dims_of(x)):
        if i < axis:
            rows = rows * dim
        else:
            columns = columns * dim
    return b.reshape(x, [rows, columns])


def _softmax_like(node: Node, b: Builder, compute: partial[SSAValue]) -> SSAValue:
    """Along one axis; up to opset 12 over all axes from `axis` (default 1) on."""
    x = node.input(0)
    rank, dims = rank_of(x), dims_of(x)
    if not rank:
        return b.reshape(compute(b, b.reshape(x, [1]), 0), ())
    if node.version >= 13:
        return compute(b, x, node.attr_axis(-1, rank))
    axis = node.attr_int("axis", 1)
    if axis != rank:
        axis = normalized_axis(axis, rank)
    if axis < rank and all(d == 1 for d in dims[axis + 1 :]):
        return compute(b, x, axis)
    return b.reshape(compute(b, _flattened(b, x, axis), 1), dims)


def _softmax(b: Builder, x: SSAValue, axis: int) -> SSAValue:
    return b.emit(nn.SoftmaxOp(x, axis))


def _log_softmax(b: Builder, x: SSAValue, axis: int) -> SSAValue:
    shifted = b.sub(x, b.reduce(x, "max", [axis]))
    total = b.reduce(b.unary(ew.ExpOp, shifted), "sum", [axis])
    return b.sub(shifted, b.unary(ew.LogOp, total))


def _hardmax(b: Builder, x: SSAValue, axis: int) -> SSAValue:
    best = b.emit(nn.ArgReduceOp(x, "max", axis))
    positions = b.iota(dims_of(x), axis, element_type_of(best))
    return b.cast(b.compare(positions, best, "eq"), element_type_of(x))


@converter("Softmax")
def _convert_softmax(node: Node, b: Builder) -> Converted:
    return _softmax_like(node, b, partial(_softmax))


@converter("LogSoftmax")
def _convert_log_softmax(node: Node, b: Builder) -> Converted:
    return _softmax_like(node, b, partial(_log_softmax))


@converter("Hardmax")
def _convert_hardmax(node: Node, b: Builder) -> Converted:
    return _softmax_like(node, b, partial(_hardmax))
