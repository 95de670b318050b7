"""Forget the weights that no op refers to, so that their memory can be reused."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.passes import ModulePass

from nnc.context import weights_of


@dataclass(frozen=True)
class DropUnusedWeightsPass(ModulePass):
    """Drops weights that no op names as its `resource`."""

    name = "drop-unused-weights"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Keep the named resources only; the module does not change."""
        names = (inner.properties.get("resource") for inner in op.walk())
        weights_of(ctx).retain(n.data for n in names if isinstance(n, StringAttr))
