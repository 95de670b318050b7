"""
Elementwise `nn` ops on registers: scalars or vectors of any width.

Data is computed in its *computing type*: half precision in f32, everything else in its
own type. So a chain of half precision ops rounds once, when its result is stored; a
cast to half precision rounds where it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    f32,
)
from xdsl.ir import Attribute, Operation, SSAValue

from nnc.dialects import simd
from nnc.dialects.nn import elementwise as nn
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.types import (
    STORED_ONLY,
    U32,
    U64,
    is_bool,
    is_float,
    is_unsigned,
)
from nnc.dialects.nn.types import element_type_of as tensor_element_type
from nnc.dialects.simd.types import bits_of, element_type_of, width_of
from nnc.errors import CompileError
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder

DIVISION_BY_ZERO = 2
"""Error code of `nnc.errors.DivisionByZero` in the run state."""


def compute_type(element_type: Attribute) -> Attribute:
    """The type that elements of `element_type` are computed in."""
    if isinstance(element_type, Float16Type | BFloat16Type):
        return f32
    return element_type


def to_compute(kb: KernelBuilder, value: SSAValue) -> SSAValue:
    """A loaded value in its computing type."""
    wanted = compute_type(element_type_of(value.type))
    return convert(kb, value, wanted)


def convert(kb: KernelBuilder, value: SSAValue, element_type: Attribute) -> SSAValue:
    """`value` cast lane by lane, if it is not of that type already."""
    if element_type_of(value.type) == element_type:
        return value
    if isinstance(value.owner, simd.ConstantOp) and is_float(element_type):
        number = float(value.owner.value.value.data)
        if is_float(element_type_of(value.type)) and element_type == f32:
            return kb.constant(number, element_type, width_of(value.type))
    return kb.pure(simd.CastOp(value, element_type))


def emit_elementwise(
    kb: KernelBuilder,
    op: Operation,
    operands: Sequence[SSAValue],
    mask: SSAValue | None = None,
) -> SSAValue:
    """
    The value of an elementwise `op` for operand values of one width.

    Operands and result are in computing types. `mask` tells which lanes count, for
    checks that may end the run.
    """
    width = max(width_of(v.type) for v in operands)
    operands = [kb.splat(v, width) for v in operands]
    rule = _RULES.get(type(op))
    if rule is None:
        raise CompileError(f"{location_of(op)}: {op.name} is not elementwise")
    if isinstance(op, nn.DivOp | nn.ModOp | nn.RemOp):
        _check_divisor(kb, op, operands[1], mask)
    return rule(kb, op, operands)


MakeOp = Callable[..., Operation]
"""An op class, as something that makes an op of operands."""

Rule = Callable[[KernelBuilder, Operation, Sequence[SSAValue]], SSAValue]


def _same(op: MakeOp) -> Rule:
    """The `simd` op on the same operands."""

    def emit(kb: KernelBuilder, _: Operation, operands: Sequence[SSAValue]) -> SSAValue:
        return kb.pure(op(*operands))

    return emit


def _float(op: MakeOp) -> Rule:
    """The `simd` op, which exists for floats only."""

    def emit(
        kb: KernelBuilder, source: Operation, operands: Sequence[SSAValue]
    ) -> SSAValue:
        element_type = element_type_of(operands[0].type)
        if not is_float(element_type):
            raise CompileError(
                f"{location_of(source)}: {source.name} of {element_type} elements is "
                "not supported"
            )
        return kb.pure(op(*operands))

    return emit


def _rounding(op: MakeOp) -> Rule:
    """The `simd` op on floats; integers stay."""

    def emit(kb: KernelBuilder, _: Operation, operands: Sequence[SSAValue]) -> SSAValue:
        if not is_float(element_type_of(operands[0].type)):
            return operands[0]
        return kb.pure(op(*operands))

    return emit


def _logical(op: MakeOp, on_bool: MakeOp) -> Rule:
    """One op for numbers, another one for booleans."""

    def emit(kb: KernelBuilder, _: Operation, operands: Sequence[SSAValue]) -> SSAValue:
        chosen = on_bool if is_bool(element_type_of(operands[0].type)) else op
        return kb.pure(chosen(*operands))

    return emit


def like(kb: KernelBuilder, value: SSAValue, number: float) -> SSAValue:
    """A constant of the type and width of `value`."""
    return kb.constant(number, element_type_of(value.type), width_of(value.type))


def _relu(kb: KernelBuilder, op: Operation, operands: Sequence[SSAValue]) -> SSAValue:
    (x,) = operands
    if is_unsigned(element_type_of(x.type)) or is_bool(element_type_of(x.type)):
        return x
    return kb.pure(simd.MaxOp(x, like(kb, x, 0)))


def running_extremum(
    kb: KernelBuilder, total: SSAValue, value: SSAValue, *, largest: bool
) -> SSAValue:
    """
    The larger (or smaller) of an accumulator and a new value; NaN if either is NaN.

    As `simd.max`, but which of -0 and +0 is larger is left open: that takes half of the
    instructions.
    """
    if not is_float(element_type_of(total.type)):
        return kb.add((simd.MaxOp if largest else simd.MinOp)(total, value))
    better = kb.add(simd.CmpOp("gt" if largest else "lt", value, total))
    best = kb.add(simd.SelectOp(better, value, total))
    # An element that several windows share is looked at once.
    return kb.add(simd.SelectOp(kb.pure(simd.IsNanOp(value)), value, best))


def _neg(kb: KernelBuilder, op: Operation, operands: Sequence[SSAValue]) -> SSAValue:
    return kb.pure(simd.NegOp(operands[0]))


def _abs(kb: KernelBuilder, op: Operation, operands: Sequence[SSAValue]) -> SSAValue:
    (x,) = operands
    if is_unsigned(element_type_of(x.type)) or is_bool(element_type_of(x.type)):
        return x
    return kb.pure(simd.AbsOp(x))


def _clamp(kb: KernelBuilder, op: Operation, operands: Sequence[SSAValue]) -> SSAValue:
    assert isinstance(op, nn.ClampOp)
    (x,) = operands
    element_type = element_type_of(x.type)
    low, high = (_bound(b, element_type) for b in op.bounds)
    if low is not None:
        x = kb.pure(simd.MaxOp(x, like(kb, x, low)))
    if high is not None:
        x = kb.pure(simd.MinOp(x, like(kb, x, high)))
    return x


def _bound(bound: float | None, element_type: Attribute) -> float | None:
    """A clamp bound that the type can hold; none where it cannot bind."""
    if bound is None or is_float(element_type):
        return bound
    lowest, highest = integer_range(element_type)
    if math.isinf(bound):
        return lowest if bound < 0 else highest
    return min(max(int(bound), lowest), highest)


def integer_range(element_type: Attribute) -> tuple[int, int]:
    """The smallest and the largest number of an integer type."""
    bits = bits_of(element_type)
    if is_unsigned(element_type) or bits == 1:
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _compare(
    kb: KernelBuilder, op: Operation, operands: Sequence[SSAValue]
) -> SSAValue:
    assert isinstance(op, nn.CompareOp)
    return kb.pure(simd.CmpOp(op.predicate.data, *operands))


def _is_nan(kb: KernelBuilder, op: Operation, operands: Sequence[SSAValue]) -> SSAValue:
    (x,) = operands
    if not is_float(element_type_of(x.type)):
        return kb.constant(0, simd.mask_type(1), width_of(x.type))
    return kb.pure(simd.IsNanOp(x))


def _is_inf(kb: KernelBuilder, op: Operation, operands: Sequence[SSAValue]) -> SSAValue:
    assert isinstance(op, nn.IsInfOp)
    (x,) = operands
    positive, negative = bool(op.positive.value.data), bool(op.negative.value.data)
    if not is_float(element_type_of(x.type)) or not (positive or negative):
        return kb.constant(0, simd.mask_type(1), width_of(x.type))
    if positive and negative:
        return kb.pure(simd.IsInfOp(x))
    infinity = math.inf if positive else -math.inf
    return kb.pure(simd.CmpOp("eq", x, like(kb, x, infinity)))


def _select(kb: KernelBuilder, op: Operation, operands: Sequence[SSAValue]) -> SSAValue:
    return kb.pure(simd.SelectOp(*operands))


def _cast(kb: KernelBuilder, op: Operation, operands: Sequence[SSAValue]) -> SSAValue:
    assert isinstance(op, nn.CastOp)
    wanted = tensor_element_type(op.results[0])
    (x,) = operands
    if wanted in STORED_ONLY and tensor_element_type(op.operand) != wanted:
        return kb.pure(simd.CastOp(x, wanted, op.saturate, op.round_mode))
    computed = compute_type(wanted)
    if computed != wanted and tensor_element_type(op.operands[0]) != wanted:
        # Half precision rounds here, although it is then computed in f32.
        x = convert(kb, x, wanted)
    return convert(kb, x, computed)


def _bit_cast(
    kb: KernelBuilder, op: Operation, operands: Sequence[SSAValue]
) -> SSAValue:
    # Half precision is computed in f32, but its bits are those of its own type.
    x = convert(kb, operands[0], tensor_element_type(op.operands[0]))
    wanted = tensor_element_type(op.results[0])
    if element_type_of(x.type) != wanted:
        x = kb.pure(simd.BitcastOp(x, wanted))
    return convert(kb, x, compute_type(wanted))


def _check_divisor(
    kb: KernelBuilder, op: Operation, divisor: SSAValue, mask: SSAValue | None
) -> None:
    """Integer divisions end the run with DivisionByZero if a divisor is zero."""
    if is_float(element_type_of(divisor.type)):
        return
    if isinstance(divisor.owner, simd.ConstantOp) and divisor.owner.value.value.data:
        return
    is_zero = kb.pure(simd.CmpOp("eq", divisor, like(kb, divisor, 0)))
    if width_of(divisor.type) > 1:
        if mask is not None:
            is_zero = kb.pure(simd.AndOp(is_zero, mask))
        is_zero = kb.pure(simd.ReduceOp("or", is_zero))
    kb.raise_if(is_zero, DIVISION_BY_ZERO)


_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def _halves(kb: KernelBuilder, value: SSAValue) -> list[SSAValue]:
    """The low and the high word of each u64."""
    high = kb.pure(simd.ShrOp(value, like(kb, value, 32)))
    return [convert(kb, v, U32) for v in (value, high)]


def _threefry(
    kb: KernelBuilder, op: Operation, operands: Sequence[SSAValue]
) -> SSAValue:
    def plus(a: SSAValue, b: SSAValue) -> SSAValue:
        return kb.pure(simd.AddOp(a, b))

    def rotated(x: SSAValue, by: int) -> SSAValue:
        up = kb.pure(simd.ShlOp(x, like(kb, x, by)))
        down = kb.pure(simd.ShrOp(x, like(kb, x, 32 - by)))
        return kb.pure(simd.OrOp(up, down))

    key, counter = operands
    keys = _halves(kb, key)
    mixed = kb.pure(simd.XorOp(keys[0], keys[1]))
    keys.append(kb.pure(simd.XorOp(mixed, like(kb, mixed, _PARITY))))
    a, c = map(plus, _halves(kb, counter), keys[:2])
    for group in range(5):
        for by in _ROTATIONS[group % 2]:
            a = plus(a, c)
            c = kb.pure(simd.XorOp(rotated(c, by), a))
        a = plus(a, keys[(group + 1) % 3])
        c = plus(plus(c, keys[(group + 2) % 3]), like(kb, c, group + 1))
    low, high = (convert(kb, v, U64) for v in (a, c))
    high = kb.pure(simd.ShlOp(high, like(kb, high, 32)))
    return kb.pure(simd.OrOp(low, high))


_RULES: dict[type[Operation], Rule] = {
    nn.NegOp: _neg,
    nn.AbsOp: _abs,
    nn.SignOp: _same(simd.SignOp),
    nn.ExpOp: _float(simd.ExpOp),
    nn.LogOp: _float(simd.LogOp),
    nn.SqrtOp: _float(simd.SqrtOp),
    nn.ReciprocalOp: _float(simd.ReciprocalOp),
    nn.FloorOp: _rounding(simd.FloorOp),
    nn.CeilOp: _rounding(simd.CeilOp),
    nn.RoundOp: _rounding(simd.RoundEvenOp),
    nn.SinOp: _float(simd.SinOp),
    nn.CosOp: _float(simd.CosOp),
    nn.TanOp: _float(simd.TanOp),
    nn.AsinOp: _float(simd.AsinOp),
    nn.AcosOp: _float(simd.AcosOp),
    nn.AtanOp: _float(simd.AtanOp),
    nn.SinhOp: _float(simd.SinhOp),
    nn.CoshOp: _float(simd.CoshOp),
    nn.AsinhOp: _float(simd.AsinhOp),
    nn.AcoshOp: _float(simd.AcoshOp),
    nn.AtanhOp: _float(simd.AtanhOp),
    nn.TanhOp: _float(simd.TanhOp),
    nn.ErfOp: _float(simd.ErfOp),
    nn.SigmoidOp: _float(simd.SigmoidOp),
    nn.ReluOp: _relu,
    nn.NotOp: _same(simd.NotOp),
    nn.AddOp: _logical(simd.AddOp, simd.OrOp),
    nn.SubOp: _logical(simd.SubOp, simd.XorOp),
    nn.MulOp: _logical(simd.MulOp, simd.AndOp),
    nn.DivOp: _same(simd.DivOp),
    nn.ModOp: _same(simd.ModFloorOp),
    nn.RemOp: _same(simd.RemOp),
    nn.PowOp: _same(simd.PowOp),
    nn.MaximumOp: _logical(simd.MaxOp, simd.OrOp),
    nn.MinimumOp: _logical(simd.MinOp, simd.AndOp),
    nn.AndOp: _same(simd.AndOp),
    nn.OrOp: _same(simd.OrOp),
    nn.XorOp: _same(simd.XorOp),
    nn.ShiftLeftOp: _same(simd.ShlOp),
    nn.ShiftRightOp: _same(simd.ShrOp),
    nn.ThreefryOp: _threefry,
    nn.ClampOp: _clamp,
    nn.CompareOp: _compare,
    nn.IsNanOp: _is_nan,
    nn.IsInfOp: _is_inf,
    nn.SelectOp: _select,
    nn.CastOp: _cast,
    nn.BitCastOp: _bit_cast,
}
"""How each elementwise op is computed: one row an op."""

ELEMENTWISE = frozenset(_RULES)
"""The ops that `emit_elementwise` knows."""
