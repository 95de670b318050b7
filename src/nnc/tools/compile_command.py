"""`nnc compile`: write what the compiler makes of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nnc.errors import CompileError
from nnc.tools import arguments, console

if TYPE_CHECKING:
    from nnc.options import OutputKind

KINDS: Final[Mapping[str, tuple[OutputKind, str]]] = {
    ".mlir": ("mlir", "module text"),
    ".ll": ("ll", "LLVM IR"),
    ".s": ("s", "assembly"),
    ".o": ("o", "an object file"),
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
            + ", ".join(f"{suffix} for {what}" for suffix, (_, what) in KINDS.items())
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

        kind, what = KINDS[output.suffix]
        shapes = arguments.parse_shapes(input_shapes)
        with console.pass_progress(f"compiling {model.name} for {target}") as on_pass:
            data = emit(
                model,
                kind,
                target=target,
                input_shapes=shapes or None,
                on_pass=on_pass,
            )
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(data)
        size = console.in_bytes(len(data))
        note = f"wrote {what} to {output}: {size}"
        console.messages().print(note, markup=False)
