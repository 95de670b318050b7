"""Shape arithmetic on dims: what broadcasting, windows and reductions do to sizes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from nnc.symbolic import Dim, DimLike, dim_max, dim_min


@lru_cache(maxsize=4096)
def window_output_dim(
    size: DimLike,
    kernel: int,
    stride: int,
    dilation: int,
    low: DimLike,
    high: DimLike,
    ceil_mode: bool = False,
) -> Dim:
    """
    The number of positions of a window that slides over a padded axis.

    In ceil mode the last window may start inside the input or the low padding and end
    beyond the high padding, but may not start in the high padding.
    """
    size, low, high = Dim.of(size), Dim.of(low), Dim.of(high)
    span = size + low + high - ((kernel - 1) * dilation + 1)
    if not ceil_mode:
        return _clamped(span // stride + 1)
    count = (span + stride - 1) // stride + 1
    # The last window must start before size + low.
    limit = (size + low - 1) // stride + 1

    return _clamped(dim_min(count, limit))


def _clamped(dim: Dim) -> Dim:
    """Sizes are never negative; symbolic ones are checked when the model runs."""
    value = dim.as_int()
    return dim if value is None else Dim.of(max(0, value))


def broadcast_dims(*shapes: Sequence[DimLike]) -> tuple[Dim, ...] | None:
    """
    The common shape under numpy's rules, or None if that cannot be proven.

    Dims must be provably equal, or 1. None also where two symbolic dims differ: whether
    they are equal is then for the caller to decide.
    """
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dim] = []
    for axis in range(rank):
        dims = {
            Dim.of(s[axis - rank + len(s)]) for s in shapes if axis - rank + len(s) >= 0
        }
        dims.discard(Dim.of(1))
        if len(dims) > 1:
            return None
        result.append(dims.pop() if dims else Dim.of(1))
    return tuple(result)


def slice_dim(size: DimLike, step: int) -> Dim:
    """The number of elements in a range of `size` elements walked by `step`."""
    return (Dim.of(size) + (abs(step) - 1)) // abs(step)


def nonnegative(dim: DimLike) -> Dim:
    """`max(dim, 0)`."""
    return dim_max(dim, 0)
