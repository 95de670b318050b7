"""nnc as a backend of the onnx package."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import nnc
from nnc.errors import CompileError, InputError
from nnc.integrations import onnx_backend
from nnc.integrations.onnx_backend import NncBackend


def model() -> onnx.ModelProto:
    x, y, z = (
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2, "N"])
        for n in "xyz"
    )
    nodes = [
        helper.make_node("Sub", ["x", "y"], ["z"]),
        helper.make_node("Relu", ["z"], ["1"]),
    ]
    last = helper.make_tensor_value_info("1", onnx.TensorProto.FLOAT, [2, "N"])
    return helper.make_model(helper.make_graph(nodes, "g", [x, y], [z, last]))


X = np.arange(6, dtype=np.float32).reshape(2, 3)
Y = np.full((2, 3), 2.5, np.float32)


@pytest.mark.parametrize("inputs", [[X, Y], {"y": Y, "x": X}])
def test_model_is_prepared_once_and_run_by_position_or_name(inputs: object):
    outputs: Any = NncBackend.prepare(model()).run(inputs)
    np.testing.assert_array_equal(outputs[0], X - Y)
    np.testing.assert_array_equal(outputs["1"], np.maximum(X - Y, 0))


def test_the_module_has_the_functions_of_a_backend():
    assert onnx_backend.is_compatible(model())
    assert onnx_backend.supports_device("CPU:0")
    np.testing.assert_array_equal(onnx_backend.run(model(), [X, Y])[0], X - Y)


def test_options_are_those_of_compile():
    rep = onnx_backend.prepare(model(), target="generic")
    assert isinstance(rep.executable, nnc.CompiledModel)
    assert "generic" in str(rep.executable.info.target)


def test_a_node_is_run_for_what_it_gets():
    node = helper.make_node("Clip", ["x", "", "high"], ["y"])
    (y,) = onnx_backend.run_node(node, [X, np.float32(3)])
    np.testing.assert_array_equal(y, np.minimum(X, 3))


def test_a_node_of_an_older_version():
    node = helper.make_node("Squeeze", ["x"], ["y"], axes=[0])
    (y,) = onnx_backend.run_node(node, X[None], opset_version=11)
    np.testing.assert_array_equal(y, X)


def test_what_does_not_fit_is_refused():
    assert not NncBackend.supports_device("CUDA")
    with pytest.raises(CompileError, match="not for 'CUDA:1'"):
        NncBackend.prepare(model(), "CUDA:1")
    rep = NncBackend.prepare(model())
    with pytest.raises(InputError, match="2 inputs, got 1"):
        rep.run(X)
    with pytest.raises(InputError, match="no keyword speed"):
        rep.run([X, Y], speed=3)
    node = helper.make_node("Add", ["x", "y"], ["z"], name="plus")
    with pytest.raises(InputError, match="'plus' .Add. has 2 inputs, got 1"):
        NncBackend.run_node(node, X)
