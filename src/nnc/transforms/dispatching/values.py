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
from nnc.dialects.nn.types import bit_width, dims_of, element_type_of
from nnc.dialects.nn.winograd import WinogradInputOp, WinogradProductOp

_MAX_STACK_BYTES = 512 << 10
"""Memory that a kernel may have for the transformed tiles of one group."""

_MIN_GROUPS = 16
"""With fewer groups of tiles, threads share out the products better by panels."""

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


def is_made_where_used(op: WinogradInputOp) -> bool:
    """
    Whether the kernel that multiplies tiles makes them, too.

    So it is in large images, whose transformed tiles would fall out of the cache.
    """
    user = op.result.get_user_of_unique_use()
    if not isinstance(user, WinogradProductOp):
        return False
    groups, elements, group, channels = (d.as_int() for d in dims_of(op.result))
    if elements is None or group is None or channels is None:
        return False
    size = elements * group * channels * bit_width(element_type_of(op.result)) // 8
    is_parted = groups is None or groups >= _MIN_GROUPS
    return is_parted and 0 < size <= _MAX_STACK_BYTES
