"""
Random programs of views, concat, pad and arithmetic, against the interpreter.

Buffers that are shared, overwritten or viewed wrongly show as wrong numbers.
"""

import random
from collections.abc import Callable

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue

import nnc
from nnc.dialects.nn import elementwise, linear, movement, reduction
from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.selection import ScatterOp, TopKOp
from nnc.dialects.nn.types import F32, dims_of, tensor_type
from nnc.module import Module, new_context
from nnc.symbolic import Dim
from nnc.testing import compare, random_inputs
from nnc.testing_passes import Network

SIZES = {"N": 3, "M": 2, "K": 3}
"""`N` and `K` are equal, which only casts of dims say."""


class Program:
    """A function that grows by random ops."""

    def __init__(self, seed: int, has_names: bool) -> None:
        self.random = random.Random(seed)
        self.has_names = has_names
        self.block = Block()
        self.values: list[SSAValue] = []
        for dims in self._input_dims():
            index = len(self.block.args)
            self.values.append(self.block.insert_arg(tensor_type(F32, dims), index))

    def _input_dims(self) -> list[list[Dim | int]]:
        n: Dim | int = Dim.symbol("N") if self.random.random() < 0.6 else 3
        m: Dim | int = Dim.symbol("M") if self.random.random() < 0.3 else 2
        k: Dim | int = Dim.symbol("K") if isinstance(n, Dim) else 3
        named = [[k, 4]] if self.has_names else []
        return [[n, 4], [n, 4], [m, n, 4], *named]

    def add(self, op: Operation) -> SSAValue:
        """Append an op."""
        self.block.add_op(op)
        self.values.append(op.results[0])
        return op.results[0]

    def pick(self) -> SSAValue:
        """A value, rather a late one."""
        count = len(self.values)
        return self.values[max(0, count - 1 - int(self.random.expovariate(0.5)))]

    def step(self) -> None:
        """One random op."""
        steps: list[Callable[[SSAValue], object]] = [
            self.unary,
            self.unary,
            self.binary,
            self.binary,
            self.transpose,
            self.concat,
            self.concat,
            self.pad,
            self.slice,
            self.reshape,
            self.broadcast,
            self.matmul,
            self.softmax,
            self.center,
            self.chain,
        ]
        if self.has_names:
            steps += [self.renamed] * 4
        self.random.choice(steps)(self.pick())

    def unary(self, value: SSAValue) -> SSAValue:
        """A negation or an absolute value."""
        op = self.random.choice([elementwise.NegOp, elementwise.AbsOp])
        return self.add(op(value))

    def binary(self, value: SSAValue) -> SSAValue:
        """A sum or maximum with a value of the same shape."""
        others = [v for v in self.values if dims_of(v) == dims_of(value)]
        op = self.random.choice([elementwise.AddOp, elementwise.SubOp])
        return self.add(op(value, self.random.choice(others)))

    def renamed(self, value: SSAValue) -> SSAValue | None:
        """A sum of two values whose equal sizes have different names."""
        names = {Dim.symbol("N"): Dim.symbol("K"), Dim.symbol("K"): Dim.symbol("N")}
        dims = [names.get(d, d) for d in dims_of(value)]
        if tuple(dims) == dims_of(value):
            return None
        cast = self.add(movement.DimCastOp(value, dims))
        return self.binary(cast)

    def transpose(self, value: SSAValue) -> SSAValue:
        """The axes shuffled."""
        axes = list(range(len(dims_of(value))))
        self.random.shuffle(axes)
        return self.add(movement.TransposeOp(value, axes))

    def concat(self, value: SSAValue) -> SSAValue:
        """Two or three values of one shape side by side."""
        others = [v for v in self.values if dims_of(v) == dims_of(value)]
        arguments = [value, *self.random.choices(others, k=self.random.randint(1, 2))]
        axis = self.random.randrange(len(dims_of(value)))
        return self.add(movement.ConcatOp(arguments, axis))

    def pad(self, value: SSAValue) -> SSAValue:
        """A border of zeros."""
        rank = len(dims_of(value))
        low = [self.random.randint(0, 2) for _ in range(rank)]
        high = [self.random.randint(0, 2) for _ in range(rank)]
        return self.add(movement.PadOp(value, low, high))

    def slice(self, value: SSAValue) -> SSAValue | None:
        """Every second element of an axis of constant size, from either end."""
        dims = dims_of(value)
        sizes = [(axis, d.as_int()) for axis, d in enumerate(dims)]
        fixed = [(axis, n) for axis, n in sizes if n is not None and n >= 2]
        if not fixed:
            return None
        axis, size = self.random.choice(fixed)
        step = self.random.choice([1, 2, -1])
        offsets, new, steps = [0] * len(dims), list(dims), [1] * len(dims)
        offsets[axis] = size - 1 if step < 0 else 0
        new[axis] = Dim.of(size // 2)
        steps[axis] = step
        return self.add(movement.SliceOp(value, offsets, new, steps))

    def reshape(self, value: SSAValue) -> SSAValue | None:
        """Two neighbouring axes merged, or an axis of size 1 added."""
        dims = list(dims_of(value))
        if len(dims) > 1 and self.random.random() < 0.6:
            axis = self.random.randrange(len(dims) - 1)
            dims[axis : axis + 2] = [dims[axis] * dims[axis + 1]]
        elif len(dims) < 4:
            dims.insert(self.random.randint(0, len(dims)), Dim.of(1))
        return self.add(movement.ReshapeOp(value, dims))

    def broadcast(self, value: SSAValue) -> SSAValue | None:
        """Repeated along a new axis."""
        dims = dims_of(value)
        if len(dims) > 2:
            return None
        return self.add(movement.BroadcastOp(value, [2, *dims]))

    def matmul(self, value: SSAValue) -> SSAValue | None:
        """The product with a value of the same shape, one of them transposed."""
        dims = dims_of(value)
        if len(dims) < 2:
            return None
        other = self.random.choice([v for v in self.values if dims_of(v) == dims])
        axes = list(range(len(dims)))
        axes[-2:] = axes[:-3:-1]
        if self.random.random() < 0.5:
            turned = self.add(movement.TransposeOp(other, axes))
            return self.add(linear.MatmulOp(value, turned))
        turned = self.add(movement.TransposeOp(value, axes))
        return self.add(linear.MatmulOp(turned, other))

    def softmax(self, value: SSAValue) -> SSAValue:
        """Along a random axis."""
        axis = self.random.randrange(len(dims_of(value)))
        return self.add(reduction.SoftmaxOp(value, axis))

    def center(self, value: SSAValue) -> SSAValue:
        """The difference from the maximum along a random axis."""
        axis = self.random.randrange(len(dims_of(value)))
        largest = self.add(reduction.ReduceOp(value, "max", [axis], keep_dims=True))
        spread = self.add(movement.BroadcastOp(largest, dims_of(value)))
        return self.add(elementwise.SubOp(value, spread))

    def chain(self, value: SSAValue) -> SSAValue:
        """A product and row programs after it, each of which may work in place."""
        value = self.matmul(value) or value
        for _ in range(self.random.randint(1, 3)):
            step = self.random.choice([self.softmax, self.center, self.unary])
            value = step(value)
        return value

    def module(self) -> Module:
        """The module; the last value and two others are returned."""
        results = [self.values[-1], self.pick(), self.pick()]
        self.block.add_op(ReturnOp(*results))
        types = ([a.type for a in self.block.args], [r.type for r in results])
        return Module(
            ModuleOp([FuncOp("main", types, Region(self.block))]), new_context()
        )


@pytest.mark.parametrize("seed", range(100))
def test_random_program_gives_what_it_means(seed: int):
    program = Program(seed, has_names=seed >= 80)
    for _ in range(4 + seed % 9):
        program.step()
    if seed % 2:
        program.chain(program.values[-1])
    module = program.module()
    module.ir.verify()
    generator = np.random.default_rng(seed)
    inputs = [
        generator.standard_normal([d.evaluate(SIZES) for d in dims_of(a)]).astype("f4")
        for a in program.block.args
    ]
    expected = module.interpret(inputs)
    with nnc.compile(module, target="native") as exe:
        for _ in range(2):
            for ours, theirs in zip(exe(*inputs), expected, strict=True):
                assert ours.shape == theirs.shape
                wanted = theirs.astype(np.float64)
                scale = float(np.abs(wanted).max(initial=0)) or 1.0
                np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("kind", ["scatter", "top_k", "attention"])
def test_results_of_kernels_that_store_once_go_to_several_outputs(kind: str) -> None:
    def build(net: Network, x: SSAValue, rows: SSAValue) -> list[SSAValue]:
        if kind == "attention":
            x = net.add(movement.ReshapeOp(x, (2, 4, 3)))
            result = net.add(AttentionOp(x, x, x, scale=0.5))
        elif kind == "scatter":
            indices = net.constant(np.array([2, 0]))
            result = net.add(ScatterOp(x, indices, rows, "none"))
        else:
            result = net.add(TopKOp(x, 2))
        return [result, net.add(elementwise.NegOp(result)), result]

    network = Network([tensor_type(F32, (8, 3)), tensor_type(F32, (2, 3))], build)
    exe = nnc.compile(Module(network.module, network.ctx))
    inputs = random_inputs(network.module)
    for ours, theirs in zip(exe(*inputs), network.run(inputs), strict=True):
        compare(ours, theirs)
