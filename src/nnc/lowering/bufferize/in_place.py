"""
Which dispatches may write their result over an operand that nobody reads later.

Pointwise ones only: element `i` of the result is made from element `i` of the operand,
which the kernel has read before it stores.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation, SSAValue

from nnc.analysis.dispatches import ELEMENTWISE, DispatchKind, classify
from nnc.dialects.nn.movement import VIEW_OPS
from nnc.dialects.nn.structure import DispatchOp, YieldOp
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
            if isinstance(op, ReturnOp):
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
    if len(op.res) != 1 or result.root.kind is not RootKind.ALLOC:
        return None
    if result.root.is_shared or classify(op) is not DispatchKind.POINTWISE:
        return None
    for index, (value, place) in enumerate(zip(op.arguments, operands, strict=True)):
        if (
            place.root.kind is RootKind.ALLOC
            and not place.root.is_shared
            and place.dims == result.dims
            and place.strides == result.strides
            and not place.offset
            and place.element_type == result.element_type
            and place.root.type.dims == place.dims
            and last_uses.of(last_uses.source(value)) <= position
            and sum(other.root is place.root for other in operands) == 1
            and _is_read_elementwise(op.block.args[index])
        ):
            return place
    return None


def _is_read_elementwise(value: SSAValue) -> bool:
    """Whether only elementwise ops lie between `value` and `nn.yield`."""
    return all(
        isinstance(use.operation, YieldOp)
        or (
            type(use.operation) in ELEMENTWISE
            and _is_read_elementwise(use.operation.results[0])
        )
        for use in value.uses
    )
