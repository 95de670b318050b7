"""
How ops act on known values: one rule an op, over dims and ratios.

A rule gets the elements of all operands and returns those of the result, or raises
`UnknownError` where they are not the same for all sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import Attribute, Operation

from nnc.analysis.ratio import Ratio
from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn import movement
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.types import (
    STORED_ONLY,
    bit_width,
    element_type_of,
    is_bool,
    is_float,
    is_unsigned,
    static_shape,
)
from nnc.symbolic import Dim, dim_max, dim_min, dim_product

Elements: TypeAlias = "NDArray[np.object_]"
"""An array of `Dim` (integers, booleans as 0 and 1) or of `Ratio` (floats)."""


class UnknownError(Exception):
    """The elements cannot be told."""


def element_array(elements: Sequence[Dim | Ratio], shape: tuple[int, ...]) -> Elements:
    """The elements, in row-major order, as an array."""
    # Filled one by one: numpy would look inside of sequences of objects.
    array = np.empty(len(elements), dtype=object)
    for i, element in enumerate(elements):
        array[i] = element
    return array.reshape(shape)


def wrapped(value: int, element_type: Attribute) -> int:
    """`value` as an integer type holds it."""
    if is_bool(element_type):
        return value
    bits = bit_width(element_type)
    value &= (1 << bits) - 1
    signed = not is_unsigned(element_type)
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def element_list(elements: Elements) -> list[Dim | Ratio]:
    """The elements in row-major order."""
    return cast("list[Dim | Ratio]", list(elements.flat))


def _result_shape(op: Operation) -> tuple[int, ...]:
    shape = static_shape(op.results[0])
    assert shape is not None, "only small static tensors are evaluated"
    return shape


Rule = Callable[[Operation, list[Elements]], Elements]
_RULES: dict[type[Operation], Rule] = {}
RULES: Final[Mapping[type[Operation], Rule]] = _RULES
"""The rule of each op that shape arithmetic uses."""


def _rule(*op_types: type[Operation]) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        for op_type in op_types:
            _RULES[op_type] = rule
        return rule

    return register


# ---------------------------------------------------------------- elementwise


def _map(function: Callable[..., Dim | Ratio], *operands: Elements) -> Elements:
    columns = zip(*map(element_list, operands), strict=True)
    return element_array([function(*c) for c in columns], operands[0].shape)


def _elementwise(
    op_type: type[Operation],
    on_dims: Callable[..., Dim],
    on_ratios: Callable[..., Ratio] | None = None,
) -> None:
    def rule(_: Operation, operands: list[Elements]) -> Elements:
        def apply(*elements: Dim | Ratio) -> Dim | Ratio:
            if not any(isinstance(e, Ratio) for e in elements):
                return on_dims(*elements)
            if on_ratios is None:
                raise UnknownError
            return on_ratios(*elements)

        return _map(apply, *operands)

    _RULES[op_type] = rule


def _divide(lhs: Dim, rhs: Dim) -> Dim:
    left, right = lhs.as_int(), rhs.as_int()
    if left is not None and right is not None:
        quotient = abs(left) // abs(right)
        return Dim.of(quotient if (left < 0) == (right < 0) else -quotient)
    return lhs // rhs


def _remainder(lhs: Dim, rhs: Dim) -> Dim:
    left, right = lhs.as_int(), rhs.as_int()
    if left is not None and right is not None:
        rest = abs(left) % abs(right)
        return Dim.of(-rest if left < 0 else rest)
    return lhs % rhs


def _power(base: Dim, exponent: Dim) -> Dim:
    count = exponent.as_int()
    if count is None or not 0 <= count <= 8:
        raise UnknownError
    return dim_product([base] * count)


def _absolute(dim: Dim) -> Dim:
    lower = dim.lower_bound()
    return dim if lower is not None and lower >= 0 else dim * _sign(dim)


def _sign(dim: Dim) -> int:
    """1, 0 or -1 where the sign of `dim` is the same for all sizes."""
    lower, upper = dim.lower_bound(), dim.upper_bound()
    if lower is not None and lower >= 0:
        if lower == 0 and upper != 0:
            raise UnknownError
        return 1 if lower else 0
    if upper is not None and upper < 0:
        return -1
    raise UnknownError


def _ratio_extremum(choose: Callable[..., Dim]) -> Callable[[Ratio, Ratio], Ratio]:
    def extremum(lhs: Ratio, rhs: Ratio) -> Ratio:
        common = rhs.denominator * lhs.denominator
        a, b = lhs.numerator * rhs.denominator, rhs.numerator * lhs.denominator
        return Ratio.of(choose(a, b), common)

    return extremum


def _round(ratio: Ratio) -> Ratio:
    fraction = ratio.as_fraction()
    if fraction is not None:
        return Ratio.of(round(fraction))
    if ratio.denominator == 1:
        return ratio
    raise UnknownError


def _positive_part(dim: Dim) -> Dim:
    return dim_max(dim, 0)


def _same_dim(dim: Dim) -> Dim:
    return dim


def _sign_of(dim: Dim) -> Dim:
    return Dim.of(_sign(dim))


def _negated(ratio: Ratio) -> Ratio:
    return Ratio(-ratio.numerator, ratio.denominator)


def _floor(ratio: Ratio) -> Ratio:
    return Ratio.of(ratio.floor())


def _ceil(ratio: Ratio) -> Ratio:
    return _negated(_floor(_negated(ratio)))


def _reciprocal(ratio: Ratio) -> Ratio:
    return Ratio.of(1) / ratio


_elementwise(ew.AddOp, Dim.__add__, Ratio.__add__)
_elementwise(ew.SubOp, Dim.__sub__, Ratio.__sub__)
_elementwise(ew.MulOp, Dim.__mul__, Ratio.__mul__)
_elementwise(ew.DivOp, _divide, Ratio.__truediv__)
_elementwise(ew.ModOp, Dim.__mod__)
_elementwise(ew.RemOp, _remainder)
_elementwise(ew.PowOp, _power)
_elementwise(ew.NegOp, Dim.__neg__, _negated)
_elementwise(ew.AbsOp, _absolute)
_elementwise(ew.SignOp, _sign_of)
_elementwise(ew.MaximumOp, dim_max, _ratio_extremum(dim_max))
_elementwise(ew.MinimumOp, dim_min, _ratio_extremum(dim_min))
_elementwise(ew.ReluOp, _positive_part)
_elementwise(ew.FloorOp, _same_dim, _floor)
_elementwise(ew.CeilOp, _same_dim, _ceil)
_elementwise(ew.RoundOp, _same_dim, _round)
_elementwise(ew.ReciprocalOp, _same_dim, _reciprocal)


def _truth(dim: Dim) -> bool:
    """Whether `dim` is not zero, for all sizes."""
    return _sign(dim) != 0


def _logical(combine: Callable[[bool, bool], bool]) -> Rule:
    def rule(op: Operation, operands: list[Elements]) -> Elements:
        if not is_bool(element_type_of(op.results[0])):
            raise UnknownError

        def apply(lhs: Dim, rhs: Dim) -> Dim:
            return Dim.of(combine(_truth(lhs), _truth(rhs)))

        return _map(apply, *operands)

    return rule


_RULES[ew.AndOp] = _logical(bool.__and__)
_RULES[ew.OrOp] = _logical(bool.__or__)
_RULES[ew.XorOp] = _logical(bool.__xor__)


@_rule(ew.NotOp)
def _not(op: Operation, operands: list[Elements]) -> Elements:
    if not is_bool(element_type_of(op.results[0])):
        raise UnknownError

    def apply(dim: Dim) -> Dim:
        return Dim.of(not _truth(dim))

    return _map(apply, *operands)


def _holds(predicate: str, difference: Dim) -> bool:
    """Whether `difference predicate 0`, for all sizes."""
    lower, upper = difference.lower_bound(), difference.upper_bound()
    negative = upper is not None and upper < 0
    positive = lower is not None and lower > 0
    not_positive = upper is not None and upper <= 0
    not_negative = lower is not None and lower >= 0
    zero = lower == upper == 0
    # What proves and what refutes each predicate.
    proofs = {
        "eq": (zero, negative or positive),
        "ne": (negative or positive, zero),
        "lt": (negative, not_negative),
        "ge": (not_negative, negative),
        "gt": (positive, not_positive),
        "le": (not_positive, positive),
    }
    proved, refuted = proofs[predicate]
    if not proved and not refuted:
        raise UnknownError
    return proved


@_rule(ew.CompareOp)
def _compare(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, ew.CompareOp)
    predicate = op.predicate.data

    def compare(lhs: Dim | Ratio, rhs: Dim | Ratio) -> Dim:
        if isinstance(lhs, Ratio) and isinstance(rhs, Ratio):
            a, b = lhs.as_fraction(), rhs.as_fraction()
            if a is None or b is None:
                raise UnknownError
            return Dim.of(_holds(predicate, Dim.of((a > b) - (a < b))))
        assert isinstance(lhs, Dim)
        assert isinstance(rhs, Dim)
        return Dim.of(_holds(predicate, lhs - rhs))

    return _map(compare, *operands)


@_rule(ew.SelectOp)
def _select(_: Operation, operands: list[Elements]) -> Elements:
    def select(condition: Dim, on_true: Dim, on_false: Dim) -> Dim:
        if on_true == on_false:
            return on_true
        return on_true if _truth(condition) else on_false

    return _map(select, *operands)


@_rule(ew.ClampOp)
def _clamp(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, ew.ClampOp)
    low, high = op.bounds
    if is_float(element_type_of(op.result)):
        raise UnknownError

    def clamp(dim: Dim) -> Dim:
        if low is not None:
            dim = dim_max(dim, int(low))
        return dim if high is None else dim_min(dim, int(high))

    return _map(clamp, *operands)


@_rule(ew.CastOp)
def _cast(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, ew.CastOp)
    source, target = element_type_of(op.operand), element_type_of(op.result)
    if target in STORED_ONLY:
        raise UnknownError

    def cast(element: Dim | Ratio) -> Dim | Ratio:
        if is_float(target):
            return element if isinstance(element, Ratio) else Ratio.of(element)
        dim = element
        if isinstance(dim, Ratio):
            fraction = dim.as_fraction()
            if is_bool(target):
                if fraction is None:
                    raise UnknownError
                return Dim.of(fraction != 0)
            dim = dim.floor() if fraction is None else Dim.of(int(fraction))
        if is_bool(target) and not is_bool(source):
            return Dim.of(_truth(dim))
        value = dim.as_int()
        if value is None:
            # Sizes are taken to fit; only constants are known to wrap.
            if bit_width(target) < 32:
                raise UnknownError
            return dim
        return Dim.of(wrapped(value, target))

    return _map(cast, *operands)


# ---------------------------------------------------------------- movement


@_rule(movement.ReshapeOp)
def _reshape(op: Operation, operands: list[Elements]) -> Elements:
    return operands[0].reshape(_result_shape(op))


@_rule(movement.DimCastOp)
def _same(_: Operation, operands: list[Elements]) -> Elements:
    return operands[0]


@_rule(movement.BroadcastOp)
def _broadcast(op: Operation, operands: list[Elements]) -> Elements:
    return np.broadcast_to(operands[0], _result_shape(op))


@_rule(movement.TransposeOp)
def _transpose(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, movement.TransposeOp)
    return operands[0].transpose(op.axes)


@_rule(movement.ConcatOp)
def _concat(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, movement.ConcatOp)
    return np.concatenate(operands, axis=op.axis.value.data)


@_rule(movement.SliceOp)
def _slice(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, movement.SliceOp)
    offsets = op.offsets.ints
    if offsets is None:
        raise UnknownError
    result = operands[0]
    shape = _result_shape(op)
    boxes = zip(offsets, shape, ints(op.steps), strict=True)
    for axis, (offset, size, step) in enumerate(boxes):
        result = result.take([offset + i * step for i in range(size)], axis)
    return result


@_rule(movement.GatherOp)
def _gather(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, movement.GatherOp)
    data, indices = operands
    axis = op.axis.value.data
    positions = [cast("Dim", d).as_int() for d in indices.flat]
    size = data.shape[axis]
    if any(p is None or not -size <= p < size for p in positions):
        raise UnknownError
    picked = np.array(positions, dtype=np.int64).reshape(indices.shape)
    return np.asarray(np.take(data, picked, axis=axis), dtype=object)


@_rule(movement.PadOp)
def _pad(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, movement.PadOp)
    low, high = op.low.ints, op.high.ints
    if low is None or high is None or op.mode.data != "constant" or len(operands) != 2:
        raise UnknownError
    result = np.empty(_result_shape(op), dtype=object)
    result[...] = operands[1].item()
    inside = zip(low, operands[0].shape, strict=True)
    result[tuple(slice(a, a + n) for a, n in inside)] = operands[0]
    return result


@_rule(movement.IotaOp)
def _iota(op: Operation, _: list[Elements]) -> Elements:
    assert isinstance(op, movement.IotaOp)
    indices = np.indices(_result_shape(op))[op.axis.value.data]
    make = Ratio.of if is_float(element_type_of(op.result)) else Dim.of
    return element_array([make(int(i)) for i in indices.flat], indices.shape)


# ---------------------------------------------------------------- reductions


@_rule(nn.ReduceOp)
def _reduce(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, nn.ReduceOp)
    combine: dict[str, Callable[[list[Dim]], Dim]] = {
        "prod": dim_product,
        "sum": lambda dims: sum(dims, Dim.of(0)),
        "max": lambda dims: dim_max(*dims),
        "min": lambda dims: dim_min(*dims),
    }
    kind = op.kind.data
    if kind not in combine or is_float(element_type_of(op.result)):
        raise UnknownError
    axes = op.reduced_axes
    kept = [a for a in range(operands[0].ndim) if a not in axes]
    shape = operands[0].shape
    count = math.prod(shape[a] for a in kept)
    depth = math.prod(shape[a] for a in axes)
    rows = operands[0].transpose(*kept, *axes).reshape(count, depth)
    if not depth and kind in ("max", "min"):
        raise UnknownError
    reduced = [combine[kind](cast("list[Dim]", list(r))) for r in rows]
    return element_array(reduced, _result_shape(op))
