"""
Windows: pooling and depthwise convolution of channels-last images, any spatial rank.

Lanes are channels. A row of outputs is walked in steps of several positions that share
the elements they load; accumulators stay in registers while loops run over the taps of
the outer spatial axes, whose bounds are clipped to the image. Along the innermost
spatial axis the taps are unrolled. Where the width is known, the steps at the borders
leave out the taps beyond them; else the few positions there have clipped loops too.

A few rows make one block, and channels are walked outside of its rows: what
neighbouring rows of outputs both read is then still in the first cache. Images of few
channels are walked pixel by pixel instead, as they lie in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from xdsl.dialects.builtin import i64
from xdsl.ir import Attribute, SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.dialects import simd
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.conv import ConvOp, PoolOp
from nnc.dialects.nn.types import dims_of, is_float
from nnc.dialects.simd.types import bits_of, storage_bytes
from nnc.lowering.lower_dispatches.access import Elements
from nnc.lowering.lower_dispatches.elementwise import (
    convert,
    integer_range,
    running_extremum,
)
from nnc.lowering.lower_dispatches.emit import Emitter
from nnc.lowering.lower_dispatches.expressions import (
    Axis,
    Choose,
    Hole,
    Load,
    Node,
    walk,
)
from nnc.lowering.lower_dispatches.index import Index, IndexLike, simplified
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.loops import (
    MIN_TASKS,
    lane_loop,
    row_loops,
    split_tasks,
)
from nnc.lowering.lower_dispatches.stores import (
    Store,
    store_element,
    stored_before,
    vector_width,
)
from nnc.symbolic import Dim, DimLike, ceildiv, dim_max, dim_min, dim_product

MAX_STEP = 8
"""Outputs that a step computes: as many accumulators, so few enough for registers."""
MAX_WIDE_STEP = 14
"""The same where there are 32 registers, for which the filter's taps compete too."""
MAX_UNROLLED_TAPS = 16
BLOCK_ROWS = 4
"""Rows of outputs that are computed together, a vector of channels at a time."""
NARROW = 4
"""Vectors of channels of images that are walked pixel by pixel."""
LARGE = 16 << 20
"""Bytes of images that come from memory. There, maximum pools compute too much for each
pixel to have enough loads under way; in caches, prefetching gains nothing."""
AHEAD = 4096
"""Bytes from a pixel to the one that is prefetched meanwhile."""
HALF_A_LINE = 32
"""Bytes of a vector of channels that are worth a prefetch."""


@dataclass(frozen=True)
class SpatialAxis:
    """The window along one spatial axis."""

    out: Axis
    place: Axis
    """The position in the image, bound by the loops."""

    tap: Axis
    size: DimLike
    """Of the image."""

    kernel: int
    stride: int
    dilation: int
    low: DimLike
    high: DimLike

    def first_tap(self, kb: KernelBuilder, out: Index) -> Index:
        """The first tap of an output position that is inside of the image."""
        distance = Index.of(self.low) - out * self.stride
        steps = kb.floordiv(distance + (self.dilation - 1), self.dilation)
        return kb.minimum(kb.maximum(steps, 0), self.kernel)

    def end_tap(
        self, kb: KernelBuilder, out: Index, size: DimLike | None = None
    ) -> Index:
        """One more than the last tap inside of the image."""
        end = Dim.of(self.size if size is None else size) + self.low
        distance = Index.of(simplified(end)) - out * self.stride
        steps = kb.floordiv(distance + (self.dilation - 1), self.dilation)
        return kb.maximum(kb.minimum(steps, self.kernel), 0)

    def place_of(self, out: IndexLike, tap: IndexLike) -> Index:
        """The position in the image that a tap of an output position reads."""
        return (
            Index.of(out) * self.stride
            + Index.of(tap) * self.dilation
            - Index.of(self.low)
        )

    @property
    def interior(self) -> tuple[DimLike, DimLike]:
        """The range of output positions that have all of their taps inside."""
        count = Dim.of(self.out.extent or 0)
        span = (self.kernel - 1) * self.dilation
        begin = dim_min(ceildiv(self.low, self.stride), count)
        last = (Dim.of(self.size) + self.low - span - 1) // self.stride + 1
        end = dim_max(dim_min(last, count), begin)
        return simplified(begin), simplified(end)


class WindowKernel:
    """Builds the kernel of one pool or depthwise convolution."""

    def __init__(
        self,
        kb: KernelBuilder,
        form: DispatchForm,
        inputs: Mapping[SSAValue, BufferArg],
        outputs: Sequence[BufferArg],
    ) -> None:
        op = form.anchor
        assert isinstance(op, ConvOp | PoolOp)
        self.kb, self.op = kb, op
        dims = [simplified(d) for d in dims_of(op.result)]
        self.batch = Axis(extent=dims[0])
        self.channel = Axis(extent=dims[-1])
        self.spatial = self._spatial_axes(dims[1:-1])
        outer = [Index.var(a.out) for a in self.spatial]
        position = [Index.var(self.batch), *outer, Index.var(self.channel)]
        places = frozenset([self.batch, self.channel, *(a.out for a in self.spatial)])
        elements = Elements(
            inputs, {op.result: lambda _: Hole(self.node.type, op.result, places)}
        )
        self.node, self.weight = self._element_nodes(elements)
        self.type = self._accumulator_type()
        self.stores = [
            Store(elements.at(y.value, position), buffer, buffer.index(position))
            for y, buffer in (
                (y, stored_before(output, y.views))
                for y, output in zip(form.yields, outputs, strict=True)
            )
        ]

    def _spatial_axes(self, outs: Sequence[DimLike]) -> list[SpatialAxis]:
        op = self.op
        sizes = dims_of(op.input)[1:-1]
        return [
            SpatialAxis(
                out=Axis(extent=out),
                place=Axis(extent=simplified(size)),
                tap=Axis(extent=kernel),
                size=simplified(size),
                kernel=kernel,
                stride=stride,
                dilation=dilation,
                low=simplified(low),
                high=simplified(high),
            )
            for out, size, kernel, stride, dilation, low, high in zip(
                outs,
                sizes,
                op.kernel,
                ints(op.strides),
                ints(op.dilations),
                op.low_padding,
                op.high_padding,
                strict=True,
            )
        ]

    def _element_nodes(self, elements: Elements) -> tuple[Node, Node | None]:
        """What a tap reads of the image, and of the filter."""
        op, channel = self.op, Index.var(self.channel)
        source = channel
        if isinstance(op, ConvOp):
            channels = dims_of(op.input)[-1]
            multiplier = simplified(Dim.of(self.channel.extent or 0) // channels)
            source = elements.divmod(channel, multiplier)[0]
        places = [Index.var(a.place) for a in self.spatial]
        node = elements.at(op.input, [Index.var(self.batch), *places, source])
        if not isinstance(op, ConvOp):
            return node, None
        taps = [Index.var(a.tap) for a in self.spatial]
        return node, elements.at(op.filter, [*taps, Index({}, 0), channel])

    @property
    def is_average(self) -> bool:
        """Whether elements are added up and divided."""
        return isinstance(self.op, PoolOp) and self.op.kind.data == "average"

    def _accumulator_type(self) -> Attribute:
        type_ = self.node.type
        return i64 if self.is_average and not is_float(type_) else type_

    # -- loops ----------------------------------------------------------------

    def build(self) -> Dim:
        """Emit the kernel; gives its task count."""
        kb = self.kb
        rows = [self.batch, *(a.out for a in self.spatial[:-1])]
        extents = [a.extent or 0 for a in rows]
        along, length = self.spatial[-1], self.channel.extent or 0
        count = along.out.extent or 0
        if 0 in (*extents, count, length):
            return Dim.of(0)
        block = self._block_of_rows()
        if block is not None:
            rows[-1], extents[-1] = block, block.extent or 0
        keep = [i for i, e in enumerate(extents) if e != 1]
        fixed = {rows[i]: Index({}, 0) for i in range(len(rows)) if i not in keep}
        rows, extents = [rows[i] for i in keep], [extents[i] for i in keep]
        nodes = [self.node] if self.weight is None else [self.node, self.weight]
        width = vector_width(kb.target, self.stores, nodes)
        width = min(width, kb.target.lanes(bits_of(self.type)))
        part = _channels_a_task(dim_product(extents), length, width)
        parts = Axis(extent=1 if part is None else simplified(ceildiv(length, part)))
        if part is not None:
            rows, extents = [*rows, parts], [*extents, parts.extent or 0]
        taps = dim_product(a.kernel for a in self.spatial)
        area = Dim.of(count) * taps * (1 if block is None else BLOCK_ROWS)
        work = area * (length if part is None else part)
        split = split_tasks(rows, extents, work, takes_all=part is not None)
        inner = rows[len(split.axes) :]
        with row_loops(
            kb, split, inner, extents[len(split.axes) :], kb.begin, kb.end
        ) as bound:
            around = {**fixed, **bound}

            def vector(first: Index, lanes: int, mask: SSAValue | None) -> None:
                with self._rows(around, block) as place:
                    self._row(lambda do: do(_Row(self, place, first, lanes, mask)))

            low, high = Index.of(0), Index.of(length)
            if part is not None:
                low = around[parts] * part
                high = kb.minimum(low + part, length)
            vectors = _Vectors(kb, length, width, low, high)
            if isinstance(length, int) and length <= NARROW * width:
                with self._rows(around, block) as place:
                    self._row(self._for_each_vector(place, vectors))
            else:
                vectors.emit(vector)
        return split.tasks

    def _for_each_vector(
        self, place: Mapping[Axis, Index], vectors: _Vectors
    ) -> ForEach:
        """Makes a loop over vectors of channels of something."""

        def each(do: Callable[[_Row], None]) -> None:
            def vector(first: Index, lanes: int, mask: SSAValue | None) -> None:
                do(_Row(self, place, first, lanes, mask, self._streams(lanes)))

            vectors.emit(vector)

        return each

    @contextmanager
    def _rows(
        self, around: Mapping[Axis, Index], block: Axis | None
    ) -> Generator[Mapping[Axis, Index]]:
        """A loop over the rows of a block."""
        if block is None:
            yield around
            return
        kb, axis = self.kb, self.spatial[-2].out
        top = around[block] * BLOCK_ROWS
        bottom = kb.minimum(top + BLOCK_ROWS, axis.extent or 0)
        with kb.loop(top, bottom, extent=axis.extent) as y:
            yield {**around, axis: y}

    def _block_of_rows(self) -> Axis | None:
        """The axis of blocks of rows, if windows of neighbouring rows overlap."""
        if len(self.spatial) < 2:
            return None
        axis = self.spatial[-2]
        if (axis.kernel - 1) * axis.dilation < axis.stride or axis.out.extent == 1:
            return None
        return Axis(extent=simplified(ceildiv(axis.out.extent or 0, BLOCK_ROWS)))

    def _streams(self, lanes: int) -> Sequence[Load]:
        """What is worth prefetching: images known to be larger than the caches."""
        if self.weight is not None or self.is_average:
            return []
        nodes = list(walk([self.node]))
        # Where elements are chosen, their places may be outside of the buffer.
        if any(isinstance(n, Choose) for n in nodes):
            return []
        return [n for n in nodes if isinstance(n, Load) and self._is_stream(n, lanes)]

    def _is_stream(self, load: Load, lanes: int) -> bool:
        size = storage_bytes(load.buffer.element_type)
        count = dim_product(load.buffer.dims).as_int()
        return (
            all(isinstance(v, Axis) for v in load.index.terms)
            and load.index.coefficient(self.channel) == 1
            and lanes * size >= HALF_A_LINE
            and count is not None
            and count * size >= LARGE
        )

    @property
    def _most_outputs(self) -> int:
        """Outputs of a step."""
        many = self.kb.target.vector_registers >= 32 and self.weight is not None
        return MAX_WIDE_STEP if many else MAX_STEP

    def _row(self, each: ForEach) -> None:
        """One row of outputs; `each` does something for each vector of channels."""
        along = self.spatial[-1]
        sizes = (along.size, along.low, along.out.extent)
        if along.kernel <= MAX_UNROLLED_TAPS and all(isinstance(s, int) for s in sizes):
            self._static_row(each)
        else:
            self._clipped_row(each)

    def _static_row(self, each: ForEach) -> None:
        """Steps from end to end; alike ones in the middle share a loop."""
        count = self.spatial[-1].out.extent
        assert isinstance(count, int)
        begin, end = self.spatial[-1].interior
        assert isinstance(begin, int)
        assert isinstance(end, int)
        most = self._most_outputs
        first, step = 0, _step(count, most)

        def up_to(stop: int) -> None:
            nonlocal first
            while first < stop:
                taken = min(step, stop - first)
                self._inside(each, Index({}, first), taken)
                first += taken

        if count > 2 * step:
            # The loop does most of it, so what is around it is kept short.
            step = _step(end - begin, most)
            loops = (end - begin) // step
            up_to(begin)
            first = begin + loops * step
            with self.kb.loop(begin, first, step) as position:
                self._inside(each, position, step)
            step = most
        up_to(count)

    def _clipped_row(self, each: ForEach) -> None:
        """Full steps where all taps are inside, single outputs at the borders."""
        kb, along = self.kb, self.spatial[-1]
        begin, end = along.interior
        total = along.out.extent or 0
        inside = simplified(Dim.of(end) - begin)
        if inside != 0:
            step = _step(inside, self._most_outputs)
            whole = kb.floordiv(inside, step) * step + begin
            with kb.loop(begin, whole, step) as first:
                self._inside(each, first, step)
            with kb.loop(whole, end) as first:
                self._inside(each, first, 1)
        outside = simplified(Dim.of(total) - inside)
        if outside == 0:
            return
        with kb.loop(0, outside) as position:
            beyond = kb.compare("sge", position, begin)
            out = kb.select(beyond, position + inside, position)
            each(lambda row: row.border(out))

    @staticmethod
    def _inside(each: ForEach, first: Index, count: int) -> None:
        each(lambda row: row.inside(first, count))


ForEach = Callable[[Callable[["_Row"], None]], None]


@dataclass(frozen=True)
class _Vectors:
    """A range of channels, a multiple of the width or up to the last one."""

    kb: KernelBuilder
    length: DimLike
    """Of all channels."""

    width: int
    low: Index
    high: Index

    def emit(self, body: Callable[[Index, int, SSAValue | None], None]) -> None:
        """A loop over vectors."""
        kb, length, width = self.kb, self.length, self.width
        if not isinstance(length, int):
            lane_loop(kb, self.low, self.high, width, body)
        elif length % width == 0:
            with kb.loop(self.low, self.high, width) as first:
                body(first, width, None)
        elif kb.target.has_masks:
            # One body for all vectors: masks cost less than a second one.
            with kb.loop(self.low, self.high, width) as first:
                body(first, width, kb.mask(Index.of(length) - first, width))
        else:
            lane_loop(kb, self.low, self.high, width, body)


def _channels_a_task(rows: Dim, channels: DimLike, width: int) -> int | None:
    """Where there are few rows, how many channels make a task; None: all of them."""
    known = rows.as_int() or 0
    if known >= MIN_TASKS or not isinstance(channels, int):
        return None
    vectors = -(-channels // width)
    # Of a number that nobody knows there may be few.
    most = 2 * MIN_TASKS // known if known else MIN_TASKS // 2
    parts = min(vectors, most)
    return -(-vectors // parts) * width if parts > 1 else None


def _step(count: DimLike, most: int) -> int:
    """Outputs a step: the largest number that leaves no or few outputs over."""
    if not isinstance(count, int):
        return most
    if count <= most:
        return max(1, count)
    return min(range(most, most // 2 - 1, -1), key=lambda s: count % s)


@dataclass
class _Row:
    """A row of outputs, for one vector of channels."""

    window: WindowKernel
    bound: Mapping[Axis, Index]
    first_channel: Index
    width: int
    mask: SSAValue | None
    streams: Sequence[Load] = ()
    """What is prefetched."""

    @cached_property
    def clip(self) -> Sequence[tuple[Index, Index]]:
        """The first and the end of the taps of all but the innermost axis."""
        kb = self.window.kb
        return [
            (a.first_tap(kb, self.bound[a.out]), a.end_tap(kb, self.bound[a.out]))
            for a in self.window.spatial[:-1]
        ]

    def emitter(self, more: Mapping[Axis, Index]) -> Emitter:
        """An emitter with further axes bound."""
        window = self.window
        axes = {**self.bound, window.channel: self.first_channel, **more}
        return Emitter(window.kb, axes, window.channel, self.width, self.mask)

    def inside(self, first: Index, count: int) -> None:
        """`count` neighbouring outputs; taps known to be outside are left out."""
        window, along = self.window, self.window.spatial[-1]
        kb = window.kb
        unroll = along.kernel <= MAX_UNROLLED_TAPS

        def taps(bound: Mapping[Axis, Index], totals: list[SSAValue]) -> list[SSAValue]:
            if unroll:
                return self._shared(bound, first, totals)

            def one(tap: Index, values: list[SSAValue]) -> list[SSAValue]:
                return [
                    self._tap(bound, along.place_of(first + u, tap), tap, value)
                    for u, value in enumerate(values)
                ]

            return kb.fold(0, along.kernel, 1, totals, one)

        initial = [self._initial()] * count
        totals = self._outer_taps(0, {}, initial, taps)
        for u, total in enumerate(totals):
            begin, end = self._known_taps(first + u)
            self._finish(total, first + u, Index({}, end - begin))

    def _known_taps(self, out: Index) -> tuple[int, int]:
        """The taps along the innermost axis; those of a loop are all inside."""
        along, kb = self.window.spatial[-1], self.window.kb
        if not isinstance(out.dim, int):
            return 0, along.kernel
        begin, end = along.first_tap(kb, out).dim, along.end_tap(kb, out).dim
        if not isinstance(begin, int) or not isinstance(end, int):
            return 0, along.kernel
        return begin, max(begin, end)

    def border(self, out: Index) -> None:
        """One output whose taps along the innermost axis are clipped."""
        along, kb = self.window.spatial[-1], self.window.kb
        begin, end = along.first_tap(kb, out), along.end_tap(kb, out)

        def taps(bound: Mapping[Axis, Index], totals: list[SSAValue]) -> list[SSAValue]:
            def one(tap: Index, values: list[SSAValue]) -> list[SSAValue]:
                return [self._tap(bound, along.place_of(out, tap), tap, values[0])]

            return kb.fold(begin, end, 1, totals, one)

        (total,) = self._outer_taps(0, {}, [self._initial()], taps)
        # A window can lie wholly in the padding.
        self._finish(total, out, kb.maximum(end - begin, 0))

    def _outer_taps(
        self,
        level: int,
        bound: Mapping[Axis, Index],
        totals: list[SSAValue],
        inner: Callable[[Mapping[Axis, Index], list[SSAValue]], list[SSAValue]],
    ) -> list[SSAValue]:
        """Loops over the taps of all but the innermost axis."""
        axes = self.window.spatial
        if level == len(axes) - 1:
            return inner(bound, totals)
        axis = axes[level]
        begin, end = self.clip[level]

        def body(tap: Index, values: list[SSAValue]) -> list[SSAValue]:
            place = axis.place_of(self.bound[axis.out], tap)
            more = {**bound, axis.place: place, axis.tap: tap}
            return self._outer_taps(level + 1, more, values, inner)

        return self.window.kb.fold(begin, end, 1, totals, body)

    def _shared(
        self, bound: Mapping[Axis, Index], first: Index, totals: list[SSAValue]
    ) -> list[SSAValue]:
        """All taps of neighbouring outputs; each element is loaded once."""
        along = self.window.spatial[-1]
        totals = list(totals)
        users: dict[int, list[tuple[int, int]]] = {}
        for u in range(len(totals)):
            for tap in range(*self._known_taps(first + u)):
                column = u * along.stride + tap * along.dilation
                users.setdefault(column, []).append((u, tap))
        origin = along.place_of(first, 0)
        columns = sorted(users)
        is_new = frozenset(columns[-len(totals) * along.stride :])
        for column in columns:
            for u, tap in users[column]:
                totals[u] = self._tap(bound, origin + column, Index.of(tap), totals[u])
            if column in is_new:
                self._prefetch({**bound, along.place: origin + column})
        return totals

    def _prefetch(self, bound: Mapping[Axis, Index]) -> None:
        """Ask for pixels that later steps will load."""
        emitter, kb = self.emitter(bound), self.window.kb
        for load in self.streams:
            place = emitter.resolve(load.index)
            kb.prefetch(load.buffer.ptr, place.base, AHEAD)

    def _tap(
        self,
        bound: Mapping[Axis, Index],
        place: Index,
        tap: Index,
        total: SSAValue,
    ) -> SSAValue:
        """Add one element of the image to an accumulator."""
        window, along = self.window, self.window.spatial[-1]
        kb = window.kb
        emitter = self.emitter({**bound, along.place: place, along.tap: tap})
        value = convert(kb, emitter.vector(window.node), window.type)
        if window.weight is not None:
            weight = emitter.vector(window.weight)
            if is_float(window.type):
                return kb.add(simd.FmaOp(value, weight, total))
            return kb.add(simd.AddOp(kb.add(simd.MulOp(value, weight)), total))
        if window.is_average:
            return kb.add(simd.AddOp(total, value))
        return running_extremum(kb, total, value, largest=True)

    def _initial(self) -> SSAValue:
        window = self.window
        number: float = 0
        if isinstance(window.op, PoolOp) and window.op.kind.data == "max":
            type_ = window.type
            number = -float("inf") if is_float(type_) else integer_range(type_)[0]
        return window.kb.constant(number, window.type, self.width)

    def _finish(self, total: SSAValue, out: Index, inner_taps: Index) -> None:
        """Divide an average, run what follows, store."""
        window, along = self.window, self.window.spatial[-1]
        kb = window.kb
        if window.is_average:
            count = self._count(out, inner_taps)
            count = kb.splat(count, self.width)
            total = kb.add(simd.DivOp(total, count))
        total = convert(kb, total, window.node.type)
        emitter = self.emitter({along.out: out})
        emitter.fill(window.op.result, total)
        values = [emitter.vector(s.node) for s in window.stores]
        for store, value in zip(window.stores, values, strict=True):
            store_element(emitter, store, value)

    def _count(self, out: Index, inner_taps: Index) -> SSAValue:
        """How many elements an average divides by."""
        window = self.window
        kb, op = window.kb, window.op
        assert isinstance(op, PoolOp)
        factors: list[Index] = []
        if op.count_padding.value.data:
            for axis in window.spatial:
                position = out if axis is window.spatial[-1] else self.bound[axis.out]
                padded = simplified(Dim.of(axis.size) + axis.high)
                factors.append(axis.end_tap(kb, position, padded))
        else:
            factors = [kb.maximum(e - b, 0) for b, e in self.clip]
            factors.append(inner_taps)
        numbers = 1
        result: SSAValue | None = None
        for factor in factors:
            if isinstance(factor.dim, int):
                numbers *= factor.dim
                continue
            data = kb.to_data(factor, window.type)
            result = data if result is None else kb.pure(simd.MulOp(result, data))
        if result is None:
            return kb.constant(numbers, window.type)
        if numbers != 1:
            constant = kb.constant(numbers, window.type)
            result = kb.pure(simd.MulOp(result, constant))
        return result
