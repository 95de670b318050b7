"""One ONNX node as a converter sees it: checked attributes, inputs as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from onnx import AttributeProto, GraphProto, NodeProto
from xdsl.ir import SSAValue

from nnc.dialects.nn.types import rank_of
from nnc.frontends.common import (
    Builder,
    DependsOnDataError,
    InvalidNodeError,
    UnsupportedError,
)
from nnc.frontends.loader.limits import Limits
from nnc.frontends.onnx.sparse import dense
from nnc.frontends.onnx.tensors import TensorReader
from nnc.symbolic import Dim
from nnc.weights import Array

_KINDS: Final[Mapping[str, int]] = {
    "f": AttributeProto.FLOAT,
    "i": AttributeProto.INT,
    "s": AttributeProto.STRING,
    "t": AttributeProto.TENSOR,
    "g": AttributeProto.GRAPH,
    "sparse_tensor": AttributeProto.SPARSE_TENSOR,
    "floats": AttributeProto.FLOATS,
    "ints": AttributeProto.INTS,
    "strings": AttributeProto.STRINGS,
}


class Node:
    """A node with its opset version and the values of its inputs."""

    def __init__(
        self,
        proto: NodeProto,
        name: str,
        version: int,
        inputs: Sequence[SSAValue | None],
        used_outputs: Sequence[bool],
        attributes: Mapping[str, AttributeProto],
        reader: TensorReader,
        subgraph: SubgraphConverter,
    ) -> None:
        self.proto = proto
        self.name = name
        """The name that errors and locations show."""
        self.op_type = proto.op_type
        self.version = version
        self.inputs = inputs
        self.used_outputs = used_outputs
        """For each output, whether anything reads it."""
        self.convert_subgraph = subgraph
        """Converts a graph attribute in place; its outputs."""
        self._attributes = attributes
        self._reader = reader

    def derived(
        self,
        inputs: Sequence[SSAValue | None] | None = None,
        version: int | None = None,
    ) -> Node:
        """The same node with other inputs, or as one of another opset version."""
        return Node(
            self.proto,
            self.name,
            self.version if version is None else version,
            self.inputs if inputs is None else inputs,
            self.used_outputs,
            self._attributes,
            self._reader,
            self.convert_subgraph,
        )

    # ---- inputs

    def input(self, index: int) -> SSAValue:
        """
        A required input.

        Raises:
            InvalidNodeError: the node does not have it.
        """
        value = self.optional_input(index)
        if value is None:
            raise InvalidNodeError(f"input {index} is missing")
        return value

    def optional_input(self, index: int) -> SSAValue | None:
        """An input that may be absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def variadic_inputs(self) -> list[SSAValue]:
        """
        All inputs of an op that takes any number of them, at least one.

        Raises:
            InvalidNodeError: there are none, or one is absent.
        """
        values = [v for v in self.inputs if v is not None]
        if not values or len(values) != len(self.inputs):
            raise InvalidNodeError("an input is missing")
        return values

    def uses_output(self, index: int) -> bool:
        """Whether anything reads an output."""
        return index < len(self.used_outputs) and self.used_outputs[index]

    # ---- attributes

    def has_attr(self, name: str) -> bool:
        """Whether the attribute is there."""
        return name in self._attributes

    def attr_int(self, name: str, default: int | None = None) -> int:
        """An integer attribute."""
        attribute = self._attribute(name, "i", required=default is None)
        return int(attribute.i) if attribute is not None else default or 0

    def attr_float(self, name: str, default: float | None = None) -> float:
        """A float attribute."""
        attribute = self._attribute(name, "f", required=default is None)
        return float(attribute.f) if attribute is not None else default or 0.0

    def attr_string(self, name: str, default: str | None = None) -> str:
        """A string attribute."""
        attribute = self._attribute(name, "s", required=default is None)
        if attribute is None:
            return default or ""
        return attribute.s.decode("utf-8", "replace")

    def attr_ints(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """A list of integers."""
        attribute = self._attribute(name, "ints", required=default is None)
        return list(attribute.ints if attribute is not None else default or ())

    def attr_floats(
        self, name: str, default: Sequence[float] | None = None
    ) -> list[float]:
        """A list of floats."""
        attribute = self._attribute(name, "floats", required=default is None)
        return list(attribute.floats if attribute is not None else default or ())

    def attr_strings(
        self, name: str, default: Sequence[str] | None = None
    ) -> list[str]:
        """A list of strings."""
        attribute = self._attribute(name, "strings", required=default is None)
        if attribute is None:
            return list(default or ())
        return [s.decode("utf-8", "replace") for s in attribute.strings]

    def attr_tensor(self, name: str) -> Array:
        """A tensor attribute."""
        attribute = self._attribute(name, "t", required=True)
        assert attribute is not None
        return self._reader.read(attribute.t, f"attribute '{name}'")

    def attr_sparse_tensor(self, name: str, limits: Limits) -> Array:
        """A sparse tensor attribute, dense."""
        attribute = self._attribute(name, "sparse_tensor", required=True)
        assert attribute is not None
        what = f"attribute '{name}'"
        return dense(attribute.sparse_tensor, self._reader, limits, what)

    def attr_graph(self, name: str) -> GraphProto:
        """A graph attribute."""
        attribute = self._attribute(name, "g", required=True)
        assert attribute is not None
        return attribute.g

    def attr_axis(self, default: int | None, rank: int, name: str = "axis") -> int:
        """An axis attribute, counted from the front."""
        return normalized_axis(self.attr_int(name, default), rank)

    def attribute_names(self) -> list[str]:
        """The names of all attributes that are there."""
        return list(self._attributes)

    def _attribute(
        self, name: str, kind: str, *, required: bool
    ) -> AttributeProto | None:
        attribute = self._attributes.get(name)
        if attribute is None:
            if required:
                raise InvalidNodeError(f"attribute '{name}' is missing")
            return None
        # Models of IR version 1 do not tell the type.
        if attribute.type not in (_KINDS[kind], AttributeProto.UNDEFINED):
            raise InvalidNodeError(
                f"attribute '{name}' must be of type "
                f"{AttributeProto.AttributeType.Name(_KINDS[kind])}, not "
                f"{_type_name(attribute.type)}"
            )
        return attribute


def _type_name(type_: int) -> str:
    known = type_ in AttributeProto.AttributeType.values()
    return AttributeProto.AttributeType.Name(type_) if known else str(type_)


class SkippedError(Exception):
    """A node depends on others that are reported already."""


class SubgraphConverter:
    """What converts a subgraph in the scope of its node; the importer derives it."""

    def checkpoint(self) -> Callable[[], None]:
        """What forgets the reports since now: the subgraph is converted anew."""
        return lambda: None

    def value(self, name: str) -> SSAValue:
        """The value of a name that a node reads by an attribute."""
        raise UnsupportedError(f"the tensor '{name}' outside of a graph")

    def __call__(
        self, graph: GraphProto, arguments: Sequence[SSAValue] = ()
    ) -> list[SSAValue]:
        """Convert `graph` in place, on `arguments`; the values of its outputs."""
        raise UnsupportedError(f"subgraph '{graph.name}' outside of a graph")


def normalized_axis(axis: int, rank: int) -> int:
    """
    `axis` counted from the front.

    Raises:
        InvalidNodeError: there is no such axis.
    """
    if not -rank <= axis < rank:
        raise InvalidNodeError(f"axis {axis} does not exist in a tensor of rank {rank}")
    return axis % rank


def normalized_axes(axes: Sequence[int], rank: int) -> list[int]:
    """
    Axes counted from the front.

    Raises:
        InvalidNodeError: one does not exist, or is named twice.
    """
    result = [normalized_axis(a, rank) for a in axes]
    if len(set(result)) != len(result):
        raise InvalidNodeError(f"an axis is named twice in {list(axes)}")
    return result


def known_dims(builder: Builder, value: SSAValue, what: str) -> list[Dim]:
    """
    What an input holds that is a vector of sizes, or one size.

    Those that are known as dims; others the run reads when they are computed.

    Raises:
        DependsOnDataError: it is computed in a loop or a branch, or how many sizes
            there are is not known.
    """
    return builder.sizes(value, what)


def sizes_or_data(builder: Builder, value: SSAValue, what: str) -> list[Dim | SSAValue]:
    """
    The elements of a vector: what is known of them, else i64 scalars.

    Raises:
        DependsOnDataError: how many there are is not known.
    """
    elements = builder.elements(value)
    if elements is None:
        raise DependsOnDataError(f"{what} must not depend on data", value)
    return elements


def known_ints(builder: Builder, value: SSAValue, what: str) -> list[int]:
    """
    What an input that must be constant holds.

    Raises:
        UnsupportedError: it is no constant.
    """
    dims = builder.known(value)
    if dims is None:
        raise DependsOnDataError(f"{what} must not depend on data", value)
    values = [d.as_int() for d in dims]
    known = [v for v in values if v is not None]
    if len(known) != len(values):
        raise UnsupportedError(f"{what} must be constant")
    return known


def known_int(builder: Builder, value: SSAValue, what: str) -> int:
    """
    What a scalar input that must be constant holds.

    Raises:
        UnsupportedError: it is no constant.
        InvalidNodeError: it is not one number.
    """
    values = known_ints(builder, value, what)
    if len(values) != 1:
        raise InvalidNodeError(f"{what} must be one number, not {len(values)}")
    return values[0]


def known_axes(node: Node, builder: Builder, index: int) -> list[int] | None:
    """
    Axes that are an attribute in old versions of an op and an input in newer ones.

    None if there are none.
    """
    value = node.optional_input(index)
    if value is not None:
        if rank_of(value) > 1:
            raise InvalidNodeError("axes must be a vector")
        return known_ints(builder, value, "axes")
    return node.attr_ints("axes") if node.has_attr("axes") else None
