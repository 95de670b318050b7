"""The thread pool alone, with Python functions as kernels."""

import ctypes
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import psutil
import pytest

from nnc.backend.host import host_target
from nnc.backend.jit import emit_object
from nnc.backend.pool.code import pool_ir, pool_object
from nnc.backend.pool.process import Pool, parallel_function
from nnc.backend.pool.waiting import Waiting
from nnc.errors import RunError
from nnc.runtime.state import STATE_WORDS
from nnc.runtime.threads import MAX_THREADS
from nnc.target import Target

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX threads")

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
PARALLEL = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)


@cache
def pool_of(waiting: Waiting) -> Pool:
    """A pool with three workers, kept for all tests."""
    pool = Pool(pool_object(host_target(), waiting))
    pool.grow(3)
    return pool


class Run:
    """One launch: which tasks a kernel got, from which threads."""

    def __init__(self, pool: Pool, kernel: Callable[[int, int], None] | None = None):
        self.state = np.zeros(STATE_WORDS, np.int64)
        self.slots = np.array([self.state.ctypes.data], np.int64)
        self.ranges: list[tuple[int, int]] = []
        self.threads: set[int] = set()
        self.parallel = PARALLEL(pool.parallel)

        def body(slots: int, begin: int, end: int) -> None:
            assert slots == self.slots.ctypes.data
            self.ranges.append((begin, end))
            self.threads.add(threading.get_native_id())
            if kernel is not None:
                kernel(begin, end)

        self.kernel = KERNEL(body)

    def __call__(self, tasks: int, ways: int) -> None:
        kernel = ctypes.cast(self.kernel, ctypes.c_void_p)
        self.parallel(kernel, self.slots.ctypes.data, tasks, ways)

    def counts(self) -> Counter[int]:
        """How often each task was done."""
        return Counter(t for begin, end in self.ranges for t in range(begin, end))


@pytest.fixture(params=list(Waiting))
def pool(request: pytest.FixtureRequest) -> Pool:
    """A pool of each kind."""
    if request.param is Waiting.FUTEX and sys.platform != "linux":
        pytest.skip("only Linux has futexes")
    return pool_of(request.param)


@pytest.mark.parametrize("ways", [1, 2, 3, 4, 9, MAX_THREADS, 10_000])
@pytest.mark.parametrize("tasks", [0, 1, 2, 3, 7, 64, 1000, 12345])
def test_every_task_is_done_once(pool: Pool, tasks: int, ways: int):
    run = Run(pool)
    run(tasks, ways)
    assert run.counts() == Counter(range(tasks))


def test_many_jobs_in_a_row(pool: Pool):
    run = Run(pool)
    for tasks in range(300):
        run.ranges.clear()
        run(tasks, 2 + tasks % 3)
        assert run.counts() == Counter(range(tasks))


def test_jobs_after_the_workers_fell_asleep(pool: Pool):
    run = Run(pool)
    for _ in range(10):
        run.ranges.clear()
        run(100, 4)
        assert run.counts() == Counter(range(100))
        time.sleep(0.01)


def test_workers_help(pool: Pool):
    everybody = threading.Barrier(4)

    def meet(begin: int, end: int) -> None:
        # Passes only if four threads are in the kernel at the same time.
        everybody.wait(30)

    run = Run(pool, meet)
    run(4, 4)
    assert len(run.threads) == 4
    assert run.counts() == Counter(range(4))


def test_job_for_two_leaves_other_workers_alone(pool: Pool):
    run = Run(pool, lambda begin, end: time.sleep(0.001))
    for _ in range(10):
        run(16, 2)
    assert len(run.threads) <= 2


def test_caller_sleeps_until_a_slow_worker_is_done(pool: Pool):
    caller = threading.get_native_id()
    both = threading.Barrier(2)
    done: list[int] = []

    def kernel(begin: int, end: int) -> None:
        both.wait(30)
        if threading.get_native_id() != caller:
            time.sleep(0.05)
        done.append(begin)

    run = Run(pool, kernel)
    run(2, 2)
    assert sorted(done) == [0, 1]


def test_caller_who_finds_the_pool_at_work_runs_alone(pool: Pool):
    entered, leave = threading.Event(), threading.Event()

    def hold(begin: int, end: int) -> None:
        entered.set()
        assert leave.wait(30)

    first = Run(pool, hold)
    thread = threading.Thread(target=first, args=(2, 2))
    thread.start()
    assert entered.wait(30)
    second = Run(pool)
    second(10, 4)
    leave.set()
    thread.join()
    assert second.ranges == [(0, 10)]
    assert second.threads == {threading.get_native_id()}
    assert first.counts() == Counter(range(2))


def test_callers_in_many_threads(pool: Pool):
    wrong: list[Counter[int]] = []

    def call() -> None:
        run = Run(pool)
        for _ in range(100):
            run.ranges.clear()
            run(50, 4)
            if run.counts() != Counter(range(50)):
                wrong.append(run.counts())

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_cancelled_job_stops_between_chunks(pool: Pool):
    run: Run

    def cancel(begin: int, end: int) -> None:
        run.state[0] = 1

    run = Run(pool, cancel)
    run(1000, 2)
    assert len(run.ranges) <= 2


def test_shares_are_neighbouring_tasks(pool: Pool):
    run = Run(pool)
    run(160, 2)
    assert all(e - b == 10 for b, e in run.ranges)
    # No chunk reaches from one share into the next one.
    assert {b // 80 == (e - 1) // 80 for b, e in run.ranges} == {True}


def test_idle_workers_use_no_time(pool: Pool):
    Run(pool)(100, 4)
    time.sleep(0.05)
    process = psutil.Process()
    own = threading.get_native_id()

    def others() -> float:
        times = [t for t in process.threads() if t.id != own]
        return sum(t.user_time + t.system_time for t in times)

    before = others()
    time.sleep(0.5)
    assert others() - before < 0.1


def test_signals_are_left_to_python(pool: Pool):
    if sys.platform != "linux":
        pytest.skip("masks are shown by Linux only")
    run = Run(pool, lambda begin, end: time.sleep(0.001))
    run(64, 4)
    workers = run.threads - {threading.get_native_id()}
    for worker in workers:
        with open(f"/proc/self/task/{worker}/status", encoding="utf-8") as file:
            blocked = next(line for line in file if line.startswith("SigBlk:"))
        # SIGINT is number 2.
        assert int(blocked.split()[1], 16) & 0b10


def test_refused_threads_are_an_error(monkeypatch: pytest.MonkeyPatch):
    pool = pool_of(next(w for w in Waiting if w is not Waiting.FUTEX))
    monkeypatch.setattr(pool, "_grow", lambda workers: 3)
    with pytest.raises(RunError, match="refuses more threads: there are 3 beside"):
        pool.grow(7)


@pytest.mark.parametrize("waiting", list(Waiting))
@pytest.mark.parametrize(
    ("arch", "system"),
    [("x86_64", "linux"), ("aarch64", "linux"), ("aarch64", "darwin")],
)
def test_code_for_other_machines(arch: str, system: str, waiting: Waiting):
    name = "sse2" if arch == "x86_64" else "neon"
    target = Target.named(name, arch=arch, system=system)  # pyright: ignore[reportArgumentType] # literal
    assert emit_object(pool_ir(target, waiting), target)


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout


PRELUDE = """
import ctypes, os, time
from nnc.backend.pool.process import parallel_function
KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
PARALLEL = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)
state = (ctypes.c_int64 * 8)()
slots = (ctypes.c_int64 * 1)(ctypes.addressof(state))
done = []
def body(slots, begin, end):
    done.extend(range(begin, end))
kernel = KERNEL(body)
def call():
    done.clear()
    parallel = PARALLEL(parallel_function(4))
    parallel(ctypes.cast(kernel, ctypes.c_void_p), ctypes.addressof(slots), 100, 4)
    assert sorted(done) == list(range(100))
def threads():
    return len(os.listdir("/proc/self/task"))
"""


def test_interpreter_ends_with_sleeping_and_with_spinning_workers():
    assert run_python(f"{PRELUDE}\ncall()\nprint('end')") == "end\n"
    assert run_python(f"{PRELUDE}\ncall()\ntime.sleep(0.05)\nprint('end')") == "end\n"


def test_interpreter_ends_while_a_daemon_thread_uses_the_pool():
    code = f"""{PRELUDE}
import threading
def forever():
    while True:
        call()
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.1)
print("end")
"""
    assert run_python(code) == "end\n"


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_forked_child_makes_its_own_workers():
    code = f"""{PRELUDE}
call()
assert threads() == 4, threads()
child = os.fork()
if child == 0:
    assert threads() == 1, threads()
    call()
    assert threads() == 4, threads()
    os._exit(7)
_, status = os.waitpid(child, 0)
call()
print(os.waitstatus_to_exitcode(status))
"""
    assert run_python(code) == "7\n"


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_fork_while_another_thread_is_in_a_job():
    code = f"""{PRELUDE}
import threading
inside, leave = threading.Event(), threading.Event()
def hold(slots, begin, end):
    inside.set()
    leave.wait()
holding = KERNEL(hold)
def job():
    parallel = PARALLEL(parallel_function(4))
    parallel(ctypes.cast(holding, ctypes.c_void_p), ctypes.addressof(slots), 2, 2)
thread = threading.Thread(target=job)
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    call()
    os._exit(7 if threads() == 4 else 1)
leave.set()
thread.join()
_, status = os.waitpid(child, 0)
call()
print(os.waitstatus_to_exitcode(status))
"""
    assert run_python(code) == "7\n"


def test_pool_of_the_process_grows_and_never_shrinks():
    first = parallel_function(2)
    assert parallel_function(3) == parallel_function(2) == first
