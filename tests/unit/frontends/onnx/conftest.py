"""Small ONNX models in text form, imported and compared with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

import nnc
from nnc.context import NncContext
from nnc.frontends.detect import import_model
from nnc.interpreters.nn import run_module
from nnc.testing import compare

Array = NDArray[Any]


def parse_model(
    graph: str, constants: Mapping[str, Array] | None = None, opset: int = 17
) -> ModelProto:
    """The model for `(inputs) => (outputs) { nodes }`; constants are initializers."""
    header = f'<ir_version: 8, opset_import: ["": {opset}, "com.microsoft": 1]>'
    model = parser.parse_model(f"{header} g {graph}")
    for name, array in (constants or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def run_onnx_runtime(model: ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """What ONNX Runtime says, without its own optimisations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(y) for y in session.run(None, dict(feeds))]


class Import(Protocol):
    """Imports a model in text form; the text of its module."""

    def __call__(
        self,
        graph: str,
        constants: Mapping[str, Array] | None = None,
        opset: int = 17,
        **options: Any,
    ) -> str: ...


class Run(Protocol):
    """Imports a model in text form and runs it."""

    def __call__(
        self,
        graph: str,
        feeds: Mapping[str, Array],
        constants: Mapping[str, Array] | None = None,
        opset: int = 17,
    ) -> list[Array]: ...


class Agrees(Protocol):
    """Imports, runs, and compares a model with ONNX Runtime."""

    def __call__(
        self,
        graph: str,
        feeds: Mapping[str, Array],
        constants: Mapping[str, Array] | None = None,
        opset: int = 17,
        rtol: float | None = None,
        atol: float | None = None,
    ) -> None: ...


@pytest.fixture
def import_text() -> Import:
    """Imports a model in text form; the text of its verified module."""

    def run(
        graph: str,
        constants: Mapping[str, Array] | None = None,
        opset: int = 17,
        **options: Any,
    ) -> str:
        model = parse_model(graph, constants, opset)
        module = import_model(model, ctx=NncContext(), **options)
        module.verify()
        return str(module)

    return run


@pytest.fixture
def run_graph() -> Run:
    """Imports a model in text form; its outputs."""

    def run(
        graph: str,
        feeds: Mapping[str, Array],
        constants: Mapping[str, Array] | None = None,
        opset: int = 17,
    ) -> list[Array]:
        model = parse_model(graph, constants, opset)
        ctx = NncContext()
        module = import_model(model, ctx=ctx)
        module.verify()
        return run_module(module, ctx.weights, dict(feeds))

    return run


@pytest.fixture
def agrees(run_graph: Run) -> Agrees:
    """Imports, runs, and compares a model with ONNX Runtime."""

    def run(
        graph: str,
        feeds: Mapping[str, Array],
        constants: Mapping[str, Array] | None = None,
        opset: int = 17,
        rtol: float | None = None,
        atol: float | None = None,
    ) -> None:
        model = parse_model(graph, constants, opset)
        expected = run_onnx_runtime(model, feeds)
        actual = run_graph(graph, feeds, constants, opset)
        assert len(actual) == len(expected)
        for ours, theirs in zip(actual, expected, strict=True):
            compare(ours, theirs, rtol, atol)

    return run


@pytest.fixture
def matches() -> Agrees:
    """Compiles and runs a model, and compares with the onnx package's reference."""

    def run(
        graph: str,
        feeds: Mapping[str, Array],
        constants: Mapping[str, Array] | None = None,
        opset: int = 17,
        rtol: float | None = None,
        atol: float | None = None,
    ) -> None:
        model = parse_model(graph, constants, opset)
        expected = ReferenceEvaluator(model).run(None, dict(feeds))
        assert isinstance(expected, list)
        actual = nnc.compile(model).run(None, dict(feeds))
        for ours, theirs in zip(actual, expected, strict=True):
            compare(ours, np.asarray(theirs), rtol, atol)

    return run


@pytest.fixture
def compiled() -> Callable[..., Any]:
    """Compiles a model in text form."""

    def run(
        graph: str, constants: Mapping[str, Array] | None = None, opset: int = 17
    ) -> Any:
        return nnc.compile(parse_model(graph, constants, opset))

    return run


@pytest.fixture
def rng() -> np.random.Generator:
    """Reproducible random numbers."""
    return np.random.default_rng(0)
