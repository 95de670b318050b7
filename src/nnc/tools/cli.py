"""The command `nnc`. Each subcommand has a module; this one only assembles them."""

from __future__ import annotations

from typing import Annotated

import typer

from nnc.tools.bench_command import bench_model
from nnc.tools.cache_command import cache_app
from nnc.tools.compile_command import compile_model
from nnc.tools.inspect_command import inspect_model
from nnc.tools.profile_command import profile_model
from nnc.tools.run_command import run_model

app = typer.Typer(
    name="nnc",
    help="Compile neural networks to machine code, run them, and look inside.",
    no_args_is_help=True,
    add_completion=False,
    # A bug shows Python's own traceback; errors of the user are one line.
    pretty_exceptions_enable=False,
)
app.command("compile")(compile_model)
app.command("run")(run_model)
app.command("inspect")(inspect_model)
app.command("bench")(bench_model)
app.command("profile")(profile_model)
app.add_typer(cache_app, name="cache")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nnc {version('nnc')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Options before the subcommand."""


def main() -> None:
    """The entry point of the command `nnc`."""
    app()


if __name__ == "__main__":
    main()
