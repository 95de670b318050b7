"""
The converter of `Gradient`: reverse-mode differentiation of the ops converted so far.

Each op between the inputs and the result has a rule that gives, for the gradient with
respect to its result, those with respect to its operands. Rules are written with the
same builder, so that gradients are ordinary ops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from xdsl.ir import Operation, SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn import movement as mv
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.types import I64, dims_of, element_type_of, is_float, rank_of
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.onnx.training import TRAINING
from nnc.symbolic import Dim, dim_product

_Rule: TypeAlias = Callable[[Builder, Any, SSAValue], Sequence[SSAValue | None]]


@converter("Gradient", domain=TRAINING)
def _gradient(node: Node, b: Builder) -> Converted:
    names = [*node.attr_strings("xs"), *node.attr_strings("zs", [])]
    if list(node.proto.input) != names:
        raise UnsupportedError("other values than those of the tensors xs and zs")
    y = node.convert_subgraph.value(node.attr_string("y"))
    if not is_float(element_type_of(y)):
        raise InvalidNodeError(f"the gradient of {y.type}")
    xs = [node.input(i) for i in range(len(node.attr_strings("xs")))]
    return gradients(b, y, xs)


def gradients(b: Builder, y: SSAValue, xs: Sequence[SSAValue]) -> list[SSAValue]:
    """
    How the sum of `y` changes with each of `xs`; zeros where it does not depend on it.

    Raises:
        UnsupportedError: an op on the way has no rule.
    """
    found: dict[SSAValue, SSAValue] = {y: b.full(1, y)}
    for op in reversed(_between(b, y, xs)):
        gradient = found.get(op.results[0])
        if gradient is None or op.results[0] in xs:
            continue
        rule = _RULES.get(type(op))
        if rule is None or len(op.results) != 1:
            raise UnsupportedError(f"the gradient of {op.name.removeprefix('nn.')}")
        for operand, part in zip(op.operands, rule(b, op, gradient), strict=True):
            if part is not None and is_float(element_type_of(operand)):
                known = found.get(operand)
                found[operand] = part if known is None else b.add(known, part)
    return [found[x] if x in found else b.full(0, x) for x in xs]


def _between(b: Builder, y: SSAValue, xs: Sequence[SSAValue]) -> list[Operation]:
    """The ops on ways from `xs` to `y`, in order."""
    reached, needed = set(xs), {y}
    forward = list(b.block.ops)
    for op in forward:
        if any(o in reached for o in op.operands):
            reached.update(op.results)
    chosen: list[Operation] = []
    for op in reversed(forward):
        if any(r in needed for r in op.results) and op.results[0] in reached:
            needed.update(op.operands)
            chosen.append(op)
    return chosen[::-1]


def _product(b: Builder, op: ew.MulOp, g: SSAValue) -> list[SSAValue]:
    return [b.mul(g, op.rhs), b.mul(g, op.lhs)]


def _quotient(b: Builder, op: ew.DivOp, g: SSAValue) -> list[SSAValue]:
    share = b.div(g, op.rhs)
    return [share, b.unary(ew.NegOp, b.mul(share, op.result))]


def _power(b: Builder, op: ew.PowOp, g: SSAValue) -> list[SSAValue]:
    below = b.binary(ew.PowOp, op.lhs, b.sub(op.rhs, 1))
    # The power of 0 does not change with its exponent.
    is_positive = b.compare(op.lhs, 0, "gt")
    safe = b.select(is_positive, op.lhs, 1)
    slope = b.mul(op.result, b.unary(ew.LogOp, safe))
    return [b.mul(g, b.mul(op.rhs, below)), b.mul(g, slope)]


def _chosen(predicate: ew.Predicate) -> _Rule:
    def rule(b: Builder, op: Any, g: SSAValue) -> list[SSAValue]:
        is_first = b.compare(op.lhs, op.rhs, predicate)
        return [b.select(is_first, g, 0), b.select(is_first, b.mul(g, 0), g)]

    return rule


def _select(b: Builder, op: ew.SelectOp, g: SSAValue) -> list[SSAValue | None]:
    zero = b.full(0, g)
    return [None, b.select(op.condition, g, zero), b.select(op.condition, zero, g)]


def _clamp(b: Builder, op: ew.ClampOp, g: SSAValue) -> list[SSAValue]:
    for bound, predicate in zip(op.bounds, ("ge", "le"), strict=True):
        if bound is not None:
            inside = b.compare(op.operand, bound, predicate)
            g = b.select(inside, g, 0)
    return [g]


def _slope(of: Callable[[Builder, Any], SSAValue]) -> _Rule:
    """The rule of an elementwise function with that derivative."""
    return lambda b, op, g: [b.mul(g, of(b, op))]


def _one_minus(b: Builder, x: SSAValue) -> SSAValue:
    return b.sub(b.scalar(1, element_type_of(x)), x)


def _erf_slope(b: Builder, op: Any) -> SSAValue:
    square = b.unary(ew.NegOp, b.mul(op.operand, op.operand))
    return b.mul(b.unary(ew.ExpOp, square), 2 / math.sqrt(math.pi))


def _transpose(b: Builder, op: mv.TransposeOp, g: SSAValue) -> list[SSAValue]:
    back = sorted(range(len(op.axes)), key=op.axes.__getitem__)
    return [b.transpose(g, back)]


def _slice(b: Builder, op: mv.SliceOp, g: SSAValue) -> list[SSAValue]:
    if any(s != 1 for s in ints(op.steps)):
        raise UnsupportedError("the gradient of a slice with steps")
    low = op.offsets.dims
    sizes = zip(dims_of(op.operand), dims_of(op.result), low, strict=True)
    return [b.emit(nn.PadOp(g, low, [d - s - first for d, s, first in sizes]))]


def _pad(b: Builder, op: mv.PadOp, g: SSAValue) -> list[SSAValue | None]:
    if op.mode.data != "constant":
        raise UnsupportedError(f"the gradient of padding of mode {op.mode.data}")
    inner = b.emit(nn.SliceOp(g, op.low.dims, dims_of(op.operand)))
    return [inner] if op.value is None else [inner, None]


def _concat(b: Builder, op: mv.ConcatOp, g: SSAValue) -> list[SSAValue]:
    axis = op.axis.value.data % rank_of(g)
    start, parts = Dim.of(0), list[SSAValue]()
    for argument in op.arguments:
        offsets = [Dim.of(0)] * rank_of(g)
        offsets[axis] = start
        parts.append(b.emit(nn.SliceOp(g, offsets, dims_of(argument))))
        start = start + dims_of(argument)[axis]
    return parts


def _reduce(b: Builder, op: nn.ReduceOp, g: SSAValue) -> list[SSAValue]:
    x, axes = op.operand, op.reduced_axes
    kept = [Dim.of(1) if i in axes else d for i, d in enumerate(dims_of(x))]
    wide = b.broadcast_to(b.reshape(g, kept), dims_of(x))
    match op.kind.data:
        case "sum":
            return [wide]
        case "mean":
            count = b.full(1, x)
            return [b.div(wide, b.reduce(count, "sum", axes))]
        case "max" | "min":
            best = b.broadcast_to(b.reshape(op.result, kept), dims_of(x))
            is_best = b.cast(b.compare(x, best, "eq"), element_type_of(x))
            # Equal elements share the gradient.
            return [b.mul(wide, b.div(is_best, b.reduce(is_best, "sum", axes)))]
        case kind:
            raise UnsupportedError(f"the gradient of a reduction of kind {kind}")


def _matmul(b: Builder, op: nn.MatmulOp, g: SSAValue) -> list[SSAValue]:
    def turned(value: SSAValue) -> SSAValue:
        *batch, rows, columns = range(rank_of(value))
        return b.transpose(value, [*batch, columns, rows])

    parts = [b.matmul(g, turned(op.rhs)), b.matmul(turned(op.lhs), g)]
    return [
        _like(b, part, operand)
        for part, operand in zip(parts, (op.lhs, op.rhs), strict=True)
    ]


def _like(b: Builder, value: SSAValue, like: SSAValue) -> SSAValue:
    """`value` added up over the axes along which `like` was repeated."""
    source, target = dims_of(like), dims_of(value)
    new = len(target) - len(source)
    axes = [*range(new)]
    axes += [new + i for i, d in enumerate(source) if d == 1 and target[new + i] != 1]
    return b.reshape(b.reduce(value, "sum", axes), source)


def _softmax(b: Builder, op: nn.SoftmaxOp, g: SSAValue) -> list[SSAValue]:
    axis = op.axis.value.data % rank_of(g)
    weighted = b.mul(g, op.result)
    total = b.reduce(weighted, "sum", [axis])
    return [b.sub(weighted, b.mul(op.result, total))]


def _gather(b: Builder, op: mv.GatherOp, g: SSAValue) -> list[SSAValue | None]:
    """The gradients of slices, added up where they came from."""
    dims, picked = dims_of(op.operand), dims_of(op.indices)
    axis, count = op.axis.value.data % len(dims), len(picked)
    order = [*range(axis, axis + count), *range(axis)]
    order += range(axis + count, rank_of(g))
    others = [*dims[:axis], *dims[axis + 1 :]]
    rows, columns = dim_product(picked), dim_product(others)
    zeros = b.broadcast_to(b.scalar(0, element_type_of(g)), [dims[axis], columns])
    indices = b.reshape(b.cast(op.indices, I64), [rows])
    updates = b.reshape(b.transpose(g, order), [rows, columns])
    total = b.emit(nn.ScatterOp(zeros, indices, updates, "add"))
    total = b.reshape(total, [dims[axis], *others])
    return [
        b.transpose(total, [*range(1, axis + 1), 0, *range(axis + 1, len(dims))]),
        None,
    ]


def _cumulative(b: Builder, op: nn.CumulativeOp, g: SSAValue) -> list[SSAValue]:
    if op.kind.data != "sum":
        raise UnsupportedError("the gradient of running products")
    exclusive, backwards = (bool(v.value.data) for v in (op.exclusive, op.reverse))
    axis = op.axis.value.data
    return [b.emit(nn.CumulativeOp(g, axis, exclusive, not backwards))]


def _same_shape(b: Builder, op: Any, g: SSAValue) -> list[SSAValue]:
    return [b.reshape(g, dims_of(op.operand))]


def _opposite(b: Builder, op: Any, g: SSAValue) -> list[SSAValue]:
    return [g, b.unary(ew.NegOp, g)]


_RULES: Mapping[type[Operation], _Rule] = {
    ew.AddOp: lambda b, op, g: [g, g],
    ew.SubOp: _opposite,
    ew.MulOp: _product,
    ew.DivOp: _quotient,
    ew.PowOp: _power,
    ew.MaximumOp: _chosen("ge"),
    ew.MinimumOp: _chosen("le"),
    ew.SelectOp: _select,
    ew.ClampOp: _clamp,
    ew.CastOp: lambda b, op, g: [b.cast(g, element_type_of(op.operand))],
    ew.NegOp: lambda b, op, g: [b.unary(ew.NegOp, g)],
    ew.AbsOp: _slope(lambda b, op: b.unary(ew.SignOp, op.operand)),
    ew.ExpOp: _slope(lambda b, op: op.result),
    ew.LogOp: lambda b, op, g: [b.div(g, op.operand)],
    ew.SqrtOp: lambda b, op, g: [b.div(b.mul(g, 0.5), op.result)],
    ew.ReciprocalOp: _slope(
        lambda b, op: b.unary(ew.NegOp, b.mul(op.result, op.result))
    ),
    ew.SinOp: _slope(lambda b, op: b.unary(ew.CosOp, op.operand)),
    ew.CosOp: _slope(lambda b, op: b.unary(ew.NegOp, b.unary(ew.SinOp, op.operand))),
    ew.TanhOp: _slope(lambda b, op: _one_minus(b, b.mul(op.result, op.result))),
    ew.SigmoidOp: _slope(lambda b, op: b.mul(op.result, _one_minus(b, op.result))),
    ew.ErfOp: _slope(_erf_slope),
    ew.ReluOp: lambda b, op, g: [b.select(b.compare(op.operand, 0, "gt"), g, 0)],
    mv.BroadcastOp: lambda b, op, g: [_like(b, g, op.operand)],
    mv.ReshapeOp: _same_shape,
    mv.DimCastOp: lambda b, op, g: [b.dim_cast(g, dims_of(op.operand))],
    mv.TransposeOp: _transpose,
    mv.SliceOp: _slice,
    mv.PadOp: _pad,
    mv.ConcatOp: _concat,
    mv.GatherOp: _gather,
    nn.CumulativeOp: _cumulative,
    nn.ReduceOp: _reduce,
    nn.MatmulOp: _matmul,
    nn.SoftmaxOp: _softmax,
}
"""For the op and the gradient of its result, the gradients of its operands."""
