"""What is known of host values before they exist: plain records, and their join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

Size: TypeAlias = "int | str | None"
"""A number, a name or expression that says which sizes are equal, or unknown."""

Shape: TypeAlias = "tuple[Size, ...] | None"
"""The sizes of a tensor; None if not even the rank is known."""

Kind: TypeAlias = Literal["tensor", "sequence", "optional", "map"]

MAX_KNOWN: Final = 64
"""Integer tensors of up to this many elements may have their values in their type."""

# The numbers of TensorProto.DataType.
ELEMENT_TYPES: Final = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4_e2m1fn",
    24: "float8_e8m0fnu",
    25: "uint2",
    26: "int2",
}
"""The names of ONNX's element types: those of numpy and ml_dtypes, and `string`."""


@dataclass(frozen=True)
class HostType:
    """
    The type of a host value.

    A tensor has a dtype (None if it is not known) and a shape. A sequence, an optional
    and the values of a map have an `element`.
    """

    kind: Kind
    dtype: str | None = None
    shape: Shape = None
    element: HostType | None = None
    length: int | None = None
    """The number of elements of a sequence, where it is known."""
    key: str | None = None
    """The type of the keys of a map: `int64` or `string`."""
    value: tuple[int, ...] | None = None
    """The elements of a small tensor of integers, where they are known."""

    @property
    def rank(self) -> int | None:
        """The rank of a tensor, where it is known."""
        return None if self.shape is None else len(self.shape)

    def __str__(self) -> str:
        if self.kind == "tensor":
            sizes = "*" if self.shape is None else ", ".join(map(_size, self.shape))
            return f"tensor<{self.dtype or '?'}[{sizes}]>"
        inner = "?" if self.element is None else str(self.element)
        return f"{self.kind}<{f'{self.key}, ' if self.key else ''}{inner}>"


def _size(size: Size) -> str:
    return "?" if size is None else str(size)


UNKNOWN: Final = HostType("tensor")
"""A tensor of which nothing is known."""


def tensor(dtype: str | None, shape: Sequence[Size] | None = None) -> HostType:
    """The type of a tensor."""
    return HostType("tensor", dtype, None if shape is None else tuple(shape))


def sequence(element: HostType, length: int | None = None) -> HostType:
    """The type of a sequence."""
    return HostType("sequence", element=element, length=length)


def optional(element: HostType | None) -> HostType:
    """The type of an optional; of what, need not be known."""
    return HostType("optional", element=element)


def map_of(key: str, value: str) -> HostType:
    """The type of a map from keys to numbers or strings."""
    return HostType("map", element=tensor(value, ()), key=key)


def join(a: HostType, b: HostType) -> HostType:
    """
    The narrowest type that values of both types have.

    An empty sequence has any elements, and what is no optional can become one. Types of
    different kinds give a tensor of which nothing is known.
    """
    if a.kind != b.kind and "optional" in (a.kind, b.kind):
        inner_a, inner_b = (t.element if t.kind == "optional" else t for t in (a, b))
        return optional(_joined_elements(inner_a, inner_b))
    if a.kind != b.kind:
        return UNKNOWN
    if a.kind == "tensor":
        value = a.value if a.value == b.value else None
        dtype = a.dtype if a.dtype == b.dtype else None
        return HostType("tensor", dtype, join_shapes(a.shape, b.shape), value=value)
    length = a.length if a.length == b.length else None
    if a.kind == "sequence" and 0 in (a.length, b.length):
        element = b.element if a.length == 0 else a.element
    else:
        element = _joined_elements(a.element, b.element)
    return replace(a, element=element, length=length)


def _joined_elements(a: HostType | None, b: HostType | None) -> HostType | None:
    return (a or b) if a is None or b is None else join(a, b)


def join_shapes(a: Shape, b: Shape) -> Shape:
    """What two shapes have in common."""
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(x if x == y else None for x, y in zip(a, b, strict=True))
