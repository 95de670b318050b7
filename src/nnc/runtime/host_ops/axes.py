"""Axes that may count from the back."""

from __future__ import annotations

from collections.abc import Iterable

from nnc.runtime.host_ops.values import HostOpError


def checked_axis(axis: int, rank: int) -> int:
    """
    An axis as its distance from the front.

    Raises:
        HostOpError: a tensor of that rank has no such axis.
    """
    if not -rank <= axis < rank:
        raise HostOpError(f"axis {axis} is out of range for {rank} axes")
    return axis % rank


def checked_axes(axes: Iterable[int], rank: int) -> list[int]:
    """
    Different axes as their distances from the front.

    Raises:
        HostOpError: there is no such axis, or one is given twice.
    """
    found = [checked_axis(axis, rank) for axis in axes]
    if len(set(found)) != len(found):
        raise HostOpError(f"an axis is given twice: {found}")
    return found
