"""Small ONNX models in text form, imported and compared with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper, parser
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


def one_node_model(
    op: str,
    inputs: Sequence[Array | None],
    *,
    domain: str = "com.microsoft",
    ml_opset: int = 3,
    constants: Sequence[int] = (),
    out: Sequence[Any] = (np.float32,),
    **attributes: Any,
) -> tuple[ModelProto, dict[str, Array]]:
    """
    A model of one node, and what its inputs are fed.

    Inputs that are None are left out, and outputs whose type is; those in `constants`
    are initializers.
    """
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    results = ["" if t is None else f"y{i}" for i, t in enumerate(out)]
    node = helper.make_node(
        op, names, results, name="the_node", domain=domain, **attributes
    )
    feeds = {
        n: x
        for i, (n, x) in enumerate(zip(names, inputs, strict=True))
        if x is not None and i not in constants
    }

    def info(name: str, dtype: Any, shape: Sequence[int] | None) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, kind, shape)

    arrays = {names[i]: x for i in constants if (x := inputs[i]) is not None}
    graph = helper.make_graph(
        [node],
        "g",
        [info(n, x.dtype, x.shape) for n, x in feeds.items()],
        [info(n, t, None) for n, t in zip(results, out, strict=True) if n],
        [numpy_helper.from_array(x, n) for n, x in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    opsets.append(helper.make_opsetid("ai.onnx.ml", ml_opset))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return model, feeds


def interpreted(model: ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """What a model gives by the reference interpreter."""
    ctx = NncContext()
    module = import_model(model, ctx=ctx)
    module.verify()
    return run_module(module, ctx.weights, dict(feeds))


def near_enough(ours: Array, theirs: Array, atol: float) -> None:
    """Quantized numbers: ties may go either way where scales are combined, in few."""
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    difference = np.abs(ours.astype(np.int64) - theirs.astype(np.int64))
    assert difference.max(initial=0) <= atol
    assert (difference > 0).mean() < 0.1


@pytest.fixture
def node_model() -> Callable[..., tuple[ModelProto, dict[str, Array]]]:
    """Makes a model of one node: `one_node_model`."""
    return one_node_model


@pytest.fixture
def run_node() -> Callable[..., list[Array]]:
    """Imports a model of one node and runs it; takes what `node_model` takes."""

    def run(op: str, inputs: Sequence[Array | None], **options: Any) -> list[Array]:
        return interpreted(*one_node_model(op, inputs, **options))

    return run


@pytest.fixture
def node_agrees() -> Callable[..., None]:
    """Compares a model of one node with ONNX Runtime; takes what `node_model` takes."""

    def run(
        op: str,
        inputs: Sequence[Array | None],
        *,
        rtol: float | None = None,
        atol: float | None = None,
        run_peer: bool = True,
        **options: Any,
    ) -> None:
        model, feeds = one_node_model(op, inputs, **options)
        actual = interpreted(model, feeds)
        expected = run_onnx_runtime(model, feeds) if run_peer else actual
        assert len(actual) == len(expected)
        for ours, theirs in zip(actual, expected, strict=True):
            if ours.dtype.kind in "iu" and atol:
                near_enough(ours, theirs, atol)
            else:
                compare(ours, theirs, rtol, atol)

    return run
