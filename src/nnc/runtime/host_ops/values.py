"""
Values that host steps work on, and how they are looked at.

A host value is an array (strings: an array of dtype object that holds `str`), a list of
host values (a sequence), a dict (a map), or None (an optional without an element). An
op never changes its inputs, but its outputs may be or may share memory with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
HostValue: TypeAlias = "Array | list[HostValue] | dict[int | str, Any] | None"

STRING: Final = "string"
"""The name of the element type of strings, beside numpy's names of the others."""


class HostOpError(Exception):
    """The data of a host op is not what it needs; says what is wrong."""


def is_strings(value: object) -> bool:
    """Whether a value is a tensor of strings."""
    return isinstance(value, np.ndarray) and cast(Array, value).dtype == np.object_


def string_array(values: Iterable[str], shape: Sequence[int]) -> Array:
    """A tensor of strings from its elements in row-major order."""
    flat = list(values)
    array = np.empty(len(flat), np.object_)
    array[:] = flat
    return array.reshape(tuple(shape))


def dtype_name(array: Array) -> str:
    """What records call the element type of an array."""
    return STRING if array.dtype == np.object_ else array.dtype.name


def described(value: HostValue) -> str:
    """A value as errors name it."""
    if value is None:
        return "an absent value"
    if isinstance(value, list):
        return f"a sequence of {len(value)}"
    if isinstance(value, dict):
        return "a map"
    return f"a tensor of {dtype_name(value)}{list(value.shape)}"
