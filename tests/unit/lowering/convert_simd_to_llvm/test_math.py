"""Error bounds of the f32 functions, and that lanes agree with scalars bit by bit."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nnc.backend.host import resolve_target
from nnc.testing_functions import (
    FUNCTIONS,
    Floats,
    exact_values,
    function_kernel,
    ulps,
)
from nnc.testing_kernels import NativeKernels, compile_kernels

COUNT = 200_000
PAGE = Path(__file__).resolve().parents[4] / "docs" / "precision.md"

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


# NaNs whose payload could be taken for a number by arithmetic on bits.
NANS = np.array([0x7F800001, 0x7FC001FF, 0xFFFFFFFF], np.uint32).view(np.float32)


def samples(low: float, high: float) -> Floats:
    rng = np.random.default_rng(0)
    spread = np.exp(rng.uniform(-100, 88, COUNT)) * rng.choice([-1, 1], COUNT)
    inside = rng.uniform(low, high, COUNT)
    numbers = np.concatenate([inside, spread]).astype(np.float32)
    return np.concatenate([EDGES, NANS, numbers])


@cache
def kernels(target_name: str, width: int) -> NativeKernels:
    target = resolve_target(target_name)
    return NativeKernels(
        compile_kernels([function_kernel(name, width) for name in FUNCTIONS], target)
    )


def apply(target: str, width: int, name: str, x: Floats) -> Floats:
    *_, y = kernels(target, width).run(name, [x, np.zeros_like(x), len(x)])
    return y.astype(np.float32, copy=False)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("target", "width"), [("generic", 4), ("avx2", 8), ("native", 16)]
)
def test_error_stays_below_its_bound(name: str, target: str, width: int) -> None:
    x = samples(*FUNCTIONS[name].interval)
    error = ulps(apply(target, width, name, x), exact_values(name, x))
    worst = int(np.argmax(error))
    assert error[worst] <= FUNCTIONS[name].bound, (
        f"{name}({x[worst]!r}): {error[worst]:.3f} ulp"
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_zero_keeps_its_sign_in_odd_functions(name: str) -> None:
    zeros = np.array([0.0, -0.0] * 8, np.float32)
    expected = exact_values(name, zeros).astype(np.float32)
    actual = apply("native", 16, name, zeros)
    np.testing.assert_array_equal(actual, expected)
    # The sign of a NaN means nothing.
    ours, theirs = (np.signbit(np.nan_to_num(a, nan=0)) for a in (actual, expected))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("width", [4, 8, 16])
def test_vector_lanes_equal_scalars_bit_by_bit(name: str, width: int) -> None:
    x = samples(*FUNCTIONS[name].interval)[:20_011]
    vector = apply("native", width, name, x).view(np.uint32)
    scalar = apply("native", 1, name, x).view(np.uint32)
    np.testing.assert_array_equal(vector, scalar)


def test_page_states_the_bounds() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE.read_text(), re.MULTILINE)
    stated = {name: float(bound) for name, bound in rows}
    assert stated.items() >= {n: f.bound for n, f in FUNCTIONS.items()}.items()
