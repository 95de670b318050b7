"""Reference implementations of constants, shape values and dispatches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from xdsl.ir import Block, Operation, SSAValue

from nnc.dialects.nn import structure as nn
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.constants import dense_array
from nnc.errors import RunError
from nnc.interpreters.nn.environment import Array, Environment, References

REFERENCES = References()


@REFERENCES.implements(nn.ConstantOp)
def _constant(op: nn.ConstantOp, _: Environment) -> Array:
    return dense_array(op.value)


@REFERENCES.implements(nn.WeightOp)
def _weight(op: nn.WeightOp, env: Environment) -> Array:
    array = env.weights.get(op.resource.data)
    if array is None:
        raise RunError(
            f"node '{location_of(op)}': weight '{op.resource.data}' has no data; give "
            f"the weights that belong to this module"
        )
    return array


@REFERENCES.implements(nn.DimsOp)
def _dims(op: nn.DimsOp, env: Environment) -> Array:
    return np.array(env.sizes(op.dims.dims, op), np.int64)


@REFERENCES.implements(nn.RunSeedOp)
def _run_seed(_: nn.RunSeedOp, env: Environment) -> Array:
    return np.array(env.run_seed, np.uint64)


def run_block(
    block: Block,
    arguments: Sequence[Array],
    run_op: Callable[[Operation, tuple[Array, ...]], Sequence[Array]],
) -> tuple[Array, ...]:
    """
    The operands of the terminator, after running all ops before it.

    Each value is dropped after its last use: activations of a deep network would
    otherwise all be in memory at the end.
    """
    uses: dict[SSAValue, int] = {a: len(tuple(a.uses)) for a in block.args}
    values: dict[SSAValue, Array] = dict(zip(block.args, arguments, strict=True))

    def take(value: SSAValue) -> Array:
        uses[value] -= 1
        return values[value] if uses[value] else values.pop(value)

    for op in block.ops:
        if op is block.last_op:
            return tuple(map(take, op.operands))
        results = run_op(op, tuple(map(take, op.operands)))
        for value, array in zip(op.results, results, strict=True):
            uses[value] = len(tuple(value.uses))
            if uses[value]:
                values[value] = array
    return ()
