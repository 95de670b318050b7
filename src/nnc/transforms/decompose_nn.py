"""
decompose-nn: ops that no kernel computes as one become ops that kernels do.

Before::

    %0 = nn.softmax %x {axis = 1 : i64}

After::

    %0 = nn.reduce %x {kind = "max", axes = array<i64: 1>, keep_dims = true}
    %1 = nn.broadcast %0
    %2 = nn.sub %x, %1
    %3 = nn.exp %2
    %4 = nn.reduce %3 {kind = "sum", ...}
    %5 = nn.reciprocal %4
    %6 = nn.broadcast %5
    %7 = nn.mul %3, %6

`form-dispatches` puts these into one dispatch again, together with what stands around
them, whether they come from here or from a model that was exported in pieces.

On entry: any `nn` module. On exit: only ops of `LEGAL_OPS` compute, and `nn.reduce` is
never a mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from nnc.analysis.dispatches import CONSTANTS, ELEMENTWISE, MOVEMENT
from nnc.context import weights_of
from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.conv import ConvOp, ConvTransposeOp, PoolOp
from nnc.dialects.nn.elementwise import AddOp
from nnc.dialects.nn.linear import MatmulOp, PackOp
from nnc.dialects.nn.movement import PadOp
from nnc.dialects.nn.reduction import (
    ArgReduceOp,
    BatchNormOp,
    CumulativeOp,
    LayerNormOp,
    ReduceOp,
    SoftmaxOp,
)
from nnc.dialects.nn.selection import SELECTION_OPS
from nnc.dialects.nn.structure import WeightOp
from nnc.dialects.nn.winograd import (
    WinogradFilterOp,
    WinogradInputOp,
    WinogradProductOp,
)
from nnc.transforms.decomposition.attention import decompose_attention
from nnc.transforms.decomposition.conv_transpose import (
    decompose_biased,
    decompose_conv_transpose,
)
from nnc.transforms.decomposition.normalization import (
    decompose_batch_norm,
    decompose_layer_norm,
    decompose_mean,
    decompose_softmax,
)
from nnc.transforms.decomposition.padding import decompose_padding
from nnc.transforms.worklist import PatternTable, rewrite

LEGAL_OPS: frozenset[type[Operation]] = frozenset(
    {
        *ELEMENTWISE,
        *MOVEMENT,
        *CONSTANTS,
        WeightOp,
        MatmulOp,
        AttentionOp,
        PackOp,
        ConvOp,
        PoolOp,
        WinogradFilterOp,
        WinogradInputOp,
        WinogradProductOp,
        ReduceOp,
        ArgReduceOp,
        CumulativeOp,
        *SELECTION_OPS,
    }
)
"""What there are kernels for (`nn.reduce`: not of kind mean; some `nn.attention`)."""

BIASED_PATTERNS: PatternTable = {AddOp: (decompose_biased,)}
"""Run first: they look at composite ops together with their users."""

PATTERNS: PatternTable = {
    AttentionOp: (decompose_attention,),
    SoftmaxOp: (decompose_softmax,),
    LayerNormOp: (decompose_layer_norm,),
    BatchNormOp: (decompose_batch_norm,),
    ConvTransposeOp: (decompose_conv_transpose,),
    ReduceOp: (decompose_mean,),
    PadOp: (decompose_padding,),
}


@dataclass(frozen=True)
class DecomposeNnPass(ModulePass):
    """Take composite ops apart."""

    name: ClassVar[str] = "decompose-nn"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Run the decompositions until none applies."""
        rewrite(op, BIASED_PATTERNS, weights_of(ctx))
        rewrite(op, PATTERNS, weights_of(ctx))
