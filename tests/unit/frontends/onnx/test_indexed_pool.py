"""Pooling with positions, its inverse, and summed-up windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from nnc.errors import IndexOutOfRange, ModelError

F32 = np.float32
Rng = np.random.Generator


@pytest.mark.parametrize(
    "attributes",
    [
        "kernel_shape=[3, 2]",
        "kernel_shape=[3, 3], strides=[2, 1], pads=[1, 0, 1, 2]",
        "kernel_shape=[2, 3], dilations=[2, 1], strides=[1, 2]",
        "kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1",
        'kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_LOWER"',
        "kernel_shape=[3, 3], pads=[1, 1, 1, 1], storage_order=1",
    ],
)
@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
def test_positions_of_maxima(attributes: str, free: bool, agrees: Any, rng: Rng):
    dims = "N, C, H, W" if free else "2, 3, 7, 8"
    # Ties are frequent: the first of them counts.
    x = rng.integers(-3, 3, (2, 3, 7, 8)).astype(F32)
    agrees(
        f"(float[{dims}] x) => (float[] y, int64[] i) "
        f"{{ y, i = MaxPool<{attributes}>(x) }}",
        {"x": x},
    )


@pytest.mark.parametrize("rank", [1, 3])
def test_positions_in_other_ranks(rank: int, agrees: Any, compiled: Any, rng: Rng):
    graph = (
        f"(float[2, 3, {', '.join('ABC'[:rank])}] x) => (float[] y, int64[] i) "
        f"{{ y, i = MaxPool<kernel_shape={[2] * rank}, strides={[2] * rank}>(x) }}"
    )
    x = rng.standard_normal((2, 3, *[5, 4, 6][:rank])).astype(F32)
    agrees(graph, {"x": x})
    y, positions = compiled(graph).run(None, {"x": x})
    np.testing.assert_array_equal(y, x.reshape(-1)[positions])


@pytest.mark.parametrize("kind", ["int8", "uint8", "double", "float16"])
def test_positions_in_other_types(kind: str, compiled: Any, rng: Rng):
    exe = compiled(
        f"({kind}[1, 1, N] x) => ({kind}[] y, int64[] i) "
        "{ y, i = MaxPool<kernel_shape=[3], pads=[1, 1]>(x) }"
    )
    x = rng.integers(0, 100, (1, 1, 50)).astype(exe.inputs[0].dtype)
    y, positions = exe(x)
    np.testing.assert_array_equal(y, x.reshape(-1)[positions])


def test_unpooling_puts_back(matches: Any, compiled: Any, rng: Rng):
    x = rng.standard_normal((2, 3, 6, 8)).astype(F32)
    y, i = torch.nn.functional.max_pool2d(torch.tensor(x), 2, return_indices=True)
    # ONNX counts through all of the tensor, torch through one channel.
    first = np.arange(6).reshape(2, 3, 1, 1) * 48
    graph = (
        "(float[N, C, H, W] x, int64[N, C, H, W] i) => (float[] y) "
        "{ y = MaxUnpool<kernel_shape=[2, 2], strides=[2, 2]>(x, i) }"
    )
    feeds = {"x": y.numpy(), "i": i.numpy() + first}
    matches(graph, feeds)
    expected = torch.nn.functional.max_unpool2d(y, i, [2, 2]).numpy()
    np.testing.assert_array_equal(compiled(graph).run(None, feeds)[0], expected)


def test_unpooling_to_a_larger_shape(matches: Any):
    matches(
        "(float[1, 1, 2, 2] x, int64[1, 1, 2, 2] i) => (float[] y) "
        "{ y = MaxUnpool<kernel_shape=[2, 2], strides=[2, 2]>(x, i, s) }",
        {
            "x": np.array([[[[1, 2], [3, 4]]]], F32),
            "i": np.array([[[[5, 7], [13, 15]]]]),
        },
        {"s": np.array([1, 1, 5, 6])},
    )


def test_unpooling_to_nowhere_is_an_error(compiled: Any):
    exe = compiled(
        "(float[1, 1, 2] x, int64[1, 1, 2] i) => (float[] y) "
        "{ y = MaxUnpool<kernel_shape=[2], strides=[2]>(x, i) }"
    )
    with pytest.raises(IndexOutOfRange, match="MaxUnpool"):
        exe(np.ones((1, 1, 2), F32), np.array([[[0, 4]]]))


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize(
    ("image", "block", "dilations", "pads", "strides"),
    [
        ([5, 6], [2, 3], [1, 1], [0, 0, 0, 0], [1, 1]),
        ([5, 6], [2, 2], [2, 1], [1, 0, 1, 0], [2, 1]),
        ([7], [3], [1], [1, 1], [2]),
        ([3, 4, 2], [2, 2, 1], [1, 1, 1], [0, 1, 0, 0, 1, 0], [1, 2, 1]),
    ],
)
def test_columns_to_image(
    kind: str,
    image: list[int],
    block: list[int],
    dilations: list[int],
    pads: list[int],
    strides: list[int],
    matches: Any,
    rng: Rng,
):
    rank = len(image)
    counts = [
        (image[i] + pads[i] + pads[rank + i] - dilations[i] * (block[i] - 1) - 1)
        // strides[i]
        + 1
        for i in range(rank)
    ]
    dtype = F32 if kind == "float" else np.float64
    x = rng.standard_normal((2, 3 * np.prod(block), np.prod(counts))).astype(dtype)
    matches(
        f"({kind}[N, C, L] x) => ({kind}[] y) {{ y = Col2Im<dilations={dilations}, "
        f"pads={pads}, strides={strides}>(x, image, block) }}",
        {"x": x},
        {"image": np.array(image), "block": np.array(block)},
        opset=18,
        rtol=1e-5,
        atol=1e-5,
    )


def test_columns_that_are_no_multiple_are_refused(compiled: Any):
    with pytest.raises(ModelError, match="Col2Im.*7 rows are no multiple"):
        compiled(
            "(float[1, 7, 4] x) => (float[] y) { y = Col2Im(x, image, block) }",
            {"image": np.array([3, 3]), "block": np.array([2, 2])},
            opset=18,
        )
