"""A long run of a fuzzer: counts, and a folder for each kind of finding."""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from forked import Verdict
from mutate import Array

FOLDER = Path(__file__).parents[2] / ".cache" / "fuzz"


@dataclass(frozen=True)
class Case:
    """One model with inputs, and how to judge it."""

    name: str
    model: bytes
    feeds: dict[str, Array]
    judge: Callable[[], Verdict]
    smaller: Callable[[str], bytes] | None = None
    """A smaller model that ends the same way."""


@dataclass
class Report:
    """What the cases so far came to."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    findings: Counter[str] = field(default_factory=Counter[str])

    def __str__(self) -> str:
        counts = ", ".join(f"{self.outcomes[o]} {o}" for o in ("ran", "rejected"))
        kinds = "".join(f"\n{n:6} {k}" for k, n in self.findings.most_common())
        return (
            f"{self.cases} cases: {counts}, {sum(self.findings.values())} found{kinds}"
        )


def run_cases(cases: Iterator[Case], minutes: float, folder: Path) -> Report:
    """Judge cases until the time is over; the first of each kind is written down."""
    report = Report()
    end = time.monotonic() + minutes * 60
    for case in cases:
        verdict = case.judge()
        report.cases += 1
        report.outcomes[verdict.outcome] += 1
        if verdict.outcome == "finding":
            report.findings[verdict.kind] += 1
            if report.findings[verdict.kind] == 1:
                print(f"{case.name}: {verdict.kind}", flush=True)
                write_reproducer(case, verdict, folder)
        if time.monotonic() > end:
            break
    return report


def write_reproducer(case: Case, verdict: Verdict, folder: Path) -> None:
    """A folder with the model, its inputs and what happened."""
    name = re.sub(r"[^\w.-]+", "-", f"{verdict.kind[:80]}-{case.name}")
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "model.onnx").write_bytes(case.model)
    arrays: dict[str, Any] = dict(case.feeds)
    np.savez(place / "feeds.npz", **arrays)
    if case.smaller is not None:
        (place / "smaller.onnx").write_bytes(case.smaller(verdict.kind))
    (place / "verdict.txt").write_text(verdict.text)


def main(description: str, name: str, cases: Callable[[int], Iterator[Case]]) -> None:
    """The command line of a fuzzer; `cases` makes them from a seed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FOLDER / name)
    options = parser.parse_args()
    print(run_cases(cases(options.seed), options.minutes, options.out))
