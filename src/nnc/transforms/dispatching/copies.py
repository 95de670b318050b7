"""Dispatches that only copy: a view of scattered elements made dense."""

from __future__ import annotations

from xdsl.ir import Block, Operation, OpResult, Region, SSAValue

from nnc.dialects.nn.structure import DispatchOp, YieldOp
from nnc.transforms.dispatching.values import PULLED_VIEWS


def copy_dispatch(value: SSAValue) -> DispatchOp:
    """A dispatch whose result is `value`, dense; its views go inside."""
    views: list[Operation] = []
    source = value
    while isinstance(source, OpResult) and isinstance(source.op, PULLED_VIEWS):
        views.append(source.op)
        source = source.op.operands[0]
    block = Block(arg_types=[source.type])
    inner: SSAValue = block.args[0]
    for view in reversed(views):
        copy = view.clone({view.operands[0]: inner})
        block.add_op(copy)
        inner = copy.results[0]
    block.add_op(YieldOp(inner))
    return DispatchOp([source], Region(block))
