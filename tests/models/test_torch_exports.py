"""
Small networks through both of torch's exporters, imported and interpreted.

The exporters spell shapes and masks differently; what they write must import to
networks that are right for all sizes. Exporting takes seconds: these tests are slow.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from reference import TOLERANCE, relative_error

from nnc.context import NncContext
from nnc.frontends.detect import import_model
from nnc.interpreters.nn import run_module

pytestmark = [pytest.mark.slow, pytest.mark.models]

torch = pytest.importorskip("torch", reason="needs the extra `models`")

TOKENS = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64}
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 4}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_positions": 64}
SIZES = [(1, 7), (3, 16), (2, 1)]


@dataclass(frozen=True)
class Case:
    """A network of transformers: configuration, and what it is fed."""

    model: str
    config: str
    options: dict[str, Any]
    side: int | None = None
    """The size of its images; None for token ids and a mask."""


CASES = {
    "bert": Case("BertModel", "BertConfig", {**TOKENS, **LAYERS}),
    "roberta": Case("RobertaModel", "RobertaConfig", {**TOKENS, **LAYERS}),
    "gpt2": Case("GPT2Model", "GPT2Config", {**GPT2, "use_cache": False}),
    "vit": Case(
        "ViTModel",
        "ViTConfig",
        {**LAYERS, "hidden_size": 32, "image_size": 32, "patch_size": 8},
        32,
    ),
    "convnext": Case(
        "ConvNextModel",
        "ConvNextConfig",
        {"hidden_sizes": [8, 16, 32, 32], "depths": [1, 1, 2, 1]},
        64,
    ),
    "swin": Case(
        "SwinModel",
        "SwinConfig",
        {
            "image_size": 64,
            "patch_size": 2,
            "embed_dim": 12,
            "depths": [2, 2],
            "num_heads": [2, 3],
            "window_size": 4,
        },
        64,
    ),
}


@pytest.fixture
def export() -> ModuleType:
    """The module `export.py` beside this file."""
    return importlib.import_module("export")


@pytest.fixture
def transformers() -> ModuleType:
    """The package; it takes seconds to import."""
    return pytest.importorskip("transformers", reason="needs the extra `models`")


def check(path: Path, feeds: list[dict[str, Any]]) -> None:
    """Compare the imported network with ONNX Runtime on all of the feeds."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    ctx = NncContext()
    module = import_model(path, ctx=ctx)
    module.verify()
    for feed in feeds:
        expected = session.run(None, feed)
        actual = run_module(module, ctx.weights, feed)
        for ours, theirs in zip(actual, expected, strict=True):
            assert relative_error(ours, np.asarray(theirs)) <= TOLERANCE


def token_feeds() -> list[dict[str, Any]]:
    """Token ids of several sizes, one with padding."""
    rng = np.random.default_rng(0)
    feeds: list[dict[str, Any]] = []
    for batch, length in SIZES:
        mask = np.ones((batch, length), np.int64)
        mask[1:, length // 2 + 1 :] = 0
        ids = rng.integers(0, 100, (batch, length), np.int64)
        feeds.append({"input_ids": ids, "attention_mask": mask})
    return feeds


def image_feeds(name: str, side: int, *batches: int) -> list[dict[str, Any]]:
    """Images in batches of several sizes."""
    rng = np.random.default_rng(0)
    shapes = [(n, 3, side, side) for n in batches]
    return [{name: rng.standard_normal(s).astype(np.float32)} for s in shapes]


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("name", CASES)
def test_transformers_network_agrees(
    name: str,
    dynamo: bool,
    export: ModuleType,
    transformers: ModuleType,
    tmp_path: Path,
):
    case = CASES[name]
    config = getattr(transformers, case.config)(**case.options)
    torch.manual_seed(0)
    model = getattr(transformers, case.model)(config)

    class Network(torch.nn.Module):
        """The network with positional inputs and one output."""

        def forward(self, first: Any, second: Any = None) -> Any:
            if second is None:
                return model(first).last_hidden_state
            return model(input_ids=first, attention_mask=second).last_hidden_state

    network = Network()
    network.inner = model
    path = tmp_path / "model.onnx"
    if case.side is None:
        inputs = ("input_ids", "attention_mask")
        example = torch.randint(0, 100, (2, 10)), torch.ones(2, 10, dtype=torch.int64)
        free = {i: {0: "batch", 1: "sequence"} for i in inputs}
        feeds = token_feeds()
    else:
        inputs = ("pixel_values",)
        example = (torch.randn(2, 3, case.side, case.side),)
        free = {"pixel_values": {0: "batch"}}
        feeds = image_feeds("pixel_values", case.side, 1, 3)
    export.export_module(
        network, example, path, inputs=inputs, free=free, dynamo=dynamo
    )
    check(path, feeds)


OWN: dict[str, Callable[[ModuleType], Any]] = {
    "resnet": lambda e: e.resnet((1, 1), bottleneck=True, classes=10),
    "mobilenet": lambda e: e.mobilenet_v2(),
    "vit": lambda e: e.VisionTransformer(width=32, depth=2, heads=4, side=64),
}


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("name", OWN)
def test_own_image_network_agrees_for_a_free_batch(
    name: str, dynamo: bool, export: ModuleType, tmp_path: Path
):
    torch.manual_seed(0)
    model = OWN[name](export)
    export.randomize_statistics(model)
    path = tmp_path / "model.onnx"
    example = (torch.randn(2, 3, 64, 64),)
    free = {"input": {0: "batch"}}
    export.export_module(model, example, path, free=free, dynamo=dynamo)
    check(path, image_feeds("input", 64, 1, 3))


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_own_encoder_agrees_for_free_sizes(
    dynamo: bool, export: ModuleType, tmp_path: Path
):
    torch.manual_seed(0)
    path = tmp_path / "model.onnx"
    inputs = ("input_ids", "attention_mask")
    export.export_module(
        export.Bert(width=32, depth=2, heads=4, tokens=100),
        (torch.randint(0, 100, (2, 10)), torch.ones(2, 10, dtype=torch.int64)),
        path,
        inputs=inputs,
        outputs=("hidden", "pooled"),
        free={i: {0: "batch", 1: "sequence"} for i in inputs},
        dynamo=dynamo,
    )
    check(path, token_feeds())
