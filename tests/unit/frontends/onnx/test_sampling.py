"""Converters that read images at computed positions, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import IndexOutOfRange

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
