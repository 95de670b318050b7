"""Memory for one run at a time: the arena, the run state and the slot table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from nnc.errors import OutOfMemory
from nnc.runtime.pages import Pages
from nnc.runtime.state import STATE_WORDS, StateWord

if TYPE_CHECKING:
    from nnc.runtime.shapes import ShapeState

_LINE_WORDS: Final = 8
_GROWTH: Final = 1.25

STATE_BASE: Final = 1
ARENA_BASE: Final = 2
FIRST_ARRAY_BASE: Final = 3
"""What words of the table count from: nothing, the state, the arena, then the arrays,
inputs first."""

_CLEAR: Final = np.zeros(STATE_WORDS, np.int64).data


class Arena:
    """Anonymous memory that grows and is reused; aligned to at least 64 bytes."""

    def __init__(self) -> None:
        self.address = 0
        self.nbytes = 0
        self._pages: Pages | None = None

    def reserve(self, nbytes: int) -> None:
        """
        Have room for `nbytes`; what the arena held is lost if it has to grow.

        Raises:
            OutOfMemory: the system refuses.
        """
        if nbytes <= self.nbytes:
            return
        wanted = max(nbytes, int(self.nbytes * _GROWTH))
        if self._pages is None or not self._pages.grow(wanted):
            self.close()
            try:
                self._pages = Pages(wanted)
            except (OSError, ValueError, OverflowError) as error:
                raise OutOfMemory(
                    f"cannot allocate an arena of {nbytes} bytes: {error}"
                ) from error
        self.address = self._pages.address
        self.nbytes = self._pages.nbytes

    def reserve_ahead(self, nbytes: int, *, touched: int = 0) -> None:
        """
        Have room for `nbytes` if the system allows, and all of it touched soon.

        What the arena holds in its first `touched` bytes was touched already. The rest
        is touched in the background, which may go on while the arena is in use.
        """
        if nbytes <= self.nbytes:
            return
        # Without it, runs still get what they need when they need it.
        with suppress(OutOfMemory):
            self.reserve(nbytes)
            assert self._pages is not None
            self._pages.touch_ahead(touched)

    def close(self) -> None:
        """Give the memory back; doing it twice is fine."""
        if self._pages is not None:
            self._pages.close()
        self._pages = None
        self.address = self.nbytes = 0


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
        self._words = self.table.data
        self._bases = aligned_words(base_count)
        self._bases[STATE_BASE] = self.state_address
        self._filled: tuple[object, int] = (None, 0)

    def fill_table(
        self,
        state: ShapeState,
        base_of_word: NDArray[np.intp],
        addresses: Sequence[int],
    ) -> None:
        """
        Make the table of a shape, for inputs and outputs at these addresses.

        Most runs are like the last one in this context: then only the few words that
        point to inputs and outputs are written.
        """
        table, arena = self.table, self.arena.address
        if state.patches is not None and self._filled == (state.table_id, arena):
            words = self._words
            for word, position, offset in state.patches:
                words[word] = addresses[position] + offset
            return
        self._bases[ARENA_BASE] = arena
        self._bases[FIRST_ARRAY_BASE:] = addresses
        self._bases.take(base_of_word, out=table)
        np.add(table, state.table, out=table)
        self._filled = (state.table_id, arena)

    def clear_state(self, parallel: int = 0, log: int = 0, seed: int = 0) -> None:
        """No error, no cancellation; this function for parallel launches, this log."""
        self.state[:] = _CLEAR
        if parallel:
            self.state[StateWord.PARALLEL] = parallel
        if log:
            self.state[StateWord.LOG] = log
        if seed:
            self.state[StateWord.SEED] = seed

    def close(self) -> None:
        """Give the arena back."""
        self.arena.close()
