"""Memory for large outputs, reused once the arrays that lie in it are gone."""

from __future__ import annotations

import ctypes
import os
import threading
from bisect import insort
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from typing import Any, Final, cast

import numpy as np

from nnc.errors import OutOfMemory
from nnc.runtime.pages import RESERVE, Pages, with_reserve
from nnc.runtime.specs import Array

LARGE: Final = 1 << 20
"""Below it, the C library's allocator reuses memory as well as we could."""

_GRAIN: Final = 4096


class OutputHeap:
    """
    Gives out arrays that lie in memory which was touched before, where there is some.

    The system hands out pages when they are first touched, and that may cost more than
    computing what is written to them. So memory is kept when an array dies, up to a
    bound, and a reserve is touched in the background for arrays larger than those
    before. Threads may share one heap.
    """

    def __init__(self) -> None:
        self._regions: list[_Region] = []
        self._lock = threading.Lock()
        self._dead: deque[_Range] = deque()
        self._wanted = 0

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """
        A new C-contiguous array whose elements may be anything.

        Raises:
            OutOfMemory: the system refuses.
        """
        nbytes = prod(shape) * dtype.itemsize
        try:
            if nbytes < LARGE:
                return np.empty(shape, dtype)
            with self._lock:
                taken = self._take(-(-nbytes // _GRAIN) * _GRAIN)
        except (MemoryError, ValueError, OSError, OverflowError) as error:
            raise OutOfMemory(f"cannot allocate the outputs: {error}") from error
        memory = (ctypes.c_byte * nbytes).from_address(taken.address)
        # The array keeps the memory, and with it what gives the range back.
        memory.keeper = _Keeper(taken, self._dead)  # pyright: ignore[reportAttributeAccessIssue] # ctypes objects take attributes
        return np.ndarray(shape, dtype, cast(Any, memory))

    def reserve_ahead(self, nbytes: int = 0) -> None:
        """
        Touch memory for an array of `nbytes`, and for one larger than the last one.

        That goes on in the background and takes a core for a while: best called when
        nothing is urgent.
        """
        # Looked at without the lock: most calls have nothing to do.
        if not (self._wanted or nbytes):
            return
        with self._lock, suppress(OSError, ValueError, OverflowError):
            wanted, self._wanted = max(self._wanted, nbytes), 0
            if all(region.largest < wanted for region in self._regions):
                self._new_region(wanted).pages.touch_ahead(0)

    @property
    def nbytes(self) -> int:
        """What is mapped, in use or not."""
        return sum(region.pages.nbytes for region in self._regions)

    def _take(self, nbytes: int) -> _Range:
        while self._dead:
            dead = self._dead.popleft()
            dead.region.give_back(dead.start, dead.nbytes)
        self._drop_unused()
        fits = [r for r in self._regions if r.largest >= nbytes]
        region = (
            min(fits, key=lambda r: r.largest) if fits else self._new_region(nbytes)
        )
        self._wanted = with_reserve(nbytes)
        return _Range(region, region.take(nbytes), nbytes)

    def _new_region(self, nbytes: int) -> _Region:
        region = _Region(Pages(nbytes))
        self._regions.append(region)
        return region

    def _drop_unused(self) -> None:
        """Keep the largest of the regions that nothing lies in, and some more."""
        unused = sorted(
            (r for r in self._regions if r.is_unused), key=lambda r: -r.pages.nbytes
        )
        kept = 0
        for region in unused:
            if kept > 2 * RESERVE:
                self._regions.remove(region)
                region.pages.close()
            kept += region.pages.nbytes


class _Region:
    """A mapping, and the ranges of it that are free."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self._free = [(0, pages.nbytes - pages.nbytes % _GRAIN)]

    @property
    def largest(self) -> int:
        """The longest free range, in bytes."""
        return max((stop - start for start, stop in self._free), default=0)

    @property
    def is_unused(self) -> bool:
        return self.largest >= self.pages.nbytes - _GRAIN

    def take(self, nbytes: int) -> int:
        """Where a range of that size starts from now on; there is one."""
        at = next(i for i, (a, b) in enumerate(self._free) if b - a >= nbytes)
        start, stop = self._free.pop(at)
        if start + nbytes < stop:
            self._free.insert(at, (start + nbytes, stop))
        return start

    def give_back(self, start: int, nbytes: int) -> None:
        """Free a range, and join it with its neighbours."""
        insort(self._free, (start, start + nbytes))
        joined: list[tuple[int, int]] = []
        for low, high in self._free:
            if joined and joined[-1][1] == low:
                joined[-1] = (joined[-1][0], high)
            else:
                joined.append((low, high))
        self._free = joined


class _Range:
    """A part of a region that an array lies in."""

    def __init__(self, region: _Region, start: int, nbytes: int) -> None:
        self.region = region
        self.start = start
        self.nbytes = nbytes

    @property
    def address(self) -> int:
        return self.region.pages.address + self.start


class _Keeper:
    """Lists a range as free when the last array that lies in it is gone."""

    def __init__(self, taken: _Range, dead: deque[_Range]) -> None:
        self._taken = taken
        self._dead = dead

    def __del__(self) -> None:
        # Objects die at any moment, also while this thread holds the heap's lock.
        self._dead.append(self._taken)


_shared = OutputHeap()


def shared_heap() -> OutputHeap:
    """The heap of this process."""
    return _shared


def _renew() -> None:
    # Another thread of the parent may have been in the midst of using it.
    global _shared
    _shared = OutputHeap()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
