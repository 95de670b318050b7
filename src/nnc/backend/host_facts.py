"""
What LLVM says about this CPU, remembered for processes that need LLVM for nothing else.

A process that runs a model from the cache has to know what CPU it is on, and only
LLVM's library, which takes 45 MiB and a moment to load, tells it. So what it said is
kept in the folder of the cache, under a hash of what Linux says about the CPU: on
another CPU, or under a hypervisor that hides other features, it is asked again.
"""

# llvmlite has no type information.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, cast

import xxhash

from nnc.cache.folder import FACTS_SUFFIX, CacheFolder, folder_of
from nnc.cache.versions import llvm_state
from nnc.errors import CacheError
from nnc.runtime.container import TEMPORARY

_CPUINFO: Final = Path("/proc/cpuinfo")
_VARYING: Final = frozenset({"cpu MHz", "bogomips", "BogoMIPS"})
"""What differs from one look to the next."""


@dataclass(frozen=True)
class HostFacts:
    """LLVM's name of the CPU, and its names of the features that it has."""

    cpu: str
    features: frozenset[str]


@cache
def host_facts() -> HostFacts:
    """The facts of this CPU, from the cache or from LLVM."""
    place = _place()
    if place is not None:
        known = _read(*place)
        if known is not None:
            return known
    import llvmlite.binding as llvm

    found = cast("Mapping[str, bool]", dict(llvm.get_host_cpu_features()))
    facts = HostFacts(
        llvm.get_host_cpu_name(),
        frozenset(name for name, has in found.items() if has),
    )
    if place is not None:
        _write(*place, facts)
    return facts


def _place() -> tuple[CacheFolder, Path] | None:
    """The file of this CPU's facts; None where there is no cache, or no Linux."""
    try:
        folder = folder_of(os.environ)
        text = _CPUINFO.read_text(errors="replace")
    except (CacheError, OSError):
        return None
    if folder is None:
        return None
    lines = [
        line
        for line in text.partition("\n\n")[0].splitlines()
        if line.partition(":")[0].strip() not in _VARYING
    ]
    digest = xxhash.xxh3_128_hexdigest("\n".join([*lines, llvm_state()]).encode())
    return folder, folder.path / f"{digest}{FACTS_SUFFIX}"


def _read(folder: CacheFolder, path: Path) -> HostFacts | None:
    try:
        with path.open("rb") as file:
            folder.check_owner(os.fstat(file.fileno()))
            record: object = json.load(file)
    except (OSError, ValueError, CacheError):
        return None
    if not isinstance(record, dict):
        return None
    fields = cast("dict[str, object]", record)
    cpu, features = fields.get("cpu"), fields.get("features")
    if not isinstance(cpu, str) or not isinstance(features, list):
        return None
    names = cast("list[object]", features)
    return HostFacts(cpu, frozenset(n for n in names if isinstance(n, str)))


def _write(folder: CacheFolder, path: Path, facts: HostFacts) -> None:
    """Keep the facts; where that cannot be, LLVM is asked again next time."""
    record = {"cpu": facts.cpu, "features": sorted(facts.features)}
    partial = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        folder.create()
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(record, file)
        partial.replace(path)
    except OSError:
        return
