"""The run state: a few words that native code and executor share during a run."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from nnc.errors import DivisionByZero, IndexOutOfRange, RunError


class StateWord(IntEnum):
    """The positions of the words."""

    CANCEL = 0
    """Not zero: stop at the next opportunity."""
    ERROR = 1
    """An `ErrorCode`, or zero."""
    SITE = 2
    """Which check of the kernel failed."""
    DETAIL = 3
    """A number that goes with the error."""
    LAUNCH = 4
    """The launch that runs, or failed."""
    PARALLEL = 5
    """Address of the function that shares a launch out to threads; zero: do not."""
    LOG = 6
    """Address of the log to write times to, or zero."""
    SEED = 7
    """What random numbers without a seed of their own start from in this run."""


STATE_WORDS: Final = 8
"""One cache line."""

LOG_HEADER_WORDS: Final = 2
"""A log begins with how many entries it was given, and for how many it has room."""

LOG_ENTRY_WORDS: Final = 3
"""An entry: the number of the launch that begins, or `END`; seconds, nanoseconds."""

END: Final = -1
"""In a log, the end of the run."""


class ErrorCode(IntEnum):
    """What a kernel can find wrong with the data."""

    INDEX_OUT_OF_RANGE = 1
    DIVISION_BY_ZERO = 2
    SIZE_MISMATCH = 3
    """A region was entered whose guard (the site) forbids it."""


_ERRORS: Final[dict[int, tuple[type[RunError], str]]] = {
    ErrorCode.INDEX_OUT_OF_RANGE: (IndexOutOfRange, "an index is outside of its axis"),
    ErrorCode.DIVISION_BY_ZERO: (DivisionByZero, "an integer was divided by zero"),
}


def error_for(code: int, node: str) -> RunError:
    """The exception for an error word, naming the source node."""
    kind, text = _ERRORS.get(code, (RunError, f"the kernel reported error {code}"))
    return kind(f"{text} (node '{node}')" if node else text)
