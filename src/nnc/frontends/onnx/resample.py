"""
Resizing that `nn.resize` does not do: each axis as a weighted sum of gathered taps.

Weights are tensors of their own, made from positions: so they can be those of a filter
that grows with the factor (antialiasing), be normalized anew where taps lie outside, or
come from a region of interest that is data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.movement import NearestMode, ResizeMode
from nnc.dialects.nn.types import (
    BOOL,
    F32,
    F64,
    I64,
    dims_of,
    element_type_of,
    is_float,
    rank_of,
)
from nnc.frontends.common import Builder
from nnc.symbolic import Dim, DimLike, ceildiv, dim_max


@dataclass(frozen=True)
class Axis:
    """How one axis is resized."""

    axis: int
    before: Dim
    after: Dim
    scale: float | SSAValue | None
    """None: the ratio of the sizes. A value is an f64 scalar."""
    taps: Dim
    """Elements that a result is computed from: an even number."""
    region: tuple[SSAValue, SSAValue] | None = None
    """Start and end of a region of interest, as f64 parts of the axis."""


@dataclass(frozen=True)
class Method:
    """What holds for all axes."""

    mode: ResizeMode
    coordinates: str
    nearest: NearestMode = "round_prefer_floor"
    antialias: bool = False
    exclude_outside: bool = False
    cubic: float = -0.75
    extrapolation: float = 0.0


def tap_count(
    method: Method, before: DimLike, after: DimLike, scale: float | None
) -> Dim:
    """How many elements a result is computed from."""
    reach = 2 if method.mode == "cubic" else 1
    if not method.antialias:
        return Dim.of(2 * reach)
    if scale is not None:
        # `reach / scale`, rounded up.
        return Dim.of(2 * max(reach, -int(-reach // min(scale, 1.0))))
    return 2 * dim_max(ceildiv(Dim.of(before) * reach, dim_max(after, 1)), reach)


def resampled(
    b: Builder, x: SSAValue, axes: Sequence[Axis], method: Method
) -> SSAValue:
    """`x` resized along `axes`, one after another."""
    type_ = element_type_of(x)
    if method.mode != "nearest":
        x = b.cast(x, F64 if type_ == F64 or not is_float(type_) else F32)
    outside: SSAValue | None = None
    for axis in axes:
        point = _Positions(b, axis).of(method.coordinates)
        if method.mode == "nearest":
            x = _nearest(b, x, axis, point, method.nearest)
        else:
            x = _interpolated(b, x, axis, point, method)
        if axis.region is not None:
            beyond = _along(b, _beyond(b, axis, point), axis, rank_of(x))
            outside = beyond if outside is None else b.binary(ew.OrOp, outside, beyond)
    if method.mode != "nearest" and not is_float(type_):
        x = b.unary(ew.RoundOp, x)
    x = b.cast(x, type_)
    if outside is None:
        return x
    return b.select(outside, b.scalar(method.extrapolation, type_), x)


def _along(b: Builder, value: SSAValue, axis: Axis, rank: int) -> SSAValue:
    """A vector along an axis of a tensor of that rank."""
    shape = [Dim.of(1)] * rank
    shape[axis.axis] = axis.after
    return b.reshape(value, shape)


def _beyond(b: Builder, axis: Axis, point: SSAValue) -> SSAValue:
    last = b.cast(b.reshape(b.dims([axis.before - 1]), ()), F64)
    inside = b.binary(ew.AndOp, b.compare(point, 0, "ge"), b.compare(point, last, "le"))
    return b.binary(ew.XorOp, inside, b.scalar(1, BOOL))


class _Positions:
    """Where the results of an axis lie on the input, as an f64 vector."""

    def __init__(self, b: Builder, axis: Axis) -> None:
        self._b, self._axis = b, axis
        self._x = b.iota([axis.after], 0, F64)
        self._before, self._after = (self._size(d) for d in (axis.before, axis.after))
        self.scale: SSAValue = self._given_scale()
        """Results an input element, an f64 scalar."""
        self._length = b.mul(self.scale, self._before)
        if axis.scale is None:
            self._length = self._after

    def _given_scale(self) -> SSAValue:
        scale = self._axis.scale
        if scale is None:
            return self._b.div(self._after, self._before)
        if isinstance(scale, SSAValue):
            return scale
        return self._b.scalar(scale, F64)

    def _size(self, dim: Dim) -> SSAValue:
        return self._b.cast(self._b.reshape(self._b.dims([dim]), ()), F64)

    def of(self, mode: str) -> SSAValue:
        """The positions by one of ONNX's coordinate transformations."""
        b, x = self._b, self._x
        match mode:
            case "align_corners":
                return b.mul(x, self._corner_step())
            case "asymmetric":
                return b.div(x, self.scale)
            case "tf_half_pixel_for_nn":
                return b.div(b.add(x, 0.5), self.scale)
            case "tf_crop_and_resize":
                return self._cropped()
            case "half_pixel_symmetric":
                shift = b.sub(1, b.div(self._after, self._length))
                shift = b.mul(shift, b.mul(self._before, 0.5))
                return b.add(shift, self._half_pixel())
            case "pytorch_half_pixel":
                is_one = b.compare(self._after, 1, "le")
                return b.select(is_one, b.mul(x, 0), self._half_pixel())
            case _:
                return self._half_pixel()

    def _half_pixel(self) -> SSAValue:
        b = self._b
        return b.sub(b.div(b.add(self._x, 0.5), self.scale), 0.5)

    def _corner_step(self) -> SSAValue:
        """The distance of results whose first and last lie on the corners."""
        b = self._b
        # A single result lies on the first one, whatever the step.
        gaps = b.binary(ew.MaximumOp, b.sub(self._length, 1), 1)
        return b.div(b.sub(self._before, 1), gaps)

    def _cropped(self) -> SSAValue:
        b = self._b
        assert self._axis.region is not None
        start, end = self._axis.region
        last = b.sub(self._before, 1)
        step = b.mul(b.sub(end, start), self._corner_step())
        middle = b.mul(b.mul(b.add(start, end), last), 0.5)
        first = b.select(b.compare(self._length, 1, "gt"), b.mul(start, last), middle)
        return b.add(b.mul(self._x, step), first)


def _nearest(
    b: Builder, x: SSAValue, axis: Axis, point: SSAValue, mode: NearestMode
) -> SSAValue:
    match mode:
        case "round_prefer_floor":
            place = b.unary(ew.CeilOp, b.sub(point, 0.5))
        case "round_prefer_ceil":
            place = b.unary(ew.FloorOp, b.add(point, 0.5))
        case "floor":
            place = b.unary(ew.FloorOp, point)
        case _:
            place = b.unary(ew.CeilOp, point)
    return b.emit(nn.GatherOp(x, _clipped(b, b.cast(place, I64), axis), axis.axis))


def _clipped(b: Builder, index: SSAValue, axis: Axis) -> SSAValue:
    last = b.reshape(b.dims([axis.before - 1]), ())
    index = b.binary(ew.MinimumOp, index, last)
    return b.binary(ew.MaximumOp, index, 0)


def _interpolated(
    b: Builder, x: SSAValue, axis: Axis, point: SSAValue, method: Method
) -> SSAValue:
    """Taps around each position, weighted and added up."""
    left = b.unary(ew.FloorOp, point)
    first = 1 - axis.taps // 2
    tap = b.add(b.iota([1, axis.taps], 1, I64), b.reshape(b.dims([first]), ()))
    base = b.reshape(b.cast(left, I64), [axis.after, 1])
    index = b.add(base, tap)
    offset = b.reshape(b.sub(point, left), [axis.after, 1])
    distance = b.unary(ew.AbsOp, b.sub(b.cast(tap, F64), offset))
    if method.antialias:
        scale = b.binary(ew.MinimumOp, _Positions(b, axis).scale, 1)
        distance = b.mul(distance, scale)
    weight = _filter(b, distance, method)
    clipped = _clipped(b, index, axis)
    if method.exclude_outside:
        weight = b.select(b.compare(clipped, index, "eq"), weight, 0)
    if method.exclude_outside or method.antialias:
        weight = b.div(weight, b.reduce(weight, "sum", [1]))
    count = axis.after * axis.taps
    taken = b.emit(nn.GatherOp(x, b.reshape(clipped, [count]), axis.axis))
    dims, at = list(dims_of(x)), axis.axis
    split = [*dims[:at], axis.after, axis.taps, *dims[at + 1 :]]
    shape = [*[1] * at, axis.after, axis.taps, *[1] * (len(dims) - at - 1)]
    weight = b.reshape(b.cast(weight, element_type_of(x)), shape)
    terms = b.mul(b.reshape(taken, split), weight)
    return b.reduce(terms, "sum", [at + 1], keep_dims=False)


def _filter(b: Builder, distance: SSAValue, method: Method) -> SSAValue:
    """The weight at a distance: a triangle, or Keys' cubic."""
    if method.mode == "linear":
        falling = b.sub(b.scalar(1, F64), distance)
        return b.binary(ew.MaximumOp, falling, 0)
    a = method.cubic
    inner = b.sub(b.mul(distance, a + 2), a + 3)
    inner = b.add(b.mul(b.mul(inner, distance), distance), 1)
    outer = b.add(b.mul(b.sub(b.mul(distance, a), 5 * a), distance), 8 * a)
    outer = b.sub(b.mul(outer, distance), 4 * a)
    tail = b.select(b.compare(distance, 2, "lt"), outer, 0)
    return b.select(b.compare(distance, 1, "le"), inner, tail)
