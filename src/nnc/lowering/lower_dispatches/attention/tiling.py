"""How an attention is cut into blocks and register tiles: pure functions on sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nnc.lowering.tiling import max_rows
from nnc.symbolic import Dim, ceildiv
from nnc.target import Target

FEW_QUERIES: Final = 8
"""Up to that many queries are done one by one."""

KEYS_AT_ONCE: Final = 512
"""Keys of a block where queries are done one by one."""

_QUERIES: Final = 96
"""Queries of a block: a multiple of all tile heights and vector widths."""

_KEYS: Final = 128
"""About how many keys of a block, if not all."""

_MAX_KEYS: Final = 208
"""Up to that many keys are one block, which needs no rescaling."""

_DEEP: Final = 128
"""Above that depth blocks have half the queries, so that scratch stays in bounds."""

_MAX_HEIGHT: Final = 12

_LINE: Final = 64
_ALIASING: Final = 256
"""Rows of scratch a multiple of that many bytes apart share few sets of the cache."""


@dataclass(frozen=True)
class AttentionTiling:
    """The blocks and tiles of one attention kernel."""

    width: int
    """Lanes of queries."""
    queries: int
    """Queries of a block, a multiple of the columns of a score tile."""
    blocks: Dim
    """Blocks of queries."""
    keys: int
    """Keys of a block."""
    is_single: bool
    """Whether one block holds all keys."""
    score_rows: int
    """Keys of a score tile."""
    score_vectors: int
    """Vectors of queries of a score tile."""
    narrow_vectors: int | None
    """The same where no more queries are left; None if that does not happen."""
    row_stride: int
    """Elements from one key to the next in the scratch for scores."""
    result_rows: int
    """Queries of a result tile."""
    last_result_rows: int
    """The same where fewer queries are left."""
    result_vectors: int
    """Vectors of a result tile."""
    result_width: int
    """Lanes of a result tile: they divide the depth of the values."""

    @property
    def slack(self) -> int:
        """Rows of scratch before the first key of a block, and after the last one."""
        return self.score_rows

    @property
    def padded_queries(self) -> int:
        """Queries of a block in whole result tiles."""
        return -(-self.queries // self.result_rows) * self.result_rows


def attention_tiling(
    target: Target,
    width: int,
    queries: Dim,
    keys: Dim,
    depths: tuple[int, int],
    element_bytes: int,
) -> AttentionTiling:
    """The tiling for a number of queries and keys and the depths of keys and values."""
    fixed_queries, fixed_keys = queries.as_int(), keys.as_int()
    limit = _QUERIES if max(depths) <= _DEEP else _QUERIES // 2
    vectors = 1 if fixed_queries is not None and fixed_queries <= width else 2
    tallest = min(_MAX_HEIGHT, max_rows(target, vectors))
    result_width = power_of_two_divisor(depths[1], width)
    result_vectors = _result_vectors(depths[1] // result_width)
    result_tallest = min(_MAX_HEIGHT, max_rows(target, result_vectors))
    block, result_rows = limit, result_tallest
    if fixed_queries is not None and fixed_queries < limit:
        block = max(1, fixed_queries)
        result_rows = _best_height(block, result_tallest)
    is_single = fixed_keys is not None and 0 < fixed_keys <= _MAX_KEYS
    key_rows = tallest
    if is_single and fixed_keys:
        key_block, key_rows = fixed_keys, _best_height(fixed_keys, tallest)
    else:
        key_block = _KEYS // tallest * tallest
    columns = vectors * width
    padded = -(-block // columns) * columns
    stride = padded
    if stride * element_bytes % _ALIASING == 0:
        stride += _LINE // element_bytes
    # Queries of the last block.
    left = None if not fixed_queries else (fixed_queries - 1) % block + 1
    return AttentionTiling(
        width,
        padded,
        ceildiv(queries, block),
        key_block,
        is_single,
        key_rows,
        vectors,
        _narrow_vectors(vectors, width, left),
        stride,
        result_rows,
        _last_rows(block, left, result_rows),
        result_vectors,
        result_width,
    )


def _result_vectors(vectors: int) -> int:
    """Vectors of a result tile, so that no column is left over."""
    return next(n for n in (2, 3, 4, 1) if vectors % n == 0)


def _narrow_vectors(vectors: int, width: int, left: int | None) -> int | None:
    """Vectors of the last score tile of the last block, if it is narrower."""
    if vectors == 1:
        return None
    if left is None:
        return 1
    return 1 if (left - 1) % (vectors * width) < width else None


def _last_rows(block: int, left: int | None, rows: int) -> int:
    """The height of the last result tile of a block, if it is the same for all."""
    rests = {block % rows, (left or block) % rows}
    if left is None:
        return rows
    return max(rests) if len(rests - {0}) == 1 else rows


def _best_height(rows: int, tallest: int) -> int:
    """The tile height that computes `rows` in the least time."""

    def time(height: int) -> float:
        # A row of a tile costs one step, the loads of B as much as 1.5 rows.
        return -(-rows // height) * (height + 1.5)

    return min(range(min(rows, tallest), 0, -1), key=time)


def power_of_two_divisor(number: int, limit: int) -> int:
    """The largest power of two up to `limit` that divides `number`."""
    power = 1
    while power < limit and number % (2 * power) == 0:
        power *= 2
    return power
