"""Each kind of kernel, at sizes around a vector, with guards around its buffers."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from onnx import helper, numpy_helper, parser

sys.path.insert(0, str(Path(__file__).parent))

from engines import Array, Engine, difference, warm_up
from forked import judge
from guarded import Side, run_guarded
from writer import run_onnx_runtime

# In the text, K stands for one of the sizes; free sizes are those in lower case.
_SIZES: Final[dict[Side, tuple[int, ...]]] = {"right": (9, 33), "left": (17,)}

_MODELS: Final = {
    "elementwise": "(float[3,K] x, float[K] y) { t = Add(x, y) z = Tanh(t) }",
    "elementwise of free size": "(float[3,k] x, float[k] y)"
    " { t = Mul(x, y) z = Exp(t) }",
    "bytes": "(int8[3,K] x) { z = Abs(x) }",
    "cast": "(float16[3,K] x) { t = Cast<to=1>(x) z = Sqrt(t) }",
    "transposition": "(float[K,13] x) { z = Transpose<perm=[1,0]>(x) }",
    "transposition of three axes": "(float[3,K,5] x)"
    " { z = Transpose<perm=[2,0,1]>(x) }",
    "slice backwards": "(float[4,K] x) { z = Slice(x, minus, least, one, minus) }",
    "concat": "(float[3,K] x, float[2,K] y) { z = Concat<axis=0>(x, y) }",
    "concat of columns": "(float[3,K] x, float[3,K] y) { z = Concat<axis=1>(x, y) }",
    "pad": "(float[3,K] x) { z = Pad(x, pads) }",
    "reflect": '(float[3,K,4] x) { z = Pad<mode="reflect">(x, edges) }',
    "gather": "(float[K,K] x, int64[5] indices) { z = Gather<axis=1>(x, indices) }",
    "gather of elements": "(float[5,K] x, int64[5,K] indices)"
    " { z = GatherElements<axis=1>(x, indices) }",
    "scatter": "(float[K,3] x, int64[1,1] indices, float[1,3] y)"
    " { z = ScatterND(x, indices, y) }",
    "sum of rows": "(float[K,K] x) { z = ReduceSum<keepdims=0>(x, one) }",
    "sum of columns": "(float[K,K] x) { z = ReduceSum<keepdims=0>(x, zero) }",
    "sum of all": "(double[K,K] x) { z = ReduceSum<keepdims=0>(x) }",
    "largest": "(float[5,K] x) { z = ArgMax<axis=1>(x) }",
    "running sum": "(float[5,K] x) { z = CumSum(x, first) }",
    "softmax": "(float[5,K] x) { z = Softmax(x) }",
    "softmax across": "(float[5,K,3] x) { z = Softmax<axis=1>(x) }",
    "norm": "(float[5,K] x, float[K] y) { z = LayerNormalization(x, y) }",
    "matmul": "(float[K,K] x, float[K,K] y) { z = MatMul(x, y) }",
    "matmul of free size": "(float[k,k] x, float[k,k] y) { z = MatMul(x, y) }",
    "matmul in double": "(double[K,K] x, double[K,K] y) { z = MatMul(x, y) }",
    "matmul by a weight": "(float[7,K] x) { t = MatMul(x, weight) z = Relu(t) }",
    "matmul of vectors": "(float[K] x, float[K] y) { z = MatMul(x, y) }",
    "bytes times bytes": "(uint8[5,K] x, int8[K,9] y) { z = MatMulInteger(x, y) }",
    "gemm": "(float[K,9] x, float[K,7] y, float[7] c) { z = Gemm<transA=1>(x, y, c) }",
    "conv": "(float[1,3,5,K] x) { z = Conv<pads=[1,1,1,1]>(x, filter) }",
    "conv of free size": "(float[1,3,5,k] x) { z = Conv<pads=[1,1,1,1]>(x, filter) }",
    "conv of many channels": "(float[1,K,6,5] x) { z = Conv(x, deep) }",
    "depthwise conv": "(float[1,K,5,6] x)"
    " { z = Conv<group=K, pads=[1,1,1,1]>(x, each) }",
    "strided conv": "(float[1,3,7,K] x)"
    " { z = Conv<strides=[2,2], pads=[1,1,1,1]>(x, filter) }",
    "transposed conv": "(float[1,3,4,K] x)"
    " { z = ConvTranspose<strides=[2,2]>(x, back) }",
    "max pool": "(float[1,K,5,6] x) { z = MaxPool<kernel_shape=[2,3]>(x) }",
    "max pool of rows": "(float[1,2,3,K] x)"
    " { z = MaxPool<kernel_shape=[2,1], pads=[1,0,0,0]>(x) }",
    "mean pool": "(float[1,K,5,6] x) { z = AveragePool<kernel_shape=[2,2]>(x) }",
    "mean of channels": "(float[1,K,5,7] x) { z = GlobalAveragePool(x) }",
    "attention": "(float[1,2,K,8] x, float[1,2,K,8] y, float[1,2,K,8] c)"
    " { z = Attention(x, y, c) }",
    "resize": '(float[1,3,4,K] x) { z = Resize<mode="linear">(x, none, scales) }',
}


def constants(size: int) -> dict[str, Array]:
    """What the models hold beside their inputs."""
    numbers = np.random.default_rng(size)

    def floats(*shape: int) -> Array:
        return numbers.standard_normal(shape).astype(np.float32)

    return {
        "zero": np.array([0]),
        "one": np.array([1]),
        "minus": np.array([-1]),
        "least": np.array([-(2**62)]),
        "first": np.array(1),
        "pads": np.array([1, 2, 0, 3]),
        "edges": np.array([1, 0, 2, 2, 0, 3]),
        "none": floats(0),
        "scales": np.array([1, 1, 2, 1.5], np.float32),
        "weight": floats(size, 19),
        "filter": floats(17, 3, 3, 3),
        "deep": floats(18, size, 3, 3),
        "each": floats(size, 1, 3, 3),
        "back": floats(3, 5, 2, 2),
    }


def run_at(size: int, text: str, engine: Engine, side: Side) -> None:
    """Run a model for a size of its axes, and compare with ONNX Runtime."""
    interface, _, body = text.replace("K", str(size)).partition(" {")
    header = '<ir_version: 10, opset_import: ["": 23]>'
    held = constants(size)
    words = set(re.findall(r"\w+", body))
    model = parser.parse_model(f"{header} g {interface} => (float[] z) {{{body}")
    model.graph.output[0].type.Clear()
    for name in words & held.keys():
        model.graph.initializer.append(numpy_helper.from_array(held[name], name))
    numbers = np.random.default_rng(1)
    feeds: dict[str, Array] = {}
    for info in model.graph.input:
        type_ = info.type.tensor_type
        shape = [d.dim_value or size for d in type_.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(type_.elem_type)
        if dtype == np.int64:
            feeds[info.name] = numbers.integers(-size, size, shape)
        else:
            feeds[info.name] = (numbers.random(shape) * 3).astype(dtype)
    (ours,) = run_guarded(engine, model.SerializeToString(), feeds, side)
    (theirs,) = run_onnx_runtime(model, feeds)
    found = difference(ours, theirs, 1.0, "float32")
    assert found is None, f"size {size}: {found}"


def run_all(text: str, engine: Engine) -> None:
    """Run a model at all sizes, with buffers at either side of a guard."""
    for side, sizes in _SIZES.items():
        for size in sizes:
            run_at(size, text, engine, side)


@pytest.fixture(autouse=True, scope="module")
def compiler() -> None:
    """Children find the compiler loaded."""
    warm_up()


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("generic", marks=pytest.mark.isa("generic")),
        pytest.param("avx2", marks=pytest.mark.isa("avx2")),
        pytest.param("avx512", marks=pytest.mark.isa("avx512")),
    ],
)
@pytest.mark.parametrize("name", _MODELS)
def test_kernels_stay_inside_of_their_buffers(name: str, target: str) -> None:
    engine = Engine(target, "f4" if "conv" in name else "off")
    verdict = judge(partial(run_all, _MODELS[name], engine), seconds=60)
    assert verdict.outcome == "ran", verdict.text
