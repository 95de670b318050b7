"""Tensor types with symbolic dims, and what ops infer from them."""

from __future__ import annotations

import pytest
from xdsl.dialects.builtin import DYNAMIC_INDEX, ArrayAttr, StringAttr, TensorType
from xdsl.ir import Block, SSAValue
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn import ConvOp, ReshapeOp
from nnc.dialects.nn.base import copy_location, location_of, set_location
from nnc.dialects.nn.elementwise import AddOp, ReluOp
from nnc.dialects.nn.shapes import broadcast_dims, slice_dim, window_output_dim
from nnc.dialects.nn.types import (
    F32,
    ShapeAttr,
    dims_of,
    rank_of,
    static_shape,
    tensor_type,
    verify_tensor_type,
)
from nnc.symbolic import Dim, DimLike, dim_min

N, H = Dim.symbol("N"), Dim.symbol("H")


def value(*dims: DimLike) -> SSAValue:
    return Block(arg_types=[tensor_type(F32, dims)]).args[0]


def test_static_types_are_builtin_types():
    assert tensor_type(F32, [2, 3]) == TensorType(F32, [2, 3])
    assert tensor_type(F32, [Dim.of(2), N - N + 3]) == TensorType(F32, [2, 3])
    assert static_shape(tensor_type(F32, [2, 3])) == (2, 3)
    assert dims_of(TensorType(F32, [2, 3])) == (2, 3)


def test_symbolic_types_carry_all_dims():
    type_ = tensor_type(F32, [N, 3, (H + 1) // 2])
    expected = "tensor<?x3x?xf32, #nn.shape<N, 3, (H + 1) floordiv 2>>"
    assert str(type_) == expected
    assert type_.get_shape() == (DYNAMIC_INDEX, 3, DYNAMIC_INDEX)
    assert dims_of(type_) == (N, 3, (H + 1) // 2)
    assert static_shape(type_) is None
    assert rank_of(type_) == 3


def test_equal_expressions_are_equal_types():
    assert tensor_type(F32, [N * 2 + 2]) == tensor_type(F32, [2 * (N + 1)])
    assert tensor_type(F32, [N]) != tensor_type(F32, [H])
    assert ShapeAttr.of([N, 3]) == ShapeAttr([N, Dim.of(3)])


def test_shape_attribute():
    shape = ShapeAttr.of([N + 1, 3])
    assert shape.dims == (N + 1, 3)
    assert shape.ints is None
    assert ShapeAttr.of([2, 3]).ints == (2, 3)


def test_a_dim_that_is_not_canonical_is_refused():
    with pytest.raises(VerifyException, match="'1 [+] N' is not canonical; write 'N"):
        ShapeAttr(ArrayAttr([StringAttr("1 + N")]))
    with pytest.raises(VerifyException, match="is not a dimension expression"):
        ShapeAttr(ArrayAttr([StringAttr("N N")]))


def test_a_dynamic_dim_needs_an_expression():
    with pytest.raises(VerifyException, match="dynamic dim without #nn.shape"):
        dims_of(TensorType(F32, [DYNAMIC_INDEX]))


def test_an_encoding_must_fit_the_shape():
    type_ = TensorType(F32, [4, DYNAMIC_INDEX], ShapeAttr([5, N]))
    with pytest.raises(VerifyException, match="is not canonical"):
        verify_tensor_type(type_)
    verify_tensor_type(tensor_type(F32, [4, N]))


def test_what_is_no_tensor_is_refused():
    with pytest.raises(VerifyException, match="expected a tensor, got f32"):
        dims_of(F32)


def test_builders_infer_result_types():
    x, w = value(N, 3, H, 8), value(4, 3, 3, 3)
    conv = ConvOp(x, w, strides=[2, 2], padding=[1, 1, 1, 1])
    assert conv.result.type == tensor_type(F32, [N, 4, (H - 1) // 2 + 1, 4])
    assert ReluOp(conv).result.type == conv.result.type
    conv.verify()


def test_builders_refuse_what_does_not_fit():
    with pytest.raises(VerifyException, match="equal shapes"):
        AddOp(value(3), value(4))
    with pytest.raises(VerifyException, match="cannot become"):
        ReshapeOp(value(3), [4]).verify()


def test_locations():
    first, second = ReluOp(value(3)), ReluOp(value(3))
    assert location_of(first) == "nn.relu"
    copy_location(first, second)
    assert location_of(second) == "nn.relu"
    set_location("layer1/relu", first)
    copy_location(first, second)
    assert location_of(second) == "layer1/relu"
    set_location("other", first)
    copy_location(first, second)
    assert location_of(second) == "layer1/relu", "a location is not overwritten"


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "padding", "ceil", "expected"),
    [
        (8, 3, 1, 1, (0, 0), False, 6),
        (8, 3, 2, 1, (1, 1), False, 4),
        (8, 3, 2, 2, (0, 0), False, 2),
        (8, 3, 2, 1, (0, 0), True, 4),
        (7, 2, 2, 1, (0, 0), True, 4),
        # The last window would start in the high padding.
        (5, 2, 3, 1, (1, 1), True, 2),
        (2, 5, 1, 1, (0, 0), False, 0),
    ],
)
def test_window_output_dim(
    size: int,
    kernel: int,
    stride: int,
    dilation: int,
    padding: tuple[int, int],
    ceil: bool,
    expected: int,
):
    fixed = window_output_dim(size, kernel, stride, dilation, *padding, ceil)
    assert fixed == expected
    symbolic = window_output_dim(N, kernel, stride, dilation, *padding, ceil)
    assert max(0, symbolic.evaluate({"N": size})) == expected


def test_broadcast_dims():
    assert broadcast_dims([N, 1, 3], [4, 1]) == (N, 4, 3)
    assert broadcast_dims([N], [1], [N]) == (N,)
    assert broadcast_dims([], []) == ()
    assert broadcast_dims([N], [H]) is None
    assert broadcast_dims([3], [4]) is None


def test_slice_dim():
    assert slice_dim(7, 2) == slice_dim(7, -2) == 4
    assert slice_dim(dim_min(N, 7), 1) == dim_min(N, 7)
