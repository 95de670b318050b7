"""Anonymous memory that grows, and whose pages can be had before they are needed."""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
import weakref
from contextlib import suppress
from functools import cache
from typing import Final

HUGE_PAGE: Final = 2 << 20

_CAN_RESIZE: Final = sys.platform == "linux"
"""Elsewhere, anonymous memory is not grown, or loses what is not written to a file."""

_POPULATE_WRITE: Final = 23
"""`MADV_POPULATE_WRITE` (Linux 5.14): fault pages in and leave what they hold."""

_TOUCHED_AT_ONCE: Final = HUGE_PAGE

RESERVE: Final = 32 << 20
"""The most memory that is had before it is needed."""


class Pages:
    """
    Zeroed memory of its own; huge pages are asked for where it is large enough.

    Aligned to a huge page if it is as large as one, and to 64 bytes else.
    """

    def __init__(self, nbytes: int) -> None:
        """
        Map `nbytes`.

        Raises:
            OSError, ValueError, OverflowError: the system refuses.
        """
        self._memory = _map(nbytes)
        self._release = weakref.finalize(self, self._memory.close)
        self._settle(nbytes)

    def _settle(self, nbytes: int) -> None:
        _use_huge_pages(self._memory, nbytes)
        alignment = _alignment(nbytes)
        self.address = -(-_start(self._memory) // alignment) * alignment
        self.nbytes = nbytes

    def grow(self, nbytes: int) -> bool:
        """
        Make it larger, where it is or moved, its pages kept; False if that cannot be.

        Pages that were touched are worth keeping: new ones cost more to come by than it
        takes to write them.
        """
        # Small pages are as quick to come by anew, and would stay small.
        if self.nbytes < HUGE_PAGE or not _CAN_RESIZE:
            return False
        try:
            self._memory.resize(_mapped_size(nbytes))
        except (OSError, ValueError, SystemError, OverflowError):
            return False
        self._settle(nbytes)
        return True

    def touch_ahead(self, start: int) -> None:
        """
        Fault the pages from byte `start` to the end in, in the background.

        What they hold stays, so the memory may be in use meanwhile. Does nothing where
        the system has no call for it.
        """
        if start < self.nbytes and _madvise() is not None:
            threading.Thread(target=self._touch, args=(start,), daemon=True).start()

    def _touch(self, start: int) -> None:
        madvise = _madvise()
        assert madvise is not None
        address = self.address
        start -= start % mmap.PAGESIZE
        # Memory that is freed or moved meanwhile is left alone. No lock makes sure of
        # that: it would outlive a fork, and what is lost is one step's work.
        while self._release.alive and self.address == address and start < self.nbytes:
            length = min(self.nbytes - start, _TOUCHED_AT_ONCE)
            if madvise(address + start, length, _POPULATE_WRITE):
                return
            start += length

    def close(self) -> None:
        """Give the memory back; doing it twice is fine."""
        self._release()


def with_reserve(nbytes: int) -> int:
    """
    A size to map when `nbytes` are needed and more may be, later.

    More than as much again, within bounds: sizes that at most double from one run to
    the next then do not meet memory that was never touched.
    """
    return nbytes + min(nbytes + nbytes // 4, RESERVE)


@cache
def _madvise() -> ctypes._NamedFuncPointer | None:  # pyright: ignore[reportPrivateUsage] # the type has no public name
    """The system's `madvise`, called without the GIL; None where it cannot do it."""
    if sys.platform != "linux":
        return None
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    # No pages at all: an older system says that it does not know the advice.
    return None if madvise(0, 0, _POPULATE_WRITE) else madvise


def _alignment(nbytes: int) -> int:
    return HUGE_PAGE if nbytes >= HUGE_PAGE else 64


def _mapped_size(nbytes: int) -> int:
    """
    The size of a mapping with room for `nbytes` from an aligned address on.

    Whole huge pages, so that a mapping that moves does not have to be cut within one.
    """
    alignment = _alignment(nbytes)
    return -(-nbytes // alignment) * alignment + alignment


def _map(nbytes: int) -> mmap.mmap:
    size = _mapped_size(nbytes)
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, size)
    # Private: what a forked child writes must not show here.
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _use_huge_pages(memory: mmap.mmap, nbytes: int) -> None:
    if nbytes >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        # A kernel without huge pages refuses; ordinary ones will do.
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)


def _start(memory: mmap.mmap) -> int:
    # The view must be gone at once: it keeps the mapping from being resized or closed.
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
