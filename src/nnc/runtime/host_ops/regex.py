"""
Matches whole texts with regular expressions, in time linear in the text.

An expression becomes an automaton whose sets of states are followed side by side, as in
RE2: no pattern can make a match slow, as it can with a search that goes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from nnc.runtime.host_ops.regex_classes import CharacterSet, is_word
from nnc.runtime.host_ops.regex_syntax import (
    Assertion,
    Characters,
    Choice,
    Expression,
    Repeat,
    Sequence,
    parsed,
)
from nnc.runtime.host_ops.values import HostOpError

_MAX_STATES: Final = 20_000
# Repetitions of nothing need no states, but time.
_MAX_PARTS: Final = 200_000
_MAX_REMEMBERED: Final = 10_000

_States = frozenset[int]


@dataclass
class _State:
    """Reads a character of `reads`, or passes where `holds` does, to `targets`."""

    targets: list[int]
    reads: CharacterSet | None = None
    holds: str | None = None


class Pattern:
    """A compiled expression; may be used by several threads at once."""

    def __init__(self, expression: Expression) -> None:
        """
        For a parsed expression.

        Raises:
            HostOpError: its repetitions make it too large.
        """
        self._states: list[_State] = []
        self._parts = 0
        self._final = self._new(_State([]))
        self._first = self._added(expression, self._final)
        self._steps: dict[tuple[_States, str, str], _States] = {}

    @staticmethod
    @lru_cache(maxsize=64)
    def compiled(pattern: str) -> Pattern:
        """
        The automaton of a pattern in the syntax of RE2.

        Raises:
            HostOpError: the pattern is not valid, not supported, or too large.
        """
        return Pattern(parsed(pattern))

    def matches(self, text: str) -> bool:
        """Whether the whole of a text matches."""
        states: _States = frozenset((self._first,))
        before = ""
        for character in text:
            states = self._step(states, before, character)
            if not states:
                return False
            before = character
        return self._final in self._closure(states, before, "")

    def longest(self, text: str, start: int) -> int | None:
        """Where the longest match ends that starts at a place; None without one."""
        states: _States = frozenset((self._first,))
        before = text[start - 1] if start else ""
        end = None
        for place in range(start, len(text) + 1):
            after = text[place] if place < len(text) else ""
            if self._final in self._closure(states, before, after):
                end = place
            if not after:
                break
            states = self._step(states, before, after)
            if not states:
                break
            before = after
        return end

    def _step(self, states: _States, before: str, character: str) -> _States:
        key = (states, _context(before), character)
        found = self._steps.get(key)
        if found is None:
            found = frozenset(
                state.targets[0]
                for state in map(
                    self._states.__getitem__, self._closure(states, before, character)
                )
                if state.reads is not None and character in state.reads
            )
            if len(self._steps) >= _MAX_REMEMBERED:
                self._steps.clear()
            self._steps[key] = found
        return found

    def _closure(self, states: _States, before: str, after: str) -> set[int]:
        """What can be reached without reading, between two characters."""
        reached, pending = set(states), list(states)
        while pending:
            state = self._states[pending.pop()]
            if state.reads is not None:
                continue
            if state.holds is not None and not _holds(state.holds, before, after):
                continue
            for target in state.targets:
                if target not in reached:
                    reached.add(target)
                    pending.append(target)
        return reached

    # ---- making the automaton, from the end to the start

    def _new(self, state: _State) -> int:
        self._check_size()
        self._states.append(state)
        return len(self._states) - 1

    def _check_size(self) -> None:
        if len(self._states) >= _MAX_STATES or self._parts >= _MAX_PARTS:
            raise HostOpError(
                f"the pattern needs more than {_MAX_STATES} states: it has too many "
                "repetitions"
            )

    def _added(self, expression: Expression, after: int) -> int:
        """The first state of an expression that goes on with the state `after`."""
        self._parts += 1
        self._check_size()
        if isinstance(expression, Characters):
            return self._new(_State([after], reads=expression.set))
        if isinstance(expression, Assertion):
            return self._new(_State([after], holds=expression.kind))
        if isinstance(expression, Sequence):
            for part in reversed(expression.parts):
                after = self._added(part, after)
            return after
        if isinstance(expression, Choice):
            return self._new(_State([self._added(p, after) for p in expression.parts]))
        return self._repeated(expression, after)

    def _repeated(self, repeat: Repeat, after: int) -> int:
        if repeat.most is None:
            loop = self._new(_State([after]))
            self._states[loop].targets.append(self._added(repeat.part, loop))
            first = loop
        else:
            first = after
            for _ in range(repeat.most - repeat.least):
                first = self._new(_State([self._added(repeat.part, first), after]))
        for _ in range(repeat.least):
            first = self._added(repeat.part, first)
        return first


def _context(before: str) -> str:
    """What an assertion can tell of the character before."""
    if not before or before == "\n":
        return before
    return "w" if is_word(before) else " "


def _holds(kind: str, before: str, after: str) -> bool:
    if kind == "start":
        return not before
    if kind == "end":
        return not after
    if kind == "line start":
        return not before or before == "\n"
    if kind == "line end":
        return not after or after == "\n"
    at_boundary = (before != "" and is_word(before)) != (after != "" and is_word(after))
    return at_boundary if kind == "boundary" else not at_boundary
