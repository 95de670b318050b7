"""Control flow and index arithmetic: scf, arith and func to llvm blocks."""

from __future__ import annotations

from xdsl.dialects import arith, func, llvm, scf
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, i1
from xdsl.ir import Block, Operation, SSAValue

from nnc.dialects.simd.types import bits_of
from nnc.lowering.convert_simd_to_llvm.builder import int_value, llvm_type
from nnc.lowering.convert_simd_to_llvm.lowering import Converter, KernelLowering


def _body(lw: KernelLowering, block: Block) -> list[SSAValue]:
    """Convert the ops of a structured body; returns what it yields."""
    last = block.last_op
    assert last is not None
    lw.convert_ops(op for op in block.ops if op is not last)
    return lw.values(last.operands)


def convert_for(lw: KernelLowering, op: scf.ForOp) -> None:
    """A guarded loop with its test at the bottom; trip counts 0 and 1 need none."""
    b = lw.b
    lower, upper, step = lw.values((op.lb, op.ub, op.step))
    start = lw.values(op.iter_args)
    body = op.body.block
    low, high, by = int_value(lower), int_value(upper), int_value(step)
    trips: int | None = None
    if low is not None and high is not None and by is not None:
        trips = max(0, -(-(high - low) // by))
    if trips == 0:
        results = start
    elif trips == 1:
        for old, new in zip(body.args, (lower, *start), strict=True):
            lw.define(old, new)
        results = _body(lw, body)
    else:
        loop = b.new_block([llvm_type(a.type) for a in body.args])
        done = b.new_block([v.type for v in start])
        if trips is None:
            b.cond_br(b.icmp("slt", lower, upper), loop, (lower, *start), done, start)
        else:
            b.br(loop, (lower, *start))
        b.enter(loop)
        for old, new in zip(body.args, loop.args, strict=True):
            lw.define(old, new)
        yielded = _body(lw, body)
        following = b.index_add(loop.args[0], step)
        again = b.icmp("slt", following, upper)
        b.cond_br(again, loop, (following, *yielded), done, yielded)
        b.enter(done)
        results = list(done.args)
    for old, new in zip(op.results, results, strict=True):
        lw.define(old, new)


def convert_if(lw: KernelLowering, op: scf.IfOp) -> None:
    """A diamond; a constant condition leaves one arm."""
    b = lw.b
    condition = lw.value(op.cond)
    known = int_value(condition)
    has_else = bool(op.false_region.blocks)
    if known is not None:
        results: list[SSAValue] = []
        if known:
            results = _body(lw, op.true_region.block)
        elif has_else:
            results = _body(lw, op.false_region.block)
    else:
        then = b.new_block()
        merge_types = [llvm_type(r.type) for r in op.results]
        otherwise = b.new_block() if has_else else None
        merge = b.new_block(merge_types)
        b.cond_br(condition, then, (), otherwise or merge, ())
        b.enter(then)
        b.br(merge, _body(lw, op.true_region.block))
        if otherwise is not None:
            b.enter(otherwise)
            b.br(merge, _body(lw, op.false_region.block))
        b.enter(merge)
        results = list(merge.args)
    for old, new in zip(op.results, results, strict=True):
        lw.define(old, new)


def convert_return(lw: KernelLowering, op: func.ReturnOp) -> None:
    """The end of a kernel."""
    assert not op.operands, "kernels return nothing"
    lw.b.block.add_op(llvm.ReturnOp())


def convert_constant(lw: KernelLowering, op: arith.ConstantOp) -> None:
    """Index, integer and float constants."""
    value = op.value
    assert isinstance(value, IntegerAttr | FloatAttr)
    lw.define(op.result, lw.b.constant(value.value.data, lw.type_of(op.result)))


def convert_index_add(lw: KernelLowering, op: arith.AddiOp) -> None:
    """Sum."""
    lw.define(op.result, lw.b.index_add(lw.value(op.lhs), lw.value(op.rhs)))


def convert_index_sub(lw: KernelLowering, op: arith.SubiOp) -> None:
    """Difference."""
    lw.define(op.result, lw.b.index_sub(lw.value(op.lhs), lw.value(op.rhs)))


def convert_index_mul(lw: KernelLowering, op: arith.MuliOp) -> None:
    """Product."""
    lw.define(op.result, lw.b.index_mul(lw.value(op.lhs), lw.value(op.rhs)))


def _trunc_div(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _divide(lw: KernelLowering, lhs: SSAValue, rhs: SSAValue, how: str) -> SSAValue:
    """Signed division of indices; powers of two become shifts where that is exact."""
    b = lw.b
    x, y = int_value(lhs), int_value(rhs)
    if y == 1:
        return lhs
    if x is not None and y:
        exact = {"floor": x // y, "ceil": -(-x // y), "trunc": _trunc_div(x, y)}
        return b.i64(exact[how])
    if how == "trunc":
        return b.binary(llvm.SDivOp, lhs, rhs)
    if y is not None and y > 0 and y & (y - 1) == 0:
        if how == "ceil":
            lhs = b.index_add(lhs, b.i64(y - 1))
        return b.ashr(lhs, y.bit_length() - 1)
    quotient = b.binary(llvm.SDivOp, lhs, rhs)
    rest = b.index_sub(lhs, b.index_mul(quotient, rhs))
    zero = b.i64(0)
    inexact = b.icmp("ne", rest, zero)
    opposite = b.icmp("slt", b.xor(lhs, rhs), zero)
    if how == "floor":
        adjust = b.and_(inexact, opposite)
        return b.select(adjust, b.index_sub(quotient, b.i64(1)), quotient)
    adjust = b.and_(inexact, b.xor(opposite, b.constant(1, i1)))
    return b.select(adjust, b.index_add(quotient, b.i64(1)), quotient)


def convert_div(lw: KernelLowering, op: arith.DivSIOp) -> None:
    """Division towards zero."""
    lw.define(op.result, _divide(lw, lw.value(op.lhs), lw.value(op.rhs), "trunc"))


def convert_floor_div(lw: KernelLowering, op: arith.FloorDivSIOp) -> None:
    """Division rounding down."""
    lw.define(op.result, _divide(lw, lw.value(op.lhs), lw.value(op.rhs), "floor"))


def convert_ceil_div(lw: KernelLowering, op: arith.CeilDivSIOp) -> None:
    """Division rounding up."""
    lw.define(op.result, _divide(lw, lw.value(op.lhs), lw.value(op.rhs), "ceil"))


def convert_rem(lw: KernelLowering, op: arith.RemSIOp) -> None:
    """Remainder with the sign of the dividend."""
    b = lw.b
    lhs, rhs = lw.value(op.lhs), lw.value(op.rhs)
    x, y = int_value(lhs), int_value(rhs)
    if y == 1:
        lw.define(op.result, b.i64(0))
    elif x is not None and y:
        lw.define(op.result, b.i64(x - _trunc_div(x, y) * y))
    else:
        lw.define(op.result, b.binary(llvm.SRemOp, lhs, rhs))


def _unsigned_division(op: type[Operation]) -> Converter:
    def convert(lw: KernelLowering, source: arith.DivUIOp | arith.RemUIOp) -> None:
        lhs, rhs = lw.value(source.lhs), lw.value(source.rhs)
        lw.define(source.result, lw.b.binary(op, lhs, rhs))

    return convert


_PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
_FOLD = {
    "eq": int.__eq__,
    "ne": int.__ne__,
    "slt": int.__lt__,
    "sle": int.__le__,
    "sgt": int.__gt__,
    "sge": int.__ge__,
}


def convert_cmp(lw: KernelLowering, op: arith.CmpiOp) -> None:
    """Comparison of indices or booleans."""
    predicate = _PREDICATES[op.predicate.value.data]
    lhs, rhs = lw.value(op.lhs), lw.value(op.rhs)
    x, y = int_value(lhs), int_value(rhs)
    if x is not None and y is not None and predicate in _FOLD:
        lw.define(op.result, lw.b.constant(int(_FOLD[predicate](x, y)), i1))
    else:
        lw.define(op.result, lw.b.icmp(predicate, lhs, rhs))


def _convert_extremum(
    lw: KernelLowering, op: arith.MinSIOp | arith.MaxSIOp, name: str
) -> None:
    lhs, rhs = lw.value(op.lhs), lw.value(op.rhs)
    x, y = int_value(lhs), int_value(rhs)
    if x is not None and y is not None:
        best = min(x, y) if name == "smin" else max(x, y)
        lw.define(op.result, lw.b.constant(best, lhs.type))
    else:
        lw.define(op.result, lw.b.intrinsic(f"llvm.{name}", (lhs, rhs), lhs.type))


def convert_min(lw: KernelLowering, op: arith.MinSIOp) -> None:
    """Smaller index."""
    _convert_extremum(lw, op, "smin")


def convert_max(lw: KernelLowering, op: arith.MaxSIOp) -> None:
    """Larger index."""
    _convert_extremum(lw, op, "smax")


def convert_select(lw: KernelLowering, op: arith.SelectOp) -> None:
    """Choice between two indices."""
    condition, a, b = lw.values((op.cond, op.lhs, op.rhs))
    lw.define(op.result, lw.b.select(condition, a, b))


def _bitwise(op: type[Operation]) -> Converter:
    def convert(
        lw: KernelLowering, source: arith.AndIOp | arith.OrIOp | arith.XOrIOp
    ) -> None:
        lhs, rhs = lw.value(source.lhs), lw.value(source.rhs)
        x, y = int_value(lhs), int_value(rhs)
        if source.lhs.type == i1 and None not in (x, y) and op is not llvm.XOrOp:
            both = (x and y) if op is llvm.AndOp else (x or y)
            lw.define(source.result, lw.b.constant(int(bool(both)), i1))
        else:
            lw.define(source.result, lw.b.binary(op, lhs, rhs))

    return convert


def convert_index_cast(lw: KernelLowering, op: arith.IndexCastOp) -> None:
    """index and i64 are the same here; other widths extend or truncate."""
    value, type = lw.value(op.input), lw.type_of(op.result)
    if value.type == type:
        lw.define(op.result, value)
        return
    narrower = bits_of(type) < bits_of(value.type)
    lw.define(
        op.result, lw.b.cast(llvm.TruncOp if narrower else llvm.SExtOp, value, type)
    )


CONVERTERS: dict[type[Operation], Converter] = {
    scf.ForOp: convert_for,
    scf.IfOp: convert_if,
    func.ReturnOp: convert_return,
    arith.ConstantOp: convert_constant,
    arith.AddiOp: convert_index_add,
    arith.SubiOp: convert_index_sub,
    arith.MuliOp: convert_index_mul,
    arith.DivSIOp: convert_div,
    arith.FloorDivSIOp: convert_floor_div,
    arith.CeilDivSIOp: convert_ceil_div,
    arith.RemSIOp: convert_rem,
    arith.DivUIOp: _unsigned_division(llvm.UDivOp),
    arith.RemUIOp: _unsigned_division(llvm.URemOp),
    arith.CmpiOp: convert_cmp,
    arith.MinSIOp: convert_min,
    arith.MaxSIOp: convert_max,
    arith.SelectOp: convert_select,
    arith.AndIOp: _bitwise(llvm.AndOp),
    arith.OrIOp: _bitwise(llvm.OrOp),
    arith.XOrIOp: _bitwise(llvm.XOrOp),
    arith.IndexCastOp: convert_index_cast,
}
