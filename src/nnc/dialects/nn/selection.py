"""Ops that write or find elements by position: scattering and the largest elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from xdsl.dialects.builtin import BoolAttr, StringAttr, TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
)
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import Elements, NnOp, require_elements
from nnc.dialects.nn.linear import LuOp
from nnc.dialects.nn.regions import RoiAlignOp, RoiMaxPoolOp
from nnc.dialects.nn.suppression import NonMaxSuppressionOp
from nnc.dialects.nn.types import (
    I64,
    NnTensorType,
    ShapeAttr,
    dims_of,
    element_type_of,
    tensor_type,
)
from nnc.symbolic import Dim, DimLike

Combination = Literal["none", "add", "mul", "min", "max"]
COMBINATIONS: tuple[Combination, ...] = ("none", "add", "mul", "min", "max")


@irdl_op_definition
class ScatterOp(NnOp):
    """
    Rows of `operand` replaced by, or combined with, those of `updates`.

    For each `k` in order, row `indices[k]` of the result, which starts as `operand`,
    becomes `updates[k]`, or its sum, product, minimum or maximum with that. Indices in
    [-size, size); others end the run with `IndexOutOfRange`.

    Example: `nn.scatter %x, %i, %u {combination = "add"}` with `%x` of 10x4, `%i` of 3
    and `%u` of 3x4 elements.
    """

    name = "nn.scatter"

    operand = operand_def(TensorType)
    indices = operand_def(TensorType)
    updates = operand_def(TensorType)
    combination = prop_def(StringAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        indices: SSAValue | Operation,
        updates: SSAValue | Operation,
        combination: Combination = "none",
    ) -> None:
        super().__init__([operand, indices, updates], {"combination": combination})

    def inferred_types(self) -> Sequence[NnTensorType]:
        require_elements(self, Elements.INTEGER, self.indices, "index tensor")
        dims, count = dims_of(self.operand), dims_of(self.indices)
        if len(dims) != 2 or len(count) != 1:
            raise VerifyException(
                f"{self.name}: a matrix and a vector of indices, got "
                f"{self.operand.type} and {self.indices.type}"
            )
        element_type = element_type_of(self.operand)
        expected = tensor_type(element_type, (*count, dims[1]))
        if self.updates.type != expected:
            raise VerifyException(
                f"{self.name}: updates should be {expected}, not {self.updates.type}"
            )
        if self.combination.data not in COMBINATIONS:
            raise VerifyException(
                f"{self.name}: unknown combination '{self.combination.data}'"
            )
        if self.combination.data != "none":
            require_elements(self, Elements.NUMBER, self.operand, "combined tensor")
        return [tensor_type(element_type, dims)]


@irdl_op_definition
class TopKOp(NnOp):
    """
    The `count` largest (or smallest) elements of each row, and where they are.

    Sorted, the best first; of equal elements the one further in front comes first. Rows
    have at least `count` elements. NaN is never better than a number.

    Example: `%values, %indices = nn.top_k %x {count = #nn.shape<5>, largest = true}`.
    """

    name = "nn.top_k"
    ELEMENTS: ClassVar = Elements.NUMBER

    operand = operand_def(TensorType)
    count = prop_def(ShapeAttr)
    largest = prop_def(BoolAttr)
    values = result_def(TensorType)
    indices = result_def(TensorType)

    def __init__(
        self, operand: SSAValue | Operation, count: DimLike, largest: bool = True
    ) -> None:
        value = SSAValue.get(operand)
        dims = (dims_of(value)[0], count) if len(dims_of(value)) == 2 else ()
        super().__init__(
            [operand],
            {"count": ShapeAttr.of([count]), "largest": largest},
            result_types=[
                tensor_type(element_type_of(value), dims),
                tensor_type(I64, dims),
            ],
        )

    @property
    def count_dim(self) -> Dim:
        """How many elements of each row."""
        return self.count.dims[0]

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims = dims_of(self.operand)
        if len(dims) != 2 or len(self.count.dims) != 1:
            raise VerifyException(
                f"{self.name}: rows of a matrix, got {self.operand.type}"
            )
        missing = (self.count_dim - dims[1]).as_int()
        if missing is not None and missing > 0:
            raise VerifyException(
                f"{self.name}: rows of {dims[1]} have no {self.count_dim} elements"
            )
        dims = (dims[0], self.count_dim)
        element_type = element_type_of(self.operand)
        return [tensor_type(element_type, dims), tensor_type(I64, dims)]


@irdl_op_definition
class ArgSortOp(NnOp):
    """
    The numbers of a matrix's rows in ascending order of the rows.

    Rows are compared element by element; NaN comes behind all numbers, and equals NaN.
    Of equal rows the one further in front comes first.

    Example: `nn.arg_sort %x : (tensor<5x3xf32>) -> tensor<5xi64>`.
    """

    name = "nn.arg_sort"
    ELEMENTS: ClassVar = Elements.NUMBER

    operand = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, operand: SSAValue | Operation) -> None:
        super().__init__([operand])

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims = dims_of(self.operand)
        if len(dims) != 2:
            raise VerifyException(
                f"{self.name}: rows of a matrix, got {self.operand.type}"
            )
        return [tensor_type(I64, dims[:1])]


@irdl_op_definition
class CompactOp(NnOp):
    """
    Where the true elements of a vector are, and how many there are.

    The first `count` elements of `indices` are their positions, in order; those behind
    them are 0.

    Example: `%indices, %count = nn.compact %mask`, with `%mask` of `?xi1`, `%indices`
    of as many i64 and `%count` of one.
    """

    name = "nn.compact"
    ELEMENTS: ClassVar = Elements.BOOL

    operand = operand_def(TensorType)
    indices = result_def(TensorType)
    count = result_def(TensorType)

    def __init__(self, operand: SSAValue | Operation) -> None:
        dims = dims_of(SSAValue.get(operand))
        super().__init__(
            [operand],
            result_types=[tensor_type(I64, dims), tensor_type(I64, [1])],
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims = dims_of(self.operand)
        if len(dims) != 1:
            raise VerifyException(f"{self.name}: a vector, got {self.operand.type}")
        return [tensor_type(I64, dims), tensor_type(I64, [1])]


SELECTION_OPS = (
    ScatterOp,
    TopKOp,
    CompactOp,
    ArgSortOp,
    NonMaxSuppressionOp,
    RoiAlignOp,
    RoiMaxPoolOp,
    LuOp,
)
"""Ops that have a kernel of their own, and nothing beside them in a dispatch."""
