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

import torch
from torch import Tensor, nn

OPSET = 17


class ConvNorm(nn.Sequential):
    """Convolution, BatchNorm and perhaps an activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: nn.Module | None = None,
    ) -> None:
        padding = kernel // 2
        super().__init__(
            nn.Conv2d(
                inputs, outputs, kernel, stride, padding, groups=groups, bias=False
            ),
            nn.BatchNorm2d(outputs),
            *([] if activation is None else [activation]),
        )


class ResidualBlock(nn.Module):
    """A basic (two 3x3) or bottleneck (1x1, 3x3, 1x1) block of a ResNet."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = width * 4 if bottleneck else width
        if bottleneck:
            self.body = nn.Sequential(
                ConvNorm(inputs, width, 1, activation=nn.ReLU()),
                ConvNorm(width, width, 3, stride, activation=nn.ReLU()),
                ConvNorm(width, outputs, 1),
            )
        else:
            self.body = nn.Sequential(
                ConvNorm(inputs, width, 3, stride, activation=nn.ReLU()),
                ConvNorm(width, outputs, 3),
            )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = ConvNorm(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The activated sum of body and shortcut."""
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet(
    depths: Sequence[int], *, bottleneck: bool, classes: int = 1000
) -> nn.Module:
    """A ResNet for 224x224 images."""
    layers: list[nn.Module] = [
        ConvNorm(3, 64, 7, 2, activation=nn.ReLU()),
        nn.MaxPool2d(3, 2, 1),
    ]
    inputs = 64
    for stage, depth in enumerate(depths):
        width = 64 << stage
        for block in range(depth):
            stride = 2 if stage and not block else 1
            layers.append(ResidualBlock(inputs, width, stride, bottleneck))
            inputs = width * 4 if bottleneck else width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)]
    return nn.Sequential(*layers, *head)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, filter each channel, narrow."""

    def __init__(self, inputs: int, outputs: int, stride: int, widen: int) -> None:
        super().__init__()
        hidden = inputs * widen
        layers: list[nn.Module] = []
        if widen != 1:
            layers.append(ConvNorm(inputs, hidden, 1, activation=nn.ReLU6()))
        layers.append(
            ConvNorm(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6())
        )
        layers.append(ConvNorm(hidden, outputs, 1))
        self.body = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """The body, plus the input where the shapes allow it."""
        return x + self.body(x) if self.adds else self.body(x)


def mobilenet_v2() -> nn.Module:
    """MobileNetV2 of width 1 for 224x224 images."""
    # widen, channels, repeats, stride
    stages = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    layers: list[nn.Module] = [ConvNorm(3, 32, 3, 2, activation=nn.ReLU6())]
    inputs = 32
    for widen, channels, repeats, stride in stages:
        for i in range(repeats):
            step = 1 if i else stride
            layers.append(InvertedResidual(inputs, channels, step, widen))
            inputs = channels
    layers.append(ConvNorm(inputs, 1280, 1, activation=nn.ReLU6()))
    head = [
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(1280, 1000),
    ]
    return nn.Sequential(*layers, *head)


class Attention(nn.Module):
    """Multi-head self-attention with one projection for all three inputs."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projection = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attention over the second axis."""
        batch, length, width = x.shape
        size = width // self.heads
        qkv = self.projection(x).reshape(batch, length, 3, self.heads, size)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * size**-0.5
        mixed = scores.softmax(-1) @ v
        return self.output(mixed.transpose(1, 2).reshape(batch, length, width))


class EncoderLayer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then the feed-forward network, each added to its input."""
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class VisionTransformer(nn.Module):
    """ViT: patches, a class token, an encoder, a linear head."""

    def __init__(
        self, width: int = 768, depth: int = 12, heads: int = 12, side: int = 224
    ) -> None:
        super().__init__()
        patches = (side // 16) ** 2
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.class_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, patches + 1, width) * 0.02)
        self.layers = nn.Sequential(*(EncoderLayer(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        token = self.class_token.expand(x.shape[0], -1, -1)
        x = self.layers(torch.cat((token, x), 1) + self.positions)
        return self.head(self.norm(x)[:, 0])


class BertLayer(nn.Module):
    """A post-norm transformer layer with separate projections and a mask."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attention with an additive mask, then the feed-forward network."""
        batch, length, width = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(batch, length, self.heads, -1).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5 + mask
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)
        x = self.norm1(x + self.output(mixed))
        return self.norm2(x + self.narrow(nn.functional.gelu(self.widen(x))))


class Bert(nn.Module):
    """BERT, base unless told otherwise, as a function of token ids and their mask."""

    def __init__(
        self, width: int = 768, depth: int = 12, heads: int = 12, tokens: int = 30522
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(tokens, width)
        self.positions = nn.Embedding(512, width)
        self.types = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(BertLayer(width, heads) for _ in range(depth))
        self.pooler = nn.Linear(width, width)
        self.register_buffer("position_ids", torch.arange(512)[None])
        for embedding in (self.words, self.positions, self.types):
            nn.init.normal_(embedding.weight, 0.0, 0.02)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The last hidden state and the pooled one."""
        positions = self.get_buffer("position_ids")[:, : input_ids.shape[1]]
        types = torch.zeros_like(input_ids)
        x = self.words(input_ids) + self.positions(positions) + self.types(types)
        x = self.norm(x)
        mask = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * torch.finfo(
            x.dtype
        ).min
        for layer in self.layers:
            x = layer(x, mask)
        return x, torch.tanh(self.pooler(x[:, 0]))


def _image_example() -> tuple[Tensor, ...]:
    return (torch.randn(1, 3, 224, 224),)


def _token_example() -> tuple[Tensor, ...]:
    return torch.randint(0, 1000, (2, 16)), torch.ones(2, 16, dtype=torch.int64)


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
