"""What inputs and outputs look like, and arrays made from what callers pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from nnc.errors import InputError
from nnc.runtime.artifact import Tensor

Array: TypeAlias = NDArray[Any]

_PYTHON_VALUES: Final = frozenset({bool, int, float, complex, list, tuple})

MAX_SIZE: Final = 1 << 40
"""The largest size of one axis that a run accepts."""


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]
    """Numbers, and names or expressions of free dims."""

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class HostSpec:
    """
    An input or output that is no tensor of a known type: a sequence, an optional, …

    `kind` is its type in the source model, such as `seq(tensor(float))`.
    """

    name: str
    kind: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the arrays that can hold anything."""
        return np.dtype(np.object_)

    @property
    def shape(self) -> tuple[int | str, ...]:
        """Nothing is known of it."""
        return ()

    def __str__(self) -> str:
        return f"{self.name}: {self.kind or 'any value'}"


def spec_of(tensor: Tensor) -> TensorSpec:
    """The spec of a plan's record."""
    shape = tuple(int(d) if d.isdecimal() else d for d in tensor.dims)
    return TensorSpec(tensor.name, dtype_named(tensor.dtype), shape)


def dtype_named(name: str) -> np.dtype[Any]:
    """The dtype of that name, those of ml_dtypes included."""
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))


def number_kind(dtype: np.dtype[Any]) -> str:
    """numpy's letter for the kind of a dtype; it calls most of ml_dtypes' own `V`."""
    if dtype.kind != "V":
        return dtype.kind
    name = dtype.name
    return "i" if name.startswith("int") else "u" if name.startswith("uint") else "f"


def as_array(value: object, spec: TensorSpec) -> Array:
    """
    `value` as an array that native code can read: the same memory if possible.

    Arrays keep their dtype; Python numbers and lists of them become the input's dtype
    if they are of its kind and fit.

    Raises:
        InputError: it is no array, or of another dtype or rank.
    """
    is_array = isinstance(value, np.ndarray)
    array = cast(Array, value) if is_array else _imported(value, spec)
    if array.dtype != spec.dtype:
        raise InputError(
            f"input '{spec.name}': expected dtype {spec.dtype}, got {array.dtype}; "
            f"convert it with .astype('{spec.dtype}')"
        )
    if array.ndim != len(spec.shape):
        raise InputError(
            f"input '{spec.name}': expected {len(spec.shape)} axes "
            f"({_shape_text(spec.shape)}), got {array.ndim} "
            f"({_shape_text(array.shape)})"
        )
    if not (array.flags.c_contiguous and array.flags.aligned):
        array = np.require(array, requirements=("C", "A"))
    return array


def _imported(value: object, spec: TensorSpec) -> Array:
    """An array from anything that numpy can read."""
    try:
        if type(value) in _PYTHON_VALUES:
            return _from_numbers(value, spec)
        if hasattr(value, "__array__"):
            return np.asarray(value)
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)  # pyright: ignore[reportArgumentType] # looked for its method
    except (TypeError, ValueError, RuntimeError, BufferError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"input '{spec.name}': {error}") from error
    raise InputError(
        f"input '{spec.name}': expected an array, got {type(value).__name__}"
    )


def _from_numbers(value: object, spec: TensorSpec) -> Array:
    array = np.asarray(value)
    kinds = {"u": "i"}
    kind, wanted = number_kind(array.dtype), number_kind(spec.dtype)
    if array.size and kinds.get(kind, kind) != kinds.get(wanted, wanted):
        raise InputError(
            f"input '{spec.name}': expected {spec.dtype}, got Python values of dtype "
            f"{array.dtype}"
        )
    if array.size and wanted in "iu":
        limits = _integer_limits(spec.dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise InputError(
                f"input '{spec.name}': a value does not fit into {spec.dtype}"
            )
    return array.astype(spec.dtype)


def _integer_limits(dtype: np.dtype[Any]) -> Any:
    """What `numpy.iinfo` gives, for integers of less than 8 bits as well."""
    if dtype.kind != "V":
        return np.iinfo(dtype)
    import ml_dtypes

    return ml_dtypes.iinfo(dtype)


def check_sizes(array: Array, spec: TensorSpec) -> None:
    """
    Check the axes whose size the model fixes.

    Raises:
        InputError: a size differs, or is too large.
    """
    for axis, (size, dim) in enumerate(zip(array.shape, spec.shape, strict=True)):
        if isinstance(dim, int) and size != dim:
            raise InputError(
                f"input '{spec.name}': axis {axis} has size {size}, the model expects "
                f"{dim} (shape {_shape_text(spec.shape)})"
            )
        if size > MAX_SIZE:
            raise InputError(
                f"input '{spec.name}': axis {axis} has size {size}, more than the "
                f"{MAX_SIZE} that a run accepts"
            )


def _shape_text(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"
