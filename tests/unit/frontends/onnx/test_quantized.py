"""Quantized products and convolutions, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import UnsupportedOp

F32 = np.float32


def numbers(rng: np.random.Generator, kind: str, *shape: int) -> Any:
    """All values of an 8-bit type."""
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max + 1, shape, kind)


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_qlinear_matmul_agrees(kind: str, agrees: Any, rng: np.random.Generator):
    agrees(
        f"({kind}[3,5,70] a, {kind}[70,9] b) => ({kind}[] y) "
        "{ y = QLinearMatMul(a, sa, za, b, sb, zb, sy, zy) }",
        {"a": numbers(rng, kind, 3, 5, 70), "b": numbers(rng, kind, 70, 9)},
        {
            "sa": np.array(0.02, F32),
            "za": np.array(7, kind),
            "sb": np.array(0.03, F32),
            "zb": np.array(3, kind),
            "sy": np.array(0.9, F32),
            "zy": np.array(11, kind),
        },
        # Ties may go either way where the scales are multiplied in another order.
        atol=1,
    )


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_qlinear_conv_agrees(
    groups: int, channels: bool, agrees: Any, rng: np.random.Generator
):
    scale = rng.uniform(0.01, 0.05, 6).astype(F32) if channels else np.array(0.02, F32)
    agrees(
        f"(uint8[2,4,9,7] x, int8[6,{4 // groups},3,3] w) => (uint8[] y) "
        f"{{ y = QLinearConv<pads=[1,1,0,1], strides=[2,1], group={groups}>"
        "(x, sx, zx, w, sw, zw, sy, zy, bias) }",
        {"x": numbers(rng, "uint8", 2, 4, 9, 7)},
        {
            "w": numbers(rng, "int8", 6, 4 // groups, 3, 3),
            "sx": np.array(0.02, F32),
            "zx": np.array(120, np.uint8),
            "sw": scale,
            "zw": np.zeros(scale.shape, np.int8),
            "sy": np.array(0.4, F32),
            "zy": np.array(128, np.uint8),
            "bias": rng.integers(-2000, 2000, 6, np.int32),
        },
        atol=1,
    )


def test_conv_integer_is_exact(run_graph: Any, rng: np.random.Generator):
    x, w = numbers(rng, "uint8", 1, 64, 5, 5), numbers(rng, "uint8", 4, 64, 3, 3)
    (y,) = run_graph(
        "(uint8[1,64,5,5] x, uint8[4,64,3,3] w) => (int32[] y) "
        "{ y = ConvInteger(x, w, zx, zw) }",
        {"x": x, "w": w},
        {"zx": np.array(3, np.uint8), "zw": np.array(250, np.uint8)},
        opset=10,
    )
    windows = np.lib.stride_tricks.sliding_window_view(
        x.astype(int) - 3, (3, 3), (2, 3)
    )
    wanted = np.einsum("nchwij,ocij->nohw", windows, w.astype(int) - 250)
    np.testing.assert_array_equal(y, wanted)


def test_product_of_an_unknown_quantized_type_is_refused(import_text: Any):
    with pytest.raises(UnsupportedOp, match="quantization to ui32"):
        import_text(
            "(uint8[2,4] a, uint8[4,3] b, float s, uint8 z, uint32 o) => (uint32[] y)"
            " { y = QLinearMatMul(a, s, z, b, s, z, s, o) }"
        )
