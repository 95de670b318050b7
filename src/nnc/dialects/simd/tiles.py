"""
Square tiles of vectors: the two ends of a transposing copy.

A tile of `W` vectors of `W` lanes is read along one axis of memory and comes out along
the other one. Each end is one op, however many instructions it becomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import IndexType
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.simd.base import WIDTH, Value, WidthOp, width_attr
from nnc.dialects.simd.types import (
    DATA_CONSTR,
    PtrType,
    data_type,
    element_type_of,
    width_of,
)

_COUNTS = "(`rows` $rows^ `columns` $columns)? "


def _verify_tile(op: WidthOp, values: Sequence[SSAValue], ptr: SSAValue) -> None:
    assert isinstance(ptr.type, PtrType)
    if len(values) != op.lanes or op.lanes & (op.lanes - 1) or op.lanes < 2:
        raise VerifyException(
            f"{op.name}: a tile of width {op.lanes} cannot have {len(values)} vectors; "
            "it has as many vectors as lanes, a power of two"
        )
    for value in values:
        if element_type_of(value.type) != ptr.type.element_type:
            raise VerifyException(
                f"{op.name}: {value.type} does not fit a pointer to "
                f"{ptr.type.element_type}"
            )


@irdl_op_definition
class LoadTransposedOp(WidthOp):
    """
    Read a square tile across its rows.

    Lane `l` of result `r` is the element `index + l * stride + r`. With `rows` and
    `columns`, lanes from `rows` on and results from `columns` on are zero and touch no
    memory.

    `%v:4 = simd.load_transposed %p[%i], %s {width = 4} : !simd.ptr<f32> -> ...`
    """

    name = "simd.load_transposed"
    MOVES: ClassVar[bool] = True

    SCALAR_OPERANDS: ClassVar[frozenset[int]] = frozenset(range(5))

    ptr = operand_def(PtrType)
    index = operand_def(IndexType)
    stride = operand_def(IndexType)
    rows = opt_operand_def(IndexType)
    columns = opt_operand_def(IndexType)
    tile = var_result_def(DATA_CONSTR)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect())

    assembly_format = (
        "$ptr `[` $index `]` `,` $stride "
        + _COUNTS
        + WIDTH
        + " attr-dict `:` type($ptr) `->` type($tile)"
    )

    def __init__(
        self,
        ptr: Value,
        index: Value,
        stride: Value,
        width: int,
        rows: Value | None = None,
        columns: Value | None = None,
    ) -> None:
        type = SSAValue.get(ptr).type
        assert isinstance(type, PtrType)
        super().__init__(
            operands=(ptr, index, stride, rows, columns),
            result_types=([data_type(type.element_type, width)] * width,),
            properties={"width": width_attr(width)},
        )

    def verify_(self) -> None:
        super().verify_()
        _verify_tile(self, self.tile, self.ptr)


@irdl_op_definition
class StoreRowsOp(WidthOp):
    """
    Write the vectors of a square tile, one below the other.

    Lane `l` of vector `r` goes to the element `index + r * stride + l`. With `rows` and
    `columns`, only vectors below `rows` and lanes below `columns` are written.

    `simd.store_rows (%a, %b), %p[%i], %s {width = 2} : (vector<2xf32>, ...), ...`
    """

    name = "simd.store_rows"
    MOVES: ClassVar[bool] = True

    ptr = operand_def(PtrType)
    index = operand_def(IndexType)
    stride = operand_def(IndexType)
    rows = opt_operand_def(IndexType)
    columns = opt_operand_def(IndexType)
    tile = var_operand_def(DATA_CONSTR)

    SCALAR_OPERANDS: ClassVar[frozenset[int]] = frozenset(range(5))

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryWriteEffect())

    assembly_format = (
        "`(` $tile `)` `,` $ptr `[` $index `]` `,` $stride "
        + _COUNTS
        + WIDTH
        + " attr-dict `:` `(` type($tile) `)` `,` type($ptr)"
    )

    def __init__(
        self,
        tile: Sequence[Value],
        ptr: Value,
        index: Value,
        stride: Value,
        rows: Value | None = None,
        columns: Value | None = None,
    ) -> None:
        width = width_of(SSAValue.get(tile[0]).type)
        super().__init__(
            operands=(ptr, index, stride, rows, columns, list(tile)),
            properties={"width": width_attr(width)},
        )

    def verify_(self) -> None:
        for value in self.tile:
            self._verify_lanes(value.type, self.lanes)
        _verify_tile(self, self.tile, self.ptr)
