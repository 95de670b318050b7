"""
The machine that this process runs on, as a `Target`.

LLVM's feature detection also asks the operating system (XCR0), so AVX-512 that the
kernel does not save counts as missing.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from nnc.backend.host_facts import host_facts
from nnc.errors import TargetError
from nnc.target import Arch, Target, apply_suffix, known_features, split_name

_ARCHES: dict[str, Arch] = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
}


def host_arch() -> Arch:
    """The architecture of this process."""
    machine = platform.machine().lower()
    if machine not in _ARCHES:
        raise TargetError(
            f"this machine's architecture is {machine}; nnc generates code for x86_64 "
            "and aarch64"
        )
    return _ARCHES[machine]


def host_system() -> str:
    """The operating system, as `Target.named` takes it."""
    system = platform.system().lower()
    return system if system in {"linux", "darwin", "windows"} else "linux"


@cache
def host_target() -> Target:
    """The target called `native`: this CPU with all its features."""
    arch = host_arch()
    features = set(_detected().intersection(known_features(arch)))
    # Both are part of the architecture, but not every kernel reports them.
    features |= {"sse2"} if arch == "x86_64" else {"fp-armv8", "neon"}
    return Target.from_features(
        "native",
        arch,
        host_facts().cpu,
        features,
        system=host_system(),
        l1d_bytes=_cache_bytes(1) or 32 << 10,
        l2_bytes=_cache_bytes(2) or 1 << 20,
    )


def resolve_target(spec: str | Target) -> Target:
    """The target of a name, `native` and `generic` included."""
    if isinstance(spec, Target):
        return spec
    base, suffix = split_name(spec)
    if base != "native":
        return Target.named(spec, arch=host_arch(), system=host_system())
    native = host_target()
    if not suffix:
        return native
    return Target.from_features(
        spec,
        native.arch,
        native.cpu,
        apply_suffix(spec, native.arch, native.features, suffix),
        system=host_system(),
        l1d_bytes=native.l1d_bytes,
        l2_bytes=native.l2_bytes,
    )


def name_of_target(target: Target) -> str:
    """
    The name by which passes get `target`.

    Raises:
        TargetError: no name gives exactly this record.
    """
    for name in (target.name, target.portable_name):
        try:
            found = resolve_target(name)
        except TargetError:
            continue
        if replace(found, name=target.name) == target:
            return name
    raise TargetError(
        f"target '{target.name}' cannot be passed on by name: it differs from those "
        "that 'name+feature-feature' describes on this machine; give such a name"
    )


def missing_features(target: Target) -> tuple[str, ...]:
    """
    What code for `target` may use and this machine lacks; empty: it runs here.

    Another architecture counts as one missing feature, its name.
    """
    if target.arch != host_arch():
        return (target.arch,)
    return tuple(sorted(target.features - host_target().features))


def check_runs_here(target: Target) -> None:
    """Raise `TargetError`, naming what is missing, unless this machine can run it."""
    missing = missing_features(target)
    if not missing:
        return
    if target.arch != host_arch():
        raise TargetError(
            f"code for target '{target.name}' is for machines of architecture "
            f"{target.arch}; this one is {host_arch()}"
        )
    raise TargetError(
        f"code for target '{target.name}' needs CPU features that this machine lacks: "
        f"{', '.join(missing)}"
    )


def other_features(target: Target) -> tuple[str, ...]:
    """
    Features of this CPU, by LLVM's names, that code may use beyond the target's.

    Code for a CPU that LLVM knows by name may use all that this CPU has; a target lists
    only what nnc tells apart.
    """
    if target.cpu != host_target().cpu:
        return ()
    return tuple(sorted(_detected() - set(known_features(target.arch))))


def check_code_runs_here(target: Target, features: Iterable[str]) -> None:
    """
    Check that code of another process can run here: for `target`, and `features` more.

    Raises:
        TargetError: it cannot; names what is missing.
    """
    check_runs_here(target)
    if target.triple != host_target().triple:
        raise TargetError(
            f"the code is for {target.triple}; this machine is {host_target().triple}"
        )
    missing = sorted(set(features) - _detected())
    if missing:
        raise TargetError(
            f"the code was made for CPU '{target.cpu}' and needs features that this "
            f"machine lacks: {', '.join(missing)}; compile for a target such as 'avx2'"
        )


def _detected() -> frozenset[str]:
    """The features of this CPU by LLVM's names."""
    return host_facts().features


def _cache_bytes(level: int) -> int | None:
    """Size of the data cache of a level by Linux's sysfs; None where unknown."""
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            if int((index / "level").read_text()) != level:
                continue
            if (index / "type").read_text().strip() == "Instruction":
                continue
            size = (index / "size").read_text().strip()
            return int(size[:-1]) << {"K": 10, "M": 20}[size[-1]]
        except (OSError, ValueError, KeyError):
            continue
    return None
