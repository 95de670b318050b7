"""
The folder of the cache: one file an entry, the one used longest ago goes first.

Any number of processes may use one folder at the same time, without locks: entries
appear whole, under names that depend on their contents, and are never changed. To
delete one that another process reads or has mapped does no harm.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nnc.errors import CacheError
from nnc.runtime.container import TEMPORARY

FOLDER: Final = "NNC_CACHE_DIR"
SIZE: Final = "NNC_CACHE_SIZE"
SWITCH: Final = "NNC_CACHE"
SUFFIX: Final = ".nnc"
FACTS_SUFFIX: Final = ".cpu"
"""Of files that say what LLVM knows about a CPU; see `nnc.backend.host_facts`."""
DEFAULT_SIZE: Final = 5 << 30

_ABANDONED_SECONDS: Final = 3600
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE_FORM = re.compile(r"(\d{1,15})\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """A file of the cache."""

    path: Path
    nbytes: int
    used: float
    """When, in seconds since the epoch."""


@dataclass(frozen=True)
class CacheFolder:
    """A folder, and how large it may become."""

    path: Path
    max_bytes: int = DEFAULT_SIZE

    def place(self, key: str) -> Path:
        """Where the entry of that key is, or would be."""
        return self.path / f"{key}{SUFFIX}"

    def create(self) -> None:
        """
        Make the folder, for this user only.

        Raises:
            OSError: it cannot be made.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def check_owner(self, status: os.stat_result) -> None:
        """
        Check that nobody else can have written an entry, whose code would be run.

        Raises:
            CacheError: somebody can.
        """
        if not hasattr(os, "getuid"):
            return
        if status.st_uid not in (0, os.getuid()):
            raise CacheError("it belongs to another user")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise CacheError("other users may write it")

    def touch(self, path: Path) -> None:
        """Note that an entry was used."""
        # In a folder that may only be read, entries age; they still serve.
        with suppress(OSError):
            os.utime(path)

    def entries(self) -> list[Entry]:
        """All entries, the one used longest ago first."""
        found = [
            Entry(path, status.st_size, status.st_mtime)
            for path, status in self._files()
            if path.suffix == SUFFIX and not path.name.startswith(TEMPORARY)
        ]
        return sorted(found, key=lambda entry: entry.used)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        try:
            with os.scandir(self.path) as items:
                for item in items:
                    # Another process may have deleted it since.
                    with suppress(OSError):
                        if item.is_file(follow_symlinks=False):
                            yield Path(item.path), item.stat(follow_symlinks=False)
        except OSError:
            return

    def make_room(self, kept: Path) -> None:
        """Delete what was used longest ago until the rest fits; never `kept`."""
        entries = self.entries()
        total = sum(entry.nbytes for entry in entries)
        for entry in entries:
            if total <= self.max_bytes:
                break
            if entry.path != kept and self.remove(entry.path):
                total -= entry.nbytes
        self._sweep()

    def _sweep(self) -> None:
        """Delete what killed processes left half-written."""
        now = time.time()
        for path, status in self._files():
            is_old = now - status.st_mtime > _ABANDONED_SECONDS
            if path.name.startswith(TEMPORARY) and is_old:
                self.remove(path)

    def remove(self, path: Path) -> bool:
        """Delete a file; whether it is gone now."""
        try:
            path.unlink(missing_ok=True)
        except OSError:
            # Windows keeps files that are mapped.
            return False
        return True

    def clear(self) -> Sequence[Entry]:
        """Delete all entries, and what is known of CPUs; the entries that are gone."""
        self._sweep()
        for path, _ in self._files():
            if path.suffix == FACTS_SUFFIX:
                self.remove(path)
        return [entry for entry in self.entries() if self.remove(entry.path)]


def folder_of(environment: Mapping[str, str]) -> CacheFolder | None:
    """
    The cache that the environment describes; None if it is switched off.

    Raises:
        CacheError: a variable has no meaning.
    """
    switch = environment.get(SWITCH, "").strip().lower()
    if switch in ("0", "off", "false", "no"):
        return None
    if switch not in ("", "1", "on", "true", "yes"):
        raise CacheError(f"{SWITCH}={switch}: it must be 0 or 1")
    limit = _parsed_size(environment.get(SIZE, ""))
    given = environment.get(FOLDER, "")
    if given:
        return CacheFolder(Path(given), limit)
    from platformdirs import user_cache_path

    return CacheFolder(user_cache_path("nnc", appauthor=False), limit)


def _parsed_size(text: str) -> int:
    if not text.strip():
        return DEFAULT_SIZE
    match = _SIZE_FORM.fullmatch(text.strip())
    if match is None:
        raise CacheError(f"{SIZE}={text}: it must be a size such as 500M or 10G")
    return int(match[1]) * _UNITS[match[2].upper()]
