"""
Abstract bases that make an `nn` op a dozen lines.

An op declares operands, properties and one rule, `inferred_types`, which computes the
result types from operands and properties. Builders and verifiers both use that rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import ClassVar, cast

from xdsl.dialects.builtin import (
    BoolAttr,
    DenseArrayBase,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    TensorType,
    f64,
    i64,
)
from xdsl.ir import Attribute, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    operand_def,
    result_def,
    traits_def,
)
from xdsl.rewriter import Rewriter
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.types import (
    STORED_ONLY,
    NnTensorType,
    dims_of,
    element_type_of,
    is_bool,
    is_float,
    is_integer,
    tensor_type,
)

LOCATION = "loc_name"
"""Discardable attribute: the source node(s) an op stands for, joined by `+`."""

FORMAT = "operands attr-dict `:` functional-type(operands, results)"
NULLARY_FORMAT = "attr-dict `:` type(results)"


def location_of(op: Operation) -> str:
    """The source node name(s) of `op`, or the op's own name if there is none."""
    location = op.attributes.get(LOCATION)
    return location.data if isinstance(location, StringAttr) else op.name


def set_location(name: str, *ops: Operation) -> None:
    """Mark `ops` as made from the source node `name`."""
    for op in ops:
        op.attributes[LOCATION] = StringAttr(name)


def copy_location(source: Operation, *ops: Operation) -> None:
    """Give `ops` the location of `source`, if it has one and they have none."""
    location = source.attributes.get(LOCATION)
    if location is not None:
        for op in ops:
            op.attributes.setdefault(LOCATION, location)


PropertyValue = Attribute | bool | int | float | str | Sequence[int] | None


def to_attribute(value: PropertyValue) -> Attribute | None:
    """
    The attribute for a plain Python property value.

    Sequences of ints become `array<i64: ...>`; pass `ShapeAttr` for lists of dims.
    """
    match value:
        case None | Attribute():
            return value
        case bool():
            return BoolAttr.from_bool(value)
        case int():
            return _integer(value)
        case float():
            return FloatAttr(value, f64)
        case str():
            return _string(value)
        case _:
            return _integers(tuple(value))


# Attributes are immutable and the same few come again and again.
_string = lru_cache(maxsize=256)(StringAttr)


@lru_cache(maxsize=256)
def _integer(value: int) -> Attribute:
    return IntegerAttr(value, i64)


@lru_cache(maxsize=256)
def _integers(values: tuple[int, ...]) -> Attribute:
    return DenseArrayBase.from_list(i64, [int(v) for v in values])


_PLACEHOLDER = TensorType(i64, ())


class Elements(Enum):
    """Groups of element types that an op may be restricted to."""

    ANY = "any element type"
    BOOL = "booleans"
    INTEGER = "integers"
    LOGICAL = "booleans or integers"
    FLOAT = "floats"
    NUMBER = "integers or floats"
    COMPUTED = "booleans, integers or floats"


_ACCEPTS: dict[Elements, Callable[[Attribute], bool]] = {
    Elements.ANY: lambda type_: True,
    Elements.BOOL: is_bool,
    Elements.INTEGER: is_integer,
    Elements.LOGICAL: lambda type_: is_bool(type_) or is_integer(type_),
    Elements.FLOAT: is_float,
    Elements.NUMBER: lambda type_: is_integer(type_) or is_float(type_),
    Elements.COMPUTED: lambda type_: type_ not in STORED_ONLY,
}


class NnOp(IRDLOperation, ABC):
    """Base of all `nn` ops whose result types follow from operands and properties."""

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format: ClassVar[str | None] = FORMAT
    ELEMENTS: ClassVar[Elements] = Elements.ANY
    """What the first operand may hold."""

    traits = traits_def(Pure())

    def __init__(
        self,
        operands: Sequence[SSAValue | Operation | Sequence[SSAValue] | None],
        properties: Mapping[str, PropertyValue] | None = None,
        regions: Sequence[Region] = (),
        result_types: Sequence[Attribute] | None = None,
    ) -> None:
        attributes = {k: to_attribute(v) for k, v in (properties or {}).items()}
        if result_types is not None:
            super().__init__(
                operands=operands,
                properties=attributes,
                regions=regions,
                result_types=result_types,
            )
            return
        super().__init__(
            operands=operands,
            properties=attributes,
            regions=regions,
            result_types=[_PLACEHOLDER],
        )
        for result, type_ in zip(self.results, self.inferred_types(), strict=True):
            Rewriter.replace_value_with_new_type(result, type_)

    @abstractmethod
    def inferred_types(self) -> Sequence[NnTensorType]:
        """
        The result types that operands and properties imply.

        Raises:
            VerifyException: operands and properties do not fit each other.
        """

    def verify_(self) -> None:
        if self.ELEMENTS is not Elements.ANY and self.operands:
            require_elements(self, self.ELEMENTS, self.operands[0])
        for result, expected in zip(self.results, self.inferred_types(), strict=True):
            if result.type is not expected and result.type != expected:
                raise VerifyException(
                    f"{self.name}: result type {result.type} should be {expected}"
                )


class UnaryOp(NnOp, ABC):
    """One operand, a result of the same type."""

    operand = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, operand: SSAValue | Operation) -> None:
        super().__init__([operand])

    def inferred_types(self) -> Sequence[NnTensorType]:
        return [tensor_type(element_type_of(self.operand), dims_of(self.operand))]


class BinaryOp(NnOp, ABC):
    """Two operands of equal type, a result of that type."""

    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, lhs: SSAValue | Operation, rhs: SSAValue | Operation) -> None:
        super().__init__([lhs, rhs])

    def inferred_types(self) -> Sequence[NnTensorType]:
        require_same_dims(self, self.lhs, self.rhs)
        require_same_element_type(self, self.lhs, self.rhs)
        return [tensor_type(element_type_of(self.lhs), dims_of(self.lhs))]


def require_elements(
    op: Operation, elements: Elements, value: SSAValue, role: str = "operand"
) -> None:
    """
    Check that `value` holds one of the element types of `elements`.

    Raises:
        VerifyException: it does not.
    """
    if not _ACCEPTS[elements](element_type_of(value)):
        raise VerifyException(
            f"{op.name}: the {role} must hold {elements.value}, got {value.type}"
        )


def require_same_dims(op: Operation, *values: SSAValue) -> None:
    """
    Check that all `values` have equal dims (elementwise ops never broadcast).

    Raises:
        VerifyException: they differ.
    """
    first = dims_of(values[0])
    for value in values[1:]:
        if dims_of(value) != first:
            raise VerifyException(
                f"{op.name}: operands must have equal shapes, got "
                f"{values[0].type} and {value.type}"
            )


def require_same_element_type(op: Operation, *values: SSAValue) -> None:
    """
    Check that all `values` have one element type.

    Raises:
        VerifyException: they differ.
    """
    first = element_type_of(values[0])
    for value in values[1:]:
        if element_type_of(value) != first:
            raise VerifyException(
                f"{op.name}: operands must have one element type, got "
                f"{values[0].type} and {value.type}"
            )


def ints(attribute: DenseArrayBase) -> tuple[int, ...]:
    """The values of an `array<i64: ...>` property."""
    integers = cast("DenseArrayBase[IntegerType]", attribute)
    return tuple(integers.get_values())


def normalized_axis(op: Operation, axis: int, rank: int) -> int:
    """
    `axis` counted from the front.

    Raises:
        VerifyException: `axis` is outside of [-rank, rank).
    """
    if not -rank <= axis < rank:
        raise VerifyException(f"{op.name}: axis {axis} is outside of rank {rank}")
    return axis % rank
