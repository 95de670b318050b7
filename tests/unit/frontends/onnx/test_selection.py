"""Scatter, TopK: compiled, they do what ONNX Runtime does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

import nnc
from nnc.errors import IndexOutOfRange, InputError, ModelError
from nnc.testing import compare

Array = NDArray[Any]


def parse_model(
    graph: str, constants: dict[str, Array] | None = None, opset: int = 18
) -> ModelProto:
    """A model in text form; constants are initializers."""
    header = f'<ir_version: 8, opset_import: ["": {opset}]>'
    model = parser.parse_model(f"{header} g {graph}")
    for name, array in (constants or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def check(
    graph: str, feeds: dict[str, Array], opset: int = 18, **constants: Any
) -> None:
    """Compare with ONNX Runtime."""
    model = parse_model(graph, constants, opset)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    expected = session.run(None, dict(feeds))
    for ours, theirs in zip(nnc.compile(model).run(None, feeds), expected, strict=True):
        compare(ours, np.asarray(theirs))


def floats(*shape: int) -> Array:
    """Random numbers."""
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "min", "max"])
def test_scatter_nd(reduction: str) -> None:
    graph = f"""
    (float[N, 4, M] x, int64[2, K, 2] i, float[2, K, M] u) => (float[N, 4, M] y)
    {{ y = ScatterND<reduction = "{reduction}">(x, i, u) }}
    """
    i = np.random.default_rng(1).integers(0, 4, (2, 3, 2))
    check(graph, {"x": floats(5, 4, 6), "i": i, "u": floats(2, 3, 6)})


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("reduction", ["none", "add"])
def test_scatter_elements(axis: int, reduction: str) -> None:
    graph = f"""
    (float[N, M] x, int64[2, 3] i, float[2, 3] u) => (float[N, M] y)
    {{ y = ScatterElements<axis = {axis}, reduction = "{reduction}">(x, i, u) }}
    """
    i = np.random.default_rng(1).integers(-4, 4, (2, 3))
    check(graph, {"x": floats(4, 5), "i": i, "u": floats(2, 3)})


def test_an_index_beyond_its_axis_is_no_other_row() -> None:
    graph = """
    (float[3, 4] x, int64[1, 2] i, float[1] u) => (float[3, 4] y)
    { y = ScatterND(x, i, u) }
    """
    exe = nnc.compile(parse_model(graph))
    x, u = floats(3, 4), floats(1)
    exe(x, np.array([[2, -4]]), u)
    for wrong in ([0, 4], [3, 0], [-4, 0], [0, -5]):
        with pytest.raises(IndexOutOfRange, match="ScatterND"):
            exe(x, np.array([wrong]), u)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("largest", [0, 1])
def test_top_k(axis: int, largest: int) -> None:
    graph = f"""
    (float[N, M, 3] x) => (float[A, B, C] v, int64[A, B, C] i)
    {{ v, i = TopK<axis = {axis}, largest = {largest}>(x, k) }}
    """
    x = np.round(floats(4, 7, 3), 1)
    check(graph, {"x": x}, k=np.array([2]))


def test_too_few_elements() -> None:
    graph = "(float[N] x) => (float[3] v, int64[3] i) { v, i = TopK(x, k) }"
    exe = nnc.compile(parse_model(graph, {"k": np.array([3])}))
    assert exe(floats(3))[0].shape == (3,)
    with pytest.raises(InputError, match="N = 2"):
        exe(floats(2))
    fixed = graph.replace("[N]", "[2]")
    with pytest.raises(ModelError, match="K is 3, the axis has 2 elements"):
        nnc.compile(parse_model(fixed, {"k": np.array([3])}))


@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("axis", [1, -2, -1])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_tensor_scatter(mode: str, axis: int, count: int) -> None:
    shape = [2, 5, 4, 5]
    shape[axis] = 5
    update = list(shape)
    update[axis] = count
    graph = f"""
    (float[N, A, B, C] x, float[N, D, E, F] u, int64[N] i) => (float[N, A, B, C] y)
    {{ y = TensorScatter<mode = "{mode}", axis = {axis}>(x, u, i) }}
    """
    model = parse_model(graph, opset=24)
    start = np.array([0, 5 - count] if mode == "linear" else [3, 9])
    feeds = {"x": floats(*shape), "u": floats(*update) + 9, "i": start}
    (theirs,) = ReferenceEvaluator(model).run(None, feeds)
    exe = nnc.compile(model)
    compare(exe.run(None, feeds)[0], np.asarray(theirs))


def test_tensor_scatter_beyond_the_cache() -> None:
    graph = """
    (float[1, 5, 2] x, float[1, 3, 2] u, int64[1] i) => (float[1, 5, 2] y)
    { y = TensorScatter(x, u, i) }
    """
    exe = nnc.compile(parse_model(graph, opset=24))
    x, u = floats(1, 5, 2), floats(1, 3, 2)
    compare(exe(x, u, np.array([2]))[0, 2:], u[0])
    for wrong in (3, 5, 2**62, -1, -(2**63)):
        with pytest.raises(IndexOutOfRange, match="TensorScatter"):
            exe(x, u, np.array([wrong]))


def test_many_indices_counted_from_a_free_end() -> None:
    graph = """
    (float[N, 6, 6] x, float[7, 6, 6] u) => (float[N, 6, 6] y)
    { y = ScatterElements<axis = 0>(x, i, u) }
    """
    order = np.random.default_rng(2).random((8, 6, 6)).argsort(axis=0)
    check(graph, {"x": floats(8, 6, 6), "u": floats(7, 6, 6)}, i=order[:7] - 8)
