"""
The transform of an image's tiles: `nn.winograd_input`.

    for t in tiles:                      # tasks
      for c in vectors of channels:
        for j in columns of the tile:    # B^T d, kept on the stack
          stack[:, j] = B^T image[.., j]
        for i in rows:                   # (B^T d) B
          result[group of t, i, :, t] = B^T stack[i, :]

A vector holds channels of one pixel. Two small loops instead of straight code keep the
kernel short and its values in registers. Pixels beyond the borders are never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import BlockArgument, SSAValue

from nnc.analysis.dispatches import DispatchForm, ViewChain
from nnc.dialects import simd
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.types import dims_of
from nnc.dialects.nn.winograd import WinogradInputOp
from nnc.dialects.rt.types import BufferType
from nnc.errors import CompileError
from nnc.lowering.lower_dispatches.contraction.views import View
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import (
    BufferArg,
    Kernel,
    KernelBuilder,
)
from nnc.lowering.lower_dispatches.loops import lane_loop
from nnc.lowering.lower_dispatches.winograd.transforms import transform_input
from nnc.lowering.tiling import vector_width
from nnc.symbolic import Dim
from nnc.target import Target


def tiles_kernel(
    form: DispatchForm, buffers: Sequence[BufferType], target: Target
) -> tuple[Kernel, Dim]:
    """
    The kernel of a tiles dispatch from one buffer to another, and its task count.

    Raises:
        CompileError: the image is an unusual view.
    """
    kb = KernelBuilder(target, buffers)
    op = form.anchor
    assert isinstance(op, WinogradInputOp)
    emitter = TileEmitter(kb, op, form.operands[0], buffers)
    groups, _, group, channels = dims_of(op.result)
    tasks = groups * group
    if tasks == 0 or channels == 0:
        return kb.finish(), Dim.of(0)
    with kb.loop(kb.begin, kb.end, extent=tasks) as tile:
        emitter.transform(tile, kb.buffers[1], kb.divmod(tile, group))
    return kb.finish(), tasks


@dataclass(frozen=True)
class _Square:
    """The inputs of one tile."""

    is_real: SSAValue | bool
    """Whether the tile is one of an image; the last group may have some too many."""
    image: Index
    top: Index
    left: Index
    size: tuple[Dim, Dim]


class TileEmitter:
    """
    Emits the transform of one tile at a time.

    Raises:
        CompileError: the image is an unusual view.
    """

    def __init__(
        self,
        kb: KernelBuilder,
        op: WinogradInputOp,
        chain: ViewChain,
        buffers: Sequence[BufferType],
    ) -> None:
        assert isinstance(chain.root, BlockArgument)
        argument = chain.root.index
        view = View.of_buffer(argument, buffers[argument]).seen_through(chain.ops)
        if view is None or any(len(steps) > 1 for steps in view.axes):
            raise CompileError(f"{location_of(op)}: {op.name} cannot read its operand")
        self._kb = kb
        self._op = op
        self._algorithm = op.algorithm
        self._image = kb.buffers[argument]
        self._offset = view.offset
        self._strides = [steps[0][1] if steps else Dim.of(0) for steps in view.axes]
        self._type = self._image.element_type
        self._lanes = vector_width(kb.target, self._type)
        size = self._algorithm.size
        self._stack = kb.add(
            simd.AllocaOp(size * size * self._lanes, self._type), depth=0
        )

    def transform(
        self, tile: Index, result: BufferArg, place: tuple[IndexLike, IndexLike]
    ) -> None:
        """
        Store all channels of a tile to `result`.

        `place` tells the tile's group and its position in there.
        """
        kb, op = self._kb, self._op
        images, height, width, channels = dims_of(op.operand)
        rows, columns = op.tiles
        step, low = self._algorithm.tile, op.low_padding
        rest, column = kb.divmod(tile, columns)
        image, row = kb.divmod(rest, rows)
        square = _Square(
            kb.compare("slt", tile, images * rows * columns),
            image,
            row * step - low[0],
            column * step - low[1],
            (height, width),
        )
        is_inside = kb.both(
            self._is_inside(square.top, height), self._is_inside(square.left, width)
        )
        is_inside = kb.both(square.is_real, is_inside)

        def one(channel: Index, lanes: int, mask: SSAValue | None) -> None:
            self._read(square, is_inside, channel, lanes, mask)
            self._write(result, place, channel, lanes, mask)

        lane_loop(kb, 0, channels, self._lanes, one)

    def _is_inside(self, first: Index, size: Dim) -> SSAValue | bool:
        """Whether all pixels of a tile along one axis are in the image."""
        kb = self._kb
        last = first + (self._algorithm.size - 1)
        return kb.both(kb.compare("sge", first, 0), kb.compare("slt", last, size))

    def _exists(self, pixel: Index, size: Dim) -> SSAValue | bool:
        kb = self._kb
        return kb.both(kb.compare("sge", pixel, 0), kb.compare("slt", pixel, size))

    def _read(
        self,
        square: _Square,
        is_inside: SSAValue | bool,
        channel: Index,
        lanes: int,
        mask: SSAValue | None,
    ) -> None:
        """The columns of a tile, transformed, to the stack."""
        kb, size = self._kb, self._algorithm.size
        with kb.loop(0, size) as j:
            left = square.left + j

            def load(i: int) -> SSAValue:
                return self._load(
                    (square.image, square.top + i, left, channel), lanes, mask
                )

            def load_guarded(i: int) -> SSAValue:
                exists = kb.both(
                    self._exists(square.top + i, square.size[0]),
                    self._exists(left, square.size[1]),
                )
                exists = kb.both(square.is_real, exists)
                zero = kb.constant(0, self._type, lanes)
                return kb.choose(exists, lambda: [load(i)], lambda: [zero])[0]

            values = kb.choose(
                is_inside,
                lambda: [load(i) for i in range(size)],
                lambda: [load_guarded(i) for i in range(size)],
            )
            for i, value in enumerate(transform_input(kb, self._algorithm, values)):
                kb.store(value, self._stack, (j + i * size) * self._lanes)

    def _load(
        self, indices: Sequence[Index], lanes: int, mask: SSAValue | None
    ) -> SSAValue:
        kb, channel_stride = self._kb, self._strides[-1]
        at = Index.of(self._offset)
        for index, stride in zip(indices, self._strides, strict=True):
            at = at + index * stride
        if lanes == 1 or channel_stride == 1:
            return kb.load(self._image.ptr, at, lanes, mask)
        return kb.load_strided(self._image.ptr, at, channel_stride, lanes, mask)

    def _write(
        self,
        result: BufferArg,
        place: tuple[IndexLike, IndexLike],
        channel: Index,
        lanes: int,
        mask: SSAValue | None,
    ) -> None:
        """The rows of a tile on the stack, transformed, to the result."""
        kb, size = self._kb, self._algorithm.size
        with kb.loop(0, size) as i:
            values = [
                kb.load(self._stack, (i * size + j) * self._lanes, lanes)
                for j in range(size)
            ]
            for j, value in enumerate(transform_input(kb, self._algorithm, values)):
                at = result.index([place[0], i * size + j, place[1], channel])
                kb.store(value, result.ptr, at, mask)
