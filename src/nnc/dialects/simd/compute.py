"""
Lane-wise arithmetic of the `simd` dialect.

Floats follow IEEE 754 with NaN and infinity propagated; integers wrap. Signedness is
in the type: `ui8` is unsigned, signless types are signed, `i1` is a boolean.
"""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import (
    AnyFloat,
    BoolAttr,
    ComplexType,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    i64,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    AttrConstraint,
    ParsePropInAttrDict,
    VarConstraint,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.simd.attributes import CmpPredicate, CmpPredicateAttr
from nnc.dialects.simd.base import (
    WIDTH,
    BinaryOp,
    FloatBinaryOp,
    FloatUnaryOp,
    UnaryOp,
    Value,
    WidthOp,
    width_attr,
)
from nnc.dialects.simd.types import (
    CAST_CONSTR,
    DATA_CONSTR,
    FLOAT_DATA_CONSTR,
    INT_DATA_CONSTR,
    MASK_CONSTR,
    bits_of,
    data_type,
    element_type_of,
    is_integer,
    is_stored_only,
    is_vector,
    mask_type,
    width_of,
)

# ---------------------------------------------------------------------------
# Unary
# ---------------------------------------------------------------------------


@irdl_op_definition
class NegOp(UnaryOp):
    """`-x`; flips the sign bit of floats, wraps for integers."""

    name = "simd.neg"


@irdl_op_definition
class AbsOp(UnaryOp):
    """`|x|`; the smallest signed integer maps to itself."""

    name = "simd.abs"


@irdl_op_definition
class SignOp(UnaryOp):
    """-1, 0 or 1 as `x` is negative, zero or positive; NaN stays NaN."""

    name = "simd.sign"


@irdl_op_definition
class NotOp(UnaryOp):
    """Bitwise complement of integers; logical not of booleans."""

    name = "simd.not"

    T: ClassVar[AttrConstraint] = VarConstraint("T", INT_DATA_CONSTR)
    value = operand_def(T)
    result = result_def(T)


@irdl_op_definition
class SqrtOp(FloatUnaryOp):
    """Correctly rounded square root; NaN below zero."""

    name = "simd.sqrt"


@irdl_op_definition
class RsqrtOp(FloatUnaryOp):
    """`1 / sqrt(x)` by division, not by an estimate."""

    name = "simd.rsqrt"


@irdl_op_definition
class ReciprocalOp(FloatUnaryOp):
    """`1 / x` by division, not by an estimate."""

    name = "simd.reciprocal"


@irdl_op_definition
class FloorOp(FloatUnaryOp):
    """Largest integer not above `x`."""

    name = "simd.floor"


@irdl_op_definition
class CeilOp(FloatUnaryOp):
    """Smallest integer not below `x`."""

    name = "simd.ceil"


@irdl_op_definition
class RoundEvenOp(FloatUnaryOp):
    """Nearest integer, ties to even."""

    name = "simd.round_even"


@irdl_op_definition
class TruncOp(FloatUnaryOp):
    """Nearest integer towards zero."""

    name = "simd.trunc"


@irdl_op_definition
class ExpOp(FloatUnaryOp):
    """`e**x`, below 1 ulp in f32."""

    name = "simd.exp"


@irdl_op_definition
class Exp2Op(FloatUnaryOp):
    """`2**x`, below 1 ulp in f32."""

    name = "simd.exp2"


@irdl_op_definition
class Expm1Op(FloatUnaryOp):
    """`e**x - 1` without cancellation near 0."""

    name = "simd.expm1"


@irdl_op_definition
class LogOp(FloatUnaryOp):
    """Natural logarithm, below 1 ulp in f32; -inf at 0, NaN below."""

    name = "simd.log"


@irdl_op_definition
class Log1pOp(FloatUnaryOp):
    """`log(1 + x)` without cancellation near 0."""

    name = "simd.log1p"


@irdl_op_definition
class TanhOp(FloatUnaryOp):
    """Hyperbolic tangent, below 1.5 ulp in f32."""

    name = "simd.tanh"


@irdl_op_definition
class ErfOp(FloatUnaryOp):
    """Error function, below 1.5 ulp in f32."""

    name = "simd.erf"


@irdl_op_definition
class SigmoidOp(FloatUnaryOp):
    """`1 / (1 + exp(-x))`, below 2.5 ulp in f32."""

    name = "simd.sigmoid"


@irdl_op_definition
class SinOp(FloatUnaryOp):
    """Sine, arguments of any size."""

    name = "simd.sin"


@irdl_op_definition
class CosOp(FloatUnaryOp):
    """Cosine, arguments of any size."""

    name = "simd.cos"


@irdl_op_definition
class TanOp(FloatUnaryOp):
    """Tangent."""

    name = "simd.tan"


@irdl_op_definition
class AsinOp(FloatUnaryOp):
    """Arc sine; NaN outside [-1, 1]."""

    name = "simd.asin"


@irdl_op_definition
class AcosOp(FloatUnaryOp):
    """Arc cosine; NaN outside [-1, 1]."""

    name = "simd.acos"


@irdl_op_definition
class AtanOp(FloatUnaryOp):
    """Arc tangent."""

    name = "simd.atan"


@irdl_op_definition
class SinhOp(FloatUnaryOp):
    """Hyperbolic sine."""

    name = "simd.sinh"


@irdl_op_definition
class CoshOp(FloatUnaryOp):
    """Hyperbolic cosine."""

    name = "simd.cosh"


@irdl_op_definition
class AsinhOp(FloatUnaryOp):
    """Inverse hyperbolic sine."""

    name = "simd.asinh"


@irdl_op_definition
class AcoshOp(FloatUnaryOp):
    """Inverse hyperbolic cosine; NaN below 1."""

    name = "simd.acosh"


@irdl_op_definition
class AtanhOp(FloatUnaryOp):
    """Inverse hyperbolic tangent; NaN outside [-1, 1]."""

    name = "simd.atanh"


class FloatTestOp(WidthOp):
    """A question about each float lane, answered by a mask."""

    value = operand_def(FLOAT_DATA_CONSTR)
    result = result_def(MASK_CONSTR)

    traits = traits_def(Pure())

    assembly_format = (
        "$value " + WIDTH + " attr-dict `:` type($value) `->` type($result)"
    )

    def __init__(self, value: Value) -> None:
        value = SSAValue.get(value)
        width = width_of(value.type)
        super().__init__(
            operands=(value,),
            result_types=(mask_type(width),),
            properties={"width": width_attr(width)},
        )


@irdl_op_definition
class IsNanOp(FloatTestOp):
    """Whether the lane is not a number."""

    name = "simd.is_nan"


@irdl_op_definition
class IsInfOp(FloatTestOp):
    """Whether the lane is plus or minus infinity."""

    name = "simd.is_inf"


# ---------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------


@irdl_op_definition
class AddOp(BinaryOp):
    """`a + b`."""

    name = "simd.add"


@irdl_op_definition
class SubOp(BinaryOp):
    """`a - b`."""

    name = "simd.sub"


@irdl_op_definition
class MulOp(BinaryOp):
    """`a * b`."""

    name = "simd.mul"


@irdl_op_definition
class DivOp(BinaryOp):
    """
    `a / b`; integers truncate towards zero.

    An integer division by zero never traps: its result is unspecified. The smallest
    signed integer divided by -1 wraps to itself.
    """

    name = "simd.div"


@irdl_op_definition
class RemOp(BinaryOp):
    """Remainder with the sign of `a` (C's `%` and `fmod`); never traps."""

    name = "simd.rem"


@irdl_op_definition
class ModFloorOp(BinaryOp):
    """Remainder with the sign of `b` (Python's `%`); never traps."""

    name = "simd.mod_floor"


@irdl_op_definition
class MinOp(BinaryOp):
    """The smaller lane; NaN if either is NaN, and -0 < +0."""

    name = "simd.min"


@irdl_op_definition
class MaxOp(BinaryOp):
    """The larger lane; NaN if either is NaN, and -0 < +0."""

    name = "simd.max"


@irdl_op_definition
class PowOp(BinaryOp):
    """`a ** b`; integers by repeated squaring, 0 for most negative exponents."""

    name = "simd.pow"


@irdl_op_definition
class Atan2Op(FloatBinaryOp):
    """Angle of the point (`b`, `a`), like C's `atan2(a, b)`."""

    name = "simd.atan2"


class IntBinaryOp(BinaryOp):
    """A binary op on integers and booleans only."""

    T: ClassVar[AttrConstraint] = VarConstraint("T", INT_DATA_CONSTR)

    lhs = operand_def(T)
    rhs = operand_def(T)
    result = result_def(T)


@irdl_op_definition
class AndOp(IntBinaryOp):
    """Bitwise and."""

    name = "simd.and"


@irdl_op_definition
class OrOp(IntBinaryOp):
    """Bitwise or."""

    name = "simd.or"


@irdl_op_definition
class XorOp(IntBinaryOp):
    """Bitwise exclusive or."""

    name = "simd.xor"


@irdl_op_definition
class ShlOp(IntBinaryOp):
    """`a << b`; 0 if `b` is not below the number of bits."""

    name = "simd.shl"


@irdl_op_definition
class ShrOp(IntBinaryOp):
    """`a >> b`, arithmetic for signed types; all sign bits if `b` is too large."""

    name = "simd.shr"


# ---------------------------------------------------------------------------
# The rest
# ---------------------------------------------------------------------------


@irdl_op_definition
class FmaOp(WidthOp):
    """`a * b + c`, fused where the target can, else rounded twice."""

    name = "simd.fma"

    T: ClassVar[AttrConstraint] = VarConstraint("T", FLOAT_DATA_CONSTR)

    a = operand_def(T)
    b = operand_def(T)
    c = operand_def(T)
    result = result_def(T)

    traits = traits_def(Pure())

    assembly_format = "$a `,` $b `,` $c " + WIDTH + " attr-dict `:` type($result)"

    def __init__(self, a: Value, b: Value, c: Value) -> None:
        a = SSAValue.get(a)
        super().__init__(
            operands=(a, b, c),
            result_types=(a.type,),
            properties={"width": width_attr(width_of(a.type))},
        )


@irdl_op_definition
class CmpOp(WidthOp):
    """
    Compare lane by lane: `simd.cmp lt, %a, %b {width = 8} : vector<8xf32> -> ...`.

    Float predicates are false on NaN, except `ne`, which is true.
    """

    name = "simd.cmp"

    T: ClassVar[AttrConstraint] = VarConstraint("T", DATA_CONSTR)

    predicate = prop_def(CmpPredicateAttr)
    lhs = operand_def(T)
    rhs = operand_def(T)
    result = result_def(MASK_CONSTR)

    traits = traits_def(Pure())

    assembly_format = (
        "$predicate `,` $lhs `,` $rhs "
        + WIDTH
        + " attr-dict `:` type($lhs) `->` type($result)"
    )

    def __init__(self, predicate: CmpPredicate | str, lhs: Value, rhs: Value) -> None:
        lhs = SSAValue.get(lhs)
        width = width_of(lhs.type)
        super().__init__(
            operands=(lhs, rhs),
            result_types=(mask_type(width),),
            properties={
                "predicate": CmpPredicateAttr(CmpPredicate(predicate)),
                "width": width_attr(width),
            },
        )


@irdl_op_definition
class SelectOp(WidthOp):
    """`a` where the condition lane is on, else `b`."""

    name = "simd.select"
    MOVES: ClassVar[bool] = True

    T: ClassVar[AttrConstraint] = VarConstraint("T", DATA_CONSTR)

    condition = operand_def(MASK_CONSTR)
    a = operand_def(T)
    b = operand_def(T)
    result = result_def(T)

    traits = traits_def(Pure())

    assembly_format = (
        "$condition `,` $a `,` $b "
        + WIDTH
        + " attr-dict `:` type($condition) `,` type($result)"
    )

    def __init__(self, condition: Value, a: Value, b: Value) -> None:
        a = SSAValue.get(a)
        super().__init__(
            operands=(condition, a, b),
            result_types=(a.type,),
            properties={"width": width_attr(width_of(a.type))},
        )


@irdl_op_definition
class CastOp(WidthOp):
    """
    Convert each lane to another element type.

    Narrower integers wrap; float to integer truncates, saturates and maps NaN to 0;
    to boolean is `x != 0`; floats round to nearest even. `index` counts as a signed
    64-bit integer. Floats of 8 bits or less and integers of less than 8 convert as by
    `nn.cast`, with the same properties.
    """

    name = "simd.cast"
    irdl_options = (ParsePropInAttrDict(),)
    MOVES: ClassVar[bool] = True

    value = operand_def(CAST_CONSTR)
    saturate = opt_prop_def(BoolAttr)
    round_mode = opt_prop_def(StringAttr)
    result = result_def(CAST_CONSTR)

    traits = traits_def(Pure())

    assembly_format = (
        "$value " + WIDTH + " attr-dict `:` type($value) `->` type($result)"
    )

    def __init__(
        self,
        value: Value,
        element_type: Attribute,
        saturate: BoolAttr | None = None,
        round_mode: StringAttr | None = None,
    ) -> None:
        value = SSAValue.get(value)
        width = width_of(value.type)
        super().__init__(
            operands=(value,),
            result_types=(data_type(element_type_of(element_type), width),),
            properties={
                "width": width_attr(width),
                "saturate": saturate,
                "round_mode": round_mode,
            },
        )

    @property
    def saturates(self) -> bool:
        """Whether what is out of the range of a float of 8 bits becomes its largest."""
        return self.saturate is None or bool(self.saturate.value.data)

    @property
    def rounding(self) -> str:
        """How a cast to powers of two rounds: `up`, `down` or `nearest`."""
        return "up" if self.round_mode is None else self.round_mode.data

    def _verify_lanes(self, type: Attribute, width: int) -> None:
        if width == 1 and type.name == "index":
            return
        super()._verify_lanes(type, width)
        if isinstance(element_type_of(type), ComplexType):
            raise VerifyException(f"{self.name}: complex numbers cannot be cast")


@irdl_op_definition
class BitcastOp(WidthOp):
    """Read the bits of each lane as another type of equal size."""

    name = "simd.bitcast"
    MOVES: ClassVar[bool] = True

    value = operand_def(DATA_CONSTR)
    result = result_def(DATA_CONSTR)

    traits = traits_def(Pure())

    assembly_format = (
        "$value " + WIDTH + " attr-dict `:` type($value) `->` type($result)"
    )

    def __init__(self, value: Value, element_type: Attribute) -> None:
        value = SSAValue.get(value)
        width = width_of(value.type)
        super().__init__(
            operands=(value,),
            result_types=(data_type(element_type_of(element_type), width),),
            properties={"width": width_attr(width)},
        )

    def verify_(self) -> None:
        super().verify_()
        from nnc.dialects.simd.types import bits_of

        if bits_of(self.value.type) != bits_of(self.result.type):
            raise VerifyException(
                f"simd.bitcast: {self.value.type} and {self.result.type} differ in size"
            )


@irdl_op_definition
class ConstantOp(WidthOp):
    """
    The same number in every lane: `simd.constant 1.0 : f32 {width = 8} : ...`.

    Lanes that are not computed with are given by their bits:
    `simd.constant 56 : i8 {width = 8} : vector<8xf8E4M3FN>` is 1.0.
    """

    name = "simd.constant"
    MOVES: ClassVar[bool] = True

    value = prop_def(IntegerAttr | FloatAttr)
    result = result_def(DATA_CONSTR)

    traits = traits_def(Pure())

    assembly_format = "$value " + WIDTH + " attr-dict `:` type($result)"

    def __init__(
        self,
        value: float | IntegerAttr[IntegerType] | FloatAttr[AnyFloat],
        element_type: Attribute | None = None,
        width: int = 1,
    ) -> None:
        """`element_type` is needed only with a plain number, or with bits."""
        if not isinstance(value, IntegerAttr | FloatAttr):
            assert element_type is not None, "a plain number needs an element type"
            if is_stored_only(element_type):
                bits = IntegerType(bits_of(element_type))
                value = IntegerAttr(int(value), bits, truncate_bits=True)
            elif is_integer(element_type):
                # i1 prints as true/false, which parses back to the signed form.
                number = int(value) if element_type.width.data > 1 else -bool(value)
                value = IntegerAttr(number, element_type, truncate_bits=True)
            else:
                assert isinstance(element_type, AnyFloat)
                value = FloatAttr(float(value), element_type)
        super().__init__(
            result_types=(data_type(element_type or value.type, width),),
            properties={"value": value, "width": width_attr(width)},
        )

    def verify_(self) -> None:
        super().verify_()
        expected = element_type_of(self.result.type)
        if is_stored_only(expected):
            expected = IntegerType(bits_of(expected))
        if self.value.type != expected:
            raise VerifyException(
                f"simd.constant: value of type {self.value.type} cannot fill "
                f"{self.result.type}"
            )


@irdl_op_definition
class BroadcastOp(WidthOp):
    """One scalar in every lane."""

    name = "simd.broadcast"
    MOVES: ClassVar[bool] = True

    SCALAR_OPERANDS: ClassVar[frozenset[int]] = frozenset({0})

    value = operand_def(DATA_CONSTR)
    result = result_def(DATA_CONSTR)

    traits = traits_def(Pure())

    assembly_format = (
        "$value " + WIDTH + " attr-dict `:` type($value) `->` type($result)"
    )

    def __init__(self, value: Value, width: int) -> None:
        value = SSAValue.get(value)
        super().__init__(
            operands=(value,),
            result_types=(data_type(value.type, width),),
            properties={"width": width_attr(width)},
        )

    def verify_(self) -> None:
        super().verify_()
        if is_vector(self.value.type):
            raise VerifyException(
                f"simd.broadcast: the operand must be a scalar, got {self.value.type}"
            )
        if self.value.type != element_type_of(self.result.type):
            raise VerifyException(
                f"simd.broadcast: cannot broadcast {self.value.type} to "
                f"{self.result.type}"
            )


@irdl_op_definition
class IotaOp(WidthOp):
    """The lane numbers 0, 1, 2, ... as `i64`."""

    name = "simd.iota"

    result = result_def(INT_DATA_CONSTR)

    traits = traits_def(Pure())

    assembly_format = WIDTH + " attr-dict `:` type($result)"

    def __init__(self, width: int) -> None:
        super().__init__(
            result_types=(data_type(i64, width),),
            properties={"width": width_attr(width)},
        )

    def verify_(self) -> None:
        super().verify_()
        if element_type_of(self.result.type) != i64:
            raise VerifyException(
                f"simd.iota: lanes must be i64, got {self.result.type}"
            )
