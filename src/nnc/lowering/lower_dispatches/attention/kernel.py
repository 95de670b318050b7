"""
The attention kernel: scores never leave the scratch of a task.

A task is a block of queries of one head::

    Q' = transpose(scale * Q[block])
    for each block of keys:
        S' = K[keys] * Q'                   # a row a key, so lanes are queries
        m, l, P' = online softmax of S'
        O = O * e^(m_old - m_new) + transpose(P') * V[keys]
    out[block] = O / l

A few queries (a step of a decoder) do not fill the lanes: they are done one by one with
lanes along keys and values. Sources: Milakov, Gimelshein, "Online normalizer
calculation for softmax" (2018); Dao et al., "FlashAttention" (2022).

Scratch is on the stack: bounded whatever the lengths are, and private to a task, so
results do not depend on how tasks are shared out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects.nn.types import bit_width
from nnc.dialects.rt.types import BufferType
from nnc.lowering.lower_dispatches.attention.blocks import BlockedAttention
from nnc.lowering.lower_dispatches.attention.operands import Operands, Place
from nnc.lowering.lower_dispatches.attention.rows import RowAttention
from nnc.lowering.lower_dispatches.attention.tiling import (
    FEW_QUERIES,
    attention_tiling,
)
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import Kernel, KernelBuilder
from nnc.lowering.tiling import vector_width
from nnc.symbolic import Dim, dim_product
from nnc.target import Target


@dataclass(frozen=True)
class AttentionKernel:
    """A kernel, how many tasks a launch of it has, and what it is called."""

    kernel: Kernel
    tasks: Dim
    schedule: str


def attention_kernel(
    form: DispatchForm, buffers: Sequence[BufferType], target: Target
) -> AttentionKernel:
    """The kernel of a dispatch whose inputs, then outputs are `buffers`."""
    kb = KernelBuilder(target, buffers)
    tasks = _emit(kb, Operands.of(kb, form, buffers))
    return AttentionKernel(kb.finish(), tasks, "attention")


def _emit(kb: KernelBuilder, operands: Operands) -> Dim:
    """All loops; gives the task count."""
    width = vector_width(kb.target, operands.element)
    tiling = attention_tiling(
        kb.target,
        width,
        operands.queries,
        operands.keys,
        (operands.depth, operands.value_depth),
        bit_width(operands.element) // 8,
    )
    sizes = [*operands.outer, tiling.blocks]
    tasks = dim_product(sizes)
    if tasks == 0:
        return tasks
    fixed = operands.queries.as_int()
    # A block of all queries may have room for more.
    size = tiling.queries if fixed is None else min(fixed, tiling.queries)
    by_rows = fixed is None or fixed <= FEW_QUERIES
    by_blocks = fixed is None or fixed > FEW_QUERIES
    rows = RowAttention(kb, operands, width) if by_rows else None
    blocks = BlockedAttention(kb, operands, tiling) if by_blocks else None
    with kb.loop(kb.begin, kb.end, extent=tasks) as task:
        *position, block = _split(kb, task, sizes)
        shared = kb.floordiv(position[-1], operands.op.group_size)
        first = block * size
        count = kb.minimum(Index.of(operands.queries) - first, size)
        place = Place.of(operands, position, shared, first)

        def few() -> Sequence[SSAValue]:
            assert rows is not None
            rows.emit(place, count)
            return ()

        def many() -> Sequence[SSAValue]:
            assert blocks is not None
            blocks.emit(place, count)
            return ()

        if not by_blocks or not by_rows:
            kb.choose(by_rows, few, many)
        else:
            kb.choose(kb.compare("sle", count, FEW_QUERIES), few, many)
    return tasks


def _split(kb: KernelBuilder, index: Index, sizes: Sequence[Dim]) -> list[Index]:
    """The indices of nested axes for the index of their product."""
    result: list[Index] = []
    for size in reversed(sizes[1:]):
        index, rest = kb.divmod(index, size)
        result.append(rest)
    return [index, *reversed(result)]
