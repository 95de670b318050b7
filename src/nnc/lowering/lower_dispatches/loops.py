"""Loop nests: merging axes, choosing lanes, splitting work into tasks, tails."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.lowering.lower_dispatches.expressions import Axis
from nnc.lowering.lower_dispatches.index import Index, IndexLike, simplified
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.symbolic import Dim, DimLike, ceildiv, dim_max, dim_product

GRAIN = 2048
"""Elements that are worth a task of their own. Neighbouring tasks are done in one go,
so small ones cost nothing, and even a small launch can be shared out evenly."""
MIN_TASKS = 16
"""Fewer outer iterations than that are split further."""


def make_axes(dims: Sequence[DimLike]) -> tuple[list[Axis], list[Index]]:
    """One axis a dim, and the index along each; dims of 1 have index 0 and no axis."""
    axes: list[Axis] = []
    indices: list[Index] = []
    for dim in map(simplified, dims):
        if dim == 1:
            indices.append(Index({}, 0))
            continue
        axis = Axis(extent=dim)
        axes.append(axis)
        indices.append(Index.var(axis))
    return axes, indices


@dataclass(frozen=True)
class Space:
    """An iteration space: the loops that are left, outermost first, after merging."""

    axes: tuple[Axis, ...]
    merged: tuple[Axis, ...]
    """Axes that became part of the next inner one: they are always 0."""

    extents: tuple[DimLike, ...]

    def extent(self, axis: Axis) -> DimLike:
        """The number of iterations of a loop."""
        return self.extents[self.axes.index(axis)]


def merged_space(axes: Sequence[Axis], indices: Iterable[Index]) -> Space:
    """
    Merge neighbouring axes that all `indices` walk as if they were one.

    That is so where the outer axis counts as much as a whole turn of the inner one:
    `c_outer == c_inner * extent_inner`. The outer axis is then bound to 0 and the inner
    one runs through both.
    """
    used = list(indices)
    kept: list[Axis] = []
    extents: list[DimLike] = []
    merged: list[Axis] = []
    for axis in reversed(axes):
        extent = axis.extent
        assert extent is not None
        if kept and all(_is_turn(i, axis, kept[-1], extents[-1]) for i in used):
            merged.append(axis)
            extents[-1] = simplified(Dim.of(extents[-1]) * extent)
        else:
            kept.append(axis)
            extents.append(extent)
    return Space(tuple(reversed(kept)), tuple(merged), tuple(reversed(extents)))


def _is_turn(index: Index, outer: Axis, inner: Axis, extent: DimLike) -> bool:
    low, high = index.coefficient(outer), index.coefficient(inner)
    if low == 0 and high == 0:
        return True
    return simplified(high * extent if high else 0) == low


LaneBody = Callable[[Index, int, SSAValue | None], None]
"""Emits one step: first counter, lanes, and the mask of the lanes that exist."""


def lane_loop(
    kb: KernelBuilder, lower: IndexLike, upper: IndexLike, width: int, body: LaneBody
) -> None:
    """
    A loop in steps of `width` lanes, then what is left.

    The rest is one masked step where the target has masks, else a scalar loop.
    """
    lower, upper = Index.of(lower), Index.of(upper)
    length = upper - lower
    known = length.dim
    if isinstance(known, int):
        width = min(width, power_of_two_below(known, round_up=kb.target.has_masks))
    if width == 1:
        with kb.loop(lower, upper) as i:
            body(i, 1, None)
        return
    whole = kb.floordiv(length, width) * width
    middle = lower + whole
    with kb.loop(lower, middle, width) as i:
        body(i, width, None)
    rest = length - whole
    if rest.dim == 0:
        return
    # One lane is a scalar: that is faster, and LLVM 22 gets a truncating masked store
    # under a constant mask of one lane wrong on x86 (it writes the lane untruncated).
    if kb.target.has_masks and rest.dim != 1:
        with kb.when(kb.compare("slt", middle, upper)):
            body(middle, width, kb.mask(rest, width))
    else:
        with kb.loop(middle, upper) as i:
            body(i, 1, None)


def power_of_two_below(number: int, *, round_up: bool = False) -> int:
    """The largest power of two up to `number`, or the next one above."""
    if number <= 1:
        return 1
    return 1 << ((number - 1).bit_length() if round_up else number.bit_length() - 1)


@dataclass(frozen=True)
class TaskSplit:
    """How the outer loops of a space become tasks."""

    axes: tuple[Axis, ...]
    extents: tuple[DimLike, ...]
    rows: DimLike
    grain: DimLike

    @property
    def tasks(self) -> Dim:
        """The number of tasks."""
        return ceildiv(self.rows, self.grain)

    def place(self, kb: KernelBuilder, row: Index) -> dict[Axis, Index]:
        """The counters of the loops for one of all rows."""
        bound: dict[Axis, Index] = {}
        for axis, extent in zip(
            reversed(self.axes[1:]), reversed(self.extents[1:]), strict=True
        ):
            row, bound[axis] = kb.divmod(row, extent)
        bound[self.axes[0]] = row
        return bound


def split_tasks(
    outer: Sequence[Axis],
    extents: Sequence[DimLike],
    work: DimLike,
    *,
    takes_all: bool = False,
) -> TaskSplit:
    """
    Take as many of the `outer` loops as make enough tasks, or all of them.

    `work` counts the elements of one iteration of all of them.
    """
    count = 0
    rows = Dim.of(1)
    while count < len(outer):
        rows = rows * extents[count]
        count += 1
        known = rows.as_int()
        if takes_all:
            continue
        if (known or 0) >= MIN_TASKS or (known is None and count == 2):
            break
    inner = dim_product(extents[count:]) * work
    known = inner.as_int()
    if known is not None:
        grain: DimLike = max(1, GRAIN // max(known, 1))
    else:
        grain = dim_max(1, Dim.of(GRAIN) // dim_max(inner, 1))
    return TaskSplit(
        tuple(outer[:count]),
        tuple(extents[:count]),
        simplified(rows),
        simplified(grain),
    )


@contextmanager
def row_loops(
    kb: KernelBuilder,
    split: TaskSplit,
    inner: Sequence[Axis],
    extents: Sequence[DimLike],
    begin: IndexLike,
    end: IndexLike,
) -> Generator[dict[Axis, Index]]:
    """Loops over the rows of a range of tasks and the `inner` axes; binds them all."""
    bound: dict[Axis, Index] = {}
    with ExitStack() as stack:
        if split.axes:
            lower, upper = task_range(kb, split.rows, split.grain, begin, end)
            row = stack.enter_context(kb.loop(lower, upper, extent=split.rows))
            bound.update(split.place(kb, row))
        for axis, extent in zip(inner, extents, strict=True):
            bound[axis] = stack.enter_context(kb.loop(0, extent))
        yield bound


def task_range(
    kb: KernelBuilder,
    rows: DimLike,
    grain: DimLike,
    begin: IndexLike,
    end: IndexLike,
) -> tuple[Index, Index]:
    """
    The rows of the tasks from `begin` to `end`, `grain` rows each.

    A single task has all of them, whatever the range.
    """
    begin, end = Index.of(begin), Index.of(end)
    if grain == 1 and rows != 1:
        return begin, end
    if isinstance(rows, int) and isinstance(grain, int) and rows <= grain:
        return Index({}, 0), Index.of(rows)
    return begin * grain, kb.minimum(end * grain, rows)
