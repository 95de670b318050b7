"""Constants as numpy arrays, and numpy arrays as constants."""

from __future__ import annotations

import sys
from typing import cast

import numpy as np
from xdsl.dialects.builtin import (
    AnyDenseElement,
    BytesAttr,
    DenseIntOrFPElementsAttr,
    TensorType,
)
from xdsl.ir import SSAValue

from nnc.dialects.nn.dtypes import element_type_for, numpy_dtype
from nnc.dialects.nn.literals import DenseAttr
from nnc.dialects.nn.structure import MAX_INLINE_ELEMENTS, ConstantOp, DimsOp, WeightOp
from nnc.dialects.nn.types import (
    F4E2M1FN,
    F6E2M3FN,
    F6E3M2FN,
    SMALL_INTEGERS,
    is_bool,
    tensor_type,
)
from nnc.weights import Array, WeightStore

_PARTS_OF_BYTES = frozenset((F4E2M1FN, F6E2M3FN, F6E3M2FN))


def dense_attribute(array: Array) -> DenseAttr:
    """The attribute that holds the values of `array`, bit for bit."""
    element_type = element_type_for(array.dtype)
    type_ = tensor_type(element_type, array.shape)
    array = array.astype(numpy_dtype(element_type), copy=False)
    if is_bool(element_type):
        # xDSL packs a true i1 as -1, so that equal constants are equal attributes.
        array = -array.astype(np.int8)
    elif element_type in SMALL_INTEGERS:
        # The bits above are not looked at, and may be anything.
        array = array.astype(np.int8)
    elif element_type in _PARTS_OF_BYTES:
        array = array.astype(np.float32).astype(array.dtype)
    data = BytesAttr(_little_endian(array).tobytes())
    return DenseIntOrFPElementsAttr(cast("TensorType[AnyDenseElement]", type_), data)


def dense_array(attribute: DenseAttr) -> Array:
    """The values of a dense attribute as a read-only array."""
    element_type = attribute.get_element_type()
    dtype = numpy_dtype(element_type)
    data = attribute.data.data
    if is_bool(element_type):
        array = np.frombuffer(data, np.int8) != 0
    elif element_type in SMALL_INTEGERS:
        array = np.frombuffer(data, np.int8).astype(dtype)
    else:
        array = _little_endian(np.frombuffer(data, dtype))
    array = array.reshape(attribute.get_shape())
    array.flags.writeable = False
    return array


def _little_endian(array: Array) -> Array:
    """`array`, its bytes swapped where the machine is big-endian."""
    return array if sys.byteorder == "little" else array.byteswap()


CACHE_LINE = 64
"""Bytes; a guess that only speed depends on."""


def _row_major(array: Array) -> Array:
    """`array` with contiguous rows; copied only if it is not so already."""
    if array.flags.c_contiguous or array.nbytes < 1 << 20:
        return np.asarray(array, order="C")
    # numpy copies a transposed matrix along rows or along columns, and then reads or
    # writes a cache line for each element. Strips of one line are five times faster.
    axis = min(range(array.ndim), key=lambda a: (array.shape[a] == 1, array.strides[a]))
    strip = CACHE_LINE // array.itemsize
    source, result = np.moveaxis(array, axis, 0), np.empty(array.shape, array.dtype)
    target = np.moveaxis(result, axis, 0)
    for start in range(0, len(source), strip):
        target[start : start + strip] = source[start : start + strip]
    return result


def constant_value(value: SSAValue, weights: WeightStore) -> Array | None:
    """
    The array that `value` is known to be; do not write to it.

    None where it is no constant, or a weight whose bytes are not in `weights`.
    """
    match value.owner:
        case ConstantOp():
            return dense_array(value.owner.value)
        case WeightOp():
            return weights.get(value.owner.resource.data)
        case DimsOp():
            sizes = value.owner.dims.ints
            return None if sizes is None else np.array(sizes, np.int64)
        case _:
            return None


def make_constant(
    array: Array, name_hint: str, weights: WeightStore
) -> ConstantOp | WeightOp:
    """
    An op whose result is `array`.

    Small arrays go into the text; larger ones to `weights` as a resource that is named
    `name_hint`, or a variation of it. The array must not change afterwards.
    """
    if array.size <= MAX_INLINE_ELEMENTS:
        return ConstantOp(dense_attribute(array))
    element_type = element_type_for(array.dtype)
    native = array.astype(numpy_dtype(element_type), copy=False)
    name = weights.add(name_hint, _row_major(native))
    return WeightOp(name, tensor_type(element_type, array.shape))
