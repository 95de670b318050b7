"""Memory for one run at a time: the arena, the run state and the slot table."""

from __future__ import annotations

import mmap
import weakref
from contextlib import suppress
from typing import Any, Final

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
        self._release: weakref.finalize[..., Arena] | None = None

    def reserve(self, nbytes: int) -> None:
        """
        Have room for `nbytes`; what the arena held is lost if it has to grow.

        Raises:
            OutOfMemory: the system refuses.
        """
        if nbytes <= self.nbytes:
            return
        wanted = max(nbytes, int(self.nbytes * _GROWTH))
        self.close()
        try:
            memory = _map(wanted)
        except (OSError, ValueError, OverflowError) as error:
            raise OutOfMemory(
                f"cannot allocate an arena of {nbytes} bytes: {error}"
            ) from error
        view = np.frombuffer(memory, np.uint8)
        start = view.ctypes.data
        self.address = -(-start // _alignment(wanted)) * _alignment(wanted)
        self.nbytes = wanted
        # The view keeps the mapping from being closed; it must go first.
        self._release = weakref.finalize(self, _unmap, [view], memory)

    def close(self) -> None:
        """Give the memory back; doing it twice is fine."""
        if self._release is not None:
            self._release()
        self.address = self.nbytes = 0


def _alignment(nbytes: int) -> int:
    return _HUGE_PAGE if nbytes >= _HUGE_PAGE else 64


def _map(nbytes: int) -> mmap.mmap:
    size = nbytes + _alignment(nbytes)
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, size)
    # Private: what a forked child writes must not show here.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if nbytes >= _HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        # A kernel without huge pages refuses; ordinary ones will do.
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _unmap(views: list[NDArray[Any]], memory: mmap.mmap) -> None:
    views.clear()
    memory.close()


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
