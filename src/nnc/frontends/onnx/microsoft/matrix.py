"""Inverses, distances and transforms of matrices and signals."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Block, Region, SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.control import COUNT, LoopOp
from nnc.dialects.nn.types import F32, F64, I64, dims_of, element_type_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import MICROSOFT, Converted, converter
from nnc.frontends.onnx.spectral import both_sides, fourier_transform
from nnc.frontends.regions import build_region, isolate
from nnc.symbolic import Dim, dim_product


@converter("CDist", domain=MICROSOFT)
def _distances(node: Node, b: Builder) -> Converted:
    """Between each row of one matrix and each row of another."""
    lhs, rhs = node.input(0), node.input(1)
    metric = node.attr_string("metric", "sqeuclidean")
    if metric not in ("euclidean", "sqeuclidean"):
        raise UnsupportedError(f"the metric '{metric[:40]}'")
    if rank_of(lhs) != 2 or rank_of(rhs) != 2:
        raise InvalidNodeError(f"inputs must be matrices: {lhs.type}, {rhs.type}")
    rows, width = dims_of(lhs)
    # Differences, not the square of sums: near points must come out near.
    difference = b.sub(b.reshape(lhs, [rows, 1, width]), rhs)
    square = b.reduce(b.mul(difference, difference), "sum", [2], False)
    return b.unary(ew.SqrtOp, square) if metric == "euclidean" else square


@converter("Inverse", domain=MICROSOFT)
def _inverse(node: Node, b: Builder) -> Converted:
    """
    Gauss-Jordan elimination with row pivoting, a column a step.

    `[matrix | identity]` is carried; after the last step the left half is the identity.
    """
    x = node.input(0)
    if rank_of(x) < 2 or dims_of(x)[-1] != dims_of(x)[-2]:
        raise InvalidNodeError(f"there is no inverse of {x.type}")
    type_ = element_type_of(x)
    wide = F64 if type_ == F64 else F32
    *outer, size = dims_of(x)[:-1]
    batch = dim_product(outer)
    matrices = b.reshape(b.cast(x, wide), [batch, size, size])
    diagonal = b.compare(
        b.iota([1, size, size], 1, I64), b.iota([1, size, size], 2, I64), "eq"
    )
    identity = b.broadcast_to(b.cast(diagonal, wide), [batch, size, size])
    start = b.concat([matrices, identity], 2)
    block = Block(arg_types=[COUNT, start.type])

    def build() -> Sequence[SSAValue]:
        return [_eliminated(b, block.args[1], block.args[0], size)]

    build_region(b, block, build)
    loop = LoopOp(Region(block), [start], [], isolate([block]), trips=size)
    (result,) = b.emit_all(loop)
    inverse = b.slice(result, [size], [size * 2], [2], [1])
    return b.reshape(b.cast(inverse, type_), dims_of(x))


def _eliminated(b: Builder, rows: SSAValue, step: SSAValue, size: Dim) -> SSAValue:
    """One step: the best row comes to the diagonal, the others lose that column."""
    batch, _, width = dims_of(rows)
    column = b.emit(nn.GatherOp(rows, b.reshape(step, [1]), 2))
    at = b.iota([1, size], 1, I64)
    place = b.reshape(b.cast(step, I64), [1, 1])
    sizes = b.unary(ew.AbsOp, b.reshape(column, [batch, size]))
    candidates = b.select(b.compare(at, place, "ge"), sizes, -1.0)
    best = b.reshape(b.emit(nn.ArgReduceOp(candidates, "max", 1, False)), [batch, 1])
    # The two rows change places.
    order = b.select(b.compare(at, best, "eq"), place, at)
    order = b.select(b.compare(at, place, "eq"), best, order)
    index = b.broadcast_to(b.reshape(order, [batch, size, 1]), [batch, size, width])
    swapped = b.emit(nn.GatherElementsOp(rows, index, 1))
    pivot_row = b.emit(nn.GatherOp(swapped, b.reshape(step, [1]), 1))
    pivot = b.emit(nn.GatherOp(pivot_row, b.reshape(step, [1]), 2))
    normal = b.div(pivot_row, pivot)
    factors = b.emit(nn.GatherOp(swapped, b.reshape(step, [1]), 2))
    others = b.sub(swapped, b.mul(factors, normal))
    is_pivot = b.reshape(b.compare(at, place, "eq"), [1, size, 1])
    return b.select(is_pivot, normal, others)


# ---------------------------------------------------------------- Fourier


def _check_signal(node: Node) -> None:
    if node.attr_int("normalized", 0) or not node.attr_int("onesided", 1):
        raise UnsupportedError("transforms that are normalized, or of both sides")
    if node.attr_int("signal_ndim") != 1:
        raise UnsupportedError("transforms over several axes")


@converter("Rfft", domain=MICROSOFT)
def _rfft(node: Node, b: Builder) -> Converted:
    """The half spectrum of real signals along the last axis."""
    _check_signal(node)
    x = node.input(0)
    if not rank_of(x):
        raise InvalidNodeError("a scalar is no signal")
    *outer, size = dims_of(x)
    rows = b.reshape(x, [dim_product(outer), 1, size, 1])
    result = fourier_transform(b, rows, size, size // 2 + 1, False)
    return b.reshape(result, [*outer, size // 2 + 1, 2])


@converter("Irfft", domain=MICROSOFT)
def _irfft(node: Node, b: Builder) -> Converted:
    """Real signals of even length from their half spectra."""
    _check_signal(node)
    x = node.input(0)
    if rank_of(x) < 2 or dims_of(x)[-1] != 2:
        raise InvalidNodeError(f"{x.type} is no spectrum: its last axis must be of 2")
    *outer, half, _ = dims_of(x)
    size = (half - 1) * 2
    rows = b.reshape(x, [dim_product(outer), 1, half, 2])
    result = fourier_transform(b, both_sides(b, rows, size), size, size, True)
    real = b.slice(result, [0], [1], [rank_of(result) - 1], [1])
    return b.reshape(real, [*outer, size])
