"""
Weights of few bits, quantized in blocks.

Weights of products are dequantized once, when the model is imported: they take the
memory of floats, and the product is the one of floats. A table is dequantized after its
rows are gathered.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.types import (
    F32,
    I64,
    U8,
    dims_of,
    element_type_of,
    is_float,
    rank_of,
)
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.linear import matmul
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import MICROSOFT, Converted, converter
from nnc.symbolic import Dim
from nnc.weights import Array

Bytes: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

_BITS: Final = (2, 4, 8)

_NF4: Final = np.array(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634),
        *(0.33791524171829224, 0.44070982933044434, 0.5626170039176941),
        *(0.7229568362236023, 1.0),
    ],
    np.float32,
)
"""The quantiles of a normal distribution that NF4 stands for."""
_FP4: Final = np.array(
    [0.0, 5.208333333e-03, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25],
    np.float32,
)
"""What the lower three bits of FP4 stand for; the fourth is the sign."""


def unpacked(data: Bytes, bits: int) -> Bytes:
    """The numbers of `bits` bits in bytes, the lowest first, along the last axis."""
    if bits == 8:
        return data
    mask = np.uint8(2**bits - 1)
    parts = [(data >> np.uint8(shift)) & mask for shift in range(0, 8, bits)]
    return np.stack(parts, -1).reshape(*data.shape[:-1], -1)


def _constant(node: Node, b: Builder, index: int, what: str) -> Array:
    array = b.constant_value(node.input(index))
    if array is None:
        raise UnsupportedError(f"{what} that are not constant")
    return array


def _bytes(node: Node, b: Builder, what: str, count: int) -> Bytes:
    """The packed weights of a node, as a vector."""
    packed = _constant(node, b, 1, what).ravel()
    if packed.dtype != np.uint8 or packed.size != count:
        raise InvalidNodeError(f"{packed.size} packed weights, {count} are needed")
    return packed.astype(np.uint8, copy=False)


# ---------------------------------------------------------------- MatMulNBits


@converter("MatMulNBits", domain=MICROSOFT)
def _matmul_n_bits(node: Node, b: Builder) -> Converted:
    x, bits = node.input(0), node.attr_int("bits", 4)
    if bits not in _BITS:
        raise UnsupportedError(f"weights of {bits} bits")
    if node.attr_int("weight_prepacked", 0):
        raise UnsupportedError("weights that are packed for another device")
    dtype = numpy_dtype(element_type_of(x))
    weight = _block_weight(node, b, bits).astype(dtype, copy=False)
    rows = b.constant(weight, f"{node.name}.weight")
    product = matmul(b, x, b.transpose(rows, [1, 0]))
    bias = node.optional_input(5)
    return product if bias is None else b.add(product, bias)


def _block_weight(node: Node, b: Builder, bits: int) -> Floats:
    """The weight as `[N, K]` floats."""
    rows, columns = node.attr_int("N"), node.attr_int("K")
    size = node.attr_int("block_size")
    if size < 16 or size & (size - 1) or rows < 1 or columns < 1:
        raise InvalidNodeError(f"blocks of {size} of {rows} x {columns} weights")
    blocks = -(-columns // size)
    packed = _bytes(node, b, "weights", rows * blocks * size * bits // 8)
    weight: Floats = unpacked(packed.reshape(rows, -1), bits).astype(np.float32)
    scales: Floats = _constant(node, b, 2, "scales").astype(np.float32)
    if scales.size != rows * blocks:
        raise InvalidNodeError(f"{scales.size} scales for {rows * blocks} blocks")
    zeros = _zero_points(node, b, bits, (rows, blocks))
    scales = scales.reshape(rows, blocks)
    if node.optional_input(4) is not None:
        groups = _groups(node, b, columns, blocks)
        return (weight[:, :columns] - zeros[:, groups]) * scales[:, groups]
    # In place, block by block: the weight may take gigabytes.
    cells = weight.reshape(rows, blocks, size)
    cells -= zeros[..., None]
    cells *= scales[..., None]
    return weight[:, :columns]


def _groups(node: Node, b: Builder, columns: int, blocks: int) -> NDArray[np.int64]:
    """The block whose scale each column takes."""
    groups = _constant(node, b, 4, "groups").ravel()[:columns]
    if len(groups) != columns or groups.min() < 0 or groups.max() >= blocks:
        raise InvalidNodeError("g_idx names blocks that there are not")
    return groups.astype(np.int64)


def _zero_points(node: Node, b: Builder, bits: int, shape: tuple[int, int]) -> Floats:
    if node.optional_input(3) is None:
        return np.full(shape, 2.0 ** (bits - 1), np.float32)
    given = _constant(node, b, 3, "zero points")
    rows, blocks = shape
    if given.dtype == np.uint8:
        if given.size != rows * -(-blocks * bits // 8):
            raise InvalidNodeError(f"{given.size} bytes of zero points")
        packed = given.astype(np.uint8, copy=False).reshape(rows, -1)
        given = unpacked(packed, bits)[:, :blocks]
    if given.size != rows * blocks:
        raise InvalidNodeError(f"{given.size} zero points for {rows * blocks} blocks")
    return given.reshape(shape).astype(np.float32)


# ---------------------------------------------------------------- MatMulBnb4


@converter("MatMulBnb4", domain=MICROSOFT)
def _matmul_bnb4(node: Node, b: Builder) -> Converted:
    x, size = node.input(0), node.attr_int("block_size")
    rows, columns = node.attr_int("N"), node.attr_int("K")
    kind = node.attr_int("quant_type")
    if kind not in (0, 1) or size < 1 or rows < 1 or columns < 1:
        raise InvalidNodeError(f"blocks of {size} of {rows} x {columns} weights")
    count = rows * columns
    packed = _bytes(node, b, "weights", -(-count // 2))
    largest = _constant(node, b, 2, "scales").ravel().astype(np.float32)
    if largest.size != -(-count // size):
        raise InvalidNodeError(f"{largest.size} scales of blocks of {size}")
    # The first number is in the upper half of its byte.
    codes = np.stack([packed >> np.uint8(4), packed & np.uint8(15)], -1).ravel()[:count]
    table = _NF4 if kind else np.concatenate([_FP4, -_FP4])
    weight = table[codes] * largest[np.arange(count) // size]
    dtype = numpy_dtype(element_type_of(x))
    weight = weight.reshape(rows, columns).astype(dtype)
    matrix = b.constant(weight, f"{node.name}.weight")
    if node.attr_int("transB", 1):
        matrix = b.transpose(matrix, [1, 0])
    return matmul(b, x, matrix)


# ---------------------------------------------------------------- GatherBlockQuantized


@converter("GatherBlockQuantized", domain=MICROSOFT)
def _gather_block_quantized(node: Node, b: Builder) -> Converted:
    """Rows of a table of bytes, each some numbers of few bits, or of integers."""
    data, indices, scales = (node.input(i) for i in range(3))
    rank, size = rank_of(data), node.attr_int("block_size", 128)
    bits = node.attr_int("bits", 4) if element_type_of(data) == U8 else 8
    if is_float(element_type_of(data)):
        raise UnsupportedError(f"data of {element_type_of(data)}")
    if bits not in _BITS or size < 1:
        raise InvalidNodeError(f"blocks of {size} numbers of {bits} bits")
    if node.attr_axis(0, rank, "gather_axis"):
        raise UnsupportedError("rows along another axis than the first one")
    if node.attr_axis(1, rank, "quantize_axis") != rank - 1:
        raise UnsupportedError("blocks along another axis than the last one")
    seen, indices = _places(b, indices, dims_of(data)[0])
    values = _unpacked(b, b.emit(nn.GatherOp(data, indices, 0)), bits)
    scale = b.emit(nn.GatherOp(scales, indices, 0))
    zero = node.optional_input(3)
    if zero is not None:
        zero = _unpacked(b, b.emit(nn.GatherOp(zero, indices, 0)), bits)
        zero = b.slice(zero, [0], [dims_of(scale)[-1]], [rank_of(zero) - 1], [1])
        zero = _spread(b, b.cast(zero, F32), size, values)
    elif element_type_of(data) == U8:
        zero = b.scalar(2.0 ** (bits - 1), F32)
    values = b.cast(values, F32)
    values = values if zero is None else b.sub(values, zero)
    result = b.mul(values, _spread(b, b.cast(scale, F32), size, values))
    seen = b.reshape(seen, [*dims_of(indices), *[1] * (rank - 1)])
    return b.cast(b.select(seen, result, 0), element_type_of(scale))


def _places(b: Builder, indices: SSAValue, count: Dim) -> tuple[SSAValue, SSAValue]:
    """Whether each index names a row, and a row to read: without one, any."""
    indices = b.cast(indices, I64)
    rows = b.reshape(b.dims([count]), [])
    wrapped = b.select(b.compare(indices, 0, "lt"), b.add(indices, rows), indices)
    seen = b.binary(
        ew.AndOp, b.compare(wrapped, 0, "ge"), b.compare(wrapped, rows, "lt")
    )
    return seen, b.select(seen, wrapped, 0)


def _unpacked(b: Builder, data: SSAValue, bits: int) -> SSAValue:
    """The numbers in bytes along the last axis, the lowest bits first."""
    if bits == 8:
        return data
    *outer, width = dims_of(data)
    parts: list[SSAValue] = []
    for shift in range(0, 8, bits):
        part = b.binary(ew.ShiftRightOp, data, b.scalar(shift, U8))
        part = b.binary(ew.AndOp, part, b.scalar(2**bits - 1, U8))
        parts.append(b.reshape(part, [*outer, width, 1]))
    packed = b.concat(parts, len(outer) + 1)
    return b.reshape(packed, [*outer, width * (8 // bits)])


def _spread(b: Builder, blocks: SSAValue, size: int, like: SSAValue) -> SSAValue:
    """One number a block as one for each of the block's columns."""
    *outer, count = dims_of(blocks)
    wide = b.broadcast_to(b.reshape(blocks, [*outer, count, 1]), [*outer, count, size])
    flat = b.reshape(wide, [*outer, count * size])
    axis, width = len(outer), dims_of(like)[-1]
    have, need = (count * size).as_int(), width.as_int()
    if have is not None and need is not None and have < need:
        raise InvalidNodeError(f"{count} blocks of {size} for {width} columns")
    return b.slice(flat, [0], [width], [axis], [1])
