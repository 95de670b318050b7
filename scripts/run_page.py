"""
Run the examples of a Markdown page, and say where the page is wrong.

    python scripts/run_page.py docs/user-guide.md [--folder FOLDER]

The fenced blocks that are used, in the order of the page:

- `python file=F after="text"`, or `before=`: an edit of a copy of the sources;
- any language with `file=F new`: a new file in that copy;
- `python run`: code; the blocks of a page share their names;
- `sh run`: a command a line;
- `console`: commands after `$`, and what they print. A line `...` stands for any
  lines. Numbers and the lines of tables are not compared;
- `console fails`: the same, and the exit code is not zero.

Commands and code run in FOLDER, a new one without the option, on the edited copy if
there are edits.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]

_BLOCK: Final = re.compile(
    r"^```(?P<language>\w+)(?: (?P<info>[^\n]+))?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_PLACE: Final = re.compile(
    r'^file=(?P<file>\S+) (?:(?P<where>before|after)="(?P<anchor>.*)"|new)$'
)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_FRAME: Final = re.compile(r"[\s\u2500-\u257f]+")


class PageError(Exception):
    """A page does not do what it says."""


@dataclass(frozen=True)
class Block:
    """A fenced block, and the line of its first line of text."""

    line: int
    language: str
    info: str
    text: str

    @property
    def is_edit(self) -> bool:
        """Whether it changes or adds a file."""
        return self.info.startswith("file=")

    @property
    def is_step(self) -> bool:
        """Whether it is executed."""
        return self.language == "console" or self.info == "run"


@dataclass(frozen=True)
class Command:
    """A command, and the lines that it shall print; None for no claim."""

    text: str
    output: tuple[str, ...] | None = None
    fails: bool = False


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page that have a language."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            text.count("\n", 0, match.start("text")) + 1,
            match["language"],
            match["info"] or "",
            match["text"],
        )
        for match in _BLOCK.finditer(text)
    ]


# ---------------------------------------------------------------- edits


def apply_edit(block: Block, root: Path) -> Path:
    """Make the edit of a block below `root`; the file."""
    match = _PLACE.match(block.info)
    if match is None:
        raise PageError(f"line {block.line}: unreadable header '{block.info}'")
    path = root / match["file"]
    if match["where"] is None:
        if path.exists():
            raise PageError(f"line {block.line}: {match['file']} exists already")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return path
    anchor = match["anchor"].replace("\\n", "\n").replace('\\"', '"')
    source = path.read_text(encoding="utf-8")
    position = source.find(anchor)
    if position < 0:
        raise PageError(f"line {block.line}: {match['file']} has no {anchor!r}")
    if match["where"] == "after":
        position += len(anchor)
    changed = source[:position] + block.text + source[position:]
    path.write_text(changed, encoding="utf-8")
    return path


# ---------------------------------------------------------------- steps


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a `sh` or `console` block."""
    if block.language == "sh":
        for line in block.text.splitlines():
            if command := line.partition(" #")[0].strip():
                yield Command(command)
        return
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.replace("\\\n", "").partition("\n")
        lines = tuple(output.splitlines())
        yield Command(command, lines or None, fails=block.info == "fails")


def _plain(line: str) -> str:
    """A line of output without what differs from run to run."""
    return _FRAME.sub(" ", _NUMBER.sub("#", line)).strip()


def prints(actual: str, expected: Sequence[str]) -> bool:
    """Whether a command's output is the lines that a page shows."""
    lines = [plain for line in actual.splitlines() if (plain := _plain(line))]
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(_plain(line)) + "\n"
        for line in expected
        if _plain(line)
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


def run_command(command: Command, line: int) -> None:
    """Run a command as the page shows it."""
    done = subprocess.run(
        command.text,
        shell=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    printed = f"`{command.text}` printed:\n{done.stdout}"
    if (done.returncode != 0) != command.fails:
        raise PageError(f"line {line}: exit code {done.returncode}; {printed}")
    if command.output is not None and not prints(done.stdout, command.output):
        raise PageError(f"line {line}: the page shows another output; {printed}")


def run_steps(page: Path) -> None:
    """Execute the steps of a page in this process and the current folder."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in filter(lambda b: b.is_step, blocks_of(page)):
        if block.language == "python":
            # Tracebacks show the lines of the page.
            padded = "\n" * (block.line - 1) + block.text
            exec(compile(padded, str(page), "exec"), names)
            continue
        for command in commands_of(block):
            run_command(command, block.line)


# ---------------------------------------------------------------- pages


def run_page(page: Path, folder: Path) -> list[Path]:
    """Make the edits of a page below `folder` and run its steps; the edited files."""
    edits = [block for block in blocks_of(page) if block.is_edit]
    search_path: list[str] = []
    if edits:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "src", folder / "src", ignore=ignored)
        search_path = [str(folder / "src")]
    edited = [apply_edit(block, folder) for block in edits]
    # What this checkout was put on the path by stays behind the edited copy.
    search_path += filter(None, [os.environ.get("PYTHONPATH")])
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": os.pathsep.join(search_path),
        # A page sees the cache as a reader does for the first time.
        "NNC_CACHE": "1",
        "NNC_CACHE_DIR": str(folder / ".nnc-cache"),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    done = subprocess.run(
        [sys.executable, __file__, str(page.resolve()), "--steps"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PageError(f"{page.name}: {done.stderr}")
    return edited


def main() -> int:
    """Run a page; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument(
        "--folder", type=Path, help="where to run; a new one if left out"
    )
    parser.add_argument("--steps", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    page: Path = options.page
    try:
        if options.steps:
            run_steps(page)
        elif options.folder is not None:
            run_page(page, options.folder)
        else:
            with tempfile.TemporaryDirectory() as folder:
                run_page(page, Path(folder))
    except PageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
