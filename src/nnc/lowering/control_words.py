"""
The words of the slot table that branches and loops need, and how slots move in loops.

An offset that depends on symbols of loops is split: `a + i * b + (i mod 2) * c`, where
`i` is the innermost of them and `a` may depend on the others in the same way. One
update a symbol keeps the slot up, from the outermost on: the target of each is the
start of the next, and the target of the last is the slot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from nnc.errors import InternalError
from nnc.lowering.host_program import (
    UPDATE_WORDS,
    IfStep,
    LaunchStep,
    LoopStep,
    Step,
    Steps,
    Updates,
)
from nnc.runtime.artifact import Base, Slot
from nnc.symbolic import Dim


@dataclass
class _Update:
    """An update that has no place in the table yet."""

    target: int | tuple[_Update, int]
    """A word, or the start of another update."""
    start: Slot
    step: int
    swing: int
    """Positions of expressions."""
    begin: int = -1


@dataclass
class _Symbol:
    """A symbol of a loop, and the updates when it gets a value."""

    order: int
    updates: list[_Update] = field(default_factory=list[_Update])
    begin: int = -1


@dataclass(frozen=True)
class _Pending(Updates):
    """Updates of a symbol, before words are numbered."""

    symbol: _Symbol = field(default_factory=lambda: _Symbol(0))


class ControlWords:
    """
    Collects control words during the walk over a program.

    Until `finish`, control words are numbered from -1 downwards; launches have the
    words from 0 on.
    """

    def __init__(self, expression: Callable[[Dim], int]) -> None:
        """`expression` gives the position of an expression in the plan."""
        self._expression = expression
        self._slots: list[Slot] = []
        self._symbols: dict[str, _Symbol] = {}
        self._order: list[_Symbol] = []
        self._guards: list[int | None] = []

    # ---- words

    def value(self, dim: Dim) -> int:
        """A word that holds a size."""
        return self._add(Slot("value", 0, self._expression(dim)))

    def address(self, base: Base, index: int, offset: Dim) -> int:
        """A word that holds an address, kept up if it moves."""
        if not self.is_moving(offset):
            return self._add(Slot(base, index, self._expression(offset)))
        word = self._add(Slot(base, index, self._expression(Dim.of(0))))
        self.move(word, base, index, offset)
        return word

    def _add(self, slot: Slot) -> int:
        self._slots.append(slot)
        return -len(self._slots)

    # ---- symbols of loops

    def define(self, name: str) -> Updates:
        """From here on, `name` has a value; the updates that this causes."""
        symbol = _Symbol(len(self._order))
        self._symbols[name] = symbol
        self._order.append(symbol)
        return _Pending(0, 0, symbol)

    def is_moving(self, offset: Dim) -> bool:
        """Whether an offset depends on a loop."""
        return not offset.symbols.isdisjoint(self._symbols)

    def move(self, word: int, base: Base, index: int, offset: Dim) -> None:
        """Keep up the word of a slot."""
        names = [n for n in offset.symbols if n in self._symbols]
        names.sort(key=lambda n: self._symbols[n].order, reverse=True)
        target: int | tuple[_Update, int] = word
        update: _Update | None = None
        zero = self._expression(Dim.of(0))
        for position, name in enumerate(names):
            start, step, swing = split(offset, name)
            is_last = position == len(names) - 1
            update = _Update(
                target,
                Slot(base, index, self._expression(start) if is_last else zero),
                self._expression(step),
                self._expression(swing),
            )
            self._symbols[name].updates.append(update)
            target, offset = (update, 1), start

    # ---- guards

    def open_guard(self) -> int:
        """The number of a guard for a region; it costs nothing unless it is used."""
        self._guards.append(None)
        return len(self._guards) - 1

    def use_guard(self, number: int) -> None:
        """The region has a check."""
        if self._guards[number] is None:
            self._guards[number] = self.value(Dim.of(0))

    def close_guard(self, number: int) -> int | None:
        """The word of the guard, if it is used."""
        return self._guards[number]

    # ---- the end

    def finish(
        self, start: int
    ) -> tuple[tuple[Slot, ...], tuple[int, ...], Callable[[Steps], Steps]]:
        """
        All control words, which begin at word `start`.

        Also the positions of the guards among them, and a function that replaces
        provisional numbers of words by final ones.
        """
        slots = list(self._slots)
        for symbol in self._order:
            symbol.begin = start + len(slots)
            for update in symbol.updates:
                update.begin = start + len(slots)
                slots += [update.start] * UPDATE_WORDS

        def final(word: int) -> int:
            return word if word >= 0 else start - word - 1

        for symbol in self._order:
            for update in symbol.updates:
                target = update.target
                if isinstance(target, tuple):
                    word = target[0].begin + target[1]
                else:
                    word = final(target)
                at = update.begin - start
                slots[at] = Slot("value", 0, self._expression(Dim.of(word)))
                slots[at + 2] = Slot("value", 0, update.step)
                slots[at + 3] = Slot("value", 0, update.swing)
        guards = tuple(
            0 if word is None else final(word) - start for word in self._guards
        )
        return tuple(slots), guards, lambda steps: _resolved(steps, final)


def split(offset: Dim, name: str) -> tuple[Dim, Dim, Dim]:
    """
    `offset` as `start + name * step + (name mod 2) * swing`.

    Raises:
        InternalError: it is no such sum.
    """
    start, one, two = (offset.substitute({name: n}) for n in range(3))
    step = (two - start) // 2
    swing = one - start - step
    symbol = Dim.symbol(name)
    if start + symbol * step + symbol % 2 * swing != offset:
        raise InternalError(f"the offset {offset} does not move evenly with {name}")
    return start, step, swing


def _resolved(steps: Steps, final: Callable[[int], int]) -> Steps:
    return Steps(
        tuple(_resolved_step(s, final) for s in steps.steps),
        None if steps.guard is None else final(steps.guard),
        steps.number,
    )


def _resolved_step(step: Step, final: Callable[[int], int]) -> Step:
    def optional(word: int | None) -> int | None:
        return None if word is None else final(word)

    match step:
        case LaunchStep():
            return step
        case IfStep():
            return IfStep(
                final(step.condition),
                _resolved(step.then, final),
                _resolved(step.otherwise, final),
            )
        case LoopStep():
            return replace(
                step,
                trips=optional(step.trips),
                count=optional(step.count),
                condition=optional(step.condition),
                following=optional(step.following),
                iteration=optional(step.iteration),
                body=_resolved(step.body, final),
                at_start=_placed(step.at_start),
                at_end=_placed(step.at_end),
            )


def _placed(updates: Updates) -> Updates:
    assert isinstance(updates, _Pending)
    return Updates(updates.symbol.begin, len(updates.symbol.updates))
