"""Models of sequences, optionals, strings and maps, compiled, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, parser

import nnc
from nnc.errors import InputError, ModelError, RunError


def model_of(graph: str, opset: int = 21) -> ModelProto:
    header = f'<ir_version: 10, opset_import: ["": {opset}, "ai.onnx.ml": 3]>'
    return parser.parse_model(f"{header} g {graph}")


def compiled(graph: str, opset: int = 21) -> Any:
    return nnc.compile(model_of(graph, opset), cache=False)


def expected(graph: str, *inputs: Any) -> list[Any]:
    """What ONNX Runtime gives."""
    session = onnxruntime.InferenceSession(
        model_of(graph).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [i.name for i in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def same(a: Any, b: Any) -> bool:
    if isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if b.dtype.kind in "OU":
        return a.shape == b.shape and a.tolist() == b.tolist()
    return a.shape == b.shape and np.allclose(a, b, equal_nan=True)


X = np.arange(12, dtype=np.float32).reshape(4, 3)
WORDS = np.array(["one two", "two", " three  one "], object)

TENSOR_TO_SEQUENCE = """(float[N, 3] x) => (seq(float) parts, int64 n) {
    y = Relu(x)
    parts = SplitToSequence <axis = 0, keepdims = 0> (y)
    n = SequenceLength(parts)
}"""
SEQUENCE_TO_TENSOR = """(seq(float[N, 3]) s, int64 i) => (float[M, K] z) {
    one = SequenceAt(s, i)
    more = SequenceInsert(s, one)
    y = ConcatFromSequence <axis = 0> (more)
    z = Mul(y, y)
}"""
STRINGS = """(string[N] s) => (string[N, K] parts, bool[N, 1] same, float[N, 1] f) {
    parts, n = StringSplit(s)
    word = Constant <value_strings = ["one"]> ()
    axes = Constant <value_ints = [1]> ()
    zero = Constant <value_ints = [0]> ()
    first = Gather <axis = 1> (parts, zero)
    same = Equal(first, word)
    f = Cast <to = 1> (same)
}"""
CASTS = """(float[N] x) => (string[N] text, float[N] back) {
    y = Add(x, x)
    text = Cast <to = 8> (y)
    z = Cast <to = 1> (text)
    back = Neg(z)
}"""
LABELS = """(string[N] s) => (string[N] name, float[N] y) {
    number = ai.onnx.ml.LabelEncoder <keys_strings = ["one two", "two"],
        values_floats = [1.0, 2.0], default_float = -1.0> (s)
    y = Sqrt(number)
    whole = Cast <to = 7> (number)
    name = ai.onnx.ml.LabelEncoder <keys_int64s = [1, 2],
        values_strings = ["first", "second"], default_string = "none"> (whole)
}"""
LOOP = """(int64 n, float[2] x) => (seq(float) s) {
    empty = SequenceEmpty()
    yes = Constant <value = bool {1}> ()
    s = Loop (n, yes, empty) <body = b (int64 i, bool c, seq(float) before)
        => (bool on, seq(float) after) {
        on = Identity(c)
        f = Cast <to = 1> (i)
        y = Mul(x, f)
        after = SequenceInsert(before, y)
    }>
}"""
BRANCH = """(bool c, seq(float[N, 3]) s) => (float[M, 3] y) {
    y = If (c) <
        then_branch = t () => (float[P, 3] a) {
            a = ConcatFromSequence <axis = 0> (s)
        },
        else_branch = e () => (float[Q, 3] b) {
            zero = Constant <value_int = 0> ()
            b = SequenceAt(s, zero)
        }>
}"""


@pytest.mark.parametrize(
    ("graph", "inputs"),
    [
        (TENSOR_TO_SEQUENCE, [X - 5]),
        (SEQUENCE_TO_TENSOR, [[X, X[:1]], np.array(-1, np.int64)]),
        (STRINGS, [WORDS]),
        (LABELS, [WORDS]),
        (LOOP, [np.array(3, np.int64), X[0, :2]]),
        (LOOP, [np.array(0, np.int64), X[0, :2]]),
        (BRANCH, [np.array(True), [X, X[:1]]]),
        (BRANCH, [np.array(False), [X[:2], X]]),
    ],
)
def test_agrees_with_onnx_runtime(graph: str, inputs: list[Any]):
    with compiled(graph) as exe:
        found = exe.run(
            None, {s.name: v for s, v in zip(exe.inputs, inputs, strict=True)}
        )
        assert same(found, expected(graph, *inputs))


def test_strings_come_in_any_form():
    with compiled(STRINGS) as exe:
        parts = exe(WORDS)[0]
        for value in (
            WORDS.tolist(),
            WORDS.astype(str),
            np.char.encode(WORDS.astype(str)),
        ):
            assert exe(value)[0].tolist() == parts.tolist()


def test_numbers_go_to_strings_and_back():
    x = np.array([0.25, -1e10, 3], np.float32)
    with compiled(CASTS) as exe:
        text, back = exe(x)
        assert text.tolist() == ["0.5", "-2e+10", "6.0"]
        np.testing.assert_array_equal(back, -2 * x)


def test_a_program_says_what_it_is():
    with compiled(TENSOR_TO_SEQUENCE) as exe:
        assert [step.kind for step in exe.info.steps] == ["stage", "host", "host"]
        assert "sequence<tensor<float32" in str(exe.outputs[0])


def test_optionals():
    graph = """(optional(float[2]) o) => (bool has, optional(float[2]) same) {
        has = OptionalHasElement(o)
        same = Identity(o)
    }"""
    x = X[0, :2]
    with compiled(graph) as exe:
        has, value = exe(x)
        assert has
        np.testing.assert_array_equal(value, x)
        assert exe.run(None, {"o": None}) == [np.array(False), None]


def test_results_are_the_callers_own():
    graph = "(seq(float[2]) s) => (seq(float[2]) t) { t = Identity(s) }"
    with compiled(graph) as exe:
        given = [X[0, :2].copy()]
        (result,) = exe.run(None, {"s": given})
        result[0][:] = 7
        np.testing.assert_array_equal(given[0], X[0, :2])


def test_a_program_is_saved_and_loaded(tmp_path: Path):
    path = tmp_path / "program.nnc"
    with compiled(STRINGS) as exe:
        exe.save(path)
        first = exe(WORDS)
    with nnc.load(path) as loaded:
        assert same(list(loaded(WORDS)), list(first))


def test_errors_name_the_node():
    out_of_range = "SequenceAt .*position 5 is out of range"
    exe = compiled(SEQUENCE_TO_TENSOR)
    with exe, pytest.raises(RunError, match=out_of_range):
        exe([X], np.array(5, np.int64))
    for graph, value, text in (
        (SEQUENCE_TO_TENSOR, X, "expected sequence<.*, got a tensor of float32"),
        (SEQUENCE_TO_TENSOR, [X.astype(int)], "expected tensor<float32.*int64"),
        (SEQUENCE_TO_TENSOR, [None], "got an absent value"),
        (SEQUENCE_TO_TENSOR, object(), "got a object"),
        (STRINGS, np.zeros(3), "expected tensor<string"),
        (STRINGS, np.array(["a", 1], object), "expected tensor<string"),
        (STRINGS, None, "expected tensor<string"),
    ):
        with compiled(graph) as exe, pytest.raises(InputError, match=text):
            exe.run(
                None,
                {"s": value, "i": np.array(0)} if graph != STRINGS else {"s": value},
            )
    bad = "(string[N] s) => (string[N] t) { t = Transpose <perm = [1, 0]> (s) }"
    with pytest.raises(ModelError, match="no order of 1 axes"):
        compiled(bad)


def test_a_string_label_is_looked_up_outside_of_native_code():
    graph = """(float[N, 2] x) => (string[N] label, float[N, 3] y) {
        label, y = ai.onnx.ml.LinearClassifier <coefficients = [1.0, 0.0, 0.0, 1.0,
            -1.0, -1.0], intercepts = [0.0, 0.5, 0.0],
            classlabels_strings = ["right", "up", "back"]> (x)
    }"""
    x = np.array([[2, 1], [0, 3], [-2, -1], [1, 1]], np.float32)
    with compiled(graph) as exe:
        assert same(list(exe(x)), expected(graph, x))
        assert [s.kind for s in exe.info.steps] == ["stage", "host"]
