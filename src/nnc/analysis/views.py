"""Chains of view ops: where they start, and how their result lies in memory."""

from __future__ import annotations

from xdsl.ir import OpResult, SSAValue

from nnc.analysis.strides import contiguous_strides, reshaped_strides
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.movement import (
    VIEW_OPS,
    BroadcastOp,
    DimCastOp,
    ReshapeOp,
    SliceOp,
    TransposeOp,
)
from nnc.dialects.nn.types import dims_of
from nnc.symbolic import Dim

VIEWS = frozenset(VIEW_OPS)


def root_of(value: SSAValue) -> SSAValue:
    """The value that a chain of views starts at."""
    while isinstance(value, OpResult) and type(value.op) in VIEWS:
        value = value.op.operands[0]
    return value


def strides_of(value: SSAValue) -> tuple[Dim, ...]:
    """
    The strides of `value` where its root is dense.

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
