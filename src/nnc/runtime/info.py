"""What was compiled, as plain records: `CompiledModel.info`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class KernelInfo:
    """One kernel of machine code."""

    name: str
    schedule: str
    """The kind of loop nest, such as `contraction` or `elementwise`."""
    ops: tuple[str, ...]
    """The `nn` ops that it computes, in order, without the dialect's name."""
    sources: tuple[str, ...]
    """The nodes of the source model that its launches stand for."""
    launches: int
    """How often one run calls it."""


@dataclass(frozen=True)
class PhaseInfo:
    """One step of a compilation: a pass, or something around the passes."""

    stage: str
    name: str
    seconds: float


@dataclass(frozen=True)
class FallbackInfo:
    """A place where the general way was taken instead of the fast one."""

    source: str
    """The node of the source model."""
    reason: str


@dataclass(frozen=True)
class StepInfo:
    """One step of a program of several stages."""

    kind: str
    """`stage`: native code; `sizes`: sizes read from data; `host`: Python code."""
    what: str
    source: str
    """The node of the source model."""


@dataclass(frozen=True)
class CacheInfo:
    """What the cache on disk did for a compilation."""

    state: Literal["off", "hit", "stored", "not stored"] = "off"
    """`hit`: nothing was compiled; the model came from the cache."""
    note: str = ""
    """Why it is `off` or `not stored`, or which damaged entry was replaced."""
    path: str = ""
    """The entry, if there is one."""

    def __str__(self) -> str:
        return f"{self.state}: {self.note}" if self.note else self.state


@dataclass(frozen=True)
class Info:
    """What a compilation made, and what it cost."""

    target: str
    kernels: tuple[KernelInfo, ...] = ()
    weight_bytes: int = 0
    """Weights as kernels read them, packed ones included."""
    code_bytes: int = 0
    """Size of the object code."""
    phases: tuple[PhaseInfo, ...] = ()
    fallbacks: tuple[FallbackInfo, ...] = ()
    arena_bytes: int = 0
    """The largest arena that a run has needed so far; 0 before the first run."""
    arena_bound_bytes: int = 0
    """The most of it that is live at one time: no arena could be smaller."""
    code_generations: int = 0
    """
    How often machine code was generated: 0 if it came from a file or the cache. A new
    shape must not add to it.
    """
    shapes_planned: int = 0
    """For how many sizes of the free dims an arena was planned."""
    tiles: tuple[str, ...] = ()
    """
    What tuning chose: numbers of contractions with the tiles that they use instead of
    the schedule's own.
    """
    steps: tuple[StepInfo, ...] = ()
    """The steps of a program; none if it is one piece of native code."""
    cache: CacheInfo = CacheInfo()
    """Whether the model came from the cache, or went there."""

    @property
    def launches(self) -> int:
        """Kernel calls of one run."""
        return sum(kernel.launches for kernel in self.kernels)

    @property
    def compile_seconds(self) -> float:
        """Time of all phases."""
        return sum(phase.seconds for phase in self.phases)
