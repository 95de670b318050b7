"""The converter of `Unique`: rows are sorted, then counted where they change."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import (
    BOOL,
    I64,
    STORED_ONLY,
    U8,
    dims_of,
    element_type_of,
    is_bool,
    is_float,
    rank_of,
)
from nnc.frontends.common import Builder, UnsupportedError
from nnc.frontends.onnx.indexed_pool import size_of
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import Dim, dim_product


@converter("Unique", since=11)
def _unique(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    if element_type_of(x) in STORED_ONLY:
        raise UnsupportedError(f"the order of {element_type_of(x)}")
    if node.has_attr("axis"):
        axis = node.attr_axis(None, rank_of(x))
        order = [axis, *(a for a in range(rank_of(x)) if a != axis)]
        x = b.transpose(x, order)
        inner = list(dims_of(x)[1:])
        rows = b.reshape(x, [dims_of(x)[0], dim_product(inner)])
    else:
        order, inner = [0], []
        rows = b.reshape(x, [dim_product(dims_of(x)), 1])
    groups = _grouped(b, rows)
    if not node.attr_int("sorted", 1):
        groups = _by_occurrence(b, groups)
    # Behind the last group, places hold numbers that are cut off.
    size = dims_of(rows)[0]
    last = b.binary(ew.MaximumOp, b.sub(size_of(b, [size]), 1), 0)
    first = b.binary(ew.MinimumOp, groups.first, last)
    kept = b.reshape(b.emit(nn.GatherOp(rows, first, 0)), [size, *inner])
    kept, first, counts = (
        b.truncate(v, 0, groups.number) for v in (kept, first, groups.counts)
    )
    back = sorted(range(len(order)), key=order.__getitem__)
    return [b.transpose(kept, back), first, groups.inverse, counts]


@dataclass(frozen=True)
class _Groups:
    """Equal rows of N, numbered; the numbers from `number` on stand for none."""

    number: SSAValue
    first: SSAValue
    """The first row of each group, `[N]`; N where there is none."""
    inverse: SSAValue
    """The group of each row, `[N]`."""
    counts: SSAValue
    """The rows of each group, `[N]`."""


def _grouped(b: Builder, rows: SSAValue) -> _Groups:
    """Groups in ascending order of their rows."""
    if is_bool(element_type_of(rows)):
        rows = b.cast(rows, U8)
    (size, _) = dims_of(rows)
    order = b.emit(nn.ArgSortOp(rows))
    place = b.iota([size], 0, I64)
    is_new = b.binary(ew.OrOp, b.compare(place, 0, "eq"), _changes(b, rows, order))
    group = b.sub(b.emit(nn.CumulativeOp(b.cast(is_new, I64), 0)), 1)
    number = b.reduce(b.cast(is_new, I64), "sum", [0], keep_dims=False)
    # One more place, for what starts no group and for the end of the last one.
    nowhere = size_of(b, [size])
    start = _placed(b, place, b.select(is_new, group, nowhere), nowhere, size)
    first = _taken(b, order, start, nowhere)
    counts = b.sub(b.slice(start, [1], [size + 1], [0], [1]), _head(b, start, size))
    inverse = _scattered(b, b.broadcast_to(b.scalar(0, I64), [size]), order, group)
    return _Groups(number, first, inverse, counts)


def _by_occurrence(b: Builder, groups: _Groups) -> _Groups:
    """The same groups, in the order of their first rows."""
    (size,) = dims_of(groups.inverse)
    nowhere = size_of(b, [size])
    place = b.iota([size], 0, I64)
    opener = b.emit(nn.GatherOp(groups.first, groups.inverse, 0))
    is_first = b.compare(opener, place, "eq")
    found = b.sub(b.emit(nn.CumulativeOp(b.cast(is_first, I64), 0)), 1)
    first = _placed(b, place, b.select(is_first, found, nowhere), nowhere, size)
    inverse = b.emit(nn.GatherOp(found, opener, 0))
    # The counts move to where their groups are now.
    own = b.emit(nn.GatherOp(groups.counts, groups.inverse, 0))
    zero = b.broadcast_to(b.scalar(0, I64), [size + 1])
    counts = _scattered(b, zero, b.select(is_first, found, nowhere), own)
    return _Groups(
        groups.number, _head(b, first, size), inverse, _head(b, counts, size)
    )


def _changes(b: Builder, rows: SSAValue, order: SSAValue) -> SSAValue:
    """Whether a row differs from the one before it in the order."""
    (size,) = dims_of(order)
    before = b.binary(ew.MaximumOp, b.sub(b.iota([size], 0, I64), 1), 0)
    previous = b.emit(nn.GatherOp(order, before, 0))
    here, there = (b.emit(nn.GatherOp(rows, v, 0)) for v in (order, previous))
    differs = b.compare(here, there, "ne")
    if is_float(element_type_of(rows)):
        both = b.binary(ew.AndOp, *(b.emit(ew.IsNanOp(v)) for v in (here, there)))
        is_number = b.binary(ew.XorOp, both, b.scalar(1, BOOL))
        differs = b.binary(ew.AndOp, differs, is_number)
    return b.reduce(differs, "or", [1], keep_dims=False)


def _placed(
    b: Builder, values: SSAValue, places: SSAValue, fill: SSAValue, size: Dim
) -> SSAValue:
    """`[size + 1]` of `fill`, with values at places; the last place holds `fill`."""
    filled = b.broadcast_to(fill, [size + 1])
    placed = _scattered(b, filled, places, values)
    is_last = b.compare(b.iota([size + 1], 0, I64), fill, "eq")
    return b.select(is_last, fill, placed)


def _scattered(
    b: Builder, into: SSAValue, places: SSAValue, values: SSAValue
) -> SSAValue:
    columns = [b.reshape(v, [*dims_of(v), 1]) for v in (into, values)]
    result = b.emit(nn.ScatterOp(columns[0], places, columns[1]))
    return b.reshape(result, dims_of(into))


def _head(b: Builder, value: SSAValue, size: Dim) -> SSAValue:
    return b.slice(value, [0], [size], [0], [1])


def _taken(b: Builder, order: SSAValue, start: SSAValue, nowhere: SSAValue) -> SSAValue:
    """The elements of `order` at the starts there are, else `nowhere`."""
    (size,) = dims_of(order)
    start = _head(b, start, size)
    last = b.binary(ew.MaximumOp, b.sub(nowhere, 1), 0)
    taken = b.emit(nn.GatherOp(order, b.binary(ew.MinimumOp, start, last), 0))
    return b.select(b.compare(start, nowhere, "lt"), taken, nowhere)
