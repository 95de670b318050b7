"""What the commands share: consoles, errors in one line, progress, number formats."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from nnc.errors import NncError

OnPass: TypeAlias = Callable[[str, int, int], None]
"""Called before each pass with its name, its number from 0, and how many there are."""

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def output() -> Console:
    """Where results go."""
    return Console(highlight=False)


def messages() -> Console:
    """Where progress, notes and errors go: standard error."""
    return Console(stderr=True, highlight=False)


@contextmanager
def errors_in_one_line(debug: bool) -> Generator[None]:
    """
    Turn errors that the user can act on into a message and exit code 1.

    A bug of nnc keeps its traceback.
    """
    try:
        yield
    except (NncError, OSError) as error:
        if debug:
            raise
        # Text, not markup: a message may quote brackets of a model's names.
        messages().print(Text.assemble(("error: ", "bold red"), str(error)))
        raise typer.Exit(1) from error


@contextmanager
def pass_progress(title: str) -> Generator[OnPass]:
    """A bar over the passes of a compilation; silent where nobody watches."""
    console = messages()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} {task.fields[current]}"),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(title, total=None, current="reading the model")

        def on_pass(name: str, index: int, total: int) -> None:
            progress.update(task, completed=index, total=total, current=name)

        yield on_pass


def table(title: str, *columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """An empty table; the columns named in `numbers` align right."""
    result = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        right = column in numbers
        result.add_column(
            column,
            justify="right" if right else "left",
            no_wrap=right,
            # Long names of nodes go on in the next line: none is cut.
            overflow="fold",
        )
    return result


def add_row(table: Table, *cells: object) -> None:
    """Append a row; the cells are plain text, so that brackets in names survive."""
    table.add_row(*(Text(str(cell)) for cell in cells))


def in_bytes(count: int) -> str:
    """A size in the unit that reads best."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"


def in_ms(seconds: float) -> str:
    """A time in milliseconds, with three figures or so."""
    ms = seconds * 1e3
    digits = 0 if ms >= 100 else 1 if ms >= 10 else 3
    return f"{ms:.{digits}f} ms"
