"""Elementwise references against torch, and against Python for the integer rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nnc.dialects.nn import elementwise as nn
from nnc.dialects.nn.dtypes import ELEMENT_TYPES, element_type_for, numpy_dtype
from nnc.dialects.nn.types import is_integer
from nnc.errors import DivisionByZero
from nnc.symbolic import Dim
from nnc.testing import compare, run_one_op

Array = NDArray[Any]

INTEGERS = [numpy_dtype(t) for t in ELEMENT_TYPES if is_integer(t)]
FLOATS = [np.dtype(t) for t in (np.float64, np.float32, np.float16, ml_dtypes.bfloat16)]
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30, 3e38, 0.5, -2.5, 88.0]

TORCH: dict[type[nn.UnaryOp], Callable[[torch.Tensor], torch.Tensor]] = {
    nn.NegOp: torch.neg,
    nn.AbsOp: torch.abs,
    nn.ExpOp: torch.exp,
    nn.LogOp: torch.log,
    nn.SqrtOp: torch.sqrt,
    nn.ReciprocalOp: torch.reciprocal,
    nn.FloorOp: torch.floor,
    nn.CeilOp: torch.ceil,
    nn.RoundOp: torch.round,
    nn.SinOp: torch.sin,
    nn.CosOp: torch.cos,
    nn.TanOp: torch.tan,
    nn.AsinOp: torch.asin,
    nn.AcosOp: torch.acos,
    nn.AtanOp: torch.atan,
    nn.SinhOp: torch.sinh,
    nn.CoshOp: torch.cosh,
    nn.AsinhOp: torch.asinh,
    nn.AcoshOp: torch.acosh,
    nn.AtanhOp: torch.atanh,
    nn.TanhOp: torch.tanh,
    nn.ErfOp: torch.erf,
    nn.SigmoidOp: torch.sigmoid,
    nn.ReluOp: torch.relu,
}
# torch.sign turns NaN into 0; `not` has no float meaning.
OTHERWISE = {nn.SignOp, nn.NotOp}


def test_every_unary_op_is_tested():
    assert TORCH.keys() | OTHERWISE == set(nn.UNARY_OPS)


def samples(dtype: np.dtype[Any]) -> Array:
    generator = np.random.default_rng(0)
    drawn = np.concatenate([generator.normal(0, s, 40) for s in (0.1, 1, 10)])
    with np.errstate(over="ignore"):
        return np.concatenate([drawn, SPECIAL]).astype(dtype)


@pytest.mark.parametrize("op", TORCH, ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unary(op: type[nn.UnaryOp], dtype: type[np.floating]):
    x = samples(np.dtype(dtype))
    compare(run_one_op(op, x), TORCH[op](torch.from_numpy(x)).numpy())


@pytest.mark.parametrize("op", TORCH, ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_unary_of_narrow_floats_is_the_rounded_wide_result(
    op: type[nn.UnaryOp], dtype: type[np.generic]
):
    x = samples(np.dtype(dtype))
    wide = TORCH[op](torch.from_numpy(x.astype(np.float32))).numpy()
    with np.errstate(over="ignore"):
        compare(run_one_op(op, x), wide.astype(dtype))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 3, 4)])
def test_shapes(shape: tuple[int, ...]):
    x = np.full(shape, 2.0, np.float32)
    compare(run_one_op(nn.SqrtOp, x), np.sqrt(x))
    compare(run_one_op(nn.AddOp, x, x), x + x)


def test_symbolic_shapes():
    x = np.ones((2, 3), np.float32)
    n = Dim.symbol("N")
    compare(run_one_op(nn.AddOp, x, x, operand_dims=[[n, n + 1], [n, n + 1]]), x + x)


def test_erf_is_precise():
    x = np.linspace(-7, 7, 100_001).astype(np.float32)
    exact = np.array([math.erf(v) for v in x])
    compare(run_one_op(nn.ErfOp, x), exact.astype(np.float32), rtol=1.2e-7, atol=0)


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS], ids=str)
def test_sign(dtype: np.dtype[Any]):
    x = np.array([0, 1, 5], dtype)
    compare(run_one_op(nn.SignOp, x), np.array([0, 1, 1], dtype))
    if dtype in FLOATS:
        x = np.array([-3, np.nan, -np.inf], dtype)
        compare(run_one_op(nn.SignOp, x), np.array([-1, np.nan, -1], dtype))


def test_not():
    flags = np.array([True, False])
    compare(run_one_op(nn.NotOp, flags), ~flags)
    ints = np.array([0, -1, 5], np.int8)
    compare(run_one_op(nn.NotOp, ints), np.array([-1, 0, -6], np.int8))


BINARY: dict[type[nn.BinaryOp], Callable[[Any, Any], torch.Tensor]] = {
    nn.AddOp: torch.add,
    nn.SubOp: torch.sub,
    nn.MulOp: torch.mul,
    nn.DivOp: torch.div,
    nn.ModOp: torch.remainder,
    nn.RemOp: torch.fmod,
    nn.PowOp: torch.pow,
    nn.MaximumOp: torch.maximum,
    nn.MinimumOp: torch.minimum,
}


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_of_floats(op: type[nn.BinaryOp], dtype: type[np.floating]):
    special = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 2.5, -7], dtype)
    lhs, rhs = (g.ravel().copy() for g in np.meshgrid(special, special))
    expected = BINARY[op](torch.from_numpy(lhs), torch.from_numpy(rhs)).numpy()
    if op is nn.ModOp:
        # torch leaves a finite number modulo an infinity of the other sign finite.
        expected = np.array(
            [_mod(a, b) for a, b in zip(lhs.tolist(), rhs.tolist(), strict=True)], dtype
        )
    compare(run_one_op(op, lhs, rhs), expected)


def _mod(a: float, b: float) -> float:
    return math.nan if b == 0 or math.isinf(a) else a % b


def _truncated(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _inverse_power(a: int, b: int) -> int:
    """`1 / a^-b`, truncated."""
    return {1: 1, -1: -1 if b % 2 else 1}.get(a, 0)


INTEGER_RULES: dict[type[nn.BinaryOp], Callable[[int, int], int]] = {
    nn.AddOp: lambda a, b: a + b,
    nn.SubOp: lambda a, b: a - b,
    nn.MulOp: lambda a, b: a * b,
    nn.DivOp: _truncated,
    nn.ModOp: lambda a, b: a % b,
    nn.RemOp: lambda a, b: a - _truncated(a, b) * b,
    nn.MaximumOp: max,
    nn.MinimumOp: min,
    nn.AndOp: lambda a, b: a & b,
    nn.OrOp: lambda a, b: a | b,
    nn.XorOp: lambda a, b: a ^ b,
    nn.ShiftLeftOp: lambda a, b: a << b if 0 <= b < 64 else 0,
    nn.ShiftRightOp: lambda a, b: a >> b if b >= 0 else a >> 99,
    nn.PowOp: lambda a, b: a**b if b >= 0 else _inverse_power(a, b),
}


def test_every_binary_op_is_tested():
    # Random numbers are compared with those that the authors published.
    elsewhere = {nn.ThreefryOp}
    assert BINARY.keys() | INTEGER_RULES.keys() | elsewhere == set(nn.BINARY_OPS)


@pytest.mark.parametrize("op", INTEGER_RULES, ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_binary_of_integers_wraps(op: type[nn.BinaryOp], dtype: np.dtype[Any]):
    limits = np.iinfo(dtype)
    values = [limits.min, limits.max, 0, 1, 2, 5, 7, 31, 100]
    values += [-1, -2, -7] if dtype.kind == "i" else []
    divides = op in (nn.DivOp, nn.ModOp, nn.RemOp)
    # The exponents of a power stay small, so that Python can compute it too.
    others = [v for v in values if abs(v) < 32] if op is nn.PowOp else values
    pairs = [(a, b) for a in values for b in others if b or not divides]
    lhs, rhs = (np.array(column, dtype) for column in zip(*pairs, strict=True))
    width = 8 * dtype.itemsize
    expected = [
        (INTEGER_RULES[op](a, b) + (1 << width - 1)) % (1 << width) - (1 << width - 1)
        for a, b in pairs
    ]
    if dtype.kind == "u":
        expected = [e % (1 << width) for e in expected]
    compare(run_one_op(op, lhs, rhs), np.array(expected, dtype))


@pytest.mark.parametrize("op", [nn.DivOp, nn.ModOp, nn.RemOp], ids=lambda op: op.name)
def test_integer_division_by_zero_is_an_error(op: type[nn.BinaryOp]):
    with pytest.raises(DivisionByZero, match=f"node '{op.name}'"):
        run_one_op(op, np.array([1, 2]), np.array([1, 0]))


@pytest.mark.parametrize("op", [nn.AndOp, nn.OrOp, nn.XorOp], ids=lambda op: op.name)
def test_logical_ops_of_booleans(op: type[nn.BinaryOp]):
    lhs, rhs = np.array([False, False, True, True]), np.array([False, True] * 2)
    table: dict[type[nn.BinaryOp], list[bool]] = {
        nn.AndOp: [False, False, False, True],
        nn.OrOp: [False, True, True, True],
        nn.XorOp: [False, True, True, False],
    }
    compare(run_one_op(op, lhs, rhs), np.array(table[op]))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_clamp_of_floats(dtype: np.dtype[Any]):
    x = np.array([-np.inf, -1, 0.5, 7, np.inf, np.nan], dtype)
    both = run_one_op(nn.ClampOp, x, min=0.0, max=6.0)
    compare(both, np.array([0, 0, 0.5, 6, 6, np.nan], dtype))
    low = run_one_op(nn.ClampOp, x, min=0.0)
    compare(low, np.array([0, 0, 0.5, 7, np.inf, np.nan], dtype))
    high = run_one_op(nn.ClampOp, x, max=6.0)
    compare(high, np.array([-np.inf, -1, 0.5, 6, 6, np.nan], dtype))
    # `max` wins over `min`, as the formula says.
    compare(run_one_op(nn.ClampOp, x[:1], min=2.0, max=1.0), np.ones(1, dtype))


def test_clamp_of_integers_saturates_its_bounds():
    x = np.array([-128, -5, 127], np.int8)
    compare(run_one_op(nn.ClampOp, x, min=-1e9, max=1e9), x)
    compare(run_one_op(nn.ClampOp, x, min=-4, max=3), np.array([-4, -4, 3], np.int8))


@pytest.mark.parametrize("predicate", nn.PREDICATES)
def test_compare(predicate: nn.Predicate):
    values = [0.0, -0.0, 1.0, np.nan, np.inf]
    lhs, rhs = (g.ravel() for g in np.meshgrid(values, values))
    expected = getattr(torch, predicate)(torch.tensor(lhs), torch.tensor(rhs)).numpy()
    compare(run_one_op(nn.CompareOp, lhs, rhs, predicate=predicate), expected)


def test_unsigned_integers_compare_unsigned():
    lhs, rhs = np.array([2**64 - 1], np.uint64), np.array([1], np.uint64)
    compare(run_one_op(nn.CompareOp, lhs, rhs, predicate="gt"), np.array([True]))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_nan_and_infinities_are_found(dtype: np.dtype[Any]):
    x = np.array([1, np.nan, np.inf, -np.inf], dtype)
    compare(run_one_op(nn.IsNanOp, x), np.array([False, True, False, False]))
    compare(run_one_op(nn.IsInfOp, x), np.array([False, False, True, True]))
    only = run_one_op(nn.IsInfOp, x, negative=False)
    compare(only, np.array([False, False, True, False]))
    only = run_one_op(nn.IsInfOp, x, positive=False)
    compare(only, np.array([False, False, False, True]))


def test_select():
    condition = np.array([True, False, True])
    yes, no = np.array([1, 2, 3]), np.array([4, 5, 6])
    compare(run_one_op(nn.SelectOp, condition, yes, no), np.array([1, 5, 3]))


def cast(x: Array, dtype: np.dtype[Any]) -> Array:
    return run_one_op(nn.CastOp, x, element_type=element_type_for(dtype))


@pytest.mark.parametrize("source", FLOATS, ids=str)
@pytest.mark.parametrize("target", INTEGERS, ids=str)
def test_float_to_integer_truncates_and_saturates(
    source: np.dtype[Any], target: np.dtype[Any]
):
    limits = np.iinfo(target)
    values = [1.9, -1.9, np.inf, -np.inf, np.nan, 60000.0, -60000.0, 0.0]
    x = np.array(values, source)
    expected = [
        0
        if math.isnan(v)
        else int(max(limits.min, min(limits.max, math.trunc(v))))
        if math.isfinite(v)
        else (limits.max if v > 0 else limits.min)
        for v in map(float, x)
    ]
    compare(cast(x, target), np.array(expected, target))


def test_the_largest_float_below_the_limit_is_kept():
    x = np.array([2.0**63 - 1024, 2.0**63, -(2.0**63)])
    expected = [2**63 - 1024, 2**63 - 1, -(2**63)]
    compare(cast(x, np.dtype(np.int64)), np.array(expected))


@pytest.mark.parametrize("target", INTEGERS, ids=str)
def test_integers_wrap_when_narrowed(target: np.dtype[Any]):
    x = np.array([0, -1, 300, 2**40 + 7], np.int64)
    width = 8 * target.itemsize
    expected = [int(v) % (1 << width) for v in x]
    if target.kind == "i":
        expected = [v - (1 << width) if v >> width - 1 else v for v in expected]
    compare(cast(x, target), np.array(expected, target))


@pytest.mark.parametrize("source", [*FLOATS, *INTEGERS], ids=str)
def test_to_boolean_is_unequal_zero(source: np.dtype[Any]):
    x = np.array([0, 1, 2], source)
    compare(cast(x, np.dtype(np.bool_)), np.array([False, True, True]))
    back = cast(np.array([False, True]), source)
    compare(back, np.array([0, 1], source))


def test_nan_is_true():
    compare(cast(np.array([np.nan]), np.dtype(np.bool_)), np.array([True]))
