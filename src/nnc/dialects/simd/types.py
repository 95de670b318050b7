"""
Types of the `simd` dialect and small helpers over data types.

Scalars are the builtin number types, vectors are builtin rank-1 `vector<WxT>`, masks
are `vector<Wxi1>`. Width 1 always means the plain scalar type.
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

from typing_extensions import TypeIs
from xdsl.dialects.builtin import (
    AnyFloat,
    AnyFloatConstr,
    BFloat16Type,
    Float16Type,
    Float32Type,
    Float64Type,
    IndexType,
    IntegerType,
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
"""What one lane of a data value can be."""

_ELEMENT_CLASSES = (
    Float32Type,
    Float64Type,
    Float16Type,
    BFloat16Type,
    IntegerType,
)
_INTEGER_WIDTHS = frozenset({1, 8, 16, 32, 64})

ELEMENT_CONSTR: AttrConstraint = AnyOf((AnyFloatConstr, BaseAttr(IntegerType)))
FLOAT_DATA_CONSTR: AttrConstraint = AnyOf(
    (AnyFloatConstr, VectorType.constr(AnyFloatConstr))
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
        if not is_element_type(self.element_type):
            raise VerifyException(
                "simd.ptr: expected a float or an integer of 1, 8, 16, 32 or 64 bits, "
                f"got {self.element_type}"
            )


def is_vector(type: Attribute) -> TypeIs[VectorType[Attribute]]:
    """Whether `type` is a vector: `isinstance` that type checkers understand."""
    return isinstance(type, VectorType)


def is_integer(type: Attribute) -> TypeIs[IntegerType[int, Signedness]]:
    """Whether `type` is a scalar integer (or boolean), likewise."""
    return isinstance(type, IntegerType)


def is_element_type(type: Attribute) -> bool:
    """Whether `type` can be one lane of a data value."""
    if is_integer(type):
        return type.width.data in _INTEGER_WIDTHS
    return isinstance(type, _ELEMENT_CLASSES)


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
    """Whether the lanes of `type` are floats."""
    return not isinstance(element_type_of(type), IntegerType | IndexType)


def is_unsigned(type: Attribute) -> bool:
    """Whether the lanes of `type` are unsigned integers (or booleans)."""
    element = element_type_of(type)
    return is_integer(element) and (
        element.signedness.data is Signedness.UNSIGNED or element.width.data == 1
    )


def bits_of(type: Attribute) -> int:
    """Bits of one lane; booleans count 1, `index` 64."""
    element = element_type_of(type)
    if is_integer(element):
        return element.width.data
    if isinstance(element, IndexType):
        return 64
    assert isinstance(element, _ELEMENT_CLASSES)
    return element.bitwidth


def storage_bytes(type: Attribute) -> int:
    """Bytes that one lane takes in memory."""
    return max(1, bits_of(type) // 8)
