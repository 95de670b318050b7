"""Converters of resizing ops: all versions of `Resize` and `Upsample`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import get_args

import numpy as np
from xdsl.ir import SSAValue

from nnc.analysis.ratio import Ratio
from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.movement import CoordinateMode, NearestMode, ResizeMode
from nnc.dialects.nn.types import F64, dims_of, rank_of
from nnc.frontends.common import (
    Builder,
    DependsOnDataError,
    InvalidNodeError,
    require_sizes,
)
from nnc.frontends.onnx.node import Node, known_dims, normalized_axes
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.onnx.resample import Axis, Method, resampled, tap_count
from nnc.symbolic import Dim, dim_max, dim_min

_MODES: dict[str, ResizeMode] = {
    "nearest": "nearest",
    "linear": "linear",
    "bilinear": "linear",
    "cubic": "cubic",
}
_COORDINATES: dict[str, CoordinateMode] = {c: c for c in get_args(CoordinateMode)}
_SPECIAL_ONES = ("pytorch_half_pixel", "align_corners")
"""Coordinates whose rule is another one where the result has one element."""

_NEAREST: dict[str, NearestMode] = {m: m for m in get_args(NearestMode)}


def _mode(node: Node) -> ResizeMode:
    name = node.attr_string("mode", "nearest")
    if name not in _MODES:
        raise InvalidNodeError(f"there is no mode '{name[:40]}'")
    return _MODES[name]


def _resized(
    b: Builder,
    x: SSAValue,
    dims: Sequence[Dim],
    scales: Sequence[float] | None,
    mode: ResizeMode,
    coordinates: CoordinateMode,
    nearest: NearestMode,
) -> SSAValue:
    if any((v := d.as_int()) is not None and v < 0 for d in dims):
        raise InvalidNodeError(f"sizes {[str(d) for d in dims]}")
    if tuple(dims) == dims_of(x) and (scales is None or all(s == 1 for s in scales)):
        return x
    return b.emit(nn.ResizeOp(x, dims, scales, mode, coordinates, nearest))


def _scaled(
    b: Builder,
    x: SSAValue,
    scales: Sequence[Ratio],
    mode: ResizeMode,
    coordinates: CoordinateMode,
    nearest: NearestMode,
) -> SSAValue:
    """`x` resized by factors; the result's sizes are rounded down."""
    sizes, fixed = _scaled_dims(dims_of(x), scales)
    # Scales that depend on sizes are their ratio.
    return _resized(b, x, sizes, fixed, mode, coordinates, nearest)


def _scaled_dims(
    dims: Sequence[Dim], scales: Sequence[Ratio]
) -> tuple[list[Dim], list[float] | None]:
    """Sizes, rounded down, and the scales if all are constant."""
    if len(scales) != len(dims):
        raise InvalidNodeError(f"{len(scales)} scales for {len(dims)} axes")
    fractions = [s.as_fraction() for s in scales]
    if any(f is not None and f <= 0 for f in fractions):
        raise InvalidNodeError("scales must be positive")
    sizes = [_product(d, s, f) for d, s, f in zip(dims, scales, fractions, strict=True)]
    fixed = [float(f) for f in fractions if f is not None]
    return sizes, fixed if len(fixed) == len(scales) else None


def _product(dim: Dim, scale: Ratio, fraction: Fraction | None) -> Dim:
    size = dim.as_int()
    if size is not None and fraction is not None:
        return Dim.of(math.floor(size * fraction))
    return (Ratio.of(dim) * scale).floor()


def _known_scales(b: Builder, value: SSAValue) -> list[Ratio]:
    given = b.constant_value(value)
    if given is not None and not np.all(np.isfinite(given)):
        raise InvalidNodeError(f"scales must be numbers, not {given.tolist()}")
    scales = b.known_ratios(value)
    if scales is None:
        raise DependsOnDataError("scales must not depend on data", value)
    return scales


# ---------------------------------------------------------------- Upsample


@converter("Upsample")
def _upsample_of_images(node: Node, b: Builder) -> Converted:
    """Opset 1 had two attributes for the axes of an image."""
    x = node.input(0)
    if rank_of(x) != 4:
        raise InvalidNodeError(f"the input has rank {rank_of(x)}, not 4")
    factors = [
        1.0,
        1.0,
        node.attr_float("height_scale"),
        node.attr_float("width_scale"),
    ]
    scales = [Ratio.of(*s.as_integer_ratio()) for s in factors]
    return _scaled(b, x, scales, _mode(node), "asymmetric", "floor")


@converter("Upsample", since=7)
def _upsample_attribute(node: Node, b: Builder) -> Converted:
    scales = [Ratio.of(*s.as_integer_ratio()) for s in node.attr_floats("scales")]
    return _scaled(b, node.input(0), scales, _mode(node), "asymmetric", "floor")


@converter("Upsample", since=9)
def _upsample(node: Node, b: Builder) -> Converted:
    scales = _known_scales(b, node.input(1))
    return _scaled(b, node.input(0), scales, _mode(node), "asymmetric", "floor")


# ---------------------------------------------------------------- Resize


@converter("Resize", since=10)
def _resize_10(node: Node, b: Builder) -> Converted:
    scales = _known_scales(b, node.input(1))
    return _scaled(b, node.input(0), scales, _mode(node), "asymmetric", "floor")


@converter("Resize", since=11)
def _resize(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    method = _method(node)
    axes = normalized_axes(node.attr_ints("axes", list(range(rank_of(x)))), rank_of(x))
    sizes = node.optional_input(3)
    if sizes is not None and dims_of(sizes) != (Dim.of(0),):
        if method.coordinates in _SPECIAL_ONES and b.known(sizes) is None:
            # What one element is made from differs from the rule for more.
            raise DependsOnDataError("sizes must not depend on data", sizes)
        target = _Target.of_sizes(node, b, x, axes, known_dims(b, sizes, "sizes"))
    else:
        factors = node.optional_input(2)
        if factors is None:
            raise InvalidNodeError("neither scales nor sizes are given")
        target = _Target.of_scales(x, axes, _known_scales(b, factors))
    if target.is_simple and _is_simple(method):
        return _resized(
            b,
            x,
            target.dims,
            target.fixed_scales(),
            method.mode,
            _COORDINATES[method.coordinates],
            method.nearest,
        )
    require_sizes(target.dims, "the result's shape")
    regions = _regions(node, b, len(axes)) if "crop" in method.coordinates else None
    plan: list[Axis] = []
    for number, axis in enumerate(axes):
        before, after = dims_of(x)[axis], target.dims[axis]
        scale, region = target.scales[axis], None
        if regions is not None:
            region = regions[number], regions[number + len(axes)]
        if before == after and scale in (None, 1.0) and region is None:
            continue
        fixed = scale if isinstance(scale, float) else None
        taps = tap_count(method, before, after, fixed)
        plan.append(Axis(axis, before, after, scale, taps, region))
    return resampled(b, x, plan, method)


_EXTRA_COORDINATES = ("tf_crop_and_resize", "tf_half_pixel_for_nn")


def _method(node: Node) -> Method:
    mode = _mode(node)
    nearest = _NEAREST.get(node.attr_string("nearest_mode", "round_prefer_floor"))
    if nearest is None:
        raise InvalidNodeError("there is no such nearest_mode")
    coordinates = node.attr_string("coordinate_transformation_mode", "half_pixel")
    if coordinates not in (*_COORDINATES, *_EXTRA_COORDINATES):
        raise InvalidNodeError(
            f"there is no coordinate_transformation_mode '{coordinates[:40]}'"
        )
    weighted = mode != "nearest"
    return Method(
        mode,
        coordinates,
        nearest,
        antialias=weighted and bool(node.attr_int("antialias", 0)),
        exclude_outside=weighted and bool(node.attr_int("exclude_outside", 0)),
        cubic=node.attr_float("cubic_coeff_a", -0.75),
        extrapolation=node.attr_float("extrapolation_value", 0.0),
    )


def _is_simple(method: Method) -> bool:
    """Whether `nn.resize` has what is asked for."""
    is_usual = method.mode != "cubic" or method.cubic == -0.75
    extra = method.antialias or method.exclude_outside
    return is_usual and not extra and method.coordinates in _COORDINATES


def _regions(node: Node, b: Builder, axes: int) -> list[SSAValue]:
    """Starts, then ends, of the region of interest."""
    roi = node.input(1)
    if dims_of(roi) != (Dim.of(2 * axes),):
        raise InvalidNodeError(f"a region of {roi.type} for {axes} axes")
    return [b.cast(b.take(roi, 0, i), F64) for i in range(2 * axes)]


@dataclass(frozen=True)
class _Target:
    """Sizes and scales of a result, one an axis of the input."""

    dims: Sequence[Dim]
    scales: Sequence[float | SSAValue | None]
    """None where the ratio of the sizes is meant."""

    @property
    def is_simple(self) -> bool:
        """Whether `nn.resize` can have these scales."""
        is_ratio = all(s is None for s in self.scales)
        return is_ratio or all(isinstance(s, float) for s in self.scales)

    def fixed_scales(self) -> list[float] | None:
        """The scales of `nn.resize`."""
        fixed = [s for s in self.scales if isinstance(s, float)]
        return fixed if len(fixed) == len(self.scales) else None

    @staticmethod
    def of_scales(x: SSAValue, axes: Sequence[int], given: Sequence[Ratio]) -> _Target:
        if len(given) != len(axes):
            raise InvalidNodeError(f"{len(given)} scales for {len(axes)} axes")
        full = [Ratio.of(1)] * rank_of(x)
        for axis, scale in zip(axes, given, strict=True):
            full[axis] = scale
        dims, fixed = _scaled_dims(dims_of(x), full)
        # Scales that depend on sizes are their ratio.
        return _Target(dims, fixed or [None] * len(dims))

    @staticmethod
    def of_sizes(
        node: Node, b: Builder, x: SSAValue, axes: Sequence[int], given: Sequence[Dim]
    ) -> _Target:
        if len(given) != len(axes):
            raise InvalidNodeError(f"{len(given)} sizes for {len(axes)} axes")
        dims = list(dims_of(x))
        for axis, size in zip(axes, given, strict=True):
            dims[axis] = size
        policy = node.attr_string("keep_aspect_ratio_policy", "stretch")
        if policy == "stretch":
            return _Target(dims, [None] * len(dims))
        if policy not in ("not_larger", "not_smaller"):
            raise InvalidNodeError(
                f"there is no keep_aspect_ratio_policy '{policy[:40]}'"
            )
        return _proportional(b, x, dims, axes, policy == "not_larger")


def _proportional(
    b: Builder, x: SSAValue, target: Sequence[Dim], axes: Sequence[int], smallest: bool
) -> _Target:
    """Sizes and scales when one factor, the smallest or largest, holds for all axes."""
    dims = dims_of(x)
    if any(dims[a].as_int() == 0 for a in axes):
        raise InvalidNodeError("an axis without elements has no aspect ratio")
    result = list(dims)
    choose = dim_min if smallest else dim_max
    for axis in axes:
        # Half rounds up; to round and to choose can change places.
        rounded = [
            (2 * target[a] * dims[axis] + dims[a]) // (2 * dims[a]) for a in axes
        ]
        result[axis] = reduce(choose, rounded)
    scale = _common_scale(b, dims, target, axes, smallest)
    scales: list[float | SSAValue | None] = [1.0] * len(dims)
    for axis in axes:
        scales[axis] = scale
    return _Target(result, scales)


def _common_scale(
    b: Builder,
    dims: Sequence[Dim],
    target: Sequence[Dim],
    axes: Sequence[int],
    smallest: bool,
) -> float | SSAValue:
    sizes = [(target[a].as_int(), dims[a].as_int()) for a in axes]
    fixed = [Fraction(w, s) for w, s in sizes if w is not None and s is not None]
    if len(fixed) == len(sizes):
        return float(min(fixed) if smallest else max(fixed))
    ratios = [
        b.div(*(b.cast(b.reshape(b.dims([d]), ()), F64) for d in (target[a], dims[a])))
        for a in axes
    ]
    op = ew.MinimumOp if smallest else ew.MaximumOp
    return reduce(lambda first, second: b.binary(op, first, second), ratios)
