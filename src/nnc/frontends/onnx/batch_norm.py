"""Converters of batch normalization, in inference and in training."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import (
    BF16,
    F16,
    F32,
    dims_of,
    element_type_of,
    rank_of,
)
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import Dim, dim_product


@converter("BatchNormalization")
def _batch_normalization(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    if rank_of(x) < 2:
        raise InvalidNodeError(f"the input has rank {rank_of(x)}; 2 is the least")
    parameters = [node.input(i) for i in range(1, 5)]
    dims = dims_of(x)
    if node.version < 9 and not node.attr_int("spatial", 1):
        # Each position has statistics of its own: positions become channels.
        features = dim_product(dims[1:])
        x = b.reshape(x, [dims[0], features])
        parameters = [b.reshape(p, [features]) for p in parameters]
    channels = dims_of(x)[1]
    for parameter in parameters:
        if rank_of(parameter) != 1:
            raise InvalidNodeError(f"{parameter.type} is no vector of channels")
    parameters = [b.with_dim(p, 0, channels) for p in parameters]
    epsilon = node.attr_float("epsilon", 1e-5)
    if not _is_training(node):
        y = _normalized(b, x, parameters, epsilon)
        return [b.reshape(y, dims), *[None] * (len(node.used_outputs) - 1)]
    y, running, batch = _trained(node, b, x, parameters, epsilon)
    # Up to opset 13, the statistics of the batch were outputs, too.
    others = running if node.version >= 14 else [*running, *batch]
    return [b.reshape(y, dims), *others][: len(node.used_outputs)]


def _is_training(node: Node) -> bool:
    """By an attribute; up to opset 13 by whether there are outputs for it."""
    if node.version >= 14:
        return bool(node.attr_int("training_mode", 0))
    return not node.attr_int("is_test", 0) and any(node.proto.output[1:])


def _normalized(
    b: Builder, x: SSAValue, parameters: Sequence[SSAValue], epsilon: float
) -> SSAValue:
    type_ = element_type_of(x)
    scale, bias, mean, variance = (b.cast(p, type_) for p in parameters)
    return b.emit(nn.BatchNormOp(x, scale, bias, mean, variance, 1, epsilon))


def _trained(
    node: Node,
    b: Builder,
    x: SSAValue,
    parameters: Sequence[SSAValue],
    epsilon: float,
) -> tuple[SSAValue, list[SSAValue], list[SSAValue]]:
    """Normalised by the batch; the running statistics, and those of the batch."""
    type_ = element_type_of(x)
    # Sums of halves need more precision than they have.
    wide = b.cast(x, F32) if type_ in (F16, BF16) else x
    axes = [a for a in range(rank_of(x)) if a != 1]
    mean = b.reduce(wide, "mean", axes)
    centred = b.sub(wide, mean)
    variance = b.reduce(b.mul(centred, centred), "mean", axes)
    channels = [dims_of(x)[1]]
    statistics = [b.reshape(v, channels) for v in (mean, variance)]
    shape = [Dim.of(1), *channels, *[Dim.of(1)] * (rank_of(x) - 2)]
    scale, bias = (
        b.reshape(b.cast(p, element_type_of(wide)), shape) for p in parameters[:2]
    )
    deviation = b.unary(ew.SqrtOp, b.add(variance, epsilon))
    y = b.cast(b.add(b.mul(b.div(centred, deviation), scale), bias), type_)
    momentum = node.attr_float("momentum", 0.9)
    running: list[SSAValue] = []
    batch: list[SSAValue] = []
    for old, new in zip(parameters[2:], statistics, strict=True):
        kind = element_type_of(old)
        wide_old = b.cast(old, element_type_of(new))
        mixed = b.add(b.mul(wide_old, momentum), b.mul(new, 1 - momentum))
        running.append(b.cast(mixed, kind))
        batch.append(b.cast(new, kind))
    return y, running, batch
