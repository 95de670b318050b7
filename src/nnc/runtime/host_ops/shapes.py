"""Shapes of tensors of any type, and constants."""

from __future__ import annotations

import numpy as np

from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.shape_rules import product
from nnc.runtime.host_ops.types import MAX_KNOWN, HostType, Size, tensor
from nnc.runtime.host_ops.values import (
    Array,
    HostOpError,
    HostValue,
    dtype_name,
    string_array,
)


def _shape_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    if shape is None:
        return tensor("int64", (None,))
    sizes = shape[call.attributes.integer("start", 0) : _end(call)]
    numbers = [s for s in sizes if isinstance(s, int)]
    value = tuple(numbers) if len(numbers) == len(sizes) else None
    return HostType("tensor", "int64", (len(sizes),), value=value)


def _end(call: Call | TypeCall) -> int | None:
    return call.attributes.integer("end") if "end" in call.attributes else None


@host_op("Shape", types=_shape_types)
def _shape(call: Call) -> HostValue:
    sizes = call.tensor(0).shape[call.attributes.integer("start", 0) : _end(call)]
    return np.array(sizes, np.int64)


def _size_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    count: Size = None if shape is None else product(shape)
    value = (count,) if isinstance(count, int) else None
    return HostType("tensor", "int64", (), value=value)


@host_op("Size", types=_size_types)
def _size(call: Call) -> HostValue:
    return np.array(call.tensor(0).size, np.int64)


# ---------------------------------------------------------------- constants


def type_of(value: Array) -> HostType:
    """The type of a tensor that exists."""
    small = value.size <= MAX_KNOWN and value.dtype.kind in "iu"
    known = tuple(int(v) for v in value.ravel()) if small else None
    return HostType("tensor", dtype_name(value), value.shape, value=known)


def _constant_value(call: Call | TypeCall) -> Array:
    attributes = call.attributes
    if "value" in attributes:
        return attributes.tensor("value")
    if "value_string" in attributes:
        return string_array([attributes.text("value_string")], ())
    if "value_strings" in attributes:
        texts = attributes.texts("value_strings")
        return string_array(texts, (len(texts),))
    if "value_int" in attributes:
        return np.array(attributes.integer("value_int"), np.int64)
    if "value_ints" in attributes:
        return np.array(attributes.integers("value_ints"), np.int64)
    if "value_float" in attributes:
        return np.array(attributes.number("value_float"), np.float32)
    if "value_floats" in attributes:
        return np.array(attributes.numbers("value_floats"), np.float32)
    raise HostOpError("the constant has no value")


def _constant_types(call: TypeCall) -> HostType:
    return type_of(_constant_value(call))


@host_op("Constant", types=_constant_types)
def _constant(call: Call) -> HostValue:
    return _constant_value(call)
