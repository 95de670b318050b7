"""The types of the inputs of a graph, from the values that it is run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

import numpy as np
from onnx import ModelProto, TensorProto, TypeProto

from nnc.errors import RunError
from nnc.frontends.onnx.tensors import DTYPES
from nnc.weights import Array

Sizes: TypeAlias = "Callable[[Array, str], Sequence[int | str]]"
"""The dims of an array that is an input of that name."""

_NUMBERS: Final = {dtype: number for number, dtype in DTYPES.items()}


class LateSource:
    """A part of a model, whose inputs have no types yet."""

    def __init__(self, data: bytes) -> None:
        """From the bytes of a model."""
        self._model = ModelProto()
        self._model.ParseFromString(data)
        self.input_names = [i.name for i in self._model.graph.input]
        """The names of the inputs, in order."""

    def typed(self, values: Sequence[object], sizes: Sizes) -> ModelProto:
        """
        The model with the types that its inputs have if they are `values`.

        It is the same one each time, and changes with the next call.

        Raises:
            RunError: a value has no type of ONNX.
        """
        for info, value in zip(self._model.graph.input, values, strict=True):
            info.type.CopyFrom(type_of(value, info.name, sizes))
        return self._model


def type_of(value: object, name: str, sizes: Sizes) -> TypeProto:
    """
    The type of a value.

    Raises:
        RunError: it has no type of ONNX.
    """
    result = TypeProto()
    if value is None:
        result.optional_type.elem_type.tensor_type.SetInParent()
    elif isinstance(value, list):
        items = cast("list[object]", value)
        element = result.sequence_type.elem_type
        if items and not isinstance(items[0], np.ndarray):
            element.CopyFrom(type_of(items[0], name, sizes))
        else:
            element.tensor_type.SetInParent()
            if items:
                kind = _number_of(cast(Array, items[0]), name)
                element.tensor_type.elem_type = kind
    elif isinstance(value, dict):
        result.map_type.key_type = TensorProto.INT64
        result.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    else:
        array = cast(Any, value)
        tensor = result.tensor_type
        tensor.elem_type = _number_of(array, name)
        tensor.shape.SetInParent()
        for size in sizes(array, name):
            dim = tensor.shape.dim.add()
            if isinstance(size, int):
                dim.dim_value = size
            else:
                dim.dim_param = size
    return result


def _number_of(array: Array, name: str) -> TensorProto.DataType.ValueType:
    if array.dtype == np.object_:
        return TensorProto.STRING
    number = _NUMBERS.get(array.dtype)
    if number is None:
        raise RunError(f"'{name}' has the dtype {array.dtype}")
    return number
