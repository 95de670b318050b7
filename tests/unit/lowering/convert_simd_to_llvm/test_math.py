"""Error bounds of the f32 functions, and that lanes agree with scalars bit by bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from nnc.backend.host import resolve_target
from nnc.dialects import simd
from nnc.dialects.simd.compute import FloatUnaryOp
from nnc.testing_kernels import INDEX, KernelWriter, NativeKernels, compile_kernels
from nnc.testing_kernels import kernel as make_kernel

Floats = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]
COUNT = 200_000


def sigmoid(x: Wide) -> Wide:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1 + e)


def erf(x: Wide) -> Wide:
    return np.fromiter(map(math.erf, x), np.float64, len(x))


# Op, meaning, bound in ulp, interval of the samples beyond the logarithmic ones.
FUNCTIONS: dict[
    str, tuple[type[FloatUnaryOp], Callable[[Wide], Wide], float, tuple[float, float]]
] = {
    "exp": (simd.ExpOp, np.exp, 1.0, (-104, 89)),
    "exp2": (simd.Exp2Op, np.exp2, 1.0, (-150, 128)),
    "expm1": (simd.Expm1Op, np.expm1, 1.6, (-2, 2)),
    "log": (simd.LogOp, np.log, 0.85, (0.5, 2)),
    "log1p": (simd.Log1pOp, np.log1p, 1.5, (-0.999, 1)),
    "tanh": (simd.TanhOp, np.tanh, 1.35, (-10, 10)),
    "erf": (simd.ErfOp, erf, 1.2, (-4.5, 4.5)),
    "sigmoid": (simd.SigmoidOp, sigmoid, 2.5, (-90, 90)),
    "sin": (simd.SinOp, np.sin, 1.6, (-1e4, 1e4)),
    "cos": (simd.CosOp, np.cos, 1.6, (-1e4, 1e4)),
    "tan": (simd.TanOp, np.tan, 3.3, (-1e4, 1e4)),
    "asin": (simd.AsinOp, np.arcsin, 2.0, (-1, 1)),
    "acos": (simd.AcosOp, np.arccos, 1.2, (-1, 1)),
    "atan": (simd.AtanOp, np.arctan, 1.5, (-5, 5)),
    "sinh": (simd.SinhOp, np.sinh, 2.4, (-89, 89)),
    "cosh": (simd.CoshOp, np.cosh, 2.4, (-89, 89)),
}
EDGES = np.array(
    [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        1,
        -1,
        1e-45,
        -1e-45,
        1e-38,
        -1e-38,
        3e38,
        -3e38,
        88.72,
        88.73,
        -87.4,
        -103.9,
        -104.1,
        127.99,
        128.0,
        -149.5,
        -150.1,
        0.625,
        0.93,
        1.4142135,
        0.70710677,
        999000.0,
        1010000.0,
        1e20,
        -1e20,
        0.5,
        -0.5,
    ],
    np.float32,
)


def samples(low: float, high: float) -> Floats:
    rng = np.random.default_rng(0)
    spread = np.exp(rng.uniform(-100, 88, COUNT)) * rng.choice([-1, 1], COUNT)
    inside = rng.uniform(low, high, COUNT)
    return np.concatenate([EDGES, inside, spread]).astype(np.float32)


def function(name: str, width: int) -> FuncOp:
    op = FUNCTIONS[name][0]

    def body(w: KernelWriter, a: SSAValue, out: SSAValue, n: SSAValue) -> None:
        def step(w: KernelWriter, i: SSAValue) -> None:
            mask = w(simd.MaskOp(w(arith.SubiOp(n, i)), width))
            value = w(op(w(simd.LoadOp(a, i, width, mask))))
            w.do(simd.StoreOp(value, out, i, mask))

        w.loop(w.index(0), n, width, step)

    return make_kernel(name, [simd.PtrType(f32), simd.PtrType(f32), INDEX], body)


@cache
def kernels(target_name: str, width: int) -> NativeKernels:
    target = resolve_target(target_name)
    return NativeKernels(
        compile_kernels([function(name, width) for name in FUNCTIONS], target)
    )


def apply(target: str, width: int, name: str, x: Floats) -> Floats:
    *_, y = kernels(target, width).run(name, [x, np.zeros_like(x), len(x)])
    return y.astype(np.float32, copy=False)


def ulps(actual: Floats, exact: Wide) -> Wide:
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        exponent = np.frexp(np.where(np.isfinite(exact), exact, 1))[1] - 1
        unit = np.ldexp(1.0, np.clip(exponent, -126, 1000) - 23)
        error = np.abs(actual.astype(np.float64) - exact) / unit
    same = (actual == rounded) | (np.isnan(actual) & np.isnan(rounded))
    return np.where(same, 0, np.nan_to_num(error, nan=np.inf))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("target", "width"), [("generic", 4), ("native", 16)])
def test_error_stays_below_its_bound(name: str, target: str, width: int) -> None:
    _, meaning, bound, (low, high) = FUNCTIONS[name]
    x = samples(low, high)
    with np.errstate(all="ignore"):
        exact = np.asarray(meaning(x.astype(np.float64)))
    error = ulps(apply(target, width, name, x), exact)
    worst = int(np.argmax(error))
    assert error[worst] <= bound, f"{name}({x[worst]!r}): {error[worst]:.3f} ulp"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_zero_keeps_its_sign_in_odd_functions(name: str) -> None:
    _, meaning, _, _ = FUNCTIONS[name]
    zeros = np.array([0.0, -0.0] * 8, np.float32)
    with np.errstate(all="ignore"):
        expected = meaning(zeros.astype(np.float64)).astype(np.float32)
    actual = apply("native", 16, name, zeros)
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(np.signbit(actual), np.signbit(expected))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("width", [4, 8, 16])
def test_vector_lanes_equal_scalars_bit_by_bit(name: str, width: int) -> None:
    x = samples(*FUNCTIONS[name][3])[:20_011]
    vector = apply("native", width, name, x).view(np.uint32)
    scalar = apply("native", 1, name, x).view(np.uint32)
    np.testing.assert_array_equal(vector, scalar)
