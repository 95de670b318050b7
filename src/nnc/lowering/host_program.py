"""
What the host function does, as plain records: launches, branches and loops.

Numbers of words are positions in the table that the host function gets.

Slots that change while a loop runs are kept up by *updates*, records of four words in
the table: a target and three numbers. An update with the number `n` of an iteration
stores `start + n * step + (n mod 2) * swing` to the target, another word of the table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

UPDATE_WORDS = 4
"""Target, start, step and swing."""


@dataclass(frozen=True)
class Updates:
    """Updates that follow each other in the table."""

    begin: int
    count: int


@dataclass(frozen=True)
class LaunchStep:
    """Run a kernel: its number, and where its words start."""

    index: int
    kernel: str
    begin: int


@dataclass(frozen=True)
class IfStep:
    """Run one region or the other."""

    condition: int
    """The word with the address of the boolean."""
    then: Steps
    otherwise: Steps


@dataclass(frozen=True)
class LoopStep:
    """Run a region again and again."""

    trips: int | None
    """The word with the bound."""
    count: int | None
    """Or that with the address of the bound."""
    condition: int | None
    """The words with the addresses of the first condition and of the following ones."""
    following: int | None
    iteration: int | None
    """The word with the address that the number of the iteration is stored to."""
    body: Steps
    at_start: Updates
    """At the start of each iteration, with its number."""
    at_end: Updates
    """After the loop, with the number of iterations."""


Step: TypeAlias = LaunchStep | IfStep | LoopStep


@dataclass(frozen=True)
class Steps:
    """Steps one after another, behind a guard: a word that must be zero."""

    steps: tuple[Step, ...] = ()
    guard: int | None = None
    number: int = field(default=0)
    """The guard's number."""
