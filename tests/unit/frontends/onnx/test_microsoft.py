"""Ops of com.microsoft: products, elementwise ops, norms, layouts, against ORT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import ModelError, UnsupportedOp

F32 = np.float32


def floats(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(F32)


@pytest.mark.parametrize("op", ["FusedMatMul", "TransposeMatMul"])
@pytest.mark.parametrize("trans", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_fused_matmul(op: str, trans: tuple[int, int], node_agrees: Any, rng: Any):
    a = floats(rng, 2, 4, 5) if trans[0] else floats(rng, 2, 5, 4)
    b = floats(rng, 2, 3, 4) if trans[1] else floats(rng, 2, 4, 3)
    node_agrees(op, [a, b], transA=trans[0], transB=trans[1], alpha=0.5)


@pytest.mark.parametrize("batch", [(1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("trans", [(0, 0), (1, 1)])
def test_fused_matmul_with_rows_first(
    batch: tuple[int, int], trans: tuple[int, int], node_agrees: Any, rng: Any
):
    def operand(rows: int, columns: int, index: int) -> Any:
        if trans[index]:
            rows, columns = columns, rows
        if batch[index]:
            return floats(rng, rows, 2, 3, columns)
        return floats(rng, 2, 3, rows, columns)

    node_agrees(
        "FusedMatMul",
        [operand(5, 4, 0), operand(4, 6, 1)],
        transA=trans[0],
        transB=trans[1],
        transBatchA=batch[0],
        transBatchB=batch[1],
    )


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("Relu", {}),
        ("Tanh", {}),
        ("Sigmoid", {}),
        ("LeakyRelu", {"activation_alpha": 0.3}),
        ("HardSigmoid", {"activation_alpha": 0.3, "activation_beta": 0.4}),
    ],
)
def test_fused_gemm(name: str, numbers: Any, node_agrees: Any, rng: Any):
    inputs = [floats(rng, 4, 5), floats(rng, 3, 5), floats(rng, 3)]
    node_agrees("FusedGemm", inputs, activation=name, transB=1, alpha=0.7, **numbers)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("Relu", []),
        ("Tanh", []),
        ("Sigmoid", []),
        ("LeakyRelu", [0.3]),
        ("Clip", [-0.5, 0.7]),
        ("HardSigmoid", [0.3, 0.4]),
    ],
)
def test_fused_conv(name: str, numbers: Any, node_agrees: Any, rng: Any):
    inputs = [floats(rng, 2, 3, 6, 7), floats(rng, 4, 3, 3, 3), floats(rng, 4)]
    extra = {"activation_params": numbers} if numbers else {}
    node_agrees("FusedConv", inputs, activation=name, pads=[1, 1, 1, 1], **extra)


def test_fused_conv_adds_before_it_activates(node_agrees: Any, rng: Any):
    inputs = [floats(rng, 2, 3, 6, 7), floats(rng, 4, 3, 3, 3), floats(rng, 4)]
    inputs.append(floats(rng, 2, 4, 4, 5))
    node_agrees("FusedConv", inputs, activation="Relu")


def test_unknown_activation_is_refused(node_agrees: Any, rng: Any):
    inputs = [floats(rng, 2, 3, 6, 7), floats(rng, 4, 3, 3, 3)]
    with pytest.raises(UnsupportedOp, match="the activation 'Wobble'"):
        node_agrees("FusedConv", inputs, activation="Wobble", run_peer=False)


@pytest.mark.parametrize("mode", ["channels last", "fused"])
def test_nhwc_conv_is_conv(mode: str, run_node: Any, rng: Any):
    x, w, bias = floats(rng, 2, 6, 7, 3), floats(rng, 4, 3, 3, 3), floats(rng, 4)
    op, extra = ("NhwcConv", {}) if mode == "channels last" else ("NhwcFusedConv", {})
    (found,) = run_node(op, [x, w, bias], pads=[1, 0, 1, 0], **extra)
    (wanted,) = run_node(
        "Conv", [x.transpose(0, 3, 1, 2), w, bias], domain="", pads=[1, 0, 1, 0]
    )
    np.testing.assert_allclose(found, wanted.transpose(0, 2, 3, 1), rtol=1e-5)


# ---------------------------------------------------------------- elementwise


def test_bias_softmax(run_node: Any, rng: Any):
    x, bias = floats(rng, 2, 3, 4, 5), floats(rng, 2, 1, 4, 5)
    (found,) = run_node("BiasSoftmax", [x, bias], axis=3, is_inner_broadcast=0)
    e = np.exp(x + bias)
    np.testing.assert_allclose(found, e / e.sum(-1, keepdims=True), rtol=1e-5)


def test_bias_dropout_keeps_all(run_node: Any, rng: Any):
    x, bias, residual = floats(rng, 3, 5), floats(rng, 5), floats(rng, 3, 5)
    found, mask = run_node("BiasDropout", [x, bias, residual], out=[F32, np.bool_])
    np.testing.assert_allclose(found, x + bias + residual, rtol=1e-6)
    assert mask.all()
    assert mask.shape == x.shape


def test_bias_split_gelu(run_node: Any, rng: Any):
    from math import erf

    x, bias = floats(rng, 2, 3, 8), floats(rng, 8)
    (found,) = run_node("BiasSplitGelu", [x, bias])
    left, right = np.split(x + bias, 2, -1)
    gate = 0.5 * right * (1 + np.vectorize(erf)(right / np.sqrt(2)))
    np.testing.assert_allclose(found, left * gate, rtol=1e-5, atol=1e-6)


def test_bias_add(run_node: Any, rng: Any):
    x, bias, skip = floats(rng, 2, 3, 8), floats(rng, 8), floats(rng, 2, 3, 8)
    (found,) = run_node("BiasAdd", [x, bias, skip])
    np.testing.assert_allclose(found, x + bias + skip, rtol=1e-6)


@pytest.mark.parametrize("scale", [None, 0.7])
def test_scaled_silu(scale: Any, node_agrees: Any, rng: Any):
    inputs = [floats(rng, 3, 5)]
    if scale is not None:
        inputs.append(np.array(scale, F32))
    node_agrees("ScaledSiLU", inputs, alpha=1.5)


def test_gated_add(node_agrees: Any, rng: Any):
    node_agrees("GatedAdd", [floats(rng, 3, 5), floats(rng, 3, 5), floats(rng, 3, 1)])


@pytest.mark.parametrize("only", [{}, {"isinf_only": 1}, {"isnan_only": 1}])
@pytest.mark.parametrize("bad", [0.0, np.inf, -np.inf, np.nan])
def test_is_all_finite(only: Any, bad: float, run_node: Any):
    x, y = np.zeros((3, 4), F32), np.zeros(2, F32)
    y[1] = bad
    (found,) = run_node("IsAllFinite", [x, y], out=[np.bool_], **only)
    is_bad = (np.isinf(bad) and "isnan_only" not in only) or (
        np.isnan(bad) and "isinf_only" not in only
    )
    assert found.shape == ()
    assert bool(found) == (not is_bad)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("positive", [0, 1])
def test_murmur_hash(dtype: str, positive: int, node_agrees: Any, rng: Any):
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, (5, 7), dtype)
    out = [np.uint32 if positive else np.int32]
    node_agrees("MurmurHash3", [x], out=out, positive=positive, seed=42)


# ---------------------------------------------------------------- norms


@pytest.mark.parametrize("dtype", [F32, np.float16])
@pytest.mark.parametrize(
    "op", ["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"]
)
@pytest.mark.parametrize("with_bias", [False, True])
def test_skip_norms(op: str, with_bias: bool, dtype: Any, node_agrees: Any, rng: Any):
    x, skip, gamma, beta, bias = (
        floats(rng, *shape).astype(dtype)
        for shape in ((2, 3, 8), (1, 3, 8), (8,), (8,), (8,))
    )
    skip = np.repeat(skip, 2, 0) if "Simplified" in op else skip
    inputs: list[Any] = [x, skip, gamma]
    if "Simplified" not in op:
        inputs.append(beta)
    if with_bias:
        inputs.append(bias)
    tolerance = {} if dtype == F32 else {"rtol": 2e-3, "atol": 4e-3}
    node_agrees(op, inputs, out=[dtype, None, None, dtype], epsilon=1e-5, **tolerance)


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("extras", [False, True])
def test_embed_layer_norm(segments: bool, extras: bool, node_agrees: Any, rng: Any):
    ids = rng.integers(0, 20, (2, 5), np.int32)
    inputs: list[Any] = [ids, None, floats(rng, 20, 8), floats(rng, 6, 8), None]
    inputs += [floats(rng, 8), floats(rng, 8)]
    if segments:
        inputs[1], inputs[4] = rng.integers(0, 2, (2, 5), np.int32), floats(rng, 2, 8)
    if extras:
        mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
        inputs += [mask, rng.integers(0, 6, (2, 5), np.int32)]
    out = [F32, np.int32, F32] if extras else [F32, None]
    node_agrees("EmbedLayerNormalization", inputs, out=out, epsilon=1e-6)


@pytest.mark.parametrize("segments", [False, True])
def test_quantized_embed_layer_norm(segments: bool, node_agrees: Any, rng: Any):
    ids = rng.integers(0, 20, (2, 5), np.int32)
    inputs: list[Any] = [ids, None]
    inputs += [rng.integers(0, 256, s, np.uint8) for s in ((20, 8), (6, 8), (2, 8))]
    inputs += [rng.integers(0, 256, 8, np.uint8) for _ in range(2)]
    inputs.append(np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32))
    inputs += [np.array(s, F32) for s in (0.02, 0.03, 0.01, 0.04, 0.05)]
    inputs += [np.array(z, np.uint8) for z in (120, 130, 128, 127, 110)]
    if segments:
        inputs[1] = rng.integers(0, 2, (2, 5), np.int32)
    else:
        inputs[4] = inputs[10] = inputs[15] = None
    node_agrees(
        *("QEmbedLayerNormalization", inputs),
        out=[F32, np.int32],
        epsilon=1e-6,
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("activation", [0, 1])
@pytest.mark.parametrize("last", [0, 1])
def test_group_norm(activation: int, last: int, run_node: Any, rng: Any):
    x, gamma, beta = floats(rng, 2, 6, 4, 5), floats(rng, 6), floats(rng, 6)
    rows = x.reshape(2, 3, -1)
    normal = rows - rows.mean(-1, keepdims=True)
    normal = (normal / np.sqrt(rows.var(-1, keepdims=True) + 1e-5)).reshape(x.shape)
    wanted = normal * gamma[:, None, None] + beta[:, None, None]
    wanted = wanted / (1 + np.exp(-wanted)) if activation else wanted
    if last:
        x, wanted = x.transpose(0, 2, 3, 1), wanted.transpose(0, 2, 3, 1)
    attributes = {"groups": 3, "activation": activation, "channels_last": last}
    (found,) = run_node("GroupNorm", [x, gamma, beta], **attributes)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    if last:
        skip, bias = floats(rng, 2, 6), floats(rng, 6)
        shifted = x - skip[:, None, None] - bias
        found, total = run_node(
            *("SkipGroupNorm", [shifted, gamma, beta, skip, bias]),
            out=[F32, F32],
            **attributes,
        )
        np.testing.assert_allclose(total, x, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("activation", ["silu", "swish", "sigmoid"])
def test_gated_rms_norm(activation: str, node_agrees: Any, rng: Any):
    inputs = [floats(rng, 2, 3, 8), floats(rng, 4), floats(rng, 2, 3, 8)]
    node_agrees("GatedRMSNorm", inputs, activation=activation)


# ---------------------------------------------------------------- layouts, matrices


def test_ops_that_the_standard_has_too(node_agrees: Any, rng: Any):
    x = floats(rng, 3, 4)
    node_agrees("Trilu", [x, np.array(1, np.int64)], constants=[1], upper=0)
    node_agrees("GatherND", [x, np.array([[0, 1], [2, 3]], np.int64)])
    node_agrees("ExpandDims", [x, np.array(-1, np.int32)], constants=[1])
    node_agrees("ExpandDims", [x, np.array(1, np.int32)], constants=[1])
    pads = np.array([[0, 1, 2, 0]], np.int64)
    node_agrees("Pad", [x, pads, np.array([7], F32)], constants=[1])
    grid = rng.uniform(-1, 1, (2, 3, 3, 2)).astype(F32)
    node_agrees("GridSample", [floats(rng, 2, 3, 4, 5), grid], align_corners=1)
    numbers = [np.array(v, np.int64) for v in (2, 14, 3)]
    node_agrees("Range", numbers, constants=[0, 1, 2], out=[np.int64])
    node_agrees("Range", numbers[:2], constants=[0, 1], out=[np.int64])
    node_agrees("UnfoldTensor", [floats(rng, 3, 7, 2)], dim=1, size=3, step=2)
    x8 = rng.integers(0, 255, (2, 7, 6, 3), np.uint8)
    window = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0]}
    node_agrees("NhwcMaxPool", [x8], out=[np.uint8], **window)


def test_dequantize_and_quantize(node_agrees: Any, rng: Any):
    x = floats(rng, 3, 4)
    scale, zero = np.array(0.05, F32), np.array(100, np.uint8)
    node_agrees("QuantizeLinear", [x, scale, zero], out=[np.uint8])
    scales, zeros = np.array([0.1, 0.2, 0.3], F32), np.array([1, 2, 3], np.int8)
    node_agrees("QuantizeLinear", [x, scales, zeros], out=[np.int8], axis=0)
    x8 = rng.integers(-128, 127, (3, 4), np.int8)
    node_agrees("DequantizeLinear", [x8, scales, zeros], axis=0)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_distances(metric: str, node_agrees: Any, rng: Any):
    inputs = [floats(rng, 7, 5), floats(rng, 3, 5)]
    node_agrees("CDist", inputs, metric=metric, rtol=1e-4)


@pytest.mark.parametrize("dtype", [F32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (2, 3, 5, 5), (0, 3, 3)])
def test_inverse(shape: tuple[int, ...], dtype: Any, run_node: Any, rng: Any):
    x = rng.standard_normal(shape).astype(dtype)
    if x.size:
        x[..., 0, 0] = 0 if shape[-1] > 1 else 2  # the first pivot is elsewhere
    (found,) = run_node("Inverse", [x], out=[dtype])
    np.testing.assert_allclose(found, np.linalg.inv(x), rtol=1e-3, atol=1e-4)


def test_fourier(run_node: Any, rng: Any):
    x = floats(rng, 2, 3, 8)
    (found,) = run_node("Rfft", [x], signal_ndim=1, normalized=0, onesided=1)
    wanted = np.fft.rfft(x)
    np.testing.assert_allclose(found[..., 0], wanted.real, atol=1e-5)
    np.testing.assert_allclose(found[..., 1], wanted.imag, atol=1e-5)
    (back,) = run_node("Irfft", [found], signal_ndim=1, normalized=0, onesided=1)
    np.testing.assert_allclose(back, x, atol=1e-5)


def test_a_matrix_that_is_not_square_is_refused(run_node: Any):
    with pytest.raises(ModelError, match="no inverse"):
        run_node("Inverse", [np.zeros((2, 3), F32)])


@pytest.mark.parametrize(
    ("op", "inputs", "attributes"),
    [
        ("GroupNorm", [(3,), (3,), (3,)], {"groups": 3, "activation": 0}),
        ("GatedRMSNorm", [(2, 8), (1, 4), (2, 8)], {}),
        ("GatedRMSNorm", [(2, 8), (3,), (2, 8)], {}),
        ("Rfft", [()], {"signal_ndim": 1}),
        ("Irfft", [(6,)], {"signal_ndim": 1}),
        ("Attention", [(2, 5, 6), (24,), (24,)], {"num_heads": 2}),
        ("Attention", [(5, 6), (6, 24), (24,)], {"num_heads": 2}),
        ("MultiHeadAttention", [(2, 5, 8), (8,), (2, 5, 8)], {"num_heads": 2}),
        ("RotaryEmbedding", [(1, 2, 2, 5, 8), (2, 5), (9, 4), (9, 4)], {}),
        ("FusedMatMul", [(), (2, 3)], {}),
        ("SkipGroupNorm", [(2, 4), (4,), (4,), (4,)], {"groups": 3}),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    op: str, inputs: list[Any], attributes: Any, run_node: Any
):
    dtypes = [np.int64 if op == "RotaryEmbedding" and i == 1 else F32 for i in range(9)]
    arrays = [np.zeros(s, t) for s, t in zip(inputs, dtypes, strict=False)]
    with pytest.raises(ModelError, match=f"^{op} .node 'the_node'.: "):
        run_node(op, arrays, **attributes)
