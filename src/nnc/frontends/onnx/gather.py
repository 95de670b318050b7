"""Converters of ops that pick elements by index, and of triangles."""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.dtypes import element_type_for
from nnc.dialects.nn.types import BOOL, I64, dims_of, element_type_of, is_bool, rank_of
from nnc.frontends.common import Builder, InvalidNodeError, require_sizes
from nnc.frontends.onnx.node import Node, known_dims, normalized_axis
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.onnx.tensors import dtype_of
from nnc.symbolic import Dim, dim_max, dim_min, dim_product


@converter("Gather")
def _gather(node: Node, b: Builder) -> Converted:
    x, indices = node.input(0), node.input(1)
    axis = node.attr_axis(0, rank_of(x))
    if not rank_of(x):
        raise InvalidNodeError("a scalar cannot be indexed")
    fixed = b.constant_value(indices)
    # One fixed index is a view.
    if fixed is not None and fixed.size == 1 and b.known(x) is None:
        part = b.take(x, axis, int(fixed.item()))
        if fixed.ndim:
            dims = dims_of(x)
            part = b.reshape(part, [*dims[:axis], *[1] * fixed.ndim, *dims[axis + 1 :]])
        return part
    return b.emit(nn.GatherOp(x, indices, axis))


@converter("GatherElements", since=11)
def _gather_elements(node: Node, b: Builder) -> Converted:
    x, indices = node.input(0), node.input(1)
    axis = node.attr_axis(0, rank_of(x))
    if rank_of(indices) != rank_of(x):
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
    return b.emit(nn.GatherElementsOp(x, indices, axis))


@converter("GatherND", since=11)
def _gather_nd(node: Node, b: Builder) -> Converted:
    """As a gather of rows of the flattened leading axes."""
    x, indices = node.input(0), b.cast(node.input(1), I64)
    batch = node.attr_int("batch_dims", 0)
    if not 0 <= batch < min(rank_of(indices), rank_of(x) + 1):
        raise InvalidNodeError(f"{batch} batch axes of {indices.type}")
    depth = dims_of(indices)[-1].as_int()
    if depth is None or not 1 <= depth <= rank_of(x) - batch:
        raise InvalidNodeError(f"indices of {dims_of(indices)[-1]} axes into {x.type}")
    dims, shape = dims_of(x), dims_of(indices)[:-1]
    if depth == 1 and not batch:
        return b.emit(nn.GatherOp(x, b.reshape(indices, shape), 0))
    x = b.dim_cast(x, [*shape[:batch], *dims[batch:]])
    dims = dims_of(x)
    position, valid = b.scalar(0, I64), b.scalar(1, BOOL)
    for axis in range(batch + depth):
        if axis < batch:
            index = b.iota(shape, axis, I64)
        else:
            index = b.take(indices, rank_of(indices) - 1, axis - batch)
            size = b.reshape(b.dims([dims[axis]]), ())
            index = b.select(b.compare(index, 0, "lt"), b.add(index, size), index)
            inside = b.binary(
                ew.AndOp, b.compare(index, 0, "ge"), b.compare(index, size, "lt")
            )
            valid = b.binary(ew.AndOp, valid, inside)
        stride = b.dims([dim_product(dims[axis + 1 : batch + depth])])
        position = b.add(position, b.mul(index, b.reshape(stride, ())))
    # An index outside of its axis must not land in another row.
    position = b.select(valid, position, -(2**62))
    rows = b.reshape(x, [dim_product(dims[: batch + depth]), *dims[batch + depth :]])
    return b.emit(nn.GatherOp(rows, position, 0))


@converter("OneHot", since=9)
def _one_hot(node: Node, b: Builder) -> Converted:
    indices, values = node.input(0), node.input(2)
    # The depth may be a float.
    depth = known_dims(b, b.cast(node.input(1), I64), "the depth")
    if len(depth) != 1 or rank_of(values) != 1 or dims_of(values)[0] != 2:
        raise InvalidNodeError(
            "the depth must be one number, and there must be 2 values"
        )
    require_sizes(depth, "the depth")
    rank = rank_of(indices)
    axis = normalized_axis(node.attr_int("axis", -1), rank + 1)
    indices = b.cast(indices, I64)
    size = b.reshape(b.dims(depth), ())
    indices = b.select(b.compare(indices, 0, "lt"), b.add(indices, size), indices)
    dims = dims_of(indices)
    indices = b.reshape(indices, [*dims[:axis], 1, *dims[axis:]])
    positions = b.iota([*dims[:axis], depth[0], *dims[axis:]], axis, I64)
    hot = b.compare(positions, indices, "eq")
    return b.select(hot, b.take(values, 0, 1), b.take(values, 0, 0))


# ---------------------------------------------------------------- triangles


@converter("Trilu", since=14)
def _trilu(node: Node, b: Builder) -> Converted:
    x, offset = node.input(0), node.optional_input(1)
    if rank_of(x) < 2:
        raise InvalidNodeError(f"the input has rank {rank_of(x)}; 2 is the least")
    rows, columns = dims_of(x)[-2:]
    diagonal = _diagonals(b, rows, columns)
    first = 0 if offset is None else b.cast(b.reshape(offset, ()), I64)
    upper = bool(node.attr_int("upper", 1))
    kept = b.compare(diagonal, first, "ge" if upper else "le")
    if is_bool(element_type_of(x)):
        return b.binary(ew.AndOp, kept, x)
    return b.select(kept, x, 0)


@converter("EyeLike", since=9)
def _eye_like(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    if rank_of(x) != 2:
        raise InvalidNodeError(f"the input has rank {rank_of(x)}, not 2")
    type_ = element_type_of(x)
    if node.has_attr("dtype"):
        type_ = element_type_for(dtype_of(node.attr_int("dtype"), "the result"))
    diagonal = _diagonals(b, *dims_of(x))
    return b.cast(b.compare(diagonal, node.attr_int("k", 0), "eq"), type_)


def _diagonals(b: Builder, rows: Dim, columns: Dim) -> SSAValue:
    """The number of the diagonal of each element: column minus row."""
    column = b.iota([rows, columns], 1, I64)
    return b.sub(column, b.iota([rows, columns], 0, I64))
