"""Functions of two operands: error bounds, special cases, and lanes as scalars."""

from __future__ import annotations

import itertools
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
from nnc.dialects.simd.base import BinaryOp
from nnc.testing_functions import ulps
from nnc.testing_kernels import INDEX, KernelWriter, NativeKernels, compile_kernels
from nnc.testing_kernels import kernel as make_kernel

Floats = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]
COUNT = 200_000

FUNCTIONS: dict[str, tuple[type[BinaryOp], Callable[[Wide, Wide], Wide], float]] = {
    "pow": (simd.PowOp, np.power, 1.0),
    "atan2": (simd.Atan2Op, np.arctan2, 2.0),
}
SPECIAL = np.array(
    [
        *(0.0, 1.0, 2.0, 3.0, 0.5, 1.5, np.inf, 1e-45, 1e-40, 1.0000001, 0.99999994),
        *(3e38, 2.0**23 - 1, 2.0**23 - 0.5, 2.0**23 + 1, 2.0**24, 16777218.0, 127.0),
        *(149.0, 33.3),
    ],
    np.float32,
)


def pairs() -> tuple[Floats, Floats]:
    """Every pair of special numbers of either sign, and random ones."""
    numbers = [*SPECIAL, *-SPECIAL, np.float32(np.nan)]
    grid = np.array(list(itertools.product(numbers, numbers)), np.float32)
    rng = np.random.default_rng(0)
    near = rng.uniform(0, 4, (COUNT, 2)) * [1, 10] * rng.choice([-1, 1], (COUNT, 2))
    near[: COUNT // 4, 1] = np.round(near[: COUNT // 4, 1])
    far = np.exp(rng.uniform(-100, 88, (COUNT, 2)))
    # Powers whose result fills the range of f32.
    far[:, 1] = rng.uniform(-104, 89, COUNT) / np.log(far[:, 0])
    everything = np.concatenate([grid, near, far]).astype(np.float32)
    return everything[:, 0].copy(), everything[:, 1].copy()


def function(name: str, width: int) -> FuncOp:
    op = FUNCTIONS[name][0]

    def body(
        w: KernelWriter, a: SSAValue, b: SSAValue, out: SSAValue, n: SSAValue
    ) -> None:
        def step(w: KernelWriter, i: SSAValue) -> None:
            mask = w(simd.MaskOp(w(arith.SubiOp(n, i)), width))
            x, y = (w(simd.LoadOp(p, i, width, mask)) for p in (a, b))
            w.do(simd.StoreOp(w(op(x, y)), out, i, mask))

        w.loop(w.index(0), n, width, step)

    pointer = simd.PtrType(f32)
    return make_kernel(name, [pointer, pointer, pointer, INDEX], body)


@cache
def kernels(target_name: str, width: int) -> NativeKernels:
    target = resolve_target(target_name)
    return NativeKernels(
        compile_kernels([function(name, width) for name in FUNCTIONS], target)
    )


def apply(target: str, width: int, name: str, x: Floats, y: Floats) -> Floats:
    slots = [x, y, np.zeros_like(x), len(x)]
    return kernels(target, width).run(name, slots)[-1].astype(np.float32, copy=False)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("target", "width"), [("generic", 4), ("avx2", 8), ("native", 16)]
)
def test_error_stays_below_its_bound(name: str, target: str, width: int) -> None:
    _, meaning, bound = FUNCTIONS[name]
    x, y = pairs()
    with np.errstate(all="ignore"):
        exact = meaning(x.astype(np.float64), y.astype(np.float64))
    actual = apply(target, width, name, x, y)
    error = ulps(actual, exact)
    worst = int(np.argmax(error))
    assert error[worst] <= bound, (
        f"{name}({x[worst]!r}, {y[worst]!r}) = {actual[worst]!r}, not {exact[worst]!r}"
        f": {error[worst]:.3f} ulp"
    )
    with np.errstate(all="ignore"):
        zeros = exact.astype(np.float32) == 0
    np.testing.assert_array_equal(np.signbit(actual[zeros]), np.signbit(exact[zeros]))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("width", [4, 8, 16])
def test_vector_lanes_equal_scalars_bit_by_bit(name: str, width: int) -> None:
    x, y = (a[:20_011] for a in pairs())
    vector = apply("native", width, name, x, y)
    scalar = apply("native", 1, name, x, y)
    same = (vector.view(np.uint32) == scalar.view(np.uint32)) | np.isnan(vector)
    assert same.all(), (x[~same][0], y[~same][0])
    np.testing.assert_array_equal(np.isnan(vector), np.isnan(scalar))
