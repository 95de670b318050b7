"""Contractions without windows: matmul, and the packed form of its constant operand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

from xdsl.dialects.builtin import IntegerAttr, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import Elements, NnOp, require_same_element_type
from nnc.dialects.nn.shapes import broadcast_dims
from nnc.dialects.nn.types import (
    NnTensorType,
    bit_width,
    dims_of,
    element_type_of,
    static_shape,
    tensor_type,
)
from nnc.symbolic import ceildiv


@irdl_op_definition
class MatmulOp(NnOp):
    """
    Matrix products over the last two axes, `[..., M, K] x [..., K, N]`.

    Leading axes broadcast by numpy's rule; both operands have rank >= 2.
    """

    name = "nn.matmul"
    ELEMENTS: ClassVar = Elements.NUMBER

    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, lhs: SSAValue | Operation, rhs: SSAValue | Operation) -> None:
        super().__init__([lhs, rhs])

    def inferred_types(self) -> Sequence[NnTensorType]:
        require_same_element_type(self, self.lhs, self.rhs)
        lhs, rhs = dims_of(self.lhs), dims_of(self.rhs)
        if len(lhs) < 2 or len(rhs) < 2:
            raise VerifyException(f"{self.name}: operands need rank 2 or more")
        batch = broadcast_dims(lhs[:-2], rhs[:-2])
        if lhs[-1] != rhs[-2] or batch is None:
            raise VerifyException(
                f"{self.name}: {self.lhs.type} does not multiply {self.rhs.type}"
            )
        return [tensor_type(element_type_of(self.lhs), [*batch, lhs[-2], rhs[-1]])]


@irdl_op_definition
class PackOp(NnOp):
    """
    A constant contraction operand cut into panels for the register tile.

    The operand `[k..., O]` is seen as a matrix `[K, O]`, its columns as `groups` equal
    groups; each group is padded with zero columns to a multiple of `panel` and cut:
    `result[g, p, k, j] = operand[k, g * O/groups + p * panel + j]`.
    """

    name = "nn.pack"

    operand = operand_def(TensorType)
    panel = prop_def(IntegerAttr)
    groups = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def __init__(
        self, operand: SSAValue | Operation, panel: int, groups: int = 1
    ) -> None:
        super().__init__([operand], {"panel": panel, "groups": groups})

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims = packed_dims(
            self, self.operand.type, self.panel.value.data, self.groups.value.data
        )
        return [tensor_type(element_type_of(self.operand), dims)]


@irdl_op_definition
class UnpackOp(NnOp):
    """
    The inverse of `nn.pack`; the result type tells the shape before packing.

    Inside of a dispatch it marks a contraction operand that is read in packed form; no
    kernel ever unpacks.
    """

    name = "nn.unpack"

    operand = operand_def(TensorType)
    panel = prop_def(IntegerAttr)
    groups = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        type: NnTensorType,
        panel: int,
        groups: int = 1,
    ) -> None:
        super().__init__(
            [operand], {"panel": panel, "groups": groups}, result_types=[type]
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        expected = packed_dims(
            self, self.result.type, self.panel.value.data, self.groups.value.data
        )
        if static_shape(self.operand) != expected:
            raise VerifyException(
                f"{self.name}: {self.operand.type} is not the packed form of "
                f"{self.result.type}"
            )
        return [tensor_type(element_type_of(self.operand), dims_of(self.result))]


@irdl_op_definition
class LuOp(NnOp):
    """
    The LU factorization of each matrix of a batch `[B, N, N]`, with partial pivoting.

    `factors` holds U on and above the diagonal and below it L, whose diagonal is 1;
    `sign` is -1 for an odd number of row exchanges, else 1. The pivot is the largest
    element of its column, of equal ones the first. What is computed is the product of
    a matrix with its rows exchanged; a column of zeros is left as it is.

    Example: `%lu, %sign = nn.lu %x : (tensor<2x3x3xf32>) -> (...)`.
    """

    name = "nn.lu"
    ELEMENTS: ClassVar = Elements.FLOAT

    operand = operand_def(TensorType)
    factors = result_def(TensorType)
    sign = result_def(TensorType)

    def __init__(self, operand: SSAValue | Operation) -> None:
        operand = SSAValue.get(operand)
        type_, dims = element_type_of(operand), dims_of(operand)
        super().__init__(
            [operand],
            result_types=[tensor_type(type_, dims), tensor_type(type_, dims[:1])],
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        type_, dims = element_type_of(self.operand), dims_of(self.operand)
        if len(dims) != 3 or dims[1] != dims[2]:
            raise VerifyException(
                f"{self.name}: a batch of square matrices, got {self.operand.type}"
            )
        if bit_width(type_) < 32:
            raise VerifyException(f"{self.name}: f32 or f64, not {type_}")
        return [tensor_type(type_, dims), tensor_type(type_, dims[:1])]


def packed_dims(
    op: Operation, type: Attribute, panel: int, groups: int
) -> tuple[int, int, int, int]:
    """
    The shape of the packed form of a tensor of `type`.

    Raises:
        VerifyException: the type is not static, or does not split so.
    """
    shape = static_shape(cast("NnTensorType", type))
    if shape is None or len(shape) < 2 or panel < 1 or groups < 1:
        raise VerifyException(f"{op.name}: cannot pack {type}")
    columns = shape[-1]
    if columns % groups:
        raise VerifyException(f"{op.name}: {columns} columns in {groups} groups")
    rows = 1
    for size in shape[:-1]:
        rows *= size
    panels = ceildiv(columns // groups, panel).as_int()
    assert panels is not None
    return groups, panels, rows, panel
