"""The arguments that several subcommands share, and how they become a compilation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nnc.errors import InputError
from nnc.tools.console import pass_progress
from nnc.tools.inputs import parse_shapes

if TYPE_CHECKING:
    from nnc import CompiledModel, ProgramModel

Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="A model file (.onnx), or a compiled model (.nnc).",
        show_default=False,
    ),
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

InputFiles = Annotated[
    list[str],
    typer.Option(
        "--input",
        metavar="NAME=FILE.npy",
        default_factory=list,
        help="An input's array (or all of them in a .npz file); random if missing.",
        show_default=False,
    ),
]

Seed = Annotated[int, typer.Option(help="Seed of the random inputs.")]

Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads of a run.", show_default=False),
]


SAVED = ".nnc"
"""The suffix of compiled models."""


def _loaded(
    model: Path, target: str, input_shapes: list[str], threads: int | None
) -> CompiledModel | ProgramModel:
    """
    A compiled model from its file.

    Raises:
        InputError: an option asks for something else than it was compiled for.
    """
    import nnc

    if target != "native" or input_shapes:
        raise InputError(
            f"{model} is compiled already: --target and --input-shape are for models"
        )
    return nnc.load(model, num_threads=threads)


def compile_with_progress(
    model: Path, target: str, input_shapes: list[str], threads: int | None
) -> CompiledModel | ProgramModel:
    """`nnc.compile` with a bar over its passes; a compiled model is loaded."""
    import nnc

    if model.suffix == SAVED:
        return _loaded(model, target, input_shapes, threads)
    shapes = parse_shapes(input_shapes)
    with pass_progress(f"compiling {model.name} for {target}") as on_pass:
        return nnc.compile(
            model,
            target=target,
            input_shapes=shapes or None,
            num_threads=threads,
            on_pass=on_pass,
        )
