"""Elementwise kernels: sizes, element types, strides, tails, task splits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from xdsl.ir import SSAValue

from nnc.dialects.nn import elementwise as nn
from nnc.dialects.nn.movement import BroadcastOp, SliceOp
from nnc.dialects.nn.types import BF16, BOOL, F16, F32, I8, dims_of
from nnc.lowering.lower_dispatches.emit import INDEX_OUT_OF_RANGE
from nnc.symbolic import Dim
from nnc.target import Target
from nnc.testing_dispatches import Operand, check_dispatch, lower_dispatch

N, M = Dim.symbol("N"), Dim.symbol("M")
Generator = np.random.Generator
DTYPES = [
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
]


def numbers(rng: Generator, shape: tuple[int, ...], dtype: str) -> Any:
    """Small numbers other than 0."""
    if np.dtype(dtype).kind == "f":
        return rng.uniform(0.5, 4, shape).astype(dtype)
    return rng.integers(1, 9, shape).astype(dtype)


SHAPES = [(), (0,), (1,), (2,), (15,), (16,), (17,), (33,), (0, 5), (5, 0), (3, 37)]


@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
def test_relu_every_tail_is_exact(
    target: Target, rng: Generator, is_dynamic: bool
) -> None:
    for shape in SHAPES:
        x = rng.standard_normal(shape).astype(np.float32)
        dims = [N, M][: len(shape)] if is_dynamic else None
        check_dispatch(nn.ReluOp, [Operand(x, dims)], target, rtol=0)


def test_large_vector_is_split_into_tasks(target: Target, rng: Generator) -> None:
    x = rng.standard_normal(100_003).astype(np.float32)
    lowered = check_dispatch(nn.ReluOp, [Operand(x, [N])], target, rtol=0)
    assert lowered.launch is not None
    assert lowered.launch.task_count.evaluate({"N": 100_003}) > 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_element_types(target: Target, rng: Generator, dtype: str) -> None:
    a, b = (numbers(rng, (5, 37), dtype) for _ in range(2))

    def arithmetic(a: SSAValue, b: SSAValue) -> nn.MaximumOp:
        difference = nn.SubOp(a, nn.DivOp(a, b))
        return nn.MaximumOp(nn.MulOp(nn.AddOp(a, b), a), difference)

    check_dispatch(arithmetic, [a, b], target)
    check_dispatch(lambda a, b: [nn.ModOp(a, b), nn.RemOp(a, b)], [a, b], target)
    check_dispatch(
        lambda a, b: [nn.ClampOp(a, 2, 3), nn.ReluOp(b), nn.AbsOp(b), nn.SignOp(a)],
        [a, b],
        target,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_comparison_and_cast_element_types(
    target: Target, rng: Generator, dtype: str
) -> None:
    a, b = (numbers(rng, (5, 37), dtype) for _ in range(2))
    check_dispatch(
        lambda a, b: nn.SelectOp(nn.CompareOp(a, b, "lt"), a, b), [a, b], target
    )
    check_dispatch(lambda a, b: nn.NotOp(nn.CompareOp(a, b, "ge")), [a, b], target)
    check_dispatch(
        lambda a, b: [nn.CastOp(a, F32), nn.CastOp(b, I8), nn.CastOp(b, BOOL)],
        [a, b],
        target,
    )


def test_one_rest_lane_stored_narrow_stays_inside(
    target: Target, rng: Generator
) -> None:
    # 185 = 23 * 8 + 1: LLVM 22 writes too much for a constant mask of one lane.
    x = rng.standard_normal((5, 37))
    check_dispatch(lambda x: nn.CastOp(x, I8), [x], target)


def test_half_precision_rounds_once_but_casts_round(
    target: Target, rng: Generator
) -> None:
    x = rng.standard_normal((3, 21)).astype(np.float32)
    for kind in (F16, BF16):
        lowered = check_dispatch(
            lambda x, kind=kind: nn.AddOp(nn.CastOp(x, kind), nn.CastOp(x, kind)),
            [x],
            target,
        )
        assert lowered.kernel is not None


def test_boolean_ops(target: Target, rng: Generator) -> None:
    a, b, c = (rng.integers(0, 2, (3, 70)).astype(bool) for _ in range(3))
    check_dispatch(
        lambda a, b, c: nn.OrOp(nn.AndOp(a, nn.NotOp(b)), nn.XorOp(a, c)),
        [a, b, c],
        target,
    )
    check_dispatch(nn.SelectOp, [a, b, c], target)


def test_broadcast_bias_is_loaded_once_a_row(target: Target, rng: Generator) -> None:
    x, bias = (rng.standard_normal(s).astype(np.float32) for s in [(4, 5, 33), (33,)])
    for dims in (None, [N, 5, M]):
        check_dispatch(
            lambda x, b: nn.AddOp(x, BroadcastOp(b, dims_of(x))),
            [Operand(x, dims), Operand(bias, dims and [M])],
            target,
            rtol=0,
        )


def test_results_of_several_shapes(target: Target, rng: Generator) -> None:
    x = rng.standard_normal((3, 21)).astype(np.float32)

    def several(x: SSAValue) -> list[nn.NnOp]:
        part = SliceOp(x, [1, 2], [2, 7])
        return [nn.ReluOp(x), nn.NegOp(x), nn.AddOp(part, part)]

    check_dispatch(several, [x], target, rtol=0)


STRIDES = [
    ([48, 1], [64, 1]),
    ([48, 1], [1, 8]),
    ([48, -1], [-64, 1]),
    ([1, 5], [37, 1]),
    ([80, 2], [111, 3]),
]


@pytest.mark.parametrize(("given", "made"), STRIDES, ids=str)
def test_strided_buffers_leave_gaps_alone(
    target: Target, rng: Generator, given: list[int], made: list[int]
) -> None:
    x = rng.standard_normal((5, 37)).astype(np.float32)
    check_dispatch(nn.ReluOp, [Operand(x, None, given)], target, [made], rtol=0)


def test_dynamic_strides(target: Target, rng: Generator) -> None:
    x = rng.standard_normal((5, 37)).astype(np.float32)
    operand = Operand(x, [N, M], [M + 7, 1])
    check_dispatch(nn.ReluOp, [operand], target, [[M * 2, 1]], rtol=0)


def test_repeated_operand_has_stride_zero(target: Target, rng: Generator) -> None:
    x = np.repeat(rng.standard_normal((1, 37)).astype(np.float32), 5, 0)
    check_dispatch(nn.ReluOp, [Operand(x, None, [0, 1])], target, rtol=0)


@pytest.mark.parametrize("size", [1, 8, 16, 37, 40])
def test_integer_division_by_zero_is_recorded(target: Target, size: int) -> None:
    numerator = np.arange(size, dtype=np.int32)
    for bad in (0, size - 1):
        divisor = np.ones(size, np.int32)
        lowered = lower_dispatch(
            nn.DivOp, [Operand(numerator), Operand(divisor)], target
        )
        state = np.zeros(8, np.int64)
        lowered.run([numerator, divisor], {}, state=state)
        assert state[1] == 0
        divisor[bad] = 0
        lowered.run([numerator, divisor], {}, state=state)
        assert state[1] == 2
        assert INDEX_OUT_OF_RANGE != 2


def test_special_values_pass_through(target: Target) -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-42] * 3, np.float32)
    check_dispatch(
        lambda x: [nn.ReluOp(x), nn.ClampOp(x, -1, 1), nn.SignOp(x)], [x], target
    )
    check_dispatch(
        lambda x: [nn.IsNanOp(x), nn.IsInfOp(x), nn.IsInfOp(x, True, False)],
        [x],
        target,
    )
    check_dispatch(lambda x: nn.MaximumOp(x, nn.NegOp(x)), [x], target)


def test_kernel_of_relu_is_small(target: Target) -> None:
    x = np.zeros(1000, np.float32)
    lowered = lower_dispatch(nn.ReluOp, [Operand(x)], target, compile=False)
    assert lowered.op_count <= 30


@pytest.mark.parametrize("size", [1, 16, 37, 1000])
def test_result_may_take_the_place_of_an_operand(
    target: Target, rng: Generator, size: int
) -> None:
    x, y = (rng.standard_normal((3, size)).astype(np.float32) for _ in range(2))
    lowered = lower_dispatch(
        lambda x, y: nn.MulOp(nn.AddOp(x, y), x), [Operand(x), Operand(y)], target
    )
    (expected,) = lowered.expected([x, y], {})
    place = x.ctypes.data
    lowered.call([place, y.ctypes.data, place], {})
    np.testing.assert_array_equal(x, expected)
