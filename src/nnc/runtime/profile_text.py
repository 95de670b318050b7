"""A profile as text."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from nnc.runtime.profile import LaunchProfile, Profile

_WIDEST_SOURCE = 48
_HEADINGS = ("share", "calls", "ms", "GFLOP/s", "GB/s", "limit", "", "kernel", "nodes")


def table(
    profile: Profile,
    limit: int | None = None,
    by: Literal["launch", "kernel"] = "launch",
) -> str:
    """The slowest launches or kernels of a profile, one a line, below a summary."""
    groups = profile.by_kernel() if by == "kernel" else [(n,) for n in profile.slowest]
    shown = groups[:limit]
    rows = [_HEADINGS, *(_row(group, profile.seconds) for group in shown)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    lines = [
        "  ".join(_aligned(cell, width, i) for i, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    hidden = [launch for group in groups[len(shown) :] for launch in group]
    if hidden:
        rest = _share(sum(n.seconds for n in hidden), profile.seconds)
        lines.append(f"... and {len(hidden)} more launches, {rest} of the time")
    return "\n".join([_summary(profile), "", *(line.rstrip() for line in lines)])


def _summary(profile: Profile) -> str:
    seconds = profile.seconds
    threads = f"{profile.threads} thread{'s' if profile.threads != 1 else ''}"
    parts = [
        f"{seconds * 1e3:.3f} ms a run (median of {profile.runs}; best "
        f"{profile.best_seconds * 1e3:.3f} ms)",
        f"{len(profile.launches)} launches",
        f"{profile.operations / 1e9:.3g} GFLOP at "
        f"{profile.operations / max(seconds, 1e-12) / 1e9:.1f} GFLOP/s",
        f"{profile.target}, {threads}",
    ]
    limits, least = profile.limits, profile.limit_seconds
    if limits is not None and least is not None:
        parts.append(
            f"limit {least * 1e3:.3f} ms ({_share(least, seconds)}): "
            f"{limits.operations / 1e9:.0f} GFLOP/s, memory "
            f"{limits.levels[-1].read / 1e9:.0f} GB/s"
        )
    return "; ".join(parts)


def _row(group: tuple[LaunchProfile, ...], total: float) -> tuple[str, ...]:
    launch = _sum(group)
    fraction = launch.fraction
    nodes = ", ".join(launch.sources) or "-"
    if len(nodes) > _WIDEST_SOURCE:
        nodes = nodes[: _WIDEST_SOURCE - 3] + "..."
    return (
        _share(launch.seconds, total),
        str(launch.calls),
        f"{launch.seconds * 1e3:.4f}",
        f"{launch.gflops:.1f}",
        f"{launch.gbps:.1f}",
        "-" if fraction is None else f"{fraction:.0%}",
        "" if fraction is None else launch.bound,
        f"{launch.kernel} [{' '.join(_short(launch.ops))}]",
        nodes,
    )


def _sum(group: tuple[LaunchProfile, ...]) -> LaunchProfile:
    """One record for several launches of a kernel."""
    first = group[0]
    if len(group) == 1:
        return first
    known = first.limit_seconds is not None
    # Limits add up launch by launch: some may be bound by memory, others not.
    compute = sum(n.limit_seconds or 0.0 for n in group if n.bound == "compute")
    memory = sum(n.limit_seconds or 0.0 for n in group if n.bound == "memory")
    is_compute = compute >= memory
    return replace(
        first,
        sources=tuple(dict.fromkeys(s for n in group for s in n.sources)),
        calls=sum(n.calls for n in group),
        seconds=sum(n.seconds for n in group),
        best_seconds=sum(n.best_seconds for n in group),
        operations=sum(n.operations for n in group),
        bytes_read=sum(n.bytes_read for n in group),
        bytes_written=sum(n.bytes_written for n in group),
        compute_seconds=(compute + memory) * is_compute if known else None,
        memory_seconds=(compute + memory) * (not is_compute) if known else None,
    )


def _short(ops: tuple[str, ...], most: int = 6) -> list[str]:
    """The names of ops, views and the like left out where there are many."""
    names = [n for n in ops if n not in _QUIET] if len(ops) > most else list(ops)
    return [*names[:most], "..."] if len(names) > most else names


_QUIET = frozenset({"broadcast", "reshape", "unpack", "dim_cast", "constant"})


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column < _HEADINGS.index("") else cell.ljust(width)


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"
