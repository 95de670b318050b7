"""Converters of constants, shapes and generated tensors, and of control flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, parser

from nnc.context import NncContext
from nnc.errors import LimitExceeded, ModelError
from nnc.frontends.detect import import_model
from nnc.interpreters.nn import run_module

F32 = np.float32
I64 = np.int64


# ---------------------------------------------------------------- constants


def test_constant_forms_agree(agrees: Any):
    agrees(
        """(float[1] x) => (float[] a, float[] b, int64[] c, int64[] d, double[] e) {
            a = Constant<value_float = 1.5>()
            b = Constant<value_floats = [1.0, 2.5]>()
            c = Constant<value_int = 7>()
            d = Constant<value_ints = [1, 2, 3]>()
            e = Constant<value = double[2] {1.0, 2.0}>()
        }""",
        {"x": np.zeros(1, F32)},
    )


# ---------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    "attributes", ["", "<start=1>", "<end=-1>", "<start=-2, end=3>", "<start=5>"]
)
def test_shape_agrees(attributes: str, agrees: Any):
    agrees(
        f"(float[N,3,S,4] x) => (int64[] y) {{ y = Shape{attributes}(x) }}",
        {"x": np.zeros((2, 3, 5, 4), F32)},
    )


def test_size_agrees(agrees: Any):
    agrees(
        "(float[N,3] x) => (int64[] y) { y = Size(x) }", {"x": np.zeros((2, 3), F32)}
    )


def test_shape_arithmetic_as_data_is_folded(import_text: Any, agrees: Any):
    graph = """(float[N,S] x) => (float[] y) {
        shape = Shape(x)
        axis = Constant<value = int64 {1}>()
        s = Gather(shape, axis)
        one = Constant<value = int64 {1}>()
        s1 = Sub(s, one)
        f = Cast<to=1>(s1)
        y = Div(x, f)
    }"""
    text = import_text(graph)
    assert "nn.dims <S - 1>" in text
    assert "nn.sub" not in text
    assert "nn.gather" not in text
    agrees(graph, {"x": np.ones((2, 5), F32)})


@pytest.mark.parametrize("value", ["", "<value = int64[1] {7}>"])
def test_constant_of_shape_agrees(value: str, agrees: Any):
    type_ = "int64" if value else "float"
    agrees(
        f"(float[N,3] x) => ({type_}[] y) "
        f"{{ s = Shape(x) y = ConstantOfShape{value}(s) }}",
        {"x": np.zeros((2, 3), F32)},
    )


def test_constant_of_negative_shape_is_refused(import_text: Any):
    with pytest.raises(ModelError, match=r"ConstantOfShape \(node .*negative"):
        import_text(
            "(float[1] x) => (float[] y) { y = ConstantOfShape(s) }",
            {"s": np.array([-2])},
        )


@pytest.mark.parametrize("size", [2**31, 2**40, 2**62])
def test_constant_of_enormous_shape_is_refused(size: int, import_text: Any):
    with pytest.raises(LimitExceeded, match=r"ConstantOfShape \(node "):
        import_text(
            "(float[1] x) => (float[] y) { y = ConstantOfShape(s) }",
            {"s": np.array([size, size])},
        )


@pytest.mark.parametrize(
    "bounds", [(0, 5, 1), (2, 11, 3), (5, 0, -2), (3, 3, 1), (4, 1, 1)], ids=str
)
@pytest.mark.parametrize("dtype", [I64, F32])
def test_range_agrees(bounds: tuple[int, int, int], dtype: Any, agrees: Any):
    name = "int64" if dtype is I64 else "float"
    agrees(
        f"(float[1] x) => ({name}[] y) {{ y = Range(a, b, c) }}",
        {"x": np.zeros(1, F32)},
        {n: np.array(v, dtype) for n, v in zip("abc", bounds, strict=True)},
    )


def test_range_to_a_free_dim_agrees(agrees: Any, import_text: Any):
    graph = """(float[N,S] x) => (int64[] y) {
        shape = Shape(x)
        one = Constant<value = int64 {1}>()
        zero = Constant<value = int64 {0}>()
        s = Gather(shape, one)
        y = Range(zero, s, one)
    }"""
    assert "nn.iota" in import_text(graph)
    agrees(graph, {"x": np.zeros((2, 5), F32)})


def test_range_without_a_step_is_refused(import_text: Any):
    with pytest.raises(ModelError, match="delta is 0"):
        import_text(
            "(float[1] x) => (int64[] y) { y = Range(a, b, a) }",
            {"a": np.array(0), "b": np.array(5)},
        )


# ---------------------------------------------------------------- if


@pytest.mark.parametrize("condition", [True, False])
def test_if_with_a_known_condition_takes_its_branch(condition: bool, agrees: Any):
    agrees(
        """(float[2] x) => (float[] y) {
            y = If (c) <
                then_branch = g1 () => (float[2] t) { t = Neg(x) },
                else_branch = g2 () => (float[2] e) { a = Abs(x) e = Exp(a) }
            >
        }""",
        {"x": np.array([1.0, -2.0], F32)},
        {"c": np.array(condition)},
    )


def test_if_on_a_proven_shape_takes_its_branch(import_text: Any):
    # torch's exporter asks like this before it squeezes.
    text = import_text(
        """(float[N,1] x) => (float[] y) {
            shape = Shape(x)
            one = Constant<value = int64 {1}>()
            size = Gather(shape, one)
            c = Equal(size, one)
            y = If (c) <
                then_branch = g1 () => (float[N] t) {
                    axes = Constant<value = int64[1] {1}>()
                    t = Squeeze(x, axes)
                },
                else_branch = g2 () => (float[N,1] e) { e = Identity(x) }
            >
        }"""
    )
    assert "#nn.shape<N>> {nn.name" in text


# ---------------------------------------------------------------- functions


FUNCTIONS = """
    <ir_version: 8, opset_import: ["": 17, "local": 1]>
    g (float[N,4] x) => (float[N,4] y) {
        y = local.twice <slope = 0.5> (x)
    }
    <domain: "local", opset_import: ["": 17, "local": 1]>
    twice <slope> (a) => (c) {
        b = local.once <slope: float = @slope> (a)
        c = local.once <slope: float = @slope> (b)
    }
    <domain: "local", opset_import: ["": 17]>
    once <slope> (a) => (b) {
        t = LeakyRelu <alpha: float = @slope> (a)
        one = Constant <value = float {1.0}> ()
        b = Add(t, one)
    }
"""


def test_functions_are_inlined_with_their_attributes():
    model = parser.parse_model(FUNCTIONS)
    ctx = NncContext()
    module = import_model(model, ctx=ctx)
    module.verify()
    x = np.array([[-4.0, -1.0, 0.0, 2.0]], F32)
    expected = x
    for _ in range(2):
        expected = np.where(expected < 0, expected * F32(0.5), expected) + 1
    (y,) = run_module(module, ctx.weights, {"x": x})
    np.testing.assert_allclose(y, expected)
    # Inner nodes carry the name of the call.
    assert "local" not in str(module)
    assert 'loc_name = "twice:y/once:b/Add:b"' in str(module)


def test_function_that_calls_itself_is_refused():
    text = FUNCTIONS.replace("t = LeakyRelu", "q = local.twice (a) t = LeakyRelu")
    with pytest.raises(ModelError, match="function '(once|twice)' calls itself"):
        import_model(parser.parse_model(text), ctx=NncContext())


def test_functions_that_double_each_other_are_refused():
    def function(index: int) -> Any:
        inner = [
            helper.make_node(f"f{index + 1}" if index < 23 else "Neg", ["a"], [n])
            for n in ("b", "c")
        ]
        for node in inner:
            node.domain = "local" if index < 23 else ""
        nodes = [*inner, helper.make_node("Add", ["b", "c"], ["d"])]
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
        return helper.make_function("local", f"f{index}", ["a"], ["d"], nodes, imports)

    x, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x", "y")
    )
    call = helper.make_node("f0", ["x"], ["y"], domain="local")
    model = helper.make_model(
        helper.make_graph([call], "g", [x], [y]),
        functions=[function(i) for i in range(24)],
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("local", 1)],
    )
    with pytest.raises(LimitExceeded, match="stands for"):
        import_model(model, ctx=NncContext())
