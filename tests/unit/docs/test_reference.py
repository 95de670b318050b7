"""docs/reference is what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nnc import registry
from nnc.frontends.onnx.registry import supported_ops

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs" / "reference"
SCRIPT = ROOT / "scripts" / "generate_reference.py"


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_pages_are_up_to_date():
    result = generate("--check")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_check_names_a_changed_and_a_missing_page(tmp_path: Path):
    assert generate("--folder", str(tmp_path)).returncode == 0
    (tmp_path / "passes.md").write_text("# Passes\n", encoding="utf-8")
    (tmp_path / "dialects.md").unlink()
    result = generate("--check", "--folder", str(tmp_path))
    assert result.returncode == 1
    assert "passes.md is out of date" in result.stderr
    assert "dialects.md is out of date" in result.stderr
    assert "supported-ops.md" not in result.stderr


def test_pages_hold_every_op_pass_and_converter():
    dialects, passes, ops = (
        (FOLDER / name).read_text(encoding="utf-8")
        for name in ("dialects.md", "passes.md", "supported-ops.md")
    )
    names = [
        op.name for d in registry.DIALECTS for op in registry.load_dialect(d).operations
    ]
    assert not [name for name in names if f"\n#### `{name}`\n" not in dialects]
    assert not [name for name in registry.PASSES if f"\n## `{name}`\n" not in passes]
    assert not [op for _, op in supported_ops() if f"\n| `{op}` |" not in ops]
