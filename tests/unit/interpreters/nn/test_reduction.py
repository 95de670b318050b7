"""References of reductions and normalisations against torch and numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nnc.dialects.nn import reduction as nn
from nnc.errors import RunError
from nnc.testing import compare, run_one_op

Array = NDArray[Any]
GENERATOR = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return GENERATOR.normal(size=shape).astype(np.float32)


NUMPY: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "prod": np.prod,
    "and": np.all,
    "or": np.any,
}


def test_every_kind_is_tested():
    assert tuple(NUMPY) == nn.REDUCE_KINDS


@pytest.mark.parametrize("kind", nn.REDUCE_KINDS)
@pytest.mark.parametrize("axes", [(0,), (1, 2), (-1,), (0, 1, 2), (), (2, 0)])
@pytest.mark.parametrize("keep", [False, True])
def test_reduce(kind: nn.ReduceKind, axes: tuple[int, ...], keep: bool):
    x = normal(2, 3, 4)
    x = x > 0 if kind in ("and", "or") else x
    result = run_one_op(nn.ReduceOp, x, kind=kind, axes=axes, keep_dims=keep)
    expected = NUMPY[kind](x, axis=axes, keepdims=keep)
    compare(result, np.asarray(expected, x.dtype))


@pytest.mark.parametrize(
    ("kind", "dtype", "expected"),
    [
        ("sum", np.float32, 0),
        ("prod", np.float32, 1),
        ("mean", np.float32, np.nan),
        ("max", np.float32, -np.inf),
        ("min", np.float32, np.inf),
        ("max", np.int8, -128),
        ("min", np.int8, 127),
        ("min", np.uint16, 65535),
        ("mean", np.int32, 0),
        ("and", np.bool_, True),
        ("or", np.bool_, False),
        ("max", ml_dtypes.bfloat16, -np.inf),
    ],
)
def test_reduce_of_nothing(kind: str, dtype: type[np.generic], expected: float):
    x = np.zeros((2, 0), dtype)
    result = run_one_op(nn.ReduceOp, x, kind=kind, axes=[1], keep_dims=False)
    compare(result, np.array([expected] * 2).astype(dtype))


@pytest.mark.parametrize("kind", ["sum", "mean", "max", "min", "prod"])
def test_nan_propagates(kind: str):
    x = np.array([[1, np.nan, np.inf], [1, 2, 3]], np.float32)
    result = run_one_op(nn.ReduceOp, x, kind=kind, axes=[1])
    assert np.isnan(result[0, 0])
    assert np.isfinite(result[1, 0])


@pytest.mark.parametrize("kind", ["sum", "mean", "max", "min", "prod"])
def test_reduce_of_integers_wraps_and_truncates(kind: str):
    x = np.array([-100, -100, 101], np.int8)
    expected = {"sum": -99, "mean": -33, "max": 101, "min": -100, "prod": 80}
    result = run_one_op(nn.ReduceOp, x, kind=kind, axes=[0], keep_dims=False)
    compare(result, np.array(expected[kind], np.int8))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_reduce_of_narrow_floats_sums_wide(dtype: type[np.generic]):
    x = np.ones(4096, dtype)
    result = run_one_op(nn.ReduceOp, x, kind="sum", axes=[0])
    compare(result, np.array([4096]).astype(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("keep", [False, True])
def test_arg_reduce(kind: nn.ArgReduceKind, axis: int, keep: bool):
    x = normal(4, 5)
    function = {"max": np.argmax, "min": np.argmin}[kind]
    result = run_one_op(nn.ArgReduceOp, x, kind=kind, axis=axis, keep_dims=keep)
    compare(result, function(x, axis, keepdims=keep))


def test_arg_reduce_of_equal_elements():
    x = np.array([3, 7, 7, 3])
    for kind, first, last in (("max", 1, 2), ("min", 0, 3)):
        result = run_one_op(nn.ArgReduceOp, x, kind=kind, axis=0)
        compare(result, np.array([first]))
        result = run_one_op(nn.ArgReduceOp, x, kind=kind, axis=0, select_last=True)
        compare(result, np.array([last]))


@pytest.mark.parametrize("kind", ["max", "min"])
def test_arg_reduce_finds_nan(kind: str):
    x = np.array([1, np.nan, 3, np.nan], np.float32)
    compare(run_one_op(nn.ArgReduceOp, x, kind=kind, axis=0), np.array([1]))


def test_arg_reduce_of_nothing():
    with pytest.raises(RunError, match="no elements along axis 1"):
        run_one_op(nn.ArgReduceOp, normal(2, 0), kind="max", axis=1)
    result = run_one_op(nn.ArgReduceOp, normal(0, 0), kind="max", axis=1)
    assert result.shape == (0, 1)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_cumulative(exclusive: bool, reverse: bool, dtype: type[np.generic]):
    x = np.array([[1, 2, 3], [4, 5, 6]]).astype(dtype)
    rows: list[list[int]] = []
    for row in x.astype(int).tolist():
        row = row[::-1] if reverse else row
        sums = [sum(row[: i + (not exclusive)]) for i in range(len(row))]
        rows.append(sums[::-1] if reverse else sums)
    result = run_one_op(
        nn.CumulativeOp, x, axis=1, exclusive=exclusive, reverse=reverse
    )
    compare(result, np.array(rows).astype(dtype))


def test_cumulative_of_nothing():
    x = normal(2, 0)
    compare(run_one_op(nn.CumulativeOp, x, axis=1, exclusive=True), x)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(axis: int):
    x = normal(3, 4, 5) * 50
    expected = functional.softmax(torch.from_numpy(x), axis).numpy()
    compare(run_one_op(nn.SoftmaxOp, x, axis=axis), expected)


def test_softmax_of_infinities_and_nothing():
    x = np.array([[-np.inf, 0, -np.inf], [-np.inf] * 3, [0, np.nan, 0]], np.float32)
    expected = np.array([[0, 1, 0], [np.nan] * 3, [np.nan] * 3], np.float32)
    compare(run_one_op(nn.SoftmaxOp, x), expected)
    compare(run_one_op(nn.SoftmaxOp, normal(2, 0)), np.zeros((2, 0), np.float32))


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("with_bias", [False, True])
def test_layer_norm(axis: int, with_bias: bool):
    x = normal(3, 4, 5) * 3 + 7
    shape = x.shape[axis:]
    scale, bias = normal(*shape), normal(*shape)
    parameters = [scale, bias] if with_bias else [scale]
    result = run_one_op(nn.LayerNormOp, x, *parameters, axis=axis, epsilon=1e-3)
    expected = functional.layer_norm(
        torch.from_numpy(x), shape, *map(torch.from_numpy, parameters), eps=1e-3
    )
    compare(result, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("axis", [1, -1])
def test_batch_norm(axis: int):
    x = normal(2, 3, 4, 3)
    scale, bias, mean, variance = (normal(3) for _ in range(4))
    variance = np.abs(variance) + 0.1
    result = run_one_op(
        nn.BatchNormOp, x, scale, bias, mean, variance, axis=axis, epsilon=1e-3
    )
    first = np.moveaxis(x, axis, 1)
    x1, m1, v1, s1, b1 = (
        torch.from_numpy(a.copy()) for a in (first, mean, variance, scale, bias)
    )
    expected = functional.batch_norm(x1, m1, v1, s1, b1, eps=1e-3).numpy()
    compare(result, np.moveaxis(expected, 1, axis), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_normalisations_of_narrow_floats_round_once(dtype: type[np.generic]):
    x, scale = normal(4, 8).astype(dtype), np.ones(8).astype(dtype)
    wide = functional.layer_norm(torch.from_numpy(x.astype(np.float32)), (8,)).numpy()
    compare(run_one_op(nn.LayerNormOp, x, scale), wide.astype(dtype))
    soft = functional.softmax(torch.from_numpy(x.astype(np.float32)), -1).numpy()
    compare(run_one_op(nn.SoftmaxOp, x), soft.astype(dtype))
