"""Converters of Fourier transforms, as products with a matrix, and of mel weights."""

from __future__ import annotations

import math

from xdsl.ir import Attribute, SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.dtypes import element_type_for
from nnc.dialects.nn.types import F64, I64, dims_of, element_type_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError, require_sizes
from nnc.frontends.onnx.node import Node, known_dims, known_int, normalized_axis
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.onnx.tensors import dtype_of
from nnc.symbolic import Dim, DimLike


def _waves(
    b: Builder, size: Dim, count: DimLike, kind: Attribute
) -> tuple[SSAValue, SSAValue]:
    """
    `cos` and `sin` of `2 pi n k / size` as matrices `[size, count]`.

    The product is reduced modulo the size first, and angles are of double precision:
    what is zero in theory then is as good as that in single precision.
    """
    dims = [size, count]
    period = b.reshape(b.dims([size]), ())
    turns = b.mul(b.iota(dims, 0, I64), b.iota(dims, 1, I64))
    turns = b.binary(ew.ModOp, turns, period)
    angle = b.div(b.mul(b.cast(turns, F64), 2 * math.pi), b.cast(period, F64))
    return b.cast(b.unary(ew.CosOp, angle), kind), b.cast(
        b.unary(ew.SinOp, angle), kind
    )


def fourier_transform(
    b: Builder, x: SSAValue, size: Dim, count: DimLike, inverse: bool
) -> SSAValue:
    """
    The transform along the last axis but one of `[..., size, 1 | 2]`.

    The last axis holds real and imaginary part; the result has both.
    """
    kind = element_type_of(x)
    last = rank_of(x) - 1
    parts = [b.take(x, last, i) for i in range(dims_of(x)[last].as_int() or 1)]
    cos, sin = _waves(b, size, count, kind)
    if not inverse:
        sin = b.unary(ew.NegOp, sin)
    products = [(b.matmul(p, cos), b.matmul(p, sin)) for p in parts]
    real, imaginary = products[0]
    if len(products) == 2:
        real = b.sub(real, products[1][1])
        imaginary = b.add(imaginary, products[1][0])
    shape = [*dims_of(real), 1]
    result = b.concat([b.reshape(real, shape), b.reshape(imaginary, shape)], last)
    if inverse:
        result = b.div(result, b.cast(b.reshape(b.dims([size]), ()), kind))
    return result


@converter("DFT", since=17)
def _dft_17(node: Node, b: Builder) -> Converted:
    return _dft(node, b, node.attr_int("axis", 1))


@converter("DFT", since=20)
def _dft_20(node: Node, b: Builder) -> Converted:
    axis = node.optional_input(2)
    return _dft(node, b, -2 if axis is None else known_int(b, axis, "the axis"))


def _dft(node: Node, b: Builder, axis: int) -> Converted:
    x, length = node.input(0), node.optional_input(1)
    rank = rank_of(x)
    axis = normalized_axis(axis, rank)
    parts = dims_of(x)[-1].as_int()
    if rank < 2 or axis == rank - 1 or parts not in (1, 2):
        raise InvalidNodeError(f"a signal of {x.type} along axis {axis}")
    inverse = bool(node.attr_int("inverse", 0))
    onesided = bool(node.attr_int("onesided", 0))
    order = [a for a in range(rank) if a not in (axis, rank - 1)]
    x = b.transpose(x, [*order, axis, rank - 1])
    size = dims_of(x)[-2]
    if length is not None:
        (wanted,) = known_dims(b, b.reshape(length, [1]), "the length")
        if inverse and onesided:
            x = both_sides(b, x, wanted)
        x = _of_length(b, x, wanted)
        size = wanted
    elif inverse and onesided:
        size = (size - 1) * 2
        x = _of_length(b, both_sides(b, x, size), size)
    count = size // 2 + 1 if onesided and not inverse else size
    result = fourier_transform(b, x, size, count, inverse)
    if inverse and onesided:
        result = b.slice(result, [0], [1], [rank - 1], [1])
    back = list(range(len(order)))
    back.insert(axis, rank - 2)
    return b.transpose(result, [*back, rank - 1])


def both_sides(b: Builder, x: SSAValue, size: Dim) -> SSAValue:
    """The whole spectrum of a real signal from its first `size / 2 + 1` elements."""
    axis = rank_of(x) - 2
    x = _of_length(b, x, size // 2 + 1)
    rest = size - size // 2 - 1
    mirrored = b.slice(x, [1], [rest + 1], [axis], [1])
    mirrored = b.slice(mirrored, [-1], [-(2**62)], [axis], [-1])
    real = b.slice(mirrored, [0], [1], [axis + 1], [1])
    imaginary = b.slice(mirrored, [1], [2], [axis + 1], [1])
    conjugate = b.concat([real, b.unary(ew.NegOp, imaginary)], axis + 1)
    return b.concat([x, conjugate], axis)


def _of_length(b: Builder, x: SSAValue, size: Dim) -> SSAValue:
    """`x` cut, or followed by zeros, to `size` on the last axis but one."""
    axis = rank_of(x) - 2
    present = dims_of(x)[axis]
    if present == size:
        return x
    lengths = [d for d in (present.as_int(), size.as_int()) if d is not None]
    if len(lengths) == 2 and lengths[0] > lengths[1]:
        return b.slice(x, [0], [size], [axis], [1])
    dims = list(dims_of(x))
    dims[axis] = size
    zeros = b.broadcast_to(b.scalar(0, element_type_of(x)), dims)
    return b.slice(b.concat([x, zeros], axis), [0], [size], [axis], [1])


@converter("STFT", since=17)
def _stft(node: Node, b: Builder) -> Converted:
    x, window = node.input(0), node.optional_input(2)
    hop = known_int(b, node.input(1), "the step between frames")
    length = node.optional_input(3)
    if rank_of(x) == 2:
        x = b.reshape(x, [*dims_of(x), 1])
    if rank_of(x) != 3 or hop < 1:
        raise InvalidNodeError(f"a signal of {x.type}, frames {hop} apart")
    if length is not None:
        (size,) = known_dims(b, b.reshape(length, [1]), "the length of a frame")
    elif window is not None:
        size = dims_of(window)[0]
    else:
        raise InvalidNodeError("there is neither a window nor a length")
    batch, samples, parts = dims_of(x)
    frames = (samples - size) // hop + 1
    starts = b.mul(b.iota([frames, size], 0, I64), hop)
    positions = b.add(starts, b.iota([frames, size], 1, I64))
    x = b.emit(nn.GatherOp(x, positions, 1))
    if window is not None:
        x = b.mul(x, b.reshape(b.with_dim(window, 0, size), [size, 1]))
    assert dims_of(x) == (batch, frames, size, parts)
    onesided = bool(node.attr_int("onesided", 1))
    return fourier_transform(b, x, size, size // 2 + 1 if onesided else size, False)


# ---------------------------------------------------------------- MelWeightMatrix


@converter("MelWeightMatrix", since=17)
def _mel_weight_matrix(node: Node, b: Builder) -> Converted:
    """Triangles over the bins of a spectrogram, of equal width on the mel scale."""
    (bins,) = _one_dim(b, node.input(0), "the number of bins")
    (length,) = _one_dim(b, node.input(1), "the length of the transform")
    rate = b.cast(b.reshape(node.input(2), ()), F64)
    low, high = (_mel(b, b.reshape(node.input(i), ())) for i in (3, 4))
    require_sizes([bins, length], "num_mel_bins or dft_length")
    edges = b.iota([bins + 2], 0, F64)
    count = b.cast(b.reshape(b.dims([bins + 2]), ()), F64)
    mel = b.add(b.mul(edges, b.div(b.sub(high, low), count)), low)
    power = b.unary(ew.ExpOp, b.mul(mel, math.log(10) / _MEL_FACTOR))
    hertz = b.mul(b.sub(power, 1), _MEL_BREAK)
    size = b.cast(b.reshape(b.dims([length + 1]), ()), F64)
    edge = b.unary(ew.FloorOp, b.div(b.mul(hertz, size), rate))
    left, centre, right = (
        b.reshape(b.slice(edge, [i], [bins + i], [0], [1]), [1, bins]) for i in range(3)
    )
    row = b.iota([length // 2 + 1, 1], 0, F64)
    rising = b.div(b.sub(row, left), b.sub(centre, left))
    falling = b.div(b.sub(right, row), b.sub(right, centre))
    inside = [b.compare(row, left, "ge"), b.compare(row, right, "lt")]
    weight = b.select(b.compare(row, centre, "lt"), rising, falling)
    weight = b.select(b.binary(ew.AndOp, *inside), weight, 0)
    # The centre has weight 1 even where the triangle has no width.
    weight = b.select(b.compare(row, centre, "eq"), 1, weight)
    dtype = dtype_of(node.attr_int("output_datatype", 1), "the result")
    return b.cast(weight, element_type_for(dtype))


_MEL_FACTOR = 2595
_MEL_BREAK = 700
"""The mel scale's constants: `m = 2595 log10(1 + f / 700)`."""


def _mel(b: Builder, hertz: SSAValue) -> SSAValue:
    ratio = b.div(b.cast(hertz, F64), _MEL_BREAK)
    return b.mul(b.unary(ew.LogOp, b.add(ratio, 1)), _MEL_FACTOR / math.log(10))


def _one_dim(b: Builder, value: SSAValue, what: str) -> list[Dim]:
    return known_dims(b, b.reshape(value, ()), what)
