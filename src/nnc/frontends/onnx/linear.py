"""Converters of matrix products and determinants."""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn.types import (
    F32,
    I64,
    bit_width,
    dims_of,
    element_type_of,
    is_float,
    rank_of,
)
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.shape_rules import simplest
from nnc.symbolic import dim_product


def matmul(b: Builder, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
    """numpy's `matmul`: vectors are a row on the left and a column on the right."""
    if not rank_of(lhs) or not rank_of(rhs):
        raise InvalidNodeError("scalars cannot be multiplied as matrices")
    row, column = rank_of(lhs) == 1, rank_of(rhs) == 1
    if row:
        lhs = b.reshape(lhs, [1, *dims_of(lhs)])
    if column:
        rhs = b.reshape(rhs, [*dims_of(rhs), 1])
    result = b.matmul(lhs, rhs)
    dims = list(dims_of(result))
    if column:
        del dims[-1]
    if row:
        del dims[-1 if column else -2]
    return b.reshape(result, dims)


@converter("MatMul")
def _matmul(node: Node, b: Builder) -> Converted:
    return matmul(b, node.input(0), node.input(1))


def swap_last(b: Builder, value: SSAValue) -> SSAValue:
    """The matrices of `value` transposed; vectors stay."""
    axes = list(range(rank_of(value)))
    if len(axes) < 2:
        return value
    return b.transpose(value, [*axes[:-2], axes[-1], axes[-2]])


def scaled(b: Builder, value: SSAValue, factor: float) -> SSAValue:
    """`value * factor`."""
    return value if factor == 1.0 else b.mul(value, factor)


@converter("Gemm")
def _gemm(node: Node, b: Builder) -> Converted:
    lhs, rhs, bias = node.input(0), node.input(1), node.optional_input(2)
    if node.version < 7 and rank_of(lhs) > 2:
        raise InvalidNodeError(f"the first input has rank {rank_of(lhs)}, not 2")
    if rank_of(lhs) != 2 or rank_of(rhs) != 2:
        raise InvalidNodeError(f"inputs must be matrices: {lhs.type}, {rhs.type}")
    if node.attr_int("transA", 0):
        lhs = swap_last(b, lhs)
    if node.attr_int("transB", 0):
        rhs = swap_last(b, rhs)
    alpha, beta = node.attr_float("alpha", 1.0), node.attr_float("beta", 1.0)
    integer = not is_float(element_type_of(lhs))
    result = scaled(b, b.matmul(lhs, rhs), int(alpha) if integer else alpha)
    if bias is None or beta == 0:
        return result
    dims = dims_of(result)
    bias = scaled(b, bias, int(beta) if integer else beta)
    return b.add(result, b.broadcast_to(bias, dims))


@converter("Det", since=11)
def _det(node: Node, b: Builder) -> Converted:
    """The product of an LU factorization's diagonal, and of the exchanges' sign."""
    x = node.input(0)
    if rank_of(x) < 2:
        raise InvalidNodeError(f"the input has rank {rank_of(x)}; 2 is the least")
    *batch, rows, columns = dims_of(x)
    size, type_ = simplest([rows, columns]), element_type_of(x)
    x = b.dim_cast(x, [*batch, size, size])
    wide = b.cast(x, F32) if bit_width(type_) < 32 else x
    factors, sign = b.emit_all(
        nn.LuOp(b.reshape(wide, [dim_product(batch), size, size]))
    )
    row, column = b.iota([size, size], 0, I64), b.iota([size, size], 1, I64)
    diagonal = b.select(b.compare(row, column, "eq"), factors, 1)
    product = b.reduce(diagonal, "prod", [1, 2], keep_dims=False)
    return b.reshape(b.cast(b.mul(product, sign), type_), batch)
