from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.ir import SSAValue
from xdsl.utils.arg_spec import ArgSpec

from nnc.dialects import nn
from nnc.dialects.nn.elementwise import (
    AddOp,
    CastOp,
    ClampOp,
    DivOp,
    MaximumOp,
    MinimumOp,
    MulOp,
    PowOp,
    ReluOp,
    SelectOp,
)
from nnc.dialects.nn.types import (
    BOOL,
    F16,
    F32,
    F64,
    I8,
    I32,
    I64,
    U8,
    dims_of,
    tensor_type,
)
from nnc.symbolic import Dim
from nnc.testing_passes import Network, check_passes_keep_meaning
from nnc.transforms.canonicalization.algebra import keeps_all_values

PASS = "canonicalize-nn"


def splat(net: Network, number: float, like: SSAValue) -> SSAValue:
    scalar = net.constant(np.array(number, np.float32))
    return net.add(nn.BroadcastOp(scalar, dims_of(like)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.permutations(range(6))), max_size=6))
def test_canonicalize_random_view_chain_keeps_meaning(
    steps: list[tuple[int, list[int]]],
) -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        for kind, order in steps:
            dims = list(dims_of(x))
            if kind == 0:
                axes = [a for a in order if a < len(dims)]
                x = net.add(nn.TransposeOp(x, axes))
            elif kind == 1 and len(dims) > 1:
                x = net.add(nn.ReshapeOp(x, [dims[0] * dims[1], *dims[2:]]))
            elif len(dims) < 6 and (dims[0] % 2) == 0:
                x = net.add(nn.ReshapeOp(x, [2, dims[0] // 2, *dims[1:]]))
            if order[0] == 0:
                x = net.add(ReluOp(x))
        return x

    types = [tensor_type(F32, [2, Dim.symbol("N"), 4])]
    check_passes_keep_meaning(Network(types, build), PASS, N=3)


Bounds = tuple[float | None, float | None]


@pytest.mark.parametrize("inner", [(-1.0, 1.0), (None, 2.0), (0.5, None), (3.0, 4.0)])
@pytest.mark.parametrize("outer", [(0.0, None), (None, -2.0), (-0.5, 0.5)])
def test_canonicalize_clamps_merge_to_one(inner: Bounds, outer: Bounds) -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        return net.add(ClampOp(net.add(ClampOp(x, *inner)), *outer))

    net = Network([tensor_type(F32, [64])], build)
    check_passes_keep_meaning(net, PASS)
    assert net.names() in (["nn.clamp", "func.return"], ["nn.relu", "func.return"])


def test_canonicalize_nan_survives_clamp_of_constants() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        y = net.add(MaximumOp(x, splat(net, 0.0, x)))
        return net.add(MinimumOp(y, splat(net, 6.0, y)))

    net = Network([tensor_type(F32, [3])], build)
    x = np.array([np.nan, -1, 9], np.float32)
    before = net.run([x])
    net.apply(ArgSpec(PASS, {}))
    np.testing.assert_array_equal(net.run([x]), before)
    assert "nn.clamp" in net.names()


def test_canonicalize_maximum_with_nan_stays() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        return net.add(MaximumOp(x, splat(net, float("nan"), x)))

    net = Network([tensor_type(F32, [3])], build)
    net.apply(ArgSpec(PASS, {}))
    assert "nn.maximum" in net.names()


@pytest.mark.parametrize(
    "exponent", [1.0, 2.0, 3.0, 0.5, -0.5, -1.0, 0.25, -0.75, 1.5, 2.5]
)
def test_canonicalize_powers_keep_meaning(exponent: float) -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        positive = net.add(MulOp(x, x))
        return net.add(PowOp(positive, splat(net, exponent, x)))

    net = Network([tensor_type(F32, [64])], build)
    check_passes_keep_meaning(net, PASS)
    assert ("nn.pow" in net.names()) == (exponent == 2.5)


@pytest.mark.parametrize("divisor", [1.0, 4.0, -0.5, 3.0, 0.0, 2.0**-127])
def test_canonicalize_division_by_constant_is_exact(divisor: float) -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        return net.add(DivOp(x, splat(net, divisor, x)))

    net = Network([tensor_type(F32, [5])], build)
    x = np.array([1, 0.3, -7, 0, 1e-38], np.float32)
    before = net.run([x])
    net.apply(ArgSpec(PASS, {}))
    np.testing.assert_array_equal(net.run([x]), before)


def test_canonicalize_select_of_constant_condition() -> None:
    def build(net: Network, x: SSAValue, y: SSAValue) -> SSAValue:
        condition = net.constant(np.array([True, True]))
        return net.add(SelectOp(condition, x, y))

    types = [tensor_type(F32, [2])] * 2
    net = Network(types, build)
    net.apply(ArgSpec(PASS, {}))
    assert net.names() == ["func.return"]


def test_canonicalize_scale_moves_behind_matmul() -> None:
    def build(net: Network, x: SSAValue, y: SSAValue) -> SSAValue:
        return net.add(nn.MatmulOp(net.add(MulOp(x, splat(net, 0.3, x))), y))

    net = Network([tensor_type(F32, [4, 8]), tensor_type(F32, [8, 3])], build)
    check_passes_keep_meaning(net, PASS)
    names = net.names()
    assert names.index("nn.matmul") < names.index("nn.mul")


def test_canonicalize_broadcast_operands_are_computed_small() -> None:
    def build(net: Network, x: SSAValue, y: SSAValue) -> SSAValue:
        dims = [2, 3, 4]
        wide = [net.add(nn.BroadcastOp(v, dims)) for v in (x, y)]
        return net.add(AddOp(*wide))

    net = Network([tensor_type(F32, [2, 1, 4]), tensor_type(F32, [4])], build)
    check_passes_keep_meaning(net, PASS)
    assert net.names()[-2:] == ["nn.broadcast", "func.return"]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (I8, I32, True),
        (I64, I32, False),
        (U8, I8, False),
        (U8, I32, True),
        (I8, U8, False),
        (I8, F16, True),
        (I32, F32, False),
        (I32, F64, True),
        (F16, F32, True),
        (F64, F32, False),
        (F32, I64, False),
        (BOOL, F16, True),
        (F32, BOOL, False),
    ],
    ids=str,
)
def test_keeps_all_values(source: Any, target: Any, expected: bool) -> None:
    assert keeps_all_values(source, target) is expected


def test_canonicalize_cast_to_integer_keeps_saturation() -> None:
    """An i32 cast to i8 wraps, a float cast saturates: the detour is no detour."""

    def build(net: Network, x: SSAValue) -> SSAValue:
        return net.add(CastOp(net.add(CastOp(x, F64)), I8))

    net = Network([tensor_type(I32, [2])], build)
    x = np.array([300, -300], np.int32)
    before = net.run([x])
    net.apply(ArgSpec(PASS, {}))
    np.testing.assert_array_equal(net.run([x]), before)
