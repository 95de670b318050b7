"""Reference implementations of the elementwise ops."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from xdsl.ir import Operation

from nnc.dialects.nn import elementwise as nn
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.types import element_type_of
from nnc.errors import DivisionByZero
from nnc.interpreters.nn.casts import converted
from nnc.interpreters.nn.environment import (
    Array,
    Environment,
    References,
    is_floating,
    narrowed,
    widened,
)

REFERENCES = References()


def _erf(x: Array) -> Array:
    if x.dtype == np.float64:
        return np.array([math.erf(v) for v in x.flat], np.float64).reshape(x.shape)
    # Cubic Hermite interpolation, exact to about 1e-15: f32 needs 6e-8.
    values, slopes, step = _erf_table()
    magnitude = np.abs(x.astype(np.float64))
    position = np.minimum(magnitude / step, len(values) - 1.001)
    position = np.where(np.isnan(position), 0, position)
    left = position.astype(np.intp)
    t = position - left
    u = 1 - t
    result = (
        (1 + 2 * t) * u * u * values[left]
        + t * t * (3 - 2 * t) * values[left + 1]
        + step * t * u * (u * slopes[left] - t * slopes[left + 1])
    )
    return np.where(np.isnan(x), np.nan, np.copysign(result, x))


@cache
def _erf_table() -> tuple[Array, Array, float]:
    points = np.linspace(0, 6, 16385)
    values = np.array([math.erf(p) for p in points])
    return values, 2 / math.sqrt(math.pi) * np.exp(-points * points), points[1]


def _sigmoid(x: Array) -> Array:
    # e^-|x| never overflows.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def _reciprocal(x: Array) -> Array:
    return np.ones((), x.dtype) / x


def _relu(x: Array) -> Array:
    return np.maximum(x, np.zeros((), x.dtype))


_UNARY: dict[type[Operation], Callable[[Array], Array]] = {
    nn.NegOp: np.negative,
    nn.AbsOp: np.abs,
    nn.SignOp: np.sign,
    nn.ExpOp: np.exp,
    nn.LogOp: np.log,
    nn.SqrtOp: np.sqrt,
    nn.ReciprocalOp: _reciprocal,
    nn.FloorOp: np.floor,
    nn.CeilOp: np.ceil,
    nn.RoundOp: np.rint,
    nn.SinOp: np.sin,
    nn.CosOp: np.cos,
    nn.TanOp: np.tan,
    nn.AsinOp: np.arcsin,
    nn.AcosOp: np.arccos,
    nn.AtanOp: np.arctan,
    nn.SinhOp: np.sinh,
    nn.CoshOp: np.cosh,
    nn.AsinhOp: np.arcsinh,
    nn.AcoshOp: np.arccosh,
    nn.AtanhOp: np.arctanh,
    nn.TanhOp: np.tanh,
    nn.ErfOp: _erf,
    nn.SigmoidOp: _sigmoid,
    nn.ReluOp: _relu,
    nn.NotOp: np.invert,
}


@REFERENCES.implements(*_UNARY)
def _unary(op: Operation, _: Environment, x: Array) -> Array:
    return narrowed(_UNARY[type(op)](widened(x)), x)


def _divide(lhs: Array, rhs: Array) -> Array:
    if is_floating(lhs):
        return lhs / rhs
    quotient = lhs // rhs
    inexact = quotient * rhs != lhs
    return quotient + (inexact & ((lhs < 0) != (rhs < 0))).astype(lhs.dtype)


def _power(lhs: Array, rhs: Array) -> Array:
    if is_floating(lhs) or lhs.dtype.kind == "u":
        return np.power(lhs, rhs)
    # A negative exponent leaves 1/x^n, which truncates to 0 but for x = 1 and x = -1.
    inverse = np.where(lhs == -1, 1 - 2 * (rhs & 1), lhs == 1)
    return np.where(rhs < 0, inverse, np.power(lhs, np.maximum(rhs, 0)))


def _shift_left(lhs: Array, rhs: Array) -> Array:
    inside = _inside_width(rhs)
    return np.where(inside, lhs << np.where(inside, rhs, 0), 0)


def _shift_right(lhs: Array, rhs: Array) -> Array:
    inside = _inside_width(rhs)
    beyond = np.where(lhs < 0, -1, 0) if lhs.dtype.kind == "i" else 0
    return np.where(inside, lhs >> np.where(inside, rhs, 0), beyond)


def _inside_width(amount: Array) -> Array:
    return (amount >= 0) & (amount < 8 * amount.dtype.itemsize)


_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def _threefry(key: Array, counter: Array) -> Array:
    """Threefry-2x32-20 of two words each, low halves first."""
    keys = [(key >> (32 * i)).astype(np.uint32) for i in range(2)]
    keys.append(keys[0] ^ keys[1] ^ np.uint32(_PARITY))
    a, c = ((counter >> (32 * i)).astype(np.uint32) + keys[i] for i in range(2))
    for group in range(5):
        for by in _ROTATIONS[group % 2]:
            a = a + c
            c = ((c << by) | (c >> (32 - by))) ^ a
        a = a + keys[(group + 1) % 3]
        c = c + keys[(group + 2) % 3] + np.uint32(group + 1)
    return a.astype(np.uint64) | (c.astype(np.uint64) << 32)


_BINARY: dict[type[Operation], Callable[[Array, Array], Array]] = {
    nn.AddOp: np.add,
    nn.SubOp: np.subtract,
    nn.MulOp: np.multiply,
    nn.DivOp: _divide,
    nn.ModOp: np.mod,
    nn.RemOp: np.fmod,
    nn.PowOp: _power,
    nn.MaximumOp: np.maximum,
    nn.MinimumOp: np.minimum,
    nn.AndOp: np.bitwise_and,
    nn.OrOp: np.bitwise_or,
    nn.XorOp: np.bitwise_xor,
    nn.ShiftLeftOp: _shift_left,
    nn.ShiftRightOp: _shift_right,
    nn.ThreefryOp: _threefry,
}


@REFERENCES.implements(*_BINARY)
def _binary(op: Operation, _: Environment, lhs: Array, rhs: Array) -> Array:
    divides = isinstance(op, nn.DivOp | nn.ModOp | nn.RemOp)
    if divides and not is_floating(rhs) and not np.all(rhs):
        raise DivisionByZero(f"node '{location_of(op)}': integer division by zero")
    return narrowed(_BINARY[type(op)](widened(lhs), widened(rhs)), lhs)


@REFERENCES.implements(nn.ClampOp)
def _clamp(op: nn.ClampOp, _: Environment, x: Array) -> Array:
    low, high = op.bounds
    if low is not None:
        x = np.maximum(x, _bound(low, x))
    if high is not None:
        x = np.minimum(x, _bound(high, x))
    return x


def _bound(value: float, like: Array) -> Array:
    """`value` in the element type of `like`, saturated where that is an integer."""
    return converted(np.array(value), like.dtype)


_COMPARE: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


@REFERENCES.implements(nn.CompareOp)
def _compare(op: nn.CompareOp, _: Environment, lhs: Array, rhs: Array) -> Array:
    return _COMPARE[op.predicate.data](lhs, rhs)


@REFERENCES.implements(nn.IsNanOp)
def _is_nan(_: nn.IsNanOp, __: Environment, x: Array) -> Array:
    return np.not_equal(x, x)


@REFERENCES.implements(nn.IsInfOp)
def _is_inf(op: nn.IsInfOp, _: Environment, x: Array) -> Array:
    wide = widened(x)
    result = np.zeros(x.shape, np.bool_)
    if op.positive.value.data:
        result |= wide == np.inf
    if op.negative.value.data:
        result |= wide == -np.inf
    return result


@REFERENCES.implements(nn.SelectOp)
def _select(
    _: nn.SelectOp, __: Environment, condition: Array, yes: Array, no: Array
) -> Array:
    return np.where(condition, yes, no)


@REFERENCES.implements(nn.BitCastOp)
def _bit_cast(op: nn.BitCastOp, _: Environment, x: Array) -> Array:
    dtype = numpy_dtype(element_type_of(op.result))
    return np.ascontiguousarray(x).reshape(-1).view(dtype).reshape(x.shape)
