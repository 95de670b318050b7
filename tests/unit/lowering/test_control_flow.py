"""Branches and loops, compiled: outputs are those of the interpreter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from xdsl.ir import Block, Region, SSAValue

import nnc
from nnc.dialects.nn.control import COUNT, FLAG, IfOp, LoopOp
from nnc.dialects.nn.elementwise import (
    AddOp,
    CastOp,
    CompareOp,
    ExpOp,
    MulOp,
    NegOp,
    TanhOp,
)
from nnc.dialects.nn.linear import MatmulOp
from nnc.dialects.nn.movement import BroadcastOp, DimCastOp, ReshapeOp
from nnc.dialects.nn.structure import YieldOp
from nnc.dialects.nn.types import F32, tensor_type
from nnc.errors import InputError
from nnc.module import Module
from nnc.symbolic import Dim
from nnc.testing import compare, random_inputs
from nnc.testing_passes import Network

T, N = Dim.symbol("T"), Dim.symbol("N")
VECTOR = tensor_type(F32, (4,))
SCALAR = tensor_type(F32, ())


def check(
    network: Network, sizes: Mapping[str, int], *inputs: NDArray[np.generic]
) -> nnc.CompiledModel:
    """Compile a network, run it twice, compare with the interpreter."""
    arrays = list(inputs) or random_inputs(network.module, sizes=sizes)
    exe = nnc.compile(Module(network.module, network.ctx))
    expected = network.run(arrays)
    for _ in range(2):
        outputs = exe(*arrays)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for ours, theirs in zip(outputs, expected, strict=True):
            compare(ours, theirs, rtol=1e-4, atol=1e-5)
    assert isinstance(exe, nnc.CompiledModel)
    return exe


def recurrence(net: Network, h: SSAValue, x: SSAValue) -> list[SSAValue]:
    """`h = tanh(h R + x[t])`, all of them stacked too."""
    r = net.weight(8, 8)
    body = Block(arg_types=[COUNT, h.type, h.type, r.type])
    product = MatmulOp(body.args[1], body.args[3])
    added = AddOp(product, body.args[2])
    tanh = TanhOp(added)
    body.add_ops([product, added, tanh, YieldOp(tanh, tanh)])
    loop = LoopOp(Region(body), [h], [x], [r], trips=T)
    net.block.add_op(loop)
    return list(loop.res)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 8])
def test_recurrence(steps: int) -> None:
    state = tensor_type(F32, (N, 8))
    network = Network([state, tensor_type(F32, (T, N, 8))], recurrence)
    exe = check(network, {"T": steps, "N": 3})
    assert len(exe.info.kernels) <= 3
    for ours in (5, 0, 2):
        inputs = random_inputs(network.module, sizes={"T": ours, "N": 2})
        for a, b in zip(exe(*inputs), network.run(inputs), strict=True):
            compare(a, b, rtol=1e-4, atol=1e-5)


def nested(net: Network, a: SSAValue, x: SSAValue) -> list[SSAValue]:
    """Sums of the rows of a matrix, by a loop in a loop; the numbers take part."""
    inner = Block(arg_types=[COUNT, SCALAR, SCALAR, COUNT])
    number = CastOp(inner.args[0], F32)
    row = CastOp(inner.args[3], F32)
    first, second, third = AddOp(inner.args[1], inner.args[2]), None, None
    second = AddOp(first, number)
    third = AddOp(second, row)
    inner.add_ops([number, row, first, second, third, YieldOp(third, third)])
    outer = Block(arg_types=[COUNT, SCALAR, tensor_type(F32, (N,))])
    loop = LoopOp(
        Region(inner), [outer.args[1]], [outer.args[2]], [outer.args[0]], trips=N
    )
    outer.add_ops([loop, YieldOp(loop.res[0], loop.res[1])])
    whole = LoopOp(Region(outer), [a], [x], trips=T)
    net.block.add_op(whole)
    return list(whole.res)


@pytest.mark.parametrize(("rows", "columns"), [(3, 5), (4, 2), (0, 3), (3, 0), (1, 1)])
def test_loops_in_loops(rows: int, columns: int) -> None:
    network = Network([SCALAR, tensor_type(F32, (T, N))], nested)
    check(network, {"T": rows, "N": columns})


def until(net: Network, n: SSAValue, flag: SSAValue, x: SSAValue) -> list[SSAValue]:
    """Add until the sum is large; carried values change places."""
    limit = net.constant(np.array(20.0, np.float32))
    body = Block(arg_types=[COUNT, SCALAR, SCALAR, SCALAR])
    added = AddOp(body.args[1], body.args[2])
    more = CompareOp(added, body.args[3], "lt")
    body.add_ops([added, more, YieldOp(more, body.args[2], added)])
    loop = LoopOp(Region(body), [x, x], [], [limit], count=n, condition=flag)
    net.block.add_op(loop)
    twice = net.add(AddOp(loop.res[0], loop.res[1]))
    return [*loop.res, twice]


@pytest.mark.parametrize("count", [-1, 0, 1, 2, 3, 100])
@pytest.mark.parametrize("flag", [True, False])
def test_counts_and_conditions_are_data(count: int, flag: bool) -> None:
    network = Network([COUNT, FLAG, SCALAR], until)
    check(network, {}, np.array(count), np.array(flag), np.array(1.0, np.float32))


def branches(net: Network, c: SSAValue, x: SSAValue, y: SSAValue) -> list[SSAValue]:
    """Two branches with several ops each, whose results are read once more."""
    then, other = (Block(arg_types=[VECTOR, VECTOR]) for _ in range(2))
    first = ExpOp(then.args[0])
    second = AddOp(first, then.args[1])
    then.add_ops([first, second, YieldOp(second, first, then.args[0])])
    third = NegOp(other.args[1])
    other.add_ops([third, YieldOp(third, other.args[0], third)])
    branch = IfOp(c, [x, y], Region(then), Region(other))
    net.block.add_op(branch)
    return [*branch.res, net.add(MulOp(branch.res[0], branch.res[1]))]


@pytest.mark.parametrize("flag", [True, False])
def test_branches(flag: bool) -> None:
    network = Network([FLAG, VECTOR, VECTOR], branches)
    x = np.arange(4, dtype=np.float32)
    check(network, {}, np.array(flag), x, x + 1)


def test_a_branch_in_a_loop() -> None:
    def build(net: Network, x: SSAValue, data: SSAValue) -> list[SSAValue]:
        zero = net.constant(np.array(0.0, np.float32))
        body = Block(arg_types=[COUNT, SCALAR, SCALAR, SCALAR])
        positive = CompareOp(body.args[2], body.args[3], "gt")
        then, other = (Block(arg_types=[SCALAR, SCALAR]) for _ in range(2))
        added = AddOp(then.args[0], then.args[1])
        then.add_ops([added, YieldOp(added)])
        other.add_op(YieldOp(other.args[0]))
        arguments = [body.args[1], body.args[2]]
        branch = IfOp(positive, arguments, Region(then), Region(other))
        body.add_ops([positive, branch, YieldOp(branch.res[0])])
        loop = LoopOp(Region(body), [x], [data], [zero], trips=T)
        net.block.add_op(loop)
        return [*loop.res]

    network = Network([SCALAR, tensor_type(F32, (T,))], build)
    values = np.array([1, -2, 3, -4, 5, 6, -7], np.float32)
    check(network, {}, np.array(0.5, np.float32), values)


def test_sizes_count_only_in_the_branch_that_needs_them() -> None:
    vector = tensor_type(F32, (N,))

    def build(net: Network, c: SSAValue, x: SSAValue) -> list[SSAValue]:
        then, other = (Block(arg_types=[vector]) for _ in range(2))
        cast = DimCastOp(then.args[0], (4,))
        square = ReshapeOp(cast, (2, 2))
        exp = ExpOp(square)
        flat = ReshapeOp(exp, (4,))
        back = DimCastOp(flat, (N,))
        then.add_ops([cast, square, exp, flat, back, YieldOp(back)])
        negated = NegOp(other.args[0])
        other.add_ops([negated, YieldOp(negated)])
        branch = IfOp(c, [x], Region(then), Region(other))
        net.block.add_op(branch)
        return [*branch.res]

    network = Network([FLAG, vector], build)
    exe = check(network, {}, np.array(True), np.ones(4, np.float32))
    compare(exe(np.array(False), np.ones(5, np.float32)), -np.ones(5, np.float32))
    with pytest.raises(InputError, match="N = 5: node .* needs"):
        exe(np.array(True), np.ones(5, np.float32))
    check(network, {}, np.array(True), np.ones(4, np.float32))


@pytest.mark.parametrize("is_read_later", [True, False])
def test_initial_values_that_others_read_are_not_overwritten(
    is_read_later: bool,
) -> None:
    """Also not where the loop reads them through views."""
    matrix = tensor_type(F32, (4, 1))

    def build(net: Network, x: SSAValue) -> list[SSAValue]:
        exp = net.add(ExpOp(x))
        start = net.add(ReshapeOp(exp, (4, 1)))
        body = Block(arg_types=[COUNT, matrix, VECTOR])
        column = ReshapeOp(body.args[2], (4, 1))
        added = AddOp(body.args[1], column)
        body.add_ops([column, added, YieldOp(added)])
        loop = LoopOp(Region(body), [start], [], [exp], trips=3)
        net.block.add_op(loop)
        later = [net.add(NegOp(exp))] if is_read_later else []
        return [*loop.res, *later]

    check(Network([VECTOR], build), {})


def test_a_captured_value_is_spread_in_a_loop() -> None:
    def build(net: Network, x: SSAValue, y: SSAValue) -> list[SSAValue]:
        body = Block(arg_types=[COUNT, x.type, SCALAR])
        spread = BroadcastOp(body.args[2], (T, 4))
        added = AddOp(body.args[1], spread)
        body.add_ops([spread, added, YieldOp(added)])
        loop = LoopOp(Region(body), [x], [], [y], trips=5)
        net.block.add_op(loop)
        return [*loop.res, x]

    check(Network([tensor_type(F32, (T, 4)), SCALAR], build), {"T": 3})
