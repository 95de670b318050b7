"""Converters of ops that scatter elements, or find the largest ones."""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.selection import COMBINATIONS, Combination
from nnc.dialects.nn.types import (
    BOOL,
    I64,
    dims_of,
    element_type_of,
    is_bool,
    rank_of,
)
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.node import Node, known_dims
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import Dim, dim_max, dim_min, dim_product


def _combination(node: Node) -> Combination:
    name = node.attr_string("reduction", "none")
    if name not in COMBINATIONS:
        raise InvalidNodeError(f"unknown reduction '{name}'")
    return name


def _scatter(
    node: Node, b: Builder, x: SSAValue, indices: SSAValue, updates: SSAValue
) -> SSAValue:
    """`nn.scatter`; booleans are combined as small integers."""
    combination, type_ = _combination(node), element_type_of(x)
    if combination == "none" or not is_bool(type_):
        return b.emit(nn.ScatterOp(x, indices, updates, combination))
    x, updates = b.cast(x, I64), b.cast(updates, I64)
    return b.cast(b.emit(nn.ScatterOp(x, indices, updates, combination)), type_)


@converter("ScatterND", since=11)
def _scatter_nd(node: Node, b: Builder) -> Converted:
    x, indices = node.input(0), b.cast(node.input(1), I64)
    updates = node.input(2)
    depth = dims_of(indices)[-1].as_int() if rank_of(indices) else None
    if depth is None or not 0 < depth <= rank_of(x):
        raise InvalidNodeError(f"indices of {indices.type} into {x.type}")
    dims, shape = dims_of(x), dims_of(indices)[:-1]
    row = dims[depth:]
    updates = b.dim_cast(updates, [*shape, *row])
    last = rank_of(indices) - 1
    parts = [b.take(indices, last, axis) for axis in range(depth)]
    position = flat_position(b, parts, dims[:depth])
    rows, columns = dim_product(dims[:depth]), dim_product(row)
    count = dim_product(shape)
    result = _scatter(
        node,
        b,
        b.reshape(x, [rows, columns]),
        b.reshape(position, [count]),
        b.reshape(updates, [count, columns]),
    )
    return b.reshape(result, dims)


@converter("Scatter", since=9)
@converter("ScatterElements", since=11)
def _scatter_elements(node: Node, b: Builder) -> Converted:
    x, indices = node.input(0), b.cast(node.input(1), I64)
    updates = node.input(2)
    axis = node.attr_axis(0, rank_of(x))
    if rank_of(indices) != rank_of(x) or not rank_of(x):
        raise InvalidNodeError(f"indices of {indices.type} into {x.type}")
    wide, narrow = list(dims_of(x)), list(dims_of(indices))
    for i, (size, used) in enumerate(zip(wide, narrow, strict=True)):
        if i == axis:
            continue
        # The indices may cover a part of each other axis, but no more.
        if used.as_int() is not None:
            wide[i] = dim_max(size, used)
        else:
            narrow[i] = dim_min(size, used)
    x, indices = b.dim_cast(x, wide), b.dim_cast(indices, narrow)
    updates = b.dim_cast(updates, narrow)
    parts = [
        indices if a == axis else b.iota(narrow, a, I64) for a in range(rank_of(x))
    ]
    position = flat_position(b, parts, wide)
    total, count = dim_product(wide), dim_product(narrow)
    result = _scatter(
        node,
        b,
        b.reshape(x, [total, 1]),
        b.reshape(position, [count]),
        b.reshape(updates, [count, 1]),
    )
    return b.reshape(result, wide)


@converter("TensorScatter", since=24)
def _tensor_scatter(node: Node, b: Builder) -> Converted:
    """Each element of the cache is the old one or, from its place on, a new one."""
    cache, update = node.input(0), node.input(1)
    rank = rank_of(cache)
    axis = node.attr_axis(-2, rank)
    mode = node.attr_string("mode", "linear")
    if mode not in ("linear", "circular"):
        raise InvalidNodeError(f"there is no mode '{mode[:40]}'")
    if axis == 0 or rank_of(update) != rank:
        raise InvalidNodeError(f"axis {axis} of {cache.type}, updates {update.type}")
    dims = list(dims_of(cache))
    count = dims_of(update)[axis]
    update = b.dim_cast(update, [*dims[:axis], count, *dims[axis + 1 :]])
    size, length = (b.reshape(b.dims([d]), ()) for d in (dims[axis], count))
    start = node.optional_input(2)
    if start is None:
        start = b.broadcast_to(b.scalar(0, I64), [dims[0]])
    start = b.with_dim(b.cast(start, I64), 0, dims[0])
    start = b.reshape(start, [dims[0], *[1] * (rank - 1)])
    shape = [*[1] * axis, dims[axis], *[1] * (rank - axis - 1)]
    source = b.sub(b.iota(shape, axis, I64), start)
    if mode == "circular":
        source = b.binary(ew.ModOp, source, b.binary(ew.MaximumOp, size, 1))
    is_new = b.binary(
        ew.AndOp, b.compare(source, 0, "ge"), b.compare(source, length, "lt")
    )
    last = b.binary(ew.MinimumOp, source, b.sub(length, 1))
    source = b.binary(ew.MaximumOp, last, 0)
    if mode == "linear":
        # What would be written beyond the cache: no place for the kernel to read from.
        fits = b.binary(
            ew.AndOp,
            b.compare(start, 0, "ge"),
            b.compare(b.add(start, length), size, "le"),
        )
        source = b.select(fits, source, -(2**62))
    if (known := count.as_int()) is not None and known == 0:
        return cache
    new = b.emit(nn.GatherElementsOp(update, b.broadcast_to(source, dims), axis))
    return b.select(is_new, new, cache)


def flat_position(
    b: Builder, parts: list[SSAValue], dims: tuple[Dim, ...] | list[Dim]
) -> SSAValue:
    """
    Where the element at these indices lies among all, counted row by row.

    Indices may count from the end. What is outside of its axis is outside of all axes:
    it must not land in another row.
    """
    position, valid = b.scalar(0, I64), b.scalar(1, BOOL)
    for axis, index in enumerate(parts):
        size = b.reshape(b.dims([dims[axis]]), ())
        index = b.select(b.compare(index, 0, "lt"), b.add(index, size), index)
        inside = b.binary(
            ew.AndOp, b.compare(index, 0, "ge"), b.compare(index, size, "lt")
        )
        valid = b.binary(ew.AndOp, valid, inside)
        stride = b.reshape(b.dims([dim_product(dims[axis + 1 :])]), ())
        position = b.add(position, b.mul(index, stride))
    return b.select(valid, position, -(2**62))


@converter("TopK")
def _top_k(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    if node.version < 10:
        count = Dim.of(node.attr_int("k"))
    else:
        known = known_dims(b, node.input(1), "the number of elements")
        if len(known) != 1:
            raise InvalidNodeError("K must be one number")
        count = known[0]
    if (size := count.as_int()) is not None and size < 0:
        raise InvalidNodeError(f"K is {size}")
    if is_bool(element_type_of(x)):
        raise UnsupportedError("TopK of booleans")
    axis = node.attr_axis(-1, rank_of(x))
    dims = list(dims_of(x))
    have = dims[axis].as_int()
    if have is not None and size is not None and size > have:
        raise InvalidNodeError(f"K is {size}, the axis has {have} elements")
    # Rows have to be long enough: else the sizes do not fit.
    x = b.with_dim(x, axis, dim_max(dims[axis], count))
    dims = list(dims_of(x))
    order = [*(a for a in range(rank_of(x)) if a != axis), axis]
    kept = [dims[a] for a in order[:-1]]
    rows = b.reshape(b.transpose(x, order), [dim_product(kept), dims[axis]])
    largest = bool(node.attr_int("largest", 1))
    op = nn.TopKOp(rows, count, largest)
    values, indices = b.emit_all(op)
    back = sorted(range(len(order)), key=order.__getitem__)
    return [
        b.transpose(b.reshape(value, [*kept, count]), back)
        for value in (values, indices)
    ]
