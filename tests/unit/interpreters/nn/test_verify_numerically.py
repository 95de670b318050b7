"""A wrong pass among right ones is named, with the interpreter as judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass, PassPipeline
from xdsl.rewriter import Rewriter

from nnc.context import NncContext
from nnc.dialects.nn import ConvOp
from nnc.dialects.nn.constants import make_constant
from nnc.dialects.nn.elementwise import ReluOp, SigmoidOp, TanhOp
from nnc.dialects.nn.types import F32, tensor_type
from nnc.errors import VerifyError
from nnc.interpreters.nn import run_module
from nnc.symbolic import Dim
from nnc.testing import module_of
from nnc.transforms.fold_constants import FoldConstantsPass
from nnc.verification import NumericalVerifier


@dataclass(frozen=True)
class ReluToSigmoidPass(ModulePass):
    """A rewrite that no verifier objects to."""

    name = "relu-to-sigmoid"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Replace each relu."""
        for inner in list(op.walk()):
            if isinstance(inner, ReluOp):
                Rewriter.replace_op(inner, SigmoidOp(inner.operand))


@dataclass(frozen=True)
class SwapPaddingPass(ModulePass):
    """Pads at the other ends: the shapes stay."""

    name = "swap-padding"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Change each convolution in place."""
        for inner in op.walk():
            if isinstance(inner, ConvOp):
                low, high = inner.low_padding, inner.high_padding
                inner.properties["padding"] = type(inner.padding)([*high, *low])


def verify(*passes: ModulePass) -> None:
    ctx = NncContext()
    n = Dim.symbol("N")
    filter_ = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    weight = make_constant(filter_.transpose(0, 1, 3, 2), "w", ctx.weights)
    module = module_of(
        lambda block: [
            weight,
            conv := ConvOp(block.args[0], weight, padding=[0, 0, 1, 1]),
            relu := ReluOp(conv),
            TanhOp(relu),
        ],
        [tensor_type(F32, [n, 3, 8, 8])],
    )
    verifier = NumericalVerifier(lambda m, inputs: run_module(m, ctx.weights, inputs))
    PassPipeline(passes, verifier).apply(ctx, module)


def test_right_passes_are_fine():
    verify(FoldConstantsPass(), FoldConstantsPass())


@pytest.mark.parametrize("wrong", [ReluToSigmoidPass(), SwapPaddingPass()])
def test_the_wrong_pass_is_named(wrong: ModulePass):
    message = (
        rf"pass '{wrong.name}' changed the answer: output 0 is off by .*"
        r"worst at \[\d, \d, \d, \d\]: [-.\d]+ instead of [-.\d]+"
    )
    with pytest.raises(VerifyError, match=message):
        verify(FoldConstantsPass(), wrong, FoldConstantsPass())
