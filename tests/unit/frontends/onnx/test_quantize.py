"""QuantizeLinear and its inverse through compiled code, against the standard's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import nnc
from nnc.testing import compare

Array = NDArray[Any]

FLOATS = [
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
    *("float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"),
]
INTEGERS = ["int8", "uint8", "int16", "uint16", "int4", "uint4", "int2", "uint2"]
LAYOUTS: dict[str, tuple[tuple[int, ...], dict[str, int]]] = {
    "tensor": ((), {}),
    "one": ((1,), {}),
    "axis": ((5,), {}),
    "last": ((20,), {"axis": -1}),
    "blocks": ((3, 5, 3), {"axis": 2, "block_size": 8}),
    "blocks_first": ((2, 5, 20), {"axis": 0, "block_size": 2}),
    "whole_blocks": ((3, 5, 5), {"axis": -1, "block_size": 4}),
}
"""The shape of a scale for 3x5x20 elements, and the attributes that it needs."""


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


def model_of(
    op: str, inputs: Mapping[str, Array], output: Any, **attributes: int
) -> onnx.ModelProto:
    """A model of one node."""

    def declared(name: str, dtype: Any, shape: Any) -> onnx.ValueInfoProto:
        number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, number, shape)

    node = helper.make_node(op, list(inputs), ["y"])
    for name, value in attributes.items():
        node.attribute.append(helper.make_attribute(name, value))
    given = [declared(n, a.dtype, a.shape) for n, a in inputs.items()]
    shape = next(iter(inputs.values())).shape
    graph = helper.make_graph([node], "g", given, [declared("y", output, shape)])
    opsets = [helper.make_opsetid("", 26)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=13)


def agrees(
    op: str, inputs: dict[str, Array], output: Any, expected: Array, **attributes: int
) -> None:
    model = model_of(op, inputs, output, **attributes)
    interpreted = nnc.convert(model).interpret(inputs)
    for (actual,) in (interpreted, nnc.compile(model, cache=False).run(None, inputs)):
        compare(actual, expected, 0, 0)


def reference(
    op: str, inputs: dict[str, Array], output: Any, **attributes: int
) -> Array:
    model = model_of(op, inputs, output, **attributes)
    (result,) = ReferenceEvaluator(model).run(None, inputs)
    return np.asarray(result)


def scales(shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    """Powers of two: quotients and products are exact, so that no ties differ."""
    rng = np.random.default_rng(1)
    return np.exp2(rng.integers(-3, 2, shape)).astype(dtype)


def points(name: str, shape: tuple[int, ...]) -> Array:
    """Zero points of a type."""
    info = ml_dtypes.iinfo(dtype_of(name))
    rng = np.random.default_rng(2)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype_of(name))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", INTEGERS)
def test_integers_agree(name: str, layout: str):
    shape, attributes = LAYOUTS[layout]
    dtype = dtype_of(name)
    info = ml_dtypes.iinfo(dtype)
    rng = np.random.default_rng(0)
    # Halves are ties, some numbers are out of range.
    low, high = max(info.min, -500) - 10, min(info.max, 500) + 10
    x = (rng.integers(2 * low, 2 * high, (3, 5, 20)) / 2).astype(np.float32)
    zero = np.asarray(points(name, shape))
    inputs = {"x": x, "s": np.asarray(scales(shape)), "z": zero}
    expected = reference("QuantizeLinear", inputs, dtype, **attributes)
    agrees("QuantizeLinear", inputs, dtype, expected, **attributes)
    back = {"x": expected, "s": inputs["s"], "z": zero}
    wanted = reference("DequantizeLinear", back, np.float32, **attributes)
    agrees("DequantizeLinear", back, np.float32, wanted, **attributes)


@pytest.mark.parametrize("layout", ["tensor", "axis", "blocks"])
@pytest.mark.parametrize("saturate", [1, 0])
@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_floats_agree(name: str, saturate: int, layout: str):
    shape, attributes = LAYOUTS[layout]
    dtype = dtype_of(name)
    number = helper.np_dtype_to_tensor_dtype(dtype)
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((3, 5, 20)) * 100).astype(np.float32)
    x.ravel()[:5] = 0, -0.0, np.inf, -np.inf, 1e30
    inputs = {"x": x, "s": np.asarray(scales(shape))}
    how = {**attributes, "output_dtype": number, "saturate": saturate}
    expected = reference("QuantizeLinear", inputs, dtype, **how)
    agrees("QuantizeLinear", inputs, dtype, expected, **how)
    back = {"x": expected, "s": inputs["s"]}
    wanted = reference("DequantizeLinear", back, np.float32, **attributes)
    agrees("DequantizeLinear", back, np.float32, wanted, **attributes)


@pytest.mark.parametrize("scale", [np.float16, ml_dtypes.bfloat16, "float8_e8m0fnu"])
@pytest.mark.parametrize("x", [np.float32, np.float16, ml_dtypes.bfloat16, np.int32])
def test_types_of_numbers_and_scales(x: Any, scale: Any):
    scale = dtype_of(scale) if isinstance(scale, str) else np.dtype(scale)
    numbers = np.arange(-100, 100).astype(x).reshape(2, 100)
    inputs = {"x": numbers, "s": np.array([0.5, 2]).astype(scale)}
    inputs["z"] = np.array([3, -7], np.int16)
    wide = numbers.astype(np.float64) / np.array([[0.5], [2]])
    zeros = np.array([[3], [-7]])
    expected = (np.rint(wide) + zeros).astype(np.int16)
    agrees("QuantizeLinear", inputs, np.int16, expected, axis=0)
    back = {"x": expected, "s": inputs["s"], "z": inputs["z"]}
    for output in (np.float32, np.float16, ml_dtypes.bfloat16):
        exact = (expected - zeros) * np.array([[0.5], [2]])
        number = helper.np_dtype_to_tensor_dtype(np.dtype(output))
        wanted = exact.astype(output)
        how = {"axis": 0, "output_dtype": number}
        agrees("DequantizeLinear", back, output, wanted, **how)


def test_precision_says_what_is_divided_in():
    x = np.array([1.0, 2.0005, 3.5], np.float32)
    inputs = {"x": x, "s": np.array(1.001, np.float32)}
    half = (x.astype(np.float16) / np.float16(1.001)).astype(np.float16)
    expected = np.rint(half).astype(np.uint8)
    agrees("QuantizeLinear", inputs, np.uint8, expected, precision=TensorProto.FLOAT16)


def test_the_type_is_uint8_if_nothing_says_it():
    inputs = {"x": np.array([-1, 0.5, 1.5, 300], np.float32)}
    inputs["s"] = np.array(1, np.float32)
    expected = np.array([0, 0, 2, 255], np.uint8)
    agrees("QuantizeLinear", inputs, np.uint8, expected)


@pytest.mark.parametrize("low", [-3.0, 0.0, 0.25])
def test_dynamic_quantization_agrees(low: float):
    x = np.linspace(low, max(low + 1, 0) if low else 0, 40, dtype=np.float32)
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])
    float_, byte = TensorProto.FLOAT, TensorProto.UINT8
    value = helper.make_tensor_value_info
    outputs = [value("y", byte, [40]), value("s", float_, []), value("z", byte, [])]
    graph = helper.make_graph([node], "g", [value("x", float_, [40])], outputs)
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    expected = ReferenceEvaluator(model).run(None, {"x": x})
    actual = nnc.compile(model, cache=False).run(None, {"x": x})
    for ours, theirs in zip(actual, expected, strict=True):
        compare(ours, np.asarray(theirs))


@pytest.mark.parametrize(
    ("shape", "attributes", "message"),
    [
        ((3, 5, 4), {"axis": 2, "block_size": 8}, "cannot have shape"),
        ((3, 5, 3), {"axis": 2}, "without block_size"),
        ((3, 5, 3), {"axis": 2, "block_size": -8}, "block_size -8 is negative"),
        ((5,), {"axis": 3}, "axis 3 does not exist"),
        ((4,), {"axis": 1}, "do not broadcast"),
        ((), {"precision": TensorProto.INT8}, "no float to divide"),
        ((), {"output_dtype": TensorProto.INT8}, "but the zero point has type"),
        ((), {"output_dtype": 77}, "unknown element type"),
    ],
)
def test_what_is_wrong_is_said(
    shape: tuple[int, ...], attributes: dict[str, int], message: str
):
    inputs: dict[str, Array] = {
        "x": np.ones((3, 5, 20), np.float32),
        "s": np.ones(shape, np.float32),
        "z": np.zeros(shape, np.uint8),
    }
    model = model_of("QuantizeLinear", inputs, np.uint8, **attributes)
    with pytest.raises(nnc.errors.NncError, match=message):
        nnc.convert(model)


@pytest.mark.parametrize("name", FLOATS[:4])
def test_products_of_quantized_floats(name: str):
    dtype = dtype_of(name)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-4, 5, s).astype(dtype) for s in ((4, 6), (6, 3)))
    one, zero = np.array(1, np.float32), np.zeros((), dtype)
    inputs = {"a": a, "sa": one, "za": zero, "b": b, "sb": one, "zb": zero}
    inputs |= {"sy": np.array(2, np.float32), "zy": zero}
    model = model_of("QLinearMatMul", inputs, dtype)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    exact = a.astype(np.float32) @ b.astype(np.float32) / 2
    actual = nnc.compile(model, cache=False).run(None, inputs)[0]
    compare(actual, exact.astype(dtype))
