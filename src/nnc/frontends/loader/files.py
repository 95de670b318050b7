"""
Opening files that a model names: regular files, inside the model's folder only.

A model file is untrusted: the paths in it may point anywhere, be links, devices or
pipes, and may be swapped while they are read. Everything is decided on the open
descriptor, not on the path.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import sys
import weakref
from collections.abc import Mapping
from io import FileIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nnc.errors import LimitExceeded, LoadError

MAP_BYTES = 2**30
"""
External data from this size on is mapped, smaller files are read: a mapped file that
somebody truncates ends the process.
"""
_HUGE_PAGES_FROM = 8 * 2**20
_PRIVATE: Final[Mapping[str, int]] = (
    {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}
    if hasattr(mmap, "MAP_ANONYMOUS")
    else {}
)


def read_file(path: Path, max_bytes: int) -> memoryview:
    """
    The bytes of a regular file that the *user* named; links are fine there.

    Raises:
        LoadError: there is no such file, or it is no regular file.
        LimitExceeded: it is larger than `max_bytes`.
    """
    with _open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise LimitExceeded(
                f"'{path}' has {size} bytes; at most {max_bytes} can be read"
            )
        try:
            return _contents(file, size)
        except OSError as error:
            raise LoadError(f"cannot read '{path}': {_reason(error)}") from error


def _contents(file: FileIO, size: int) -> memoryview:
    """All bytes of an open file that had `size` of them a moment ago."""
    if size < _HUGE_PAGES_FROM:
        return memoryview(file.read())
    # Fresh small pages cost more time than reading the bytes into them; only private
    # memory can have huge ones.
    buffer = mmap.mmap(-1, size, **_PRIVATE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # Some systems refuse; it is advice.
        with contextlib.suppress(OSError):
            buffer.madvise(mmap.MADV_HUGEPAGE)
    view = memoryview(buffer)
    count = 0
    while count < size and (done := file.readinto(view[count:])):
        count += done
    return view[:count].toreadonly()


def piece_of(data: memoryview, start: int, end: int) -> NDArray[np.uint8]:
    """
    Bytes of `data`, which `read_file` returned; no others may overlap with them.

    Their memory is given back when the last view of the piece is gone, and not only
    with all of the file: weights become free one by one as they are packed.
    """
    piece = np.frombuffer(data[start:end], np.uint8)
    memory = data.obj
    # Elsewhere, the advice does not give memory back.
    if isinstance(memory, mmap.mmap) and sys.platform == "linux":
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        length = end - end % mmap.PAGESIZE - first
        if length > 0:
            release = weakref.finalize(piece, _give_back, memory, first, length)
            release.atexit = False
    return piece


def _give_back(memory: mmap.mmap, start: int, length: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        memory.madvise(mmap.MADV_DONTNEED, start, length)


def read_start(path: Path, count: int) -> bytes:
    """
    The first bytes of a regular file that the user named, to tell its format.

    Raises:
        LoadError: there is no such file, or it is no regular file.
    """
    with _open_regular(path) as file:
        try:
            return file.read(count)
        except OSError as error:
            raise LoadError(f"cannot read '{path}': {_reason(error)}") from error


def _open_regular(path: Path) -> FileIO:
    try:
        # Not blocking, so that a pipe without a writer does not hang.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise LoadError(f"cannot open '{path}': {_reason(error)}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LoadError(f"'{path}' is no regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


class ExternalData:
    """The external data files of one model; each is opened once."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` holds the model file; None for a model that came without one."""
        self._folder = folder
        self._files: dict[str, NDArray[np.uint8]] = {}

    @property
    def locations(self) -> tuple[str, ...]:
        """The files that were opened, in order."""
        return tuple(self._files)

    def view(
        self, location: str, offset: int, length: int | None, what: str
    ) -> NDArray[np.uint8]:
        """
        Read-only bytes `offset : offset + length` of the file at `location`.

        Without a length, all bytes from `offset` on. `what` names the tensor in errors.

        Raises:
            LoadError: the file is missing, unsafe or too short.
        """
        if location not in self._files:
            self._files[location] = self._open(location, what)
        data = self._files[location]
        if length is None:
            length = data.size - offset
        if offset < 0 or length < 0 or offset > data.size - length:
            raise LoadError(
                f"{what}: bytes {offset} to {offset + length} lie outside of the "
                f"{data.size} bytes of '{location}'"
            )
        return data[offset : offset + length]

    def _open(self, location: str, what: str) -> NDArray[np.uint8]:
        if self._folder is None:
            raise LoadError(
                f"{what}: its data lies in the file '{location}'; load the model from "
                "a path, so that the file can be found"
            )
        try:
            path = external_path(self._folder, location)
            descriptor = open_external(path)
        except LoadError as error:
            raise LoadError(f"{what}: {error}") from None
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            size = os.fstat(descriptor).st_size
            if size < MAP_BYTES:
                return np.frombuffer(_contents(file, size), np.uint8)
            mapped = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
            return np.frombuffer(mapped, np.uint8)


def external_path(folder: Path, location: str) -> Path:
    """
    The path of external data, proven to lie inside of `folder`.

    Raises:
        LoadError: `location` is no relative path, or leads elsewhere.
    """
    if not location or "\0" in location:
        raise LoadError(f"'{location!r}' is no file name")
    absolute = PurePosixPath(location).is_absolute()
    windows = PureWindowsPath(location)
    if absolute or windows.drive or windows.root:
        raise LoadError(f"external data must have a relative path, not '{location}'")
    if ".." in PurePosixPath(location).parts or ".." in windows.parts:
        raise LoadError(
            f"external data '{location}' lies outside of the model's folder"
        )
    root = folder.resolve()
    path = root / location
    # Equal only if no part of the path is a link.
    if path.resolve() != Path(os.path.normpath(path)):
        raise LoadError(f"external data '{location}' is reached through a link")
    return path


def open_external(path: Path) -> int:
    """
    A descriptor of a regular file that has no other name.

    Raises:
        LoadError: the file is missing, a link, shared by hard links or no regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except OSError as error:
        message = f"cannot open external data '{path.name}': {_reason(error)}"
        raise LoadError(message) from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    what = "has hard links" if stat.S_ISREG(status.st_mode) else "is no regular file"
    raise LoadError(f"external data '{path.name}' {what}")


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
