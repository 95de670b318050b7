"""Memory for one run at a time: the arena, the run state and the slot table."""

from __future__ import annotations

import ctypes
import mmap
import sys
import weakref
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nnc.errors import OutOfMemory
from nnc.runtime.state import STATE_WORDS

_HUGE_PAGE: Final = 2 << 20
_LINE_WORDS: Final = 8
_GROWTH: Final = 1.25


class Arena:
    """Anonymous memory that grows and is reused; aligned to at least 64 bytes."""

    def __init__(self) -> None:
        self.address = 0
        self.nbytes = 0
        self._memory: mmap.mmap | None = None
        self._release: weakref.finalize[..., Arena] | None = None

    def reserve(self, nbytes: int) -> None:
        """
        Have room for `nbytes`; what the arena held is lost if it has to grow.

        Pages that were touched are kept where the system can: new ones cost more to
        come by than it takes to write them.

        Raises:
            OutOfMemory: the system refuses.
        """
        if nbytes <= self.nbytes:
            return
        wanted = max(nbytes, int(self.nbytes * _GROWTH))
        try:
            memory = self._grown(wanted)
            if memory is None:
                self.close()
                memory = self._memory = _map(wanted)
                self._release = weakref.finalize(self, memory.close)
        except (OSError, ValueError, OverflowError) as error:
            self.close()
            raise OutOfMemory(
                f"cannot allocate an arena of {nbytes} bytes: {error}"
            ) from error
        _use_huge_pages(memory, wanted)
        alignment = _alignment(wanted)
        self.address = -(-_start(memory) // alignment) * alignment
        self.nbytes = wanted

    def _grown(self, nbytes: int) -> mmap.mmap | None:
        """The memory, made larger where it is or moved; None if it cannot be."""
        memory = self._memory
        # Small pages are as quick to come by anew, and would stay small.
        if memory is None or self.nbytes < _HUGE_PAGE or not _CAN_RESIZE:
            return None
        try:
            memory.resize(_mapped_size(nbytes))
        except (OSError, ValueError, SystemError):
            return None
        return memory

    def close(self) -> None:
        """Give the memory back; doing it twice is fine."""
        if self._release is not None:
            self._release()
        self._release = self._memory = None
        self.address = self.nbytes = 0


_CAN_RESIZE: Final = sys.platform == "linux"
"""Elsewhere, anonymous memory is not grown, or loses what is not written to a file."""


def _alignment(nbytes: int) -> int:
    return _HUGE_PAGE if nbytes >= _HUGE_PAGE else 64


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
    if nbytes >= _HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        # A kernel without huge pages refuses; ordinary ones will do.
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)


def _start(memory: mmap.mmap) -> int:
    # The view must be gone at once: it keeps the mapping from being resized or closed.
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def aligned_words(count: int) -> NDArray[np.int64]:
    """`count` zero words that start on a cache line."""
    words = np.zeros(count + _LINE_WORDS, np.int64)
    start = (-words.ctypes.data % 64) // 8
    return words[start : start + count]


class RunContext:
    """What one run needs for itself; contexts are pooled and reused."""

    def __init__(self, table_words: int, base_count: int) -> None:
        """For a table of that many words that count from that many bases."""
        self.arena = Arena()
        state = aligned_words(STATE_WORDS)
        self.state = state.data
        """The run state's words; a memoryview is the quickest way to single words."""
        self.state_address: int = state.ctypes.data
        self.table = aligned_words(table_words)
        self.table_address: int = self.table.ctypes.data
        self._bases = aligned_words(base_count)
        self.bases = self._bases.data

    def fill_table(
        self, words: NDArray[np.int64], base_of_word: NDArray[np.intp]
    ) -> None:
        """The table: `words`, each plus its base."""
        self._bases.take(base_of_word, out=self.table)
        np.add(self.table, words, out=self.table)

    def clear_state(self) -> None:
        """No error, no cancellation."""
        for word in range(STATE_WORDS):
            self.state[word] = 0

    def close(self) -> None:
        """Give the arena back."""
        self.arena.close()
