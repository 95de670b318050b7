"""Inputs whose values are given when the model is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from onnx import ValueInfoProto
from xdsl.ir import Block, Operation, SSAValue

from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.types import NnTensorType, dims_of, element_type_of, rank_of
from nnc.errors import CompileError
from nnc.weights import Array

InputValues: TypeAlias = Mapping[str, object]
"""Arrays by input name, or what numpy makes arrays of."""

_MOST_ELEMENTS: Final = 64
"""An input with more is data; values of smaller ones may decide sizes and axes."""


def check_input_names(values: InputValues, inputs: Sequence[ValueInfoProto]) -> None:
    """
    Check that values are given for inputs that there are.

    Raises:
        CompileError: there is no such input.
    """
    unknown = sorted(set(values) - {i.name for i in inputs})
    if unknown:
        names = ", ".join(f"'{i.name}'" for i in inputs)
        raise CompileError(
            f"input_values names '{unknown[0]}', but the inputs are {names}"
        )


def given_value(value: object, name: str, type_: NnTensorType) -> Array:
    """
    The value given for an input of that type.

    Raises:
        CompileError: it is of another dtype or shape.
    """
    array = np.asarray(value)
    dtype = numpy_dtype(element_type_of(type_))
    if array.dtype != dtype and not isinstance(value, np.ndarray | np.generic):
        array = array.astype(dtype)
    if array.dtype != dtype:
        raise CompileError(
            f"input_values gives '{name}' the dtype {array.dtype}, but it is {dtype}"
        )
    dims = dims_of(type_)
    fits = len(dims) == array.ndim and all(
        d.as_int() in (None, n) for d, n in zip(dims, array.shape, strict=True)
    )
    if not fits:
        shape = ", ".join(map(str, dims))
        raise CompileError(
            f"input_values gives '{name}' the shape {list(array.shape)}, but it is "
            f"[{shape}]"
        )
    return np.ascontiguousarray(array).reshape(array.shape)


def deciding_inputs(values: Iterable[SSAValue], block: Block) -> list[int]:
    """
    The inputs of the network that values are computed from alone, by position.

    None at all if one of them is too large to be anything but data.
    """
    found: set[int] = set()
    seen: set[SSAValue] = set()
    stack = list(values)
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        owner = value.owner
        if isinstance(owner, Operation):
            stack.extend(owner.operands)
            continue
        if owner is not block or not may_decide(value):
            return []
        found.add(block.args.index(value))
    return sorted(found)


def may_decide(value: SSAValue) -> bool:
    """Whether a value is small enough to be what sizes and axes come from."""
    sizes = [d.as_int() for d in dims_of(value)]
    if None in sizes:
        return rank_of(value) <= 1
    return int(np.prod([s for s in sizes if s is not None])) <= _MOST_ELEMENTS
