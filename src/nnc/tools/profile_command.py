"""`nnc profile`: where the time of a run goes, kernel by kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from nnc.runtime.profile_files import check_suffix
from nnc.tools import arguments, console
from nnc.tools.inputs import arrays_for, parse_sizes


def profile_model(
    model: arguments.Model,
    inputs: arguments.InputFiles,
    dims: arguments.Dims,
    input_shapes: arguments.InputShapes,
    output: Annotated[
        list[Path],
        typer.Option(
            "--output",
            "-o",
            default_factory=list,
            help="A file to write: .json for a Chrome trace, .svg for a flame graph, "
            ".txt for the whole table, .folded for stacks; may be repeated.",
            show_default=False,
        ),
    ],
    target: arguments.TargetName = "native",
    threads: arguments.Threads = None,
    seed: arguments.Seed = 0,
    by: Annotated[
        Literal["launch", "kernel"], typer.Option(help="What a row stands for.")
    ] = "launch",
    rows: Annotated[int, typer.Option(min=1, help="Rows of the table.")] = 25,
    debug: console.Debug = False,
) -> None:
    """Profile a model and print a table of its slowest launches."""
    with console.errors_in_one_line(debug):
        for path in output:
            check_suffix(path)
        sizes = parse_sizes(dims)
        compiled = arguments.compile_with_progress(model, target, input_shapes, threads)
        arrays = arrays_for(compiled.inputs, inputs, sizes, seed)
        profile = compiled.profile(*(arrays[s.name] for s in compiled.inputs))
        print(profile.text(rows, by=by))
        for path in output:
            profile.save(path)
            console.messages().print(f"wrote {path}", markup=False)
