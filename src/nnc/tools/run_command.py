"""`nnc run`: compile a model, run it on files or random inputs, show the outputs."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from nnc.errors import InputError
from nnc.random_inputs import Array
from nnc.runtime.specs import number_kind
from nnc.tools import arguments, console
from nnc.tools.inputs import arrays_for, parse_sizes

if TYPE_CHECKING:
    from nnc import CompiledModel, ProgramModel


def run_model(
    model: arguments.Model,
    inputs: arguments.InputFiles,
    dims: arguments.Dims,
    input_shapes: arguments.InputShapes,
    target: arguments.TargetName = "native",
    seed: arguments.Seed = 0,
    repeat: Annotated[int, typer.Option(min=1, help="Timed runs.")] = 10,
    threads: arguments.Threads = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the outputs, as .npy.",
            show_default=False,
        ),
    ] = None,
    debug: console.Debug = False,
) -> None:
    """Run a model and print a table of its outputs."""
    with console.errors_in_one_line(debug):
        sizes = parse_sizes(dims)
        compiled = arguments.compile_with_progress(model, target, input_shapes, threads)
        arrays = arrays_for(compiled.inputs, inputs, sizes, seed)
        outputs, first, steady = _timed(compiled, arrays, repeat)
        _show(outputs, first, steady)
        if output is not None:
            save(outputs, output)


def _timed(
    compiled: CompiledModel | ProgramModel, arrays: Mapping[str, Array], repeat: int
) -> tuple[dict[str, Array], float, float]:
    """Outputs by name, seconds of the first run, and the median of the later ones."""
    seconds: list[float] = []
    outputs: list[Array] = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        outputs = compiled.run(None, dict(arrays))
        seconds.append(time.perf_counter() - start)
    names = (spec.name for spec in compiled.outputs)
    first, *later = seconds
    return dict(zip(names, outputs, strict=True)), first, statistics.median(later)


def _show(outputs: Mapping[str, Array], first: float, steady: float) -> None:
    table = console.table(
        "Outputs",
        "name",
        "dtype",
        "shape",
        "min",
        "mean",
        "max",
        "not finite",
        numbers=("min", "mean", "max", "not finite"),
    )
    for name, array in outputs.items():
        shape = "×".join(map(str, array.shape)) or "scalar"
        console.add_row(table, name, array.dtype.name, shape, *statistics_of(array))
    console.output().print(table)
    console.output().print(
        f"run: {console.in_ms(steady)} (first {console.in_ms(first)})"
    )


def statistics_of(array: Array) -> tuple[str, str, str, str]:
    """Least, mean and greatest of the finite values, and how many are not finite."""
    values = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    finite = values[np.isfinite(values)]
    odd = values.size - finite.size
    if np.iscomplexobj(finite):
        finite = np.abs(finite)
    if not finite.size:
        return "", "", "", str(odd or "")
    numbers = (finite.min(), finite.mean(), finite.max())
    low, mean, high = (f"{number:.6g}" for number in numbers)
    return low, mean, high, str(odd or "")


def _plain(array: Array) -> Array:
    """The numbers in a dtype that numpy has itself: .npy files can name no other."""
    if array.dtype.isbuiltin != 2:
        return array
    is_integer = number_kind(array.dtype) in "iu"
    return array.astype(np.int8 if is_integer else np.float32)


def save(outputs: Mapping[str, Array], folder: Path) -> None:
    """Write each output to a file named after it."""
    folder.mkdir(parents=True, exist_ok=True)
    used: set[str] = set()
    for name, array in outputs.items():
        stem = re.sub(r"[^\w.-]+", "_", name).strip("._") or "output"
        if stem in used:
            raise InputError(f"two outputs would be written to {stem}.npy")
        used.add(stem)
        np.save(folder / f"{stem}.npy", _plain(array), allow_pickle=False)
    console.messages().print(f"wrote {len(outputs)} files to {folder}", markup=False)
