"""Pages that are had before they are needed."""

import ctypes
import sys
import threading
import time

import pytest

from nnc.runtime import pages as module
from nnc.runtime.pages import RESERVE, Pages, with_reserve

resource = pytest.importorskip("resource")

MIB = 1 << 20

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has a call that faults pages in"
)


def wait_for_threads():
    me = threading.current_thread()
    for thread in threading.enumerate():
        if thread is not me:
            thread.join(10)


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt


@linux_only
def test_pages_touched_ahead_do_not_fault():
    if module._madvise() is None:
        pytest.skip("the kernel is older than Linux 5.14")
    memory = Pages(MIB)
    ctypes.memset(memory.address, 7, 300_000)
    memory.touch_ahead(200_000)
    wait_for_threads()
    before = faults()
    ctypes.memset(memory.address + 300_000, 8, MIB - 300_000)
    # Without it there would be one for each of the 170 pages.
    assert faults() - before < 20
    assert ctypes.string_at(memory.address, 300_000) == b"\7" * 300_000


def test_memory_may_be_freed_or_grown_while_it_is_touched():
    for _ in range(20):
        memory = Pages(16 * MIB)
        memory.touch_ahead(0)
        if memory.grow(20 * MIB):
            ctypes.memset(memory.address + 20 * MIB - 1, 1, 1)
        memory.touch_ahead(0)
        memory.close()
        memory.close()
    wait_for_threads()


def test_a_system_that_cannot_touch_ahead(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_madvise", lambda: None)
    memory = Pages(MIB)
    before = threading.active_count()
    memory.touch_ahead(0)
    assert threading.active_count() == before
    memory.close()


def test_touching_leaves_the_gil_to_others():
    memory = Pages(64 * MIB)
    started = time.perf_counter()
    memory.touch_ahead(0)
    steps = 0
    while threading.active_count() > 1 and time.perf_counter() - started < 10:
        steps += 1
    assert steps > 10
    memory.close()


@pytest.mark.parametrize("nbytes", [0, 1, MIB, 8 * MIB, 30 * MIB, 1 << 40])
def test_reserve_doubles_within_bounds(nbytes: int):
    reserve = with_reserve(nbytes) - nbytes
    assert min(nbytes, RESERVE) <= reserve <= RESERVE
