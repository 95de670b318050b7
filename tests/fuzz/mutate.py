"""Random changes of an ONNX model and its inputs that leave it well-formed protobuf."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
)

Array = NDArray[Any]

INTEGERS: Final = (
    0, 1, -1, 2, -2, 3, 5, 7, 16, 63, 64, 99, -99, 255, 1 << 20, 2**31 - 1, -(2**31),
    2**31, 2**32, 2**40, 2**62, 2**63 - 1, -(2**63), -(2**63) + 1,
)  # fmt: skip
FLOATS: Final = (
    0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, -1e-30, 1e9, 1e30, -1e30, 3.4e38, 1e-45,
    float("nan"), float("inf"), float("-inf"), 2.0**31, 2.0**63,
)  # fmt: skip
STRINGS: Final = (
    b"", b"NOTSET", b"VALID", b"SAME_UPPER", b"SAME_LOWER", b"constant", b"edge",
    b"reflect", b"wrap", b"linear", b"nearest", b"cubic", b"bilinear", b"add", b"mul",
    b"max", b"min", b"none", b"sum", b"mean", b"forward", b"reverse", b"bidirectional",
    b"Relu", b"Tanh", b"DCR", b"CRD", b"LEFT", b"RIGHT", b"ij,jk->ik", b"...i,i...->i",
    b"align_corners", b"asymmetric", b"half_pixel", b"tf_crop_and_resize", b"floor",
    b"\xff\xfe", b"a" * 1000, b"%s\x00../\n",
)  # fmt: skip
DTYPES: Final = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.INT64,
    TensorProto.INT32,
    TensorProto.INT16,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
    TensorProto.BOOL,
)


@dataclass
class Draft:
    """A model and arrays for its inputs."""

    model: ModelProto
    feeds: dict[str, Array]
    random: random.Random

    def copy(self) -> Draft:
        """One that can be changed alone; arrays are never changed in place."""
        model = ModelProto()
        model.CopyFrom(self.model)
        return Draft(model, dict(self.feeds), self.random)

    def nodes(self) -> list[NodeProto]:
        """The nodes of the graph, its subgraphs and the functions."""
        found = list(_nodes_of(self.model.graph))
        for function in self.model.functions:
            found.extend(function.node)
        return found


def mutated(draft: Draft) -> Draft:
    """A copy with some random changes."""
    with np.errstate(all="ignore"):
        return _mutated(draft.copy())


def _mutated(result: Draft) -> Draft:
    if result.random.random() < 0.3:
        for name in _numbers(result):
            if result.random.random() < 0.6:
                make_constant(result, name)
    for _ in range(result.random.choice((1, 1, 1, 2, 2, 3))):
        result.random.choice(_MUTATIONS)(result)
    return result


def _nodes_of(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _nodes_of(attribute.g)


# ---------------------------------------------------------------- inputs


def make_constant(draft: Draft, name: str) -> None:
    """Give the model an input's value as an initializer."""
    draft.model.graph.initializer.append(
        numpy_helper.from_array(draft.feeds.pop(name), name)
    )
    inputs = draft.model.graph.input
    kept = [i for i in inputs if i.name != name]
    del inputs[:]
    inputs.extend(kept)


def _constant_input(draft: Draft) -> None:
    if numbers := _numbers(draft):
        make_constant(draft, draft.random.choice(numbers))


def _numbers(draft: Draft) -> list[str]:
    """The inputs that can be constants: objects may be more than strings by now."""
    return [name for name, value in draft.feeds.items() if value.dtype != np.object_]


def _input_values(draft: Draft) -> None:
    """Change some elements of an input."""
    names = [n for n, a in draft.feeds.items() if a.size and _is_numeric(a)]
    if names:
        name = draft.random.choice(names)
        draft.feeds[name] = _changed_values(draft.feeds[name], draft.random)


def _changed_values(array: Array, chance: random.Random) -> Array:
    flat = array.reshape(-1).copy()
    for _ in range(chance.choice((1, 1, 2, flat.size))):
        flat[chance.randrange(flat.size)] = _element(flat.dtype, chance)
    return flat.reshape(array.shape)


def _element(dtype: np.dtype[Any], chance: random.Random) -> object:
    if dtype.kind not in "iu":
        return np.asarray(chance.choice(FLOATS), np.float64).astype(dtype)
    value = chance.choice(INTEGERS)
    bits = dtype.itemsize * 8
    if chance.random() < 0.5:
        value = chance.randint(-9, 9)
    return (
        np.array(value & (2**bits - 1), np.uint64).astype(f"u{bits // 8}").view(dtype)
    )


def _is_numeric(array: Array) -> bool:
    return array.dtype.kind in "iuf" and array.dtype.isbuiltin == 1


def _input_shape(draft: Draft) -> None:
    """Change a size or the rank of an input, mostly with its declaration."""
    if not draft.feeds:
        return
    name = draft.random.choice(list(draft.feeds))
    shape = _changed_shape(draft.feeds[name].shape, draft.random)
    draft.feeds[name] = np.resize(draft.feeds[name], shape)
    if draft.random.random() < 0.9:
        _declare(draft, name)


def _changed_shape(shape: Sequence[int], chance: random.Random) -> list[int]:
    sizes = list(shape)
    kind = chance.randrange(6)
    if not sizes or kind == 0:
        sizes.insert(chance.randint(0, len(sizes)), chance.choice((1, 1, 2, 3)))
    elif kind == 1:
        del sizes[chance.randrange(len(sizes))]
    else:
        axis = chance.randrange(len(sizes))
        sizes[axis] = chance.choice((0, 1, 2, sizes[axis] + 1, sizes[axis] * 2, 17))
    if int(np.prod(sizes)) > 1 << 20:
        return list(shape)
    return sizes


def _declare(draft: Draft, name: str) -> None:
    array = draft.feeds[name]
    for info in draft.model.graph.input:
        if info.name == name:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            info.CopyFrom(helper.make_tensor_value_info(name, kind, array.shape))


def _input_dtype(draft: Draft) -> None:
    if not draft.feeds:
        return
    name = draft.random.choice(list(draft.feeds))
    array = draft.feeds[name]
    if array.dtype.kind == "O":
        return
    dtype = helper.tensor_dtype_to_np_dtype(draft.random.choice(DTYPES))
    draft.feeds[name] = array.astype(dtype)
    _declare(draft, name)


def _free_dims(draft: Draft) -> None:
    """Give axes of the inputs names instead of sizes."""
    for info in draft.model.graph.input:
        for dim in info.type.tensor_type.shape.dim:
            if draft.random.random() < 0.5:
                names = (f"n{dim.dim_value}", "n", f"{info.name}_0")
                dim.dim_param = draft.random.choice(names)


# ---------------------------------------------------------------- initializers


def _initializer(draft: Draft) -> None:
    if draft.model.graph.initializer:
        _change_tensor(draft.random.choice(draft.model.graph.initializer), draft.random)


def _change_tensor(tensor: TensorProto, chance: random.Random) -> None:
    kind = chance.randrange(5)
    if kind == 0 and tensor.dims:
        tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(INTEGERS)
        return
    if kind == 1:
        tensor.data_type = chance.choice((*DTYPES, 0, 8, 14, 17, 22, 25, 99))
        return
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError):
        return
    if kind == 2:
        shape = _changed_shape(array.shape, chance)
        tensor.CopyFrom(numpy_helper.from_array(np.resize(array, shape), tensor.name))
    elif array.size and _is_numeric(array):
        changed = _changed_values(array, chance)
        tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))


# ---------------------------------------------------------------- attributes


def _attribute(draft: Draft) -> None:
    nodes = [n for n in draft.nodes() if n.attribute]
    if nodes:
        attribute = draft.random.choice(draft.random.choice(nodes).attribute)
        _change_attribute(attribute, draft.random)


def _change_attribute(attribute: AttributeProto, chance: random.Random) -> None:
    """Change a value; now and then the type, which then lies about the field."""
    if chance.random() < 0.05:
        types: list[Any] = list(AttributeProto.AttributeType.values())
        attribute.type = chance.choice(types)
    elif attribute.type == AttributeProto.INT:
        attribute.i = chance.choice(INTEGERS)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = chance.choice(FLOATS)
    elif attribute.type == AttributeProto.STRING:
        attribute.s = chance.choice(STRINGS)
    elif attribute.type == AttributeProto.TENSOR:
        _change_tensor(attribute.t, chance)
    elif attribute.type == AttributeProto.INTS:
        _change_list(attribute.ints, INTEGERS, chance)
    elif attribute.type == AttributeProto.FLOATS:
        _change_list(attribute.floats, FLOATS, chance)
    elif attribute.type == AttributeProto.STRINGS:
        _change_list(attribute.strings, STRINGS, chance)
    elif attribute.type == AttributeProto.GRAPH:
        _change_subgraph(attribute.g, chance)


def _change_list(values: Any, extremes: Sequence[Any], chance: random.Random) -> None:
    kind = chance.randrange(4)
    if kind == 0 or not values:
        values.append(chance.choice(extremes))
    elif kind == 1:
        del values[chance.randrange(len(values))]
    elif kind == 2:
        values[chance.randrange(len(values))] = values[chance.randrange(len(values))]
    else:
        values[chance.randrange(len(values))] = chance.choice(extremes)


def _change_subgraph(graph: GraphProto, chance: random.Random) -> None:
    lists: list[Any] = [graph.input, graph.output, graph.node, graph.initializer]
    filled = [items for items in lists if items]
    if filled:
        items = chance.choice(filled)
        if chance.random() < 0.5:
            del items[chance.randrange(len(items))]
        else:
            items.append(items[chance.randrange(len(items))])


def _remove_attribute(draft: Draft) -> None:
    nodes = [n for n in draft.nodes() if n.attribute]
    if nodes:
        attributes = draft.random.choice(nodes).attribute
        index = draft.random.randrange(len(attributes))
        if draft.random.random() < 0.1:
            attributes.append(attributes[index])
        else:
            del attributes[index]


def _add_attribute(draft: Draft) -> None:
    """Give a node an attribute that its op knows, with any value."""
    if not draft.nodes():
        return
    node = draft.random.choice(draft.nodes())
    known = _attributes_of(node.op_type, node.domain)
    missing = [n for n in known if all(a.name != n for a in node.attribute)]
    if not missing:
        return
    name = draft.random.choice(missing)
    attribute = node.attribute.add(name=name, type=known[name])
    for _ in range(draft.random.randint(1, 3)):
        _change_attribute(attribute, draft.random)


@cache
def _attributes_of(op_type: str, domain: str) -> dict[str, Any]:
    if not onnx.defs.has(op_type, domain=domain):
        return {}
    schema = onnx.defs.get_schema(op_type, domain=domain)
    attributes: list[Any] = list(schema.attributes.values())
    return {a.name: a.type.value for a in attributes}


# ---------------------------------------------------------------- structure


@cache
def _op_types() -> list[str]:
    schemas = onnx.defs.get_all_schemas()
    return sorted({s.name for s in schemas if not s.domain})


def _op_type(draft: Draft) -> None:
    if draft.nodes():
        draft.random.choice(draft.nodes()).op_type = draft.random.choice(_op_types())


def _node_inputs(draft: Draft) -> None:
    """Drop, leave out, double or exchange inputs of a node."""
    nodes = [n for n in draft.nodes() if n.input]
    if not nodes:
        return
    inputs = draft.random.choice(nodes).input
    index = draft.random.randrange(len(inputs))
    kind = draft.random.randrange(5)
    if kind == 0:
        del inputs[index]
    elif kind == 1:
        inputs[index] = ""
    elif kind == 2:
        inputs.append(inputs[index])
    elif kind == 3:
        inputs[index] = draft.random.choice(inputs)
    else:
        names = [o for n in draft.nodes() for o in n.output]
        inputs[index] = draft.random.choice([*names, *draft.feeds, "nothing"])


def _outputs(draft: Draft) -> None:
    """Drop outputs of a node, or read others as outputs of the model."""
    node = draft.random.choice(draft.nodes()) if draft.nodes() else None
    if node is None or not node.output:
        return
    if draft.random.random() < 0.5:
        del node.output[draft.random.randrange(len(node.output))]
    else:
        outputs = draft.model.graph.output
        outputs.append(onnx.ValueInfoProto(name=draft.random.choice(node.output)))


def _opset(draft: Draft) -> None:
    entries = draft.model.opset_import
    if entries:
        draft.random.choice(entries).version = draft.random.randint(1, 28)


_MUTATIONS: Final[Sequence[Callable[[Draft], None]]] = (
    _attribute,
    _attribute,
    _remove_attribute,
    _add_attribute,
    _add_attribute,
    _input_values,
    _input_values,
    _input_values,
    _input_shape,
    _input_shape,
    _input_dtype,
    _free_dims,
    _constant_input,
    _initializer,
    _op_type,
    _node_inputs,
    _outputs,
    _opset,
)
