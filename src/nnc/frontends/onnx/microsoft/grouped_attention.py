"""`GroupQueryAttention`: fewer heads of keys than of queries, and a cache of them."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn.types import I64, dims_of, element_type_of
from nnc.frontends.common import (
    Builder,
    InvalidNodeError,
    UnsupportedError,
    dims_of_rank,
)
from nnc.frontends.onnx.attention import (
    HeadAttention,
    join_heads,
    rotate_heads,
    split_heads,
    window_mask,
)
from nnc.frontends.onnx.microsoft.attention import scale_of
from nnc.frontends.onnx.node import Node, known_dims
from nnc.frontends.onnx.registry import MICROSOFT, Converted, converter
from nnc.symbolic import Dim, dim_max


@dataclass
class _Cache:
    """Where the new keys go: behind the `start` first ones of each batch element."""

    start: SSAValue
    """`[batch]`, i64."""
    capacity: Dim
    """How many keys it holds."""

    def updated(self, b: Builder, past: SSAValue | None, new: SSAValue) -> SSAValue:
        """
        The first `start` of the past, the new ones, then zeros.

        A gather of rows, as every batch element starts somewhere else.
        """
        batch, heads, count, depth = dims_of(new)
        zero = b.broadcast_to(
            b.scalar(0, element_type_of(new)), [batch, heads, 1, depth]
        )
        parts = [new, zero] if past is None else [past, new, zero]
        rows = b.concat(parts, 2)
        length = dims_of(rows)[2]
        index = self._rows(b, batch, count, length)
        outer = b.reshape(b.iota([batch * heads], 0, I64), [batch, heads, 1])
        flat = b.add(b.mul(outer, b.reshape(b.dims([length]), [])), index)
        table = b.reshape(rows, [batch * heads * length, depth])
        return b.emit(nn.GatherOp(table, flat, 0))

    def _rows(self, b: Builder, batch: Dim, count: Dim, length: Dim) -> SSAValue:
        """`[batch, 1, capacity]`: the row of each place in the cache."""
        place = b.iota([1, 1, self.capacity], 2, I64)
        start = b.reshape(self.start, [batch, 1, 1])
        size, last = (b.reshape(b.dims([d]), []) for d in (count, length - 1))
        behind = b.sub(place, start)
        new = b.add(behind, b.sub(last, size))
        row = b.select(b.compare(behind, 0, "lt"), place, new)
        return b.select(b.compare(behind, size, "lt"), row, last)


def _refuse_rest(node: Node) -> None:
    if node.optional_input(12) is not None:
        raise UnsupportedError("a cache of integers")
    if node.optional_input(14) is not None:
        raise UnsupportedError("norms of the heads")
    for name in ("k_quant_type", "v_quant_type"):
        if node.attr_string(name, "NONE") != "NONE":
            raise UnsupportedError(f"the attribute {name}")
    if node.attr_int("sliding_window_cache", 0):
        raise UnsupportedError("the attribute sliding_window_cache")
    if node.uses_output(3):
        raise UnsupportedError("the scores as an output")


def _heads_of(node: Node, b: Builder) -> tuple[SSAValue, SSAValue, SSAValue]:
    heads, groups = node.attr_int("num_heads"), node.attr_int("kv_num_heads")
    if heads < 1 or groups < 1 or heads % groups:
        raise InvalidNodeError(f"{groups} heads of keys for {heads} of queries")
    query, key, value = node.input(0), node.optional_input(1), node.optional_input(2)
    if key is not None and value is not None:
        k, v = (split_heads(b, x, groups) for x in (key, value))
        return split_heads(b, query, heads), k, v
    if key is not None or value is not None:
        raise InvalidNodeError("keys without values, or the reverse")
    width = dims_of_rank(query, 3, "packed rows")[2]
    depth = width // (heads + 2 * groups)
    parts: list[SSAValue] = []
    start = Dim.of(0)
    for count in (heads, groups, groups):
        part = b.slice(query, [start], [start + depth * count], [2], [1])
        parts.append(split_heads(b, part, count))
        start = start + depth * count
    return parts[0], parts[1], parts[2]


@converter("GroupQueryAttention", domain=MICROSOFT)
def _group_query_attention(node: Node, b: Builder) -> Converted:
    _refuse_rest(node)
    q, k, v = _heads_of(node, b)
    past_key, past_value = node.optional_input(3), node.optional_input(4)
    if (past_key is None) != (past_value is None):
        raise InvalidNodeError("a past key without a past value, or the reverse")
    for past in (past_key, past_value):
        if past is not None:
            dims_of_rank(past, 4, "the cache")
    batch, _, length, _ = dims_of(q)
    (total,) = known_dims(b, b.reshape(node.input(6), [1]), "total_sequence_length")
    dims_of_rank(node.input(5), 1, "seqlens_k")
    counts = b.add(b.cast(b.with_dim(node.input(5), 0, batch), I64), 1)
    start = _starts(b, counts, total, length)
    if node.attr_int("do_rotary", 0):
        q, k = (_rotated(node, b, x, start) for x in (q, k))
    capacity = total if past_key is None else dim_max(total, dims_of(past_key)[2])
    if past_key is None and total == length:
        keys, values = k, v
    else:
        cache = _Cache(start, capacity)
        keys, values = cache.updated(b, past_key, k), cache.updated(b, past_value, v)
    attention = HeadAttention(q, keys, values, scale_of(node, q))
    _limit_keys(node, b, attention, start, counts)
    return [join_heads(b, attention.result(b)), keys, values][: len(node.used_outputs)]


def _starts(b: Builder, counts: SSAValue, total: Dim, length: Dim) -> SSAValue:
    """
    How many keys each batch element has from earlier calls.

    A call that brings as many tokens as there are in all is the first one: then
    elements with fewer are padded behind.
    """
    sizes = [b.reshape(b.dims([d]), []) for d in (total, length)]
    is_first = b.compare(sizes[0], sizes[1], "eq")
    return b.select(is_first, 0, b.sub(counts, sizes[1]))


def _rotated(node: Node, b: Builder, x: SSAValue, start: SSAValue) -> SSAValue:
    batch, _, length, _ = dims_of(x)
    tables = (node.input(7), node.input(8))
    positions = node.optional_input(9)
    if positions is None:
        first = b.reshape(start, [batch, 1])
        positions = b.add(first, b.iota([1, length], 1, I64))
    width = dims_of_rank(tables[0], 2, "cos_cache")[1].as_int()
    is_interleaved = bool(node.attr_int("rotary_interleaved", 0))
    width = None if width is None else 2 * width
    return rotate_heads(b, x, positions, tables, width, is_interleaved)


def _limit_keys(
    node: Node,
    b: Builder,
    attention: HeadAttention,
    start: SSAValue,
    counts: SSAValue,
) -> None:
    """Masks, and what else bends the scores."""
    dims = attention.score_dims
    attention.softcap = node.attr_float("softcap", 0.0)
    if (added := node.optional_input(10)) is not None:
        attention.masks.append(added)
    if node.attr_int("causal", 1):
        window = node.attr_int("local_window_size", -1)
        left = window - 1 if window > 0 else None
        attention.masks.append(window_mask(b, dims, start, left, 0))
    else:
        key = b.iota([1, 1, 1, dims[3]], 3, I64)
        count = b.reshape(counts, [dims[0], 1, 1, 1])
        attention.masks.append(b.compare(key, count, "lt"))
    sink = node.optional_input(11)
    if sink is not None:
        attention.sink = b.reshape(sink, [1, dims[1], 1, 1])
    elif node.attr_int("smooth_softmax", -1) > 0:
        zero = b.scalar(0, element_type_of(attention.query))
        attention.sink = b.reshape(zero, [1, 1, 1, 1])
