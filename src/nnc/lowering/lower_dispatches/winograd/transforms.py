"""
The one-dimensional transforms as `simd` ops, whatever the tile size.

Matrices have pairs of rows (or of columns) that stand for points p and -p: even powers
agree and odd ones differ in their sign. So a pair costs two sums, and their sum and
difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.dialects.simd.types import element_type_of, width_of
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.winograd import Row, Winograd

Term = tuple[Fraction, SSAValue]


def transform_input(
    kb: KernelBuilder, algorithm: Winograd, values: Sequence[SSAValue]
) -> list[SSAValue]:
    """`B^T` times a vector of values."""
    rows = algorithm.input_matrix
    result = [_sum(kb, zip(rows[0], values, strict=True))]
    for pair, row in zip(algorithm.pairs, rows[1:-1:2], strict=True):
        # The product over all other points is even, times (x + p): odd powers have p.
        even = _powers(row, values, parity=0)
        odd = _powers(row, values, parity=1)
        result += _both_signs(kb, even, odd, pair)
    return [*result, _sum(kb, zip(rows[-1], values, strict=True))]


def transform_output(
    kb: KernelBuilder, algorithm: Winograd, values: Sequence[SSAValue]
) -> list[SSAValue]:
    """`A^T` times a vector of values."""
    sums: list[SSAValue] = []
    differences: list[SSAValue] = []
    for i in range(len(algorithm.pairs)):
        positive, negative = values[2 * i + 1 : 2 * i + 3]
        sums.append(kb.add(simd.AddOp(positive, negative)))
        differences.append(kb.add(simd.SubOp(positive, negative)))
    result: list[SSAValue] = []
    for power in range(algorithm.tile):
        parts = differences if power % 2 else sums
        terms = [(p**power, v) for p, v in zip(algorithm.pairs, parts, strict=True)]
        if power == 0:
            terms.insert(0, (Fraction(1), values[0]))
        if power == algorithm.tile - 1:
            terms.append((Fraction(1), values[-1]))
        result.append(_sum(kb, terms))
    return result


def _powers(row: Row, values: Sequence[SSAValue], *, parity: int) -> list[Term]:
    """The terms of the powers of one parity."""
    return [
        (coefficient, value)
        for power, (coefficient, value) in enumerate(zip(row, values, strict=True))
        if power % 2 == parity
    ]


def _both_signs(
    kb: KernelBuilder, even: Sequence[Term], odd: Sequence[Term], point: Fraction
) -> list[SSAValue]:
    """The values at the points p and -p."""
    even_sum = _sum(kb, even)
    odd_sum = _sum(kb, [(c / point, v) for c, v in odd])
    if point == 1:
        ops = (simd.AddOp(even_sum, odd_sum), simd.SubOp(even_sum, odd_sum))
        return [kb.add(op) for op in ops]
    return [
        kb.add(simd.FmaOp(_constant(kb, sign * point, odd_sum), odd_sum, even_sum))
        for sign in (1, -1)
    ]


def _sum(kb: KernelBuilder, terms: Iterable[Term]) -> SSAValue:
    """The sum of the terms that are not 0; one op a term."""
    used = sorted((t for t in terms if t[0]), key=lambda t: abs(t[0]) != 1)
    # Starting with a term of factor 1, if there is one, saves a multiplication.
    used.sort(key=lambda t: t[0] != 1)
    (factor, total), *others = used
    if factor != 1:
        total = kb.add(simd.MulOp(_constant(kb, factor, total), total))
    for factor, value in others:
        if factor == 1:
            total = kb.add(simd.AddOp(total, value))
        elif factor == -1:
            total = kb.add(simd.SubOp(total, value))
        else:
            total = kb.add(simd.FmaOp(_constant(kb, factor, value), value, total))
    return total


def _constant(kb: KernelBuilder, number: Fraction, like: SSAValue) -> SSAValue:
    return kb.constant(float(number), element_type_of(like.type), width_of(like.type))
