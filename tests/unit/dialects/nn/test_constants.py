"""Constants to arrays and back, bit for bit, through text too."""

from __future__ import annotations

import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from xdsl.dialects.builtin import Builtin, Float80Type
from xdsl.ir import Attribute, Operation
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from nnc.context import NncContext
from nnc.dialects.nn import NN, ConstantOp, DimsOp, WeightOp
from nnc.dialects.nn.constants import (
    constant_value,
    dense_array,
    dense_attribute,
    make_constant,
)
from nnc.dialects.nn.dtypes import ELEMENT_TYPES, element_type_for, numpy_dtype
from nnc.dialects.nn.elementwise import NegOp
from nnc.dialects.nn.types import F32, bit_width, tensor_type
from nnc.symbolic import Dim
from nnc.weights import WeightStore

Array = NDArray[Any]


def read_back(op: Operation) -> Operation:
    ctx = NncContext()
    for dialect in (Builtin, NN):
        ctx.load_dialect(dialect)
    module = Parser(ctx, str(op)).parse_module()
    module.verify()
    (result,) = module.ops
    return result


@pytest.mark.parametrize("element_type", ELEMENT_TYPES, ids=str)
def test_element_types_and_dtypes_agree(element_type: Attribute):
    dtype = numpy_dtype(element_type)
    assert element_type_for(dtype) == element_type
    assert element_type_for(dtype.newbyteorder(">")) == element_type
    assert bit_width(element_type) == 8 * dtype.itemsize


def test_other_element_types_and_dtypes_are_refused():
    with pytest.raises(VerifyException, match="f80 is no element type of nn tensors"):
        numpy_dtype(Float80Type())
    with pytest.raises(VerifyException, match="no element type for object arrays"):
        element_type_for(np.object_)


@pytest.mark.parametrize("element_type", ELEMENT_TYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 0), (2, 2, 3)], ids=str)
def test_attributes_keep_arrays(element_type: Attribute, shape: tuple[int, ...]):
    count = int(np.prod(shape))
    array = np.arange(count).reshape(shape).astype(numpy_dtype(element_type))
    back = dense_array(dense_attribute(array))
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert not back.flags.writeable


@pytest.mark.parametrize("element_type", ELEMENT_TYPES, ids=str)
def test_attributes_do_not_depend_on_layout_or_byte_order(element_type: Attribute):
    array = np.arange(6).reshape(2, 3).astype(numpy_dtype(element_type))
    other = np.asfortranarray(array)
    assert dense_attribute(other) == dense_attribute(array)
    strided = np.repeat(array, 2, axis=1)[:, ::2]
    assert dense_attribute(strided) == dense_attribute(array)
    if array.dtype.name != "bfloat16":
        swapped = array.astype(array.dtype.newbyteorder(">"))
        assert dense_attribute(swapped) == dense_attribute(array)


def test_booleans_from_text_equal_those_from_arrays():
    op = make_constant(np.array([True, False]), "", WeightStore())
    assert read_back(op).is_structurally_equivalent(op)


FLOATS: dict[str, tuple[type[np.generic], str]] = {
    "f16": (np.float16, "uint16"),
    "bf16": (ml_dtypes.bfloat16, "uint16"),
    "f32": (np.float32, "uint32"),
    "f64": (np.float64, "uint64"),
}


@pytest.mark.parametrize("name", FLOATS)
@settings(deadline=None)
@given(data=st.data())
def test_text_keeps_every_bit_of_floats(name: str, data: st.DataObject):
    dtype, raw = FLOATS[name]
    bits = st.integers(0, int(np.iinfo(raw).max))
    values = data.draw(st.lists(bits, min_size=1, max_size=4))
    op = make_constant(np.array(values, raw).view(dtype), "", WeightStore())
    assert read_back(op).is_structurally_equivalent(op)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.1, 1.0], "dense<[0.1, 1.0]>"),
        ([2.0, 2.0], "dense<2.0>"),
        ([0.0, -0.0], "dense<[0.0, -0.0]>"),
        ([1e20, 1e-20], "dense<[1.0e+20, 1.0e-20]>"),
        ([16777216.0, 3.0], "dense<[16777216.0, 3.0]>"),
        ([np.inf, 1.0], 'dense<"0x0000807F0000803F">'),
        ([], "dense<>"),
    ],
)
def test_text_of_floats(values: list[float], text: str):
    op = make_constant(np.array(values, np.float32), "", WeightStore())
    assert f"{text} : tensor<{len(values)}xf32>" in str(op)


def test_small_arrays_are_inline_and_large_ones_resources():
    weights = WeightStore()
    small = make_constant(np.zeros(16, np.float32), "w", weights)
    large = make_constant(np.arange(17, dtype=np.float32), "w", weights)
    again = make_constant(np.zeros(17, np.float32), "w", weights)
    assert isinstance(small, ConstantOp)
    assert isinstance(large, WeightOp)
    assert isinstance(again, WeightOp)
    assert [large.resource.data, again.resource.data] == ["w", "w.1"]
    assert list(weights) == ["w", "w.1"]
    assert weights["w"].tolist() == list(range(17))
    for op in (small, large, again):
        op.verify()
        assert read_back(op).is_structurally_equivalent(op)


def test_weights_are_native_and_contiguous():
    weights = WeightStore()
    array = np.arange(20, dtype=">i4").reshape(4, 5).T
    make_constant(array, "w", weights)
    assert weights["w"].dtype == np.dtype(np.int32)
    assert weights["w"].flags.c_contiguous
    assert (weights["w"] == array).all()


@pytest.mark.parametrize("permutation", [(1, 0, 2), (2, 0, 1), (2, 1, 0), (0, 2, 1)])
@pytest.mark.parametrize("shape", [(70, 65, 70), (600, 600, 1), (3, 3, 40000)])
def test_large_transposed_arrays(permutation: tuple[int, ...], shape: tuple[int, ...]):
    weights = WeightStore()
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    make_constant(array.transpose(permutation), "w", weights)
    assert weights["w"].flags.c_contiguous
    assert (weights["w"] == array.transpose(permutation)).all()


def test_large_arrays_are_not_copied():
    weights = WeightStore()
    array = np.zeros((4, 8), np.float32)
    make_constant(array, "w", weights)
    assert np.shares_memory(weights["w"], array)
    assert not weights["w"].flags.writeable


def test_constant_value():
    weights = WeightStore()
    weights.add("w", np.ones(3, np.float32))
    known = WeightOp("w", tensor_type(F32, [3]))
    absent = WeightOp("absent", tensor_type(F32, [3]))
    value = constant_value(known.result, weights)
    assert value is not None
    assert value.tolist() == [1, 1, 1]
    assert constant_value(absent.result, weights) is None
    assert constant_value(NegOp(known).result, weights) is None
    dims = constant_value(DimsOp([3, 4]).result, weights)
    assert dims is not None
    assert (dims.dtype, dims.tolist()) == (np.int64, [3, 4])
    assert constant_value(DimsOp([Dim.symbol("N")]).result, weights) is None


def test_dense_bytes_are_little_endian():
    data = dense_attribute(np.array([1], np.int32)).data.data
    assert data == b"\x01\x00\x00\x00"
    assert sys.byteorder in ("little", "big")
