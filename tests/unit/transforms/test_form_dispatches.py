from __future__ import annotations

import logging
import random

import pytest
from xdsl.dialects.func import FuncOp
from xdsl.ir import OpResult, SSAValue
from xdsl.utils.arg_spec import ArgSpec

from nnc.analysis.dispatches import DispatchKind, classify
from nnc.dialects import nn
from nnc.dialects.nn.elementwise import (
    AbsOp,
    AddOp,
    MulOp,
    NegOp,
    ReluOp,
    SigmoidOp,
    SubOp,
)
from nnc.dialects.nn.types import F32, dims_of, tensor_type
from nnc.symbolic import Dim
from nnc.testing_passes import Network, check_passes_keep_meaning

PIPELINE = "form-dispatches,verify-dispatched"
N = Dim.symbol("N")


def dispatches(network: Network) -> list[nn.DispatchOp]:
    (main,) = network.module.ops
    assert isinstance(main, FuncOp)
    return [op for op in main.body.block.ops if isinstance(op, nn.DispatchOp)]


def kinds(network: Network) -> list[DispatchKind]:
    return [classify(op) for op in dispatches(network)]


def random_network(seed: int) -> Network:
    """Ops on `[N, 4]` that read any values before them, and use many of them."""
    choice = random.Random(seed)

    def step(net: Network, values: list[SSAValue]) -> SSAValue:
        x, y = choice.choice(values), choice.choice(values)
        match choice.randrange(9):
            case 0:
                return net.add(nn.MatmulOp(x, net.weight(4, 4)))
            case 1:
                small = net.add(nn.ReduceOp(x, "max", [1]))
                return net.add(nn.BroadcastOp(small, dims_of(x)))
            case 2:
                small = net.add(nn.ReduceOp(x, "sum", [0]))
                small = net.add(SigmoidOp(small))
                return net.add(nn.BroadcastOp(small, dims_of(x)))
            case 3:
                return net.add(AbsOp(x))
            case 4:
                return net.add(SubOp(x, y))
            case 5:
                both = net.add(nn.ConcatOp([x, y], 1))
                return net.add(nn.SliceOp(both, [0, 2], dims_of(x)))
            case 6:
                return net.add(ReluOp(x))
            case 7:
                total = net.add(nn.CumulativeOp(x, 1))
                scale = net.add(nn.BroadcastOp(net.weight(), dims_of(x)))
                return net.add(MulOp(total, scale))
            case _:
                return net.add(AddOp(x, y))

    def build(net: Network, x: SSAValue, y: SSAValue) -> list[SSAValue]:
        values: list[SSAValue] = [x, y]
        for _ in range(25):
            values.append(step(net, values))
        return choice.sample(values[2:], 4)

    return Network([tensor_type(F32, [N, 4])] * 2, build)


@pytest.mark.parametrize("seed", range(30))
def test_form_dispatches_of_random_graph_keeps_meaning(seed: int) -> None:
    # Verifying the module checks that values are defined before their uses: a group
    # that is not convex could not be ordered.
    network = random_network(seed)
    check_passes_keep_meaning(network, PIPELINE, N=3)


def test_form_dispatches_twice_changes_nothing() -> None:
    network = random_network(3)
    check_passes_keep_meaning(network, PIPELINE, N=3)
    before = str(network.module)
    network.apply(ArgSpec("form-dispatches", {}))
    assert str(network.module) == before


def test_form_dispatches_hard_swish_is_one_epilogue() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        y = net.add(nn.MatmulOp(x, net.weight(4, 5)))
        gate = net.add(SigmoidOp(net.add(NegOp(y))))
        return net.add(AddOp(net.add(MulOp(y, gate)), y))

    network = Network([tensor_type(F32, [N, 4])], build)
    check_passes_keep_meaning(network, PIPELINE, N=3)
    (dispatch,) = dispatches(network)
    assert classify(dispatch) is DispatchKind.CONTRACTION
    assert len(dispatch.res) == 1


def test_form_dispatches_layer_norm_with_residual_is_one_row_program() -> None:
    def build(net: Network, x: SSAValue, y: SSAValue) -> list[SSAValue]:
        total = net.add(AddOp(x, y))
        return [total, net.add(nn.LayerNormOp(total, net.weight(4), net.weight(4)))]

    network = Network([tensor_type(F32, [N, 4])] * 2, build)
    check_passes_keep_meaning(network, f"decompose-nn,{PIPELINE}", N=3)
    assert kinds(network) == [DispatchKind.ROWS]


def test_form_dispatches_operands_are_not_repeated() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        return net.add(AddOp(net.add(ReluOp(x)), net.add(MulOp(x, x))))

    network = Network([tensor_type(F32, [4])], build)
    check_passes_keep_meaning(network, PIPELINE)
    (dispatch,) = dispatches(network)
    assert len(dispatch.arguments) == 1


def test_form_dispatches_attention_makes_five_and_a_copy() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        n, s, _ = dims_of(x)

        def heads(axes: list[int]) -> SSAValue:
            y = net.add(nn.MatmulOp(x, net.weight(8, 8)))
            y = net.add(nn.ReshapeOp(y, [n, s, 2, 4]))
            return net.add(nn.TransposeOp(y, axes))

        scores = net.add(nn.MatmulOp(heads([0, 2, 1, 3]), heads([0, 2, 3, 1])))
        weights = net.add(nn.SoftmaxOp(scores))
        context = net.add(nn.MatmulOp(weights, heads([0, 2, 1, 3])))
        context = net.add(nn.TransposeOp(context, [0, 2, 1, 3]))
        context = net.add(nn.ReshapeOp(context, [n, s, 8]))
        return net.add(nn.MatmulOp(context, net.weight(8, 8)))

    network = Network([tensor_type(F32, [N, Dim.symbol("S"), 8])], build)
    check_passes_keep_meaning(network, f"decompose-nn,{PIPELINE}", N=2, S=5)
    found = kinds(network)
    assert found.count(DispatchKind.CONTRACTION) == 6
    assert found.count(DispatchKind.ROWS) == 1
    assert found.count(DispatchKind.POINTWISE) == 1
    # Merging the heads is part of storing the context.
    last = dispatches(network)[-1]
    producer = last.arguments[0]
    assert isinstance(producer, OpResult)
    assert isinstance(producer.op, nn.DispatchOp)


def test_form_dispatches_reason_to_decline_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        y = net.add(nn.MatmulOp(x, net.weight(4, 4)))
        z = net.add(nn.MatmulOp(y, net.weight(4, 4)))
        sums = net.add(nn.ReduceOp(z, "sum", [0]))
        return net.add(AddOp(y, net.add(nn.BroadcastOp(sums, dims_of(y)))))

    network = Network([tensor_type(F32, [5, 4])], build)
    with caplog.at_level(logging.DEBUG, logger="nnc"):
        check_passes_keep_meaning(network, PIPELINE)
    assert "another operand depends on the group" in caplog.text


def test_form_dispatches_wanted_scalar_is_a_dispatch_of_its_own() -> None:
    def build(net: Network, x: SSAValue) -> list[SSAValue]:
        size = net.add(nn.ReshapeOp(net.add(nn.DimsOp([N * 2])), []))
        from nnc.dialects.nn.elementwise import CastOp

        return [net.add(CastOp(size, F32)), net.add(ReluOp(x))]

    network = Network([tensor_type(F32, [N])], build)
    check_passes_keep_meaning(network, PIPELINE, N=3)
    assert kinds(network) == [DispatchKind.POINTWISE] * 2


def test_form_dispatches_epilogue_reads_what_the_operand_is_made_from() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        first = net.add(SigmoidOp(x))
        y = net.add(nn.MatmulOp(net.add(ReluOp(first)), net.weight(4, 4)))
        return net.add(AddOp(y, first))

    network = Network([tensor_type(F32, [5, 4])], build)
    check_passes_keep_meaning(network, PIPELINE)
    assert kinds(network) == [DispatchKind.POINTWISE, DispatchKind.CONTRACTION]
