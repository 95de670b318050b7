"""What the host program does: dispatches, then launches; and checks on sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xdsl.dialects.builtin import StringAttr, SymbolRefAttr
from xdsl.ir import Block, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import IsolatedFromAbove, MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.structure import YieldOp
from nnc.dialects.nn.tiles import TileAttr
from nnc.dialects.nn.types import ShapeAttr
from nnc.dialects.rt.types import BufferType, buffer_type_of
from nnc.symbolic import Dim, DimLike

WORK_PARTS: Final = 3


@irdl_op_definition
class DispatchOp(IRDLOperation):
    """
    A group of `nn` ops that becomes one kernel, bound to buffers.

    The region's arguments are the contents of `inputs`; the values that `nn.yield`
    gives are stored to `outputs`, in order. An output may be an input too, where each
    element is read before it is written. `tile` is that of `nn.dispatch`. Example::

        rt.dispatch ins(%x : !rt.buffer<..>) outs(%y : !rt.buffer<..>) {
        ^bb0(%a: tensor<4x8xf32>):
          %0 = nn.relu %a : (tensor<4x8xf32>) -> tensor<4x8xf32>
          nn.yield %0 : tensor<4x8xf32>
        }
    """

    name = "rt.dispatch"

    inputs = var_operand_def(BufferType)
    outputs = var_operand_def(BufferType)
    tile = opt_prop_def(TileAttr)
    body = region_def("single_block")

    traits = traits_def(IsolatedFromAbove(), MemoryReadEffect(), MemoryWriteEffect())
    irdl_options = (
        AttrSizedOperandSegments(as_property=True),
        ParsePropInAttrDict(),
    )
    assembly_format = (
        "`ins` `(` ($inputs^ `:` type($inputs))? `)` "
        "`outs` `(` ($outputs^ `:` type($outputs))? `)` attr-dict-with-keyword $body"
    )

    def __init__(
        self,
        inputs: Sequence[SSAValue],
        outputs: Sequence[SSAValue],
        body: Region,
        tile: TileAttr | None = None,
    ) -> None:
        super().__init__(
            operands=[inputs, outputs], properties={"tile": tile}, regions=[body]
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
        self._verify_types("input", self.inputs, self.block.args)
        last = self.block.last_op
        if not isinstance(last, YieldOp):
            raise VerifyException(f"{self.name}: the body must end in nn.yield")
        self._verify_types("output", self.outputs, last.arguments)

    def _verify_types(
        self, kind: str, buffers: Sequence[SSAValue], tensors: Sequence[SSAValue]
    ) -> None:
        if len(buffers) != len(tensors):
            raise VerifyException(
                f"{self.name}: {len(buffers)} {kind}s for {len(tensors)} tensors"
            )
        for buffer, tensor in zip(buffers, tensors, strict=True):
            expected = buffer_type_of(buffer).tensor_type
            if tensor.type != expected:
                raise VerifyException(
                    f"{self.name}: {kind} {buffer.type} cannot hold {tensor.type}"
                )


@irdl_op_definition
class LaunchOp(IRDLOperation):
    """
    Runs a kernel over all of its tasks.

    The kernel gets the run state if it asks for it (`needs_state`), a pointer to the
    first element of each buffer, the values of `dims`, and a range of tasks out of
    `0 .. tasks`. `cost` is roughly how many nanoseconds one thread takes for all of
    them: cheap launches are not shared out. `schedule` and `ops` tell people how the
    kernel works and which `nn` ops it computes, and `work` is what profiles hold its
    time against: arithmetic operations, bytes read and bytes written. Example::

        rt.launch @pointwise_0(%x, %y) {dims = #nn.shape<N>, tasks = #nn.shape<4>,
          schedule = "pointwise", work = #nn.shape<64, 256, 256>}
          : !rt.buffer<..>, !rt.buffer<..>
    """

    name = "rt.launch"

    kernel = prop_def(SymbolRefAttr)
    buffers = var_operand_def(BufferType)
    dims = prop_def(ShapeAttr)
    tasks = prop_def(ShapeAttr)
    cost = opt_prop_def(ShapeAttr)
    schedule = opt_prop_def(StringAttr)
    ops = opt_prop_def(StringAttr)
    work = opt_prop_def(ShapeAttr)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$kernel `(` $buffers `)` attr-dict `:` type($buffers)"

    def __init__(
        self,
        kernel: str,
        buffers: Sequence[SSAValue],
        dims: Sequence[DimLike] = (),
        tasks: DimLike = 1,
        schedule: str | None = None,
        ops: Sequence[str] = (),
        cost: DimLike = 0,
        work: Sequence[DimLike] | None = None,
    ) -> None:
        super().__init__(
            operands=[buffers],
            properties={
                "kernel": SymbolRefAttr(kernel),
                "dims": ShapeAttr(dims),
                "tasks": ShapeAttr([tasks]),
                "cost": None if cost == 0 else ShapeAttr([cost]),
                "schedule": None if schedule is None else StringAttr(schedule),
                "ops": StringAttr(" ".join(ops)) if ops else None,
                "work": None if work is None else ShapeAttr(work),
            },
        )

    @property
    def task_count(self) -> Dim:
        """How many tasks the kernel has."""
        return self.tasks.dims[0]

    @property
    def nanoseconds(self) -> Dim:
        """What the launch costs; 0 if that is not known."""
        return Dim.of(0) if self.cost is None else self.cost.dims[0]

    def verify_(self) -> None:
        if len(self.tasks.texts) != 1:
            raise VerifyException(
                f"{self.name}: one task count expected, got {len(self.tasks.texts)}"
            )
        if self.cost is not None and len(self.cost.texts) != 1:
            raise VerifyException(
                f"{self.name}: one cost expected, got {len(self.cost.texts)}"
            )
        if self.work is not None and len(self.work.texts) != WORK_PARTS:
            raise VerifyException(
                f"{self.name}: work has {WORK_PARTS} parts (operations, bytes read, "
                f"bytes written), got {len(self.work.texts)}"
            )


@irdl_op_definition
class AssertEqualOp(IRDLOperation):
    """
    Two lists of dims that must agree, checked when a shape is first seen.

    Example: `rt.assert_equal {lhs = #nn.shape<A>, rhs = #nn.shape<B>}`.
    """

    name = "rt.assert_equal"

    lhs = prop_def(ShapeAttr)
    rhs = prop_def(ShapeAttr)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "attr-dict"

    def __init__(self, lhs: Sequence[DimLike], rhs: Sequence[DimLike]) -> None:
        super().__init__(properties={"lhs": ShapeAttr(lhs), "rhs": ShapeAttr(rhs)})

    def verify_(self) -> None:
        if len(self.lhs.texts) != len(self.rhs.texts):
            raise VerifyException(
                f"{self.name}: {len(self.lhs.texts)} dims against {len(self.rhs.texts)}"
            )
