"""Deformable convolution against the reference, and torch's plain convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from nnc.errors import ModelError

F32 = np.float32
Rng = np.random.Generator


@pytest.mark.parametrize(
    ("group", "offset_group", "attributes", "outer"),
    [
        (1, 1, "", (4, 5)),
        (2, 1, "pads=[1, 0, 1, 2]", (6, 7)),
        (1, 2, "strides=[2, 1], dilations=[1, 2]", (2, 3)),
        (2, 4, "pads=[1, 1, 1, 1], strides=[2, 2]", (3, 4)),
    ],
)
@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
def test_it_agrees_with_the_reference(
    group: int,
    offset_group: int,
    attributes: str,
    outer: tuple[int, int],
    free: bool,
    matches: Any,
    rng: Rng,
) -> None:
    dims = "N, 4, H, W" if free else "2, 4, 5, 7"
    x = rng.standard_normal((2, 4, 5, 7)).astype(F32)
    w = rng.standard_normal((6, 4 // group, 2, 3)).astype(F32)
    offset = 2 * rng.standard_normal((2, offset_group * 12, *outer)).astype(F32)
    mask = rng.random((2, offset_group * 6, *outer)).astype(F32)
    extra = f", {attributes}" if attributes else ""
    matches(
        f"(float[{dims}] x, float[A, {12 * offset_group}, B, C] o, float[6] b, "
        f"float[A, {6 * offset_group}, B, C] m) => (float[] y) {{ y = DeformConv<"
        f"group={group}, offset_group={offset_group}{extra}>(x, w, o, b, m) }}",
        {"x": x, "o": offset, "b": rng.standard_normal(6).astype(F32), "m": mask},
        {"w": w},
        opset=19,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_without_offsets_it_is_a_convolution(
    rank: int, compiled: Any, rng: Rng
) -> None:
    sizes = [6, 5, 4][:rank]
    x = rng.standard_normal((1, 2, *sizes)).astype(F32)
    w = rng.standard_normal((3, 2, *[2] * rank)).astype(F32)
    offset = np.zeros((1, rank * 2**rank, *(s - 1 for s in sizes)), F32)
    exe = compiled(
        "(float[] x, float[] o) => (float[] y) { y = DeformConv(x, w, o) }".replace(
            "[] x", str(list(x.shape)) + " x"
        ).replace("[] o", str(list(offset.shape)) + " o"),
        {"w": w},
        opset=19,
    )
    conv = [torch.nn.functional.conv1d, torch.nn.functional.conv2d]
    conv.append(torch.nn.functional.conv3d)
    expected = conv[rank - 1](torch.tensor(x), torch.tensor(w)).numpy()
    np.testing.assert_allclose(exe(x, offset), expected, rtol=1e-4, atol=1e-5)


def test_offsets_to_nowhere_read_nothing(compiled: Any) -> None:
    exe = compiled(
        "(float[1, 1, 3, 3] x, float[1, 2, 3, 3] o) => (float[] y) "
        "{ y = DeformConv(x, w, o) }",
        {"w": np.ones((1, 1, 1, 1), F32)},
        opset=19,
    )
    for number in (np.nan, np.inf, -np.inf, 1e30, -7):
        y = exe(np.ones((1, 1, 3, 3), F32), np.full((1, 2, 3, 3), number, F32))
        assert not np.any(y > 0), number


def test_channels_that_do_not_divide_are_refused(compiled: Any) -> None:
    with pytest.raises(ModelError, match="DeformConv.*3 channels do not make 2 offset"):
        compiled(
            "(float[1, 3, 3, 3] x, float[1, 4, 3, 3] o) => (float[] y) "
            "{ y = DeformConv<offset_group=2>(x, w, o) }",
            {"w": np.ones((1, 3, 1, 1), F32)},
            opset=19,
        )


def test_an_image_without_channels_is_nothing(compiled: Any) -> None:
    exe = compiled(
        "(float[1, 0, 3, 3] x, float[1, 2, 3, 3] o) => (float[] y) "
        "{ y = DeformConv(x, w, o, b) }",
        {"w": np.ones((2, 0, 1, 1), F32), "b": np.array([1, 2], F32)},
        opset=19,
    )
    y = exe(np.ones((1, 0, 3, 3), F32), np.zeros((1, 2, 3, 3), F32))
    np.testing.assert_array_equal(y[0, :, 0, 0], [1, 2])
    assert y.shape == (1, 2, 3, 3)
