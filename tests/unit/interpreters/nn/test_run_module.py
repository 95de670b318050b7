"""Running modules: inputs, symbols, dispatches, weights, errors, memory."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.dialects.func import Func
from xdsl.interpreter import Interpreter, OpCounter, PythonValues
from xdsl.ir import Operation
from xdsl.parser import Parser

from nnc.context import NncContext
from nnc.dialects.nn import NN
from nnc.errors import (
    DivisionByZero,
    IndexOutOfRange,
    InputError,
    InternalError,
    ModelError,
    RunError,
)
from nnc.interpreters.nn import (
    GROUPS,
    evaluate_op,
    has_reference,
    interpreter_for,
    run_module,
)
from nnc.interpreters.nn.environment import Environment
from nnc.testing import compare
from nnc.weights import WeightStore

Array = NDArray[Any]


def parse(text: str) -> ModuleOp:
    ctx = NncContext()
    for dialect in (Arith, Builtin, Func, NN):
        ctx.load_dialect(dialect)
    module = Parser(ctx, text).parse_module()
    module.verify()
    return module


def run(text: str, *inputs: Array, weights: WeightStore | None = None) -> list[Array]:
    return run_module(parse(text), weights or WeightStore(), inputs)


SYMBOLIC = """
func.func @main(%x: tensor<?x?xf32, #nn.shape<N, N + 1>> {nn.name = "image"},
                %y: tensor<?xf32, #nn.shape<2*M - 1>> {nn.name = "1"})
    -> (tensor<2xi64>) {
  %d = nn.dims <N floordiv 2, M> : tensor<2xi64>
  func.return %d : tensor<2xi64>
}
"""


def zeros(*shape: int) -> Array:
    return np.zeros(shape, np.float32)


def test_every_op_but_the_terminator_has_a_reference():
    known = {op for group in GROUPS.values() for op in group}
    missing = {op.name for op in NN.operations if op not in known}
    # Those with regions, and steps of programs, are run by the interpreter itself.
    regions = {"nn.yield", "nn.dispatch", "nn.if", "nn.loop"}
    assert missing == regions | {"nn.define_dims", "nn.host", "nn.run_stage"}


def test_symbols_take_their_values_from_the_inputs():
    (dims,) = run(SYMBOLIC, zeros(5, 6), zeros(7))
    compare(dims, np.array([2, 4]))


def test_inputs_by_name():
    inputs = {"1": zeros(1), "image": zeros(2, 3)}
    (dims,) = run_module(parse(SYMBOLIC), WeightStore(), inputs)
    compare(dims, np.array([1, 1]))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([zeros(2, 3)], r"expected 2 inputs \['image', '1'\], got 1"),
        ({"image": zeros(2, 3)}, r"missing input \['1'\]"),
        (
            {"image": zeros(2, 3), "1": zeros(1), "z": zeros(1)},
            r"unknown inputs \['z'\]; the model has \['image', '1'\]",
        ),
        ([zeros(2), zeros(1)], r"input 'image' must have rank 2, got shape \[2\]"),
        (
            [np.zeros((2, 3)), zeros(1)],
            "input 'image' must be float32, got float64",
        ),
        (
            [zeros(2, 4), zeros(1)],
            r"input 'image': axis 1 must have size N \+ 1 = 3, got 4",
        ),
        ([zeros(2, 3), zeros(2)], r"input '1': no value for size 2\*M - 1 of axis 0"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs: Any, message: str):
    with pytest.raises(InputError, match=message):
        run_module(parse(SYMBOLIC), WeightStore(), inputs)


def test_a_fixed_size_is_checked():
    text = """func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
      func.return %x : tensor<3xf32>
    }"""
    with pytest.raises(InputError, match="'arg0': axis 0 must have size 3, got 4"):
        run(text, zeros(4))


def test_a_module_without_main_is_refused():
    with pytest.raises(ModelError, match="no function @main"):
        run("func.func @other() { func.return }")


DISPATCH = """
func.func @main(%x: tensor<?x3xf32, #nn.shape<N, 3>>)
    -> (tensor<?x3xf32, #nn.shape<N, 3>>, tensor<?x3xf32, #nn.shape<N, 3>>) {
  %r, %s = nn.dispatch(%x) : (tensor<?x3xf32, #nn.shape<N, 3>>)
      -> (tensor<?x3xf32, #nn.shape<N, 3>>, tensor<?x3xf32, #nn.shape<N, 3>>) {
  ^bb0(%a: tensor<?x3xf32, #nn.shape<N, 3>>):
    %c = nn.constant dense<2.0> : tensor<f32>
    %b = nn.broadcast %c : (tensor<f32>) -> tensor<?x3xf32, #nn.shape<N, 3>>
    %p = nn.mul %a, %b : (tensor<?x3xf32, #nn.shape<N, 3>>,
        tensor<?x3xf32, #nn.shape<N, 3>>) -> tensor<?x3xf32, #nn.shape<N, 3>>
    %q = nn.neg %p : (tensor<?x3xf32, #nn.shape<N, 3>>)
        -> tensor<?x3xf32, #nn.shape<N, 3>>
    nn.yield %q, %p : tensor<?x3xf32, #nn.shape<N, 3>>,
        tensor<?x3xf32, #nn.shape<N, 3>>
  }
  func.return %r, %s : tensor<?x3xf32, #nn.shape<N, 3>>,
      tensor<?x3xf32, #nn.shape<N, 3>>
}
"""


def test_dispatches_run_their_region():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    first, second = run(DISPATCH, x)
    compare(first, -2 * x)
    compare(second, 2 * x)


def test_evaluate_op_runs_dispatches_too():
    (dispatch,) = (op for op in parse(DISPATCH).walk() if op.name == "nn.dispatch")
    x = np.ones((4, 3), np.float32)
    first, second = evaluate_op(dispatch, [x], {"N": 4})
    compare(first, -2 * x)
    compare(second, 2 * x)


def test_evaluate_op_refuses_what_it_does_not_know():
    (op,) = parse("func.func @main() { func.return }").body.block.ops
    assert not has_reference(op)
    with pytest.raises(InternalError, match="func.func has no reference"):
        evaluate_op(op, [])


WEIGHT = """func.func @main() -> tensor<2xf32> {
  %w = nn.weight "conv.w" {loc_name = "conv1"} : tensor<2xf32>
  func.return %w : tensor<2xf32>
}"""


def test_weights_come_from_the_store():
    weights = WeightStore()
    weights.add("conv.w", np.array([1, 2], np.float32))
    (result,) = run(WEIGHT, weights=weights)
    compare(result, np.array([1, 2], np.float32))
    with pytest.raises(RunError, match="node 'conv1': weight 'conv.w' has no data"):
        run(WEIGHT)


def test_a_weight_of_another_shape_is_a_bug():
    weights = WeightStore()
    weights.add("conv.w", np.zeros(3, np.float32))
    with pytest.raises(InternalError, match=r"float32\[3\], the type is tensor<2xf32>"):
        run(WEIGHT, weights=weights)


@pytest.mark.parametrize(
    ("text", "inputs", "error"),
    [
        (
            """func.func @main(%x: tensor<2xi32>, %y: tensor<2xi32>) -> tensor<2xi32> {
            %0 = nn.div %x, %y {loc_name = "layer/div"}
              : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>
            func.return %0 : tensor<2xi32> }""",
            (np.ones(2, np.int32), np.zeros(2, np.int32)),
            DivisionByZero,
        ),
        (
            """func.func @main(%x: tensor<2xi32>, %y: tensor<2xi32>) -> tensor<2xi32> {
            %0 = nn.gather %x, %y {axis = 0 : i64, loc_name = "layer/div"}
              : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>
            func.return %0 : tensor<2xi32> }""",
            (np.ones(2, np.int32), np.full(2, 9, np.int32)),
            IndexOutOfRange,
        ),
    ],
)
def test_errors_of_the_data_name_the_source_node(
    text: str, inputs: tuple[Array, ...], error: type[RunError]
):
    with pytest.raises(error, match="node 'layer/div'"):
        run(text, *inputs)


def test_results_are_contiguous():
    text = """func.func @main(%x: tensor<2x3xf32>) -> tensor<3x2xf32> {
      %0 = nn.transpose %x {permutation = array<i64: 1, 0>}
        : (tensor<2x3xf32>) -> tensor<3x2xf32>
      func.return %0 : tensor<3x2xf32>
    }"""
    (result,) = run(text, zeros(2, 3))
    assert result.flags.c_contiguous


CHAIN = """func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = nn.neg %x : (tensor<4xf32>) -> tensor<4xf32>
  %1 = nn.neg %0 : (tensor<4xf32>) -> tensor<4xf32>
  %2 = nn.neg %1 : (tensor<4xf32>) -> tensor<4xf32>
  %3 = nn.add %2, %1 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %3 : tensor<4xf32>
}"""


def test_values_are_dropped_after_their_last_use():
    alive: list[int] = []
    known: list[weakref.ref[Array]] = []

    class CountAlive(Interpreter.Listener):
        def did_interpret_op(self, op: Operation, results: PythonValues) -> None:
            known.extend(map(weakref.ref, results))
            gc.collect()
            alive.append(sum(r() is not None for r in known))

    run_module(parse(CHAIN), WeightStore(), [zeros(4)], [CountAlive()])
    # The operands of the running op are still held; `%0` is not by the last ones.
    assert alive == [1, 2, 2, 3]


def test_listeners_see_every_op():
    counter = OpCounter()
    run_module(parse(CHAIN), WeightStore(), [zeros(4)], [counter])
    assert counter.ops == {"nn.neg": 3, "nn.add": 1}


def test_the_xdsl_interpreter_runs_functions():
    interpreter = interpreter_for(parse(CHAIN), Environment())
    (result,) = interpreter.call_op("main", (np.ones(4, np.float32),))
    compare(result, zeros(4))
