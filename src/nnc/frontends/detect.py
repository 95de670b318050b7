"""From a model in any form to the frontend that imports it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nnc.errors import LoadError
from nnc.frontends.loader.files import read_start

if TYPE_CHECKING:
    from onnx import ModelProto
    from xdsl.dialects.builtin import ModuleOp

    from nnc.context import NncContext

# First bytes of files that are models, or hold them, but not ONNX ones.
_OTHER_FORMATS: Final[Mapping[bytes, str]] = {
    b"PK\x03\x04": "a zip archive (PyTorch .pt, Keras .keras): export it to ONNX",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras .h5): export it to ONNX",
    b"\x80\x02": "a pickle (PyTorch): export it to ONNX",
    b"GGUF": "a GGUF file, which holds no network",
    b"\x1f\x8b": "gzip-compressed: unpack it first",
}


def import_model(
    model: str | os.PathLike[str] | bytes | ModelProto,
    *,
    input_shapes: Mapping[str, Sequence[int | str | None]] | None = None,
    input_values: Mapping[str, object] | None = None,
    defer: bool = True,
    ctx: NncContext,
) -> ModuleOp:
    """
    The `nn` module of a model; its weights go to the weight store of `ctx`.

    `model` is the path of an ONNX file, its bytes, or an `onnx.ModelProto`. A given
    proto must not change as long as the module is used: weights are views of it.
    `input_shapes` replaces the shapes of inputs: sizes, names of free sizes, or None.
    `input_values` makes inputs constants. Unless `defer`, nodes that need values of
    inputs are an error instead of a step that is compiled when the model runs.

    Raises:
        LoadError: the file cannot be read, or is no model.
        ModelError: the network is invalid.
        UnsupportedOp: it uses ops that nnc does not have; lists all of them.
        InputValuesNeeded: it can be imported for values of some inputs; names them.
        CompileError: `input_shapes` or `input_values` does not fit the model.
    """
    source: Path | bytes | ModelProto
    if isinstance(model, bytes | bytearray | memoryview):
        source = bytes(model)
        _refuse_other_formats(source[:16], "the model")
    elif isinstance(model, str | os.PathLike):
        source = Path(model)
        _refuse_other_formats(read_start(source, 16), f"'{source}'")
    elif type(model).__module__.partition(".")[0] == "onnx":
        source = model
    else:
        raise LoadError(
            f"an object of type {type(model).__name__} is no model: pass the path of "
            "an ONNX file, its bytes, or an onnx.ModelProto"
        )
    # Frameworks are imported only when there is a model of theirs.
    from nnc.frontends.onnx.importer import import_onnx

    return import_onnx(
        source,
        ctx,
        input_shapes=input_shapes,
        input_values=input_values,
        defer=defer,
    )


def _refuse_other_formats(start: bytes, name: str) -> None:
    if start[4:8] == b"TFL3":
        raise LoadError(f"{name} is a TensorFlow Lite file: export the model to ONNX")
    for magic, advice in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise LoadError(f"{name} is {advice}")
