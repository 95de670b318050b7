"""Branches and loops of ONNX: compiled, they do what ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, parser

import nnc
from nnc.errors import InputError, LimitExceeded, ModelError
from nnc.testing import compare

Array = NDArray[Any]


def parse(graph: str, opset: int = 17) -> ModelProto:
    """A model in text form."""
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> g {graph}')


def check(
    model: ModelProto, *feeds: Mapping[str, Array]
) -> nnc.CompiledModel | nnc.ProgramModel:
    """Compile once, compare with ONNX Runtime on all feeds."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    exe = nnc.compile(model)
    for given in feeds:
        expected = session.run(None, dict(given))
        for ours, theirs in zip(exe.run(None, given), expected, strict=True):
            compare(ours, np.asarray(theirs), rtol=1e-5, atol=1e-6)
    return exe


def floats(*shape: int) -> Array:
    """Random numbers."""
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


BRANCH = """
(bool c, float[N, 4] x) => (float[N, 4] y)
<float[4] w = {1, 2, 3, 4}>
{
  z = Mul(x, w)
  y = If (c) <
    then_branch = g1 () => (float[N, 4] a) { t = Exp(z) a = Add(t, x) },
    else_branch = g2 () => (float[N, 4] b) { b = Sub(z, w) }
  >
}
"""


def test_branches() -> None:
    for_each = [
        {"c": np.array(c), "x": floats(n, 4)} for c in (True, False) for n in (1, 3)
    ]
    check(parse(BRANCH), *for_each)


def test_a_condition_on_sizes_is_no_branch() -> None:
    graph = """
    (float[3, 4] x) => (float[3, 4] y) <int64 three = {3}, int64 zero = {0}>
    {
      s = Shape(x)
      first = Gather(s, zero)
      c = Equal(first, three)
      y = If (c) <
        then_branch = g1 () => (float[3, 4] a) { a = Exp(x) },
        else_branch = g2 () => (float[3, 4] b) { b = Nothing(x) }
      >
    }
    """
    x = floats(3, 4)
    compare(nnc.compile(parse(graph)).run(None, {"x": x})[0], np.exp(x))


def test_a_squeeze_of_what_may_be_one() -> None:
    graph = """
    (float[N, M] x) => (float[N] y) <int64[1] one = {1}, int64[1] axis = {1}>
    {
      s = Shape<start = 1, end = 2>(x)
      c = Equal(s, one)
      r = If (c) <
        then_branch = g1 () => (float[N] a) { a = Squeeze(x, axis) },
        else_branch = g2 () => (float[N, M] b) { b = Identity(x) }
      >
      y = Exp(r)
    }
    """
    exe = nnc.compile(parse(graph))
    x = floats(3, 1)
    compare(exe(x), np.exp(x[:, 0]))
    with pytest.raises(InputError, match="M = 2"):
        exe(floats(3, 2))


def test_branches_of_other_shapes_are_steps_of_a_program() -> None:
    graph = """
    (bool c, float[4] x) => (float[M] y) {
      y = If (c) <
        then_branch = g1 () => (float[4] a) { a = Exp(x) },
        else_branch = g2 () => (float[8] b) { b = Concat<axis = 0>(x, x) }
      >
    }
    """
    x = floats(4)
    feeds = ({"c": np.array(c), "x": x} for c in (True, False, True))
    exe = check(parse(graph), *feeds)
    assert [(s.kind, s.what) for s in exe.info.steps] == [
        ("host", "If, compiled 2 times so far")
    ]


LOOP = """
(int64 n, bool c, float[4] x, float[4] d) => (float[4] y, int64 last)
<int64 zero = {0}>
{
  y, last = Loop (n, c, x, zero) <
    body = b (int64 i, bool going, float[4] v, int64 k) =>
      (bool more, float[4] w, int64 j) <float limit = {50}>
    {
      w = Add(v, d)
      sum = ReduceSum<keepdims = 0>(w)
      more = Less(sum, limit)
      j = Add(i, k)
    }
  >
}
"""


def test_loops_that_depend_on_data() -> None:
    feeds = [
        {
            "n": np.array(n),
            "c": np.array(c),
            "x": floats(4),
            "d": np.ones(4, np.float32),
        }
        for n in (0, 1, 2, 7, 100)
        for c in (True, False)
    ]
    check(parse(LOOP), *feeds)


def test_a_loop_stacks_what_it_computes() -> None:
    graph = """
    (float[N] x, float[N] d) => (float[N] y, float[5, N] all)
    <int64 n = {5}, bool c = {1}>
    {
      y, all = Loop (n, c, x) <
        body = b (int64 i, bool going, float[N] v) =>
          (bool more, float[N] w, float[N] s)
        {
          f = Cast<to = 1>(i)
          t = Mul(d, f)
          w = Add(v, t)
          s = Neg(v)
          more = Identity(going)
        }
      >
    }
    """
    check(parse(graph), *({"x": floats(n), "d": floats(n)} for n in (1, 4, 33)))


def test_a_stack_whose_size_is_data() -> None:
    graph = """
    (int64 n, float[4] x) => (float[M, 4] all) <bool c = {1}> {
      y, all = Loop (n, c, x) <
        body = b (int64 i, bool going, float[4] v) =>
          (bool more, float[4] w, float[4] s)
        { w = Exp(v) s = Neg(v) more = Identity(going) }
      >
    }
    """
    feeds = ({"n": np.array(n), "x": floats(4)} for n in (3, 0, -1, 1))
    exe = check(parse(graph), *feeds)
    assert [step.kind for step in exe.info.steps] == ["stage", "sizes", "stage"]


GROWING = """
(float[4] x, int64 n) => (float[M] y, float[K, 2] all) <bool c = {1}, int64 two = {2}> {
  y, all = Loop (COUNT, c, x) <
    body = b (int64 i, bool going, float[K] v) => (bool more, float[L] w, float[2] e)
      <int64[1] one = {1}, int64[1] zero = {0}, int64[1] end = {2}, int64 last = {1}>
    {
      w = Concat<axis = 0>(v, v)
      start = Reshape(i, one)
      stop = Add(start, end)
      e = Slice(v, start, stop, zero)
      more = Less(i, last)
    }
  >
}
"""


def test_a_loop_of_values_that_grow_is_written_out() -> None:
    model = parse(GROWING.replace("COUNT", "two"))
    x = floats(4)
    grown, parts = nnc.compile(model).run(None, {"x": x, "n": np.array(2)})
    compare(grown, np.tile(x, 4))
    compare(parts, np.stack([x[0:2], np.tile(x, 2)[1:3]]))


def test_values_that_grow_as_data_says() -> None:
    model = parse(GROWING.replace("COUNT", "n"))
    feeds = ({"x": floats(4), "n": np.array(n)} for n in (1, 2, 5, 0))
    exe = check(model, *feeds)
    assert [step.kind for step in exe.info.steps] == ["stage", "host"]


def test_a_missing_output_is_an_error() -> None:
    graph = """
    (float[4] x) => (float[4] y) <int64 n = {3}, bool c = {1}> {
      y = Loop (n, c, x) <
        body = b (int64 i, bool going, float[4] v) => (bool more)
        { more = Identity(going) }
      >
    }
    """
    with pytest.raises(ModelError, match="1 values are carried"):
        nnc.compile(parse(graph))


SCAN_BODY = """
(float[{n}] s, float[{n}] a) => (float[{n}] t, float[{n}] out) {{
  t = Add(s, a)
  out = Mul(t, w)
}}
"""


@pytest.mark.parametrize("backwards", [[0], [1]])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("back_out", [[0], [1]])
def test_scans(backwards: list[int], axis: int, back_out: list[int]) -> None:
    body = parser.parse_graph("b " + SCAN_BODY.format(n="N"))
    node = helper.make_node(
        "Scan",
        ["s", "x"],
        ["last", "all"],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[axis],
        scan_input_directions=backwards,
        scan_output_axes=[axis],
        scan_output_directions=back_out,
    )
    shape = ["T", "N"] if axis == 0 else ["N", "T"]
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("s", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N"]),
        ],
        [
            helper.make_tensor_value_info("last", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("all", TensorProto.FLOAT, None),
        ],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    feeds = [
        {
            "s": floats(n),
            "x": floats(t, n) if axis == 0 else floats(n, t),
            "w": floats(n),
        }
        for t, n in ((4, 3), (1, 5), (7, 2))
    ]
    check(model, *feeds)


def test_the_first_scan_has_a_batch() -> None:
    body = parser.parse_graph("b " + SCAN_BODY.format(n="2"))
    node = helper.make_node(
        "Scan", ["", "s", "x"], ["last", "all"], body=body, num_scan_inputs=1
    )
    infos = [("s", ["B", 2]), ("x", ["B", "T", 2]), ("w", [2])]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in infos],
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, None)
            for n in ("last", "all")
        ],
    )
    opset = helper.make_opsetid("", 8)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=3)
    exe = nnc.compile(model)
    s, x, w = floats(3, 2), floats(3, 4, 2), floats(2)
    last, stacked = exe.run(None, {"s": s, "x": x, "w": w})
    sums = s[:, None] + np.cumsum(x, 1)
    compare(last, sums[:, -1], rtol=1e-5, atol=1e-6)
    compare(stacked, sums * w, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backwards", [0, 1])
def test_sequences_of_a_batch_may_be_shorter(backwards: int) -> None:
    body = parser.parse_graph("b " + SCAN_BODY.format(n="2"))
    node = helper.make_node(
        "Scan",
        ["n", "s", "x"],
        ["last", "all"],
        body=body,
        num_scan_inputs=1,
        directions=[backwards],
    )
    infos = [("n", 7, ["B"]), ("s", 1, ["B", 2]), ("x", 1, ["B", "T", 2])]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(*i) for i in [*infos, ("w", 1, [2])]],
        [helper.make_tensor_value_info(n, 1, None) for n in ("last", "all")],
    )
    opset = helper.make_opsetid("", 8)
    exe = nnc.compile(helper.make_model(graph, opset_imports=[opset], ir_version=3))
    s, x, w = floats(3, 2), floats(3, 4, 2), floats(2)
    lengths = np.array([4, 0, 3])
    last, stacked = exe.run(None, {"n": lengths, "s": s, "x": x, "w": w})
    for i, length in enumerate(lengths):
        part = x[i, :length][::-1] if backwards else x[i, :length]
        sums = s[i] + np.cumsum(part, 0)
        expected = np.zeros((4, 2), np.float32)
        expected[:length] = sums * w
        compare(stacked[i], expected, rtol=1e-5, atol=1e-6)
        compare(last[i], sums[-1] if length else s[i], rtol=1e-5, atol=1e-6)


def test_a_cancelled_loop_ends() -> None:
    """Once the run is stopped, nothing would make the condition false."""
    import _thread
    import threading

    graph = """
    (float x) => (float y) <bool c = {1}> {
      y = Loop ("", c, x) <
        body = b (int64 i, bool going, float v) => (bool more, float w)
          <float limit = {-1}>
        { w = Abs(v) more = Greater(w, limit) }
      >
    }
    """
    exe = nnc.compile(parse(graph.replace('("", c', "(, c")))
    # Runs that take long are watched for interrupts.
    assert isinstance(exe, nnc.CompiledModel)
    exe._last_seconds = 10.0
    timer = threading.Timer(0.5, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        exe(np.array(1.0, np.float32))


def growing(depth: int, trips: int) -> ModelProto:
    """Loops inside of each other, whose innermost makes a vector longer."""
    text = "b0 = Pad(a0, p)"
    for i in range(1, depth + 1):
        text = (
            f"b{i} = Loop(m, k, a{i}) <body = g{i} "
            f"(int64 i{i}, bool c{i}, float[] a{i - 1}) => "
            f"(bool go{i}, float[] b{i - 1}) {{ go{i} = Identity(c{i}) {text} }}>"
        )
    return parse(
        f"(float[4] a{depth}) => (float[] b{depth}) <int64 m = {{{trips}}}, "
        f"bool k = {{1}}, int64[2] p = {{0, 1}}> {{ {text} }}"
    )


def test_loops_in_loops_are_written_out() -> None:
    check(growing(2, 5), {"a2": floats(4)})


@pytest.mark.parametrize(("depth", "trips"), [(3, 40), (30, 3)])
def test_loops_in_loops_are_written_out_within_bounds(depth: int, trips: int) -> None:
    with pytest.raises(LimitExceeded, match="would have to be written out"):
        nnc.convert(growing(depth, trips))
