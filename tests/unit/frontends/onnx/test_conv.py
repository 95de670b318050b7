"""Converters of convolutions and pools against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import ModelError, UnsupportedOp

F32 = np.float32


def normal(rng: np.random.Generator, *shape: int) -> Any:
    """Random f32 numbers."""
    return rng.standard_normal(shape).astype(F32)


CONVS = [
    "",
    "<pads=[1,1,1,1]>",
    "<strides=[2,2], pads=[1,0,2,1]>",
    "<dilations=[2,1]>",
    '<auto_pad="SAME_UPPER", strides=[2,2]>',
    '<auto_pad="SAME_LOWER", strides=[2,3]>',
    '<auto_pad="VALID">',
    "<kernel_shape=[3,3]>",
]


@pytest.mark.parametrize("attributes", CONVS)
@pytest.mark.parametrize("free", [True, False], ids=["free", "fixed"])
def test_conv_agrees(
    attributes: str, free: bool, agrees: Any, rng: np.random.Generator
):
    shape = "N,4,H,W" if free else "2,4,9,10"
    agrees(
        f"(float[{shape}] x) => (float[] y) {{ y = Conv{attributes}(x, w, b) }}",
        {"x": normal(rng, 2, 4, 9, 10)},
        {"w": normal(rng, 6, 4, 3, 3), "b": normal(rng, 6)},
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_conv_of_any_rank_agrees(rank: int, agrees: Any, rng: np.random.Generator):
    sizes = (7, 6, 5)[:rank]
    shape = ",".join(map(str, (1, 3, *sizes)))
    agrees(
        f"(float[{shape}] x) => (float[] y) {{ y = Conv(x, w) }}",
        {"x": normal(rng, 1, 3, *sizes)},
        {"w": normal(rng, 2, 3, *(3, 2, 2)[:rank])},
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(("group", "depth"), [(2, 2), (4, 1)])
def test_conv_with_groups_agrees(
    group: int, depth: int, agrees: Any, rng: np.random.Generator
):
    agrees(
        f"(float[1,4,5,5] x) => (float[] y) {{ y = Conv<group={group}>(x, w) }}",
        {"x": normal(rng, 1, 4, 5, 5)},
        {"w": normal(rng, 8, depth, 3, 3)},
        rtol=1e-4,
        atol=1e-5,
    )


def test_conv_states_free_channels(import_text: Any, rng: np.random.Generator):
    text = import_text(
        "(float[N,C,H,W] x) => (float[] y) { y = Conv(x, w) }",
        {"w": normal(rng, 6, 4, 3, 3)},
    )
    assert "#nn.shape<N, 4, H, W>" in text
    assert "#nn.shape<N, 6, H - 2, W - 2>" in text


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("<group=0>", "group must be positive"),
        ("<group=3>", "cannot have shape"),
        ("<strides=[0,1]>", "strides must be positive"),
        ("<dilations=[1]>", "dilations has 1 values for 2 axes"),
        ("<pads=[1,1]>", "pads has 2 values for 2 axes"),
        ("<kernel_shape=[5,5]>", "kernel_shape is"),
        ('<auto_pad="MIDDLE">', "no auto_pad 'MIDDLE'"),
        ("<dilations=[5,5]>", "the window is larger than the padded input"),
        ("<group=1.5>", "attribute 'group' must be of type INT"),
    ],
)
def test_conv_with_wrong_attributes_is_refused(
    attributes: str, message: str, import_text: Any, rng: np.random.Generator
):
    with pytest.raises(ModelError, match=rf"Conv \(node 'Conv:y'\).*{message}"):
        import_text(
            f"(float[1,4,9,9] x) => (float[] y) {{ y = Conv{attributes}(x, w) }}",
            {"w": normal(rng, 6, 4, 3, 3)},
        )


def test_conv_filter_of_free_size_is_refused(import_text: Any):
    with pytest.raises(UnsupportedOp, match="size is not constant"):
        import_text(
            "(float[1,4,9,9] x, float[6,4,K,3] w) => (float[] y) { y = Conv(x, w) }"
        )


TRANSPOSED = [
    "",
    "<strides=[2,2]>",
    "<strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>",
    "<strides=[3,2], dilations=[2,1]>",
    "<strides=[2,2], output_shape=[10,8]>",
    '<strides=[2,2], auto_pad="SAME_UPPER">',
    '<strides=[2,2], auto_pad="SAME_LOWER">',
]


@pytest.mark.parametrize("attributes", TRANSPOSED)
@pytest.mark.parametrize("group", [1, 2])
def test_conv_transpose_agrees(
    attributes: str, group: int, agrees: Any, rng: np.random.Generator
):
    inner = attributes.strip("<>")
    inner = ", ".join(p for p in (inner, f"group={group}") if p)
    agrees(
        f"(float[2,4,5,4] x) => (float[] y) {{ y = ConvTranspose<{inner}>(x, w, b) }}",
        {"x": normal(rng, 2, 4, 5, 4)},
        {"w": normal(rng, 4, 3, 3, 2), "b": normal(rng, 3 * group)},
        rtol=1e-4,
        atol=1e-5,
    )


POOLS = [
    "kernel_shape=[2,2]",
    "kernel_shape=[3,3], strides=[2,2]",
    "kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]",
    "kernel_shape=[3,3], strides=[2,2], ceil_mode=1",
    "kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1], ceil_mode=1",
    'kernel_shape=[3,2], strides=[2,2], auto_pad="SAME_UPPER"',
    'kernel_shape=[2,3], strides=[1,2], auto_pad="SAME_LOWER"',
]


@pytest.mark.parametrize("attributes", POOLS)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pool_agrees(attributes: str, op: str, agrees: Any, rng: np.random.Generator):
    agrees(
        f"(float[N,3,H,W] x) => (float[] y) {{ y = {op}<{attributes}>(x) }}",
        {"x": normal(rng, 2, 3, 8, 9)},
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("attributes", POOLS[:3])
def test_average_pool_counting_padding_agrees(
    attributes: str, agrees: Any, rng: np.random.Generator
):
    agrees(
        "(float[2,3,8,9] x) => (float[] y) "
        f"{{ y = AveragePool<{attributes}, count_include_pad=1>(x) }}",
        {"x": normal(rng, 2, 3, 8, 9)},
        rtol=1e-5,
        atol=1e-6,
    )


def test_max_pool_with_dilations_agrees(agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[1,2,9] x) => (float[] y) "
        "{ y = MaxPool<kernel_shape=[3], dilations=[2], pads=[1,1]>(x) }",
        {"x": normal(rng, 1, 2, 9)},
    )


@pytest.mark.parametrize("power", [1, 2, 3])
def test_lp_pool_agrees(power: int, agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[1,2,6,6] x) => (float[] y, float[] z) "
        f"{{ y = LpPool<kernel_shape=[2,3], p={power}, pads=[0,1,0,1]>(x) "
        f"z = GlobalLpPool<p={power}>(x) }}",
        {"x": normal(rng, 1, 2, 6, 6)},
        rtol=1e-4,
    )


@pytest.mark.parametrize("op", ["GlobalMaxPool", "GlobalAveragePool"])
def test_global_pool_agrees(op: str, agrees: Any, rng: np.random.Generator):
    agrees(
        f"(float[N,3,H,W] x) => (float[] y) {{ y = {op}(x) }}",
        {"x": normal(rng, 2, 3, 5, 4)},
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("kernel_shape=[0,2]", "kernel_shape must be positive"),
        ("kernel_shape=[2,2], strides=[0,1]", "strides must be positive"),
        ("kernel_shape=[2,2], pads=[2147483647,0,0,0]", "padding 2147483647"),
        ("kernel_shape=[7,2]", "the window is larger than the padded input"),
        ("strides=[1,1]", "'kernel_shape' is missing"),
        ("kernel_shape=[2]", "kernel_shape has 1 values for 2 axes"),
    ],
)
def test_pool_with_wrong_attributes_is_refused(
    attributes: str, message: str, import_text: Any
):
    with pytest.raises(ModelError, match=rf"MaxPool \(node 'MaxPool:y'\).*{message}"):
        import_text(
            f"(float[1,2,6,6] x) => (float[] y) {{ y = MaxPool<{attributes}>(x) }}"
        )


@pytest.mark.parametrize(
    "attributes",
    [
        "kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1",
        "kernel_shape=[2, 3], p=3, pads=[1, 0, 1, 2], strides=[3, 2], ceil_mode=1",
        "kernel_shape=[2, 2], p=1, dilations=[2, 3], strides=[2, 2], ceil_mode=1",
    ],
)
def test_lp_pool_that_rounds_up(attributes: str, agrees: Any, rng: Any):
    agrees(
        f"(float[N,2,H,W] x) => (float[] y) {{ y = LpPool<{attributes}>(x) }}",
        {"x": rng.standard_normal((1, 2, 8, 9)).astype(np.float32)},
        opset=18,
        rtol=1e-4,
        atol=1e-5,
    )


def test_lp_pools_of_opset_1(run_graph: Any, rng: Any):
    x = rng.standard_normal((1, 2, 4, 6)).astype(np.float32)
    y, z = run_graph(
        "(float[1,2,4,6] x) => (float[] y, float[] z) "
        "{ y = LpPool<kernel_shape=[2, 2], strides=[2, 2], p=1.5>(x) "
        "z = GlobalLpPool<p=3.0>(x) }",
        {"x": x},
        opset=1,
    )
    windows = np.abs(x).reshape(1, 2, 2, 2, 3, 2)
    np.testing.assert_allclose(y, (windows**1.5).sum((3, 5)) ** (1 / 1.5), rtol=1e-4)
    total = (np.abs(x) ** 3).sum((2, 3), keepdims=True)
    np.testing.assert_allclose(z, total ** (1 / 3), rtol=1e-4)


def test_transposed_convolution_with_negative_padding(run_graph: Any, rng: Any):
    x = rng.standard_normal((1, 2, 4)).astype(np.float32)
    w = rng.standard_normal((2, 3, 3)).astype(np.float32)
    call = "y = ConvTranspose<strides=[2], pads={pads}>(x, w, b)"
    results = [
        run_graph(
            f"(float[1,2,4] x) => (float[] y) {{ {call.format(pads=pads)} }}",
            {"x": x},
            {"w": w, "b": np.ones(3, np.float32)},
        )[0]
        for pads in ([-2, -1], [0, 0])
    ]
    wide = np.pad(results[1] - 1, ((0, 0), (0, 0), (2, 1))) + 1
    np.testing.assert_allclose(results[0], wide, rtol=1e-5, atol=1e-6)


def test_bias_of_free_size_is_taken_to_fit(agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[1,3,4,4] x, float[O] c) => (float[] y) { y = Conv(x, w, c) }",
        {"x": normal(rng, 1, 3, 4, 4), "c": normal(rng, 5)},
        {"w": normal(rng, 5, 3, 3, 3)},
        rtol=1e-4,
        atol=1e-5,
    )


def test_bias_is_taken_to_fit_a_filter_of_free_size(
    agrees: Any, rng: np.random.Generator
):
    agrees(
        "(float[1,3,4,4] x, float[O,3,3,3] w) => (float[] y) { y = Conv(x, w, c) }",
        {"x": normal(rng, 1, 3, 4, 4), "w": normal(rng, 5, 3, 3, 3)},
        {"c": normal(rng, 5)},
        rtol=1e-4,
        atol=1e-5,
    )


def test_transposed_filter_of_free_channels_is_taken_to_fit(
    agrees: Any, rng: np.random.Generator
):
    agrees(
        "(float[1,6,4,4] x, float[C,1,3,3] w) => (float[] y)"
        " { y = ConvTranspose<group=6>(x, w) }",
        {"x": normal(rng, 1, 6, 4, 4), "w": normal(rng, 6, 1, 3, 3)},
        rtol=1e-4,
        atol=1e-5,
    )


def test_filter_of_free_inputs_is_taken_to_fit(agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[1,6,4,4] x, float[8,C,3,3] w) => (float[] y)"
        " { y = Conv<group=2>(x, w) }",
        {"x": normal(rng, 1, 6, 4, 4), "w": normal(rng, 8, 3, 3, 3)},
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("op", "text"),
    [
        ("Conv", "O channels of the result in 2 groups"),
        ("ConvTranspose", "C channels in 2 groups"),
    ],
)
def test_unknown_channels_in_groups_are_not_supported(
    op: str, text: str, import_text: Any
):
    with pytest.raises(UnsupportedOp, match=text):
        import_text(
            f"(float[1,C,4,4] x, float[O,3,3,3] w) => (float[] y)"
            f" {{ y = {op}<group=2>(x, w) }}"
        )
