"""The walk over an ONNX graph: every node to `nn` ops, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
)
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from nnc.analysis.symbols import drop_unused_symbols
from nnc.context import NncContext
from nnc.dialects.nn.program import ValueType
from nnc.errors import (
    CompileError,
    InputValuesNeeded,
    InternalError,
    LimitExceeded,
    LoadError,
    ModelError,
    NncError,
    UnsupportedNode,
    UnsupportedOp,
)
from nnc.frontends.common import (
    Builder,
    DependsOnDataError,
    InvalidNodeError,
    NeedsHostError,
    UnsupportedError,
    erase_dead_ops,
)
from nnc.frontends.loader.limits import DEFAULT_LIMITS, Limits
from nnc.frontends.onnx.graphs import (
    named_tensors,
    node_name,
    ordered_nodes,
    outer_names,
    subgraphs,
)
from nnc.frontends.onnx.host import HostNode, HostNodes, is_control, is_host_value
from nnc.frontends.onnx.host_types import declared_type
from nnc.frontends.onnx.input_values import (
    InputValues,
    check_input_names,
    deciding_inputs,
    given_value,
    may_decide,
)
from nnc.frontends.onnx.inputs import InputShapes, input_types
from nnc.frontends.onnx.model import (
    Model,
    function_key,
    load_model,
    opset_versions,
)
from nnc.frontends.onnx.node import Node, SkippedError, SubgraphConverter
from nnc.frontends.onnx.registry import (
    Converter,
    entries_of,
    find_converter,
    normalized_domain,
)
from nnc.frontends.onnx.sparse import dense
from nnc.frontends.onnx.standard_functions import (
    has_standard_function,
    standard_function,
)
from nnc.frontends.onnx.string_labels import function_of_string_labels
from nnc.frontends.symbol_names import SymbolTable
from nnc.weights import Array

ENTRY: Final = "main"

Attributes = Mapping[str, AttributeProto]
Initializer: TypeAlias = TensorProto | SparseTensorProto


class _Missing:
    """Stands for the output of a node that could not be converted."""


_MISSING: Final = _Missing()


@dataclass(frozen=True)
class _Report:
    """A node that was not converted."""

    node: UnsupportedNode
    is_movable: bool = False
    """Whether it could be run outside of native code, if it were in no region."""
    values: Sequence[SSAValue] = ()
    """The data that would have to be known."""


class _Scope:
    """The names of one graph or function body."""

    def __init__(
        self,
        parent: _Scope | None,
        opsets: Mapping[str, int],
        bindings: Attributes,
        prefix: str,
        block: Block,
    ) -> None:
        self.parent = parent
        self.block = block
        """Where its values are computed."""
        self.opsets = opsets
        """Opset versions by domain."""
        self.bindings = bindings
        """Attributes of the function call whose body this is."""
        self.prefix = prefix
        """What the names of its nodes begin with."""
        self.values: dict[str, SSAValue | _Missing | None] = {}
        self.initializers: dict[str, tuple[Initializer, Array | None]] = {}
        """Tensors not yet read, some with their raw data beside them."""

    def own_names(self) -> set[str]:
        """The names that are defined here."""
        return {*self.values, *self.initializers}

    def outer_names(self) -> set[str]:
        """All names that are defined around."""
        names: set[str] = set()
        scope = self.parent
        while scope is not None:
            names.update(scope.values, scope.initializers)
            scope = scope.parent
        return names


def import_onnx(
    source: Path | bytes | ModelProto,
    ctx: NncContext,
    *,
    input_shapes: InputShapes | None = None,
    input_values: InputValues | None = None,
    defer: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> ModuleOp:
    """
    The module for an ONNX model; its weights go to the store of `ctx`.

    Nodes that need values of inputs are compiled when the model runs, or without
    `defer` are an error that names these inputs.

    Raises:
        LoadError: the file is damaged, unsafe or too large.
        ModelError: the network is invalid.
        UnsupportedOp: it uses ops that nnc does not have; lists all of them.
        InputValuesNeeded: it can be imported for values of some inputs; names them.
        CompileError: `input_shapes` or `input_values` does not fit the model.
    """
    model = load_model(source, limits)
    importer = _Importer(model, ctx, limits, defer=defer)
    module = importer.run(input_shapes or {}, input_values or {})
    ctx.external_files = model.reader.external_files
    return module


class _Importer:
    """Converts one model."""

    def __init__(
        self, model: Model, ctx: NncContext, limits: Limits, *, defer: bool
    ) -> None:
        self.model = model
        self.limits = limits
        self.defer = defer
        self.block = Block()
        self.symbols = SymbolTable()
        self.builder = Builder(self.block, ctx.weights, limits, self.symbols)
        self.host = HostNodes(model.proto, self.builder, model.reader)
        self.reports: list[_Report] = []

    def run(self, input_shapes: InputShapes, input_values: InputValues) -> ModuleOp:
        """The module of the whole model."""
        graph = self.model.proto.graph
        scope = _Scope(None, self.model.opsets, {}, "", self.block)
        self._add_initializers(scope, graph, self.model.payloads)
        # Up to IR version 3, initializers were listed among the inputs.
        inputs = [i for i in graph.input if i.name not in scope.initializers]
        try:
            types = input_types(inputs, input_shapes, self.limits, self.symbols)
        except UnsupportedError as error:
            reason = UnsupportedNode(graph.name, "graph", str(error))
            raise UnsupportedOp([reason]) from error
        check_input_names(input_values, inputs)
        names: list[str] = []
        for info, type_ in zip(inputs, types, strict=True):
            if info.name in scope.values:
                raise ModelError(f"two inputs are called '{info.name}'")
            if info.name in input_values:
                if isinstance(type_, ValueType):
                    raise CompileError(
                        f"input_values gives '{info.name}', which is no plain tensor"
                    )
                array = given_value(input_values[info.name], info.name, type_)
                scope.values[info.name] = self.builder.constant(array, info.name)
                continue
            names.append(info.name)
            argument = self.block.insert_arg(type_, len(self.block.args))
            if SSAValue.is_valid_name(info.name):
                # The printer writes hints of any letters, the lexer reads ASCII ones.
                argument.name_hint = info.name if info.name.isascii() else None
            scope.values[info.name] = argument
            if isinstance(type_, ValueType):
                self.host.types[argument] = declared_type(info.type, self.symbols)
        results = [o.name for o in graph.output]
        try:
            outputs = self._convert_body(graph.node, results, scope, graph.name)
        except (ModelError, LoadError):
            if not self.reports:
                raise
            # What is not supported is the better news when both are the case.
            outputs = []
        # From now on the weight store alone keeps their bytes.
        scope.initializers.clear()
        self.model.payloads.clear()
        if self.reports:
            raise self._refusal(names)
        return self._module(names, results, outputs)

    def _refusal(self, inputs: Sequence[str]) -> UnsupportedOp:
        """The error for nodes that are not supported as they stand."""
        nodes = [report.node for report in self.reports]
        values = [value for report in self.reports for value in report.values]
        deciding = deciding_inputs(values, self.block)
        if not deciding or any(not report.values for report in self.reports):
            return UnsupportedOp(nodes)
        return InputValuesNeeded(nodes, [inputs[i] for i in deciding])

    def _module(
        self, inputs: Sequence[str], outputs: Sequence[str], values: Sequence[SSAValue]
    ) -> ModuleOp:
        self.block.add_op(ReturnOp(*values))
        drop_unused_symbols(self.block)
        erase_dead_ops(self.block)
        self.host.merge_deferred()
        self.builder.materialize_known()
        erase_dead_ops(self.block)
        types = ([a.type for a in self.block.args], [v.type for v in values])
        function = FuncOp(
            ENTRY,
            types,
            Region(self.block),
            arg_attrs=_named(inputs),
            res_attrs=_named(outputs),
        )
        return ModuleOp([function])

    # ---- graphs and functions

    def _add_initializers(
        self, scope: _Scope, graph: GraphProto, payloads: Mapping[int, Array]
    ) -> None:
        for position, tensor in enumerate(graph.initializer):
            if tensor.name in scope.initializers:
                raise ModelError(f"two initializers are called '{tensor.name}'")
            scope.initializers[tensor.name] = tensor, payloads.get(position)
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            if name in scope.initializers:
                raise ModelError(f"two initializers are called '{name}'")
            scope.initializers[name] = sparse, None

    def _convert_body(
        self,
        nodes: Sequence[NodeProto],
        outputs: Sequence[str],
        scope: _Scope,
        name: str,
    ) -> list[SSAValue]:
        """Convert nodes in order; the values of `outputs`, what can be told of them."""
        defined, outer = scope.own_names(), scope.outer_names()
        ordered = ordered_nodes(nodes, defined, outer, name)
        defined |= outer
        for output in outputs:
            if output not in defined:
                raise ModelError(
                    f"output '{output}' of graph '{name}' is defined by nothing"
                )
        used = set(outputs)
        live: list[NodeProto] = []
        for node in reversed(ordered):
            if any(o in used for o in node.output):
                live.append(node)
                used.update(node.input, named_tensors(node))
                if node.attribute:
                    for graph in subgraphs(node):
                        used.update(outer_names(graph))
        for node in reversed(live):
            self._convert_node(node, scope, used)
        values = [self._value(o, scope) for o in outputs]
        return [v for v in values if isinstance(v, SSAValue)]

    def _convert_subgraph(
        self, graph: GraphProto, outer: _Scope, arguments: Sequence[SSAValue]
    ) -> list[SSAValue]:
        scope = _Scope(
            outer, outer.opsets, outer.bindings, outer.prefix, self.builder.block
        )
        if len(graph.input) != len(arguments):
            raise InvalidNodeError(
                f"subgraph '{graph.name}' has {len(graph.input)} inputs, but "
                f"{len(arguments)} are given"
            )
        for info, value in zip(graph.input, arguments, strict=True):
            scope.values[info.name] = value
        self._add_initializers(scope, graph, {})
        names = [o.name for o in graph.output]
        values = self._convert_body(graph.node, names, scope, graph.name)
        if len(values) != len(names):
            raise SkippedError
        if not self._is_at_root and any(map(is_host_value, values)):
            raise NeedsHostError("a graph gives what is no tensor")
        return values

    def _convert_call(
        self,
        function: FunctionProto,
        node: NodeProto,
        inputs: Sequence[SSAValue | None],
        attributes: Attributes,
        name: str,
    ) -> list[SSAValue | None]:
        """The body of a function in place of its call."""
        versions = opset_versions(function.opset_import, 8, f"function '{name}'")
        bindings = {a.name: a for a in function.attribute_proto} | {
            key: value for key, value in attributes.items()
        }
        scope = _Scope(None, versions, bindings, f"{name}/", self.builder.block)
        if len(inputs) > len(function.input):
            raise InvalidNodeError(f"{len(inputs)} inputs for {len(function.input)}")
        for i, formal in enumerate(function.input):
            scope.values[formal] = inputs[i] if i < len(inputs) else None
        # Bodies need not define outputs that the call leaves out.
        given = dict(zip(function.output, node.output, strict=False))
        outputs = [formal for formal, actual in given.items() if actual]
        values = self._convert_body(function.node, outputs, scope, function.name)
        if len(values) != len(outputs):
            raise SkippedError
        results = dict(zip(outputs, values, strict=True))
        return [results.get(formal) for formal in given]

    # ---- nodes

    def _value(self, name: str, scope: _Scope) -> SSAValue | _Missing | None:
        """The value of a name; None for an input of a function that is not given."""
        current: _Scope | None = scope
        while current is not None:
            if name in current.values:
                return current.values[name]
            if name in current.initializers:
                # What a region reads first may be read around it later.
                with self.builder.nested(current.block):
                    value = self._initializer(name, *current.initializers[name])
                current.values[name] = value
                return value
            current = current.parent
        raise ModelError(f"'{name}' is read before it is defined")

    def _initializer(
        self, name: str, tensor: Initializer, payload: Array | None
    ) -> SSAValue | _Missing:
        what = f"initializer '{name}'"
        reader = self.model.reader
        try:
            if isinstance(tensor, SparseTensorProto):
                array = dense(tensor, reader, self.limits, what)
            elif tensor.data_type == TensorProto.STRING and self._is_at_root:
                return self.host.constant(reader.read_any(tensor, what), name)
            else:
                array = reader.read(tensor, what, payload)
        except UnsupportedError as error:
            node = UnsupportedNode(name, "initializer", str(error))
            self.reports.append(_Report(node))
            return _MISSING
        return self.builder.constant(array, name)

    @property
    def _is_at_root(self) -> bool:
        """Whether nodes are converted outside of all regions."""
        return self.builder.block is self.block

    def _convert_node(self, node: NodeProto, scope: _Scope, used: set[str]) -> None:
        name = scope.prefix + node_name(node)
        before = len(self.reports)
        self.builder.values_read.clear()
        try:
            results = self._converted(node, name, scope, used)
        except (UnsupportedError, SkippedError) as error:
            results = self._elsewhere(node, name, scope, error, before)
        except (LimitExceeded, LoadError) as error:
            raise type(error)(f"{node.op_type} (node '{name}'): {error}") from error
        except (InvalidNodeError, VerifyException, ArithmeticError) as error:
            raise _invalid(node, name, error) from error
        except (NncError, MemoryError):
            raise
        except Exception as error:
            raise InternalError(
                f"{node.op_type} (node '{name}') could not be converted, which is a "
                f"bug of nnc; please report it with the model: {error!r}"
            ) from error
        for i, output in enumerate(node.output):
            if not output:
                continue
            value = None
            if results is not None and i < len(results):
                value = results[i]
            if value is None and results is not None and output in used:
                reason = f"output {i} is not computed"
                report = _Report(UnsupportedNode(name, node.op_type, reason))
                self.reports.append(report)
            scope.values[output] = _MISSING if value is None else value

    # ---- what native code cannot do

    def _elsewhere(
        self,
        node: NodeProto,
        name: str,
        scope: _Scope,
        error: UnsupportedError | SkippedError,
        before: int,
    ) -> Sequence[SSAValue | None] | None:
        """
        The outputs of a node that no converter could convert, run in another way.

        None if there is none, which is reported. In regions there is none: then what
        is around may become control flow of the program.
        """
        found = self._host_node(node, name, scope)
        inner = self.reports[before:]
        if isinstance(error, SkippedError):
            can_move = bool(inner) and all(report.is_movable for report in inner)
        else:
            can_move = found is not None and self._can_move(found, error)
            op = node.op_type if not node.domain else f"{node.domain}.{node.op_type}"
            values = self._deciding(error)
            reported = UnsupportedNode(name, op, str(error))
            inner = [_Report(reported, can_move, values)]
        if found is not None and can_move and self._is_at_root:
            del self.reports[before:]
            try:
                results = self._moved(found, inner)
            except (InvalidNodeError, VerifyException) as invalid:
                raise _invalid(node, name, invalid) from invalid
            if results is not None:
                return results
        if not isinstance(error, SkippedError):
            del self.reports[before:]
            self.reports += inner
        return None

    def _deciding(self, error: UnsupportedError) -> Sequence[SSAValue]:
        """The data that would have to be known for a node to be converted."""
        if isinstance(error, DependsOnDataError):
            return error.values
        return list(self.builder.values_read)

    def _can_move(self, node: HostNode, error: UnsupportedError) -> bool:
        """Whether a node can be run by the host, or compiled late."""
        if isinstance(error, NeedsHostError) or self._deciding(error):
            return True
        return is_control(node.domain, node.proto.op_type) or self.host.has_op(node)

    def _moved(
        self, node: HostNode, reports: Sequence[_Report]
    ) -> Sequence[SSAValue] | None:
        """The outputs of a node as a step of the program; None if there is no step."""
        self.builder.set_location(node.name)
        reads = [*node.inputs, *node.captured.values()]
        if not any(map(self.host.is_deferred, reads)):
            if is_control(node.domain, node.proto.op_type):
                return self.host.control(node)
            if self.host.has_op(node) and not reports[0].values:
                return self.host.host_op(node)
        values = [v for report in reports for v in report.values]
        if self._is_hopeless(node, values):
            self.reports += reports
            return None
        return self.host.defer(node)

    def _is_hopeless(self, node: HostNode, values: Sequence[SSAValue]) -> bool:
        """
        Whether no run can tell more of what a node needs to know than is known.

        `values` are the data that it needs.
        """
        if not all(map(may_decide, values)):
            return True
        if any(self.builder.constant_value(v) is not None for v in values):
            return True
        reads = [*node.inputs, *node.captured.values()]
        if self.defer or any(map(self.host.is_deferred, reads)):
            return False
        # In a part that is compiled late, inputs have the types that values had.
        hosted = [v for v in node.inputs if v is not None and is_host_value(v)]
        if any(isinstance(v.owner, Block) for v in hosted):
            return True
        return bool(values) and self._is_input(values)

    def _is_input(self, values: Sequence[SSAValue]) -> bool:
        """Whether values follow from inputs, which the caller could give."""
        are_inputs = all(isinstance(v.owner, Block) for v in values)
        return are_inputs or bool(deciding_inputs(values, self.block))

    def _host_node(self, node: NodeProto, name: str, scope: _Scope) -> HostNode | None:
        """A node with all values that it reads; None if one of them is missing."""
        inputs: list[SSAValue | None] = []
        captured: dict[str, SSAValue] = {}
        for i in node.input:
            value = self._value(i, scope) if i else None
            if isinstance(value, _Missing):
                return None
            inputs.append(value)
        attributes = _attributes_of(node, scope.bindings)
        for attribute in attributes.values():
            graphs = [attribute.g] if attribute.HasField("g") else []
            for graph in (*graphs, *attribute.graphs):
                for outer in outer_names(graph):
                    value = self._value(outer, scope)
                    if not isinstance(value, SSAValue):
                        return None
                    captured[outer] = value
        return HostNode(
            node, name, scope.opsets, attributes, scope.bindings, inputs, captured
        )

    # ---- what it can

    def _converted(
        self, node: NodeProto, name: str, scope: _Scope, used: set[str]
    ) -> Sequence[SSAValue | None] | None:
        """The outputs of a node; None if it depends on one that is not supported."""
        convert, function = self._lookup(node, scope)
        inputs: list[SSAValue | None] = []
        for i in node.input:
            value = self._value(i, scope) if i else None
            if isinstance(value, _Missing):
                return None
            inputs.append(value)
        # Locations follow creation: an initializer belongs to its first reader.
        self.builder.set_location(name)
        attributes = _attributes_of(node, scope.bindings)
        labelled = function_of_string_labels(node, attributes, scope.opsets)
        if labelled is not None and self._is_at_root:
            function = labelled
        if any(map(is_host_value, inputs)) and function is None:
            if node.op_type == "Identity" and self._is_at_root:
                return inputs
            raise NeedsHostError("an input is known only when the model runs")
        if convert is None and function is None:
            function = standard_function(node, attributes, scope.opsets, inputs)
            if function is None:
                raise UnsupportedError("there is no converter for this version of it")
        if function is not None:
            return self._convert_call(function, node, inputs, attributes, name)
        assert convert is not None
        result = convert(
            Node(
                node,
                name,
                scope.opsets.get(normalized_domain(node.domain), 1),
                inputs,
                [bool(o) and o in used for o in node.output],
                attributes,
                self.model.reader,
                _Subgraphs(self, scope),
            ),
            self.builder,
        )
        return [result] if isinstance(result, SSAValue) else result

    def _lookup(
        self, node: NodeProto, scope: _Scope
    ) -> tuple[Converter | None, FunctionProto | None]:
        """
        The converter of a node, else the function of the model that it calls.

        Neither if it is to be converted by the standard's function.
        """
        domain = normalized_domain(node.domain)
        version = scope.opsets.get(domain, 1)
        convert = find_converter(domain, node.op_type, version)
        if convert is not None:
            return convert, None
        function = self.model.functions.get(function_key(node))
        if function is not None:
            return None, function
        since = [e.since for e in entries_of(domain, node.op_type)]
        if since:
            raise UnsupportedError(
                f"supported from opset {min(since)} on, the model has {version}"
            )
        if not has_standard_function(node.op_type, domain):
            raise UnsupportedError("there is no converter for this op")
        return None, None


class _Subgraphs(SubgraphConverter):
    """Converts subgraphs in the scope of the node that holds them."""

    def __init__(self, importer: _Importer, scope: _Scope) -> None:
        self._importer = importer
        self._scope = scope

    def checkpoint(self) -> Callable[[], None]:
        reports = self._importer.reports
        count = len(reports)

        def restore() -> None:
            del reports[count:]

        return restore

    def value(self, name: str) -> SSAValue:
        value = self._importer._value(name, self._scope)  # pyright: ignore[reportPrivateUsage] # one unit with the importer
        if not isinstance(value, SSAValue):
            raise SkippedError
        return value

    def __call__(
        self, graph: GraphProto, arguments: Sequence[SSAValue] = ()
    ) -> list[SSAValue]:
        return self._importer._convert_subgraph(graph, self._scope, arguments)  # pyright: ignore[reportPrivateUsage] # one unit with the importer


def _invalid(node: NodeProto, name: str, error: Exception) -> ModelError:
    text = str(error).removeprefix("nn.")
    return ModelError(f"{node.op_type} (node '{name}'): {text}")


def _attributes_of(node: NodeProto, bindings: Attributes) -> dict[str, AttributeProto]:
    """The attributes by name, references to those of the function call resolved."""
    attributes: dict[str, AttributeProto] = {}
    for attribute in node.attribute:
        name = attribute.name
        if name in attributes:
            raise InvalidNodeError(f"attribute '{name}' is given twice")
        if not attribute.ref_attr_name:
            attributes[name] = attribute
        elif attribute.ref_attr_name in bindings:
            attributes[name] = bindings[attribute.ref_attr_name]
    return attributes


def _named(names: Iterable[str]) -> ArrayAttr[DictionaryAttr]:
    return ArrayAttr(DictionaryAttr({"nn.name": StringAttr(n)}) for n in names)
