"""Square tiles: loads or stores of rows, and a transpose in registers."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import i1
from xdsl.ir import Operation, SSAValue

from nnc.dialects import simd
from nnc.dialects.simd.types import storage_bytes
from nnc.lowering.convert_simd_to_llvm.builder import Builder, int_value, like
from nnc.lowering.convert_simd_to_llvm.lowering import Converter, KernelLowering
from nnc.lowering.convert_simd_to_llvm.memory import (
    element_in_memory,
    from_memory,
    masked_load,
    masked_store,
    memory_type,
    to_memory,
)


def transpose(b: Builder, rows: Sequence[SSAValue]) -> list[SSAValue]:
    """
    The transpose of a square of vectors, in log2 stages of two-vector shuffles.

    A stage exchanges the off-diagonal blocks of size `distance` of all pairs.
    """
    rows = list(rows)
    count = len(rows)
    distance = count // 2
    while distance:
        low = tuple(
            lane if not lane & distance else count + lane - distance
            for lane in range(count)
        )
        high = tuple(
            lane + distance if not lane & distance else count + lane
            for lane in range(count)
        )
        for i in range(count):
            if not i & distance:
                a, c = rows[i], rows[i + distance]
                rows[i] = b.shuffle(a, c, low)
                rows[i + distance] = b.shuffle(a, c, high)
        distance //= 2
    return rows


def _row_masks(
    lw: KernelLowering, rows: SSAValue | None, columns: SSAValue | None, width: int
) -> list[SSAValue | None]:
    """The mask of each row of a tile; None for rows that are whole."""
    if rows is None or columns is None:
        return [None] * width
    b = lw.b
    row_count, column_count = lw.value(rows), lw.value(columns)
    known = int_value(row_count)
    if known is not None and known >= width and int_value(column_count) == width:
        return [None] * width
    lanes = b.vector_constant(tuple(range(width)), row_count.type)
    inside = b.icmp("slt", lanes, b.splat(column_count, width))
    nothing = b.constant(0, like(lanes.type, i1))
    return [
        b.select(b.icmp("slt", b.i64(r), row_count), inside, nothing)
        for r in range(width)
    ]


def convert_load_transposed(lw: KernelLowering, op: simd.LoadTransposedOp) -> None:
    """Load rows, transpose."""
    b, width = lw.b, op.lanes
    element = element_in_memory(op.ptr)
    type = lw.type_of(op.tile[0])
    raw_type = memory_type(type)
    stride, index = lw.value(op.stride), lw.value(op.index)
    masks = _row_masks(lw, op.rows, op.columns, width)
    address = b.gep(lw.value(op.ptr), index, element)
    loaded: list[SSAValue] = []
    for mask in masks:
        if mask is None:
            loaded.append(b.load(address, raw_type, storage_bytes(raw_type)))
        else:
            loaded.append(masked_load(b, address, raw_type, mask))
        if len(loaded) < width:
            address = b.gep(address, stride, element)
    for old, new in zip(op.tile, transpose(b, loaded), strict=True):
        lw.define(old, from_memory(b, new, type))


def convert_store_rows(lw: KernelLowering, op: simd.StoreRowsOp) -> None:
    """Store rows."""
    b, width = lw.b, op.lanes
    element = element_in_memory(op.ptr)
    stride, index = lw.value(op.stride), lw.value(op.index)
    masks = _row_masks(lw, op.rows, op.columns, width)
    address = b.gep(lw.value(op.ptr), index, element)
    for position, (value, mask) in enumerate(zip(op.tile, masks, strict=True)):
        raw = to_memory(b, lw.value(value))
        if mask is None:
            b.store(raw, address, storage_bytes(raw.type))
        else:
            masked_store(b, raw, address, mask)
        if position < width - 1:
            address = b.gep(address, stride, element)


CONVERTERS: dict[type[Operation], Converter] = {
    simd.LoadTransposedOp: convert_load_transposed,
    simd.StoreRowsOp: convert_store_rows,
}
