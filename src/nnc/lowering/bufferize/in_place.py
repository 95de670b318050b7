"""
Which dispatches may write their result over an operand that nobody reads later.

Pointwise ones: element `i` of the result is made from element `i` of the operand, which
the kernel has read before it stores. And row programs: a row of the result is made from
that row of the operand. A task has rows of its own, and stores to a row only when all
reductions of it are complete, again each element after it has been read.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation, SSAValue

from nnc.analysis.dispatches import ELEMENTWISE, DispatchKind, analyze
from nnc.dialects.nn.movement import VIEW_OPS
from nnc.dialects.nn.reduction import ReduceOp
from nnc.dialects.nn.structure import DispatchOp, YieldOp
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.lowering.bufferize.places import Place, RootKind


class LastUses:
    """The position of the last op that reads a value or a view of it."""

    def __init__(self, ops: Sequence[Operation]) -> None:
        """`ops` are all ops of a function, in order."""
        self._end = len(ops)
        self._last: dict[SSAValue, int] = {}
        for position in reversed(range(len(ops))):
            op = ops[position]
            is_view = type(op) in VIEW_OPS
            if isinstance(op, ReturnOp | YieldOp):
                position = self._end
            elif is_view:
                position = self.of(op.results[0])
            for operand in op.operands:
                self._last[operand] = max(self._last.get(operand, -1), position)

    def of(self, value: SSAValue) -> int:
        """The position; -1 if nobody reads `value`."""
        return self._last.get(value, -1)

    def source(self, value: SSAValue) -> SSAValue:
        """The value that `value` is a view of, through any number of view ops."""
        while isinstance(op := value.owner, Operation) and type(op) in VIEW_OPS:
            value = op.operands[0]
        return value


def operand_to_overwrite(
    op: DispatchOp,
    position: int,
    result: Place,
    operands: Sequence[Place],
    last_uses: LastUses,
) -> Place | None:
    """The place of the operand that the result may take over instead of `result`."""
    if result.root.kind is not RootKind.ALLOC or result.root.is_shared:
        return None
    for index, (value, place) in enumerate(zip(op.arguments, operands, strict=True)):
        if (
            place.root.kind is RootKind.ALLOC
            and not place.root.is_shared
            and place.dims == result.dims
            and place.strides == result.strides
            and not place.offset
            and place.root.type.dims == place.dims
            and last_uses.of(last_uses.source(value)) <= position
            and sum(other.root is place.root for other in operands) == 1
            and can_overwrite(op, index)
        ):
            return place
    return None


def can_overwrite(op: DispatchOp, index: int) -> bool:
    """
    Whether the kernel of `op` may store its result where operand `index` lies.

    Both in the same way, and without another operand that shares that memory.
    """
    argument = op.block.args[index]
    if len(op.res) != 1 or not _is_read_elementwise(argument):
        return False
    result = op.res[0]
    if dims_of(argument) != dims_of(result):
        return False
    if element_type_of(argument) != element_type_of(result):
        return False
    form = analyze(op)
    if form.kind is DispatchKind.ROWS:
        # Through views, rows would be stored over other rows.
        return form.full_dims == dims_of(result) and not form.yields[0].views
    return form.kind is DispatchKind.POINTWISE


def _is_read_elementwise(value: SSAValue) -> bool:
    """Whether elementwise ops alone lie between `value` and yields or reductions."""
    return all(
        isinstance(use.operation, YieldOp | ReduceOp)
        or (
            type(use.operation) in ELEMENTWISE
            and _is_read_elementwise(use.operation.results[0])
        )
        for use in value.uses
    )
