"""Branches and loops: what is simplified means the same."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Region, SSAValue
from xdsl.utils.arg_spec import ArgSpec

from nnc.dialects.nn.control import COUNT, FLAG, IfOp, LoopOp
from nnc.dialects.nn.elementwise import AddOp, ExpOp, MulOp, NegOp
from nnc.dialects.nn.structure import YieldOp
from nnc.dialects.nn.types import F32, tensor_type
from nnc.symbolic import Dim
from nnc.testing import random_inputs
from nnc.testing_passes import Network, check_passes_keep_meaning

VECTOR = tensor_type(F32, (4,))
T = Dim.symbol("T")
PASSES = (
    "canonicalize-nn,simplify-control-flow,fold-constants,eliminate-common-ops,"
    "decompose-nn,choose-layout,simplify-control-flow,form-dispatches,"
    "pack-weights{target=avx2},fold-constants,verify-dispatched"
)


def loop_network(trips: int | Dim) -> Network:
    """A loop with something of everything: invariant, unused, constant."""

    def build(net: Network, h: SSAValue, x: SSAValue, b: SSAValue) -> list[SSAValue]:
        weight = net.weight(4)
        ones = net.constant(np.ones(4, np.float32))
        body = Block(arg_types=[COUNT, *[VECTOR] * 7])
        _, h0, k0, unused, x0, w0, b0, o0 = body.args
        exp = ExpOp(b0)
        product = MulOp(h0, w0)
        added = AddOp(product, exp)
        more = AddOp(added, x0)
        once = AddOp(more, o0)
        other = NegOp(unused)
        body.add_ops([exp, product, added, more, once, other])
        body.add_op(YieldOp(once, k0, other, added, once))
        loop = LoopOp(Region(body), [h, b, b], [x], [weight, b, ones], trips=trips)
        net.block.add_op(loop)
        return [loop.res[0], loop.res[1], loop.res[3], loop.res[4]]

    matrix = tensor_type(F32, (trips, 4))
    return Network([VECTOR, matrix, VECTOR], build)


@pytest.mark.parametrize("trips", [T, 5, 1])
def test_a_loop_keeps_its_meaning(trips: int | Dim) -> None:
    check_passes_keep_meaning(loop_network(trips), PASSES, T=3)


def test_invariants_leave_the_loop() -> None:
    network = loop_network(T)
    for spec in ("canonicalize-nn", "simplify-control-flow"):
        network.apply(ArgSpec(spec, {}))
    (main,) = network.module.ops
    assert isinstance(main, FuncOp)
    (loop,) = (op for op in main.walk() if isinstance(op, LoopOp))
    assert len(loop.initial) == 1
    assert len(loop.captured) == 1
    assert "nn.exp" in network.names()
    assert "nn.exp" not in [op.name for op in loop.block.ops]
    assert "nn.weight" not in network.names()


@pytest.mark.parametrize("condition", [True, False, None])
def test_a_branch_keeps_its_meaning(condition: bool | None) -> None:
    def build(net: Network, c: SSAValue, x: SSAValue, y: SSAValue) -> list[SSAValue]:
        if condition is not None:
            c = net.constant(np.array(condition))
        weight = net.weight(4)
        then, other = Block(arg_types=[VECTOR] * 4), Block(arg_types=[VECTOR] * 4)
        added = AddOp(then.args[0], then.args[2])
        then.add_ops([added, YieldOp(added, then.args[1], added)])
        product = MulOp(other.args[0], other.args[3])
        other.add_ops([product, YieldOp(product, other.args[1], product)])
        branch = IfOp(c, [x, y, y, weight], Region(then), Region(other))
        net.block.add_op(branch)
        return [branch.res[0], branch.res[1]]

    network = Network([FLAG, VECTOR, VECTOR], build)
    inputs = random_inputs(network.module)
    for flag in (True, False):
        inputs[0] = np.array(flag)
        network.run(inputs)
    check_passes_keep_meaning(network, PASSES)
    names = network.names()
    assert ("nn.if" in names) == (condition is None)
