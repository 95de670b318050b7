"""The walk-throughs of the docs, performed on a copy of the sources and run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"^```python ([^\n]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r'^file=(?P<file>\S+) (?P<where>before|after)="(?P<text>.*)"$')


@dataclass(frozen=True)
class Edit:
    """Text to insert before or after the first occurrence of another text."""

    file: str
    where: str
    anchor: str
    text: str

    def apply(self, root: Path) -> None:
        """Make the edit in a copy of the sources."""
        path = root / self.file
        source = path.read_text(encoding="utf-8")
        position = source.find(self.anchor)
        assert position >= 0, f"{self.file} has no {self.anchor!r}"
        if self.where == "after":
            position += len(self.anchor)
        path.write_text(source[:position] + self.text + source[position:])


def parse(page: Path) -> tuple[list[Edit], list[str]]:
    """The edits and the tests of a page."""
    edits: list[Edit] = []
    tests: list[str] = []
    for header, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if header == "test":
            tests.append(text)
            continue
        match = PLACE.match(header)
        assert match is not None, f"{page.name}: unreadable block header '{header}'"
        anchor = match["text"].replace("\\n", "\n")
        edits.append(Edit(match["file"], match["where"], anchor, text))
    return edits, tests


@pytest.mark.slow
@pytest.mark.parametrize("page", ["add-an-op.md"])
def test_walkthrough_works_as_written(page: str, tmp_path: Path) -> None:
    edits, tests = parse(ROOT / "docs" / page)
    assert edits
    assert tests
    shutil.copytree(
        ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__")
    )
    for edit in edits:
        edit.apply(tmp_path)
    for test in tests:
        result = subprocess.run(
            [sys.executable, "-c", test],
            env={"PYTHONPATH": str(tmp_path / "src"), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stderr
