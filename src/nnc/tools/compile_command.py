"""`nnc compile`: write what the compiler makes of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from nnc.errors import CompileError
from nnc.tools import arguments, console

KINDS: Final = {
    ".mlir": "module text",
    ".ll": "LLVM IR",
    ".s": "assembly",
    ".o": "an object file",
}
"""What is written, by the suffix of the output file."""


def compile_model(
    model: arguments.Model,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The file to write: "
            + ", ".join(f"{suffix} for {kind}" for suffix, kind in KINDS.items())
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
        if output.suffix not in KINDS:
            raise CompileError(
                f"{output}: the suffix says what to write; known are {', '.join(KINDS)}"
            )
        from nnc.api import emit

        shapes = arguments.parse_shapes(input_shapes)
        with console.pass_progress(f"compiling {model.name} for {target}") as on_pass:
            data = emit(
                model,
                output.suffix[1:],
                target=target,
                input_shapes=shapes or None,
                on_pass=on_pass,
            )
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(data)
        size = console.in_bytes(len(data))
        note = f"wrote {KINDS[output.suffix]} to {output}: {size}"
        console.messages().print(note, markup=False)
