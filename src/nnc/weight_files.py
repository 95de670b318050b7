"""
Weights in files: `.npz`, and `.safetensors` for every element type.

A safetensors file is a little-endian header length, a JSON header that maps names to
dtype, shape and byte range, and the bytes. They are mapped, not read.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nnc.errors import LoadError

Array: TypeAlias = NDArray[Any]

_MAX_HEADER: Final = 100 << 20
_ALIGNMENT: Final = 64
_DTYPES: Final = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "BF16": "bfloat16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "C64": "complex64",
}
_DTYPE_KEY: Final = "dtype of "
"""In the metadata of .safetensors files: the dtype of a tensor whose bytes are there,
since the format has no name for it. Its last axis, if there are more, is of bytes."""
_CODES: Final = {name: code for code, name in _DTYPES.items()}


def load_weights(path: Path) -> dict[str, Array]:
    """The arrays of a weight file, by name."""
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (ValueError, EOFError) as error:
            raise LoadError(f"{path} is not a .npz file: {error}") from error
    raise LoadError(f"{path}: weights are read from .npz and .safetensors files")


def save_weights(path: Path, weights: Mapping[str, Array]) -> None:
    """Write arrays to a file of the kind that its suffix names."""
    if path.suffix == ".safetensors":
        _save_safetensors(path, weights)
    elif path.suffix == ".npz":
        odd = [name for name, a in weights.items() if a.dtype.isbuiltin == 2]
        if odd:
            raise LoadError(
                f"{path}: .npz cannot hold the dtype of {', '.join(odd)}; "
                "write a .safetensors file"
            )
        # A keyword may not be named like a parameter of savez: pass them by position.
        with path.open("wb") as file:
            _save_npz(file, weights)
    else:
        raise LoadError(f"{path}: weights are written as .npz or .safetensors")


def _save_npz(file: Any, weights: Mapping[str, Array]) -> None:
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:
        for name, array in weights.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))


def _load_safetensors(path: Path) -> dict[str, Array]:
    data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, "u1")
    try:
        (length,) = struct.unpack("<Q", data[:8].tobytes())
        if length > min(_MAX_HEADER, data.size - 8):
            raise ValueError(f"header of {length} bytes")
        header = json.loads(data[8 : 8 + length].tobytes())
        metadata = header.pop("__metadata__", {})
        body = data[8 + length :]
        return {
            name: _typed(_view(body, entry), metadata.get(_DTYPE_KEY + name))
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise LoadError(f"{path} is not a .safetensors file: {error}") from error


def _view(body: Array, entry: Mapping[str, Any]) -> Array:
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= body.size:
        raise ValueError(f"bytes {begin} to {end} lie outside the file")
    flat = body[begin:end].view(_dtype(_DTYPES[entry["dtype"]]))
    # The format promises no alignment, native code needs it.
    return np.require(flat, requirements="A").reshape(entry["shape"])


def _typed(array: Array, name: str | None) -> Array:
    """Bytes as what the metadata say that they are."""
    if name is None:
        return array
    dtype = _dtype(name)
    if array.dtype != np.uint8:
        raise ValueError(f"{array.dtype} for the bytes of {name}")
    viewed = array.view(dtype) if dtype.itemsize == 1 else array.view(dtype)[..., 0]
    return np.require(viewed, requirements="A")


def _save_safetensors(path: Path, weights: Mapping[str, Array]) -> None:
    header: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    offset = 0
    for name, array in weights.items():
        code, shape = _CODES.get(array.dtype.name), list(array.shape)
        if code is None:
            metadata[_DTYPE_KEY + name] = array.dtype.name
            code = "U8"
            if array.dtype.itemsize > 1:
                shape.append(array.dtype.itemsize)
        header[name] = {
            "dtype": code,
            "shape": shape,
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    if metadata:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(_bytes(weights.values()))


def _bytes(arrays: Iterable[Array]) -> Iterable[memoryview]:
    for array in arrays:
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        yield flat.data
