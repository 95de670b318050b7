"""Convolutions that are fused with additions and activations, or lay channels last."""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.frontends.common import Builder
from nnc.frontends.onnx.microsoft.activations import activated
from nnc.frontends.onnx.microsoft.standard import (
    as_standard,
    channels_first,
    channels_last,
    first_of,
)
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import MICROSOFT, Converted, converter


def _fused_conv_of(node: Node, b: Builder) -> SSAValue:
    """The activation of a convolution, its bias and another addend."""
    result = first_of(as_standard(node.derived(node.inputs[:3]), b, "Conv", 11))
    addend = node.optional_input(3)
    if addend is not None:
        result = b.add(result, addend)
    numbers = node.attr_floats("activation_params", [])
    return activated(b, result, node.attr_string("activation", ""), numbers)


@converter("FusedConv", domain=MICROSOFT)
def _fused_conv(node: Node, b: Builder) -> Converted:
    return _fused_conv_of(node, b)


@converter("NhwcConv", domain=MICROSOFT)
@converter("NhwcFusedConv", domain=MICROSOFT)
def _nhwc_conv(node: Node, b: Builder) -> Converted:
    """Data with the channels last; the filter is laid out as that of `Conv`."""
    inputs = list(node.inputs)
    for index in (0, 3):
        value = node.optional_input(index)
        if value is not None:
            inputs[index] = channels_first(b, value)
    return channels_last(b, _fused_conv_of(node.derived(inputs), b))


@converter("QLinearConv", domain=MICROSOFT)
def _qlinear_conv(node: Node, b: Builder) -> Converted:
    if not node.attr_int("channels_last", 0):
        return as_standard(node, b, "QLinearConv", 10)
    inputs = [channels_first(b, node.input(0)), *node.inputs[1:]]
    result = as_standard(node.derived(inputs), b, "QLinearConv", 10)
    return channels_last(b, first_of(result))
