"""
Measures what this machine can do at most, with three loops in LLVM IR.

The arithmetic loop keeps enough independent chains of multiply-adds in registers to
hide their latency. The memory loops read, or write, one line after another. Best times
count: whatever else runs can only slow them down.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeAlias

import numpy as np

from nnc.backend.host import resolve_target
from nnc.backend.jit import LoadedCode, emit_object
from nnc.runtime.limits import Level, Limits
from nnc.target import Target

_CHAINS: Final = 12
_STEP_VECTORS: Final = 8
"""Vectors that one step of a memory loop moves."""

_SIZES: Final = (16 << 10, 256 << 10, 2 << 20, 16 << 20, 96 << 20)
"""Working sets: caches hold all but the last."""

_PEAK_STEPS: Final = 20_000
_SECONDS: Final = 0.001
"""How long one attempt takes; many short ones find a moment without disturbance."""
_ATTEMPTS: Final = 15

_LOOP: Final = ctypes.CFUNCTYPE(
    ctypes.c_float, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)
"""Takes an address, a size and how often to repeat; releases the GIL."""

_Work: TypeAlias = Callable[[int, int], object]
"""Does the work of a thread as often as told."""


def measured_limits(target: str, threads: int = 1) -> Limits:
    """
    What `threads` threads of this machine can do with the target's instructions.

    Measured the first time, which takes a moment, and remembered.
    """
    return _measured(resolve_target(target), threads)


@cache
def _measured(target: Target, threads: int) -> Limits:
    with LoadedCode(emit_object(limit_loops(target), target)) as code:
        peak = _LOOP(code.address("nnc_peak"))
        read = _LOOP(code.address("nnc_read"))
        write = _LOOP(code.address("nnc_write"))
        seconds = _best_seconds(lambda _, n: peak(None, _PEAK_STEPS, n), threads)
        step = 2 * _CHAINS * target.lanes(32)
        operations = step * _PEAK_STEPS * threads / seconds
        levels = tuple(_level(read, write, size, threads) for size in _SIZES)
    return Limits(operations, levels, threads)


def _level(
    read: Callable[..., object], write: Callable[..., object], nbytes: int, threads: int
) -> Level:
    """Rates for a working set of `nbytes` in all, each thread with its part of it."""
    part = nbytes // threads // 4096 * 4096
    buffers = [np.ones(part + 64, np.uint8) for _ in range(threads)]
    starts = [b.ctypes.data + -b.ctypes.data % 64 for b in buffers]
    reading = _best_seconds(lambda i, n: read(starts[i], part, n), threads)
    writing = _best_seconds(lambda i, n: write(starts[i], part, n), threads)
    total = part * threads
    return Level(nbytes, total / reading, total / writing)


def _best_seconds(work: _Work, threads: int) -> float:
    """The least time that all threads took to do their work once."""
    work(0, 1)
    started = time.perf_counter()
    work(0, 1)
    once = max(time.perf_counter() - started, 1e-7)
    rounds = max(1, int(_SECONDS / once))
    with ThreadPoolExecutor(threads) as pool:
        together = threading.Barrier(threads)

        def run(index: int) -> tuple[float, float]:
            together.wait()
            begun = time.perf_counter()
            work(index, rounds)
            return begun, time.perf_counter()

        best = float("inf")
        for _ in range(_ATTEMPTS):
            spans = list(pool.map(run, range(threads)))
            took = max(end for _, end in spans) - min(start for start, _ in spans)
            best = min(best, took / rounds)
    return best


def limit_loops(target: Target) -> str:
    """LLVM IR of the loops: `nnc_peak`, `nnc_read` and `nnc_write`."""
    lanes = target.lanes(32)
    vector = f"<{lanes} x float>"
    fused = target.arch == "aarch64" or target.has("fma")
    name = f"llvm.fma.v{lanes}f32"
    declaration = f"declare {vector} @{name}({vector}, {vector}, {vector})"
    return "\n".join(
        [
            f'target triple = "{target.triple}"',
            *_loop("nnc_peak", vector, _CHAINS, _peak_step(vector, fused, name), 1),
            *_loop("nnc_read", vector, _STEP_VECTORS, _read_step(vector, lanes), lanes),
            *_loop("nnc_write", vector, 1, _write_step(vector, lanes), lanes),
            *([declaration] if fused else []),
        ]
    )


def _peak_step(vector: str, fused: bool, fma: str) -> list[str]:
    """Each chain times a factor, plus a summand: the same number, nearly 1."""
    near = "splat (float 0x3FEFFFFFE0000000)"
    lines: list[str] = []
    for i in range(_CHAINS):
        if fused:
            operands = f"{vector} %a{i}, {vector} %factor, {vector} %factor"
            lines.append(f"%b{i} = call {vector} @{fma}({operands})")
        else:
            lines.append(f"%m{i} = fmul {vector} %a{i}, %factor")
            lines.append(f"%b{i} = fadd {vector} %m{i}, %factor")
    return [f"%factor = fadd {vector} {near}, zeroinitializer", *lines]


def _read_step(vector: str, lanes: int) -> list[str]:
    """Sums, so that no load is superfluous; a chain each."""
    lines: list[str] = []
    for i in range(_STEP_VECTORS):
        lines.append(f"%o{i} = add i64 %i, {i * 4 * lanes}")
        lines.append(f"%p{i} = getelementptr i8, ptr %memory, i64 %o{i}")
        lines.append(f"%v{i} = load {vector}, ptr %p{i}, align 4")
        lines.append(f"%b{i} = fadd {vector} %a{i}, %v{i}")
    return lines


def _write_step(vector: str, lanes: int) -> list[str]:
    lines = [f"%b0 = fadd {vector} %a0, %a0"]
    for i in range(_STEP_VECTORS):
        lines.append(f"%o{i} = add i64 %i, {i * 4 * lanes}")
        lines.append(f"%p{i} = getelementptr i8, ptr %memory, i64 %o{i}")
        lines.append(f"store {vector} %a0, ptr %p{i}, align 4")
    return lines


def _loop(
    name: str, vector: str, chains: int, step: list[str], advance: int
) -> list[str]:
    """
    `step` for `%i` up to `size`, and that `repeats` times.

    The step makes `%b0`, ... of `%a0`, ...; `%i` counts steps, or bytes if a step
    advances by vectors.
    """
    by = 1 if advance == 1 else _STEP_VECTORS * 4 * advance
    numbers = range(chains)
    return [
        f"define float @{name}(ptr %memory, i64 %size, i64 %repeats) nounwind {{",
        "entry:",
        "  br label %outer",
        "outer:",
        "  %k = phi i64 [ 0, %entry ], [ %k1, %again ]",
        *(
            f"  %c{n} = phi {vector} [ zeroinitializer, %entry ], [ %b{n}, %again ]"
            for n in numbers
        ),
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [ 0, %outer ], [ %i1, %loop ]",
        *(
            f"  %a{n} = phi {vector} [ %c{n}, %outer ], [ %b{n}, %loop ]"
            for n in numbers
        ),
        *(f"  {line}" for line in step),
        f"  %i1 = add i64 %i, {by}",
        "  %more = icmp ult i64 %i1, %size",
        "  br i1 %more, label %loop, label %again",
        "again:",
        "  %k1 = add i64 %k, 1",
        "  %repeat = icmp ult i64 %k1, %repeats",
        "  br i1 %repeat, label %outer, label %end",
        "end:",
        f"  %s0 = fadd {vector} %b0, zeroinitializer",
        *(f"  %s{n} = fadd {vector} %s{n - 1}, %b{n}" for n in numbers if n),
        f"  %r = extractelement {vector} %s{chains - 1}, i64 0",
        "  ret float %r",
        "}",
    ]
