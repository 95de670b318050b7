"""Matrix products: numbers, layouts, unknown sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import Float16Type, IntegerType, f32, f64
from xdsl.ir import SSAValue

from nnc.dialects.nn import BroadcastOp, ReshapeOp, SliceOp, TransposeOp
from nnc.dialects.nn.elementwise import AddOp, ReluOp
from nnc.dialects.nn.types import tensor_type
from nnc.symbolic import Dim
from nnc.target import Target

F16 = Float16Type()
# conftest.py cannot be imported by name, hence no type for the harness.
Harness = Any
M, N, K, B = (Dim.symbol(s) for s in "MNKB")


@pytest.mark.parametrize("m", [0, 1, 13, 15, 33])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 31), (17, 16), (5, 72), (9, 101)])
@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "plain"])
def test_matmul_bias_relu_any_size_exact(
    harness: Harness, target: Target, m: int, k: int, n: int, is_packed: bool
) -> None:
    weights = harness.Weights(target, (k, n))

    def body(a: SSAValue, b: SSAValue, bias: SSAValue) -> SSAValue:
        product = harness.matmul(a, weights.unpacked(b) if is_packed else b)
        return ReluOp(AddOp(product, BroadcastOp(bias, [m, n]).result)).result

    b_type = weights.type if is_packed else tensor_type(f32, [k, n])
    types = [tensor_type(f32, [m, k]), b_type, tensor_type(f32, [n])]
    kernel = harness.compile(target, types, body)
    a, b = harness.numbers(0, m, k), harness.numbers(1, k, n)
    bias = harness.numbers(2, n)
    arrays = [a, weights.pack(b) if is_packed else b, bias]
    expected = np.maximum(a @ b + bias, 0)
    for parts in (1, 2, 5):
        np.testing.assert_array_equal(kernel.run(arrays, parts=parts)[0], expected)


@pytest.mark.isa("avx512")
@pytest.mark.parametrize("cpu", ["x86-64-v4", "znver4"])
@pytest.mark.parametrize("n", [1, 5, 8, 9, 20, 24, 25, 70, 72])
@pytest.mark.parametrize("bits", [32, 64])
def test_matmul_panels_of_half_vectors_exact(
    harness: Harness, cpu: str, n: int, bits: int
) -> None:
    target = replace(Target.named("avx512"), cpu=cpu)
    m, k = 47, 11
    element_type, dtype = (f32, np.float32) if bits == 32 else (f64, np.float64)
    weights = harness.Weights(target, (k, n), 1, element_type)

    def body(a: SSAValue, b: SSAValue, bias: SSAValue) -> SSAValue:
        product = harness.matmul(a, weights.unpacked(b))
        return ReluOp(AddOp(product, BroadcastOp(bias, [m, n]).result)).result

    types = [
        tensor_type(element_type, [m, k]),
        weights.type,
        tensor_type(element_type, [n]),
    ]
    kernel = harness.compile(target, types, body)
    a, b = (
        harness.numbers(0, m, k, dtype=dtype),
        harness.numbers(1, k, n, dtype=dtype),
    )
    bias = harness.numbers(2, n, dtype=dtype)
    expected = np.maximum(a @ b + bias, 0)
    for parts in (1, 3):
        actual = kernel.run([a, weights.pack(b), bias], parts=parts)[0]
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("k", [0, 1, 7])
def test_matmul_no_products_gives_zero(
    harness: Harness, target: Target, k: int
) -> None:
    types = [tensor_type(f32, [5, k]), tensor_type(f32, [k, 20])]
    kernel = harness.compile(target, types, harness.matmul)
    a, b = harness.numbers(0, 5, k), harness.numbers(1, k, 20)
    np.testing.assert_array_equal(kernel.run([a, b])[0], a @ b)


@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        ((3, 4, 5), (3, 5, 6)),
        ((2, 1, 4, 5), (3, 5, 20)),
        ((4, 5), (3, 5, 6)),
        ((3, 15, 5), (5, 6)),
        ((1, 4, 5), (3, 5, 17)),
        ((2, 3, 1, 5), (2, 3, 5, 40)),
        ((0, 4, 5), (0, 5, 6)),
    ],
)
def test_matmul_batch_axes_broadcast(
    harness: Harness, target: Target, a_shape: tuple[int, ...], b_shape: tuple[int, ...]
) -> None:
    types = [tensor_type(f32, a_shape), tensor_type(f32, b_shape)]
    kernel = harness.compile(target, types, harness.matmul)
    a, b = harness.numbers(0, *a_shape), harness.numbers(1, *b_shape)
    for parts in (1, 3):
        np.testing.assert_array_equal(kernel.run([a, b], parts=parts)[0], a @ b)


def test_matmul_unknown_sizes_one_kernel_for_all(
    harness: Harness, target: Target
) -> None:
    types = [
        tensor_type(f32, [B, M, K]),
        tensor_type(f32, [B, K, N]),
        tensor_type(f32, [N]),
    ]

    def body(a: SSAValue, b: SSAValue, bias: SSAValue) -> SSAValue:
        return AddOp(harness.matmul(a, b), BroadcastOp(bias, [B, M, N]).result).result

    kernel = harness.compile(target, types, body)
    for sizes in [
        (1, 1, 1, 1),
        (2, 3, 20, 15),
        (1, 14, 5, 32),
        (3, 29, 2, 33),
        (1, 27, 9, 63),
        (0, 4, 4, 4),
        (2, 0, 4, 4),
        (2, 4, 0, 4),
        (2, 4, 4, 0),
    ]:
        batch, m, k, n = sizes
        arrays = [
            harness.numbers(i, *s)
            for i, s in enumerate([(batch, m, k), (batch, k, n), (n,)])
        ]
        named = dict(zip("BMKN", sizes, strict=True))
        for parts in (1, 2):
            (result,) = kernel.run(arrays, named, parts)
            expected = arrays[0] @ arrays[1] + arrays[2]
            np.testing.assert_array_equal(result, expected, str(sizes))


def test_matmul_unknown_rows_constant_weights(harness: Harness, target: Target) -> None:
    weights = harness.Weights(target, (12, 40))
    types = [tensor_type(f32, [B, M, 12]), weights.type, tensor_type(f32, [B, M, 40])]

    def body(a: SSAValue, b: SSAValue, residual: SSAValue) -> SSAValue:
        return AddOp(harness.matmul(a, weights.unpacked(b)), residual).result

    kernel = harness.compile(target, types, body)
    b = harness.numbers(1, 12, 40)
    for batch, m in [(1, 1), (2, 7), (1, 13), (1, 14), (3, 33)]:
        a, residual = harness.numbers(0, batch, m, 12), harness.numbers(2, batch, m, 40)
        arrays = [a, weights.pack(b), residual]
        (result,) = kernel.run(arrays, {"B": batch, "M": m}, 2)
        np.testing.assert_array_equal(result, a @ b + residual)


@pytest.mark.parametrize(
    "form",
    ["transposed", "transposed_dynamic", "sliced", "reversed", "padded_rows"],
)
def test_matmul_reads_a_through_views(
    harness: Harness, target: Target, form: str
) -> None:
    m, k, n = 17, 9, 20
    a = harness.numbers(0, m, k)
    stored, dims, strides = a, [m, k], None
    match form:
        case "transposed":
            stored, dims = a.T, [k, m]
        case "transposed_dynamic":
            stored, dims = a.T, [k, M]
        case "sliced":
            stored, dims = harness.numbers(3, 40, 30), [40, 30]
            a = stored[3:37:2, 5:14]
        case "reversed":
            stored = a[::-1, ::-1]
        case _:
            strides = {0: [k + 7, 1]}

    def body(x: SSAValue, b: SSAValue) -> SSAValue:
        match form:
            case "sliced":
                x = SliceOp(x, [3, 5], [m, k], [2, 1]).result
            case "reversed":
                x = SliceOp(x, [m - 1, k - 1], [m, k], [-1, -1]).result
            case "padded_rows":
                pass
            case _:
                x = TransposeOp(x, [1, 0]).result
        return harness.matmul(x, b)

    types = [tensor_type(f32, dims), tensor_type(f32, [k, n])]
    kernel = harness.compile(target, types, body, strides)
    b = harness.numbers(1, k, n)
    assert not kernel.is_generic
    np.testing.assert_array_equal(kernel.run([stored, b], {"M": m})[0], a @ b)


def test_matmul_reads_b_transposed(harness: Harness, target: Target) -> None:
    types = [tensor_type(f32, [15, 6]), tensor_type(f32, [20, 6])]

    def body(a: SSAValue, b: SSAValue) -> SSAValue:
        return harness.matmul(a, TransposeOp(b, [1, 0]).result)

    kernel = harness.compile(target, types, body)
    a, b = harness.numbers(0, 15, 6), harness.numbers(1, 20, 6)
    np.testing.assert_array_equal(kernel.run([a, b])[0], a @ b.T)


def test_matmul_reads_merged_heads_in_place(harness: Harness, target: Target) -> None:
    # [batch, heads, rows, depth] to [batch, rows, heads * depth]: two steps a column.
    weights = harness.Weights(target, (12, 20))
    types = [tensor_type(f32, [2, 3, 5, 4]), weights.type]

    def body(x: SSAValue, b: SSAValue) -> SSAValue:
        moved = TransposeOp(x, [0, 2, 1, 3]).result
        return harness.matmul(ReshapeOp(moved, [2, 5, 12]).result, weights.unpacked(b))

    kernel = harness.compile(target, types, body)
    x, b = harness.numbers(0, 2, 3, 5, 4), harness.numbers(1, 12, 20)
    assert not kernel.is_generic
    expected = x.transpose(0, 2, 1, 3).reshape(2, 5, 12) @ b
    np.testing.assert_array_equal(kernel.run([x, weights.pack(b)])[0], expected)


@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "plain"])
@pytest.mark.parametrize("depth", [64, 48, 5])
@pytest.mark.parametrize("rows", [7, M], ids=["static", "dynamic"])
def test_matmul_writes_split_heads_in_place(
    harness: Harness, target: Target, depth: int, is_packed: bool, rows: Dim | int
) -> None:
    columns = 3 * depth
    weights = harness.Weights(target, (10, columns))
    b_type = weights.type if is_packed else tensor_type(f32, [10, columns])
    types = [tensor_type(f32, [2, rows, 10]), b_type, tensor_type(f32, [columns])]

    def body(a: SSAValue, b: SSAValue, bias: SSAValue) -> SSAValue:
        product = harness.matmul(a, weights.unpacked(b) if is_packed else b)
        total = AddOp(product, BroadcastOp(bias, [2, rows, columns]).result).result
        split = ReshapeOp(total, [2, rows, 3, depth]).result
        return TransposeOp(split, [0, 2, 1, 3]).result

    kernel = harness.compile(target, types, body)
    a, b = harness.numbers(0, 2, 7, 10), harness.numbers(1, 10, columns)
    bias = harness.numbers(2, columns)
    arrays = [a, weights.pack(b) if is_packed else b, bias]
    expected = (a @ b + bias).reshape(2, 7, 3, depth).transpose(0, 2, 1, 3)
    for parts in (1, 4):
        (result,) = kernel.run(arrays, {"M": 7}, parts)
        np.testing.assert_array_equal(result, expected)


def test_matmul_result_columns_apart(harness: Harness, target: Target) -> None:
    types = [tensor_type(f32, [17, 6]), tensor_type(f32, [6, 21])]

    def body(a: SSAValue, b: SSAValue) -> SSAValue:
        return TransposeOp(ReluOp(harness.matmul(a, b)).result, [1, 0]).result

    kernel = harness.compile(target, types, body)
    a, b = harness.numbers(0, 17, 6), harness.numbers(1, 6, 21)
    np.testing.assert_array_equal(kernel.run([a, b])[0], np.maximum(a @ b, 0).T)


def test_matmul_single_row_wide_tile(harness: Harness, target: Target) -> None:
    for n in (16, 100, 300):
        types = [tensor_type(f32, [1, 37]), tensor_type(f32, [37, n])]
        kernel = harness.compile(target, types, harness.matmul)
        a, b = harness.numbers(0, 1, 37), harness.numbers(1, 37, n)
        np.testing.assert_array_equal(kernel.run([a, b], parts=2)[0], a @ b)


@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "plain"])
@pytest.mark.parametrize(
    ("element_type", "dtype"), [(f64, np.float64), (F16, np.float16)]
)
def test_matmul_other_floats(
    harness: Harness, target: Target, element_type: Any, dtype: Any, is_packed: bool
) -> None:
    m, k, n = 15, 13, 37
    weights = harness.Weights(target, (k, n), element_type=element_type)
    b_type = weights.type if is_packed else tensor_type(element_type, [k, n])
    types = [tensor_type(element_type, [m, k]), b_type, tensor_type(element_type, [n])]

    def body(a: SSAValue, b: SSAValue, bias: SSAValue) -> SSAValue:
        product = harness.matmul(a, weights.unpacked(b) if is_packed else b)
        return AddOp(product, BroadcastOp(bias, [m, n]).result).result

    kernel = harness.compile(target, types, body)
    a, b, bias = (
        harness.numbers(i, *s, dtype=dtype)
        for i, s in enumerate([(m, k), (k, n), (n,)])
    )
    expected = (a.astype(np.float64) @ b.astype(np.float64) + bias).astype(dtype)
    arrays = [a, weights.pack(b) if is_packed else b, bias]
    np.testing.assert_array_equal(kernel.run(arrays, parts=2)[0], expected)


@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "plain"])
@pytest.mark.parametrize("bits", [8, 32, 64])
def test_matmul_integers_wrap(
    harness: Harness, target: Target, bits: int, is_packed: bool
) -> None:
    m, k, n = 5, 40, 19
    type_ = IntegerType(bits)
    weights = harness.Weights(target, (k, n), element_type=type_)
    b_type = weights.type if is_packed else tensor_type(type_, [k, n])
    types = [tensor_type(type_, [2, m, k]), b_type]

    def body(a: SSAValue, b: SSAValue) -> SSAValue:
        return harness.matmul(a, weights.unpacked(b) if is_packed else b)

    kernel = harness.compile(target, types, body)
    dtype = np.dtype(f"int{bits}")
    rng = np.random.default_rng(0)
    a = rng.integers(-100, 100, (2, m, k)).astype(dtype)
    b = rng.integers(-100, 100, (k, n)).astype(dtype)
    assert kernel.is_generic
    arrays = [a, weights.pack(b) if is_packed else b]
    np.testing.assert_array_equal(kernel.run(arrays, parts=3)[0], a @ b)
