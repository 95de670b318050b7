"""Where buffers come from: the arena, constants, and views of other buffers."""

from __future__ import annotations

from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
    i64,
)
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.irdl.declarative_assembly_format import (
    AttributeVariable,
    ParsingState,
    TypeDirective,
    irdl_custom_directive,
)
from xdsl.parser import Parser
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.structure import DenseLiteral
from nnc.dialects.nn.types import ShapeAttr
from nnc.dialects.rt.types import BufferType, buffer_type_of
from nnc.symbolic import Dim, DimLike


@irdl_op_definition
class AllocOp(IRDLOperation):
    """
    Memory of the arena: `rt.alloc {first = 0 : i64, last = 2 : i64} : !rt.buffer<..>`.

    `first` and `last` are the positions, among the dispatches or launches of the
    function, between which the contents matter; `offset` is the place in the arena in
    bytes, where sizes are constants. plan-arena sets them.
    """

    name = "rt.alloc"

    first = opt_prop_def(IntegerAttr)
    last = opt_prop_def(IntegerAttr)
    offset = opt_prop_def(IntegerAttr)
    result = result_def(BufferType)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "attr-dict `:` type($result)"

    def __init__(
        self,
        type: BufferType,
        first: int | None = None,
        last: int | None = None,
        offset: int | None = None,
    ) -> None:
        values = {"first": first, "last": last, "offset": offset}
        super().__init__(
            result_types=[type],
            properties={
                k: None if v is None else IntegerAttr(v, i64) for k, v in values.items()
            },
        )

    @property
    def nbytes(self) -> Dim:
        """Bytes that the buffer takes."""
        type_ = buffer_type_of(self.result)
        return type_.span * type_.element_bytes

    def verify_(self) -> None:
        first, last = self.first, self.last
        if (first is None) != (last is None):
            raise VerifyException(f"{self.name}: first and last go together")
        if (
            first is not None
            and last is not None
            and not 0 <= first.value.data <= last.value.data
        ):
            raise VerifyException(
                f"{self.name}: lifetime {first.value.data} to {last.value.data}"
            )
        if self.offset is not None and self.offset.value.data < 0:
            raise VerifyException(
                f"{self.name}: negative offset {self.offset.value.data}"
            )


@irdl_op_definition
class WeightOp(IRDLOperation):
    """
    The bytes of a resource of the weight store, read only and contiguous.

    Example: `rt.weight {resource = "conv1.w"} : !rt.buffer<f32, ...>`.
    """

    name = "rt.weight"

    resource = prop_def(StringAttr)
    result = result_def(BufferType)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "attr-dict `:` type($result)"

    def __init__(self, resource: str, type: BufferType) -> None:
        super().__init__(
            result_types=[type], properties={"resource": StringAttr(resource)}
        )

    def verify_(self) -> None:
        _verify_constant(self, buffer_type_of(self.result))


@irdl_custom_directive
class BufferLiteral(DenseLiteral):
    """`dense<…> : tensor<…>`, and the result is a contiguous buffer of that."""

    # xDSL binds the parameters that a directive's own class declares.
    value: AttributeVariable
    result: TypeDirective

    def parse(self, parser: Parser, state: ParsingState) -> None:
        """Parse what `print` prints."""
        value = self.parse_value(parser)
        self.value.set(state, value)
        self.result.inner.set_types(state, [_constant_type(value)])


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """A small constant in memory: `rt.constant dense<[1.0, 2.0]> : tensor<2xf32>`."""

    name = "rt.constant"

    value = prop_def(DenseIntOrFPElementsAttr)
    result = result_def(BufferType)

    traits = traits_def(Pure())
    assembly_format = "custom<BufferLiteral>($value, type($result)) attr-dict"
    custom_directives = (BufferLiteral,)

    def __init__(self, value: DenseIntOrFPElementsAttr) -> None:
        super().__init__(
            result_types=[_constant_type(value)], properties={"value": value}
        )

    def verify_(self) -> None:
        type_ = buffer_type_of(self.result)
        _verify_constant(self, type_)
        if not isinstance(self.value.type, TensorType):
            raise VerifyException(f"{self.name}: the value must be a tensor")
        if self.value.type != type_.tensor_type:
            raise VerifyException(
                f"{self.name}: a value of type {self.value.type} is no {type_}"
            )


def _constant_type(value: DenseIntOrFPElementsAttr) -> BufferType:
    return BufferType(value.get_element_type(), value.get_shape())


def _verify_constant(op: Operation, type: BufferType) -> None:
    if type.shape.ints is None:
        raise VerifyException(f"{op.name}: constants have static shapes, got {type}")
    if not type.is_contiguous:
        raise VerifyException(f"{op.name}: constants are contiguous, got {type}")


@irdl_op_definition
class ViewOp(IRDLOperation):
    """
    The memory of another buffer, `offset` elements on, under a new shape and strides.

    Example: `rt.view %b {offset = #nn.shape<64>} : !rt.buffer<..> -> !rt.buffer<..>`.
    """

    name = "rt.view"

    source = operand_def(BufferType)
    offset = prop_def(ShapeAttr)
    result = result_def(BufferType)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$source attr-dict `:` type($source) `->` type($result)"

    def __init__(
        self, source: SSAValue | Operation, type: BufferType, offset: DimLike = 0
    ) -> None:
        super().__init__(
            operands=[source],
            result_types=[type],
            properties={"offset": ShapeAttr([offset])},
        )

    @property
    def offset_dim(self) -> Dim:
        """How many elements the pointer moves."""
        return self.offset.dims[0]

    def verify_(self) -> None:
        source, result = buffer_type_of(self.source), buffer_type_of(self.result)
        if source.element_type != result.element_type:
            raise VerifyException(
                f"{self.name}: {source.element_type} seen as {result.element_type}"
            )
        if len(self.offset.texts) != 1:
            raise VerifyException(
                f"{self.name}: one offset expected, got {len(self.offset.texts)}"
            )
