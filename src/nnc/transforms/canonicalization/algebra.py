"""
Patterns on elementwise ops: identities, and cheaper ops of the same meaning.

Floats keep their meaning for NaN and infinity. Liberties are taken with powers and
zeros: `x + 0` may keep a negative zero, a power made from products and roots rounds
once an op, and roots of minus infinity are NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from xdsl.ir import Attribute, Operation, SSAValue

from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.conv import ConvOp, PoolOp
from nnc.dialects.nn.linear import MatmulOp
from nnc.dialects.nn.movement import (
    BroadcastOp,
    ConcatOp,
    ReshapeOp,
    TransposeOp,
)
from nnc.dialects.nn.shapes import broadcast_dims
from nnc.dialects.nn.types import (
    STORED_ONLY,
    bit_width,
    dims_of,
    element_type_of,
    is_bool,
    is_float,
    is_unsigned,
    tensor_type,
)
from nnc.symbolic import DimLike
from nnc.transforms.worklist import Pattern, PatternContext, PatternTable

_COMPUTING = frozenset((*ew.ELEMENTWISE_OPS, MatmulOp, ConvOp, PoolOp))

EXACT_IN_DOUBLE = 2**53
"""Integers below are exact as the f64 bounds of `nn.clamp`."""

COMMUTATIVE = (
    ew.AddOp,
    ew.MulOp,
    ew.MaximumOp,
    ew.MinimumOp,
    ew.AndOp,
    ew.OrOp,
    ew.XorOp,
)


def constant_to_rhs(op: ew.BinaryOp, ctx: PatternContext) -> SSAValue | None:
    """`add %c, %x` → `add %x, %c`, in place."""
    if ctx.splat(op.lhs) is not None and ctx.splat(op.rhs) is None:
        lhs, rhs = op.operands
        op.operands = [rhs, lhs]
        ctx.changed(op)
    return None


def drop_neutral_constant(op: ew.BinaryOp, ctx: PatternContext) -> SSAValue | None:
    """`x + 0`, `x - 0`, `x * 1`, `x / 1`, `x ** 1` → `x`."""
    splat = ctx.splat(op.rhs)
    neutral = 0 if isinstance(op, ew.AddOp | ew.SubOp) else 1
    return op.lhs if splat is not None and splat == neutral else None


def divide_by_power_of_two(op: ew.DivOp, ctx: PatternContext) -> SSAValue | None:
    """`x / c` → `x * (1 / c)` where `1 / c` is exact."""
    splat = ctx.splat(op.rhs)
    if splat is None or not is_float(element_type_of(op.result)):
        return None
    value = float(splat)
    if value == 0 or not math.isfinite(value) or abs(math.frexp(value)[0]) != 0.5:
        return None
    reciprocal = np.array(1 / value).astype(splat.dtype)
    if not np.isfinite(reciprocal) or float(reciprocal) * value != 1:
        return None
    factor = ctx.add(BroadcastOp(ctx.constant(reciprocal), dims_of(op.result)))
    return ctx.add(ew.MulOp(op.lhs, factor.result)).result


def divide_one(op: ew.DivOp, ctx: PatternContext) -> SSAValue | None:
    """`1 / x` → `reciprocal(x)`."""
    splat = ctx.splat(op.lhs)
    if splat is None or splat != 1 or not is_float(element_type_of(op.result)):
        return None
    return ctx.add(ew.ReciprocalOp(op.rhs)).result


def simplify_power(op: ew.PowOp, ctx: PatternContext) -> SSAValue | None:
    """Constant exponents 2, 3, -1 and odd quarters, halves → products and roots."""
    splat = ctx.splat(op.rhs)
    if splat is None:
        return None
    exponent, value = float(splat), op.lhs
    if exponent in (2, 3):
        square = ctx.add(ew.MulOp(value, value)).result
        return square if exponent == 2 else ctx.add(ew.MulOp(square, value)).result
    if not is_float(element_type_of(op.result)):
        return None
    if exponent == -1:
        return ctx.add(ew.ReciprocalOp(value)).result
    parts = _ROOTS.get(abs(exponent))
    if parts is None:
        return None
    power = _product_of_roots(value, parts, ctx)
    return power if exponent > 0 else ctx.add(ew.ReciprocalOp(power)).result


_ROOTS = {0.25: (2,), 0.5: (1,), 0.75: (1, 2), 1.5: (0, 1)}
"""Exponents as products of repeated square roots: `x ** 0.75` is `√x · √√x`."""


def _product_of_roots(
    value: SSAValue, depths: Sequence[int], ctx: PatternContext
) -> SSAValue:
    """The product of `value` under as many square roots as each of `depths` says."""
    roots = [value]
    for _ in range(max(depths)):
        roots.append(ctx.add(ew.SqrtOp(roots[-1])).result)
    first, *others = (roots[d] for d in depths)
    for other in others:
        first = ctx.add(ew.MulOp(first, other)).result
    return first


def drop_involution(op: ew.NegOp | ew.NotOp, ctx: PatternContext) -> SSAValue | None:
    """`-(-x)` → `x`; `not(not x)` → `x`."""
    _ = ctx
    inner = op.operand.owner
    if isinstance(inner, ew.NegOp | ew.NotOp) and type(inner) is type(op):
        return inner.operand
    return None


def drop_repetition(op: ew.ReluOp | ew.AbsOp, ctx: PatternContext) -> SSAValue | None:
    """`relu(relu x)` → `relu x`; `abs(abs x)` → `abs x`."""
    _ = ctx
    return op.operand if type(op.operand.owner) is type(op) else None


def same_operands(op: ew.BinaryOp, ctx: PatternContext) -> SSAValue | None:
    """`max(x, x)`, `min(x, x)`, `x and x`, `x or x` → `x`."""
    _ = ctx
    return op.lhs if op.lhs is op.rhs else None


# ---- clamp


def extremum_to_clamp(
    op: ew.MaximumOp | ew.MinimumOp, ctx: PatternContext
) -> SSAValue | None:
    """`max(x, c)` and `min(x, c)` → `clamp x`."""
    splat = ctx.splat(op.rhs)
    if splat is None or is_bool(element_type_of(op.result)):
        return None
    bound = float(splat)
    if math.isnan(bound) or (
        not is_float(element_type_of(op.result)) and abs(bound) >= EXACT_IN_DOUBLE
    ):
        return None
    if isinstance(op, ew.MaximumOp):
        return ctx.add(ew.ClampOp(op.lhs, min=bound)).result
    return ctx.add(ew.ClampOp(op.lhs, max=bound)).result


def clamp_to_relu(op: ew.ClampOp, ctx: PatternContext) -> SSAValue | None:
    """`clamp x {min = 0}` → `relu x`; a clamp without bounds → `x`."""
    lower, upper = op.bounds
    if lower is None and upper is None:
        return op.operand
    if lower != 0 or (upper is not None and upper != math.inf):
        return None
    return ctx.add(ew.ReluOp(op.operand)).result


def merge_clamps(op: ew.ClampOp | ew.ReluOp, ctx: PatternContext) -> SSAValue | None:
    """`clamp(clamp x)` → `clamp x`, a relu being a clamp."""
    inner = op.operand.owner
    if not isinstance(inner, ew.ClampOp | ew.ReluOp):
        return None
    lower, upper = _merged_bounds(_bounds(inner), _bounds(op))
    if lower is not None and upper is not None and lower > upper:
        return None
    return ctx.add(ew.ClampOp(inner.operand, lower, upper)).result


Bounds = tuple[float | None, float | None]


def _bounds(op: ew.ClampOp | ew.ReluOp) -> Bounds:
    return op.bounds if isinstance(op, ew.ClampOp) else (0.0, None)


def _merged_bounds(inner: Bounds, outer: Bounds) -> Bounds:
    """The bounds that clamp to `inner`, then to `outer`."""

    def clamp(bound: float | None, missing: float | None) -> float | None:
        if bound is None:
            return missing
        if outer[0] is not None:
            bound = max(bound, outer[0])
        return bound if outer[1] is None else min(bound, outer[1])

    return clamp(inner[0], outer[0]), clamp(inner[1], outer[1])


# ---- select and cast


def select_known_branch(op: ew.SelectOp, ctx: PatternContext) -> SSAValue | None:
    """A constant condition, or equal branches → one of the branches."""
    if op.on_true is op.on_false:
        return op.on_true
    splat = ctx.splat(op.condition)
    if splat is None:
        return None
    return op.on_true if bool(splat) else op.on_false


def drop_cast(op: ew.CastOp, ctx: PatternContext) -> SSAValue | None:
    """A cast to the type that there is → its operand."""
    _ = ctx
    return op.operand if op.operand.type == op.result.type else None


def merge_casts(op: ew.CastOp, ctx: PatternContext) -> SSAValue | None:
    """`cast(cast x)` → `cast x` where the first cast loses nothing."""
    inner = op.operand.owner
    if not isinstance(inner, ew.CastOp):
        return None
    source, middle, target = map(
        element_type_of, (inner.operand, inner.result, op.result)
    )
    if not keeps_all_values(source, middle):
        return None
    if source == target:
        return inner.operand
    # From a wider float to an integer saturates, between integers wraps.
    if is_float(source) != is_float(middle) and not is_float(target):
        return None
    saturate, rounding = op.saturates, op.rounding
    return ctx.add(
        ew.CastOp(inner.operand, target, saturate=saturate, round_mode=rounding)
    ).result


def keeps_all_values(source: Attribute, target: Attribute) -> bool:
    """Whether a cast from `source` to `target` is known to change no value."""
    if source in STORED_ONLY or target in STORED_ONLY:
        return source == target
    if is_bool(source):
        return True
    if is_bool(target):
        return False
    digits = {16: 11, 32: 24, 64: 53}
    if is_float(source):
        is_wider = bit_width(target) > bit_width(source)
        return is_float(target) and (source == target or is_wider)
    if is_float(target):
        # bf16 has 8 digits, hence holds 8-bit integers as well.
        return bit_width(source) < min(digits[bit_width(target)], 9 * 8)
    if is_unsigned(source) == is_unsigned(target):
        return bit_width(target) >= bit_width(source)
    return is_unsigned(source) and bit_width(target) > bit_width(source)


# ---- broadcast operands


def compute_before_broadcast(op: Operation, ctx: PatternContext) -> SSAValue | None:
    """An op on operands that are all broadcast → the op, then one broadcast."""
    sources: list[SSAValue] = []
    for operand in op.operands:
        if not isinstance(operand.owner, BroadcastOp):
            return None
        sources.append(operand.owner.operand)
    if not sources:
        return None
    dims = broadcast_dims(*(dims_of(s) for s in sources))
    if dims is None or dims == dims_of(op.results[0]):
        return None
    inputs = [
        s if dims_of(s) == dims else ctx.add(BroadcastOp(s, dims)).result
        for s in sources
    ]
    mapping = dict(zip(op.operands, inputs, strict=False))
    small = rebuilt_on(op, [mapping[o] for o in op.operands], dims)
    value = ctx.add(small).results[0]
    return ctx.add(BroadcastOp(value, dims_of(op.results[0]))).result


def compute_before_rearranging(op: Operation, ctx: PatternContext) -> SSAValue | None:
    """
    An op on a rearranged result of other ops → the op, then the rearranging.

    `relu(transpose(conv))` → `transpose(relu(conv))`: the op joins what computes its
    operand. All other operands have to be one value repeated.
    """
    view: ReshapeOp | TransposeOp | None = None
    for operand in op.operands:
        owner = operand.owner
        if isinstance(owner, ReshapeOp | TransposeOp):
            if view is not None and owner is not view:
                return None
            view = owner
        elif ctx.splat(operand) is None:
            return None
    if view is None or not _is_only_user(op, view.result):
        return None
    if not _is_computed(view.operand):
        return None
    dims = dims_of(view.operand)
    operands: dict[SSAValue, SSAValue] = {view.result: view.operand}
    for operand in op.operands:
        if operand not in operands:
            splat = ctx.splat(operand)
            assert splat is not None
            scalar = ctx.constant(np.array(splat))
            operands[operand] = ctx.add(BroadcastOp(scalar, dims)).result
    inner = ctx.add(rebuilt_on(op, [operands[o] for o in op.operands], dims))
    if isinstance(view, ReshapeOp):
        return ctx.add(ReshapeOp(inner.results[0], dims_of(op.results[0]))).result
    return ctx.add(TransposeOp(inner.results[0], view.axes)).result


def compute_before_concat(op: Operation, ctx: PatternContext) -> SSAValue | None:
    """
    An op on a concatenation of results of other ops → the op on each of them.

    Each then joins what computes its operand, and the concatenation is never read. All
    other operands have to be one value repeated.
    """
    whole: ConcatOp | None = None
    for operand in op.operands:
        if isinstance(operand.owner, ConcatOp):
            if whole is not None and operand.owner is not whole:
                return None
            whole = operand.owner
        elif ctx.splat(operand) is None:
            return None
    if whole is None or not _is_only_user(op, whole.result):
        return None
    if not all(_is_computed(a) for a in whole.arguments):
        return None
    scalars = [
        None if o is whole.result else ctx.constant(np.array(ctx.splat(o)))
        for o in op.operands
    ]
    parts: list[SSAValue] = []
    for argument in whole.arguments:
        dims = dims_of(argument)
        operands = [
            argument if s is None else ctx.add(BroadcastOp(s, dims)).result
            for s in scalars
        ]
        parts.append(ctx.add(rebuilt_on(op, operands, dims)).results[0])
    return ctx.add(ConcatOp(parts, whole.axis.value.data)).result


def _is_only_user(op: Operation, value: SSAValue) -> bool:
    return all(use.operation is op for use in value.uses)


def _is_computed(value: SSAValue) -> bool:
    """Whether `value` is computed, not an input, and only read by its views."""
    while isinstance(value.owner, ReshapeOp | TransposeOp | ConcatOp):
        if not value.has_one_use():
            return False
        if isinstance(value.owner, ConcatOp):
            return all(_is_computed(a) for a in value.owner.arguments)
        value = value.owner.operand
    is_computing = type(value.owner) in _COMPUTING
    return is_computing and value.has_one_use()


def rebuilt_on(
    op: Operation, operands: Sequence[SSAValue], dims: Sequence[DimLike]
) -> Operation:
    """The elementwise `op` on other operands, of shape `dims`."""
    types = [tensor_type(element_type_of(r), dims) for r in op.results]
    return type(op).create(
        operands=operands,
        result_types=types,
        properties=dict(op.properties),
        attributes=dict(op.attributes),
    )


def _table() -> PatternTable:
    table: dict[type[Operation], list[Pattern]] = {}

    def add(types: tuple[type[Operation], ...], *patterns: Pattern) -> None:
        for type_ in types:
            table.setdefault(type_, []).extend(patterns)

    add(COMMUTATIVE, constant_to_rhs)
    add((ew.AddOp, ew.SubOp, ew.MulOp, ew.DivOp, ew.PowOp), drop_neutral_constant)
    add((ew.DivOp,), divide_by_power_of_two, divide_one)
    add((ew.PowOp,), simplify_power)
    add((ew.NegOp, ew.NotOp), drop_involution)
    add((ew.ReluOp, ew.AbsOp), drop_repetition)
    add((ew.MaximumOp, ew.MinimumOp, ew.AndOp, ew.OrOp), same_operands)
    add((ew.MaximumOp, ew.MinimumOp), extremum_to_clamp)
    add((ew.ClampOp,), clamp_to_relu)
    add((ew.ClampOp, ew.ReluOp), merge_clamps)
    add((ew.SelectOp,), select_known_branch)
    add((ew.CastOp,), drop_cast, merge_casts)
    add(
        ew.ELEMENTWISE_OPS,
        compute_before_broadcast,
        compute_before_rearranging,
        compute_before_concat,
    )
    return table


PATTERNS: PatternTable = _table()
