"""Models in all forms in which they are written: data, scopes, functions, versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import (
    AttributeProto,
    ModelProto,
    SparseTensorProto,
    TensorProto,
    helper,
    numpy_helper,
)

import nnc
from nnc.context import NncContext
from nnc.errors import (
    LimitExceeded,
    LoadError,
    ModelError,
    UnsupportedOp,
)
from nnc.frontends.detect import import_model
from nnc.interpreters.nn import run_module

F32 = np.float32
X = np.array([[-1, 2, 3], [4, -5, 6]], F32)
info, make = helper.make_tensor_value_info, helper.make_node


def floats(name: str, *dims: Any) -> Any:
    return info(name, TensorProto.FLOAT, list(dims) or None)


def model_of(
    nodes: list[Any],
    *,
    outputs: tuple[Any, ...] = ("y",),
    initializers: tuple[TensorProto, ...] = (),
    sparse: tuple[SparseTensorProto, ...] = (),
    functions: tuple[Any, ...] = (),
    domains: tuple[str, ...] = (),
    ir_version: int = 10,
) -> ModelProto:
    """A model on one input `x` of two rows of three."""
    graph = helper.make_graph(
        *(nodes, "g", [floats("x", 2, 3)]),
        [floats(o) if isinstance(o, str) else o for o in outputs],
        list(initializers),
        sparse_initializer=list(sparse),
    )
    opsets = [helper.make_opsetid("", 17)]
    opsets += [helper.make_opsetid(d, 1) for d in domains]
    return helper.make_model(
        graph, opset_imports=opsets, functions=functions, ir_version=ir_version
    )


def outputs_of(model: Any, *feeds: Any) -> list[Any]:
    """What the imported model gives."""
    ctx = NncContext()
    module = import_model(model, ctx=ctx)
    module.verify()
    return run_module(module, ctx.weights, list(feeds) or [X])


# ---------------------------------------------------------------- external data


def external(name: str, array: Any, folder: Path, offset: int = 0) -> TensorProto:
    """A tensor whose data is in a file of its own."""
    file = folder / f"{name}.bin"
    file.write_bytes(b"\0" * offset + array.tobytes())
    return external_to(name, array.shape, file, offset, array.nbytes)


def external_to(
    name: str, shape: Any, file: Path, offset: int, length: int
) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (
        ("location", file.name),
        ("offset", str(offset)),
        ("length", str(length)),
    ):
        tensor.external_data.add(key=key, value=value)
    return tensor


def saved(model: ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_in_every_place(tmp_path: Path):
    """In an initializer, a constant, a branch and its constant, a function."""
    arrays = {n: np.full((2, 3), i + 1, F32) for i, n in enumerate("abcde")}
    tensors = {n: external(n, a, tmp_path, 64) for n, a in arrays.items()}
    branch = helper.make_graph(
        [
            make("Constant", [], ["k"], value=tensors["c"]),
            make("Add", ["t1", "k"], ["t2"]),
            make("Add", ["t2", "d"], ["then"]),
        ],
        *("branch", [], [floats("then")], [tensors["d"]]),
    )
    other = helper.make_graph(
        [make("Identity", ["t1"], ["else"])], "other", [], [floats("else")]
    )
    body = [
        make("Constant", [], ["e"], value=tensors["e"]),
        make("Add", ["p", "e"], ["q"]),
    ]
    function = helper.make_function(
        "mine", "AddE", ["p"], ["q"], body, [helper.make_opsetid("", 17)]
    )
    nodes = [
        make("Constant", [], ["b"], value=tensors["b"]),
        make("Add", ["x", "a"], ["t0"]),
        make("Add", ["t0", "b"], ["t1"]),
        make("ReduceSum", ["x"], ["total"], keepdims=0),
        make("Cast", ["total"], ["choice"], to=TensorProto.BOOL),
        make("If", ["choice"], ["t3"], then_branch=branch, else_branch=other),
        make("AddE", ["t3"], ["y"], domain="mine"),
    ]
    model = model_of(
        nodes, initializers=(tensors["a"],), functions=(function,), domains=("mine",)
    )
    (found,) = outputs_of(saved(model, tmp_path))
    np.testing.assert_array_equal(found, X + 15)


def test_data_of_more_than_two_gigabytes(tmp_path: Path):
    """In a sparse file; the last elements are read from behind 2 GiB."""
    count, tail = 600_000_000, np.array([[1, 2, 3]], F32)
    file = tmp_path / "huge.bin"
    with file.open("wb") as stream:
        stream.seek(4 * count - tail.nbytes)
        stream.write(tail.tobytes())
    weight = external_to("w", [count // 3, 3], file, 0, 4 * count)
    starts = numpy_helper.from_array(np.array([-1], np.int64), "starts")
    ends = numpy_helper.from_array(np.array([2**62], np.int64), "ends")
    nodes = [
        make("Slice", ["w", "starts", "ends"], ["t"]),
        make("Add", ["x", "t"], ["y"]),
    ]
    model = model_of(nodes, initializers=(weight, starts, ends))
    (found,) = outputs_of(saved(model, tmp_path))
    np.testing.assert_array_equal(found, X + tail)


def test_external_data_of_a_model_in_memory_has_no_folder(tmp_path: Path):
    weight = external("w", X, tmp_path)
    model = model_of([make("Add", ["x", "w"], ["y"])], initializers=(weight,))
    with pytest.raises(LoadError, match="initializer 'w'"):
        outputs_of(model)


# ---------------------------------------------------------------- sparse tensors


SPARSE = np.array([[0, 7, 0], [0, 0, 9]], F32)


def sparse_tensor(name: str, indices: Any, values: Any = (7, 9)) -> SparseTensorProto:
    return helper.make_sparse_tensor(
        numpy_helper.from_array(np.array(values, F32), name),
        numpy_helper.from_array(np.array(indices, np.int64), f"{name}_places"),
        [2, 3],
    )


@pytest.mark.parametrize("indices", [[1, 5], [[0, 1], [1, 2]]])
def test_sparse_initializers_are_dense(indices: Any):
    model = model_of(
        [make("Add", ["x", "w"], ["y"])], sparse=(sparse_tensor("w", indices),)
    )
    (found,) = outputs_of(model)
    np.testing.assert_array_equal(found, X + SPARSE)


@pytest.mark.parametrize("indices", [[1, 5], [[0, 1], [1, 2]]])
def test_sparse_constants_are_dense(indices: Any):
    constant = make("Constant", [], ["w"], sparse_value=sparse_tensor("w", indices))
    (found,) = outputs_of(model_of([constant, make("Add", ["x", "w"], ["y"])]))
    np.testing.assert_array_equal(found, X + SPARSE)


def test_sparse_tensors_may_be_empty():
    empty = sparse_tensor("w", np.zeros(0, np.int64), np.zeros(0, F32))
    (found,) = outputs_of(model_of([make("Add", ["x", "w"], ["y"])], sparse=(empty,)))
    np.testing.assert_array_equal(found, X)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([1, 6], "an index outside"),
        ([-1, 2], "an index outside"),
        ([[0, 3], [1, 0]], "an index outside"),
        ([5, 1], "do not ascend"),
        ([1, 1], "do not ascend"),
        ([1], "indices of shape"),
        ([[0, 1, 1], [1, 2, 1]], "indices of shape"),
    ],
)
def test_bad_sparse_tensors_are_refused(indices: Any, message: str):
    model = model_of(
        [make("Add", ["x", "w"], ["y"])], sparse=(sparse_tensor("w", indices),)
    )
    with pytest.raises(LoadError, match=f"initializer 'w'.*{message}"):
        outputs_of(model)


def test_sparse_tensors_that_are_huge_when_dense_are_refused():
    sparse = sparse_tensor("w", [1, 5])
    sparse.dims[:] = [2**15, 2**15]
    with pytest.raises(LimitExceeded, match="is sparse and takes"):
        outputs_of(model_of([make("Add", ["x", "w"], ["y"])], sparse=(sparse,)))


def test_two_initializers_of_one_name_are_refused():
    dense = numpy_helper.from_array(X, "w")
    model = model_of(
        [make("Add", ["x", "w"], ["y"])],
        initializers=(dense,),
        sparse=(sparse_tensor("w", [1, 5]),),
    )
    with pytest.raises(ModelError, match="two initializers are called 'w'"):
        outputs_of(model)


# ---------------------------------------------------------------- constants


@pytest.mark.parametrize(
    ("attribute", "value", "wanted"),
    [
        ("value", numpy_helper.from_array(np.full(3, 2, F32)), 2),
        ("value_float", 2.0, 2),
        ("value_floats", [1.0, 2.0, 3.0], [1, 2, 3]),
        ("value_int", 2, 2),
        ("value_ints", [1, 2, 3], [1, 2, 3]),
    ],
)
def test_constants_of_every_form(attribute: str, value: Any, wanted: Any):
    nodes = [
        make("Constant", [], ["c"], **{attribute: value}),
        make("Cast", ["c"], ["k"], to=TensorProto.FLOAT),
        make("Add", ["x", "k"], ["y"]),
    ]
    (found,) = outputs_of(model_of(nodes))
    np.testing.assert_array_equal(found, X + np.array(wanted, F32))


# ---------------------------------------------------------------- scopes


def branch(nodes: list[Any], result: str, initializers: Any = ()) -> Any:
    return helper.make_graph(nodes, "branch", [], [floats(result)], initializers)


def choosing(then: Any, otherwise: Any, before: list[Any]) -> ModelProto:
    """A model that takes the first branch if the sum of `x` is not 0."""
    nodes = [
        *before,
        make("ReduceSum", ["x"], ["total"], keepdims=0),
        make("Cast", ["total"], ["choice"], to=TensorProto.BOOL),
        make("If", ["choice"], ["y"], then_branch=then, else_branch=otherwise),
    ]
    return model_of(nodes)


def test_branches_read_what_is_around_them():
    inner = make(
        "If",
        ["choice"],
        ["deep"],
        then_branch=branch([make("Add", ["a", "x"], ["r"])], "r"),
        else_branch=branch([make("Identity", ["x"], ["s"])], "s"),
    )
    then = branch([inner, make("Mul", ["deep", "two"], ["t"])], "t")
    other = branch([make("Identity", ["x"], ["u"])], "u")
    before = [make("Neg", ["x"], ["a"]), make("Constant", [], ["two"], value_float=2.0)]
    (found,) = outputs_of(choosing(then, other, before))
    np.testing.assert_array_equal(found, np.zeros_like(X))


def test_inner_names_hide_outer_ones():
    """Older exporters number the values of each graph anew."""
    then = branch([make("Neg", ["x"], ["a"]), make("Exp", ["a"], ["b"])], "b")
    other = branch([make("Neg", ["b"], ["a"])], "a")
    before = [make("Relu", ["x"], ["a"]), make("Sqrt", ["a"], ["b"])]
    model = choosing(then, other, before)
    (found,) = outputs_of(model)
    np.testing.assert_allclose(found, np.exp(-X), rtol=1e-6)
    (found,) = outputs_of(model, np.zeros_like(X))
    np.testing.assert_array_equal(found, np.zeros_like(X))


def test_inner_initializers_hide_outer_values():
    then = branch(
        [make("Add", ["x", "a"], ["r"])],
        *("r", [numpy_helper.from_array(np.full(3, 5, F32), "a")]),
    )
    other = branch([make("Identity", ["a"], ["s"])], "s")
    before = [make("Relu", ["x"], ["a"])]
    (found,) = outputs_of(choosing(then, other, before))
    np.testing.assert_array_equal(found, X + 5)


def test_a_name_of_one_graph_twice_is_refused():
    nodes = [make("Relu", ["x"], ["y"]), make("Neg", ["x"], ["y"])]
    with pytest.raises(ModelError, match="defines 'y', which exists already"):
        outputs_of(model_of(nodes))
    with pytest.raises(ModelError, match="defines 'x', which exists already"):
        outputs_of(model_of([make("Relu", ["x"], ["x"])], outputs=("x",)))


def test_unnamed_and_equally_named_nodes():
    nodes = [
        make("Relu", ["x"], ["a"]),
        make("Neg", ["a"], ["b"], name="same"),
        make("Neg", ["b"], ["y"], name="same"),
    ]
    (found,) = outputs_of(model_of(nodes))
    np.testing.assert_array_equal(found, np.maximum(X, 0))


def test_one_value_may_be_two_outputs():
    found = outputs_of(model_of([make("Relu", ["x"], ["y"])], outputs=("y", "y")))
    assert len(found) == 2
    np.testing.assert_array_equal(found[0], found[1])


# ---------------------------------------------------------------- functions


def scaled_function(overload: str = "", factor: float = 1.0) -> Any:
    """`factor * x`, or by the attribute `by`, whose default is 3."""
    value = make("Constant", [], ["k"])
    value.attribute.add(
        name="value_float", ref_attr_name="by", type=AttributeProto.FLOAT
    )
    body = [value, make("Mul", ["p", "k"], ["m"]), make("Mul", ["m", "f"], ["q"])]
    body.insert(0, make("Constant", [], ["f"], value_float=factor))
    function = helper.make_function(
        *("mine", "Scaled", ["p"], ["q"], body, [helper.make_opsetid("", 17)]),
        attribute_protos=[helper.make_attribute("by", 3.0)],
    )
    function.overload = overload
    return function


def test_functions_with_attributes_and_defaults():
    nodes = [
        make("Scaled", ["x"], ["t"], domain="mine"),
        make("Scaled", ["t"], ["y"], domain="mine", by=2.0),
    ]
    model = model_of(nodes, functions=(scaled_function(),), domains=("mine",))
    (found,) = outputs_of(model)
    np.testing.assert_array_equal(found, X * 6)


def test_overloads_of_functions():
    call = make("Scaled", ["x"], ["y"], domain="mine")
    call.overload = "twice"
    functions = (scaled_function(), scaled_function("twice", 2.0))
    model = model_of([call], functions=functions, domains=("mine",))
    (found,) = outputs_of(model)
    np.testing.assert_array_equal(found, X * 6)


def test_functions_that_call_functions():
    body = [
        make("Scaled", ["p"], ["k"], domain="mine", by=5.0),
        make("Neg", ["k"], ["q"]),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    outer = helper.make_function("mine", "Outer", ["p"], ["q"], body, opsets)
    model = model_of(
        [make("Outer", ["x"], ["y"], domain="mine")],
        functions=(outer, scaled_function()),
        domains=("mine",),
    )
    (found,) = outputs_of(model)
    np.testing.assert_array_equal(found, X * -5)


def test_attributes_reach_branches_in_functions():
    value = make("Constant", [], ["k"])
    value.attribute.add(
        name="value_float", ref_attr_name="by", type=AttributeProto.FLOAT
    )
    body = [
        make("ReduceSum", ["p"], ["total"], keepdims=0),
        make("Cast", ["total"], ["choice"], to=TensorProto.BOOL),
        make(
            *("If", ["choice"], ["q"]),
            then_branch=branch([value, make("Mul", ["p", "k"], ["r"])], "r"),
            else_branch=branch([make("Identity", ["p"], ["s"])], "s"),
        ),
    ]
    function = helper.make_function(
        *("mine", "F", ["p"], ["q"], body, [helper.make_opsetid("", 17)]), ["by"]
    )
    model = model_of(
        [make("F", ["x"], ["y"], domain="mine", by=4.0)],
        functions=(function,),
        domains=("mine",),
    )
    (found,) = outputs_of(model)
    np.testing.assert_array_equal(found, X * 4)


def test_functions_with_optional_inputs_and_outputs():
    body = [
        make("Clip", ["p", "low", "high"], ["q"]),
        make("Neg", ["p"], ["unused"]),
    ]
    function = helper.make_function(
        *("mine", "F", ["p", "low", "high"], ["q", "unused"], body),
        [helper.make_opsetid("", 17)],
    )
    zero = numpy_helper.from_array(np.array(0, F32), "zero")
    for call in (
        make("F", ["x", "zero", ""], ["y", ""], domain="mine"),
        make("F", ["x", "zero"], ["y"], domain="mine"),
    ):
        model = model_of(
            [call], functions=(function,), domains=("mine",), initializers=(zero,)
        )
        (found,) = outputs_of(model)
        np.testing.assert_array_equal(found, np.maximum(X, 0))


# ---------------------------------------------------------------- what is declared


def test_wrong_declared_shapes_give_way_to_computed_ones():
    nodes = [make("Relu", ["x"], ["t"]), make("Transpose", ["t"], ["y"])]
    model = model_of(nodes, outputs=(floats("y", 7, 7, 7),))
    model.graph.value_info.append(floats("t", 99))
    (found,) = outputs_of(model)
    np.testing.assert_array_equal(found, np.maximum(X, 0).T)
    exe = nnc.compile(model, cache=False)
    assert exe(X).shape == (3, 2)


def test_imports_of_unknown_domains_do_no_harm():
    model = model_of([make("Relu", ["x"], ["y"])], domains=("who.knows", "ai.onnx.ml"))
    (found,) = outputs_of(model)
    np.testing.assert_array_equal(found, np.maximum(X, 0))


def test_everything_that_is_missing_is_told_at_once():
    then = branch([make("Strange", ["x"], ["r"], name="inside")], "r")
    other = branch([make("Identity", ["x"], ["s"])], "s")
    body = [make("Stranger", ["p"], ["q"], name="within")]
    function = helper.make_function(
        "mine", "F", ["p"], ["q"], body, [helper.make_opsetid("", 17)]
    )
    nodes = [
        make("Odd", ["x"], ["a"], domain="who.knows", name="first"),
        make("F", ["x"], ["b"], domain="mine", name="call"),
        make("Odd", ["b"], ["c"], domain="who.knows"),
        make("ReduceSum", ["x"], ["total"], keepdims=0),
        make("Cast", ["total"], ["choice"], to=TensorProto.BOOL),
        make("If", ["choice"], ["d"], then_branch=then, else_branch=other),
        make("Sum", ["a", "c", "d"], ["y"]),
    ]
    model = model_of(nodes, functions=(function,), domains=("mine", "who.knows"))
    with pytest.raises(UnsupportedOp) as caught:
        outputs_of(model)
    text = str(caught.value)
    for part in (
        "who.knows.Odd (node 'first')",
        "Stranger (node 'call/within')",
        "Strange (node 'inside')",
    ):
        assert part in text


def test_models_of_the_first_versions():
    """Initializers are inputs, too; attributes do not tell their type."""
    weight = numpy_helper.from_array(np.full((2, 3), 2, F32), "w")
    node = make("Concat", ["x", "w"], ["y"], axis=1)
    node.attribute[0].ClearField("type")
    model = model_of([node], initializers=(weight,), ir_version=3)
    model.graph.input.append(floats("w", 2, 3))
    (found,) = outputs_of(model)
    np.testing.assert_array_equal(found, np.concatenate([X, np.full((2, 3), 2)], 1))
