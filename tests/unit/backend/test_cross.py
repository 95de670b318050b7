"""Where foreign code can run."""

from __future__ import annotations

import pytest

from nnc.backend import cross
from nnc.backend.cross import why_it_cannot_run
from nnc.backend.host import resolve_target
from nnc.target import Target


def test_native_code_runs_here() -> None:
    assert why_it_cannot_run(resolve_target("native")) == ""
    assert why_it_cannot_run(resolve_target("generic")) == ""


def test_emulation_needs_its_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross, "host_arch", lambda: "x86_64")
    monkeypatch.setattr(cross, "missing_tools", lambda: ())
    assert why_it_cannot_run(Target.named("neon")) == ""
    monkeypatch.setattr(cross, "missing_tools", lambda: ("qemu-aarch64",))
    assert why_it_cannot_run(Target.named("neon")) == (
        "running AArch64 code needs qemu-aarch64"
    )


def test_features_that_lack_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross, "missing_features", lambda target: ("avx2", "fma"))
    assert why_it_cannot_run(Target.named("avx2")) == "this machine lacks avx2, fma"
