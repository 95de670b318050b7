"""Converters of pooling ops; `padding_of` is what all window ops share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.conv import PoolKind
from nnc.dialects.nn.shapes import window_output_dim
from nnc.dialects.nn.types import dims_of, element_type_of, is_float, rank_of
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.shape_rules import same_padding
from nnc.symbolic import Dim, dim_max


def window_ints(node: Node, name: str, rank: int, default: int = 1) -> list[int]:
    """A window attribute with one positive value a spatial axis."""
    values = node.attr_ints(name, [default] * rank)
    if len(values) != rank:
        raise InvalidNodeError(f"{name} has {len(values)} values for {rank} axes")
    if any(v < 1 for v in values):
        raise InvalidNodeError(f"{name} must be positive, got {values}")
    return values


def padding_of(
    node: Node,
    spatial: Sequence[Dim],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[Dim]:
    """Low padding of all spatial axes, then the high one, from `pads` or `auto_pad`."""
    rank = len(spatial)
    mode = node.attr_string("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = node.attr_ints("pads", [0] * 2 * rank)
        if len(pads) != 2 * rank:
            raise InvalidNodeError(f"pads has {len(pads)} values for {rank} axes")
        return [Dim.of(p) for p in pads]
    if mode == "VALID":
        return [Dim.of(0)] * 2 * rank
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise InvalidNodeError(f"there is no auto_pad '{mode[:40]}'")
    windows = zip(spatial, kernel, strides, dilations, strict=True)
    pairs = [same_padding(*w, upper=mode == "SAME_UPPER") for w in windows]
    return [low for low, _ in pairs] + [high for _, high in pairs]


def require_positions(result: SSAValue) -> SSAValue:
    """
    `result` of a window op, if the window fits its input at least once.

    Raises:
        InvalidNodeError: it does not.
    """
    if 0 in (d.as_int() for d in dims_of(result)[2:]):
        raise InvalidNodeError("the window is larger than the padded input")
    return result


def spatial_rank_of(value: SSAValue) -> int:
    """
    The number of axes after batch and channels.

    Raises:
        InvalidNodeError: there are none.
    """
    rank = rank_of(value) - 2
    if rank < 1:
        raise InvalidNodeError(f"the input has rank {rank + 2}, without spatial axes")
    return rank


def pooled(
    node: Node,
    b: Builder,
    x: SSAValue,
    kind: PoolKind,
    count_padding: bool,
) -> SSAValue:
    """
    The pooling that the attributes of a node describe.

    Raises:
        InvalidNodeError: attributes and input do not fit.
    """
    rank = spatial_rank_of(x)
    if not node.has_attr("kernel_shape"):
        raise InvalidNodeError("attribute 'kernel_shape' is missing")
    kernel = window_ints(node, "kernel_shape", rank)
    strides = window_ints(node, "strides", rank)
    dilations = window_ints(node, "dilations", rank)
    padding = padding_of(node, dims_of(x)[2:], kernel, strides, dilations)
    for axis in range(rank):
        span = (kernel[axis] - 1) * dilations[axis] + 1
        for amount in (padding[axis], padding[rank + axis]):
            fixed = amount.as_int()
            if fixed is not None and not 0 <= fixed < max(span, 2):
                raise InvalidNodeError(
                    f"padding {fixed} does not fit a window of {span} elements"
                )
    # SAME padding already rounds up.
    rounds_down = node.attr_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    return require_positions(
        b.emit(
            nn.PoolOp(
                x,
                kind,
                kernel,
                strides=strides,
                dilations=dilations,
                padding=padding,
                ceil_mode=rounds_down and bool(node.attr_int("ceil_mode", 0)),
                count_padding=count_padding,
            )
        )
    )


@converter("AveragePool")
def _average_pool(node: Node, b: Builder) -> Converted:
    count_padding = bool(node.attr_int("count_include_pad", 0))
    return pooled(node, b, node.input(0), "average", count_padding)


@converter("LpPool")
def _lp_pool(node: Node, b: Builder) -> Converted:
    x, power = node.input(0), _power(node)
    kernel = window_ints(node, "kernel_shape", spatial_rank_of(x))
    # Padding adds nothing to a sum, so that windows may be filled up with it.
    filled = _filled_up(node, b, _powers(b, x, power))
    average = pooled(node, b, filled, "average", count_padding=True)
    return _root(b, b.mul(average, float(math.prod(kernel))), power)


def _power(node: Node) -> float:
    """The norm's exponent, which was a float in opset 1."""
    power = node.attr_float("p", 2.0) if node.version < 2 else node.attr_int("p", 2)
    if not power > 0:
        raise InvalidNodeError(f"p must be positive, got {power}")
    return power


def _filled_up(node: Node, b: Builder, x: SSAValue) -> SSAValue:
    """`x` with zeros behind it that the last window of `ceil_mode` reaches."""
    if not node.attr_int("ceil_mode", 0):
        return x
    rank = spatial_rank_of(x)
    kernel = window_ints(node, "kernel_shape", rank)
    strides = window_ints(node, "strides", rank)
    dilations = window_ints(node, "dilations", rank)
    padding = padding_of(node, dims_of(x)[2:], kernel, strides, dilations)
    high: list[Dim] = []
    for axis, size in enumerate(dims_of(x)[2:]):
        low, after = padding[axis], padding[rank + axis]
        window = (kernel[axis], strides[axis], dilations[axis], low, after)
        count = window_output_dim(size, *window, ceil_mode=True)
        span = (kernel[axis] - 1) * dilations[axis] + 1
        reached = (count - 1) * strides[axis] + span
        high.append(dim_max(reached - (low + size + after), 0))
    if not any(high):
        return x
    return b.emit(nn.PadOp(x, [0] * (rank + 2), [0, 0, *high]))


def _powers(b: Builder, x: SSAValue, power: float) -> SSAValue:
    if power == 2:
        return b.mul(x, x)
    absolute = b.unary(ew.AbsOp, x)
    return absolute if power == 1 else b.binary(ew.PowOp, absolute, float(power))


def _root(b: Builder, x: SSAValue, power: float) -> SSAValue:
    if power == 2:
        return b.unary(ew.SqrtOp, x)
    return x if power == 1 else b.binary(ew.PowOp, x, 1.0 / power)


@converter("GlobalMaxPool")
def _global_max_pool(node: Node, b: Builder) -> Converted:
    return b.reduce(node.input(0), "max", _spatial_axes(node.input(0)))


@converter("GlobalAveragePool")
def _global_average_pool(node: Node, b: Builder) -> Converted:
    return b.reduce(node.input(0), "mean", _spatial_axes(node.input(0)))


@converter("GlobalLpPool")
def _global_lp_pool(node: Node, b: Builder) -> Converted:
    x, power = node.input(0), _power(node)
    total = b.reduce(_powers(b, x, power), "sum", _spatial_axes(x))
    return _root(b, total, power)


def _spatial_axes(x: SSAValue) -> list[int]:
    if not is_float(element_type_of(x)):
        raise InvalidNodeError("the input must hold floats")
    return list(range(2, 2 + spatial_rank_of(x)))
