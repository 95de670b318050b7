"""Models whose inputs decide what they compute."""

import threading

import numpy as np
import onnx
import pytest
from onnx import helper

import nnc
from nnc import specializing
from nnc.api import compile_with
from nnc.errors import CompileError, InputError, InputValuesNeeded, UnsupportedOp
from nnc.options import CompileOptions
from nnc.specializing import SpecializingModel

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
AXES = np.array([1], np.int64)


def model(*, hop: bool = False) -> onnx.ModelProto:
    """A sum over axes, and a reshape to a shape, that are inputs."""
    inputs = [
        helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3, 4]),
        helper.make_tensor_value_info("axes", onnx.TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, [2]),
    ]
    nodes = [
        helper.make_node("Add", ["axes", "axes"], ["twice"]),
        helper.make_node("Sub", ["twice", "axes"], ["same"]),
        helper.make_node(
            "ReduceSum", ["x", "same" if hop else "axes"], ["y"], keepdims=0, name="sum"
        ),
        helper.make_node("Reshape", ["y", "shape"], ["z"], name="rows"),
    ]
    output = helper.make_empty_tensor_value_info("z")
    graph = helper.make_graph(nodes, "g", inputs, [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_error_names_the_inputs_that_decide():
    options = CompileOptions(cache=False, defer=False)
    with pytest.raises(InputValuesNeeded, match="ReduceSum.*'sum'.*axes") as error:
        compile_with(model(), options)
    assert error.value.inputs == ("axes",)
    assert "input_values={'axes': ...}" in str(error.value)
    assert [node.node for node in error.value.nodes] == ["sum"]


@pytest.mark.parametrize("hop", [False, True])
def test_values_of_inputs_are_compiled_in(hop: bool):
    values = {"axes": [1], "shape": np.array([-1, 2], np.int64)}
    exe = nnc.compile(model(hop=hop), input_values=values, cache=False)
    assert [spec.name for spec in exe.inputs] == ["x"]
    np.testing.assert_array_equal(exe(X), X.sum(1).reshape(-1, 2))
    assert "nn.name" in str(nnc.convert(model(), input_values=values))
    assert '"axes"' not in str(nnc.convert(model(), input_values=values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"y": AXES}, "names 'y', but the inputs are 'x', 'axes', 'shape'"),
        ({"axes": AXES.astype(np.int32)}, "'axes' the dtype int32, but it is int64"),
        ({"shape": AXES}, r"'shape' the shape \[1\], but it is \[2\]"),
        ({"axes": AXES[None]}, r"'axes' the shape \[1, 1\], but it is \[n\]"),
        ({0: AXES}, "keys are input names"),
        ([AXES], "a mapping from input names to arrays"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: dict[str, object], message: str):
    with pytest.raises(CompileError, match=message):
        nnc.compile(model(), input_values=values, cache=False)


def test_values_are_for_models_that_are_imported():
    values = {"axes": AXES, "shape": np.array([2, 4], np.int64)}
    module = nnc.convert(model(), input_values=values)
    with pytest.raises(CompileError, match="input_values is for models that are"):
        nnc.compile(module, input_values=values)


def test_each_set_of_values_is_compiled_once():
    with SpecializingModel(model(), cache=False) as runner:
        for axis, rows in [(0, 3), (1, 4), (2, 1), (0, 3), (0, 6), (1, 4)]:
            feeds = {"x": X, "axes": np.array([axis]), "shape": np.array([rows, -1])}
            (z,) = runner.run(None, feeds)
            np.testing.assert_array_equal(z, X.sum(axis).reshape(rows, -1))
        # One code for all shapes, one for each set of axes.
        assert runner.deciding == ("axes",)
        assert len(runner.compilations) == 3
    assert not runner.compilations


def test_options_and_known_inputs():
    values = {"shape": np.array([-1, 2], np.int64)}
    runner = SpecializingModel(
        model(), deciding=["axes"], input_values=values, target="generic", cache=False
    )
    (z,) = runner.run(["z"], {"x": X, "axes": AXES})
    np.testing.assert_array_equal(z, X.sum(1).reshape(-1, 2))
    assert "generic" in str(runner.compilations[0].info.target)
    with pytest.raises(InputError, match="'axes' is missing"):
        runner.run(None, {"x": X})


def test_models_used_longest_ago_are_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(specializing, "MOST_KEPT", 2)
    runner = SpecializingModel(model(), cache=False)
    first = {"x": X, "axes": np.array([0]), "shape": np.array([3, 4])}
    for axis in (0, 1, 2):
        feeds = {**first, "axes": np.array([axis]), "shape": np.array([1, -1])}
        runner.run(None, feeds)
        assert len(runner.compilations) <= 2
    (z,) = runner.run(None, first)
    np.testing.assert_array_equal(z, X.sum(0))


def test_threads_compile_a_set_of_values_once():
    runner = SpecializingModel(model(), cache=False)
    right: list[bool] = []

    def work() -> None:
        feeds = {"x": X, "axes": AXES, "shape": np.array([4, 2])}
        right.append(bool((runner.run(None, feeds)[0] == X.sum(1).reshape(4, 2)).all()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 4
    assert len(runner.compilations) == 1


def test_large_inputs_are_data():
    x = helper.make_tensor_value_info("x", onnx.TensorProto.INT64, [100])
    y = helper.make_empty_tensor_value_info("y")
    node = helper.make_node("ConstantOfShape", ["x"], ["y"])
    proto = helper.make_model(helper.make_graph([node], "g", [x], [y]))
    with pytest.raises(UnsupportedOp, match="must not depend on data") as error:
        nnc.compile(proto)
    assert not isinstance(error.value, InputValuesNeeded)


def test_an_op_without_a_converter_is_the_worse_news():
    proto = model()
    proto.graph.node.add(op_type="Nothing", name="n", input=["z"], output=["w"])
    proto.graph.output[0].name = "w"
    proto.graph.node.add(op_type="None", name="m", input=["x"], output=["v"])
    proto.graph.output.append(helper.make_empty_tensor_value_info("v"))
    with pytest.raises(UnsupportedOp, match="'m'") as error:
        nnc.compile(proto)
    assert not isinstance(error.value, InputValuesNeeded)


def test_a_node_of_several_deciding_values_counts_once():
    # The three bounds of a range must not make up for ops that there are not.
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.INT64, []) for n in "abc"]
    nodes = [
        helper.make_node("Range", ["a", "b", "c"], ["r"]),
        helper.make_node("Nothing", ["a"], ["p"]),
        helper.make_node("None", ["b"], ["q"]),
    ]
    outputs = [helper.make_empty_tensor_value_info(n) for n in "rpq"]
    proto = helper.make_model(helper.make_graph(nodes, "g", ends, outputs))
    with pytest.raises(UnsupportedOp, match="Nothing") as error:
        nnc.compile(proto)
    assert not isinstance(error.value, InputValuesNeeded)
