"""Converters of ops that read images at computed positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import F32, I64, dims_of, element_type_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import Dim, dim_product

_CUBIC = -0.75
"""The coefficient of Keys' cubic kernel, as GridSample has it."""


def _size(b: Builder, dim: Dim, like: SSAValue) -> SSAValue:
    """A size as a scalar of the element type of `like`."""
    return b.cast(b.reshape(b.dims([dim]), ()), element_type_of(like))


def _clamped(b: Builder, index: SSAValue, size: SSAValue) -> SSAValue:
    """An index moved to the nearest position of its axis."""
    return b.binary(ew.MaximumOp, b.binary(ew.MinimumOp, index, b.sub(size, 1)), 0)


class Image:
    """Positions of `[N, C, ...]`, read by one index a spatial axis."""

    def __init__(self, b: Builder, x: SSAValue) -> None:
        self._b = b
        self.spatial = dims_of(x)[2:]
        self._flat = b.reshape(x, [*dims_of(x)[:2], dim_product(self.spatial)])

    def read(self, indices: Sequence[SSAValue]) -> SSAValue:
        """Elements `[N, C, P]` at integral float indices `[N, P]` within the image."""
        b, position = self._b, None
        for index, dim in zip(indices, self.spatial, strict=True):
            step = b.cast(index, I64)
            if position is not None:
                scale = b.reshape(b.dims([dim]), ())
                step = b.add(b.mul(position, scale), step)
            position = step
        assert position is not None
        batch, count = dims_of(position)
        channels = dims_of(self._flat)[1]
        position = b.reshape(position, [batch, 1, count])
        position = b.broadcast_to(position, [batch, channels, count])
        return b.emit(nn.GatherElementsOp(self._flat, position, 2))


# ---------------------------------------------------------------- GridSample

_MODES = {"bilinear": "linear", "bicubic": "cubic"}


@converter("GridSample", since=16)
def _grid_sample(node: Node, b: Builder) -> Converted:
    x, grid = node.input(0), node.input(1)
    rank = rank_of(x) - 2
    if rank < 1 or rank_of(grid) != rank + 2:
        raise InvalidNodeError(f"a grid of {grid.type} for {x.type}")
    x, grid = b.equalize([x, grid], [0])
    grid = b.with_dim(grid, rank + 1, rank)
    mode = node.attr_string("mode", "linear" if node.version >= 20 else "bilinear")
    mode = _MODES.get(mode, mode)
    padding = node.attr_string("padding_mode", "zeros")
    if mode not in ("linear", "nearest", "cubic"):
        raise InvalidNodeError(f"there is no mode '{mode[:40]}'")
    if padding not in ("zeros", "border", "reflection"):
        raise InvalidNodeError(f"there is no padding_mode '{padding[:40]}'")
    align = bool(node.attr_int("align_corners", 0))
    x = b.dim_cast(x, [dims_of(grid)[0], *dims_of(x)[1:]])
    outer = dims_of(grid)[1:-1]
    grid = b.reshape(grid, [dims_of(grid)[0], dim_product(outer), rank])
    image = Image(b, x)
    # The grid names the last axis first.
    positions = [
        _denormalized(b, b.take(grid, 2, rank - 1 - axis), dim, align)
        for axis, dim in enumerate(image.spatial)
    ]
    sampler = Sampler(b, image, padding, align)
    value = sampler.sample(positions, mode)
    value = b.cast(value, element_type_of(x))
    return b.reshape(value, [*dims_of(x)[:2], *outer])


def _denormalized(b: Builder, value: SSAValue, dim: Dim, align: bool) -> SSAValue:
    """A position in [-1, 1] as one in pixels."""
    size = _size(b, dim, value)
    if align:
        return b.mul(b.add(value, 1), b.mul(b.sub(size, 1), 0.5))
    return b.mul(b.sub(b.mul(b.add(value, 1), size), 1), 0.5)


class Sampler:
    """Interpolation in an image with a rule for what lies outside."""

    def __init__(self, b: Builder, image: Image, padding: str, align: bool) -> None:
        self._b = b
        self._image = image
        self._padding = padding
        self._align = align

    def sample(self, positions: Sequence[SSAValue], mode: str) -> SSAValue:
        """`[N, C, P]` at positions `[N, P]` of each axis."""
        b = self._b
        if mode == "nearest":
            return self._read([b.unary(ew.RoundOp, p) for p in positions])
        taps = [self._taps(p, mode) for p in positions]
        total: SSAValue | None = None
        for corner in product(*taps):
            weight: SSAValue | None = None
            for _, factor in corner:
                weight = factor if weight is None else b.mul(weight, factor)
            assert weight is not None
            value = self._read([index for index, _ in corner])
            batch, count = dims_of(weight)
            part = b.mul(value, b.reshape(weight, [batch, 1, count]))
            total = part if total is None else b.add(total, part)
        assert total is not None
        return total

    def _taps(self, position: SSAValue, mode: str) -> list[tuple[SSAValue, SSAValue]]:
        """The indices that a position is interpolated from, and their weights."""
        b = self._b
        low = b.unary(ew.FloorOp, position)
        part = b.sub(position, low)
        if mode == "linear":
            return [
                (low, b.sub(b.scalar(1, element_type_of(part)), part)),
                (b.add(low, 1), part),
            ]
        taps: list[tuple[SSAValue, SSAValue]] = []
        for offset in (-1, 0, 1, 2):
            distance = b.unary(ew.AbsOp, b.sub(part, offset))
            weight = (_near if offset in (0, 1) else _far)(b, distance)
            taps.append((b.add(low, offset), weight))
        return taps

    def _read(self, indices: Sequence[SSAValue]) -> SSAValue:
        b = self._b
        inside: SSAValue | None = None
        places: list[SSAValue] = []
        for index, dim in zip(indices, self._image.spatial, strict=True):
            size = _size(b, dim, index)
            if self._padding == "reflection":
                index = self._reflected(index, size)
            if self._padding == "zeros":
                fits = b.binary(
                    ew.AndOp, b.compare(index, 0, "ge"), b.compare(index, size, "lt")
                )
                inside = fits if inside is None else b.binary(ew.AndOp, inside, fits)
            # Not a number is no place; it must not become an index either.
            index = b.select(b.compare(index, index, "eq"), index, 0)
            places.append(_clamped(b, index, size))
        value = self._image.read(places)
        if inside is None:
            return value
        batch, count = dims_of(inside)
        return b.select(b.reshape(inside, [batch, 1, count]), value, 0)

    def _reflected(self, index: SSAValue, size: SSAValue) -> SSAValue:
        """
        An index mirrored at the borders until it lies within.

        The borders are the outer pixels' centres if corners are aligned, else edges.
        """
        b = self._b
        low = 0.0 if self._align else -0.5
        span = b.sub(size, 1) if self._align else size
        span = b.binary(ew.MaximumOp, span, 1)
        offset = b.unary(ew.AbsOp, b.sub(index, low))
        turns = b.unary(ew.FloorOp, b.div(offset, span))
        rest = b.sub(offset, b.mul(turns, span))
        half = b.mul(turns, 0.5)
        is_even = b.compare(b.unary(ew.FloorOp, half), half, "eq")
        folded = b.select(is_even, rest, b.sub(span, rest))
        return b.add(folded, low)


def _near(b: Builder, d: SSAValue) -> SSAValue:
    """Keys' kernel up to a distance of 1."""
    inner = b.sub(b.mul(d, _CUBIC + 2), _CUBIC + 3)
    return b.add(b.mul(b.mul(inner, d), d), 1)


def _far(b: Builder, d: SSAValue) -> SSAValue:
    """Keys' kernel at distances between 1 and 2."""
    inner = b.add(b.mul(b.sub(b.mul(d, _CUBIC), 5 * _CUBIC), d), 8 * _CUBIC)
    return b.sub(b.mul(inner, d), 4 * _CUBIC)


# ---------------------------------------------------------------- RoiAlign


@converter("RoiAlign", since=10)
def _roi_align(node: Node, b: Builder) -> Converted:
    x, rois, batch = node.input(0), node.input(1), node.input(2)
    if rank_of(x) != 4 or rank_of(rois) != 2 or rank_of(batch) != 1:
        raise InvalidNodeError(f"regions {rois.type}, {batch.type} of {x.type}")
    samples = node.attr_int("sampling_ratio", 0)
    if samples < 0:
        raise InvalidNodeError(f"sampling_ratio is {samples}")
    mode = node.attr_string("mode", "avg")
    if mode not in ("avg", "max"):
        raise InvalidNodeError(f"there is no mode '{mode[:40]}'")
    half_pixel = node.attr_string(
        "coordinate_transformation_mode",
        "half_pixel" if node.version >= 16 else "output_half_pixel",
    )
    count = dims_of(rois)[0]
    batch = b.with_dim(batch, 0, count)
    scale = node.attr_float("spatial_scale", 1.0)
    offset = 0.5 if half_pixel == "half_pixel" else 0.0
    corners = [
        b.sub(b.mul(b.take(rois, 1, column), scale), offset) for column in range(4)
    ]
    sizes = [node.attr_int("output_height", 1), node.attr_int("output_width", 1)]
    if not samples:
        return _roi_align_adaptively(b, x, corners, batch, sizes, mode, not offset)
    axes = [
        _roi_positions(b, corners[1 - i], corners[3 - i], sizes[i], samples, not offset)
        for i in range(2)
    ]
    return _RoiReader(b, x, b.cast(batch, I64), mode).pooled(axes, sizes, samples)


def _roi_align_adaptively(
    b: Builder,
    x: SSAValue,
    corners: Sequence[SSAValue],
    batch: SSAValue,
    sizes: Sequence[int],
    mode: str,
    at_least_1: bool,
) -> SSAValue:
    """As many samples as a bin has pixels."""
    columns = [corners[1], corners[0]]
    for axis, bins in enumerate(sizes):
        length = b.sub(corners[3 - axis], corners[1 - axis])
        if at_least_1:
            length = b.binary(ew.MaximumOp, length, 1)
        columns.append(b.div(length, bins))
    count = dims_of(batch)[0]
    boxes = b.concat([b.reshape(c, [count, 1]) for c in columns], 1)
    rows = b.transpose(x, [0, 2, 3, 1])
    kind = "average" if mode == "avg" else "max"
    batch = b.cast(batch, I64)
    y = b.emit(nn.RoiAlignOp(rows, b.cast(boxes, F32), batch, kind, sizes))
    return b.transpose(y, [0, 3, 1, 2])


@converter("MaxRoiPool")
def _max_roi_pool(node: Node, b: Builder) -> Converted:
    x, rois = node.input(0), node.input(1)
    bins = node.attr_ints("pooled_shape")
    if rank_of(x) != 4 or rank_of(rois) != 2 or len(bins) != 2 or min(bins) < 1:
        raise InvalidNodeError(f"{bins} bins of regions {rois.type} of {x.type}")
    rois = b.with_dim(rois, 1, 5)
    images = b.cast(b.take(rois, 1, 0), I64)
    scale = node.attr_float("spatial_scale", 1.0)
    # Halves are rounded away from zero.
    first_x, first_y, last_x, last_y = (
        _half_away(b, b.mul(b.take(rois, 1, 1 + i), scale)) for i in range(4)
    )
    height = _bin_ranges(b, first_y, last_y, bins[0])
    width = _bin_ranges(b, first_x, last_x, bins[1])
    rows = b.transpose(x, [0, 2, 3, 1])
    y = b.emit(nn.RoiMaxPoolOp(rows, height, width, images))
    return b.transpose(y, [0, 3, 1, 2])


def _half_away(b: Builder, x: SSAValue) -> SSAValue:
    size = b.unary(ew.FloorOp, b.add(b.unary(ew.AbsOp, x), 0.5))
    return b.mul(size, b.unary(ew.SignOp, x))


def _bin_ranges(b: Builder, first: SSAValue, last: SSAValue, bins: int) -> SSAValue:
    """The pixels of each bin `[R, bins, 2]`: the first, and the one behind the last."""
    count, type_ = dims_of(first)[0], element_type_of(first)
    length = b.binary(ew.MaximumOp, b.add(b.sub(last, first), 1), 1)
    size = b.reshape(b.div(length, bins), [count, 1])
    start = b.reshape(first, [count, 1])
    places = b.iota([1, bins], 1, type_)
    low = b.add(b.unary(ew.FloorOp, b.mul(places, size)), start)
    high = b.add(b.unary(ew.CeilOp, b.mul(b.add(places, 1), size)), start)
    parts = [b.reshape(b.cast(v, I64), [count, bins, 1]) for v in (low, high)]
    return b.concat(parts, 2)


def _roi_positions(
    b: Builder, low: SSAValue, high: SSAValue, bins: int, samples: int, at_least_1: bool
) -> SSAValue:
    """The positions `[R, bins * samples]` of a region's samples on one axis."""
    length = b.sub(high, low)
    if at_least_1:
        length = b.binary(ew.MaximumOp, length, 1)
    count = dims_of(low)[0]
    number = b.iota([1, bins * samples], 1, element_type_of(low))
    steps = b.mul(b.add(number, 0.5), 1.0 / samples)
    width = b.mul(b.reshape(length, [count, 1]), 1.0 / bins)
    return b.add(b.reshape(low, [count, 1]), b.mul(steps, width))


class _RoiReader:
    """Bilinear samples of regions, each in an image of its own."""

    def __init__(self, b: Builder, x: SSAValue, batch: SSAValue, mode: str) -> None:
        self._b = b
        self._mode = mode
        self._batch = batch
        self._dims = dims_of(x)
        n, channels, height, width = self._dims
        rows = b.transpose(x, [0, 2, 3, 1])
        self._rows = b.reshape(rows, [n, height * width, channels])

    def pooled(
        self, axes: Sequence[SSAValue], sizes: Sequence[int], samples: int
    ) -> SSAValue:
        """`[R, C, height, width]` from the sample positions of both axes."""
        b, channels = self._b, self._dims[1]
        count = dims_of(axes[0])[0]
        high, wide = (s * samples for s in sizes)
        shapes = ([count, high, 1], [count, 1, wide])
        taps = [
            [(b.reshape(i, s), b.reshape(w, s)) for i, w in self._taps(p, d)]
            for p, s, d in zip(axes, shapes, self._dims[2:], strict=True)
        ]
        parts: list[SSAValue] = []
        for (y, wy), (x, wx) in product(*taps):
            width = b.reshape(b.dims([self._dims[3]]), ())
            position = b.add(b.mul(y, width), x)
            value = self._gathered(position, count, high * wide)
            weight = b.reshape(b.mul(wy, wx), [count, high * wide, 1])
            parts.append(b.mul(value, weight))
        combine = b.add if self._mode == "avg" else _maximum(b)
        total = parts[0]
        for part in parts[1:]:
            total = combine(total, part)
        split = [count, sizes[0], samples, sizes[1], samples, channels]
        kind = "mean" if self._mode == "avg" else "max"
        value = b.reduce(b.reshape(total, split), kind, [2, 4])
        value = b.reshape(value, [count, *sizes, channels])
        return b.transpose(value, [0, 3, 1, 2])

    def _gathered(self, position: SSAValue, count: Dim, samples: int) -> SSAValue:
        b = self._b
        n, channels, height, width = self._dims
        size = b.reshape(b.dims([n]), ())
        first = b.select(
            b.compare(self._batch, 0, "lt"), b.add(self._batch, size), self._batch
        )
        inside = b.binary(
            ew.AndOp, b.compare(first, 0, "ge"), b.compare(first, size, "lt")
        )
        pixels = b.reshape(b.dims([height * width]), ())
        start = b.reshape(b.mul(first, pixels), [count, 1])
        row = b.add(b.reshape(position, [count, samples]), start)
        # An image that there is not must not lead into another one.
        row = b.select(b.reshape(inside, [count, 1]), row, -(2**62))
        rows = b.reshape(self._rows, [n * height * width, channels])
        return b.emit(nn.GatherOp(rows, row, 0))

    def _taps(self, position: SSAValue, dim: Dim) -> list[tuple[SSAValue, SSAValue]]:
        """Two indices and their weights, none where a sample lies far outside."""
        b = self._b
        size = _size(b, dim, position)
        fits = b.binary(
            ew.AndOp, b.compare(position, -1, "ge"), b.compare(position, size, "le")
        )
        inner = _clamped(b, position, size)
        inner = b.select(b.compare(inner, inner, "eq"), inner, 0)
        low = b.unary(ew.FloorOp, inner)
        part = b.sub(inner, low)
        high = b.binary(ew.MinimumOp, b.add(low, 1), b.sub(size, 1))
        one = b.scalar(1, element_type_of(part))
        return [
            (b.cast(low, I64), b.select(fits, b.sub(one, part), 0)),
            (b.cast(high, I64), b.select(fits, part, 0)),
        ]


def _maximum(b: Builder) -> Callable[[SSAValue, SSAValue], SSAValue]:
    return lambda lhs, rhs: b.binary(ew.MaximumOp, lhs, rhs)


# ---------------------------------------------------------------- ReverseSequence


@converter("ReverseSequence", since=10)
def _reverse_sequence(node: Node, b: Builder) -> Converted:
    x, lengths = node.input(0), b.cast(node.input(1), I64)
    batch = node.attr_axis(1, rank_of(x), "batch_axis")
    time = node.attr_axis(0, rank_of(x), "time_axis")
    if batch == time or rank_of(lengths) != 1:
        raise InvalidNodeError(f"axes {batch} and {time}, lengths {lengths.type}")
    lengths = b.with_dim(lengths, 0, dims_of(x)[batch])
    shape = [Dim.of(1)] * rank_of(x)
    shape[batch] = dims_of(x)[batch]
    lengths = b.reshape(lengths, shape)
    dims = dims_of(x)
    position = b.iota(dims, time, I64)
    backwards = b.sub(b.sub(lengths, 1), position)
    source = b.select(b.compare(position, lengths, "lt"), backwards, position)
    # A length above the axis reads outside of it, which the kernel reports.
    return b.emit(nn.GatherElementsOp(x, b.broadcast_to(source, dims), time))
