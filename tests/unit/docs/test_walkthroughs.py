"""The examples of the pages run and do what the pages say."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "run_page", ROOT / "scripts" / "run_page.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


script = load_script()


def is_executable(page: Path) -> bool:
    return any(block.is_edit or block.is_step for block in script.blocks_of(page))


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def save_image_classifier(path: Path) -> None:
    """What the README calls resnet50.onnx: input `data`, output `scores`, but small."""
    generator = np.random.default_rng(0)
    shapes = {"w": (8, 3, 7, 7), "m": (8, 1000), "b": (1000,)}
    weights = [
        numpy_helper.from_array(generator.normal(size=s).astype(np.float32), name)
        for name, s in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["data", "w"], ["c"], strides=[2, 2], pads=[3] * 4),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "m", "b"], ["scores"]),
    ]
    data = helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, 224, 224])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 1000])
    graph = helper.make_graph(nodes, "g", [data], [scores], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", [*filter(is_executable, PAGES)], ids=page_id)
def test_page_works_as_written(page: Path, tmp_path: Path):
    if page.name == "README.md":
        save_image_classifier(tmp_path / "resnet50.onnx")
    edited = script.run_page(page, tmp_path)
    # What a reader writes from the page passes `make lint`.
    for file in sorted({file for file in edited if file.suffix == ".py"}):
        relative = file.relative_to(tmp_path)
        assert complaints(tmp_path, relative) == complaints(ROOT, relative), relative


def complaints(root: Path, file: Path) -> list[str]:
    """The rules of ruff that a file breaks; none for one that is not there."""
    if not (root / file).exists():
        return []
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--config", str(ROOT / "pyproject.toml"), "--no-cache", str(file)]
    checked = subprocess.run(
        [*ruff, "check", "--output-format", "concise", *options],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    formatted = subprocess.run(
        [*ruff, "format", "--check", *options],
        cwd=root,
        capture_output=True,
        check=False,
    )
    rules = re.findall(r"^\S+:\d+:\d+: (\S+)", checked.stdout, re.MULTILINE)
    return [*sorted(rules), *(["format"] if formatted.returncode else [])]


def test_every_python_block_of_the_pages_is_executed():
    passive = [
        f"{page_id(page)}:{block.line}"
        for page in PAGES
        for block in script.blocks_of(page)
        if block.language in {"python", "console"}
        and not (block.is_edit or block.is_step)
    ]
    assert not passive


# ---------------------------------------------------------------- the script itself


def write_page(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python run\nx = 1\n```\n```python run\nassert x == 2\n```\n", "line 5"),
        ("```console\n$ echo one\ntwo\n```\n", "line 2: the page shows another output"),
        ("```console\n$ exit 3\n```\n", "line 2: exit code 3"),
        ("```console fails\n$ echo fine\n```\n", "line 2: exit code 0"),
        ("```sh run\nexit 4  # never\n```\n", "line 2: exit code 4"),
        (
            '```python file=src/nnc/api.py after="no such text"\n```\n',
            "has no 'no such",
        ),
        ("```python file=src/nnc/api.py new\n```\n", "exists already"),
        ("```python file=src/nnc/api.py\n```\n", "unreadable header"),
    ],
    ids=[
        *("python", "output", "exit-code", "success", "sh"),
        *("anchor", "new-file", "header"),
    ],
)
def test_page_that_is_wrong_is_found_out(text: str, message: str, tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(script.PageError, match=message):
        script.run_page(write_page(tmp_path, text), folder)


@pytest.mark.parametrize(
    ("shown", "same"),
    [
        (("time: 12.5 ms", "done"), True),
        (("...", "done"), True),
        (("time: 3 ms", "..."), True),
        (("│ time: 3 ms │", "", "done"), True),
        (("done",), False),
        (("time: 3 s", "done"), False),
    ],
    ids=["numbers", "gap-first", "gap-last", "frames", "line-missing", "unit"],
)
def test_output_is_compared_without_numbers(shown: tuple[str, ...], same: bool):
    assert script.prints("┃ time:   7 ms ┃\n\ndone\n", shown) is same
