"""
eliminate-common-ops: equal ops on equal operands become one.

Before::

    %0 = nn.exp %x {loc_name = "a"}
    %1 = nn.exp %x {loc_name = "b"}
    use(%0, %1)

After::

    %0 = nn.exp %x {loc_name = "a"}
    use(%0, %0)

xDSL's `cse` compares discardable attributes as well, so that two source nodes never
meet there. On entry: any `nn` module. On exit: no two ops of a block are equal but for
their location, and none is without uses. Dispatches count as ops; their bodies are
simplified on their own.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation
from xdsl.passes import ModulePass
from xdsl.traits import Pure

from nnc.transforms.worklist import erase, is_dead


def eliminate_common_ops(block: Block) -> None:
    """Merge the equal ops of `block`, and of the regions in it."""
    known: dict[Hashable, Operation] = {}
    for op in list(block.ops):
        for region in op.regions:
            for inner in region.blocks:
                eliminate_common_ops(inner)
        if op.regions or not op.results or not op.has_trait(Pure):
            continue
        key = (
            op.name,
            tuple(map(id, op.operands)),
            frozenset(op.properties.items()),
            tuple(op.result_types),
        )
        first = known.setdefault(key, op)
        if first is not op:
            for mine, other in zip(op.results, first.results, strict=True):
                mine.replace_all_uses_with(other)
    op = block.last_op
    while op is not None:
        previous = op.prev_op
        if is_dead(op):
            erase(op)
        op = previous


@dataclass(frozen=True)
class EliminateCommonOpsPass(ModulePass):
    """Merge equal ops and drop unused ones."""

    name: ClassVar[str] = "eliminate-common-ops"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Visit every block once, in order."""
        _ = ctx
        for region in op.regions:
            for block in region.blocks:
                eliminate_common_ops(block)
