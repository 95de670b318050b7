"""
canonicalize-nn: local simplifications, and one form for what can be said in several.

Before::

    %0 = nn.transpose %x {permutation = array<i64: 0, 2, 3, 1>}
    %1 = nn.transpose %0 {permutation = array<i64: 0, 3, 1, 2>}
    %2 = nn.maximum %1, %zero
    %3 = nn.reduce %2 {keep_dims = false, ...}

After::

    %2 = nn.relu %x
    %3 = nn.reduce %2 {keep_dims = true, ...}
    %4 = nn.reshape %3

On entry: any `nn` module. On exit: no pattern of the `canonicalization` folder matches,
and no op is without uses. Reductions keep dims; constant scalars stand right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from nnc.context import weights_of
from nnc.transforms.canonicalization import algebra, reductions, views
from nnc.transforms.worklist import PatternTable, rewrite

PATTERNS: PatternTable = {
    **views.PATTERNS,
    **algebra.PATTERNS,
    **reductions.PATTERNS,
}


@dataclass(frozen=True)
class CanonicalizeNnPass(ModulePass):
    """Simplify `nn` ops locally."""

    name: ClassVar[str] = "canonicalize-nn"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Run all canonicalisation patterns."""
        rewrite(op, PATTERNS, weights_of(ctx))
