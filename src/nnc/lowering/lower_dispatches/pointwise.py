"""
Pointwise kernels: every result element from elements of the operands, in any order.

All results of one shape share a loop nest. Neighbouring loops that every access walks
as one are merged; the loop along which most accesses are contiguous becomes the
innermost one and runs in vectors; the outer ones are split into tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.lowering.lower_dispatches.access import Elements
from nnc.lowering.lower_dispatches.emit import Emitter
from nnc.lowering.lower_dispatches.expressions import (
    Axis,
    Derived,
    Load,
    Node,
    all_indices,
    walk,
)
from nnc.lowering.lower_dispatches.index import Index, IndexLike
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.loops import (
    GRAIN,
    Space,
    lane_loop,
    make_axes,
    merged_space,
    row_loops,
    split_tasks,
    task_range,
)
from nnc.lowering.lower_dispatches.stores import (
    Store,
    store_element,
    vector_width,
)
from nnc.lowering.lower_dispatches.transposition import (
    TransposingLoops,
    find_transposition,
)
from nnc.symbolic import Dim, DimLike, ceildiv


@dataclass(frozen=True)
class Nest:
    """The results of one shape."""

    axes: Sequence[Axis]
    stores: Sequence[Store]


def build_pointwise(
    kb: KernelBuilder,
    elements: Elements,
    results: Sequence[tuple[SSAValue, BufferArg]],
) -> Dim:
    """Emit the kernel that stores values to buffers; gives its task count."""
    total = Dim.of(0)
    nests = [n for n in _nests(elements, results) if not _is_empty(n)]
    for nest in nests:
        is_only = len(nests) == 1
        loops = _LoopNest(kb, nest)
        begin, end = kb.begin, kb.end
        if not is_only:
            begin = kb.maximum(begin - total, 0)
            end = kb.minimum(end - total, loops.tasks)
        loops.emit(begin, end)
        total = total + loops.tasks
    return total


def _nests(
    elements: Elements, results: Sequence[tuple[SSAValue, BufferArg]]
) -> list[Nest]:
    by_dims: dict[tuple[DimLike, ...], list[tuple[SSAValue, BufferArg]]] = {}
    for value, buffer in results:
        by_dims.setdefault(buffer.dims, []).append((value, buffer))
    nests: list[Nest] = []
    for dims, group in by_dims.items():
        axes, indices = make_axes(dims)
        stores = [
            Store(elements.at(value, indices), buffer, buffer.index(indices))
            for value, buffer in group
        ]
        nests.append(Nest(axes, stores))
    return nests


def _is_empty(nest: Nest) -> bool:
    return any(a.extent == 0 for a in nest.axes)


class _LoopNest:
    """The loops of one nest."""

    def __init__(self, kb: KernelBuilder, nest: Nest) -> None:
        self.kb = kb
        self.stores = nest.stores
        roots = [s.node for s in nest.stores]
        indices = [*all_indices(roots), *(s.index for s in nest.stores)]
        self.space = merged_space(nest.axes, indices)
        self.width = vector_width(kb.target, nest.stores)
        plan = find_transposition(
            self.space, nest.stores, self.width, has_masks=kb.target.has_masks
        )
        self.tiles = plan and TransposingLoops(kb, self.space, nest.stores, plan)
        axes, extents = list(self.space.axes), list(self.space.extents)
        self.block: Axis | None = None
        if self.tiles is not None:
            self.lane, row = self.tiles.plan.lane, self.tiles.plan.row
            self.block = Axis(extent=self.tiles.blocks)
            axes[axes.index(row)] = self.block
            extents[axes.index(self.block)] = self.tiles.blocks
        else:
            self.lane = _lane_axis(self.space, nest.stores, self.width)
        self.length: DimLike = 1 if self.lane is None else self.space.extent(self.lane)
        loops = [p for p in zip(axes, extents, strict=True) if p[0] is not self.lane]
        work = Dim.of(self.length) * (1 if self.tiles is None else self.tiles.width)
        self.split = split_tasks([a for a, _ in loops], [e for _, e in loops], work)
        self.inner = loops[len(self.split.axes) :]
        self.grain = max(GRAIN, self.width)

    @property
    def tasks(self) -> Dim:
        """The number of tasks; none if there is no element."""
        if self.split.axes:
            return self.split.tasks
        return ceildiv(self.length, self.grain)

    def emit(self, begin: IndexLike, end: IndexLike) -> None:
        """Emit loops and body for the tasks from `begin` to `end`."""
        kb, space = self.kb, self.space
        axes = [a for a, _ in self.inner]
        extents = [e for _, e in self.inner]
        with row_loops(kb, self.split, axes, extents, begin, end) as bound:
            bound.update((axis, Index({}, 0)) for axis in space.merged)
            if self.tiles is not None:
                assert self.block is not None
                self.tiles.emit(bound, bound.pop(self.block))
                return
            self._lanes(bound, begin, end)

    def _lanes(
        self, bound: dict[Axis, Index], begin: IndexLike, end: IndexLike
    ) -> None:
        """The innermost loop."""
        kb, lane = self.kb, self.lane
        lower, upper = Index({}, 0), Index.of(self.length)
        if not self.split.axes and self.tasks != 1:
            lower, upper = task_range(kb, self.length, self.grain, begin, end)
        if lane is None:
            self._step(Emitter(kb, bound))
            return

        def step(first: Index, width: int, mask: SSAValue | None) -> None:
            self._step(Emitter(kb, {**bound, lane: first}, lane, width, mask))

        lane_loop(kb, lower, upper, self.width, step)

    def _step(self, emitter: Emitter) -> None:
        values = [emitter.value(s.node) for s in self.stores]
        for store, value in zip(self.stores, values, strict=True):
            store_element(emitter, store, value)


def _lane_axis(space: Space, stores: Sequence[Store], width: int) -> Axis | None:
    """The axis along which accesses are cheapest; of equals the innermost one."""
    accesses = accesses_of(stores, [])
    best: Axis | None = None
    least = 0.0
    for axis, extent in zip(reversed(space.axes), reversed(space.extents), strict=True):
        cost = lane_cost(accesses, axis, extent, width)
        if best is None or cost < least:
            best, least = axis, cost
    return best


def accesses_of(stores: Sequence[Store], nodes: Sequence[Node]) -> list[Index]:
    """Where elements are read and written."""
    roots = [*(s.node for s in stores), *nodes]
    loads = [n.index for n in walk(roots) if isinstance(n, Load)]
    return [*(s.index for s in stores), *loads]


def lane_cost(
    accesses: Sequence[Index], axis: Axis, extent: DimLike, width: int
) -> float:
    """What the accesses of a vector cost, if `axis` gives the lanes."""
    cost = sum(_access_cost(i, axis, width) for i in accesses)
    if isinstance(extent, int):
        cost *= -(-extent // width) * width / max(extent, 1)
    return cost


def _access_cost(index: Index, axis: Axis, width: int) -> float:
    if any(isinstance(v, Derived) and axis in v.axes for v in index.terms):
        return 1.5 * width
    coefficient = index.coefficient(axis)
    if coefficient == 0:
        return 0.25
    return 1.0 if coefficient == 1 else float(width)
