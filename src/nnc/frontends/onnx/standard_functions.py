"""
Ops that the ONNX standard defines by a function of other ops.

A converter of our own goes first; for ops without one, the body of the standard's
function is converted in place of the node. Some bodies depend on the node's attributes
and input types, and are made by the `onnx` package for each node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from onnx import AttributeProto, FunctionProto, NodeProto, TypeProto, defs, helper
from xdsl.ir import SSAValue

from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.frontends.onnx.registry import entries_of, normalized_domain

_NEVER: Final = frozenset({("", "Bernoulli"), ("", "SequenceMap")})
"""Functions of ops that there is no converter for: random numbers and sequences."""


def standard_function(
    node: NodeProto,
    attributes: Mapping[str, AttributeProto],
    opsets: Mapping[str, int],
    inputs: Sequence[SSAValue | None],
) -> FunctionProto | None:
    """
    The function that stands for a node in the standard, if there is one.

    `attributes` are those of the node, with references to an outer function resolved.
    """
    domain = normalized_domain(node.domain)
    version = opsets.get(domain, 1)
    if (domain, node.op_type) in _NEVER or not defs.has(node.op_type, domain):
        return None
    try:
        schema: Any = defs.get_schema(node.op_type, version, domain)
    except defs.SchemaError:
        return None
    function = FunctionProto()
    if schema.has_function:
        function.CopyFrom(schema.function_body)
    elif schema.has_context_dependent_function:
        versions: list[int] = schema.context_dependent_function_opset_versions
        fitting = [v for v in versions if v <= version]
        body = schema.get_context_dependent_function_with_opset_version(
            max(fitting, default=min(versions)),
            _with_attributes(node, attributes).SerializeToString(),
            [_type_of(value).SerializeToString() for value in inputs],
        )
        function.ParseFromString(body)
        if domain:
            # Its ops are of the standard's own domain, at the version of the model.
            del function.opset_import[:]
            function.opset_import.append(helper.make_opsetid("", opsets.get("", 1)))
    else:
        return None
    _add_defaults(function, schema)
    return function


def has_standard_function(op_type: str, domain: str) -> bool:
    """Whether the newest version of an op is converted by its function."""
    if (domain, op_type) in _NEVER or not defs.has(op_type, domain):
        return False
    # The stubs of onnx leave the functions out.
    schema: Any = defs.get_schema(op_type, domain)
    return bool(schema.has_function or schema.has_context_dependent_function)


def ops_with_functions() -> list[tuple[str, str]]:
    """The ops, by domain and name, that are converted by the standard's function."""
    names = {(s.domain, s.name) for s in defs.get_all_schemas()}
    return sorted(
        (domain, name)
        for domain, name in names
        if has_standard_function(name, domain) and not entries_of(domain, name)
    )


def standard_ops() -> list[tuple[str, str]]:
    """All ops of the standard that are not deprecated, by domain and name."""
    # The stubs of onnx leave out what schemas tell.
    schemas: Sequence[Any] = defs.get_all_schemas()
    return sorted({(s.domain, s.name) for s in schemas if not s.deprecated})


def _with_attributes(
    node: NodeProto, attributes: Mapping[str, AttributeProto]
) -> NodeProto:
    result = NodeProto()
    result.CopyFrom(node)
    del result.attribute[:]
    for name, attribute in attributes.items():
        result.attribute.add().CopyFrom(attribute)
        result.attribute[-1].name = name
    return result


def _add_defaults(function: FunctionProto, schema: Any) -> None:
    """Bodies refer to attributes that a node may leave out."""
    known = {a.name for a in function.attribute_proto}
    for name, attribute in schema.attributes.items():
        default = attribute.default_value
        if name not in known and default.type != AttributeProto.UNDEFINED:
            function.attribute_proto.append(default)


def _type_of(value: SSAValue | None) -> TypeProto:
    if value is None:
        return TypeProto()
    element_type = helper.np_dtype_to_tensor_dtype(numpy_dtype(element_type_of(value)))
    dims = [d.as_int() if d.as_int() is not None else str(d) for d in dims_of(value)]
    return helper.make_tensor_type_proto(element_type, dims)
