"""From untrusted bytes to a `ModelProto` whose structure has been checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError
from onnx import (
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
)

from nnc.errors import LimitExceeded, LoadError, ModelError
from nnc.frontends.loader.files import ExternalData, piece_of, read_file
from nnc.frontends.loader.limits import Limits
from nnc.frontends.loader.protobuf import without_payloads
from nnc.frontends.onnx.graphs import subgraphs
from nnc.frontends.onnx.registry import normalized_domain
from nnc.frontends.onnx.tensors import TensorReader
from nnc.weights import Array

MAX_OPSET: Final = 28
"""The newest opset of ONNX's own domain whose ops were looked at."""
MAX_IR_VERSION: Final = 16

FunctionKey = tuple[str, str, str]

# Field numbers from the model to the bytes of an initializer.
_RAW_DATA_PATH: Final = (
    ModelProto.GRAPH_FIELD_NUMBER,
    GraphProto.INITIALIZER_FIELD_NUMBER,
    TensorProto.RAW_DATA_FIELD_NUMBER,
)
_SLIM_FROM: Final = 2**20


@dataclass(frozen=True)
class Model:
    """A checked model, and what reads its tensors."""

    proto: ModelProto
    reader: TensorReader
    opsets: dict[str, int]
    functions: dict[FunctionKey, FunctionProto]
    payloads: dict[int, Array]
    """Raw data of initializers of the main graph, by their position; kept unparsed."""


def load_model(source: Path | bytes | ModelProto, limits: Limits) -> Model:
    """
    Parse and check a model.

    Raises:
        LoadError: it cannot be read, or is no ONNX model.
        LimitExceeded: it is larger than `limits` allows.
        ModelError: its structure breaks ONNX's rules.
    """
    name, folder = "the model", None
    payloads: dict[int, Array] = {}
    data: memoryview | None = None
    if isinstance(source, Path):
        name, folder = f"'{source}'", source.parent
        data = read_file(source, limits.file_bytes)
    elif isinstance(source, bytes):
        data = memoryview(source)
    if data is None:
        assert isinstance(source, ModelProto)
        proto = source
    elif len(data) > limits.file_bytes:
        raise LimitExceeded(f"{name} has {len(data)} bytes")
    else:
        proto, payloads = _parsed(data, name)
    _check_header(proto, name)
    check_graph_names(proto.graph, limits)
    for entry in proto.opset_import:
        limits.check_name(entry.domain, "an opset import")
    for function in proto.functions:
        _check_function_names(function, limits)
    opsets = opset_versions(proto.opset_import, proto.ir_version, name)
    functions = {function_key(f): f for f in proto.functions}
    if len(functions) != len(proto.functions):
        raise ModelError(f"{name} defines a function twice")
    _check_size(proto, functions, limits)
    reader = TensorReader(ExternalData(folder), limits)
    return Model(proto, reader, opsets, functions, payloads)


def _parsed(data: memoryview, name: str) -> tuple[ModelProto, dict[int, Array]]:
    """The model, and the raw data of its large initializers."""
    if not data:
        raise LoadError(f"{name} is empty")
    slim = without_payloads(data, _RAW_DATA_PATH) if len(data) >= _SLIM_FROM else None
    model = ModelProto()
    try:
        model.ParseFromString(bytes(data) if slim is None else slim.data)
    except (DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise LoadError(f"{name} is no ONNX model, or is damaged: {error}") from error
    if slim is None:
        return model, {}
    return model, {i: piece_of(data, p.start, p.end) for i, p in slim.payloads.items()}


def _check_header(model: ModelProto, name: str) -> None:
    if not model.HasField("graph"):
        raise LoadError(f"{name} is no ONNX model: it holds no graph")
    if not 0 <= model.ir_version <= MAX_IR_VERSION:
        raise LoadError(f"{name} has IR version {model.ir_version}")
    if not model.graph.output:
        raise ModelError(f"{name}: the graph has no outputs")


def opset_versions(
    imports: Iterable[OperatorSetIdProto], ir_version: int, name: str
) -> dict[str, int]:
    """
    The opset version of each domain that a model or function imports.

    Raises:
        LoadError: a version is no version.
        ModelError: one is newer than what is known, or given twice.
    """
    versions: dict[str, int] = {}
    for entry in imports:
        domain, version = normalized_domain(entry.domain), entry.version
        if not 1 <= version < 2**31:
            raise LoadError(f"{name} imports opset {version} of domain '{domain[:40]}'")
        if versions.setdefault(domain, version) != version:
            raise ModelError(f"{name} imports two opsets of domain '{domain[:40]}'")
    if not versions and ir_version < 3:
        versions[""] = 1
    if versions.get("", 1) > MAX_OPSET:
        raise ModelError(
            f"{name} uses opset {versions['']}; nnc knows opsets up to {MAX_OPSET}"
        )
    if not versions:
        raise LoadError(f"{name} imports no opset")
    return versions


def function_key(function: FunctionProto | NodeProto) -> FunctionKey:
    """What a function is called by: its domain, name and overload."""
    name = function.name if isinstance(function, FunctionProto) else function.op_type
    return normalized_domain(function.domain), name, function.overload


# ---------------------------------------------------------------- size


def _check_size(
    model: ModelProto, functions: dict[FunctionKey, FunctionProto], limits: Limits
) -> None:
    """
    Check the number and nesting of nodes, with functions called in place.

    Raises:
        LimitExceeded: there are too many.
        ModelError: functions call each other in a circle.
    """
    counts: dict[FunctionKey, int] = {}
    depths: dict[FunctionKey, int] = {}
    for key in _callees_first(functions, limits):
        counts[key], depths[key] = _measure(
            functions[key].node, counts, depths, functions, limits
        )
        if counts[key] > limits.nodes:
            raise LimitExceeded(f"function '{key[1]}' stands for {counts[key]} nodes")
    nodes, depth = _measure(model.graph.node, counts, depths, functions, limits)
    if nodes > limits.nodes:
        raise LimitExceeded(
            f"the model has {nodes} nodes; at most {limits.nodes} are allowed"
        )
    if depth > limits.depth:
        raise LimitExceeded(f"subgraphs and functions are nested {depth} deep")


def _all_nodes(
    nodes: Sequence[NodeProto], limits: Limits
) -> Iterator[tuple[NodeProto, int]]:
    """All nodes with those of subgraphs, and how deep they lie."""
    pending = [(nodes, 1)]
    while pending:
        current, depth = pending.pop()
        if depth > limits.depth:
            raise LimitExceeded(f"subgraphs are nested {depth} deep")
        for node in current:
            yield node, depth
            if node.attribute:
                pending.extend((g.node, depth + 1) for g in subgraphs(node))


def check_node_names(node: NodeProto, limits: Limits) -> None:
    """
    Check all names that a node and its subgraphs' interfaces hold.

    Raises:
        LimitExceeded: one is too long.
        LoadError: one is no text.
    """
    limits.check_name(node.name, "a node")
    for name in (node.op_type, node.domain, node.overload):
        limits.check_name(name, f"the op of node '{node.name[:40]}'")
    for name in (*node.input, *node.output):
        limits.check_name(name, f"a tensor of node '{node.name[:40]}'")
    for attribute in node.attribute:
        for name in (attribute.name, attribute.ref_attr_name):
            limits.check_name(name, f"an attribute of node '{node.name[:40]}'")
    if node.attribute:
        for graph in subgraphs(node):
            check_graph_names(graph, limits)


def check_graph_names(graph: GraphProto, limits: Limits) -> None:
    """
    Check the names of a graph, its inputs, outputs and initializers.

    Raises:
        LimitExceeded: one is too long.
        LoadError: one is no text.
    """
    limits.check_name(graph.name, "a graph")
    for value in (*graph.input, *graph.output):
        limits.check_name(value.name, "an input or output")
        for dim in value.type.tensor_type.shape.dim:
            limits.check_name(dim.dim_param, f"a dimension of '{value.name[:40]}'")
    for tensor in (*graph.initializer, *(s.values for s in graph.sparse_initializer)):
        limits.check_name(tensor.name, "an initializer")


def _check_function_names(function: FunctionProto, limits: Limits) -> None:
    names = (function.name, function.domain, function.overload, *function.input)
    imports = (entry.domain for entry in function.opset_import)
    for name in (*names, *function.output, *imports):
        limits.check_name(name, "a function")


def _measure(
    nodes: Sequence[NodeProto],
    counts: dict[FunctionKey, int],
    depths: dict[FunctionKey, int],
    functions: dict[FunctionKey, FunctionProto],
    limits: Limits,
) -> tuple[int, int]:
    """The number of nodes and the nesting, calls of measured functions included."""
    total, deepest = 0, 0
    for node, depth in _all_nodes(nodes, limits):
        check_node_names(node, limits)
        total += 1
        if functions and (key := function_key(node)) in functions:
            total += counts[key]
            depth += depths[key]
        deepest = max(deepest, depth)
    return total, deepest


def _callees_first(
    functions: dict[FunctionKey, FunctionProto], limits: Limits
) -> list[FunctionKey]:
    """The functions in an order in which each comes after those that it calls."""
    calls = {
        key: {
            called
            for node, _ in _all_nodes(function.node, limits)
            if (called := function_key(node)) in functions
        }
        for key, function in functions.items()
    }
    order: list[FunctionKey] = []
    state: dict[FunctionKey, bool] = {}
    pending = [(key, False) for key in functions]
    while pending:
        key, finished = pending.pop()
        if finished:
            state[key] = True
            order.append(key)
        elif key not in state:
            state[key] = False
            pending.append((key, True))
            for called in calls[key]:
                if state.get(called) is False:
                    raise ModelError(f"function '{called[1]}' calls itself")
                if called not in state:
                    pending.append((called, False))
    return order
