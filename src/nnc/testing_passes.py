"""
Helpers for tests of passes: networks made by short functions, and what must stay.

Nothing in the compiler imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.dialects.func import Func, FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.arg_spec import ArgSpec, parse_pipeline

from nnc.context import NncContext
from nnc.dialects.nn import NN
from nnc.dialects.nn.constants import make_constant
from nnc.interpreters.nn import run_module
from nnc.registry import load_pass
from nnc.testing import compare, random_inputs

Add = Callable[[Operation], SSAValue]
Build = Callable[..., SSAValue | Sequence[SSAValue]]


class Network:
    """A module with the weights it names, made from a function that adds ops."""

    def __init__(self, input_types: Sequence[Attribute], build: Build) -> None:
        self.ctx = NncContext()
        self.generator = np.random.default_rng(7)
        block = Block(arg_types=input_types)
        self.block = block
        outputs = build(self, *block.args)
        results = [outputs] if isinstance(outputs, SSAValue) else list(outputs)
        block.add_op(ReturnOp(*results))
        types = (list(input_types), [r.type for r in results])
        self.module = ModuleOp([FuncOp("main", types, Region(block))])
        self.module.verify()

    def add(self, op: Operation) -> SSAValue:
        """The only result of `op`, which is added at the end."""
        self.block.add_op(op)
        return op.results[0]

    def constant(self, array: NDArray[np.generic]) -> SSAValue:
        """A constant in the text or the weight store, as its size wants it."""
        return self.add(make_constant(array, "w", self.ctx.weights))

    def weight(self, *shape: int) -> SSAValue:
        """Random positive values, f32."""
        values = 0.1 + self.generator.random(shape)
        return self.constant(values.astype(np.float32))

    def run(self, inputs: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """The outputs that the interpreter computes."""
        return run_module(self.module, self.ctx.weights, inputs)

    def apply(self, spec: ArgSpec) -> None:
        """Run one pass and verify."""
        load_pass(spec.name).from_spec(spec).apply(self.ctx, self.module)
        self.module.verify()

    def names(self) -> list[str]:
        """The names of the ops of `@main`, in order."""
        main = next(iter(self.module.ops))
        assert isinstance(main, FuncOp)
        return [op.name for op in main.body.block.ops]


def text_of(module: ModuleOp) -> str:
    """The module as it prints."""
    stream = StringIO()
    Printer(stream=stream).print_op(module)
    return stream.getvalue()


def parsed(text: str) -> ModuleOp:
    """The module that `text` says."""
    ctx = Context()
    for dialect in (Builtin, Func, NN):
        ctx.load_dialect(dialect)
    return Parser(ctx, text).parse_module()


def check_passes_keep_meaning(network: Network, pipeline: str, **sizes: int) -> None:
    """Run passes; after each, outputs are the same and the text parses to itself."""
    inputs = random_inputs(network.module, sizes=sizes)
    expected = network.run(inputs)
    for spec in parse_pipeline(pipeline):
        network.apply(spec)
        text = text_of(network.module)
        assert text_of(parsed(text)) == text, f"after {spec.name}"
        for ours, theirs in zip(network.run(inputs), expected, strict=True):
            if np.issubdtype(theirs.dtype, np.floating):
                scale = float(np.abs(theirs[np.isfinite(theirs)]).max(initial=1e-3))
                compare(ours, theirs, rtol=1e-5, atol=1e-5 * scale)
            else:
                compare(ours, theirs)
