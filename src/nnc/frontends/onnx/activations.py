"""The activation functions of recurrent layers, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from xdsl.ir import SSAValue

from nnc.dialects.nn import elementwise as ew
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.node import Node

Activation: TypeAlias = Callable[[Builder, SSAValue], SSAValue]


@dataclass(frozen=True)
class _Kind:
    """A function of a value and up to two numbers, with their defaults."""

    apply: Callable[[Builder, SSAValue, float, float], SSAValue]
    alpha: float | None = None
    beta: float | None = None


def _leaky_relu(b: Builder, x: SSAValue, alpha: float, _: float) -> SSAValue:
    return b.select(b.compare(x, 0.0, "lt"), b.mul(x, alpha), x)


def _thresholded_relu(b: Builder, x: SSAValue, alpha: float, _: float) -> SSAValue:
    return b.select(b.compare(x, alpha, "gt"), x, 0.0)


def _elu(b: Builder, x: SSAValue, alpha: float, _: float) -> SSAValue:
    below = b.mul(b.sub(b.unary(ew.ExpOp, x), 1.0), alpha)
    return b.select(b.compare(x, 0.0, "lt"), below, x)


def _hard_sigmoid(b: Builder, x: SSAValue, alpha: float, beta: float) -> SSAValue:
    return b.emit(ew.ClampOp(b.add(b.mul(x, alpha), beta), 0.0, 1.0))


def _softsign(b: Builder, x: SSAValue, alpha: float, beta: float) -> SSAValue:
    return b.div(x, b.add(b.unary(ew.AbsOp, x), 1.0))


def _softplus(b: Builder, x: SSAValue, alpha: float, beta: float) -> SSAValue:
    # log(1 + exp(x)) without an overflow.
    tail = b.unary(ew.ExpOp, b.unary(ew.NegOp, b.unary(ew.AbsOp, x)))
    return b.add(b.unary(ew.ReluOp, x), b.unary(ew.LogOp, b.add(tail, 1.0)))


_KINDS: Final[Mapping[str, _Kind]] = {
    "relu": _Kind(lambda b, x, alpha, beta: b.unary(ew.ReluOp, x)),
    "tanh": _Kind(lambda b, x, alpha, beta: b.unary(ew.TanhOp, x)),
    "sigmoid": _Kind(lambda b, x, alpha, beta: b.unary(ew.SigmoidOp, x)),
    "softsign": _Kind(_softsign),
    "softplus": _Kind(_softplus),
    "affine": _Kind(lambda b, x, alpha, beta: b.add(b.mul(x, alpha), beta), 1.0, 0.0),
    "leakyrelu": _Kind(_leaky_relu, 0.01),
    "thresholdedrelu": _Kind(_thresholded_relu, 1.0),
    "scaledtanh": _Kind(
        lambda b, x, alpha, beta: b.mul(b.unary(ew.TanhOp, b.mul(x, beta)), alpha),
        1.0,
        1.0,
    ),
    "hardsigmoid": _Kind(_hard_sigmoid, 0.2, 0.5),
    "elu": _Kind(_elu, 1.0),
}


def activations_of(
    node: Node, defaults: Sequence[str], directions: int
) -> list[list[Activation]]:
    """
    The activation functions of each direction.

    `activation_alpha` and `activation_beta` are used up in order by the functions that
    have such a number.

    Raises:
        InvalidNodeError: there is another number of them.
        UnsupportedError: one has an unknown name.
    """
    given = _strings(node, "activations")
    names = given or list(defaults) * directions
    if len(names) != len(defaults) * directions:
        raise InvalidNodeError(
            f"{len(names)} activations for {directions} directions, "
            f"{len(defaults)} are needed for each"
        )
    alphas = node.attr_floats("activation_alpha", [])
    betas = node.attr_floats("activation_beta", [])
    functions: list[Activation] = []
    for name in names:
        kind = _KINDS.get(name.lower())
        if kind is None:
            raise UnsupportedError(f"the activation '{name}'")
        functions.append(_bound(kind, alphas, betas))
    count = len(defaults)
    return [functions[i * count : (i + 1) * count] for i in range(directions)]


def _bound(kind: _Kind, alphas: list[float], betas: list[float]) -> Activation:
    alpha, beta = kind.alpha or 0.0, kind.beta or 0.0
    if kind.alpha is not None and alphas:
        alpha = alphas.pop(0)
    if kind.beta is not None and betas:
        beta = betas.pop(0)
    return lambda b, x: kind.apply(b, x, alpha, beta)


def _strings(node: Node, name: str) -> list[str]:
    return node.attr_strings(name, []) if node.has_attr(name) else []
