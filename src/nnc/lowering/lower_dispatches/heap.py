"""A binary heap in memory, of which the root comes first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder

Element: TypeAlias = tuple[SSAValue, ...]
"""What moves as one, such as a number and where it came from."""

_MOST_LEVELS = 40
"""Levels of the largest heap that fits into memory."""


@dataclass(frozen=True)
class Heap:
    """How the elements of a heap are read, written and compared."""

    kb: KernelBuilder
    get: Callable[[IndexLike], Element]
    put: Callable[[IndexLike, Element], None]
    is_before: Callable[[Element, Element], SSAValue]
    """Whether the first of two elements belongs nearer to the root."""
    levels: IndexLike

    def build(self, size: IndexLike) -> None:
        """Make a heap of the first `size` elements."""
        kb = self.kb
        half = kb.floordiv(size, 2)
        with kb.loop(0, half) as i:
            self.sift(half - 1 - i, size)

    def pop(self, size: IndexLike) -> Element:
        """The root of a heap of `size` elements, which changes places with the last."""
        last = Index.of(size) - 1
        root, other = self.get(0), self.get(last)
        self.put(0, other)
        self.put(last, root)
        self.sift(0, last)
        return root

    def sift(self, start: IndexLike, size: IndexLike) -> None:
        """Move an element down until both of its children belong below it."""
        kb = self.kb

        def level(_: Index, state: list[SSAValue]) -> list[SSAValue]:
            here = kb.opaque(state[0], nonnegative=True)
            left = here * 2 + 1

            def down() -> list[SSAValue]:
                right = kb.minimum(left + 1, Index.of(size) - 1)
                a, b = self.get(left), self.get(right)
                is_right = self.is_before(b, a)
                child = kb.select(is_right, right, left)
                first = tuple(
                    kb.add(simd.SelectOp(is_right, y, x))
                    for x, y in zip(a, b, strict=True)
                )
                mine = self.get(here)

                def swap() -> list[SSAValue]:
                    self.put(here, first)
                    self.put(child, mine)
                    return [kb.value(child)]

                is_before = self.is_before(first, mine)
                return kb.choose(is_before, swap, lambda: [kb.value(size)])

            return kb.choose(
                kb.compare("slt", left, size), down, lambda: [kb.value(size)]
            )

        kb.fold(0, self.levels, 1, [kb.value(start)], level)


def levels_of(kb: KernelBuilder, size: IndexLike) -> IndexLike:
    """The levels of a heap of as many elements: the bits of that number."""
    known = Index.of(size).dim
    if isinstance(known, int):
        return max(1, known.bit_length())

    def level(_: Index, state: list[SSAValue]) -> list[SSAValue]:
        power, count = (kb.opaque(v, nonnegative=True) for v in state)
        fits = kb.compare("sle", power, size)
        return [kb.value(power * 2), kb.value(kb.select(fits, count + 1, count))]

    _, count = kb.fold(0, _MOST_LEVELS, 1, [kb.value(1), kb.value(0)], level)
    return kb.opaque(count, nonnegative=True)
