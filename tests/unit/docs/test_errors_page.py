"""The table of docs/errors.md: its classes are all there are, its messages are real."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

import nnc
from nnc import errors
from nnc.api import compile_with
from nnc.cache.folder import folder_of
from nnc.options import CompileOptions

PAGE = Path(__file__).resolve().parents[3] / "docs" / "errors.md"
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def model(
    node: NodeProto,
    inputs: dict[str, tuple[int, list[int | str]]],
    kind: int = FLOAT,
    output: list[str] | None = None,
) -> ModelProto:
    """One node; rank and sizes of its output `y` need not be declared."""
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(n, k, d) for n, (k, d) in inputs.items()],
        [helper.make_tensor_value_info("y", kind, output)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def relu(*dims: int | str) -> ModelProto:
    node = helper.make_node("Relu", ["x"], ["y"], name="activation")
    return model(node, {"x": (FLOAT, list(dims))})


def product(lhs: list[int | str], rhs: list[int | str]) -> ModelProto:
    node = helper.make_node("MatMul", ["a", "b"], ["y"], name="product")
    return model(node, {"a": (FLOAT, lhs), "b": (FLOAT, rhs)}, output=["P", "Q"])


def load_a_zip_archive() -> None:
    Path("model.onnx").write_bytes(b"PK\x03\x04" + bytes(100))
    nnc.compile("model.onnx")


def use_an_unknown_op() -> None:
    node = helper.make_node("Warp", ["x"], ["y"], name="where", domain="org.example")
    nnc.compile(model(node, {"x": (FLOAT, [4])}))


def sum_over_axes_that_are_data() -> None:
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], name="sum")
    proto = model(node, {"x": (FLOAT, [2, 3]), "axes": (INT64, [1])})
    compile_with(proto, CompileOptions(defer=False))


def run_a_closed_model() -> None:
    with nnc.compile(relu(4)) as exe:
        pass
    exe(np.zeros(4, np.float32))


def look_up_beyond_the_end() -> None:
    node = helper.make_node("Gather", ["x", "i"], ["y"], name="lookup")
    exe = nnc.compile(model(node, {"x": (FLOAT, [10, 4]), "i": (INT64, ["N"])}))
    exe(np.zeros((10, 4), np.float32), np.array([3, 10]))


def divide_by_zero() -> None:
    node = helper.make_node("Div", ["a", "b"], ["y"], name="ratio")
    exe = nnc.compile(model(node, {n: (INT64, ["N"]) for n in "ab"}, INT64))
    exe(np.array([1, 2]), np.array([1, 0]))


def ask_for_a_petabyte() -> None:
    exe = nnc.compile(product(["N", 1], [1, "M"]))
    column = np.zeros((1 << 24, 1), np.float32)
    exe(column, column.T)


EXAMPLES: dict[str, Callable[[], object]] = {
    "LoadError": load_a_zip_archive,
    "LimitExceeded": lambda: nnc.compile(relu("N", 1 << 41)),
    "ModelError": lambda: nnc.compile(product([2, 3], [4, 5])),
    "UnsupportedOp": use_an_unknown_op,
    "InputValuesNeeded": sum_over_axes_that_are_data,
    "CompileError": lambda: nnc.compile(relu(4), input_shapes={"y": [4]}),
    "TargetError": lambda: nnc.Target.named("avx2+turbo"),
    "VerifyError": lambda: nnc.convert(product([2, 3], [3, 4])).apply(
        "verify-dispatched"
    ),
    "InputError": lambda: nnc.compile(relu(4))(np.zeros(4, np.float64)),
    "RunError": run_a_closed_model,
    "IndexOutOfRange": look_up_beyond_the_end,
    "DivisionByZero": divide_by_zero,
    "OutOfMemory": ask_for_a_petabyte,
    "CacheError": lambda: folder_of({"NNC_CACHE_SIZE": "much"}),
}

WITHOUT_EXAMPLE = {"Cancelled", "InternalError"}


def rows() -> dict[str, str]:
    """The example cell of each class."""
    table = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {name: example for name, _, example, _ in table}


def documented_classes() -> set[str]:
    kinds = vars(errors).values()
    return {
        kind.__name__
        for kind in kinds
        if inspect.isclass(kind) and issubclass(kind, errors.NncError)
    }


def test_table_holds_every_class():
    assert rows().keys() == documented_classes() - {"NncError"}
    assert rows().keys() == EXAMPLES.keys() | WITHOUT_EXAMPLE


def test_tree_is_the_tree_of_the_classes():
    parents: dict[int, str] = {}
    found: set[tuple[str, str]] = set()
    tree = (
        PAGE.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    )
    for line in tree.splitlines():
        match = re.match(r"([\s│├└─]*)(\w+)(?: +also an? (\w+))?$", line)
        assert match, line
        depth = len(match[1]) // 4
        parents[depth] = match[2]
        kind = getattr(errors, match[2])
        bases = {base.__name__ for base in kind.__bases__}
        expected = {parents[depth - 1]} if depth else {"Exception"}
        assert bases == expected | ({match[3]} if match[3] else set())
        found.add((match[2], line))
    assert {name for name, _ in found} == documented_classes()


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_what_is_raised(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.NncError) as raised:
        EXAMPLES[name]()
    assert type(raised.value).__name__ == name
    message = " ".join(str(raised.value).split())
    shown = rows()[name].strip("`")
    pattern = ".+".join(map(re.escape, shown.split("…")))
    assert re.fullmatch(pattern, message), message


def test_division_of_floats_by_zero_raises_nothing():
    node = helper.make_node("Div", ["a", "b"], ["y"])
    exe = nnc.compile(model(node, {n: (FLOAT, [2]) for n in "ab"}))
    values = exe(np.array([1, 0], np.float32), np.zeros(2, np.float32))
    assert values[0] == np.inf
    assert np.isnan(values[1])


def test_model_runs_after_an_error_as_the_page_says():
    node = helper.make_node("Gather", ["x", "i"], ["y"], name="lookup")
    exe = nnc.compile(model(node, {"x": (FLOAT, [2]), "i": (INT64, ["N"])}))
    x = np.array([1, 2], np.float32)
    with pytest.raises(errors.IndexOutOfRange):
        exe(x, np.array([5]))
    np.testing.assert_array_equal(exe(x, np.array([1, 0])), x[::-1])


def test_onnx_checker_finds_the_invalid_model_too():
    with pytest.raises(onnx.shape_inference.InferenceError):
        onnx.checker.check_model(product([2, 3], [4, 5]), full_check=True)
