"""The machine's own target, and what it refuses to run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nnc.backend import host
from nnc.backend.host import (
    check_runs_here,
    host_arch,
    host_target,
    missing_features,
    name_of_target,
    resolve_target,
)
from nnc.errors import TargetError
from nnc.target import Target


def test_native_is_this_machine_and_runs_here() -> None:
    native = resolve_target("native")
    assert native is host_target()
    assert native.arch == host_arch()
    assert native.cpu
    assert native.l1d_bytes >= 8 << 10
    assert missing_features(native) == ()
    check_runs_here(native)


def test_generic_is_the_baseline_and_runs_here() -> None:
    check_runs_here(resolve_target("generic"))


def test_resolving_a_target_gives_it_back() -> None:
    target = Target.named("avx2")
    assert resolve_target(target) is target


def test_native_takes_suffixes() -> None:
    feature = sorted(host_target().features)[0]
    reduced = resolve_target(f"native-{feature}")
    assert not reduced.has(feature)
    assert reduced.cpu == host_target().cpu


@pytest.mark.parametrize("spec", ["native", "generic", "avx2-fma", "neon-dotprod"])
def test_name_of_a_target_gives_it_again(spec: str) -> None:
    target = resolve_target(spec)
    assert name_of_target(target) == spec


def test_target_called_otherwise_goes_by_its_features() -> None:
    target = replace(resolve_target("sse4.2"), name="mine")
    assert name_of_target(target) == "sse4.2"


def test_record_without_a_name_is_refused() -> None:
    odd = replace(resolve_target("generic"), vector_bits=64)
    with pytest.raises(TargetError, match="'generic' cannot be passed on by name"):
        name_of_target(odd)


def test_other_architecture_is_refused_by_name() -> None:
    other = "neon" if host_arch() == "x86_64" else "avx2"
    with pytest.raises(TargetError, match=r"of architecture .*; this one is"):
        check_runs_here(Target.named(other))


def test_missing_feature_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Target.named("sse4.2")
    monkeypatch.setattr(host, "host_target", lambda: small)
    monkeypatch.setattr(host, "host_arch", lambda: "x86_64")
    assert "fma" in missing_features(Target.named("avx2"))
    with pytest.raises(TargetError, match=r"avx2.*lacks: avx, avx2, bmi"):
        check_runs_here(Target.named("avx2"))
