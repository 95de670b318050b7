"""Random ops: their streams, and the distributions of what they draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper, parser
from xdsl.ir import Block

import nnc
from nnc.dialects.nn.elementwise import ThreefryOp
from nnc.dialects.nn.types import U64, tensor_type
from nnc.errors import ModelError
from nnc.interpreters.nn import evaluate_op
from nnc.lowering.lower_dispatches.access import RUN_SEED_WORD
from nnc.runtime.state import StateWord
from nnc.testing import compare

Array = NDArray[Any]


def model(graph: str, opset: int = 22, **constants: Any) -> ModelProto:
    """A model in text form; constants are initializers."""
    header = f'<ir_version: 8, opset_import: ["": {opset}]>'
    parsed = parser.parse_model(f"{header} g {graph}")
    for name, array in constants.items():
        parsed.graph.initializer.append(numpy_helper.from_array(array, name))
    return parsed


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        # The answers that the generator's authors publish.
        (0, 0, 0x99BA4EFE_6B200159),
        (2**64 - 1, 2**64 - 1, 0xBB002BE7_1CB996FC),
        (0x03707344_13198A2E, 0x85A308D3_243F6A88, 0x483DF7A0_C4923A9C),
    ],
)
def test_threefry_gives_the_published_answers(
    key: int, counter: int, expected: int
) -> None:
    operands = [np.array([v], np.uint64) for v in (key, counter)]
    values = Block(arg_types=[tensor_type(U64, [1])] * 2).args
    (result,) = evaluate_op(ThreefryOp(*values), operands)
    assert result.tolist() == [expected]


def test_the_seed_is_where_kernels_look_for_it() -> None:
    assert RUN_SEED_WORD == StateWord.SEED


@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_kernels_draw_the_bits_of_the_reference(size: int) -> None:
    graph = f"""() => (float[{size}, 3] y, double[{size}] z) {{
        y = RandomUniform<shape=[{size}, 3]>()
        z = RandomUniform<shape=[{size}], dtype=11, low=-2.0, high=5.0, seed=3.0>()
    }}"""
    source = model(graph)
    exe = nnc.compile(source)
    exe.seed(0)
    first = exe.run(None, {})
    for ours, theirs in zip(first, nnc.convert(source).interpret([]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert first[0].shape == (size, 3)
    assert np.all((first[0] >= 0) & (first[0] < 1))
    assert np.all((first[1] >= -2) & (first[1] < 5))


def test_runs_differ_without_a_seed_only() -> None:
    source = model(
        """() => (float[50] x, float[50] y, float[50] z) {
            x = RandomNormal<shape=[50]>()
            y = RandomNormal<shape=[50]>()
            z = RandomNormal<shape=[50], seed=1.0>()
        }"""
    )
    exe = nnc.compile(source)
    first, second = exe.run(None, {}), exe.run(None, {})
    assert not np.any(first[0] == second[0])
    assert not np.any(first[0] == first[1])
    np.testing.assert_array_equal(first[2], second[2])
    exe.seed(5)
    third = exe.run(None, {})
    exe.run(None, {})
    exe.seed(5)
    for ours, theirs in zip(exe.run(None, {}), third, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.any(third[0] == first[0])


def test_stages_are_seeded_together() -> None:
    exe = nnc.compile(
        model(
            """(float[N] x) => (float[M] y) {
                i = NonZero(x)
                a = RandomUniformLike(x)
                t = Squeeze(i)
                g = Gather(a, t)
                r = RandomUniformLike(g)
                y = Add(g, r)
            }"""
        )
    )
    x = np.array([0, 1, 1, 0, 1], np.float32)
    exe.seed(3)
    first, second = exe(x), exe(x)
    exe.seed(3)
    assert first.shape == (3,)
    np.testing.assert_array_equal(exe(x), first)
    assert not np.any(first == second)


@pytest.mark.parametrize("seed", ["", "seed=1.0, "])
def test_iterations_of_a_loop_differ(seed: str) -> None:
    source = model(
        f"""(int64 n) => (float[n, 20] y) {{
            y = Loop (n, ) <body = b (int64 i, bool c) => (bool d, float[20] v) {{
                d = Identity(c)
                v = RandomUniform<{seed}shape=[20]>()
            }}>
        }}""".replace("[n, 20]", "[M, 20]"),
        n=np.array(4),
    )
    source.graph.input.pop()
    (y,) = nnc.compile(source).run(None, {})
    assert y.shape == (4, 20)
    assert len(np.unique(y)) == 80


@pytest.mark.parametrize("dtype", [1, 10, 11, 16], ids=["f32", "f16", "f64", "bf16"])
def test_moments(dtype: int) -> None:
    (u, n) = nnc.compile(
        model(
            f"""(float[N, 100] x) => (float[N, 100] a, float[N, 100] b) {{
                u = RandomUniformLike<low=-1.0, high=3.0, dtype={dtype}>(x)
                n = RandomNormalLike<mean=2.0, scale=3.0, dtype={dtype}>(x)
                a = Cast<to=1>(u)
                b = Cast<to=1>(n)
            }}"""
        )
    ).run(None, {"x": np.zeros((1000, 100), np.float32)})
    assert abs(np.mean(u) - 1) < 0.02
    assert abs(np.var(u) - 16 / 12) < 0.02
    assert abs(np.mean(n) - 2) < 0.05
    assert abs(np.std(n) - 3) < 0.05
    shares = [np.mean(np.abs(n - 2) < 3 * k) for k in (1, 2, 3)]
    np.testing.assert_allclose(shares, [0.6827, 0.9545, 0.9973], atol=0.01)


def test_bernoulli() -> None:
    exe = nnc.compile(
        model("(float[N] p) => (int32[N] y) { y = Bernoulli<dtype=6>(p) }")
    )
    p = np.repeat(np.array([0, 0.1, 0.5, 0.9, 1, np.nan], np.float32), 20000)
    y = exe(p).reshape(6, -1)
    assert set(np.unique(y)) == {0, 1}
    np.testing.assert_allclose(np.mean(y, 1), [0, 0.1, 0.5, 0.9, 1, 0], atol=0.02)


@pytest.mark.parametrize("dtype", [6, 7])
def test_multinomial(dtype: int) -> None:
    kind = {6: "int32", 7: "int64"}[dtype]
    exe = nnc.compile(
        model(
            f"(float[N, 4] x) => ({kind}[N, 20000] y) "
            f"{{ y = Multinomial<sample_size=20000, dtype={dtype}>(x) }}"
        )
    )
    p = np.array([[0.1, 0.2, 0.3, 0.4], [0, 1, 0, 0], [0.5, 0, 0, 0.5]])
    with np.errstate(divide="ignore"):
        y = exe(np.log(p).astype(np.float32) + 7)
    shares = np.stack([np.bincount(row, minlength=4) / 20000 for row in y])
    np.testing.assert_allclose(shares, p, atol=0.02)
    assert np.all(shares[p == 0] == 0)


@pytest.mark.parametrize("kind", ["float", "float16", "double"])
def test_dropout_in_training(kind: str) -> None:
    exe = nnc.compile(
        model(
            f"({kind}[N] x, bool t) => ({kind}[N] y, bool[N] m) "
            "{ y, m = Dropout(x, r, t) }",
            r=np.array(0.25, np.float32),
        )
    )
    dtype = {"float": np.float32, "float16": np.float16, "double": np.float64}[kind]
    x = np.linspace(-3, 3, 40001).astype(dtype)
    y, mask = exe(x, np.array(True))
    assert abs(np.mean(mask) - 0.75) < 0.02
    compare(y, np.where(mask, x.astype(np.float64) / 0.75, 0).astype(dtype))
    y, mask = exe(x, np.array(False))
    np.testing.assert_array_equal(y, x)
    assert mask.all()


def test_a_seed_of_dropout_fixes_the_mask() -> None:
    exe = nnc.compile(
        model(
            "(float[N] x) => (float[N] y) { y = Dropout<seed=7>(x, r, t) }",
            r=np.array(0.5, np.float32),
            t=np.array(True),
        )
    )
    x = np.ones(100, np.float32)
    np.testing.assert_array_equal(exe(x), exe(x))


def test_dropout_before_opset_7() -> None:
    x = np.ones(1000, np.float32)
    graph = "(float[N] x) => (float[N] y, float[N] m) { y, m = Dropout<ratio=0.2>(x) }"
    y, mask = nnc.compile(model(graph, opset=6)).run(None, {"x": x})
    assert 0.7 < np.mean(mask) < 0.9
    compare(y, mask * x / np.float32(0.8))
    tested = graph.replace("ratio=0.2", "is_test=1")
    y, mask = nnc.compile(model(tested, opset=6)).run(None, {"x": x})
    assert np.all(y == x)
    assert np.all(mask == 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("RandomUniform<shape=[2], dtype=6>()", "random numbers of type i32"),
        ("RandomNormal<shape=[-2]>()", "negative number"),
        ("Dropout(x, r, t)", "the ratio is 1.5"),
        ("Multinomial<dtype=1>(x)", "samples of type f32"),
    ],
)
def test_wrong_attributes_are_refused(call: str, message: str) -> None:
    source = model(
        f"(float[2] x) => (float[2] y) {{ y = {call} }}",
        r=np.array(1.5, np.float32),
        t=np.array(True),
    )
    with pytest.raises(ModelError, match=message):
        nnc.compile(source)
