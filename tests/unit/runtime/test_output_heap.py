"""Large outputs: memory is reused when nothing lies in it any more, and not before."""

import gc
import os
import threading

import numpy as np
import pytest

from nnc.errors import OutOfMemory
from nnc.runtime.output_heap import OutputHeap, shared_heap
from nnc.runtime.pages import RESERVE

MIB = 1 << 20
F32 = np.dtype(np.float32)


def floats(heap: OutputHeap, mib: float) -> np.ndarray:
    return heap.empty((int(mib * MIB) // 4,), F32)


def test_small_outputs_own_their_memory():
    heap = OutputHeap()
    assert heap.empty((10, 10), F32).flags.owndata
    assert heap.nbytes == 0


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.bool_, np.complex128, "<f2"])
def test_large_outputs_are_ordinary_arrays(dtype: str):
    array = OutputHeap().empty((3, 1 << 19, 2), np.dtype(dtype))
    assert array.shape == (3, 1 << 19, 2)
    assert array.dtype == np.dtype(dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.ctypes.data % 64 == 0
    array[...] = 1
    assert array.all()


def test_memory_is_reused_when_the_array_is_gone():
    heap = OutputHeap()
    first = floats(heap, 3)
    address = first.ctypes.data
    mapped = heap.nbytes
    del first
    for _ in range(10):
        again = floats(heap, 3)
        assert again.ctypes.data == address
        del again
    assert heap.nbytes == mapped


def test_a_view_keeps_the_memory():
    heap = OutputHeap()
    view = floats(heap, 2)[1::2][-1000:]
    view[:] = 5
    gc.collect()
    for _ in range(5):
        floats(heap, 2)[:] = 7
    assert (view == 5).all()


def test_a_larger_array_finds_its_memory_reserved():
    heap = OutputHeap()
    held = floats(heap, 4)
    heap.reserve_ahead()
    mapped = heap.nbytes
    assert mapped >= 12 * MIB
    assert floats(heap, 8).size
    heap.reserve_ahead()
    assert held.size
    assert heap.nbytes > mapped
    grown = heap.nbytes
    heap.reserve_ahead()
    assert heap.nbytes == grown


def test_arrays_never_overlap():
    heap = OutputHeap()
    rng = np.random.default_rng(0)
    alive: dict[int, np.ndarray] = {}
    for number in range(300):
        array = floats(heap, rng.uniform(1, 4))
        array[:] = number
        alive[number] = array
        if number % 3 == 0:
            heap.reserve_ahead()
        del array
        while len(alive) > rng.integers(1, 12):
            del alive[int(rng.choice(list(alive)))]
        for value, kept in alive.items():
            assert kept[0] == kept[-1] == value
            assert (kept[:: 64 << 10] == value).all()


def test_what_is_kept_unused_is_bounded():
    heap = OutputHeap()
    held = [floats(heap, 20) for _ in range(12)]
    assert heap.nbytes >= 240 * MIB
    del held
    floats(heap, 1)
    # One region more than the bound, and the next reserve.
    assert heap.nbytes <= 2 * RESERVE + 2 * (20 * MIB + RESERVE)


def test_threads_share_a_heap():
    heap = OutputHeap()
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(100):
            array = floats(heap, 1.5)
            array[:] = number
            if not (array[::4096] == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_too_large_an_output_is_an_error():
    heap = OutputHeap()
    with pytest.raises(OutOfMemory, match="cannot allocate the outputs"):
        heap.empty((1 << 58,), np.dtype(np.int8))
    floats(heap, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_heap_of_its_own():
    heap = shared_heap()
    child = os.fork()
    if child == 0:
        os._exit(
            0 if shared_heap() is not heap and len(floats(shared_heap(), 2)) else 1
        )
    assert os.waitpid(child, 0)[1] == 0
