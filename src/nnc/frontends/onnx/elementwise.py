"""Converters of elementwise ops: arithmetic, activations, comparisons, casts."""

from __future__ import annotations

import math
from functools import partial

from xdsl.ir import Attribute, SSAValue

from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.base import BinaryOp, UnaryOp
from nnc.dialects.nn.dtypes import element_type_for
from nnc.dialects.nn.types import (
    BOOL,
    COMPLEX,
    F4E2M1FN,
    F32,
    I2,
    I4,
    I8,
    SMALL_FLOATS,
    SMALL_INTEGERS,
    U2,
    U4,
    U8,
    bit_width,
    dims_of,
    element_type_of,
    is_bool,
    is_float,
    rank_of,
)
from nnc.frontends.common import Builder, InvalidNodeError, Operand, UnsupportedError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import converter
from nnc.frontends.onnx.tensors import dtype_of

# ---------------------------------------------------------------- one op for one op

UNARY: dict[str, type[UnaryOp]] = {
    "Abs": ew.AbsOp,
    "Acos": ew.AcosOp,
    "Acosh": ew.AcoshOp,
    "Asin": ew.AsinOp,
    "Asinh": ew.AsinhOp,
    "Atan": ew.AtanOp,
    "Atanh": ew.AtanhOp,
    "BitwiseNot": ew.NotOp,
    "Ceil": ew.CeilOp,
    "Cos": ew.CosOp,
    "Cosh": ew.CoshOp,
    "Erf": ew.ErfOp,
    "Exp": ew.ExpOp,
    "Floor": ew.FloorOp,
    "Log": ew.LogOp,
    "Neg": ew.NegOp,
    "Not": ew.NotOp,
    "Reciprocal": ew.ReciprocalOp,
    "Relu": ew.ReluOp,
    "Round": ew.RoundOp,
    "Sigmoid": ew.SigmoidOp,
    "Sign": ew.SignOp,
    "Sin": ew.SinOp,
    "Sinh": ew.SinhOp,
    "Sqrt": ew.SqrtOp,
    "Tan": ew.TanOp,
    "Tanh": ew.TanhOp,
}

BINARY: dict[str, type[BinaryOp]] = {
    "Add": ew.AddOp,
    "And": ew.AndOp,
    "BitwiseAnd": ew.AndOp,
    "BitwiseOr": ew.OrOp,
    "BitwiseXor": ew.XorOp,
    "Div": ew.DivOp,
    "Mul": ew.MulOp,
    "Or": ew.OrOp,
    "Sub": ew.SubOp,
    "Xor": ew.XorOp,
}

COMPARE: dict[str, ew.Predicate] = {
    "Equal": "eq",
    "Greater": "gt",
    "GreaterOrEqual": "ge",
    "Less": "lt",
    "LessOrEqual": "le",
}


def _unary(op: type[UnaryOp], node: Node, b: Builder) -> SSAValue:
    return b.unary(op, node.input(0))


def _binary(op: type[BinaryOp], node: Node, b: Builder) -> SSAValue:
    return b.binary(op, *_operands(node, b))


def _compare(predicate: ew.Predicate, node: Node, b: Builder) -> SSAValue:
    return b.compare(*_operands(node, b), predicate)


def _operands(node: Node, b: Builder) -> tuple[SSAValue, SSAValue]:
    """
    The two inputs, ready to broadcast.

    Up to opset 6 the second one broadcasts only if `broadcast` says so, and then from
    `axis` on.
    """
    lhs, rhs = node.input(0), node.input(1)
    if node.version < 7 and node.attr_int("broadcast", 0) and node.has_attr("axis"):
        axis = node.attr_axis(None, rank_of(lhs))
        trailing = rank_of(lhs) - axis - rank_of(rhs)
        if trailing < 0:
            raise InvalidNodeError(f"the second input does not fit from axis {axis}")
        rhs = b.reshape(rhs, [*dims_of(rhs), *[1] * trailing])
    return lhs, rhs


for _name, _unary_op in UNARY.items():
    converter(_name)(partial(_unary, _unary_op))
for _name, _binary_op in BINARY.items():
    converter(_name)(partial(_binary, _binary_op))
for _name, _predicate in COMPARE.items():
    converter(_name)(partial(_compare, _predicate))


# ---------------------------------------------------------------- any number of inputs


def _fold(op: type[BinaryOp], node: Node, b: Builder) -> SSAValue:
    first, *others = node.variadic_inputs()
    for value in others:
        first = b.binary(op, first, value)
    return first


converter("Max")(partial(_fold, ew.MaximumOp))
converter("Min")(partial(_fold, ew.MinimumOp))
converter("Sum")(partial(_fold, ew.AddOp))


@converter("Mean")
def _mean(node: Node, b: Builder) -> SSAValue:
    return b.div(_fold(ew.AddOp, node, b), len(node.inputs))


# ---------------------------------------------------------------- arithmetic


@converter("Pow")
def _pow(node: Node, b: Builder) -> SSAValue:
    base, exponent = _operands(node, b)
    type_ = element_type_of(base)
    if is_float(element_type_of(exponent)) and not is_float(type_):
        power = b.binary(ew.PowOp, b.cast(base, element_type_of(exponent)), exponent)
        return b.cast(power, type_)
    return b.binary(ew.PowOp, base, b.cast(exponent, type_))


@converter("Mod", since=10)
def _mod(node: Node, b: Builder) -> SSAValue:
    op = ew.RemOp if node.attr_int("fmod", 0) else ew.ModOp
    return b.binary(op, node.input(0), node.input(1))


@converter("BitShift", since=11)
def _bit_shift(node: Node, b: Builder) -> SSAValue:
    directions: dict[str, type[BinaryOp]] = {
        "LEFT": ew.ShiftLeftOp,
        "RIGHT": ew.ShiftRightOp,
    }
    op = directions.get(node.attr_string("direction"))
    if op is None:
        raise InvalidNodeError("direction must be LEFT or RIGHT")
    return b.binary(op, node.input(0), node.input(1))


@converter("Where", since=9)
def _where(node: Node, b: Builder) -> SSAValue:
    return b.select(node.input(0), node.input(1), node.input(2))


@converter("IsNaN", since=9)
def _is_nan(node: Node, b: Builder) -> SSAValue:
    return b.emit(ew.IsNanOp(_computed(b, node.input(0))))


@converter("IsInf", since=10)
def _is_inf(node: Node, b: Builder) -> SSAValue:
    positive = bool(node.attr_int("detect_positive", 1))
    negative = bool(node.attr_int("detect_negative", 1))
    return b.emit(ew.IsInfOp(_computed(b, node.input(0)), positive, negative))


def _computed(b: Builder, x: SSAValue) -> SSAValue:
    """`x`, as f32 if it is of a float type that is not computed with."""
    return b.cast(x, F32) if element_type_of(x) in SMALL_FLOATS else x


@converter("Identity")
def _identity(node: Node, b: Builder) -> SSAValue:
    return node.input(0)


# ---------------------------------------------------------------- casts


@converter("Cast")
def _cast(node: Node, b: Builder) -> SSAValue:
    target = node.attr_int("to") if node.version >= 6 else _named_type(node)
    return _cast_to(node, b, element_type_for(dtype_of(target, "the target type")))


def _cast_to(node: Node, b: Builder, target: Attribute) -> SSAValue:
    saturate = bool(node.attr_int("saturate", 1))
    round_mode = node.attr_string("round_mode", "up")
    return b.cast(node.input(0), target, saturate=saturate, round_mode=round_mode)


def _named_type(node: Node) -> int:
    from onnx import TensorProto

    name = node.attr_string("to").upper()
    known = dict(TensorProto.DataType.items())
    if name not in known:
        raise InvalidNodeError(f"there is no element type '{name[:40]}'")
    return known[name]


@converter("BitCast", since=26)
def _bit_cast(node: Node, b: Builder) -> SSAValue:
    x = node.input(0)
    source = element_type_of(x)
    target = element_type_for(dtype_of(node.attr_int("to"), "the target type"))
    if source == target:
        return x
    if {source, target} & COMPLEX:
        raise UnsupportedError(f"the bits of {source} as {target}")
    widths = [_exact_width(t) for t in (source, target)]
    if widths[0] != widths[1]:
        raise InvalidNodeError(
            f"{source} has {widths[0]} bits, but {target} has {widths[1]}"
        )
    if {source, target} & {BOOL, *SMALL_INTEGERS}:
        return _with_bits(b, _bits_of(b, x, widths[0]), target, widths[0])
    return b.emit(ew.BitCastOp(x, target))


def _exact_width(type_: Attribute) -> int:
    """The bits of a number; booleans are bytes of 0 and 1."""
    if type_ == F4E2M1FN:
        return 4
    if type_ in SMALL_INTEGERS:
        return 2 if type_ in (I2, U2) else 4
    return bit_width(type_)


def _bits_of(b: Builder, x: SSAValue, width: int) -> SSAValue:
    """The bits of numbers of a byte or less, as u8."""
    type_ = element_type_of(x)
    if is_bool(type_) or type_ in (U2, U4):
        return b.cast(x, U8)
    if type_ in (I2, I4):
        return b.binary(ew.AndOp, b.cast(x, U8), 2**width - 1)
    return x if type_ == U8 else b.emit(ew.BitCastOp(x, U8))


def _with_bits(b: Builder, bits: SSAValue, type_: Attribute, width: int) -> SSAValue:
    """The numbers of a byte or less that have these bits."""
    if is_bool(type_) or type_ in (U2, U4):
        return b.cast(bits, type_)
    if type_ in (I2, I4):
        # Shifted up and down again, the sign fills the byte.
        high = b.binary(ew.ShiftLeftOp, bits, 8 - width)
        signed = b.emit(ew.BitCastOp(high, I8))
        return b.cast(b.binary(ew.ShiftRightOp, signed, 8 - width), type_)
    return bits if type_ == U8 else b.emit(ew.BitCastOp(bits, type_))


@converter("CastLike", since=15)
def _cast_like(node: Node, b: Builder) -> SSAValue:
    return _cast_to(node, b, element_type_of(node.input(1)))


# ---------------------------------------------------------------- bounds


@converter("Clip")
def _clip_attributes(node: Node, b: Builder) -> SSAValue:
    low = node.attr_float("min", 0.0) if node.has_attr("min") else None
    high = node.attr_float("max", 0.0) if node.has_attr("max") else None
    if low is None and high is None:
        return node.input(0)
    return b.emit(ew.ClampOp(node.input(0), low, high))


@converter("Clip", since=11)
def _clip(node: Node, b: Builder) -> SSAValue:
    x, low, high = node.input(0), node.optional_input(1), node.optional_input(2)
    bounds = [None if v is None else b.constant_scalar(v) for v in (low, high)]
    fixed = all(
        v is None or (c is not None and not math.isnan(c) and _exact(c))
        for v, c in zip((low, high), bounds, strict=True)
    )
    if low is None and high is None:
        return x
    # When both are given, and cross each other, every element becomes `max`.
    if fixed and not (
        bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]
    ):
        return b.emit(ew.ClampOp(x, *bounds))
    for bound, op in ((low, ew.MaximumOp), (high, ew.MinimumOp)):
        if bound is not None:
            x = b.binary(op, x, b.reshape(bound, ()))
    return x


def _exact(number: float) -> bool:
    """Whether the bound of a clamp, an f64, holds the number."""
    return isinstance(number, float) or float(number) == number


# ---------------------------------------------------------------- activations


def _clamped(
    b: Builder, x: SSAValue, low: float | None, high: float | None
) -> SSAValue:
    return b.emit(ew.ClampOp(x, low, high))


def _exp_minus_one(b: Builder, x: Operand) -> SSAValue:
    assert isinstance(x, SSAValue)
    return b.sub(b.unary(ew.ExpOp, x), 1.0)


def _negative_part(b: Builder, x: SSAValue) -> SSAValue:
    # Keeps exp finite where its result is not selected.
    return _clamped(b, x, None, 0.0)


@converter("LeakyRelu")
def _leaky_relu(node: Node, b: Builder) -> SSAValue:
    x = node.input(0)
    scaled = b.mul(x, node.attr_float("alpha", 0.01))
    return b.select(b.compare(x, 0.0, "lt"), scaled, x)


@converter("PRelu")
def _prelu(node: Node, b: Builder) -> SSAValue:
    x, slope = node.input(0), node.input(1)
    if node.version < 7 and rank_of(slope) == 1 and rank_of(x) > 1:
        slope = b.reshape(slope, [dims_of(slope)[0], *[1] * (rank_of(x) - 2)])
    return b.select(b.compare(x, 0, "lt"), b.mul(x, slope), x)


@converter("Elu")
def _elu(node: Node, b: Builder) -> SSAValue:
    x = node.input(0)
    tail = b.mul(_exp_minus_one(b, _negative_part(b, x)), node.attr_float("alpha", 1.0))
    return b.select(b.compare(x, 0.0, "lt"), tail, x)


@converter("Selu")
def _selu(node: Node, b: Builder) -> SSAValue:
    x = node.input(0)
    # Opset 1 had the constants rounded.
    alpha = node.attr_float(
        "alpha", 1.6732632423543772 if node.version >= 6 else 1.6732
    )
    gamma = node.attr_float(
        "gamma", 1.0507009873554805 if node.version >= 6 else 1.0507
    )
    tail = b.mul(_exp_minus_one(b, _negative_part(b, x)), alpha)
    return b.mul(b.select(b.compare(x, 0.0, "le"), tail, x), gamma)


@converter("Celu", since=12)
def _celu(node: Node, b: Builder) -> SSAValue:
    x, alpha = node.input(0), node.attr_float("alpha", 1.0)
    if alpha == 0:
        raise InvalidNodeError("alpha must not be 0")
    tail = b.mul(_exp_minus_one(b, b.div(_negative_part(b, x), alpha)), alpha)
    return b.select(b.compare(x, 0.0, "lt"), tail, x)


@converter("ThresholdedRelu")
def _thresholded_relu(node: Node, b: Builder) -> SSAValue:
    x = node.input(0)
    return b.select(b.compare(x, node.attr_float("alpha", 1.0), "gt"), x, 0.0)


@converter("Shrink", since=9)
def _shrink(node: Node, b: Builder) -> SSAValue:
    x = node.input(0)
    bias, lambd = node.attr_float("bias", 0.0), node.attr_float("lambd", 0.5)
    zero = b.full(0, x)
    upper = b.select(b.compare(x, lambd, "gt"), b.sub(x, bias), zero)
    return b.select(b.compare(x, -lambd, "lt"), b.add(x, bias), upper)


@converter("HardSigmoid")
def _hard_sigmoid(node: Node, b: Builder) -> SSAValue:
    alpha, beta = node.attr_float("alpha", 0.2), node.attr_float("beta", 0.5)
    return _clamped(b, b.add(b.mul(node.input(0), alpha), beta), 0.0, 1.0)


@converter("HardSwish", since=14)
def _hard_swish(node: Node, b: Builder) -> SSAValue:
    x = node.input(0)
    gate = _clamped(b, b.add(b.mul(x, 1 / 6), 0.5), 0.0, 1.0)
    return b.mul(x, gate)


def softplus(b: Builder, x: SSAValue) -> SSAValue:
    """`log(1 + e^x)` without overflow: `max(x, 0) + log(1 + e^-|x|)`."""
    decay = b.unary(ew.ExpOp, b.unary(ew.NegOp, b.unary(ew.AbsOp, x)))
    return b.add(b.unary(ew.ReluOp, x), b.unary(ew.LogOp, b.add(decay, 1.0)))


@converter("Softplus")
def _softplus(node: Node, b: Builder) -> SSAValue:
    return softplus(b, node.input(0))


@converter("Softsign")
def _softsign(node: Node, b: Builder) -> SSAValue:
    x = node.input(0)
    return b.div(x, b.add(b.unary(ew.AbsOp, x), 1.0))


@converter("Mish", since=18)
def _mish(node: Node, b: Builder) -> SSAValue:
    x = node.input(0)
    return b.mul(x, b.unary(ew.TanhOp, softplus(b, x)))


@converter("Swish", since=24)
def _swish(node: Node, b: Builder) -> SSAValue:
    return gated(b, node.input(0), node.attr_float("alpha", 1.0))


@converter("SwiGLU", since=28)
def _swiglu(node: Node, b: Builder) -> SSAValue:
    gate = gated(b, node.input(0), node.attr_float("alpha", 1.0))
    return b.mul(gate, node.input(1))


def gated(b: Builder, x: SSAValue, alpha: float) -> SSAValue:
    """`x * sigmoid(alpha * x)`."""
    scaled = x if alpha == 1.0 else b.mul(x, alpha)
    return b.mul(x, b.unary(ew.SigmoidOp, scaled))


def gelu(b: Builder, x: SSAValue, approximate: str = "none") -> SSAValue:
    """`x` times the normal distribution's cumulative function, or tanh's likeness."""
    if approximate == "tanh":
        cubic = b.mul(b.mul(b.mul(x, x), x), 0.044715)
        inner = b.mul(b.add(x, cubic), math.sqrt(2 / math.pi))
        gate = b.unary(ew.TanhOp, inner)
    elif approximate == "none":
        gate = b.unary(ew.ErfOp, b.mul(x, math.sqrt(0.5)))
    else:
        raise InvalidNodeError(f"there is no approximation '{approximate[:40]}'")
    return b.mul(b.mul(x, 0.5), b.add(gate, 1.0))


@converter("Gelu", since=20)
def _gelu(node: Node, b: Builder) -> SSAValue:
    return gelu(b, node.input(0), node.attr_string("approximate", "none"))


def as_float(b: Builder, value: SSAValue) -> SSAValue:
    """`value` as a float tensor; f32 if it is none."""
    return value if is_float(element_type_of(value)) else b.cast(value, F32)
