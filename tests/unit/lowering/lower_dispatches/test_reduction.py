"""Row programs: reductions and normalisations, along and across memory."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, TensorType
from xdsl.ir import SSAValue

from nnc.dialects.nn import elementwise as nn
from nnc.dialects.nn.movement import BroadcastOp, ReshapeOp, TransposeOp
from nnc.dialects.nn.reduction import ReduceKind, ReduceOp
from nnc.dialects.nn.structure import ConstantOp
from nnc.dialects.nn.types import F32, dims_of
from nnc.symbolic import Dim, DimLike
from nnc.target import Target
from nnc.testing_dispatches import Array, Operand, check_dispatch, lower_dispatch

N, M = Dim.symbol("N"), Dim.symbol("M")
Generator = np.random.Generator


def floats(rng: Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def softmax(x: SSAValue, axis: int = -1) -> nn.DivOp:
    dims = dims_of(x)
    axis %= len(dims)
    largest = BroadcastOp(ReduceOp(x, "max", [axis]), dims)
    powers = nn.ExpOp(nn.SubOp(x, largest))
    total = ReduceOp(powers, "sum", [axis])
    return nn.DivOp(powers, BroadcastOp(total, dims))


def log_softmax(x: SSAValue) -> nn.SubOp:
    dims = dims_of(x)
    shifted = nn.SubOp(x, BroadcastOp(ReduceOp(x, "max", [1]), dims))
    total = ReduceOp(nn.ExpOp(shifted), "sum", [1])
    return nn.SubOp(shifted, BroadcastOp(nn.LogOp(total), dims))


def layer_norm(x: SSAValue, scale: SSAValue, bias: SSAValue) -> nn.AddOp:
    dims = dims_of(x)
    axis = len(dims) - 1
    centered = nn.SubOp(x, BroadcastOp(ReduceOp(x, "mean", [axis]), dims))
    variance = ReduceOp(nn.MulOp(centered, centered), "mean", [axis])
    small = ConstantOp(DenseIntOrFPElementsAttr.from_list(TensorType(F32, []), [1e-5]))
    epsilon = BroadcastOp(small, dims_of(variance.result))
    deviation = nn.SqrtOp(nn.AddOp(variance, epsilon))
    normal = nn.DivOp(centered, BroadcastOp(deviation, dims))
    scaled = nn.MulOp(normal, BroadcastOp(scale, dims))
    return nn.AddOp(scaled, BroadcastOp(bias, dims))


SHAPES = [
    (4, 128), (3, 37), (2, 3, 5), (5, 1), (1, 7), (3, 64), (7, 200), (2, 16), (2, 17),
    (0, 5), (40, 3),
]  # fmt: skip


@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_softmax_and_layer_norm_rows(
    target: Target, rng: Generator, shape: tuple[int, ...], is_dynamic: bool
) -> None:
    dims: list[DimLike] | None = None
    if is_dynamic:
        dims = [N, *shape[1:-1], M]
    x = Operand(floats(rng, *shape), dims)
    scale, bias = (Operand(floats(rng, shape[-1]), dims and [M]) for _ in range(2))
    for over in (None, 0):
        check_dispatch(softmax, [x], target, rtol=3e-6, over=over)
        check_dispatch(
            layer_norm, [x, scale, bias], target, rtol=1e-4, atol=1e-5, over=over
        )


@pytest.mark.parametrize("shape", [(4, 33), (7, 200), (3, 5, 100), (2, 3)], ids=str)
def test_softmax_across_memory(
    target: Target, rng: Generator, shape: tuple[int, ...]
) -> None:
    for dims in (None, [N, *shape[1:-1], M]):
        x = Operand(floats(rng, *shape), dims)
        for over in (None, 0):
            check_dispatch(lambda x: softmax(x, 0), [x], target, rtol=3e-6, over=over)


@pytest.mark.parametrize(
    "kind", [k for k in get_args(ReduceKind) if k not in ("and", "or")]
)
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int64", "int8", "uint8"]
)
def test_reductions_of_each_type(
    target: Target, rng: Generator, kind: ReduceKind, dtype: str
) -> None:
    is_float = np.dtype(dtype).kind == "f"

    def numbers(*shape: int) -> Any:
        if is_float:
            return rng.uniform(-1, 1, shape).astype(dtype)
        return rng.integers(0 if dtype == "uint8" else -5, 5, shape).astype(dtype)

    rtol = {"float32": 3e-5, "float64": 1e-12}.get(dtype)
    atol = 1e-5 if is_float else 0.0
    cases: list[tuple[tuple[int, ...], list[int]]] = [
        ((5, 37), [1]),
        ((37, 21), [0]),
        ((3, 4, 21), [0, 2]),
        ((5, 41), [0, 1]),
        ((3, 1, 20), [1]),
    ]
    for shape, axes in cases:
        check_dispatch(
            lambda x, axes=axes: ReduceOp(x, kind, axes),
            [numbers(*shape)],
            target,
            rtol=rtol,
            atol=atol,
        )


@pytest.mark.parametrize(
    "kind", [k for k in get_args(ReduceKind) if k not in ("and", "or")]
)
def test_reductions_of_no_elements(target: Target, kind: ReduceKind) -> None:
    for dtype in ("float32", "int32"):
        if kind == "mean" and dtype == "int32":
            continue
        empty = np.zeros((5, 0), dtype)
        for dims in (None, [5, N]):
            check_dispatch(
                lambda x: ReduceOp(x, kind, [1]), [Operand(empty, dims)], target
            )


@pytest.mark.parametrize("kind", ["and", "or"])
@pytest.mark.parametrize("axis", [0, 1])
def test_boolean_reductions(
    target: Target, rng: Generator, kind: ReduceKind, axis: int
) -> None:
    x = rng.integers(0, 2, (5, 37)).astype(bool)
    x[:, 3] = kind == "and"
    x[2] = kind == "and"
    check_dispatch(lambda x: ReduceOp(x, kind, [axis]), [x], target)


def test_nan_and_infinity(target: Target, rng: Generator) -> None:
    x = floats(rng, 5, 37)
    x[1, 3] = np.nan
    x[2] = -np.inf
    x[3, 1] = np.inf
    x[4, 36] = np.nan
    check_dispatch(softmax, [x], target, rtol=3e-6)
    for axis in (0, 1):
        check_dispatch(
            lambda x, axis=axis: [
                ReduceOp(x, "max", [axis]),
                ReduceOp(x, "min", [axis]),
            ],
            [x],
            target,
        )


@pytest.mark.parametrize("dims", [None, [N, M, 5, 80]], ids=["static", "dynamic"])
def test_global_average_pool(
    target: Target, rng: Generator, dims: list[DimLike] | None
) -> None:
    x = Operand(floats(rng, 2, 7, 5, 80), dims)
    check_dispatch(
        lambda x: [ReduceOp(nn.ReluOp(x), "mean", [1, 2]), ReduceOp(x, "max", [1, 2])],
        [x],
        target,
        rtol=2e-5,
        atol=1e-6,
    )


def test_results_through_trailing_views(target: Target, rng: Generator) -> None:
    x = floats(rng, 3, 16, 5)
    check_dispatch(
        lambda x: ReshapeOp(ReduceOp(x, "sum", [1]), [3, 5]),
        [x],
        target,
        rtol=2e-5,
        atol=1e-6,
    )
    check_dispatch(
        lambda x: TransposeOp(softmax(x), [1, 0]),
        [floats(rng, 7, 37)],
        target,
        rtol=3e-6,
    )


def test_centered_values_across_memory(target: Target, rng: Generator) -> None:
    def centered(x: SSAValue) -> nn.SubOp:
        return nn.SubOp(x, BroadcastOp(ReduceOp(x, "mean", [1]), dims_of(x)))

    check_dispatch(centered, [floats(rng, 3, 16, 50)], target, rtol=2e-5, atol=1e-6)


def test_log_softmax_keeps_powers_on_the_stack_or_recomputes(
    target: Target, rng: Generator
) -> None:
    x = floats(rng, 3, 300)
    for dims in (None, [N, M]):
        for over in (None, 0):
            check_dispatch(
                log_softmax, [Operand(x, dims)], target, rtol=1e-5, atol=1e-6, over=over
            )


def test_powers_wait_where_they_are_overwritten_only_if_nobody_reads_that(
    target: Target, rng: Generator
) -> None:
    def weighted(x: SSAValue) -> nn.MulOp:
        # The last phase reads `x` beside the powers: they are computed once more.
        return nn.MulOp(softmax(x), x)

    x = Operand(floats(rng, 3, 300), [N, M])
    for build, powers in ((softmax, 1), (weighted, 2)):
        in_place = check_dispatch(build, [x], target, rtol=1e-5, atol=1e-6, over=0)
        apart = check_dispatch(build, [x], target, rtol=1e-5, atol=1e-6)
        counts = [
            sum(op.name == "simd.exp" for op in lowered.kernel.walk())
            for lowered in (in_place, apart)
            if lowered.kernel is not None
        ]
        # The last phase has a loop over vectors, and a rest.
        assert (counts[0] > counts[1]) == (powers == 2)


def test_rows_over_an_operand_that_is_added(target: Target, rng: Generator) -> None:
    def add_mean(x: SSAValue, y: SSAValue) -> nn.AddOp:
        return nn.AddOp(y, BroadcastOp(ReduceOp(x, "mean", [1]), dims_of(x)))

    x, y = floats(rng, 5, 37), floats(rng, 5, 37)
    for over in (0, 1):
        check_dispatch(add_mean, [x, y], target, rtol=1e-5, atol=1e-6, over=over)


def test_half_precision_accumulates_in_f32(target: Target, rng: Generator) -> None:
    x = rng.uniform(0, 1, (3, 5000)).astype(np.float16)
    check_dispatch(lambda x: ReduceOp(x, "sum", [1]), [x], target, rtol=1e-3)
    check_dispatch(softmax, [x[:, :50]], target, rtol=3e-3, atol=1e-4)


def test_long_sums_are_accurate(target: Target, rng: Generator) -> None:
    x = rng.uniform(0, 1, (2, 100_000)).astype(np.float32)
    check_dispatch(lambda x: ReduceOp(x, "sum", [1]), [x], target, rtol=1e-6)


def test_strided_rows(target: Target, rng: Generator) -> None:
    x = Operand(floats(rng, 5, 37), None, [48, 1])
    check_dispatch(softmax, [x], target, [[40, 1]], rtol=3e-6)


def test_softmax_kernel_is_small(target: Target) -> None:
    x = Operand(np.zeros((1536, 1000), np.float32))
    lowered = lower_dispatch(softmax, [x], target, compile=False)
    assert lowered.op_count <= 220
    # The powers are computed once: for four vectors and for the rest.
    assert lowered.kernel is not None
    powers = [op for op in lowered.kernel.walk() if op.name == "simd.exp"]
    assert len(powers) <= 6
