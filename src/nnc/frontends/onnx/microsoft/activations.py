"""The activation that a fused op applies to its result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from xdsl.ir import SSAValue

from nnc.dialects.nn import elementwise as ew
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.elementwise import gated, gelu
from nnc.frontends.onnx.node import Node

Apply = Callable[[Builder, SSAValue, float, float], SSAValue]


def _clip(b: Builder, x: SSAValue, low: float, high: float) -> SSAValue:
    return b.emit(ew.ClampOp(x, low, high))


def _leaky_relu(b: Builder, x: SSAValue, alpha: float, _: float) -> SSAValue:
    return b.select(b.compare(x, 0.0, "lt"), b.mul(x, alpha), x)


def _hard_sigmoid(b: Builder, x: SSAValue, alpha: float, beta: float) -> SSAValue:
    return b.emit(ew.ClampOp(b.add(b.mul(x, alpha), beta), 0.0, 1.0))


def _hard_swish(b: Builder, x: SSAValue, alpha: float, beta: float) -> SSAValue:
    return b.mul(x, _hard_sigmoid(b, x, 1 / 6, 0.5))


_FUNCTIONS: Final[Mapping[str, tuple[Apply, float, float]]] = {
    "": (lambda b, x, p, q: x, 0.0, 0.0),
    "Relu": (lambda b, x, p, q: b.unary(ew.ReluOp, x), 0.0, 0.0),
    "Tanh": (lambda b, x, p, q: b.unary(ew.TanhOp, x), 0.0, 0.0),
    "Sigmoid": (lambda b, x, p, q: b.unary(ew.SigmoidOp, x), 0.0, 0.0),
    "Gelu": (lambda b, x, p, q: gelu(b, x), 0.0, 0.0),
    "Swish": (lambda b, x, p, q: gated(b, x, 1.0), 0.0, 0.0),
    "LeakyRelu": (_leaky_relu, 0.01, 0.0),
    "HardSigmoid": (_hard_sigmoid, 0.2, 0.5),
    "HardSwish": (_hard_swish, 0.0, 0.0),
    "Clip": (_clip, -math.inf, math.inf),
}
"""By ONNX name, with the defaults of up to two numbers."""


def activated(
    b: Builder, x: SSAValue, name: str, numbers: Sequence[float] = ()
) -> SSAValue:
    """
    `x` after the activation of that name, whose numbers may be given.

    Raises:
        UnsupportedError: there is no such activation.
        InvalidNodeError: there are too many numbers.
    """
    if name not in _FUNCTIONS:
        raise UnsupportedError(f"the activation '{name[:40]}'")
    if len(numbers) > 2:
        raise InvalidNodeError(f"{len(numbers)} numbers for the activation '{name}'")
    apply, *defaults = _FUNCTIONS[name]
    first, second = [*numbers, *defaults[len(numbers) :]]
    return apply(b, x, first, second)


def fused_activation(node: Node, b: Builder, x: SSAValue) -> SSAValue:
    """`x` after `activation`, with the numbers in `activation_alpha` and `_beta`."""
    numbers = [
        node.attr_float(f"activation_{part}")
        for part in ("alpha", "beta")
        if node.has_attr(f"activation_{part}")
    ]
    return activated(b, x, node.attr_string("activation", ""), numbers)
