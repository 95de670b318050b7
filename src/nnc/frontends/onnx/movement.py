"""Converters of ops that move elements: reshape, transpose, slice, gather, pad."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn.movement import PadMode
from nnc.dialects.nn.types import dims_of, element_type_of, rank_of
from nnc.frontends.common import (
    Builder,
    InvalidNodeError,
    require_sizes,
    shape_text,
)
from nnc.frontends.onnx.node import (
    Node,
    known_axes,
    known_dims,
    known_int,
    known_ints,
    normalized_axes,
    normalized_axis,
    sizes_or_data,
)
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.shape_rules import UNBOUNDED, reshaped_dims
from nnc.frontends.sizes import Element, data_slice, expanded_dims, reshape_target
from nnc.symbolic import Dim, ceildiv, dim_min, dim_product

# ---------------------------------------------------------------- shapes


def _reshaped(
    b: Builder, x: SSAValue, target: Sequence[Dim], keep_zeros: bool
) -> SSAValue:
    dims = reshaped_dims(dims_of(x), target, keep_zeros=keep_zeros)
    if dims is None:
        raise InvalidNodeError(
            f"shape {shape_text(x)} cannot become {shape_text(target)}"
        )
    return b.reshape(x, dims)


@converter("Reshape")
def _reshape_attribute(node: Node, b: Builder) -> Converted:
    target = [Dim.of(d) for d in node.attr_ints("shape")]
    return _reshaped(b, node.input(0), target, False)


@converter("Reshape", since=5)
def _reshape(node: Node, b: Builder) -> Converted:
    x, keep_zeros = node.input(0), bool(node.attr_int("allowzero", 0))
    target = sizes_or_data(b, node.input(1), "the target shape")
    resolved = reshape_target(b, dims_of(x), target, keep_zeros=keep_zeros)
    return _reshaped(b, x, resolved, keep_zeros)


@converter("Flatten")
def _flatten(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    dims = dims_of(x)
    axis = node.attr_int("axis", 1)
    if axis != len(dims):
        axis = normalized_axis(axis, len(dims))
    return b.reshape(x, [dim_product(dims[:axis]), dim_product(dims[axis:])])


@converter("Squeeze")
def _squeeze(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    dims, axes = list(dims_of(x)), known_axes(node, b, 1)
    if axes is None:
        axes = [i for i, d in enumerate(dims) if d == 1]
    axes = normalized_axes(axes, len(dims))
    one = Dim.of(1)
    x = b.dim_cast(x, [one if i in axes else d for i, d in enumerate(dims)])
    return b.reshape(x, [d for i, d in enumerate(dims) if i not in axes])


@converter("Unsqueeze")
def _unsqueeze(node: Node, b: Builder) -> Converted:
    x, axes = node.input(0), known_axes(node, b, 1)
    if axes is None:
        raise InvalidNodeError("axes are missing")
    rank = rank_of(x) + len(axes)
    axes = normalized_axes(axes, rank)
    rest = iter(dims_of(x))
    return b.reshape(x, [1 if i in axes else next(rest) for i in range(rank)])


@converter("Transpose")
def _transpose(node: Node, b: Builder) -> Converted:
    x, rank = node.input(0), rank_of(node.input(0))
    permutation = node.attr_ints("perm", list(range(rank))[::-1])
    if sorted(permutation) != list(range(rank)):
        raise InvalidNodeError(f"{permutation} is no permutation of {rank} axes")
    return b.transpose(x, permutation)


@converter("Expand", since=8)
def _expand(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    elements = sizes_or_data(b, node.input(1), "the target shape")
    target = expanded_dims(b, dims_of(x), elements)
    require_sizes(target, "the target shape")
    # Where the target is data, it may contradict a size that is known.
    first = rank_of(x) - len(target)
    for axis, element in enumerate(elements, first):
        if axis >= 0 and not isinstance(element, Dim) and dims_of(x)[axis] != 1:
            x = b.with_dim(x, axis, target[axis - first])
    return b.broadcast_to(x, b.common_dims(dims_of(x), target))


@converter("Tile")
def _tile_all(node: Node, b: Builder) -> Converted:
    # Opset 1: the same count for one axis.
    x = node.input(0)
    tiles = known_int(b, node.input(1), "tiles")
    axis = normalized_axis(known_int(b, node.input(2), "the axis"), rank_of(x))
    return _tiled(b, x, [Dim.of(tiles if i == axis else 1) for i in range(rank_of(x))])


@converter("Tile", since=6)
def _tile(node: Node, b: Builder) -> Converted:
    return _tiled(b, node.input(0), known_dims(b, node.input(1), "the repeats"))


def _tiled(b: Builder, x: SSAValue, repeats: Sequence[Dim]) -> SSAValue:
    """`x` repeated: each axis gets an axis of repeats before it, and merges with it."""
    dims = dims_of(x)
    if len(repeats) != len(dims):
        raise InvalidNodeError(f"{len(repeats)} repeats for {len(dims)} axes")
    require_sizes(repeats, "the list of repeats")
    split: list[Dim] = []
    wide: list[Dim] = []
    for dim, count in zip(dims, repeats, strict=True):
        # An axis of one element is simply broadcast.
        if count != 1 and dim != 1:
            split.append(Dim.of(1))
            wide.append(count)
        split.append(dim)
        wide.append(count if dim == 1 else dim)
    result = b.broadcast_to(b.reshape(x, split), wide)
    return b.reshape(result, [d * r for d, r in zip(dims, repeats, strict=True)])


@converter("DepthToSpace")
def _depth_to_space(node: Node, b: Builder) -> Converted:
    x, size = node.input(0), node.attr_int("blocksize")
    mode = node.attr_string("mode", "DCR")
    if rank_of(x) != 4 or size < 1 or mode not in ("DCR", "CRD"):
        raise InvalidNodeError(f"blocks of {size} in mode {mode} of {x.type}")
    n, c, h, w = dims_of(x)
    depth = _divided(c, size * size, "channels")
    if mode == "DCR":
        blocks = b.reshape(x, [n, size, size, depth, h, w])
        blocks = b.transpose(blocks, [0, 3, 4, 1, 5, 2])
    else:
        blocks = b.reshape(x, [n, depth, size, size, h, w])
        blocks = b.transpose(blocks, [0, 1, 4, 2, 5, 3])
    return b.reshape(blocks, [n, depth, h * size, w * size])


@converter("SpaceToDepth")
def _space_to_depth(node: Node, b: Builder) -> Converted:
    x, size = node.input(0), node.attr_int("blocksize")
    mode = node.attr_string("mode", "DCR")
    if rank_of(x) != 4 or size < 1 or mode not in ("DCR", "CRD"):
        raise InvalidNodeError(f"blocks of {size} in mode {mode} of {x.type}")
    n, c, h, w = dims_of(x)
    height, width = _divided(h, size, "rows"), _divided(w, size, "columns")
    blocks = b.reshape(x, [n, c, height, size, width, size])
    order = [0, 3, 5, 1, 2, 4] if mode == "DCR" else [0, 1, 3, 5, 2, 4]
    blocks = b.transpose(blocks, order)
    return b.reshape(blocks, [n, c * size * size, height, width])


def _divided(dim: Dim, divisor: int, what: str) -> Dim:
    remainder = (dim % divisor).as_int()
    if remainder is not None and remainder != 0:
        raise InvalidNodeError(f"{dim} {what} do not make blocks of {divisor}")
    return dim // divisor


# ---------------------------------------------------------------- parts and wholes


@converter("Concat")
def _concat(node: Node, b: Builder) -> Converted:
    values = node.variadic_inputs()
    axis = node.attr_int("axis", 1) if node.version < 4 else node.attr_int("axis")
    axis = normalized_axis(axis, rank_of(values[0]))
    # Empty vectors join anything, as numpy once had it.
    values = [v for v in values if dims_of(v) != (Dim.of(0),)] or values[:1]
    return b.concat(values, axis)


@converter("Split")
def _split_attribute(node: Node, b: Builder) -> Converted:
    given = node.optional_input(1)
    if given is not None and node.version < 2:
        return _split_sizes(node, b, known_dims(b, given, "the sizes"))
    if node.has_attr("split"):
        return _split_sizes(node, b, [Dim.of(s) for s in node.attr_ints("split")])
    return _split_evenly(node, b, len(node.proto.output))


@converter("Split", since=13)
def _split(node: Node, b: Builder) -> Converted:
    given = node.optional_input(1)
    if given is not None:
        return _split_sizes(node, b, known_dims(b, given, "the sizes"))
    count = node.attr_int("num_outputs", len(node.proto.output))
    if count != len(node.proto.output):
        raise InvalidNodeError(f"num_outputs is {count}")
    return _split_evenly(node, b, count)


def _split_evenly(node: Node, b: Builder, count: int) -> list[SSAValue | None]:
    """Equal parts; since opset 18 the last one may be smaller."""
    x = node.input(0)
    size = dims_of(x)[node.attr_axis(0, rank_of(x))]
    rest = (size % count).as_int()
    if node.version < 18 and rest is not None and rest != 0:
        raise InvalidNodeError(f"{size} elements do not make {count} equal parts")
    # Before opset 18 symbolic sizes are divisible, which the run checks by the sum.
    rounds_up = node.version >= 18 or rest is not None
    part = ceildiv(size, count) if rounds_up else size // count
    sizes = [part] * (count - 1)
    return _split_sizes(node, b, [*sizes, size - part * (count - 1)])


def _split_sizes(node: Node, b: Builder, sizes: Sequence[Dim]) -> list[SSAValue | None]:
    x = node.input(0)
    dims = list(dims_of(x))
    axis = node.attr_axis(0, len(dims))
    if len(sizes) != len(node.proto.output):
        raise InvalidNodeError(
            f"{len(sizes)} parts for {len(node.proto.output)} outputs"
        )
    require_sizes(sizes, "the list of sizes")
    total = sum(sizes, Dim.of(0))
    x = b.with_dim(x, axis, total)
    if len(sizes) == 1:
        return [x]
    offsets = [Dim.of(0)] * len(dims)
    parts: list[SSAValue | None] = []
    for size in sizes:
        dims[axis] = size
        parts.append(b.emit(nn.SliceOp(x, list(offsets), dims)))
        offsets[axis] = offsets[axis] + size
    return parts


@converter("Slice")
def _slice_attributes(node: Node, b: Builder) -> Converted:
    starts, ends = node.attr_ints("starts"), node.attr_ints("ends")
    axes = node.attr_ints("axes", list(range(len(starts))))
    return _sliced(b, node.input(0), starts, ends, axes, [1] * len(starts))


@converter("Slice", since=10)
def _slice(node: Node, b: Builder) -> Converted:
    starts = sizes_or_data(b, node.input(1), "starts")
    ends = sizes_or_data(b, node.input(2), "ends")
    axes, steps = node.optional_input(3), node.optional_input(4)
    return _sliced(
        b,
        node.input(0),
        starts,
        ends,
        list(range(len(starts))) if axes is None else known_ints(b, axes, "axes"),
        [1] * len(starts) if steps is None else known_ints(b, steps, "steps"),
    )


def _sliced(
    b: Builder,
    x: SSAValue,
    starts: Sequence[int | Element],
    ends: Sequence[int | Element],
    axes: Sequence[int],
    steps: Sequence[int],
) -> SSAValue:
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise InvalidNodeError("starts, ends, axes and steps differ in length")
    axes = normalized_axes(axes, rank_of(x))
    # A step beyond any size picks one element.
    steps = [max(-UNBOUNDED, min(s, UNBOUNDED)) for s in steps]
    bounds = list(zip(starts, ends, axes, steps, strict=True))
    known = [
        (start, end, axis, step)
        for start, end, axis, step in bounds
        if not isinstance(start, SSAValue) and not isinstance(end, SSAValue)
    ]
    if known:
        x = b.slice(x, *map(list, zip(*known, strict=True)))
    for start, end, axis, step in bounds:
        if isinstance(start, SSAValue) or isinstance(end, SSAValue):
            x = _sliced_by_data(b, x, axis, start, end, step)
    return x


def _sliced_by_data(
    b: Builder,
    x: SSAValue,
    axis: int,
    start: int | Element,
    end: int | Element,
    step: int,
) -> SSAValue:
    if step == 0:
        raise InvalidNodeError(f"the step of axis {axis} is 0")
    first, last = (v if isinstance(v, SSAValue) else Dim.of(v) for v in (start, end))
    return b.slice_range(
        x, axis, data_slice(b, dims_of(x)[axis], first, last, step), step
    )


_PAD_MODES: dict[str, PadMode] = {
    "constant": "constant",
    "reflect": "reflect",
    "edge": "edge",
    "wrap": "wrap",
}


@converter("Pad")
def _pad_attributes(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    pads = node.attr_ints("paddings" if node.version < 2 else "pads")
    number = node.attr_float("value", 0.0)
    value = b.scalar(number, element_type_of(x)) if number else None
    axes = list(range(rank_of(x)))
    return _padded(node, b, [Dim.of(p) for p in pads], axes, value)


@converter("Pad", since=11)
def _pad(node: Node, b: Builder) -> Converted:
    x, value, axes = node.input(0), node.optional_input(2), node.optional_input(3)
    pads = known_dims(b, node.input(1), "the amounts")
    if value is not None:
        if b.constant_scalar(value) == 0:
            value = None
        else:
            value = b.cast(b.reshape(value, ()), element_type_of(x))
    chosen = (
        list(range(rank_of(x)))
        if axes is None
        else normalized_axes(known_ints(b, axes, "axes"), rank_of(x))
    )
    return _padded(node, b, pads, chosen, value)


def _padded(
    node: Node,
    b: Builder,
    pads: Sequence[Dim],
    axes: Sequence[int],
    value: SSAValue | None,
) -> SSAValue:
    x, count = node.input(0), len(axes)
    mode = _PAD_MODES.get(node.attr_string("mode", "constant"))
    if mode is None:
        raise InvalidNodeError(f"there is no mode '{node.attr_string('mode')[:40]}'")
    if len(pads) != 2 * count:
        raise InvalidNodeError(f"{len(pads)} amounts for {count} axes")
    low, high = [Dim.of(0)] * rank_of(x), [Dim.of(0)] * rank_of(x)
    starts, ends = list(low), list(dims_of(x))
    for i, axis in enumerate(axes):
        for amount, side in ((pads[i], low), (pads[i + count], high)):
            fixed = amount.as_int()
            if fixed is None or fixed >= 0:
                side[axis] = amount
            elif side is low:
                starts[axis] = -amount
            else:
                ends[axis] = ends[axis] + amount
        left = (ends[axis] - starts[axis]).as_int()
        if left is not None and left < 0:
            raise InvalidNodeError(f"more is cut off axis {axis} than it has")
    steps = [1] * rank_of(x)
    # Amounts below zero cut off.
    x = b.slice(x, starts, ends, range(rank_of(x)), steps)
    if not any(low) and not any(high):
        return x
    _check_border(mode, x, low, high)
    return b.emit(nn.PadOp(x, low, high, value if mode == "constant" else None, mode))


def _check_border(
    mode: PadMode, x: SSAValue, low: Sequence[Dim], high: Sequence[Dim]
) -> None:
    """Refuse borders that the input is too small for."""
    for axis, dim in enumerate(dims_of(x)):
        size, amounts = dim.as_int(), (low[axis].as_int(), high[axis].as_int())
        if size is None or mode == "constant":
            continue
        if any(a for a in amounts) and not size:
            raise InvalidNodeError(f"axis {axis} has no element to repeat")
        limit = size - 1 if mode == "reflect" else None
        if limit is not None and any(a is not None and a > limit for a in amounts):
            raise InvalidNodeError(f"axis {axis} of {size} elements cannot be mirrored")


@converter("CenterCropPad", since=18)
def _center_crop_pad(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    rank = rank_of(x)
    axes = normalized_axes(node.attr_ints("axes", list(range(rank))), rank)
    target = known_dims(b, node.input(1), "the target shape")
    if len(target) != len(axes):
        raise InvalidNodeError(f"{len(target)} sizes for {len(axes)} axes")
    require_sizes(target, "the target shape")
    low, high = [Dim.of(0)] * rank, [Dim.of(0)] * rank
    for axis, size in zip(axes, target, strict=True):
        have = dims_of(x)[axis]
        kept = dim_min(have, size)
        start = (have - kept) // 2
        x = b.slice(x, [start], [start + kept], [axis], [1])
        low[axis] = (size - kept) // 2
        high[axis] = size - kept - low[axis]
    return b.emit(nn.PadOp(x, low, high)) if any((*low, *high)) else x
