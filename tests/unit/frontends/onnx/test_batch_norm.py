"""Batch normalization: inference, and training in all versions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnc.errors import ModelError
from nnc.testing import compare

Array = NDArray[Any]


def parameters(rng: np.random.Generator, shape: Any, dtype: Any) -> dict[str, Array]:
    """Scale, bias, mean and variance."""
    names = ("s", "b", "m", "v")
    values = {n: rng.standard_normal(shape).astype(dtype) for n in names}
    values["v"] = np.abs(values["v"]) + np.ones((), dtype)
    return values


def trained(
    x: Array,
    p: dict[str, Array],
    axes: tuple[int, ...],
    epsilon: float,
    momentum: float,
) -> list[Array]:
    """Result, running and batch statistics, in double precision."""
    wide = x.astype(np.float64)
    mean, variance = wide.mean(axes), wide.var(axes)
    shape = [1 if a in axes else s for a, s in enumerate(x.shape)]
    y = (wide - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + epsilon)
    y = y * p["s"].reshape(shape) + p["b"].reshape(shape)
    running = [
        p[n] * momentum + new * (1 - momentum)
        for n, new in (("m", mean), ("v", variance))
    ]
    return [y, *running, mean, variance]


@pytest.mark.parametrize("opset", [14, 15])
@pytest.mark.parametrize("kind", ["float", "float16", "double"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 5), (2, 3, 4, 5), (1, 1, 1)], ids=str)
def test_training(
    opset: int, kind: str, shape: tuple[int, ...], compiled: Any, rng: Any
) -> None:
    dims = ", ".join("NCHW"[: len(shape)])
    exe = compiled(
        f"({kind}[{dims}] x, {kind}[C] s, {kind}[C] b, {kind}[C] m, {kind}[C] v) => "
        f"({kind}[] y, {kind}[] rm, {kind}[] rv) {{ y, rm, rv = BatchNormalization"
        "<training_mode=1, momentum=0.8, epsilon=0.01>(x, s, b, m, v) }",
        opset=opset,
    )
    dtype = exe.inputs[0].dtype
    x = rng.standard_normal(shape).astype(dtype)
    p = parameters(rng, shape[1], dtype)
    axes = tuple(a for a in range(len(shape)) if a != 1)
    expected = trained(x, p, axes, 0.01, 0.8)[:3]
    tolerance = 3e-3 if dtype == np.float16 else 1e-5
    for ours, theirs in zip(exe.run(None, {"x": x, **p}), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("opset", [1, 6, 7, 9])
def test_outputs_tell_training_before_opset_14(
    opset: int, compiled: Any, rng: Any
) -> None:
    graph = """(float[2,3,4] x, float[3] s, float[3] b, float[3] m, float[3] v) =>
        (float[] y, float[] rm, float[] rv, float[] bm, float[] bv) {
        y, rm, rv, bm, bv = BatchNormalization<momentum=0.75>(x, s, b, m, v)
    }"""
    x, p = rng.standard_normal((2, 3, 4)).astype("f"), parameters(rng, 3, "f")
    results = compiled(graph, opset=opset).run(None, {"x": x, **p})
    for ours, theirs in zip(results, trained(x, p, (0, 2), 1e-5, 0.75), strict=True):
        compare(ours, theirs.astype("f"), 1e-5, 1e-5)


@pytest.mark.parametrize("opset", [1, 6, 7])
def test_statistics_of_each_position(opset: int, compiled: Any, rng: Any) -> None:
    graph = """(float[N,3,4] x, float[3,4] s, float[3,4] b, float[3,4] m, float[3,4] v)
        => (float[] y) { y = BatchNormalization<spatial=0>(x, s, b, m, v) }"""
    x, p = rng.standard_normal((2, 3, 4)).astype("f"), parameters(rng, (3, 4), "f")
    (y,) = compiled(graph, opset=opset).run(None, {"x": x, **p})
    expected = (x - p["m"]) / np.sqrt(p["v"] + 1e-5) * p["s"] + p["b"]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_parameters_that_are_no_vector_are_refused(compiled: Any) -> None:
    with pytest.raises(ModelError, match="BatchNormalization.*no vector of channels"):
        compiled(
            """(float[2,3,4] x, float[3,1] s, float[3] b, float[3] m, float[3] v) =>
            (float[] y) { y = BatchNormalization(x, s, b, m, v) }"""
        )
