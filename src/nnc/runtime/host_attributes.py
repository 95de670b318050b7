"""Attributes of host steps as JSON text: numbers, texts, lists, and tensors."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final, cast

import numpy as np

from nnc.runtime.specs import Array, dtype_named

_TENSOR: Final = "tensor"


def encode_attributes(attributes: Mapping[str, object]) -> str:
    """The text of attributes: int, float, str, lists of these, arrays."""
    return json.dumps(
        {name: _encoded(value) for name, value in attributes.items()},
        separators=(",", ":"),
    )


def decode_attributes(text: str) -> dict[str, object]:
    """
    The attributes of a text.

    Raises:
        ValueError: the text is damaged.
    """
    try:
        data = cast("dict[str, Any]", json.loads(text))
        return {name: _decoded(value) for name, value in data.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"damaged attributes: {error}") from error


def _encoded(value: object) -> object:
    if not isinstance(value, np.ndarray):
        return value
    array = cast(Array, value)
    shape = list(array.shape)
    if array.dtype == np.object_:
        return {_TENSOR: "str", "shape": shape, "items": array.reshape(-1).tolist()}
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {_TENSOR: array.dtype.name, "shape": shape, "data": data}


def _decoded(value: Any) -> object:
    if not isinstance(value, dict):
        return cast(object, value)
    record = cast("dict[str, Any]", value)
    if record[_TENSOR] == "str":
        array = np.empty(len(record["items"]), np.object_)
        array[:] = record["items"]
        array.flags.writeable = False  # all runs share it
        return cast(object, array.reshape(record["shape"]))
    dtype = dtype_named(record[_TENSOR])
    data = np.frombuffer(base64.b64decode(record["data"]), dtype)
    return cast(object, data.reshape(record["shape"]))
