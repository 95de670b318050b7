"""One call of a host op: its inputs and attributes, checked when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from nnc.runtime.host_ops.types import UNKNOWN, HostType, Size
from nnc.runtime.host_ops.values import (
    Array,
    HostOpError,
    HostValue,
    described,
    is_strings,
)


class Attributes:
    """The attributes of a node; every getter raises HostOpError for the wrong kind."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> object:
        """The plain value of an attribute; None if it is not there."""
        return self._values.get(name)

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer."""
        return int(cast(int, self._of(name, (int, np.integer), default)))

    def number(self, name: str, default: float | None = None) -> float:
        """A number."""
        kinds = (float, int, np.floating, np.integer)
        return float(cast(float, self._of(name, kinds, default)))

    def text(self, name: str, default: str | None = None) -> str:
        """A text; bytes are taken for UTF-8."""
        return _text(self._of(name, (str, bytes), default))

    def integers(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """A list of integers."""
        return [int(v) for v in self._list(name, default)]

    def numbers(self, name: str, default: Sequence[float] | None = None) -> list[float]:
        """A list of numbers."""
        return [float(v) for v in self._list(name, default)]

    def texts(self, name: str, default: Sequence[str] | None = None) -> list[str]:
        """A list of texts."""
        return [_text(v) for v in self._list(name, default)]

    def tensor(self, name: str) -> Array:
        """A tensor."""
        return cast(Array, self._of(name, (np.ndarray,), None))

    def _list(self, name: str, default: object) -> list[Any]:
        kinds = (list, tuple, np.ndarray)
        return list(cast("Sequence[Any]", self._of(name, kinds, default)))

    def _of(self, name: str, kinds: tuple[type, ...], default: object) -> object:
        value = self._values.get(name)
        if value is None:
            if default is None:
                raise HostOpError(f"attribute '{name}' is missing")
            return default
        if not isinstance(value, kinds):
            raise HostOpError(f"attribute '{name}' is of {type(value).__name__}")
        return value


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else cast(str, value)


@dataclass(frozen=True)
class Call:
    """The values of a call."""

    op_type: str
    inputs: Sequence[HostValue]
    attributes: Attributes
    outputs: int

    def has(self, index: int) -> bool:
        """Whether an input is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int) -> HostValue:
        """An input of any kind; None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def tensor(self, index: int) -> Array:
        """
        An input that must be a tensor.

        Raises:
            HostOpError: it is not.
        """
        value = self.value(index)
        if not isinstance(value, np.ndarray):
            raise HostOpError(f"input {index} must be a tensor, not {described(value)}")
        return value

    def strings(self, index: int) -> Array:
        """
        An input that must be a tensor of strings.

        Raises:
            HostOpError: it is not.
        """
        array = self.tensor(index)
        if not is_strings(array):
            raise HostOpError(
                f"input {index} must hold strings, but is {described(array)}"
            )
        return array

    def sequence(self, index: int) -> list[HostValue]:
        """
        An input that must be a sequence.

        Raises:
            HostOpError: it is not.
        """
        value = self.value(index)
        if not isinstance(value, list):
            raise HostOpError(
                f"input {index} must be a sequence, not {described(value)}"
            )
        return value

    def integers(self, index: int) -> list[int]:
        """
        All elements of an input that must be a tensor of integers.

        Raises:
            HostOpError: it is not.
        """
        array = self.tensor(index)
        if array.dtype.kind not in "iu":
            raise HostOpError(
                f"input {index} must hold integers, but is {described(array)}"
            )
        return [int(v) for v in array.ravel()]

    def integer(self, index: int) -> int:
        """
        An input that must be one integer.

        Raises:
            HostOpError: it is not.
        """
        values = self.integers(index)
        if len(values) != 1:
            raise HostOpError(f"input {index} must be one number, not {len(values)}")
        return values[0]

    def axes(self, index: int) -> list[int] | None:
        """Axes that are an attribute of old versions and an input of new ones."""
        if self.has(index):
            return self.integers(index)
        return self.attributes.integers("axes") if "axes" in self.attributes else None


@dataclass(frozen=True)
class TypeCall:
    """The types of a call."""

    op_type: str
    inputs: Sequence[HostType | None]
    attributes: Attributes
    outputs: int

    def has(self, index: int) -> bool:
        """Whether an input is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def input(self, index: int) -> HostType:
        """The type of an input; that of any tensor if it is left out."""
        found = self.inputs[index] if index < len(self.inputs) else None
        return UNKNOWN if found is None else found

    def dtype(self, index: int) -> str | None:
        """The element type of an input, where it is known."""
        return self.input(index).dtype

    def shape(self, index: int) -> tuple[Size, ...] | None:
        """The sizes of an input, where its rank is known."""
        return self.input(index).shape

    def known(self, index: int) -> tuple[int, ...] | None:
        """The elements of an input, where they are known."""
        return self.input(index).value

    def axes(self, index: int) -> tuple[int, ...] | None:
        """Axes that are an attribute of old versions and an input of new ones."""
        if self.has(index):
            return self.known(index)
        return (
            tuple(self.attributes.integers("axes"))
            if "axes" in self.attributes
            else None
        )
