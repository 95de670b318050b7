"""Fused elementwise ops: biases, activations, gates."""

from __future__ import annotations

from xdsl.ir import Attribute, SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import (
    BOOL,
    I32,
    I64,
    U32,
    U64,
    dims_of,
    element_type_of,
    rank_of,
)
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.elementwise import gated, gelu
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import MICROSOFT, Converted, converter
from nnc.symbolic import dim_product


@converter("Gelu", domain=MICROSOFT)
def _gelu(node: Node, b: Builder) -> SSAValue:
    return gelu(b, node.input(0))


@converter("BiasGelu", domain=MICROSOFT)
def _bias_gelu(node: Node, b: Builder) -> SSAValue:
    return gelu(b, b.add(node.input(0), node.input(1)))


@converter("FastGelu", domain=MICROSOFT)
def _fast_gelu(node: Node, b: Builder) -> SSAValue:
    x, bias = node.input(0), node.optional_input(1)
    return gelu(b, x if bias is None else b.add(x, bias), "tanh")


@converter("QuickGelu", domain=MICROSOFT)
def _quick_gelu(node: Node, b: Builder) -> SSAValue:
    return gated(b, node.input(0), node.attr_float("alpha", 1.702))


@converter("ScaledSiLU", domain=MICROSOFT)
def _scaled_silu(node: Node, b: Builder) -> SSAValue:
    x, scale = node.input(0), node.optional_input(1)
    if scale is None:
        factor: SSAValue | float = node.attr_float("alpha", 1.0)
    else:
        factor = b.reshape(b.cast(scale, element_type_of(x)), [])
    scaled = b.mul(x, factor)
    return b.mul(scaled, b.unary(ew.SigmoidOp, scaled))


@converter("GatedAdd", domain=MICROSOFT)
def _gated_add(node: Node, b: Builder) -> SSAValue:
    return b.add(node.input(0), b.mul(node.input(1), node.input(2)))


@converter("BiasAdd", domain=MICROSOFT)
def _bias_add(node: Node, b: Builder) -> SSAValue:
    return b.add(b.add(node.input(0), node.input(1)), node.input(2))


@converter("BiasSplitGelu", domain=MICROSOFT)
def _bias_split_gelu(node: Node, b: Builder) -> SSAValue:
    x = b.add(node.input(0), node.input(1))
    axis = rank_of(x) - 1
    width = dims_of(x)[axis]
    known = width.as_int()
    if known is not None and known % 2:
        raise InvalidNodeError(f"{known} columns have no halves")
    half = width // 2
    left = b.slice(x, [0], [half], [axis], [1])
    right = b.slice(x, [half], [width], [axis], [1])
    return b.mul(left, gelu(b, right))


@converter("BiasDropout", domain=MICROSOFT)
def _bias_dropout(node: Node, b: Builder) -> Converted:
    training = node.optional_input(4)
    if training is not None and b.constant_scalar(training) != 0:
        raise UnsupportedError("training mode")
    x = b.add(node.input(0), node.input(1))
    residual = node.optional_input(2)
    if residual is not None:
        x = b.add(x, residual)
    mask = b.broadcast_to(b.scalar(1, BOOL), dims_of(x))
    return [x, mask][: len(node.used_outputs)]


@converter("BiasSoftmax", domain=MICROSOFT)
def _bias_softmax(node: Node, b: Builder) -> Converted:
    """Softmax over `axis` and all axes behind it, after a bias was added."""
    x, bias = node.input(0), node.input(1)
    axis, rank = node.attr_axis(1, rank_of(x)), rank_of(x)
    if node.attr_int("is_inner_broadcast") and rank_of(bias) < rank:
        raise UnsupportedError("a bias with fewer axes that repeats inside")
    total = b.add(x, bias)
    rows = b.reshape(
        total, [dim_product(dims_of(x)[:axis]), dim_product(dims_of(x)[axis:])]
    )
    return b.reshape(b.emit(nn.SoftmaxOp(rows, 1)), dims_of(x))


@converter("IsAllFinite", domain=MICROSOFT)
def _is_all_finite(node: Node, b: Builder) -> Converted:
    only_inf = node.attr_int("isinf_only", 0)
    only_nan = node.attr_int("isnan_only", 0)
    if only_inf and only_nan:
        raise InvalidNodeError("both isinf_only and isnan_only")
    result: SSAValue | None = None
    for x in node.variadic_inputs():
        tests: list[SSAValue] = []
        if not only_inf:
            tests.append(b.emit(ew.IsNanOp(x)))
        if not only_nan:
            tests.append(b.emit(ew.IsInfOp(x)))
        for test in tests:
            bad = b.cast(test, I32)
            count = b.reduce(bad, "max", list(range(rank_of(bad))), False)
            result = count if result is None else b.binary(ew.MaximumOp, result, count)
    assert result is not None
    return b.compare(result, 0, "eq")


# ---------------------------------------------------------------- hashing


def _u32(number: int, b: Builder) -> SSAValue:
    return b.scalar(number, U32)


def _rotated_left(b: Builder, x: SSAValue, count: int) -> SSAValue:
    high = b.binary(ew.ShiftLeftOp, x, _u32(count, b))
    low = b.binary(ew.ShiftRightOp, x, _u32(32 - count, b))
    return b.binary(ew.OrOp, high, low)


def _mixed(b: Builder, h: SSAValue, shift: int) -> SSAValue:
    return b.binary(ew.XorOp, h, b.binary(ew.ShiftRightOp, h, _u32(shift, b)))


def _words(b: Builder, x: SSAValue, type_: Attribute) -> list[SSAValue]:
    """Integers as 32-bit words, the lowest first."""
    if type_ in (I32, U32):
        return [b.cast(x, U32)]
    if type_ not in (I64, U64):
        raise UnsupportedError(f"the hash of {type_}")
    wide = b.cast(x, U64)
    high = b.binary(ew.ShiftRightOp, wide, b.scalar(32, U64))
    return [b.cast(wide, U32), b.cast(high, U32)]


@converter("MurmurHash3", domain=MICROSOFT)
def _murmur_hash(node: Node, b: Builder) -> Converted:
    """The hash of each element: MurmurHash3, 32 bits, of its bytes."""
    x = node.input(0)
    words = _words(b, x, element_type_of(x))
    h = b.broadcast_to(_u32(node.attr_int("seed", 0), b), dims_of(x))
    for word in words:
        k = _rotated_left(b, b.mul(word, _u32(0xCC9E2D51, b)), 15)
        h = b.binary(ew.XorOp, h, b.mul(k, _u32(0x1B873593, b)))
        h = b.add(b.mul(_rotated_left(b, h, 13), _u32(5, b)), _u32(0xE6546B64, b))
    h = b.binary(ew.XorOp, h, _u32(4 * len(words), b))
    h = b.mul(_mixed(b, h, 16), _u32(0x85EBCA6B, b))
    h = b.mul(_mixed(b, h, 13), _u32(0xC2B2AE35, b))
    h = _mixed(b, h, 16)
    return h if node.attr_int("positive", 1) else b.cast(h, I32)
