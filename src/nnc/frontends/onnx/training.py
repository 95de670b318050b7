"""Converters of the optimizers of ai.onnx.preview.training: one step each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from xdsl.ir import SSAValue

from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import element_type_of
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter

TRAINING = "ai.onnx.preview.training"

_Step: TypeAlias = Callable[[Sequence[SSAValue]], Sequence[SSAValue]]


def _each(node: Node, parts: int, step: _Step) -> list[SSAValue]:
    """The new values of every parameter tensor, of which a node may have several."""
    values = node.inputs[2:]
    if len(values) % parts or None in values:
        raise InvalidNodeError(f"{len(values)} tensors are no multiple of {parts}")
    tensors = [v for v in values if v is not None]
    count = len(tensors) // parts
    steps = [step(tensors[i::count]) for i in range(count)]
    return [new[k] for k in range(len(steps[0]) if steps else 0) for new in steps]


def _regularized(node: Node, b: Builder, x: SSAValue, gradient: SSAValue) -> SSAValue:
    norm = node.attr_float("norm_coefficient", 0.0)
    return b.add(gradient, b.mul(x, norm)) if norm else gradient


@converter("Adagrad", domain=TRAINING)
def _adagrad(node: Node, b: Builder) -> Converted:
    rate, count = node.input(0), node.input(1)
    decay = node.attr_float("decay_factor", 0.0)
    steps = b.cast(count, element_type_of(rate))
    rate = b.div(rate, b.add(b.mul(steps, decay), 1))
    epsilon = node.attr_float("epsilon", 0.0)

    def step(values: Sequence[SSAValue]) -> Sequence[SSAValue]:
        x, gradient, squares = values
        gradient = _regularized(node, b, x, gradient)
        squares = b.add(squares, b.mul(gradient, gradient))
        scale = b.add(b.unary(ew.SqrtOp, squares), epsilon)
        return b.sub(x, b.mul(rate, b.div(gradient, scale))), squares

    return _each(node, 3, step)


@converter("Momentum", domain=TRAINING)
def _momentum(node: Node, b: Builder) -> Converted:
    rate, count = node.input(0), node.input(1)
    alpha, beta = node.attr_float("alpha"), node.attr_float("beta")
    mode = node.attr_string("mode")
    if mode not in ("standard", "nesterov"):
        raise InvalidNodeError(f"there is no mode '{mode[:40]}'")

    def step(values: Sequence[SSAValue]) -> Sequence[SSAValue]:
        x, gradient, momentum = values
        gradient = _regularized(node, b, x, gradient)
        # The first step takes the gradient whole.
        share = b.select(b.compare(count, 0, "gt"), b.scalar(beta, kind(x)), 1)
        momentum = b.add(b.mul(momentum, alpha), b.mul(gradient, share))
        move = momentum
        if mode == "nesterov":
            move = b.add(gradient, b.mul(momentum, alpha))
        return b.sub(x, b.mul(rate, move)), momentum

    kind = element_type_of
    return _each(node, 3, step)


@converter("Adam", domain=TRAINING)
def _adam(node: Node, b: Builder) -> Converted:
    rate, count = node.input(0), node.input(1)
    alpha, beta = node.attr_float("alpha", 0.9), node.attr_float("beta", 0.999)
    epsilon = node.attr_float("epsilon", 0.0)
    after = node.attr_float("norm_coefficient_post", 0.0)
    steps = b.cast(count, element_type_of(rate))
    powers = [
        b.binary(ew.PowOp, b.scalar(base, element_type_of(rate)), steps)
        for base in (alpha, beta)
    ]
    one = b.scalar(1, element_type_of(rate))
    corrected = b.div(b.unary(ew.SqrtOp, b.sub(one, powers[1])), b.sub(one, powers[0]))
    is_later = b.compare(count, 0, "gt")
    rate = b.mul(rate, b.select(is_later, corrected, 1))

    def step(values: Sequence[SSAValue]) -> Sequence[SSAValue]:
        x, gradient, first, second = values
        gradient = _regularized(node, b, x, gradient)
        first = b.add(b.mul(first, alpha), b.mul(gradient, 1 - alpha))
        square = b.mul(gradient, gradient)
        second = b.add(b.mul(second, beta), b.mul(square, 1 - beta))
        scale = b.add(b.unary(ew.SqrtOp, second), epsilon)
        x = b.sub(x, b.mul(rate, b.div(first, scale)))
        return b.mul(x, 1 - after) if after else x, first, second

    return _each(node, 4, step)
