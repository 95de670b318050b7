"""Steps of optimizers, against the reference evaluator of onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

import nnc
from nnc.frontends.onnx.training import TRAINING

OPTIMIZERS: dict[str, tuple[int, dict[str, Any]]] = {
    "Adagrad": (3, {"norm_coefficient": 0.1, "epsilon": 1e-5, "decay_factor": 0.1}),
    "Momentum": (
        3,
        {"norm_coefficient": 0.1, "alpha": 0.9, "beta": 0.7, "mode": "nesterov"},
    ),
    "Adam": (
        4,
        {"norm_coefficient": 0.1, "alpha": 0.9, "beta": 0.99, "epsilon": 1e-3},
    ),
}


@pytest.mark.parametrize("step", [0, 3])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("op_type", list(OPTIMIZERS))
def test_step_agrees(op_type: str, count: int, step: int, rng: np.random.Generator):
    parts, attributes = OPTIMIZERS[op_type]
    names = [f"{part}{i}" for part in range(parts) for i in range(count)]
    names = [f"t{name}" for name in names]
    outputs = [f"y{i}" for i in range((parts - 1) * count)]
    node = helper.make_node(
        op_type, ["rate", "step", *names], outputs, domain=TRAINING, **attributes
    )
    float_, int_ = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    inputs = [
        helper.make_tensor_value_info("rate", float_, []),
        helper.make_tensor_value_info("step", int_, []),
        *(helper.make_tensor_value_info(n, float_, [2, 3]) for n in names),
    ]
    results = [helper.make_tensor_value_info(n, float_, [2, 3]) for n in outputs]
    graph = helper.make_graph([node], "g", inputs, results)
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid(TRAINING, 1)]
    model = helper.make_model(graph, opset_imports=opsets)
    feeds: dict[str, Any] = {n: rng.random((2, 3), np.float32) for n in names}
    feeds |= {"rate": np.array(0.1, np.float32), "step": np.array(step)}
    wanted: Any = ReferenceEvaluator(model).run(None, feeds)
    for a, b in zip(nnc.compile(model).run(None, feeds), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
