"""
Runs of compiled models in which every buffer lies against pages without access.

Inputs, outputs, weights and each buffer of the arena end where such a page begins
(`right`), or begin where one ends (`left`): a kernel that reads or writes outside of a
buffer dies at once. What a kernel has not written holds a pattern, not zeros.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from unittest.mock import patch

import numpy as np
from engines import Array, Engine

import nnc
from nnc.errors import InputValuesNeeded
from nnc.runtime import executor
from nnc.runtime.arena import Arena
from nnc.runtime.arena_packing import Packing
from nnc.runtime.shapes import ShapePlanner

Side = Literal["left", "right"]

_PAGE: Final = mmap.PAGESIZE
_PATTERN: Final = 0xA5


@dataclass
class Guards:
    """Memory with guards; what it gave out stays until the process ends."""

    side: Side
    _kept: list[mmap.mmap] = field(default_factory=list[mmap.mmap])
    _offsets: dict[int, list[tuple[int, int]]] = field(
        default_factory=dict[int, list[tuple[int, int]]]
    )
    """By the size of an arena: where pages with access start, and how many they are."""

    def place(self, sizes: Sequence[int]) -> tuple[list[int], int]:
        """Offsets of buffers, each between guards, and the size of all of it."""
        offsets: list[int] = []
        open_pages: list[tuple[int, int]] = []
        position = _PAGE
        for size in sizes:
            count = max(-(-size // _PAGE), 1)
            open_pages.append((position, count))
            end = position + count * _PAGE
            offsets.append(position if self.side == "left" else end - size)
            position = end + _PAGE
        # No two layouts of a process are as large, so that their guards are found.
        while self._offsets.get(position, open_pages) != open_pages:
            position += _PAGE
        self._offsets[position] = open_pages
        return offsets, position

    def memory(self, nbytes: int) -> int:
        """The address of memory for a layout of that size."""
        memory = mmap.mmap(
            -1, max(nbytes, _PAGE), flags=mmap.MAP_PRIVATE | mmap.MAP_ANON
        )
        self._kept.append(memory)
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        libc = ctypes.CDLL(None)
        protect = libc.mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        assert not protect(base, max(nbytes, _PAGE), 0)
        for start, count in self._offsets.get(nbytes, []):
            access = mmap.PROT_READ | mmap.PROT_WRITE
            assert not protect(base + start, count * _PAGE, access)
            ctypes.memset(base + start, _PATTERN, count * _PAGE)
        return base

    def array(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """An array between guards."""
        count = int(np.prod(shape, dtype=np.int64))
        nbytes = count * dtype.itemsize
        (offset,), size = self.place([nbytes])
        address = self.memory(size) + offset
        held: Any = (ctypes.c_char * nbytes).from_address(address)
        return np.frombuffer(held, dtype, count).reshape(shape)

    def copy(self, array: Array) -> Array:
        """A copy between guards."""
        result = self.array(array.shape, array.dtype)
        result[...] = array
        return result

    # ---- in place of what the runtime does

    def pack(self, sizes: Sequence[int]) -> Packing:
        """Each buffer of an arena by itself."""
        offsets, total = self.place([max(0, s) for s in sizes])
        return Packing(tuple(offsets), total, total)

    def reserve(self, arena: Arena, nbytes: int) -> None:
        """A new arena, for the layout of that size."""
        if arena.nbytes != nbytes:
            arena.address, arena.nbytes = self.memory(nbytes), nbytes


@contextmanager
def guards(side: Side) -> Generator[Guards]:
    """Let models that are loaded inside have guarded arenas and weights."""
    made = Guards(side)
    bound = executor._bound

    def weight(*args: Any) -> Array:
        return made.copy(bound(*args))

    def pack(_: ShapePlanner, sizes: Sequence[int]) -> Packing:
        return made.pack(sizes)

    def reserve(arena: Arena, nbytes: int) -> None:
        made.reserve(arena, nbytes)

    def reserve_ahead(*_: object, touched: int = 0) -> None:
        """Runs get what they need when they need it."""

    with (
        patch.object(ShapePlanner, "_pack", pack),
        patch.object(Arena, "reserve", reserve),
        patch.object(Arena, "reserve_ahead", reserve_ahead),
        patch.object(executor, "_bound", weight),
    ):
        yield made


def run_guarded(
    engine: Engine, model: bytes, feeds: Mapping[str, Array], side: Side
) -> list[Array]:
    """The outputs of a model, run twice: into new arrays, then into guarded ones."""
    options: dict[str, Any] = engine.options
    feeds = dict(feeds)
    with guards(side) as made:
        try:
            exe = nnc.compile(model, **options)
        except InputValuesNeeded as error:
            values = {name: feeds.pop(name) for name in error.inputs}
            exe = nnc.compile(model, input_values=values, **options)
        with exe:
            inputs = {n: made.copy(a) for n, a in feeds.items()}
            exe.seed(0)
            first = exe.run(None, inputs)
            out = [made.array(y.shape, y.dtype) for y in first]
            exe.seed(0)
            second = exe.run(None, inputs, out=out)
            for a, b in zip(first, second, strict=True):
                assert a.tobytes() == b.tobytes(), "the second run differs"
            return [y.copy() for y in second]
