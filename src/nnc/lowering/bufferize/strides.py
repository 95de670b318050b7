"""
Which strides the readers and writers of a value can deal with, and which suit them.

Contiguous strides always do. Others come from concatenations and padding done in
place, and from the padding of strides that are a multiple of 4 KiB: rows that far
apart share one set of the first-level cache, which halves the speed of a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import BlockArgument, Operation, OpResult, SSAValue

from nnc.analysis.dispatches import is_contraction, is_window, reads_rows
from nnc.analysis.strides import contiguous_strides
from nnc.dialects.nn import attention, linear, movement
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.control import IfOp, LoopOp
from nnc.dialects.nn.structure import DispatchOp, YieldOp
from nnc.dialects.nn.types import bit_width, dims_of, element_type_of
from nnc.lowering.bufferize.places import view_strides
from nnc.symbolic import Dim

_ALIASING_BYTES = 4096
_PADDING_BYTES = 64

_MANY_COLUMNS = 8
"""Vectors of so many elements are not stored one by one."""

Strides = tuple[Dim, ...]


def result_strides(value: SSAValue) -> Strides:
    """The strides of a buffer made for `value`: contiguous or padded ones."""
    dims = dims_of(value)
    dense = contiguous_strides(dims)
    padded = padded_strides(dims, bit_width(element_type_of(value)) // 8)
    if padded == dense or not _is_read_in_tiles(value):
        return dense
    return padded if can_have_strides(value, padded) else dense


def padded_strides(dims: Sequence[Dim], element_bytes: int) -> Strides:
    """Row-major strides, with 64 bytes between rows that would be 4 KiB apart."""
    strides: list[Dim] = []
    step = Dim.of(1)
    for axis in reversed(range(len(dims))):
        size = step.as_int()
        is_row = axis == len(dims) - 2 and dims[axis] != 1
        if is_row and size and size * element_bytes % _ALIASING_BYTES == 0:
            step = step + _PADDING_BYTES // element_bytes
        strides.append(step)
        step = step * dims[axis]
    return tuple(reversed(strides))


def _is_read_in_tiles(value: SSAValue) -> bool:
    """Whether a contraction or window makes or reads `value`, perhaps through views."""
    if isinstance(value.owner, DispatchOp) and _has_tiles(value.owner):
        return True
    for use in value.uses:
        user = use.operation
        if isinstance(user, DispatchOp) and _has_tiles(user):
            return True
        if type(user) in movement.VIEW_OPS and _is_read_in_tiles(user.results[0]):
            return True
    return False


def _has_tiles(op: DispatchOp) -> bool:
    return any(reads_rows(o) for o in op.block.ops)


def can_have_strides(value: SSAValue, strides: Strides) -> bool:
    """Whether maker and readers of `value` can work on `strides` without a copy."""
    if (
        isinstance(value, OpResult)
        and isinstance(value.op, DispatchOp)
        and (not _can_store(value.op.yield_op, value.index, strides))
    ):
        return False
    return is_readable(value, strides)


def _can_read(user: Operation, index: int, value: SSAValue, strides: Strides) -> bool:
    if isinstance(user, DispatchOp):
        return can_read(user.block.args[index], strides)
    if isinstance(user, IfOp | LoopOp):
        return _can_read_inside(user, index, strides)
    if type(user) not in movement.VIEW_OPS:
        return True
    seen = _strides_through(user, value, strides)
    if seen is None:
        return False
    result = user.results[0]
    return all(_can_read(u.operation, u.index, result, seen) for u in result.uses)


def _can_read_inside(user: IfOp | LoopOp, index: int, strides: Strides) -> bool:
    """Whether the regions of `user` can read their operand `index` at `strides`."""
    value = user.operands[index]
    blocks = [region.block for region in user.regions]
    arguments = [
        argument
        for block in blocks
        for outer, argument in zip(user.captured, user.inner(block), strict=True)
        if outer is value
    ]
    if isinstance(user, LoopOp) and value in user.scanned:
        arguments += [
            argument
            for outer, argument in zip(user.scanned, user.slices, strict=True)
            if outer is value
        ]
        strides = strides[1:]
    return all(is_readable(argument, strides) for argument in arguments)


def is_readable(value: SSAValue, strides: Strides) -> bool:
    """Whether all readers of `value` can work on `strides` without a copy."""
    return all(
        _can_read(use.operation, use.index, value, strides) for use in value.uses
    )


def can_read(value: SSAValue, strides: Strides) -> bool:
    """Whether a region can read `value`, an argument or a view of one, at `strides`."""
    for use in value.uses:
        user = use.operation
        if isinstance(user, linear.UnpackOp):
            if strides != contiguous_strides(dims_of(value)):
                return False
        elif type(user) in movement.VIEW_OPS:
            seen = _strides_through(user, value, strides)
            if seen is None or not can_read(user.results[0], seen):
                return False
        elif _loads_vectors(user, use.index) and (
            strides[-1] != 1 and dims_of(value)[-1] != 1
        ):
            return False
    return True


def _loads_vectors(user: Operation, index: int) -> bool:
    """Whether operand `index` is loaded as vectors along its last axis."""
    if isinstance(user, attention.AttentionOp):
        return index < 3
    return isinstance(user, linear.MatmulOp) and index == 1


def _strides_through(
    op: Operation, operand: SSAValue, strides: Strides
) -> Strides | None:
    """The strides of a view op's result, or None if it is no view of these."""
    dims = dims_of(operand)
    match op:
        case movement.TransposeOp():
            return tuple(strides[a] for a in op.axes)
        case movement.ReshapeOp():
            return view_strides(dims, strides, dims_of(op.result))
        case movement.SliceOp():
            return tuple(s * k for s, k in zip(strides, ints(op.steps), strict=True))
        case movement.BroadcastOp():
            target = dims_of(op.result)
            new = len(target) - len(dims)
            kept = zip(dims, strides, target[new:], strict=True)
            return (
                *[Dim.of(0)] * new,
                *(s if d == t else Dim.of(0) for d, s, t in kept),
            )
        case _:
            return strides


def _can_store(terminator: YieldOp, index: int, strides: Strides) -> bool:
    """
    Whether the region can store its result `index` at `strides`.

    Views between what is computed and `nn.yield` are undone on the buffer's side.
    """
    value: SSAValue = terminator.arguments[index]
    current: Strides | None = strides
    while isinstance(value, OpResult) and type(value.op) in movement.VIEW_OPS:
        if not _depends_on_ops(value.op):
            return True
        current = _strides_before(value.op, current)
        if current is None:
            return False
        value = value.op.operands[0]
    return not _scatters(terminator, value, current)


def _scatters(terminator: YieldOp, value: SSAValue, strides: Strides) -> bool:
    """
    Whether a kernel that makes vectors along the last axis finds no neighbours there.

    A transposing copy afterwards takes less time than storing element by element.
    """
    dims = dims_of(value)
    if not dims or strides[-1] == 1:
        return False
    columns = dims[-1].as_int()
    is_narrow = columns is not None and columns < _MANY_COLUMNS
    block = terminator.parent_block()
    assert block is not None
    return not is_narrow and any(is_contraction(o) or is_window(o) for o in block.ops)


def _depends_on_ops(op: Operation) -> bool:
    operand = op.operands[0]
    return not isinstance(operand, BlockArgument)


def _strides_before(op: Operation, strides: Strides) -> Strides | None:
    match op:
        case movement.TransposeOp():
            before = [Dim.of(0)] * len(strides)
            for position, axis in enumerate(op.axes):
                before[axis] = strides[position]
            return tuple(before)
        case movement.ReshapeOp():
            return view_strides(dims_of(op.result), strides, dims_of(op.operand))
        case movement.DimCastOp():
            return strides
        case _:
            # Pulled by a pointwise kernel, which stores to any strides.
            return strides
