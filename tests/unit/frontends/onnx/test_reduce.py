"""Converters of reductions, softmaxes and normalisations against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import ModelError

F32 = np.float32
I64 = np.int64
REDUCTIONS = [
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
]  # fmt: skip


def normal(rng: np.random.Generator, *shape: int) -> Any:
    """Random f32 numbers."""
    return rng.standard_normal(shape).astype(F32)


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [None, [1], [0, -1]], ids=str)
def test_reduction_agrees_in_both_forms(
    op: str, keep: int, axes: list[int] | None, agrees: Any, rng: np.random.Generator
):
    feeds = {"x": rng.uniform(0.5, 2.0, (2, 3, 4)).astype(F32)}
    head = "(float[N,3,S] x) => (float[] y)"
    attribute = f", axes={axes}" if axes else ""
    call = f"{op}<keepdims={keep}{attribute}>(x)"
    agrees(f"{head} {{ y = {call} }}", feeds, opset=11, rtol=1e-5)
    given = "" if axes is None else ", a"
    agrees(
        f"{head} {{ y = {op}<keepdims={keep}>(x{given}) }}",
        feeds,
        {} if axes is None else {"a": np.array(axes, I64)},
        opset=18,
        rtol=1e-5,
    )


def test_reduction_over_no_axes_may_do_nothing(agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[2,3] x) => (float[] y) { y = ReduceSum<noop_with_empty_axes=1>(x, a) }",
        {"x": normal(rng, 2, 3)},
        {"a": np.array([], I64)},
    )


def test_reduction_over_a_missing_axis_is_refused(import_text: Any):
    with pytest.raises(
        ModelError, match="axis 99 does not exist in a tensor of rank 2"
    ):
        import_text(
            "(float[2,3] x) => (float[] y) { y = ReduceMax<axes=[99]>(x) }", opset=11
        )


def test_log_sum_exp_of_minus_infinity_is_minus_infinity(run_graph: Any):
    x = np.full((1, 3), -np.inf, F32)
    (y,) = run_graph(
        "(float[1,3] x) => (float[] y) { y = ReduceLogSumExp<keepdims=0>(x) }",
        {"x": x},
        opset=13,
    )
    assert y == -np.inf


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("attributes", ["axis=1", "axis=-1, keepdims=0", "axis=0"])
@pytest.mark.parametrize("last", [0, 1])
def test_arg_reduction_agrees(op: str, attributes: str, last: int, agrees: Any):
    x = np.array([[1, 3, 3], [2, 2, 0]], F32)
    agrees(
        f"(float[2,3] x) => (int64[] y) "
        f"{{ y = {op}<{attributes}, select_last_index={last}>(x) }}",
        {"x": x},
    )


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cum_sum_agrees(
    exclusive: int, reverse: int, agrees: Any, rng: np.random.Generator
):
    agrees(
        "(float[3,4] x) => (float[] y) "
        f"{{ y = CumSum<exclusive={exclusive}, reverse={reverse}>(x, a) }}",
        {"x": normal(rng, 3, 4)},
        {"a": np.array(-1)},
        atol=1e-5,
    )


# ---------------------------------------------------------------- softmax


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("opset", [11, 13])
def test_softmax_agrees_in_both_meanings(
    op: str, axis: int | None, opset: int, agrees: Any, rng: np.random.Generator
):
    attribute = "" if axis is None else f"<axis={axis}>"
    agrees(
        f"(float[2,S,4] x) => (float[] y) {{ y = {op}{attribute}(x) }}",
        {"x": normal(rng, 2, 3, 4)},
        opset=opset,
        rtol=1e-5,
    )


def test_old_softmax_before_axes_of_one_stays_one_op(import_text: Any):
    text = import_text("(float[1,8,1,1] x) => (float[] y) { y = Softmax(x) }", opset=9)
    assert "nn.reshape" not in text


# ---------------------------------------------------------------- normalisation


@pytest.mark.parametrize("opset", [9, 14, 15])
def test_batch_normalization_agrees(opset: int, agrees: Any, rng: np.random.Generator):
    parameters = {n: normal(rng, 3) for n in ("s", "b", "m")}
    parameters["v"] = rng.uniform(0.5, 2.0, 3).astype(F32)
    agrees(
        "(float[N,3,4,5] x) => (float[] y) "
        "{ y = BatchNormalization<epsilon=0.001>(x, s, b, m, v) }",
        {"x": normal(rng, 2, 3, 4, 5)},
        parameters,
        opset=opset,
        rtol=1e-4,
        atol=1e-5,
    )


def test_instance_normalization_agrees(agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[2,3,H,5] x) => (float[] y) { y = InstanceNormalization(x, s, b) }",
        {"x": normal(rng, 2, 3, 4, 5)},
        {"s": normal(rng, 3), "b": normal(rng, 3)},
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("opset", [18, 21])
def test_group_normalization_agrees(opset: int, agrees: Any, rng: np.random.Generator):
    count = 2 if opset == 18 else 4
    agrees(
        "(float[2,4,3,H] x) => (float[] y) "
        "{ y = GroupNormalization<num_groups=2>(x, s, b) }",
        {"x": normal(rng, 2, 4, 3, 5)},
        {"s": normal(rng, count), "b": normal(rng, count)},
        opset=opset,
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("axis", [-1, 1, -2])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_normalization_agrees(
    axis: int, bias: bool, agrees: Any, rng: np.random.Generator
):
    shape = (4,) if axis == -1 else (3, 4)
    constants = {"s": normal(rng, *shape), "b": normal(rng, *shape)}
    agrees(
        "(float[N,3,4] x) => (float[] y) "
        f"{{ y = LayerNormalization<axis={axis}>(x, s{', b' if bias else ''}) }}",
        {"x": normal(rng, 2, 3, 4)},
        constants,
        rtol=1e-4,
        atol=1e-5,
    )


def test_layer_normalization_gives_mean_and_deviation(
    agrees: Any, rng: np.random.Generator
):
    agrees(
        "(float[2,8] x) => (float[] y, float[] m, float[] d) "
        "{ y, m, d = LayerNormalization(x, s) }",
        {"x": normal(rng, 2, 8)},
        {"s": normal(rng, 8)},
        rtol=1e-4,
        atol=1e-5,
    )


def test_rms_normalization_agrees(agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[2,8] x) => (float[] y) { y = RMSNormalization<axis=-1>(x, s) }",
        {"x": normal(rng, 2, 8)},
        {"s": normal(rng, 8)},
        opset=23,
        rtol=1e-4,
        atol=1e-5,
    )


def test_skip_layer_normalization_agrees(agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[1,2,8] x, float[1,2,8] z) => (float[] y) "
        "{ y = com.microsoft.SkipLayerNormalization<epsilon=0.00001>(x, z, s, b) }",
        {"x": normal(rng, 1, 2, 8), "z": normal(rng, 1, 2, 8)},
        {"s": normal(rng, 8), "b": normal(rng, 8)},
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("size", [1, 3, 5, 17, 2001])
def test_lrn_agrees(size: int, agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[N,6,2,3] x) => (float[] y) "
        f"{{ y = LRN<size={size}, alpha=0.5, beta=0.6, bias=2.0>(x) }}",
        {"x": normal(rng, 2, 6, 2, 3)},
        rtol=1e-5,
    )


@pytest.mark.parametrize("power", [1, 2])
def test_lp_normalization_agrees(power: int, agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[3,4] x) => (float[] y) "
        f"{{ y = LpNormalization<axis=1, p={power}>(x) }}",
        {"x": normal(rng, 3, 4)},
        rtol=1e-5,
    )


def test_mean_variance_normalization_agrees(agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[2,3,4,5] x) => (float[] y) { y = MeanVarianceNormalization(x) }",
        {"x": normal(rng, 2, 3, 4, 5)},
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("kind", ["float", "double", "int32", "int64"])
def test_running_products(
    axis: int, exclusive: int, reverse: int, kind: str, matches: Any
):
    dtype = {"float": np.float32, "double": np.float64}.get(kind, kind)
    for shape in ((3, 5), (1, 4), (2, 0)):
        x = (np.arange(np.prod(shape)) % 5 - 1.5).reshape(shape).astype(dtype)
        matches(
            f"({kind}[N, M] x) => ({kind}[] y) "
            f"{{ y = CumProd<exclusive={exclusive}, reverse={reverse}>(x, axis) }}",
            {"x": x},
            {"axis": np.array(axis)},
            opset=26,
        )


@pytest.mark.parametrize("size", [3, 17, 41])
def test_lrn_over_free_channels(size: int, agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[N, C, H, W] x) => (float[] y) "
        f"{{ y = LRN<size={size}, alpha=0.5, beta=0.6, bias=2.0>(x) }}",
        {"x": rng.standard_normal((2, 30, 3, 2)).astype(np.float32)},
        rtol=1e-4,
        atol=1e-5,
    )
