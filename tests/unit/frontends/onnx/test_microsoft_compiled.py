"""Ops of com.microsoft through compiled code, where their form is not a usual one."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper

import nnc

F32 = np.float32


def decoder() -> Any:
    """Grouped attention as exporters write it: lengths come from the attention mask."""
    make = helper.make_node
    nodes = [
        make("ReduceSum", ["mask", "axis"], ["count"], keepdims=0),
        make("Sub", ["count", "one"], ["last"]),
        make("Cast", ["last"], ["lengths"], to=TensorProto.INT32),
        make("Shape", ["mask"], ["shape"]),
        make("Gather", ["shape", "one"], ["width"], axis=0),
        make("Cast", ["width"], ["total"], to=TensorProto.INT32),
        make(
            "GroupQueryAttention",
            ["q", "k", "v", "past_k", "past_v", "lengths", "total", "cos", "sin"],
            ["y", "present_k", "present_v"],
            domain="com.microsoft",
            num_heads=4,
            kv_num_heads=2,
            do_rotary=1,
        ),
    ]
    info, f = helper.make_tensor_value_info, TensorProto.FLOAT
    cache = ["B", 2, "P", 16]
    inputs = [
        info("q", f, ["B", "S", 64]),
        *(info(n, f, ["B", "S", 32]) for n in ("k", "v")),
        *(info(n, f, cache) for n in ("past_k", "past_v")),
        info("mask", TensorProto.INT64, ["B", "T"]),
        *(info(n, f, [16, 8]) for n in ("cos", "sin")),
    ]
    outputs = [info(n, f, None) for n in ("y", "present_k", "present_v")]
    constants = [
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("one", TensorProto.INT64, [], [1]),
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_a_prompt_then_tokens(rng: np.random.Generator):
    """Every token agrees with what the whole sequence at once gives."""
    exe = nnc.compile(decoder(), cache=False)
    q, k, v = (rng.standard_normal((2, 6, n)).astype(F32) for n in (64, 32, 32))
    tables = [rng.standard_normal((16, 8)).astype(F32) for _ in range(2)]
    empty = np.zeros((2, 2, 0, 16), F32)

    def run(first: int, last: int, past: Any) -> Any:
        mask = np.ones((2, last), np.int64)
        parts = [x[:, first:last] for x in (q, k, v)]
        return exe(*parts, *past, mask, *tables)

    whole, *_ = run(0, 6, [empty, empty])
    y, *past = run(0, 3, [empty, empty])
    np.testing.assert_allclose(y, whole[:, :3], rtol=1e-4, atol=1e-5)
    for step in range(3, 6):
        y, *past = run(step, step + 1, past)
        np.testing.assert_allclose(y, whole[:, step : step + 1], rtol=1e-4, atol=1e-5)
        assert past[0].shape == (2, 2, step + 1, 16)


def test_inverses_and_weights_of_few_bits(node_model: Any, rng: np.random.Generator):
    x = rng.standard_normal((3, 5, 5)).astype(F32)
    model, feeds = node_model("Inverse", [x])
    found = nnc.compile(model, cache=False)(*feeds.values())
    np.testing.assert_allclose(found, np.linalg.inv(x), rtol=1e-3, atol=1e-4)
    a = rng.standard_normal((3, 32)).astype(F32)
    weight = rng.integers(0, 256, (7, 2, 8), np.uint8)
    scales = rng.uniform(0.1, 1, (7, 2)).astype(F32)
    model, feeds = node_model(
        *("MatMulNBits", [a, weight, scales]),
        constants=[1, 2],
        K=32,
        N=7,
        bits=4,
        block_size=16,
    )
    exe = nnc.compile(model, cache=False)
    codes = np.stack([weight & 15, weight >> 4], -1).reshape(7, 2, 16).astype(F32)
    wanted = a @ ((codes - 8) * scales[..., None]).reshape(7, 32).T
    np.testing.assert_allclose(exe(a), wanted, rtol=1e-4, atol=1e-4)
    assert len(exe.info.kernels) == 1, "the weight is dequantized beforehand"
