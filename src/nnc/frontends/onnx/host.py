"""
Nodes that native code cannot run: ops on host values, control flow, late compilation.

Each becomes an `nn.host` op outside of all regions. Which of the three it is, the
importer decides; here the ops are made, and what is known of their results.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto
from xdsl.dialects.builtin import StringAttr, TensorType
from xdsl.ir import Attribute, SSAValue

from nnc.dialects.nn.base import LOCATION
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.program import HostOp, ValueType
from nnc.dialects.nn.types import element_type_of, static_shape
from nnc.frontends.common import Builder, InvalidNodeError, ascii_name
from nnc.frontends.onnx.host_types import host_type, type_of_tensor, value_type
from nnc.frontends.onnx.parts import PartNode, part_of_graph, part_of_nodes
from nnc.frontends.onnx.registry import normalized_domain
from nnc.frontends.onnx.tensors import DTYPES, TensorReader
from nnc.runtime.host_attributes import encode_attributes
from nnc.runtime.host_control import CONTROL, empty_name
from nnc.runtime.host_ops.registry import HostOpError, find_host_op
from nnc.runtime.host_ops.types import UNKNOWN, HostType
from nnc.runtime.host_steps import CONSTANT, DEFERRED, OWN_DOMAIN
from nnc.weights import Array

GRAPH: Final = "graph"
"""What resources are called that hold parts of the model."""


@dataclass(frozen=True)
class HostNode:
    """A node, and the values that it reads."""

    proto: NodeProto
    name: str
    opsets: Mapping[str, int]
    attributes: Mapping[str, AttributeProto]
    bindings: Mapping[str, AttributeProto]
    inputs: Sequence[SSAValue | None]
    captured: Mapping[str, SSAValue]
    """What its graphs read from around it, by name."""

    @property
    def domain(self) -> str:
        """The domain, with one name for ONNX's own."""
        return normalized_domain(self.proto.domain)

    @property
    def version(self) -> int:
        """The opset version of its domain."""
        return self.opsets.get(self.domain, 1)

    @property
    def graphs(self) -> dict[str, GraphProto]:
        """The graphs in its attributes."""
        return {n: a.g for n, a in self.attributes.items() if a.HasField("g")}


def is_host_value(value: object) -> bool:
    """Whether a value is none of native code."""
    if not isinstance(value, SSAValue):
        return False
    return isinstance(cast("SSAValue[Attribute]", value).type, ValueType)


def is_control(domain: str, op_type: str) -> bool:
    """Whether a node can be run as control flow of the program."""
    return not domain and op_type in CONTROL


class HostNodes:
    """Makes the `nn.host` ops of one model."""

    def __init__(
        self, model: ModelProto, builder: Builder, reader: TensorReader
    ) -> None:
        self.model = model
        self.builder = builder
        self.reader = reader
        self.types: dict[SSAValue, HostType] = {}
        """Of host values, as far as anything is known."""
        self.deferred: dict[HostOp, HostNode] = {}
        """The nodes that are compiled late, each in an op of its own at first."""

    # ---- values

    def is_deferred(self, value: object) -> bool:
        """Whether a value comes from a node that is compiled late."""
        return isinstance(value, SSAValue) and value.owner in self.deferred

    def type_of(self, value: SSAValue | None) -> HostType | None:
        """What is known of a value."""
        if value is None:
            return None
        if isinstance(value.type, TensorType):
            return type_of_tensor(value, self.builder.known(value))
        return self.types.get(value, UNKNOWN)

    def constant(self, value: Array, name: str) -> SSAValue:
        """A constant that native code does not know, such as one of strings."""
        attributes = encode_attributes({"value": value})
        shape = tuple(int(n) for n in value.shape)
        return self._emit(
            [],
            CONSTANT,
            1,
            [],
            [HostType("tensor", "string", shape)],
            name,
            domain=OWN_DOMAIN,
            attributes=attributes,
        )[0]

    def _emit(
        self,
        arguments: Sequence[SSAValue],
        op_type: str,
        version: int,
        inputs: Sequence[int],
        results: Sequence[HostType],
        name: str,
        **properties: Any,
    ) -> list[SSAValue]:
        b = self.builder
        types: list[Attribute] = [value_type(t, b.symbols) for t in results]
        op = HostOp(arguments, op_type, version, inputs, types, **properties)
        op.attributes[LOCATION] = StringAttr(ascii_name(name))
        b.block.add_op(op)
        self.types.update(zip(op.res, results, strict=True))
        return list(op.res)

    # ---- single ops

    def has_op(self, node: HostNode) -> bool:
        """Whether the host runs this op on values of these types."""
        op = find_host_op(node.domain, node.proto.op_type, node.version)
        return op is not None and op.accepts(
            [self.type_of(v) for v in node.inputs], self._plain_attributes(node)
        )

    def host_op(self, node: HostNode) -> list[SSAValue]:
        """
        The outputs of an op that the host runs.

        Raises:
            InvalidNodeError: no inputs of these types can be right.
        """
        op = find_host_op(node.domain, node.proto.op_type, node.version)
        assert op is not None
        attributes = self._plain_attributes(node)
        outputs = len(node.proto.output)
        try:
            types = op.result_types(
                [self.type_of(v) for v in node.inputs], attributes, outputs
            )
        except HostOpError as error:
            raise InvalidNodeError(str(error)) from error
        types = [*types, *[UNKNOWN] * outputs][:outputs]
        arguments = [v for v in node.inputs if v is not None]
        positions = _positions(node.inputs)
        # Types matter before the run only.
        plain = {n: v for n, v in attributes.items() if not isinstance(v, HostType)}
        return self._emit(
            arguments,
            node.proto.op_type,
            node.version,
            positions,
            types,
            node.name,
            domain=node.domain,
            attributes=encode_attributes(plain),
        )

    def _plain_attributes(self, node: HostNode) -> dict[str, object]:
        return {
            name: self._plain(name, attribute)
            for name, attribute in node.attributes.items()
            if not attribute.HasField("g") and not attribute.graphs
        }

    def _plain(self, name: str, attribute: AttributeProto) -> object:
        kinds = AttributeProto.AttributeType
        match attribute.type:
            case kinds.INT:
                return int(attribute.i)
            case kinds.FLOAT:
                return float(attribute.f)
            case kinds.STRING:
                return attribute.s.decode("utf-8", "replace")
            case kinds.INTS:
                return list(attribute.ints)
            case kinds.FLOATS:
                return list(attribute.floats)
            case kinds.STRINGS:
                return [s.decode("utf-8", "replace") for s in attribute.strings]
            case kinds.TENSOR:
                return self.reader.read_any(attribute.t, f"attribute '{name}'")
            case kinds.TYPE_PROTO:
                return host_type(attribute.tp)
            case _:
                raise InvalidNodeError(f"attribute '{name}' is of an unknown type")

    # ---- control flow

    def control(self, node: HostNode) -> list[SSAValue]:
        """The outputs of a branch or loop that Python code runs."""
        arguments = [v for v in node.inputs if v is not None]
        graphs: dict[str, tuple[str, list[int]]] = {}
        attributes = self._plain_attributes(node)
        attributes["outputs"] = len(node.proto.output)
        for name, graph in node.graphs.items():
            resource, captured = self._add_graph(node, graph)
            positions = range(len(arguments), len(arguments) + len(captured))
            arguments += captured
            graphs[name] = resource, list(positions)
            attributes |= _empty_results(node, graph)
        return self._emit(
            arguments,
            node.proto.op_type,
            node.version,
            _positions(node.inputs),
            _declared_results(node),
            node.name,
            attributes=encode_attributes(attributes),
            graphs=json.dumps(graphs),
        )

    def _add_graph(
        self, node: HostNode, graph: GraphProto
    ) -> tuple[str, list[SSAValue]]:
        """The resource for a graph of a node, and what it captures."""
        from nnc.frontends.onnx.graphs import outer_names

        names = sorted(outer_names(graph) & node.captured.keys())
        constants = {
            n: array
            for n in names
            if (array := self._constant_of(node.captured[n])) is not None
        }
        free = [n for n in names if n not in constants]
        part = part_of_graph(
            self.model, node.opsets, graph, node.bindings, free, constants
        )
        return self._add_resource(part), [node.captured[n] for n in free]

    def _add_resource(self, part: ModelProto) -> str:
        data = np.frombuffer(part.SerializeToString(), np.uint8)
        return self.builder.weights.add(GRAPH, data)

    def _constant_of(self, value: SSAValue) -> Array | None:
        """What a value always is, if that is known."""
        if not isinstance(value.type, TensorType):
            return None
        array = self.builder.constant_value(value)
        if array is not None:
            return array
        dims, shape = self.builder.known(value), static_shape(value)
        sizes = [d.as_int() for d in dims or ()]
        if dims is None or None in sizes or shape is None:
            return None
        type_ = numpy_dtype(element_type_of(value))
        return np.array(sizes, object).astype(type_).reshape(shape)

    # ---- late compilation

    def defer(self, node: HostNode) -> list[SSAValue]:
        """The outputs of a node that is compiled when the types of its inputs show."""
        arguments = [v for v in node.inputs if v is not None]
        arguments += node.captured.values()
        types = [UNKNOWN] * len(node.proto.output)
        results = self._emit(
            arguments,
            DEFERRED,
            1,
            range(len(arguments)),
            types,
            node.name,
            domain=OWN_DOMAIN,
        )
        owner = results[0].owner
        assert isinstance(owner, HostOp)
        self.deferred[owner] = node
        return results

    def merge_deferred(self) -> None:
        """Make one op of neighbouring nodes that are compiled late: one stage."""
        run: list[HostOp] = []
        for op in list(self.builder.root.ops):
            if not isinstance(op, HostOp) or op not in self.deferred:
                continue
            if run and self.deferred[run[0]].opsets != self.deferred[op].opsets:
                self._merge(run)
                run = []
            run.append(op)
        if run:
            self._merge(run)

    def _merge(self, ops: Sequence[HostOp]) -> None:
        part = _Part(self._constant_of)
        for op in ops:
            part.add(op, self.deferred[op])
        inside = set(ops)
        outputs = [
            value
            for op in ops
            for value in op.res
            if any(use.operation not in inside for use in value.uses)
        ]
        nodes = [self.deferred[op] for op in ops]
        proto = part_of_nodes(
            self.model,
            nodes[0].opsets,
            part.nodes,
            list(part.inputs.values()),
            part.constants,
            [part.names[v] for v in outputs],
        )
        resource = self._add_resource(proto)
        merged = HostOp(
            list(part.inputs),
            DEFERRED,
            1,
            range(len(part.inputs)),
            [v.type for v in outputs],
            domain=OWN_DOMAIN,
            graphs=json.dumps({"body": (resource, list(range(len(part.inputs))))}),
        )
        names = "+".join(dict.fromkeys(node.name for node in nodes))
        merged.attributes[LOCATION] = StringAttr(ascii_name(names))
        self.builder.root.insert_op_after(merged, ops[-1])
        for old, new in zip(outputs, merged.res, strict=True):
            old.replace_all_uses_with(new)
        for op in reversed(ops):
            op.detach()
            op.erase()


class _Part:
    """Names for the values of nodes that are cut out together."""

    def __init__(self, constant_of: Callable[[SSAValue], Array | None]) -> None:
        self.constant_of = constant_of
        self.names: dict[SSAValue, str] = {}
        self.inputs: dict[SSAValue, str] = {}
        self.constants: dict[str, Array] = {}
        self.nodes: list[PartNode] = []

    def add(self, op: HostOp, node: HostNode) -> None:
        """Add a node, whose outputs are the results of `op`."""
        inputs = ["" if v is None else self._name(v) for v in node.inputs]
        captured = {n: self._name(v) for n, v in node.captured.items()}
        outputs: list[str] = []
        for value, given in zip(op.res, node.proto.output, strict=True):
            outputs.append(self._new_name(value) if given else "")
        self.nodes.append(
            PartNode(
                node.proto, node.attributes, node.bindings, inputs, outputs, captured
            )
        )

    def _new_name(self, value: SSAValue) -> str:
        name = self.names[value] = f"nnc.v{len(self.names)}"
        return name

    def _name(self, value: SSAValue) -> str:
        if value not in self.names:
            name = self._new_name(value)
            constant = self.constant_of(value)
            if constant is None:
                self.inputs[value] = name
            else:
                self.constants[name] = constant
        return self.names[value]


def _positions(inputs: Sequence[SSAValue | None]) -> list[int]:
    """Where each input is among those that are there; -1 for the others."""
    positions: list[int] = []
    for value in inputs:
        count = sum(p >= 0 for p in positions)
        positions.append(-1 if value is None else count)
    return positions


def _declared_results(node: HostNode) -> list[HostType]:
    """What the graphs of a node declare of its outputs, where they agree."""
    count = len(node.proto.output)
    declared: list[list[HostType]] = []
    for graph in node.graphs.values():
        types = [host_type(o.type) for o in graph.output]
        declared.append(types[1:] if node.proto.op_type == "Loop" else types)
    if node.proto.op_type != "If" or any(len(d) != count for d in declared):
        return [UNKNOWN] * count
    return [
        types[0] if all(t == types[0] for t in types) else UNKNOWN
        for types in zip(*declared, strict=True)
    ]


def _empty_results(node: HostNode, graph: GraphProto) -> dict[str, object]:
    """For loops: the stacked results of no iteration, as the graph declares them."""
    first = {"Loop": (2, 1), "Scan": (0, 0)}.get(node.proto.op_type)
    if first is None:
        return {}
    skipped, conditions = first
    carried = len(node.inputs) - skipped
    if node.proto.op_type == "Scan":
        carried -= int(node.attributes["num_scan_inputs"].i)
    results: dict[str, object] = {}
    for position, output in enumerate(graph.output[carried + conditions :]):
        tensor = output.type.tensor_type
        dtype = DTYPES.get(tensor.elem_type)
        if dtype is not None:
            shape = [max(0, d.dim_value) for d in tensor.shape.dim]
            results[empty_name(position)] = np.empty([0, *shape], dtype)
    return results
