"""Long sums are sums of parts: right for every way to cut them, and more exact."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.ir import SSAValue

from nnc.dialects.nn.conv import ConvOp
from nnc.dialects.nn.elementwise import ReluOp
from nnc.dialects.nn.linear import MatmulOp
from nnc.lowering.lower_dispatches.contraction.reductions import Parts, ReductionNest
from nnc.lowering.lower_dispatches.contraction.space import Reduction
from nnc.symbolic import Dim
from nnc.target import Target
from nnc.testing_dispatches import Operand, check_dispatch, lower_dispatch

Generator = np.random.Generator
K = Dim.symbol("K")


def reduction(size: int | Dim, a: int, b: int) -> Reduction:
    return Reduction(Dim.of(size), Dim.of(a), Dim.of(b))


def test_short_sums_have_one_part() -> None:
    nest = ReductionNest.of([reduction(3, 40, 96), reduction(96, 1, 1)])
    assert not Parts.of(nest, is_row=False).loops


def test_sums_of_unknown_length_have_one_part() -> None:
    nest = ReductionNest.of([reduction(K, 1, 8)])
    assert not Parts.of(nest, is_row=False).loops


def test_windows_are_cut_along_their_rows_first() -> None:
    axes = [reduction(3, 900, 3 * 128 * 8), reduction(3, 128, 128 * 8)]
    parts = Parts.of(ReductionNest.of([*axes, reduction(128, 1, 8)]), is_row=False)
    assert parts.loops == (reduction(3, 900, 3 * 128 * 8),)
    assert parts.nest.outer.size == 1
    assert parts.nest.inner == axes[1]


@pytest.mark.parametrize(("k", "terms"), [(769, 385), (2048, 512), (1100, 367)])
def test_one_axis_is_cut_evenly(k: int, terms: int) -> None:
    parts = Parts.of(ReductionNest.of([reduction(k, 1, 8)]), is_row=False)
    (loop,) = parts.loops
    assert parts.nest.k.size == terms
    assert (loop.a, loop.b) == (terms, terms * 8)
    assert loop.size == -(-k // terms)


@pytest.mark.parametrize("m", [1, 3, 30])
@pytest.mark.parametrize("k", [768, 769, 1100, 2048])
def test_products_of_long_rows(target: Target, rng: Generator, m: int, k: int) -> None:
    x = rng.standard_normal((m, k)).astype(np.float32)
    w = rng.standard_normal((k, 37)).astype(np.float32)
    check_dispatch(
        lambda x, w: ReluOp(MatmulOp(x, w)), [x, w], target, rtol=1e-4, atol=1e-3
    )


def test_windows_of_many_channels(target: Target, rng: Generator) -> None:
    for channels, gap in ((300, 0), (300, 16), (900, 4)):
        x = rng.standard_normal((1, 5, 6, channels)).astype(np.float32)
        w = rng.standard_normal((3, 3, channels, 20)).astype(np.float32)
        pixel = channels + gap
        check_dispatch(
            lambda x, w: ConvOp(x, w, layout="channels_last"),
            [Operand(x, None, [30 * pixel, 6 * pixel, pixel, 1]), w],
            target,
            rtol=1e-4,
            atol=1e-3,
        )


def test_sums_of_parts_are_more_exact(target: Target, rng: Generator) -> None:
    k = 8192
    x = rng.uniform(0, 1, (4, k)).astype(np.float32)
    w = rng.standard_normal((k, 32)).astype(np.float32)

    def product(x: SSAValue, w: SSAValue) -> MatmulOp:
        return MatmulOp(x, w)

    lowered = lower_dispatch(product, [Operand(x), Operand(w)], target)
    actual = lowered.run([x, w], {})[0]
    exact = x.astype(np.float64) @ w.astype(np.float64)
    one_after_the_other = np.cumsum(x[:, :, None] * w[None], axis=1)[:, -1]

    def error(result: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
        return float(np.sqrt(np.mean((result - exact) ** 2)))

    assert error(actual) < 0.5 * error(one_after_the_other)
