"""Converters of constants, of shapes as values, and of generated tensors."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from nnc.dialects.nn.types import F32, dims_of, element_type_of
from nnc.frontends.common import (
    Builder,
    InvalidNodeError,
    UnsupportedError,
)
from nnc.frontends.onnx.node import Node, known_dims
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.sizes import range_count
from nnc.symbolic import Dim, ceildiv, dim_product


@converter("Constant")
def _constant(node: Node, b: Builder) -> Converted:
    name = node.proto.output[0]
    kinds = [k for k in node.attribute_names() if k in _VALUES]
    if len(kinds) != 1 or len(node.attribute_names()) != 1:
        raise InvalidNodeError("a constant must have one value")
    kind = kinds[0]
    match kind:
        case "value":
            return b.constant(node.attr_tensor(kind), name)
        case "value_float":
            return b.constant(np.array(node.attr_float(kind), np.float32), name)
        case "value_floats":
            return b.constant(np.array(node.attr_floats(kind), np.float32), name)
        case "value_int":
            return b.constant(np.array(node.attr_int(kind), np.int64), name)
        case "value_ints":
            return b.constant(np.array(node.attr_ints(kind), np.int64), name)
        case "sparse_value":
            return b.constant(node.attr_sparse_tensor(kind, b.limits), name)
        case _:
            raise UnsupportedError(f"a constant given by '{kind}'")


_VALUES = (
    "value",
    "value_float",
    "value_floats",
    "value_int",
    "value_ints",
    "value_string",
    "value_strings",
    "sparse_value",
)


@converter("Shape")
def _shape(node: Node, b: Builder) -> Converted:
    dims = dims_of(node.input(0))
    rank = len(dims)
    start, end = node.attr_int("start", 0), node.attr_int("end", rank)
    return b.dims(dims[_clamped(start, rank) : _clamped(end, rank)])


def _clamped(index: int, rank: int) -> int:
    return min(max(index + rank if index < 0 else index, 0), rank)


@converter("Size")
def _size(node: Node, b: Builder) -> Converted:
    return b.reshape(b.dims([dim_product(dims_of(node.input(0)))]), ())


@converter("ConstantOfShape", since=9)
def _constant_of_shape(node: Node, b: Builder) -> Converted:
    dims = known_dims(b, node.input(0), "the shape")
    if any((v := d.as_int()) is not None and v < 0 for d in dims):
        raise InvalidNodeError(f"a shape holds a negative number: {dims}")
    value = b.scalar(0, F32)
    if node.has_attr("value"):
        array = node.attr_tensor("value")
        if array.size != 1:
            raise InvalidNodeError(f"the value has {array.size} elements")
        value = b.constant(array.reshape(()))
    return b.broadcast_to(value, dims)


@converter("Range", since=11)
def _range(node: Node, b: Builder) -> Converted:
    inputs = [node.input(i) for i in range(3)]
    with b.at_root(*inputs):
        start, limit, step = (b.reshape(v, ()) for v in inputs)
    count = _range_count(b, (start, limit, step))
    type_ = element_type_of(start)
    steps = b.iota([count], 0, type_)
    if b.constant_scalar(step) != 1:
        steps = b.mul(steps, step)
    return steps if b.constant_scalar(start) == 0 else b.add(steps, start)


def _range_count(b: Builder, values: tuple[SSAValue, SSAValue, SSAValue]) -> Dim:
    known = [b.known_ratios(v) for v in values]
    if any(k is None for k in known):
        return range_count(b, *values)
    start, limit, step = (k[0] for k in known if k is not None)
    fractions = [r.as_fraction() for r in (start, limit, step)]
    if fractions[2] == 0:
        raise InvalidNodeError("delta is 0")
    fixed = [f for f in fractions if f is not None]
    if len(fixed) == 3:
        return Dim.of(max(0, math.ceil((fixed[1] - fixed[0]) / fixed[2])))
    span = (limit - start) / step
    return ceildiv(span.numerator, span.denominator)
