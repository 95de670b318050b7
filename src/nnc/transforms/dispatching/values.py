"""Questions about values that grouping and building both ask."""

from __future__ import annotations

from xdsl.ir import Operation, OpResult, SSAValue

from nnc.analysis.dispatches import CONSTANTS, ELEMENTWISE, VIEWS
from nnc.analysis.strides import contiguous_strides, reshaped_strides
from nnc.dialects.nn.base import ints
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
from nnc.symbolic import Dim

PULLED_VIEWS = (BroadcastOp, DimCastOp, TransposeOp, SliceOp)
"""Views that go into a dispatch with what they feed; reshapes stay outside."""


def is_top_level(op: Operation) -> bool:
    """Whether `op` may stay outside of all dispatches."""
    if isinstance(op, PadOp):
        return op.mode.data == "constant"
    return type(op) in VIEWS or isinstance(op, ConstantOp | WeightOp | DimsOp | ConcatOp)


def root_of(value: SSAValue) -> SSAValue:
    """The value that a chain of views starts at."""
    while isinstance(value, OpResult) and type(value.op) in VIEWS:
        value = value.op.operands[0]
    return value


def is_scalar_expression(value: SSAValue) -> bool:
    """Whether `value` is one element that is known before any kernel runs.

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


def strides_of(value: SSAValue) -> tuple[Dim, ...]:
    """The strides of `value` where its root is dense.

    A reshape that is no view is a dense copy. Axes of size 1 may have any stride.
    """
    if not isinstance(value, OpResult):
        return contiguous_strides(dims_of(value))
    match value.op:
        case TransposeOp() as op:
            strides = strides_of(op.operand)
            return tuple(strides[a] for a in op.axes)
        case ReshapeOp() as op:
            dims = dims_of(op.operand)
            strides = reshaped_strides(dims, strides_of(op.operand), dims_of(value))
            return contiguous_strides(dims_of(value)) if strides is None else strides
        case SliceOp() as op:
            pairs = zip(strides_of(op.operand), ints(op.steps), strict=True)
            return tuple(s * step for s, step in pairs)
        case DimCastOp() as op:
            return strides_of(op.operand)
        case BroadcastOp() as op:
            source, target = dims_of(op.operand), dims_of(value)
            offset = len(target) - len(source)
            inner = [
                Dim.of(0) if d == 1 and target[offset + i] != 1 else s
                for i, (d, s) in enumerate(
                    zip(source, strides_of(op.operand), strict=True)
                )
            ]
            return (*[Dim.of(0)] * offset, *inner)
        case _:
            return contiguous_strides(dims_of(value))


def is_dense_inside(value: SSAValue) -> bool:
    """Whether neighbours along the last axis of `value` are neighbours in memory."""
    dims = dims_of(value)
    return not dims or dims[-1] == 1 or strides_of(value)[-1] == 1
