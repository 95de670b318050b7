"""Attention of com.microsoft, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import nnc
from nnc.errors import ModelError, UnsupportedOp

ort = pytest.importorskip("onnxruntime")
GENERATOR = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return GENERATOR.normal(size=shape).astype(np.float32)


def check(op: str, inputs: dict[str, Any], outputs: int = 1, **attributes: Any) -> None:
    """One node with `inputs` (None: absent), here and in ONNX Runtime."""
    given = {k: v for k, v in inputs.items() if v is not None}
    names = [k if v is not None else "" for k, v in inputs.items()]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, results, domain="com.microsoft", **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info(
                k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape
            )
            for k, v in given.items()
        ],
        [helper.make_tensor_value_info(r, TensorProto.FLOAT, None) for r in results],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = ort.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    expected = session.run(None, given)
    actual = nnc.compile(model).run(None, given)
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_multi_head_attention():
    x, y = normal(2, 5, 24), normal(2, 7, 24)
    check("MultiHeadAttention", {"q": x, "k": y, "v": normal(2, 7, 24)}, num_heads=3)


def test_multi_head_attention_with_bias_padding_and_scale():
    mask = np.ones((2, 7), np.int32)
    mask[0, 4:] = 0
    inputs = {
        "q": normal(2, 5, 24),
        "k": normal(2, 7, 24),
        "v": normal(2, 7, 24),
        "bias": normal(72),
        "mask": mask,
        "added": normal(2, 3, 5, 7),
    }
    check("MultiHeadAttention", inputs, num_heads=3, scale=0.3)


def test_multi_head_attention_with_a_past():
    inputs = {
        "q": normal(1, 2, 24),
        "k": normal(1, 2, 24),
        "v": normal(1, 2, 24),
        "bias": None,
        "mask": None,
        "added": None,
        "past_key": normal(1, 3, 4, 8),
        "past_value": normal(1, 3, 4, 8),
    }
    check("MultiHeadAttention", inputs, outputs=3, num_heads=3, unidirectional=1)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("offset", [False, True])
def test_rotary_embedding(interleaved: int, offset: bool):
    angles = GENERATOR.random((16, 4)) * 3
    positions = np.array([3]) if offset else GENERATOR.integers(0, 16, (2, 5))
    inputs = {
        "x": normal(2, 3, 5, 8),
        "positions": positions.astype(np.int64),
        "cosine": np.cos(angles).astype(np.float32),
        "sine": np.sin(angles).astype(np.float32),
    }
    check("RotaryEmbedding", inputs, interleaved=interleaved)


@pytest.mark.parametrize("causal", [0, 1])
def test_attention_with_projections(causal: int):
    mask = np.ones((2, 5), np.int32)
    mask[1, 3:] = 0
    inputs = {
        "x": normal(2, 5, 24),
        "weights": normal(24, 72) * 0.2,
        "bias": normal(72),
        "mask": mask,
    }
    check("Attention", inputs, num_heads=3, unidirectional=causal)


def test_keys_of_free_depth_are_taken_to_fit():
    q, k, v = normal(1, 4, 5, 8), normal(1, 2, 7, 8), normal(1, 2, 7, 8)
    node = helper.make_node("Attention", ["q", "k", "v"], ["y"])
    dims = {"q": [1, 4, 5, 8], "k": [1, 2, 7, "D"], "v": [1, "H", 7, "D"]}
    infos = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, d) for n, d in dims.items()
    ]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", infos, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    keys, values = (np.repeat(x, 2, axis=1) for x in (k, v))
    scores = q @ keys.swapaxes(2, 3) / 8**0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ values
    np.testing.assert_allclose(nnc.compile(model)(q, k, v), expected, rtol=1e-4)


def test_flat_values_of_another_rank_are_refused():
    dims = {"q": [2, 4, 24], "k": [2, 6, 24], "v": [2, 6]}
    infos = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, d) for n, d in dims.items()
    ]
    node = helper.make_node(
        "Attention", ["q", "k", "v"], ["y"], q_num_heads=3, kv_num_heads=3
    )
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", infos, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    with pytest.raises(ModelError, match="rows of heads need rank 3, not 2"):
        nnc.convert(model)


def test_heads_of_unknown_number_for_groups_are_not_supported():
    dims = {"q": [1, "H", 5, 8], "k": [1, 2, 7, 8], "v": [1, 2, 7, 8]}
    infos = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, d) for n, d in dims.items()
    ]
    node = helper.make_node("Attention", ["q", "k", "v"], ["y"])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", infos, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    with pytest.raises(UnsupportedOp, match="H heads of queries for 2 of keys"):
        nnc.convert(model)
