"""Ops that the standard took over, or that are one of its ops in another layout."""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn.types import I64, dims_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.node import Node, known_int, normalized_axis
from nnc.frontends.onnx.registry import (
    MICROSOFT,
    Converted,
    converter,
    find_converter,
)
from nnc.symbolic import Dim


def as_standard(node: Node, b: Builder, op_type: str, version: int) -> Converted:
    """The node converted as if it were the standard's op at that opset version."""
    convert = find_converter("", op_type, version)
    assert convert is not None, op_type
    return convert(node.derived(version=version), b)


def first_of(converted: Converted) -> SSAValue:
    """The only output that a converter computes."""
    value = converted if isinstance(converted, SSAValue) else converted[0]
    assert value is not None
    return value


def channels_first(b: Builder, x: SSAValue) -> SSAValue:
    """`[N, ..., C]` as `[N, C, ...]`."""
    rank = rank_of(x)
    return b.transpose(x, [0, rank - 1, *range(1, rank - 1)]) if rank > 2 else x


def channels_last(b: Builder, x: SSAValue) -> SSAValue:
    """`[N, C, ...]` as `[N, ..., C]`."""
    rank = rank_of(x)
    return b.transpose(x, [0, *range(2, rank), 1]) if rank > 2 else x


@converter("Trilu", domain=MICROSOFT)
def _trilu(node: Node, b: Builder) -> Converted:
    return as_standard(node, b, "Trilu", 14)


@converter("GatherND", domain=MICROSOFT)
def _gather_nd(node: Node, b: Builder) -> Converted:
    return as_standard(node, b, "GatherND", 13)


@converter("GridSample", domain=MICROSOFT)
def _grid_sample(node: Node, b: Builder) -> Converted:
    return as_standard(node, b, "GridSample", 16)


@converter("QuantizeLinear", domain=MICROSOFT)
def _quantize_linear(node: Node, b: Builder) -> Converted:
    return as_standard(node, b, "QuantizeLinear", 13)


@converter("DequantizeLinear", domain=MICROSOFT)
def _dequantize_linear(node: Node, b: Builder) -> Converted:
    return as_standard(node, b, "DequantizeLinear", 13)


@converter("Range", domain=MICROSOFT)
def _range(node: Node, b: Builder) -> Converted:
    start, limit, delta = node.input(0), node.input(1), node.optional_input(2)
    if delta is None:
        delta = b.reshape(b.full(1, start), dims_of(start))
    scalars = [b.reshape(v, []) for v in (start, limit, delta)]
    return as_standard(node.derived(scalars), b, "Range", 11)


@converter("Pad", domain=MICROSOFT)
def _pad(node: Node, b: Builder) -> Converted:
    pads = node.input(1)
    if not rank_of(pads):
        raise InvalidNodeError("pads must be a vector")
    inputs = [node.input(0), b.reshape(pads, [dims_of(pads)[-1]]), *node.inputs[2:]]
    return as_standard(node.derived(inputs), b, "Pad", 13)


@converter("ExpandDims", domain=MICROSOFT)
def _expand_dims(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    axis = known_int(b, node.input(1), "the axis")
    dims = list(dims_of(x))
    dims.insert(normalized_axis(axis, rank_of(x) + 1), Dim.of(1))
    return b.reshape(x, dims)


@converter("NhwcMaxPool", domain=MICROSOFT)
def _nhwc_max_pool(node: Node, b: Builder) -> Converted:
    x = channels_first(b, node.input(0))
    pooled = as_standard(node.derived([x]), b, "MaxPool", 12)
    return channels_last(b, first_of(pooled))


@converter("UnfoldTensor", domain=MICROSOFT)
def _unfold_tensor(node: Node, b: Builder) -> Converted:
    """All windows along an axis, each as the last axis of the result."""
    x, rank = node.input(0), rank_of(node.input(0))
    axis = node.attr_axis(-1, rank, "dim")
    size, step = node.attr_int("size"), node.attr_int("step", 1)
    extent = dims_of(x)[axis].as_int()
    if size < 1 or step < 1 or (extent is not None and size > extent):
        raise InvalidNodeError(f"windows of {size}, {step} apart, of {extent}")
    count = (dims_of(x)[axis] - size) // step + 1
    starts = b.mul(b.iota([count, size], 0, I64), step)
    positions = b.add(starts, b.iota([count, size], 1, I64))
    windows = b.emit(nn.GatherOp(x, positions, axis))
    order = [a for a in range(rank + 1) if a != axis + 1]
    return b.transpose(windows, [*order, axis + 1])
