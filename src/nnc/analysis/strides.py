"""
Strided views: which reshapes of strided storage are views, and with what strides.

Pure functions over dims; strides are in elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from nnc.symbolic import Dim, DimLike


def contiguous_strides(dims: Sequence[DimLike]) -> tuple[Dim, ...]:
    """The row-major strides of a tensor of these dims."""
    strides: list[Dim] = []
    step = Dim.of(1)
    for dim in reversed(dims):
        strides.append(step)
        step = step * dim
    return tuple(reversed(strides))


def reshaped_strides(
    dims: Sequence[DimLike], strides: Sequence[DimLike], target: Sequence[DimLike]
) -> tuple[Dim, ...] | None:
    """
    Strides that make the storage of `dims` a tensor of `target` dims.

    None if the elements in row-major order do not lie so. Element counts must agree.
    Axes are matched in groups of equal products; a group of several source axes has
    to be dense in itself.
    """
    source = [
        (Dim.of(d), Dim.of(s)) for d, s in zip(dims, strides, strict=True) if d != 1
    ]
    wanted = [Dim.of(d) for d in target]
    result: list[Dim] = []
    position = 0
    index = 0
    while index < len(wanted):
        if wanted[index] == 1:
            result.append(Dim.of(0))
            index += 1
            continue
        if position == len(source):
            return None
        group = _matching_group(source, position, wanted, index)
        if group is None:
            return None
        source_end, wanted_end = group
        step = _dense_stride(source[position:source_end])
        if step is None:
            return None
        inner: list[Dim] = []
        for dim in reversed(wanted[index:wanted_end]):
            inner.append(step if dim != 1 else Dim.of(0))
            step = step * dim
        result.extend(reversed(inner))
        position, index = source_end, wanted_end
    return tuple(result) if position == len(source) else None


def _matching_group(
    source: Sequence[tuple[Dim, Dim]], position: int, wanted: Sequence[Dim], index: int
) -> tuple[int, int] | None:
    """Ends of the shortest runs from `position` and `index` of equal products."""
    left, right = source[position][0], wanted[index]
    source_end, wanted_end = position + 1, index + 1
    while left != right:
        if _should_grow_left(left, right, source_end < len(source)):
            left = left * source[source_end][0]
            source_end += 1
        elif wanted_end < len(wanted):
            right = right * wanted[wanted_end]
            wanted_end += 1
        else:
            return None
    return source_end, wanted_end


def _should_grow_left(left: Dim, right: Dim, can_grow: bool) -> bool:
    """Whether to extend the source run: it is the smaller one, or might be."""
    if not can_grow or left == 0:
        return False
    left_size, right_size = left.as_int(), right.as_int()
    if left_size is not None and right_size is not None:
        return left_size < right_size
    # With symbols: grow the side that divides the other one.
    return (right % left) == 0


def _dense_stride(axes: Sequence[tuple[Dim, Dim]]) -> Dim | None:
    """The innermost stride if the axes lie densely in each other, else None."""
    for (_, outer), (size, inner) in pairwise(axes):
        if outer != size * inner:
            return None
    return axes[-1][1]
