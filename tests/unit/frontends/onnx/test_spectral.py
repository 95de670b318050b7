"""Fourier transforms, against ONNX Runtime and numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

F32 = np.float32


@pytest.mark.parametrize("inverse", [0, 1])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("axis", [1, 2])
def test_dft_agrees(
    axis: int, parts: int, inverse: int, agrees: Any, rng: np.random.Generator
):
    agrees(
        f"(float[2,9,16,{parts}] x) => (float[] y) "
        f"{{ y = DFT<axis={axis}, inverse={inverse}>(x) }}",
        {"x": rng.standard_normal((2, 9, 16, parts)).astype(F32)},
        rtol=1e-4,
        atol=1e-4,
        opset=17,
    )


@pytest.mark.parametrize("length", [5, 8, 12])
def test_dft_of_another_length(length: int, agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[1,8,1] x) => (float[] y) { y = DFT<onesided=1>(x, n) }",
        {"x": rng.standard_normal((1, 8, 1)).astype(F32)},
        {"n": np.array(length)},
        rtol=1e-4,
        atol=1e-4,
        opset=17,
    )


@pytest.mark.parametrize("size", [8, 9])
def test_onesided_inverse_undoes_the_transform(
    size: int, run_graph: Any, rng: np.random.Generator
):
    x = rng.standard_normal((3, size, 1)).astype(F32)
    (y,) = run_graph(
        f"(float[3,{size},1] x) => (float[] y) "
        "{ f = DFT<onesided=1>(x, n, a) y = DFT<onesided=1, inverse=1>(f, n, a) }",
        {"x": x},
        {"n": np.array(size), "a": np.array(1)},
        opset=26,
    )
    np.testing.assert_allclose(y, x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("onesided", [0, 1])
def test_stft_agrees(onesided: int, agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[2,60,1] x, float[16] w) => (float[] y) "
        f"{{ y = STFT<onesided={onesided}>(x, hop, w) }}",
        {
            "x": rng.standard_normal((2, 60, 1)).astype(F32),
            "w": rng.random(16).astype(F32),
        },
        {"hop": np.array(7)},
        rtol=1e-4,
        atol=1e-4,
        opset=17,
    )


def test_zeros_of_theory_are_small(run_graph: Any):
    # sin(pi) in single precision is 9e-8, and sums of its multiples are more.
    x = np.arange(40, dtype=F32).reshape(1, 40, 1) * 1000
    graph = "(float[1,40,1] x) => (float[] y) { y = DFT(x) }"
    (y,) = run_graph(graph, {"x": x}, opset=17)
    assert abs(y[0, 20, 1]) < 1e-6


@pytest.mark.parametrize("low", [0.0, 125.5, 4000.0])
@pytest.mark.parametrize(("bins", "length"), [(8, 16), (1, 1), (40, 512), (20, 32)])
def test_mel_weights(low: float, bins: int, length: int, agrees: Any):
    # Both edges beyond the bins there are would be an error of ONNX Runtime.
    agrees(
        "(float low, float high) => (float[] y) "
        "{ y = MelWeightMatrix(bins, length, rate, low, high) }",
        {"low": np.array(low, F32), "high": np.array(7600.0, F32)},
        {"bins": np.array(bins), "length": np.array(length), "rate": np.array(16000)},
        rtol=1e-5,
        atol=1e-6,
    )
