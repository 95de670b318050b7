"""Recurrent layers, compiled: they compute what ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import nnc
from nnc.errors import ModelError, UnsupportedOp
from nnc.testing import compare

Array = NDArray[Any]

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FREE = ["T", "N", 5]


def layer(
    op: str,
    hidden: int = 7,
    *,
    peepholes: bool = False,
    bias: bool = True,
    lengths: bool = False,
    state: bool = True,
    opset: int = 14,
    **attributes: Any,
) -> Any:
    """A model of one layer, whose weights are initializers."""
    random = np.random.default_rng(3)
    count = 2 if attributes.get("direction") == "bidirectional" else 1
    rows = GATES[op] * hidden

    def weight(name: str, *shape: int) -> Any:
        array = random.uniform(-0.5, 0.5, shape).astype(np.float32)
        return numpy_helper.from_array(array, name)

    weights = [weight("W", count, rows, 5), weight("R", count, rows, hidden)]
    names = ["X", "W", "R", "", "", "", "", ""]
    if bias:
        weights.append(weight("B", count, 2 * rows))
        names[3] = "B"
    first = attributes.get("layout", 0)
    inputs = [("X", TensorProto.FLOAT, ["N", "T", 5] if first else FREE)]
    if lengths:
        names[4] = "lengths"
        inputs.append(("lengths", TensorProto.INT32, ["N"]))
    dims = ["N", count, hidden] if first else [count, "N", hidden]
    if state:
        names[5] = "h"
        inputs.append(("h", TensorProto.FLOAT, dims))
        if op == "LSTM":
            names[6] = "c"
            inputs.append(("c", TensorProto.FLOAT, dims))
    if peepholes:
        weights.append(weight("P", count, 3 * hidden))
        names[7] = "P"
    while not names[-1]:
        names.pop()
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op == "LSTM" else 2]
    node = helper.make_node(op, names, outputs, hidden_size=hidden, **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        weights,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    )


def feeds_of(model: Any, steps: int, batch: int) -> Mapping[str, Array]:
    """Random inputs of these sizes."""
    random = np.random.default_rng(steps)
    feeds: dict[str, Array] = {}
    for info in model.graph.input:
        sizes = {"T": steps, "N": batch}
        dims = info.type.tensor_type.shape.dim
        shape = [sizes.get(d.dim_param, int(d.dim_value)) for d in dims]
        if info.name == "lengths":
            feeds[info.name] = np.array([steps, 1, 2][:batch], np.int32)
        else:
            feeds[info.name] = random.standard_normal(shape).astype(np.float32)
    return feeds


def check(model: Any, sizes: list[tuple[int, int]]) -> None:
    """Compare with ONNX Runtime for some numbers of steps and batches."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    exe = nnc.compile(model)
    for steps, batch in sizes:
        feeds = feeds_of(model, steps, batch)
        expected = session.run(None, dict(feeds))
        for ours, theirs in zip(exe.run(None, feeds), expected, strict=True):
            compare(ours, np.asarray(theirs), rtol=1e-4, atol=1e-5)


SIZES = [(4, 3), (1, 1), (5, 2)]


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [False, True])
def test_directions_and_lengths(op: str, direction: str, lengths: bool) -> None:
    sizes = [(4, 3), (5, 2)] if lengths else SIZES
    check(layer(op, direction=direction, lengths=lengths), sizes)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_no_bias_and_no_state(op: str) -> None:
    check(layer(op, bias=False, state=False), SIZES)
    check(layer(op, opset=7, bias=False), SIZES)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_peepholes(direction: str) -> None:
    check(layer("LSTM", peepholes=True, direction=direction), SIZES)


def test_coupled_gates() -> None:
    check(layer("LSTM", input_forget=1), SIZES)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_linear_before_reset(direction: str) -> None:
    check(layer("GRU", linear_before_reset=1, direction=direction), SIZES)
    check(layer("GRU", linear_before_reset=1, bias=False), SIZES)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_clip(op: str) -> None:
    check(layer(op, clip=0.3), SIZES)


@pytest.mark.parametrize(
    "name",
    [
        "Relu",
        "Tanh",
        "Sigmoid",
        "Affine",
        "LeakyRelu",
        "ThresholdedRelu",
        "ScaledTanh",
        "HardSigmoid",
        "Elu",
        "Softsign",
        "Softplus",
    ],
)
def test_activations(name: str) -> None:
    check(
        layer(
            "RNN",
            activations=[name],
            activation_alpha=[0.3],
            activation_beta=[0.6],
        ),
        [(3, 2)],
    )


def test_numbers_go_to_the_functions_that_have_some() -> None:
    model = layer(
        "LSTM",
        activations=["HardSigmoid", "Tanh", "LeakyRelu"],
        activation_alpha=[0.3, 0.1],
        activation_beta=[0.4],
    )
    exe = nnc.compile(model)
    assert len(exe.run(None, feeds_of(model, 3, 2))) == 3


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_batch_first(op: str) -> None:
    """ONNX Runtime lacks this layout: compare with the other one, turned round."""
    model, other = layer(op, layout=1), layer(op)
    feeds = feeds_of(model, 4, 3)
    turned = {name: np.swapaxes(array, 0, 1).copy() for name, array in feeds.items()}
    ours = nnc.compile(model).run(None, feeds)
    theirs = nnc.compile(other).run(None, turned)
    compare(ours[0], np.transpose(theirs[0], (2, 0, 1, 3)))
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        compare(a, np.swapaxes(b, 0, 1))


def test_few_launches() -> None:
    exe = nnc.compile(layer("LSTM", state=False))
    # Projection, two states to zero; product, gates; two last states.
    assert exe.info.launches <= 7


def test_refusals() -> None:
    with pytest.raises(UnsupportedOp, match="the activation 'Swish'"):
        nnc.compile(layer("RNN", activations=["Swish"]))
    with pytest.raises(ModelError, match="unknown direction 'up'"):
        nnc.compile(layer("RNN", direction="up"))
    model = layer("GRU")
    model.graph.node[0].attribute[0].i = 9
    with pytest.raises(ModelError, match="hidden_size is 9, the weights are for 7"):
        nnc.compile(model)
