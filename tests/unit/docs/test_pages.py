"""What the pages say about the tree and the tools is true."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nnc.pipelines import PIPELINES, Stage
from nnc.tools.cli import app

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]
INDEX = ROOT / "docs" / "index.md"
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"^```(?:sh|bash)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> list[str]:
    """The lines of a page's shell examples, without their comments."""
    blocks = CODE.findall(page.read_text(encoding="utf-8"))
    lines = (line.partition(" #")[0].strip() for b in blocks for line in b.splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_resolve(page: Path):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    broken = [
        link
        for link in links
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert not broken


def test_index_links_every_page():
    linked = {
        (INDEX.parent / link).resolve() for link in LINK.findall(INDEX.read_text())
    }
    pages = {page for page in PAGES if page.is_relative_to(INDEX.parent)} - {INDEX}
    assert not [page_id(page) for page in pages - linked]


def test_index_names_every_folder_and_stage():
    text = INDEX.read_text(encoding="utf-8")
    folders = [p.name for p in (ROOT / "src" / "nnc").iterdir() if p.is_dir()]
    missing = [f for f in folders if f != "__pycache__" and f"`{f}/`" not in text]
    assert not missing
    assert not [stage for stage in Stage if f"`{stage}`" not in text]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_use_goals_and_options_that_exist(page: Path):
    goals = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    help_text = (ROOT / "src/nnc/tools/nnc_opt.py").read_text() + " -p "
    runner = CliRunner()
    wrong: list[str] = []
    for line in commands(page):
        program, *words = line.split()
        options = {w.partition("=")[0] for w in words if re.match(r"--?[a-z]", w)}
        if program == "make" and words[0] not in goals:
            wrong.append(line)
        elif program == "nnc-opt":
            wrong += [line for option in options if option not in help_text]
        elif program == "nnc":
            shown = runner.invoke(app, [words[0], "--help"], env={"COLUMNS": "200"})
            wrong += [line for option in options if option not in shown.stdout]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_pipelines_that_pages_name_exist(page: Path):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"--pipeline='?([a-z-]+)", text))
    assert named <= set(PIPELINES)
