"""Shared bases of the `simd` ops: the width property and its check."""

from __future__ import annotations

from abc import ABC
from functools import cache
from typing import ClassVar

from xdsl.dialects.builtin import I64, IntegerAttr, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    AttrConstraint,
    IRDLOperation,
    VarConstraint,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.simd.types import (
    DATA_CONSTR,
    FLOAT_DATA_CONSTR,
    element_type_of,
    is_element_type,
    is_stored_only,
    is_vector,
    width_of,
)

WIDTH = "` ` `{` `width` `=` $width `}`"
"""Textual form of the width property; every format ends `... {width = W} attr-dict`."""

Value = SSAValue | Operation
"""What builders accept as an operand."""


@cache
def width_attr(width: int) -> IntegerAttr[I64]:
    """The attribute of the `width` property."""
    return IntegerAttr(width, i64)


class WidthOp(IRDLOperation, ABC):
    """An op whose data values all have `width` lanes; scalars when 1."""

    width = prop_def(IntegerAttr[I64])

    SCALAR_OPERANDS: ClassVar[frozenset[int]] = frozenset()
    """Operand indices that hold a pointer, index or scalar at every width."""
    SCALAR_RESULTS: ClassVar[bool] = False
    """Whether the results are scalars at every width."""
    MOVES: ClassVar[bool] = False
    """Whether lanes may be of types that are not computed with."""

    @property
    def lanes(self) -> int:
        """The width as a plain number."""
        return self.width.value.data

    def verify_(self) -> None:
        width = self.width.value.data
        if width < 1:
            raise VerifyException(f"{self.name}: width must be at least 1, got {width}")
        for i, operand in enumerate(self.operands):
            if i not in self.SCALAR_OPERANDS:
                self._verify_lanes(operand.type, width)
        if not self.SCALAR_RESULTS:
            for result in self.results:
                self._verify_lanes(result.type, width)

    def _verify_lanes(self, type: Attribute, width: int) -> None:
        if is_vector(type) and len(type.shape.data) != 1:
            raise VerifyException(f"{self.name}: vectors must have rank 1, got {type}")
        if width_of(type) != width or (width == 1 and is_vector(type)):
            wanted = "a scalar" if width == 1 else f"a vector of {width} lanes"
            raise VerifyException(
                f"{self.name}: width {width} needs {wanted}, got {type}"
            )
        if self.MOVES and is_stored_only(type):
            return
        if not is_element_type(element_type_of(type)):
            raise VerifyException(
                f"{self.name}: {element_type_of(type)} cannot be a lane; use a float "
                "or an integer of 1, 8, 16, 32 or 64 bits"
            )


class UnaryOp(WidthOp, ABC):
    """Lane by lane `result = f(value)` on equal types."""

    T: ClassVar[AttrConstraint] = VarConstraint("T", DATA_CONSTR)

    value = operand_def(T)
    result = result_def(T)

    traits = traits_def(Pure())

    assembly_format = "$value " + WIDTH + " attr-dict `:` type($result)"

    def __init__(self, value: Value) -> None:
        value = SSAValue.get(value)
        super().__init__(
            operands=(value,),
            result_types=(value.type,),
            properties={"width": width_attr(width_of(value.type))},
        )


class FloatUnaryOp(UnaryOp, ABC):
    """A unary op on floats only."""

    T: ClassVar[AttrConstraint] = VarConstraint("T", FLOAT_DATA_CONSTR)

    value = operand_def(T)
    result = result_def(T)


class BinaryOp(WidthOp, ABC):
    """Lane by lane `result = f(lhs, rhs)` on equal types."""

    T: ClassVar[AttrConstraint] = VarConstraint("T", DATA_CONSTR)

    lhs = operand_def(T)
    rhs = operand_def(T)
    result = result_def(T)

    traits = traits_def(Pure())

    assembly_format = "$lhs `,` $rhs " + WIDTH + " attr-dict `:` type($result)"

    def __init__(self, lhs: Value, rhs: Value) -> None:
        lhs = SSAValue.get(lhs)
        super().__init__(
            operands=(lhs, rhs),
            result_types=(lhs.type,),
            properties={"width": width_attr(width_of(lhs.type))},
        )


class FloatBinaryOp(BinaryOp, ABC):
    """A binary op on floats only."""

    T: ClassVar[AttrConstraint] = VarConstraint("T", FLOAT_DATA_CONSTR)

    lhs = operand_def(T)
    rhs = operand_def(T)
    result = result_def(T)
