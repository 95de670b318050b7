"""Sizes that depend on data: compiled in stages, they do what ONNX Runtime does."""

from __future__ import annotations

import platform
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, parser

import nnc
from nnc.errors import IndexOutOfRange, InputError, RunError, TargetError
from nnc.testing import compare

Array = NDArray[Any]
F32 = np.float32


def parse_model(graph: str, opset: int = 18) -> ModelProto:
    """A model in text form."""
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> g {graph}')


def check(
    graph: str, *feeds: dict[str, Array], kinds: str = "", opset: int = 18
) -> Any:
    """Compile once, compare with ONNX Runtime on all feeds; the compiled model."""
    model = parse_model(graph, opset)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    exe = nnc.compile(model)
    for given in feeds:
        expected = session.run(None, dict(given))
        for ours, theirs in zip(exe.run(None, given), expected, strict=True):
            compare(ours, np.asarray(theirs))
    if kinds:
        assert [step.kind for step in exe.info.steps] == kinds.split()
    assert exe.info.code_generations == sum(s.kind == "stage" for s in exe.info.steps)
    return exe


def sparse(*shape: int, seed: int = 0) -> Array:
    """Numbers of which about half are zero."""
    generator = np.random.default_rng(seed)
    return (generator.integers(0, 2, shape) * generator.normal(size=shape)).astype(F32)


def ints(*values: int) -> Array:
    """A vector of i64."""
    return np.array(values, np.int64)


# ---------------------------------------------------------------- NonZero, Compress

NON_ZERO = "(float[{dims}] x) => (int64[r, n] y) {{ y = NonZero(x) }}"


@pytest.mark.parametrize("dims", ["N", "N, M", "N, 1, M"])
def test_non_zero(dims: str) -> None:
    rank = dims.count(",") + 1
    shapes: dict[int, list[tuple[int, ...]]] = {
        1: [(0,), (1,), (37,)],
        2: [(0, 3), (1, 1), (5, 7)],
    }
    shapes[3] = [(2, 1, 9), (3, 1, 0), (1, 1, 1)]
    feeds = [{"x": sparse(*shape)} for shape in shapes[rank]]
    feeds += [
        {"x": np.zeros(shapes[rank][0], F32)},
        {"x": np.ones(shapes[rank][1], F32)},
    ]
    check(NON_ZERO.format(dims=dims), *feeds, kinds="stage sizes stage")


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.int8, np.uint64, np.float16, "bfloat16"]
)
def test_non_zero_of_any_type(dtype: Any) -> None:
    names = {"bool": "bool", "int8": "int8", "uint64": "uint64", "float16": "float16"}
    type_ = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    exe = nnc.compile(
        parse_model(
            f"({names.get(type_.name, 'bfloat16')}[2, 9] x) => (int64[2, n] y) "
            "{ y = NonZero(x) }"
        )
    )
    x = sparse(2, 9).astype(type_)
    np.testing.assert_array_equal(exe(x), np.nonzero(x))


def test_non_zero_of_nan_and_of_a_negative_zero() -> None:
    x = np.array([np.nan, -0.0, np.inf, 0.0], F32)
    check(NON_ZERO.format(dims="4"), {"x": x})


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_non_zero_of_a_scalar_has_no_rows(value: float) -> None:
    exe = nnc.compile(parse_model("(float x) => (int64[r, n] y) { y = NonZero(x) }"))
    assert exe(np.array(value, F32)).shape == (0, int(value != 0))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_compress(axis: int) -> None:
    graph = f"""(float[N, M] x, bool[K] c) => (float[P, Q] y)
    {{ y = Compress<axis = {axis}>(x, c) }}"""
    feeds = [
        {"x": sparse(5, 5), "c": np.array(c, np.bool_)}
        for c in ([1, 0, 1, 1, 0], [0] * 5, [1] * 5, [0, 1], [])
    ]
    check(graph, *feeds)


def test_compress_of_all_elements() -> None:
    graph = "(int32[N, M] x, bool[K] c) => (int32[P] y) { y = Compress(x, c) }"
    x = np.arange(12, dtype=np.int32).reshape(3, 4)
    check(graph, {"x": x, "c": x.reshape(-1) % 3 == 0}, {"x": x[:0], "c": x[0] < 0})


def test_compress_beyond_the_axis_is_an_error() -> None:
    graph = "(float[N] x, bool[K] c) => (float[P] y) { y = Compress<axis = 0>(x, c) }"
    exe = nnc.compile(parse_model(graph))
    with pytest.raises(IndexOutOfRange, match="Compress:y"):
        exe(np.ones(2, F32), np.ones(3, np.bool_))


def test_a_chain_of_three_stages_and_two_symbols() -> None:
    graph = """
    (float[N] x) => (float[P] y, int64[2] s) <int64 zero = {0}, float half = {0.5}> {
      i = NonZero(x)
      j = Squeeze(i)
      v = Gather(x, j)
      c = Greater(v, half)
      w = Compress<axis = 0>(v, c)
      y = Exp(w)
      a = Shape(v)
      b = Shape(w)
      s = Concat<axis = 0>(a, b)
    }
    """
    feeds = [{"x": sparse(n, seed=n)} for n in (50, 1, 0, 64)]
    model = graph.replace("j = Squeeze(i)", "j = Squeeze(i, axis)").replace(
        "int64 zero = {0}", "int64[1] axis = {0}"
    )
    check(model, *feeds, kinds="stage sizes stage sizes stage")


# ---------------------------------------------------------------- values as sizes


@pytest.mark.parametrize(
    "target", [(3, 4), (4, -1), (-1, 1), (0, -1), (-1, 0), (12, 1)]
)
def test_reshape(target: tuple[int, int]) -> None:
    graph = "(float[N, M] x, int64[2] s) => (float[P, Q] y) { y = Reshape(x, s) }"
    check(graph, {"x": sparse(2, 6), "s": ints(*target)})


def test_one_code_serves_all_targets_of_a_reshape() -> None:
    graph = """(float[N, M] x, int64[2] s) => (float[P, Q] z)
    { y = Reshape(x, s) z = Exp(y) }"""
    feeds = [{"x": sparse(2, 6), "s": ints(*t)} for t in ((3, 4), (-1, 2), (12, 1))]
    exe = check(graph, *feeds)
    assert exe.info.code_generations == 2


def test_a_target_of_known_and_computed_sizes() -> None:
    graph = """
    (float[N, 8] x, int64 k) => (float[P, Q, 4] y)
    <int64[1] one = {-1}, int64[1] four = {4}> {
      r = Reshape(k, one)
      s = Concat<axis = 0>(one, r, four)
      y = Reshape(x, s)
    }
    """
    check(graph, *({"x": sparse(3, 8), "k": np.array(k)} for k in (1, 2, 3, 6)))


def test_targets_that_do_not_fit_are_refused() -> None:
    graph = "(float[N, M] x, int64[2] s) => (float[P, Q] y) { y = Reshape(x, s) }"
    exe = nnc.compile(parse_model(graph))
    with pytest.raises(InputError, match="Reshape:y"):
        exe(sparse(2, 6), ints(5, 2))
    with pytest.raises(RunError, match=r"Reshape:y.*is -3, which is negative"):
        exe(sparse(2, 6), ints(-3, 4))


def test_expand() -> None:
    graph = "(float[3, 1] x, int64[3] s) => (float[A, B, C] y) { y = Expand(x, s) }"
    targets = [(2, 3, 4), (1, 1, 1), (5, 1, 2), (0, 3, 1)]
    check(graph, *({"x": sparse(3, 1), "s": ints(*t)} for t in targets))
    exe = nnc.compile(parse_model(graph))
    with pytest.raises(InputError, match="Expand:y"):
        exe(sparse(3, 1), ints(1, 2, 4))


def test_tile_and_constant_of_shape() -> None:
    graph = """
    (float[N, 3] x, int64[2] r) => (float[A, B] y, float[C, D] z)
    { y = Tile(x, r) z = ConstantOfShape(r) }
    """
    check(
        graph, *({"x": sparse(2, 3), "r": ints(*r)} for r in ((1, 1), (2, 3), (0, 1)))
    )


@pytest.mark.parametrize(
    ("dtype", "cases"),
    [
        ("int64", [(0, 5, 1), (5, 0, -2), (3, 3, 1), (0, -4, 1), (-7, 8, 3)]),
        ("int32", [(10, 6, -3), (0, 1, 7)]),
        ("float", [(0, 1, 0.25), (1, 0, 0.1), (2.5, -1, -0.5)]),
    ],
)
def test_range(dtype: str, cases: list[tuple[float, ...]]) -> None:
    graph = (
        f"({dtype} a, {dtype} b, {dtype} c) => ({dtype}[N] y) {{ y = Range(a, b, c) }}"
    )
    type_ = F32 if dtype == "float" else np.dtype(dtype)
    feeds = [
        {n: np.array(v, type_) for n, v in zip("abc", c, strict=True)} for c in cases
    ]
    check(graph, *feeds)


def test_a_range_of_steps_of_zero_is_refused() -> None:
    graph = "(int64 a, int64 b, int64 c) => (int64[N] y) { y = Range(a, b, c) }"
    exe = nnc.compile(parse_model(graph))
    with pytest.raises(RunError, match=r"Range:y.*delta is 0"):
        exe(np.array(0), np.array(3), np.array(0))


@pytest.mark.parametrize("place", range(3))
def test_a_range_of_no_numbers_is_refused(place: int) -> None:
    graph = "(float a, float b, float c) => (float[N] y) { y = Range(a, b, c) }"
    exe = nnc.compile(parse_model(graph))
    values = [np.array(v, F32) for v in (0, 3, 1)]
    values[place] = np.array(np.nan, F32)
    with pytest.raises(RunError, match=r"Range:y.*delta is 0 or NaN"):
        exe(*values)


def test_top_k() -> None:
    graph = """(float[3, N] x, int64[1] k) => (float[3, K] v, int64[3, K] i)
    { v, i = TopK(x, k) }"""
    check(
        graph,
        *(
            {
                "x": np.random.default_rng(n).normal(size=(3, 9)).astype(F32),
                "k": ints(n),
            }
            for n in (0, 1, 5, 9)
        ),
    )
    exe = nnc.compile(parse_model(graph))
    with pytest.raises(InputError, match="TopK"):
        exe(sparse(3, 9), ints(10))


@pytest.mark.parametrize("step", [1, 2, -1, -3])
def test_slice(step: int) -> None:
    graph = f"""
    (float[N, 5] x, int64[1] a, int64[1] b) => (float[M, 5] y)
    <int64[1] axis = {{0}}, int64[1] step = {{{step}}}>
    {{ y = Slice(x, a, b, axis, step) }}
    """
    bounds = [(0, 7), (2, 5), (5, 2), (-3, -1), (-1, -100), (100, -100), (3, 2**62)]
    feeds = [
        {"x": sparse(n, 5), "a": ints(a), "b": ints(b)}
        for a, b in bounds
        for n in (7, 1, 0)
    ]
    check(graph, *feeds)


def test_pads_splits_and_depths() -> None:
    graph = """
    (float[N, 4] x, int64[4] p, int64[2] s, int64 d) =>
    (float[A, B] y, float[C, 4] u, float[D, 4] v, float[N, E] h)
    <float[2] off_on = {0, 1}> {
      y = Pad(x, p)
      u, v = Split<axis = 0>(x, s)
      c = ReduceMax<keepdims = 0, axes = [1]>(x)
      k = Cast<to = 7>(c)
      h = OneHot(k, d, off_on)
    }
    """
    feeds = [
        {"x": sparse(5, 4), "p": ints(*p), "s": ints(*s), "d": np.array(d)}
        for p, s, d in [((1, 0, 2, 3), (2, 3), 3), ((0, 0, 0, 0), (0, 5), 1)]
    ]
    check(graph, *feeds, opset=17)


def test_resize_to_sizes_and_by_scales_that_are_data() -> None:
    graph = """
    (float[1, 2, H, W] x, int64[4] s, float[4] f) =>
    (float[A, B, C, D] y, float[E, F, G, I] z) {
      y = Resize<mode = "nearest">(x, , , s)
      z = Resize<mode = "nearest">(x, , f)
    }
    """
    feeds = [
        {"x": sparse(1, 2, 3, 4), "s": ints(1, 2, *s), "f": np.array([1, 1, *f], F32)}
        for s, f in [((6, 8), (2, 2)), ((5, 3), (1, 3))]
    ]
    model = parse_model(graph)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    exe = nnc.compile(model)
    for given in feeds:
        for ours, theirs in zip(
            exe.run(None, given), session.run(None, given), strict=True
        ):
            compare(ours, np.asarray(theirs))
    late = [s for s in exe.info.steps if s.kind == "compiled when run"]
    assert [s.what for s in late] == ["nnc.Deferred, compiled 2 times so far"]


def test_axes_that_are_data_are_compiled_for_their_values() -> None:
    graph = """
    (float[N, M] x, int64[1] a) => (float[P] z)
    { y = ReduceSum<keepdims = 0>(x, a) z = Exp(y) }
    """
    model = parse_model(graph)
    exe = nnc.compile(model)
    x = sparse(3, 4)
    for axis in (0, 1, -1, 0):
        compare(exe(x, ints(axis)), np.exp(x.sum(axis)))
    (step,) = exe.info.steps
    assert step.what == "nnc.Deferred, compiled 3 times so far"
    assert step.source == "ReduceSum:y+Exp:z"


def test_large_sizes_are_refused_before_anything_is_allocated() -> None:
    graph = "(int64[2] s) => (float[A, B] y) { y = ConstantOfShape(s) }"
    exe = nnc.compile(parse_model(graph))
    with pytest.raises(RunError, match=r"ConstantOfShape:y.*which is more than"):
        exe(ints(2**41, 1))
    with pytest.raises((RunError, InputError)):
        exe(ints(2**40, 2**40))
    assert exe(ints(2, 3)).shape == (2, 3)


# ---------------------------------------------------------------- the interpreter


def test_the_interpreter_runs_what_is_compiled_in_stages() -> None:
    graph = """(float[N] x, int64 k) => (int64[r, n] y, int64[K] z)
    <int64 zero = {0}, int64 one = {1}> { y = NonZero(x) z = Range(zero, k, one) }"""
    module = nnc.convert(parse_model(graph))
    x = sparse(9)
    y, z = module.interpret([x, np.array(4)])
    np.testing.assert_array_equal(y, np.nonzero(x))
    np.testing.assert_array_equal(z, np.arange(4))
    split = module.apply("split-stages")
    np.testing.assert_array_equal(split.interpret([x, np.array(4)])[0], y)
    compiled = nnc.compile(module)
    for ours, theirs in zip(compiled(x, np.array(4)), (y, z), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("target", ["generic", "sse4.2", "avx2", "avx512"])
@pytest.mark.parametrize("count", ["1", "2", "17", "N"])
def test_positions_on_every_target(target: str, count: str) -> None:
    if platform.machine() != "x86_64" and target != "generic":
        pytest.skip("a level of x86-64")
    graph = f"(float[{count}] x) => (int64[1, n] y) {{ y = NonZero(x) }}"
    try:
        exe = nnc.compile(parse_model(graph), target=target)
    except TargetError as error:
        pytest.skip(str(error))
    for size in (0, 1, 33) if count == "N" else (int(count),):
        for x in (sparse(size), np.zeros(size, F32), np.ones(size, F32)):
            np.testing.assert_array_equal(exe(x), np.nonzero(x))
