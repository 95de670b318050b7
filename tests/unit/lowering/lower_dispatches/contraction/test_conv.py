"""Convolutions: windows, strides, dilations, groups, any number of spatial axes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from xdsl.dialects.builtin import f32
from xdsl.ir import SSAValue

from nnc.dialects.nn import BroadcastOp, ConvOp
from nnc.dialects.nn.elementwise import AddOp, ReluOp
from nnc.dialects.nn.types import tensor_type
from nnc.symbolic import Dim, DimLike
from nnc.target import Target

Harness = Any
Floats = npt.NDArray[np.float32]


def convolution(
    image: Floats,
    filter: Floats,
    strides: Sequence[int],
    dilations: Sequence[int],
    groups: int,
) -> Floats:
    """Channels-last convolution without padding, tap by tap."""
    *kernel, depth, columns = filter.shape
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [
        (n - span) // s + 1
        for n, span, s in zip(image.shape[1:-1], spans, strides, strict=True)
    ]
    result = np.zeros((image.shape[0], *sizes, columns), np.float32)
    per_group = columns // groups
    for tap in itertools.product(*map(range, kernel)):
        window = [slice(None)]
        for t, d, s, n in zip(tap, dilations, strides, sizes, strict=True):
            window.append(slice(t * d, t * d + (n - 1) * s + 1, s))
        pixels = image[tuple(window)]
        for g in range(groups):
            part = filter[
                (*tap, slice(None), slice(g * per_group, (g + 1) * per_group))
            ]
            result[..., g * per_group : (g + 1) * per_group] += (
                pixels[..., g * depth : (g + 1) * depth] @ part
            )
    return result


CASES = [
    # image, kernel, out channels, strides, dilations, groups
    pytest.param((1, 6, 17, 5), (3, 3), 20, (1, 1), (1, 1), 1, id="3x3"),
    pytest.param((2, 9, 9, 4), (3, 3), 33, (2, 2), (1, 1), 1, id="3x3 stride 2"),
    pytest.param((2, 5, 7, 6), (1, 1), 40, (1, 1), (1, 1), 1, id="1x1"),
    pytest.param((1, 5, 31, 6), (1, 1), 8, (2, 2), (1, 1), 1, id="1x1 stride 2"),
    pytest.param((1, 9, 11, 3), (3, 3), 16, (1, 1), (2, 3), 1, id="dilated"),
    pytest.param((1, 6, 8, 8), (3, 2), 12, (1, 1), (1, 1), 4, id="groups"),
    pytest.param((1, 6, 8, 6), (3, 3), 40, (2, 1), (1, 2), 2, id="groups dilated"),
    pytest.param((1, 10, 12, 3), (7, 7), 10, (2, 2), (1, 1), 1, id="stem"),
    pytest.param((2, 40, 5), (4,), 17, (3,), (2,), 1, id="1-d"),
    pytest.param((1, 4, 5, 6, 3), (2, 3, 2), 9, (1, 1, 2), (1, 1, 1), 1, id="3-d"),
    pytest.param((1, 6, 5, 6, 4), (2, 2, 2), 10, (1, 1, 1), (3, 2, 2), 2, id="3-d all"),
    pytest.param((1, 30, 1, 4), (3, 1), 16, (1, 1), (1, 1), 1, id="tall"),
    pytest.param((0, 5, 5, 3), (3, 3), 16, (1, 1), (1, 1), 1, id="no image"),
    pytest.param((1, 3, 3, 3), (3, 3), 16, (1, 1), (1, 1), 1, id="one pixel"),
]


@pytest.mark.parametrize(
    ("is_dynamic", "is_packed"),
    [(False, True), (True, False)],
    ids=["static packed", "dynamic plain"],
)
@pytest.mark.parametrize(
    ("image", "kernel", "columns", "strides", "dilations", "groups"), CASES
)
def test_conv_bias_relu_exact(
    harness: Harness,
    target: Target,
    image: tuple[int, ...],
    kernel: tuple[int, ...],
    columns: int,
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    groups: int,
    is_dynamic: bool,
    is_packed: bool,
) -> None:
    filter = (*kernel, image[-1] // groups, columns)
    weights = harness.Weights(target, filter, groups)
    dims: list[DimLike] = list(image)
    names = ["N", "X", "Y", "Z"][: len(image) - 1]
    if is_dynamic:
        dims[:-1] = [Dim.symbol(n) for n in names]

    def body(x: SSAValue, w: SSAValue, bias: SSAValue) -> SSAValue:
        result = ConvOp(
            x,
            weights.unpacked(w) if is_packed else w,
            strides=strides,
            dilations=dilations,
            groups=groups,
            layout="channels_last",
        ).result
        spread = BroadcastOp(bias, _dims(result)).result
        return ReluOp(AddOp(result, spread)).result

    w_type = weights.type if is_packed else tensor_type(f32, filter)
    types = [tensor_type(f32, dims), w_type, tensor_type(f32, [columns])]
    compiled = harness.compile(target, types, body)
    assert not compiled.is_generic
    x, w = harness.numbers(0, *image), harness.numbers(1, *filter)
    bias = harness.numbers(2, columns)
    arrays = [x, weights.pack(w) if is_packed else w, bias]
    expected = np.maximum(convolution(x, w, strides, dilations, groups) + bias, 0)
    sizes = dict(zip(names, image, strict=False))
    for parts in (1, 3):
        (result,) = compiled.run(arrays, sizes, parts)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("kernel", [1, 3])
def test_conv_padded_pixels_and_result(
    harness: Harness, target: Target, kernel: int
) -> None:
    # Pixels lie 9 + 7 elements apart, and rows have a border, as buffers do that
    # avoid strides of 4096 bytes or that leave room for explicit padding.
    weights = harness.Weights(target, (kernel, kernel, 9, 20))
    size = 15 + kernel
    types = [tensor_type(f32, [2, size, size, 9]), weights.type]
    strides = {0: [size * 16 * (size + 2), 16 * (size + 2), 16, 1]}
    result_strides = [16 * 16 * 30, 16 * 30, 30, 1]

    def body(x: SSAValue, w: SSAValue) -> SSAValue:
        return ConvOp(x, weights.unpacked(w), layout="channels_last").result

    compiled = harness.compile(target, types, body, strides, [result_strides])
    x, w = (
        harness.numbers(0, 2, size, size, 9),
        harness.numbers(1, kernel, kernel, 9, 20),
    )
    expected = convolution(x, w, (1, 1), (1, 1), 1)
    (result,) = compiled.run([x, weights.pack(w)], parts=2)
    np.testing.assert_array_equal(result, expected)


def test_conv_pointwise_is_one_matrix_product(harness: Harness, target: Target) -> None:
    weights = harness.Weights(target, (1, 1, 8, 16))
    types = [tensor_type(f32, [2, 7, 10, 8]), weights.type]

    def body(x: SSAValue, w: SSAValue) -> SSAValue:
        return ConvOp(x, weights.unpacked(w), layout="channels_last").result

    compiled = harness.compile(target, types, body)
    # All 2 * 7 * 10 pixels are one row axis: no more tiles than the tallest ones need.
    height = int(compiled.schedule.split()[1].split("x")[0])
    panels = -(-16 // weights.panel)
    assert compiled.tasks == -(-140 // height) * panels


def _dims(value: SSAValue) -> list[Dim]:
    from nnc.dialects.nn.types import dims_of

    return list(dims_of(value))
