"""Ops that the standard dropped, against ONNX Runtime where it still has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import ModelError

F32 = np.float32


@pytest.mark.parametrize(
    "call",
    [
        "Affine<alpha=2.0, beta=-0.5>(x)",
        "ScaledTanh<alpha=1.5, beta=0.5>(x)",
        "ParametricSoftplus<alpha=0.5, beta=2.0>(x)",
        "ThresholdedRelu<alpha=0.25>(x)",
        "ImageScaler<scale=0.5, bias=[1.0, 2.0, 3.0]>(x)",
        "Crop<border=[1, 0, 2, 1]>(x)",
        "Crop<border=[1, 2, 0, 0], scale=[2, 3]>(x)",
    ],
)
def test_they_agree(call: str, agrees: Any, rng: np.random.Generator):
    agrees(
        f"(float[1,3,5,6] x) => (float[] y) {{ y = {call} }}",
        {"x": rng.standard_normal((1, 3, 5, 6)).astype(F32)},
        opset=7,
        rtol=1e-5,
        atol=1e-6,
    )


def test_scale_and_dynamic_slice(run_graph: Any):
    x = np.arange(12, dtype=F32).reshape(3, 4)
    y, z = run_graph(
        "(float[N,4] x) => (float[] y, float[] z) "
        "{ y = Scale<scale=2.0>(x) z = DynamicSlice(x, s, e, a) }",
        {"x": x},
        {"s": np.array([1]), "e": np.array([-1]), "a": np.array([1])},
        opset=7,
    )
    np.testing.assert_array_equal(y, 2 * x)
    np.testing.assert_array_equal(z, x[:, 1:-1])


def test_a_border_of_three_sides_is_refused(import_text: Any):
    with pytest.raises(ModelError, match="Crop.*a border of"):
        import_text(
            "(float[1,3,5,6] x) => (float[] y) { y = Crop<border=[1, 0, 2]>(x) }"
        )
