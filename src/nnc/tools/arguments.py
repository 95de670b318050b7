"""The arguments that several subcommands share, and how they become a compilation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nnc.tools.console import pass_progress
from nnc.tools.inputs import parse_shapes

if TYPE_CHECKING:
    from nnc import CompiledModel

Model = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="A model file (.onnx).", show_default=False),
]

TargetName = Annotated[
    str,
    typer.Option(
        "--target",
        help="native, generic, avx2, avx512, neon…, with +feature or -feature.",
    ),
]

InputShapes = Annotated[
    list[str],
    typer.Option(
        "--input-shape",
        metavar="NAME=1,3,H,W",
        default_factory=list,
        help="Fix or name the dims of an input; may be repeated.",
        show_default=False,
    ),
]

Dims = Annotated[
    list[str],
    typer.Option(
        "--dim",
        metavar="NAME=SIZE",
        default_factory=list,
        help="The size of a free dim, where one is needed; may be repeated.",
        show_default=False,
    ),
]

Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads of a run.", show_default=False),
]


def compile_with_progress(
    model: Path, target: str, input_shapes: list[str], threads: int | None
) -> CompiledModel:
    """`nnc.compile` with a bar over its passes."""
    import nnc

    shapes = parse_shapes(input_shapes)
    with pass_progress(f"compiling {model.name} for {target}") as on_pass:
        return nnc.compile(
            model,
            target=target,
            input_shapes=shapes or None,
            num_threads=threads,
            on_pass=on_pass,
        )
