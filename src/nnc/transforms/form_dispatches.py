"""
form-dispatches: ops that compute are grouped into `nn.dispatch` regions.

Before::

    %0 = nn.matmul %x, %w
    %1 = nn.broadcast %bias
    %2 = nn.add %0, %1
    %3 = nn.relu %2

After::

    %3 = nn.dispatch(%x, %w, %bias) {
    ^bb0(%a, %b, %c):
      %0 = nn.matmul %a, %b
      %1 = nn.broadcast %c
      %2 = nn.add %0, %1
      %3 = nn.relu %2
      nn.yield %3
    }

Groups are one of the forms of `nnc.analysis.dispatches`: an anchor with the elementwise
ops on its shape that follow, a row program, or a pointwise chain. Values that others
use as well become further results. An operand of a contraction, attention or window
whose neighbours along the last axis are apart in memory gets a copy, a pointwise
dispatch of its own.

On entry: ops of `decompose_nn.LEGAL_OPS`, windowed ops channels_last, padding explicit.
On exit: outside of dispatches there are only constants, weights, dims, views, concat,
constant pads, branches and loops; `verify-dispatched` checks that.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from nnc.analysis.dispatches import reads_rows
from nnc.analysis.views import is_dense_inside
from nnc.dialects.nn.base import copy_location, location_of
from nnc.transforms.dispatching.copies import copy_dispatch
from nnc.transforms.dispatching.groups import Grouping
from nnc.transforms.dispatching.regions import build_all
from nnc.transforms.regions import program_blocks
from nnc.transforms.worklist import erase_dead

logger = logging.getLogger(__name__)


def copy_scattered_operands(block: Block) -> dict[Operation, None]:
    """Make operands that are read in rows dense along their last axis."""
    copies: dict[SSAValue, SSAValue] = {}
    made: dict[Operation, None] = {}
    for op in list(block.ops):
        for index, operand in enumerate(op.operands[: reads_rows(op)]):
            if is_dense_inside(operand):
                continue
            if operand not in copies:
                logger.debug("%s: operand %d is copied", location_of(op), index)
                copy = copy_dispatch(operand)
                copy_location(op, copy)
                block.insert_op_before(copy, op)
                copies[operand] = copy.res[0]
                made[copy] = None
            op.operands[index] = copies[operand]
    return made


def form_dispatches(block: Block) -> Counter[str]:
    """Group all that computes in `block`; count the dispatches by kind."""
    erase_dead(block)
    copies = copy_scattered_operands(block)
    groups = Grouping(block).run()
    build_all(block, groups)
    erase_dead(block)
    return Counter({"copy": len(copies)}) + Counter(str(g.kind) for g in groups)


@dataclass(frozen=True)
class FormDispatchesPass(ModulePass):
    """Group ops into dispatches."""

    name: ClassVar[str] = "form-dispatches"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Form the dispatches of every function, branch and loop."""
        _ = ctx
        for block in program_blocks(op):
            counts = form_dispatches(block)
            logger.debug("form-dispatches: %s", dict(counts))
