"""
How frontends make regions: built in place, then isolated.

While a region is built, its ops may read values of the blocks around it, so that shape
arithmetic is known across the border. `isolate` then turns what is read from outside
into operands and block arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.ir import Block, Operation, SSAValue

from nnc.dialects.nn.structure import ConstantOp, DimsOp, WeightOp, YieldOp
from nnc.frontends.common import Builder, erase_dead_ops


def build_region(
    b: Builder,
    block: Block,
    build: Callable[[], Sequence[SSAValue]],
    iteration: SSAValue | None = None,
) -> None:
    """
    Let `build` append to `block`; what it gives is yielded.

    In the body of a loop, `iteration` is its number.
    """
    with b.nested(block, iteration):
        block.add_op(YieldOp(*build()))
        erase_dead_ops(block)
        b.materialize_known()
        erase_dead_ops(block)


def isolate(blocks: Sequence[Block]) -> list[SSAValue]:
    """
    What the blocks of an op read from outside; each gets an argument for it.

    Constants are repeated inside instead.
    """
    captured: list[SSAValue] = []
    for block in blocks:
        own = {r for op in block.ops for r in op.results} | set(block.args)
        for op in block.ops:
            for value in op.operands:
                if (
                    value not in own
                    and value not in captured
                    and not _is_constant(value)
                ):
                    captured.append(value)
    for block in blocks:
        _close(block, captured)
    return captured


def _close(block: Block, captured: Sequence[SSAValue]) -> None:
    inside: dict[SSAValue, SSAValue] = {}
    own = {r for op in block.ops for r in op.results} | set(block.args)
    for value in captured:
        inside[value] = block.insert_arg(value.type, len(block.args))
    constants: list[Operation] = []
    for op in block.ops:
        for index, value in enumerate(op.operands):
            if value in own:
                continue
            if value not in inside:
                source = value.owner
                assert isinstance(source, Operation)
                copy = source.clone()
                constants.append(copy)
                inside[value] = copy.results[0]
            op.operands[index] = inside[value]
    first = block.first_op
    assert first is not None
    block.insert_ops_before(constants, first)


def _is_constant(value: SSAValue) -> bool:
    return isinstance(value.owner, ConstantOp | WeightOp | DimsOp)
