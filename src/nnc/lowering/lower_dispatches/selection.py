"""
Kernels that go through elements in order: scattering, and the largest elements.

The largest elements are kept in a binary heap whose root is the worst of them, in the
memory of the results; sorting the heap in place puts the best one first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import f32, i64
from xdsl.ir import Attribute, SSAValue

from nnc.dialects import simd
from nnc.dialects.nn.selection import CompactOp, ScatterOp, TopKOp
from nnc.dialects.nn.types import bit_width, dims_of, is_float
from nnc.dialects.simd.types import bits_of
from nnc.lowering.lower_dispatches.elementwise import convert
from nnc.lowering.lower_dispatches.emit import INDEX_OUT_OF_RANGE
from nnc.lowering.lower_dispatches.heap import Element, Heap, levels_of
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.loops import lane_loop
from nnc.symbolic import Dim, DimLike

_COMBINE = {
    "add": simd.AddOp,
    "mul": simd.MulOp,
    "min": simd.MinOp,
    "max": simd.MaxOp,
}


def build_scatter(
    kb: KernelBuilder,
    op: ScatterOp,
    inputs: Mapping[SSAValue, BufferArg],
    output: BufferArg,
) -> Dim:
    """Copy, then one row after another: later ones win. Gives the task count."""
    source, indices, updates = (inputs[o] for o in op.operands)
    rows, columns = (simple(d) for d in dims_of(op.operand))
    (count,) = dims_of(op.indices)
    if rows == 0 or columns == 0:
        return Dim.of(0)
    lanes = kb.target.lanes(max(8, bits_of(output.element_type)))
    if _is_dense(source) and _is_dense(output):
        source_all, output_all = (
            _flat(source, rows, columns),
            _flat(output, rows, columns),
        )
        _copy(kb, source_all, output_all, [], Dim.of(rows) * columns, lanes)
    else:
        with kb.loop(0, rows) as row:
            _copy(kb, source, output, [row], columns, lanes)
    combine = _COMBINE.get(op.combination.data)
    with kb.loop(0, simple(count)) as number:
        loaded = kb.load(indices.ptr, indices.index([number]))
        place = checked(kb, convert(kb, loaded, i64), rows)

        def update(first: Index, width: int, mask: SSAValue | None) -> None:
            value = load(kb, updates, [number, first], width, mask)
            if combine is not None:
                old = load(kb, output, [place, first], width, mask)
                wide = _computed(output)
                value, old = convert(kb, value, wide), convert(kb, old, wide)
                value = convert(kb, kb.add(combine(old, value)), output.element_type)
            store(kb, value, output, [place, first], width, mask)

        lane_loop(kb, 0, columns, lanes, update)
    return Dim.of(1)


def simple(dim: Dim) -> DimLike:
    """A constant as an int."""
    size = dim.as_int()
    return dim if size is None else size


def _computed(buffer: BufferArg) -> Attribute:
    """The type to combine in: narrow floats are rounded after each step."""
    type_ = buffer.element_type
    return f32 if is_float(type_) and bit_width(type_) < 32 else type_


def _is_dense(buffer: BufferArg) -> bool:
    rows, columns = buffer.strides
    return columns == 1 and rows == buffer.dims[1]


def _flat(buffer: BufferArg, rows: DimLike, columns: DimLike) -> BufferArg:
    total = Dim.of(rows) * columns
    return BufferArg(buffer.ptr, buffer.element_type, (simple(total),), (1,))


def _copy(
    kb: KernelBuilder,
    source: BufferArg,
    target: BufferArg,
    place: Sequence[IndexLike],
    length: DimLike,
    lanes: int,
) -> None:
    def move(first: Index, width: int, mask: SSAValue | None) -> None:
        value = load(kb, source, [*place, first], width, mask)
        store(kb, value, target, [*place, first], width, mask)

    lane_loop(kb, 0, length, lanes, move)


def load(
    kb: KernelBuilder,
    buffer: BufferArg,
    place: Sequence[IndexLike],
    width: int = 1,
    mask: SSAValue | None = None,
) -> SSAValue:
    """Elements along the last axis of a buffer, whatever its stride."""
    index, stride = buffer.index(place), buffer.strides[-1]
    if width == 1 or stride == 1:
        return kb.load(buffer.ptr, index, width, mask)
    return kb.load_strided(buffer.ptr, index, stride, width, mask)


def store(
    kb: KernelBuilder,
    value: SSAValue,
    buffer: BufferArg,
    place: Sequence[IndexLike],
    width: int = 1,
    mask: SSAValue | None = None,
) -> None:
    """Write elements along the last axis of a buffer, whatever its stride."""
    index, stride = buffer.index(place), buffer.strides[-1]
    if width == 1 or stride == 1:
        kb.store(value, buffer.ptr, index, mask)
    else:
        kb.store_strided(value, buffer.ptr, index, stride, mask)


def checked(kb: KernelBuilder, value: SSAValue, size: DimLike) -> Index:
    """An index from a tensor: counted from the front, and in range."""
    extent = kb.to_data(size, i64)
    zero, one = kb.constant(0, i64), kb.constant(1, i64)
    moved = kb.add(simd.AddOp(value, extent))
    is_negative = kb.add(simd.CmpOp("lt", value, zero))
    value = kb.add(simd.SelectOp(is_negative, moved, value))
    too_low = kb.add(simd.CmpOp("lt", value, zero))
    too_high = kb.add(simd.CmpOp("ge", value, extent))
    kb.raise_if(kb.add(simd.OrOp(too_low, too_high)), INDEX_OUT_OF_RANGE)
    last = kb.add(simd.SubOp(extent, one))
    value = kb.add(simd.MaxOp(kb.add(simd.MinOp(value, last)), zero))
    return kb.to_index(value)


def build_compact(
    kb: KernelBuilder,
    op: CompactOp,
    inputs: Mapping[SSAValue, BufferArg],
    outputs: Sequence[BufferArg],
) -> Dim:
    """
    One walk: each position is written where the next true element's belongs.

    There is no branch to mispredict: what a false element leaves there, the next one
    overwrites. Gives the task count.
    """
    mask, (indices, count) = inputs[op.operand], outputs
    size = simple(dims_of(op.operand)[0])

    def step(position: Index, state: list[SSAValue]) -> list[SSAValue]:
        found = kb.opaque(state[0], nonnegative=True)
        store(kb, kb.to_data(position, i64), indices, [found])
        is_true = load(kb, mask, [position])
        return [kb.value(kb.select(is_true, found + 1, found))]

    (last,) = kb.fold(0, size, 1, [kb.value(0)], step)
    found = kb.opaque(last, nonnegative=True)
    zero = kb.constant(0, i64)
    with kb.loop(found, size) as position:
        store(kb, zero, indices, [position])
    store(kb, kb.to_data(found, i64), count, [0])
    return Dim.of(1)


class TopKKernel:
    """Builds the kernel of one `nn.top_k`: a task a row."""

    def __init__(
        self,
        kb: KernelBuilder,
        op: TopKOp,
        inputs: Mapping[SSAValue, BufferArg],
        outputs: Sequence[BufferArg],
    ) -> None:
        self.kb, self.op = kb, op
        self.source = inputs[op.operand]
        self.values, self.indices = outputs
        self.rows, self.size = (simple(d) for d in dims_of(op.operand))
        self.count = simple(op.count_dim)
        levels = levels_of(kb, self.count)
        self.heap = Heap(kb, self._get, self._put, self._is_worse, levels)
        self.row: IndexLike = 0

    def build(self) -> Dim:
        """Emit the kernel; gives its task count."""
        if self.count == 0 or self.rows == 0:
            return Dim.of(0)
        kb = self.kb
        has_root = kb.compare("slt", 0, self.count)
        with kb.loop(kb.begin, kb.end) as self.row, kb.when(has_root):
            self._fill()
            self._select()
            self._sort()
        return Dim.of(self.rows)

    def _fill(self) -> None:
        kb = self.kb
        with kb.loop(0, self.count) as i:
            value = load(kb, self.source, [self.row, i])
            self._put(i, (value, kb.to_data(i, i64)))
        self.heap.build(self.count)

    def _select(self) -> None:
        kb = self.kb
        with kb.loop(self.count, self.size) as i:
            value = load(kb, self.source, [self.row, i])
            root = load(kb, self.values, [self.row, 0])
            with kb.when(self._is_better(value, root)):
                self._put(0, (value, kb.to_data(i, i64)))
                self.heap.sift(0, self.count)

    def _sort(self) -> None:
        kb = self.kb
        with kb.loop(1, self.count) as i:
            self.heap.pop(Index.of(self.count) - i + 1)

    def _get(self, place: IndexLike) -> Element:
        kb, at = self.kb, [self.row, place]
        return load(kb, self.values, at), load(kb, self.indices, at)

    def _put(self, place: IndexLike, element: Element) -> None:
        for value, buffer in zip(element, (self.values, self.indices), strict=True):
            store(self.kb, value, buffer, [self.row, place])

    def _is_better(self, a: SSAValue, b: SSAValue) -> SSAValue:
        kb = self.kb
        wide = _computed(self.values)
        a, b = convert(kb, a, wide), convert(kb, b, wide)
        predicate = "gt" if self.op.largest.value.data else "lt"
        is_better = kb.add(simd.CmpOp(predicate, a, b))
        if not is_float(self.values.element_type):
            return is_better
        # A number is better than NaN.
        is_number = kb.add(simd.NotOp(kb.add(simd.IsNanOp(a))))
        saved = kb.add(simd.AndOp(is_number, kb.add(simd.IsNanOp(b))))
        return kb.add(simd.OrOp(is_better, saved))

    def _is_worse(self, a: Element, b: Element) -> SSAValue:
        """Whether `a` comes behind `b`; of equal ones the later one does."""
        kb = self.kb
        is_worse = self._is_better(b[0], a[0])
        is_better = self._is_better(a[0], b[0])
        is_later = kb.add(simd.CmpOp("gt", a[1], b[1]))
        are_equal = kb.add(simd.NotOp(is_better))
        return kb.add(simd.OrOp(is_worse, kb.add(simd.AndOp(are_equal, is_later))))
