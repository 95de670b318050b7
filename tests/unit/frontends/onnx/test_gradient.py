"""`Gradient` of many functions, against torch's automatic differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto, helper, parser

import nnc
from nnc.errors import UnsupportedOp

F32 = np.float32


def model(inputs: str, body: str, xs: str, y: str = "y") -> ModelProto:
    """A model that gives `y`, and its gradients with respect to some inputs."""
    names = xs.split()
    outputs = ", ".join(f"float[] d{n}" for n in names)
    shown = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 20, "ai.onnx.preview.training": 1]>'
        f"g ({inputs}) => ({outputs}) {{ {body} "
        + " ".join(f"d{n} = Identity({n})" for n in names)
        + "}"
    )
    del shown.graph.node[-len(names) :]
    shown.graph.node.append(
        helper.make_node(
            "Gradient",
            names,
            [f"d{n}" for n in names],
            "grad",
            domain="ai.onnx.preview.training",
            xs=names,
            y=y,
        )
    )
    return shown


CASES = [
    ("y = Add(a, c)", lambda a, c: a + c),
    ("t = Mul(a, c) y = Sub(t, a)", lambda a, c: a * c - a),
    ("t = Div(a, c) y = Tanh(t)", lambda a, c: torch.tanh(a / c)),
    ("t = Pow(c, a) y = Neg(t)", lambda a, c: -(c**a)),
    ("t = Exp(a) u = Log(c) y = Mul(t, u)", lambda a, c: torch.exp(a) * torch.log(c)),
    ("t = Sqrt(c) y = Max(t, a)", lambda a, c: torch.maximum(torch.sqrt(c), a)),
    (
        "t = Sin(a) u = Cos(c) y = Min(t, u)",
        lambda a, c: torch.minimum(a.sin(), c.cos()),
    ),
    ("t = Sigmoid(a) u = Erf(c) y = Mul(t, u)", lambda a, c: a.sigmoid() * c.erf()),
    ("t = Relu(a) u = Abs(c) y = Mul(t, u)", lambda a, c: a.relu() * c.abs()),
    ("t = Gelu(a) y = Mul(t, c)", lambda a, c: torch.nn.functional.gelu(a) * c),
    (
        "t = Transpose<perm=[1, 0]>(c) y = MatMul(a, t)",
        lambda a, c: a @ c.T,
    ),
    (
        "t = Softmax<axis=-1>(a) u = Mul(t, c) y = ReduceMean<keepdims=0>(u)",
        lambda a, c: (torch.softmax(a, -1) * c).mean(),
    ),
    (
        "t = Concat<axis=0>(a, c) s = ReduceSum(t) y = Mul(t, s)",
        lambda a, c: torch.cat([a, c]) * torch.cat([a, c]).sum(),
    ),
    (
        "t = ReduceMax<keepdims=1>(a) y = Mul(t, c)",
        lambda a, c: a.max() * c,
    ),
]


@pytest.mark.parametrize(("body", "function"), CASES, ids=[c[0] for c in CASES])
def test_gradients(body: str, function: Any, rng: np.random.Generator) -> None:
    exe = nnc.compile(model("float[3, 4] a, float[3, 4] c", body, "a c"))
    a = rng.standard_normal((3, 4)).astype(F32)
    c = rng.random((3, 4)).astype(F32) + F32(0.5)
    tensors = [torch.tensor(v, requires_grad=True) for v in (a, c)]
    function(*tensors).sum().backward()
    for ours, tensor in zip(exe(a, c), tensors, strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(ours, tensor.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_operands_that_are_broadcast(rng: np.random.Generator) -> None:
    exe = nnc.compile(
        model(
            "float[N, 4] a, float[4] c, float[N, 1] d",
            "t = Mul(a, c) y = Add(t, d)",
            "c d",
        )
    )
    a = rng.standard_normal((3, 4)).astype(F32)
    dc, dd = exe(a, np.ones(4, F32), np.ones((3, 1), F32))
    np.testing.assert_allclose(dc, a.sum(0), rtol=1e-5)
    np.testing.assert_allclose(dd, np.full((3, 1), 4), rtol=1e-5)


def test_gradient_of_a_gradient() -> None:
    first = model("float[3] a", "t = Mul(a, a) y = Mul(t, a)", "a")
    first.graph.node.append(
        helper.make_node(
            "Gradient",
            ["a"],
            ["e"],
            domain="ai.onnx.preview.training",
            xs=["a"],
            y="da",
        )
    )
    first.graph.output.append(helper.make_tensor_value_info("e", 1, [3]))
    a = np.array([1, -2, 0.5], F32)
    da, e = nnc.compile(first)(a)
    np.testing.assert_allclose(da, 3 * a * a, rtol=1e-5)
    np.testing.assert_allclose(e, 6 * a, rtol=1e-5)


def test_what_it_does_not_depend_on() -> None:
    exe = nnc.compile(model("float[3] a, float[2] c", "y = Exp(a)", "a c"))
    da, dc = exe(np.zeros(3, F32), np.ones(2, F32))
    np.testing.assert_array_equal(da, np.ones(3))
    np.testing.assert_array_equal(dc, np.zeros(2))


@pytest.mark.parametrize("axis", [0, 1])
def test_gathered_slices(axis: int, rng: np.random.Generator) -> None:
    body = (
        f"i = Constant<value = int64[2, 2] {{0, 2, 2, -1}}>() t = Gather<axis={axis}>"
    )
    exe = nnc.compile(model("float[3, 4] a", f"{body}(a, i) y = Mul(t, t)", "a"))
    a = rng.standard_normal((3, 4)).astype(F32)
    tensor = torch.tensor(a, requires_grad=True)
    last = a.shape[axis] - 1
    places = torch.tensor([0, 2, 2, last])
    (torch.index_select(tensor, axis, places) ** 2).sum().backward()
    assert tensor.grad is not None
    np.testing.assert_allclose(exe(a), tensor.grad.numpy(), rtol=1e-5)


@pytest.mark.parametrize("attributes", ["", "<reverse=1>", "<exclusive=1>"])
def test_running_sums(attributes: str, rng: np.random.Generator) -> None:
    body = f"i = Constant<value = int64 {{0}}>() t = CumSum{attributes}(a, i)"
    exe = nnc.compile(model("float[5] a, float[5] c", f"{body} y = Mul(t, c)", "a"))
    c = rng.standard_normal(5).astype(F32)
    da = exe(np.zeros(5, F32), c)
    matrix = np.tril(np.ones((5, 5)), -1 if "exclusive" in attributes else 0)
    if "reverse" in attributes:
        matrix = matrix.T
    np.testing.assert_allclose(da, matrix.T @ c, rtol=1e-5, atol=1e-6)


def test_ops_without_a_gradient_are_named() -> None:
    with pytest.raises(UnsupportedOp, match=r"Gradient \(node 'grad'\).*pool"):
        nnc.compile(model("float[1, 1, 4] a", "y = MaxPool<kernel_shape=[2]>(a)", "a"))
