"""
Where the time of a run goes: `CompiledModel.profile`.

The host program writes the time before each launch and after the last one, so a run is
the sum of its launches. A launch is held against what the machine could do at best:
its operations at the peak of arithmetic, or its bytes at the rate at which the machine
moves data of that working set, whichever takes longer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nnc.errors import RunError
from nnc.runtime.artifact import Plan
from nnc.runtime.limits import Limits
from nnc.runtime.state import LOG_ENTRY_WORDS, LOG_HEADER_WORDS
from nnc.symbolic import parse_dim

_SECONDS: Final = 0.5
_RUNS: Final = (3, 1000)
"""The fewest and the most runs of a profile."""


@dataclass(frozen=True)
class Run:
    """The log of one run: when launches began, and at last when the run ended."""

    launches: NDArray[np.int64]
    """Their numbers, one fewer than times."""
    times: NDArray[np.int64]
    """Nanoseconds."""

    @property
    def total(self) -> int:
        """Nanoseconds from the first launch to the end."""
        return int(self.times[-1] - self.times[0])


class Log:
    """Memory that native code writes the log of a run to."""

    def __init__(self, room: int) -> None:
        """A log with room for that many entries."""
        self._words = np.zeros(LOG_HEADER_WORDS + LOG_ENTRY_WORDS * room, np.int64)
        self._words[1] = room

    @property
    def address(self) -> int:
        """Where it is."""
        return self._words.ctypes.data

    @property
    def missing(self) -> int:
        """How many entries found no room."""
        return max(0, int(self._words[0] - self._words[1]))

    def take(self) -> Run:
        """What is in it, which is empty afterwards."""
        count = min(self._words[0], self._words[1])
        entries = self._words[LOG_HEADER_WORDS:].reshape(-1, LOG_ENTRY_WORDS)[:count]
        self._words[0] = 0
        launches, times = entries[:, 0], entries[:, 1] * 1_000_000_000 + entries[:, 2]
        return Run(launches[:-1].copy(), times)


def record_runs(run: Callable[[int], object], launches: int) -> list[Run]:
    """Logs of about half a second of runs; `run` gets the address of its log."""
    log = Log(launches + 1)
    run(log.address)
    if log.missing:
        # Loops run launches more than once.
        log = Log(launches + 1 + log.missing)
        run(log.address)
    log.take()
    runs: list[Run] = []
    fewest, most = _RUNS
    deadline = time.perf_counter() + _SECONDS
    while len(runs) < fewest or (len(runs) < most and time.perf_counter() < deadline):
        run(log.address)
        runs.append(log.take())
    return runs


@dataclass(frozen=True)
class LaunchProfile:
    """One kernel call of a run."""

    index: int
    kernel: str
    schedule: str
    """The kind of loop nest."""
    ops: tuple[str, ...]
    """The `nn` ops that it computes."""
    sources: tuple[str, ...]
    """The nodes of the source model that it stands for."""
    calls: int
    """How often a run calls it: not once only in branches and loops."""
    seconds: float
    """Of all calls of a run; the median over the quicker half of the runs."""
    best_seconds: float
    operations: int
    """Of all calls: multiplications, additions and other arithmetic."""
    bytes_read: int
    bytes_written: int
    compute_seconds: float | None = None
    """How long the operations take at the peak of arithmetic."""
    memory_seconds: float | None = None
    """How long moving the bytes takes at the least."""

    @property
    def gflops(self) -> float:
        """10^9 operations a second."""
        return self.operations / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def gbps(self) -> float:
        """10^9 bytes read or written a second."""
        moved = self.bytes_read + self.bytes_written
        return moved / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def limit_seconds(self) -> float | None:
        """The least time that this machine needs; None if that was not measured."""
        if self.compute_seconds is None or self.memory_seconds is None:
            return None
        return max(self.compute_seconds, self.memory_seconds)

    @property
    def bound(self) -> str:
        """What limits it: `compute` or `memory`."""
        compute, memory = self.compute_seconds or 0.0, self.memory_seconds or 0.0
        return "compute" if compute >= memory else "memory"

    @property
    def fraction(self) -> float | None:
        """The least time over the time taken: 1 is as fast as the machine can be."""
        limit = self.limit_seconds
        return limit / self.seconds if limit is not None and self.seconds else None


@dataclass(frozen=True)
class Profile:
    """
    Where the time of a run goes, launch by launch.

    `print(profile)` shows a table.
    """

    launches: tuple[LaunchProfile, ...]
    """In the order of the run."""
    seconds: float
    """The native part of a run, the median over the quicker half of the runs."""
    best_seconds: float
    runs: int
    target: str
    threads: int
    limits: Limits | None
    timeline: Run
    """The fastest run."""

    @property
    def operations(self) -> int:
        """Of all launches."""
        return sum(launch.operations for launch in self.launches)

    @property
    def limit_seconds(self) -> float | None:
        """The sum of the least times of all launches."""
        limits = [n.limit_seconds for n in self.launches if n.limit_seconds is not None]
        return sum(limits) if len(limits) == len(self.launches) else None

    @cached_property
    def slowest(self) -> tuple[LaunchProfile, ...]:
        """The launches, the one that takes longest first."""
        return tuple(sorted(self.launches, key=lambda n: n.seconds, reverse=True))

    def by_kernel(self) -> tuple[tuple[LaunchProfile, ...], ...]:
        """The launches of each kernel, the kernel that takes longest first."""
        groups: dict[str, list[LaunchProfile]] = {}
        for launch in self.launches:
            groups.setdefault(launch.kernel, []).append(launch)
        rows = [tuple(group) for group in groups.values()]
        return tuple(sorted(rows, key=lambda g: -sum(n.seconds for n in g)))

    def text(
        self, limit: int | None = None, by: Literal["launch", "kernel"] = "launch"
    ) -> str:
        """A table of the `limit` slowest launches or kernels, or of all."""
        from nnc.runtime.profile_text import table

        return table(self, limit, by)

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write it to a file, in a format that its suffix names.

        `.json` is a trace of the fastest run for chrome://tracing and ui.perfetto.dev,
        `.svg` a flame graph by source node, `.folded` stacks for tools that draw such
        graphs, `.txt` the table.

        Raises:
            InputError: the suffix names no format.
        """
        from nnc.runtime.profile_files import save

        save(self, Path(path))

    def __str__(self) -> str:
        return self.text()


def joined(profiles: Sequence[Profile]) -> Profile:
    """
    One profile of pieces that run one after the other.

    Raises:
        RunError: there are none.
    """
    if not profiles:
        raise RunError("no native code runs, so that there is nothing to profile")
    first = profiles[0]
    launches: list[LaunchProfile] = []
    numbers, times = [np.zeros(0, np.int64)], [np.zeros(1, np.int64)]
    for profile in profiles:
        run = profile.timeline
        numbers.append(run.launches + len(launches))
        times.append(run.times[1:] - run.times[0] + times[-1][-1])
        launches += [
            replace(launch, index=index)
            for index, launch in enumerate(profile.launches, len(launches))
        ]
    return replace(
        first,
        launches=tuple(launches),
        seconds=sum(p.seconds for p in profiles),
        best_seconds=sum(p.best_seconds for p in profiles),
        runs=min(p.runs for p in profiles),
        timeline=Run(np.concatenate(numbers), np.concatenate(times)),
    )


def make_profile(
    plan: Plan,
    sizes: Mapping[str, int],
    runs: Sequence[Run],
    *,
    target: str,
    threads: int,
    limits: Limits | None,
) -> Profile:
    """The profile of runs with inputs of these sizes."""
    # Slow runs are those that something else of the machine disturbed.
    quick = sorted(runs, key=lambda run: run.total)[: (len(runs) + 1) // 2]
    count = len(plan.launches)
    spans = np.array(
        [np.bincount(r.launches, np.diff(r.times), minlength=count) for r in quick]
    )
    calls = np.bincount(quick[0].launches, minlength=count)
    medians, best = np.median(spans, axis=0) * 1e-9, spans.min(axis=0) * 1e-9
    ops = {kernel.name: kernel.ops for kernel in plan.kernels}
    weight_bytes = sum(w.nbytes for w in plan.weights)
    launches: list[LaunchProfile] = []
    for index, launch in enumerate(plan.launches):
        work = [max(0, parse_dim(text).evaluate(sizes)) for text in launch.work]
        operations, read, written = work or (0, 0, 0)
        used = {s.index for s in launch.slots if s.base == "weight"}
        weights = min(read, sum(plan.weights[i].nbytes for i in used))
        compute = memory = None
        times = int(calls[index])
        if limits is not None and work:
            compute = times * operations / limits.operations
            # Weights come around once a run, other data was written just before.
            data = read - weights
            memory = times * (
                weights / limits.read_rate(weight_bytes)
                + data / limits.read_rate(data + written)
                + written / limits.write_rate(data + written)
            )
        launches.append(
            LaunchProfile(
                index=index,
                kernel=launch.kernel,
                schedule=launch.schedule,
                ops=ops.get(launch.kernel, ()),
                sources=_sources(launch.node),
                calls=times,
                seconds=float(medians[index]),
                best_seconds=float(best[index]),
                operations=times * operations,
                bytes_read=times * read,
                bytes_written=times * written,
                compute_seconds=compute,
                memory_seconds=memory,
            )
        )
    return Profile(
        launches=tuple(launches),
        seconds=float(np.median([run.total for run in quick])) * 1e-9,
        best_seconds=quick[0].total * 1e-9,
        runs=len(runs),
        target=target,
        threads=threads,
        limits=limits,
        timeline=quick[0],
    )


def _sources(node: str) -> tuple[str, ...]:
    """The nodes of a location, which joins them."""
    return tuple(part for part in node.split("+") if part)
