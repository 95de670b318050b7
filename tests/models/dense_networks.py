"""Networks with an answer for each place of the image: a detector, a segmenter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from image_networks import ConvNorm
from torch import Tensor, nn


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> ConvNorm:
    return ConvNorm(inputs, outputs, kernel, stride, activation=nn.SiLU())


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, perhaps added to their input."""

    def __init__(self, channels: int, adds: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels, 3), _conv(channels, channels, 3)
        )
        self.adds = adds

    def forward(self, x: Tensor) -> Tensor:
        """The body, plus the input if so wanted."""
        return x + self.body(x) if self.adds else self.body(x)


class SplitBlock(nn.Module):
    """YOLOv8's C2f: split, a chain of bottlenecks, everything concatenated, mixed."""

    def __init__(self, inputs: int, outputs: int, depth: int, adds: bool) -> None:
        super().__init__()
        half = outputs // 2
        self.enter = _conv(inputs, outputs, 1)
        self.blocks = nn.ModuleList(Bottleneck(half, adds) for _ in range(depth))
        self.leave = _conv((2 + depth) * half, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The mix of all steps of the chain."""
        parts = list(self.enter(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class PyramidPool(nn.Module):
    """SPPF: the input beside its maxima over growing neighbourhoods."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = _conv(channels, channels // 2, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.leave = _conv(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The mix of four scales."""
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class Head(nn.Module):
    """Boxes and class scores of one scale, from two branches."""

    def __init__(self, inputs: int, width: int, bins: int, classes: int) -> None:
        super().__init__()
        boxes, scores = max(16, width // 4, 4 * bins), max(width, min(classes, 100))
        self.boxes = nn.Sequential(
            _conv(inputs, boxes, 3),
            _conv(boxes, boxes, 3),
            nn.Conv2d(boxes, 4 * bins, 1),
        )
        self.scores = nn.Sequential(
            _conv(inputs, scores, 3),
            _conv(scores, scores, 3),
            nn.Conv2d(scores, classes, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[N, 4 * bins + classes, places]`."""
        return torch.cat((self.boxes(x), self.scores(x)), 1).flatten(2)


class Detector(nn.Module):
    """A detector of YOLOv8's make (size n): three scales, box sides as mixtures."""

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        depths: Sequence[int] = (1, 2, 2, 1),
        classes: int = 80,
        bins: int = 16,
        side: int = 640,
    ) -> None:
        super().__init__()
        self.bins, self.classes = bins, classes
        self.stem = _conv(3, widths[0], 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                _conv(narrow, wide, 3, 2), SplitBlock(wide, wide, depth, adds=True)
            )
            for narrow, wide, depth in zip(widths, widths[1:], depths, strict=False)
        )
        self.pool = PyramidPool(widths[4])
        self.up = nn.Upsample(scale_factor=2)
        small, medium, large = widths[2:]
        self.up_medium = SplitBlock(large + medium, medium, 1, adds=False)
        self.up_small = SplitBlock(medium + small, small, 1, adds=False)
        self.down_small = _conv(small, small, 3, 2)
        self.down_medium = SplitBlock(small + medium, medium, 1, adds=False)
        self.down_to_large = _conv(medium, medium, 3, 2)
        self.down_large = SplitBlock(medium + large, large, 1, adds=False)
        self.heads = nn.ModuleList(
            Head(width, small, bins, classes) for width in widths[2:]
        )
        centers, strides = zip(*(_grid(side, 8 << i) for i in range(3)), strict=True)
        self.register_buffer("centers", torch.cat(centers, 1))
        self.register_buffer("strides", torch.cat(strides))
        self.register_buffer("steps", torch.arange(bins, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """`[N, 4 + classes, places]`: centre, width, height; probabilities."""
        x = self.stages[0](self.stem(x))
        small = self.stages[1](x)
        medium = self.stages[2](small)
        large = self.pool(self.stages[3](medium))
        medium = self.up_medium(torch.cat((self.up(large), medium), 1))
        small = self.up_small(torch.cat((self.up(medium), small), 1))
        medium = self.down_medium(torch.cat((self.down_small(small), medium), 1))
        large = self.down_large(torch.cat((self.down_to_large(medium), large), 1))
        scales = zip(self.heads, (small, medium, large), strict=True)
        found = torch.cat([head(x) for head, x in scales], 2)
        sides, scores = found.split((4 * self.bins, self.classes), 1)
        sides = sides.unflatten(1, (4, self.bins)).softmax(2).transpose(1, 2)
        # The expected value of each side, as a convolution does it.
        expected = (sides * self.get_buffer("steps")[:, None, None]).sum(1)
        near, far = expected.chunk(2, 1)
        low = self.get_buffer("centers") - near
        high = self.get_buffer("centers") + far
        boxes = torch.cat(((low + high) / 2, high - low), 1)
        return torch.cat((boxes * self.get_buffer("strides"), scores.sigmoid()), 1)


def _grid(side: int, stride: int) -> tuple[Tensor, Tensor]:
    """Centres of the cells of one scale, `[2, places]`, and their strides."""
    steps = torch.arange(side // stride) + 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack((x.flatten(), y.flatten())), torch.full(
        (x.numel(),), float(stride)
    )


class UNet(nn.Module):
    """Down and up again, with what was seen on the way down beside it."""

    def __init__(self, width: int = 32, depth: int = 4, classes: int = 21) -> None:
        super().__init__()
        widths = [width << i for i in range(depth + 1)]
        self.down = nn.ModuleList(
            self._pair(a, b) for a, b in zip([3, *widths], widths, strict=False)
        )
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.widen = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in steps)
        self.up = nn.ModuleList(self._pair(2 * b, b) for _, b in steps)
        self.head = nn.Conv2d(width, classes, 1)

    @staticmethod
    def _pair(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            ConvNorm(inputs, outputs, 3, activation=nn.ReLU()),
            ConvNorm(outputs, outputs, 3, activation=nn.ReLU()),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Class scores for each pixel."""
        seen: list[Tensor] = []
        for index, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if index else x)
            seen.append(x)
        for widen, block, beside in zip(self.widen, self.up, seen[-2::-1], strict=True):
            x = block(torch.cat((beside, widen(x)), 1))
        return self.head(x)
