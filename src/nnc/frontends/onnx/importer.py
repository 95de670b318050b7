"""The walk over an ONNX graph: every node to `nn` ops, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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

from nnc.context import NncContext
from nnc.errors import (
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
from nnc.frontends.onnx.input_values import (
    InputValues,
    check_input_names,
    deciding_inputs,
    given_value,
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
from nnc.weights import Array

ENTRY: Final = "main"

Attributes = Mapping[str, AttributeProto]
Initializer: TypeAlias = TensorProto | SparseTensorProto


class _Missing:
    """Stands for the output of a node that could not be converted."""


_MISSING: Final = _Missing()


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
    limits: Limits = DEFAULT_LIMITS,
) -> ModuleOp:
    """
    The module for an ONNX model; its weights go to the store of `ctx`.

    Raises:
        LoadError: the file is damaged, unsafe or too large.
        ModelError: the network is invalid.
        UnsupportedOp: it uses ops that nnc does not have; lists all of them.
        InputValuesNeeded: it can be imported for values of some inputs; names them.
        CompileError: `input_shapes` or `input_values` does not fit the model.
    """
    model = load_model(source, limits)
    importer = _Importer(model, ctx, limits)
    module = importer.run(input_shapes or {}, input_values or {})
    ctx.external_files = model.reader.external_files
    return module


class _Importer:
    """Converts one model."""

    def __init__(self, model: Model, ctx: NncContext, limits: Limits) -> None:
        self.model = model
        self.limits = limits
        self.block = Block()
        self.builder = Builder(self.block, ctx.weights, limits)
        self.unsupported: list[UnsupportedNode] = []
        self.deciding: list[Sequence[SSAValue]] = []
        """For each node that data would have to decide: the values of that data."""

    def run(self, input_shapes: InputShapes, input_values: InputValues) -> ModuleOp:
        """The module of the whole model."""
        graph = self.model.proto.graph
        scope = _Scope(None, self.model.opsets, {}, "", self.block)
        self._add_initializers(scope, graph, self.model.payloads)
        # Up to IR version 3, initializers were listed among the inputs.
        inputs = [i for i in graph.input if i.name not in scope.initializers]
        try:
            types = input_types(inputs, input_shapes, self.limits)
        except UnsupportedError as error:
            reason = UnsupportedNode(graph.name, "graph", str(error))
            raise UnsupportedOp([reason]) from error
        check_input_names(input_values, inputs)
        names: list[str] = []
        for info, type_ in zip(inputs, types, strict=True):
            if info.name in scope.values:
                raise ModelError(f"two inputs are called '{info.name}'")
            if info.name in input_values:
                array = given_value(input_values[info.name], info.name, type_)
                scope.values[info.name] = self.builder.constant(array, info.name)
                continue
            names.append(info.name)
            argument = self.block.insert_arg(type_, len(self.block.args))
            if SSAValue.is_valid_name(info.name):
                # The printer writes hints of any letters, the lexer reads ASCII ones.
                argument.name_hint = info.name if info.name.isascii() else None
            scope.values[info.name] = argument
        results = [o.name for o in graph.output]
        try:
            outputs = self._convert_body(graph.node, results, scope, graph.name)
        except (ModelError, LoadError):
            if not self.unsupported:
                raise
            # What is not supported is the better news when both are the case.
            outputs = []
        # From now on the weight store alone keeps their bytes.
        scope.initializers.clear()
        self.model.payloads.clear()
        if self.unsupported:
            raise self._refusal(names)
        return self._module(names, results, outputs)

    def _refusal(self, inputs: Sequence[str]) -> UnsupportedOp:
        """The error for nodes that are not supported as they stand."""
        values = [value for values in self.deciding for value in values]
        deciding = deciding_inputs(values, self.block)
        if len(self.deciding) < len(self.unsupported) or not deciding:
            return UnsupportedOp(self.unsupported)
        return InputValuesNeeded(self.unsupported, [inputs[i] for i in deciding])

    def _module(
        self, inputs: Sequence[str], outputs: Sequence[str], values: Sequence[SSAValue]
    ) -> ModuleOp:
        self.block.add_op(ReturnOp(*values))
        erase_dead_ops(self.block)
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
            else:
                array = reader.read(tensor, what, payload)
        except UnsupportedError as error:
            self.unsupported.append(UnsupportedNode(name, "initializer", str(error)))
            return _MISSING
        return self.builder.constant(array, name)

    def _convert_node(self, node: NodeProto, scope: _Scope, used: set[str]) -> None:
        name = scope.prefix + node_name(node)
        try:
            results = self._converted(node, name, scope, used)
        except UnsupportedError as error:
            op = node.op_type if not node.domain else f"{node.domain}.{node.op_type}"
            self.unsupported.append(UnsupportedNode(name, op, str(error)))
            if isinstance(error, DependsOnDataError):
                self.deciding.append(error.values)
            results = None
        except SkippedError:
            results = None
        except (LimitExceeded, LoadError) as error:
            raise type(error)(f"{node.op_type} (node '{name}'): {error}") from error
        except (InvalidNodeError, VerifyException, ArithmeticError) as error:
            text = str(error).removeprefix("nn.")
            raise ModelError(f"{node.op_type} (node '{name}'): {text}") from error
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
                self.unsupported.append(UnsupportedNode(name, node.op_type, reason))
            scope.values[output] = _MISSING if value is None else value

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
        reports = (self._importer.unsupported, self._importer.deciding)
        counts = [len(report) for report in reports]

        def restore() -> None:
            for report, count in zip(reports, counts, strict=True):
                del report[count:]

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
