"""Converters of pooling with positions, of its inverse, and of summed-up windows."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.types import I64, dims_of, element_type_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.node import Node, known_dims, known_ints
from nnc.frontends.onnx.pool import pooled, spatial_rank_of, window_ints
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import Dim, dim_product


def size_of(b: Builder, dims: Sequence[Dim]) -> SSAValue:
    """The product of dims as an i64 scalar."""
    return b.reshape(b.dims([dim_product(dims)]), ())


# ---------------------------------------------------------------- MaxPool


@converter("MaxPool")
def _max_pool(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    y = pooled(node, b, x, "max", count_padding=False)
    if not node.uses_output(1):
        return [y, None]
    assert isinstance(y.owner, nn.PoolOp)
    column_major = bool(node.attr_int("storage_order", 0))
    return [y, positions_of_maxima(b, x, y.owner, column_major)]


def positions_of_maxima(
    b: Builder, x: SSAValue, pool: nn.PoolOp, column_major: bool
) -> SSAValue:
    """
    Where, in the whole of `x`, the largest element of each window of `pool` lies.

    Of equal elements the first one counts, NaN as the largest. A window that is all
    padding has the position of its first element moved into the input.
    """
    batch, channels, *spatial = dims_of(x)
    outer = dims_of(pool.result)[2:]
    rows, count, taps = batch * channels, dim_product(outer), dim_product(pool.kernel)
    places, inside, found = _tap_positions(b, pool, spatial, outer, column_major)
    shape = [rows, count, taps]
    flat = b.reshape(x, [rows, dim_product(spatial)])
    reach = b.broadcast_to(b.reshape(places, [1, count * taps]), [rows, count * taps])
    values = b.reshape(b.emit(nn.GatherElementsOp(flat, reach, 1)), shape)
    values = b.select(b.reshape(inside, [1, count, taps]), values, _least(b, x))
    best = b.emit(nn.ArgReduceOp(values, "max", 2))
    found = b.broadcast_to(b.reshape(found, [1, count, taps]), shape)
    position = b.emit(nn.GatherElementsOp(found, best, 2))
    row = b.iota([rows, 1, 1], 0, I64)
    position = b.add(position, b.mul(row, size_of(b, spatial)))
    return b.reshape(position, [batch, channels, *outer])


def _least(b: Builder, x: SSAValue) -> SSAValue:
    """Of numbers of the type of `x` the smallest one, as a scalar."""
    type_ = element_type_of(x)
    none = b.iota([0], 0, type_)
    return b.reduce(none, "max", [0], keep_dims=False)


def _tap_positions(
    b: Builder,
    pool: nn.PoolOp,
    spatial: Sequence[Dim],
    outer: Sequence[Dim],
    column_major: bool,
) -> tuple[SSAValue, SSAValue, SSAValue]:
    """
    For each result and tap, `[*outer, *kernel]`: its place, row by row and clipped.

    Also whether it is inside of the input, and the place as it is to be shown.
    """
    rank = len(spatial)
    kernel = [Dim.of(k) for k in pool.kernel]
    indices: list[SSAValue] = []
    inside: SSAValue | None = None
    for axis in range(rank):
        ones = [Dim.of(1)] * (2 * rank)
        at, tap = list(ones), list(ones)
        at[axis], tap[rank + axis] = outer[axis], kernel[axis]
        start = b.mul(b.iota(at, axis, I64), ints(pool.strides)[axis])
        low = b.reshape(b.dims([pool.padding.dims[axis]]), ())
        step = b.mul(b.iota(tap, rank + axis, I64), ints(pool.dilations)[axis])
        index = b.add(b.sub(start, low), step)
        size = size_of(b, [spatial[axis]])
        fits = b.binary(
            ew.AndOp, b.compare(index, 0, "ge"), b.compare(index, size, "lt")
        )
        inside = fits if inside is None else b.binary(ew.AndOp, inside, fits)
        last = b.binary(ew.MinimumOp, index, b.sub(size, 1))
        indices.append(b.binary(ew.MaximumOp, last, 0))
    assert inside is not None
    shape = [*outer, *kernel]
    place = _linear(b, indices, spatial)
    shown = place
    if column_major:
        shown = _linear(b, indices[::-1], spatial[::-1])
    places, fits, all_shown = (b.broadcast_to(v, shape) for v in (place, inside, shown))
    return places, fits, all_shown


def _linear(b: Builder, indices: Sequence[SSAValue], dims: Sequence[Dim]) -> SSAValue:
    """The position, counted with the last axis fastest."""
    position = indices[0]
    for index, dim in zip(indices[1:], dims[1:], strict=True):
        position = b.add(b.mul(position, size_of(b, [dim])), index)
    return position


# ---------------------------------------------------------------- MaxUnpool


@converter("MaxUnpool", since=9)
def _max_unpool(node: Node, b: Builder) -> Converted:
    x, indices = node.input(0), node.input(1)
    rank = spatial_rank_of(x)
    kernel = window_ints(node, "kernel_shape", rank)
    strides = window_ints(node, "strides", rank)
    pads = node.attr_ints("pads", [0] * 2 * rank)
    if len(pads) != 2 * rank:
        raise InvalidNodeError(f"pads has {len(pads)} values for {rank} axes")
    if rank_of(indices) != rank_of(x):
        raise InvalidNodeError(f"indices of {indices.type} for {x.type}")
    indices = b.dim_cast(b.cast(indices, I64), dims_of(x))
    dims = list(dims_of(x)[:2])
    for axis, size in enumerate(dims_of(x)[2:]):
        span = (size - 1) * strides[axis] + kernel[axis]
        dims.append(span - pads[axis] - pads[rank + axis])
    total, count = dim_product(dims), dim_product(dims_of(x))
    zeros = b.broadcast_to(b.scalar(0, element_type_of(x)), [total, 1])
    result = b.emit(
        nn.ScatterOp(zeros, b.reshape(indices, [count]), b.reshape(x, [count, 1]))
    )
    result = b.reshape(result, dims)
    wanted = node.optional_input(2)
    if wanted is None:
        return result
    shape = known_dims(b, wanted, "the output's shape")
    if len(shape) != len(dims):
        raise InvalidNodeError(f"an output shape of {len(shape)} axes")
    # Positions are those of the smaller tensor; the rest is zeros.
    high = [a - d for a, d in zip(shape, dims, strict=True)]
    if any((v := h.as_int()) is not None and v < 0 for h in high):
        raise InvalidNodeError(f"output shape {shape} is less than {dims}")
    return b.emit(nn.PadOp(result, [0] * len(dims), high)) if any(high) else result


# ---------------------------------------------------------------- Col2Im


@converter("Col2Im", since=18)
def _col2im(node: Node, b: Builder) -> Converted:
    """Windows are added up where they lie in the padded image, which is then cut."""
    x = node.input(0)
    image = known_dims(b, node.input(1), "the image's shape")
    block = known_ints(b, node.input(2), "the block's shape")
    rank = len(image)
    if rank_of(x) != 3 or len(block) != rank or not rank or min(block) < 1:
        raise InvalidNodeError(f"blocks {block} of {x.type} for {rank} axes")
    strides = window_ints(node, "strides", rank)
    dilations = window_ints(node, "dilations", rank)
    pads = node.attr_ints("pads", [0] * 2 * rank)
    if len(pads) != 2 * rank or min(pads) < 0:
        raise InvalidNodeError(f"pads are {pads} for {rank} axes")
    padded = [d + pads[i] + pads[rank + i] for i, d in enumerate(image)]
    counts = [
        (size - (k - 1) * dilation - 1) // stride + 1
        for size, k, dilation, stride in zip(
            padded, block, dilations, strides, strict=True
        )
    ]
    taps = dim_product(map(Dim.of, block))
    batch, columns, _ = dims_of(x)
    channels = columns // taps
    if (known := columns.as_int()) is not None and known % (taps.as_int() or 1):
        raise InvalidNodeError(f"{known} rows are no multiple of a block of {taps}")
    blocks = dim_product(counts)
    x = b.dim_cast(x, [batch, channels * taps, blocks])
    rows = b.transpose(b.reshape(x, [batch, channels, taps, blocks]), [2, 3, 0, 1])
    rows = b.reshape(rows, [taps * blocks, batch * channels])
    places = _block_positions(b, block, counts, strides, dilations, padded)
    places = b.reshape(places, [taps * blocks])
    shape = [dim_product(padded), batch * channels]
    zeros = b.broadcast_to(b.scalar(0, element_type_of(x)), shape)
    total = b.emit(nn.ScatterOp(zeros, places, rows, "add"))
    total = b.reshape(total, [*padded, batch, channels])
    low = [*pads[:rank], 0, 0]
    if any(pads):
        total = b.emit(nn.SliceOp(total, low, [*image, batch, channels]))
    return b.transpose(total, [rank, rank + 1, *range(rank)])


def _block_positions(
    b: Builder,
    block: Sequence[int],
    counts: Sequence[Dim],
    strides: Sequence[int],
    dilations: Sequence[int],
    padded: Sequence[Dim],
) -> SSAValue:
    """Where element `[*tap, *block]` lies in the padded image, row by row."""
    rank = len(block)
    indices: list[SSAValue] = []
    for axis in range(rank):
        tap, at = [Dim.of(1)] * (2 * rank), [Dim.of(1)] * (2 * rank)
        tap[axis], at[rank + axis] = Dim.of(block[axis]), counts[axis]
        step = b.mul(b.iota(tap, axis, I64), dilations[axis])
        indices.append(b.add(b.mul(b.iota(at, rank + axis, I64), strides[axis]), step))
    return b.broadcast_to(_linear(b, indices, padded), [*block, *counts])
