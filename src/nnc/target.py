"""
What code generation knows about a machine: one frozen record a target.

Nothing here looks at the machine it runs on (`nnc.backend.host` does) and nothing
imports LLVM: a target is plain data, found by exact name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from nnc.errors import TargetError

Arch = Literal["x86_64", "aarch64"]

_X86_IMPLIES: Final[Mapping[str, tuple[str, ...]]] = {
    "sse2": (),
    "sse3": ("sse2",),
    "ssse3": ("sse3",),
    "sse4.1": ("ssse3",),
    "sse4.2": ("sse4.1",),
    "popcnt": (),
    "cx16": (),
    "sahf": (),
    "bmi": (),
    "bmi2": (),
    "lzcnt": (),
    "movbe": (),
    "avx": ("sse4.2",),
    "f16c": ("avx",),
    "fma": ("avx",),
    "avx2": ("avx",),
    "avxvnni": ("avx2",),
    "avxvnniint8": ("avx2",),
    "avx512f": ("avx2", "f16c", "fma"),
    "avx512cd": ("avx512f",),
    "avx512bw": ("avx512f",),
    "avx512dq": ("avx512f",),
    "avx512vl": ("avx512f",),
    "avx512ifma": ("avx512f",),
    "avx512vbmi": ("avx512bw",),
    "avx512vbmi2": ("avx512bw",),
    "avx512vnni": ("avx512f",),
    "avx512bitalg": ("avx512bw",),
    "avx512vpopcntdq": ("avx512f",),
    "avx512bf16": ("avx512bw",),
    "avx512fp16": ("avx512bw", "avx512dq", "avx512vl"),
    "amx-tile": (),
    "amx-int8": ("amx-tile",),
    "amx-bf16": ("amx-tile",),
}
"""The x86 features that nnc tells apart and what each of them presupposes."""

_ARM_IMPLIES: Final[Mapping[str, tuple[str, ...]]] = {
    "fp-armv8": (),
    "neon": ("fp-armv8",),
    "crc": (),
    "lse": (),
    "rdm": ("neon",),
    "fullfp16": ("neon",),
    "dotprod": ("neon",),
    "fp16fml": ("fullfp16",),
    "i8mm": ("neon",),
    "bf16": ("neon",),
    "sve": ("fullfp16",),
    "sve2": ("sve",),
}

_IMPLIES: Final[Mapping[Arch, Mapping[str, tuple[str, ...]]]] = {
    "x86_64": _X86_IMPLIES,
    "aarch64": _ARM_IMPLIES,
}

_V2 = ("sse4.2", "popcnt", "cx16", "sahf")
_V3 = (*_V2, "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")

_NAMED: Final[Mapping[str, tuple[Arch, str, tuple[str, ...]]]] = {
    "sse2": ("x86_64", "x86-64", ("sse2",)),
    "sse4.2": ("x86_64", "x86-64-v2", _V2),
    "avx2": ("x86_64", "x86-64-v3", _V3),
    "avx512": ("x86_64", "x86-64-v4", _V4),
    "avx512-vnni": ("x86_64", "x86-64-v4", (*_V4, "avx512vnni")),
    "neon": ("aarch64", "generic", ("neon",)),
    "neon-dotprod": ("aarch64", "generic", ("neon", "dotprod")),
}
"""Name → architecture, LLVM's CPU name, features beyond the implied ones."""

_BASELINE: Final[Mapping[Arch, str]] = {"x86_64": "sse2", "aarch64": "neon"}

KNOWN_TARGETS: Final = ("native", "generic", *sorted(_NAMED))

_TRIPLES: Final[Mapping[tuple[str, str], str]] = {
    ("x86_64", "linux"): "x86_64-unknown-linux-gnu",
    ("x86_64", "darwin"): "x86_64-apple-darwin",
    ("x86_64", "windows"): "x86_64-pc-windows-msvc",
    ("aarch64", "linux"): "aarch64-unknown-linux-gnu",
    ("aarch64", "darwin"): "arm64-apple-darwin",
    ("aarch64", "windows"): "aarch64-pc-windows-msvc",
}

_SUFFIX = re.compile(r"[+-][a-z][a-z0-9_.]*(?:-(?:tile|int8|bf16|armv8))?")
_FULL_MASKS = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})


_HALF_PIPES: Final = frozenset({"znver4"})
"""CPUs with registers of 512 bits and pipes of 256."""


@dataclass(frozen=True)
class Target:
    """
    A machine to generate code for.

    `features` is everything that code may use, implied features included; the other
    facts follow from it. Get one by name with `Target.named("avx2")`.
    """

    name: str
    arch: Arch
    triple: str
    cpu: str
    features: frozenset[str]
    vector_bits: int
    vector_registers: int
    has_masks: bool
    has_fma: bool
    l1d_bytes: int = 32 << 10
    l2_bytes: int = 1 << 20

    @staticmethod
    def named(spec: str, *, arch: Arch = "x86_64", system: str = "linux") -> Target:
        """
        The target of a name such as `avx2` or `avx512+avx512vnni-f16c`.

        `arch` decides what `generic` is, `system` (linux, darwin, windows) the object
        format. `native` needs a look at the machine: see `nnc.backend.host`.
        """
        return _named(spec, arch, system)

    @staticmethod
    def from_features(
        name: str,
        arch: Arch,
        cpu: str,
        features: Iterable[str],
        *,
        system: str = "linux",
        l1d_bytes: int = 32 << 10,
        l2_bytes: int = 1 << 20,
    ) -> Target:
        """A target whose vector facts are derived from its features."""
        known = frozenset(features)
        bits, registers = _vector_facts(arch, known)
        return Target(
            name=name,
            arch=arch,
            triple=_TRIPLES[arch, system],
            cpu=cpu,
            features=known,
            vector_bits=bits,
            vector_registers=registers,
            has_masks=known >= _FULL_MASKS,
            has_fma=arch == "aarch64" or "fma" in known,
            l1d_bytes=l1d_bytes,
            l2_bytes=l2_bytes,
        )

    def lanes(self, element_bits: int) -> int:
        """How many elements of that size a vector register holds; at least 1."""
        return max(1, self.vector_bits // max(8, element_bits))

    @property
    def splits_vectors(self) -> bool:
        """Whether an operation on whole vectors takes as long as two on halves."""
        return self.vector_bits == 512 and self.cpu in _HALF_PIPES

    def has(self, feature: str) -> bool:
        """Whether code may use this feature."""
        return feature in self.features

    @property
    def llvm_features(self) -> str:
        """The feature string for LLVM, which fixes every feature that nnc knows."""
        known = _IMPLIES[self.arch]
        return ",".join(("+" if f in self.features else "-") + f for f in sorted(known))

    @property
    def portable_name(self) -> str:
        """
        A name for exactly these features that means the same on every machine.

        Equal for targets whose code may use the same instructions, however they were
        called; `native` and `generic` become what they stand for.
        """
        return _portable_name(self.arch, self.features)

    def __str__(self) -> str:
        return self.name


def known_features(arch: Arch) -> tuple[str, ...]:
    """The features that `+feature` and `-feature` accept."""
    return tuple(sorted(_IMPLIES[arch]))


def implied(arch: Arch, features: Iterable[str]) -> frozenset[str]:
    """`features` and all that they presuppose."""
    table = _IMPLIES[arch]
    result: set[str] = set()
    todo = list(features)
    while todo:
        feature = todo.pop()
        if feature not in result:
            result.add(feature)
            todo.extend(table[feature])
    return frozenset(result)


def apply_suffix(
    spec: str, arch: Arch, features: frozenset[str], suffix: str
) -> frozenset[str]:
    """`features` changed by a `+feature-feature` suffix of the target name `spec`."""
    position = 0
    while position < len(suffix):
        match = _SUFFIX.match(suffix, position)
        feature = match.group()[1:] if match else ""
        if feature not in _IMPLIES[arch]:
            raise TargetError(
                f"target '{spec}': '{feature or suffix[position:]}' is not a feature "
                f"of {arch}; known are {', '.join(known_features(arch))}"
            )
        assert match is not None
        if match.group()[0] == "+":
            features |= implied(arch, (feature,))
        else:
            features = frozenset(
                f for f in features if feature not in implied(arch, (f,))
            )
        position = match.end()
    return features


def split_name(spec: str) -> tuple[str, str]:
    """Base name and `+feature-feature` suffix; the longest known base wins."""
    for name in sorted(KNOWN_TARGETS, key=len, reverse=True):
        if spec == name or (spec.startswith(name) and spec[len(name)] in "+-"):
            return name, spec[len(name) :]
    raise TargetError(
        f"unknown target '{spec}'; known are {', '.join(KNOWN_TARGETS)}, each with "
        "optional +feature and -feature suffixes"
    )


@cache
def _named(spec: str, arch: Arch, system: str) -> Target:
    base, suffix = split_name(spec)
    if base == "native":
        raise TargetError(
            "target 'native' depends on the machine; resolve it with "
            "nnc.backend.host.resolve_target"
        )
    if base == "generic":
        base = _BASELINE[arch]
    target_arch, cpu, features = _NAMED[base]
    full = apply_suffix(spec, target_arch, implied(target_arch, features), suffix)
    return Target.from_features(spec, target_arch, cpu, full, system=system)


@cache
def _portable_name(arch: Arch, features: frozenset[str]) -> str:
    """The spec with the fewest suffixes that `Target.named` turns into these."""
    specs: list[tuple[int, str]] = []
    for base, (base_arch, _, named) in _NAMED.items():
        if base_arch != arch:
            continue
        start = implied(arch, named)
        removed = sorted(start - features)
        spec = base + "".join(f"-{f}" for f in removed)
        left = features - apply_suffix(spec, arch, start, spec[len(base) :])
        # What another one presupposes comes with it.
        added = [f for f in sorted(left) if not _is_implied(arch, f, left)]
        spec += "".join(f"+{f}" for f in added)
        if apply_suffix(spec, arch, start, spec[len(base) :]) == features:
            specs.append((len(removed) + len(added), spec))
    # Some features without what they presuppose have no name: a list does as well.
    listed = f"{arch}: {', '.join(sorted(features))}"
    return min(specs, default=(0, listed))[1]


def _is_implied(arch: Arch, feature: str, features: Iterable[str]) -> bool:
    return any(f != feature and feature in implied(arch, (f,)) for f in features)


def _vector_facts(arch: Arch, features: frozenset[str]) -> tuple[int, int]:
    if arch == "aarch64":
        return 128, 32
    if "avx512f" in features:
        return 512, 32
    return (256 if "avx" in features else 128), 16
