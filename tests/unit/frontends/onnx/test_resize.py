"""Converters of `Resize` and `Upsample` against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import ModelError, UnsupportedOp

F32 = np.float32
COORDINATES = [
    "half_pixel",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
]


def image(rng: np.random.Generator, *shape: int) -> Any:
    """Random f32 numbers."""
    return rng.standard_normal(shape).astype(F32)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("target", [(7, 10), (3, 2)], ids=["up", "down"])
def test_resize_to_sizes_agrees(
    coordinates: str,
    mode: str,
    target: tuple[int, int],
    agrees: Any,
    rng: np.random.Generator,
):
    agrees(
        "(float[1,2,4,5] x) => (float[] y) "
        f'{{ y = Resize<mode="{mode}", coordinate_transformation_mode="{coordinates}">'
        "(x, , , s) }",
        {"x": image(rng, 1, 2, 4, 5)},
        {"s": np.array([1, 2, *target])},
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    "nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
)
def test_resize_rounding_agrees(nearest: str, agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[1,1,4,6] x) => (float[] y) "
        f'{{ y = Resize<nearest_mode="{nearest}">(x, , f) }}',
        {"x": image(rng, 1, 1, 4, 6)},
        {"f": np.array([1, 1, 2.0, 0.5], F32)},
    )


@pytest.mark.parametrize("opset", [10, 11, 13])
def test_resize_by_scales_agrees_for_free_dims(
    opset: int, agrees: Any, rng: np.random.Generator
):
    calls = {10: "Resize(x, f)", 11: "Resize(x, roi, f)", 13: "Resize(x, , f)"}
    constants = {"f": np.array([1, 1, 2, 3], F32)}
    if opset == 11:
        constants["roi"] = np.zeros(0, F32)
    agrees(
        f"(float[N,2,H,W] x) => (float[] y) {{ y = {calls[opset]} }}",
        {"x": image(rng, 1, 2, 3, 4)},
        constants,
        opset=opset,
    )


@pytest.mark.parametrize("opset", [7, 9])
def test_upsample_agrees(opset: int, agrees: Any, rng: np.random.Generator):
    if opset == 7:
        call, constants = "Upsample<scales=[1.0, 1.0, 2.0, 2.0]>(x)", {}
    else:
        call, constants = "Upsample(x, f)", {"f": np.array([1, 1, 2, 2], F32)}
    agrees(
        f"(float[1,2,3,4] x) => (float[] y) {{ y = {call} }}",
        {"x": image(rng, 1, 2, 3, 4)},
        constants,
        opset=opset,
    )


@pytest.mark.parametrize("sizes", [(3, 4), (5, 7)], ids=str)
def test_resize_to_the_size_of_another_tensor_agrees(
    sizes: tuple[int, int], agrees: Any, rng: np.random.Generator
):
    h, w = sizes
    agrees(
        """(float[1,2,H,W] x, float[1,2,P,Q] z) => (float[] y) {
            shape = Shape<start=2>(z)
            first = Constant<value = int64[2] {1, 2}>()
            sizes = Concat<axis=0>(first, shape)
            r = Resize<mode="linear">(x, , , sizes)
            y = Add(r, z)
        }""",
        {"x": image(rng, 1, 2, 2, 3), "z": image(rng, 1, 2, h, w)},
        rtol=1e-4,
        atol=1e-5,
    )


def test_scales_computed_from_sizes_give_those_sizes(import_text: Any):
    # As exporters to opset 10 wrote it: floor(size * 2) / size.
    text = import_text(
        """(float[1,2,H,W] x) => (float[] y) {
            shape = Shape(x)
            axis = Constant<value = int64 {2}>()
            h = Gather(shape, axis)
            hf = Cast<to=1>(h)
            two = Constant<value = float {2.0}>()
            wanted = Mul(hf, two)
            rounded = Floor(wanted)
            factor = Div(rounded, hf)
            a = Constant<value = int64[1] {0}>()
            f1 = Unsqueeze(factor, a)
            ones = Constant<value = float[2] {1.0, 1.0}>()
            last = Constant<value = float[1] {1.0}>()
            factors = Concat<axis=0>(ones, f1, last)
            y = Resize<mode="nearest">(x, , factors)
        }""",
        opset=13,
    )
    assert "#nn.shape<1, 2, 2*H, W>> {nn.name" in text


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_resize_keeping_the_aspect_ratio_agrees(
    policy: str, agrees: Any, rng: np.random.Generator
):
    agrees(
        "(float[1,1,4,6] x) => (float[] y) "
        f'{{ y = Resize<axes=[2,3], keep_aspect_ratio_policy="{policy}">(x, , , s) }}',
        {"x": image(rng, 1, 1, 4, 6)},
        {"s": np.array([8, 9])},
        opset=18,
    )


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ('coordinate_transformation_mode="tf_crop_and_resize"', "tf_crop_and_resize"),
        ('mode="linear", antialias=1', "antialias"),
        ('mode="cubic", exclude_outside=1', "exclude_outside"),
        ('mode="cubic", cubic_coeff_a=-0.5', "cubic_coeff_a"),
    ],
)
def test_resize_options_without_an_op_are_refused(
    attributes: str, reason: str, import_text: Any
):
    with pytest.raises(UnsupportedOp, match=rf"Resize \(node 'Resize:y'\).*{reason}"):
        import_text(
            "(float[1,1,4,4] x) => (float[] y) "
            f"{{ y = Resize<{attributes}>(x, , , s) }}",
            {"s": np.array([1, 1, 8, 8])},
            opset=18,
        )


@pytest.mark.parametrize("factors", [[1, 1, 0, 1], [1, 1, 2], [1, 1, -1, 1]], ids=str)
def test_resize_by_wrong_factors_is_refused(factors: list[int], import_text: Any):
    with pytest.raises(ModelError, match="scales"):
        import_text(
            "(float[1,1,4,4] x) => (float[] y) { y = Resize(x, , f) }",
            {"f": np.array(factors, F32)},
        )


def test_resize_by_nan_is_refused(import_text: Any):
    with pytest.raises(UnsupportedOp, match="scales must not depend on data"):
        import_text(
            "(float[1,1,4,4] x) => (float[] y) { y = Resize(x, , f) }",
            {"f": np.array([1, 1, np.nan, 1], F32)},
        )
