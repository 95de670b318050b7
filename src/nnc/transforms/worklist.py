"""
A worklist driver for local patterns, one list of patterns an op type.

xDSL's greedy walker tries every pattern on every op until nothing changes anywhere.
This driver looks up the patterns by op type and revisits only what a rewrite touched,
which is some fifty times cheaper on networks of thousands of ops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, OpResult, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.traits import IsTerminator, Pure

from nnc.dialects.nn.base import copy_location
from nnc.dialects.nn.constants import constant_value, make_constant
from nnc.dialects.nn.movement import BroadcastOp
from nnc.dialects.nn.structure import ConstantOp
from nnc.weights import Array, WeightStore

# A pattern takes one op type; the table that it is listed in guarantees that type.
Pattern: TypeAlias = Callable[[Any, "PatternContext"], SSAValue | None]
"""Gives the value that replaces the op's only result, or None to decline."""

PatternTable: TypeAlias = Mapping[type[Operation], Sequence[Pattern]]

OpT = TypeVar("OpT", bound=Operation)


@dataclass
class PatternContext:
    """What a pattern may do and ask."""

    weights: WeightStore
    current: Operation | None = None
    created: list[Operation] = field(default_factory=list[Operation])
    touched: list[Operation] = field(default_factory=list[Operation])

    def add(self, op: OpT) -> OpT:
        """Insert `op` before the current one and give it that one's location."""
        assert self.current is not None
        block = self.current.parent
        assert block is not None
        block.insert_op_before(op, self.current)
        copy_location(self.current, op)
        self.created.append(op)
        return op

    def constant(self, array: Array, name_hint: str = "folded") -> SSAValue:
        """The result of a new constant that holds `array`."""
        return self.add(make_constant(array, name_hint, self.weights)).results[0]

    def array(self, value: SSAValue) -> Array | None:
        """The value of a constant, or None."""
        return constant_value(value, self.weights)

    def splat(self, value: SSAValue) -> np.generic | None:
        """
        The one value that all elements of `value` are known to have, or None.

        Looks through broadcasts, at constants held in the text only.
        """
        while isinstance(value.owner, BroadcastOp):
            value = value.owner.operand
        if not isinstance(value.owner, ConstantOp):
            return None
        array = constant_value(value, self.weights)
        if array is None or array.size == 0 or not is_splat(array):
            return None
        return array.reshape(-1)[0]

    def changed(self, op: Operation) -> None:
        """Tell that `op`, created earlier or elsewhere, was changed in place."""
        self.touched.append(op)


def rewrite(
    scope: ModuleOp | Block, patterns: PatternTable, weights: WeightStore
) -> int:
    """Apply patterns, and erase dead ops, until nothing changes; count the rewrites."""
    ops = scope.walk() if isinstance(scope, ModuleOp) else scope.ops
    pending = list(ops)
    pending.reverse()
    queued = set(pending)
    context = PatternContext(weights)
    count = 0

    def push(more: Iterable[Operation]) -> None:
        for op in more:
            if op not in queued:
                queued.add(op)
                pending.append(op)

    while pending:
        op = pending.pop()
        queued.discard(op)
        if op.parent is None:
            continue
        if is_dead(op):
            operands = op.operands
            push(_producers(op))
            erase(op)
            # Patterns that want an only user may match now.
            push(u for o in operands if (u := o.get_user_of_unique_use()))
            continue
        replacement = _apply(op, patterns.get(type(op), ()), context)
        if context.touched:
            count += 1
            for changed in context.touched:
                push((changed, *_users(changed)))
            context.touched.clear()
        if replacement is None:
            continue
        count += 1
        # A rewrite may enable more around it: at its users, producers and new ops.
        push(_users(op))
        push(_producers(op))
        push(reversed(context.created))
        context.created.clear()
        op.results[0].replace_all_uses_with(replacement)
        erase(op)
    return count


def _apply(
    op: Operation, patterns: Sequence[Pattern], context: PatternContext
) -> SSAValue | None:
    context.current = op
    for pattern in patterns:
        replacement = pattern(op, context)
        if replacement is not None:
            return replacement
        assert not context.created, f"{pattern.__name__} made ops, then declined"
    return None


def is_splat(array: Array) -> bool:
    """Whether all elements of `array` (there are some) are equal."""
    flat = array.reshape(-1)
    return flat.size == 1 or bool(np.all(flat == flat[0]))


def _users(op: Operation) -> list[Operation]:
    return [use.operation for result in op.results for use in result.uses]


def _producers(op: Operation) -> list[Operation]:
    return [o.op for o in op.operands if isinstance(o, OpResult)]


def is_dead(op: Operation) -> bool:
    """Whether `op` has no effect and nothing uses its results."""
    return (
        all(result.first_use is None for result in op.results)
        and op.has_trait(Pure)
        and not op.has_trait(IsTerminator)
    )


def erase(op: Operation) -> None:
    """Erase an unused op."""
    Rewriter.erase_op(op)


def erase_dead(block: Block) -> None:
    """Erase the ops of a block that nothing uses, last first."""
    op = block.last_op
    while op is not None:
        previous = op.prev_op
        if is_dead(op):
            erase(op)
        op = previous


def replace(op: Operation, new_ops: Sequence[Operation], *values: SSAValue) -> None:
    """Put `new_ops`, located like `op`, in its place and `values` for its results."""
    copy_location(op, *new_ops)
    if new_ops:
        Rewriter.insert_op(new_ops, InsertPoint.before(op))
    for result, value in zip(op.results, values, strict=True):
        result.replace_all_uses_with(value)
    erase(op)
