"""
The real networks that the tests in this folder run, and the inputs they get.

Files come from three places: Python packages that carry trained models (fetched and
checked by `scripts/fetch_models.py`), the `onnx` package's own test data, and torch
architectures with random weights exported by `export.py` beside this file.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Feeds = dict[str, Array]

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "models"


@dataclass(frozen=True)
class Network:
    """One network: where its file is, and how to make inputs of given sizes."""

    name: str
    source: str
    file: str
    feeds: Callable[..., Feeds]
    sizes: tuple[Mapping[str, int], ...] = field(default=({},))
    """The sizes to test; the first one is the main one."""

    @property
    def path(self) -> Path:
        """The model file; made or fetched if it is not there yet."""
        return _LOCATORS[self.source](self.file)

    def inputs(self, **sizes: int) -> Feeds:
        """Reproducible inputs; sizes default to the main ones."""
        return self.feeds(np.random.default_rng(0), **{**self.sizes[0], **sizes})


def _sibling(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"nnc_models_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def _fetched(file: str) -> Path:
    scripts = _sibling(ROOT / "scripts" / "fetch_models.py")
    wanted = [m for m in scripts.read_manifest(scripts.MANIFEST) if m.path == file]
    scripts.fetch(wanted, CACHE)
    return CACHE / file


@cache
def _light(file: str) -> Path:
    import onnx

    return Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / file


@cache
def _exported(file: str) -> Path:
    return _sibling(Path(__file__).parent / "export.py").export(file, CACHE)


_LOCATORS: dict[str, Callable[[str], Path]] = {
    "package": _fetched,
    "light": _light,
    "torch": _exported,
}


def _image(name: str, *, channels: int = 3, side: int = 224) -> Callable[..., Feeds]:
    def feeds(
        rng: np.random.Generator, N: int = 1, H: int = side, W: int = side
    ) -> Feeds:
        return {name: rng.standard_normal((N, channels, H, W), np.float32)}

    return feeds


def _page(rng: np.random.Generator, N: int = 1, H: int = 640, W: int = 640) -> Feeds:
    """
    A white page with lines of dark strokes, which a text detector takes for text.

    On noise the detector's largest probability is 1e-4, and errors relative to that say
    nothing.
    """
    page = np.ones((N, 3, H, W), np.float32)
    for top in range(24, H - 32, 64):
        for left in range(24, W - 40, 14):
            width, height = rng.integers(2, 9), rng.integers(12, 25)
            page[:, :, top : top + height, left : left + width] = -1
    return {"x": page + 0.05 * rng.standard_normal(page.shape, np.float32)}


def _light_feeds(file: str) -> Callable[..., Feeds]:
    """Graph inputs without an initializer; shapes are constants in these files."""

    def feeds(rng: np.random.Generator) -> Feeds:
        import onnx

        graph = onnx.load(str(_light(file))).graph
        inner = {i.name for i in graph.initializer}
        shapes = {
            i.name: [d.dim_value for d in i.type.tensor_type.shape.dim]
            for i in graph.input
            if i.name not in inner
        }
        return {n: rng.standard_normal(s, np.float32) for n, s in shapes.items()}

    return feeds


def _audio(rng: np.random.Generator, N: int = 1) -> Feeds:
    samples = 0.1 * rng.standard_normal((N, 43844, 1), np.float32)
    return {"serving_default_input_2:0": samples}


def _tokens(rng: np.random.Generator, N: int, S: int) -> Feeds:
    lengths = rng.integers(max(1, S // 2), S + 1, N)
    lengths[0] = S
    mask = (np.arange(S) < lengths[:, None]).astype(np.int64)
    return {
        "input_ids": rng.integers(0, 30000, (N, S), np.int64),
        "attention_mask": mask,
    }


def _package(name: str, file: str, feeds: Callable[..., Feeds], *sizes: dict[str, int]):
    return Network(name, "package", file, feeds, sizes or ({},))


_OCR = "rapidocr_onnxruntime/models"
_LIGHT = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)

NETWORKS: dict[str, Network] = {
    n.name: n
    for n in (
        _package(
            "ppocr_det",
            f"{_OCR}/ch_PP-OCRv4_det_infer.onnx",
            _page,
            {"H": 640, "W": 640},
            {"H": 320, "W": 960},
        ),
        _package(
            "ppocr_rec",
            f"{_OCR}/ch_PP-OCRv4_rec_infer.onnx",
            _image("x"),
            *({"H": 48, "W": w, "N": n} for n in (1, 6) for w in (320, 160, 481, 1000)),
        ),
        _package(
            "ppocr_cls",
            f"{_OCR}/ch_ppocr_mobile_v2.0_cls_infer.onnx",
            _image("x"),
            {"H": 48, "W": 192},
            {"H": 48, "W": 192, "N": 6},
        ),
        _package(
            "basic_pitch",
            "basic_pitch/saved_models/icassp_2022/nmp.onnx",
            _audio,
            {"N": 1},
            {"N": 2},
        ),
        *(
            Network(
                f"light_{name}",
                "light",
                f"light_{name}.onnx",
                _light_feeds(f"light_{name}.onnx"),
            )
            for name in _LIGHT
        ),
        Network("resnet18", "torch", "resnet18.onnx", _image("input")),
        Network("resnet50", "torch", "resnet50.onnx", _image("input")),
        Network("mobilenetv2", "torch", "mobilenetv2.onnx", _image("input")),
        Network("vit_b_16", "torch", "vit_b_16.onnx", _image("input")),
        *(
            Network(
                name,
                "torch",
                f"{name}.onnx",
                _tokens,
                (
                    {"N": 1, "S": 128},
                    {"N": 1, "S": 7},
                    {"N": 3, "S": 128},
                    {"N": 8, "S": 200},
                ),
            )
            # Exported by tracing, and by torch.export.
            for name in ("bert_base", "bert_base_dynamo")
        ),
    )
}
