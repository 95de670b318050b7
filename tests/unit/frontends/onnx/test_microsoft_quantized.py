"""Quantized ops of com.microsoft, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import ModelError, UnsupportedOp

F32 = np.float32
U8, I8 = np.uint8, np.int8


def numbers(rng: np.random.Generator, kind: Any, *shape: int) -> Any:
    """All values of an 8-bit type."""
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max + 1, shape, kind)


def scalar(value: float, kind: Any = F32) -> Any:
    return np.array(value, kind)


# ---------------------------------------------------------------- products


@pytest.mark.parametrize("kinds", [(U8, U8), (U8, I8), (I8, I8)])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_matmul_integer_to_float(
    kinds: Any, columns: bool, full: bool, node_agrees: Any, rng: Any
):
    a, b = numbers(rng, kinds[0], 2, 5, 33), numbers(rng, kinds[1], 33, 7)
    scale = rng.uniform(0.01, 0.1, 7).astype(F32) if columns else scalar(0.03)
    zero = numbers(rng, kinds[1], 7) if columns else scalar(3, kinds[1])
    inputs: list[Any] = [a, b, scalar(0.02), scale]
    if full:
        inputs += [scalar(9, kinds[0]), zero, rng.standard_normal(7).astype(F32)]
    node_agrees("MatMulIntegerToFloat", inputs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", [U8, I8])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_dynamic_quantize_matmul(
    kind: Any, columns: bool, full: bool, node_agrees: Any, rng: Any
):
    a, b = rng.standard_normal((2, 5, 33)).astype(F32), numbers(rng, kind, 33, 7)
    scale = rng.uniform(0.01, 0.1, 7).astype(F32) if columns else scalar(0.03)
    inputs: list[Any] = [a, b, scale]
    if full:
        zero = numbers(rng, kind, 7) if columns else scalar(3, kind)
        inputs += [zero, rng.standard_normal(7).astype(F32)]
    node_agrees("DynamicQuantizeMatMul", inputs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [U8, I8])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("is_quantized", [False, True])
def test_quantized_gemm(
    kind: Any, columns: bool, is_quantized: bool, node_agrees: Any, rng: Any
):
    a, b = numbers(rng, kind, 33, 5), numbers(rng, kind, 7, 33)
    scale = rng.uniform(0.01, 0.1, 7).astype(F32) if columns else scalar(0.03)
    zero = numbers(rng, kind, 7) if columns else scalar(3, kind)
    inputs: list[Any] = [a, scalar(0.02), scalar(9, kind), b, scale, zero]
    inputs.append(rng.integers(-999, 999, 7, np.int32))
    if is_quantized:
        inputs += [scalar(0.7), scalar(11, kind)]
    node_agrees(
        *("QGemm", inputs),
        out=[kind if is_quantized else F32],
        transA=1,
        transB=1,
        alpha=0.5,
        rtol=1e-5,
        atol=1 if is_quantized else 1e-3,
    )


@pytest.mark.parametrize("past", [0, 3])
@pytest.mark.parametrize("columns", [False, True])
def test_quantized_attention(past: int, columns: bool, node_agrees: Any, rng: Any):
    x, weight = numbers(rng, U8, 2, 4, 6), numbers(rng, I8, 6, 24)
    scale = rng.uniform(0.005, 0.01, 24).astype(F32) if columns else scalar(0.01)
    inputs: list[Any] = [x, weight, rng.standard_normal(24).astype(F32)]
    inputs += [scalar(0.02), scale, np.array([past + 4, past + 2], np.int32)]
    inputs += [scalar(120, U8), np.zeros(24, I8) if columns else scalar(1, I8)]
    if past:
        inputs.append(rng.standard_normal((2, 2, 2, past, 4)).astype(F32))
    out = [F32, F32] if past else [F32]
    node_agrees("QAttention", inputs, out=out, num_heads=2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("kind", [U8, I8])
def test_dynamic_quantize_lstm(
    direction: str, columns: bool, kind: Any, node_agrees: Any, rng: Any
):
    count, steps, features, hidden = 1 + (direction == "bidirectional"), 4, 6, 5
    inputs: list[Any] = [rng.standard_normal((steps, 1, features)).astype(F32)]
    inputs += [numbers(rng, kind, count, n, 4 * hidden) for n in (features, hidden)]
    inputs += [rng.standard_normal((count, 8 * hidden)).astype(F32), None]
    inputs += [rng.standard_normal((count, 1, hidden)).astype(F32) for _ in range(2)]
    inputs.append(None)
    shape = (count, 4 * hidden) if columns else (count,)
    for _ in range(2):
        inputs.append(rng.uniform(0.003, 0.006, shape).astype(F32))
        inputs.append(np.full(shape, 0 if columns else 3, kind))
    node_agrees(
        *("DynamicQuantizeLSTM", inputs),
        out=[F32, F32, F32],
        constants=[1, 2, 8, 9, 10, 11],
        hidden_size=hidden,
        direction=direction,
        rtol=1e-3,
        atol=1e-4,
    )


def test_integer_products(node_agrees: Any, run_node: Any, rng: Any):
    a, b = rng.integers(-999, 999, (5, 6), np.int16), np.eye(6, 4, dtype=np.int16)
    node_agrees("MatMulInteger16", [a, b], out=[np.int32])
    x, y = numbers(rng, U8, 3, 4), numbers(rng, U8, 4)
    inputs = [x, scalar(3, U8), y, scalar(200, U8)]
    (found,) = run_node("MulInteger", inputs, out=[np.int32])
    np.testing.assert_array_equal(found, (x.astype(int) - 3) * (y.astype(int) - 200))
    (found,) = run_node("ReduceSumInteger", [x], out=[np.int32], axes=[-1], keepdims=0)
    np.testing.assert_array_equal(found, x.astype(int).sum(-1))


@pytest.mark.parametrize("last", [0, 1])
def test_quantized_conv(last: int, node_agrees: Any, rng: Any):
    x = numbers(rng, U8, 2, 4, 6, 7)
    inputs = [x.transpose(0, 2, 3, 1).copy() if last else x, scalar(0.02)]
    inputs += [scalar(120, U8), numbers(rng, I8, 6, 4, 3, 3), scalar(0.01)]
    inputs += [scalar(0, I8), scalar(0.4), scalar(128, U8)]
    inputs.append(rng.integers(-999, 999, 6, np.int32))
    options = {"channels_last": last, "pads": [1, 1, 0, 1], "strides": [2, 1]}
    node_agrees("QLinearConv", inputs, out=[U8], atol=1, **options)


# ---------------------------------------------------------------- elementwise


@pytest.mark.parametrize("kind", [U8, I8])
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_quantized_binary(op: str, kind: Any, node_agrees: Any, rng: Any):
    x, y = numbers(rng, kind, 3, 5, 40), numbers(rng, kind, 5, 1)
    inputs = [x, scalar(0.02), scalar(7, kind), y, scalar(0.03), scalar(90, kind)]
    inputs += [scalar(0.05), scalar(50, kind)]
    node_agrees(op, inputs, out=[kind], atol=1)


def test_zero_points_may_be_left_out(run_node: Any, rng: Any):
    x, y = numbers(rng, U8, 3, 5), numbers(rng, U8, 3, 5)
    inputs = [x, scalar(0.02), scalar(0, U8), y, scalar(0.03), scalar(0, U8)]
    inputs += [scalar(0.05), scalar(0, U8)]
    wanted = run_node("QLinearAdd", inputs, out=[U8])
    inputs[2] = inputs[5] = inputs[7] = None
    found = run_node("QLinearAdd", inputs, out=[U8])
    np.testing.assert_array_equal(found[0], wanted[0])


@pytest.mark.parametrize("kind", [U8, I8])
@pytest.mark.parametrize("op", ["QLinearSigmoid", "QLinearLeakyRelu"])
def test_quantized_functions(op: str, kind: Any, node_agrees: Any):
    info = np.iinfo(kind)
    x = np.arange(info.min, info.max + 1, dtype=kind)
    inputs = [x, scalar(0.05), scalar(20, kind), scalar(0.01), scalar(3, kind)]
    node_agrees(op, inputs, out=[kind], constants=[1, 2, 3, 4])
    node_agrees(op, inputs, out=[kind])


@pytest.mark.parametrize("kind", [U8, I8])
@pytest.mark.parametrize(("axis", "opset"), [(-1, 13), (1, 13), (1, 12)])
def test_quantized_softmax(
    axis: int, opset: int, kind: Any, node_agrees: Any, rng: Any
):
    zero = scalar(0 if kind == U8 else -128, kind)
    inputs = [numbers(rng, kind, 3, 5, 6), scalar(0.05), scalar(20, kind)]
    inputs += [scalar(1 / 256), zero]
    node_agrees("QLinearSoftmax", inputs, out=[kind], axis=axis, opset=opset, atol=1)


@pytest.mark.parametrize("kind", [U8, I8])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("include", [0, 1])
def test_quantized_pools(
    last: int, include: int, kind: Any, node_agrees: Any, rng: Any
):
    x = numbers(rng, kind, 2, 3, 7, 6)
    inputs = [x.transpose(0, 2, 3, 1).copy() if last else x, scalar(0.05)]
    inputs += [scalar(20, kind), scalar(0.03), scalar(9, kind)]
    window = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0]}
    node_agrees(
        *("QLinearAveragePool", inputs),
        out=[kind],
        channels_last=last,
        count_include_pad=include,
        atol=1,
        **window,
    )
    node_agrees(
        "QLinearGlobalAveragePool", inputs, out=[kind], channels_last=last, atol=1
    )


def test_quantized_mean(run_node: Any, rng: Any):
    x = numbers(rng, U8, 3, 5, 6)
    inputs = [x, scalar(0.05), scalar(20, U8), scalar(0.03), scalar(9, U8)]
    options = {"axes": [1, 2], "keepdims": 0, "out": [U8]}
    (found,) = run_node("QLinearReduceMean", inputs, **options)
    mean = ((x.astype(float) - 20) * 0.05).mean((1, 2))
    np.testing.assert_allclose(found, np.clip(np.round(mean / 0.03) + 9, 0, 255))


def test_quantized_where_and_concat(node_agrees: Any, rng: Any):
    x, y = numbers(rng, U8, 3, 5), numbers(rng, U8, 3, 5)
    inputs = [rng.random((3, 5)) < 0.5, x, scalar(0.05), scalar(20, U8)]
    inputs += [y, scalar(0.04), scalar(2, U8), scalar(0.06), scalar(7, U8)]
    node_agrees("QLinearWhere", inputs, out=[U8], atol=1)
    inputs = [scalar(0.06), scalar(7, U8), x, scalar(0.05), scalar(20, U8)]
    inputs += [y, scalar(0.06), scalar(7, U8)]
    node_agrees("QLinearConcat", inputs, out=[U8], axis=1, atol=1)


# ---------------------------------------------------------------- blocks


def packed(values: Any, bits: int) -> Any:
    """Numbers of few bits along the last axis in bytes, the lowest first."""
    each = 8 // bits
    padding = [(0, 0)] * (values.ndim - 1) + [(0, -values.shape[-1] % each)]
    values = np.pad(values, padding)
    parts = values.reshape(*values.shape[:-1], -1, each).astype(np.uint8)
    shifts = (np.arange(each) * bits).astype(np.uint8)
    return np.bitwise_or.reduce(parts << shifts, -1)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("zeros", ["none", "packed", "floats"])
def test_matmul_n_bits(bits: int, size: int, zeros: str, node_agrees: Any, rng: Any):
    if (bits, zeros) == (8, "floats"):
        pytest.skip("ONNX Runtime has no such kernel")
    rows, columns = 7, 72
    blocks = -(-columns // size)
    codes = rng.integers(0, 2**bits, (rows, blocks * size))
    weight = packed(codes, bits).reshape(rows, blocks, -1)
    inputs: list[Any] = [rng.standard_normal((2, 3, columns)).astype(F32), weight]
    inputs.append(rng.uniform(0.01, 0.1, (rows, blocks)).astype(F32))
    if zeros == "packed":
        inputs.append(packed(rng.integers(0, 2**bits, (rows, blocks)), bits))
    elif zeros == "floats":
        inputs.append(rng.uniform(0, 2**bits, (rows, blocks)).astype(F32))
    else:
        inputs.append(None)
    inputs += [None, rng.standard_normal(rows).astype(F32)]
    node_agrees(
        *("MatMulNBits", inputs),
        constants=[1, 2] + ([] if zeros == "none" else [3]),
        K=columns,
        N=rows,
        bits=bits,
        block_size=size,
        rtol=1e-4,
        atol=1e-4,
    )


def test_matmul_n_bits_with_groups(run_node: Any, rng: Any):
    rows, columns, size = 5, 64, 16
    codes = rng.integers(0, 16, (rows, columns))
    groups = rng.integers(0, 4, columns).astype(np.int32)
    scales = rng.uniform(0.01, 0.1, (rows, 4)).astype(F32)
    x = rng.standard_normal((3, columns)).astype(F32)
    inputs = [x, packed(codes, 4).reshape(rows, 4, 8), scales, None, groups]
    options = {"K": columns, "N": rows, "bits": 4, "block_size": size}
    (found,) = run_node("MatMulNBits", inputs, constants=[1, 2, 4], **options)
    weight = (codes - 8) * scales[:, groups]
    np.testing.assert_allclose(found, x @ weight.T, rtol=1e-4, atol=1e-4)
    inputs[4] = groups + 1
    with pytest.raises(ModelError, match="g_idx"):
        run_node("MatMulNBits", inputs, constants=[1, 2, 4], **options)
    with pytest.raises(UnsupportedOp, match="weights that are not constant"):
        run_node("MatMulNBits", inputs, **options)


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("columns", [32, 47])
def test_matmul_bnb4(kind: int, columns: int, node_agrees: Any, rng: Any):
    rows, size = 6, 16
    count = rows * columns
    inputs = [rng.standard_normal((3, columns)).astype(F32)]
    inputs.append(numbers(rng, U8, -(-count // 2)))
    inputs.append(rng.uniform(0.5, 2, -(-count // size)).astype(F32))
    options = {"K": columns, "N": rows, "block_size": size, "quant_type": kind}
    node_agrees("MatMulBnb4", inputs, constants=[1, 2], rtol=1e-4, atol=1e-4, **options)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("with_zeros", [False, True])
def test_gather_block_quantized(
    bits: int, with_zeros: bool, node_agrees: Any, rng: Any
):
    rows, columns, size = 9, 48, 16
    data = packed(rng.integers(0, 2**bits, (rows, columns)), bits)
    indices = rng.integers(-rows, rows, (2, 4), np.int64)
    inputs = [data, indices, rng.uniform(0.1, 1, (rows, 3)).astype(F32)]
    if with_zeros:
        inputs.append(packed(rng.integers(0, 2**bits, (rows, 3)), bits))
    options = {"block_size": size, "bits": bits}
    node_agrees("GatherBlockQuantized", inputs, constants=[0, 2], **options)


def test_gather_of_rows_that_are_not_there(run_node: Any, rng: Any):
    data, scales = numbers(rng, U8, 4, 8), np.ones((4, 1), F32)
    inputs = [data, np.array([1, 99, -99, -1]), scales]
    (found,) = run_node("GatherBlockQuantized", inputs, block_size=16, bits=4)
    assert not found[1:3].any()
    assert found[0].any()
    assert found[3].any()
