"""
Known integers: what small tensors of shape arithmetic hold, as dim expressions.

Source models compute shapes with ordinary tensor ops (`Shape`, `Gather`, `Mul`,
`Concat`, `Cast`, ...). This analysis evaluates such ops over symbolic dims, lazily and
without changing the IR: `KnownValues.dims(value)` is the list of expressions that an
integer scalar or vector always holds, or None.

Floats take part as exact ratios of dims, since exporters compute sizes such as
`floor(height * 2.0)`. Ops whose result cannot be told for all sizes are unknown.
A truncating division counts as floor division: the two differ for negative numbers
only, which are no sizes and which the executor refuses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from xdsl.ir import Attribute, Block, SSAValue

from nnc.analysis.known_value_rules import (
    RULES,
    Elements,
    UnknownError,
    element_array,
    element_list,
    wrapped,
)
from nnc.analysis.ratio import Ratio
from nnc.dialects.nn import structure
from nnc.dialects.nn.constants import constant_value
from nnc.dialects.nn.types import (
    STORED_ONLY,
    element_type_of,
    is_float,
    static_shape,
)
from nnc.symbolic import Dim
from nnc.weights import WeightStore

MAX_ELEMENTS = 256
"""Tensors of more elements are data, not sizes."""


class KnownValues:
    """The analysis over one module; results are kept, so drop it after a rewrite."""

    def __init__(self, weights: WeightStore) -> None:
        self._weights = weights
        self._known: dict[SSAValue, Elements | None] = {}

    def dims(self, value: SSAValue) -> list[Dim] | None:
        """What an integer scalar or vector holds, in order, or None."""
        elements = self.elements(value)
        if elements is None or elements.ndim > 1 or is_float(element_type_of(value)):
            return None
        return cast("list[Dim]", element_list(elements))

    def ratios(self, value: SSAValue) -> list[Ratio] | None:
        """What a float or integer scalar or vector holds, in order, or None."""
        elements = self.elements(value)
        if elements is None or elements.ndim > 1:
            return None
        return [
            e if isinstance(e, Ratio) else Ratio.of(e) for e in element_list(elements)
        ]

    def elements(self, value: SSAValue) -> Elements | None:
        """All elements of a small tensor in its shape, or None."""
        # An explicit stack: chains of shape arithmetic may be as long as the model.
        pending = [value]
        while pending:
            current = pending[-1]
            if current in self._known:
                pending.pop()
                continue
            operands = self._relevant_operands(current)
            missing = [o for o in operands if o not in self._known]
            if missing:
                pending.extend(missing)
                continue
            self._known[current] = self._evaluate(current)
            pending.pop()
        return self._known[value]

    def _relevant_operands(self, value: SSAValue) -> Sequence[SSAValue]:
        op = value.owner
        if isinstance(op, Block) or type(op) not in RULES or not _is_small(value):
            return ()
        return op.operands

    def _evaluate(self, value: SSAValue) -> Elements | None:
        op = value.owner
        if isinstance(op, Block) or not _is_small(value):
            return None
        if isinstance(op, structure.DimsOp):
            return element_array(op.dims.dims, (len(op.dims.dims),))
        if isinstance(op, structure.ConstantOp | structure.WeightOp):
            return self._constant(value)
        rule = RULES.get(type(op))
        if rule is None:
            return None
        operands: list[Elements] = []
        for operand in op.operands:
            elements = self._known[operand]
            if elements is None:
                return None
            operands.append(elements)
        try:
            result = rule(op, operands)
        except (UnknownError, ZeroDivisionError, OverflowError):
            return None
        return result if _fits(result, element_type_of(value)) else None

    def _constant(self, value: SSAValue) -> Elements | None:
        array = constant_value(value, self._weights)
        if array is None or element_type_of(value) in STORED_ONLY:
            return None
        if not is_float(element_type_of(value)):
            return element_array([Dim.of(int(v)) for v in array.flat], array.shape)
        floats = [float(v) for v in array.flat]
        if not all(map(math.isfinite, floats)):
            return None
        ratios = [Ratio.of(*v.as_integer_ratio()) for v in floats]
        return element_array(ratios, array.shape)


def known_dims(value: SSAValue, weights: WeightStore) -> list[Dim] | None:
    """What an integer scalar or vector always holds, or None; see `KnownValues`."""
    return KnownValues(weights).dims(value)


def _fits(elements: Elements, element_type: Attribute) -> bool:
    """Whether constants stay in the range of their type; arithmetic wraps beyond."""
    if is_float(element_type):
        return True
    values = (cast("Dim", e).as_int() for e in elements.flat)
    return all(v is None or wrapped(v, element_type) == v for v in values)


def _is_small(value: SSAValue) -> bool:
    shape = static_shape(value)
    return shape is not None and math.prod(shape) <= MAX_ELEMENTS
