"""Random inputs of any shape and dtype, reproducible from a seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nnc.runtime.specs import number_kind
from nnc.symbolic import Dim

Array: TypeAlias = NDArray[Any]
DType: TypeAlias = np.dtype[Any]

BATCH_SIZE: Final = 1
FREE_SIZE: Final = 64
"""Stands in for a symbol whose size nobody gave: of the first axis, of the others."""


def choose_sizes(
    shapes: Iterable[Sequence[Dim]],
    given: Mapping[str, int],
    *,
    batch: int = BATCH_SIZE,
) -> dict[str, int]:
    """A size for each symbol of the shapes: as given, or a small default."""
    sizes = dict(given)
    for shape in shapes:
        for axis, dim in enumerate(shape):
            for symbol in sorted(dim.symbols):
                sizes.setdefault(symbol, FREE_SIZE if axis else batch)
    return sizes


def random_array(
    dtype: DType, shape: Sequence[int], generator: np.random.Generator
) -> Array:
    """
    Normal floats and parts of complex numbers, integers 0 and 1, random bools.

    Integers are small because many networks use them as indices. Types without a sign
    get the absolute values.
    """
    kind = number_kind(dtype)
    if kind in "iub":
        return generator.integers(0, 2, shape).astype(dtype)
    numbers = generator.standard_normal(shape, np.float32)
    if kind == "c":
        return (numbers + 1j * generator.standard_normal(shape)).astype(dtype)
    if dtype.name == "float8_e8m0fnu":
        numbers = np.abs(numbers)
    return numbers.astype(dtype)
