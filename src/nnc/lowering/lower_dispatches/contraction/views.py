"""
Strided views whose axes may consist of several strides.

The columns of `reshape(transpose(x, [0, 2, 1, 3]), [B, S, H * D])` step by 1 within a
head and by `S * D` from head to head: no single stride describes that axis, two *steps*
do. A contraction only needs to know the steps, so it reads and writes through any chain
of views whose axes split and merge along common boundaries, without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from xdsl.ir import Operation

from nnc.dialects.nn.base import ints
from nnc.dialects.nn.movement import (
    BroadcastOp,
    DimCastOp,
    ReshapeOp,
    SliceOp,
    TransposeOp,
)
from nnc.dialects.nn.types import dims_of
from nnc.dialects.rt.types import BufferType
from nnc.symbolic import Dim, dim_product

Step: TypeAlias = tuple[Dim, Dim]
"""Size and stride, in elements, of a part of an axis."""

Steps: TypeAlias = tuple[Step, ...]
"""One axis, outermost part first; empty for size 1."""

_ZERO, _ONE = Dim.of(0), Dim.of(1)


def step(size: Dim, stride: Dim) -> Steps:
    """An axis of one stride."""
    return () if size == 1 else ((size, stride),)


def merged(steps: Sequence[Step]) -> Steps:
    """Neighbours that lie densely in each other as one."""
    result: list[Step] = []
    for size, stride in steps:
        if size == 1:
            continue
        if result and result[-1][1] == size * stride:
            result[-1] = (result[-1][0] * size, stride)
        else:
            result.append((size, stride))
    return tuple(result)


def regrouped(steps: Sequence[Step], dims: Sequence[Dim]) -> tuple[Steps, ...] | None:
    """
    The steps shared out to axes of size `dims`, in row-major order.

    None if a boundary between axes falls inside of something that is no step and cannot
    be split.
    """
    if any(d == 0 for d in dims) or any(s == 0 for s, _ in steps):
        return tuple(step(d, _ZERO) for d in dims)
    source = [s for s in reversed(steps) if s[0] != 1]
    result: list[Steps] = []
    for position, dim in enumerate(dims):
        group: list[Step] = []
        rest = dim
        while rest != 1:
            if not source:
                return None
            size, stride = source.pop()
            is_last = not source and all(d == 1 for d in dims[position + 1 :])
            if size == rest or (is_last and not (size.as_int() and rest.as_int())):
                # Sizes that only the run time can compare are equal: it checks that.
                group.append((rest, stride))
                rest = _ONE
            elif rest % size == 0:
                group.append((size, stride))
                rest = rest // size
            elif size % rest == 0:
                inner = size // rest
                group.append((rest, stride * inner))
                source.append((inner, stride))
                rest = _ONE
            elif source and stride == source[-1][0] * source[-1][1]:
                inner_size, inner_stride = source.pop()
                source.append((size * inner_size, inner_stride))
            else:
                return None
        result.append(merged(group))
    return tuple(result) if not source else None


def refined(first: Sequence[Dim], second: Sequence[Dim]) -> tuple[Dim, ...] | None:
    """The coarsest factors of a size that both factorisations are products of."""
    left, right = list(first), list(second)
    result: list[Dim] = []
    while left and right:
        x, y = left.pop(), right.pop()
        if x == y:
            result.append(x)
        elif x % y == 0:
            result.append(y)
            left.append(x // y)
        elif y % x == 0:
            result.append(x)
            right.append(y // x)
        else:
            return None
    if any(d != 1 for d in (*left, *right)):
        return None
    return tuple(reversed(result))


def split(steps: Steps, factors: Sequence[Dim]) -> tuple[Dim, ...] | None:
    """The stride of each of `factors`, if the axis splits so; 0 for factors of 1."""
    groups = regrouped(steps, factors)
    if groups is None or any(len(g) > 1 for g in groups):
        return None
    return tuple(g[0][1] if g else _ZERO for g in groups)


@dataclass(frozen=True)
class View:
    """A block argument or an output of a dispatch, seen through views."""

    argument: int
    """Position among the buffers: inputs, then outputs."""
    axes: tuple[Steps, ...]
    offset: Dim

    @staticmethod
    def of_buffer(argument: int, type: BufferType) -> View:
        """The whole buffer."""
        axes = tuple(
            step(d, s) for d, s in zip(type.dims, type.stride_dims, strict=True)
        )
        return View(argument, axes, _ZERO)

    def seen_through(self, ops: Sequence[Operation]) -> View | None:
        """The view behind a chain of view ops; None if steps cannot express it."""
        view: View | None = self
        for op in ops:
            if view is None:
                return None
            view = view._behind(op)
        return view

    def seen_before(self, ops: Sequence[Operation]) -> View | None:
        """What has to be written so that this view is the result of the chain `ops`."""
        view: View | None = self
        for op in reversed(ops):
            if view is None:
                return None
            view = view._before(op)
        return view

    def _behind(self, op: Operation) -> View | None:
        match op:
            case TransposeOp():
                return self._with(tuple(self.axes[a] for a in op.axes))
            case DimCastOp():
                return self._renamed(dims_of(op.result))
            case ReshapeOp():
                return self._reshaped(dims_of(op.result))
            case BroadcastOp():
                return self._broadcast(dims_of(op.operand), dims_of(op.result))
            case SliceOp():
                return self._sliced(op)
            case _:
                return None

    def _before(self, op: Operation) -> View | None:
        match op:
            case TransposeOp():
                axes: list[Steps] = [()] * len(self.axes)
                for position, axis in enumerate(op.axes):
                    axes[axis] = self.axes[position]
                return self._with(tuple(axes))
            case DimCastOp():
                return self._renamed(dims_of(op.operand))
            case ReshapeOp():
                return self._reshaped(dims_of(op.operand))
            case _:
                return None

    def _with(self, axes: tuple[Steps, ...] | None) -> View | None:
        return None if axes is None else View(self.argument, axes, self.offset)

    def _renamed(self, dims: Sequence[Dim]) -> View | None:
        pairs = zip(self.axes, dims, strict=True)
        return self._with(
            tuple(step(d, a[0][1]) if len(a) == 1 else a for a, d in pairs)
        )

    def _reshaped(self, dims: Sequence[Dim]) -> View | None:
        return self._with(regrouped(merged([s for a in self.axes for s in a]), dims))

    def _broadcast(self, source: Sequence[Dim], target: Sequence[Dim]) -> View | None:
        new = len(target) - len(source)
        axes = [step(d, _ZERO) for d in target[:new]]
        for steps, before, after in zip(self.axes, source, target[new:], strict=True):
            axes.append(steps if before == after else step(after, _ZERO))
        return self._with(tuple(axes))

    def _sliced(self, op: SliceOp) -> View | None:
        axes: list[Steps] = []
        offset = self.offset
        windows = zip(
            self.axes,
            dims_of(op.operand),
            dims_of(op.result),
            op.offsets.dims,
            ints(op.steps),
            strict=True,
        )
        for steps, before, after, start, stride in windows:
            if (before == after and start == 0 and stride == 1) or not steps:
                axes.append(steps)
            elif len(steps) == 1:
                offset = offset + start * steps[0][1]
                axes.append(step(after, steps[0][1] * stride))
            else:
                return None
        return View(self.argument, tuple(axes), offset)


def size_of(steps: Steps) -> Dim:
    """The size of an axis."""
    return dim_product(s for s, _ in steps)
