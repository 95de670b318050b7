"""Rotary position embeddings."""

from __future__ import annotations

from nnc.dialects.nn.types import I64, dims_of, rank_of
from nnc.frontends.common import (
    Builder,
    InvalidNodeError,
    UnsupportedError,
    dims_of_rank,
)
from nnc.frontends.onnx.attention import join_heads, rotary_embedding, split_heads
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import MICROSOFT, Converted, converter
from nnc.symbolic import Dim


@converter("RotaryEmbedding", domain=MICROSOFT)
def _rotary_embedding(node: Node, b: Builder) -> Converted:
    if node.attr_int("is_packed_batching", 0):
        raise UnsupportedError("packed batching")
    if node.attr_float("scale", 1.0) != 1.0:
        raise UnsupportedError("a scale of the result")
    x, positions = node.input(0), node.input(1)
    if rank_of(x) not in (3, 4):
        raise InvalidNodeError(f"heads of {x.type}")
    length = dims_of(x)[-2] if rank_of(x) == 4 else dims_of(x)[1]
    if rank_of(positions) == 1:
        if dims_of(positions) != (Dim.of(1),):
            raise UnsupportedError("positions of rank 1 that are not one offset")
        steps = b.reshape(b.iota([length], 0, I64), [1, length])
        positions = b.add(b.cast(positions, I64), steps)
    tables = (node.input(2), node.input(3))
    for table in tables:
        dims_of_rank(table, 2, "a table")
    positions = b.broadcast_to(positions, [dims_of(x)[0], length])
    if rank_of(x) == 4 or node.attr_int("num_heads", 0):
        return rotary_embedding(node, b, positions, tables)
    # Without a number of heads, they are as deep as the tables are wide, twice.
    width = (dims_of(x)[2] // (dims_of(tables[0])[1] * 2)).as_int()
    if width is None:
        raise UnsupportedError("an unknown number of heads")
    inputs = [split_heads(b, x, width), *node.inputs[1:]]
    return join_heads(b, rotary_embedding(node.derived(inputs), b, positions, tables))
