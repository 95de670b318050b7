"""`nnc compile`: write what the compiler makes of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nnc.errors import CompileError
from nnc.tools import arguments, console

if TYPE_CHECKING:
    from nnc.options import InputShapes, OutputKind

KINDS: Final[Mapping[str, tuple[OutputKind, str]]] = {
    ".mlir": ("mlir", "module text"),
    ".ll": ("ll", "LLVM IR"),
    ".s": ("s", "assembly"),
    ".o": ("o", "an object file"),
}
"""What is written, by the suffix of the output file."""


SUFFIXES: Final[Mapping[str, str]] = {
    **{suffix: what for suffix, (_, what) in KINDS.items()},
    arguments.SAVED: "a compiled model",
}


def compile_model(
    model: arguments.Model,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The file to write: "
            + ", ".join(f"{suffix} for {what}" for suffix, what in SUFFIXES.items())
            + ".",
            show_default=False,
        ),
    ],
    input_shapes: arguments.InputShapes,
    target: arguments.TargetName = "native",
    debug: console.Debug = False,
) -> None:
    """Compile a model, for this machine or another one, and write the result."""
    with console.errors_in_one_line(debug):
        if output.suffix not in SUFFIXES:
            raise CompileError(
                f"{output}: the suffix says what to write; known are "
                f"{', '.join(SUFFIXES)}"
            )
        shapes = arguments.parse_shapes(input_shapes) or None
        with console.pass_progress(f"compiling {model.name} for {target}") as on_pass:
            _write(model, output, target, shapes, on_pass)
        size = console.in_bytes(output.stat().st_size)
        note = f"wrote {SUFFIXES[output.suffix]} to {output}: {size}"
        console.messages().print(note, markup=False)


def _write(
    model: Path,
    output: Path,
    target: str,
    shapes: InputShapes | None,
    on_pass: console.OnPass,
) -> None:
    from nnc.api import compile_to_file, emit

    output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix == arguments.SAVED:
        compile_to_file(
            model, output, target=target, input_shapes=shapes, on_pass=on_pass
        )
        return
    kind, _ = KINDS[output.suffix]
    output.write_bytes(
        emit(model, kind, target=target, input_shapes=shapes, on_pass=on_pass)
    )
