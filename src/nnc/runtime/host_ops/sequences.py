"""Sequences: made, looked into, split from and concatenated to tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnc.runtime.host_ops.axes import checked_axis
from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.shape_rules import product, replaced
from nnc.runtime.host_ops.types import (
    ELEMENT_TYPES,
    UNKNOWN,
    HostType,
    Size,
    join,
    sequence,
    tensor,
)
from nnc.runtime.host_ops.values import (
    Array,
    HostOpError,
    HostValue,
    described,
    dtype_name,
)


def element_of(type_: HostType) -> HostType:
    """The type of the elements of a sequence; unknown if it is none."""
    return type_.element or UNKNOWN


def _positioned(call: Call, count: int, index: int, *, last: int) -> int:
    """The position in `[-count, last]` that an input holds, counted from the front."""
    position = call.integer(index)
    if not -count <= position <= last:
        raise HostOpError(
            f"position {position} is out of range for a sequence of {count}"
        )
    return position + count if position < 0 else position


def _check_same_dtype(elements: Sequence[HostValue]) -> None:
    """Check that all elements are tensors of one element type."""
    names: set[str] = set()
    for element in elements:
        if not isinstance(element, np.ndarray):
            raise HostOpError(f"{described(element)} cannot be in a sequence")
        names.add(dtype_name(element))
    if len(names) > 1:
        raise HostOpError(
            f"a sequence cannot hold tensors of {' and '.join(sorted(names))}"
        )


# ---------------------------------------------------------------- made


def _construct_types(call: TypeCall) -> HostType:
    types = [call.input(i) for i in range(len(call.inputs))]
    element = types[0] if types else UNKNOWN
    for other in types[1:]:
        element = join(element, other)
    return sequence(element, len(types))


@host_op("SequenceConstruct", since=11, types=_construct_types)
def _construct(call: Call) -> HostValue:
    _check_same_dtype(call.inputs)
    return list(call.inputs)


def _empty_types(call: TypeCall) -> HostType:
    number = call.attributes.integer("dtype", 1)
    if number not in ELEMENT_TYPES:
        raise HostOpError(f"there is no element type {number}")
    return sequence(tensor(ELEMENT_TYPES[number]), 0)


@host_op("SequenceEmpty", since=11, types=_empty_types)
def _empty(call: Call) -> HostValue:
    return []


def _insert_types(call: TypeCall) -> HostType:
    into, item = call.input(0), call.input(1)
    if into.length == 0:
        return sequence(item, 1)
    length = None if into.length is None else into.length + 1
    return sequence(join(element_of(into), item), length)


@host_op("SequenceInsert", since=11, types=_insert_types)
def _insert(call: Call) -> HostValue:
    elements, item = call.sequence(0), call.tensor(1)
    count = len(elements)
    position = _positioned(call, count, 2, last=count) if call.has(2) else count
    _check_same_dtype([*elements[:1], item])
    return [*elements[:position], item, *elements[position:]]


def _erase_types(call: TypeCall) -> HostType:
    length = call.input(0).length
    return sequence(element_of(call.input(0)), length - 1 if length else None)


@host_op("SequenceErase", since=11, types=_erase_types)
def _erase(call: Call) -> HostValue:
    elements = call.sequence(0)
    count = len(elements)
    if not count:
        raise HostOpError("there is nothing to erase: the sequence is empty")
    position = _positioned(call, count, 1, last=count - 1) if call.has(1) else -1
    return [e for i, e in enumerate(elements) if i != position % count]


# ---------------------------------------------------------------- looked into


def _at_types(call: TypeCall) -> HostType:
    return element_of(call.input(0))


@host_op("SequenceAt", since=11, types=_at_types)
def _at(call: Call) -> HostValue:
    elements = call.sequence(0)
    return elements[_positioned(call, len(elements), 1, last=len(elements) - 1)]


def _length_types(call: TypeCall) -> HostType:
    length = call.input(0).length
    value = None if length is None else (length,)
    return HostType("tensor", "int64", (), value=value)


@host_op("SequenceLength", since=11, types=_length_types)
def _length(call: Call) -> HostValue:
    return np.array(len(call.sequence(0)), np.int64)


# ---------------------------------------------------------------- from and to tensors


def _split_types(call: TypeCall) -> HostType:
    whole = call.input(0)
    if whole.shape is None:
        return sequence(tensor(whole.dtype))
    axis = checked_axis(call.attributes.integer("axis", 0), len(whole.shape))
    before, after = whole.shape[:axis], whole.shape[axis + 1 :]
    size = whole.shape[axis]
    if not call.has(1):
        kept: tuple[Size, ...] = (1,) if call.attributes.integer("keepdims", 1) else ()
        length = size if isinstance(size, int) else None
        return sequence(tensor(whole.dtype, (*before, *kept, *after)), length)
    return sequence(tensor(whole.dtype, (*before, None, *after)))


@host_op("SplitToSequence", since=11, types=_split_types)
def _split(call: Call) -> HostValue:
    whole = call.tensor(0)
    axis = checked_axis(call.attributes.integer("axis", 0), whole.ndim)
    size = whole.shape[axis]
    if not call.has(1):
        pieces = _pieces(whole, [1] * size, axis)
        if call.attributes.integer("keepdims", 1):
            return [*pieces]
        return [np.squeeze(piece, axis) for piece in pieces]
    return [*_pieces(whole, _split_sizes(call, size), axis)]


def _split_sizes(call: Call, size: int) -> list[int]:
    """The sizes of the pieces, from one number for all of them or one for each."""
    sizes = call.integers(1)
    if call.tensor(1).ndim > 1:
        raise HostOpError("'split' must be a number or a vector")
    if call.tensor(1).ndim:
        if min(sizes, default=0) < 0 or sum(sizes) != size:
            raise HostOpError(f"an axis of size {size} cannot be split into {sizes}")
        return sizes
    step = sizes[0]
    if step <= 0:
        raise HostOpError(f"an axis cannot be split into pieces of {step}")
    return [min(step, size - start) for start in range(0, size, step)]


def _pieces(whole: Array, sizes: Sequence[int], axis: int) -> list[Array]:
    ends = np.cumsum(sizes, dtype=np.int64)[:-1]
    return list(np.split(whole, ends, axis)) if sizes else []


def _concat_types(call: TypeCall) -> HostType:
    element = element_of(call.input(0))
    if element.shape is None:
        return tensor(element.dtype)
    rank = len(element.shape)
    length = call.input(0).length
    if call.attributes.integer("new_axis", 0):
        axis = checked_axis(call.attributes.integer("axis"), rank + 1)
        return tensor(
            element.dtype, (*element.shape[:axis], length, *element.shape[axis:])
        )
    axis = checked_axis(call.attributes.integer("axis"), rank)
    size = product((element.shape[axis], length))
    return tensor(element.dtype, replaced(element.shape, axis, size))


@host_op("ConcatFromSequence", since=11, types=_concat_types)
def _concat(call: Call) -> HostValue:
    elements = call.sequence(0)
    if not elements:
        raise HostOpError("an empty sequence cannot be concatenated")
    _check_same_dtype(elements)
    arrays = [e for e in elements if isinstance(e, np.ndarray)]
    axis = call.attributes.integer("axis")
    if call.attributes.integer("new_axis", 0):
        return np.stack(arrays, checked_axis(axis, arrays[0].ndim + 1))
    return np.concatenate(arrays, checked_axis(axis, arrays[0].ndim))
