"""Horizontal reductions."""

from __future__ import annotations

from typing import ClassVar

from xdsl.ir import SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.simd.attributes import ReduceKind, ReduceKindAttr
from nnc.dialects.simd.base import WIDTH, Value, WidthOp, width_attr
from nnc.dialects.simd.types import (
    DATA_CONSTR,
    ELEMENT_CONSTR,
    element_type_of,
    is_float,
    width_of,
)

_BITWISE = frozenset({ReduceKind.AND, ReduceKind.OR, ReduceKind.XOR})


@irdl_op_definition
class ReduceOp(WidthOp):
    """
    Combine all lanes into one scalar.

    The order is a fixed tree: the upper half is combined with the lower half until one
    lane is left, so results are equal on every target for equal width.
    Float min and max propagate NaN and, unlike `simd.min` and `simd.max`, may give
    either zero.

    `%s = simd.reduce add, %v {width = 8} : vector<8xf32> -> f32`
    """

    name = "simd.reduce"

    SCALAR_RESULTS: ClassVar[bool] = True

    kind = prop_def(ReduceKindAttr)
    value = operand_def(DATA_CONSTR)
    result = result_def(ELEMENT_CONSTR)

    traits = traits_def(Pure())

    assembly_format = (
        "$kind `,` $value " + WIDTH + " attr-dict `:` type($value) `->` type($result)"
    )

    def __init__(self, kind: ReduceKind | str, value: Value) -> None:
        value = SSAValue.get(value)
        super().__init__(
            operands=(value,),
            result_types=(element_type_of(value.type),),
            properties={
                "kind": ReduceKindAttr(ReduceKind(kind)),
                "width": width_attr(width_of(value.type)),
            },
        )

    def verify_(self) -> None:
        super().verify_()
        if element_type_of(self.value.type) != self.result.type:
            raise VerifyException(
                f"simd.reduce: {self.value.type} reduces to "
                f"{element_type_of(self.value.type)}, not {self.result.type}"
            )
        if self.lanes & (self.lanes - 1):
            raise VerifyException(
                f"simd.reduce: width must be a power of two, got {self.lanes}"
            )
        if self.kind.data in _BITWISE and is_float(self.result.type):
            raise VerifyException(
                f"simd.reduce: {self.kind.data} needs integers, got {self.value.type}"
            )
