"""Profiles as files."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from nnc.errors import InputError
from nnc.runtime.profile import LaunchProfile, Profile, Run
from nnc.runtime.profile_files import chrome_trace, flame_graph, stacks


def launch(index: int, source: str, seconds: float, limit: float) -> LaunchProfile:
    """A launch for one node."""
    return LaunchProfile(
        index=index,
        kernel=f"k{index}",
        schedule="some",
        ops=("add",),
        sources=(source,) if source else (),
        calls=1,
        seconds=seconds,
        best_seconds=seconds,
        operations=10,
        bytes_read=20,
        bytes_written=30,
        compute_seconds=limit,
        memory_seconds=0.0,
    )


@pytest.fixture
def profile() -> Profile:
    """Three launches: two under one part of the model, one of no node."""
    launches = (
        launch(0, "/body/a<1>/Conv", 3e-6, 1.5e-6),
        launch(1, "/body/b;2/Add", 1e-6, 1e-6),
        launch(2, "", 1e-6, 0.0),
    )
    run = Run(np.array([0, 1, 2]), np.array([100, 3100, 4100, 5100]))
    return Profile(launches, 5e-6, 5e-6, 3, "generic", 1, None, run)


def test_trace_shows_the_run_in_microseconds(profile: Profile):
    events = chrome_trace(profile)["traceEvents"]
    assert [(e["name"], e["ts"], e["dur"]) for e in events] == [
        ("/body/a<1>/Conv", 0.0, 3.0),
        ("/body/b;2/Add", 3.0, 1.0),
        ("k2", 4.0, 1.0),
    ]
    assert events[0]["args"]["limit"] == 0.5


def test_stacks_follow_the_names_of_nodes(profile: Profile):
    assert stacks(profile).splitlines() == [
        "body;a<1>;Conv;k0 3000",
        "body;b,2;Add;k1 1000",
        "k2 1000",
    ]


def test_flame_graph_is_as_wide_as_the_times(profile: Profile):
    root = ET.fromstring(flame_graph(profile))
    widths: dict[str, tuple[float, float]] = {}
    for group in root:
        title, rect = group[0].text, group[1]
        assert title is not None
        name = title.partition(":")[0]
        widths[name] = (float(rect.attrib["x"]), float(rect.attrib["width"]))
    assert widths["body"] == (0.0, 960.0)
    assert widths["a<1>"] == (0.0, 720.0)
    assert widths["b;2"] == (720.0, 240.0)
    assert widths["k2"] == (960.0, 240.0)
    assert widths["0.005 ms"] == (0.0, 1200.0)


@pytest.mark.parametrize("suffix", [".json", ".svg", ".folded", ".txt"])
def test_suffix_names_the_format(profile: Profile, suffix: str, tmp_path: Path):
    path = tmp_path / f"profile{suffix}"
    profile.save(path)
    text = path.read_text(encoding="utf-8")
    assert {
        ".json": lambda: bool(json.loads(text)["traceEvents"]),
        ".svg": lambda: text.startswith("<svg"),
        ".folded": lambda: "a<1>;Conv" in text,
        ".txt": lambda: "3 launches" in text,
    }[suffix]()


def test_other_suffixes_are_refused(profile: Profile, tmp_path: Path):
    with pytest.raises(InputError, match=r"\.svg for a flame graph"):
        profile.save(tmp_path / "profile.pdf")
    assert not list(tmp_path.iterdir())
