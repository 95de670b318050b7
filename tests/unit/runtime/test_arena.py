"""The arena: what it gives is aligned, usable, and kept when it grows."""

import ctypes
import sys

import pytest

from nnc.errors import OutOfMemory
from nnc.runtime import pages
from nnc.runtime.arena import Arena

MIB = 1 << 20


def test_growing_arena_is_aligned_and_writable_to_its_end():
    arena = Arena()
    for nbytes in (1, 100, 5000, 3 * MIB, 3 * MIB + 1, 17 * MIB, 100 * MIB):
        arena.reserve(nbytes)
        assert arena.nbytes >= nbytes
        assert arena.address % (64 if arena.nbytes < 2 * MIB else 2 * MIB) == 0
        ctypes.memset(arena.address, 1, 1)
        ctypes.memset(arena.address + arena.nbytes - 1, 1, 1)
    arena.close()
    arena.close()
    assert arena.nbytes == arena.address == 0


def test_arena_grows_by_a_quarter_at_least():
    arena = Arena()
    arena.reserve(8 * MIB)
    address = arena.address
    arena.reserve(4 * MIB)
    assert (arena.address, arena.nbytes) == (address, 8 * MIB)
    arena.reserve(8 * MIB + 1)
    assert arena.nbytes == 10 * MIB


def faults() -> int:
    """Pages that this process has got so far."""
    resource = pytest.importorskip("resource")
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux grows mappings")
def test_growing_arena_keeps_its_pages():
    arena = Arena()
    arena.reserve(64 * MIB)
    ctypes.memset(arena.address, 1, arena.nbytes)
    arena.reserve(200 * MIB)
    before = faults()
    ctypes.memset(arena.address, 2, 60 * MIB)
    # Anew, these would be 30 huge pages or 15360 small ones.
    assert faults() - before < 10


def test_arena_that_cannot_grow_in_place_is_mapped_anew(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(pages, "_CAN_RESIZE", False)
    arena = Arena()
    for nbytes in (3 * MIB, 30 * MIB):
        arena.reserve(nbytes)
        assert arena.address % (2 * MIB) == 0
        ctypes.memset(arena.address, 1, arena.nbytes)


def test_arena_is_usable_after_out_of_memory():
    arena = Arena()
    arena.reserve(3 * MIB)
    with pytest.raises(OutOfMemory, match="cannot allocate an arena"):
        arena.reserve(1 << 60)
    assert arena.nbytes == 0
    arena.reserve(3 * MIB)
    ctypes.memset(arena.address, 1, arena.nbytes)
