"""
Ops that the standard had as experimental, and dropped.

No schema is left of them, but models of their time have them.
"""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import dims_of, element_type_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.conv import channel_vector
from nnc.frontends.onnx.elementwise import softplus
from nnc.frontends.onnx.node import Node, known_dims, known_ints, normalized_axes
from nnc.frontends.onnx.registry import Converted, converter


@converter("Affine")
def _affine(node: Node, b: Builder) -> Converted:
    scaled = b.mul(node.input(0), node.attr_float("alpha", 1.0))
    return b.add(scaled, node.attr_float("beta", 0.0))


@converter("Scale")
def _scale(node: Node, b: Builder) -> Converted:
    return b.mul(node.input(0), node.attr_float("scale", 1.0))


def _stretched(node: Node, b: Builder) -> SSAValue:
    return b.mul(node.input(0), node.attr_float("beta", 1.0))


@converter("ScaledTanh")
def _scaled_tanh(node: Node, b: Builder) -> Converted:
    value = b.unary(ew.TanhOp, _stretched(node, b))
    return b.mul(value, node.attr_float("alpha", 1.0))


@converter("ParametricSoftplus")
def _parametric_softplus(node: Node, b: Builder) -> Converted:
    value = softplus(b, _stretched(node, b))
    return b.mul(value, node.attr_float("alpha", 1.0))


@converter("ImageScaler")
def _image_scaler(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    scaled = b.mul(x, node.attr_float("scale", 1.0))
    bias = b.constant(np.array(node.attr_floats("bias", []), np.float32))
    if dims_of(bias)[0] == 0:
        return scaled
    bias = b.cast(bias, element_type_of(x))
    return b.add(scaled, channel_vector(b, bias, rank_of(x)))


@converter("Crop")
def _crop(node: Node, b: Builder) -> Converted:
    """Without the border `left, top, right, bottom`, or of the size `scale`."""
    x, border = node.input(0), node.attr_ints("border")
    if rank_of(x) != 4 or len(border) != 4 or min(border) < 0:
        raise InvalidNodeError(f"a border of {border} around {x.type}")
    left, top, right, bottom = border
    height, width = dims_of(x)[2:]
    ends = [height - bottom, width - right]
    if node.has_attr("scale"):
        size = node.attr_ints("scale")
        if len(size) != 2 or min(size) < 0:
            raise InvalidNodeError(f"a scale of {size}")
        ends = [top + size[0], left + size[1]]
    return b.slice(x, [top, left], ends, [2, 3], [1, 1])


@converter("DynamicSlice")
def _dynamic_slice(node: Node, b: Builder) -> Converted:
    x, axes = node.input(0), node.optional_input(3)
    starts = known_dims(b, node.input(1), "starts")
    ends = known_dims(b, node.input(2), "ends")
    chosen = list(range(len(starts)))
    if axes is not None:
        chosen = known_ints(b, axes, "axes")
    if not len(starts) == len(ends) == len(chosen):
        raise InvalidNodeError("starts, ends and axes differ in length")
    chosen = normalized_axes(chosen, rank_of(x))
    return b.slice(x, starts, ends, chosen, [1] * len(starts))
