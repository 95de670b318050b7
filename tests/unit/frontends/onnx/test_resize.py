"""Converters of `Resize` and `Upsample` against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

import nnc
from nnc.errors import ModelError

F32 = np.float32
COORDINATES = [
    "half_pixel",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
]


def parse_model(
    graph: str, constants: dict[str, Any] | None = None, opset: int = 19
) -> ModelProto:
    """A model in text form; constants are initializers."""
    header = f'<ir_version: 8, opset_import: ["": {opset}]>'
    model = parser.parse_model(f"{header} g {graph}")
    for name, array in (constants or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


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


@pytest.mark.parametrize("factors", [[1, 1, 0, 1], [1, 1, 2], [1, 1, -1, 1]], ids=str)
def test_resize_by_wrong_factors_is_refused(factors: list[int], import_text: Any):
    with pytest.raises(ModelError, match="scales"):
        import_text(
            "(float[1,1,4,4] x) => (float[] y) { y = Resize(x, , f) }",
            {"f": np.array(factors, F32)},
        )


def test_resize_by_nan_is_refused(import_text: Any):
    with pytest.raises(ModelError, match=r"Resize.*scales must be numbers, not .*nan"):
        import_text(
            "(float[1,1,4,4] x) => (float[] y) { y = Resize(x, , f) }",
            {"f": np.array([1, 1, np.nan, 1], F32)},
        )


def evaluated(model: ModelProto, feeds: dict[str, Any]) -> Any:
    """What the onnx package's reference gives."""
    results = ReferenceEvaluator(model).run(None, feeds)
    assert isinstance(results, list)
    return results[0]


def reference(attributes: str, x: Any, opset: int = 19, **inputs: Any) -> list[Any]:
    """What the onnx package's reference gives, and what the compiled model does."""
    names = ["", *(n if n in inputs else "" for n in ("roi", "scales", "sizes"))][1:]
    graph = (
        f"(float[{', '.join('ABCDE'[: x.ndim])}] x) => (float[] y) "
        f"{{ y = Resize<{attributes}>(x, {', '.join(names)}) }}"
    )
    model = parse_model(graph, inputs, opset)
    theirs = evaluated(model, {"x": x})
    return [nnc.compile(model).run(None, {"x": x})[0], theirs]


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("antialias", [0, 1])
@pytest.mark.parametrize("exclude", [0, 1])
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_filters_agree_with_the_reference(
    mode: str, antialias: int, exclude: int, coordinates: str, rng: np.random.Generator
):
    x = image(rng, 1, 2, 7, 6)
    attributes = (
        f'mode="{mode}", antialias={antialias}, exclude_outside={exclude}, '
        f'coordinate_transformation_mode="{coordinates}", cubic_coeff_a=-0.5'
    )
    # A single result of pytorch_half_pixel is at 0, which the reference forgets.
    least = 2
    for factors in ([0.3, 0.62], [0.5, 1.7], [2.0, 1.0]):
        scales = np.array([1, 1, *factors], F32)
        ours, theirs = reference(attributes, x, scales=scales)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    for sizes in ((least, 3), (5, 13)):
        ours, theirs = reference(attributes, x, sizes=np.array([1, 2, *sizes]))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("axes", [None, [2, 3], [3, 2], [3]], ids=str)
def test_crops_agree_with_the_reference(
    mode: str, axes: list[int] | None, rng: np.random.Generator
):
    x = image(rng, 1, 2, 7, 6)
    count = 4 if axes is None else len(axes)
    low, high = [0, 0, 0.2, -0.1], [1, 1, 0.7, 1.3]
    roi = np.array([*low[4 - count :], *high[4 - count :]], F32)
    sizes = np.array([1, 2, 4, 5][4 - count :])
    attributes = (
        f'mode="{mode}", coordinate_transformation_mode="tf_crop_and_resize", '
        "extrapolation_value=7.5"
    )
    if axes is not None:
        attributes += f", axes={axes}"
    choices: list[dict[str, Any]] = [
        {"sizes": sizes},
        {"scales": np.full(count, 1.0, F32)},
    ]
    for given in choices:
        ours, theirs = reference(attributes, x, 19, roi=roi, **given)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_region_that_is_data(rng: np.random.Generator):
    x = image(rng, 1, 1, 6, 6)
    model = parse_model(
        """(float[1, 1, 6, 6] x, float[8] roi) => (float[1, 1, 3, 3] y) {
            y = Resize<coordinate_transformation_mode="tf_crop_and_resize",
                       mode="linear">(x, roi, , s)
        }""",
        {"s": np.array([1, 1, 3, 3])},
    )
    exe = nnc.compile(model)
    for low, high in ((0.0, 1.0), (0.4, 0.8), (0.5, 2.0), (np.nan, 1.0)):
        roi = np.array([0, 0, low, low, 1, 1, high, high], F32)
        ours = exe(x, roi)
        if np.isnan(low):
            assert np.all(ours == 0)
            continue
        theirs = evaluated(model, {"x": x, "roi": roi})
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_whole_numbers_round_and_saturate():
    x = np.array([[[0, 255, 0, 255, 255, 0, 3]]], np.uint8)
    model = parse_model(
        """(uint8[1, 1, N] x) => (uint8[] y) {
            y = Resize<mode="cubic", cubic_coeff_a=-0.5>(x, , f)
        }""",
        {"f": np.array([1, 1, 2], F32)},
    )
    theirs = evaluated(model, {"x": x})
    np.testing.assert_allclose(nnc.compile(model)(x).astype(int), theirs, atol=1)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_the_aspect_ratio_of_free_sizes(
    policy: str, mode: str, rng: np.random.Generator
):
    graph = (
        "(float[1,1,H,W] x) => (float[] y) "
        f'{{ y = Resize<axes=[2,3], mode="{mode}", '
        f'keep_aspect_ratio_policy="{policy}">(x, , , s) }}'
    )
    model = parse_model(graph, {"s": np.array([8, 9])}, 18)
    exe = nnc.compile(model)
    for height, width in ((4, 6), (10, 7), (3, 30)):
        x = image(rng, 1, 1, height, width)
        theirs = evaluated(model, {"x": x})
        np.testing.assert_allclose(exe(x), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ('coordinate_transformation_mode="tf_crop_and_resize"', "input 1 is missing"),
        ('coordinate_transformation_mode="nearby"', "no coordinate_transformation"),
        ('keep_aspect_ratio_policy="larger"', "no keep_aspect_ratio_policy"),
        ("axes=[0, 0, 1, 2]", "named twice"),
    ],
)
def test_resize_by_wrong_attributes_is_refused(
    attributes: str, message: str, import_text: Any
):
    with pytest.raises(ModelError, match=rf"Resize \(node 'Resize:y'\): .*{message}"):
        import_text(
            "(float[1,1,4,4] x) => (float[] y) "
            f"{{ y = Resize<{attributes}>(x, , , s) }}",
            {"s": np.array([1, 1, 8, 8])},
            opset=18,
        )


def test_upsample_of_opset_1(run_graph: Any):
    x = np.arange(4, dtype=F32).reshape(1, 1, 2, 2)
    (y,) = run_graph(
        "(float[1,1,2,2] x) => (float[] y) "
        "{ y = Upsample<height_scale=2.0, width_scale=3.0>(x) }",
        {"x": x},
        opset=1,
    )
    np.testing.assert_array_equal(y, np.repeat(np.repeat(x, 2, 2), 3, 3))


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", ["pytorch_half_pixel", "align_corners"])
def test_one_result_of_a_free_size(
    mode: str, coordinates: str, rng: np.random.Generator
):
    graph = f"""(float[1,1,4,5] x, float[1,1,P,Q] z) => (float[] y) {{
        s = Shape(z)
        y = Resize<mode="{mode}", coordinate_transformation_mode="{coordinates}">
            (x, , , s)
    }}"""
    exe = nnc.compile(parse_model(graph))
    x = image(rng, 1, 1, 4, 5)
    y = exe(x, np.zeros((1, 1, 1, 1), F32))
    np.testing.assert_allclose(y, x[:, :, :1, :1], rtol=1e-6)
