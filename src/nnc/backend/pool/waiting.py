"""
How threads of the pool sleep and wait: what differs between systems and processors.

`park(w)` returns when thread `w` is not marked asleep any more; `unpark(w)` takes the
mark away and wakes it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from nnc.target import Target

_FUTEX_CALL: Final = {"x86_64": 202, "aarch64": 98}


class Waiting(StrEnum):
    """How a thread sleeps."""

    FUTEX = "futex"
    """Linux's system call: no lock, and waking a thread that is awake is cheap."""
    PTHREAD = "pthread"
    """A mutex and a condition variable: any POSIX system."""


def waiting_on(target: Target) -> Waiting:
    """The way to sleep on the target's system."""
    return Waiting.FUTEX if "linux" in target.triple else Waiting.PTHREAD


def waiting_ir(target: Target, waiting: Waiting) -> str:
    """The functions `park`, `unpark` and `make_waiting`."""
    if waiting is Waiting.PTHREAD:
        return _PTHREAD
    return _FUTEX.replace("$CALL", str(_FUTEX_CALL[target.arch]))


def pause_ir(target: Target) -> tuple[str, str]:
    """A declaration, and the instruction between two looks at a word."""
    if target.arch == "x86_64":
        name = "llvm.x86.sse2.pause"
        return f"declare void @{name}()", f"call void @{name}()"
    # `yield` does nothing on most cores; a barrier takes as long as x86's pause.
    name = "llvm.aarch64.isb"
    return f"declare void @{name}(i32)", f"call void @{name}(i32 15)"


def float_state_ir(target: Target) -> str:
    """
    A function that rounds to nearest, keeps denormals and lets nothing trap.

    A thread inherits the state of who makes it, whatever that had set.
    """
    return _FLOAT_STATE_X86 if target.arch == "x86_64" else _FLOAT_STATE_ARM


_FLOAT_STATE_X86: Final = """
declare void @llvm.x86.sse.ldmxcsr(ptr)

define internal void @set_float_state() nounwind {
  %word = alloca i32
  store i32 8064, ptr %word
  call void @llvm.x86.sse.ldmxcsr(ptr %word)
  ret void
}
"""

_FLOAT_STATE_ARM: Final = """
declare void @llvm.aarch64.set.fpcr(i64)

define internal void @set_float_state() nounwind {
  call void @llvm.aarch64.set.fpcr(i64 0)
  ret void
}
"""

# 128 and 129: wait and wake within this process.
_FUTEX: Final = """
declare i64 @syscall(i64, ...)

define internal void @park(i64 %w) nounwind {
entry:
  %asleep = slot(%w, $ASLEEP)
  br label %check
check:
  %value = load atomic i32, ptr %asleep seq_cst, align 4
  %is = icmp eq i32 %value, 1
  br i1 %is, label %wait, label %done
wait:
  call i64 (i64, ...) @syscall(
    i64 $CALL, ptr %asleep, i64 128, i64 1, ptr null, ptr null, i64 0)
  br label %check
done:
  ret void
}

define internal void @unpark(i64 %w) nounwind {
  %asleep = slot(%w, $ASLEEP)
  store atomic i32 0, ptr %asleep seq_cst, align 4
  call i64 (i64, ...) @syscall(
    i64 $CALL, ptr %asleep, i64 129, i64 1, ptr null, ptr null, i64 0)
  ret void
}

define internal void @make_waiting(i64 %w) nounwind {
  ret void
}
"""

_PTHREAD: Final = """
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)

define internal void @park(i64 %w) nounwind {
entry:
  %asleep = slot(%w, $ASLEEP)
  %mutex = slot(%w, $MUTEX)
  %condition = slot(%w, $CONDITION)
  call i32 @pthread_mutex_lock(ptr %mutex)
  br label %check
check:
  %value = load atomic i32, ptr %asleep seq_cst, align 4
  %is = icmp eq i32 %value, 1
  br i1 %is, label %wait, label %done
wait:
  call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %check
done:
  call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}

define internal void @unpark(i64 %w) nounwind {
  %asleep = slot(%w, $ASLEEP)
  %mutex = slot(%w, $MUTEX)
  %condition = slot(%w, $CONDITION)
  call i32 @pthread_mutex_lock(ptr %mutex)
  store atomic i32 0, ptr %asleep seq_cst, align 4
  call i32 @pthread_cond_signal(ptr %condition)
  call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}

define internal void @make_waiting(i64 %w) nounwind {
  %mutex = slot(%w, $MUTEX)
  %condition = slot(%w, $CONDITION)
  call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  call i32 @pthread_cond_init(ptr %condition, ptr null)
  ret void
}
"""
