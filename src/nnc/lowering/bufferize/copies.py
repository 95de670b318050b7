"""Dispatches that only move data: copies, and the borders of padded tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr
from xdsl.ir import Attribute, Block, Region, SSAValue

from nnc.dialects.nn import movement
from nnc.dialects.nn.constants import dense_attribute
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.structure import ConstantOp, DimsOp, YieldOp
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.lowering.bufferize.places import Place
from nnc.symbolic import Dim, DimLike


def identity_region(place: Place) -> Region:
    """A region that gives its argument, of the dims of `place`."""
    block = Block(arg_types=[place.type.tensor_type])
    block.add_op(YieldOp(block.args[0]))
    return Region(block)


def constant_region(value: DenseIntOrFPElementsAttr, place: Place) -> Region:
    """A region without arguments that fills `place` with one value."""
    constant = ConstantOp(value)
    filled = movement.BroadcastOp(constant, place.dims)
    return Region(Block([constant, filled, YieldOp(filled)]))


def scalar_region(type: Attribute, place: Place) -> Region:
    """A region that fills `place` with its argument, a scalar of tensor type `type`."""
    block = Block(arg_types=[type])
    filled = movement.BroadcastOp(block.args[0], place.dims)
    block.add_ops([filled, YieldOp(filled)])
    return Region(block)


def dims_region(op: DimsOp) -> Region:
    """A region that gives the values of dims."""
    inner = DimsOp(op.dims.dims)
    return Region(Block([inner, YieldOp(inner)]))


def fill_value(op: movement.PadOp) -> DenseIntOrFPElementsAttr | SSAValue:
    """What `op` pads with: a constant, or a scalar computed by the model."""
    if op.value is None:
        return dense_attribute(np.zeros((), numpy_dtype(element_type_of(op.operand))))
    if isinstance(op.value.owner, ConstantOp):
        return op.value.owner.value
    return op.value


def border(op: movement.PadOp, place: Place) -> list[Place]:
    """
    The parts of a padded tensor at `place` around the operand; they do not overlap.

    Two slabs an axis, inside of those of the axes before. Equal ones are one place
    with an axis of size 2 in front of the padded axis.
    """
    parts: list[Place] = []
    offsets: list[DimLike] = [0] * len(place.dims)
    sizes = list(place.dims)
    inner = dims_of(op.operand)
    for axis, (low, high) in enumerate(zip(op.low.dims, op.high.dims, strict=True)):
        if low == high and low != 0:
            parts.append(_slab_pair(place, offsets, sizes, axis, low, inner[axis]))
        else:
            for start, size in ((Dim.of(0), low), (low + inner[axis], high)):
                if size != 0:
                    parts.append(_slab(place, offsets, sizes, axis, start, size))
        offsets[axis], sizes[axis] = low, inner[axis]
    return parts


def _slab(
    place: Place,
    offsets: Sequence[DimLike],
    sizes: Sequence[Dim],
    axis: int,
    start: DimLike,
    size: Dim,
) -> Place:
    return place.box(
        [*offsets[:axis], start, *offsets[axis + 1 :]],
        [*sizes[:axis], size, *sizes[axis + 1 :]],
    )


def _slab_pair(
    place: Place,
    offsets: Sequence[DimLike],
    sizes: Sequence[Dim],
    axis: int,
    size: Dim,
    inner: Dim,
) -> Place:
    first = _slab(place, offsets, sizes, axis, 0, size)
    distance = place.strides[axis] * (size + inner)
    return replace(
        first,
        dims=(*first.dims[:axis], Dim.of(2), *first.dims[axis:]),
        strides=(*first.strides[:axis], distance, *first.strides[axis:]),
    )
