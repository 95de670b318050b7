"""
verify-dispatched: the border between optimising `nn` and lowering it.

Changes nothing. Fails unless, in every function, branch and loop,

- outside of dispatches there are only constants, weights, dims, views, concat, constant
  pads, branches, loops and the terminator, and
- every dispatch has one of the forms of `nnc.analysis.dispatches`.

All violations are reported at once, each with its op and source node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from nnc.analysis.dispatches import classify
from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.structure import DispatchOp, YieldOp
from nnc.errors import VerifyError
from nnc.transforms.dispatching.values import is_top_level
from nnc.transforms.regions import program_blocks


def problem_with(op: Operation) -> str | None:
    """Why `op` may not stand outside of dispatches as it is; None if it may."""
    if isinstance(op, DispatchOp):
        try:
            classify(op)
        except VerifyException as error:
            return f"nn.dispatch of '{location_of(op)}': {error}"
        return None
    if isinstance(op, ReturnOp | YieldOp) or is_top_level(op):
        return None
    return f"{op.name} of '{location_of(op)}' is not in a dispatch"


@dataclass(frozen=True)
class VerifyDispatchedPass(ModulePass):
    """Check that a module is ready for bufferization."""

    name: ClassVar[str] = "verify-dispatched"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Raise one error that lists all violations."""
        _ = ctx
        problems = [
            problem
            for block in program_blocks(op)
            for inner in block.ops
            if (problem := problem_with(inner)) is not None
        ]
        if problems:
            raise VerifyError(
                "the module is not ready for lowering:\n  - " + "\n  - ".join(problems)
            )
