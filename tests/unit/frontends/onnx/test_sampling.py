"""Converters that read images at computed positions, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import IndexOutOfRange, ModelError

F32 = np.float32


def grid(rng: np.random.Generator, *shape: int) -> Any:
    """Positions within the image, on its borders and far outside."""
    values = rng.uniform(-2.5, 2.5, shape).astype(F32)
    values.flat[:6] = [-1, 1, 0, -1, 1, 0.999]
    return values


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_grid_sample_agrees(
    mode: str, padding: str, align: int, agrees: Any, rng: np.random.Generator
):
    agrees(
        "(float[2,3,5,7] x, float[2,4,6,2] g) => (float[] y) "
        f'{{ y = GridSample<mode="{mode}", padding_mode="{padding}", '
        f"align_corners={align}>(x, g) }}",
        {
            "x": rng.standard_normal((2, 3, 5, 7)).astype(F32),
            "g": grid(rng, 2, 4, 6, 2),
        },
        rtol=1e-4,
        atol=1e-5,
        opset=20,
    )


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_grid_sample_of_volumes_agrees(
    mode: str, agrees: Any, rng: np.random.Generator
):
    agrees(
        "(float[N,2,3,4,5] x, float[N,2,3,4,3] g) => (float[] y) "
        f'{{ y = GridSample<mode="{mode}">(x, g) }}',
        {
            "x": rng.standard_normal((2, 2, 3, 4, 5)).astype(F32),
            "g": grid(rng, 2, 2, 3, 4, 3),
        },
        rtol=1e-4,
        atol=1e-5,
        opset=20,
    )


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("half", ["half_pixel", "output_half_pixel"])
def test_roi_align_agrees(mode: str, half: str, agrees: Any, rng: np.random.Generator):
    rois = np.array(
        [[0, 0, 9, 9], [1.5, 2.5, 3, 8], [-3, -4, 2, 2], [8, 8, 30, 30]], F32
    )
    agrees(
        "(float[2,3,8,10] x, float[R,4] r, int64[R] i) => (float[] y) "
        f'{{ y = RoiAlign<mode="{mode}", output_height=2, output_width=3, '
        f'sampling_ratio=2, spatial_scale=0.9, coordinate_transformation_mode="{half}">'
        "(x, r, i) }",
        {
            "x": rng.standard_normal((2, 3, 8, 10)).astype(F32),
            "r": rois,
            "i": np.array([0, 1, 1, 0]),
        },
        rtol=1e-4,
        atol=1e-5,
        opset=16,
    )


def test_roi_of_no_image_is_an_error(run_graph: Any):
    with pytest.raises(IndexOutOfRange):
        run_graph(
            "(float[2,1,4,4] x, float[1,4] r, int64[1] i) => (float[] y) "
            "{ y = RoiAlign<sampling_ratio=1>(x, r, i) }",
            {
                "x": np.zeros((2, 1, 4, 4), F32),
                "r": np.zeros((1, 4), F32),
                "i": np.array([2]),
            },
            opset=16,
        )


@pytest.mark.parametrize(("batch", "time"), [(1, 0), (0, 1)])
def test_reverse_sequence_agrees(
    batch: int, time: int, agrees: Any, rng: np.random.Generator
):
    agrees(
        "(float[4,4,3] x, int64[4] n) => (float[] y) "
        f"{{ y = ReverseSequence<batch_axis={batch}, time_axis={time}>(x, n) }}",
        {
            "x": rng.standard_normal((4, 4, 3)).astype(F32),
            "n": np.array([1, 4, 3, 2]),
        },
        opset=10,
    )


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("channels", [1, 5, 33])
def test_regions_with_as_many_samples_as_pixels(
    mode: str,
    coordinates: str,
    channels: int,
    agrees: Any,
    run_graph: Any,
    compiled: Any,
    rng: Any,
):
    graph = (
        "(float[N, C, H, W] x, float[R, 4] r, int64[R] i) => (float[] y) "
        f'{{ y = RoiAlign<mode="{mode}", output_height=3, output_width=2, '
        f'spatial_scale=0.5, coordinate_transformation_mode="{coordinates}">'
        "(x, r, i) }"
    )
    regions = [[0, 0, 9, 9], [3, 1, 4, 20], [-7, -3, 5, 2], [4, 4, 4, 4], [8, 9, 3, 2]]
    feeds = {
        # Above zero: ONNX Runtime begins a maximum of samples outside with others.
        "x": rng.random((2, channels, 7, 9)).astype(np.float32),
        "r": np.array(regions, np.float32),
        "i": np.array([0, 1, 1, 0, 1]),
    }
    agrees(graph, feeds, rtol=1e-4, atol=1e-5)
    (reference,) = run_graph(graph, feeds)
    np.testing.assert_allclose(
        compiled(graph).run(None, feeds)[0], reference, rtol=1e-4, atol=1e-5
    )


def test_regions_that_are_no_regions(compiled: Any):
    exe = compiled(
        "(float[N, C, H, W] x, float[R, 4] r, int64[R] i) => (float[] y) "
        "{ y = RoiAlign<output_height=2, output_width=2>(x, r, i) }"
    )
    x = np.ones((1, 3, 4, 4), np.float32)
    for numbers in ([np.nan] * 4, [0, 0, np.inf, np.inf], [-1e30, 0, 1e30, 1e30]):
        y = exe(x, np.array([numbers], np.float32), np.array([0]))
        assert np.all((y >= 0) & (y <= 1)), numbers
    for wrong in (1, -2, 2**40):
        with pytest.raises(IndexOutOfRange, match="RoiAlign"):
            exe(x, np.zeros((1, 4), np.float32), np.array([wrong]))
    empty = np.ones((1, 3, 0, 4), np.float32)
    assert np.all(exe(empty, np.array([[0, 0, 3, 3]], np.float32), np.array([0])) == 0)


@pytest.mark.parametrize("channels", [1, 19])
def test_max_roi_pool(
    channels: int, agrees: Any, run_graph: Any, compiled: Any, rng: Any
):
    graph = (
        "(float[N, C, H, W] x, float[R, 5] r) => (float[] y) "
        "{ y = MaxRoiPool<pooled_shape=[3, 2], spatial_scale=0.5>(x, r) }"
    )
    regions = [
        [0, 0, 0, 9, 9],
        [1, 3, 1, 4, 20],
        [1, -7, -3, 5, 2],
        [0, 4, 4, 4, 4],
        [1, 8, 9, 3, 2],
        [0, 40, 40, 50, 50],
    ]
    feeds = {
        "x": rng.standard_normal((2, channels, 7, 9)).astype(np.float32),
        "r": np.array(regions, np.float32),
    }
    agrees(graph, feeds)
    (reference,) = run_graph(graph, feeds)
    np.testing.assert_array_equal(compiled(graph).run(None, feeds)[0], reference)


def test_regions_of_negative_size_are_refused(import_text: Any):
    with pytest.raises(ModelError, match="the shape of the result holds -"):
        import_text(
            "(float[1,1,9,9] x, float[3,4] r, int64[3] i) => (float[] y)"
            " { y = RoiAlign<output_height=-9, sampling_ratio=2>(x, r, i) }",
            opset=16,
        )


def test_grid_of_free_sizes_is_taken_to_fit(agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[N,3,5,7] x, float[M,4,6,D] g) => (float[] y) { y = GridSample(x, g) }",
        {
            "x": rng.standard_normal((2, 3, 5, 7)).astype(F32),
            "g": grid(rng, 2, 4, 6, 2),
        },
        rtol=1e-4,
        atol=1e-5,
        opset=20,
    )
