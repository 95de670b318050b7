"""The attention kernel against the interpreter, over shapes, masks and strides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from xdsl.ir import Operation, SSAValue

from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.movement import ReshapeOp, SliceOp, TransposeOp
from nnc.symbolic import Dim, DimLike
from nnc.target import Target
from nnc.testing_dispatches import Array, Operand, check_dispatch, lower_dispatch

N, S, T = (Dim.symbol(s) for s in "NST")
Generator = np.random.Generator
TOLERANCE = 5e-6


def floats(rng: Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def attend(scale: float = 0.25, **options: object) -> Callable[..., AttentionOp]:
    def build(q: SSAValue, k: SSAValue, v: SSAValue, *masks: SSAValue) -> AttentionOp:
        return AttentionOp(q, k, v, masks, scale=scale, **options)  # pyright: ignore[reportArgumentType] # a test's options

    return build


# heads, groups, queries, keys, depth of keys, depth of values
SHAPES = [
    (2, 2, 1, 1, 64, 64),
    (1, 1, 1, 300, 64, 64),
    (2, 1, 16, 16, 32, 32),
    (3, 3, 49, 49, 32, 32),
    (1, 1, 17, 5, 16, 16),
    (2, 2, 97, 33, 8, 24),
    (4, 2, 5, 209, 20, 7),
    (1, 1, 200, 197, 64, 64),
    (1, 1, 3, 257, 1, 1),
    (1, 1, 13, 14, 256, 80),
    (2, 2, 3, 0, 16, 16),
    (2, 2, 0, 3, 16, 16),
    (2, 1, 8, 600, 64, 80),
    (2, 2, 2, 0, 16, 16),
    (1, 1, 4, 70, 255, 9),
]


@pytest.mark.parametrize(("h", "g", "s", "t", "d", "e"), SHAPES)
def test_shapes(
    h: int, g: int, s: int, t: int, d: int, e: int, target: Target, rng: Generator
):
    q, k, v = floats(rng, 2, h, s, d), floats(rng, 2, g, t, d), floats(rng, 2, g, t, e)
    check_dispatch(attend(), [q, k, v], target, rtol=1e-4, atol=TOLERANCE)


@pytest.mark.parametrize(("s", "t"), [(1, 1), (1, 130), (5, 7), (97, 12), (16, 400)])
def test_free_lengths(s: int, t: int, target: Target, rng: Generator):
    q, k, v = (
        floats(rng, 2, 2, s, 32),
        floats(rng, 2, 2, t, 32),
        floats(rng, 2, 2, t, 16),
    )
    operands = [
        Operand(q, [N, 2, S, 32]),
        Operand(k, [N, 2, T, 32]),
        Operand(v, [N, 2, T, 16]),
    ]
    check_dispatch(attend(), operands, target, rtol=1e-4, atol=TOLERANCE)


def test_f64(target: Target, rng: Generator):
    q, k, v = (rng.standard_normal((2, 3, 21, 12)) for _ in range(3))
    check_dispatch(attend(), [q, k, v], target, rtol=1e-10, atol=1e-12)


MASKS: list[tuple[tuple[int, ...], bool]] = [
    ((1, 1, 1, 30), False),
    ((2, 1, 1, 30), True),
    ((3, 19, 30), False),
    ((2, 3, 19, 30), True),
    ((19, 1), False),
    ((1,), False),
]


@pytest.mark.parametrize(("shape", "is_bool"), MASKS)
def test_masks(shape: tuple[int, ...], is_bool: bool, target: Target, rng: Generator):
    q, k, v = (floats(rng, 2, 3, n, 16) for n in (19, 30, 30))
    mask = rng.random(shape) < 0.6 if is_bool else floats(rng, *shape) * 3
    if is_bool:
        mask[..., 0] = True
    check_dispatch(attend(), [q, k, v, mask], target, rtol=1e-4, atol=TOLERANCE)


def test_masks_one_after_the_other(target: Target, rng: Generator):
    q, k, v = (floats(rng, 2, 3, n, 16) for n in (19, 230, 230))
    keep = rng.random((2, 1, 19, 230)) < 0.6
    bias = floats(rng, 3, 1, 230)
    build = attend(fill=-3.0)
    operands = [q, k, v, keep, bias, keep]
    check_dispatch(build, operands, target, rtol=1e-4, atol=TOLERANCE)


@pytest.mark.parametrize("offset", [0, 3, 250, -2, Dim.symbol("N") + 1])
def test_causal(offset: DimLike, target: Target, rng: Generator):
    q, k, v = (floats(rng, 2, 2, n, 16) for n in (100, 240, 240))
    operands = [Operand(q, [N, 2, 100, 16]), Operand(k), Operand(v)]
    operands[1].dims = operands[2].dims = [N, 2, T, 16]
    build = attend(causal=offset)
    check_dispatch(build, operands, target, rtol=1e-4, atol=TOLERANCE)


@pytest.mark.parametrize("keys", [9, 250])
@pytest.mark.parametrize("zeroes", ["", "nan_to_zero", "empty_to_zero"])
def test_rows_without_keys(keys: int, zeroes: str, target: Target, rng: Generator):
    q, k, v = (floats(rng, 1, 1, n, 16) for n in (18, keys, keys))
    keep = rng.random((18, keys)) < 0.5
    keep[3] = False
    keep[5, : keys - 1] = False
    keep[5, -1] = True
    q[0, 0, 7, 2] = np.nan
    build = attend(**({zeroes: True} if zeroes else {}))
    check_dispatch(build, [q, k, v, keep], target, rtol=1e-4, atol=TOLERANCE)
    q[0, 0, 7, 2] = 0
    low = float(np.finfo(np.float32).min)
    build = attend(fill=low)
    check_dispatch(build, [q, k, v, keep], target, rtol=1e-4, atol=TOLERANCE)
    added = np.where(keep, 0, low).astype(np.float32)
    check_dispatch(attend(), [q, k, v, added], target, rtol=1e-4, atol=TOLERANCE)


def test_nan_and_infinity(target: Target, rng: Generator):
    q, k, v = (floats(rng, 1, 2, n, 16) for n in (20, 230, 230))
    q[0, 0, 2, 5] = np.nan
    q[0, 0, 3, 5] = np.inf
    k[0, 1, 220, 1] = np.nan
    bias = np.zeros((20, 230), np.float32)
    bias[4, 7] = np.inf
    bias[6, 215] = np.nan
    check_dispatch(attend(), [q, k, v, bias], target, rtol=1e-4, atol=TOLERANCE)


def test_scores_beyond_the_range_of_exp(target: Target, rng: Generator):
    q, k, v = (floats(rng, 1, 2, n, 16) * 40 for n in (20, 230, 230))
    check_dispatch(attend(), [q, k, v], target, rtol=1e-3, atol=2e-3)


def test_fused_projection(target: Target, rng: Generator):
    """Queries, keys and values are slices of one tensor, the result joins heads."""
    qkv = floats(rng, 2, 19, 3, 4, 16)

    def build(x: SSAValue) -> Operation:
        parts: list[SSAValue] = []
        for i in range(3):
            taken = SliceOp(x, [0, 0, i, 0, 0], [2, 19, 1, 4, 16], [1] * 5)
            turned = TransposeOp(taken.result, [2, 0, 3, 1, 4])
            parts.append(TransposeOp(turned.result, [0, 1, 2, 3, 4]).result)
        op = AttentionOp(parts[0], parts[1], parts[2], scale=0.25)
        joined = TransposeOp(op.result, [0, 1, 3, 2, 4])
        return ReshapeOp(joined.result, [2, 19, 64])

    check_dispatch(build, [qkv], target, rtol=1e-4, atol=TOLERANCE)


def test_strided_operands_and_results(target: Target, rng: Generator):
    q, k, v = (floats(rng, 2, 3, n, 16) for n in (19, 30, 30))
    operands = [
        Operand(q, strides=[16, 19 * 2 * 20, 40, 1]),
        Operand(k, strides=[3 * 30 * 32, 16, 48, 1]),
        Operand(v, strides=[3 * 30 * 17, 30 * 17, 17, 1]),
    ]
    strides = [[3 * 19 * 16 * 2, 16, 3 * 16 * 2, 1]]
    check_dispatch(attend(), operands, target, strides, rtol=1e-4, atol=TOLERANCE)


def test_scratch_does_not_grow_with_the_length(rng: Generator):
    target = Target.named("avx512")
    counts: list[int] = []
    for keys in (1024, 65536):
        q, k = floats(rng, 1, 1, 8, 64), np.zeros((1, 1, keys, 64), np.float32)
        lowered = lower_dispatch(
            attend(), [Operand(q), Operand(k), Operand(k)], target, compile=False
        )
        assert lowered.kernel is not None
        sizes = [
            int(op.properties["count"].value.data)  # pyright: ignore[reportAttributeAccessIssue] # an IntegerAttr
            for op in lowered.kernel.walk()
            if op.name == "simd.alloca"
        ]
        counts.append(sum(sizes))
    assert counts[0] == counts[1]
    assert counts[0] * 4 <= 128 << 10
