"""Ops that are converted by the function that the standard defines them by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import nnc
from nnc.errors import UnsupportedOp
from nnc.frontends.onnx.registry import supported_ops
from nnc.frontends.onnx.standard_functions import has_standard_function


def model(
    node: onnx.NodeProto, inputs: Mapping[str, tuple[int, list[int]]], opset: int = 22
) -> onnx.ModelProto:
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(n, k, d) for n, (k, d) in inputs.items()],
        [helper.make_empty_tensor_value_info(n) for n in node.output if n],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("outputs", [["loss"], ["loss", "probabilities"]])
def test_body_made_for_the_node(reduction: str, outputs: list[str]):
    # The body holds another such op, which gets its attributes from this one.
    node = helper.make_node(
        "SoftmaxCrossEntropyLoss",
        ["x", "label", "weight"],
        outputs,
        reduction=reduction,
        ignore_index=1,
    )
    kinds = {
        "x": (TensorProto.FLOAT, [3, 5, 4]),
        "label": (TensorProto.INT64, [3, 4]),
        "weight": (TensorProto.FLOAT, [5]),
    }
    proto = model(node, kinds)
    rng = np.random.default_rng(0)
    feeds: dict[str, Any] = {
        "x": rng.standard_normal((3, 5, 4), np.float32),
        "label": rng.integers(0, 5, (3, 4)),
        "weight": rng.random(5, np.float32),
    }
    wanted: Any = ReferenceEvaluator(proto).run(None, feeds)
    found = nnc.compile(proto).run(None, feeds)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("align", [None, 0, 1])
def test_fixed_body_with_an_attribute_that_may_be_left_out(align: int | None):
    attributes: dict[str, Any] = {} if align is None else {"align_corners": align}
    node = helper.make_node("AffineGrid", ["theta", "size"], ["grid"], **attributes)
    kinds = {"theta": (TensorProto.FLOAT, [2, 2, 3]), "size": (TensorProto.INT64, [4])}
    proto = model(node, kinds)
    theta = np.random.default_rng(0).standard_normal((2, 2, 3), np.float32)
    size = np.array([2, 3, 5, 6], np.int64)
    results: Any = ReferenceEvaluator(proto).run(None, {"theta": theta, "size": size})
    grid = nnc.compile(proto, input_values={"size": size})(theta)
    np.testing.assert_allclose(grid, results[0], rtol=1e-5, atol=1e-6)


def test_outputs_that_are_left_out():
    node = helper.make_node(
        "SoftmaxCrossEntropyLoss", ["x", "label"], ["", "probabilities"]
    )
    kinds = {"x": (TensorProto.FLOAT, [2, 3]), "label": (TensorProto.INT64, [2])}
    x = np.random.default_rng(0).standard_normal((2, 3), np.float32)
    (y,) = nnc.compile(model(node, kinds)).run(
        None, {"x": x, "label": np.array([0, 1])}
    )
    np.testing.assert_allclose(np.exp(y).sum(1), 1, rtol=1e-6)


def test_nodes_of_the_body_are_named_after_the_node():
    node = helper.make_node("HannWindow", ["n"], ["w"], name="window")
    proto = model(node, {"n": (TensorProto.INT64, [])})
    text = str(nnc.convert(proto, input_values={"n": np.int64(8)}))
    assert 'loc_name = "window/' in text


def test_older_version_without_the_op_is_refused():
    node = helper.make_node("HannWindow", ["n"], ["w"], name="window")
    proto = model(node, {"n": (TensorProto.INT64, [])}, opset=16)
    with pytest.raises(UnsupportedOp, match=r"HannWindow .node 'window'"):
        nnc.compile(proto)


def test_our_own_converters_go_first():
    assert has_standard_function("Gelu", "")
    assert ("", "Gelu") in supported_ops()
    assert not has_standard_function("Bernoulli", "")
    assert not has_standard_function("NoSuchOp", "")
    assert not has_standard_function("Relu", "my.domain")
