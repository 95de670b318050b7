"""
What holds a network back, in words: `nnc bench --why`.

Time that launches take beyond what the machine could do at best is lost. The findings
say where, most of it first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nnc.runtime.info import FallbackInfo
from nnc.runtime.profile import LaunchProfile, Profile

_SMALL_SHARE: Final = 0.01
"""Of the run: what loses less is not worth a line."""

_TINY_SECONDS: Final = 3e-6
"""A launch that is over so soon pays mostly for being launched."""

_GOOD: Final = 0.85
"""Of the limit: better than that is as good as it gets."""


@dataclass(frozen=True)
class Finding:
    """Something that costs time."""

    lost_seconds: float
    text: str


def explain(
    profile: Profile,
    *,
    call_seconds: float | None = None,
    fallbacks: Sequence[FallbackInfo] = (),
    limit: int = 6,
) -> list[str]:
    """
    Sentences: a summary, then what costs most.

    `call_seconds` is how long a call takes as the caller sees it; what that is beyond
    the native part goes for checking and binding arrays.
    """
    findings = [
        *_kernels(profile),
        *_copies(profile),
        *_tiny(profile),
        *_calling(profile, call_seconds),
    ]
    findings.sort(key=lambda f: -f.lost_seconds)
    worth = [f for f in findings if f.lost_seconds >= _SMALL_SHARE * profile.seconds]
    lines = [*_summary(profile), *(f.text for f in worth[:limit])]
    if not worth:
        lines.append("Nothing stands out: every kernel is close to its limit.")
    lines += [
        f"'{fallback.source}' takes a general way instead of a fast one: "
        f"{fallback.reason}."
        for fallback in fallbacks[:3]
    ]
    return lines


def _summary(profile: Profile) -> list[str]:
    total = profile.seconds
    lines: list[str] = []
    least = profile.limit_seconds
    if least is not None:
        lines.append(
            f"A run takes {_time(total)}; at the machine's limits its "
            f"{len(profile.launches)} launches would take {_time(least)} "
            f"({_percent(least / total)})."
        )
    bound = {
        kind: sum(n.seconds for n in profile.launches if n.bound == kind)
        for kind in ("compute", "memory")
    }
    lines.append(
        f"{_percent(bound['compute'] / total)} of the time goes to launches that are "
        f"bound by arithmetic, {_percent(bound['memory'] / total)} to those bound by "
        "memory."
    )
    kinds: dict[str, float] = {}
    for launch in profile.launches:
        kind = launch.schedule.split(" ")[0]
        kinds[kind] = kinds.get(kind, 0.0) + launch.seconds
    shares = sorted(kinds.items(), key=lambda item: -item[1])
    text = ", ".join(f"{kind} {_percent(s / total)}" for kind, s in shares)
    lines.append(f"By kind of kernel: {text}.")
    return lines


def _kernels(profile: Profile) -> list[Finding]:
    """Kernels below their limits; what only copies, or is tiny, is said elsewhere."""
    findings: list[Finding] = []
    for group in profile.by_kernel():
        launches = [n for n in group if not _is_copy(n) and not _is_tiny(n)]
        seconds = sum(n.seconds for n in launches)
        least = sum(n.limit_seconds or 0.0 for n in launches)
        if not launches or not seconds or least / seconds >= _GOOD:
            continue
        findings.append(Finding(seconds - least, _kernel_text(launches, profile)))
    return findings


def _kernel_text(launches: list[LaunchProfile], profile: Profile) -> str:
    seconds = sum(n.seconds for n in launches)
    least = sum(n.limit_seconds or 0.0 for n in launches)
    slowest = max(launches, key=lambda n: n.seconds)
    rate = (
        f"{sum(n.operations for n in launches) / seconds / 1e9:.1f} GFLOP/s"
        if slowest.bound == "compute"
        else f"{_moved(launches) / seconds / 1e9:.1f} GB/s"
    )
    calls = sum(n.calls for n in launches)
    times = f"{calls} calls take" if calls > 1 else "takes"
    main = " ".join(op for op in slowest.ops if op not in _QUIET) or slowest.schedule
    return (
        f"{slowest.kernel} ({main}) {times} {_time(seconds)} "
        f"({_percent(seconds / profile.seconds)}) at {rate}, "
        f"{_percent(least / seconds)} of its {slowest.bound} limit: "
        f"{_time(seconds - least)} lost, {_where(launches)}."
    )


_QUIET: Final = frozenset({"unpack", "broadcast", "reshape", "dim_cast"})


def _copies(profile: Profile) -> Iterable[Finding]:
    """Launches that compute nothing."""
    copies = [n for n in profile.launches if n.calls and _is_copy(n)]
    if copies:
        seconds = sum(n.seconds for n in copies)
        yield Finding(
            seconds,
            f"{len(copies)} launches only move data: {_time(seconds)} "
            f"({_percent(seconds / profile.seconds)}), {_moved(copies) / 2**20:.1f} "
            f"MiB, {_where(copies)}.",
        )


def _tiny(profile: Profile) -> Iterable[Finding]:
    """Launches that hardly last."""
    tiny = [n for n in profile.launches if n.calls and _is_tiny(n) and not _is_copy(n)]
    if len(tiny) > 1:
        seconds = sum(n.seconds for n in tiny)
        least = sum(n.limit_seconds or 0.0 for n in tiny)
        yield Finding(
            seconds - least,
            f"{len(tiny)} launches take less than {_time(_TINY_SECONDS)} a call, "
            f"together {_time(seconds)} ({_percent(seconds / profile.seconds)}): "
            "starting them costs as much as their work.",
        )


def _calling(profile: Profile, call_seconds: float | None) -> Iterable[Finding]:
    if call_seconds is not None and call_seconds > profile.seconds:
        lost = call_seconds - profile.seconds
        yield Finding(
            lost,
            f"A call takes {_time(lost)} more than the native code: its inputs are "
            "checked and bound, its outputs allocated.",
        )


def _is_copy(launch: LaunchProfile) -> bool:
    return launch.operations == 0


def _is_tiny(launch: LaunchProfile) -> bool:
    return launch.seconds < _TINY_SECONDS * max(1, launch.calls)


def _moved(launches: Iterable[LaunchProfile]) -> int:
    return sum(n.bytes_read + n.bytes_written for n in launches)


def _where(launches: Sequence[LaunchProfile]) -> str:
    """The source nodes, the slowest first."""
    ordered = sorted(launches, key=lambda n: -n.seconds)
    nodes = list(dict.fromkeys(n.sources[0] for n in ordered if n.sources))
    if not nodes:
        return "of no node of the model"
    rest = f" and {len(nodes) - 2} more" if len(nodes) > 2 else ""
    return "at " + ", ".join(f"'{n}'" for n in nodes[:2]) + rest


def _time(seconds: float) -> str:
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e6:.1f} µs"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"
