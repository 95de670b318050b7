"""
Known integers: what small tensors of shape arithmetic hold, as dim expressions.

Source models compute shapes with ordinary tensor ops (`Shape`, `Gather`, `Mul`,
`Concat`, `Cast`, ...). This analysis evaluates such ops over symbolic dims, lazily and
without changing the IR: `KnownValues.dims(value)` is the list of expressions that an
integer scalar or vector always holds, or None.

Floats take part as exact ratios of dims, since exporters compute sizes such as
`floor(height * 2.0)`. Ops whose result cannot be told for all sizes are unknown.
A truncating division counts as floor division: the two differ for negative numbers
only, which are no sizes and which the executor refuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import Block, Operation, SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn import movement, structure
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.constants import constant_value
from nnc.dialects.nn.types import (
    element_type_of,
    is_bool,
    is_float,
    static_shape,
)
from nnc.symbolic import Dim, DimLike, dim_max, dim_min, dim_product
from nnc.weights import WeightStore

MAX_ELEMENTS = 256
"""Tensors of more elements are data, not sizes."""

Elements: TypeAlias = "NDArray[np.object_]"
"""An array of `Dim` (integers, booleans as 0 and 1) or of `Ratio` (floats)."""


@dataclass(frozen=True)
class Ratio:
    """An exact quotient of two dims; what a float of shape arithmetic holds."""

    numerator: Dim
    denominator: Dim

    @staticmethod
    def of(numerator: DimLike, denominator: DimLike = 1) -> Ratio:
        """`numerator / denominator` in lowest terms, as far as that is seen."""
        top, bottom = Dim.of(numerator), Dim.of(denominator)
        if not bottom:
            raise ZeroDivisionError("ratio with denominator zero")
        quotient = top // bottom
        if quotient * bottom == top:
            return Ratio(quotient, Dim.of(1))
        factor = math.gcd(*(c for d in (top, bottom) for _, c in d.terms))
        sign = -1 if bottom.terms[0][1] < 0 else 1
        return Ratio(top // (factor * sign), bottom // (factor * sign))

    def as_fraction(self) -> Fraction | None:
        """The value if it is a constant, else None."""
        top, bottom = self.numerator.as_int(), self.denominator.as_int()
        return None if top is None or bottom is None else Fraction(top, bottom)

    def as_float(self) -> float | None:
        """The value as a float if it is a constant, else None."""
        fraction = self.as_fraction()
        return None if fraction is None else float(fraction)

    def floor(self) -> Dim:
        """The largest integer that is not larger."""
        return self.numerator // self.denominator

    def __add__(self, other: Ratio) -> Ratio:
        return Ratio.of(
            self.numerator * other.denominator + other.numerator * self.denominator,
            self.denominator * other.denominator,
        )

    def __sub__(self, other: Ratio) -> Ratio:
        return self + Ratio(-other.numerator, other.denominator)

    def __mul__(self, other: Ratio) -> Ratio:
        # Crosswise, so that h * (w / h) is w without multivariate division.
        first = Ratio.of(self.numerator, other.denominator)
        second = Ratio.of(other.numerator, self.denominator)
        return Ratio.of(
            first.numerator * second.numerator, first.denominator * second.denominator
        )

    def __truediv__(self, other: Ratio) -> Ratio:
        if not other.numerator:
            raise ZeroDivisionError("division by a ratio of zero")
        return self * Ratio(other.denominator, other.numerator)


class _UnknownError(Exception):
    """The elements cannot be told."""


class KnownValues:
    """The analysis over one module; results are kept, so drop it after a rewrite."""

    def __init__(self, weights: WeightStore) -> None:
        self._weights = weights
        self._known: dict[SSAValue, Elements | None] = {}

    def dims(self, value: SSAValue) -> list[Dim] | None:
        """What an integer scalar or vector holds, in order, or None."""
        elements = self.elements(value)
        if elements is None or elements.ndim > 1 or is_float(element_type_of(value)):
            return None
        return list(elements.flat)

    def ratios(self, value: SSAValue) -> list[Ratio] | None:
        """What a float or integer scalar or vector holds, in order, or None."""
        elements = self.elements(value)
        if elements is None or elements.ndim > 1:
            return None
        return [e if isinstance(e, Ratio) else Ratio.of(e) for e in elements.flat]

    def elements(self, value: SSAValue) -> Elements | None:
        """All elements of a small tensor in its shape, or None."""
        # An explicit stack: chains of shape arithmetic may be as long as the model.
        pending = [value]
        while pending:
            current = pending[-1]
            if current in self._known:
                pending.pop()
                continue
            operands = self._relevant_operands(current)
            missing = [o for o in operands if o not in self._known]
            if missing:
                pending.extend(missing)
                continue
            self._known[current] = self._evaluate(current)
            pending.pop()
        return self._known[value]

    def _relevant_operands(self, value: SSAValue) -> Sequence[SSAValue]:
        op = value.owner
        if isinstance(op, Block) or type(op) not in _RULES or not _is_small(value):
            return ()
        return op.operands

    def _evaluate(self, value: SSAValue) -> Elements | None:
        op = value.owner
        if isinstance(op, Block) or not _is_small(value):
            return None
        if isinstance(op, structure.DimsOp):
            return _array(op.dims.dims, (len(op.dims.dims),))
        if isinstance(op, structure.ConstantOp | structure.WeightOp):
            return self._constant(value)
        rule = _RULES.get(type(op))
        if rule is None:
            return None
        operands: list[Elements] = []
        for operand in op.operands:
            elements = self._known[operand]
            if elements is None:
                return None
            operands.append(elements)
        try:
            return rule(op, operands)
        except (_UnknownError, ZeroDivisionError, OverflowError):
            return None

    def _constant(self, value: SSAValue) -> Elements | None:
        array = constant_value(value, self._weights)
        if array is None:
            return None
        if not is_float(element_type_of(value)):
            return _array([Dim.of(int(v)) for v in array.flat], array.shape)
        floats = [float(v) for v in array.flat]
        if not all(map(math.isfinite, floats)):
            return None
        ratios = [Ratio.of(*v.as_integer_ratio()) for v in floats]
        return _array(ratios, array.shape)


def known_dims(value: SSAValue, weights: WeightStore) -> list[Dim] | None:
    """What an integer scalar or vector always holds, or None; see `KnownValues`."""
    return KnownValues(weights).dims(value)


def _is_small(value: SSAValue) -> bool:
    shape = static_shape(value)
    return shape is not None and math.prod(shape) <= MAX_ELEMENTS


def _array(elements: Sequence[Dim | Ratio], shape: tuple[int, ...]) -> Elements:
    # Filled one by one: numpy would look inside of sequences of objects.
    array = np.empty(len(elements), dtype=object)
    for i, element in enumerate(elements):
        array[i] = element
    return array.reshape(shape)


def _result_shape(op: Operation) -> tuple[int, ...]:
    shape = static_shape(op.results[0])
    assert shape is not None, "only small static tensors are evaluated"
    return shape


Rule = Callable[[Operation, list[Elements]], Elements]
_RULES: dict[type[Operation], Rule] = {}


def _rule(*op_types: type[Operation]) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        for op_type in op_types:
            _RULES[op_type] = rule
        return rule

    return register


# ---------------------------------------------------------------- elementwise


def _map(function: Callable[..., Dim | Ratio], *operands: Elements) -> Elements:
    columns = zip(*(o.flat for o in operands), strict=True)
    return _array([function(*c) for c in columns], operands[0].shape)


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
                raise _UnknownError
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
        return Dim.of(int(math.fmod(left, right)))
    return lhs % rhs


def _power(base: Dim, exponent: Dim) -> Dim:
    count = exponent.as_int()
    if count is None or not 0 <= count <= 8:
        raise _UnknownError
    return dim_product([base] * count)


def _absolute(dim: Dim) -> Dim:
    return dim if _sign(dim) >= 0 else -dim


def _sign(dim: Dim) -> int:
    """1, 0 or -1 where the sign of `dim` is the same for all sizes."""
    lower, upper = dim.lower_bound(), dim.upper_bound()
    if lower is not None and lower >= 0:
        if lower == 0 and upper != 0:
            raise _UnknownError
        return 1 if lower else 0
    if upper is not None and upper < 0:
        return -1
    raise _UnknownError


def _nonnegative_absolute(dim: Dim) -> Dim:
    lower = dim.lower_bound()
    return dim if lower is not None and lower >= 0 else _absolute(dim)


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
    raise _UnknownError


_elementwise(ew.AddOp, Dim.__add__, Ratio.__add__)
_elementwise(ew.SubOp, Dim.__sub__, Ratio.__sub__)
_elementwise(ew.MulOp, Dim.__mul__, Ratio.__mul__)
_elementwise(ew.DivOp, _divide, Ratio.__truediv__)
_elementwise(ew.ModOp, Dim.__mod__)
_elementwise(ew.RemOp, _remainder)
_elementwise(ew.PowOp, _power)
_elementwise(ew.NegOp, Dim.__neg__, lambda r: Ratio(-r.numerator, r.denominator))
_elementwise(ew.AbsOp, _nonnegative_absolute)
_elementwise(ew.SignOp, lambda d: Dim.of(_sign(d)))
_elementwise(ew.MaximumOp, dim_max, _ratio_extremum(dim_max))
_elementwise(ew.MinimumOp, dim_min, _ratio_extremum(dim_min))
_elementwise(ew.ReluOp, lambda d: dim_max(d, 0))
_elementwise(ew.FloorOp, lambda d: d, lambda r: Ratio.of(r.floor()))
_elementwise(
    ew.CeilOp, lambda d: d, lambda r: Ratio.of(-((-r.numerator) // r.denominator))
)
_elementwise(ew.RoundOp, lambda d: d, _round)
_elementwise(ew.ReciprocalOp, lambda d: d, lambda r: Ratio.of(1) / r)


def _truth(dim: Dim) -> bool:
    """Whether `dim` is not zero, for all sizes."""
    return _sign(dim) != 0


def _logical(combine: Callable[[bool, bool], bool]) -> Rule:
    def rule(op: Operation, operands: list[Elements]) -> Elements:
        if not is_bool(element_type_of(op.results[0])):
            raise _UnknownError
        return _map(lambda a, b: Dim.of(combine(_truth(a), _truth(b))), *operands)

    return rule


_RULES[ew.AndOp] = _logical(lambda a, b: a and b)
_RULES[ew.OrOp] = _logical(lambda a, b: a or b)
_RULES[ew.XorOp] = _logical(lambda a, b: a != b)


@_rule(ew.NotOp)
def _not(op: Operation, operands: list[Elements]) -> Elements:
    if not is_bool(element_type_of(op.results[0])):
        raise _UnknownError
    return _map(lambda a: Dim.of(not _truth(a)), *operands)


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
        raise _UnknownError
    return proved


@_rule(ew.CompareOp)
def _compare(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, ew.CompareOp)
    predicate = op.predicate.data

    def compare(lhs: Dim | Ratio, rhs: Dim | Ratio) -> Dim:
        if isinstance(lhs, Ratio) and isinstance(rhs, Ratio):
            a, b = lhs.as_fraction(), rhs.as_fraction()
            if a is None or b is None:
                raise _UnknownError
            return Dim.of(_holds(predicate, Dim.of((a > b) - (a < b))))
        assert isinstance(lhs, Dim) and isinstance(rhs, Dim)
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
        raise _UnknownError

    def clamp(dim: Dim) -> Dim:
        if low is not None:
            dim = dim_max(dim, int(low))
        return dim if high is None else dim_min(dim, int(high))

    return _map(clamp, *operands)


@_rule(ew.CastOp)
def _cast(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, ew.CastOp)
    source, target = element_type_of(op.operand), element_type_of(op.result)

    def cast(element: Dim | Ratio) -> Dim | Ratio:
        if is_float(target):
            return element if isinstance(element, Ratio) else Ratio.of(element)
        dim = element
        if isinstance(dim, Ratio):
            fraction = dim.as_fraction()
            dim = dim.floor() if fraction is None else Dim.of(int(fraction))
        return Dim.of(_truth(dim)) if is_bool(target) and not is_bool(source) else dim

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
        raise _UnknownError
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
    positions = [d.as_int() for d in indices.flat]
    size = data.shape[axis]
    if any(p is None or not -size <= p < size for p in positions):
        raise _UnknownError
    picked = np.array(positions, dtype=np.int64).reshape(indices.shape)
    return np.asarray(np.take(data, picked, axis=axis), dtype=object)


@_rule(movement.PadOp)
def _pad(op: Operation, operands: list[Elements]) -> Elements:
    assert isinstance(op, movement.PadOp)
    low, high = op.low.ints, op.high.ints
    if low is None or high is None or op.mode.data != "constant" or len(operands) != 2:
        raise _UnknownError
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
    return _array([make(int(i)) for i in indices.flat], indices.shape)


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
        raise _UnknownError
    axes = op.reduced_axes
    kept = [a for a in range(operands[0].ndim) if a not in axes]
    shape = operands[0].shape
    count = math.prod(shape[a] for a in kept)
    depth = math.prod(shape[a] for a in axes)
    rows = operands[0].transpose(*kept, *axes).reshape(count, depth)
    if not depth and kind in ("max", "min"):
        raise _UnknownError
    return _array([combine[kind](list(r)) for r in rows], _result_shape(op))
