"""
The file format of saved models and of cache entries: named sections with checksums.

    bytes   what
    0–7     magic, which a transfer in text mode damages
    8–11    version of this layout
    12–15   length of the header
    16–23   size of the file
    24–39   checksum of bytes 0–23 and of the header
    40–     header: JSON, what the file is and where the sections are
    …       sections, each from a multiple of 4096 bytes on

Numbers are little-endian, checksums are XXH3 (128 bits): they find damage, they are no
signatures. Nothing of a section is used before its checksum was compared. Files appear
whole or not at all, since they are written under another name and moved.
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
import stat
import struct
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

import xxhash

from nnc.errors import LoadError
from nnc.runtime.records import decode, encode

MAGIC: Final = b"\x89nnc\r\n\x1a\n"
LAYOUT: Final = 1
ALIGNMENT: Final = 64
"""Pieces of a section start at multiples of it."""

_PRELUDE: Final = struct.Struct("<8sIIQ16s")
_SUMMED: Final = 24
"""How much of the prelude its checksum covers."""
_PAGE: Final = 4096
_MAX_HEADER: Final = 16 << 20
_CHUNK: Final = 256 << 10
TEMPORARY: Final = ".nnc-"
"""How the names of files start that are being written."""


def padded(nbytes: int, alignment: int = ALIGNMENT) -> int:
    """`nbytes`, rounded up."""
    return -(-nbytes // alignment) * alignment


# ---------------------------------------------------------------- writing


def write_container(
    path: Path,
    kind: str,
    facts: Mapping[str, str],
    sections: Mapping[str, Sequence[memoryview]],
    *,
    durable: bool = False,
    mode: int = 0o666,
) -> None:
    """
    Write sections to `path`, each the bytes of its pieces, aligned.

    `facts` are texts about the file. A durable file survives a power failure. `mode`
    are the permissions, less those that the process masks.

    Raises:
        OSError: it cannot be written; then nothing is there, or what was there before.
    """
    header, places, size = _header(kind, facts, sections)
    with _replacing(path, durable, mode) as file:
        file.write(header)
        for name, pieces in sections.items():
            for offset, piece in _placed(pieces):
                file.seek(places[name].offset + offset)
                file.write(piece)
        file.truncate(size)


@dataclass(frozen=True)
class _Section:
    """Where a section is, and what it must sum up to."""

    name: str
    offset: int
    nbytes: int
    checksum: str

    @property
    def end(self) -> int:
        return self.offset + self.nbytes


@dataclass(frozen=True)
class _Header:
    """What the header says."""

    kind: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[_Section, ...]


def _placed(pieces: Sequence[memoryview]) -> Iterator[tuple[int, memoryview]]:
    """The pieces, and where in their section they start."""
    offset = 0
    for piece in pieces:
        yield offset, piece
        offset += padded(piece.nbytes)


def _section(name: str, pieces: Sequence[memoryview]) -> _Section:
    """A section of these pieces, without its place; gaps count for the checksum."""
    digest = xxhash.xxh3_128()
    nbytes = 0
    for start, piece in _placed(pieces):
        digest.update(bytes(start - nbytes))
        digest.update(piece)
        nbytes = start + piece.nbytes
    return _Section(name, 0, nbytes, digest.hexdigest())


def _header(
    kind: str, facts: Mapping[str, str], sections: Mapping[str, Sequence[memoryview]]
) -> tuple[bytes, dict[str, _Section], int]:
    """The start of the file, its sections, and its size."""
    places = {name: _section(name, pieces) for name, pieces in sections.items()}

    def text() -> bytes:
        header = _Header(kind, tuple(facts.items()), tuple(places.values()))
        return json.dumps(encode(header), separators=(",", ":")).encode()

    # The header states the offsets, which depend on its length: leave room for digits.
    end = _PRELUDE.size + len(text()) + 20 * len(places)
    for name, place in places.items():
        places[name] = replace(place, offset=padded(end, _PAGE))
        end = places[name].end
    body = text()
    size = max([_PRELUDE.size + len(body), *(p.end for p in places.values())])
    prelude = _PRELUDE.pack(MAGIC, LAYOUT, len(body), size, bytes(16))[:_SUMMED]
    return prelude + xxhash.xxh3_128_digest(prelude + body) + body, places, size


@contextmanager
def _replacing(path: Path, durable: bool, mode: int) -> Generator[BinaryIO]:
    """A new file that takes the place of `path` at the end, or vanishes."""
    # In the same folder: files are moved within a file system only.
    name = path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(name, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


# ---------------------------------------------------------------- reading


class Container:
    """An open file of sections; every read of one compares its checksum."""

    def __init__(self, path: Path, *kinds: str) -> None:
        """
        Open a file and check its header; without kinds, it may be of any.

        Raises:
            LoadError: it is no such file, or damaged.
            OSError: it cannot be opened.
        """
        self._path = path
        # Not blocking, so that a pipe without a writer does not hang.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags)
        try:
            self.status = os.fstat(self._file)
            """What the system says about the file."""
            header = self._read_header(kinds)
            self.kind = header.kind
            """What it holds."""
            self.facts = dict(header.facts)
            """What the writer stated about the file."""
            self._places = {place.name: place for place in header.sections}
        except BaseException:
            self.close()
            raise

    def _read_header(self, kinds: tuple[str, ...]) -> _Header:
        if not stat.S_ISREG(self.status.st_mode):
            raise self._damaged("it is no regular file")
        prelude = os.read(self._file, _PRELUDE.size)
        if prelude[: len(MAGIC)] != MAGIC[: len(prelude)] or len(prelude) < len(MAGIC):
            raise LoadError(f"'{self._path}' is no file that nnc has saved")
        if len(prelude) < _PRELUDE.size:
            raise self._damaged("it is cut off")
        _, layout, length, size, checksum = cast(
            "tuple[bytes, int, int, int, bytes]", _PRELUDE.unpack(prelude)
        )
        if layout != LAYOUT:
            raise LoadError(
                f"'{self._path}' has layout {layout}, this release of nnc reads "
                f"{LAYOUT}: compile the model again"
            )
        if size != self.status.st_size:
            raise self._damaged(f"it has {self.status.st_size} bytes instead of {size}")
        if length > min(_MAX_HEADER, size - _PRELUDE.size):
            raise self._damaged("its header is cut off")
        body = self._bytes(_PRELUDE.size, length)
        if xxhash.xxh3_128_digest(prelude[:_SUMMED] + body) != checksum:
            raise self._damaged("the checksum of its header is wrong")
        try:
            return _parsed(body, kinds, size)
        except (ValueError, RecursionError) as error:
            raise self._damaged(str(error)) from error

    def _bytes(self, offset: int, count: int) -> bytes:
        """Bytes of the file, copied: nobody else can change them."""
        os.lseek(self._file, offset, os.SEEK_SET)
        parts: list[bytes] = []
        while count and (part := os.read(self._file, count)):
            parts.append(part)
            count -= len(part)
        if count:
            raise self._damaged("it is cut off")
        return b"".join(parts)

    def _damaged(self, reason: str) -> LoadError:
        return LoadError(f"'{self._path}' is damaged: {reason}")

    def _place(self, name: str) -> _Section:
        if name not in self._places:
            raise self._damaged(f"it has no section '{name}'")
        return self._places[name]

    def _check(self, place: _Section, data: bytes | memoryview) -> None:
        if xxhash.xxh3_128_hexdigest(data) != place.checksum:
            raise self._damaged(f"the checksum of section '{place.name}' is wrong")

    def read(self, name: str) -> bytes:
        """
        A section, copied into memory.

        Raises:
            LoadError: it is missing or damaged.
        """
        section = self._place(name)
        data = self._bytes(section.offset, section.nbytes)
        self._check(section, data)
        return data

    def map(self, name: str, *, trusted: bool = False) -> memoryview:
        """
        A section as memory that is shared with other processes, read-only.

        Of a file that this process has just written itself, `trusted`, no byte is read.

        Raises:
            LoadError: it is missing or damaged.
        """
        section = self._place(name)
        if section.nbytes == 0:
            return memoryview(b"")
        with memoryview(self._mapped(populate=not trusted)) as whole:
            data = whole[section.offset : section.end]
        if not trusted:
            self._check(section, data)
        return data

    def _mapped(self, *, populate: bool) -> mmap.mmap:
        if not (populate and hasattr(mmap, "MAP_POPULATE")):
            return mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
        # All pages at once: one by one, as the checksum gets to them, takes longer.
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        return mmap.mmap(self._file, 0, flags=flags, prot=mmap.PROT_READ)

    def close(self) -> None:
        """Close the file; what was mapped stays."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _parsed(body: bytes, kinds: tuple[str, ...], size: int) -> _Header:
    """The header in these bytes of a file of one of these kinds and of that size."""
    header = decode(_Header, json.loads(body))
    if kinds and header.kind not in kinds:
        raise ValueError(f"it holds '{header.kind}', not '{kinds[0]}'")
    for place in header.sections:
        if not 0 <= place.offset <= place.end <= size or place.offset % _PAGE:
            raise ValueError(f"section '{place.name}' lies outside of the file")
    return header
