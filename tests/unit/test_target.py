"""Targets by name, suffixes, and the facts that follow from features."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nnc.errors import TargetError
from nnc.target import KNOWN_TARGETS, Target, split_name


@pytest.mark.parametrize(
    ("name", "bits", "registers", "masks", "fma"),
    [
        ("generic", 128, 16, False, False),
        ("sse4.2", 128, 16, False, False),
        ("avx2", 256, 16, False, True),
        ("avx512", 512, 32, True, True),
        ("avx512-vnni", 512, 32, True, True),
        ("neon", 128, 32, False, True),
        ("neon-dotprod", 128, 32, False, True),
    ],
)
def test_named_target_has_the_facts_of_its_instruction_set(
    name: str, bits: int, registers: int, masks: bool, fma: bool
) -> None:
    target = Target.named(name)
    assert (target.vector_bits, target.vector_registers) == (bits, registers)
    assert (target.has_masks, target.has_fma) == (masks, fma)
    assert target.lanes(32) == bits // 32
    assert target.name == name


def test_lanes_counts_bytes_for_booleans_and_is_never_zero() -> None:
    target = Target.named("generic")
    assert target.lanes(1) == target.lanes(8) == 16
    assert target.lanes(256) == 1


def test_added_feature_brings_what_it_presupposes() -> None:
    target = Target.named("sse4.2+avx512f")
    assert {"avx", "avx2", "fma", "f16c", "avx512f"} <= target.features
    assert target.vector_bits == 512
    assert not target.has_masks


def test_removed_feature_takes_what_depends_on_it() -> None:
    target = Target.named("avx512-vnni-avx2")
    assert not any(f.startswith("avx512") for f in target.features)
    assert target.has("fma")
    assert target.vector_bits == 256


def test_longest_base_name_wins() -> None:
    assert split_name("avx512-vnni") == ("avx512-vnni", "")
    assert split_name("avx512-avx512vnni") == ("avx512", "-avx512vnni")
    assert split_name("avx512-vnni+avx512bf16") == ("avx512-vnni", "+avx512bf16")


def test_suffixes_apply_from_left_to_right() -> None:
    assert Target.named("avx2+avx512f-avx512f").features == (
        Target.named("avx2").features
    )
    assert Target.named("avx2-avx2+avx2").has("avx2")


def test_feature_string_fixes_every_known_feature() -> None:
    words = Target.named("avx2").llvm_features.split(",")
    assert "+avx2" in words
    assert "-avx512f" in words
    assert words == sorted(words, key=lambda w: w[1:])


def test_baseline_depends_on_the_architecture() -> None:
    assert Target.named("generic", arch="aarch64").features == (
        Target.named("neon").features
    )
    assert Target.named("neon", system="darwin").triple == "arm64-apple-darwin"


@pytest.mark.parametrize("name", ["avx3", "", "AVX2", "avx2 ", "x86-64-v3"])
def test_unknown_target_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(TargetError) as error:
        Target.named(name)
    assert all(known in str(error.value) for known in KNOWN_TARGETS)


@pytest.mark.parametrize(
    "name", ["avx2+foo", "avx2+", "avx2-", "neon+avx2", "avx2+neon"]
)
def test_unknown_feature_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(TargetError, match="is not a feature of"):
        Target.named(name)


def test_native_needs_the_host() -> None:
    with pytest.raises(TargetError, match="resolve_target"):
        Target.named("native")


def test_equal_names_give_the_same_record() -> None:
    assert Target.named("avx2") is Target.named("avx2")
    assert len({Target.named("avx2"), Target.named("avx512")}) == 2


def test_importing_targets_loads_no_llvm() -> None:
    code = "import sys, nnc.target; sys.exit('llvmlite' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("avx2", "avx2"),
        ("generic", "sse2"),
        ("sse4.2-sse4.2-popcnt-cx16-sahf+sse4.1+sse2", "sse2+sse4.1"),
        ("avx2-fma", "avx2-fma"),
        ("avx512+avx512vnni", "avx512-vnni"),
        ("neon+dotprod", "neon-dotprod"),
    ],
)
def test_portable_name_stands_for_exactly_these_features(spec: str, name: str) -> None:
    target = Target.named(spec)
    assert target.portable_name == name
    assert Target.named(name).features == target.features


def test_features_without_what_they_presuppose_have_no_name_but_a_text() -> None:
    odd = Target.from_features("odd", "x86_64", "x86-64", ["avx512f", "sse2"])
    assert odd.portable_name == "x86_64: avx512f, sse2"
