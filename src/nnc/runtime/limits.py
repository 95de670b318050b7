"""What a machine can do at most: arithmetic, and moving data between its levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log


@dataclass(frozen=True)
class Level:
    """How fast data moves that takes turns in a working set of this size."""

    nbytes: int
    read: float
    """Bytes a second."""
    write: float


@dataclass(frozen=True)
class Limits:
    """The limits of some threads of a machine, as measured on it."""

    operations: float
    """Multiplications and additions of f32 a second."""
    levels: tuple[Level, ...]
    """From the smallest working set to the largest, which no cache holds."""
    threads: int = 1

    def read_rate(self, nbytes: float) -> float:
        """Bytes a second that can be read of a working set."""
        return self._rate(nbytes, lambda level: level.read)

    def write_rate(self, nbytes: float) -> float:
        """Bytes a second that can be written of a working set."""
        return self._rate(nbytes, lambda level: level.write)

    def _rate(self, nbytes: float, rate: Callable[[Level], float]) -> float:
        sizes = [float(level.nbytes) for level in self.levels]
        return _interpolate(nbytes, sizes, [rate(level) for level in self.levels])


def _interpolate(x: float, at: Sequence[float], values: Sequence[float]) -> float:
    """`values` between the points `at`, linear in the logarithm of `x`."""
    if x <= at[0]:
        return values[0]
    for low, high, a, b in zip(at, at[1:], values, values[1:], strict=False):
        if x <= high:
            share = log(x / low) / log(high / low)
            return a + (b - a) * share
    return values[-1]
