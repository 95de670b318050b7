"""
Products of transformed tiles and filters, transformed back: `nn.winograd_product`.

    for q in panels of output channels:
      for g in groups of tiles:             # rows of a register tile
        for e in transformed elements:
          stack[:, e] = simd.contract tiles[g, e, :, :], filter[q, e, :, :]
        for t in g:
          for v in vectors of the panel:
            image[square of t, v] = epilogue(A^T stack[t, :, v] A)

Tasks are the pairs (q, g), or (g, q) where the filter stays in the cache. The transform
is two small loops, over columns and over rows; a square at the border stores what
exists of it.

Where the tiles are made in the same dispatch, a task is a group of them: they are
transformed to the stack, and all panels follow. Of a large image, they then never leave
the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import BlockArgument, SSAValue

from nnc.analysis.dispatches import DispatchForm, ViewChain
from nnc.dialects import simd
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.dialects.nn.winograd import WinogradInputOp, WinogradProductOp
from nnc.dialects.rt.types import BufferType
from nnc.errors import CompileError
from nnc.lowering.lower_dispatches.contraction.epilogue import Epilogue, first_place
from nnc.lowering.lower_dispatches.contraction.space import (
    Axis,
    Packing,
    Space,
    epilogue_views,
    packing_of,
)
from nnc.lowering.lower_dispatches.contraction.views import View
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import (
    BufferArg,
    Kernel,
    KernelBuilder,
)
from nnc.lowering.lower_dispatches.loops import lane_loop
from nnc.lowering.lower_dispatches.winograd.tiles import TileEmitter
from nnc.lowering.lower_dispatches.winograd.transforms import transform_output
from nnc.lowering.tiling import column_vectors, panel_vectors, vector_width
from nnc.symbolic import Dim, ceildiv
from nnc.target import Target

_SKEW = 16
"""Elements between tiles on the stack beyond their size, against cache conflicts."""

_CONFLICT = 256
"""Rows of a multiple of that many elements would share few sets of the cache."""


@dataclass(frozen=True)
class ProductKernel:
    """A kernel, how many tasks a launch of it has, and what it is called."""

    kernel: Kernel
    tasks: Dim
    schedule: str


def product_kernel(
    form: DispatchForm, buffers: Sequence[BufferType], target: Target
) -> ProductKernel:
    """
    The kernel of a product whose inputs, then outputs are `buffers`.

    Raises:
        CompileError: an operand of the epilogue has an unusual view.
    """
    op = form.anchor
    assert isinstance(op, WinogradProductOp)
    space = image_space(form, buffers)
    if space is None:
        raise CompileError(
            f"{location_of(op)}: a view of {op.name}'s epilogue has several strides "
            "along one axis"
        )
    kb = KernelBuilder(target, buffers)
    columns = _columns(op, space.packing, target)
    maker: TileEmitter | None = None
    for inner in form.prologue:
        assert isinstance(inner, WinogradInputOp)
        maker = TileEmitter(kb, inner, form.operands[0], buffers)
    emitter = _ProductKernel(kb, form, space, columns, maker)
    emitter.emit()
    return ProductKernel(kb.finish(), emitter.tasks, f"winograd {emitter.name}")


def image_space(form: DispatchForm, buffers: Sequence[BufferType]) -> Space | None:
    """
    The axes of the resulting image as rows and columns of an epilogue.

    None if a view has several strides along an axis.
    """
    gathered = epilogue_views(form, buffers)
    if gathered is None:
        return None
    views, leaves, outputs = gathered
    if any(len(steps) > 1 for view in views for steps in view.axes):
        return None
    zero = Dim.of(0)
    axes = [
        Axis(
            size,
            zero,
            zero,
            Dim.of(int(position == 3)),
            tuple(v.axes[position][0][1] if v.axes[position] else zero for v in views),
        )
        for position, size in enumerate(form.full_dims)
    ]
    return Space(
        batches=(),
        groups=None,
        rows=tuple(axes[:3]),
        columns=axes[3],
        reductions=(),
        a=_whole(form.operands[0], buffers),
        b=_whole(form.operands[1], buffers),
        packing=packing_of(form.operands[1]),
        views=tuple(views),
        leaves=leaves,
        outputs=outputs,
    )


def _whole(chain: ViewChain, buffers: Sequence[BufferType]) -> View:
    """The buffer that a chain starts at."""
    assert isinstance(chain.root, BlockArgument)
    return View.of_buffer(chain.root.index, buffers[chain.root.index])


@dataclass(frozen=True)
class _Columns:
    """How the output channels are cut into register tiles of `nv` vectors."""

    nv: int
    width: int
    row: Dim
    """Distance in the filter from one input channel to the next."""

    @property
    def panel(self) -> int:
        """Channels of a tile."""
        return self.nv * self.width


def _columns(
    op: WinogradProductOp, packing: Packing | None, target: Target
) -> _Columns:
    channels = dims_of(op.filter)[-1]
    width = vector_width(target, element_type_of(op.filter))
    if packing is not None:
        nv, width = panel_vectors(packing.panel, width)
        return _Columns(nv, width, Dim.of(packing.panel))
    known = channels.as_int()
    if known is None or known % width or known == 0:
        return _Columns(1, 1, channels)
    vectors = known // width
    most = column_vectors(target, width, known)
    nv = max(n for n in range(1, most + 1) if vectors % n == 0)
    return _Columns(nv, width, channels)


class _ProductKernel:
    def __init__(
        self,
        kb: KernelBuilder,
        form: DispatchForm,
        space: Space,
        columns: _Columns,
        maker: TileEmitter | None,
    ) -> None:
        op = form.anchor
        assert isinstance(op, WinogradProductOp)
        self._kb = kb
        self._op = op
        self._space = space
        self._columns = columns
        self._algorithm = op.algorithm
        self._epilogue = Epilogue(kb, form, space)
        self._maker = maker
        self._filter = kb.buffers[space.b.argument].ptr
        self._inputs, self._outputs = dims_of(op.filter)[1:]
        self._groups, _, group, _ = dims_of(op.tiles)
        self._group = group.as_int() or 1
        self._panels = ceildiv(self._outputs, columns.panel)
        self._distance = self._algorithm.size**2 * columns.panel + _SKEW
        self._type = simd.accumulator_type(element_type_of(op.tiles), 1)
        self._tiles = kb.buffers[space.a.argument] if maker is None else self._own()

    def _own(self) -> BufferArg:
        """Stack memory for the tiles of one group."""
        dims = dims_of(self._op.tiles)
        elements, channels = self._algorithm.size**2, self._inputs.as_int()
        assert channels is not None
        row = channels + (_SKEW if channels % _CONFLICT == 0 else 0)
        group = self._group * row
        memory = self._scratch(max(1, elements * group))
        return BufferArg(memory, self._type, dims, (0, group, row, 1))

    @property
    def name(self) -> str:
        """The tile size and the register tile as text."""
        own = " own tiles" if self._maker else ""
        return f"f{self._algorithm.tile} {self._group}x{self._columns.nv}{own}"

    @property
    def tasks(self) -> Dim:
        """How many tasks the kernel has."""
        return self._groups if self._maker else self._panels * self._groups

    def emit(self) -> None:
        """All loops."""
        if self.tasks == 0 or 0 in self._op.image.dims:
            return
        kb, size = self._kb, self._algorithm.size
        lanes = vector_width(kb.target, self._type)
        self._products = self._scratch(self._group * self._distance)
        self._half = self._scratch(self._algorithm.tile * size * lanes)
        self._line = self._scratch(self._algorithm.tile * lanes)
        if self._maker is not None:
            self._emit_with_tiles(self._maker)
            return
        with kb.loop(kb.begin, kb.end, extent=self.tasks) as task:
            if self._filter_stays():
                group, panel = kb.divmod(task, self._panels)
            else:
                panel, group = kb.divmod(task, self._groups)
            self._multiply(panel, group)
            self._finish(panel, group)

    def _emit_with_tiles(self, maker: TileEmitter) -> None:
        kb = self._kb
        with kb.loop(kb.begin, kb.end, extent=self.tasks) as group:
            with kb.loop(0, self._group) as i:
                maker.transform(group * self._group + i, self._tiles, (0, i))
            with kb.loop(0, self._panels) as panel:
                self._multiply(panel, group)
                self._finish(panel, group)

    def _filter_stays(self) -> bool:
        """Whether the filter is in the cache for all groups of tiles."""
        elements = (self._algorithm.size**2 * self._inputs * self._outputs).as_int()
        return (
            elements is not None and elements * 4 <= self._kb.target.l2_bytes * 3 // 4
        )

    def _scratch(self, elements: int) -> SSAValue:
        return self._kb.add(simd.AllocaOp(elements, self._type), depth=0)

    def _multiply(self, panel: Index, group: Index) -> None:
        """The products of one group of tiles, to the stack."""
        kb, columns, height = self._kb, self._columns, self._group
        elements = self._algorithm.size**2
        one, zero = kb.value(1), kb.value(0)
        packing = self._space.packing
        if packing is not None:
            element_step = self._inputs * columns.row
            b_first = panel * (element_step * elements)
        else:
            element_step = self._inputs * self._outputs
            b_first = panel * columns.panel
        with kb.loop(0, elements) as element:
            a = self._tiles.index([group, element, 0, 0])
            b = b_first + element * element_step
            op = simd.ContractOp(
                *kb.address(self._tiles.ptr, a),
                *kb.address(self._filter, b),
                row_stride=kb.value(self._tiles.strides[2]),
                k=kb.value(self._inputs),
                outer=(one, zero),
                inner=(one, zero),
                b_stride=kb.value(columns.row),
                mr=height,
                nv=columns.nv,
                width=columns.width,
            )
            kb.add(op)
            for position, value in enumerate(op.results):
                i, j = divmod(position, columns.nv)
                at = i * self._distance + j * columns.width
                kb.store(value, self._products, element * columns.panel + at)

    # -- the way back ---------------------------------------------------------

    def _finish(self, panel: Index, group: Index) -> None:
        """Transform the products of a group of tiles, and store them."""
        kb, columns = self._kb, self._columns
        images = self._op.image.dims[0]
        rows, in_row = self._op.tile_counts
        column = panel * columns.panel
        left: Index | int = columns.panel
        if self._outputs % columns.panel != 0:
            left = kb.minimum(Index.of(self._outputs) - column, columns.panel)
        first, count = group * self._group, images * rows * in_row
        height: Index | int = self._group
        if count % self._group != 0:
            height = kb.minimum(Index.of(count) - first, self._group)
        with kb.loop(0, height, extent=self._group) as i:
            rest, x = kb.divmod(first + i, in_row)
            image, y = kb.divmod(rest, rows)

            def one(lane: Index, lanes: int, mask: SSAValue | None) -> None:
                products = i * self._distance + lane
                self._transform_columns(products, lanes)
                self._store_rows(image, y, x, column + lane, lanes, mask)

            width = vector_width(kb.target, self._type)
            lane_loop(kb, 0, left, width, one)

    def _transform_columns(self, products: Index, lanes: int) -> None:
        """`A^T m` for the products of one tile."""
        kb, size, panel = self._kb, self._algorithm.size, self._columns.panel
        with kb.loop(0, size) as j:
            values = [
                kb.load(self._products, products + (j + i * size) * panel, lanes)
                for i in range(size)
            ]
            for i, value in enumerate(transform_output(kb, self._algorithm, values)):
                kb.store(value, self._half, (j + i * size) * lanes)

    def _store_rows(
        self,
        image: Index,
        y: Index,
        x: Index,
        channel: Index,
        lanes: int,
        mask: SSAValue | None,
    ) -> None:
        """`(A^T m) A`, the epilogue, and what exists of the square."""
        kb, size, tile = self._kb, self._algorithm.size, self._algorithm.tile
        _, height, width = self._op.image.dims
        axes = self._space.rows
        top, left = y * tile, x * tile
        with kb.loop(0, self._within(top, height), extent=tile) as i:
            values = [
                kb.load(self._half, (i * size + j) * lanes, lanes) for j in range(size)
            ]
            for j, value in enumerate(transform_output(kb, self._algorithm, values)):
                kb.store(value, self._line, j * lanes)
            with kb.loop(0, self._within(left, width), extent=tile) as j:
                indices = (image, top + i, left + j)
                place = first_place(
                    self._space,
                    [
                        *zip(axes, indices, strict=True),
                        (self._space.columns, channel),
                    ],
                )
                value = kb.load(self._line, j * lanes, lanes)
                self._epilogue.run(value, place.with_lanes(lanes, mask))

    def _within(self, first: Index, size: Dim) -> Index | int:
        """How many pixels of a tile exist along one axis."""
        tile = self._algorithm.tile
        if size % tile == 0:
            return tile
        return self._kb.minimum(Index.of(size) - first, tile)
