"""The kernels of pooling of regions: a task a region, lanes along channels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import f32, i64
from xdsl.ir import Attribute, SSAValue

from nnc.dialects import simd
from nnc.dialects.nn.regions import RoiAlignOp, RoiMaxPoolOp
from nnc.dialects.nn.types import bit_width, dims_of
from nnc.lowering.lower_dispatches.elementwise import (
    compute_type,
    convert,
    running_extremum,
)
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.loops import lane_loop
from nnc.lowering.lower_dispatches.selection import checked, load, simple, store
from nnc.symbolic import Dim, DimLike

_MOST_SAMPLES = 2.0**31
"""Samples on one axis of a bin beyond which no count is exact."""


@dataclass(frozen=True)
class _Samples:
    """The samples of a bin on one axis: those from `first` to `behind` may count."""

    base: SSAValue
    size: SSAValue
    count: SSAValue
    """How many there are, an f32."""
    first: Index
    behind: Index


@dataclass(frozen=True)
class _Taps:
    """A sample on one axis: two pixels, their weights, and whether it counts."""

    places: tuple[Index, Index]
    weights: tuple[SSAValue, SSAValue]


class _RegionKernel(ABC):
    """What both kernels share."""

    def __init__(
        self,
        kb: KernelBuilder,
        op: RoiAlignOp | RoiMaxPoolOp,
        inputs: Mapping[SSAValue, BufferArg],
        output: BufferArg,
    ) -> None:
        self.kb = kb
        self.source, self.output = inputs[op.operand], output
        self.images = inputs[op.images]
        self.number, self.height, self.width, self.channels = (
            simple(d) for d in dims_of(op.operand)
        )
        self.regions, self.rows, self.columns, _ = (
            simple(d) for d in dims_of(op.result)
        )
        self.storage = output.element_type
        self.type: Attribute = compute_type(self.storage)
        self.lanes = kb.target.lanes(max(32, bit_width(self.storage)))
        self.region: IndexLike = 0
        self.image: IndexLike = 0

    def build(self) -> Dim:
        """Emit the kernel; gives its task count."""
        if 0 in (self.regions, self.rows, self.columns, self.channels):
            return Dim.of(0)
        kb = self.kb
        with kb.loop(kb.begin, kb.end) as self.region:
            number = load(kb, self.images, [self.region])
            self.image = checked(kb, number, self.number)
            with kb.loop(0, self.rows) as row, kb.loop(0, self.columns) as column:
                self.bin(row, column)
        return Dim.of(self.regions)

    @abstractmethod
    def bin(self, row: Index, column: Index) -> None:
        """Compute one bin of a region."""

    def has_pixels(self) -> SSAValue | bool:
        """Whether there is anything to read."""
        kb = self.kb
        sizes: list[DimLike] = [self.height, self.width, self.number]
        found: SSAValue | bool = True
        for size in sizes:
            found = kb.both(found, kb.compare("slt", 0, size))
        return found

    def pixel(
        self, place: Sequence[IndexLike], width: int, mask: SSAValue | None
    ) -> SSAValue:
        """Channels of a pixel of the region's image, in the computing type."""
        value = load(self.kb, self.source, [self.image, *place], width, mask)
        return convert(self.kb, value, self.type)

    def put(
        self,
        value: SSAValue,
        place: Sequence[IndexLike],
        mask: SSAValue | None,
        width: int,
    ) -> None:
        """Store channels of a bin."""
        value = convert(self.kb, value, self.storage)
        store(self.kb, value, self.output, [self.region, *place], width, mask)


class RoiAlignKernel(_RegionKernel):
    """Builds the kernel of one `nn.roi_align`."""

    def __init__(
        self,
        kb: KernelBuilder,
        op: RoiAlignOp,
        inputs: Mapping[SSAValue, BufferArg],
        output: BufferArg,
    ) -> None:
        super().__init__(kb, op, inputs, output)
        self.boxes = inputs[op.boxes]
        self.is_max = op.kind.data == "max"

    def bin(self, row: Index, column: Index) -> None:
        """Add up, or compare, the samples of a bin."""
        kb = self.kb
        ys = self._samples(0, row, self.height)
        xs = self._samples(1, column, self.width)
        count = kb.add(simd.MulOp(ys.count, xs.count))
        count = kb.add(simd.MaxOp(count, kb.constant(1, f32)))

        def channels(first: Index, width: int, mask: SSAValue | None) -> None:
            zero = kb.constant(0, self.type, width)
            start = kb.constant(-math.inf, self.type, width) if self.is_max else zero

            def some() -> list[SSAValue]:
                return self._walk(ys, xs, first, width, mask, start)

            (total,) = kb.choose(self.has_pixels(), some, lambda: [zero])
            if self.is_max:
                total = self._of_some(total, ys, xs, width)
            else:
                whole = kb.splat(convert(kb, count, self.type), width)
                total = kb.add(simd.DivOp(total, whole))
            self.put(total, [row, column, first], mask, width)

        lane_loop(kb, 0, self.channels, self.lanes, channels)

    def _of_some(
        self, best: SSAValue, ys: _Samples, xs: _Samples, width: int
    ) -> SSAValue:
        """Without any sample the maximum is 0."""
        kb = self.kb
        lowest = kb.constant(-math.inf, self.type, width)
        nothing = kb.add(simd.CmpOp("eq", best, lowest))
        zero = kb.constant(0, f32)
        none = [kb.add(simd.CmpOp("le", s.count, zero)) for s in (ys, xs)]
        empty = kb.splat(kb.add(simd.OrOp(*none)), width)
        hidden = kb.add(simd.AndOp(nothing, empty))
        return kb.add(simd.SelectOp(hidden, kb.constant(0, self.type, width), best))

    def _samples(self, axis: int, place: Index, length: DimLike) -> _Samples:
        """The samples of a bin, without those that surely lie outside."""
        kb = self.kb
        start, size = (
            load(kb, self.boxes, [self.region, axis + 2 * i]) for i in range(2)
        )
        zero, one = kb.constant(0, f32), kb.constant(1, f32)
        count = kb.add(simd.CeilOp(size))
        count = kb.add(simd.MinOp(count, kb.constant(_MOST_SAMPLES, f32)))
        # Not a number is no number of samples, nor is infinity a size.
        real = kb.add(simd.CmpOp("gt", size, zero))
        finite = kb.add(simd.CmpOp("lt", size, kb.constant(math.inf, f32)))
        real = kb.add(simd.AndOp(real, finite))
        count = kb.add(simd.SelectOp(real, count, zero))
        moved = kb.add(simd.MulOp(kb.to_data(place, f32), size))
        base = kb.add(simd.AddOp(start, moved))
        step = kb.add(simd.DivOp(size, kb.add(simd.MaxOp(count, one))))
        before = kb.add(simd.SubOp(kb.constant(-1, f32), base))
        first = kb.add(simd.FloorOp(kb.add(simd.DivOp(before, step))))
        first = kb.add(simd.SubOp(first, kb.constant(2, f32)))
        first = kb.add(simd.MaxOp(kb.add(simd.MinOp(first, count)), zero))
        reach = kb.to_data(Index.of(length) + 1, f32)
        reach = kb.add(simd.CeilOp(kb.add(simd.DivOp(reach, step))))
        reach = kb.add(simd.AddOp(reach, kb.constant(5, f32)))
        reach = kb.add(simd.MinOp(reach, count))
        low, more, all_ = (convert(kb, v, i64) for v in (first, reach, count))
        high = kb.add(simd.MinOp(kb.add(simd.AddOp(low, more)), all_))
        return _Samples(base, size, count, kb.to_index(low), kb.to_index(high))

    def _walk(
        self,
        ys: _Samples,
        xs: _Samples,
        first: Index,
        width: int,
        mask: SSAValue | None,
        start: SSAValue,
    ) -> list[SSAValue]:
        kb = self.kb

        def line(i: Index, state: list[SSAValue]) -> list[SSAValue]:
            y = self._taps(ys, i, self.height)

            def point(j: Index, state: list[SSAValue]) -> list[SSAValue]:
                x = self._taps(xs, j, self.width)
                return [self._sample(y, x, first, width, mask, state[0])]

            return kb.fold(xs.first, xs.behind, 1, state, point)

        return kb.fold(ys.first, ys.behind, 1, [start], line)

    def _sample(
        self,
        y: _Taps,
        x: _Taps,
        first: Index,
        width: int,
        mask: SSAValue | None,
        total: SSAValue,
    ) -> SSAValue:
        kb = self.kb
        for i in range(2):
            for j in range(2):
                weight = kb.add(simd.MulOp(y.weights[i], x.weights[j]))
                weight = kb.splat(convert(kb, weight, self.type), width)
                value = self.pixel([y.places[i], x.places[j], first], width, mask)
                part = kb.add(simd.MulOp(value, weight))
                if self.is_max:
                    total = running_extremum(kb, total, part, largest=True)
                else:
                    total = kb.add(simd.AddOp(total, part))
        return total

    def _taps(self, samples: _Samples, number: Index, length: DimLike) -> _Taps:
        """The pixels around a sample; weights are 0 where it lies far outside."""
        kb = self.kb
        zero, one = kb.constant(0, f32), kb.constant(1, f32)
        middle = kb.add(simd.AddOp(kb.to_data(number, f32), kb.constant(0.5, f32)))
        moved = kb.add(simd.MulOp(middle, samples.size))
        moved = kb.add(simd.DivOp(moved, samples.count))
        point = kb.add(simd.AddOp(samples.base, moved))
        end = kb.to_data(length, f32)
        inside = [
            kb.add(simd.CmpOp("ge", point, kb.constant(-1, f32))),
            kb.add(simd.CmpOp("le", point, end)),
        ]
        counts = kb.add(simd.AndOp(*inside))
        last = kb.add(simd.SubOp(end, one))
        inner = kb.add(simd.MaxOp(kb.add(simd.MinOp(point, last)), zero))
        inner = kb.add(simd.SelectOp(counts, inner, zero))
        low = kb.add(simd.FloorOp(inner))
        part = kb.add(simd.SubOp(inner, low))
        rest = kb.add(simd.SubOp(one, part))
        weights = [kb.add(simd.SelectOp(counts, w, zero)) for w in (rest, part)]
        place = kb.opaque(kb.value(kb.to_index(convert(kb, low, i64))))
        high = kb.minimum(place + 1, Index.of(length) - 1)
        return _Taps((place, high), (weights[0], weights[1]))


class RoiMaxPoolKernel(_RegionKernel):
    """Builds the kernel of one `nn.roi_max_pool`."""

    def __init__(
        self,
        kb: KernelBuilder,
        op: RoiMaxPoolOp,
        inputs: Mapping[SSAValue, BufferArg],
        output: BufferArg,
    ) -> None:
        super().__init__(kb, op, inputs, output)
        self.ranges = inputs[op.rows], inputs[op.columns]

    def bin(self, row: Index, column: Index) -> None:
        """Find the largest element of a bin."""
        kb = self.kb
        top, bottom = self._range(0, row, self.height)
        left, right = self._range(1, column, self.width)
        exists = kb.both(kb.compare("slt", top, bottom), kb.compare("slt", left, right))

        def channels(first: Index, width: int, mask: SSAValue | None) -> None:
            lowest = kb.constant(-math.inf, self.type, width)

            def line(i: Index, state: list[SSAValue]) -> list[SSAValue]:
                def point(j: Index, state: list[SSAValue]) -> list[SSAValue]:
                    value = self.pixel([i, j, first], width, mask)
                    return [running_extremum(kb, state[0], value, largest=True)]

                return kb.fold(left, right, 1, state, point)

            (best,) = kb.choose(
                exists,
                lambda: kb.fold(top, bottom, 1, [lowest], line),
                lambda: [kb.constant(0, self.type, width)],
            )
            self.put(best, [row, column, first], mask, width)

        lane_loop(kb, 0, self.channels, self.lanes, channels)

    def _range(self, axis: int, place: Index, length: DimLike) -> list[Index]:
        kb = self.kb
        limits: list[Index] = []
        for side in range(2):
            value = load(kb, self.ranges[axis], [self.region, place, side])
            value = kb.add(simd.MinOp(value, kb.to_data(length, i64)))
            value = kb.add(simd.MaxOp(value, kb.constant(0, i64)))
            limits.append(kb.to_index(value))
        return limits
