"""A smaller model that ends as badly."""

from __future__ import annotations

from collections.abc import Callable

from forked import Verdict
from onnx import ModelProto
from writer import names_read


def with_output(model: ModelProto, name: str) -> ModelProto:
    """The model that computes one of its values, without what that does not need."""
    part = ModelProto()
    part.CopyFrom(model)
    graph = part.graph
    del graph.output[:]
    graph.output.add().name = name
    needed = {name}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(names_read(node))
    kept.reverse()
    used = [i for i in graph.initializer if i.name in needed]
    inputs = [i for i in graph.input if i.name in needed]
    result = ModelProto()
    result.CopyFrom(part)
    for field, items in (("node", kept), ("initializer", used), ("input", inputs)):
        result.graph.ClearField(field)
        getattr(result.graph, field).extend(items)
    return result


def reduced(
    model: ModelProto, judge: Callable[[ModelProto], Verdict], kind: str
) -> ModelProto:
    """The first value of the model, alone, that comes to the same verdict; or all."""
    for node in model.graph.node:
        for output in node.output:
            part = with_output(model, output)
            if judge(part).kind == kind:
                return part
    return model
