"""Parts of a model as models of their own: single graphs, and nodes cut out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
)

from nnc.frontends.onnx.tensors import DTYPES
from nnc.weights import Array

Bindings = Mapping[str, AttributeProto]
"""The attributes of the function call that nodes belong to."""

_NUMBERS: Final = {dtype: number for number, dtype in DTYPES.items()}
_LEAST_IR_VERSION: Final = 8


@dataclass(frozen=True)
class PartNode:
    """A node to cut out: its names in the part, instead of those in the model."""

    proto: NodeProto
    attributes: Bindings
    """With references to those of a function call resolved."""
    bindings: Bindings
    """For the nodes in its graphs."""
    inputs: Sequence[str]
    outputs: Sequence[str]
    captured: Mapping[str, str]
    """For names that its graphs read from around it."""


def part_of_nodes(
    model: ModelProto,
    opsets: Mapping[str, int],
    nodes: Iterable[PartNode],
    inputs: Sequence[str],
    constants: Mapping[str, Array],
    outputs: Sequence[str],
) -> ModelProto:
    """The model that consists of some nodes."""
    part = _empty_part(model, opsets)
    for node in nodes:
        copy = part.graph.node.add()
        copy.CopyFrom(node.proto)
        copy.input[:] = node.inputs
        copy.output[:] = node.outputs
        _set_attributes(copy, node.attributes, node.bindings, node.captured)
    _set_border(part, inputs, constants, outputs)
    return part


def part_of_graph(
    model: ModelProto,
    opsets: Mapping[str, int],
    graph: GraphProto,
    bindings: Bindings,
    captured: Sequence[str],
    constants: Mapping[str, Array],
) -> ModelProto:
    """The model of a graph of a node; what it captures become its last inputs."""
    part = _empty_part(model, opsets)
    inputs = [*(i.name for i in graph.input), *captured]
    outputs = [o.name for o in graph.output]
    part.graph.CopyFrom(_resolved(graph, bindings, {}))
    del part.graph.input[:], part.graph.value_info[:], part.graph.output[:]
    _set_border(part, inputs, constants, outputs)
    return part


def _empty_part(model: ModelProto, opsets: Mapping[str, int]) -> ModelProto:
    part = ModelProto(ir_version=max(model.ir_version, _LEAST_IR_VERSION))
    part.functions.extend(model.functions)
    for domain, version in opsets.items():
        part.opset_import.append(helper.make_opsetid(domain, version))
    part.graph.name = "part"
    return part


def _set_border(
    part: ModelProto,
    inputs: Sequence[str],
    constants: Mapping[str, Array],
    outputs: Sequence[str],
) -> None:
    # Names that are inputs as well as outputs, or outputs twice, are not ONNX.
    part.graph.input.extend(ValueInfoProto(name=name) for name in inputs)
    part.graph.output.extend(ValueInfoProto(name=name) for name in outputs)
    part.graph.initializer.extend(_tensor(n, a) for n, a in constants.items())


def _tensor(name: str, array: Array) -> TensorProto:
    return TensorProto(
        name=name,
        data_type=_NUMBERS[array.dtype],
        dims=array.shape,
        raw_data=np.ascontiguousarray(array).tobytes(),
    )


def _set_attributes(
    node: NodeProto, attributes: Bindings, bindings: Bindings, names: Mapping[str, str]
) -> None:
    """Give a node its attributes, all references resolved."""
    resolved: list[AttributeProto] = []
    for name, attribute in attributes.items():
        copy = AttributeProto()
        copy.CopyFrom(attribute)
        copy.name = name
        if copy.HasField("g"):
            copy.g.CopyFrom(_resolved(attribute.g, bindings, names))
        for position, graph in enumerate(attribute.graphs):
            copy.graphs[position].CopyFrom(_resolved(graph, bindings, names))
        resolved.append(copy)
    del node.attribute[:]
    node.attribute.extend(resolved)


def _resolved(
    graph: GraphProto, bindings: Bindings, names: Mapping[str, str]
) -> GraphProto:
    """A graph without references to a function call, outer names replaced."""
    result = GraphProto()
    result.CopyFrom(graph)
    own = {i.name for i in (*graph.input, *graph.initializer)}
    own.update(o for node in graph.node for o in node.output)
    outer = {old: new for old, new in names.items() if old not in own}
    for node in result.node:
        node.input[:] = [outer.get(i, i) for i in node.input]
        given = {
            a.name: bindings[a.ref_attr_name] if a.ref_attr_name else a
            for a in node.attribute
            if not a.ref_attr_name or a.ref_attr_name in bindings
        }
        copies = {name: _copy(a) for name, a in given.items()}
        _set_attributes(node, copies, bindings, outer)
    for output in result.output:
        output.name = outer.get(output.name, output.name)
    return result


def _copy(attribute: AttributeProto) -> AttributeProto:
    copy = AttributeProto()
    copy.CopyFrom(attribute)
    return copy
