"""Builders of the `simd` dialect take plain values and infer widths and types."""

from __future__ import annotations

import pytest
from xdsl.dialects import test as xdsl_test
from xdsl.dialects.builtin import (
    BFloat16Type,
    IndexType,
    IntegerType,
    Signedness,
    VectorType,
    f32,
    f64,
    i1,
    i8,
    i32,
    i64,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import VerifyException

from nnc.dialects import simd
from nnc.dialects.simd.types import PtrType, bits_of, is_unsigned, storage_bytes

INDEX = IndexType()
UI8 = IntegerType(8, Signedness.UNSIGNED)


def value(type: Attribute) -> SSAValue:
    return xdsl_test.TestOp(result_types=[type]).results[0]


def vector(element: Attribute, width: int) -> SSAValue:
    return value(VectorType(element, (width,)))


@pytest.mark.parametrize("width", [1, 4, 16])
def test_width_and_type_follow_from_the_operands(width: int) -> None:
    x = value(simd.data_type(f32, width))
    mask = value(simd.mask_type(width))
    ops = [
        simd.ExpOp(x),
        simd.AddOp(x, x),
        simd.FmaOp(x, x, x),
        simd.SelectOp(mask, x, x),
    ]
    for op in ops:
        op.verify()
        assert op.lanes == width
        assert op.result.type == x.type


@pytest.mark.parametrize("width", [1, 8])
def test_questions_give_masks(width: int) -> None:
    x = value(simd.data_type(f32, width))
    for op in (simd.CmpOp("lt", x, x), simd.IsNanOp(x), simd.IsInfOp(x)):
        op.verify()
        assert op.result.type == simd.mask_type(width)


def test_load_takes_its_element_type_from_the_pointer() -> None:
    ptr, i = value(PtrType(UI8)), value(INDEX)
    assert simd.LoadOp(ptr, i).result.type == UI8
    wide = simd.LoadOp(ptr, i, width=16, mask=value(simd.mask_type(16)))
    wide.verify()
    assert wide.result.type == VectorType(UI8, (16,))


def test_cast_keeps_the_width_and_accepts_index() -> None:
    assert simd.CastOp(vector(f32, 4), i8).result.type == VectorType(i8, (4,))
    to_float = simd.CastOp(value(INDEX), f32)
    to_float.verify()
    to_index = simd.CastOp(value(i64), INDEX)
    to_index.verify()
    assert to_index.result.type == INDEX


@pytest.mark.parametrize(
    ("number", "element"),
    [(1.5, f32), (-3, i8), (200, UI8), (True, i1), (False, i1), (7, f64)],
)
def test_constant_takes_plain_numbers(number: float, element: Attribute) -> None:
    op = simd.ConstantOp(number, element, width=4)
    op.verify()
    assert op.result.type == VectorType(element, (4,))
    assert op.value.type == element
    assert bool(op.value.value.data) == bool(number)


def test_reduce_gives_one_lane() -> None:
    op = simd.ReduceOp("add", vector(f32, 8))
    op.verify()
    assert op.result.type == f32
    assert op.lanes == 8


def test_contract_accumulates_halves_in_f32() -> None:
    a, n = value(PtrType(BFloat16Type())), value(INDEX)
    op = simd.ContractOp(
        a,
        n,
        a,
        n,
        row_stride=n,
        k=n,
        outer=(n, n),
        inner=(n, n),
        b_stride=n,
        mr=3,
        nv=2,
        width=8,
    )
    op.verify()
    assert [r.type for r in op.acc] == [VectorType(f32, (8,))] * 6
    assert simd.accumulator_type(f64, 4) == VectorType(f64, (4,))


def test_vector_of_one_lane_is_no_scalar() -> None:
    with pytest.raises(VerifyException, match="width 1 needs a scalar"):
        simd.AbsOp(vector(i32, 1)).verify()


def test_type_helpers() -> None:
    assert simd.width_of(i32) == 1
    assert simd.element_type_of(VectorType(i32, (4,))) == i32
    assert is_unsigned(UI8)
    assert is_unsigned(i1)
    assert not is_unsigned(i8)
    assert (bits_of(i1), storage_bytes(i1)) == (1, 1)
    assert (bits_of(INDEX), storage_bytes(BFloat16Type())) == (64, 2)


def test_every_op_is_in_the_dialect_and_documented() -> None:
    for op in simd.SIMD.operations:
        assert op.__doc__
        assert op.name.startswith("simd.")
