"""
The thread pool's module.

`nnc_parallel(kernel, slots, tasks, ways)` runs all tasks of a kernel on up to `ways`
threads, the caller included. Every thread has a share of neighbouring tasks, so what it
wrote in one launch is in its cache for the next one, and takes it chunk by chunk; who
has done his own share helps with the others'. So nobody waits for a thread that the
system has not given a core yet: a job is over when all chunks are done and those that
joined have left. A caller who finds the pool at work does all tasks himself.

Shares with stealing from their front are known from work stealing loop schedulers; the
park and wake protocol is Dekker's: each side writes its own word, then looks at the
other's, with a full fence in between.
"""

from __future__ import annotations

import re
from functools import cache
from string import Template

from nnc.backend.host import host_target
from nnc.backend.jit import emit_object
from nnc.backend.pool import layout
from nnc.backend.pool.jobs import JOB, RUNTIME, WORKER
from nnc.backend.pool.waiting import (
    Waiting,
    float_state_ir,
    pause_ir,
    waiting_ir,
    waiting_on,
)
from nnc.runtime.threads import CAN_SHARE_WORK
from nnc.target import Target

STACK_BYTES = 4 << 20
"""Kernels keep a row or two on the stack."""


@cache
def pool_object(target: Target, waiting: Waiting | None = None) -> bytes:
    """The module's object code; empty where threads cannot be waited for."""
    if not CAN_SHARE_WORK or target.arch != host_target().arch:
        return b""
    return emit_object(pool_ir(target, waiting), target)


def pool_ir(target: Target, waiting: Waiting | None = None) -> str:
    """The module's text."""
    pause_declaration, pause = pause_ir(target)
    text = "\n".join(
        (
            f'target triple = "{target.triple}"',
            "@pool = internal global [$SIZE x i8] zeroinitializer, align 64",
            pause_declaration,
            float_state_ir(target),
            waiting_ir(target, waiting or waiting_on(target)),
            RUNTIME,
            JOB,
            WORKER,
        )
    )
    numbers = {k: str(v) for k, v in vars(layout).items() if isinstance(v, int)}
    numbers["NOT_OPEN"] = str(~layout.OPEN)
    numbers["STACK"] = str(STACK_BYTES)
    text = _WORD.sub(r"getelementptr (i8, ptr @pool, i64 \1)", text)
    text = _SLOT.sub(_slot, text)
    return Template(text).substitute(numbers, PAUSE=pause)


_WORD = re.compile(r"word\((\$\w+)\)")
_SLOT = re.compile(r"  (%\w+) = slot\((%?\w+), (\$\w+)\)")


def _slot(match: re.Match[str]) -> str:
    """The address of a word of a thread's slot."""
    name, thread, offset = match.groups()
    return (
        f"  {name}_far = mul i64 {thread}, $SLOT\n"
        f"  {name}_slot = getelementptr i8, ptr word($FIRST_SLOT), i64 {name}_far\n"
        f"  {name} = getelementptr i8, ptr {name}_slot, i64 {offset}"
    ).replace("word($FIRST_SLOT)", "getelementptr (i8, ptr @pool, i64 $FIRST_SLOT)")
