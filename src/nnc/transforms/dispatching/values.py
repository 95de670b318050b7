"""Questions about values that grouping and building both ask."""

from __future__ import annotations

from xdsl.ir import Operation, OpResult, SSAValue

from nnc.analysis.dispatches import CONSTANTS, ELEMENTWISE, VIEWS
from nnc.dialects.nn.control import IfOp, LoopOp
from nnc.dialects.nn.movement import (
    BroadcastOp,
    ConcatOp,
    DimCastOp,
    PadOp,
    ReshapeOp,
    SliceOp,
    TransposeOp,
)
from nnc.dialects.nn.structure import ConstantOp, DimsOp, WeightOp
from nnc.dialects.nn.types import dims_of

PULLED_VIEWS = (BroadcastOp, DimCastOp, TransposeOp, SliceOp)
"""Views that go into a dispatch with what they feed; reshapes stay outside."""


def is_top_level(op: Operation) -> bool:
    """Whether `op` may stay outside of all dispatches."""
    if isinstance(op, PadOp):
        return op.mode.data == "constant"
    return type(op) in VIEWS or isinstance(
        op, ConstantOp | WeightOp | DimsOp | ConcatOp | IfOp | LoopOp
    )


def is_scalar_expression(value: SSAValue) -> bool:
    """
    Whether `value` is one element that is known before any kernel runs.

    Such a value is computed anew in each dispatch that reads it.
    """
    if not isinstance(value, OpResult) or any(d != 1 for d in dims_of(value)):
        return False
    op = value.op
    if type(op) in CONSTANTS:
        return True
    if type(op) in ELEMENTWISE or isinstance(op, ReshapeOp | BroadcastOp | DimCastOp):
        return all(is_scalar_expression(o) for o in op.operands)
    return False
