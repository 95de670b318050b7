"""`nnc inspect`: compile a model and show what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nnc.errors import InputError
from nnc.tools import arguments, console
from nnc.tools.inputs import parse_sizes, shape_of, sizes_of

if TYPE_CHECKING:
    from nnc import CompiledModel, HostSpec, ProgramModel, TensorSpec
    from nnc.runtime.info import Info


def inspect_model(
    model: arguments.Model,
    input_shapes: arguments.InputShapes,
    dims: arguments.Dims,
    target: arguments.TargetName = "native",
    all_rows: Annotated[
        bool, typer.Option("--all", help="Show every kernel, pass and source node.")
    ] = False,
    debug: console.Debug = False,
) -> None:
    """Compile a model and print tables of what was made."""
    with console.errors_in_one_line(debug):
        given = parse_sizes(dims)
        compiled = arguments.compile_with_progress(model, target, input_shapes, None)
        show(compiled, console.output(), given, all_rows=all_rows)


def show(
    compiled: CompiledModel | ProgramModel,
    out: Console,
    given: Mapping[str, int],
    *,
    all_rows: bool = False,
) -> None:
    """Print everything about a compiled model; `given` are sizes of free dims."""
    arena = describe_arena(compiled, given)
    info = compiled.info
    _show_tensors("Inputs", compiled.inputs, out)
    _show_tensors("Outputs", compiled.outputs, out)
    symbols = symbols_of(compiled.inputs)
    if symbols:
        out.print(f"free dims: {', '.join(symbols)}\n", markup=False)
    _show_steps(info, out)
    _show_kernels(info, out, None if all_rows else 25)
    _show_phases(info, out, None if all_rows else 8)
    if info.fallbacks:
        table = console.table("Fallbacks", "source node", "reason")
        for fallback in info.fallbacks:
            console.add_row(table, fallback.source, fallback.reason)
        out.print(table)
    _show_totals(info, arena, out)


def describe_arena(
    compiled: CompiledModel | ProgramModel, given: Mapping[str, int]
) -> str:
    """
    The size of the arena for some sizes of the free dims.

    Raises:
        InputError: the model cannot have the sizes that were given.
    """
    sizes = sizes_of(compiled.inputs, given, {})
    shapes = {
        spec.name: [dim.evaluate(sizes) for dim in shape_of(spec)]
        for spec in compiled.inputs
    }
    try:
        compiled.prepare(shapes)
    except InputError:
        if given:
            raise
        return "depends on the free dims: give their sizes with --dim"
    info = compiled.info
    text = console.in_bytes(info.arena_bytes)
    if info.arena_bound_bytes < info.arena_bytes:
        text += f" ({console.in_bytes(info.arena_bound_bytes)} live at most)"
    if sizes:
        text += " at " + ", ".join(f"{name}={size}" for name, size in sizes.items())
    return text


def symbols_of(specs: Sequence[TensorSpec | HostSpec]) -> list[str]:
    """The free dims of these tensors, in order of appearance."""
    found: dict[str, None] = {}
    for spec in specs:
        for dim in shape_of(spec):
            found.update(dict.fromkeys(sorted(dim.symbols)))
    return list(found)


def _show_tensors(
    title: str, specs: Sequence[TensorSpec | HostSpec], out: Console
) -> None:
    table = console.table(title, "name", "dtype", "shape")
    for spec in specs:
        shape = " × ".join(map(str, spec.shape)) or "scalar"
        console.add_row(table, spec.name, str(spec.dtype), shape)
    out.print(table)


def _show_steps(info: Info, out: Console) -> None:
    """The steps of a program, those of Python code among them."""
    if not info.steps:
        return
    table = console.table("Steps", "", "step", "what", "source node")
    for number, step in enumerate(info.steps):
        console.add_row(table, number, step.kind, step.what, step.source)
    out.print(table)


def _show_kernels(info: Info, out: Console, limit: int | None) -> None:
    columns = ["kernel", "schedule", "launches", "ops", "source nodes"]
    shown = sorted(info.kernels, key=lambda kernel: -kernel.launches)[:limit]
    with_ops = any(kernel.ops for kernel in shown)
    if not with_ops:
        columns.remove("ops")
    table = console.table("Kernels", *columns, numbers=("launches",))
    for kernel in shown:
        sources = shortened(kernel.sources, None if limit is None else 2)
        ops = [" ".join(kernel.ops)] if with_ops else []
        cells = (kernel.name, kernel.schedule, kernel.launches, *ops, sources)
        console.add_row(table, *cells)
    out.print(table)
    _mention_rest(len(info.kernels) - len(shown), "kernels", out)


def shortened(names: Sequence[str], limit: int | None) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:limit])
    rest = 0 if limit is None else len(names) - limit
    return f"{shown}, and {rest} more" if rest > 0 else shown


def _show_phases(info: Info, out: Console, limit: int | None) -> None:
    table = console.table("Compilation", "stage", "phase", "time", numbers=("time",))
    kept = {
        id(phase)
        for phase in sorted(info.phases, key=lambda phase: -phase.seconds)[:limit]
    }
    for phase in info.phases:
        if id(phase) in kept:
            time = console.in_ms(phase.seconds)
            console.add_row(table, phase.stage, phase.name, time)
    console.add_row(table, "", "all", console.in_ms(info.compile_seconds))
    out.print(table)
    _mention_rest(len(info.phases) - len(kept), "shorter phases", out)


def _mention_rest(count: int, what: str, out: Console) -> None:
    if count > 0:
        out.print(f"… and {count} {what} (--all shows them)\n", style="dim")


def _show_totals(info: Info, arena: str, out: Console) -> None:
    table = console.table("Totals", "", "")
    for name, value in (
        ("target", info.target),
        ("kernels", len(info.kernels)),
        ("launches a run", info.launches),
        ("weights", console.in_bytes(info.weight_bytes)),
        ("arena", arena),
        ("machine code", console.in_bytes(info.code_bytes)),
        ("compile time", console.in_ms(info.compile_seconds)),
        *([("tuned tiles", " ".join(info.tiles))] if info.tiles else []),
        ("cache", info.cache),
    ):
        console.add_row(table, name, value)
    table.show_header = False
    out.print(table)
