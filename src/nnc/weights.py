"""Weight resources: the bytes of large constants, kept out of the IR's text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


class WeightStore:
    """
    Named read-only arrays. The arrays are never copied; adding marks them read-only.

    A resource keeps its name for life: a pass that changes a weight adds another one.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def add(self, name: str, array: Array) -> str:
        """Keep `array` under `name`, or a variation of it that is free; return that."""
        unique, count = name, 0
        while unique in self._arrays:
            count += 1
            unique = f"{name}.{count}"
        view = array.view()
        view.flags.writeable = False
        self._arrays[unique] = view
        return unique

    def get(self, name: str) -> Array | None:
        """The array, or None if this store has no such resource."""
        return self._arrays.get(name)

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    @property
    def nbytes(self) -> int:
        """Bytes of all resources."""
        return sum(a.nbytes for a in self._arrays.values())

    def discard(self, name: str) -> None:
        """Drop a resource, if it is there."""
        self._arrays.pop(name, None)

    def retain(self, names: Iterable[str]) -> None:
        """Drop all resources but `names`."""
        kept = set(names)
        self._arrays = {n: a for n, a in self._arrays.items() if n in kept}

    def copy(self) -> WeightStore:
        """A store with the same arrays that can change on its own."""
        other = WeightStore()
        other._arrays = dict(self._arrays)
        return other
