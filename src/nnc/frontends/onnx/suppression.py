"""The converter of `NonMaxSuppression`: boxes picked for each class, then joined."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.ir import Attribute, SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import (
    F32,
    I64,
    dims_of,
    element_type_of,
    rank_of,
)
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.compaction import true_positions
from nnc.frontends.onnx.indexed_pool import size_of
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import Dim, dim_min, dim_product


@converter("NonMaxSuppression", since=10)
def _non_max_suppression(node: Node, b: Builder) -> Converted:
    boxes, scores = node.input(0), node.input(1)
    if rank_of(boxes) != 3 or rank_of(scores) != 3 or dims_of(boxes)[2] != 4:
        raise InvalidNodeError(f"boxes {boxes.type} with scores {scores.type}")
    if {element_type_of(boxes), element_type_of(scores)} != {F32}:
        raise InvalidNodeError("boxes and scores must be f32")
    images, classes, _ = dims_of(scores)
    boxes = b.with_dim(boxes, 0, images)
    count = dims_of(boxes)[1]
    scores = b.with_dim(scores, 2, count)
    limit = _scalar(node, b, 2, 0, I64)
    known = b.constant_scalar(limit)
    room = count if known is None else dim_min(count, max(0, int(known)))
    corners = _corners(b, boxes, bool(node.attr_int("center_point_box", 0)))
    threshold, least = _scalar(node, b, 3, 0, F32), _scalar(node, b, 4, math.nan, F32)
    picked, counts, *_ = b.emit_all(
        nn.NonMaxSuppressionOp(corners, scores, threshold, least, limit, room)
    )
    return _joined(b, picked, counts, [images, classes, room])


def _scalar(
    node: Node, b: Builder, index: int, default: float, type_: Attribute
) -> SSAValue:
    """An optional input of one element."""
    value = node.optional_input(index)
    if value is None:
        return b.scalar(default, type_)
    value = b.dim_cast(value, [1] * rank_of(value))
    return b.cast(b.reshape(value, ()), type_)


def _corners(b: Builder, boxes: SSAValue, are_centres: bool) -> SSAValue:
    """Boxes as low and high corners, whichever corners or centres are given."""
    if are_centres:
        # Centre x and y, width and height: which axis comes first does not matter.
        half = b.div(b.slice(boxes, [2], [4], [2], [1]), 2.0)
        centre = b.slice(boxes, [0], [2], [2], [1])
        return b.concat([b.sub(centre, half), b.add(centre, half)], 2)
    first = b.slice(boxes, [0], [2], [2], [1])
    second = b.slice(boxes, [2], [4], [2], [1])
    sides = [b.binary(op, first, second) for op in (ew.MinimumOp, ew.MaximumOp)]
    return b.concat(sides, 2)


def _joined(
    b: Builder, picked: SSAValue, counts: SSAValue, dims: Sequence[Dim]
) -> SSAValue:
    """The picked boxes of all classes as triples of image, class and box."""
    _, classes, room = dims
    total = dim_product(dims)
    place = b.iota(dims, 2, I64)
    is_picked = b.compare(place, b.reshape(counts, [*dims[:2], 1]), "lt")
    positions = true_positions(b, b.reshape(is_picked, [total]))
    # Without classes or room there is no position to be divided.
    row = b.div(positions, b.binary(ew.MaximumOp, size_of(b, [room]), 1))
    width = b.binary(ew.MaximumOp, size_of(b, [classes]), 1)
    columns = [
        b.div(row, width),
        b.binary(ew.RemOp, row, width),
        b.emit(nn.GatherOp(b.reshape(picked, [total]), positions, 0)),
    ]
    (count,) = dims_of(positions)
    return b.concat([b.reshape(c, [count, 1]) for c in columns], 1)
