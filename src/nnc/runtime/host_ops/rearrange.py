"""Elements rearranged by their positions, of tensors of any type."""

from __future__ import annotations

import numpy as np

from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.types import HostType, Size, tensor
from nnc.runtime.host_ops.values import Array, HostOpError, HostValue, described


def _same_types(call: TypeCall) -> HostType:
    return tensor(call.dtype(0), call.shape(0))


@host_op("Trilu", since=14, types=_same_types)
def _trilu(call: Call) -> HostValue:
    x = call.tensor(0)
    if x.ndim < 2:
        raise HostOpError(f"{described(x)} is no matrix")
    diagonal = call.integer(1) if call.has(1) else 0
    rows, columns = np.ogrid[: x.shape[-2], : x.shape[-1]]
    upper = call.attributes.integer("upper", 1)
    kept = columns - rows >= diagonal if upper else columns - rows <= diagonal
    # The zero of strings is the empty one.
    zero = np.zeros(1, x.dtype) if x.dtype != np.object_ else np.full(1, "", x.dtype)
    return np.where(kept, x, zero)


@host_op("ReverseSequence", since=10, types=_same_types)
def _reverse_sequence(call: Call) -> HostValue:
    x, lengths = call.tensor(0), call.integers(1)
    time = call.attributes.integer("time_axis", 0)
    batch = call.attributes.integer("batch_axis", 1)
    if {time, batch} != {0, 1} or x.ndim < 2:
        raise HostOpError(f"axes {time} and {batch} of {described(x)}")
    result = x.copy()
    steps, rows = x.swapaxes(0, time), result.swapaxes(0, time)
    if len(lengths) != x.shape[batch] or not all(0 <= n <= len(steps) for n in lengths):
        raise HostOpError(f"lengths {lengths} do not fit {described(x)}")
    for i, length in enumerate(lengths):
        rows[:length, i] = steps[:length, i][::-1]
    return result


def _blocks(call: Call | TypeCall) -> int:
    size = call.attributes.integer("blocksize")
    if size < 1:
        raise HostOpError(f"a block of size {size}")
    return size


def _images(call: Call) -> Array:
    x = call.tensor(0)
    if x.ndim != 4:
        raise HostOpError(f"{described(x)} is no tensor [N, C, H, W]")
    return x


def _divided(size: Size, by: int) -> Size:
    return size // by if isinstance(size, int) else None


def _multiplied(size: Size, by: int) -> Size:
    return size * by if isinstance(size, int) else None


def _to_space_types(call: TypeCall) -> HostType:
    shape, b = call.shape(0), _blocks(call)
    if shape is None or len(shape) != 4:
        return tensor(call.dtype(0), (None,) * 4)
    n, c, h, w = shape
    sizes = (n, _divided(c, b * b), _multiplied(h, b), _multiplied(w, b))
    return tensor(call.dtype(0), sizes)


@host_op("DepthToSpace", types=_to_space_types)
def _depth_to_space(call: Call) -> HostValue:
    x, b = _images(call), _blocks(call)
    n, c, h, w = x.shape
    mode = call.attributes.text("mode", "DCR")
    if mode not in ("DCR", "CRD") or c % (b * b):
        raise HostOpError(f"mode '{mode[:40]}', blocks of {b} for {described(x)}")
    depth = c // (b * b)
    if mode == "DCR":
        split, order = (n, b, b, depth, h, w), (0, 3, 4, 1, 5, 2)
    else:
        split, order = (n, depth, b, b, h, w), (0, 1, 4, 2, 5, 3)
    return x.reshape(split).transpose(order).reshape(n, depth, h * b, w * b)


def _to_depth_types(call: TypeCall) -> HostType:
    shape, b = call.shape(0), _blocks(call)
    if shape is None or len(shape) != 4:
        return tensor(call.dtype(0), (None,) * 4)
    n, c, h, w = shape
    sizes = (n, _multiplied(c, b * b), _divided(h, b), _divided(w, b))
    return tensor(call.dtype(0), sizes)


@host_op("SpaceToDepth", types=_to_depth_types)
def _space_to_depth(call: Call) -> HostValue:
    x, b = _images(call), _blocks(call)
    n, c, h, w = x.shape
    if h % b or w % b:
        raise HostOpError(f"blocks of {b} do not divide {described(x)}")
    blocks = x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * b * b, h // b, w // b)


def _non_zero_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    return tensor("int64", (None if shape is None else len(shape), None))


@host_op("NonZero", since=9, types=_non_zero_types)
def _non_zero(call: Call) -> HostValue:
    # A string is zero if it is empty.
    return np.argwhere(call.tensor(0).astype(np.bool_)).T.astype(np.int64)
