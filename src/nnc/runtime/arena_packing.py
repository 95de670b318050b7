"""Arena packing: from lifetimes and sizes to offsets. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

ALIGNMENT: Final = 64
"""Bytes; what a cache line and the widest vector need."""

_MAX_TRIES: Final = 32
_MAX_PLACED: Final = 4000
"""Buffers placed while improving; a new shape must not wait long for its plan."""


@dataclass(frozen=True)
class Packing:
    """Where each buffer lies, and how good that is."""

    offsets: tuple[int, ...]
    size: int
    """Bytes of the arena."""
    lower_bound: int
    """The most bytes that are live at one time: no packing can be smaller."""


def aligned(size: int) -> int:
    """`size` rounded up to whole units of the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class ArenaPacker:
    """
    Packs buffers of fixed lifetimes, for any sizes: greedily, and better if need be.

    Each buffer in turn takes the smallest gap between those placed before it. With the
    largest first the arena is mostly as small as it can be. Where it is not, a few
    other orders are tried: those live at the fullest moment first, by size times
    lifetime, and then again and again whichever buffer ended highest before all others.

    Lifetimes are pairs of first and last position, both included. What overlaps what
    is computed once, so that packing for new sizes is quick.
    """

    def __init__(self, lifetimes: Sequence[tuple[int, int]]) -> None:
        """Compute which of these lifetimes overlap."""
        self._lengths = [last - first + 1 for first, last in lifetimes]
        self._neighbours = _overlaps(lifetimes)
        self._live_sets = _live_sets(lifetimes)

    def pack(self, sizes: Sequence[int]) -> Packing:
        """Offsets for buffers of these sizes, in the order of the lifetimes."""
        rounded = [aligned(s) for s in sizes]
        loads = [sum(rounded[b] for b in s) for s in self._live_sets]
        bound = max(loads, default=0)
        best_order: list[int] = []
        best: tuple[int, list[int]] | None = None
        for order in self._orders(rounded, loads):
            found = self._placed(order, rounded)
            if best is None or found[0] < best[0]:
                best, best_order = found, order
            if best[0] == bound:
                break
        assert best is not None
        if best[0] > bound:
            best = self._improved(best, best_order, rounded, bound)
        return Packing(tuple(best[1]), best[0], bound)

    def _orders(
        self, sizes: Sequence[int], loads: Sequence[int]
    ) -> Iterator[list[int]]:
        """Orders worth trying, the best one on average first."""
        buffers = range(len(sizes))
        yield sorted(buffers, key=lambda b: -sizes[b])
        pressure = [0] * len(sizes)
        for load, live in zip(loads, self._live_sets, strict=True):
            for buffer in live:
                pressure[buffer] = max(pressure[buffer], load)
        yield sorted(buffers, key=lambda b: (-pressure[b], -sizes[b]))
        yield sorted(buffers, key=lambda b: -sizes[b] * self._lengths[b])

    def _placed(
        self, order: Sequence[int], sizes: Sequence[int]
    ) -> tuple[int, list[int]]:
        """The size of the arena, and the offsets of buffers placed in this order."""
        offsets = [0] * len(sizes)
        is_placed = bytearray(len(sizes))
        total = 0
        for buffer in order:
            size = sizes[buffer]
            taken = sorted(
                (offsets[other], offsets[other] + sizes[other])
                for other in self._neighbours[buffer]
                if is_placed[other]
            )
            offsets[buffer] = _best_gap(taken, size)
            is_placed[buffer] = 1
            total = max(total, offsets[buffer] + size)
        return total, offsets

    def _improved(
        self,
        best: tuple[int, list[int]],
        order: Sequence[int],
        sizes: Sequence[int],
        bound: int,
    ) -> tuple[int, list[int]]:
        """The best packing when the highest buffer is placed first, several times."""
        total, offsets = best
        for _ in range(min(_MAX_TRIES, _MAX_PLACED // max(1, len(sizes)))):
            highest = max(order, key=lambda b: offsets[b] + sizes[b])
            order = [highest, *(b for b in order if b != highest)]
            total, offsets = self._placed(order, sizes)
            if total < best[0]:
                best = total, offsets
            if total == bound:
                break
        return best


def _best_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The start of the smallest gap of `size` between the sorted ranges, or the end."""
    best, best_room = -1, -1
    end = 0
    for start, stop in taken:
        room = start - end
        if room >= size and (best < 0 or room < best_room):
            best, best_room = end, room
        end = max(end, stop)
    return end if best < 0 else best


def _overlaps(lifetimes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """For each buffer, the buffers that are live at some position that it is."""
    neighbours: list[list[int]] = [[] for _ in lifetimes]
    live: list[int] = []
    for buffer in sorted(range(len(lifetimes)), key=lambda b: lifetimes[b]):
        first = lifetimes[buffer][0]
        live = [other for other in live if lifetimes[other][1] >= first]
        for other in live:
            neighbours[buffer].append(other)
            neighbours[other].append(buffer)
        live.append(buffer)
    return neighbours


def _live_sets(lifetimes: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The buffers live at each position where a lifetime starts."""
    sets: list[tuple[int, ...]] = []
    live: list[int] = []
    order = sorted(range(len(lifetimes)), key=lambda b: lifetimes[b])
    for place, buffer in enumerate(order):
        first = lifetimes[buffer][0]
        live = [other for other in live if lifetimes[other][1] >= first]
        live.append(buffer)
        following = order[place + 1] if place + 1 < len(order) else None
        if following is None or lifetimes[following][0] > first:
            sets.append(tuple(live))
    return sets
