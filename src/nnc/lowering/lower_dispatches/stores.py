"""Storing elements, also through trailing views of a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import Operation, SSAValue

from nnc.analysis.strides import reshaped_strides
from nnc.dialects.nn import movement as mv
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.types import dims_of
from nnc.dialects.simd.types import bits_of
from nnc.errors import CompileError
from nnc.lowering.lower_dispatches.elementwise import convert
from nnc.lowering.lower_dispatches.emit import Emitter
from nnc.lowering.lower_dispatches.expressions import Node, walk
from nnc.lowering.lower_dispatches.index import Index, simplified
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg
from nnc.symbolic import Dim, DimLike
from nnc.target import Target


@dataclass(frozen=True)
class Store:
    """What is written to an element of a buffer."""

    node: Node
    buffer: BufferArg
    index: Index


def store_element(emitter: Emitter, store: Store, value: SSAValue) -> None:
    """Write the lanes of `value` to where `store` says."""
    kb, ptr = emitter.kb, store.buffer.ptr
    value = convert(kb, value, store.buffer.element_type)
    lanes = emitter.resolve(store.index)
    assert lanes.vector is None, "results are stored affinely"
    value = kb.splat(value, emitter.width)
    if emitter.width == 1 or lanes.step == 1:
        kb.store(value, ptr, lanes.base, emitter.mask)
    else:
        kb.store_strided(value, ptr, lanes.base, lanes.step, emitter.mask)


def vector_width(
    target: Target, stores: Sequence[Store], nodes: Sequence[Node] = ()
) -> int:
    """The lanes of the widest type that is computed with."""
    bits = [bits_of(s.buffer.element_type) for s in stores]
    roots = [*(s.node for s in stores), *nodes]
    bits.extend(bits_of(n.type) for n in walk(roots))
    return target.lanes(max(8, *bits))


def stored_before(buffer: BufferArg, views: Sequence[Operation]) -> BufferArg:
    """
    The buffer as the value before `views` sees it.

    Raises:
        CompileError: the views are more than other strides.
    """
    strides: Sequence[DimLike] | None = buffer.strides
    dims: Sequence[DimLike] = buffer.dims
    for op in reversed(views):
        strides = _before(op, strides)
        if strides is None:
            raise CompileError(
                f"{location_of(op)}: {op.name} cannot be stored through; its result "
                f"has strides {[str(s) for s in buffer.strides]}"
            )
        dims = dims_of(op.operands[0])
    return BufferArg(
        buffer.ptr,
        buffer.element_type,
        tuple(map(simplified, dims)),
        tuple(map(simplified, strides)),
    )


def _before(op: Operation, strides: Sequence[DimLike]) -> Sequence[DimLike] | None:
    match op:
        case mv.TransposeOp():
            before: list[DimLike] = [Dim.of(0)] * len(strides)
            for position, axis in enumerate(op.axes):
                before[axis] = strides[position]
            return before
        case mv.ReshapeOp():
            return reshaped_strides(dims_of(op.result), strides, dims_of(op.operand))
        case mv.DimCastOp():
            return strides
        case _:
            return None
