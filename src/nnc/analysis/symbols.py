"""Which symbols an op mentions: in its types, its properties, and all that is in it."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Block, Operation, SSAValue

from nnc.dialects.nn.program import DefineDimsOp
from nnc.dialects.nn.types import ShapeAttr, dims_of


def symbols_of(op: Operation) -> set[str]:
    """The symbols in an op and the regions of it."""
    found: set[str] = set()
    for inner in op.walk():
        values: Sequence[SSAValue] = [
            *inner.results,
            *(a for region in inner.regions for b in region.blocks for a in b.args),
        ]
        found |= symbols_in_types(values)
        for attribute in inner.properties.values():
            if isinstance(attribute, ShapeAttr):
                for dim in attribute.dims:
                    found |= dim.symbols
    return found


def symbols_in_types(values: Sequence[SSAValue]) -> set[str]:
    """The symbols in the types of values."""
    return {
        symbol
        for value in values
        if isinstance(value.type, TensorType)
        for dim in dims_of(value)
        for symbol in dim.symbols
    }


def drop_unused_symbols(block: Block) -> None:
    """Erase the ops of a block that define symbols which nothing uses."""
    defining = [op for op in block.ops if isinstance(op, DefineDimsOp)]
    if not defining:
        return
    used = symbols_in_types(block.args)
    for op in block.ops:
        if not isinstance(op, DefineDimsOp):
            used |= symbols_of(op)
    for op in defining:
        if used.isdisjoint(op.names):
            op.detach()
            op.erase()
