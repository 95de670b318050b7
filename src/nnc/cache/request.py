"""One compilation's dealings with the cache: look for its entry, or leave one."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from nnc.cache import keys
from nnc.cache.folder import CacheFolder, folder_of
from nnc.errors import CacheError, CacheWarning, LoadError, NncError
from nnc.loading import bind
from nnc.options import CompileOptions, OnPass, threads_for
from nnc.runtime.container import Container, write_container
from nnc.runtime.info import CacheInfo
from nnc.runtime.records import decode, encode
from nnc.runtime.saved import SavedModel
from nnc.runtime.saved_program import (
    SavedProgram,
    read_saved,
    with_written_weights,
    write_saved,
)
from nnc.target import Target

if TYPE_CHECKING:
    from nnc.runtime.executor import CompiledModel
    from nnc.runtime.program import ProgramModel

LOADING: Final = "loading from the cache"
MODEL: Final = "model"
TARGET: Final = "target"
"""What entries say about themselves, for people."""
_KEY: Final = "key"
_LISTING: Final = "-files"
_KIND_OF_LISTING: Final = "files of a model"
_MODE: Final = 0o600
"""For this user only."""


@dataclass(frozen=True)
class _Listing:
    """The files that a model names, so that they can be hashed without parsing it."""

    locations: tuple[str, ...]


@dataclass
class Request:
    """
    What a compilation asks of the cache.

    The cache never makes a compilation fail: what goes wrong is a warning, and a note
    in `CompiledModel.info.cache`.
    """

    num_threads: int = 1
    folder: CacheFolder | None = None
    key: str = ""
    """Of the model without the files that it names."""
    name: str = ""
    """Of the model, for people."""
    source: Path | None = None
    state: keys.FileState | None = None
    """The source file's, before it was read."""
    note: str = ""
    """Why there is no folder, or what happened to the entry."""
    started_ns: int = field(default_factory=time.time_ns)

    @staticmethod
    def of(model: object, options: CompileOptions, target: Target) -> Request:
        """A request for a model; without a folder if it cannot be cached."""
        if not options.cache:
            return Request(note="cache=False")
        try:
            folder = folder_of(os.environ)
            if folder is None:
                return Request(note="NNC_CACHE is off")
            return _request(model, options, target, folder)
        except CacheError as error:
            _warn(str(error))
            return Request(note=str(error))

    # ---- looking

    def load(self, on_pass: OnPass | None) -> CompiledModel | ProgramModel | None:
        """The model of the entry, if there is one and it is whole."""
        if self.folder is None:
            return None
        started = time.perf_counter()
        try:
            path = self._place(self.folder)
            saved = read_saved(
                path, facts={_KEY: path.stem}, check=self.folder.check_owner
            )
            if on_pass is not None:
                on_pass(LOADING, 0, 1)
            model = bind(saved, started, self.num_threads)
        except FileNotFoundError:
            return None
        except (NncError, OSError) as error:
            self.note = f"an entry was not usable: {error}"
            _warn(self.note)
            return None
        self.folder.touch(path)
        model.set_cache(CacheInfo("hit", path=str(path)))
        return model

    def _place(self, folder: CacheFolder) -> Path:
        """
        Where the entry is, or would be if the model names no files.

        Raises:
            LoadError: a file of the model is missing or unsafe, or the list of them is
                damaged.
            OSError: a file cannot be read.
        """
        path = folder.place(self.key)
        listing = folder.place(self.key + _LISTING)
        if self.source is None or path.exists() or not listing.exists():
            return path
        with Container(listing, _KIND_OF_LISTING) as file:
            folder.check_owner(file.status)
            try:
                listing_ = decode(_Listing, json.loads(file.read("names")))
            except ValueError as error:
                raise LoadError(f"'{listing}' is damaged: {error}") from error
        content, _ = keys.external_hash(self.source.parent, listing_.locations)
        return folder.place(keys.text_hash(self.key + content))

    # ---- storing

    def store(
        self, saved: SavedModel | SavedProgram, locations: Sequence[str]
    ) -> tuple[SavedModel | SavedProgram, CacheInfo]:
        """
        Leave an entry for a model that was compiled.

        `locations` are the files that the source model named. Returns the model, its
        weights those of the entry if there is one (so that this process shares them as
        those with a hit do), and what became of it.
        """
        if self.folder is None:
            return saved, CacheInfo("off", self.note)
        try:
            path = self._write(self.folder, saved, locations)
            mapped = with_written_weights(path, saved)
        except (NncError, OSError) as error:
            note = f"{self.folder.path}: {error}"
            _warn(f"the compiled model is not kept in the cache: {note}")
            return saved, CacheInfo("not stored", note)
        kept = CacheInfo("stored", self.note, str(path))
        return mapped, kept

    def _write(
        self,
        folder: CacheFolder,
        saved: SavedModel | SavedProgram,
        locations: Sequence[str],
    ) -> Path:
        stages = saved.stages if isinstance(saved, SavedProgram) else (saved,)
        nbytes = sum(w.nbytes for stage in stages for w in stage.weights.values())
        if nbytes > folder.max_bytes:
            raise CacheError(f"it has {nbytes} bytes, the limit is {folder.max_bytes}")
        self._check_unchanged()
        folder.create()
        path = folder.place(self.key)
        if locations:
            assert self.source is not None
            content, changed_ns = keys.external_hash(self.source.parent, locations)
            if changed_ns > self.started_ns:
                raise CacheError("its external data changed meanwhile")
            names = json.dumps(encode(_Listing(tuple(locations)))).encode()
            write_container(
                folder.place(self.key + _LISTING),
                _KIND_OF_LISTING,
                {MODEL: self.name},
                {"names": [memoryview(names)]},
                mode=_MODE,
            )
            path = folder.place(keys.text_hash(self.key + content))
        facts = {_KEY: path.stem, MODEL: self.name, TARGET: saved.info.target}
        write_saved(path, saved, facts=facts, mode=_MODE)
        folder.make_room(path)
        return path

    def _check_unchanged(self) -> None:
        """
        Check that what was compiled is what the key was made from.

        Raises:
            CacheError: the model or nnc itself may have changed since then.
        """
        if self.source is not None:
            now = keys.FileState.of(self.source.stat())
            if now != self.state:
                raise CacheError(f"'{self.source}' changed meanwhile")
        if keys.fresh_compiler_hash() != keys.compiler_hash():
            raise CacheError("the sources of nnc changed meanwhile")


def _request(
    model: object, options: CompileOptions, target: Target, folder: CacheFolder
) -> Request:
    """
    The request of a model of any kind.

    Raises:
        CacheError: no key can be made.
    """
    source = state = None
    if isinstance(model, str | os.PathLike):
        source = Path(cast("str | os.PathLike[str]", model))
        try:
            content, state = keys.file_hash(source)
        except (OSError, ValueError):
            # The import says what is wrong with the file.
            return Request(note="the model cannot be read")
        name = source.name
    elif isinstance(model, bytes | bytearray | memoryview):
        content, name = keys.bytes_hash(cast(bytes, model)), "bytes"
    elif type(model).__module__.partition(".")[0] == "onnx":
        from nnc.frontends.onnx.identity import proto_hash

        content, name = proto_hash(model), "ModelProto"
    else:
        return Request(note="only models in files, bytes and protos are kept")
    key = keys.key_of(content, options, target)
    threads = threads_for(options.num_threads)
    return Request(threads, folder, key, name, source, state)


def _warn(message: str) -> None:
    # The caller of nnc.compile.
    warnings.warn(message, CacheWarning, stacklevel=5)
