"""
The kernel of non-maximum suppression: a task a class of an image.

The boxes that were picked are kept side by side, one array a coordinate, so that each
candidate is compared with a vector of them at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.dialects.nn.suppression import LANES, NonMaxSuppressionOp
from nnc.dialects.nn.types import bit_width, dims_of
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.selection import checked, load, simple, store
from nnc.symbolic import Dim


class SuppressionKernel:
    """Builds the kernel of one `nn.non_max_suppression`."""

    def __init__(
        self,
        kb: KernelBuilder,
        op: NonMaxSuppressionOp,
        inputs: Mapping[SSAValue, BufferArg],
        outputs: Sequence[BufferArg],
    ) -> None:
        self.kb = kb
        self.boxes, self.order, self.candidates = (
            inputs[o] for o in (op.boxes, op.order, op.candidates)
        )
        self.threshold, self.limit = inputs[op.threshold], inputs[op.limit]
        self.picked, self.count, self.corners = outputs
        self.images, self.size, _ = (simple(d) for d in dims_of(op.boxes))
        self.rows, _ = (simple(d) for d in dims_of(op.order))
        self.room = simple(dims_of(op.picked)[1])
        self.type = self.boxes.element_type
        self.width = min(LANES, kb.target.lanes(bit_width(self.type)))
        self.row: IndexLike = 0
        self.image: IndexLike = 0

    def build(self) -> Dim:
        """Emit the kernel; gives its task count."""
        if self.rows == 0:
            return Dim.of(0)
        kb = self.kb
        classes = simple(Dim.of(self.rows) // Dim.of(self.images))
        with kb.loop(kb.begin, kb.end) as self.row:
            self.image = kb.floordiv(self.row, classes)
            self._clear()
            limit = kb.load(self.limit.ptr, self.limit.index([]))
            room = kb.to_data(self.room, i64)
            limit = kb.add(simd.MinOp(limit, room))
            start = [kb.constant(0, i64)]
            (count,) = kb.fold(
                0, self.size, 1, start, lambda i, state: self._look(i, state, limit)
            )
            store(kb, count, self.count, [self.row])
        return Dim.of(self.rows)

    def _clear(self) -> None:
        """Set what may be read although nothing was picked."""
        kb = self.kb
        with kb.loop(0, self.room) as i:
            store(kb, kb.constant(0, i64), self.picked, [self.row, i])
        length = simple(Dim.of(self.corners.dims[2]))
        for side in range(4):
            with kb.loop(0, length) as i:
                zero = kb.constant(0, self.type)
                store(kb, zero, self.corners, [self.row, side, i])

    def _look(
        self, place: Index, state: list[SSAValue], limit: SSAValue
    ) -> list[SSAValue]:
        """Pick a candidate unless a picked one overlaps; how many are picked then."""
        kb, count = self.kb, state[0]
        is_candidate = load(kb, self.candidates, [self.row, place])
        has_room = kb.add(simd.CmpOp("lt", count, limit))
        is_open = kb.add(simd.AndOp(is_candidate, has_room))

        def compare() -> list[SSAValue]:
            number = load(kb, self.order, [self.row, place])
            index = checked(kb, number, self.size)
            box = [load(kb, self.boxes, [self.image, index, i]) for i in range(4)]
            overlaps = self._overlaps(box, kb.to_index(count))

            def keep() -> list[SSAValue]:
                at = kb.to_index(count)
                store(kb, kb.to_data(index, i64), self.picked, [self.row, at])
                for side, value in enumerate(box):
                    store(kb, value, self.corners, [self.row, side, at])
                return [kb.add(simd.AddOp(count, kb.constant(1, i64)))]

            return kb.choose(overlaps, lambda: [count], keep)

        return kb.choose(is_open, compare, lambda: [count])

    def _overlaps(self, box: Sequence[SSAValue], count: Index) -> SSAValue:
        """Whether a box overlaps one of the first `count` picked ones."""
        kb, width = self.kb, self.width
        no = kb.constant(0, simd.mask_type(1), width)
        box = [kb.splat(v, width) for v in box]
        threshold = self.threshold
        limit = kb.load(threshold.ptr, threshold.index([]))
        limit = kb.splat(limit, width)
        lanes = (
            kb.cached(("iota", width), 0, lambda: simd.IotaOp(width))
            if (width > 1)
            else kb.constant(0, i64)
        )

        def step(first: Index, state: list[SSAValue]) -> list[SSAValue]:
            # The last vector has lanes that hold no box; there is room for them.
            others = [
                load(kb, self.corners, [self.row, side, first], width)
                for side in range(4)
            ]
            left = kb.splat(kb.to_data(count - first, i64), width)
            exists = kb.add(simd.CmpOp("lt", lanes, left))
            over = kb.add(simd.AndOp(exists, self._exceeds(box, others, limit)))
            return [kb.add(simd.OrOp(state[0], over))]

        (found,) = kb.fold(0, count, width, [no], step)
        return found if width == 1 else kb.add(simd.ReduceOp("or", found))

    def _exceeds(
        self, a: Sequence[SSAValue], b: Sequence[SSAValue], limit: SSAValue
    ) -> SSAValue:
        """Whether the common area is more than that part of the joint one."""
        kb = self.kb
        low = [kb.add(simd.MaxOp(a[i], b[i])) for i in range(2)]
        high = [kb.add(simd.MinOp(a[i], b[i])) for i in (2, 3)]
        common = self._area([*low, *high])
        areas = [self._area(box) for box in (a, b)]
        joint = kb.add(simd.SubOp(kb.add(simd.AddOp(*areas)), common))
        zero = kb.splat(kb.constant(0, self.type), self.width)
        # Boxes without an area overlap nothing, nor do boxes of which a corner is NaN.
        tests = [kb.add(simd.CmpOp("gt", high[i], low[i])) for i in range(2)]
        tests += [kb.add(simd.CmpOp("gt", v, zero)) for v in (common, *areas, joint)]
        ratio = kb.add(simd.DivOp(common, joint))
        result = kb.add(simd.CmpOp("gt", ratio, limit))
        for test in tests:
            result = kb.add(simd.AndOp(result, test))
        return result

    def _area(self, box: Sequence[SSAValue]) -> SSAValue:
        kb = self.kb
        sides = [kb.add(simd.SubOp(box[2 + i], box[i])) for i in range(2)]
        return kb.add(simd.MulOp(*sides))
