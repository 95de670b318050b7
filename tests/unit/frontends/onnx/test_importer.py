"""The graph walk: names, order, free dims, and everything that is refused."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from nnc.context import NncContext
from nnc.dialects.nn import structure
from nnc.dialects.nn.base import location_of
from nnc.errors import (
    CompileError,
    InternalError,
    LimitExceeded,
    LoadError,
    ModelError,
    NncError,
    UnsupportedOp,
)
from nnc.frontends.detect import import_model
from nnc.frontends.onnx import importer
from nnc.interpreters.nn import run_module

F32 = np.float32


def model_of(
    nodes: list[Any],
    *,
    inputs: dict[str, Any] | None = None,
    outputs: tuple[str, ...] = ("y",),
    initializers: tuple[TensorProto, ...] = (),
    opset: int = 17,
) -> ModelProto:
    """A model with f32 inputs of the given shapes."""
    given = {"x": [2, 3]} if inputs is None else inputs
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
            for n, s in given.items()
        ],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        list(initializers),
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    )


def text_of(model: Any, **options: Any) -> str:
    """The text of the imported module."""
    module = import_model(model, ctx=NncContext(), **options)
    module.verify()
    return str(module)


RELU = helper.make_node("Relu", ["x"], ["y"])


# ---------------------------------------------------------------- names


def test_ops_carry_the_name_of_their_node():
    nodes = [
        helper.make_node("Relu", ["x"], ["t"], name="act/1"),
        helper.make_node("Neg", ["t"], ["y"]),
    ]
    module = import_model(model_of(nodes), ctx=NncContext())
    names = [location_of(op) for op in module.walk() if op.name.startswith("nn.")]
    assert names == ["act/1", "Neg:y"]


def test_inputs_and_outputs_keep_their_names():
    text = text_of(
        model_of(
            [helper.make_node("Relu", ["an:in put"], ["out/1:0"])],
            inputs={"an:in put": [2]},
            outputs=("out/1:0",),
        )
    )
    assert '{nn.name = "an:in put"}' in text
    assert '{nn.name = "out/1:0"}' in text


@pytest.mark.parametrize(
    "name", ['a"b', "a\nb", "a\\b", "%s{}", "../x", "ü∑"], ids=repr
)
def test_strange_names_survive_printing_and_parsing(name: str):
    from xdsl.dialects.builtin import Builtin
    from xdsl.dialects.func import Func
    from xdsl.parser import Parser

    from nnc.dialects.nn import NN

    weight = numpy_helper.from_array(np.arange(20, dtype=F32), name)
    node = helper.make_node("Add", ["x", name], ["y"], name=name)
    model = model_of([node], inputs={"x": [20]}, initializers=(weight,))
    text = text_of(model)
    ctx = NncContext()
    for dialect in (Builtin, Func, NN):
        ctx.load_dialect(dialect)
    assert str(Parser(ctx, text).parse_module()) == text


def test_weights_are_views_of_the_bytes(tmp_path: Path):
    array = np.arange(2**19, dtype=F32)
    model = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        inputs={"x": [array.size]},
        initializers=(numpy_helper.from_array(array, "w"),),
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    ctx = NncContext()
    import_model(path, ctx=ctx)
    weight = ctx.weights["w"]
    np.testing.assert_array_equal(weight, array)
    assert weight.base is not None
    assert not weight.flags.writeable


def test_unused_initializers_and_nodes_are_dropped():
    weight = numpy_helper.from_array(np.arange(20, dtype=F32), "w")
    nodes = [RELU, helper.make_node("Neg", ["w"], ["unused"])]
    ctx = NncContext()
    module = import_model(model_of(nodes, initializers=(weight,)), ctx=ctx)
    assert len(ctx.weights) == 0
    assert "nn.neg" not in str(module)


def test_initializers_listed_as_inputs_are_no_inputs():
    weight = numpy_helper.from_array(np.ones(3, F32), "w")
    model = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        inputs={"x": [2, 3], "w": [3]},
        initializers=(weight,),
    )
    assert '{nn.name = "w"}' not in text_of(model)


def test_output_may_be_an_input_or_a_constant():
    weight = numpy_helper.from_array(np.ones(3, F32), "w")
    model = model_of([RELU], outputs=("y", "x", "w"), initializers=(weight,))
    ctx = NncContext()
    module = import_model(model, ctx=ctx)
    outputs = run_module(module, ctx.weights, {"x": np.full((2, 3), -1, F32)})
    assert [o.ravel()[0] for o in outputs] == [0.0, -1.0, 1.0]


def test_small_constants_are_inline_and_large_ones_weights():
    for count, kind in ((16, structure.ConstantOp), (17, structure.WeightOp)):
        weight = numpy_helper.from_array(np.arange(count, dtype=F32), "w")
        model = model_of(
            [helper.make_node("Add", ["x", "w"], ["y"])],
            inputs={"x": [count]},
            initializers=(weight,),
        )
        module = import_model(model, ctx=NncContext())
        assert any(isinstance(op, kind) for op in module.walk())


# ---------------------------------------------------------------- free dims


def shapes_of(*dims: Any, **options: Any) -> str:
    """The type of the only input of a model whose input has these dims."""
    text = text_of(model_of([RELU], inputs={"x": list(dims)}), **options)
    return text.split("%x: ")[1].split(" {")[0]


def test_free_dims_keep_their_names():
    assert "#nn.shape<batch, 3, seq.len>" in shapes_of("batch", 3, "seq.len")


def test_equal_names_are_one_symbol_and_unknown_ones_are_not():
    assert "#nn.shape<N, N, x_2, x_3>" in shapes_of("N", "N", None, None)


@pytest.mark.parametrize("name", ["?", "", "-1", "*"])
def test_names_without_letters_are_no_names(name: str):
    assert "#nn.shape<x_0, x_1>" in shapes_of(name, name)


def test_names_that_collide_after_cleaning_stay_apart():
    assert "#nn.shape<a_b, a_b_1, d_2x, d_max>" in shapes_of("a-b", "a+b", "2x", "max")


@pytest.mark.parametrize("size", [0, -1])
def test_sizes_zero_and_minus_one_are_free(size: int):
    assert "#nn.shape<x_0, 3>" in shapes_of(size, 3)


@pytest.mark.parametrize("size", [-4, -(2**62)])
def test_other_negative_sizes_are_refused(size: int):
    with pytest.raises(LoadError, match="axis 0 of input 'x' has the negative size"):
        shapes_of(size, 3)


@pytest.mark.parametrize("dims", [(2**62, 4), (2**32, 2**32), (2**41,), (1,) * 33])
def test_enormous_shapes_are_refused(dims: tuple[int, ...]):
    with pytest.raises(LimitExceeded, match="input 'x'"):
        shapes_of(*dims)


def test_given_shapes_replace_declared_ones():
    given = {"x": (1, 3, "H", None)}
    assert "#nn.shape<1, 3, H, x_3>" in shapes_of(
        "N", 3, 8 * 0, "W", input_shapes=given
    )


def test_given_sizes_hold_for_other_inputs_with_the_same_name():
    model = model_of(
        [helper.make_node("Add", ["x", "z"], ["y"])],
        inputs={"x": ["N", 3], "z": ["N", 3]},
    )
    text = text_of(model, input_shapes={"x": (4, 3)})
    assert "%z: tensor<4x3xf32>" in text


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"q": (1,)}, "names 'q', but the inputs are 'x'"),
        ({"x": (1,)}, "gives 'x' 1 dimensions, but it has 2"),
        ({"x": (1, 4)}, "axis 1 of 'x' the size 4, but the model fixes it to 3"),
    ],
)
def test_given_shapes_that_do_not_fit_are_refused(shapes: Any, message: str):
    with pytest.raises(CompileError, match=message):
        shapes_of("N", 3, input_shapes=shapes)


def test_input_without_a_shape_asks_for_one():
    model = model_of([RELU], inputs={"x": None})
    with pytest.raises(ModelError, match=r"input 'x' has no shape: pass input_shapes"):
        text_of(model)
    assert "tensor<?x3xf32" in text_of(model, input_shapes={"x": (None, 3)})


def test_declared_shapes_of_outputs_are_ignored():
    model = model_of([RELU], inputs={"x": ["N", 3]})
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["A", "B"])
    )
    assert '#nn.shape<N, 3>> {nn.name = "y"}' in text_of(model)


# ---------------------------------------------------------------- refused graphs


def refused(model: Any, error: type[NncError], message: str) -> None:
    """Check that importing raises that error."""
    with pytest.raises(error, match=message):
        import_model(model, ctx=NncContext())


def test_all_unsupported_nodes_are_reported_together():
    nodes = [
        helper.make_node("Fee", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Fie", ["b"], ["c"], name="second"),
        helper.make_node("Foo", ["x"], ["d"], name="third", domain="my.ops"),
        helper.make_node("MaxPool", ["x"], ["e", "f"], name="fine", kernel_shape=[1]),
        helper.make_node("Sum", ["c", "d"], ["y"]),
    ]
    with pytest.raises(UnsupportedOp) as caught:
        import_model(model_of(nodes, outputs=("y",)), ctx=NncContext())
    assert [(n.node, n.op) for n in caught.value.nodes] == [
        ("first", "Fee"),
        ("second", "Fie"),
        ("third", "my.ops.Foo"),
    ]
    assert "3 nodes are not supported" in str(caught.value)


def test_unsupported_nodes_come_before_invalid_ones():
    nodes = [
        helper.make_node("Fee", ["x"], ["a"]),
        helper.make_node("Flatten", ["x"], ["b"], axis=9),
        helper.make_node("Sum", ["a", "b"], ["y"]),
    ]
    refused(model_of(nodes), UnsupportedOp, "Fee")


def test_converters_that_fail_are_bugs_that_name_the_node(
    monkeypatch: pytest.MonkeyPatch,
):
    def fails(*_: object) -> None:
        raise ValueError("too many values to unpack")

    monkeypatch.setattr(importer, "find_converter", lambda *_: fails)
    refused(model_of([RELU]), InternalError, "Relu .*a bug of nnc; .*too many values")


def test_op_older_than_its_first_converter_is_refused():
    refused(
        model_of([helper.make_node("Expand", ["x", "x"], ["y"])], opset=7),
        UnsupportedOp,
        "supported from opset 8 on, the model has 7",
    )


def test_cycle_is_refused_and_named():
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], name="one"),
        helper.make_node("Relu", ["a"], ["b"], name="two"),
        helper.make_node("Neg", ["b"], ["y"]),
    ]
    refused(model_of(nodes), ModelError, "cycle: node 'one' needs its own output")


def test_nodes_out_of_order_are_sorted():
    nodes = [
        helper.make_node("Neg", ["b"], ["y"]),
        helper.make_node("Exp", ["a"], ["b"]),
        helper.make_node("Relu", ["x"], ["a"]),
    ]
    text = text_of(model_of(nodes))
    assert text.index("nn.relu") < text.index("nn.exp") < text.index("nn.neg")


def test_long_chains_need_no_deep_stack():
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(2000)]
    model = model_of(nodes, inputs={"t0": [1]}, outputs=("t2000",))
    assert text_of(model).count("nn.relu") == 2000


def test_long_shape_chains_need_no_deep_stack():
    one = numpy_helper.from_array(np.array([1]), "one")
    nodes = [helper.make_node("Shape", ["x"], ["s0"])]
    nodes += [
        helper.make_node("Mul", [f"s{i}", "one"], [f"s{i + 1}"]) for i in range(2000)
    ]
    nodes.append(helper.make_node("Reshape", ["x", "s2000"], ["y"]))
    model = model_of(nodes, inputs={"x": ["N"]}, initializers=(one,))
    assert "nn.mul" not in text_of(model)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [helper.make_node("Add", ["x", "q"], ["y"])],
            "'Add:y' reads 'q', which nothing",
        ),
        ([RELU, RELU], "'Relu:y' defines 'y', which exists already"),
        (
            [helper.make_node("Relu", ["x"], ["z"])],
            "output 'y' of graph 'g' is defined by",
        ),
        (
            [helper.make_node("Relu", [], ["y"])],
            r"Relu \(node 'Relu:y'\): input 0 is missing",
        ),
        ([helper.make_node("Concat", [], ["y"], axis=0)], "an input is missing"),
        ([helper.make_node("Concat", ["x"], ["y"])], "attribute 'axis' is missing"),
        (
            [helper.make_node("Concat", ["x"], ["y"], axis="a")],
            "attribute 'axis' must be of type INT, not STRING",
        ),
        ([helper.make_node("Transpose", ["x"], ["y"], perm=[0])], "no permutation"),
        ([helper.make_node("Softmax", ["x"], ["y"], axis=5)], "axis 5 does not exist"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_invalid_nodes_are_refused(nodes: list[Any], message: str):
    refused(model_of(nodes), ModelError, message)


def test_attribute_given_twice_is_refused():
    node = helper.make_node("Concat", ["x"], ["y"], axis=0)
    node.attribute.append(helper.make_attribute("axis", 1))
    refused(model_of([node]), ModelError, "attribute 'axis' is given twice")


def test_initializer_given_twice_is_refused():
    weight = numpy_helper.from_array(np.ones(3, F32), "w")
    model = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])], initializers=(weight,) * 2
    )
    refused(model, ModelError, "two initializers are called 'w'")


def test_inputs_that_are_no_tensors_are_refused():
    model = model_of([RELU])
    model.graph.input[0].type.sparse_tensor_type.elem_type = TensorProto.FLOAT
    refused(model, UnsupportedOp, "input 'x' is a sparse_tensor")


def test_nested_subgraphs_are_limited():
    def nest(depth: int) -> Any:
        output = helper.make_tensor_value_info(f"o{depth}", TensorProto.FLOAT, [1])
        if not depth:
            node = helper.make_node("Relu", ["x"], ["o0"])
        else:
            inner = nest(depth - 1)
            node = helper.make_node(
                "If", ["c"], [f"o{depth}"], then_branch=inner, else_branch=inner
            )
        return helper.make_graph([node], f"g{depth}", [], [output])

    # Built as far as protobuf itself allows; beyond that parsing fails.
    condition = numpy_helper.from_array(np.array(True), "c")
    graph = nest(8)
    model = model_of(
        list(graph.node), outputs=("o8",), inputs={"x": [1]}, initializers=(condition,)
    )
    assert "nn.relu" in text_of(model)


# ---------------------------------------------------------------- refused tensors


def weight_model(weight: TensorProto, dtype: int = TensorProto.FLOAT) -> ModelProto:
    """A model that adds the weight `w` to its input."""
    return model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])], initializers=(weight,)
    )


def raw_weight(
    dims: list[int], data: bytes, dtype: int = TensorProto.FLOAT
) -> TensorProto:
    """A tensor called `w` with these raw bytes."""
    tensor = TensorProto(name="w", data_type=dtype, raw_data=data)
    tensor.dims.extend(dims)
    return tensor


@pytest.mark.parametrize(
    ("dims", "size"), [([3], 8), ([3], 16), ([], 0), ([2, 3], 12)], ids=str
)
def test_weights_of_wrong_size_are_refused(dims: list[int], size: int):
    model = weight_model(raw_weight(dims, bytes(size)))
    refused(model, LoadError, f"initializer 'w' has {size} bytes of data")


@pytest.mark.parametrize("dims", [[-4], [-2, -2]], ids=str)
def test_weights_with_negative_dims_are_refused(dims: list[int]):
    refused(weight_model(raw_weight(dims, bytes(16))), LoadError, "negative dimension")


@pytest.mark.parametrize("dims", [[2**32, 2**32], [2**62, 4], [1] * 1000], ids=len)
def test_weights_of_enormous_shape_are_refused(dims: list[int]):
    refused(weight_model(raw_weight(dims, b"")), LimitExceeded, "initializer 'w'")


@pytest.mark.parametrize("dtype", [0, 9999])
def test_weights_of_unknown_type_are_refused(dtype: int):
    model = weight_model(raw_weight([3], bytes(12), dtype))
    refused(model, LoadError, "initializer 'w' has an unknown element type")


def test_weights_with_two_data_fields_are_refused():
    tensor = raw_weight([3], bytes(12))
    tensor.float_data.extend([1, 2, 3])
    refused(weight_model(tensor), LoadError, "has data in float_data")


def test_weights_in_the_wrong_field_are_refused():
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3])
    tensor.int64_data.extend([1, 2, 3])
    refused(weight_model(tensor), LoadError, "has data in int64_data")


TYPED_FIELDS = [
    (TensorProto.FLOAT, "float_data", [1.5, 2.5, 3.5]),
    (TensorProto.DOUBLE, "double_data", [1.5, 2.5, 3.5]),
    (TensorProto.INT32, "int32_data", [1, -2, 3]),
    (TensorProto.INT8, "int32_data", [1, -2, 3]),
    (TensorProto.UINT8, "int32_data", [1, 200, 3]),
    (TensorProto.BOOL, "int32_data", [1, 0, 1]),
    (TensorProto.INT64, "int64_data", [1, -2, 3]),
    (TensorProto.UINT32, "uint64_data", [1, 2, 3]),
    (TensorProto.FLOAT16, "int32_data", [0x3C00, 0x4000, 0xC000]),
]


@pytest.mark.parametrize(
    ("dtype", "field", "values"), TYPED_FIELDS, ids=lambda v: str(v)
)
def test_typed_fields_are_read(dtype: int, field: str, values: list[Any]):
    tensor = TensorProto(name="w", data_type=dtype, dims=[3])
    getattr(tensor, field).extend(values)
    model = model_of(
        [helper.make_node("Cast", ["w"], ["y"], to=11)], initializers=(tensor,)
    )
    ctx = NncContext()
    module = import_model(model, ctx=ctx)
    (y,) = run_module(module, ctx.weights, {"x": np.zeros((2, 3), F32)})
    np.testing.assert_array_equal(y, numpy_helper.to_array(tensor).astype(np.float64))


# ---------------------------------------------------------------- refused files


@pytest.mark.parametrize("size", [0, 1, 10, 100, 4096])
def test_random_bytes_are_refused(size: int, tmp_path: Path):
    path = tmp_path / "model.onnx"
    path.write_bytes(np.random.default_rng(size).bytes(size))
    refused(path, LoadError, "model.onnx'")


def test_truncated_files_are_refused_at_every_length(tmp_path: Path):
    whole = weight_model(raw_weight([3], bytes(12))).SerializeToString()
    for length in range(len(whole)):
        with pytest.raises(NncError):
            import_model(whole[:length], ctx=NncContext())


def test_flipped_bytes_never_crash():
    whole = bytearray(weight_model(raw_weight([3], bytes(12))).SerializeToString())
    random = np.random.default_rng(0)
    for _ in range(3000):
        damaged = bytearray(whole)
        for position in random.integers(0, len(whole), 3):
            damaged[position] = random.integers(256)
        with contextlib.suppress(NncError):
            import_model(bytes(damaged), ctx=NncContext())


def test_missing_files_and_folders_are_refused(tmp_path: Path):
    refused(tmp_path / "none.onnx", LoadError, "cannot open .*none.onnx")
    refused(tmp_path, LoadError, "is no regular file|cannot open")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_are_refused_without_waiting(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", LoadError, "is no regular file")


@pytest.mark.parametrize(
    ("start", "format"),
    [
        (b"PK\x03\x04", "a zip archive"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x80\x02}q", "a pickle"),
        (b"\x1c\0\0\0TFL3", "a TensorFlow Lite file"),
        (b"GGUF", "a GGUF file"),
    ],
)
def test_other_formats_are_named(start: bytes, format: str, tmp_path: Path):
    path = tmp_path / "model.onnx"
    path.write_bytes(start + bytes(100))
    refused(path, LoadError, format)


def test_other_objects_are_refused():
    refused({"model": 1}, LoadError, "of type dict is no model")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"ir_version": 10**9}, LoadError, "IR version 1000000000"),
        ({"opset": 2**62}, LoadError, "imports opset"),
        ({"opset": -1}, LoadError, "imports opset -1"),
        ({"opset": 99}, ModelError, "opset 99; nnc knows opsets up to"),
        ({"opset": None}, LoadError, "imports no opset"),
        ({"graph": None}, LoadError, "holds no graph"),
    ],
    ids=str,
)
def test_wrong_headers_are_refused(change: Any, error: Any, message: str):
    model = model_of([RELU])
    if "ir_version" in change:
        model.ir_version = change["ir_version"]
    if "graph" in change:
        model.ClearField("graph")
    if "opset" in change:
        del model.opset_import[:]
        if change["opset"] is not None:
            model.opset_import.add(domain="", version=change["opset"])
    refused(model.SerializeToString(), error, message)


def test_names_that_are_no_text_are_refused():
    data = model_of([helper.make_node("Relu", ["x"], ["y"], name="marker")])
    damaged = data.SerializeToString().replace(b"marker", b"mark\xff\xfe")
    refused(damaged, LoadError, "a node has a name that is not UTF-8")


def test_long_names_are_refused():
    model = model_of([helper.make_node("Relu", ["x"], ["y"], name="n" * 10**7)])
    refused(model, LimitExceeded, "a node starting with 'nnn")
