"""Shape arithmetic evaluated over symbolic dims."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from xdsl.ir import Block, SSAValue

from nnc.analysis.known_values import KnownValues, known_dims
from nnc.analysis.ratio import Ratio
from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.reduction import ReduceKind
from nnc.dialects.nn.types import BOOL, F32, I32, I64, U8, tensor_type
from nnc.frontends.common import Builder
from nnc.symbolic import Dim
from nnc.weights import WeightStore

N, S = Dim.symbol("N"), Dim.symbol("S")


@pytest.fixture
def b() -> Builder:
    """A builder of ops in a block of its own."""
    return Builder(Block(), WeightStore())


def vector(b: Builder, *values: float) -> SSAValue:
    """A constant vector."""
    return b.constant(np.array(values))


def texts(b: Builder, value: SSAValue) -> list[str] | None:
    """What is known of a value, as text."""
    known = known_dims(value, b.weights)
    return None if known is None else [str(d) for d in known]


def test_shapes_and_constants_are_known(b: Builder):
    assert texts(b, b.dims([N, 3, S + 1])) == ["N", "3", "S + 1"]
    assert texts(b, vector(b, 1, -2)) == ["1", "-2"]
    assert texts(b, b.constant(np.arange(20), "w")) == [str(i) for i in range(20)]


def test_arguments_and_data_are_not(b: Builder):
    argument = b.block.insert_arg(tensor_type(I64, [2]), 0)
    assert texts(b, argument) is None
    assert texts(b, b.add(argument, vector(b, 1, 2))) is None
    assert texts(b, b.constant(np.arange(300), "w")) is None


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ew.AddOp, ["N + 4", "S + 2"]),
        (ew.SubOp, ["N - 4", "S - 2"]),
        (ew.MulOp, ["4*N", "2*S"]),
        (ew.DivOp, ["N floordiv 4", "S floordiv 2"]),
        (ew.ModOp, ["N mod 4", "S mod 2"]),
        (ew.MaximumOp, ["max(4, N)", "max(2, S)"]),
        (ew.MinimumOp, ["min(4, N)", "min(2, S)"]),
    ],
    ids=["add", "sub", "mul", "div", "mod", "max", "min"],
)
def test_arithmetic_is_evaluated(b: Builder, op: type[ew.AddOp], expected: list[str]):
    assert texts(b, b.binary(op, b.dims([N, S]), vector(b, 4, 2))) == expected


def test_constant_division_truncates(b: Builder):
    values = b.binary(ew.DivOp, vector(b, -7, 7, -7), vector(b, 2, -2, -2))
    assert texts(b, values) == ["-3", "-3", "3"]
    rest = b.binary(ew.RemOp, vector(b, -7, 7), vector(b, 3, -3))
    assert texts(b, rest) == ["-1", "1"]


def test_division_by_zero_is_unknown(b: Builder):
    assert texts(b, b.div(b.dims([N]), vector(b, 0))) is None
    assert texts(b, b.div(vector(b, 3), vector(b, 0))) is None


def test_movement_is_followed(b: Builder):
    shape = b.dims([N, 3, S, S * 2])
    picked = b.emit(nn.GatherOp(shape, vector(b, 2, -1)))
    assert texts(b, picked) == ["S", "2*S"]
    part = b.slice(shape, [1], [3], [0], [1])
    assert texts(b, part) == ["3", "S"]
    back = b.slice(shape, [3], [-5], [0], [-2])
    assert texts(b, back) == ["2*S", "3"]
    assert texts(b, b.concat([part, vector(b, 7)], 0)) == ["3", "S", "7"]
    assert texts(b, b.take(shape, 0, -1)) == ["2*S"]
    matrix = b.reshape(shape, [2, 2])
    assert texts(b, matrix) is None
    turned = b.reshape(b.transpose(matrix, [1, 0]), [4])
    assert texts(b, turned) == ["N", "S", "3", "2*S"]
    wide = b.broadcast_to(b.take(shape, 0, 0), [2])
    assert texts(b, wide) == ["N", "N"]
    assert texts(b, b.iota([3], 0, I64)) == ["0", "1", "2"]


def test_gather_outside_is_unknown(b: Builder):
    assert texts(b, b.emit(nn.GatherOp(b.dims([N]), vector(b, 3)))) is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("prod", "3*N*S"), ("sum", "N + S + 3"), ("max", "max(3, N, S)")],
)
def test_reductions_are_evaluated(b: Builder, kind: ReduceKind, expected: str):
    assert texts(b, b.reduce(b.dims([N, 3, S]), kind, [0])) == [expected]


def test_comparisons_are_decided_where_all_sizes_agree(b: Builder):
    shape = b.dims([N, S + 1, S])
    assert texts(b, b.compare(shape, vector(b, -1, 0, 5), "eq")) is None
    decided = b.compare(b.dims([N, S + 1]), vector(b, -1, 0), "gt")
    assert texts(b, decided) == ["1", "1"]
    chosen = b.select(decided, b.dims([S, S]), b.dims([N, N]))
    assert texts(b, chosen) == ["S", "S"]
    refuted = b.compare(b.dims([N]), vector(b, -1), "eq")
    # The way in which torch expands: -1 keeps a size.
    assert texts(b, b.select(refuted, b.dims([S]), b.dims([N]))) == ["N"]


def test_logic_is_evaluated(b: Builder):
    yes, no = b.scalar(1, BOOL), b.scalar(0, BOOL)
    assert texts(b, b.binary(ew.AndOp, yes, no)) == ["0"]
    assert texts(b, b.binary(ew.OrOp, yes, no)) == ["1"]
    assert texts(b, b.unary(ew.NotOp, no)) == ["1"]


def test_casts_keep_values(b: Builder):
    narrow = b.cast(b.dims([N, 3]), I32)
    assert texts(b, b.cast(narrow, I64)) == ["N", "3"]


def test_floats_are_exact_ratios(b: Builder):
    height = b.cast(b.dims([S]), F32)
    doubled = b.unary(ew.FloorOp, b.mul(height, 2.0))
    assert texts(b, b.cast(doubled, I64)) == ["2*S"]
    halved = b.unary(ew.FloorOp, b.div(height, 2.0))
    assert texts(b, b.cast(halved, I64)) == ["S floordiv 2"]
    rounded_up = b.unary(ew.CeilOp, b.mul(height, 0.5))
    assert (
        Dim.parse((texts(b, b.cast(rounded_up, I64)) or [""])[0]).evaluate({"S": 7})
        == 4
    )
    scale = b.div(doubled, height)
    ratios = KnownValues(b.weights).ratios(scale)
    assert ratios == [Ratio.of(2)]


def test_floats_that_are_no_sizes_are_unknown(b: Builder):
    assert texts(b, b.cast(vector(b, float("nan")), I64)) is None
    assert texts(b, b.cast(b.unary(ew.SqrtOp, b.cast(b.dims([N]), F32)), I64)) is None


def test_ratio_arithmetic():
    third = Ratio.of(1, 3)
    assert (third + third).as_fraction() == Fraction(2, 3)
    assert (third * Ratio.of(6)).as_fraction() == 2
    assert (Ratio.of(S) / Ratio.of(N) * Ratio.of(N)) == Ratio.of(S)
    assert Ratio.of(2 * S, 4) == Ratio.of(S, 2)
    assert Ratio.of(S, -2) == Ratio.of(-S, 2)
    with pytest.raises(ZeroDivisionError):
        Ratio.of(1, 0)


def test_long_chains_need_no_deep_stack(b: Builder):
    value = b.dims([N])
    one = vector(b, 1)
    for _ in range(3000):
        value = b.mul(value, one)
    assert texts(b, value) == ["N"]


def test_constants_wrap_as_their_type_does(b: Builder):
    assert texts(b, b.cast(vector(b, 300, -1), U8)) == ["44", "255"]
    assert texts(b, b.add(vector(b, 2**63 - 1), vector(b, 1))) is None
    assert texts(b, b.cast(b.dims([N]), U8)) is None


def test_fractions_are_true(b: Builder):
    flags = b.cast(b.constant(np.array([0.0, 0.25, -0.5, 3], np.float32)), BOOL)
    assert texts(b, flags) == ["0", "1", "1", "1"]
