"""Converters of ops whose results have as many elements as data say."""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import I64, dims_of, element_type_of, is_bool, rank_of
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.node import Node, normalized_axis
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import dim_product


def true_positions(b: Builder, mask: SSAValue) -> SSAValue:
    """The positions of the true elements of a vector, in order, and no more."""
    positions, count = b.emit_all(nn.CompactOp(mask))
    return b.truncate(positions, 0, count)


def _where_not_zero(b: Builder, x: SSAValue) -> SSAValue:
    return x if is_bool(element_type_of(x)) else b.compare(x, 0, "ne")


@converter("NonZero", since=9)
def _non_zero(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    dims = dims_of(x)
    mask = b.reshape(_where_not_zero(b, x), [dim_product(dims)])
    positions = true_positions(b, mask)
    count = dims_of(positions)[0]
    if not dims:
        # As the standard has it: a scalar has no axes, so that there are no rows.
        return b.broadcast_to(b.scalar(0, I64), [0, count])
    rows: list[SSAValue] = []
    rest = positions
    for axis in range(len(dims)):
        # Only a tensor without elements has a size of 0, and then no position.
        stride = b.dim_scalar(dim_product(dims[axis + 1 :]))
        if axis == len(dims) - 1:
            rows.append(rest)
            continue
        stride = b.binary(ew.MaximumOp, stride, 1)
        row = b.div(rest, stride)
        rest = b.sub(rest, b.mul(row, stride))
        rows.append(row)
    return b.concat([b.reshape(row, [1, count]) for row in rows], 0)


@converter("Compress", since=9)
def _compress(node: Node, b: Builder) -> Converted:
    x, condition = node.input(0), node.input(1)
    if rank_of(condition) != 1 or not is_bool(element_type_of(condition)):
        raise InvalidNodeError(f"the condition is {condition.type}, not a bool vector")
    if node.has_attr("axis"):
        axis = normalized_axis(node.attr_int("axis"), rank_of(x))
    else:
        x, axis = b.reshape(x, [dim_product(dims_of(x))]), 0
    return b.emit(nn.GatherOp(x, true_positions(b, condition), axis))
