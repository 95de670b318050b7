"""Rules that write elementwise ops."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from writer import Impossible, Rule, Value, Writer

Array = Any


def _within(low: float, high: float) -> Callable[[Value], bool]:
    def accepts(value: Value) -> bool:
        array = value.array.astype(np.float64)
        return not array.size or bool((array >= low).all() and (array <= high).all())

    return accepts


_ANY = _within(-1e30, 1e30)

_UNARY: Final[dict[str, Callable[[Value], bool]]] = {
    "Abs": _ANY,
    "Neg": _ANY,
    "Exp": _within(-20, 5),
    "Log": _within(0.1, 1e4),
    "Sqrt": _within(0.1, 1e4),
    "Reciprocal": _within(0.1, 1e4),
    "Tanh": _ANY,
    "Sigmoid": _ANY,
    "Relu": _ANY,
    "Selu": _ANY,
    "HardSwish": _ANY,
    "Softplus": _within(-80, 80),
    "Softsign": _ANY,
    "Erf": _ANY,
    "Mish": _within(-80, 80),
    "Sin": _within(-50, 50),
    "Cos": _within(-50, 50),
    "Tan": _within(-1.2, 1.2),
    "Asin": _within(-0.9, 0.9),
    "Acos": _within(-0.9, 0.9),
    "Atan": _ANY,
    "Sinh": _within(-5, 5),
    "Cosh": _within(-5, 5),
    "Asinh": _ANY,
    "Acosh": _within(1.1, 1e4),
    "Atanh": _within(-0.9, 0.9),
    "Identity": _ANY,
}
_DISCRETE: Final = ("Floor", "Ceil", "Round", "Sign")


def unary(w: Writer) -> None:
    """A function of one float."""
    op = w.pick(_UNARY)
    w.node(op, [w.value("f", _UNARY[op])], is_exact=op in ("Abs", "Neg", "Identity"))


def unary_integer(w: Writer) -> None:
    """A function of one integer."""
    op = w.pick(("Abs", "Neg", "Sign", "BitwiseNot", "Identity", "Relu"))
    kinds = "i" if op in ("Neg", "Relu") else "iu"
    w.node(op, [w.value(kinds)], is_exact=True)


def discrete(w: Writer) -> None:
    """A step function; only of what is the same in every engine."""
    w.node(w.pick(_DISCRETE), [w.value("f", lambda v: v.is_exact)], is_exact=True)


def with_attributes(w: Writer) -> None:
    """An activation with parameters."""
    x = w.value("f")
    kind = w.pick(range(8))
    alpha = w.pick((0.1, 0.5, 1.0, 2.0))
    if kind == 0:
        w.node("LeakyRelu", [x], alpha=alpha)
    elif kind == 1:
        w.node("Elu", [x], alpha=alpha)
    elif kind == 2:
        w.node(
            "Celu", [w.value("f", lambda v: v.array.dtype == np.float32)], alpha=alpha
        )
    elif kind == 3:
        w.node("HardSigmoid", [x], alpha=alpha / 2, beta=0.4)
    elif kind == 4:
        exact = w.value("f", lambda v: v.is_exact)
        w.node("ThresholdedRelu", [exact], alpha=alpha, is_exact=True)
    elif kind == 5:
        exact = w.value("f", lambda v: v.is_exact)
        w.node("Shrink", [exact], lambd=alpha, bias=0.25)
    elif kind == 6:
        w.node("Gelu", [x], approximate=w.pick(("none", "tanh")))
    else:
        w.node("Swish", [x], alpha=alpha) if w.opset >= 24 else w.node("Elu", [x])


def clip(w: Writer) -> None:
    """Bounds on either side, or one."""
    x = w.value("fiu")
    dtype = x.array.dtype
    low = w.constant(np.array(1, dtype), is_shared=False) if w.flip(0.8) else None
    high = w.constant(np.array(3, dtype), is_shared=False) if w.flip(0.8) else None
    w.node("Clip", [x, low, high], is_exact=True)


def binary(w: Writer) -> None:
    """Arithmetic of two tensors that broadcast."""
    x = w.value("fiu" if w.flip(0.3) else "f")
    y = w.broadcast_partner(x)
    op = w.pick(("Add", "Sub", "Mul", "Max", "Min", "Add", "Mul"))
    pair = (x, y) if w.flip() else (y, x)
    w.node(op, pair, is_exact=op in ("Max", "Min"))


def divide(w: Writer) -> None:
    """A quotient whose divisor is not close to zero."""
    x = w.value("fiu")
    y = w.broadcast_partner(x)
    if y.array.size and np.abs(y.array.astype(np.float64)).min() < 0.2:
        raise Impossible
    if x.kind == "i" and bool((x.array < 0).any() or (y.array < 0).any()):
        # The reference rounds down, the standard towards zero.
        raise Impossible
    w.node("Div", [x, y])


def modulo(w: Writer) -> None:
    """Remainders of either sign."""
    x = w.value("fiu", lambda v: v.is_exact)
    y = w.broadcast_partner(x)
    if not y.is_exact or not y.array.all():
        raise Impossible
    fmod = int(x.kind == "f" or w.flip())
    w.node("Mod", [x, y], fmod=fmod)


def power(w: Writer) -> None:
    """Small powers of what is not negative."""
    x = w.value("f", _within(0.1, 20))
    exponent = np.array(w.pick((0.5, 2.0, 3.0, -1.0, 0.0)), x.array.dtype)
    if w.flip(0.3):
        exponent = np.array(w.pick((0, 1, 2, 3)), np.int64)
    w.node("Pow", [x, w.constant(exponent, is_shared=False)])


def variadic(w: Writer) -> None:
    """Any number of operands."""
    x = w.value("f")
    others = [w.broadcast_partner(x) for _ in range(w.chance.randint(0, 3))]
    w.node(w.pick(("Sum", "Mean", "Max", "Min")), [x, *others])


def compare(w: Writer) -> None:
    """Comparisons of what is the same in every engine."""
    x = w.value("fiu", lambda v: v.is_exact)
    y = w.broadcast_partner(x)
    if not y.is_exact:
        raise Impossible
    names = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")
    w.node(w.pick(names), [x, y])


def logic(w: Writer) -> None:
    """Booleans."""
    x = w.value("b")
    if w.flip(0.3):
        w.node("Not", [x])
    else:
        w.node(w.pick(("And", "Or", "Xor", "Equal")), [x, w.broadcast_partner(x)])


def bits(w: Writer) -> None:
    """Bits of integers."""
    x = w.value("iu")
    y = w.broadcast_partner(x)
    w.node(w.pick(("BitwiseAnd", "BitwiseOr", "BitwiseXor")), [x, y])


def shift(w: Writer) -> None:
    """Shifts by less than the width."""
    x = w.value("u")
    y = w.constant(np.array(w.chance.randint(0, 7), x.array.dtype), is_shared=False)
    w.node("BitShift", [x, y], direction=w.pick(("LEFT", "RIGHT")))


def select(w: Writer) -> None:
    """A choice between two tensors."""
    x = w.value("fiub")
    condition = w.value("b", lambda v: v.shape == x.shape or v.array.size == 1)
    w.node("Where", [condition, x, w.broadcast_partner(x)], is_exact=True)


def cast(w: Writer) -> None:
    """To another type; floats become integers where engines agree on them."""
    x = w.value("fiub", lambda v: v.is_exact or v.kind != "f")
    names = ("float32", "float64", "float16", "int64", "int32", "int8", "uint8", "bool")
    target = np.dtype(w.pick(names))
    if target.kind == "u" and x.array.size and x.array.min() < 0:
        raise Impossible
    kind = {
        "float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9,
        "float16": 10, "float64": 11,
    }[target.name]  # fmt: skip
    w.node("Cast", [x], to=kind, is_exact=True)


def prelu(w: Writer) -> None:
    """A slope for each channel."""
    x = w.value("f", lambda v: v.rank > 0)
    shape = [s if w.flip() else 1 for s in x.shape]
    w.node("PRelu", [x, w.like(x, shape[w.chance.randint(0, len(shape)) :])])


def chain(w: Writer) -> None:
    """Several elementwise ops one after the other: they become one kernel."""
    for _ in range(w.chance.randint(2, 4)):
        partial(w.pick((unary, binary, clip, with_attributes, select)), w)()


RULES: Final[list[Rule]] = [
    unary, unary, unary, unary_integer, discrete, with_attributes, with_attributes,
    clip, binary, binary, binary, divide, modulo, power, variadic, compare, logic,
    bits, shift, select, cast, prelu, chain,
]  # fmt: skip
