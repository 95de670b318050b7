"""
What a compiled model depends on, as one hash: the key of its cache entry.

The bytes of the model, the options, all facts of the target, this CPU, the sources of
nnc itself, and the versions of the packages that it compiles with. Hashing the bytes is
quick enough (7 GB/s) that times and names of files need not be trusted.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, SupportsIndex, cast

import numpy as np
import xxhash

import nnc
from nnc.backend.host import other_features
from nnc.cache.versions import llvm_state
from nnc.errors import CacheError
from nnc.frontends.loader.files import external_path, open_external
from nnc.options import CompileOptions, threads_for
from nnc.runtime.records import encode
from nnc.runtime.specs import Array
from nnc.target import Target

_CHUNK: Final = 256 << 10
"""Small enough to stay in the cache of a core between reading and hashing."""
_PACKAGES: Final = ("xdsl", "llvmlite", "onnx", "numpy", "ml_dtypes", "google.protobuf")
"""What decides about the code apart from nnc."""
_NOT_IN_KEYS: Final = frozenset({"cache", "example_inputs", "num_threads", "target"})
"""
Options without influence on the code, one that is in the key in full, and what only
tuning depends on.
"""


@dataclass(frozen=True)
class FileState:
    """What tells whether a file was changed between two looks."""

    nbytes: int
    changed_ns: int
    inode: int

    @staticmethod
    def of(status: os.stat_result) -> FileState:
        """The state that `os.stat` reports."""
        return FileState(status.st_size, status.st_mtime_ns, status.st_ino)


def key_of(content: str, options: CompileOptions, target: Target) -> str:
    """
    The key of a model with that content hash.

    Raises:
        CacheError: an option has no text that stands for it.
    """
    parts = {
        "compiler": compiler_hash(),
        "content": content,
        "cpu features": other_features(target),
        "options": {
            f.name: _plain(getattr(options, f.name))
            for f in fields(options)
            if f.name not in _NOT_IN_KEYS
        },
        "target": encode(target),
        "tuning": _tuning(options),
    }
    return text_hash(json.dumps(parts, sort_keys=True))


def _tuning(options: CompileOptions) -> object:
    """What decides, apart from the other options, which code tuning finds fastest."""
    if not options.tune:
        return None
    inputs = options.example_inputs
    return {
        "threads": threads_for(options.num_threads),
        "inputs": None if inputs is None else _shapes(inputs),
    }


def _shapes(inputs: object) -> object:
    """The shapes of arrays: their values are no matter."""
    if isinstance(inputs, Mapping):
        pairs = cast("Mapping[object, object]", inputs)
        return {"map": {str(key): _shapes(item) for key, item in pairs.items()}}
    if isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes):
        return [_shapes(item) for item in cast("Sequence[object]", inputs)]
    return list(np.shape(cast(Array, inputs)))


def text_hash(text: str) -> str:
    """The hash of a text."""
    return xxhash.xxh3_128_hexdigest(text.encode())


def _plain(value: object) -> object:
    """An option as something that JSON writes in one way only."""
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, np.ndarray):
        array: Array = np.asarray(cast("object", value))
        return {
            "dtype": array.dtype.str,
            "shape": list(array.shape),
            "bytes": bytes_hash(array.tobytes()),
        }
    if isinstance(value, SupportsIndex):
        return value.__index__()
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value)
        return {"map": {str(key): _plain(item) for key, item in pairs.items()}}
    if isinstance(value, Sequence):
        return [_plain(item) for item in cast("Sequence[object]", value)]
    raise CacheError(f"an option of type {type(value).__name__} has no key")


# ---------------------------------------------------------------- models


def bytes_hash(data: bytes) -> str:
    """The hash of bytes; equal to that of a file that holds them."""
    return xxhash.xxh3_128_hexdigest(data)


def file_hash(path: Path) -> tuple[str, FileState]:
    """
    The hash of a file's bytes, and its state before they were read.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return _descriptor_hash(os.open(path, flags))


def external_hash(folder: Path, locations: Iterable[str]) -> tuple[str, int]:
    """
    The hash of the files beside a model that it names, and when the last was changed.

    The same files are refused as when the model is imported.

    Raises:
        LoadError: one is missing or unsafe.
        OSError: one cannot be read.
    """
    found: list[tuple[str, str]] = []
    changed = 0
    for location in locations:
        descriptor = open_external(external_path(folder, location))
        text, state = _descriptor_hash(descriptor)
        found.append((location, text))
        changed = max(changed, state.changed_ns)
    return text_hash(json.dumps(found)), changed


def _descriptor_hash(descriptor: int) -> tuple[str, FileState]:
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        digest = xxhash.xxh3_128()
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest(), FileState.of(status)


# ---------------------------------------------------------------- the compiler


def compiler_hash() -> str:
    """The hash of nnc's sources and of the versions of what it compiles with."""
    return _compiler_hash()


@cache
def _compiler_hash() -> str:
    return fresh_compiler_hash()


def fresh_compiler_hash() -> str:
    """
    The same, of the sources as they are now.

    A version would not do: whoever works on nnc changes its sources, not its version.
    """
    root = Path(nnc.__file__).parent
    digest = xxhash.xxh3_128()
    for path in sorted(root.rglob("*.py")):
        data = path.read_bytes()
        name = path.relative_to(root).as_posix()
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    versions = {name: _version(name) for name in _PACKAGES}
    versions["llvm"] = llvm_state()
    digest.update(json.dumps(versions).encode())
    return digest.hexdigest()


def _version(package: str) -> str:
    """
    What tells the versions of an installed package apart, without importing it.

    `importlib.metadata` takes 40 ms to import; the folder that it would look for has
    the version in its name. A package in development has none: its files tell.
    """
    top, _, _ = package.partition(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return ""
    if spec is None or not spec.submodule_search_locations:
        return ""
    names = {top, "protobuf"} if top == "google" else {top}
    for location in spec.submodule_search_locations:
        for item in sorted(os.listdir(Path(location).parent)):
            name, _, rest = item.partition("-")
            if name.lower() in names and rest.endswith(".dist-info"):
                return rest
    states = [
        (path.name, FileState.of(path.stat()).changed_ns)
        for location in spec.submodule_search_locations
        for path in sorted(Path(location).rglob("*.py"))
    ]
    return text_hash(json.dumps(states))
