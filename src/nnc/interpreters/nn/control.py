"""Reference implementations of branches and loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from xdsl.ir import Operation

from nnc.dialects.nn.control import IfOp, LoopOp
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.types import element_type_of
from nnc.interpreters.nn.environment import Array, Environment
from nnc.interpreters.nn.structure import run_block

RunOp = Callable[[Operation, tuple[Array, ...]], Sequence[Array]]


def run_if(op: IfOp, operands: Sequence[Array], run_op: RunOp) -> tuple[Array, ...]:
    """What the region yields that the condition chooses."""
    condition, *arguments = operands
    region = op.then_body if bool(condition) else op.else_body
    return run_block(region.block, arguments, run_op)


def run_loop(
    op: LoopOp, operands: Sequence[Array], run_op: RunOp, environment: Environment
) -> tuple[Array, ...]:
    """The carried values after the last iteration, and the stacked elements."""
    values = list(operands)
    limit: int | None = None
    if op.trip_dim is not None:
        (limit,) = environment.sizes([op.trip_dim], op)
    elif op.count is not None:
        limit = int(values.pop(0))
    is_conditional = op.condition is not None
    goes_on = bool(values.pop(0)) if is_conditional else True
    carried, values = values[: len(op.initial)], values[len(op.initial) :]
    scanned, captured = values[: len(op.scanned)], values[len(op.scanned) :]
    rows: list[list[Array]] = [[] for _ in op.stacked]
    iteration = 0
    while goes_on and (limit is None or iteration < limit):
        arguments = (
            np.array(iteration, np.int64),
            *carried,
            *(np.asarray(array[iteration]) for array in scanned),
            *captured,
        )
        yielded = list(run_block(op.block, arguments, run_op))
        if is_conditional:
            goes_on = bool(yielded.pop(0))
        carried = yielded[: len(carried)]
        for row, element in zip(rows, yielded[len(carried) :], strict=True):
            row.append(element)
        iteration += 1
    stacked: list[Array] = []
    for value, row in zip(op.stacked, rows, strict=True):
        array = np.empty(
            environment.shape_of(value, op), numpy_dtype(element_type_of(value))
        )
        for position, element in enumerate(row):
            array[position] = element
        stacked.append(array)
    return (*carried, *stacked)
