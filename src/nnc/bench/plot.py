"""Bars of a comparison, with matplotlib if it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from nnc.bench.compare import Comparison
from nnc.errors import InputError


def check_can_plot() -> ModuleType:
    """
    matplotlib's pyplot, for files.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        importlib.import_module("matplotlib").use("Agg")
    except ImportError as error:
        raise InputError(
            "matplotlib is not installed (pip install nnc[plot]); --json needs nothing"
        ) from error
    return importlib.import_module("matplotlib.pyplot")


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """
    A bar for each engine and number of threads: medians, with the least times marked.

    Raises:
        InputError: matplotlib is not installed, or cannot write such a file.
    """
    pyplot = check_can_plot()
    rows = [
        (f"{result.engine}, {made.threads}", result)
        for made in comparisons
        for result in made.results
        if result.times
    ]
    figure, axes = pyplot.subplots(figsize=(6, 1 + 0.4 * len(rows)), layout="tight")
    places = range(len(rows))
    axes.barh(places, [r.seconds * 1e3 for _, r in rows], color="tab:blue")
    axes.plot([r.best_seconds * 1e3 for _, r in rows], places, "k|", markersize=12)
    axes.set_yticks(places, [label for label, _ in rows])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds a run: median, and the least")
    axes.set_title(comparisons[0].model)
    try:
        figure.savefig(path)
    except ValueError as error:
        raise InputError(f"--plot {path}: {error}") from error
    finally:
        pyplot.close(figure)
