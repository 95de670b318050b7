"""
The memory of the thread pool: one global, cut into cache lines by who writes them.

The *gate* says in one word whether there is work, for how many threads, and how many of
them are at it, so that joining a job and closing it cannot miss each other:

    bits 63..32   number of the job
    bit  31       open: threads may join
    bit  30       the caller sleeps until the last thread leaves
    bits 29..16   ways: threads the job is for
    bits 15..0    workers that are in it

The job's record shares its line: one cache miss tells a worker all there is to know.
"""

from __future__ import annotations

from typing import Final

from nnc.runtime.threads import MAX_THREADS

LINE: Final = 64
"""Bytes that cores fetch and lose together."""

GATE: Final = 0
KERNEL: Final = 8
SLOTS: Final = 16
TASKS: Final = 24
CHUNK: Final = 32
"""Tasks that a thread takes at a time."""

OWNER: Final = LINE
"""1 while a job is under way: who finds it so runs alone."""

WORKERS: Final = 2 * LINE
"""How many threads were made."""
SPIN: Final = 2 * LINE + 8
"""How many pauses a thread waits before it sleeps."""

FIRST_SLOT: Final = 3 * LINE
SLOT: Final = 4 * LINE
"""Bytes of what belongs to one thread; slot 0 is the caller's."""

NEXT: Final = 0
"""The next chunk of the thread's share."""
ASLEEP: Final = LINE
"""1 from when a thread means to sleep until it is woken; 32 bits."""
MUTEX: Final = LINE + 8
"""Up to 64 bytes: glibc's takes 40, macOS's 64."""
CONDITION: Final = 2 * LINE + 16
"""Up to 64 bytes: 48 on both."""

SIZE: Final = FIRST_SLOT + MAX_THREADS * SLOT
"""The memory of a slot that is not in use is never touched."""

OPEN: Final = 1 << 31
SLEEPER: Final = 1 << 30
WAYS_SHIFT: Final = 16
COUNT: Final = 0xFFFF
WAYS_MASK: Final = 0x3FFF
JOB_SHIFT: Final = 32

CHUNKS: Final = 8
"""Parts of a thread's share: what others can take over if it comes late."""
