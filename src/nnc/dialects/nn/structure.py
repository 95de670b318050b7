"""Ops that hold a network together: constants, shape values, dispatches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    StringAttr,
    TensorType,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.irdl.declarative_assembly_format import (
    AttributeVariable,
    CustomDirective,
    ParsingState,
    PrintingState,
    TypeDirective,
    irdl_custom_directive,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import IsolatedFromAbove, IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import NnOp
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.literals import DenseAttr, dense_text
from nnc.dialects.nn.tiles import TileAttr
from nnc.dialects.nn.types import (
    I64,
    U64,
    NnTensorType,
    ShapeAttr,
    tensor_type,
    tensor_type_of,
)
from nnc.symbolic import DimLike

MAX_INLINE_ELEMENTS = 16
"""Constants of more elements are weights: names in the text, bytes in the store."""


@irdl_custom_directive
class DenseLiteral(CustomDirective):
    """
    `dense<…> : type`, and the type is that of the result.

    A directive of our own, because xDSL's text of dense attributes does not read back
    to the same value for infinities, NaN and large floats.
    """

    value: AttributeVariable
    result: TypeDirective

    def parse(self, parser: Parser, state: ParsingState) -> None:
        """Parse what `print` prints."""
        value = self.parse_value(parser)
        self.value.set(state, value)
        self.result.inner.set_types(state, [value.get_type()])

    def parse_value(self, parser: Parser) -> DenseAttr:
        """Parse the attribute."""
        value = parser.parse_attribute()
        if not isinstance(value, DenseIntOrFPElementsAttr):
            parser.raise_error("expected dense<…> with a tensor type")
        return cast("DenseAttr", value)

    def print(self, printer: Printer, state: PrintingState, op: IRDLOperation) -> None:
        """Print value and type."""
        value = self.value.get(op)
        assert isinstance(value, DenseIntOrFPElementsAttr)
        state.print_whitespace(printer)
        printer.print_string(f"{dense_text(cast('DenseAttr', value))} : ")
        printer.print_attribute(value.get_type())


@irdl_op_definition
class ConstantOp(NnOp):
    """A small constant: `nn.constant dense<[1.0, 2.0]> : tensor<2xf32>`."""

    name = "nn.constant"
    assembly_format = "custom<DenseLiteral>($value, type($result)) attr-dict"
    custom_directives = (DenseLiteral,)

    value = prop_def(DenseIntOrFPElementsAttr)
    result = result_def(TensorType)

    def __init__(self, value: DenseIntOrFPElementsAttr) -> None:
        super().__init__([], {"value": value})

    def inferred_types(self) -> Sequence[NnTensorType]:
        type_ = tensor_type_of(cast("Attribute", self.value.type))
        numpy_dtype(type_.get_element_type())
        return [type_]


@irdl_op_definition
class WeightOp(NnOp):
    """
    A constant whose bytes are a resource of the weight store.

    Example: `nn.weight "conv1.w" : tensor<64x3x7x7xf32>`.
    """

    name = "nn.weight"
    assembly_format = "$resource attr-dict `:` type(results)"

    resource = prop_def(StringAttr)
    result = result_def(TensorType)

    def __init__(self, resource: str, type: NnTensorType) -> None:
        super().__init__([], {"resource": resource}, result_types=[type])

    def inferred_types(self) -> Sequence[NnTensorType]:
        type_ = tensor_type_of(self.result)
        if not type_.has_static_shape():
            raise VerifyException(
                f"{self.name}: weights have static shapes, got {type_}"
            )
        return [type_]


@irdl_op_definition
class DimsOp(NnOp):
    """
    The values of dims as an i64 vector: `nn.dims <N, 3> : tensor<2xi64>`.

    What `Shape` and the arithmetic after it become once folded into dims.
    """

    name = "nn.dims"
    assembly_format = "$dims attr-dict `:` type(results)"

    dims = prop_def(ShapeAttr)
    result = result_def(TensorType)

    def __init__(self, dims: Sequence[DimLike]) -> None:
        super().__init__([], {"dims": ShapeAttr.of(dims)})

    def inferred_types(self) -> Sequence[NnTensorType]:
        return [tensor_type(I64, [len(self.dims.dims)])]


@irdl_op_definition
class RunSeedOp(NnOp):
    """
    A u64 scalar that is another one in each run, and the same one all through a run.

    What random numbers without a seed start from: `nn.run_seed : tensor<ui64>`.
    """

    name = "nn.run_seed"
    assembly_format = "attr-dict `:` type(results)"

    result = result_def(TensorType)

    def __init__(self) -> None:
        super().__init__([])

    def inferred_types(self) -> Sequence[NnTensorType]:
        return [tensor_type(U64, ())]


_YIELDING = ("nn.dispatch", "rt.dispatch", "nn.if", "nn.loop")


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a region: its operands are what the op around it gives."""

    name = "nn.yield"

    arguments = var_operand_def(TensorType)

    assembly_format = "operands attr-dict `:` type(operands)"

    traits = traits_def(IsTerminator())

    def __init__(self, *arguments: SSAValue | Operation) -> None:
        super().__init__(operands=[arguments])

    def verify_(self) -> None:
        # By name: the dispatches of the lower level are no concern of this dialect.
        parent = self.parent_op()
        if parent is None or parent.name not in _YIELDING:
            raise VerifyException(
                f"{self.name}: only dispatches, branches and loops end in it"
            )


@irdl_op_definition
class DispatchOp(IRDLOperation):
    """
    A group of ops that becomes one kernel.

    The region is isolated: operands are its block arguments. It holds ordinary `nn`
    ops, so that fusing changes grouping, never meaning. `tile` is what `set-tiles` says
    of the register tile of a contraction; without it, the schedule chooses.

    Example::

        %r = nn.dispatch(%x) : (tensor<8x8xf32>) -> tensor<8x8xf32> {
        ^bb0(%a: tensor<8x8xf32>):
          %0 = nn.matmul %a, %a : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
          %1 = nn.relu %0 : (tensor<8x8xf32>) -> tensor<8x8xf32>
          nn.yield %1 : tensor<8x8xf32>
        }
    """

    name = "nn.dispatch"

    arguments = var_operand_def(TensorType)
    tile = opt_prop_def(TileAttr)
    res = var_result_def(TensorType)
    body = region_def("single_block")

    traits = traits_def(Pure(), IsolatedFromAbove())
    irdl_options = (ParsePropInAttrDict(),)

    assembly_format = (
        "`(` $arguments `)` attr-dict `:` functional-type($arguments, $res) $body"
    )

    def __init__(
        self,
        arguments: Sequence[SSAValue],
        body: Region,
        result_types: Sequence[Attribute] | None = None,
    ) -> None:
        if result_types is None:
            terminator = body.block.last_op
            assert isinstance(terminator, YieldOp)
            result_types = [a.type for a in terminator.arguments]
        super().__init__(
            operands=[arguments], regions=[body], result_types=[result_types]
        )

    @property
    def block(self) -> Block:
        """The body's only block."""
        return self.body.block

    @property
    def yield_op(self) -> YieldOp:
        """The terminator of the body."""
        terminator = self.body.block.last_op
        assert isinstance(terminator, YieldOp)
        return terminator

    def verify_(self) -> None:
        arguments = [a.type for a in self.block.args]
        if arguments != [a.type for a in self.arguments]:
            raise VerifyException(
                f"{self.name}: block arguments must have the types of the operands"
            )
        for op in self.block.ops:
            if not op.name.startswith("nn.") or op.regions:
                raise VerifyException(
                    f"{self.name}: the body holds single nn ops, not {op.name}"
                )
        if [a.type for a in self.yield_op.arguments] != [r.type for r in self.res]:
            raise VerifyException(
                f"{self.name}: nn.yield must give the types of the results"
            )
