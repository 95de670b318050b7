"""Elementwise ops: equal shapes in, the same shape out; nothing broadcasts here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from xdsl.dialects.builtin import BoolAttr, FloatAttr, StringAttr, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
)
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import (
    BinaryOp,
    Elements,
    NnOp,
    PropertyValue,
    UnaryOp,
    require_same_dims,
    require_same_element_type,
)
from nnc.dialects.nn.types import (
    BOOL,
    COMPLEX,
    F8E4M3FN,
    F8E4M3FNUZ,
    F8E5M2,
    F8E5M2FNUZ,
    F8E8M0FNU,
    SMALL_INTEGERS,
    U64,
    NnTensorType,
    bit_width,
    dims_of,
    element_type_of,
    is_bool,
    tensor_type,
)

_MAY_OVERFLOW: frozenset[Attribute] = frozenset(
    (F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0FNU)
)


@irdl_op_definition
class NegOp(UnaryOp):
    """The negated elements, `-x`."""

    name = "nn.neg"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class AbsOp(UnaryOp):
    """The absolute values, `|x|`."""

    name = "nn.abs"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class SignOp(UnaryOp):
    """-1, 0 or 1 by the sign of each element; NaN stays NaN."""

    name = "nn.sign"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class ExpOp(UnaryOp):
    """The exponentials, `e^x`."""

    name = "nn.exp"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class LogOp(UnaryOp):
    """The natural logarithms; NaN below zero, -inf at zero."""

    name = "nn.log"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class SqrtOp(UnaryOp):
    """The square roots; NaN below zero."""

    name = "nn.sqrt"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class ReciprocalOp(UnaryOp):
    """The reciprocals, `1 / x`."""

    name = "nn.reciprocal"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class FloorOp(UnaryOp):
    """The elements rounded towards -inf."""

    name = "nn.floor"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class CeilOp(UnaryOp):
    """The elements rounded towards +inf."""

    name = "nn.ceil"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class RoundOp(UnaryOp):
    """The elements rounded to the nearest integer, halves to even."""

    name = "nn.round"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class SinOp(UnaryOp):
    """The sines; radians."""

    name = "nn.sin"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class CosOp(UnaryOp):
    """The cosines; radians."""

    name = "nn.cos"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class TanOp(UnaryOp):
    """The tangents; radians."""

    name = "nn.tan"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class AsinOp(UnaryOp):
    """The arc sines; NaN outside of [-1, 1]."""

    name = "nn.asin"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class AcosOp(UnaryOp):
    """The arc cosines; NaN outside of [-1, 1]."""

    name = "nn.acos"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class AtanOp(UnaryOp):
    """The arc tangents."""

    name = "nn.atan"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class SinhOp(UnaryOp):
    """The hyperbolic sines."""

    name = "nn.sinh"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class CoshOp(UnaryOp):
    """The hyperbolic cosines."""

    name = "nn.cosh"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class AsinhOp(UnaryOp):
    """The inverse hyperbolic sines."""

    name = "nn.asinh"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class AcoshOp(UnaryOp):
    """The inverse hyperbolic cosines; NaN below 1."""

    name = "nn.acosh"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class AtanhOp(UnaryOp):
    """The inverse hyperbolic tangents; NaN outside of [-1, 1]."""

    name = "nn.atanh"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class TanhOp(UnaryOp):
    """The hyperbolic tangents."""

    name = "nn.tanh"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class ErfOp(UnaryOp):
    """The Gauss error function."""

    name = "nn.erf"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class SigmoidOp(UnaryOp):
    """The logistic function, `1 / (1 + e^-x)`."""

    name = "nn.sigmoid"
    ELEMENTS: ClassVar = Elements.FLOAT


@irdl_op_definition
class ReluOp(UnaryOp):
    """`max(x, 0)`; NaN stays NaN."""

    name = "nn.relu"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class NotOp(UnaryOp):
    """The logical complement of booleans, the bitwise one of integers."""

    name = "nn.not"
    ELEMENTS: ClassVar = Elements.LOGICAL


@irdl_op_definition
class AddOp(BinaryOp):
    """`lhs + rhs`; integers wrap."""

    name = "nn.add"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class SubOp(BinaryOp):
    """`lhs - rhs`; integers wrap."""

    name = "nn.sub"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class MulOp(BinaryOp):
    """`lhs * rhs`; integers wrap."""

    name = "nn.mul"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class DivOp(BinaryOp):
    """`lhs / rhs`; integers truncate towards zero."""

    name = "nn.div"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class ModOp(BinaryOp):
    """The remainder with the sign of `rhs`, as Python's `%`."""

    name = "nn.mod"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class RemOp(BinaryOp):
    """The remainder with the sign of `lhs`, as C's `fmod`."""

    name = "nn.rem"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class PowOp(BinaryOp):
    """
    `lhs` to the power of `rhs`, as C's `pow`.

    Integers wrap; a negative exponent gives `1 / lhs^-rhs`, truncated.
    """

    name = "nn.pow"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class MaximumOp(BinaryOp):
    """The larger element; NaN if either is NaN."""

    name = "nn.maximum"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class MinimumOp(BinaryOp):
    """The smaller element; NaN if either is NaN."""

    name = "nn.minimum"
    ELEMENTS: ClassVar = Elements.NUMBER


@irdl_op_definition
class AndOp(BinaryOp):
    """The conjunction of booleans, the bitwise one of integers."""

    name = "nn.and"
    ELEMENTS: ClassVar = Elements.LOGICAL


@irdl_op_definition
class OrOp(BinaryOp):
    """The disjunction of booleans, the bitwise one of integers."""

    name = "nn.or"
    ELEMENTS: ClassVar = Elements.LOGICAL


@irdl_op_definition
class XorOp(BinaryOp):
    """The exclusive disjunction of booleans, the bitwise one of integers."""

    name = "nn.xor"
    ELEMENTS: ClassVar = Elements.LOGICAL


@irdl_op_definition
class ShiftLeftOp(BinaryOp):
    """`lhs` shifted left by `rhs` bits; 0 from the width on and for negative `rhs`."""

    name = "nn.shift_left"
    ELEMENTS: ClassVar = Elements.INTEGER


@irdl_op_definition
class ShiftRightOp(BinaryOp):
    """
    `lhs` shifted right by `rhs` bits; arithmetic if signed.

    From the width on, and for negative `rhs`, as if shifted by very many bits.
    """

    name = "nn.shift_right"
    ELEMENTS: ClassVar = Elements.INTEGER


@irdl_op_definition
class ThreefryOp(BinaryOp):
    """
    Random bits: the counters `rhs`, u64, enciphered with the keys `lhs`.

    Threefry-2x32 with 20 rounds, of "Parallel Random Numbers: As Easy as 1, 2, 3"
    (Salmon et al., 2011). Key, counter and result are two words each, the low half of a
    number first. Equal keys and counters give equal bits on every machine.
    """

    name = "nn.threefry"
    ELEMENTS: ClassVar = Elements.INTEGER

    def inferred_types(self) -> Sequence[NnTensorType]:
        if element_type_of(self.lhs) != U64:
            raise VerifyException(f"{self.name}: u64 elements, got {self.lhs.type}")
        return super().inferred_types()


@irdl_op_definition
class ClampOp(NnOp):
    """
    `min(max(x, min), max)` with constant bounds; NaN stays NaN.

    Example: `nn.clamp %x {min = 0.0 : f64, max = 6.0 : f64}`. A missing bound does not
    bound. Bounds of integer tensors are whole numbers.
    """

    name = "nn.clamp"
    ELEMENTS: ClassVar = Elements.NUMBER

    operand = operand_def(TensorType)
    min = opt_prop_def(FloatAttr)
    max = opt_prop_def(FloatAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        min: float | None = None,
        max: float | None = None,
    ) -> None:
        super().__init__(
            [operand],
            {
                "min": None if min is None else float(min),
                "max": None if max is None else float(max),
            },
        )

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The lower and the upper bound."""
        return (
            None if self.min is None else self.min.value.data,
            None if self.max is None else self.max.value.data,
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        return [tensor_type(element_type_of(self.operand), dims_of(self.operand))]


Predicate = Literal["eq", "ne", "lt", "le", "gt", "ge"]
PREDICATES: tuple[Predicate, ...] = ("eq", "ne", "lt", "le", "gt", "ge")


@irdl_op_definition
class CompareOp(NnOp):
    """Booleans: whether `lhs predicate rhs`; with NaN only `ne` holds."""

    name = "nn.compare"
    ELEMENTS: ClassVar = Elements.COMPUTED

    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    predicate = prop_def(StringAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        lhs: SSAValue | Operation,
        rhs: SSAValue | Operation,
        predicate: Predicate,
    ) -> None:
        super().__init__([lhs, rhs], {"predicate": predicate})

    def inferred_types(self) -> Sequence[NnTensorType]:
        if self.predicate.data not in PREDICATES:
            raise VerifyException(
                f"{self.name}: unknown predicate '{self.predicate.data}'"
            )
        require_same_dims(self, self.lhs, self.rhs)
        require_same_element_type(self, self.lhs, self.rhs)
        return [tensor_type(BOOL, dims_of(self.lhs))]


@irdl_op_definition
class IsNanOp(NnOp):
    """Booleans: whether each element is NaN."""

    name = "nn.is_nan"
    ELEMENTS: ClassVar = Elements.FLOAT

    operand = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, operand: SSAValue | Operation) -> None:
        super().__init__([operand])

    def inferred_types(self) -> Sequence[NnTensorType]:
        return [tensor_type(BOOL, dims_of(self.operand))]


@irdl_op_definition
class IsInfOp(NnOp):
    """Booleans: whether each element is +inf (`positive`) or -inf (`negative`)."""

    name = "nn.is_inf"
    ELEMENTS: ClassVar = Elements.FLOAT

    operand = operand_def(TensorType)
    positive = prop_def(BoolAttr)
    negative = prop_def(BoolAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        positive: bool = True,
        negative: bool = True,
    ) -> None:
        super().__init__([operand], {"positive": positive, "negative": negative})

    def inferred_types(self) -> Sequence[NnTensorType]:
        return [tensor_type(BOOL, dims_of(self.operand))]


@irdl_op_definition
class SelectOp(NnOp):
    """`on_true` where `condition` holds, else `on_false`."""

    name = "nn.select"

    condition = operand_def(TensorType)
    on_true = operand_def(TensorType)
    on_false = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(
        self,
        condition: SSAValue | Operation,
        on_true: SSAValue | Operation,
        on_false: SSAValue | Operation,
    ) -> None:
        super().__init__([condition, on_true, on_false])

    def inferred_types(self) -> Sequence[NnTensorType]:
        require_same_dims(self, self.condition, self.on_true, self.on_false)
        require_same_element_type(self, self.on_true, self.on_false)
        if not is_bool(element_type_of(self.condition)):
            raise VerifyException(
                f"{self.name}: the condition must be boolean, got {self.condition.type}"
            )
        return [tensor_type(element_type_of(self.on_true), dims_of(self.on_true))]


ROUND_MODES = ("up", "down", "nearest")
"""How a cast to `f8E8M0FNU`, whose numbers are the powers of two, may round."""

RoundMode = Literal["up", "down", "nearest"]


@irdl_op_definition
class CastOp(NnOp):
    """
    The elements converted to another element type.

    Float to integer truncates, saturates, and turns NaN into 0; integers wrap when
    narrowed; to boolean is `x != 0`. Differs from C, where out of range is undefined.

    To an integer of less than 8 bits is to an i32 first (a wider integer stays), which
    then wraps. To a float of 8 bits or less rounds to nearest even; what is out of
    range becomes the largest number, or with `saturate = false` an infinity or, where
    the type has none, NaN. Types of less than 8 bits always saturate, and NaN, which
    they lack, becomes -0.

    To `f8E8M0FNU` is the magnitude of an f32, rounded to a power of two as `round_mode`
    says: `up` away from zero, `down`, or `nearest` with halves away from zero.
    Zero and less than the least number become the least one, or NaN with
    `saturate = false`. Complex numbers cannot be cast.

    Example: `nn.cast %x {saturate = false} : (tensor<4xf32>) -> tensor<4xf8E5M2>`.
    """

    name = "nn.cast"

    operand = operand_def(TensorType)
    saturate = opt_prop_def(BoolAttr)
    round_mode = opt_prop_def(StringAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        element_type: Attribute,
        *,
        saturate: bool = True,
        round_mode: RoundMode | str = "up",
    ) -> None:
        """`saturate` and `round_mode` are dropped where they make no difference."""
        operand = SSAValue.get(operand)
        properties: dict[str, PropertyValue] = {}
        if not saturate and element_type in _MAY_OVERFLOW:
            properties["saturate"] = False
        if round_mode != "up" and element_type == F8E8M0FNU:
            properties["round_mode"] = round_mode
        super().__init__(
            [operand],
            properties,
            result_types=[tensor_type(element_type, dims_of(operand))],
        )

    @property
    def saturates(self) -> bool:
        """Whether what is out of the range of a float of 8 bits becomes its largest."""
        return self.saturate is None or bool(self.saturate.value.data)

    @property
    def rounding(self) -> str:
        """One of `ROUND_MODES`."""
        return "up" if self.round_mode is None else self.round_mode.data

    def inferred_types(self) -> Sequence[NnTensorType]:
        source, target = element_type_of(self.operand), element_type_of(self.result)
        if source != target and {source, target} & COMPLEX:
            raise VerifyException(f"{self.name}: {source} cannot be cast to {target}")
        if self.saturate is not None and target not in _MAY_OVERFLOW:
            raise VerifyException(f"{self.name}: 'saturate' means nothing to {target}")
        if self.round_mode is not None and target != F8E8M0FNU:
            raise VerifyException(
                f"{self.name}: 'round_mode' means nothing to {target}"
            )
        if self.rounding not in ROUND_MODES:
            raise VerifyException(
                f"{self.name}: round_mode '{self.rounding}' is none of "
                f"{', '.join(ROUND_MODES)}"
            )
        return [tensor_type(target, dims_of(self.operand))]


@irdl_op_definition
class BitCastOp(NnOp):
    """
    The bits of the elements read as another element type of the same width in memory.

    Floats of less than a byte are the numbers in its low bits. Not for booleans,
    complex numbers and integers of less than a byte.
    """

    name = "nn.bit_cast"

    operand = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, operand: SSAValue | Operation, element_type: Attribute) -> None:
        operand = SSAValue.get(operand)
        super().__init__(
            [operand], result_types=[tensor_type(element_type, dims_of(operand))]
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        before, after = element_type_of(self.operand), element_type_of(self.result)
        no_bits = {BOOL, *SMALL_INTEGERS, *COMPLEX} & {before, after}
        if no_bits or bit_width(before) != bit_width(after):
            raise VerifyException(
                f"{self.name}: {before} and {after} are no numbers of equal width"
            )
        return [tensor_type(after, dims_of(self.operand))]


UNARY_OPS: tuple[type[UnaryOp], ...] = (
    NegOp,
    AbsOp,
    SignOp,
    ExpOp,
    LogOp,
    SqrtOp,
    ReciprocalOp,
    FloorOp,
    CeilOp,
    RoundOp,
    SinOp,
    CosOp,
    TanOp,
    AsinOp,
    AcosOp,
    AtanOp,
    SinhOp,
    CoshOp,
    AsinhOp,
    AcoshOp,
    AtanhOp,
    TanhOp,
    ErfOp,
    SigmoidOp,
    ReluOp,
    NotOp,
)
BINARY_OPS: tuple[type[BinaryOp], ...] = (
    AddOp,
    SubOp,
    MulOp,
    DivOp,
    ModOp,
    RemOp,
    PowOp,
    MaximumOp,
    MinimumOp,
    AndOp,
    OrOp,
    XorOp,
    ShiftLeftOp,
    ShiftRightOp,
    ThreefryOp,
)
ELEMENTWISE_OPS: tuple[type[NnOp], ...] = (
    *UNARY_OPS,
    *BINARY_OPS,
    ClampOp,
    CompareOp,
    IsNanOp,
    IsInfOp,
    SelectOp,
    CastOp,
    BitCastOp,
)
