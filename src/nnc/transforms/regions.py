"""The blocks of a function, those of branches and loops included."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block

from nnc.dialects.nn.control import REGION_OPS


def program_blocks(module: ModuleOp) -> Iterator[Block]:
    """
    Every block of a module that is part of its program, inner ones first.

    The bodies of dispatches are kernels to be, and no part of it.
    """
    for function in module.ops:
        if isinstance(function, FuncOp) and not function.is_declaration:
            for block in function.body.blocks:
                yield from _blocks_of(block)


def _blocks_of(block: Block) -> Iterator[Block]:
    for op in list(block.ops):
        if isinstance(op, REGION_OPS):
            for region in op.regions:
                yield from _blocks_of(region.block)
    yield block
