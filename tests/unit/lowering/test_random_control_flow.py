"""Random programs of branches and loops, compiled: as the interpreter says."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from xdsl.ir import Block, Operation, Region, SSAValue

import nnc
from nnc.dialects.nn.control import COUNT, IfOp, LoopOp
from nnc.dialects.nn.elementwise import (
    AddOp,
    CastOp,
    CompareOp,
    MaximumOp,
    MulOp,
    NegOp,
    TanhOp,
)
from nnc.dialects.nn.movement import BroadcastOp, ConcatOp, ReshapeOp, SliceOp
from nnc.dialects.nn.reduction import ReduceOp
from nnc.dialects.nn.structure import YieldOp
from nnc.dialects.nn.types import F32, tensor_type
from nnc.module import Module
from nnc.symbolic import Dim
from nnc.testing import compare
from nnc.testing_passes import Network

T = Dim.symbol("T")
VECTOR = tensor_type(F32, (4,))
ROWS = tensor_type(F32, (T, 4))


class Writer:
    """Appends random ops to blocks."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def add(self, block: Block, op: Operation) -> SSAValue:
        """The first result of an op at the end of a block."""
        block.add_op(op)
        return op.results[0]

    def pick(self, values: Sequence[SSAValue], count: int) -> list[SSAValue]:
        """Any of the values, perhaps the same several times."""
        return [self.random.choice(values) for _ in range(count)]

    def vectors(
        self, block: Block, values: Sequence[SSAValue], rows: SSAValue, depth: int
    ) -> list[SSAValue]:
        """The given vectors and more, computed from them."""
        known = list(values)
        for _ in range(self.random.randint(1, 4)):
            kind = self.random.randrange(8 if depth else 5)
            a, b = self.pick(known, 2)
            if kind == 0:
                known.append(self.add(block, TanhOp(a)))
            elif kind == 1:
                known.append(self.add(block, AddOp(a, b)))
            elif kind == 2:
                known.append(self.add(block, MaximumOp(a, b)))
            elif kind == 3:
                both = self.add(block, ConcatOp([a, b], 0))
                known.append(self.add(block, SliceOp(both, [2], [4])))
            elif kind == 4:
                square = self.add(block, ReshapeOp(a, (2, 2)))
                known.append(self.add(block, ReshapeOp(square, (4,))))
            elif kind in (5, 6):
                known += self.loop(block, known, rows, depth)
            else:
                known += self.branch(block, known, rows, depth)
        return known

    def condition(self, block: Block, value: SSAValue) -> SSAValue:
        """Whether the sum of a vector is above that of its negative."""
        total = self.add(block, ReduceOp(value, "sum", [0], False))
        return self.add(block, CompareOp(total, self.add(block, NegOp(total)), "gt"))

    def branch(
        self, block: Block, values: Sequence[SSAValue], rows: SSAValue, depth: int
    ) -> list[SSAValue]:
        condition = self.condition(block, self.random.choice(values))
        captured = self.pick(values, 2)
        regions: list[Region] = []
        for _ in range(2):
            body = Block(arg_types=[VECTOR, VECTOR, ROWS])
            *inner, inner_rows = body.args
            made = self.vectors(body, inner, inner_rows, depth - 1)
            body.add_op(YieldOp(*self.pick(made, 2)))
            regions.append(Region(body))
        op = IfOp(condition, [*captured, rows], *regions)
        block.add_op(op)
        return [*op.res]

    def loop(
        self, block: Block, values: Sequence[SSAValue], rows: SSAValue, depth: int
    ) -> list[SSAValue]:
        initial, captured = self.pick(values, 2), self.pick(values, 1)
        is_scan = self.random.random() < 0.6
        slices = [VECTOR] if is_scan else []
        body = Block(arg_types=[COUNT, VECTOR, VECTOR, *slices, VECTOR, ROWS])
        number, *carried, inner_rows = body.args
        inner: list[SSAValue] = [*carried]
        scalar = self.add(body, CastOp(number, F32))
        inner.append(self.add(body, BroadcastOp(scalar, (4,))))
        made = self.vectors(body, inner, inner_rows, depth - 1)
        small = [self.add(body, TanhOp(v)) for v in self.pick(made, 2)]
        elements = self.pick([*made, *small], 1) if is_scan else []
        following = [] if is_scan else [self.condition(body, small[0])]
        flag = None if is_scan else self.condition(block, values[0])
        body.add_op(YieldOp(*following, *small, *elements))
        op = LoopOp(
            Region(body),
            initial,
            [rows] if is_scan else [],
            [*captured, rows],
            trips=T if is_scan else self.random.choice([T, 3]),
            condition=flag,
        )
        block.add_op(op)
        found: list[SSAValue] = [*op.res[:2]]
        if is_scan:
            total = self.add(block, ReduceOp(op.res[2], "sum", [0], False))
            found.append(self.add(block, TanhOp(total)))
        return found


@pytest.mark.parametrize("seed", range(12))
def test_random_programs(seed: int) -> None:
    writer = Writer(seed)

    def build(net: Network, x: SSAValue, y: SSAValue, rows: SSAValue) -> list[SSAValue]:
        weight = net.constant(np.linspace(-1, 1, 4).astype(np.float32))
        values = [x, y, net.add(MulOp(x, weight))]
        made = writer.vectors(net.block, values, rows, 2)
        return writer.pick(made, 4)

    network = Network([VECTOR, VECTOR, ROWS], build)
    exe = nnc.compile(Module(network.module, network.ctx), target="native")
    generator = np.random.default_rng(seed)
    for steps in (3, 0, 4, 1):
        shapes = ((4,), (4,), (steps, 4))
        inputs = [generator.standard_normal(s).astype(np.float32) for s in shapes]
        for ours, theirs in zip(exe(*inputs), network.run(inputs), strict=True):
            compare(ours, theirs, rtol=1e-3, atol=1e-4)
