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
from nnc.lowering.lower_dispatches.heap import Element, Heap, levels_of
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.loops import lane_loop
from nnc.lowering.lower_dispatches.selection import load, simple, store
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
        self.boxes, self.scores = inputs[op.boxes], inputs[op.scores]
        self.threshold, self.limit = inputs[op.threshold], inputs[op.limit]
        self.least = inputs[op.score_threshold]
        self.picked, self.count, self.corners, self.order = outputs
        self.images, self.classes, self.size = (simple(d) for d in dims_of(op.scores))
        self.room = simple(dims_of(op.picked)[2])
        self.type = self.boxes.element_type
        self.width = min(LANES, kb.target.lanes(bit_width(self.type)))
        self.row: tuple[IndexLike, IndexLike] = (0, 0)

    def build(self) -> Dim:
        """Emit the kernel; gives its task count."""
        if self.images == 0 or self.classes == 0:
            return Dim.of(0)
        kb = self.kb
        with kb.loop(kb.begin, kb.end) as task:
            self.row = kb.divmod(task, self.classes)
            self._clear()
            left = self._find_candidates()
            levels = levels_of(kb, left)
            heap = Heap(kb, self._get, self._put, self._is_better, levels)
            heap.build(left)
            limit = self._scalar(self.limit)
            limit = kb.add(simd.MinOp(limit, kb.to_data(self.room, i64)))
            state = [kb.constant(0, i64)]
            (count,) = kb.fold(
                0, left, 1, state, lambda i, s: self._look(heap, left - i, s[0], limit)
            )
            store(kb, count, self.count, self.row)
        return Dim.of(self.images) * self.classes

    def _scalar(self, buffer: BufferArg) -> SSAValue:
        return self.kb.load(buffer.ptr, buffer.index([]))

    def _get(self, place: IndexLike) -> Element:
        return (load(self.kb, self.order, [*self.row, place]),)

    def _put(self, place: IndexLike, number: Element) -> None:
        store(self.kb, number[0], self.order, [*self.row, place])

    def _is_better(self, first: Element, second: Element) -> SSAValue:
        """Whether one box is looked at before another one."""
        kb, (a,), (b,) = self.kb, first, second
        x, y = (load(kb, self.scores, [*self.row, kb.to_index(v)]) for v in (a, b))
        above, below = (kb.add(simd.CmpOp(p, x, y)) for p in ("gt", "lt"))
        nan = [kb.add(simd.IsNanOp(v)) for v in (x, y)]
        # A number comes before NaN, and NaN never before a number.
        pairs = (nan, nan[::-1])
        only = [kb.add(simd.AndOp(kb.add(simd.NotOp(p)), q)) for p, q in pairs]
        above = kb.add(simd.OrOp(above, only[0]))
        below = kb.add(simd.OrOp(below, only[1]))
        is_equal = kb.add(simd.NotOp(kb.add(simd.OrOp(above, below))))
        is_earlier = kb.add(simd.CmpOp("lt", a, b))
        return kb.add(simd.OrOp(above, kb.add(simd.AndOp(is_equal, is_earlier))))

    def _clear(self) -> None:
        """Set the numbers that may be read although nothing was picked."""
        kb = self.kb

        def body(first: Index, width: int, mask: SSAValue | None) -> None:
            zero = kb.constant(0, i64, width)
            store(kb, zero, self.picked, [*self.row, first], width, mask)

        lane_loop(kb, 0, self.room, kb.target.lanes(64), body)

    def _find_candidates(self) -> Index:
        """Gather the numbers of the boxes with a score; how many there are."""
        kb = self.kb
        least = self._scalar(self.least)
        takes_all = kb.add(simd.IsNanOp(least))

        def look(i: Index, state: list[SSAValue]) -> list[SSAValue]:
            found = kb.opaque(state[0], nonnegative=True)
            score = load(kb, self.scores, [*self.row, i])
            is_above = kb.add(simd.CmpOp("gt", score, least))
            is_one = kb.add(simd.OrOp(is_above, takes_all))
            # What is no candidate is written over by the next one.
            self._put(found, (kb.to_data(i, i64),))
            return [kb.value(kb.select(is_one, found + 1, found))]

        def block(first: Index, state: list[SSAValue]) -> list[SSAValue]:
            # Most boxes of a detector have no score worth a look, one by one.
            place = [*self.row, first]
            scores = load(kb, self.scores, place, self.width)
            above = kb.add(simd.CmpOp("gt", scores, kb.splat(least, self.width)))
            if self.width > 1:
                above = kb.add(simd.ReduceOp("or", above))
            found = kb.add(simd.OrOp(above, takes_all))
            return kb.choose(
                found,
                lambda: kb.fold(first, first + self.width, 1, state, look),
                lambda: state,
            )

        whole = kb.floordiv(self.size, self.width) * self.width
        state = kb.fold(0, whole, self.width, [kb.value(0)], block)
        (count,) = kb.fold(whole, self.size, 1, state, look)
        return kb.opaque(count, nonnegative=True)

    def _look(
        self, heap: Heap, left: Index, count: SSAValue, limit: SSAValue
    ) -> list[SSAValue]:
        """Pick the best that is left unless it overlaps; how many are picked then."""
        kb = self.kb

        def compare() -> list[SSAValue]:
            index = kb.to_index(heap.pop(left)[0])
            place = [self.row[0], index]
            box = [load(kb, self.boxes, [*place, i]) for i in range(4)]
            overlaps = self._overlaps(box, kb.to_index(count))

            def keep() -> list[SSAValue]:
                at = kb.to_index(count)
                store(kb, kb.to_data(index, i64), self.picked, [*self.row, at])
                for side, value in enumerate(box):
                    store(kb, value, self.corners, [*self.row, side, at])
                return [kb.add(simd.AddOp(count, kb.constant(1, i64)))]

            return kb.choose(overlaps, lambda: [count], keep)

        has_room = kb.add(simd.CmpOp("lt", count, limit))
        return kb.choose(has_room, compare, lambda: [count])

    def _overlaps(self, box: Sequence[SSAValue], count: Index) -> SSAValue:
        """Whether a box overlaps one of the first `count` picked ones."""
        kb, width = self.kb, self.width
        no = kb.constant(0, simd.mask_type(1), width)
        box = [kb.splat(v, width) for v in box]
        limit = kb.splat(self._scalar(self.threshold), width)
        lanes = (
            kb.cached(("iota", width), 0, lambda: simd.IotaOp(width))
            if (width > 1)
            else kb.constant(0, i64)
        )

        def step(first: Index, state: list[SSAValue]) -> list[SSAValue]:
            # The last vector has lanes that hold no box; there is room for them.
            others = [
                load(kb, self.corners, [*self.row, side, first], width)
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
