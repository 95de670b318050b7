"""
Control flow: `nn.if` and `nn.loop`, whose regions hold ordinary `nn` ops.

The regions are isolated: what they read from outside is an operand, and a block
argument inside. A pass that works on a block therefore works on these blocks as it is.
Constants are not handed in; a region has `nn.constant` and `nn.weight` ops of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Block, BlockArgument, Operation, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    eq,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import IsolatedFromAbove, Pure
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.structure import YieldOp
from nnc.dialects.nn.types import (
    BOOL,
    I64,
    NnTensorType,
    ShapeAttr,
    dims_of,
    element_type_of,
    tensor_type,
)
from nnc.symbolic import Dim, DimLike

FLAG = tensor_type(BOOL, ())
"""The type of a condition."""

COUNT = tensor_type(I64, ())
"""The type of iteration numbers and trip counts."""


@irdl_op_definition
class IfOp(IRDLOperation):
    """
    Runs one of two regions; the results are what that region yields.

    Both regions get all `arguments` as block arguments, and yield equal types.

    Example::

        %r = nn.if %c(%x) : (tensor<4xf32>) -> tensor<4xf32> {
        ^bb0(%a: tensor<4xf32>):
          %0 = nn.exp %a : (tensor<4xf32>) -> tensor<4xf32>
          nn.yield %0 : tensor<4xf32>
        } else {
        ^bb0(%a: tensor<4xf32>):
          nn.yield %a : tensor<4xf32>
        }
    """

    name = "nn.if"

    condition = operand_def(eq(FLAG))
    arguments = var_operand_def(TensorType)
    res = var_result_def(TensorType)
    then_body = region_def("single_block")
    else_body = region_def("single_block")

    traits = traits_def(Pure(), IsolatedFromAbove())
    assembly_format = (
        "$condition `(` $arguments `)` attr-dict `:` "
        "functional-type($arguments, $res) $then_body `else` $else_body"
    )

    def __init__(
        self,
        condition: SSAValue | Operation,
        arguments: Sequence[SSAValue],
        then_body: Region,
        else_body: Region,
    ) -> None:
        terminator = yield_of(then_body.block)
        super().__init__(
            operands=[condition, arguments],
            regions=[then_body, else_body],
            result_types=[[a.type for a in terminator.arguments]],
        )

    @property
    def captured(self) -> Sequence[SSAValue]:
        """What the regions read from outside."""
        return self.arguments

    def inner(self, block: Block) -> Sequence[BlockArgument]:
        """The arguments of one of the blocks that stand for `captured`."""
        return block.args

    def verify_(self) -> None:
        for region in (self.then_body, self.else_body):
            _verify_block(
                self,
                region.block,
                [a.type for a in self.arguments],
                [r.type for r in self.res],
            )


@irdl_op_definition
class LoopOp(IRDLOperation):
    """
    Runs a region again and again, handing values on from one iteration to the next.

    The number of iterations is bounded by `trips`, a size, or by `count`, a scalar that
    is computed. With `condition` the loop also ends as soon as that is false: it is
    looked at before the first iteration, and then what the region yields first.

    The region's arguments are the number of the iteration, the carried values (at first
    `initial`), the slice of each `scanned` operand at that number along its first axis,
    and the `captured` values. It yields the next condition, if there is one, the next
    carried values, and elements: one more result for each, in which they are stacked
    along a new first axis of size `trips`.

    Example: running sums, and the total::

        %total, %sums = nn.loop trips <T> carry(%zero : tensor<f32>)
            scan(%x : tensor<?xf32, #nn.shape<T>>) capture()
            -> tensor<f32>, tensor<?xf32, #nn.shape<T>> {
        ^bb0(%i: tensor<i64>, %sum: tensor<f32>, %element: tensor<f32>):
          %0 = nn.add %sum, %element : (tensor<f32>, tensor<f32>) -> tensor<f32>
          nn.yield %0, %0 : tensor<f32>, tensor<f32>
        }
    """

    name = "nn.loop"

    trips = opt_prop_def(ShapeAttr)
    count = opt_operand_def(eq(COUNT))
    condition = opt_operand_def(eq(FLAG))
    initial = var_operand_def(TensorType)
    scanned = var_operand_def(TensorType)
    captured = var_operand_def(TensorType)
    res = var_result_def(TensorType)
    body = region_def("single_block")

    traits = traits_def(Pure(), IsolatedFromAbove())
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = (
        "(`trips` $trips^)? (`count` `(` $count^ `)`)? (`while` `(` $condition^ `)`)? "
        "`carry` `(` ($initial^ `:` type($initial))? `)` "
        "`scan` `(` ($scanned^ `:` type($scanned))? `)` "
        "`capture` `(` ($captured^ `:` type($captured))? `)` "
        "(`->` type($res)^)? attr-dict-with-keyword $body"
    )

    def __init__(
        self,
        body: Region,
        initial: Sequence[SSAValue] = (),
        scanned: Sequence[SSAValue] = (),
        captured: Sequence[SSAValue] = (),
        *,
        trips: DimLike | None = None,
        count: SSAValue | Operation | None = None,
        condition: SSAValue | Operation | None = None,
    ) -> None:
        yielded = list(yield_of(body.block).arguments)[condition is not None :]
        types = [v.type for v in initial]
        for element in yielded[len(types) :]:
            assert trips is not None, "only loops of a known size stack elements"
            types.append(
                tensor_type(element_type_of(element), (trips, *dims_of(element)))
            )
        super().__init__(
            operands=[
                [] if count is None else [count],
                [] if condition is None else [condition],
                initial,
                scanned,
                captured,
            ],
            properties={"trips": None if trips is None else ShapeAttr.of([trips])},
            regions=[body],
            result_types=[types],
        )

    # ---- operands, block arguments, yields and results of each kind

    @property
    def block(self) -> Block:
        """The body's only block."""
        return self.body.block

    @property
    def trip_dim(self) -> Dim | None:
        """The bound of the number of iterations, if it is a size."""
        return None if self.trips is None else self.trips.dims[0]

    @property
    def iteration(self) -> BlockArgument:
        """The number of the iteration."""
        return self.block.args[0]

    @property
    def carried(self) -> Sequence[BlockArgument]:
        """The block arguments that hold the carried values."""
        return self.block.args[1 : 1 + len(self.initial)]

    @property
    def slices(self) -> Sequence[BlockArgument]:
        """The block arguments that hold slices of `scanned`."""
        start = 1 + len(self.initial)
        return self.block.args[start : start + len(self.scanned)]

    def inner(self, block: Block) -> Sequence[BlockArgument]:
        """The arguments of `block` that stand for `captured`."""
        return block.args[1 + len(self.initial) + len(self.scanned) :]

    @property
    def next_condition(self) -> SSAValue | None:
        """The yielded condition."""
        return None if self.condition is None else yield_of(self.block).arguments[0]

    @property
    def next_values(self) -> Sequence[SSAValue]:
        """The yielded carried values."""
        start = int(self.condition is not None)
        return yield_of(self.block).arguments[start : start + len(self.initial)]

    @property
    def elements(self) -> Sequence[SSAValue]:
        """The yielded values that are stacked."""
        start = int(self.condition is not None) + len(self.initial)
        return yield_of(self.block).arguments[start:]

    @property
    def stacked(self) -> Sequence[SSAValue]:
        """The results in which `elements` are stacked."""
        return self.res[len(self.initial) :]

    # ---- checks

    def verify_(self) -> None:
        if self.trips is not None and len(self.trips.texts) != 1:
            raise VerifyException(f"{self.name}: trips must be one size")
        if self.trips is not None and self.count is not None:
            raise VerifyException(f"{self.name}: trips and count exclude each other")
        if self.trips is None and self.count is None and self.condition is None:
            raise VerifyException(f"{self.name}: nothing ends the loop")
        if len(self.res) < len(self.initial):
            raise VerifyException(f"{self.name}: every carried value is a result")
        arguments: list[Attribute] = [COUNT, *(v.type for v in self.initial)]
        arguments += [self._slice_type(v) for v in self.scanned]
        arguments += [v.type for v in self.captured]
        yielded: list[Attribute] = [] if self.condition is None else [FLAG]
        yielded += [v.type for v in self.initial]
        for value, result in zip(self.initial, self.res, strict=False):
            if value.type != result.type:
                raise VerifyException(
                    f"{self.name}: {value.type} is carried, the result is {result.type}"
                )
        yielded += [self._slice_type(v) for v in self.stacked]
        _verify_block(self, self.block, arguments, yielded)

    def _slice_type(self, value: SSAValue) -> NnTensorType:
        """The type of `value` at one position of its first axis."""
        dims = dims_of(value)
        if self.trip_dim is None or (self.condition is not None and dims):
            raise VerifyException(
                f"{self.name}: only a loop that always runs `trips` times has slices"
            )
        if not dims or dims[0] != self.trip_dim:
            raise VerifyException(
                f"{self.name}: the first axis of {value.type} should be {self.trip_dim}"
            )
        return tensor_type(element_type_of(value), dims[1:])


REGION_OPS = (IfOp, LoopOp)
"""The ops with control flow."""


def yield_of(block: Block) -> YieldOp:
    """The terminator of a region's block."""
    terminator = block.last_op
    assert isinstance(terminator, YieldOp)
    return terminator


def _verify_block(
    op: Operation,
    block: Block,
    arguments: Sequence[Attribute],
    yielded: Sequence[Attribute],
) -> None:
    if [a.type for a in block.args] != list(arguments):
        shown = ", ".join(map(str, arguments))
        raise VerifyException(f"{op.name}: block arguments must be ({shown})")
    last = block.last_op
    if not isinstance(last, YieldOp):
        raise VerifyException(f"{op.name}: the region must end in nn.yield")
    if [a.type for a in last.arguments] != list(yielded):
        shown = ", ".join(map(str, yielded))
        raise VerifyException(f"{op.name}: nn.yield must give ({shown})")
    for inner in block.ops:
        if not inner.name.startswith("nn."):
            raise VerifyException(
                f"{op.name}: the region holds nn ops, not {inner.name}"
            )
