"""Converters of attention and of rotary position embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.types import (
    I64,
    dims_of,
    element_type_of,
    is_bool,
    rank_of,
)
from nnc.frontends.common import (
    Builder,
    InvalidNodeError,
    UnsupportedError,
    dims_of_rank,
)
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import Dim, DimLike

_OUTPUT_MODES = 4


@dataclass
class HeadAttention:
    """Operands `[batch, heads, length, depth]` and what happens to the scores."""

    query: SSAValue
    key: SSAValue
    value: SSAValue
    scale: float
    masks: list[SSAValue] = field(default_factory=list[SSAValue])
    causal: DimLike | None = None
    softcap: float = 0.0
    sink: SSAValue | None = None
    """`[batch, heads, 1, 1]`: the score of a key whose value is zero."""

    def result(self, b: Builder) -> SSAValue:
        """What attention gives, by the op for it where nothing bends the scores."""
        if self.softcap or self.sink is not None:
            return self.emit_in_steps(b)[0]
        return self.emit(b)

    def emit(self, b: Builder) -> SSAValue:
        """The result, where nobody reads the scores and nothing bends them."""
        return b.emit(
            AttentionOp(
                self.query,
                self.key,
                self.value,
                [self._fitting(b, m) for m in self.masks],
                scale=self.scale,
                causal=self.causal,
                empty_to_zero=True,
            )
        )

    @property
    def score_dims(self) -> list[Dim]:
        """
        The shape of the scores.

        Raises:
            InvalidNodeError: queries or keys are not split into heads.
        """
        for value, what in ((self.query, "queries"), (self.key, "keys")):
            dims_of_rank(value, 4, what)
        return [*dims_of(self.query)[:-1], dims_of(self.key)[-2]]

    def _fitting(self, b: Builder, mask: SSAValue) -> SSAValue:
        """A mask whose dims are those of the scores, or 1."""
        if rank_of(mask) > 4:
            raise InvalidNodeError(f"a mask of {rank_of(mask)} axes")
        wanted = self.score_dims[4 - rank_of(mask) :]
        dims = [w if d != 1 else d for d, w in zip(dims_of(mask), wanted, strict=True)]
        return b.dim_cast(mask, dims)

    def emit_in_steps(self, b: Builder) -> tuple[SSAValue, list[SSAValue]]:
        """The result, and the scores after each step: product, cap, masks, softmax."""
        groups = dims_of(self.key)[1]
        count = dims_of(self.query)[1] // groups
        key, value = (_repeated(b, x, count) for x in (self.key, self.value))
        query = b.mul(self.query, self.scale)
        product = b.matmul(query, b.transpose(key, [0, 1, 3, 2]))
        capped = product
        if self.softcap:
            bent = b.unary(ew.TanhOp, b.div(product, self.softcap))
            capped = b.mul(bent, self.softcap)
        masked = capped
        for mask in [self._fitting(b, m) for m in self._all_masks(b)]:
            if is_bool(element_type_of(mask)):
                masked = b.select(mask, masked, -math.inf)
            else:
                masked = b.add(masked, mask)
        weights = self._weights(b, masked)
        largest = b.reduce(masked, "max", [3])
        empty = b.compare(largest, -math.inf, "eq")
        weights = b.select(empty, 0.0, weights)
        return b.matmul(weights, value), [product, capped, masked, weights]

    def _weights(self, b: Builder, scores: SSAValue) -> SSAValue:
        if self.sink is None:
            return b.emit(nn.SoftmaxOp(scores))
        *outer, count = dims_of(scores)
        sink = b.broadcast_to(self.sink, [*outer, 1])
        weights = b.emit(nn.SoftmaxOp(b.concat([scores, sink], 3)))
        return b.slice(weights, [0], [count], [3], [1])

    def _all_masks(self, b: Builder) -> list[SSAValue]:
        if self.causal is None:
            return self.masks
        return [*self.masks, window_mask(b, self.score_dims, self.causal, None, 0)]


def _repeated(b: Builder, value: SSAValue, count: Dim) -> SSAValue:
    """Each head `count` times."""
    if count == 1:
        return value
    batch, heads, length, depth = dims_of(value)
    split = b.reshape(value, [batch, heads, 1, length, depth])
    spread = b.broadcast_to(split, [batch, heads, count, length, depth])
    return b.reshape(spread, [batch, heads * count, length, depth])


def window_mask(
    b: Builder,
    score_dims: Sequence[Dim],
    offset: DimLike | SSAValue,
    left: int | None,
    right: int | None,
) -> SSAValue:
    """
    Which keys a query sees: at most `left` before and `right` behind its position.

    The position of query `i` is `i + offset`; the offset may be one value a batch
    element.
    """
    queries, keys = score_dims[-2:]
    position = b.iota([queries, 1], 0, I64)
    if isinstance(offset, SSAValue):
        shift = b.reshape(b.cast(offset, I64), [*dims_of(offset), 1, 1, 1])
    else:
        shift = b.reshape(b.dims([offset]), [1, 1])
    position = b.add(position, shift)
    key = b.iota([1, keys], 1, I64)
    seen: SSAValue | None = None
    if right is not None:
        seen = b.compare(key, b.add(position, right), "le")
    if left is not None:
        behind = b.compare(key, b.sub(position, left), "ge")
        seen = behind if seen is None else b.binary(ew.AndOp, seen, behind)
    assert seen is not None
    return seen


def split_heads(b: Builder, value: SSAValue, heads: int) -> SSAValue:
    """`[batch, length, heads * depth]` as `[batch, heads, length, depth]`."""
    if rank_of(value) != 3:
        raise InvalidNodeError(f"rows of heads need rank 3, not {rank_of(value)}")
    batch, length, width = dims_of(value)
    known = width.as_int()
    if heads < 1 or (known is not None and known % heads):
        raise InvalidNodeError(f"{heads} heads of rows of {width}")
    split = b.reshape(value, [batch, length, heads, width // heads])
    return b.transpose(split, [0, 2, 1, 3])


def join_heads(b: Builder, value: SSAValue) -> SSAValue:
    """The inverse of `split_heads`."""
    batch, heads, length, depth = dims_of(value)
    joined = b.transpose(value, [0, 2, 1, 3])
    return b.reshape(joined, [batch, length, heads * depth])


def with_past(b: Builder, past: SSAValue | None, value: SSAValue) -> SSAValue:
    """Keys or values `[batch, heads, length, depth]` behind those of earlier calls."""
    return value if past is None else b.concat([past, value], 2)


def _padded_mask(b: Builder, mask: SSAValue, keys: Dim) -> SSAValue:
    """A mask for the first keys only; the others are not seen."""
    *outer, width = dims_of(mask)
    count, total = width.as_int(), keys.as_int()
    if count is None or total is None or count in (1, total):
        return mask
    if count > total:
        raise InvalidNodeError(f"a mask for {count} of {total} keys")
    blind = 0.0 if is_bool(element_type_of(mask)) else -math.inf
    scalar = b.scalar(blind, element_type_of(mask))
    rest = b.broadcast_to(scalar, [*outer, total - count])
    return b.concat([mask, rest], rank_of(mask) - 1)


@converter("Attention", since=23)
def _attention(node: Node, b: Builder) -> Converted:
    q, k, v = (node.input(i) for i in range(3))
    is_flat = rank_of(q) == 3
    if is_flat:
        heads, groups = node.attr_int("q_num_heads"), node.attr_int("kv_num_heads")
        q = split_heads(b, q, heads)
        k, v = (split_heads(b, x, groups) for x in (k, v))
    if {rank_of(x) for x in (q, k, v)} != {4}:
        raise InvalidNodeError("query, key and value need rank 3 or 4")
    past_key, past_value = node.optional_input(4), node.optional_input(5)
    if (past_key is None) != (past_value is None):
        raise InvalidNodeError("a past key without a past value, or the reverse")
    k, v = with_past(b, past_key, k), with_past(b, past_value, v)
    v = b.with_dim(v, 2, dims_of(k)[2])
    batch = dims_of(q)[0]
    k, v = (b.with_dim(x, 0, batch) for x in (k, v))
    q, k = b.equalize([q, k], [3])
    k, v = b.equalize([k, v], [1])
    left = dims_of(q)[1] % dims_of(k)[1]
    if left.as_int() is None:
        raise UnsupportedError(
            f"{dims_of(q)[1]} heads of queries for {dims_of(k)[1]} of keys"
        )
    depth = dims_of(q)[3].as_int()
    if depth is None:
        raise UnsupportedError("heads of a depth that is not known")
    attention = HeadAttention(q, k, v, node.attr_float("scale", depth**-0.5))
    attention.softcap = node.attr_float("softcap", 0.0)
    if (mask := node.optional_input(3)) is not None:
        attention.masks.append(_padded_mask(b, mask, dims_of(k)[2]))
    _limit_keys(node, b, attention, past_key)
    mode = node.attr_int("qk_matmul_output_mode", 0)
    scores: SSAValue | None = None
    if attention.softcap or node.uses_output(3):
        if not 0 <= mode < _OUTPUT_MODES:
            raise InvalidNodeError(f"qk_matmul_output_mode is {mode}")
        result, steps = attention.emit_in_steps(b)
        scores = steps[mode]
    else:
        result = attention.emit(b)
    return [join_heads(b, result) if is_flat else result, k, v, scores][
        : len(node.used_outputs)
    ]


def _limit_keys(
    node: Node, b: Builder, attention: HeadAttention, past: SSAValue | None
) -> None:
    """What causality, windows and the count of valid keys hide."""
    dims = attention.score_dims
    valid = node.optional_input(6)
    offset: DimLike | SSAValue = 0 if past is None else dims_of(past)[2]
    if valid is not None:
        valid = b.with_dim(b.cast(valid, I64), 0, dims[0])
        length = b.reshape(b.dims([dims[2]]), [])
        offset = b.sub(valid, length)
        count = b.reshape(valid, [dims[0], 1, 1, 1])
        key = b.iota([1, dims[3]], 1, I64)
        attention.masks.append(b.compare(key, count, "lt"))
    left, right = (
        node.attr_int(f"{side}_window_size", -1) for side in ("left", "right")
    )
    if left >= 0 or right >= 0:
        sizes = (None if left < 0 else left, None if right < 0 else right)
        attention.masks.append(window_mask(b, dims, offset, *sizes))
    if not node.attr_int("is_causal", 0):
        return
    if isinstance(offset, SSAValue):
        attention.masks.append(window_mask(b, dims, offset, None, 0))
    else:
        attention.causal = offset


def _rotated(
    b: Builder,
    x: SSAValue,
    cosine: SSAValue,
    sine: SSAValue,
    width: int,
    is_interleaved: bool,
) -> SSAValue:
    """A tensor of heads with pairs of the first `width` columns turned."""
    half, dims = width // 2, list(dims_of(x))
    rest = b.slice(x, [width], [2**62], [3], [1]) if dims[3] != width else None
    if is_interleaved:
        pairs = [b.slice(x, [i], [width], [3], [2]) for i in (0, 1)]
    else:
        pairs = [b.slice(x, [i * half], [(i + 1) * half], [3], [1]) for i in (0, 1)]
    first, second = pairs
    real = b.sub(b.mul(first, cosine), b.mul(second, sine))
    imaginary = b.add(b.mul(first, sine), b.mul(second, cosine))
    if is_interleaved:
        split = [b.reshape(p, [*dims_of(p), 1]) for p in (real, imaginary)]
        turned = b.reshape(b.concat(split, 4), [*dims[:3], width])
    else:
        turned = b.concat([real, imaginary], 3)
    return turned if rest is None else b.concat([turned, rest], 3)


def rotate_heads(
    b: Builder,
    x: SSAValue,
    positions: SSAValue | None,
    tables: tuple[SSAValue, SSAValue],
    width: int | None,
    is_interleaved: bool,
) -> SSAValue:
    """
    Heads `[batch, heads, length, depth]` with rotary position embedding.

    `tables` are cosines and sines, `[count, width / 2]` that `positions`
    `[batch, length]` index, or those of each position already. A `width` of None or 0
    is the whole depth.

    Raises:
        UnsupportedError: the width is not known, or odd.
    """
    batch, _, length, depth = dims_of(x)
    width = width or depth.as_int()
    if width is None or width % 2:
        raise UnsupportedError(f"turning {depth} columns")
    factors: list[SSAValue] = []
    for table in tables:
        if positions is not None:
            table = b.emit(nn.GatherOp(table, positions, 0))
        table = b.broadcast_to(table, [batch, length, width // 2])
        factors.append(b.reshape(table, [batch, 1, length, width // 2]))
    return _rotated(b, x, factors[0], factors[1], width, is_interleaved)


def rotary_embedding(
    node: Node,
    b: Builder,
    positions: SSAValue | None,
    tables: tuple[SSAValue, SSAValue],
) -> SSAValue:
    """The first input of a node with the rotary embedding that attributes describe."""
    x = node.input(0)
    is_flat = rank_of(x) == 3
    if is_flat:
        x = split_heads(b, x, node.attr_int("num_heads"))
    if rank_of(x) != 4:
        raise InvalidNodeError(f"heads need rank 3 or 4, not {rank_of(x)}")
    width = node.attr_int("rotary_embedding_dim", 0)
    is_interleaved = bool(node.attr_int("interleaved", 0))
    result = rotate_heads(b, x, positions, tables, width, is_interleaved)
    return join_heads(b, result) if is_flat else result


@converter("RotaryEmbedding", since=23)
def _rotary_embedding(node: Node, b: Builder) -> Converted:
    tables = (node.input(1), node.input(2))
    return rotary_embedding(node, b, node.optional_input(3), tables)
