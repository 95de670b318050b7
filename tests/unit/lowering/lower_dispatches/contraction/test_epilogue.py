"""What follows the products: activations, residuals, several results."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import Float16Type, f32
from xdsl.ir import SSAValue

from nnc.dialects.nn import (
    BroadcastOp,
    ConstantOp,
    ReshapeOp,
    SliceOp,
    TransposeOp,
)
from nnc.dialects.nn import elementwise as nn
from nnc.dialects.nn.constants import dense_attribute
from nnc.dialects.nn.types import I32, U8, dims_of, tensor_type
from nnc.symbolic import Dim
from nnc.target import Target

Harness = Any
SHAPE = (19, 7, 37)


def scalar(value: float) -> SSAValue:
    return ConstantOp(dense_attribute(np.array(value, np.float32))).result


def spread(value: SSAValue, like: SSAValue) -> SSAValue:
    return BroadcastOp(value, dims_of(like)).result


def gelu(x: SSAValue) -> SSAValue:
    scaled = nn.MulOp(x, spread(scalar(math.sqrt(0.5)), x)).result
    one = nn.AddOp(nn.ErfOp(scaled), spread(scalar(1.0), x)).result
    return nn.MulOp(nn.MulOp(x, one), spread(scalar(0.5), x)).result


def numpy_gelu(x: np.ndarray) -> np.ndarray:
    erf = np.vectorize(math.erf)
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


ACTIVATIONS: dict[
    str, tuple[Callable[[SSAValue], Any], Callable[[Any], Any], float]
] = {
    "none": (lambda x: nn.AddOp(x, x), lambda x: x + x, 0),
    "relu": (nn.ReluOp, lambda x: np.maximum(x, 0), 0),
    "clamp": (lambda x: nn.ClampOp(x, 0, 6), lambda x: np.clip(x, 0, 6), 0),
    "gelu": (gelu, numpy_gelu, 1e-5),
    "sigmoid": (nn.SigmoidOp, lambda x: 1 / (1 + np.exp(-x)), 1e-6),
    "hard": (
        lambda x: nn.MulOp(x, nn.ClampOp(nn.AddOp(x, x), -3, 3)),
        lambda x: x * np.clip(2 * x, -3, 3),
        0,
    ),
    "to_u8": (
        lambda x: nn.CastOp(nn.ClampOp(x, 0, 255), U8),
        lambda x: np.clip(x, 0, 255).astype(np.uint8),
        0,
    ),
    "to_i32": (lambda x: nn.CastOp(x, I32), lambda x: x.astype(np.int32), 0),
    "to_f16": (
        lambda x: nn.CastOp(x, Float16Type()),
        lambda x: x.astype(np.float16),
        0,
    ),
    "positive": (
        lambda x: nn.CompareOp(x, nn.AbsOp(x), "eq"),
        lambda x: x >= 0,
        0,
    ),
}


@pytest.mark.parametrize("rows", [19, Dim.symbol("M")], ids=["static", "dynamic"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_epilogue_activation(
    harness: Harness, target: Target, activation: str, rows: Any
) -> None:
    m, k, n = SHAPE
    build, meaning, tolerance = ACTIVATIONS[activation]
    weights = harness.Weights(target, (k, n))
    types = [tensor_type(f32, [rows, k]), weights.type]

    def body(a: SSAValue, b: SSAValue) -> SSAValue:
        return SSAValue.get(build(harness.matmul(a, weights.unpacked(b))))

    kernel = harness.compile(target, types, body)
    a, b = harness.numbers(0, m, k), harness.numbers(1, k, n)
    (result,) = kernel.run([a, weights.pack(b)], {"M": m}, 2)
    expected = meaning((a @ b).astype(np.float64)).astype(result.dtype)
    if tolerance:
        np.testing.assert_allclose(result, expected, tolerance, tolerance)
    else:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("rows", [19, Dim.symbol("M")], ids=["static", "dynamic"])
def test_epilogue_operands_of_every_shape(
    harness: Harness, target: Target, rows: Any
) -> None:
    m, k, n = SHAPE
    weights = harness.Weights(target, (k, n))
    shapes: list[list[Any]] = [[n], [rows, 1], [1], [], [n, rows], [rows, n]]

    def body(a: SSAValue, b: SSAValue, *others: SSAValue) -> SSAValue:
        bias, row, one, single, turned, full = others
        total = harness.matmul(a, weights.unpacked(b))
        for term in (bias, row, one, single):
            total = nn.AddOp(total, spread(term, total)).result
        total = nn.AddOp(total, TransposeOp(turned, [1, 0]).result).result
        return nn.AddOp(total, full).result

    types = [tensor_type(f32, [rows, k]), weights.type]
    types += [tensor_type(f32, s) for s in shapes]
    kernel = harness.compile(target, types, body)
    a, b = harness.numbers(0, m, k), harness.numbers(1, k, n)
    sizes = [[m if isinstance(d, Dim) else d for d in s] for s in shapes]
    others = [harness.numbers(i + 2, *s) for i, s in enumerate(sizes)]
    bias, row, one, single, turned, full = others
    expected = a @ b + bias + row + one + single + turned.T + full
    (result,) = kernel.run([a, weights.pack(b), *others], {"M": m}, 3)
    np.testing.assert_array_equal(result, expected)


def test_epilogue_several_results(harness: Harness, target: Target) -> None:
    m, k, n = SHAPE
    weights = harness.Weights(target, (k, n))
    types = [tensor_type(f32, [m, k]), weights.type, tensor_type(f32, [n])]

    def body(a: SSAValue, b: SSAValue, bias: SSAValue) -> list[SSAValue]:
        product = harness.matmul(a, weights.unpacked(b))
        total = nn.AddOp(product, spread(bias, product)).result
        relu = nn.ReluOp(total).result
        return [product, relu, TransposeOp(total, [1, 0]).result]

    kernel = harness.compile(target, types, body)
    a, b, bias = (
        harness.numbers(0, m, k),
        harness.numbers(1, k, n),
        harness.numbers(2, n),
    )
    product, relu, turned = kernel.run([a, weights.pack(b), bias], parts=2)
    np.testing.assert_array_equal(product, a @ b)
    np.testing.assert_array_equal(relu, np.maximum(a @ b + bias, 0))
    np.testing.assert_array_equal(turned, (a @ b + bias).T)


def test_epilogue_result_in_place_of_residual(harness: Harness, target: Target) -> None:
    m, k, n = SHAPE
    weights = harness.Weights(target, (k, n))
    full = tensor_type(f32, [m, n])

    def body(a: SSAValue, b: SSAValue, residual: SSAValue) -> SSAValue:
        total = nn.AddOp(harness.matmul(a, weights.unpacked(b)), residual).result
        return nn.ReluOp(total).result

    kernel = harness.compile(
        target, [tensor_type(f32, [m, k]), weights.type, full], body
    )
    a, b = harness.numbers(0, m, k), weights.pack(harness.numbers(1, k, n))
    residual = harness.numbers(2, m, n)
    expected = np.maximum(a @ harness.numbers(1, k, n) + residual, 0)
    kernel.run_in_place([a, b, residual, residual], parts=2)
    np.testing.assert_array_equal(residual, expected)


def test_epilogue_merged_heads_result(harness: Harness, target: Target) -> None:
    batch, heads, rows, depth = 2, 3, 17, 20
    types = [
        tensor_type(f32, [batch, heads, rows, 6]),
        tensor_type(f32, [batch, heads, 6, depth]),
    ]

    def body(a: SSAValue, b: SSAValue) -> SSAValue:
        moved = TransposeOp(harness.matmul(a, b), [0, 2, 1, 3]).result
        return ReshapeOp(moved, [batch, rows, heads * depth]).result

    kernel = harness.compile(target, types, body)
    a = harness.numbers(0, batch, heads, rows, 6)
    b = harness.numbers(1, batch, heads, 6, depth)
    expected = (a @ b).transpose(0, 2, 1, 3).reshape(batch, rows, heads * depth)
    np.testing.assert_array_equal(kernel.run([a, b], parts=2)[0], expected)


def test_epilogue_single_result_reads_one_of_many(
    harness: Harness, target: Target
) -> None:
    types = [tensor_type(f32, s) for s in ([1, 5], [5, 1], [1, 3])]

    def body(a: SSAValue, b: SSAValue, many: SSAValue) -> SSAValue:
        one = SliceOp(many, [0, 1], [1, 1]).result
        return nn.AddOp(harness.matmul(a, b), one).result

    kernel = harness.compile(target, types, body)
    a, b, many = (
        harness.numbers(i, *s) for i, s in enumerate([(1, 5), (5, 1), (1, 3)])
    )
    (result,) = kernel.run([a, b, many])
    np.testing.assert_array_equal(result, a @ b + many[:, 1:2])
