"""Values of host steps as callers give and get them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from nnc.errors import InputError

HostValue: TypeAlias = Any
"""An array (strings: of dtype object), a list of values, a dict, or None."""


def bound_value(value: object, name: str) -> HostValue:
    """
    What a caller gives for an input that is no plain tensor.

    Raises:
        InputError: it is nothing that host steps know.
    """
    if value is None or isinstance(value, dict):
        return cast("dict[Any, Any] | None", value)
    if isinstance(value, list | tuple):
        return [bound_value(v, name) for v in cast("Sequence[object]", value)]
    if isinstance(value, np.ndarray):
        return _array(cast("NDArray[Any]", value))
    if isinstance(value, str | bool | int | float | np.generic):
        return _array(np.asarray(value))
    if hasattr(value, "__array__"):
        return _array(np.asarray(value))
    raise InputError(
        f"input '{name}': expected an array, a list of arrays or None, got "
        f"{type(value).__name__}"
    )


def _array(array: NDArray[Any]) -> NDArray[Any]:
    """Strings in the one form that host steps know."""
    if array.dtype.kind == "U":
        return array.astype(object)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8").astype(object)
    if array.dtype == np.object_ and any(isinstance(v, bytes) for v in array.flat):
        texts = [v.decode() if isinstance(v, bytes) else v for v in array.flat]
        result = np.empty(array.size, object)
        result[:] = texts
        return result.reshape(array.shape)
    return array


def described(value: HostValue) -> str:
    """A value as errors name it."""
    if value is None:
        return "an absent value"
    if isinstance(value, np.ndarray):
        array = cast("NDArray[Any]", value)
        return f"a tensor of {array.dtype}{list(array.shape)}"
    if isinstance(value, list):
        return f"a sequence of {len(cast('list[object]', value))}"
    return f"a {type(value).__name__}"


def is_copy_needed(value: HostValue, others: Sequence[HostValue]) -> bool:
    """Whether an array may share memory with one of other values."""
    if not isinstance(value, np.ndarray) or not value.size:
        return False
    return any(
        np.may_share_memory(cast("NDArray[Any]", value), cast("NDArray[Any]", other))
        for other in others
        if isinstance(other, np.ndarray)
    )
