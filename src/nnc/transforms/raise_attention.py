"""
raise-attention: products around a softmax become one `nn.attention`.

Before::

    %0 = nn.transpose %k {permutation = array<i64: 0, 1, 3, 2>}
    %1 = nn.matmul %q, %0
    %2 = nn.mul %1, %scale
    %3 = nn.add %2, %mask
    %4 = nn.softmax %3 {axis = -1 : i64}
    %5 = nn.matmul %4, %v

After::

    %5 = nn.attention %q, %k, %v, %mask {scale = 0.125 : f64}

What counts is the meaning, not the spelling: a scale may stand at the query, the key
or the scores, or be a division; masks are added or selected, in any number; batch and
head axes may be merged for the products or split for the masks; heads of key and value
that are repeated for groups of heads of the query are not. Weights that are NaN may be
replaced by zero. Others must not read scores or weights.

On entry: any `nn` module, best a canonical one. On exit: no matmul has such weights.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, OpResult, SSAValue
from xdsl.passes import ModulePass

from nnc.context import weights_of
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.attention import AttentionOp, attention_dims
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.linear import MatmulOp
from nnc.dialects.nn.movement import (
    BroadcastOp,
    DimCastOp,
    ReshapeOp,
    TransposeOp,
)
from nnc.dialects.nn.reduction import SoftmaxOp
from nnc.dialects.nn.types import dims_of, element_type_of, is_float, rank_of
from nnc.symbolic import Dim
from nnc.transforms.worklist import PatternContext, PatternTable, rewrite

logger = logging.getLogger(__name__)

Dims = tuple[Dim, ...]


class _Declined(Exception):
    """Why something that looks like attention stays."""


@dataclass
class _Scores:
    """What was found between a softmax and the product of query and key."""

    scale: float = 1.0
    is_scaled: bool = False
    """Whether the scores, not just their factors, are scaled."""
    masks: list[tuple[SSAValue, bool]] = field(default_factory=list)
    """In reverse order; with each whether a boolean has to be negated."""
    fill: float | None = None
    space: Dims | None = None
    """The shape of the scores where masks are applied."""


@dataclass(frozen=True)
class _Weights:
    """Where weights come from."""

    softmax: SoftmaxOp
    nan_to_zero: bool


def raise_attention(op: MatmulOp, ctx: PatternContext) -> SSAValue | None:
    """A product of softmax weights and values → attention."""
    weights = _weights(op.lhs, ctx)
    if weights is None:
        return None
    try:
        return _raised(op, weights, ctx)
    except _Declined as reason:
        logger.debug("%s: no attention: %s", location_of(op), reason)
        return None


def _raised(op: MatmulOp, weights: _Weights, ctx: PatternContext) -> SSAValue:
    softmax = weights.softmax
    if not is_float(element_type_of(op.result)):
        raise _Declined("its elements are no floats")
    rank = rank_of(softmax.operand)
    if softmax.axis.value.data % rank != rank - 1:
        raise _Declined("the softmax is not over keys")
    found = _Scores()
    product = _product(softmax.operand, found, ctx)
    query, scale = _unscaled(product.lhs, ctx)
    key, key_scale = _unscaled(product.rhs, ctx)
    found.scale *= scale * key_scale
    if not math.isfinite(found.scale):
        raise _Declined("the scale is not finite")
    space = found.space or dims_of(softmax.operand)
    if len(space) < 3:
        space = (*[Dim.of(1)] * (3 - len(space)), *space)
    plan = _Plan(query, key, op.rhs, dims_of(product.result), dims_of(op.lhs), space)
    return plan.build(op, found, weights.nan_to_zero, ctx)


# ---- what stands around the softmax


def _weights(value: SSAValue, ctx: PatternContext) -> _Weights | None:
    """The softmax that `value` holds the weights of, seen through batch reshapes."""
    nan_to_zero = False
    while isinstance(value, OpResult):
        match value.op:
            case SoftmaxOp() as softmax if nan_to_zero or value.has_one_use():
                return _Weights(softmax, nan_to_zero)
            case ReshapeOp() | DimCastOp() as view if value.has_one_use():
                if dims_of(view.operand)[-2:] != dims_of(value)[-2:]:
                    return None
                value = view.operand
            case ew.SelectOp() as select if value.has_one_use():
                test = select.condition.owner
                if not isinstance(test, ew.IsNanOp) or (
                    test.operand is not select.on_false
                    or ctx.splat(select.on_true) != 0
                    or not test.result.has_one_use()
                    or len(list(select.on_false.uses)) != 2
                ):
                    return None
                nan_to_zero, value = True, select.on_false
                if not isinstance(value.owner, SoftmaxOp):
                    return None
            case _:
                return None
    return None


def _product(value: SSAValue, found: _Scores, ctx: PatternContext) -> MatmulOp:
    """The product of query and key that the scores `value` come from."""
    while True:
        owner = value.owner
        if not value.has_one_use():
            raise _Declined("others read the scores")
        match owner:
            case MatmulOp():
                return owner
            case ew.MulOp() | ew.DivOp():
                value = _scaled_by(owner, found, ctx)
            case ew.AddOp():
                value = _added(owner, found)
            case ew.SelectOp():
                value = _selected(owner, found, ctx)
            case ReshapeOp() | DimCastOp():
                if dims_of(owner.operand)[-2:] != dims_of(value)[-2:] and (
                    isinstance(owner, ReshapeOp)
                ):
                    raise _Declined("a reshape changes queries or keys")
                value = owner.operand
            case BroadcastOp():
                value = _one_query(owner, found)
            case _:
                name = owner.name if isinstance(owner, Operation) else "an argument"
                raise _Declined(f"the scores come from {name}")


def _one_query(op: BroadcastOp, found: _Scores) -> SSAValue:
    """The scores of one query, repeated for the rows that a mask may have."""
    before, after = dims_of(op.operand), dims_of(op.result)
    if len(before) != len(after) or before[-2] != 1 or found.space != after:
        raise _Declined("the scores are repeated")
    if any(
        a != b
        for i, (a, b) in enumerate(zip(before, after, strict=True))
        if (i != len(after) - 2)
    ):
        raise _Declined("the scores are repeated along other axes than queries")
    return op.operand


def _scaled_by(
    op: ew.MulOp | ew.DivOp, found: _Scores, ctx: PatternContext
) -> SSAValue:
    number = ctx.splat(op.rhs)
    if number is None:
        raise _Declined("the scores are scaled by no constant")
    factor = float(number)
    if isinstance(op, ew.DivOp):
        if factor == 0:
            raise _Declined("the scale is not finite")
        factor = 1 / factor
    found.scale *= factor
    found.is_scaled = True
    return op.lhs


def _added(op: ew.AddOp, found: _Scores) -> SSAValue:
    scores, mask = op.operands
    if not _leads_to_product(scores):
        scores, mask = mask, scores
    _note_mask(mask, False, dims_of(op.result), found)
    return scores


def _selected(op: ew.SelectOp, found: _Scores, ctx: PatternContext) -> SSAValue:
    fill, scores, is_negated = ctx.splat(op.on_false), op.on_true, False
    if fill is None:
        fill, scores, is_negated = ctx.splat(op.on_true), op.on_false, True
    if fill is None:
        raise _Declined("masked scores are no constant")
    if found.fill is not None and found.fill != float(fill):
        raise _Declined("masks put different values")
    found.fill = float(fill)
    _note_mask(op.condition, is_negated, dims_of(op.result), found)
    return scores


def _note_mask(mask: SSAValue, is_negated: bool, space: Dims, found: _Scores) -> None:
    if found.is_scaled:
        raise _Declined("masks are applied before the scale")
    if found.space not in (None, space):
        raise _Declined("masks are applied to different shapes")
    found.space = space
    while isinstance(mask.owner, BroadcastOp):
        mask = mask.owner.operand
    found.masks.append((mask, is_negated))


def _leads_to_product(value: SSAValue) -> bool:
    """Whether `value` may be scores: a product behind ops that leave them scores."""
    while isinstance(value, OpResult):
        match value.op:
            case MatmulOp():
                return True
            case ReshapeOp() | DimCastOp() | BroadcastOp():
                value = value.op.operands[0]
            case ew.MulOp() | ew.DivOp():
                value = value.op.operands[0]
            case ew.AddOp():
                if _leads_to_product(value.op.operands[1]):
                    return True
                value = value.op.operands[0]
            case ew.SelectOp():
                if _leads_to_product(value.op.operands[2]):
                    return True
                value = value.op.operands[1]
            case _:
                return False
    return False


def _unscaled(value: SSAValue, ctx: PatternContext) -> tuple[SSAValue, float]:
    """A factor without the constant that it is multiplied with, and that constant."""
    scale = 1.0
    while isinstance(value, OpResult) and isinstance(value.op, ew.MulOp | ew.DivOp):
        number = ctx.splat(value.op.rhs)
        if number is None or (isinstance(value.op, ew.DivOp) and number == 0):
            break
        factor = float(number)
        scale *= 1 / factor if isinstance(value.op, ew.DivOp) else factor
        value = value.op.operands[0]
    return value, scale


# ---- building


@dataclass(frozen=True)
class _Plan:
    """Operands of an attention, and the shapes that they have to meet in."""

    query: SSAValue
    key: SSAValue
    """Transposed: `[..., D, T]`."""
    value: SSAValue
    scores: Dims
    """The shape of the product of query and key."""
    weights: Dims
    """The shape of the weights in the product with the values."""
    space: Dims
    """The shape of the scores that attention works on."""

    def build(
        self, op: MatmulOp, found: _Scores, nan_to_zero: bool, ctx: PatternContext
    ) -> SSAValue:
        """The attention, reshaped to what `op` gives."""
        query = self._dims(self.query, self.scores, (-2, -1))
        query = (*query[:-2], self.space[-2], query[-1])
        key = self._dims(self.key, self.scores, (-1, -2))
        value = self._dims(self.value, self.weights, (-2, -1))
        sources = _transposed_source(self.key), self.value
        keys, values = _Repeated.of(sources[0], key), _Repeated.of(sources[1], value)
        if keys and values and keys.dims[-3] == values.dims[-3]:
            key, value = keys.dims, values.dims
        else:
            keys = values = None
        masks = [dims_of(m) for m, _ in found.masks]
        dims = attention_dims(query, key, value, masks)
        if isinstance(dims, str):
            raise _Declined(dims)
        q = _spread(_reshaped(self.query, self._before(query), ctx), query, ctx)
        k = keys.root if keys else _transposed(self.key, ctx)
        v = values.root if values else self.value
        attention = AttentionOp(
            q,
            _reshaped(k, key, ctx),
            _reshaped(v, value, ctx),
            [_negated(m, n, ctx) for m, n in reversed(found.masks)],
            scale=found.scale,
            fill=None if found.fill in (None, -math.inf) else found.fill,
            nan_to_zero=nan_to_zero,
        )
        return _reshaped(ctx.add(attention).result, dims_of(op.result), ctx)

    def _before(self, query: Dims) -> Dims:
        """The shape of the query before it is repeated."""
        return (*query[:-2], dims_of(self.query)[-2], query[-1])

    def _dims(self, value: SSAValue, product: Dims, order: tuple[int, int]) -> Dims:
        """
        The shape of an operand of a product in the space of the scores.

        Where batch axes are merged or split, the operand must not repeat any.
        """
        dims = dims_of(value)
        batch, inner = dims[:-2], tuple(dims[i] for i in order)
        if product[:-2] == self.space[:-2]:
            missing = max(0, 3 - len(dims))
            return (*[Dim.of(1)] * missing, *batch, *inner)
        if batch != product[:-2]:
            raise _Declined("an operand repeats axes that a reshape changes")
        return (*self.space[:-2], *inner)


@dataclass(frozen=True)
class _Repeated:
    """Keys or values whose heads are repeated for groups of heads of the query."""

    root: SSAValue
    dims: Dims
    """`[..., G, T, D]`."""

    @staticmethod
    def of(value: SSAValue | None, wanted: Dims) -> _Repeated | None:
        """What `value` repeats, if it is of shape `wanted`."""
        if value is None or dims_of(value) != wanted:
            return None
        reshape = value.owner
        if not isinstance(reshape, ReshapeOp):
            return None
        repeat = reshape.operand.owner
        if not isinstance(repeat, BroadcastOp):
            return None
        source, full = dims_of(repeat.operand), dims_of(repeat.result)
        if len(full) != len(wanted) + 1 or len(source) != len(full):
            return None
        group = len(full) - 3
        if source[group] != 1 or full[group - 1] * full[group] != wanted[-3]:
            return None
        kept = [i for i in range(len(full)) if i != group]
        if any(source[i] != full[i] for i in kept):
            return None
        return _Repeated(repeat.operand, tuple(source[i] for i in kept))


def _swaps_last(op: TransposeOp) -> bool:
    rank = len(op.axes)
    return tuple(op.axes) == (*range(rank - 2), rank - 1, rank - 2)


def _transposed_source(value: SSAValue) -> SSAValue | None:
    """What `value` is the transpose of."""
    owner = value.owner
    if isinstance(owner, TransposeOp) and _swaps_last(owner):
        return owner.operand
    return None


def _transposed(value: SSAValue, ctx: PatternContext) -> SSAValue:
    """`value` with its last two axes swapped."""
    if (source := _transposed_source(value)) is not None:
        return source
    rank = rank_of(value)
    axes = [*range(rank - 2), rank - 1, rank - 2]
    return ctx.add(TransposeOp(value, axes)).result


def _reshaped(value: SSAValue, dims: Sequence[Dim], ctx: PatternContext) -> SSAValue:
    if dims_of(value) == tuple(dims):
        return value
    return ctx.add(ReshapeOp(value, dims)).result


def _spread(value: SSAValue, dims: Sequence[Dim], ctx: PatternContext) -> SSAValue:
    """`value` repeated to `dims`, of which it may know some by another expression."""
    rank = rank_of(value)
    own = zip(dims_of(value), dims[len(dims) - rank :], strict=True)
    cast = tuple(d if d == 1 else wanted for d, wanted in own)
    if dims_of(value) != cast:
        value = ctx.add(DimCastOp(value, cast)).result
    if cast == tuple(dims):
        return value
    return ctx.add(BroadcastOp(value, dims)).result


def _negated(mask: SSAValue, is_negated: bool, ctx: PatternContext) -> SSAValue:
    return ctx.add(ew.NotOp(mask)).result if is_negated else mask


PATTERNS: PatternTable = {MatmulOp: (raise_attention,)}


@dataclass(frozen=True)
class RaiseAttentionPass(ModulePass):
    """Recognise attention."""

    name: ClassVar[str] = "raise-attention"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Look at every matmul."""
        rewrite(op, PATTERNS, weights_of(ctx))
