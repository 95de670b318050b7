"""Model files that are wrong in one way each, and how they are refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from engines import Array
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
)

from nnc.errors import (
    CompileError,
    InputError,
    InputValuesNeeded,
    LimitExceeded,
    LoadError,
    ModelError,
    NncError,
    RunError,
    UnsupportedOp,
)

_F32: Final = np.float32
_INVALID: Final = (ModelError, LoadError, LimitExceeded)
_FEED: Final = np.arange(4, dtype=_F32)


@dataclass(frozen=True)
class BadModel:
    """What is given to `nnc.compile` and to the model's run, and what they raise."""

    source: Path | bytes | ModelProto
    errors: tuple[type[NncError], ...] = ()
    """One of these; none: it runs."""
    feeds: Mapping[str, Array] = field(default_factory=dict[str, Array])


Build = Callable[[Path], BadModel]
BAD_MODELS: Final[dict[str, Build]] = {}


def _entry(name: str) -> Callable[[Build], Build]:
    def register(build: Build) -> Build:
        assert name not in BAD_MODELS
        BAD_MODELS[name] = build
        return build

    return register


# ---------------------------------------------------------------- writing models


def _model(
    nodes: Sequence[NodeProto],
    initializers: Mapping[str, Array] | Sequence[TensorProto] = (),
    inputs: Mapping[str, Array] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 21,
) -> ModelProto:
    feeds = {"x": _FEED} if inputs is None else inputs
    tensors = (
        [numpy_helper.from_array(np.asarray(a), n) for n, a in initializers.items()]
        if isinstance(initializers, Mapping)
        else list(initializers)
    )
    infos = [
        helper.make_tensor_value_info(
            n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape
        )
        for n, a in feeds.items()
    ]
    results = [helper.make_empty_tensor_value_info(o) for o in outputs]
    graph = helper.make_graph(nodes, "g", infos, results, tensors)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _relu(source: str = "x", target: str = "y") -> NodeProto:
    return helper.make_node("Relu", [source], [target])


def _one(
    op: str,
    inputs: Mapping[str, Array],
    errors: Sequence[type[NncError]],
    constants: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> BadModel:
    """One node; inputs in order, constants behind them."""
    held = {n: np.asarray(a) for n, a in (constants or {}).items()}
    node = helper.make_node(op, [*inputs, *held], ["y"], **attributes)
    return BadModel(_model([node], held, inputs), tuple(errors), inputs)


# ---------------------------------------------------------------- A. the file


def _bytes(name: str, data: Callable[[], bytes], *errors: type[NncError]) -> None:
    BAD_MODELS[name] = lambda _: BadModel(data(), errors, {"x": _FEED})


def _valid() -> bytes:
    return _model([_relu()]).SerializeToString()


_bytes("empty", lambda: b"", LoadError)
_bytes("random", lambda: np.random.default_rng(0).bytes(4096), LoadError)
_bytes("truncated", lambda: _valid()[:-9], LoadError, ModelError)
_bytes("trailing 0xff", lambda: _valid() + b"\xff" * 8, LoadError)
_bytes("a zip archive", lambda: b"PK\x03\x04" + bytes(200), LoadError)
_bytes("valid", _valid)


def _changed(
    name: str, change: Callable[[ModelProto], object], *errors: type[NncError]
) -> None:
    def build(_: Path) -> BadModel:
        model = _model([_relu()])
        change(model)
        return BadModel(model.SerializeToString(), errors, {"x": _FEED})

    BAD_MODELS[name] = build


_changed("no graph", lambda m: m.ClearField("graph"), LoadError)
_changed("no opset", lambda m: m.ClearField("opset_import"), LoadError)
_changed("IR version 1e9", lambda m: setattr(m, "ir_version", 10**9), LoadError)
for _version in (2**62, -1, 0, 99):
    _changed(
        f"opset {_version}",
        lambda m, v=_version: setattr(m.opset_import[0], "version", v),
        LoadError,
        ModelError,
    )
_changed("no outputs", lambda m: m.graph.ClearField("output"), ModelError)
_changed(
    "dangling output", lambda m: setattr(m.graph.output[0], "name", "z"), ModelError
)
_changed("an output twice", lambda m: m.graph.output.append(m.graph.output[0]))
_changed("dangling input", lambda m: m.graph.ClearField("input"), ModelError)
_changed("an input twice", lambda m: m.graph.input.append(m.graph.input[0]), ModelError)
_changed(
    "unknown op", lambda m: setattr(m.graph.node[0], "op_type", "No"), UnsupportedOp
)
_changed(
    "unknown domain", lambda m: setattr(m.graph.node[0], "domain", "no"), UnsupportedOp
)
_changed(
    "no inputs of a node", lambda m: m.graph.node[0].ClearField("input"), ModelError
)
_changed(
    "no outputs of a node", lambda m: m.graph.node[0].ClearField("output"), ModelError
)
_changed(
    "a cycle",
    lambda m: m.graph.node.extend([_relu("b", "a"), _relu("a", "b")]),
    ModelError,
)
_changed("defined twice", lambda m: m.graph.node.append(_relu()), ModelError)
_changed(
    "name of 10 MiB",
    lambda m: setattr(m.graph.node[0], "name", "n" * 10_485_760),
    LimitExceeded,
)
_changed(
    "name with control characters",
    lambda m: setattr(m.graph.node[0], "name", "\0\n'\"%s../\x7f"),
)
_changed(
    "shape of -4",
    lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -4),
    LoadError,
)
_changed(
    "element type 9999",
    lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 9999),
    LoadError,
)
_changed(
    "element type 0",
    lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 0),
    LoadError,
)


@_entry("a folder")
def _(folder: Path) -> BadModel:
    return BadModel(folder, (LoadError,))


@_entry("a pipe")
def _(folder: Path) -> BadModel:
    os.mkfifo(folder / "pipe.onnx")
    return BadModel(folder / "pipe.onnx", (LoadError,))


@_entry("a device")
def _(_: Path) -> BadModel:
    return BadModel(Path("/dev/zero"), (LoadError,))


@_entry("a file of 2 GiB")
def _(folder: Path) -> BadModel:
    path = folder / "large.onnx"
    with path.open("wb") as file:
        file.truncate(2**31 + 1)
    return BadModel(path, (LimitExceeded,))


# ---------------------------------------------------------------- B. the graph


def _nested_raw(depth: int) -> bytes:
    """`If` in `If`, written without a library, which would not nest that deep."""

    def varint(number: int) -> bytes:
        out = b""
        while number > 127:
            out += bytes([number & 127 | 128])
            number >>= 7
        return out + bytes([number])

    def block(number: int, data: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(data)) + data

    graph = _model(
        [_relu("x", "y0")], outputs=("y0",), inputs={}
    ).graph.SerializeToString()
    for level in range(1, depth + 1):
        attribute = b"".join(
            block(5, block(1, side) + block(6, graph) + varint(20 << 3) + b"\x05")
            for side in (b"then_branch", b"else_branch")
        )
        if level > 8:
            # Once a level from here on: the size would double with each.
            attribute = block(
                5,
                block(1, b"then_branch") + block(6, graph) + varint(20 << 3) + b"\x05",
            )
        name = f"y{level}".encode()
        node = block(1, b"c") + block(2, name) + block(4, b"If") + attribute
        graph = block(1, node) + block(12, block(1, name))
    value = helper.make_tensor_value_info(
        "x", TensorProto.FLOAT, [4]
    ).SerializeToString()
    condition = helper.make_tensor_value_info(
        "c", TensorProto.BOOL, []
    ).SerializeToString()
    graph += block(11, value) + block(11, condition)
    return (
        varint(1 << 3) + b"\x08" + block(7, graph) + block(8, varint(2 << 3) + b"\x11")
    )


@_entry("If, 400 deep")
def _(_: Path) -> BadModel:
    return BadModel(_nested_raw(400), (LoadError, LimitExceeded))


@_entry("not in order")
def _(_: Path) -> BadModel:
    return BadModel(_model([_relu("b", "y"), _relu("x", "b")]), (), {"x": _FEED})


@_entry("a subgraph that reads what nothing defines")
def _(_: Path) -> BadModel:
    output = helper.make_empty_tensor_value_info("t")
    graph = helper.make_graph([_relu("nothing", "t")], "then", [], [output])
    node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
    return BadModel(_model([node], {"c": np.array(True)}), _INVALID)


def _functions(bodies: Mapping[str, Sequence[str]]) -> ModelProto:
    """A model that calls the first function; each calls others, one after another."""
    functions: list[FunctionProto] = []
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("f", 1)]
    for name, calls in bodies.items():
        names = ["x", *(f"t{i}" for i in range(len(calls) - 1)), "y"]
        nodes = [
            helper.make_node(
                c, [names[i]], [names[i + 1]], domain="f" if c in bodies else ""
            )
            for i, c in enumerate(calls)
        ]
        functions.append(helper.make_function("f", name, ["x"], ["y"], nodes, opsets))
    call = helper.make_node(next(iter(bodies)), ["x"], ["y"], domain="f")
    model = _model([call])
    model.opset_import.add(domain="f", version=1)
    model.functions.extend(functions)
    return model


@_entry("a function that calls itself")
def _(_: Path) -> BadModel:
    return BadModel(_functions({"F": ["F"]}), (ModelError,))


@_entry("functions that call each other")
def _(_: Path) -> BadModel:
    return BadModel(_functions({"F": ["G"], "G": ["Relu", "F"]}), (ModelError,))


@_entry("functions that stand for 2^24 nodes")
def _(_: Path) -> BadModel:
    bodies = {f"F{i}": [f"F{i + 1}"] * 2 for i in range(24)} | {"F24": ["Relu"]}
    return BadModel(_functions(bodies), (LimitExceeded,))


@_entry("an attribute given twice")
def _(_: Path) -> BadModel:
    node = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5)
    node.attribute.append(node.attribute[0])
    return BadModel(_model([node]), (ModelError,))


@_entry("an attribute whose type lies")
def _(_: Path) -> BadModel:
    node = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5)
    node.attribute[0].type = AttributeProto.INTS
    return BadModel(_model([node]), (ModelError,))


@_entry("3000 readers of one value")
def _(_: Path) -> BadModel:
    names = [f"r{i}" for i in range(3000)]
    nodes = [_relu("x", n) for n in names]
    nodes.append(helper.make_node("Sum", names, ["y"]))
    return BadModel(_model(nodes), (), {"x": _FEED})


# ---------------------------------------------------------------- C. tensors


def _weight(name: str, errors: Sequence[type[NncError]], **fields: Any) -> None:
    def build(_: Path) -> BadModel:
        given: dict[str, Any] = {"data_type": TensorProto.FLOAT} | fields
        tensor = TensorProto(name="w", **given)
        node = helper.make_node("Add", ["x", "w"], ["y"])
        return BadModel(_model([node], [tensor]).SerializeToString(), tuple(errors))

    BAD_MODELS[f"weight: {name}"] = build


_weight("short", [LoadError], dims=[4], raw_data=bytes(12))
_weight("long", [LoadError], dims=[4], raw_data=bytes(20))
_weight("dim -4", [LoadError], dims=[-4], raw_data=bytes(16))
_weight("dims -2, -2", [LoadError], dims=[-2, -2], raw_data=bytes(16))
_weight("2^32 x 2^32", [LoadError], dims=[2**32, 2**32])
_weight("2^62 x 4", [LoadError], dims=[2**62, 4], raw_data=bytes(16))
_weight("4 TiB", [LoadError], dims=[2**40], raw_data=bytes(16))
_weight("type 0", [LoadError], dims=[4], data_type=0, raw_data=bytes(16))
_weight("type 9999", [LoadError], dims=[4], data_type=9999, raw_data=bytes(16))
_weight("two fields", [LoadError], dims=[4], raw_data=bytes(16), float_data=[1] * 4)
_weight("wrong field", [LoadError], dims=[4], int64_data=[1] * 4)
_weight(
    "strings in raw bytes",
    [LoadError, UnsupportedOp],
    dims=[4],
    data_type=8,
    raw_data=bytes(16),
)
_weight("rank 1000", [LoadError], dims=[1] * 1000, raw_data=bytes(4))
_weight(
    "int4 short", [LoadError, UnsupportedOp], dims=[9], data_type=22, raw_data=bytes(4)
)


# ---------------------------------------------------------------- D. external data


def _external(
    name: str, prepare: Callable[[Path], Mapping[str, str]], *errors: type[NncError]
) -> None:
    def build(folder: Path) -> BadModel:
        inner = folder / "model"
        inner.mkdir()
        (inner / "w.bin").write_bytes(bytes(64))
        (folder / "secret").write_bytes(b"secret" * 16)
        tensor = TensorProto(
            name="w",
            dims=[4],
            data_type=TensorProto.FLOAT,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in prepare(inner).items():
            tensor.external_data.add(key=key, value=value)
        node = helper.make_node("Add", ["x", "w"], ["y"])
        path = inner / "model.onnx"
        path.write_bytes(_model([node], [tensor]).SerializeToString())
        return BadModel(path, errors, {"x": _FEED})

    BAD_MODELS[f"external data: {name}"] = build


def _linked(folder: Path, link: Callable[[Path, Path], object]) -> dict[str, str]:
    link(folder.parent / "secret", folder / "link.bin")
    return {"location": "link.bin", "length": "16"}


def _linked_folder(folder: Path) -> dict[str, str]:
    (folder / "sub").symlink_to(folder.parent)
    return {"location": "sub/secret", "length": "16"}


_external("valid", lambda _: {"location": "w.bin", "length": "16"})
for _location in (
    "../secret",
    "a/../../secret",
    "/etc/passwd",
    "none.bin",
    "",
    "w.bin\0",
):
    _external(
        f"location {_location!r}", lambda _, v=_location: {"location": v}, LoadError
    )
_external(
    "symbolic link", lambda f: _linked(f, lambda s, t: t.symlink_to(s)), LoadError
)
_external("hard link", lambda f: _linked(f, lambda s, t: t.hardlink_to(s)), LoadError)
_external("folder that is a link", _linked_folder, LoadError)
_external("the folder", lambda _: {"location": "."}, LoadError)
_external("no location", lambda _: {"length": "16"}, LoadError)
_external(
    "unknown key",
    lambda _: {"location": "w.bin", "length": "16", "__class__": "x"},
    LoadError,
)
for _field, _value in (
    ("offset", "-4"), ("length", "-1"), ("length", str(2**60)), ("length", "8"),
    ("offset", str(2**64 - 8)), ("offset", "60"), ("offset", "abc"), ("length", "1e1"),
):  # fmt: skip
    _external(
        f"{_field} {_value}",
        lambda _, f=_field, v=_value: {"location": "w.bin", "length": "16", f: v},
        LoadError,
    )


# ---------------------------------------------------------------- E. what ops are given


def _op(name: str, *args: Any, **kwargs: Any) -> None:
    BAD_MODELS[name] = lambda _: _one(*args, **kwargs)


_IDS: Final = [*_INVALID, RunError, UnsupportedOp]
_ROW: Final = {"x": _FEED}
_MATRIX: Final = {"x": np.ones((2, 4), _F32)}
_IMAGE: Final = {"x": np.ones((1, 2, 4, 4), _F32)}
_FILTER: Final = {"w": np.ones((2, 2, 3, 3), _F32)}


def _i64(*values: int) -> Array:
    return np.array(values, np.int64)


for _index in (10**6, 4, -5, 2**63 - 1, -(2**63)):
    for _given in ("constant", "input"):
        _held = {"i": _i64(_index)}
        _fed = _ROW | (_held if _given == "input" else {})
        _kept = _held if _given == "constant" else {}
        _op(f"Gather {_index}, {_given}", "Gather", _fed, _IDS, _kept)
        _op(f"GatherElements {_index}, {_given}", "GatherElements", _fed, _IDS, _kept)
        _held = {"i": _i64(_index).reshape(1, 1)}
        _fed = _ROW | (_held if _given == "input" else {})
        _kept = _held if _given == "constant" else {}
        _op(f"GatherND {_index}, {_given}", "GatherND", _fed, _IDS, _kept)
        _update = {"u": np.zeros(1, _F32)}
        if _given == "constant":
            _op(f"ScatterND {_index}", "ScatterND", _ROW, _IDS, _held | _update)
            _held = {"i": _i64(_index)}
            _op(
                f"ScatterElements {_index}",
                "ScatterElements",
                _ROW,
                _IDS,
                _held | _update,
            )
        else:
            _op(f"ScatterND {_index}, input", "ScatterND", _ROW | _held | _update, _IDS)
            _held = {"i": _i64(_index)}
            _op(
                f"ScatterElements {_index}, input",
                "ScatterElements",
                _ROW | _held | _update,
                _IDS,
            )

_op(
    "GatherND into nothing",
    "GatherND",
    {"x": np.zeros((0, 3), _F32), "i": _i64(0).reshape(1, 1)},
    [*_IDS, InputError],
)
_op("Reshape with two -1", "Reshape", _ROW, _INVALID, {"s": _i64(-1, -1)})
_op("Reshape 2^32 x 2^32", "Reshape", _ROW, _INVALID, {"s": _i64(2**32, 2**32)})
_op("Reshape -7", "Reshape", _ROW, _INVALID, {"s": _i64(-7)})
_op(
    "Expand 2^31 x 2^31",
    "Expand",
    {"x": np.ones(1, _F32)},
    _INVALID,
    {"s": _i64(2**31, 2**31)},
)
_op("Expand -3", "Expand", {"x": np.ones(1, _F32)}, _INVALID, {"s": _i64(-3)})
_op("Tile 2^40", "Tile", _ROW, _INVALID, {"r": _i64(2**40)})
_op("Tile -1", "Tile", _ROW, _INVALID, {"r": _i64(-1)})
_op("ConstantOfShape 2^40", "ConstantOfShape", {}, _INVALID, {"s": _i64(2**40)})
_op(
    "ConstantOfShape 2^33 x 2^33",
    "ConstantOfShape",
    {},
    _INVALID,
    {"s": _i64(2**33, 2**33)},
)
_op("ConstantOfShape -1", "ConstantOfShape", {}, _INVALID, {"s": _i64(-1)})
_op(
    "Range 1e30 by 1e-30",
    "Range",
    {},
    _INVALID,
    {"a": _F32(0), "b": _F32(1e30), "c": _F32(1e-30)},
)
_op("Range by 0", "Range", {}, _INVALID, {"a": _F32(0), "b": _F32(9), "c": _F32(0)})
_op(
    "Range by NaN",
    "Range",
    {},
    [*_INVALID, RunError],
    {"a": _F32(0), "b": _F32(9), "c": _F32(np.nan)},
)
_op(
    "Range of 2^62",
    "Range",
    {},
    _INVALID,
    {"a": np.int64(0), "b": np.int64(2**62), "c": np.int64(1)},
)
_op("Pad -9", "Pad", _ROW, _INVALID, {"p": _i64(-9, 0)})
_op("Pad 2^62", "Pad", _ROW, _INVALID, {"p": _i64(2**62, 0)})
_op("Pad 2^63 - 1 twice", "Pad", _ROW, _INVALID, {"p": _i64(2**63 - 1, 2**63 - 1)})
_op(
    "Pad reflect 9 of 4",
    "Pad",
    _ROW,
    [*_INVALID, UnsupportedOp],
    {"p": _i64(9, 9)},
    mode="reflect",
)
_op(
    "MaxPool stride 0", "MaxPool", _IMAGE, _INVALID, kernel_shape=[2, 2], strides=[0, 1]
)
_op(
    "MaxPool stride -1",
    "MaxPool",
    _IMAGE,
    _INVALID,
    kernel_shape=[2, 2],
    strides=[-1, 1],
)
_op("MaxPool kernel 0", "MaxPool", _IMAGE, _INVALID, kernel_shape=[0, 2])
_op("MaxPool kernel 9", "MaxPool", _IMAGE, _INVALID, kernel_shape=[9, 9])
_op("MaxPool kernel 2^62", "MaxPool", _IMAGE, _INVALID, kernel_shape=[2**62, 2])
_op(
    "MaxPool dilation 0",
    "MaxPool",
    _IMAGE,
    _INVALID,
    kernel_shape=[2, 2],
    dilations=[0, 1],
)
_op(
    "MaxPool pads 2^31 - 1",
    "MaxPool",
    _IMAGE,
    _INVALID,
    kernel_shape=[2, 2],
    pads=[2**31 - 1] * 4,
)
_op(
    "AveragePool pads -1",
    "AveragePool",
    _IMAGE,
    _INVALID,
    kernel_shape=[2, 2],
    pads=[-1] * 4,
)
_op("Conv group 0", "Conv", _IMAGE, _INVALID, _FILTER, group=0)
_op("Conv group -1", "Conv", _IMAGE, _INVALID, _FILTER, group=-1)
_op("Conv group 3", "Conv", _IMAGE, _INVALID, _FILTER, group=3)
_op("Conv stride 0", "Conv", _IMAGE, _INVALID, _FILTER, strides=[0, 0])
_op("Conv dilation 0", "Conv", _IMAGE, _INVALID, _FILTER, dilations=[0, 0])
_op("Conv kernel lies", "Conv", _IMAGE, _INVALID, _FILTER, kernel_shape=[5, 5])
_op("Conv pads 2^62", "Conv", _IMAGE, _INVALID, _FILTER, pads=[2**62] * 4)
_op("Conv without pixels", "Conv", {"x": np.ones((1, 2), _F32)}, _INVALID, _FILTER)
_op(
    "ConvTranspose stride 0", "ConvTranspose", _IMAGE, _INVALID, _FILTER, strides=[0, 0]
)
_op(
    "ConvTranspose stride 2^31",
    "ConvTranspose",
    _IMAGE,
    _INVALID,
    _FILTER,
    strides=[2**31, 2**31],
)
_op(
    "MatMul that does not fit",
    "MatMul",
    _MATRIX,
    _INVALID,
    {"w": np.ones((3, 2), _F32)},
)
_op(
    "Einsum without meaning",
    "Einsum",
    _MATRIX,
    [*_INVALID, UnsupportedOp],
    equation="ij,->->",
)
_op(
    "Einsum of other ranks",
    "Einsum",
    _MATRIX,
    [*_INVALID, UnsupportedOp],
    equation="ijk->i",
)
_op("TopK 9 of 4", "TopK", _ROW, _INVALID, {"k": _i64(9)})
_op("TopK -1", "TopK", _ROW, _INVALID, {"k": _i64(-1)})
_op(
    "Slice step 0",
    "Slice",
    _ROW,
    _INVALID,
    {"a": _i64(0), "b": _i64(2), "c": _i64(0), "d": _i64(0)},
)
_op("Slice axis 9", "Slice", _ROW, _INVALID, {"a": _i64(0), "b": _i64(2), "c": _i64(9)})
_op("Transpose 0, 0", "Transpose", _MATRIX, _INVALID, perm=[0, 0])
_op("Transpose 0, 9", "Transpose", _MATRIX, _INVALID, perm=[0, 9])
_op("Split -1", "Split", _ROW, _INVALID, {"s": _i64(-1, 5)})
_op(
    "Resize 1e9",
    "Resize",
    _IMAGE,
    _INVALID,
    {"r": np.ones(0, _F32), "s": np.full(4, 1e9, _F32)},
)
_op(
    "Resize NaN",
    "Resize",
    _IMAGE,
    [*_INVALID, UnsupportedOp],
    {"r": np.ones(0, _F32), "s": np.full(4, np.nan, _F32)},
)
_op(
    "OneHot depth 2^40",
    "OneHot",
    {"x": _i64(1, 2)},
    _INVALID,
    {"d": np.int64(2**40), "v": np.array([0, 1], _F32)},
)
_op(
    "OneHot depth -1",
    "OneHot",
    {"x": _i64(1, 2)},
    _INVALID,
    {"d": np.int64(-1), "v": np.array([0, 1], _F32)},
)
_op("ReduceSum axis 99", "ReduceSum", _ROW, _INVALID, {"a": _i64(99)})
_op("Softmax axis 99", "Softmax", _ROW, _INVALID, axis=99)
_op("Flatten axis -99", "Flatten", _ROW, _INVALID, axis=-99)
_op("CumSum axis 9", "CumSum", _ROW, _INVALID, {"a": np.int64(9)})
_op("CumSum of nothing", "CumSum", {"x": np.zeros(0, _F32)}, [], {"a": np.int64(0)})
_op("DepthToSpace by 0", "DepthToSpace", _IMAGE, _INVALID, blocksize=0)
_op(
    "Concat that does not fit",
    "Concat",
    _MATRIX,
    _INVALID,
    {"w": np.ones((3, 3), _F32)},
    axis=0,
)
_op("Unsqueeze axis 2^62", "Unsqueeze", _ROW, _INVALID, {"a": _i64(2**62)})
_op(
    "LSTM without its hidden size",
    "LSTM",
    {"x": np.ones((2, 1, 3), _F32)},
    _INVALID,
    {"w": np.ones((1, 8, 3), _F32), "r": np.ones((1, 8, 2), _F32)},
    hidden_size=7,
)
_op(
    "DequantizeLinear that does not fit",
    "DequantizeLinear",
    {"x": np.ones((2, 4), np.int8)},
    _INVALID,
    {"s": np.ones(3, _F32)},
    axis=1,
)
_op(
    "GroupNormalization of 0 groups",
    "GroupNormalization",
    _IMAGE,
    _INVALID,
    {"s": np.ones(2, _F32), "b": np.ones(2, _F32)},
    num_groups=0,
)
_op("EyeLike by 2^63 - 1", "EyeLike", _MATRIX, [], k=2**63 - 1)
_op("softmax of -inf", "Softmax", {"x": np.full(4, -np.inf, _F32)}, [])

for _dtype in (np.int32, np.int64):
    _least = np.full(4, np.iinfo(_dtype).min, _dtype)
    for _divisor in (0, -1):
        for _op_type in ("Div", "Mod"):
            _errors = [*_INVALID, RunError] if _divisor == 0 else []
            _by = {"d": np.full(4, _divisor, _dtype)}
            _op(
                f"{_op_type} {_least.dtype} least by {_divisor}",
                _op_type,
                {"x": _least} | _by,
                _errors,
            )
            _op(
                f"{_op_type} {_least.dtype} least by constant {_divisor}",
                _op_type,
                {"x": _least},
                _errors,
                _by,
            )
_op(
    "shift by the width",
    "BitShift",
    {"x": np.full(4, 255, np.uint8), "d": np.full(4, 8, np.uint8)},
    [],
    direction="LEFT",
)
_op(
    "shift by 255",
    "BitShift",
    {"x": np.full(4, 255, np.uint8), "d": np.full(4, 255, np.uint8)},
    [],
    direction="RIGHT",
)
for _to in (
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.BOOL,
):
    _wild = np.array([np.nan, np.inf, -np.inf, 1e30], _F32)
    _op(f"Cast of wild floats to {_to}", "Cast", {"x": _wild}, [], to=_to)


def _loop(trips: int | None, go: bool | None, condition: str) -> ModelProto:
    """A loop that goes on while its condition, which never changes, holds."""
    nodes = [
        helper.make_node("Identity", [condition], ["go"]),
        helper.make_node("Identity", ["a"], ["b"]),
    ]
    body = helper.make_graph(
        nodes,
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [4]),
        ],
        [helper.make_empty_tensor_value_info(n) for n in ("go", "b")],
    )
    held: dict[str, Array] = {}
    if trips is not None:
        held["m"] = np.array(trips, np.int64)
    if go is not None:
        held["k"] = np.array(go)
    names = ["m" if trips is not None else "", "k" if go is not None else "", "x"]
    node = helper.make_node("Loop", names, ["y"], body=body)
    return _model([node], held)


@_entry("If whose branches differ in rank")
def _(_: Path) -> BadModel:
    def side(name: str, nodes: list[NodeProto]) -> GraphProto:
        return helper.make_graph(
            nodes, name, [], [helper.make_empty_tensor_value_info(f"{name}y")]
        )

    one = side("t", [_relu("x", "ty")])
    two = side("e", [helper.make_node("Unsqueeze", ["x", "a"], ["ey"])])
    node = helper.make_node("If", ["c"], ["y"], then_branch=one, else_branch=two)
    feeds: dict[str, Array] = {"x": _FEED, "c": np.array(True)}
    return BadModel(_model([node], {"a": _i64(0)}, feeds), (), feeds)


@_entry("Loop of 2^63 - 1 rounds of nothing that ends at once")
def _(_: Path) -> BadModel:
    return BadModel(_loop(2**63 - 1, False, "c"), (), {"x": _FEED})


@_entry("Loop of -1 rounds")
def _(_: Path) -> BadModel:
    return BadModel(_loop(-1, None, "c"), (), {"x": _FEED})


__all__ = ["BAD_MODELS", "BadModel", "CompileError", "InputValuesNeeded", "cast"]
