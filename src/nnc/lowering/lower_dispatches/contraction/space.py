"""
The iteration space of a contraction: axes with the strides of everything along them.

A matmul and a convolution differ only here. Both become *batch* axes (B changes),
*row* axes (it does not), one *column* axis and *reduction* axes. Neighbouring axes
that every buffer steps through evenly are merged, so a 1x1 convolution is one matrix
product over all pixels, and a window's last two axes are one run of memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xdsl.ir import BlockArgument, SSAValue

from nnc.analysis.dispatches import DispatchForm, ViewChain
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.conv import ConvOp
from nnc.dialects.nn.linear import MatmulOp
from nnc.dialects.nn.types import dims_of
from nnc.dialects.rt.types import BufferType
from nnc.lowering.lower_dispatches.contraction.views import (
    Steps,
    View,
    refined,
    regrouped,
    size_of,
    split,
    step,
)
from nnc.symbolic import Dim, dim_product

_ZERO, _ONE = Dim.of(0), Dim.of(1)


@dataclass(frozen=True)
class Axis:
    """An axis of the result."""

    size: Dim
    a: Dim
    """Stride in A."""
    b: Dim
    """Stride in B, where B is not packed; of a packed one, 1 if B changes along it."""
    column: Dim
    """How many columns a step goes on; 0 unless it is a part of the columns."""
    views: tuple[Dim, ...]
    """Stride in each view that the epilogue reads or writes."""

    def scaled(self, factor: Dim) -> tuple[Dim, ...]:
        """All strides times `factor`."""
        return tuple(s * factor for s in (self.a, self.b, self.column, *self.views))

    @property
    def strides(self) -> tuple[Dim, ...]:
        """All strides."""
        return (self.a, self.b, self.column, *self.views)


@dataclass(frozen=True)
class Reduction:
    """An axis that is summed over; strides in A and B."""

    size: Dim
    a: Dim
    b: Dim


@dataclass(frozen=True)
class Packing:
    """How a packed B lies in memory: `[groups, panels, k, panel]`."""

    panel: int
    panels: int
    k: int

    @property
    def panel_elements(self) -> int:
        """Elements of one panel."""
        return self.k * self.panel

    @property
    def group_elements(self) -> int:
        """Elements of all panels of one group."""
        return self.panels * self.panel_elements


@dataclass(frozen=True)
class Space:
    """The axes of a contraction, outermost first, and its buffers."""

    batches: tuple[Axis, ...]
    groups: Axis | None
    """The groups of a convolution whose filter is packed."""
    rows: tuple[Axis, ...]
    columns: Axis
    reductions: tuple[Reduction, ...]
    a: View
    b: View
    packing: Packing | None
    views: tuple[View, ...]
    """What the epilogue reads, then the outputs."""
    leaves: dict[SSAValue, int]
    """Values that the epilogue reads → position in `views`."""
    outputs: tuple[int, ...]
    """Positions of the yields in `views`."""


@dataclass
class _LogicalAxis:
    """An axis of the result before it is split where a buffer has two steps."""

    size: Dim
    a: Steps
    b: Steps
    views: list[Steps]
    is_column: bool = False
    is_group: bool = False


def contraction_space(
    form: DispatchForm, buffers: Sequence[BufferType]
) -> Space | None:
    """
    The space of a contraction whose inputs, then outputs are `buffers`.

    None if an operand cannot be read through steps; such dispatches are rare.
    """
    anchor = form.anchor
    assert isinstance(anchor, MatmulOp | ConvOp)
    a = _operand_view(form.operands[0], buffers)
    b = _operand_view(form.operands[1], buffers)
    gathered = epilogue_views(form, buffers)
    if a is None or b is None or gathered is None:
        return None
    views, leaves, outputs = gathered
    packing = packing_of(form.operands[1])
    if isinstance(anchor, MatmulOp):
        parts = _matmul_axes(anchor, a, b, packing, views)
    else:
        parts = _conv_axes(anchor, a, b, packing, views)
    if parts is None:
        return None
    logical, reductions = parts
    axes: list[tuple[_LogicalAxis, list[Axis]]] = []
    for axis in logical:
        pieces = _pieces(axis)
        if pieces is None:
            return None
        axes.append((axis, pieces))
    *column_parts, columns = axes[-1][1] or [
        Axis(_ONE, _ZERO, _ONE, _ONE, (_ZERO,) * len(views))
    ]
    others = [p for axis, pieces in axes[:-1] for p in pieces if not axis.is_group]
    groups = [p for axis, pieces in axes[:-1] for p in pieces if axis.is_group]
    if len(groups) > 1:
        return None
    return Space(
        batches=_merged([p for p in others if p.b != 0] + column_parts),
        groups=groups[0] if groups else None,
        rows=_merged([p for p in others if p.b == 0]),
        columns=columns,
        reductions=_merged_reductions(reductions),
        a=a,
        b=b,
        packing=packing,
        views=tuple(views),
        leaves=leaves,
        outputs=outputs,
    )


def is_single(value: SSAValue) -> bool:
    """Whether a value has one element."""
    return all(d == 1 for d in dims_of(value))


# ---- views


def _operand_view(chain: ViewChain, buffers: Sequence[BufferType]) -> View | None:
    assert isinstance(chain.root, BlockArgument)
    position = chain.root.index
    view = View.of_buffer(position, buffers[position])
    return view if chain.unpack is not None else view.seen_through(chain.ops)


def packing_of(chain: ViewChain) -> Packing | None:
    """How an operand that the chain leads to is packed; None if it is not."""
    unpack = chain.unpack
    if unpack is None:
        return None
    sizes = [d.as_int() for d in dims_of(unpack.operand)]
    _, panels, k, panel = (s for s in sizes if s is not None)
    return Packing(panel, panels, k)


def epilogue_views(
    form: DispatchForm, buffers: Sequence[BufferType]
) -> tuple[list[View], dict[SSAValue, int], tuple[int, ...]] | None:
    """What the epilogue reads and writes, and where; None for unusual views."""
    views: list[View] = []
    leaves: dict[SSAValue, int] = {}
    for value, chain in leaf_chains(form):
        view = _operand_view(chain, buffers)
        if view is None:
            return None
        leaves[value] = len(views)
        views.append(view)
    first = len(views)
    inputs = len(form.block.args)
    for position, yielded in enumerate(form.yields):
        whole = View.of_buffer(inputs + position, buffers[inputs + position])
        view = whole.seen_before(yielded.views)
        if view is None:
            return None
        views.append(view)
    return views, leaves, tuple(range(first, len(views)))


def leaf_chains(form: DispatchForm) -> Iterable[tuple[SSAValue, ViewChain]]:
    """The values that elementwise ops of the epilogue read from buffers."""
    from nnc.analysis.dispatches import ELEMENTWISE, view_chain

    seen: set[SSAValue] = set()
    for op in form.epilogue:
        if type(op) not in ELEMENTWISE:
            continue
        for operand in op.operands:
            if operand in seen:
                continue
            seen.add(operand)
            chain = view_chain(operand)
            # One element may be a part of more.
            is_one = is_single(operand) and is_single(chain.root)
            if isinstance(chain.root, BlockArgument) and not is_one:
                yield operand, chain


# ---- axes


def _matmul_axes(
    op: MatmulOp, a: View, b: View, packing: Packing | None, views: Sequence[View]
) -> tuple[list[_LogicalAxis], list[Reduction]] | None:
    dims = dims_of(op.result)
    batch = len(dims) - 2
    rhs_rank = len(dims_of(op.rhs))
    logical = [
        _LogicalAxis(
            dims[i],
            _batch_steps(a.axes, i - batch - 2, dims[i]),
            step(dims[i], _ZERO)
            if packing
            else _batch_steps(b.axes, i - batch - 2, dims[i]),
            [v.axes[i] for v in views],
        )
        for i in range(batch)
    ]
    m, n = dims[-2:]
    logical.append(
        _LogicalAxis(m, a.axes[-2], step(m, _ZERO), [v.axes[-2] for v in views])
    )
    columns = step(n, _ONE) if packing else b.axes[-1]
    logical.append(
        _LogicalAxis(
            n, step(n, _ZERO), columns, [v.axes[-1] for v in views], is_column=True
        )
    )
    if packing and rhs_rank > 2 and any(d != 1 for d in dims_of(op.rhs)[:-2]):
        return None
    k = dims_of(op.lhs)[-1]
    rows = step(k, Dim.of(packing.panel)) if packing else b.axes[-2]
    reductions = _reduction(k, a.axes[-1], rows)
    return None if reductions is None else (logical, reductions)


def _batch_steps(axes: Sequence[Steps], position: int, size: Dim) -> Steps:
    """The steps along a batch axis counted from the end; none where it is broadcast."""
    if len(axes) + position < 0 or size == 1:
        return step(size, _ZERO)
    return axes[position] or step(size, _ZERO)


def _conv_axes(
    op: ConvOp, a: View, b: View, packing: Packing | None, views: Sequence[View]
) -> tuple[list[_LogicalAxis], list[Reduction]] | None:
    dims = dims_of(op.result)
    groups = Dim.of(op.groups.value.data)
    strides, dilations = ints(op.strides), ints(op.dilations)
    channels = size_of(a.axes[-1]) if a.axes[-1] else _ONE
    a_parts = regrouped(a.axes[-1], [groups, channels // groups])
    view_parts = [regrouped(v.axes[-1], [groups, dims[-1] // groups]) for v in views]
    b_columns = step(dims[-1], _ONE) if packing else b.axes[-1]
    b_parts = regrouped(b_columns, [groups, dims[-1] // groups])
    if a_parts is None or b_parts is None:
        return None
    known_parts = [p for p in view_parts if p is not None]
    if len(known_parts) < len(view_parts):
        return None
    logical = [
        _LogicalAxis(
            dims[0], a.axes[0], step(dims[0], _ZERO), [v.axes[0] for v in views]
        )
    ]
    reductions: list[Reduction] = []
    kernel = op.kernel
    run = dim_product([*kernel, channels // groups])
    for i, stride in enumerate(strides):
        image = a.axes[1 + i]
        if len(image) > 1:
            return None
        pixel = image[0][1] if image else _ZERO
        logical.append(
            _LogicalAxis(
                dims[1 + i],
                step(dims[1 + i], pixel * stride),
                step(dims[1 + i], _ZERO),
                [v.axes[1 + i] for v in views],
            )
        )
        run = run // kernel[i]
        if packing:
            b_stride = run * packing.panel
        else:
            steps = b.axes[i]
            if len(steps) > 1:
                return None
            b_stride = steps[0][1] if steps else _ZERO
        reductions.append(Reduction(Dim.of(kernel[i]), pixel * dilations[i], b_stride))
    logical.append(
        _LogicalAxis(
            groups,
            a_parts[0],
            b_parts[0],
            [p[0] for p in known_parts],
            is_group=packing is not None,
        )
    )
    columns = dims[-1] // groups
    logical.append(
        _LogicalAxis(
            columns,
            step(columns, _ZERO),
            b_parts[1],
            [p[1] for p in known_parts],
            is_column=True,
        )
    )
    rows = step(channels // groups, Dim.of(packing.panel)) if packing else b.axes[-2]
    inner = _reduction(channels // groups, a_parts[1], rows)
    return None if inner is None else (logical, [*reductions, *inner])


def _reduction(size: Dim, a: Steps, b: Steps) -> list[Reduction] | None:
    """An axis of products, split where A or B has two steps."""
    factors = _factors(size, [a, b])
    if factors is None:
        return None
    a_strides, b_strides = split(a, factors), split(b, factors)
    if a_strides is None or b_strides is None:
        return None
    return [
        Reduction(*part) for part in zip(factors, a_strides, b_strides, strict=True)
    ]


def _pieces(axis: _LogicalAxis) -> list[Axis] | None:
    """The parts of an axis along which every buffer has one stride."""
    factors = _factors(axis.size, [axis.a, axis.b, *axis.views])
    if factors is None:
        return None
    strides = [split(s, factors) for s in (axis.a, axis.b, *axis.views)]
    known = [s for s in strides if s is not None]
    if len(known) < len(strides):
        return None
    pieces: list[Axis] = []
    inner = _ONE
    for i in reversed(range(len(factors))):
        a, b, *views = (s[i] for s in known)
        column = inner if axis.is_column else _ZERO
        pieces.append(Axis(factors[i], a, b, column, tuple(views)))
        inner = inner * factors[i]
    return [p for p in reversed(pieces) if p.size != 1]


def _factors(size: Dim, axes: Iterable[Steps]) -> tuple[Dim, ...] | None:
    """The coarsest factors of `size` along which each of `axes` has one stride."""
    factors: tuple[Dim, ...] | None = (size,)
    if size == 0:
        return factors
    for steps in axes:
        if len(steps) > 1 and factors is not None:
            factors = refined(factors, [s for s, _ in steps])
    return factors


def _merged(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Neighbours that every buffer steps through evenly as one axis."""
    result: list[Axis] = []
    for axis in axes:
        if result and result[-1].strides == axis.scaled(axis.size):
            outer = result.pop()
            axis = Axis(outer.size * axis.size, axis.a, axis.b, axis.column, axis.views)
        result.append(axis)
    return tuple(result)


def _merged_reductions(axes: Sequence[Reduction]) -> tuple[Reduction, ...]:
    result: list[Reduction] = []
    for axis in axes:
        if axis.size == 1:
            continue
        if result and (result[-1].a, result[-1].b) == (
            axis.size * axis.a,
            axis.size * axis.b,
        ):
            outer = result.pop()
            axis = Reduction(outer.size * axis.size, axis.a, axis.b)
        result.append(axis)
    return tuple(result)
