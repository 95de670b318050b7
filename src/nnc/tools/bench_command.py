"""`nnc bench`: a model beside other engines, and what holds it back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nnc.errors import InputError
from nnc.random_inputs import Array
from nnc.tools import arguments, console
from nnc.tools.inputs import arrays_for, parse_shapes, parse_sizes

if TYPE_CHECKING:
    from nnc import CompiledModel, ProgramModel
    from nnc.bench.compare import Comparison, EngineResult, InputInfo


def bench_model(
    model: arguments.Model,
    inputs: arguments.InputFiles,
    dims: arguments.Dims,
    input_shapes: arguments.InputShapes,
    versus: Annotated[
        str,
        typer.Option(
            "--vs",
            metavar="ENGINE,...",
            help="Engines to measure beside nnc: onnxruntime, openvino, torch.",
        ),
    ] = "",
    target: arguments.TargetName = "native",
    threads: Annotated[
        str, typer.Option(metavar="N,...", help="Threads of a run; all if missing.")
    ] = "",
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each engine.")] = 5,
    burst: Annotated[
        float, typer.Option(min=0.01, help="Seconds that a turn takes.")
    ] = 0.3,
    seed: arguments.Seed = 0,
    why: Annotated[
        bool, typer.Option("--why", help="Say what holds the network back.")
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write the figures here.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw them here, as .png, .svg or .pdf (needs matplotlib).",
            show_default=False,
        ),
    ] = None,
    debug: console.Debug = False,
) -> None:
    """Measure a model, also beside other engines."""
    from nnc.bench.compare import Options, compare

    with console.errors_in_one_line(debug):
        peers = [name.strip() for name in versus.split(",") if name.strip()]
        if plot is not None:
            from nnc.bench.plot import check_can_plot

            check_can_plot()
        sizes = parse_sizes(dims)
        comparisons: list[Comparison] = []
        for count in _thread_counts(threads):
            options = Options(
                threads=count,
                target=target,
                input_shapes=parse_shapes(input_shapes) or None,
                rounds=rounds,
                burst_seconds=burst,
            )
            made = compare(
                model,
                lambda specs: _arrays(specs, inputs, sizes, seed),
                peers,
                options,
            )
            show(made)
            comparisons.append(made)
        if json_file is not None:
            records = [made.record() for made in comparisons]
            json_file.write_text(json.dumps(records, indent=2) + "\n")
        if plot is not None:
            from nnc.bench.plot import draw

            draw(comparisons, plot)
        if why:
            count = comparisons[-1].threads
            compiled = arguments.compile_with_progress(
                model, target, input_shapes, count
            )
            arrays = arrays_for(compiled.inputs, inputs, sizes, seed)
            call = comparisons[-1].ours.seconds
            _explain(compiled, arrays, call)


def _thread_counts(text: str) -> list[int]:
    if not text:
        from nnc.options import threads_for

        return [threads_for(None)]
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise InputError(f"--threads {text}: write numbers, as in 1,2")
    return [int(part) for part in parts]


def _arrays(
    specs: Sequence[InputInfo], files: list[str], given: dict[str, int], seed: int
) -> dict[str, Array]:
    """The arrays of a run, for inputs as a worker tells them."""
    from nnc import TensorSpec
    from nnc.runtime.specs import dtype_named

    known = [TensorSpec(s.name, dtype_named(s.dtype), s.shape) for s in specs]
    return arrays_for(known, files, given, seed)


def show(made: Comparison) -> None:
    """Print a comparison as a table."""
    threads = f"{made.threads} thread{'s' if made.threads != 1 else ''}"
    columns = ("median", "best", "ratio", "load", "cold", "memory", "error")
    table = console.table(
        f"{made.model}, {threads}", "engine", *columns, numbers=columns
    )
    for result in made.results:
        console.add_row(table, *_row(result, made))
    out = console.output()
    out.print(table)
    versions = ", ".join(f"{r.engine} {r.version}" for r in made.results if r.version)
    out.print(versions, markup=False)
    for result in made.results:
        if result.failure:
            out.print(f"{result.engine}: {result.failure}", markup=False)
    if made.ratio is not None:
        fastest = min(made.peers, key=lambda r: r.seconds)
        word = "faster" if made.ratio < 1 else "slower"
        factor = max(made.ratio, 1 / made.ratio)
        out.print(f"nnc is {factor:.2f} times {word} than {fastest.engine}")


def _row(result: EngineResult, made: Comparison) -> tuple[str, ...]:
    name = result.engine
    if result.failure:
        return (name, "failed", *[""] * 6)
    ours = made.ours.seconds
    cold = result.cold_seconds
    error = result.deviation
    return (
        name,
        console.in_ms(result.seconds),
        console.in_ms(result.best_seconds),
        f"{ours / result.seconds:.2f}" if ours and result.engine != "nnc" else "",
        f"{result.load_seconds:.2f} s",
        "" if cold is None else f"{cold:.2f} s",
        console.in_bytes(result.peak_bytes),
        "" if error is None else f"{error:.1e}",
    )


def _explain(
    compiled: CompiledModel | ProgramModel, arrays: Mapping[str, Array], call: float
) -> None:
    """Print what costs time."""
    from nnc.bench.why import explain

    values = [arrays[spec.name] for spec in compiled.inputs]
    lines = explain(
        compiled.profile(*values),
        call_seconds=call or None,
        fallbacks=compiled.info.fallbacks,
    )
    out = console.output()
    out.print("\nWhat holds it back", style="bold")
    for line in lines:
        out.print(f"- {line}", markup=False)
