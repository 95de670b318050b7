"""
How much a dispatch computes and moves: what its time is held against.

Operations are counted as the field counts them: a multiplication and an addition for
each term of a contraction, one for each element that is combined or computed
otherwise, none for moving data. Bytes are those that must be moved at least: every
operand element that is used is read once, every result element written once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Final

from xdsl.ir import Block, Operation, SSAValue

from nnc.dialects.nn import attention, conv, linear, movement, reduction
from nnc.dialects.nn.elementwise import ELEMENTWISE_OPS
from nnc.dialects.nn.types import dims_of
from nnc.dialects.rt.program import DispatchOp
from nnc.dialects.rt.types import BufferType, buffer_type_of
from nnc.symbolic import Dim, dim_min, dim_product

_ELEMENTWISE: Final = frozenset(ELEMENTWISE_OPS)


@dataclass(frozen=True)
class Work:
    """Operations, and bytes read and written, as expressions."""

    operations: Dim
    read: Dim
    written: Dim


def work_of(dispatch: DispatchOp) -> Work:
    """What a dispatch has to do at least."""
    read = Dim.of(0)
    seen: set[SSAValue] = set()
    pairs = zip(dispatch.inputs, dispatch.block.args, strict=True)
    for buffer, argument in pairs:
        if buffer not in seen:
            seen.add(buffer)
            read = read + _bytes_read(buffer_type_of(buffer), argument)
    written = _sum(
        _elements(buffer_type_of(b)) * buffer_type_of(b).element_bytes
        for b in dispatch.outputs
    )
    return Work(operations_of(dispatch.block), read, written)


def operations_of(block: Block) -> Dim:
    """The arithmetic operations of a region."""
    return _sum(_operations(op) for op in block.ops)


def _operations(op: Operation) -> Dim:
    match op:
        case linear.MatmulOp():
            return 2 * _size(op.results[0]) * dims_of(op.lhs)[-1]
        case conv.ConvOp():
            return 2 * _size(op.results[0]) * _terms(op)
        case attention.AttentionOp():
            # Scores and their softmax over the keys, then the mix of values.
            *_, queries, width = dims_of(op.query)
            keys = dims_of(op.key)[-2]
            batch = dim_product(dims_of(op.results[0])[:-2])
            depth = 2 * (width + dims_of(op.value)[-1])
            return batch * queries * keys * (depth + 3)
        case conv.PoolOp():
            return _size(op.results[0]) * dim_product(op.kernel)
        case reduction.ReduceOp() | reduction.ArgReduceOp() | reduction.CumulativeOp():
            return _size(op.operands[0])
        case _ if type(op) in _ELEMENTWISE:
            return _size(op.results[0])
        case _:
            return Dim.of(0)


def _terms(op: conv.ConvOp) -> Dim:
    """How many products make one element of a convolution."""
    dims = dims_of(op.filter)
    last = op.layout.data == conv.CHANNELS_LAST
    return dim_product(dims[:-1] if last else dims[1:])


def _bytes_read(buffer: BufferType, argument: SSAValue) -> Dim:
    """Bytes of a buffer that a region uses: all, unless it only looks some up."""
    size = _elements(buffer)
    users = [use.operation for use in argument.uses]
    if users and all(_looks_up(op, argument) for op in users):
        used = _sum(_size(op.results[0]) for op in users)
        size = dim_min(size, used)
    return size * buffer.element_bytes


def _looks_up(op: Operation, value: SSAValue) -> bool:
    partial = movement.SliceOp | movement.GatherOp | movement.GatherElementsOp
    return isinstance(op, partial) and op.operands[0] is value


def _elements(buffer: BufferType) -> Dim:
    """Distinct elements: a stride of 0 shows the same ones again."""
    strided = zip(buffer.dims, buffer.stride_dims, strict=True)
    return dim_product(dim for dim, stride in strided if stride != 0)


def _size(value: SSAValue) -> Dim:
    return dim_product(dims_of(value))


def _sum(dims: Iterable[Dim]) -> Dim:
    return reduce(Dim.__add__, dims, Dim.of(0))
