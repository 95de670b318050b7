"""Pure shape rules of source models: dims in, dims out; no IR, no errors of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnc.symbolic import (
    Dim,
    DimLike,
    Function,
    Monomial,
    ceildiv,
    dim_max,
    dim_min,
    dim_product,
)

UNBOUNDED = 2**31 - 1
"""Slice ends from here on mean: up to the end, whatever the size."""


def complexity(dim: Dim) -> tuple[int, int, str]:
    """A sort key by which the simpler of two expressions comes first."""
    text = str(dim)
    return (_operations(dim), len(text), text)


def _operations(dim: Dim) -> int:
    count = max(0, len(dim.terms) - 1)
    for monomial, coefficient in dim.terms:
        count += _monomial_operations(monomial) + (bool(monomial) and coefficient != 1)
    return count + bool(dim.terms and dim.as_int() is None)


def _monomial_operations(monomial: Monomial) -> int:
    nested = sum(
        1 + sum(_operations(arg) for arg in atom.args)
        for atom in monomial
        if isinstance(atom, Function)
    )
    return nested + max(0, len(monomial) - 1)


def simplest(dims: Sequence[Dim]) -> Dim:
    """The simplest of dims that are meant to be equal: constants, then short ones."""
    return min(dims, key=complexity)


def merged_dims(*shapes: Sequence[Dim]) -> list[Dim] | None:
    """
    The common shape under numpy's rules, None if there cannot be one.

    Symbolic dims that differ, and are not 1, are taken for equal: the simplest stands
    for all of them, and it is for the caller to state the equality.
    """
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dim] = []
    for axis in range(rank):
        dims = {s[axis - rank + len(s)] for s in shapes if axis - rank + len(s) >= 0}
        dims.discard(Dim.of(1))
        if len({v for d in dims if (v := d.as_int()) is not None}) > 1:
            return None
        result.append(simplest(list(dims)) if dims else Dim.of(1))
    return result


@dataclass(frozen=True)
class SliceRange:
    """
    The elements `offset + i * step` for `i < size` of an axis.

    `required` is the axis size under which that holds for all sizes: the axis itself,
    or `max(axis, k)` where at least `k` elements are needed; to be stated by a cast.
    """

    offset: Dim
    size: Dim
    required: Dim


def slice_range(size: Dim, start: DimLike, end: DimLike, step: int) -> SliceRange:
    """What Python's `[start:end:step]` picks of an axis of `size` elements."""
    start, end = Dim.of(start), Dim.of(end)
    if step < 0:
        return _backward_range(size, start, end, step)
    if (single := _single_element(size, start, end)) is not None:
        return single
    first, last = _resolved(size, start), _resolved(size, end)
    required = size
    from_end, fixed_start = (size - last).as_int(), start.as_int()
    if fixed_start is not None and size.as_int() is None and from_end is not None:
        if fixed_start >= 0:
            # Assumed to lie inside: else the size is negative, which runs refuse.
            first = start
        elif from_end == 0:
            count = dim_min(size, -start)
            return SliceRange(size - count, ceildiv(count, step), size)
    count = last - first
    lower = first.lower_bound()
    if lower is None or lower < 0:
        distance = (size - first).as_int()
        if distance is not None and count.as_int() is not None:
            required = dim_max(size, distance)
            first = required - distance
        else:
            first = dim_max(first, 0)
            count = last - first
    if from_end is None:
        # Bounds may cross for some sizes only.
        count = dim_max(count, 0)
    count = ceildiv(count, step)
    most = count.upper_bound()
    if most is not None and most <= 0:
        return SliceRange(Dim.of(0), Dim.of(0), size)
    return SliceRange(first, count, required)


def _single_element(size: Dim, start: Dim, end: Dim) -> SliceRange | None:
    """The range of one element at a constant index of an axis of unknown size."""
    first, last = start.as_int(), end.as_int()
    if size.as_int() is not None or first is None or last is None:
        return None
    to_the_end = last >= UNBOUNDED
    if first < 0 and (to_the_end or last < 0):
        follows = first == -1 if to_the_end else last == first + 1
    else:
        follows = first >= 0 and last == first + 1
    return single_element(size, first) if follows else None


def single_element(size: Dim, index: int) -> SliceRange:
    """The range of the one element at `index`, counted from the end if negative."""
    needed = index + 1 if index >= 0 else -index
    required = dim_max(size, needed)
    offset = Dim.of(index) if index >= 0 else required + index
    return SliceRange(offset, Dim.of(1), required)


def _resolved(size: Dim, bound: Dim) -> Dim:
    """A slice bound counted from the front and moved into `[0, size]`."""
    value, fixed = bound.as_int(), size.as_int()
    if value is not None:
        if value >= UNBOUNDED:
            return size
        if fixed is not None:
            return Dim.of(min(max(value + fixed if value < 0 else value, 0), fixed))
        if value < 0:
            return size + value
        return dim_min(value, size)
    upper = bound.upper_bound()
    if upper is not None and upper <= 0:
        bound = size + bound
    distance = (size - bound).as_int()
    if distance is not None and distance >= 0:
        return bound
    return dim_min(dim_max(bound, 0), size)


def _backward_range(size: Dim, start: Dim, end: Dim, step: int) -> SliceRange:
    last = size - 1
    first = _resolved_backward(size, start, last)
    stop = _resolved_backward(size, end, last)
    count = ceildiv(first - stop, -step)
    most, least = count.upper_bound(), count.lower_bound()
    if most is not None and most <= 0:
        return SliceRange(Dim.of(0), Dim.of(0), size)
    if least is None or least < 0:
        # Bounds may cross for some sizes.
        count = dim_max(count, 0)
    return SliceRange(first, count, size)


def _resolved_backward(size: Dim, bound: Dim, last: Dim) -> Dim:
    """A bound of a backward slice, moved into `[-1, size - 1]`."""
    value = bound.as_int()
    if value is not None and value >= UNBOUNDED:
        return last
    if value is not None and value <= -UNBOUNDED:
        return Dim.of(-1)
    if value is not None and value < 0:
        bound = size + value
    if (last - bound).as_int() == 0:
        return bound
    return dim_min(dim_max(bound, -1), last)


def reshaped_dims(
    dims: Sequence[Dim], target: Sequence[Dim], *, keep_zeros: bool
) -> list[Dim] | None:
    """
    The dims of a reshape whose target may hold 0 (copy) and -1 (infer).

    None if the target is invalid: two -1, a copied axis that does not exist, or a
    number of elements that does not divide.
    """
    result: list[Dim] = []
    inferred: int | None = None
    for axis, dim in enumerate(target):
        value = dim.as_int()
        if value == -1:
            if inferred is not None:
                return None
            inferred = axis
            dim = Dim.of(1)
        elif value == 0 and not keep_zeros:
            if axis >= len(dims):
                return None
            dim = dims[axis]
        elif value is not None and value < 0:
            return None
        result.append(dim)
    if inferred is not None:
        rest = dim_product(result)
        total = dim_product(dims)
        if not rest:
            return None
        quotient = total // rest
        fixed = (total - quotient * rest).as_int()
        if fixed is not None and fixed != 0:
            return None
        result[inferred] = quotient
    return result


def same_padding(
    size: DimLike, kernel: int, stride: int, dilation: int, *, upper: bool
) -> tuple[Dim, Dim]:
    """Low and high padding for `ceil(size / stride)` positions of a window."""
    size = Dim.of(size)
    span = (kernel - 1) * dilation + 1
    total = (ceildiv(size, stride) - 1) * stride + span - size
    fixed = total.as_int()
    total = dim_max(total, 0) if fixed is None else Dim.of(max(0, fixed))
    half = total // 2
    return (half, total - half) if upper else (total - half, half)
