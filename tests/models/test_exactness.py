"""How far networks are from the exact result, beside ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from catalogue import NETWORKS, Array
from onnx import numpy_helper
from reference import reference_outputs

import nnc
from nnc.interpreters.nn import run_module

MOST = 2.0
"""Times the distance of ONNX Runtime's outputs from the exact ones."""


def in_double_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network over f64, which the interpreter runs."""

    def widen(tensor: onnx.TensorProto) -> None:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    graph = model.graph
    for tensor in graph.initializer:
        widen(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                widen(attribute.t)
            if node.op_type == "Cast" and attribute.i == onnx.TensorProto.FLOAT:
                attribute.i = onnx.TensorProto.DOUBLE
    return model


def distance(actual: Array, exact: Array) -> float:
    return float(np.sqrt(np.mean(np.square(np.subtract(actual, exact)))))


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "densenet121", "unet", "yolo_n"]
)
def test_distance_from_the_exact_outputs(name: str) -> None:
    network = NETWORKS[name]
    inputs = network.inputs()
    module = nnc.convert(in_double_precision(onnx.load(network.path)))
    wide = {n: a.astype(np.float64) for n, a in inputs.items()}
    exact = run_module(module.ir, module.weights, wide)
    allowed = [
        MOST * distance(theirs, one)
        for theirs, one in zip(reference_outputs(name), exact, strict=True)
    ]
    for winograd in ("auto", "f2", "off"):
        with nnc.compile(network.path, winograd=winograd, num_threads=1) as model:
            outputs = model.run(None, inputs)
        for ours, one, limit in zip(outputs, exact, allowed, strict=True):
            assert distance(ours, one) <= limit, winograd
