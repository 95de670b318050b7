"""`nnc cache`: what is in the cache of compiled models, and how to empty it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import typer

from nnc.tools import console

if TYPE_CHECKING:
    from nnc.cache.folder import CacheFolder, Entry

cache_app = typer.Typer(
    help="Look at the cache of compiled models, or empty it.", no_args_is_help=True
)


@cache_app.command("show")
def show(debug: console.Debug = False) -> None:
    """Print the folder and its entries, the one used last first."""
    with console.errors_in_one_line(debug):
        folder = _folder()
        entries = folder.entries()
        out = console.output()
        table = console.table(
            "Entries", "model", "target", "size", "used", numbers=("size", "used")
        )
        for entry in reversed(entries):
            model, target = _described(entry)
            size = console.in_bytes(entry.nbytes)
            console.add_row(table, model, target, size, _age(time.time() - entry.used))
        if entries:
            out.print(table)
        total = console.in_bytes(sum(entry.nbytes for entry in entries))
        limit = console.in_bytes(folder.max_bytes)
        # Not wrapped: paths are for copying.
        out.print(f"folder: {folder.path}", markup=False, soft_wrap=True)
        out.print(f"in use: {total} of {limit}", markup=False)


@cache_app.command("clear")
def clear(debug: console.Debug = False) -> None:
    """Delete all entries."""
    with console.errors_in_one_line(debug):
        folder = _folder()
        gone = folder.clear()
        count = f"{len(gone)} {'entry' if len(gone) == 1 else 'entries'}"
        freed = console.in_bytes(sum(entry.nbytes for entry in gone))
        console.output().print(f"deleted {count}: {freed}", markup=False)


def _folder() -> CacheFolder:
    """
    The folder of the cache.

    Raises:
        CacheError: there is none.
    """
    from nnc.cache.folder import SWITCH, folder_of
    from nnc.errors import CacheError

    folder = folder_of(os.environ)
    if folder is None:
        raise CacheError(f"the cache is switched off by {SWITCH}={os.environ[SWITCH]}")
    return folder


def _described(entry: Entry) -> tuple[str, str]:
    """The model and the target of an entry, as far as they can be read."""
    from nnc.cache.request import MODEL, TARGET
    from nnc.errors import LoadError
    from nnc.runtime.container import Container

    try:
        with Container(entry.path) as file:
            facts = file.facts
    except (LoadError, OSError):
        return "(damaged)", ""
    return facts.get(MODEL, ""), facts.get(TARGET, "")


def _age(seconds: float) -> str:
    """How long ago, roughly."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"
