"""Inputs from the command line: shapes, files, and random arrays that fit a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nnc.errors import InputError
from nnc.random_inputs import Array, choose_sizes, random_array
from nnc.runtime.specs import HostSpec, number_kind
from nnc.symbolic import Dim
from nnc.tools import console

if TYPE_CHECKING:
    from nnc import TensorSpec


_SYMBOL: Final = re.compile(r"[A-Za-z_][\w.]*")


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int | str, ...]]:
    """The shapes of `--input-shape x=1,3,H,W`, by input name."""
    shapes: dict[str, tuple[int | str, ...]] = {}
    for text in texts:
        name, equals, dims = text.rpartition("=")
        if not equals or not name:
            raise InputError(f"--input-shape {text}: write NAME=1,3,224,224")
        shapes[name] = tuple(_parse_dim(text, d.strip()) for d in dims.split(",") if d)
    return shapes


def _parse_dim(text: str, dim: str) -> int | str:
    if _SYMBOL.fullmatch(dim):
        return dim
    if dim.isdecimal():
        return int(dim)
    raise InputError(f"--input-shape {text}: '{dim}' is neither a size nor a name")


def parse_sizes(texts: Sequence[str]) -> dict[str, int]:
    """The sizes of `--dim N=4`, by symbol."""
    sizes: dict[str, int] = {}
    for text in texts:
        name, _, size = text.partition("=")
        if not name or not size.isdecimal():
            raise InputError(f"--dim {text}: write NAME=SIZE, as in N=4")
        sizes[name] = int(size)
    return sizes


def load_inputs(
    texts: Sequence[str], specs: Sequence[TensorSpec | HostSpec]
) -> dict[str, Array]:
    """The arrays of `--input x=x.npy` and `--input all.npz`, by input name."""
    arrays: dict[str, Array] = {}
    for text in texts:
        name, equals, file = text.rpartition("=")
        path = Path(file)
        if path.suffix == ".npz" and not equals:
            with _read(path) as archive:
                arrays.update({key: archive[key] for key in archive.files})
        elif equals:
            arrays[name] = _read(path)
        elif len(specs) == 1:
            arrays[specs[0].name] = _read(path)
        else:
            names = ", ".join(s.name for s in specs)
            raise InputError(
                f"--input {text}: say which input it is, as in NAME={text}; "
                f"the model's inputs are {names}"
            )
    return {name: _typed(array, name, specs) for name, array in arrays.items()}


def _typed(array: Array, name: str, specs: Sequence[TensorSpec | HostSpec]) -> Array:
    """The numbers of a file as the input's dtype, if .npy files cannot name that."""
    for spec in specs:
        if isinstance(spec, HostSpec) or spec.name != name:
            continue
        if spec.dtype.isbuiltin == 2:
            plain = np.int8 if number_kind(spec.dtype) in "iu" else np.float32
            return array.astype(spec.dtype) if array.dtype == plain else array
    return array


def _read(path: Path) -> Any:  # an array of a .npy file, an archive of a .npz file
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is not a .npy or .npz file: {error}") from error


def sizes_of(
    specs: Sequence[TensorSpec | HostSpec],
    given: Mapping[str, int],
    arrays: Mapping[str, Array],
) -> dict[str, int]:
    """A size for each symbol: as given, as a loaded array has it, or a default."""
    sizes = dict(given)
    for spec in specs:
        if (array := arrays.get(spec.name)) is not None:
            for dim, size in zip(shape_of(spec), array.shape, strict=False):
                if dim.symbols == frozenset({str(dim)}):
                    sizes.setdefault(str(dim), size)
    return choose_sizes(map(shape_of, specs), sizes)


def shape_of(spec: TensorSpec | HostSpec) -> tuple[Dim, ...]:
    """The dims of a spec as expressions."""
    return tuple(Dim.parse(str(dim)) for dim in spec.shape)


def random_input(
    spec: TensorSpec | HostSpec,
    sizes: Mapping[str, int],
    generator: np.random.Generator,
) -> Array:
    """
    A random array that fits the spec.

    Raises:
        InputError: it is no tensor.
    """
    if spec.dtype == np.object_:
        raise InputError(
            f"input {spec} is no tensor of numbers: call the model from Python"
        )
    shape = [dim.evaluate(sizes) for dim in shape_of(spec)]
    return random_array(np.dtype(spec.dtype), shape, generator)


def arrays_for(
    specs: Sequence[TensorSpec | HostSpec],
    files: list[str],
    given: dict[str, int],
    seed: int,
) -> dict[str, Array]:
    """The arrays of a run: those of files, and random ones for the rest."""
    arrays = load_inputs(files, specs)
    sizes = sizes_of(specs, given, arrays)
    generator = np.random.default_rng(seed)
    note = console.messages()
    chosen = {name: size for name, size in sizes.items() if name not in given}
    missing = [spec for spec in specs if spec.name not in arrays]
    if missing and chosen:
        text = ", ".join(f"{name}={size}" for name, size in chosen.items())
        note.print(f"free dims: {text} (set with --dim)", markup=False)
    for spec in missing:
        arrays[spec.name] = random_input(spec, sizes, generator)
        shape = "×".join(map(str, arrays[spec.name].shape)) or "scalar"
        note.print(
            f"input {spec.name}: random {spec.dtype} {shape}, seed {seed}", markup=False
        )
    return arrays
