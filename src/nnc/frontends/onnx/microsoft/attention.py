"""Attention with one cache a head: `Attention`, `MultiHeadAttention`, decoders'."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import I64, dims_of, element_type_of, rank_of
from nnc.frontends.common import (
    Builder,
    InvalidNodeError,
    UnsupportedError,
    dims_of_rank,
)
from nnc.frontends.onnx.attention import (
    HeadAttention,
    join_heads,
    split_heads,
    with_past,
)
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import MICROSOFT, Converted, converter
from nnc.symbolic import Dim


def scale_of(node: Node, query: SSAValue) -> float:
    """
    The factor of the scores: `scale`, by default 1 over the root of the depth.

    Raises:
        UnsupportedError: the depth is not known.
    """
    depth = dims_of(query)[3].as_int()
    if depth is None:
        raise UnsupportedError("heads of a depth that is not known")
    return node.attr_float("scale", 0.0) or depth**-0.5


# ---------------------------------------------------------------- masks


def key_mask(
    node: Node, b: Builder, mask: SSAValue, attention: HeadAttention
) -> SSAValue:
    """
    What a mask of keys adds to the scores: 0, or `mask_filter_value` where it hides.

    It may hold 1 for the keys that all queries `[batch, keys]`, or each query
    `[batch, queries, keys]`, see; or the count of keys `[batch]`, or the ends, then the
    starts of what is seen `[2 * batch]`.

    Raises:
        UnsupportedError: it has another shape.
    """
    batch, _, _, keys = attention.score_dims
    if rank_of(mask) == 1:
        seen = _between(b, mask, batch, keys)
    elif rank_of(mask) == 2:
        seen = b.reshape(b.compare(mask, 0, "ne"), [dims_of(mask)[0], 1, 1, keys])
    elif rank_of(mask) == 3:
        rows, queries, columns = dims_of(mask)
        seen = b.reshape(b.compare(mask, 0, "ne"), [rows, 1, queries, columns])
    else:
        raise UnsupportedError(f"a mask of rank {rank_of(mask)}")
    low = b.scalar(
        node.attr_float("mask_filter_value", -10000.0), element_type_of(attention.query)
    )
    return b.select(seen, 0.0, low)


def _between(b: Builder, mask: SSAValue, batch: Dim, keys: Dim) -> SSAValue:
    (count,) = dims_of(mask)
    bounds = b.cast(mask, I64)
    position = b.iota([1, 1, 1, keys], 3, I64)
    if count == batch:
        return b.compare(position, b.reshape(bounds, [batch, 1, 1, 1]), "lt")
    if count != batch * 2:
        raise UnsupportedError(f"a mask of {count} elements for a batch of {batch}")
    ends, starts = (
        b.reshape(b.slice(bounds, [first], [last], [0], [1]), [batch, 1, 1, 1])
        for first, last in ((Dim.of(0), batch), (batch, count))
    )
    return b.binary(
        ew.AndOp, b.compare(position, ends, "lt"), b.compare(position, starts, "ge")
    )


def _add_masks(
    node: Node,
    b: Builder,
    attention: HeadAttention,
    mask: SSAValue | None,
    added: SSAValue | None,
) -> None:
    if mask is not None:
        attention.masks.append(key_mask(node, b, mask, attention))
    if added is not None:
        attention.masks.append(added)


# ---------------------------------------------------------------- projected inside


@converter("Attention", domain=MICROSOFT)
def _attention(node: Node, b: Builder) -> Converted:
    """Attention that holds the projections of queries, keys and values."""
    projected = b.matmul(node.input(0), node.input(1))
    bias = node.optional_input(2)
    if bias is not None:
        projected = b.add(projected, bias)
    if node.optional_input(6) is not None:
        raise UnsupportedError("a cache that is shared between past and present")
    others = [node.optional_input(i) for i in (3, 4, 5)]
    return self_attention(node, b, projected, *others)


def self_attention(
    node: Node,
    b: Builder,
    projected: SSAValue,
    mask: SSAValue | None,
    past: SSAValue | None,
    added: SSAValue | None = None,
) -> Converted:
    """
    The outputs of attention on queries, keys and values `[batch, length, columns]`.

    `past` holds the keys, then the values of earlier calls; the second output is their
    continuation.

    Raises:
        UnsupportedError: an attribute asks for what there is not.
    """
    for name in ("do_rotary", "past_present_share_buffer"):
        if node.attr_int(name, 0):
            raise UnsupportedError(f"the attribute {name}")
    heads = node.attr_int("num_heads")
    width = dims_of_rank(projected, 3, "the projected input")[2]
    sizes = [Dim.of(s) for s in node.attr_ints("qkv_hidden_sizes", [])]
    sizes = sizes or [width // 3] * 3
    if len(sizes) != 3:
        raise InvalidNodeError(f"qkv_hidden_sizes has {len(sizes)} values")
    q, k, v = (
        split_heads(b, part, heads) for part in _split_columns(b, projected, sizes)
    )
    length = Dim.of(0)
    if past is not None:
        dims_of_rank(past, 5, "the cache")
        past_key, past_value = (b.take(past, 0, i) for i in range(2))
        length = dims_of(past_key)[2]
        k, v = with_past(b, past_key, k), with_past(b, past_value, v)
    attention = HeadAttention(q, k, v, scale_of(node, q))
    if node.attr_int("unidirectional", 0):
        attention.causal = length
    present: SSAValue | None = None
    if node.uses_output(1):
        present = b.concat([b.reshape(x, [1, *dims_of(x)]) for x in (k, v)], 0)
    _add_masks(node, b, attention, mask, added)
    return [join_heads(b, attention.result(b)), present][: len(node.used_outputs)]


def _split_columns(b: Builder, value: SSAValue, sizes: Sequence[Dim]) -> list[SSAValue]:
    axis, start = rank_of(value) - 1, Dim.of(0)
    parts: list[SSAValue] = []
    for size in sizes:
        parts.append(b.slice(value, [start], [start + size], [axis], [1]))
        start = start + size
    if dims_of(value)[axis] != start:
        raise InvalidNodeError(f"{dims_of(value)[axis]} columns, not {start}")
    return parts


# ---------------------------------------------------------------- projected outside


@converter("MultiHeadAttention", domain=MICROSOFT)
def _multi_head_attention(node: Node, b: Builder) -> Converted:
    if any(node.optional_input(i) is not None for i in (8, 9)):
        raise UnsupportedError("a cache that is shared between past and present")
    past = (node.optional_input(6), node.optional_input(7))
    others = (node.optional_input(3), node.optional_input(4), node.optional_input(5))
    causal = bool(node.attr_int("unidirectional", 0))
    return _cross_attention(node, b, past, others, causal)


@converter("DecoderMaskedMultiHeadAttention", domain=MICROSOFT)
def _decoder_attention(node: Node, b: Builder) -> Converted:
    if any(node.optional_input(i) is not None for i in (7, 8, 9)):
        raise UnsupportedError("beams, or a cache that is shared with the past")
    past = (node.optional_input(5), node.optional_input(6))
    others = (node.optional_input(10), node.optional_input(3), node.optional_input(4))
    return _cross_attention(node, b, past, others, False)


def _cross_attention(
    node: Node,
    b: Builder,
    past: tuple[SSAValue | None, SSAValue | None],
    others: tuple[SSAValue | None, SSAValue | None, SSAValue | None],
    causal: bool,
) -> Converted:
    """Attention on the first three inputs; `others` are bias and both masks."""
    if node.attr_int("past_present_share_buffer", 0):
        raise UnsupportedError("the attribute past_present_share_buffer")
    bias, mask, added = others
    q, k, v = _heads_of(node, b, bias)
    if (past[0] is None) != (past[1] is None):
        raise InvalidNodeError("a past key without a past value, or the reverse")
    for value, what in (
        (k, "keys"),
        (v, "values"),
        *((p, "past") for p in past if p is not None),
    ):
        dims_of_rank(value, 4, what)
    k, v = with_past(b, past[0], k), with_past(b, past[1], v)
    attention = HeadAttention(q, k, v, scale_of(node, q))
    if causal:
        attention.causal = 0 if past[0] is None else dims_of(past[0])[2]
    _add_masks(node, b, attention, mask, added)
    scores: SSAValue | None = None
    if node.uses_output(3):
        # The scores are those that softmax gets.
        result, (_, _, scores, _) = attention.emit_in_steps(b)
    else:
        result = attention.result(b)
    return [join_heads(b, result), k, v, scores][: len(node.used_outputs)]


def _heads_of(
    node: Node, b: Builder, bias: SSAValue | None
) -> tuple[SSAValue, SSAValue, SSAValue]:
    """Queries, keys and values `[batch, heads, length, depth]`."""
    query, key, value = (node.optional_input(i) for i in range(3))
    heads = node.attr_int("num_heads")
    if query is None:
        raise InvalidNodeError("input 0 is missing")
    if rank_of(query) == 5 or (key is not None and rank_of(key) == 5):
        if bias is not None:
            raise UnsupportedError("a bias of packed keys and values")
        return _packed_heads(b, query, key, heads)
    if key is None or value is None or rank_of(query) != 3:
        raise InvalidNodeError("queries, keys and values in a form that there is not")
    if bias is not None:
        query, key, value = _biased(b, bias, query, key, value)
    k, v = (split_heads(b, x, heads) if rank_of(x) == 3 else x for x in (key, value))
    return split_heads(b, query, heads), k, v


def _packed_heads(
    b: Builder, query: SSAValue, key: SSAValue | None, heads: int
) -> tuple[SSAValue, SSAValue, SSAValue]:
    """Of `[batch, length, heads, parts, depth]`; parts may be the keys and values."""

    def part(packed: SSAValue, index: int) -> SSAValue:
        return b.transpose(b.take(packed, 3, index), [0, 2, 1, 3])

    if key is None:
        return part(query, 0), part(query, 1), part(query, 2)
    if rank_of(query) != 3:
        raise InvalidNodeError("packed queries beside keys")
    return split_heads(b, query, heads), part(key, 0), part(key, 1)


def _biased(
    b: Builder, bias: SSAValue, query: SSAValue, key: SSAValue, value: SSAValue
) -> tuple[SSAValue, SSAValue, SSAValue]:
    """
    Queries, keys and values plus their parts of one bias.

    Keys and values that are split into heads already, as those of an encoder, have
    theirs in them.
    """
    results: list[SSAValue] = []
    start = Dim.of(0)
    for operand in (query, key, value):
        if rank_of(operand) != 3:
            results.append(operand)
            continue
        width = dims_of(operand)[2]
        part = b.emit(nn.SliceOp(bias, [start], [width], [1]))
        results.append(b.add(operand, part))
        start = start + width
    return results[0], results[1], results[2]
