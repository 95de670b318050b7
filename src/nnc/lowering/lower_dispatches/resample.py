"""
Resizing: output elements as weighted sums of input elements, one axis after another.

Coordinates are computed in f64 exactly as the definition of `nn.resize` says, so that
the nearest element is the same one whatever the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.dialects.builtin import DenseArrayBase, Float64Type, f64, i64
from xdsl.ir import Attribute, SSAValue

from nnc.dialects import simd
from nnc.dialects.nn.movement import ResizeOp
from nnc.dialects.nn.types import dims_of, element_type_of, is_float
from nnc.lowering.lower_dispatches.access import Elements, Indices
from nnc.lowering.lower_dispatches.elementwise import (
    MakeOp,
    compute_type,
    convert,
    like,
)
from nnc.lowering.lower_dispatches.expressions import Call, FromIndex, Node, Number
from nnc.lowering.lower_dispatches.index import Index, simplified
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.symbolic import Dim, dim_max, dim_min

CUBIC_COEFFICIENT = -0.75


def _call(op: MakeOp, *args: Node) -> Node:
    """A `simd` op on nodes of one type."""

    def emit(kb: KernelBuilder, values: Sequence[SSAValue]) -> SSAValue:
        return kb.pure(op(*values))

    return Call(args[0].type, emit, args)


def _cast(node: Node, element_type: Attribute) -> Node:
    def emit(kb: KernelBuilder, values: Sequence[SSAValue]) -> SSAValue:
        return convert(kb, values[0], element_type)

    return Call(element_type, emit, (node,))


def _with(op: MakeOp, node: Node, number: float) -> Node:
    """A `simd` op on a node and a number."""

    def emit(kb: KernelBuilder, values: Sequence[SSAValue]) -> SSAValue:
        return kb.pure(op(values[0], like(kb, values[0], number)))

    return Call(node.type, emit, (node,))


def _float(dim: Dim | Index | int) -> Node:
    index = dim if isinstance(dim, Index) else Index.of(simplified(dim))
    known = index.dim
    if isinstance(known, int):
        return Number(f64, float(known))
    return FromIndex(f64, index)


def resized(elements: Elements, op: ResizeOp, indices: Indices) -> Node:
    """The element of a resized tensor."""
    before, after = dims_of(op.operand), dims_of(op.result)
    given = tuple(cast("DenseArrayBase[Float64Type]", op.scales).get_values())
    axes = [
        axis
        for axis, (a, b) in enumerate(zip(before, after, strict=True))
        if a != b or (given and given[axis] != 1)
    ]
    storage = element_type_of(op.operand)
    computed = compute_type(storage)
    points = {
        axis: _coordinate(
            op.coordinate_mode.data,
            before[axis],
            after[axis],
            given[axis] if given else None,
            indices[axis],
        )
        for axis in axes
    }
    if op.mode.data == "nearest":
        position = list(indices)
        for axis in axes:
            nearest = _cast(_rounded(op.nearest_mode.data, points[axis]), i64)
            position[axis] = _tap(elements, nearest, 0, before[axis])
        return elements.at(op.operand, position)
    total = computed if is_float(computed) else f64
    taps = _linear_taps if op.mode.data == "linear" else _cubic_taps
    choices: list[list[tuple[Index, Node]]] = []
    # The first axis is summed first, hence innermost.
    axes.reverse()
    for axis in axes:
        left = _call(simd.FloorOp, points[axis])
        whole = _cast(left, i64)
        weights = taps(_call(simd.SubOp, points[axis], left))
        choices.append(
            [
                (_tap(elements, whole, tap, before[axis]), _cast(weight, total))
                for tap, weight in weights.items()
            ]
        )

    def weighted(level: int, position: list[Index]) -> Node:
        if level == len(axes):
            return _cast(elements.at(op.operand, position), total)
        result: Node | None = None
        for index, weight in choices[level]:
            inner = [*position]
            inner[axes[level]] = index
            # Not fused: products that are rounded make integers' ties come out as the
            # reference's do, and a fused form was no faster.
            term = _call(simd.MulOp, weighted(level + 1, inner), weight)
            result = term if result is None else _call(simd.AddOp, result, term)
        assert result is not None
        return result

    result = weighted(0, list(indices))
    if not is_float(computed):
        result = _cast(_call(simd.RoundEvenOp, result), computed)
    return result


def _tap(elements: Elements, whole: Node, tap: int, size: Dim) -> Index:
    """An input position next to a coordinate, moved to the border."""
    index = elements.from_node(whole)
    return elements.clamped(index + tap, simplified(size))


def _coordinate(
    mode: str, before: Dim, after: Dim, given: float | None, index: Index
) -> Node:
    """Where an output element lies on the input axis."""
    x = _float(index)
    if given is not None:
        scale: Node = Number(f64, given)
    else:
        scale = _ratio(_float(after), _float(before))
    match mode:
        case "half_pixel":
            return _half_pixel(x, scale)
        case "half_pixel_symmetric":
            span = _call(simd.MulOp, scale, _float(before))
            adjustment = _call(simd.DivOp, _float(after), span)
            one_less = _call(simd.SubOp, Number(f64, 1.0), adjustment)
            half = _with(simd.MulOp, _float(before), 0.5)
            shift = _call(simd.MulOp, half, one_less)
            moved = _call(simd.DivOp, _with(simd.AddOp, x, 0.5), scale)
            return _with(simd.SubOp, _call(simd.AddOp, shift, moved), 0.5)
        case "pytorch_half_pixel":
            if after == 1:
                return x
            # A single element, of a size that the run tells, lies at 0.
            is_many = _float(dim_min(dim_max(after - 1, 0), 1))
            return _call(simd.MulOp, _half_pixel(x, scale), is_many)
        case "align_corners":
            # A single element lies on the first one, whatever the step.
            if given is None:
                gaps = _float(dim_max(after - 1, 1))
            else:
                span = _call(simd.MulOp, Number(f64, given), _float(before))
                gaps = _with(simd.MaxOp, _with(simd.SubOp, span, 1.0), 1.0)
            return _call(simd.MulOp, x, _ratio(_float(before - 1), gaps))
        case _:
            return _call(simd.DivOp, x, scale)


def _ratio(a: Node, b: Node) -> Node:
    if isinstance(a, Number) and isinstance(b, Number) and b.number:
        return Number(f64, a.number / b.number)
    return _call(simd.DivOp, a, b)


def _half_pixel(x: Node, scale: Node) -> Node:
    moved = _call(simd.DivOp, _with(simd.AddOp, x, 0.5), scale)
    return _with(simd.SubOp, moved, 0.5)


def _rounded(mode: str, point: Node) -> Node:
    match mode:
        case "round_prefer_floor":
            return _call(simd.CeilOp, _with(simd.SubOp, point, 0.5))
        case "round_prefer_ceil":
            return _call(simd.FloorOp, _with(simd.AddOp, point, 0.5))
        case "floor":
            return _call(simd.FloorOp, point)
        case _:
            return _call(simd.CeilOp, point)


def _linear_taps(t: Node) -> dict[int, Node]:
    return {0: _call(simd.SubOp, Number(f64, 1.0), t), 1: t}


def _cubic_taps(t: Node) -> dict[int, Node]:
    """The weights of the four taps around a point at offset `t` from tap 0."""
    a = CUBIC_COEFFICIENT
    u = _call(simd.SubOp, Number(f64, 1.0), t)

    def polynomial(x: Node, coefficients: Sequence[float]) -> Node:
        result: Node = Number(f64, coefficients[0])
        for coefficient in coefficients[1:]:
            result = _with(simd.AddOp, _call(simd.MulOp, result, x), coefficient)
        return result

    outer = (a, -5 * a, 8 * a, -4 * a)
    inner = (a + 2, -(a + 3), 0.0, 1.0)
    return {
        -1: polynomial(_with(simd.AddOp, t, 1.0), outer),
        0: polynomial(t, inner),
        1: polynomial(u, inner),
        2: polynomial(_with(simd.AddOp, u, 1.0), outer),
    }
