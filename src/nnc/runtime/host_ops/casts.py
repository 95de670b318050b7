"""Casts from strings to numbers, and from numbers to strings."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.types import ELEMENT_TYPES, HostType, tensor
from nnc.runtime.host_ops.values import (
    STRING,
    Array,
    HostOpError,
    HostValue,
    is_strings,
    string_array,
)

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d+", re.ASCII)
_SPECIAL: Final = re.compile(r"[+-]?(inf(inity)?|nan)")
_BOOLS: Final = {"true": True, "false": False}
# Longer digits than any integer type has are no integer, and slow to parse.
_MAX_DIGITS: Final = 40


def numpy_dtype(name: str) -> np.dtype[Any]:
    """
    The dtype of that name.

    Raises:
        HostOpError: there is no such type of numbers.
    """
    if name == STRING:
        return np.dtype(np.object_)
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        found = getattr(ml_dtypes, name, None)
        if found is None:
            raise HostOpError(f"there is no element type '{name}'") from None
        return np.dtype(found)


# ---------------------------------------------------------------- from strings


def _as_float(text: str) -> float:
    plain = text.strip().lower()
    if _NUMBER.fullmatch(plain) or _SPECIAL.fullmatch(plain):
        return float(plain)
    raise HostOpError(f"'{text[:40]}' is no number")


def _as_integer(text: str) -> int:
    plain = text.strip()
    if _INTEGER.fullmatch(plain) and len(plain) <= _MAX_DIGITS:
        return int(plain)
    number = _as_float(text)
    if not np.isfinite(number):
        raise HostOpError(f"'{text[:40]}' is no integer")
    return int(number)


def _as_bool(text: str) -> bool:
    found = _BOOLS.get(text.strip().lower())
    return _as_float(text) != 0 if found is None else found


def from_strings(x: Array, dtype: np.dtype[Any]) -> Array:
    """
    The numbers that strings spell; fractions are cut off for integers.

    Raises:
        HostOpError: one spells no number, or one that the type cannot hold.
    """
    if dtype.kind == "c":
        raise HostOpError("strings cannot be cast to complex numbers")
    if dtype.kind == "b":
        return np.array([_as_bool(t) for t in x.ravel()], dtype).reshape(x.shape)
    if dtype.kind in "iu":
        numbers = [_as_integer(t) for t in x.ravel()]
        limits = np.iinfo(dtype)
        for number in numbers:
            if not limits.min <= number <= limits.max:
                raise HostOpError(f"{number} does not fit into {dtype}")
        return np.array(numbers, dtype).reshape(x.shape)
    with np.errstate(over="ignore"):
        numbers = np.array([_as_float(t) for t in x.ravel()], np.float64)
        return numbers.astype(dtype).reshape(x.shape)


# ---------------------------------------------------------------- to strings


def _float_text(number: Any) -> str:
    if np.isnan(number):
        return "NaN"
    if np.isinf(number):
        return "INF" if number > 0 else "-INF"
    return str(number)


def _bool_text(value: Any) -> str:
    return "1" if value else "0"


def _integer_text(value: Any) -> str:
    return str(int(value))


def to_strings(x: Array) -> Array:
    """
    How numbers are spelled.

    Floating-point numbers have as many digits as are needed to read the same number
    back; NaN, INF and -INF are the special ones. Bools are 1 and 0, as numbers.

    Raises:
        HostOpError: there is no spelling of this type.
    """
    spell: Callable[[Any], str]
    if x.dtype.kind == "b":
        spell = _bool_text
    elif x.dtype.kind in "iu":
        spell = _integer_text
    elif x.dtype.kind == "f" or x.dtype.name.startswith(("bfloat", "float")):
        spell = _float_text
    else:
        raise HostOpError(f"{x.dtype} cannot be cast to strings")
    return string_array(map(spell, x.ravel()), x.shape)


# ---------------------------------------------------------------- the ops


def cast(x: Array, dtype: np.dtype[Any]) -> Array:
    """
    A tensor with another element type, one of the two being strings.

    Raises:
        HostOpError: an element cannot be cast, or both types are numbers: these casts
            are compiled.
    """
    if is_strings(x):
        return x if dtype == np.object_ else from_strings(x, dtype)
    if dtype == np.object_:
        return to_strings(x)
    raise HostOpError(f"{x.dtype} is cast to {dtype} in compiled code only")


def _target(number: int) -> str:
    if number not in ELEMENT_TYPES:
        raise HostOpError(f"there is no element type {number}")
    return ELEMENT_TYPES[number]


def _named_target(name: str) -> str:
    """The type that opset 1 to 5 call by its name in capitals."""
    names = {"FLOAT": "float32", "DOUBLE": "float64"}
    return names.get(name, name.lower())


def _target_of(call: Call | TypeCall) -> str:
    to = call.attributes.get("to")
    if isinstance(to, (str, bytes)):
        return _named_target(call.attributes.text("to"))
    return _target(call.attributes.integer("to"))


def _cast_types(call: TypeCall) -> HostType:
    return tensor(_target_of(call), call.shape(0))


def _is_about_strings(call: TypeCall) -> bool:
    return STRING in (call.dtype(0), _cast_types(call).dtype)


@host_op("Cast", types=_cast_types, condition=_is_about_strings)
def _cast(call: Call) -> HostValue:
    return cast(call.tensor(0), numpy_dtype(_target_of(call)))


def _cast_like_types(call: TypeCall) -> HostType:
    return tensor(call.dtype(1), call.shape(0))


def _is_like_strings(call: TypeCall) -> bool:
    return STRING in (call.dtype(0), call.dtype(1))


@host_op("CastLike", since=15, types=_cast_like_types, condition=_is_like_strings)
def _cast_like(call: Call) -> HostValue:
    return cast(call.tensor(0), call.tensor(1).dtype)
