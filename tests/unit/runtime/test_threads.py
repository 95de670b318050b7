"""How many threads a process may use: affinity, cores, control groups."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from nnc.runtime import threads
from nnc.runtime.threads import (
    allowed_cpus,
    count_cores,
    cpu_quota,
    default_threads,
)

V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/cpu,cpuacct"


def system(root: Path, files: Mapping[str, str]) -> Path:
    """A file system with these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/user/shell\n",
                f"{V2}/user/shell/cpu.max": "max 100000",
                f"{V2}/user/cpu.max": "400000 100000",
                f"{V2}/cpu.max": "800000 100000",
            },
            4.0,
        ),
        # The path of the host, seen from a container.
        (
            {
                "proc/self/cgroup": "0::/docker/0123abc\n",
                f"{V2}/cpu.max": "200000 100000",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/a\n",
                f"{V1}/a/cpu.cfs_quota_us": "50000",
                f"{V1}/a/cpu.cfs_period_us": "100000",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/a\n0::/\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/\n",
                f"{V1}/cpu.cfs_quota_us": "-1",
                f"{V1}/cpu.cfs_period_us": "100000",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "lots\n"}, None),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "100 0\n"}, None),
    ],
)
def test_quota(tmp_path: Path, files: Mapping[str, str], expected: float | None):
    assert cpu_quota(system(tmp_path, files)) == expected


def test_hardware_threads_of_a_core_count_once(tmp_path: Path):
    cpu = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    files = {cpu.format(i): f"{i % 4},{i % 4 + 4}\n" for i in range(8)}
    root = system(tmp_path, files)
    assert count_cores(range(8), root) == 4
    assert count_cores([0, 4], root) == 1
    assert count_cores([1, 2, 6], root) == 2
    assert count_cores([0, 100, 101], root) == 3
    assert count_cores([], root) == 1


@pytest.mark.parametrize(
    ("cores", "quota", "expected"),
    [(8, None, 8), (8, 2.5, 2), (2, 16.0, 2), (4, 0.2, 1), (1, None, 1)],
)
def test_default(
    monkeypatch: pytest.MonkeyPatch, cores: int, quota: float | None, expected: int
):
    monkeypatch.setattr(threads, "count_cores", lambda cpus: cores)
    monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
    monkeypatch.setattr(threads, "CAN_SHARE_WORK", True)
    assert default_threads() == expected
    monkeypatch.setattr(threads, "CAN_SHARE_WORK", False)
    assert default_threads() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks")
def test_affinity_counts():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert allowed_cpus() == {min(before)}
        assert default_threads() == 1
    finally:
        os.sched_setaffinity(0, before)
