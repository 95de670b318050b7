"""Values of host steps as callers give and get them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from nnc.errors import InputError
from nnc.runtime.host_ops.values import STRING
from nnc.runtime.specs import dtype_named

HostValue: TypeAlias = Any
"""An array (strings: of dtype object), a list of values, a dict, or None."""


_TENSOR: Final = re.compile(r"tensor<(\w+)\[")


def bound_value(value: object, kind: str, name: str) -> HostValue:
    """
    What a caller gives for an input that is no plain tensor.

    `kind` is the text of its type: strings may come as lists, arrays of `str` or of
    bytes in UTF-8; a sequence as a list or tuple.

    Raises:
        InputError: it is of another type.
    """
    outer, _, inner = kind.partition("<")
    if outer == "optional":
        return None if value is None else bound_value(value, inner[:-1], name)
    if outer == "sequence":
        if not isinstance(value, list | tuple):
            raise _wrong(value, kind, name)
        elements = cast("Sequence[object]", value)
        return [bound_value(v, inner[:-1], name) for v in elements]
    if outer == "map":
        if not isinstance(value, dict):
            raise _wrong(value, kind, name)
        return cast("dict[Any, Any]", value)
    dtype = _TENSOR.match(kind)
    if dtype is None:
        return _any_value(value, name)
    return (
        _strings(value, kind, name)
        if dtype[1] == STRING
        else _numbers(value, dtype[1], kind, name)
    )


def _wrong(value: object, kind: str, name: str) -> InputError:
    shown = described(value)
    return InputError(f"input '{name}': expected {kind}, got {shown}")


def _strings(value: object, kind: str, name: str) -> HostValue:
    if isinstance(value, str | bytes | list | tuple):
        try:
            value = np.array(value, np.object_)
        except ValueError as error:
            raise InputError(f"input '{name}': {error}") from error
    found = _any_value(value, name)
    if not isinstance(found, np.ndarray):
        raise _wrong(value, kind, name)
    array = cast("NDArray[Any]", found)
    are_texts = all(isinstance(v, str) for v in array.flat)
    if array.dtype != np.object_ or not are_texts:
        raise _wrong(value, kind, name)
    return array


def _numbers(value: object, dtype: str, kind: str, name: str) -> HostValue:
    if isinstance(value, bool | int | float):
        return np.array(value, dtype_named(dtype))
    if isinstance(value, list | tuple):
        raise _wrong(cast("Sequence[object]", value), kind, name)
    found = _any_value(value, name)
    if not isinstance(found, np.ndarray):
        raise _wrong(value, kind, name)
    array = cast("NDArray[Any]", found)
    if array.dtype != dtype_named(dtype):
        raise _wrong(value, kind, name)
    return array


def _any_value(value: object, name: str) -> HostValue:
    """A value of a type that is not known."""
    if value is None or isinstance(value, dict):
        return cast("dict[Any, Any] | None", value)
    if isinstance(value, list | tuple):
        return [_any_value(v, name) for v in cast("Sequence[object]", value)]
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


def owned_values(
    values: Sequence[HostValue], borrowed: Sequence[HostValue]
) -> list[HostValue]:
    """
    The same values, none of which shares memory with another one.

    What would share memory with one before it, or with `borrowed`, is copied; so are
    the elements of sequences.
    """
    seen: _Seen = {}
    for value in borrowed:
        _note_memory(value, seen)
    return [_owned(value, seen) for value in values]


_Seen: TypeAlias = "dict[int, list[NDArray[Any]]]"
"""Arrays by what holds their memory."""


def _memory(array: NDArray[Any]) -> int:
    """What tells the memory behind an array from others."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    return id(cast(object, owner))


def _note_memory(value: HostValue, seen: _Seen) -> None:
    if isinstance(value, np.ndarray):
        array = cast("NDArray[Any]", value)
        seen.setdefault(_memory(array), []).append(array)
    elif isinstance(value, list):
        for element in cast("list[HostValue]", value):
            _note_memory(element, seen)


def _owned(value: HostValue, seen: _Seen) -> HostValue:
    if isinstance(value, list):
        return [_owned(v, seen) for v in cast("list[HostValue]", value)]
    if not isinstance(value, np.ndarray):
        return value
    array = cast("NDArray[Any]", value)
    others = seen.get(_memory(array), ())
    is_shared = any(np.may_share_memory(array, other) for other in others)
    # What cannot be written to belongs to the model.
    if is_shared or not array.flags.writeable:
        array = np.array(array, order="C")
    _note_memory(array, seen)
    return array
