"""Square tiles: loads or stores of rows, and a transpose in registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import i1
from xdsl.ir import Operation, SSAValue

from nnc.dialects import simd
from nnc.dialects.simd.types import is_float, storage_bytes
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


@dataclass(frozen=True)
class _Row:
    """One row of a tile: whether it is there, and which of its lanes, if not all."""

    exists: bool = True
    mask: SSAValue | None = None


def _rows(
    lw: KernelLowering, rows: SSAValue | None, columns: SSAValue | None, width: int
) -> list[_Row]:
    """The rows of a tile; what is known of the counts is decided here."""
    if rows is None or columns is None:
        return [_Row()] * width
    b = lw.b
    row_count, column_count = lw.value(rows), lw.value(columns)
    known_rows, known_columns = int_value(row_count), int_value(column_count)
    lanes = b.vector_constant(tuple(range(width)), row_count.type)
    if known_columns is None:
        inside = b.icmp("slt", lanes, b.splat(column_count, width))
    elif known_columns < width:
        on = tuple(int(lane < known_columns) for lane in range(width))
        inside = b.vector_constant(on, i1)
    else:
        inside = None
    if known_rows is not None:
        return [_Row(r < known_rows, inside) for r in range(width)]
    mask_type = like(lanes.type, i1)
    if inside is None:
        inside = b.constant(1, mask_type)
    nothing = b.constant(0, mask_type)
    conditions = [b.icmp("slt", b.i64(r), row_count) for r in range(width)]
    return [_Row(mask=b.select(c, inside, nothing)) for c in conditions]


def convert_load_transposed(lw: KernelLowering, op: simd.LoadTransposedOp) -> None:
    """Load rows, transpose."""
    b, width = lw.b, op.lanes
    element = element_in_memory(op.ptr)
    type = lw.type_of(op.tile[0])
    raw_type = memory_type(type)
    stride, index = lw.value(op.stride), lw.value(op.index)
    address = b.gep(lw.value(op.ptr), index, element)
    loaded: list[SSAValue] = []
    for row in _rows(lw, op.rows, op.columns, width):
        if not row.exists:
            loaded.append(b.constant(0.0 if is_float(raw_type) else 0, raw_type))
            continue
        if loaded:
            address = b.gep(address, stride, element)
        if row.mask is None:
            loaded.append(b.load(address, raw_type, storage_bytes(raw_type)))
        else:
            loaded.append(masked_load(b, address, raw_type, row.mask))
    for old, new in zip(op.tile, transpose(b, loaded), strict=True):
        lw.define(old, from_memory(b, new, type))


def convert_store_rows(lw: KernelLowering, op: simd.StoreRowsOp) -> None:
    """Store rows."""
    b, width = lw.b, op.lanes
    element = element_in_memory(op.ptr)
    stride, index = lw.value(op.stride), lw.value(op.index)
    rows = _rows(lw, op.rows, op.columns, width)
    address = b.gep(lw.value(op.ptr), index, element)
    for position, (value, row) in enumerate(zip(op.tile, rows, strict=True)):
        if not row.exists:
            continue
        if position:
            address = b.gep(address, stride, element)
        raw = to_memory(b, lw.value(value))
        if row.mask is None:
            b.store(raw, address, storage_bytes(raw.type))
        else:
            masked_store(b, raw, address, row.mask)


CONVERTERS: dict[type[Operation], Converter] = {
    simd.LoadTransposedOp: convert_load_transposed,
    simd.StoreRowsOp: convert_store_rows,
}
