"""Non-maximum suppression: which of many boxes stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import Elements, NnOp
from nnc.dialects.nn.types import (
    BOOL,
    F32,
    I64,
    NnTensorType,
    ShapeAttr,
    dims_of,
    tensor_type,
)
from nnc.symbolic import Dim, DimLike, ceildiv

LANES = 16
"""Corners have room for a multiple of as many boxes: kernels read whole vectors."""


@irdl_op_definition
class NonMaxSuppressionOp(NnOp):
    """
    The best boxes that do not overlap, for each row of `order`.

    Boxes `[B, N, 4]` are low and high corners `y0, x0, y1, x1`; each of the B images
    has equally many of the R rows of `order`, which holds box numbers, the best first.
    A box of a row is picked if it is a candidate (`[R, N]`, by its place in the order),
    less than `limit` boxes and than `room` are picked, and its intersection with none
    of them is more than `threshold` of their union. Boxes without an area overlap none.

    `picked` `[R, room]` are the numbers of the picked boxes, in order, then zeros;
    `count` `[R]` tells how many; `corners` `[R, 4, *]` are the boxes themselves.

    Example: `nn.non_max_suppression %boxes, %order, %candidates, %threshold, %limit
    {room = #nn.shape<10>}`.
    """

    name = "nn.non_max_suppression"
    ELEMENTS: ClassVar = Elements.FLOAT

    boxes = operand_def(TensorType)
    order = operand_def(TensorType)
    candidates = operand_def(TensorType)
    threshold = operand_def(TensorType)
    limit = operand_def(TensorType)
    room = prop_def(ShapeAttr)
    picked = result_def(TensorType)
    count = result_def(TensorType)
    corners = result_def(TensorType)

    def __init__(
        self,
        boxes: SSAValue,
        order: SSAValue,
        candidates: SSAValue,
        threshold: SSAValue | Operation,
        limit: SSAValue | Operation,
        room: DimLike,
    ) -> None:
        rows = dims_of(order)[0]
        super().__init__(
            [boxes, order, candidates, threshold, limit],
            {"room": ShapeAttr.of([room])},
            result_types=_result_types(rows, Dim.of(room)),
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        boxes, order = dims_of(self.boxes), dims_of(self.order)
        if len(boxes) != 3 or boxes[2] != 4 or len(order) != 2:
            raise VerifyException(
                f"{self.name}: boxes of 4 corners and rows of numbers, got "
                f"{self.boxes.type} and {self.order.type}"
            )
        expected = (
            ("boxes", self.boxes, tensor_type(F32, boxes)),
            ("order", self.order, tensor_type(I64, (order[0], boxes[1]))),
            ("candidates", self.candidates, tensor_type(BOOL, order)),
            ("threshold", self.threshold, tensor_type(F32, ())),
            ("limit", self.limit, tensor_type(I64, ())),
        )
        for what, value, type_ in expected:
            if value.type != type_:
                raise VerifyException(
                    f"{self.name}: {what} should be {type_}, not {value.type}"
                )
        images, rows = boxes[0].as_int(), order[0].as_int()
        rest = rows if not images or rows is None else rows % images
        if images is not None and rest:
            raise VerifyException(f"{self.name}: {rows} rows for {images} images")
        if len(self.room.dims) != 1:
            raise VerifyException(f"{self.name}: one number is the room")
        return _result_types(order[0], self.room.dims[0])


def _result_types(rows: Dim, room: Dim) -> list[NnTensorType]:
    padded = ceildiv(room, LANES) * LANES
    return [
        tensor_type(I64, (rows, room)),
        tensor_type(I64, (rows,)),
        tensor_type(F32, (rows, 4, padded)),
    ]
