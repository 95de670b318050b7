"""
split-reductions: large reductions with few results become two, which threads can share.

Before::

    %0 = nn.reduce %x {kind = "mean", axes = array<i64: 1, 2>, keep_dims = true}
        : (tensor<1x160x160x96xf32>) -> tensor<1x1x1x96xf32>

After::

    %1 = nn.reduce %x {kind = "mean", axes = array<i64: 2>, keep_dims = true}
        : (tensor<1x160x160x96xf32>) -> tensor<1x160x1x96xf32>
    %0 = nn.reduce %1 {kind = "mean", axes = array<i64: 1>, keep_dims = true}

A row of a reduction is one task, whatever the number of threads: so results do not
depend on it. Global pooling has few rows, but its inner sums are many. The first
reduced axis is left for the second step. Sums get more exact on the way: they are
sums of shorter sums.

Reductions that are part of a row program (whatever goes back to the full shape, like
a normalisation) stay whole, since their rows stay in the cache between the phases; so
do those of types whose partial results would be rounded more, or truncated.

On entry: any `nn` module; reductions keep their dims. On exit: the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from xdsl.context import Context
from xdsl.dialects.builtin import Float32Type, Float64Type, ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from nnc.analysis.dispatches import ELEMENTWISE, VIEWS
from nnc.context import weights_of
from nnc.dialects.nn.movement import BroadcastOp
from nnc.dialects.nn.reduction import ReduceOp
from nnc.dialects.nn.types import dims_of, element_type_of, is_float
from nnc.symbolic import Dim, dim_product
from nnc.transforms.canonicalization.reductions import kind_of
from nnc.transforms.worklist import PatternContext, rewrite

LARGE: Final = 1 << 18
"""Elements that take one thread 10 to 20 microseconds."""

MANY_RESULTS: Final = 1024
"""So many are tasks enough, also where a task does several vectors of them."""

_LOOKED_AT: Final = 64


def split_reduction(op: ReduceOp, ctx: PatternContext) -> SSAValue | None:
    """`reduce {axes = [a, b]}` → `reduce {axes = [b]}`, `reduce {axes = [a]}`."""
    dims = dims_of(op.operand)
    axes = [a for a in op.reduced_axes if dims[a] != 1]
    if len(axes) < 2 or not op.keep_dims.value.data or not _is_exact(op):
        return None
    results = dim_product(d for a, d in enumerate(dims) if a not in axes)
    elements = dim_product(dims).as_int()
    if elements is not None and elements < LARGE:
        return None
    if _at_least(results) >= MANY_RESULTS or _goes_back(op):
        return None
    outer, *inner = axes
    partial = ctx.add(ReduceOp(op.operand, kind_of(op), inner)).result
    return ctx.add(ReduceOp(partial, kind_of(op), [outer])).result


def _is_exact(op: ReduceOp) -> bool:
    """Whether partial results have the precision of the sums."""
    type_ = element_type_of(op.operand)
    if isinstance(type_, Float32Type | Float64Type):
        return True
    return not is_float(type_) and kind_of(op) != "mean"


def _at_least(size: Dim) -> int:
    """The value of an expression if all unknown sizes are 1."""
    return size.evaluate(dict.fromkeys(size.symbols, 1))


def _goes_back(op: ReduceOp) -> bool:
    """Whether elementwise ops bring the result back to the shape that was reduced."""
    full = dims_of(op.operand)
    seen: set[Operation] = set()
    pending: list[SSAValue] = [op.result]
    while pending and len(seen) < _LOOKED_AT:
        for use in pending.pop().uses:
            user = use.operation
            if user in seen or type(user) not in _FOLLOWED:
                continue
            seen.add(user)
            if isinstance(user, BroadcastOp) and dims_of(user.result) == full:
                return True
            pending.extend(user.results)
    return False


_FOLLOWED: Final = ELEMENTWISE | VIEWS


@dataclass(frozen=True)
class SplitReductionsPass(ModulePass):
    """Make two of large reductions with few results."""

    name: ClassVar[str] = "split-reductions"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Visit all reductions."""
        rewrite(op, {ReduceOp: (split_reduction,)}, weights_of(ctx))
