"""
fold-batch-norm: constant scales and shifts move into the weights before them.

Before::

    %0 = nn.conv %x, %w
    %1 = nn.batch_norm %0, %scale, %bias, %mean, %variance {axis = 1, ...}

After, with `s = scale / sqrt(variance + epsilon)`::

    %0 = nn.conv %x, %w2            // w * s, a new weight
    %1 = nn.broadcast %t            // bias - mean * s
    %2 = nn.add %0, %1

A chain of `batch_norm` and of `mul`, `add`, `sub`, `div` by constants, one value a
channel, is folded into one scale and one shift. They go to the filter of a conv or
conv_transpose, or the matrix of a matmul, where the chain starts at one that is used
nowhere else; without one the chain becomes one `mul` and one `add`. Values are
computed in f64 with numpy and rounded once.

On entry: any `nn` module whose constants are folded. On exit: no `nn.batch_norm` with
constant parameters is left, and no contraction with constant weights is scaled by
channel constants.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, OpResult, SSAValue
from xdsl.passes import ModulePass

from nnc.context import weights_of
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.constants import constant_value, make_constant
from nnc.dialects.nn.conv import ConvOp, ConvTransposeOp
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.elementwise import AddOp, DivOp, MulOp, SubOp
from nnc.dialects.nn.linear import MatmulOp
from nnc.dialects.nn.movement import BroadcastOp, ReshapeOp
from nnc.dialects.nn.reduction import BatchNormOp
from nnc.dialects.nn.structure import WeightOp
from nnc.dialects.nn.types import dims_of, element_type_of, is_float, rank_of
from nnc.transforms.worklist import erase_dead, replace
from nnc.weights import Array, WeightStore

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
_Factor = NDArray[np.floating[Any]]
Linear = ConvOp | ConvTransposeOp | MatmulOp


@dataclass
class _Affine:
    """`root * scale + shift`, one value a channel, and the ops that said so."""

    root: SSAValue
    axis: int
    """The channel axis; -1 while only scalars were seen."""
    scale: Floats
    shift: Floats
    has_scale: bool
    has_shift: bool
    ops: int
    has_batch_norm: bool


def _channel_constant(
    value: SSAValue, weights: WeightStore
) -> tuple[int, Floats] | None:
    """
    The axis of `value` along which it varies and the values, if constant so.

    The axis is -1 for a scalar.
    """
    rank = rank_of(value)
    while isinstance(value.owner, BroadcastOp):
        value = value.owner.operand
    dims = dims_of(value)
    while isinstance(value.owner, ReshapeOp):
        value = value.owner.operand
    array = constant_value(value, weights)
    if array is None:
        return None
    axes = [i for i, d in enumerate(dims) if d != 1]
    if len(axes) > 1:
        return None
    values = array.reshape(-1).astype(np.float64)
    if not axes:
        return -1, values[:1]
    return axes[0] + rank - len(dims), values


def _batch_norm_constants(
    op: BatchNormOp, weights: WeightStore
) -> tuple[Floats, Floats] | None:
    """Scale and shift of a batch norm with constant parameters."""
    arrays: list[Floats] = []
    for parameter in (op.scale, op.bias, op.mean, op.variance):
        found = _channel_constant(parameter, weights)
        if found is None:
            return None
        size = dims_of(parameter)[0].as_int()
        arrays.append(np.broadcast_to(found[1], (size or 0,)))
    scale, bias, mean, variance = arrays
    factor = scale / np.sqrt(variance + op.epsilon.value.data)
    return factor, bias - mean * factor


def _step(op: Operation, weights: WeightStore) -> tuple[SSAValue, _Affine] | None:
    """`op` as an affine function of one operand, and that operand."""
    one, zero = np.ones(1), np.zeros(1)
    if isinstance(op, BatchNormOp):
        constants = _batch_norm_constants(op, weights)
        if constants is None:
            return None
        axis = op.axis.value.data % rank_of(op.operand)
        step = _Affine(op.operand, axis, *constants, True, True, 1, True)
        return op.operand, step
    if not isinstance(op, AddOp | MulOp | SubOp | DivOp):
        return None
    variable, constant = op.lhs, _channel_constant(op.rhs, weights)
    if constant is None and isinstance(op, AddOp | MulOp):
        variable, constant = op.rhs, _channel_constant(op.lhs, weights)
    if constant is None or _channel_constant(variable, weights) is not None:
        return None
    axis, values = constant
    match op:
        case AddOp():
            step = _Affine(variable, axis, one, values, False, True, 1, False)
        case SubOp():
            step = _Affine(variable, axis, one, -values, False, True, 1, False)
        case MulOp():
            step = _Affine(variable, axis, values, zero, True, False, 1, False)
        case DivOp():
            with np.errstate(divide="ignore"):
                step = _Affine(variable, axis, 1 / values, zero, True, False, 1, False)
    return variable, step


def _chain(end: Operation, weights: WeightStore) -> _Affine | None:
    """All affine ops that lead to `end`, as one."""
    found = _step(end, weights)
    if found is None:
        return None
    value: SSAValue = found[0]
    total = found[1]
    while isinstance(value, OpResult) and value.has_one_use():
        found = _step(value.op, weights)
        if found is None:
            break
        before = found[1]
        if before.axis != total.axis and -1 not in (before.axis, total.axis):
            break
        # total(before(x)) = x * (b.scale * t.scale) + (b.shift * t.scale + t.shift)
        total = _Affine(
            before.root,
            max(before.axis, total.axis),
            before.scale * total.scale,
            before.shift * total.scale + total.shift,
            before.has_scale or total.has_scale,
            before.has_shift or total.has_shift,
            before.ops + total.ops,
            before.has_batch_norm or total.has_batch_norm,
        )
        value = found[0]
    return total


def _scalable_weight(op: Linear, axis: int, weights: WeightStore) -> Array | None:
    """The weights of `op` if its result can be scaled along `axis` by other ones."""
    constant = constant_value(op.operands[1], weights)
    if constant is None:
        return None
    if isinstance(op, MatmulOp):
        fits = constant.ndim == 2 and axis in (-1, rank_of(op.result) - 1)
    else:
        fits = axis in (-1, op.channel_axis)
    return constant if fits else None


def _factors(constant: Array, scale: Floats) -> tuple[_Factor, _Factor]:
    """Both as dtypes whose product is right, once it is rounded to that of weights."""
    narrow = scale.astype(np.float32)
    # float64 holds the product of two float32 exactly: to round it is what a product
    # of float32 does, in half the memory.
    if constant.dtype == np.float32 and np.array_equal(narrow, scale):
        return cast(_Factor, constant), narrow
    return constant.astype(np.float64), scale


def _scaled(op: Linear, constant: Array, factors: Floats) -> Array:
    """The weights of `op`, `constant`, so that its result is scaled."""
    array, scale = _factors(constant, factors)
    rank = rank_of(op.result)
    if isinstance(op, MatmulOp):
        return array * scale
    if isinstance(op, ConvOp):
        if op.channels_last:
            return array * scale
        return array * scale.reshape(-1, *[1] * (rank - 1))
    if op.channels_last:
        array = np.moveaxis(array, (-1, -2), (0, 1))
    groups = op.groups.value.data
    split = array.reshape(groups, -1, *array.shape[1:])
    if scale.size > 1:
        scale = scale.reshape(groups, 1, -1, *[1] * (rank - 2))
    scaled = (split * scale).reshape(array.shape)
    return np.moveaxis(scaled, (0, 1), (-1, -2)) if op.channels_last else scaled


def _weight_name(value: SSAValue) -> str:
    owner = value.owner
    name = owner.resource.data if isinstance(owner, WeightOp) else "weight"
    return name if name.endswith(".scaled") else f"{name}.scaled"


def _channel_operand(
    array: Floats, like: SSAValue, axis: int, name: str, weights: WeightStore
) -> list[Operation]:
    """Ops that end in `array` broadcast along `axis` to the shape of `like`."""
    dims = dims_of(like)
    dtype = numpy_dtype(element_type_of(like))
    if axis < 0:
        array = array.reshape(())
    else:
        array = array.reshape(-1, *[1] * (len(dims) - axis - 1))
    constant = make_constant(array.astype(dtype), name, weights)
    return [constant, BroadcastOp(constant.results[0], dims)]


def _fold(end: Operation, total: _Affine, weights: WeightStore) -> None:
    """Replace the chain that ends at `end`."""
    root, ops = total.root, list[Operation]()
    value = root
    if total.has_scale:
        scaled = _fold_scale(total, weights)
        if scaled is not None:
            ops += scaled
        else:
            spread = _channel_operand(total.scale, root, total.axis, "scale", weights)
            ops += [*spread, MulOp(root, spread[-1])]
        value = ops[-1].results[0]
    if total.has_shift:
        spread = _channel_operand(total.shift, value, total.axis, "bias", weights)
        ops += [*spread, AddOp(value, spread[-1])]
        value = ops[-1].results[0]
    replace(end, ops, value)


def _fold_scale(total: _Affine, weights: WeightStore) -> list[Operation] | None:
    """The linear op that the chain starts at, its weights scaled."""
    op = _linear_root(total)
    if op is None:
        return None
    weight = _scalable_weight(op, total.axis, weights)
    if weight is None:
        return None
    array = _scaled(op, weight, total.scale)
    dtype = numpy_dtype(element_type_of(op.result))
    name = _weight_name(op.operands[1])
    constant = make_constant(array.astype(dtype, copy=False), name, weights)
    new = op.clone()
    new.operands[1] = constant.results[0]
    return [constant, new]


def _linear_root(total: _Affine) -> Linear | None:
    root = total.root
    is_only_user = isinstance(root, OpResult) and root.has_one_use()
    owner = root.owner
    if is_only_user and isinstance(owner, ConvOp | ConvTransposeOp | MatmulOp):
        return owner
    return None


def _pays_off(total: _Affine, weights: WeightStore) -> bool:
    """Whether the chain is more than what it would be rewritten to."""
    if total.has_batch_norm or total.ops > total.has_scale + total.has_shift:
        return True
    op = _linear_root(total) if total.has_scale else None
    return op is not None and _scalable_weight(op, total.axis, weights) is not None


def fold_block(block: Block, weights: WeightStore) -> int:
    """Fold all chains of a block; count them."""
    count = 0
    # Ends first: an op inside of a chain that was folded is dead when it is reached.
    for op in reversed(list(block.ops)):
        if not op.results or op.results[0].first_use is None:
            continue
        if not is_float(element_type_of(op.results[0])):
            continue
        total = _chain(op, weights)
        if total is None or not _pays_off(total, weights):
            continue
        if not np.all(np.isfinite(total.scale)):
            logger.debug("%s: a scale that is not finite stays", location_of(op))
            continue
        _fold(op, total, weights)
        count += 1
    erase_dead(block)
    return count


@dataclass(frozen=True)
class FoldBatchNormPass(ModulePass):
    """Fold channel scales and shifts into weights."""

    name: ClassVar[str] = "fold-batch-norm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Fold in the body of every function."""
        weights = weights_of(ctx)
        for func in op.ops:
            for region in func.regions:
                for block in region.blocks:
                    count = fold_block(block, weights)
                    logger.debug("fold-batch-norm: %d chains", count)
