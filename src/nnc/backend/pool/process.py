"""
The thread pool of this process, which all models share.

It is made when the first model needs it, has as many workers as the model with the
most threads asked for, and stays: its threads sleep while nothing runs, and end with
the process. A forked child has none of them; it makes its own when it needs them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from nnc.backend.host import host_target
from nnc.backend.jit import load_object
from nnc.backend.pool import layout
from nnc.backend.pool.code import pool_object
from nnc.errors import RunError

_SPIN_SECONDS: Final = 100e-6
"""How long a worker looks for work before it sleeps; to wake it takes 5 to 15 us."""
_PAUSES: Final = 500


class Pool:
    """The pool's functions, and how much of it there is."""

    def __init__(self, data: bytes = b"") -> None:
        """Link the pool's object code, which is made if it is not given."""
        code = load_object(data or pool_object(host_target()))
        # Workers may be in it when the process ends.
        at = code.keep("nnc_parallel", "nnc_pool_grow", "nnc_pause", "nnc_pool")
        self.parallel = at["nnc_parallel"]
        self._grow = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(
            at["nnc_pool_grow"]
        )
        self._pause = ctypes.CFUNCTYPE(None, ctypes.c_int64)(at["nnc_pause"])
        self._memory: int = ctypes.CFUNCTYPE(ctypes.c_void_p)(at["nnc_pool"])()
        self._spin_address = self._memory + layout.SPIN
        self._size = layout.SIZE
        self._spin = self._measure_spin()
        self._set_spin()

    def _measure_spin(self) -> int:
        """How many pauses take as long as a worker should wait."""
        best = min(self._time_of_pauses() for _ in range(5))
        return max(1, int(_SPIN_SECONDS * _PAUSES / max(best, 1e-9)))

    def _time_of_pauses(self) -> float:
        started = time.perf_counter()
        self._pause(_PAUSES)
        return time.perf_counter() - started

    def _set_spin(self) -> None:
        ctypes.c_int64.from_address(self._spin_address).value = self._spin

    def grow(self, workers: int) -> None:
        """
        Have at least that many workers.

        Raises:
            RunError: the system gives no more threads.
        """
        with _signals_blocked():
            made = self._grow(workers)
        if made < workers:
            raise RunError(
                f"the system refuses more threads: there are {made} beside the caller, "
                f"{workers} are wanted; compile with a smaller num_threads"
            )

    def forget_workers(self) -> None:
        """Be as if new: in a forked child, nothing of a job or a thread is left."""
        ctypes.memset(self._memory, 0, self._size)
        self._set_spin()


_lock = threading.Lock()
_pool: Pool | None = None
_threads = 1
"""How many threads there are in this process, with the caller."""


def parallel_function(threads: int, data: bytes = b"") -> int:
    """
    Where the function is that runs a launch on up to that many threads.

    `data` is the pool's object code, if there is some already: a compiled model brings
    it along, so that its first run has no code to make.

    Raises:
        RunError: the system gives no more threads.
    """
    global _pool, _threads
    pool = _pool
    if pool is not None and threads <= _threads:
        return pool.parallel
    with _lock:
        if _pool is None:
            _pool = Pool(data)
        if threads > _threads:
            _pool.grow(threads - 1)
            _threads = threads
        return _pool.parallel


def _after_fork() -> None:
    global _lock, _threads
    _lock = threading.Lock()
    _threads = 1
    if _pool is not None:
        _pool.forget_workers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def _signals_blocked() -> Generator[None]:
    """Threads made in here never handle signals: those are for Python's."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
