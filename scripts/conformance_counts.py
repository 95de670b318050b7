"""How many of the onnx package's cases for backends pass, by op; from two files."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "conformance"


@dataclass(frozen=True)
class Counts:
    """Numbers of cases whose models hold an op, by (domain, op)."""

    total: Mapping[tuple[str, str], int]
    failing: Mapping[tuple[str, str], int]
    cases: int
    """All cases."""
    failures: int
    """Those of them that do not pass."""

    def text(self, domain: str, op_type: str) -> str:
        """Passing cases of all cases with an op, or nothing if there are none."""
        key = (domain, op_type)
        if not self.total.get(key):
            return ""
        return f"{self.total[key] - self.failing.get(key, 0)} of {self.total[key]}"


def counts(folder: Path = FOLDER) -> Counts:
    """What the lists of cases and of expected failures say."""
    groups = tomllib.loads((folder / "expected_failures.toml").read_text())["failure"]
    failing = {name for group in groups for name in group["cases"]}
    in_total: Counter[tuple[str, str]] = Counter()
    in_failing: Counter[tuple[str, str]] = Counter()
    lines = (folder / "ops_of_cases.txt").read_text().splitlines()
    for line in lines:
        name, *ops = line.split()
        for op in ops:
            domain, _, op_type = op.rpartition(".")
            in_total[domain, op_type] += 1
            in_failing[domain, op_type] += name in failing
    return Counts(in_total, in_failing, len(lines), len(failing))
