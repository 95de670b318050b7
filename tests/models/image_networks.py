"""Classic networks of images as torch modules: BatchNorm and all, weights random."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


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


def vgg16() -> nn.Module:
    """VGG-16 without BatchNorm, for 224x224 images."""
    layers: list[nn.Module] = []
    inputs = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        layers.append(nn.MaxPool2d(2))
    head = [
        nn.Flatten(),
        *(nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
        nn.Linear(4096, 1000),
    ]
    network = nn.Sequential(*layers, *head)
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            # Nothing rescales activations: without this they vanish on the way.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return network


class DenseLayer(nn.Module):
    """DenseNet's layer: its input, and behind it `growth` new channels."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.BatchNorm2d(inputs), nn.ReLU()),
            ConvNorm(inputs, 4 * growth, 1, activation=nn.ReLU()),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Old and new channels."""
        return torch.cat((x, self.body(x)), 1)


def densenet121() -> nn.Module:
    """DenseNet-121 for 224x224 images."""
    growth, channels = 32, 64
    layers: list[nn.Module] = [
        ConvNorm(3, channels, 7, 2, activation=nn.ReLU()),
        nn.MaxPool2d(3, 2, 1),
    ]
    depths = (6, 12, 24, 16)
    for stage, depth in enumerate(depths):
        for _ in range(depth):
            layers.append(DenseLayer(channels, growth))
            channels += growth
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        if stage + 1 < len(depths):
            layers += [
                nn.Conv2d(channels, channels // 2, 1, bias=False),
                nn.AvgPool2d(2),
            ]
            channels //= 2
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]
    return nn.Sequential(*layers, *head)


class SqueezeExcite(nn.Module):
    """Scales channels by a gate that sees all of their means."""

    def __init__(
        self, channels: int, hidden: int, activation: nn.Module, gate: nn.Module
    ) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            activation,
            nn.Conv2d(hidden, channels, 1),
            gate,
        )

    def forward(self, x: Tensor) -> Tensor:
        """The scaled input."""
        return x * self.gate(x)


class MobileBlock(nn.Module):
    """Widen, filter each channel, perhaps squeeze and excite, narrow."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        kernel: int,
        stride: int,
        activation: type[nn.Module],
        excite: nn.Module | None,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if hidden != inputs:
            layers.append(ConvNorm(inputs, hidden, 1, activation=activation()))
        layers.append(
            ConvNorm(
                hidden, hidden, kernel, stride, groups=hidden, activation=activation()
            )
        )
        if excite is not None:
            layers.append(excite)
        layers.append(ConvNorm(hidden, outputs, 1))
        self.body = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """The body, plus the input where the shapes allow it."""
        return x + self.body(x) if self.adds else self.body(x)


def _multiple_of_8(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def mobilenet_v3_large() -> nn.Module:
    """MobileNetV3-large of width 1 for 224x224 images."""
    # kernel, hidden, outputs, squeeze and excite, hard swish, stride
    rows = (
        (3, 16, 16, False, False, 1),
        (3, 64, 24, False, False, 2),
        (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2),
        (5, 120, 40, True, False, 1),
        (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2),
        (3, 200, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 480, 112, True, True, 1),
        (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2),
        (5, 960, 160, True, True, 1),
        (5, 960, 160, True, True, 1),
    )
    layers: list[nn.Module] = [ConvNorm(3, 16, 3, 2, activation=nn.Hardswish())]
    inputs = 16
    for kernel, hidden, outputs, excites, swishes, stride in rows:
        excite = None
        if excites:
            squeezed = _multiple_of_8(hidden / 4)
            excite = SqueezeExcite(hidden, squeezed, nn.ReLU(), nn.Hardsigmoid())
        activation = nn.Hardswish if swishes else nn.ReLU
        layers.append(
            MobileBlock(inputs, hidden, outputs, kernel, stride, activation, excite)
        )
        inputs = outputs
    layers.append(ConvNorm(inputs, 960, 1, activation=nn.Hardswish()))
    head = [
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Linear(960, 1280), nn.Hardswish(), nn.Dropout(0.2)),
        nn.Linear(1280, 1000),
    ]
    return nn.Sequential(*layers, *head)


def efficientnet_b0() -> nn.Module:
    """EfficientNet-B0 for 224x224 images."""
    # widen, channels, repeats, stride, kernel
    stages = (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    )
    layers: list[nn.Module] = [ConvNorm(3, 32, 3, 2, activation=nn.SiLU())]
    inputs = 32
    for widen, channels, repeats, first_stride, kernel in stages:
        for i in range(repeats):
            hidden, stride = inputs * widen, 1 if i else first_stride
            excite = SqueezeExcite(hidden, max(1, inputs // 4), nn.SiLU(), nn.Sigmoid())
            layers.append(
                MobileBlock(inputs, hidden, channels, kernel, stride, nn.SiLU, excite)
            )
            inputs = channels
    layers.append(ConvNorm(inputs, 1280, 1, activation=nn.SiLU()))
    head = [*(nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers, *head)


def mlp() -> nn.Module:
    """Three layers of 64 features: what calling costs."""
    layers = (nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(64, 64))
