"""
What a launch costs, roughly: good enough to tell 2 microseconds from 20.

The estimate counts what is computed and moved and divides by what a core of the
target's kind usually does; sizes that are unknown stay in it. The executor shares a
launch out to threads only if that pays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from xdsl.ir import Operation

from nnc.analysis.dispatches import VIEWS, DispatchForm
from nnc.dialects.nn import (
    conv,
    elementwise,
    linear,
    movement,
    reduction,
    selection,
    structure,
    winograd,
)
from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.regions import RoiAlignOp, RoiMaxPoolOp
from nnc.dialects.nn.suppression import NonMaxSuppressionOp
from nnc.dialects.nn.types import dims_of, element_type_of, is_float
from nnc.dialects.rt import DispatchOp
from nnc.dialects.rt.types import buffer_type_of
from nnc.symbolic import Dim, dim_product
from nnc.target import Target

_OPS_A_NANOSECOND: Final = 3
"""Vector instructions that a core completes, loads and stores included."""

_PICOSECONDS_A_BYTE: Final = 50
"""From or to memory that is not in the cache."""

_PICOSECONDS_A_SCALAR: Final = 500
"""One element that is computed alone."""

_TILE_OPS: Final = 6
"""Vector instructions for a vector of a transformed tile."""

_TRANSCENDENTAL: Final = 12
_HARD: Final = 40

_WEIGHTS: Final[Mapping[type[Operation], int]] = {
    **dict.fromkeys((elementwise.DivOp, elementwise.SqrtOp), 4),
    elementwise.ReciprocalOp: 4,
    **dict.fromkeys(
        (
            elementwise.ExpOp,
            elementwise.LogOp,
            elementwise.TanhOp,
            elementwise.ErfOp,
            elementwise.SigmoidOp,
        ),
        _TRANSCENDENTAL,
    ),
    **dict.fromkeys(
        (
            elementwise.PowOp,
            elementwise.ModOp,
            elementwise.RemOp,
            elementwise.SinOp,
            elementwise.CosOp,
            elementwise.TanOp,
            elementwise.AsinOp,
            elementwise.AcosOp,
            elementwise.AtanOp,
            elementwise.SinhOp,
            elementwise.CoshOp,
            elementwise.AsinhOp,
            elementwise.AcoshOp,
            elementwise.AtanhOp,
        ),
        _HARD,
    ),
}
"""Vector instructions for a vector of results, where they are not 1."""

Contraction = linear.MatmulOp | conv.ConvOp | winograd.WinogradProductOp

_FREE: Final = VIEWS | {structure.ConstantOp, structure.DimsOp, structure.YieldOp}
_SCALAR: Final = frozenset(
    {
        movement.GatherOp,
        movement.GatherElementsOp,
        movement.ResizeOp,
        *selection.SELECTION_OPS,
    }
)


def launch_cost(dispatch: DispatchOp, form: DispatchForm, target: Target) -> Dim:
    """Nanoseconds that one thread takes for a dispatch."""
    vector = max(1, 1000 // (target.lanes(32) * _OPS_A_NANOSECOND))
    # Picoseconds an element, by how many elements there are.
    total: dict[Dim, int] = {}
    for op in form.block.ops:
        for elements, picoseconds in _parts(op, vector):
            total[elements] = total.get(elements, 0) + picoseconds
    gathers = any(type(op) in _SCALAR for op in form.block.ops)
    for buffer in (*(() if gathers else dispatch.inputs), *dispatch.outputs):
        type_ = buffer_type_of(buffer)
        elements = dim_product(type_.dims)
        moved = _PICOSECONDS_A_BYTE * type_.element_bytes
        total[elements] = total.get(elements, 0) + moved
    cost = Dim.of(0)
    for elements, picoseconds in total.items():
        cost = cost + elements * picoseconds
    return cost // 1000


def _parts(op: Operation, vector: int) -> Sequence[tuple[Dim, int]]:
    """Numbers of elements, and the picoseconds that `op` takes for each of them."""
    if type(op) in _FREE:
        return ()
    results = dim_product(dims_of(op.results[0]))
    match op:
        case _ if isinstance(op, Contraction):
            # One vector instruction does a multiplication and an addition.
            is_vector = is_float(element_type_of(op.results[0]))
            each = vector if is_vector else _PICOSECONDS_A_SCALAR
            return ((_products(op), each),)
        case winograd.WinogradInputOp():
            return ((results, _TILE_OPS * vector),)
        case AttentionOp():
            queries, keys = dims_of(op.query), dims_of(op.key)[-2]
            return (
                (results * keys, vector),
                (dim_product(queries) * keys, vector),
                (dim_product(queries[:-1]) * keys, _TRANSCENDENTAL * vector),
            )
        case conv.PoolOp():
            return ((results * dim_product(op.kernel), vector),)
        case reduction.ReduceOp():
            return ((dim_product(dims_of(op.operand)), vector),)
        case reduction.ArgReduceOp() | reduction.CumulativeOp():
            return ((dim_product(dims_of(op.operand)), 4 * vector),)
        case _ if type(op) in _SCALAR:
            return ((_walked(op), _PICOSECONDS_A_SCALAR),)
        case _:
            return ((results, vector * _WEIGHTS.get(type(op), 1)),)


def _walked(op: Operation) -> Dim:
    """Elements that are looked at one by one."""
    match op:
        case selection.ScatterOp():
            return dim_product(dims_of(op.updates))
        case selection.TopKOp() | selection.CompactOp():
            return dim_product(dims_of(op.operand))
        case selection.ArgSortOp():
            # A comparison for each level of a heap of some thousand rows.
            return dim_product(dims_of(op.operand)) * 16
        case NonMaxSuppressionOp():
            return dim_product(dims_of(op.scores)) * 8
        case RoiAlignOp():
            # Four pixels for each of some samples.
            return dim_product(dims_of(op.result)) * 16
        case RoiMaxPoolOp():
            return dim_product(dims_of(op.result)) * 16
        case linear.LuOp():
            batch, size, _ = dims_of(op.operand)
            return batch * size * size * size
        case _:
            return dim_product(dims_of(op.results[0]))


def _products(op: Contraction) -> Dim:
    """All products that are added up."""
    if isinstance(op, winograd.WinogradProductOp):
        return dim_product(dims_of(op.tiles)) * dims_of(op.filter)[-1]
    results = dim_product(dims_of(op.result))
    if isinstance(op, linear.MatmulOp):
        return results * dims_of(op.lhs)[-1]
    *taps, channels, _ = dims_of(op.filter)
    return results * dim_product(taps) * channels
