"""
Tensor types with symbolic shapes.

A static tensor is a plain builtin `tensor<1x3x8x8xf32>`. As soon as one dim is
symbolic, the type carries all dims in its encoding:
`tensor<?x3x?x8xf32, #nn.shape<N, 3, H floordiv 2, 8>>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias, cast

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    ArrayAttr,
    BFloat16Type,
    ComplexType,
    Float4E2M1FNType,
    Float6E2M3FNType,
    Float6E3M2FNType,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float8E8M0FNUType,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
    StringAttr,
    TensorType,
)
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue
from xdsl.irdl import irdl_attr_definition, param_def
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from nnc.symbolic import Dim, DimLike, parse_dim

NnTensorType: TypeAlias = TensorType[Attribute]

BOOL = IntegerType(1)
F16, F32, F64, BF16 = Float16Type(), Float32Type(), Float64Type(), BFloat16Type()
I8, I16, I32, I64 = (IntegerType(w) for w in (8, 16, 32, 64))
U8, U16, U32, U64 = (IntegerType(w, Signedness.UNSIGNED) for w in (8, 16, 32, 64))

F8E4M3FN, F8E4M3FNUZ = Float8E4M3FNType(), Float8E4M3FNUZType()
F8E5M2, F8E5M2FNUZ = Float8E5M2Type(), Float8E5M2FNUZType()
F8E8M0FNU = Float8E8M0FNUType()
F6E2M3FN, F6E3M2FN = Float6E2M3FNType(), Float6E3M2FNType()
F4E2M1FN = Float4E2M1FNType()
I2, I4 = IntegerType(2), IntegerType(4)
U2, U4 = (IntegerType(w, Signedness.UNSIGNED) for w in (2, 4))
C64, C128 = ComplexType(F32), ComplexType(F64)

SMALL_FLOATS: frozenset[Attribute] = frozenset(
    (
        F8E4M3FN,
        F8E4M3FNUZ,
        F8E5M2,
        F8E5M2FNUZ,
        F8E8M0FNU,
        F6E2M3FN,
        F6E3M2FN,
        F4E2M1FN,
    )
)
"""Floats of a byte or less; one takes a byte in memory, the number in its low bits."""

SMALL_INTEGERS: frozenset[Attribute] = frozenset((I2, I4, U2, U4))
"""Integers of less than a byte; one takes a byte in memory."""

COMPLEX: frozenset[Attribute] = frozenset((C64, C128))

STORED_ONLY: frozenset[Attribute] = SMALL_FLOATS | SMALL_INTEGERS | COMPLEX
"""Element types that are moved and, but for complex numbers, cast; nothing else."""

# Dims are asked for all the time: attributes remember them in their `__dict__`, as a
# cached_property would, which xDSL's attribute definitions do not allow.
_DIMS = "_nn_dims"


@irdl_attr_definition
class ShapeAttr(ParametrizedAttribute):
    """A list of dims: `#nn.shape<N, 3, H floordiv 2>`."""

    name = "nn.shape"

    texts: ArrayAttr[StringAttr] = param_def()

    def __init__(self, dims: Iterable[DimLike] | ArrayAttr[StringAttr]) -> None:
        if not isinstance(dims, ArrayAttr):
            dims = ArrayAttr(StringAttr(str(d)) for d in dims)
        super().__init__(dims)

    @staticmethod
    def of(dims: Iterable[DimLike]) -> ShapeAttr:
        """The attribute of these dims, made once."""
        return _shape_attr(tuple(dims))

    @property
    def dims(self) -> tuple[Dim, ...]:
        """The dims as expressions."""
        memo = vars(self)
        if (known := memo.get(_DIMS)) is not None:
            return known
        memo[_DIMS] = tuple(parse_dim(t.data) for t in self.texts)
        return memo[_DIMS]

    @property
    def ints(self) -> tuple[int, ...] | None:
        """The dims as ints if all of them are constants, else None."""
        values = [d.as_int() for d in self.dims]
        known = tuple(v for v in values if v is not None)
        return known if len(known) == len(values) else None

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(", ".join(t.data for t in self.texts))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        return [ArrayAttr(StringAttr(t) for t in _parse_dim_texts(parser))]

    def verify(self) -> None:
        for text in self.texts:
            try:
                canonical = str(parse_dim(text.data))
            except ValueError as error:
                raise VerifyException(str(error)) from error
            if canonical != text.data:
                raise VerifyException(
                    f"dimension '{text.data}' is not canonical; write '{canonical}'"
                )


@lru_cache(maxsize=4096)
def _shape_attr(dims: tuple[DimLike, ...]) -> ShapeAttr:
    return ShapeAttr(dims)


def _parse_dim_texts(parser: AttrParser) -> list[str]:
    """The canonical texts of the dims between `<` and `>`."""
    parser.parse_punctuation("<")
    texts: list[str] = []
    if parser.parse_optional_punctuation(">") is not None:
        return texts
    while True:
        texts.append(_parse_dim_text(parser))
        if parser.parse_optional_punctuation(",") is None:
            break
    parser.parse_punctuation(">")
    return texts


def _parse_dim_text(parser: AttrParser) -> str:
    """One dim: tokens up to a `,` or `>` outside of parentheses."""
    pieces: list[str] = []
    depth = 0
    start = parser.pos
    while True:
        if (
            number := parser.parse_optional_integer(
                allow_boolean=False, allow_negative=False
            )
        ) is not None:
            pieces.append(str(number))
        elif (word := parser.parse_optional_identifier()) is not None:
            pieces.append(word)
        elif parser.parse_optional_punctuation("(") is not None:
            depth += 1
            pieces.append("(")
        elif depth and parser.parse_optional_punctuation(")") is not None:
            depth -= 1
            pieces.append(")")
        elif depth and parser.parse_optional_punctuation(",") is not None:
            pieces.append(",")
        else:
            for sign in ("+", "-", "*"):
                if parser.parse_optional_punctuation(sign) is not None:
                    pieces.append(sign)
                    break
            else:
                break
    try:
        return str(parse_dim(" ".join(pieces)))
    except (ValueError, ZeroDivisionError) as error:
        parser.raise_error(str(error), start, parser.pos)


def tensor_type(element_type: Attribute, dims: Iterable[DimLike]) -> NnTensorType:
    """The tensor type with these dims; symbolic ones go to the encoding."""
    return _tensor_type(element_type, tuple(dims))


@lru_cache(maxsize=4096)
def _tensor_type(element_type: Attribute, dims: tuple[DimLike, ...]) -> NnTensorType:
    exprs = tuple(map(Dim.of, dims))
    sizes = [d.as_int() for d in exprs]
    shape = [DYNAMIC_INDEX if s is None else s for s in sizes]
    if all(s is not None for s in sizes):
        type_ = TensorType(element_type, shape)
    else:
        type_ = TensorType(element_type, shape, ShapeAttr.of(exprs))
    vars(type_)[_DIMS] = exprs
    return type_


def dims_of(value: SSAValue | Attribute) -> tuple[Dim, ...]:
    """
    The dims of a tensor value or type.

    Raises:
        VerifyException: a dynamic dim has no expression, or it is no tensor.
    """
    type_ = tensor_type_of(value)
    memo = vars(type_)
    if (known := memo.get(_DIMS)) is not None:
        return known
    if isinstance(type_.encoding, ShapeAttr):
        dims = type_.encoding.dims
    else:
        shape = type_.get_shape()
        if DYNAMIC_INDEX in shape:
            raise VerifyException(f"{type_} has a dynamic dim without #nn.shape")
        dims = tuple(map(Dim.of, shape))
    memo[_DIMS] = dims
    return dims


def static_shape(value: SSAValue | Attribute) -> tuple[int, ...] | None:
    """The shape as ints if no dim is symbolic, else None."""
    shape = tensor_type_of(value).get_shape()
    return None if DYNAMIC_INDEX in shape else shape


def element_type_of(value: SSAValue | Attribute) -> Attribute:
    """The element type of a tensor value or type."""
    return tensor_type_of(value).get_element_type()


def rank_of(value: SSAValue | Attribute) -> int:
    """The number of dims of a tensor value or type."""
    return tensor_type_of(value).get_num_dims()


def tensor_type_of(value: SSAValue | Attribute) -> NnTensorType:
    """
    The tensor type of a value, or the type itself.

    Raises:
        VerifyException: it is no tensor.
    """
    type_ = value.type if isinstance(value, SSAValue) else value
    if not isinstance(type_, TensorType):
        raise VerifyException(f"expected a tensor, got {type_}")
    return cast(NnTensorType, type_)


def verify_tensor_type(type_: NnTensorType) -> None:
    """
    Check that the encoding, if any, agrees with the shape.

    Raises:
        VerifyException: it does not.
    """
    dims = dims_of(type_)
    expected = tensor_type(type_.get_element_type(), dims)
    if expected != type_:
        raise VerifyException(f"{type_} is not canonical; expected {expected}")


def is_float(type_: Attribute) -> bool:
    """Whether `type_` is a floating-point element type that ops compute with."""
    return isinstance(type_, Float16Type | Float32Type | Float64Type | BFloat16Type)


def is_bool(type_: Attribute) -> bool:
    """Whether `type_` is the boolean element type."""
    return type_ == BOOL


def is_integer(type_: Attribute) -> bool:
    """Whether `type_` is an integer type that ops compute with (bool is not)."""
    return isinstance(type_, IntegerType) and cast("IntegerType", type_).width.data >= 8


def is_unsigned(type_: Attribute) -> bool:
    """Whether `type_` is an unsigned integer element type (bool is not)."""
    return type_ in (U8, U16, U32, U64)


def bit_width(type_: Attribute) -> int:
    """Bits that one element takes in memory: no less than a byte."""
    if isinstance(type_, IntegerType):
        return max(8, cast("IntegerType", type_).width.data)
    if isinstance(type_, ComplexType):
        return 2 * bit_width(cast("ComplexType", type_).element_type)
    if isinstance(type_, Float64Type):
        return 64
    if isinstance(type_, Float32Type):
        return 32
    return 8 if type_ in SMALL_FLOATS else 16
