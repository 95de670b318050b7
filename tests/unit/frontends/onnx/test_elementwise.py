"""Elementwise converters against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.helper import np_dtype_to_tensor_dtype, tensor_dtype_to_np_dtype

import nnc
from nnc.errors import LoadError, ModelError

F32 = np.float32
UNARY = [
    "Abs", "Acos", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Elu",
    "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish",
    "Neg", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus",
    "Softsign", "Tan", "Tanh", "ThresholdedRelu", "Celu", "Shrink",
]  # fmt: skip
POSITIVE = ["Acosh", "Log", "Reciprocal", "Sqrt"]


@pytest.mark.parametrize("op", UNARY)
def test_unary_op_agrees(op: str, agrees: Any, rng: np.random.Generator):
    x = np.clip(rng.standard_normal((3, 7)), -0.99, 0.99).astype(F32)
    opset = 20 if op in ("Gelu", "Mish") else 17
    agrees(f"(float[3,7] x) => (float[] y) {{ y = {op}(x) }}", {"x": x}, opset=opset)


@pytest.mark.parametrize("op", POSITIVE)
def test_unary_op_of_positive_numbers_agrees(
    op: str, agrees: Any, rng: np.random.Generator
):
    x = rng.uniform(1.0, 4.0, (3, 7)).astype(F32)
    agrees(f"(float[3,7] x) => (float[] y) {{ y = {op}(x) }}", {"x": x})


@pytest.mark.parametrize(
    "call",
    [
        "Elu<alpha=0.3>(x)",
        "Selu<alpha=1.1, gamma=2.0>(x)",
        "Celu<alpha=2.0>(x)",
        "LeakyRelu<alpha=1.5>(x)",
        "HardSigmoid<alpha=0.4, beta=0.1>(x)",
        "ThresholdedRelu<alpha=0.25>(x)",
        "Shrink<lambd=0.75, bias=0.2>(x)",
    ],
)
def test_activation_attributes_are_used(
    call: str, agrees: Any, rng: np.random.Generator
):
    x = (3 * rng.standard_normal((4, 5))).astype(F32)
    agrees(f"(float[4,5] x) => (float[] y) {{ y = {call} }}", {"x": x})


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_forms_agree(approximate: str, agrees: Any, rng: np.random.Generator):
    x = (3 * rng.standard_normal((4, 5))).astype(F32)
    agrees(
        f'(float[4,5] x) => (float[] y) {{ y = Gelu<approximate="{approximate}">(x) }}',
        {"x": x},
        opset=20,
        atol=1e-5,
    )


def test_softplus_of_large_numbers_is_finite(run_graph: Any):
    x = np.array([-200.0, 0.0, 200.0], F32)
    (y,) = run_graph("(float[3] x) => (float[] y) { y = Softplus(x) }", {"x": x})
    np.testing.assert_allclose(y, [0.0, np.log(2), 200.0], rtol=1e-6)


@pytest.mark.parametrize(
    "op", ["Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Max", "Min"]
)
@pytest.mark.parametrize(
    ("left", "right"),
    [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 1)), ((2, 3, 4), ())],
    ids=["equal", "trailing", "inner", "scalar"],
)
def test_binary_op_broadcasts(
    op: str,
    left: tuple[int, ...],
    right: tuple[int, ...],
    agrees: Any,
    rng: np.random.Generator,
):
    feeds = {
        "a": rng.uniform(0.5, 2.0, left).astype(F32) - (1.0 if op == "PRelu" else 0.0),
        "b": rng.uniform(0.5, 2.0, right).astype(F32),
    }
    shapes = [",".join(map(str, s)) for s in (left, right)]
    b_type = f"float[{shapes[1]}]" if right else "float"
    agrees(
        f"(float[{shapes[0]}] a, {b_type} b) => (float[] y) {{ y = {op}(a, b) }}",
        {k: v.astype(F32) for k, v in feeds.items()},
    )


@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "Min"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_variadic_op_takes_any_number(
    op: str, count: int, agrees: Any, rng: np.random.Generator
):
    names = [f"x{i}" for i in range(count)]
    feeds = {n: rng.standard_normal((2, 3)).astype(F32) for n in names}
    types = ", ".join(f"float[2,3] {n}" for n in names)
    agrees(f"({types}) => (float[] y) {{ y = {op}({', '.join(names)}) }}", feeds)


@pytest.mark.parametrize(
    "op", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]
)
def test_comparison_agrees(op: str, agrees: Any):
    feeds = {"a": np.array([1, 2, 3, 4], F32), "b": np.array([2, 2, 2, 4], F32)}
    agrees(f"(float[4] a, float[4] b) => (bool[] y) {{ y = {op}(a, b) }}", feeds)


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_logical_op_agrees(op: str, agrees: Any):
    feeds = {"a": np.array([[0, 1], [0, 1]], bool), "b": np.array([0, 1], bool)}
    agrees(f"(bool[2,2] a, bool[2] b) => (bool[] y) {{ y = {op}(a, b) }}", feeds)


def test_where_broadcasts_all_three(agrees: Any, rng: np.random.Generator):
    feeds = {
        "c": np.array([[True], [False]]),
        "a": rng.standard_normal((3,)).astype(F32),
        "b": rng.standard_normal((4, 1, 1)).astype(F32),
    }
    agrees(
        "(bool[2,1] c, float[3] a, float[4,1,1] b) => (float[] y) "
        "{ y = Where(c, a, b) }",
        feeds,
    )


@pytest.mark.parametrize("fmod", [0, 1])
def test_mod_signs(fmod: int, agrees: Any):
    feeds = {
        "a": np.array([-7, 7, -7, 7], np.int32),
        "b": np.array([3, -3, -3, 3], np.int32),
    }
    agrees(
        f"(int32[4] a, int32[4] b) => (int32[] y) {{ y = Mod<fmod={fmod}>(a, b) }}",
        feeds,
    )


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_bit_shift_agrees(direction: str, agrees: Any):
    feeds = {"a": np.array([16, 4, 1], np.uint8), "b": np.array([1, 2, 3], np.uint8)}
    agrees(
        "(uint8[3] a, uint8[3] b) => (uint8[] y) "
        f'{{ y = BitShift<direction="{direction}">(a, b) }}',
        feeds,
    )


def test_is_inf_and_is_nan_agree(agrees: Any):
    x = np.array([1, np.inf, -np.inf, np.nan], F32)
    agrees(
        "(float[4] x) => (bool[] a, bool[] b, bool[] c) "
        "{ a = IsNaN(x) b = IsInf(x) c = IsInf<detect_negative=0>(x) }",
        {"x": x},
    )


# ---------------------------------------------------------------- casts

CAST_TYPES = [
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.BOOL,
    TensorProto.FLOAT16,
]


@pytest.mark.parametrize(
    "target", CAST_TYPES, ids=lambda t: TensorProto.DataType.Name(t)
)
def test_cast_agrees(target: int, agrees: Any):
    x = np.array([0.0, 1.0, 2.75, 100.25], F32)
    name = TensorProto.DataType.Name(target).lower()
    agrees(f"(float[4] x) => ({name}[] y) {{ y = Cast<to={target}>(x) }}", {"x": x})


def test_cast_like_takes_the_type_of_the_second_input(run_graph: Any):
    feeds = {"x": np.array([1.5], F32), "t": np.array([1], np.int64)}
    (y,) = run_graph(
        "(float[1] x, int64[1] t) => (int64[] y) { y = CastLike(x, t) }", feeds
    )
    assert y.dtype == tensor_dtype_to_np_dtype(TensorProto.INT64)
    assert y.tolist() == [1]


def test_cast_before_opset_6_names_the_type(run_graph: Any):
    (y,) = run_graph(
        '(float[2] x) => (int32[] y) { y = Cast<to="INT32">(x) }',
        {"x": np.array([1.5, -2.5], F32)},
        opset=5,
    )
    assert y.dtype == np.int32


def test_cast_to_unknown_type_is_refused(import_text: Any):
    with pytest.raises(LoadError, match=r"Cast \(node 'Cast:y'\).*unknown element"):
        import_text("(float[2] x) => (float[] y) { y = Cast<to=99>(x) }")


# ---------------------------------------------------------------- clip


@pytest.mark.parametrize(
    "attributes", ["", "<min=-0.5>", "<max=0.5>", "<min=-0.5, max=0.5>"]
)
def test_clip_before_opset_11_has_attributes(
    attributes: str, agrees: Any, rng: np.random.Generator
):
    x = rng.standard_normal((4, 5)).astype(F32)
    agrees(
        f"(float[4,5] x) => (float[] y) {{ y = Clip{attributes}(x) }}",
        {"x": x},
        opset=10,
    )


@pytest.mark.parametrize(
    "bounds", ["lo", "lo, hi", '"", hi'], ids=["low", "both", "high"]
)
@pytest.mark.parametrize("constant", [True, False], ids=["constant", "computed"])
def test_clip_bounds_are_inputs(
    bounds: str, constant: bool, agrees: Any, rng: np.random.Generator
):
    limits = {"lo": np.array(-0.5, F32), "hi": np.array(0.5, F32)}
    x = rng.standard_normal((4, 5)).astype(F32)
    call = bounds.replace('""', "")
    used = {k: v for k, v in limits.items() if k in bounds}
    inputs = "".join(f", float {k}" for k in used) if not constant else ""
    agrees(
        f"(float[4,5] x{inputs}) => (float[] y) {{ y = Clip(x, {call}) }}",
        {"x": x} | ({} if constant else used),
        constants=used if constant else {},
    )


def test_clip_of_integers_is_exact(agrees: Any):
    x = np.array([-(2**62), 5, 2**62], np.int64)
    agrees(
        "(int64[3] x) => (int64[] y) { y = Clip(x, lo, hi) }",
        {"x": x},
        constants={"lo": np.array(-(2**60) - 1), "hi": np.array(2**60 + 1)},
    )


# ---------------------------------------------------------------- old rules, identity


def test_broadcast_before_opset_7_aligns_at_the_axis(run_graph: Any):
    a, b = np.zeros((2, 3, 4), F32), np.arange(3, dtype=F32)
    (y,) = run_graph(
        "(float[2,3,4] a, float[3] b) => (float[] y) "
        "{ y = Add<broadcast=1, axis=1>(a, b) }",
        {"a": a, "b": b},
        opset=6,
    )
    np.testing.assert_array_equal(y, np.broadcast_to(b[:, None], (2, 3, 4)))


def test_dropout_passes_its_input_and_a_true_mask(
    agrees: Any, rng: np.random.Generator
):
    x = rng.standard_normal((2, 3)).astype(F32)
    agrees("(float[2,3] x) => (float[] y, bool[] m) { y, m = Dropout(x) }", {"x": x})


def test_pow_keeps_the_type_of_the_base(agrees: Any):
    feeds = {"a": np.array([1, 2, 3], np.int32), "b": np.array([2.0, 3.0, 0.5], F32)}
    agrees("(int32[3] a, float[3] b) => (int32[] y) { y = Pow(a, b) }", feeds)


def test_pow_with_integer_exponent(agrees: Any):
    feeds = {"a": np.array([1.5, 2.0, 3.0], F32), "b": np.array([2, 3, -1], np.int64)}
    agrees("(float[3] a, int64[3] b) => (float[] y) { y = Pow(a, b) }", feeds)


# ---------------------------------------------------------------- com.microsoft


@pytest.mark.parametrize("op", ["Gelu", "QuickGelu", "FastGelu"])
def test_microsoft_gelus_agree(op: str, agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((4, 8)).astype(F32)
    agrees(
        f"(float[4,8] x) => (float[] y) {{ y = com.microsoft.{op}(x) }}",
        {"x": x},
        atol=1e-5,
    )


def test_bias_gelu_agrees(agrees: Any, rng: np.random.Generator):
    feeds = {
        "x": rng.standard_normal((4, 8)).astype(F32),
        "b": rng.standard_normal(8).astype(F32),
    }
    agrees(
        "(float[4,8] x, float[8] b) => (float[] y) "
        "{ y = com.microsoft.BiasGelu(x, b) }",
        feeds,
        atol=1e-5,
    )


# ---------------------------------------------------------------- shapes


def test_two_free_dims_are_stated_equal(import_text: Any):
    text = import_text("(float[N] a, float[Mlong] b) => (float[] y) { y = Add(a, b) }")
    assert "nn.dim_cast %b" in text
    assert '#nn.shape<N>> {nn.name = "y"}' in text


def test_a_free_dim_meets_a_constant(import_text: Any):
    text = import_text("(float[N] a, float[4] b) => (float[] y) { y = Add(a, b) }")
    assert "nn.dim_cast %a" in text
    assert '-> (tensor<4xf32> {nn.name = "y"})' in text


def test_shapes_that_do_not_broadcast_name_the_node(import_text: Any):
    with pytest.raises(ModelError, match=r"Add \(node 'Add:y'\).*\[2, 3\], \[4\]"):
        import_text("(float[2,3] a, float[4] b) => (float[] y) { y = Add(a, b) }")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("float32", "int32"),
        ("int32", "float32"),
        ("float64", "uint64"),
        ("int64", "float64"),
        ("float16", "uint16"),
        ("uint16", "float16"),
        ("uint8", "int8"),
        ("uint32", "int32"),
        ("bool", "uint8"),
        ("float32", "float32"),
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 37)], ids=str)
def test_bits_are_kept(source: str, target: str, shape: tuple[int, ...], compiled: Any):
    names = {"float32": "float", "float64": "double"}
    before, after = (names.get(name, name) for name in (source, target))
    to = np_dtype_to_tensor_dtype(np.dtype(target))
    dims = f"[{', '.join('NM'[: len(shape)])}]" if shape else ""
    exe = compiled(
        f"({before}{dims} x) => ({after}{dims} y) {{ y = BitCast<to={to}>(x) }}",
        opset=26,
    )
    size = np.dtype(source).itemsize
    data = np.random.default_rng(0).integers(0, 120, (*shape, size)).astype(np.uint8)
    x = data.view(source)[..., 0]
    if source == "bool":
        x = x != 0
    np.testing.assert_array_equal(exe(x), np.asarray(x).view(target))


SMALL: dict[int, Any] = {
    TensorProto.INT4: ml_dtypes.int4,
    TensorProto.UINT4: ml_dtypes.uint4,
    TensorProto.FLOAT4E2M1: ml_dtypes.float4_e2m1fn,
    TensorProto.INT2: ml_dtypes.int2,
    TensorProto.UINT2: ml_dtypes.uint2,
    TensorProto.FLOAT8E4M3FN: ml_dtypes.float8_e4m3fn,
    TensorProto.FLOAT8E5M2: ml_dtypes.float8_e5m2,
    TensorProto.FLOAT8E8M0: ml_dtypes.float8_e8m0fnu,
    TensorProto.UINT8: np.uint8,
    TensorProto.INT8: np.int8,
}
WIDTHS = [
    [TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1],
    [TensorProto.INT2, TensorProto.UINT2],
    list(SMALL)[5:],
]


def code_of(value: Any, bits: int) -> Any:
    """The bits of small numbers, which numpy keeps in a byte each."""
    return np.asarray(value).view(np.uint8) & (2**bits - 1)


@pytest.mark.parametrize(
    ("source", "target", "bits"),
    [
        (a, b, bits)
        for types, bits in zip(WIDTHS, (4, 2, 8), strict=True)
        for a in types
        for b in types
        if a != b
    ],
)
def test_bits_of_small_numbers(source: int, target: int, bits: int) -> None:
    x = np.arange(2**bits, dtype=np.uint8).view(np.uint8)
    if SMALL[source] in (ml_dtypes.int4, ml_dtypes.int2):
        x = (x.astype(np.int8) << (8 - bits)) >> (8 - bits)
    x = x.view(np.uint8).view(SMALL[source])
    infos = [
        helper.make_tensor_value_info(n, t, [x.size])
        for n, t in (("x", source), ("y", target))
    ]
    node = helper.make_node("BitCast", ["x"], ["y"], to=target)
    graph = helper.make_graph([node], "g", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 26)])
    y = nnc.compile(model)(x)
    assert y.dtype == SMALL[target]
    np.testing.assert_array_equal(code_of(y, bits), code_of(x, bits))


def test_bits_of_another_width_are_refused(compiled: Any):
    with pytest.raises(ModelError, match="BitCast.*f32 has 32 bits, but i64 has 64"):
        compiled("(float[N] x) => (int64[N] y) { y = BitCast<to=7>(x) }", opset=26)
