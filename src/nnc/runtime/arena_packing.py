"""Arena packing: from lifetimes and sizes to offsets. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ALIGNMENT: Final = 64
"""Bytes; what a cache line and the widest vector need."""


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
    Packs buffers of fixed lifetimes, for any sizes: greedily, the largest first.

    Lifetimes are pairs of first and last position, both included. What overlaps what
    is computed once, so that packing for new sizes is quick.
    """

    def __init__(self, lifetimes: Sequence[tuple[int, int]]) -> None:
        """Compute which of these lifetimes overlap."""
        self._neighbours = _overlaps(lifetimes)
        self._live_sets = _live_sets(lifetimes)

    def pack(self, sizes: Sequence[int]) -> Packing:
        """Offsets for buffers of these sizes, in the order of the lifetimes."""
        rounded = [aligned(s) for s in sizes]
        offsets = [0] * len(rounded)
        is_placed = bytearray(len(rounded))
        total = 0
        for buffer in sorted(range(len(rounded)), key=lambda b: -rounded[b]):
            size = rounded[buffer]
            taken = sorted(
                (offsets[other], offsets[other] + rounded[other])
                for other in self._neighbours[buffer]
                if is_placed[other]
            )
            offsets[buffer] = _best_gap(taken, size)
            is_placed[buffer] = 1
            total = max(total, offsets[buffer] + size)
        bound = max((sum(rounded[b] for b in s) for s in self._live_sets), default=0)
        return Packing(tuple(offsets), total, bound)


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
