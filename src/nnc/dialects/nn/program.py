"""
Ops between the stages of a program: sizes read from data, host steps, calls of stages.

Everything else in `nn` is computed by native code in one go, for which all sizes have
to be known before it starts. These ops end such a stretch: `split-stages` cuts a
function at them, and the executor runs them between the pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import (
    DenseArrayBase,
    IntegerAttr,
    StringAttr,
    SymbolRefAttr,
    TensorType,
    i64,
)
from xdsl.ir import Attribute, Operation, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import (
    AnyAttr,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    param_def,
    prop_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import ints
from nnc.dialects.nn.types import I64, ShapeAttr, static_shape, tensor_type
from nnc.symbolic import DimLike

STEP_FORMAT = "operands attr-dict `:` functional-type(operands, results)"


@irdl_attr_definition
class ValueType(ParametrizedAttribute, TypeAttribute):
    """
    A value that only host steps handle: `!nn.value<"seq(tensor(float))">`.

    Sequences, optionals and strings, and tensors whose element type or rank is known
    only when the model runs. The text says what the source model calls it.
    """

    name = "nn.value"

    kind: StringAttr = param_def()

    def __init__(self, kind: str | StringAttr = "") -> None:
        super().__init__(StringAttr(kind) if isinstance(kind, str) else kind)

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string_literal(self.kind.data)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            return [StringAttr(parser.parse_str_literal())]


@irdl_op_definition
class DefineDimsOp(IRDLOperation):
    """
    The elements of an integer vector as the values of new symbols.

    The run is refused if one of them is negative. Ops behind it use the symbols as any
    dims. `what` says what the values are, for errors.

    Example: `nn.define_dims %count {symbols = #nn.shape<n>, what = "the number of
    boxes"} : tensor<1xi64>`.
    """

    name = "nn.define_dims"
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "operands attr-dict `:` type(operands)"

    operand = operand_def(TensorType)
    symbols = prop_def(ShapeAttr)
    what = prop_def(StringAttr)

    def __init__(
        self, operand: SSAValue | Operation, symbols: Sequence[DimLike], what: str
    ) -> None:
        super().__init__(
            operands=[operand],
            properties={"symbols": ShapeAttr.of(symbols), "what": StringAttr(what)},
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The symbols that it defines."""
        return tuple(str(dim) for dim in self.symbols.dims)

    def verify_(self) -> None:
        dims = self.symbols.dims
        if self.operand.type != tensor_type(I64, [len(dims)]):
            raise VerifyException(
                f"{self.name}: {len(dims)} symbols need {tensor_type(I64, [len(dims)])}"
                f", got {self.operand.type}"
            )
        wrong = [d for d in dims if d.symbols != frozenset((str(d),))]
        if wrong or len(set(dims)) != len(dims):
            raise VerifyException(f"{self.name}: different names, got {self.symbols}")


@irdl_op_definition
class HostOp(IRDLOperation):
    """
    An op of the source model that is run by Python code, on values of any kind.

    `inputs` says which operand each input of the op is, -1 for one that is absent;
    operands that it does not name are read by the graphs. `attributes` and `graphs` are
    JSON: the attributes, and for each graph its resource and which operands stand for
    the values that it reads from around the node.

    Example: `%s = nn.host %x {domain = "", op_type = "SequenceConstruct", version = 17,
    inputs = array<i64: 0>, attributes = "{}"} : (tensor<2xf32>) -> !nn.value<"">`.
    """

    name = "nn.host"
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = STEP_FORMAT

    arguments = var_operand_def(AnyAttr())
    domain = prop_def(StringAttr)
    op_type = prop_def(StringAttr)
    version = prop_def(IntegerAttr)
    inputs = prop_def(DenseArrayBase)
    attributes_text = prop_def(StringAttr, prop_name="attributes")
    graphs = opt_prop_def(StringAttr)
    res = var_result_def(AnyAttr())

    def __init__(
        self,
        arguments: Sequence[SSAValue],
        op_type: str,
        version: int,
        inputs: Sequence[int],
        result_types: Sequence[Attribute],
        *,
        domain: str = "",
        attributes: str = "{}",
        graphs: str | None = None,
    ) -> None:
        properties: Mapping[str, Attribute] = {
            "domain": StringAttr(domain),
            "op_type": StringAttr(op_type),
            "version": IntegerAttr(version, i64),
            "inputs": DenseArrayBase.from_list(i64, list(inputs)),
            "attributes": StringAttr(attributes),
        }
        if graphs is not None:
            properties = {**properties, "graphs": StringAttr(graphs)}
        super().__init__(
            operands=[arguments], properties=properties, result_types=[result_types]
        )

    def verify_(self) -> None:
        for position in ints(self.inputs):
            if not -1 <= position < len(self.arguments):
                raise VerifyException(f"{self.name}: there is no operand {position}")
        for value in (*self.arguments, *self.res):
            if not isinstance(value.type, TensorType | ValueType):
                raise VerifyException(
                    f"{self.name}: tensors and !nn.value, not {value.type}"
                )


@irdl_op_definition
class RunStageOp(IRDLOperation):
    """
    Runs a stage: the function `@main` of a module inside of this one.

    Behind `arguments` the stage has one more, a vector of the values of `sizes`, if
    there are any: symbols that it cannot read from the shapes of its arguments.

    Example: `%y = nn.run_stage %x {stage = @stage1, sizes = #nn.shape<n>} :
    (tensor<4xf32>) -> tensor<?xf32, #nn.shape<n>>`.
    """

    name = "nn.run_stage"
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = STEP_FORMAT

    arguments = var_operand_def(TensorType)
    stage = prop_def(SymbolRefAttr)
    sizes = prop_def(ShapeAttr)
    res = var_result_def(TensorType)

    def __init__(
        self,
        stage: str,
        arguments: Sequence[SSAValue],
        sizes: Sequence[DimLike],
        result_types: Sequence[Attribute],
    ) -> None:
        super().__init__(
            operands=[arguments],
            properties={
                "stage": SymbolRefAttr(stage),
                "sizes": ShapeAttr.of(sizes),
            },
            result_types=[result_types],
        )


def is_size_vector(value: SSAValue) -> bool:
    """Whether it is a vector of a constant number of i64 elements."""
    type_ = value.type
    if not isinstance(type_, TensorType) or type_.get_element_type() != I64:
        return False
    shape = static_shape(value)
    return shape is not None and len(shape) == 1


PROGRAM_OPS = (DefineDimsOp, HostOp)
"""Ops that native code cannot do: they end a stage."""
