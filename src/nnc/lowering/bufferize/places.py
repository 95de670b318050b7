"""
Where a value lies: a root buffer, and the shape and strides it is seen through.

Pure arithmetic on dims: what each view op does to a place, and what its inverse does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

from xdsl.ir import Attribute, Operation, SSAValue

from nnc.analysis.strides import contiguous_strides, reshaped_strides
from nnc.dialects.nn import movement
from nnc.dialects.nn.base import ints
from nnc.dialects.nn.types import dims_of
from nnc.dialects.rt.types import BufferType
from nnc.symbolic import Dim, DimLike


class RootKind(Enum):
    """Who owns the memory."""

    ALLOC = "alloc"
    """The arena; written by the program."""
    OUTPUT = "output"
    """The caller; written by the program."""
    READ_ONLY = "read only"
    """An input, weight or constant."""


@dataclass(eq=False)
class Root:
    """A piece of memory; compared by identity."""

    kind: RootKind
    type: BufferType
    value: SSAValue | None = None
    """The buffer, once it has been emitted."""
    views: dict[tuple[BufferType, Dim], SSAValue] = field(default_factory=dict)
    """The views of it that have been emitted."""
    is_shared: bool = False
    """Whether several values are produced into it, as for a concatenation."""


@dataclass(frozen=True)
class Place:
    """A part of a root's memory seen through a shape and strides."""

    root: Root
    dims: tuple[Dim, ...]
    strides: tuple[Dim, ...]
    offset: Dim

    @staticmethod
    def whole(root: Root) -> Place:
        """All of a root."""
        return Place(root, root.type.dims, root.type.stride_dims, Dim.of(0))

    @property
    def element_type(self) -> Attribute:
        """The type of the elements."""
        return self.root.type.element_type

    @cached_property
    def type(self) -> BufferType:
        """The type of a buffer that shows this place."""
        return BufferType(self.element_type, self.dims, self.strides)

    def transposed(self, axes: Sequence[int]) -> Place:
        """With axis `i` showing what is axis `axes[i]` here."""
        return replace(
            self,
            dims=tuple(self.dims[a] for a in axes),
            strides=tuple(self.strides[a] for a in axes),
        )

    def sliced(
        self, offsets: Sequence[DimLike], sizes: Sequence[DimLike], steps: Sequence[int]
    ) -> Place:
        """The box of `sizes` from `offsets` on."""
        offset = self.offset
        for start, stride in zip(offsets, self.strides, strict=True):
            offset = offset + stride * start
        return replace(
            self,
            dims=tuple(map(Dim.of, sizes)),
            strides=tuple(s * k for s, k in zip(self.strides, steps, strict=True)),
            offset=offset,
        )

    def box(self, offsets: Sequence[DimLike], sizes: Sequence[DimLike]) -> Place:
        """The dense box of `sizes` from `offsets` on."""
        return self.sliced(offsets, sizes, [1] * len(sizes))

    def broadcast(self, dims: Sequence[Dim]) -> Place:
        """Repeated to `dims` by numpy's rule."""
        new = len(dims) - len(self.dims)
        strides = [Dim.of(0)] * new
        for size, stride, wanted in zip(
            self.dims, self.strides, dims[new:], strict=True
        ):
            strides.append(stride if size == wanted else Dim.of(0))
        return replace(self, dims=tuple(dims), strides=tuple(strides))

    def reshaped(self, dims: Sequence[Dim]) -> Place | None:
        """Under another shape, or None if that is no strided view."""
        if (strides := view_strides(self.dims, self.strides, dims)) is None:
            return None
        return replace(self, dims=tuple(dims), strides=strides)

    def renamed(self, dims: Sequence[Dim]) -> Place:
        """With other names for equal dims."""
        return replace(self, dims=tuple(dims))


def view_strides(
    dims: Sequence[Dim], strides: Sequence[Dim], target: Sequence[Dim]
) -> tuple[Dim, ...] | None:
    """Strides of a reshape to `target`, or None if it is no view."""
    if tuple(strides) == contiguous_strides(dims):
        return contiguous_strides(target)
    return reshaped_strides(dims, strides, target)


def view_place(op: Operation, place: Place) -> Place | None:
    """The place of a view op's result whose operand lies at `place`, or None."""
    match op:
        case movement.TransposeOp():
            return place.transposed(op.axes)
        case movement.SliceOp():
            return place.sliced(op.offsets.dims, dims_of(op.result), ints(op.steps))
        case movement.BroadcastOp():
            return place.broadcast(dims_of(op.result))
        case movement.DimCastOp():
            return place.renamed(dims_of(op.result))
        case movement.ReshapeOp():
            return place.reshaped(dims_of(op.result))
        case _:
            return None


def operand_place(op: Operation, place: Place) -> Place | None:
    """
    Where a view op's operand has to lie so that the result lies at `place`.

    None where the operand has elements that the result lacks, or no such strides exist.
    """
    match op:
        case movement.TransposeOp():
            inverse = sorted(range(len(op.axes)), key=lambda i: op.axes[i])
            return place.transposed(inverse)
        case movement.DimCastOp():
            return place.renamed(dims_of(op.operand))
        case movement.ReshapeOp():
            return place.reshaped(dims_of(op.operand))
        case _:
            return None
