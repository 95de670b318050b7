"""Profiles as files: a trace, stacks, a flame graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Final

from nnc.errors import InputError
from nnc.runtime.profile import LaunchProfile, Profile

_WIDTH: Final = 1200
_ROW: Final = 18
_LETTER: Final = 6.6
"""Pixels, about."""
_NARROWEST: Final = 0.3
"""Pixels of a frame that is drawn."""


def save(profile: Profile, path: Path) -> None:
    """
    Write a profile in the format that the suffix of the path names.

    Raises:
        InputError: it names none.
    """
    check_suffix(path)
    path.write_text(_WRITERS[path.suffix](profile), encoding="utf-8")


def check_suffix(path: Path) -> None:
    """
    Check that profiles can be written to such a file.

    Raises:
        InputError: they cannot.
    """
    if path.suffix not in _WRITERS:
        known = ", ".join(f"{suffix} for {what}" for suffix, what in FORMATS.items())
        raise InputError(f"{path}: a profile is written to {known}")


def chrome_trace(profile: Profile) -> dict[str, Any]:
    """The fastest run as chrome://tracing and ui.perfetto.dev read it."""
    run = profile.timeline
    events: list[dict[str, Any]] = []
    start = int(run.times[0])
    for number, begin, end in zip(run.launches, run.times, run.times[1:], strict=False):
        launch = profile.launches[int(number)]
        events.append(
            {
                "name": launch.sources[0] if launch.sources else launch.kernel,
                "cat": launch.schedule,
                "ph": "X",
                "pid": 0,
                "tid": 0,
                "ts": (int(begin) - start) / 1e3,
                "dur": (int(end) - int(begin)) / 1e3,
                "args": _details(launch),
            }
        )
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def _details(launch: LaunchProfile) -> dict[str, Any]:
    fraction = launch.fraction
    return {
        "kernel": launch.kernel,
        "schedule": launch.schedule,
        "ops": " ".join(launch.ops),
        "nodes": ", ".join(launch.sources),
        "GFLOP/s": round(launch.gflops, 2),
        "GB/s": round(launch.gbps, 2),
        "limit": None if fraction is None else round(fraction, 3),
        "bound": launch.bound,
    }


def stacks(profile: Profile) -> str:
    """Nanoseconds by source node, one stack a line, as flame graph tools read them."""
    totals: dict[str, int] = {}
    for launch in profile.launches:
        line = ";".join(frame.replace(";", ",") for frame in _frames(launch))
        totals[line] = totals.get(line, 0) + round(launch.seconds * 1e9)
    return "".join(f"{line} {time}\n" for line, time in totals.items())


def _frames(launch: LaunchProfile) -> tuple[str, ...]:
    """The parts of the first source node's name, and the kernel."""
    name = launch.sources[0] if launch.sources else ""
    parts = [part for part in name.split("/") if part]
    return (*parts, launch.kernel)


@dataclass
class _Frame:
    """A part of a flame graph: its time, that of its launches at their limits."""

    name: str
    seconds: float = 0.0
    limit: float = 0.0
    inner: dict[str, _Frame] = field(default_factory=dict[str, "_Frame"])


def flame_graph(profile: Profile) -> str:
    """
    The time by source node, as SVG: the model on top, its kernels below.

    Green frames are close to the machine's limit, red ones far from it.
    """
    root = _Frame(f"{profile.seconds * 1e3:.3f} ms")
    for launch in profile.launches:
        frame = root
        for name in ("", *_frames(launch)):
            # The first one stands for the root.
            frame = frame.inner.setdefault(name, _Frame(name)) if name else frame
            frame.seconds += launch.seconds
            frame.limit += launch.limit_seconds or 0.0
    height = (_depth(root) + 1) * _ROW
    scale = _WIDTH / (root.seconds or 1.0)
    body = "\n".join(_draw(root, 0.0, 0, scale))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'font-family="monospace" font-size="11">\n{body}\n</svg>\n'
    )


def _depth(frame: _Frame) -> int:
    return 1 + max((_depth(f) for f in frame.inner.values()), default=0)


def _draw(frame: _Frame, x: float, row: int, scale: float) -> Iterator[str]:
    width = frame.seconds * scale
    if width < _NARROWEST:
        return
    share = min(1.0, frame.limit / frame.seconds) if frame.seconds else 1.0
    title = f"{frame.name}: {frame.seconds * 1e3:.4f} ms, {share:.0%} of the limit"
    room = int(width / _LETTER)
    text = frame.name if len(frame.name) <= room else frame.name[: max(0, room - 2)]
    y = row * _ROW
    yield (
        f'<g><title>{escape(title)}</title><rect x="{x:.2f}" y="{y}" '
        f'width="{width:.2f}" height="{_ROW - 1}" stroke="white" stroke-width="0.4" '
        f'fill="hsl({share * 110:.0f},65%,70%)"/>'
    )
    if text:
        yield f'<text x="{x + 2:.2f}" y="{y + _ROW - 6}">{escape(text)}</text>'
    yield "</g>"
    for inner in sorted(frame.inner.values(), key=lambda f: -f.seconds):
        yield from _draw(inner, x, row + 1, scale)
        x += inner.seconds * scale


def _trace_text(profile: Profile) -> str:
    return json.dumps(chrome_trace(profile))


def _table_text(profile: Profile) -> str:
    return f"{profile.text()}\n"


_WRITERS: Final[Mapping[str, Callable[[Profile], str]]] = {
    ".json": _trace_text,
    ".svg": flame_graph,
    ".folded": stacks,
    ".txt": _table_text,
}

FORMATS: Final = {
    ".json": "a Chrome trace",
    ".svg": "a flame graph",
    ".folded": "stacks",
    ".txt": "the table",
}
"""What is written, by suffix."""
