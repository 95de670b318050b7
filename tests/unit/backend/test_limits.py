"""What the machine can do at most."""

from __future__ import annotations

import pytest

from nnc.backend.jit import emit_object
from nnc.backend.limits import limit_loops, measured_limits
from nnc.target import Target


@pytest.mark.parametrize("name", ["generic", "avx2", "avx512"])
def test_loops_are_code_for_every_x86_target(name: str):
    target = Target.named(name)
    assert emit_object(limit_loops(target), target)


def test_loops_are_code_for_neon():
    target = Target.named("neon", arch="aarch64")
    assert emit_object(limit_loops(target), target)


@pytest.mark.parametrize("threads", [1, 2])
def test_limits_are_plausible(threads: int):
    limits = measured_limits("generic", threads)
    assert limits.threads == threads
    # From a very slow machine to a very fast one.
    assert 1e8 < limits.operations < 1e13
    assert all(1e8 < n.read < 1e13 and 1e8 < n.write < 1e13 for n in limits.levels)
    sizes = [level.nbytes for level in limits.levels]
    assert sizes == sorted(sizes)


def test_limits_are_measured_once():
    assert measured_limits("generic") is measured_limits("generic")
