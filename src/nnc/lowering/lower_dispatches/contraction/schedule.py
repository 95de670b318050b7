"""Choosing the tiles of a contraction, and the kernel that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects.nn.tiles import TileAttr
from nnc.dialects.nn.types import element_type_of, is_float
from nnc.dialects.rt.types import BufferType
from nnc.lowering.lower_dispatches.contraction.generic import emit_generic
from nnc.lowering.lower_dispatches.contraction.loops import ContractionLoops
from nnc.lowering.lower_dispatches.contraction.space import Space, contraction_space
from nnc.lowering.lower_dispatches.contraction.tiles import Tiling
from nnc.lowering.lower_dispatches.kernel_builder import Kernel, KernelBuilder
from nnc.lowering.tiling import (
    column_tiles,
    column_vectors,
    max_rows,
    panel_vectors,
    row_tiles,
    tiled_axis,
    vector_width,
)
from nnc.symbolic import Dim, ceildiv, dim_product
from nnc.target import Target

_MAX_WIDE_VECTORS = 12
"""Column vectors of a tile of one row that reads B where it lies."""


@dataclass(frozen=True)
class ContractionKernel:
    """A kernel, how many tasks a launch of it has, and what it is called."""

    kernel: Kernel
    tasks: Dim
    schedule: str


def contraction_kernel(
    form: DispatchForm,
    buffers: Sequence[BufferType],
    target: Target,
    tile: TileAttr | None = None,
) -> ContractionKernel:
    """
    The kernel of a contraction dispatch whose inputs, then outputs are `buffers`.

    `tile` is what was told of its register tile; without it, that is chosen here.
    """
    assert form.anchor is not None
    element_type = element_type_of(form.anchor.operands[0])
    space = contraction_space(form, buffers) if is_float(element_type) else None
    kb = KernelBuilder(target, buffers)
    if space is None:
        tasks = emit_generic(kb, form, buffers)
        return ContractionKernel(kb.finish(), tasks, "contraction generic")
    tiling = choose_tiling(space, target, vector_width(target, element_type), tile)
    loops = ContractionLoops(kb, form, space, tiling)
    loops.emit()
    return ContractionKernel(kb.finish(), loops.tasks, f"contraction {tiling.name}")


def choose_tiling(
    space: Space, target: Target, width: int, tile: TileAttr | None = None
) -> Tiling:
    """The register tile for a space, and how rows and columns are cut into it."""
    columns = space.columns.size
    sizes = [a.size for a in space.rows] or [Dim.of(1)]
    known = columns.as_int()
    needed = known if known is not None else 2 * width
    if space.packing is not None:
        nv, width = _packed_vectors(space, width)
    elif columns == 1 or space.columns.b != 1:
        nv, width = 1, 1
    else:
        nv = tile.vectors.data if tile else column_vectors(target, width, needed)
        total = Dim.of(1)
        for size in sizes:
            total = total * size
        if total == 1 and nv > 1:
            nv = min(_MAX_WIDE_VECTORS, -(-needed // width))
    height = max_rows(target, nv) if nv <= 4 else 1
    if tile is not None:
        height = min(height, tile.rows.data)
    axis = tiled_axis(sizes, height)
    return Tiling(
        axis,
        row_tiles(sizes[axis], height),
        column_tiles(target, columns, nv, width, is_packed=space.packing is not None),
        rows_outermost=_is_rows_outermost(space, target, nv * width, tile),
    )


def _is_rows_outermost(
    space: Space, target: Target, panel: int, tile: TileAttr | None
) -> bool:
    order = tile.order.data if tile is not None else "auto"
    if order == "auto":
        return _rows_outermost(space, target, panel)
    may_swap = not (space.batches or space.groups)
    return order == "rows" and may_swap and space.columns.size != 0


def _packed_vectors(space: Space, width: int) -> tuple[int, int]:
    """Vectors and lanes of a tile that does not straddle panels of a packed B."""
    assert space.packing is not None
    panel, columns = space.packing.panel, space.columns.size
    most, width = panel_vectors(panel, width)
    is_whole = all(axis.column == 0 for axis in space.batches)
    for nv in range(most, 0, -1):
        if panel % (nv * width) == 0 and (is_whole or columns % (nv * width) == 0):
            return nv, width
    return 1, 1


def _rows_outermost(space: Space, target: Target, panel: int) -> bool:
    """Whether all of B stays in the cache, so that A and results stream once."""
    size = space.columns.size * dim_product(r.size for r in space.reductions)
    elements = size.as_int()
    if elements is None or space.columns.size == 0 or space.batches or space.groups:
        return False
    has_panels = ceildiv(space.columns.size, panel) != 1
    return has_panels and elements * 4 <= target.l2_bytes // 2
