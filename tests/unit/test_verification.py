"""The numerical verifier names the pass that changed the answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, FloatAttr, ModuleOp, StringAttr, f64
from xdsl.dialects.func import Func
from xdsl.parser import Parser
from xdsl.passes import ModulePass, PassPipeline

from nnc.context import NncContext
from nnc.errors import ModelError, RunError, VerifyError
from nnc.interpreters.nn.inputs import main_of
from nnc.random_inputs import Array
from nnc.registry import dialect_factories
from nnc.verification import (
    NumericalVerifier,
    difference,
    random_inputs,
)

TEXT = """\
func.func @main(%x: tensor<?x4xf32, #nn.shape<N, 4>>) -> (tensor<?x4xf32, #nn.shape<N, 4>>) {
  func.return %x : tensor<?x4xf32, #nn.shape<N, 4>>
}
"""  # noqa: E501 # a type is one word


def parse(text: str) -> ModuleOp:
    ctx = NncContext()
    for dialect in (Arith, Builtin, Func):
        ctx.load_dialect(dialect)
    for name, factory in dialect_factories().items():
        ctx.register_dialect(name, factory)
    return Parser(ctx, text).parse_module()


def scaled_by_attribute(module: ModuleOp, inputs: Sequence[Array]) -> list[Array]:
    """An interpreter whose answer depends on what the passes below wrote."""
    factor = module.attributes.get("factor")
    scale = factor.value.data if isinstance(factor, FloatAttr) else 1.0
    return [(x * scale).astype(x.dtype) for x in inputs]


@dataclass(frozen=True)
class MarkPass(ModulePass):
    name = "mark"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        op.attributes["seen"] = StringAttr("yes")


@dataclass(frozen=True)
class RoundPass(ModulePass):
    name = "round"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        op.attributes["factor"] = FloatAttr(1.0 + 1e-6, f64)


@dataclass(frozen=True)
class BreakPass(ModulePass):
    name = "break"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        op.attributes["factor"] = FloatAttr(1.5, f64)


def verify(*passes: ModulePass) -> None:
    verifier = NumericalVerifier(scaled_by_attribute)
    PassPipeline(passes, verifier).apply(Context(), parse(TEXT))


def test_passes_that_keep_the_answer_are_fine():
    verify(MarkPass(), RoundPass(), MarkPass())


def test_the_pass_that_changes_the_answer_is_named():
    with pytest.raises(VerifyError, match="pass 'break' changed the answer: output 0"):
        verify(MarkPass(), RoundPass(), BreakPass(), MarkPass())


def test_the_pass_after_which_nothing_runs_is_named():
    def fails_when_marked(module: ModuleOp, inputs: Sequence[Array]) -> Sequence[Array]:
        if "seen" in module.attributes:
            raise RunError("node 'n': no such op")
        return inputs

    passes = (RoundPass(), MarkPass())
    verifier = NumericalVerifier(fails_when_marked)
    with pytest.raises(VerifyError, match="after pass 'mark': node 'n': no such op"):
        PassPipeline(passes, verifier).apply(Context(), parse(TEXT))


def test_a_module_without_main_is_refused():
    verifier = NumericalVerifier(scaled_by_attribute)
    with pytest.raises(ModelError, match="no function @main"):
        verifier(None, ModuleOp([]), None)


def test_a_lowered_module_is_left_alone():
    def never(module: ModuleOp, inputs: Sequence[Array]) -> list[Array]:
        raise AssertionError

    module = parse("func.func @main() { %0 = arith.constant 1 : i32 func.return }")
    NumericalVerifier(never)(None, module, None)


def test_random_inputs_give_free_dims_a_size():
    type_ = main_of(parse(TEXT)).function_type
    (x,) = random_inputs(type_, {}, np.random.default_rng(0))
    assert x.shape == (2, 4)
    (x,) = random_inputs(type_, {"N": 7}, np.random.default_rng(0))
    assert x.shape == (7, 4)
    assert x.dtype == np.float32


@pytest.mark.parametrize(
    ("actual", "expected", "off"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 3.0], [1.0, 2.0], 0.5),
        ([np.nan, 2.0], [np.nan, 2.0], 0.0),
        ([np.inf, 2.0], [np.inf, 2.0], 0.0),
        ([np.inf, 2.0], [-np.inf, 2.0], np.inf),
        ([np.nan, 2.0], [1.0, 2.0], np.inf),
        ([1.0, 2.0], [np.nan, 2.0], np.inf),
        ([0.0], [0.0], 0.0),
        ([], [], 0.0),
        ([1.0], [1.0, 2.0], np.inf),
    ],
)
def test_difference_is_relative_to_the_largest_value(
    actual: list[float], expected: list[float], off: float
):
    assert difference(np.array(actual), np.array(expected)) == off


def test_difference_of_integers_and_dtypes_is_all_or_nothing():
    ints = np.array([1, 2])
    assert difference(ints, ints) == 0.0
    assert difference(ints, ints + 1) == np.inf
    assert difference(ints, ints.astype(np.int32)) == np.inf
