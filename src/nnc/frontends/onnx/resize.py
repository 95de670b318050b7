"""Converters of resizing ops: all versions of `Resize` and `Upsample`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import get_args

from xdsl.ir import SSAValue

from nnc.analysis.ratio import Ratio
from nnc.dialects import nn
from nnc.dialects.nn.movement import CoordinateMode, NearestMode, ResizeMode
from nnc.dialects.nn.types import dims_of, rank_of
from nnc.frontends.common import (
    Builder,
    DependsOnDataError,
    InvalidNodeError,
    UnsupportedError,
)
from nnc.frontends.onnx.node import Node, known_dims, normalized_axes
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import Dim

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
    dims = dims_of(x)
    if len(scales) != len(dims):
        raise InvalidNodeError(f"{len(scales)} scales for {len(dims)} axes")
    fractions = [s.as_fraction() for s in scales]
    if any(f is not None and f <= 0 for f in fractions):
        raise InvalidNodeError("scales must be positive")
    sizes = [_product(d, s, f) for d, s, f in zip(dims, scales, fractions, strict=True)]
    fixed = [float(f) for f in fractions if f is not None]
    # Scales that depend on sizes are their ratio.
    known = fixed if len(fixed) == len(scales) else None
    return _resized(b, x, sizes, known, mode, coordinates, nearest)


def _product(dim: Dim, scale: Ratio, fraction: Fraction | None) -> Dim:
    size = dim.as_int()
    if size is not None and fraction is not None:
        return Dim.of(math.floor(size * fraction))
    return (Ratio.of(dim) * scale).floor()


def _known_scales(b: Builder, value: SSAValue) -> list[Ratio]:
    scales = b.known_ratios(value)
    if scales is None:
        raise DependsOnDataError("scales must not depend on data", value)
    return scales


# ---------------------------------------------------------------- Upsample


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
    rank = rank_of(x)
    mode, coordinates = _mode(node), _coordinates(node)
    nearest = _NEAREST.get(node.attr_string("nearest_mode", "round_prefer_floor"))
    if nearest is None:
        raise InvalidNodeError("there is no such nearest_mode")
    _refuse_options(node, mode)
    axes = normalized_axes(node.attr_ints("axes", list(range(rank))), rank)
    sizes = node.optional_input(3)
    if sizes is not None and dims_of(sizes) != (Dim.of(0),):
        if coordinates in _SPECIAL_ONES and b.known(sizes) is None:
            # What one element is made from differs from the rule for more.
            raise DependsOnDataError("sizes must not depend on data", sizes)
        given = known_dims(b, sizes, "sizes")
        if len(given) != len(axes):
            raise InvalidNodeError(f"{len(given)} sizes for {len(axes)} axes")
        dims = list(dims_of(x))
        for axis, size in zip(axes, given, strict=True):
            dims[axis] = size
        scales = None
        if node.attr_string("keep_aspect_ratio_policy", "stretch") != "stretch":
            dims, scales = _keep_aspect_ratio(node, dims_of(x), dims, axes)
        return _resized(b, x, dims, scales, mode, coordinates, nearest)
    factors = node.optional_input(2)
    if factors is None:
        raise InvalidNodeError("neither scales nor sizes are given")
    given_scales = _known_scales(b, factors)
    if len(given_scales) != len(axes):
        raise InvalidNodeError(f"{len(given_scales)} scales for {len(axes)} axes")
    full = [Ratio.of(1)] * rank
    for axis, scale in zip(axes, given_scales, strict=True):
        full[axis] = scale
    return _scaled(b, x, full, mode, coordinates, nearest)


def _coordinates(node: Node) -> CoordinateMode:
    name = node.attr_string("coordinate_transformation_mode", "half_pixel")
    if name in ("tf_crop_and_resize", "tf_half_pixel_for_nn"):
        raise UnsupportedError(f"coordinate_transformation_mode '{name}'")
    if name not in _COORDINATES:
        raise InvalidNodeError(
            f"there is no coordinate_transformation_mode '{name[:40]}'"
        )
    return _COORDINATES[name]


def _refuse_options(node: Node, mode: ResizeMode) -> None:
    if node.attr_int("antialias", 0) and mode != "nearest":
        raise UnsupportedError("antialias")
    if mode != "cubic":
        return
    if node.attr_int("exclude_outside", 0):
        raise UnsupportedError("exclude_outside")
    if node.attr_float("cubic_coeff_a", -0.75) != -0.75:
        raise UnsupportedError("a cubic_coeff_a other than -0.75")


def _keep_aspect_ratio(
    node: Node, dims: Sequence[Dim], target: Sequence[Dim], axes: Sequence[int]
) -> tuple[list[Dim], list[float]]:
    """Sizes and scales when one factor, the smallest or largest, holds for all axes."""
    policy = node.attr_string("keep_aspect_ratio_policy")
    if policy not in ("not_larger", "not_smaller"):
        raise InvalidNodeError(f"there is no keep_aspect_ratio_policy '{policy[:40]}'")
    ratios: list[Fraction] = []
    for axis in axes:
        size, wanted = dims[axis].as_int(), target[axis].as_int()
        if size is None or wanted is None or not size:
            raise UnsupportedError("keep_aspect_ratio_policy with free sizes")
        ratios.append(Fraction(wanted, size))
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    result, scales = list(dims), [1.0] * len(dims)
    for axis in axes:
        size = dims[axis].as_int() or 0
        # Half rounds up.
        result[axis] = Dim.of(math.floor(scale * size + Fraction(1, 2)))
        scales[axis] = float(scale)
    return result, scales
