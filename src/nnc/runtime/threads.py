"""
How many threads this process may use: what the system allows, not what it has.

Affinity masks and the CPU quotas of control groups (containers) count; of hardware
threads that share a core, one does, since kernels leave nothing of a core unused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

CAN_SHARE_WORK: Final = os.name == "posix"
"""Whether one run can use several threads on this system."""

MAX_THREADS: Final = 256
"""More threads of one run would wait for each other more than they work."""

_ROOT: Final = Path("/")


def default_threads() -> int:
    """The threads of a model that was compiled without `num_threads`."""
    if not CAN_SHARE_WORK:
        return 1
    cores = count_cores(allowed_cpus())
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def allowed_cpus() -> frozenset[int]:
    """The CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def count_cores(cpus: Iterable[int], root: Path = _ROOT) -> int:
    """How many cores these CPUs are on; unknown CPUs count as one each."""
    cores: set[str] = set()
    for cpu in cpus:
        topology = root / "sys/devices/system/cpu" / f"cpu{cpu}" / "topology"
        try:
            cores.add((topology / "thread_siblings_list").read_text().strip())
        except OSError:
            cores.add(f"cpu {cpu}")
    return max(1, len(cores))


def cpu_quota(root: Path = _ROOT) -> float | None:
    """CPU seconds a second that control groups grant this process; None: no limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    quotas: list[float] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        names = controllers.split(",")
        if not controllers:
            folders = _with_parents(root / "sys/fs/cgroup", path)
            quotas += (q for f in folders if (q := _quota_of_v2(f)) is not None)
        elif "cpu" in names:
            for mount in (controllers, "cpu"):
                folders = _with_parents(root / "sys/fs/cgroup" / mount, path)
                quotas += (q for f in folders if (q := _quota_of_v1(f)) is not None)
    return min(quotas, default=None)


def _with_parents(mount: Path, path: str) -> Iterator[Path]:
    """The folders of a group and of those around it, which limit it too."""
    folder = mount / path.strip("/")
    while True:
        yield folder
        # In a container the path may be that of the host, and the mount the group.
        if folder in (mount, folder.parent) or mount not in folder.parents:
            return
        folder = folder.parent


def _quota_of_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_of_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
