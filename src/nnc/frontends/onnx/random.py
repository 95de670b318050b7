"""
Converters of random ops: counter-based numbers, which any element can have at once.

A node draws from a stream of its own. With a seed, the stream is always the same;
without one it also depends on the number of the run, so that each run draws anew. In a
loop, each iteration has a stream.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from xdsl.ir import Attribute, SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.dtypes import element_type_for
from nnc.dialects.nn.types import (
    BF16,
    BOOL,
    F16,
    F32,
    F64,
    I32,
    I64,
    U64,
    dims_of,
    element_type_of,
    is_float,
    rank_of,
)
from nnc.frontends.common import Builder, InvalidNodeError, Operand
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.onnx.tensors import dtype_of
from nnc.symbolic import Dim, dim_product

_DIGITS: Mapping[Attribute, int] = {F16: 11, BF16: 8, F32: 24, F64: 53}
"""Random bits that a number of [0, 1) takes of 64, so that none is rounded to 1."""


class Stream:
    """The random numbers of one node."""

    def __init__(self, node: Node, b: Builder) -> None:
        self._b = b
        self._key = self._seed(node)
        for iteration in b.iterations:
            self._key = self._derived(b.cast(iteration, U64))

    def _seed(self, node: Node) -> SSAValue:
        b = self._b
        if node.has_attr("seed"):
            return self._u64(_seed_bits(node))
        b.random_streams += 1
        self._key = b.emit(nn.RunSeedOp())
        return self._derived(self._u64(b.random_streams))

    def _u64(self, number: int) -> SSAValue:
        return self._b.constant(np.array(number, np.uint64))

    def _derived(self, number: SSAValue) -> SSAValue:
        return self._b.emit(ew.ThreefryOp(self._key, number))

    def bits(self, dims: Sequence[Dim]) -> SSAValue:
        """Random u64 numbers of a shape, others each time."""
        b = self._b
        self._key = self._derived(self._u64(0))
        count = dim_product(dims)
        counter = b.cast(b.iota([count], 0, I64), U64)
        key = b.broadcast_to(self._key, [count])
        return b.reshape(b.emit(ew.ThreefryOp(key, counter)), dims)

    def uniform(self, dims: Sequence[Dim], type_: Attribute) -> SSAValue:
        """Numbers of [0, 1), all multiples of a power of 2."""
        return self._fractions(self.bits(dims), type_)

    def _fractions(self, bits: SSAValue, type_: Attribute) -> SSAValue:
        """The highest bits of each number as one of [0, 1)."""
        b, digits = self._b, _DIGITS[type_]
        high = b.binary(ew.ShiftRightOp, bits, 64 - digits)
        whole = b.cast(b.cast(high, I32 if digits < 32 else I64), type_)
        return b.mul(whole, 2.0**-digits)

    def normal(self, dims: Sequence[Dim], type_: Attribute) -> SSAValue:
        """Numbers of the normal distribution, by the method of Box and Muller."""
        b = self._b
        wide = F64 if type_ == F64 else F32
        first = self.bits(dims)
        if wide == F64:
            second = self.bits(dims)
        else:
            second = b.binary(ew.ShiftLeftOp, first, 32)
        # The logarithm is of a number of (0, 1].
        radius = self._fractions(first, wide)
        radius = b.unary(ew.LogOp, b.add(radius, 2.0 ** -_DIGITS[wide]))
        radius = b.unary(ew.SqrtOp, b.mul(radius, -2.0))
        angle = b.mul(self._fractions(second, wide), 2 * math.pi)
        return b.cast(b.mul(radius, b.unary(ew.CosOp, angle)), type_)


def _seed_bits(node: Node) -> int:
    """The seed as 64 bits; seeds are floats but for Dropout."""
    if node.op_type == "Dropout":
        return node.attr_int("seed") % 2**64
    return int.from_bytes(struct.pack("<d", node.attr_float("seed")), "little")


def _float_type(type_: Attribute) -> Attribute:
    """
    `type_`, if there are random numbers of it.

    Raises:
        InvalidNodeError: there are none.
    """
    if not is_float(type_) or type_ not in _DIGITS:
        raise InvalidNodeError(f"random numbers of type {type_}")
    return type_


def _result_type(node: Node, default: Attribute) -> Attribute:
    if not node.has_attr("dtype"):
        return default
    return element_type_for(dtype_of(node.attr_int("dtype"), "the result"))


def _own_shape(node: Node) -> Sequence[Dim]:
    sizes = node.attr_ints("shape")
    if any(s < 0 for s in sizes):
        raise InvalidNodeError(f"a shape holds a negative number: {sizes}")
    return [Dim.of(s) for s in sizes]


def _scaled(b: Builder, x: SSAValue, scale: Operand, start: Operand) -> SSAValue:
    return b.add(b.mul(x, scale), start)


def _uniform(node: Node, b: Builder, dims: Sequence[Dim], type_: Attribute) -> SSAValue:
    low, high = node.attr_float("low", 0.0), node.attr_float("high", 1.0)
    x = Stream(node, b).uniform(dims, _float_type(type_))
    return x if (low, high) == (0, 1) else _scaled(b, x, high - low, low)


def _normal(node: Node, b: Builder, dims: Sequence[Dim], type_: Attribute) -> SSAValue:
    mean, scale = node.attr_float("mean", 0.0), node.attr_float("scale", 1.0)
    x = Stream(node, b).normal(dims, _float_type(type_))
    return x if (mean, scale) == (0, 1) else _scaled(b, x, scale, mean)


@converter("RandomUniform")
def _random_uniform(node: Node, b: Builder) -> Converted:
    return _uniform(node, b, _own_shape(node), _result_type(node, F32))


@converter("RandomUniformLike")
def _random_uniform_like(node: Node, b: Builder) -> Converted:
    type_ = _result_type(node, element_type_of(node.input(0)))
    return _uniform(node, b, dims_of(node.input(0)), type_)


@converter("RandomNormal")
def _random_normal(node: Node, b: Builder) -> Converted:
    return _normal(node, b, _own_shape(node), _result_type(node, F32))


@converter("RandomNormalLike")
def _random_normal_like(node: Node, b: Builder) -> Converted:
    type_ = _result_type(node, element_type_of(node.input(0)))
    return _normal(node, b, dims_of(node.input(0)), type_)


@converter("Bernoulli", since=15)
def _bernoulli(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    type_ = _result_type(node, element_type_of(x))
    # The probability is compared with as many bits as it has.
    draw = Stream(node, b).uniform(dims_of(x), _float_type(element_type_of(x)))
    return b.cast(b.compare(draw, x, "lt"), type_)


@converter("Multinomial", since=7)
def _multinomial(node: Node, b: Builder) -> Converted:
    """How many running sums of the probabilities a random number is not below."""
    x = node.input(0)
    count = node.attr_int("sample_size", 1)
    type_ = _result_type(node, I32)
    if rank_of(x) != 2 or count < 0 or type_ not in (I32, I64):
        raise InvalidNodeError(f"{count} samples of type {type_} from {x.type}")
    rows, classes = dims_of(x)
    wide = b.cast(x, F64)
    shifted = b.sub(wide, b.reduce(wide, "max", [1]))
    sums = b.emit(nn.CumulativeOp(b.unary(ew.ExpOp, shifted), 1))
    total = b.reduce(sums, "max", [1])
    draw = Stream(node, b).uniform([rows, Dim.of(count)], F64)
    level = b.reshape(b.mul(draw, total), [rows, count, 1])
    passed = b.compare(b.reshape(sums, [rows, 1, classes]), level, "le")
    index = b.reduce(b.cast(passed, type_), "sum", [2], keep_dims=False)
    last = b.cast(b.reshape(b.dims([classes - 1]), ()), type_)
    return b.binary(ew.MinimumOp, index, last)


# ---------------------------------------------------------------- Dropout


@converter("Dropout")
def _dropout_attributes(node: Node, b: Builder) -> Converted:
    """
    Up to opset 11 the ratio is an attribute, and from 7 on nothing is dropped.

    Before, `is_test` tells. Files of that time leave it out and mean inference, unless
    they ask which elements were dropped.
    """
    x = node.input(0)
    trains = node.has_attr("is_test") or node.uses_output(1)
    if node.version < 7 and trains and not node.attr_int("is_test", 0):
        ratio = b.scalar(node.attr_float("ratio", 0.5), element_type_of(x))
        y, mask = _dropped(node, b, x, ratio)
    else:
        y, mask = x, b.broadcast_to(b.scalar(1, BOOL), dims_of(x))
    return [y, mask if node.version >= 10 else b.cast(mask, element_type_of(x))]


@converter("Dropout", since=12)
def _dropout(node: Node, b: Builder) -> Converted:
    x, training = node.input(0), node.optional_input(2)
    all_kept = b.broadcast_to(b.scalar(1, BOOL), dims_of(x))
    if training is None or b.constant_scalar(training) == 0:
        return [x, all_kept]
    ratio = node.optional_input(1)
    if ratio is None:
        ratio = b.scalar(0.5, F32)
    y, mask = _dropped(node, b, x, b.reshape(ratio, ()))
    if b.constant_scalar(training) is None:
        training = b.reshape(b.cast(training, BOOL), ())
        y, mask = b.select(training, y, x), b.select(training, mask, all_kept)
    return [y, mask]


def _dropped(
    node: Node, b: Builder, x: SSAValue, ratio: SSAValue
) -> tuple[SSAValue, SSAValue]:
    """`x` with elements dropped and the others scaled up; which ones were kept."""
    type_ = element_type_of(x)
    fixed = b.constant_scalar(ratio)
    if fixed is not None and not 0 <= fixed < 1:
        raise InvalidNodeError(f"the ratio is {fixed}")
    draw = Stream(node, b).uniform(dims_of(x), _float_type(element_type_of(ratio)))
    mask = b.compare(draw, ratio, "ge")
    wide = F64 if type_ == F64 else F32
    kept = b.sub(b.scalar(1, wide), b.cast(ratio, wide))
    scaled = b.cast(b.div(b.cast(x, wide), kept), type_)
    return b.select(mask, scaled, 0), mask
