"""
Models as ONNX Runtime's tools leave them: fused, for transformers, quantized.

They hold the ops of com.microsoft in the forms and the company in which real files do.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import nnc

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from export import export_module
    from onnxruntime import quantization
    from onnxruntime.transformers import optimizer
    from torch import nn
    from transformer_networks import Bert

pytestmark = [pytest.mark.models, pytest.mark.filterwarnings("ignore")]

F32 = np.float32
Feeds = dict[str, Any]
# What tools of others say on the way.
logging.getLogger().setLevel(logging.ERROR)


class Pictures(nn.Module):
    """Convolutions, a residual, pools, a concatenation, a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 8, 1)
        self.last = nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.first(x))
        y = torch.relu(self.second(x) + x)
        y = nn.functional.leaky_relu(self.third(y), 0.1)
        y = torch.cat([y, torch.sigmoid(x)], 1)[:, :8]
        y = nn.functional.avg_pool2d(y, 2) * 2.0
        return torch.softmax(self.last(y.mean((2, 3))), -1)


class Recurrent(nn.Module):
    """A bidirectional LSTM and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, bidirectional=True)
        self.last = nn.Linear(16, 4)

    def forward(self, x: Any) -> Any:
        return self.last(self.lstm(x)[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported networks."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    tokens = torch.randint(0, 50, (2, 7))
    names = ("input_ids", "attention_mask")
    free = {name: {0: "N", 1: "S"} for name in names}
    export_module(
        Bert(32, 2, 2, 50),
        (tokens, torch.ones_like(tokens)),
        folder / "bert.onnx",
        inputs=names,
        outputs=("hidden", "pooled"),
        free=free,
    )
    pictures = torch.randn(1, 3, 8, 8)
    free = {"input": {0: "N"}}
    export_module(Pictures(), (pictures,), folder / "pictures.onnx", free=free)
    export_module(Recurrent(), (torch.randn(5, 1, 6),), folder / "recurrent.onnx")
    return folder


def feeds_of(name: str) -> Feeds:
    rng = np.random.default_rng(0)
    if name == "bert":
        mask = np.array([[1] * 9, [1] * 6 + [0] * 3], np.int64)
        return {"input_ids": rng.integers(0, 50, (2, 9)), "attention_mask": mask}
    shape = (2, 3, 8, 8) if name == "pictures" else (5, 1, 6)
    return {"input": rng.standard_normal(shape).astype(F32)}


def fused(model: Path, folder: Path) -> Path:
    """The model as ONNX Runtime saves it after it fused what it can."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    )
    path = folder / "fused.onnx"
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"]
    )
    return path


def agrees(model: Path, feeds: Feeds, ops: set[str], atol: float) -> None:
    """Compare with ONNX Runtime, and check that the model holds `ops`."""
    proto = onnx.load(model)
    assert ops <= {n.op_type for n in proto.graph.node}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"]
    )
    wanted: list[Any] = list(session.run(None, feeds))
    found: Any = nnc.compile(model, cache=False)(*feeds.values())
    found = [found] if isinstance(found, np.ndarray) else list(found)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=atol)


@pytest.mark.parametrize(
    ("name", "ops"),
    [
        ("bert", {"BiasGelu", "FusedGemm", "LayerNormalization"}),
        ("pictures", {"FusedConv"}),
    ],
)
def test_fused(name: str, ops: set[str], folder: Path, tmp_path: Path):
    agrees(fused(folder / f"{name}.onnx", tmp_path), feeds_of(name), ops, 1e-5)


@pytest.mark.parametrize("is_quantized", [False, True])
def test_optimized_for_transformers(is_quantized: bool, folder: Path, tmp_path: Path):
    tuned: Any = optimizer.optimize_model(
        *(str(folder / "bert.onnx"), "bert"), num_heads=2, hidden_size=32, opt_level=1
    )
    path = tmp_path / "tuned.onnx"
    tuned.save_model_to_file(str(path))
    ops = {"EmbedLayerNormalization", "SkipLayerNormalization", "BiasGelu"}
    if is_quantized:
        kind = {"DefaultTensorType": onnx.TensorProto.FLOAT}
        quantization.quantize_dynamic(
            str(path), str(tmp_path / "small.onnx"), extra_options=kind
        )
        path = tmp_path / "small.onnx"
        ops = {"QEmbedLayerNormalization", "SkipLayerNormalization", "MatMulInteger"}
    agrees(path, feeds_of("bert"), ops, 5e-3 if is_quantized else 1e-5)


@pytest.mark.parametrize("is_fused", [False, True])
def test_quantized_when_it_runs(is_fused: bool, folder: Path, tmp_path: Path):
    path = tmp_path / "dynamic.onnx"
    quantization.quantize_dynamic(str(folder / "bert.onnx"), str(path))
    ops = {"DynamicQuantizeLinear", "MatMulInteger"}
    if is_fused:
        path = fused(path, tmp_path)
        ops = {"DynamicQuantizeMatMul", "MatMulIntegerToFloat", "Gelu"}
    # A number next to a tie may be quantized to its neighbour.
    agrees(path, feeds_of("bert"), ops, 5e-3)


def test_recurrent_layers_quantized_when_they_run(folder: Path, tmp_path: Path):
    path = tmp_path / "dynamic.onnx"
    quantization.quantize_dynamic(str(folder / "recurrent.onnx"), str(path))
    agrees(path, feeds_of("recurrent"), {"DynamicQuantizeLSTM"}, 5e-3)


class Samples(quantization.CalibrationDataReader):
    """Pictures to calibrate with."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.feeds: Iterator[Feeds] = iter(
            {"input": rng.standard_normal((1, 3, 8, 8)).astype(F32)} for _ in range(8)
        )

    def get_next(self) -> Any:
        return next(self.feeds, None)


@pytest.mark.parametrize(
    ("form", "is_fused", "ops"),
    [
        ("QDQ", False, {"QuantizeLinear", "DequantizeLinear"}),
        ("QDQ", True, {"QLinearConv"}),
        ("QOperator", False, {"QLinearConv", "QLinearAdd", "QLinearSigmoid"}),
    ],
)
def test_quantized(
    form: str, is_fused: bool, ops: set[str], folder: Path, tmp_path: Path
):
    path = tmp_path / "static.onnx"
    quantization.quantize_static(
        str(folder / "pictures.onnx"),
        str(path),
        Samples(),
        quant_format=quantization.QuantFormat[form],
        per_channel=True,
    )
    if is_fused:
        path = fused(path, tmp_path)
    # The last softmax is quantized, too: in steps of 1/256.
    agrees(path, feeds_of("pictures"), ops, 1.5 / 256)
