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
    The boxes with the best scores that do not overlap, for each class of an image.

    Boxes `[B, N, 4]` are low and high corners `y0, x0, y1, x1`; scores are `[B, C, N]`.
    Boxes of a class are looked at by descending score (of equal ones, the one further
    in front comes first; NaN comes last) if that is above `score_threshold`, or all of
    them if that is NaN. One is picked if its intersection with none of the picked ones
    is more than `threshold` of their union, until there are `limit` or `room` of them.
    Boxes without an area overlap none.

    Of `picked` `[B, C, room]` the first `count` `[B, C]` are the numbers of the picked
    boxes, in order; then come zeros. `corners` `[B, C, 4, *]` and `order` `[B, C, N]`
    are memory that kernels work in: nothing else may read them.

    Example: `nn.non_max_suppression %boxes, %scores, %threshold, %score, %limit
    {room = #nn.shape<10>}`.
    """

    name = "nn.non_max_suppression"
    ELEMENTS: ClassVar = Elements.FLOAT

    boxes = operand_def(TensorType)
    scores = operand_def(TensorType)
    threshold = operand_def(TensorType)
    score_threshold = operand_def(TensorType)
    limit = operand_def(TensorType)
    room = prop_def(ShapeAttr)
    picked = result_def(TensorType)
    count = result_def(TensorType)
    corners = result_def(TensorType)
    order = result_def(TensorType)

    def __init__(
        self,
        boxes: SSAValue,
        scores: SSAValue,
        threshold: SSAValue | Operation,
        score_threshold: SSAValue | Operation,
        limit: SSAValue | Operation,
        room: DimLike,
    ) -> None:
        super().__init__(
            [boxes, scores, threshold, score_threshold, limit],
            {"room": ShapeAttr.of([room])},
            result_types=_result_types(dims_of(scores), Dim.of(room)),
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        boxes, scores = dims_of(self.boxes), dims_of(self.scores)
        if len(boxes) != 3 or boxes[2] != 4 or len(scores) != 3:
            raise VerifyException(
                f"{self.name}: boxes of 4 corners and their scores, got "
                f"{self.boxes.type} and {self.scores.type}"
            )
        shape = (boxes[0], scores[1], boxes[1])
        expected = (
            ("boxes", self.boxes, tensor_type(F32, boxes)),
            ("scores", self.scores, tensor_type(F32, shape)),
            ("threshold", self.threshold, tensor_type(F32, ())),
            ("score_threshold", self.score_threshold, tensor_type(F32, ())),
            ("limit", self.limit, tensor_type(I64, ())),
        )
        for what, value, type_ in expected:
            if value.type != type_:
                raise VerifyException(
                    f"{self.name}: {what} should be {type_}, not {value.type}"
                )
        if len(self.room.dims) != 1:
            raise VerifyException(f"{self.name}: one number is the room")
        return _result_types(shape, self.room.dims[0])


def _result_types(scores: Sequence[Dim], room: Dim) -> list[NnTensorType]:
    padded = ceildiv(room, LANES) * LANES
    rows = scores[:2]
    return [
        tensor_type(I64, (*rows, room)),
        tensor_type(I64, rows),
        tensor_type(F32, (*rows, 4, padded)),
        tensor_type(I64, scores),
    ]
