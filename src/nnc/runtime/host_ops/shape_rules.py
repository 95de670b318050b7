"""What sizes follow from sizes, where some of them are not known."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nnc.runtime.host_ops.types import Shape, Size


def broadcast_sizes(*shapes: Shape) -> Shape:
    """The shape of what tensors of these shapes are broadcast to."""
    known = [s for s in shapes if s is not None]
    if len(known) != len(shapes):
        return None
    rank = max(map(len, known), default=0)
    padded = [(*([1] * (rank - len(s))), *s) for s in known]
    return tuple(_broadcast_size(sizes) for sizes in zip(*padded, strict=True))


def _broadcast_size(sizes: Sequence[Size]) -> Size:
    others = [s for s in sizes if s != 1]
    numbers = [s for s in others if isinstance(s, int)]
    if numbers:
        return numbers[0]
    return others[0] if len(set(others)) == 1 else None if others else 1


def replaced(shape: Sequence[Size], axis: int, size: Size) -> tuple[Size, ...]:
    """A shape with another size at one axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])


def product(sizes: Sequence[Size]) -> Size:
    """The number of elements, where it is known."""
    if any(s == 0 for s in sizes):
        return 0
    numbers = [s for s in sizes if isinstance(s, int)]
    if len(numbers) == len(sizes):
        return math.prod(numbers)
    # A single name stays that name.
    rest = [s for s in sizes if not isinstance(s, int)]
    return rest[0] if len(rest) == 1 and math.prod(numbers) == 1 else None


def total(sizes: Sequence[Size]) -> Size:
    """The sum of sizes, where it is known."""
    rest = [s for s in sizes if s != 0]
    if len(rest) == 1:
        return rest[0]
    numbers = [s for s in rest if isinstance(s, int)]
    return sum(numbers) if len(numbers) == len(rest) else None
