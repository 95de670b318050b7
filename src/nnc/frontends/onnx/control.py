"""Converters of control flow whose course is known at compile time."""

from __future__ import annotations

from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter


@converter("If")
def _if(node: Node, b: Builder) -> Converted:
    condition = b.known(node.input(0))
    if condition is not None and len(condition) != 1:
        raise InvalidNodeError("the condition must be one boolean")
    taken = None if condition is None else condition[0].as_int()
    if taken is None:
        raise UnsupportedError("a condition that is not known at compile time")
    graph = node.attr_graph("then_branch" if taken else "else_branch")
    return node.convert_subgraph(graph)
