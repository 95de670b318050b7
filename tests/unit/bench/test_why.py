"""What holds a network back, in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nnc.bench.why import explain
from nnc.runtime.info import FallbackInfo
from nnc.runtime.profile import LaunchProfile, Profile, Run

LAUNCH = LaunchProfile(
    index=0,
    kernel="contraction_0",
    schedule="contraction 14x2",
    ops=("unpack", "matmul"),
    sources=("dense",),
    calls=1,
    seconds=1e-3,
    best_seconds=1e-3,
    operations=10**7,
    bytes_read=1000,
    bytes_written=1000,
    compute_seconds=0.95e-3,
    memory_seconds=1e-6,
)


def profile_of(*launches: LaunchProfile) -> Profile:
    """A profile of these launches."""
    total = sum(n.seconds for n in launches)
    run = Run(np.array([0]), np.array([0, 1]))
    return Profile(launches, total, total, 3, "generic", 1, None, run)


def test_network_at_its_limits_has_nothing_to_say():
    lines = explain(profile_of(LAUNCH))
    assert lines[0] == (
        "A run takes 1.00 ms; at the machine's limits its 1 launches would take "
        "950.0 µs (95%)."
    )
    assert lines[-1] == "Nothing stands out: every kernel is close to its limit."


def test_kernels_far_from_their_limits_are_named_with_what_they_lose():
    slow = replace(
        LAUNCH, kernel="contraction_1", compute_seconds=0.25e-3, sources=("conv",)
    )
    lines = explain(profile_of(LAUNCH, slow, replace(slow, sources=("late",))))
    (line,) = [n for n in lines if n.startswith("contraction_1")]
    assert line == (
        "contraction_1 (matmul) 2 calls take 2.00 ms (67%) at 10.0 GFLOP/s, 25% of its "
        "compute limit: 1.50 ms lost, at 'conv', 'late'."
    )
    assert not [n for n in lines if n.startswith("contraction_0")]


def test_largest_loss_comes_first():
    memory = replace(
        LAUNCH,
        kernel="rows_0",
        schedule="rows along",
        seconds=4e-3,
        compute_seconds=0.0,
        memory_seconds=1e-3,
    )
    slow = replace(LAUNCH, kernel="contraction_1", compute_seconds=0.5e-3)
    lines = explain(profile_of(slow, memory))
    assert lines[2] == "By kind of kernel: rows 80%, contraction 20%."
    assert lines[3].startswith("rows_0")
    assert "memory limit" in lines[3]
    assert lines[4].startswith("contraction_1")


def test_copies_tiny_launches_and_calls_are_summed():
    copy = replace(
        LAUNCH,
        kernel="pointwise_0",
        operations=0,
        compute_seconds=0.0,
        sources=(),
        seconds=2e-4,
    )
    tiny = replace(LAUNCH, kernel="rows_0", seconds=2e-6, compute_seconds=1e-8)
    lines = explain(
        profile_of(LAUNCH, copy, *[replace(tiny) for _ in range(20)]),
        call_seconds=2e-3,
    )
    text = "\n".join(lines)
    assert "1 launches only move data: 200.0 µs" in text
    assert "20 launches take less than 3.0 µs a call, together 40.0 µs" in text
    assert "A call takes 760.0 µs more than the native code" in text


def test_fallbacks_are_told():
    lines = explain(profile_of(LAUNCH), fallbacks=[FallbackInfo("tan", "slow")])
    assert lines[-1] == "'tan' takes a general way instead of a fast one: slow."
