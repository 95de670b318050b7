"""Padding of tensors of any type."""

from __future__ import annotations

from typing import Any, Final, Literal, cast

import numpy as np

from nnc.runtime.host_ops.axes import checked_axes
from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.types import HostType, tensor
from nnc.runtime.host_ops.values import (
    Array,
    HostOpError,
    HostValue,
    described,
    is_strings,
)

_Mode = Literal["constant", "reflect", "edge", "wrap"]
_MODES: Final = ("constant", "reflect", "edge", "wrap")


def _pads(call: Call | TypeCall, rank: int) -> list[tuple[int, int]] | None:
    """What comes before and after each axis; None if it is not known yet."""
    pads: list[int] | tuple[int, ...] | None
    axes: list[int] | tuple[int, ...] | None = tuple(range(rank))
    if isinstance(call, Call):
        pads = call.integers(1)
        axes = call.integers(3) if call.has(3) else axes
    else:
        pads = call.known(1)
        axes = call.known(3) if call.has(3) else axes
    if pads is None or axes is None:
        return None
    places = checked_axes(axes, rank)
    if len(pads) != 2 * len(places):
        raise HostOpError(f"{len(pads)} pads for {len(places)} axes")
    found = [(0, 0)] * rank
    for i, axis in enumerate(places):
        found[axis] = (pads[i], pads[i + len(places)])
    return found


def _pad_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    if shape is None:
        return tensor(call.dtype(0))
    pads = _pads(call, len(shape)) or [(None, None)] * len(shape)
    sizes = [
        n + before + after
        if isinstance(n, int) and before is not None and after is not None
        else n
        if (before, after) == (0, 0)
        else None
        for n, (before, after) in zip(shape, pads, strict=True)
    ]
    return tensor(call.dtype(0), sizes)


@host_op("Pad", since=11, types=_pad_types)
def _pad(call: Call) -> HostValue:
    x = call.tensor(0)
    mode = call.attributes.text("mode", "constant")
    if mode not in _MODES:
        raise HostOpError(f"mode '{mode[:40]}' is none of {', '.join(_MODES)}")
    pads = _pads(call, x.ndim)
    assert pads is not None, "a call has all values"
    x = _cut(x, pads)
    added = [(max(before, 0), max(after, 0)) for before, after in pads]
    if mode != "constant":
        return np.pad(x, added, mode=cast(_Mode, mode))
    value: Any = "" if is_strings(x) else 0
    if call.has(2) and call.tensor(2).size:
        value = call.tensor(2).ravel()[0]
    places = list(zip(added, x.shape, strict=True))
    sizes = [before + n + after for (before, after), n in places]
    result = np.full(sizes, value, x.dtype)
    result[tuple(slice(before, before + n) for (before, _), n in places)] = x
    return result


def _cut(x: Array, pads: list[tuple[int, int]]) -> Array:
    """A tensor without what negative pads take away."""
    kept: list[slice] = []
    for size, (before, after) in zip(x.shape, pads, strict=True):
        start, stop = max(-before, 0), size - max(-after, 0)
        if start > stop:
            raise HostOpError(f"{described(x)} is smaller than what {pads} take away")
        kept.append(slice(start, stop))
    return x[tuple(kept)]
