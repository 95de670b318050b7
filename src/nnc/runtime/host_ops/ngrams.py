"""Counts of n-grams of strings or integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nnc.runtime.host_ops.call import Attributes, Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.types import HostType, tensor
from nnc.runtime.host_ops.values import Array, HostOpError, HostValue, described

_MODES: Final = ("TF", "IDF", "TFIDF")


@dataclass(frozen=True)
class _Pool:
    """The n-grams that are counted, by their length."""

    columns: dict[tuple[Any, ...], int]
    """The place in the output of each n-gram."""
    lengths: tuple[int, ...]
    width: int


def _width(attributes: Attributes) -> int:
    indexes = attributes.integers("ngram_indexes")
    if min(indexes, default=0) < 0:
        raise HostOpError("ngram_indexes are negative")
    return max(indexes, default=-1) + 1


def _pool(attributes: Attributes) -> _Pool:
    items: Sequence[Any]
    if "pool_strings" in attributes:
        items = attributes.texts("pool_strings")
    else:
        items = attributes.integers("pool_int64s")
    starts = attributes.integers("ngram_counts")
    indexes = attributes.integers("ngram_indexes")
    shortest = attributes.integer("min_gram_length")
    longest = attributes.integer("max_gram_length")
    columns: dict[tuple[Any, ...], int] = {}
    for number, (length, gram) in enumerate(_grams(items, starts)):
        if number >= len(indexes):
            raise HostOpError(f"there are more n-grams than {len(indexes)} indexes")
        if shortest <= length <= longest:
            columns[gram] = indexes[number]
    lengths = tuple(sorted({len(gram) for gram in columns}))
    return _Pool(columns, lengths, _width(attributes))


def _grams(
    items: Sequence[Any], starts: Sequence[int]
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The n-grams of a pool in their order, each with its length."""
    ends = [*starts[1:], len(items)]
    for length, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        if not 0 <= start <= end <= len(items) or (end - start) % length:
            raise HostOpError(f"ngram_counts {list(starts)} do not fit the pool")
        for i in range(start, end, length):
            yield length, tuple(items[i : i + length])


def _counts(row: Sequence[Any], pool: _Pool, most_skipped: int) -> Array:
    """How often each n-gram is in a row, with up to so many items between two."""
    counts = np.zeros(pool.width, np.int64)
    for length in pool.lengths:
        # What is alone has nothing between, and is counted once; no row has more
        # between two items than there are.
        skipped = min(most_skipped, len(row)) if length > 1 else 0
        for step in range(1, skipped + 2):
            reach = step * (length - 1)
            for start in range(len(row) - reach):
                gram = tuple(row[start : start + reach + 1 : step])
                column = pool.columns.get(gram)
                if column is not None:
                    counts[column] += 1
    return counts


def _tfidf_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    width = _width(call.attributes)
    if shape is None:
        return tensor("float32")
    return tensor("float32", (*shape[:-1], width))


@host_op("TfIdfVectorizer", since=9, types=_tfidf_types)
def _tfidf(call: Call) -> HostValue:
    x, attributes = call.tensor(0), call.attributes
    if x.ndim not in (1, 2):
        raise HostOpError(f"{described(x)}: the shape must be [C] or [N, C]")
    mode = attributes.text("mode")
    if mode not in _MODES:
        raise HostOpError(f"mode '{mode[:40]}' is none of {', '.join(_MODES)}")
    pool = _pool(attributes)
    most = attributes.integer("max_skip_count")
    listed = x.tolist() if x.ndim == 2 else [x.tolist()]
    rows = [_counts(row, pool, most) for row in listed]
    counts = np.array(rows, np.float32).reshape(*x.shape[:-1], pool.width)
    if mode == "IDF":
        counts = np.minimum(counts, 1)
    if mode != "TF" and "weights" in attributes:
        counts = counts * _column_weights(attributes, pool.width)
    return counts


def _column_weights(attributes: Attributes, width: int) -> Array:
    """The weight of each column: that of the n-gram that is counted there."""
    weights = attributes.numbers("weights")
    indexes = attributes.integers("ngram_indexes")
    if len(weights) != len(indexes):
        raise HostOpError(f"{len(weights)} weights for {len(indexes)} n-grams")
    by_column = np.ones(width, np.float32)
    by_column[indexes] = weights
    return by_column
