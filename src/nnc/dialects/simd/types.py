"""
Types of the `simd` dialect and small helpers over data types.

Scalars are the builtin number types, vectors are builtin rank-1 `vector<WxT>`, masks
are `vector<Wxi1>`. Width 1 always means the plain scalar type.
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias, cast

from typing_extensions import TypeIs
from xdsl.dialects.builtin import (
    AnyFloat,
    BFloat16Type,
    ComplexType,
    Float4E2M1FNType,
    Float6E2M3FNType,
    Float6E3M2FNType,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float8E8M0FNUType,
    Float16Type,
    Float32Type,
    Float64Type,
    IndexType,
    IntegerType,
    ReducedPrecisionFloatType,
    Signedness,
    VectorType,
    i1,
)
from xdsl.ir import Attribute, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import (
    AnyOf,
    AttrConstraint,
    BaseAttr,
    irdl_attr_definition,
    param_def,
)
from xdsl.utils.exceptions import VerifyException

ElementType: TypeAlias = AnyFloat | IntegerType
"""What one lane of a data value that is computed with can be."""

_FLOATS = (Float32Type, Float64Type, Float16Type, BFloat16Type)
_SMALL_FLOATS = (
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float8E8M0FNUType,
    Float6E2M3FNType,
    Float6E3M2FNType,
    Float4E2M1FNType,
)
_INTEGER_WIDTHS = frozenset({1, 8, 16, 32, 64})
_SMALL_INTEGER_WIDTHS = frozenset({2, 4})

_FLOAT_CONSTR: AttrConstraint = AnyOf(tuple(map(BaseAttr, _FLOATS)))
ELEMENT_CONSTR: AttrConstraint = AnyOf(
    (
        *map(BaseAttr, _FLOATS),
        *map(BaseAttr, _SMALL_FLOATS),
        BaseAttr(IntegerType),
        BaseAttr(ComplexType),
    )
)
FLOAT_DATA_CONSTR: AttrConstraint = AnyOf(
    (_FLOAT_CONSTR, VectorType.constr(_FLOAT_CONSTR))
)
INT_DATA_CONSTR: AttrConstraint = AnyOf(
    (BaseAttr(IntegerType), VectorType.constr(BaseAttr(IntegerType)))
)
DATA_CONSTR: AttrConstraint = AnyOf((ELEMENT_CONSTR, VectorType.constr(ELEMENT_CONSTR)))
CAST_CONSTR: AttrConstraint = AnyOf(
    (ELEMENT_CONSTR, BaseAttr(IndexType), VectorType.constr(ELEMENT_CONSTR))
)
MASK_CONSTR: AttrConstraint = AnyOf(
    (BaseAttr(IntegerType), VectorType.constr(BaseAttr(IntegerType)))
)


@irdl_attr_definition
class PtrType(ParametrizedAttribute, TypeAttribute):
    """
    Pointer to elements of one data type: `!simd.ptr<f32>`.

    Booleans (`!simd.ptr<i1>`) take one byte each, as in numpy.
    """

    name = "simd.ptr"

    element_type: Attribute = param_def()

    def verify(self) -> None:
        element = self.element_type
        if not (is_element_type(element) or is_stored_only(element)):
            raise VerifyException(
                "simd.ptr: expected a float, a complex number or an integer of 1, 2, "
                f"4, 8, 16, 32 or 64 bits, got {element}"
            )


def is_vector(type: Attribute) -> TypeIs[VectorType[Attribute]]:
    """Whether `type` is a vector: `isinstance` that type checkers understand."""
    return isinstance(type, VectorType)


def is_integer(type: Attribute) -> TypeIs[IntegerType[int, Signedness]]:
    """Whether `type` is a scalar integer (or boolean), likewise."""
    return isinstance(type, IntegerType)


def is_element_type(type: Attribute) -> bool:
    """Whether `type` can be one lane of a data value that is computed with."""
    if is_integer(type):
        return type.width.data in _INTEGER_WIDTHS
    return isinstance(type, _FLOATS)


def is_stored_only(type: Attribute) -> bool:
    """
    Whether lanes of `type` are moved and cast, but not computed with.

    Those are floats of 8 bits or less, integers of less than 8 bits, which both take a
    byte, and complex numbers. In registers, they are the integers of their size.
    """
    element = element_type_of(type)
    if is_integer(element):
        return element.width.data in _SMALL_INTEGER_WIDTHS
    return isinstance(element, (*_SMALL_FLOATS, ComplexType))


def is_small_float(type: Attribute) -> TypeIs[ReducedPrecisionFloatType]:
    """Whether `type` is a float of 8 bits or less."""
    return isinstance(type, _SMALL_FLOATS)


def element_type_of(type: Attribute) -> Attribute:
    """The lane type of a scalar or vector type."""
    return type.element_type if is_vector(type) else type


def width_of(type: Attribute) -> int:
    """Number of lanes: 1 for scalars."""
    return type.shape.data[0].data if is_vector(type) else 1


@cache
def data_type(element_type: Attribute, width: int) -> Attribute:
    """The data type of `width` lanes of `element_type`: a scalar when 1."""
    return element_type if width == 1 else VectorType(element_type, (width,))


@cache
def mask_type(width: int) -> Attribute:
    """The type of a mask of `width` lanes."""
    return data_type(i1, width)


def is_float(type: Attribute) -> bool:
    """Whether the lanes of `type` are floats that are computed with."""
    return isinstance(element_type_of(type), _FLOATS)


def is_unsigned(type: Attribute) -> bool:
    """Whether the lanes of `type` are unsigned integers (or booleans)."""
    element = element_type_of(type)
    return is_integer(element) and (
        element.signedness.data is Signedness.UNSIGNED or element.width.data == 1
    )


def bits_of(type: Attribute) -> int:
    """Bits of one lane: booleans count 1, what is smaller than a byte 8, `index` 64."""
    element = element_type_of(type)
    if is_integer(element):
        width = element.width.data
        return 8 if width in _SMALL_INTEGER_WIDTHS else width
    if isinstance(element, IndexType):
        return 64
    if isinstance(element, ComplexType):
        return 2 * bits_of(cast("Attribute", element.element_type))
    if is_small_float(element):
        return 8
    assert isinstance(element, _FLOATS)
    return element.bitwidth


def storage_bytes(type: Attribute) -> int:
    """Bytes that one lane takes in memory."""
    return max(1, bits_of(type) // 8)
