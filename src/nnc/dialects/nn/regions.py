"""Pooling of regions of images whose place and size are data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

from xdsl.dialects.builtin import StringAttr, TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import Elements, NnOp
from nnc.dialects.nn.types import (
    F32,
    I64,
    NnTensorType,
    ShapeAttr,
    dims_of,
    element_type_of,
    tensor_type,
)
from nnc.symbolic import DimLike

RegionKind = Literal["average", "max"]


@irdl_op_definition
class RoiAlignOp(NnOp):
    """
    Bilinear samples of regions, as many in each of their bins as it has pixels.

    Images are `[N, H, W, C]`; a region is a row `y, x, height, width` of `[R, 4]`:
    where it begins, and the size of one of its `bins`, in pixels. A bin has
    `ceil(height) * ceil(width)` samples, evenly spaced; those more than a pixel outside
    of the image are 0. The result `[R, *bins, C]` is their average, or the maximum of
    the weighted neighbours of all of them; 0 without samples. `images` `[R]` tells the
    image of each region; one that there is not ends the run with `IndexOutOfRange`.

    Example: `nn.roi_align %x, %r, %i {kind = "average", bins = #nn.shape<7, 7>}`.
    """

    name = "nn.roi_align"
    ELEMENTS: ClassVar = Elements.FLOAT

    operand = operand_def(TensorType)
    boxes = operand_def(TensorType)
    images = operand_def(TensorType)
    kind = prop_def(StringAttr)
    bins = prop_def(ShapeAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        boxes: SSAValue | Operation,
        images: SSAValue | Operation,
        kind: RegionKind,
        bins: Sequence[DimLike],
    ) -> None:
        super().__init__(
            [operand, boxes, images], {"kind": kind, "bins": ShapeAttr.of(bins)}
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims, boxes = dims_of(self.operand), dims_of(self.boxes)
        if self.kind.data not in get_args(RegionKind):
            raise VerifyException(f"{self.name}: unknown kind '{self.kind.data}'")
        if len(dims) != 4 or len(self.bins.dims) != 2 or len(boxes) != 2:
            raise VerifyException(
                f"{self.name}: images and rows of regions, got {self.operand.type} and "
                f"{self.boxes.type}"
            )
        expected = (
            ("boxes", self.boxes, tensor_type(F32, (boxes[0], 4))),
            ("images", self.images, tensor_type(I64, boxes[:1])),
        )
        for what, value, type_ in expected:
            if value.type != type_:
                raise VerifyException(
                    f"{self.name}: {what} should be {type_}, not {value.type}"
                )
        shape = (boxes[0], *self.bins.dims, dims[3])
        return [tensor_type(element_type_of(self.operand), shape)]


@irdl_op_definition
class RoiMaxPoolOp(NnOp):
    """
    The largest element of each bin of a region, 0 in a bin without pixels.

    Images are `[N, H, W, C]`; `rows` and `columns` are `[R, bins, 2]` and tell the
    first pixel of each bin and the one behind the last, which are moved into the image.
    NaN propagates. `images` is as for `nn.roi_align`.

    Example: `nn.roi_max_pool %x, %rows, %columns, %i`.
    """

    name = "nn.roi_max_pool"
    ELEMENTS: ClassVar = Elements.FLOAT

    operand = operand_def(TensorType)
    rows = operand_def(TensorType)
    columns = operand_def(TensorType)
    images = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        rows: SSAValue | Operation,
        columns: SSAValue | Operation,
        images: SSAValue | Operation,
    ) -> None:
        super().__init__([operand, rows, columns, images])

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims, rows, columns = map(dims_of, (self.operand, self.rows, self.columns))
        if len(dims) != 4 or len(rows) != 3 or len(columns) != 3:
            raise VerifyException(
                f"{self.name}: images and ranges of bins, got {self.operand.type}, "
                f"{self.rows.type} and {self.columns.type}"
            )
        expected = (
            ("rows", self.rows, tensor_type(I64, (*rows[:2], 2))),
            ("columns", self.columns, tensor_type(I64, (rows[0], columns[1], 2))),
            ("images", self.images, tensor_type(I64, rows[:1])),
        )
        for what, value, type_ in expected:
            if value.type != type_:
                raise VerifyException(
                    f"{self.name}: {what} should be {type_}, not {value.type}"
                )
        shape = (rows[0], rows[1], columns[1], dims[3])
        return [tensor_type(element_type_of(self.operand), shape)]
