"""Pooling and depthwise convolution: clipped windows of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from xdsl.ir import SSAValue

from nnc.dialects.nn.conv import CHANNELS_LAST, ConvOp, PoolKind, PoolOp
from nnc.dialects.nn.elementwise import AddOp, ClampOp, NegOp
from nnc.dialects.nn.movement import BroadcastOp, TransposeOp
from nnc.dialects.nn.types import dims_of
from nnc.lowering.lower_dispatches import window
from nnc.symbolic import Dim
from nnc.target import Target
from nnc.testing_dispatches import Array, Operand, check_dispatch, lower_dispatch

N, H, W, C = (Dim.symbol(s) for s in "NHWC")
Generator = np.random.Generator

WINDOWS: dict[str, dict[str, Any]] = {
    "3x3": {"kernel": (3, 3), "padding": (1, 1, 1, 1)},
    "3x3s2": {"kernel": (3, 3), "strides": (2, 2), "padding": (1, 1, 1, 1)},
    "3x3s2 below": {"kernel": (3, 3), "strides": (2, 2), "padding": (0, 0, 1, 1)},
    "3x3d2": {"kernel": (3, 3), "dilations": (2, 2), "padding": (2, 2, 2, 2)},
    "2x2": {"kernel": (2, 2)},
    "odd": {
        "kernel": (2, 5),
        "strides": (1, 2),
        "dilations": (2, 1),
        "padding": (3, 2, 1, 4),
    },
    "7x7": {"kernel": (7, 7), "padding": (3, 3, 3, 3)},
    "1x1s3": {"kernel": (1, 1), "strides": (3, 3)},
}  # fmt: skip


def floats(rng: Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def depthwise(x: SSAValue, w: SSAValue, **window: Any) -> ConvOp:
    window = {k: v for k, v in window.items() if k != "kernel"}
    groups = dims_of(x)[-1].as_int()
    assert groups is not None
    return ConvOp(x, w, groups=groups, layout=CHANNELS_LAST, **window)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=list(WINDOWS))
def test_depthwise_windows(
    target: Target, rng: Generator, window: dict[str, Any]
) -> None:
    for channels in (3, 16, 33):
        x = floats(rng, 2, 9, 11, channels)
        w = floats(rng, *window["kernel"], 1, channels)
        for dims in (None, [N, H, W, channels]):
            check_dispatch(
                lambda x, w: depthwise(x, w, **window),
                [Operand(x, dims), w],
                target,
                rtol=1e-4,
                atol=1e-5,
            )


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=list(WINDOWS))
def test_pool_windows(
    target: Target, rng: Generator, window: dict[str, Any], kind: PoolKind
) -> None:
    x = floats(rng, 2, 9, 11, 20)
    for ceil in (False, True):
        for count in (False, True):
            if kind == "max" and count:
                continue
            check_dispatch(
                lambda x, ceil=ceil, count=count: PoolOp(
                    x,
                    kind,
                    ceil_mode=ceil,
                    count_padding=count,
                    layout=CHANNELS_LAST,
                    **window,
                ),
                [x],
                target,
                rtol=1e-5,
                atol=1e-6,
            )


@pytest.mark.parametrize("kind", ["max", "average"])
def test_pool_of_unknown_sizes(target: Target, rng: Generator, kind: PoolKind) -> None:
    for dims in ([N, H, W, 20], [N, H, W, C]):
        check_dispatch(
            lambda x: PoolOp(
                x, kind, (3, 3), strides=(2, 2), padding=(1, 1, 1, 1), ceil_mode=True,
                layout=CHANNELS_LAST,
            ),
            [Operand(floats(rng, 2, 9, 11, 20), dims)],
            target,
            rtol=1e-5,
            atol=1e-6,
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "int8", "uint8"])
def test_pool_element_types(
    target: Target, rng: Generator, kind: PoolKind, dtype: str
) -> None:
    x = rng.integers(0, 100, (2, 9, 11, 20)).astype(dtype)
    if np.dtype(dtype).kind != "u":
        x = x - np.asarray(50, dtype)
    check_dispatch(
        lambda x: PoolOp(
            x, kind, (3, 3), strides=(2, 2), padding=(1, 1, 1, 1), layout=CHANNELS_LAST
        ),
        [x],
        target,
    )


def test_max_pool_propagates_nan(target: Target, rng: Generator) -> None:
    x = floats(rng, 1, 6, 7, 20)
    x[0, 2, 3] = np.nan
    x[0, 5] = -np.inf
    check_dispatch(
        lambda x: PoolOp(x, "max", (3, 3), padding=(1, 1, 1, 1), layout=CHANNELS_LAST),
        [x],
        target,
    )


def test_images_that_come_from_memory_are_prefetched(
    target: Target, rng: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pool(x: SSAValue) -> PoolOp:
        return PoolOp(
            x, "max", (3, 3), strides=(2, 2), padding=(1,) * 4, layout=CHANNELS_LAST
        )

    def prefetches(x: Array) -> int:
        lowered = check_dispatch(pool, [x], target)
        assert lowered.kernel is not None
        return sum(op.name == "simd.prefetch" for op in lowered.kernel.walk())

    image = floats(rng, 1, 9, 20, 32)
    assert prefetches(image) == 0
    monkeypatch.setattr(window, "LARGE", image.nbytes)
    # Vectors of 4 channels are too short for it.
    assert (prefetches(image) > 0) == (target.lanes(32) > 4)
    assert prefetches(image[:, :-1]) == 0


def test_channel_multiplier(target: Target, rng: Generator) -> None:
    check_dispatch(
        lambda x, w: depthwise(x, w, padding=(1, 1, 1, 1)),
        [floats(rng, 1, 6, 7, 4), floats(rng, 3, 3, 1, 12)],
        target,
        rtol=1e-4,
        atol=1e-5,
    )


def test_other_spatial_ranks(target: Target, rng: Generator) -> None:
    cases = [
        ((2, 30, 20), (3, 1, 20), (1, 1)),
        ((2, 60, 20), (21, 1, 20), (10, 10)),
        ((2, 5, 6, 7, 20), (3, 2, 2, 1, 20), (1, 1, 1, 0, 1, 0)),
    ]
    for image, filter_, padding in cases:
        check_dispatch(
            lambda x, w, padding=padding: depthwise(x, w, padding=padding),
            [floats(rng, *image), floats(rng, *filter_)],
            target,
            rtol=1e-4,
            atol=1e-5,
        )


def test_epilogue_and_prologue(target: Target, rng: Generator) -> None:
    def block(x: SSAValue, w: SSAValue, b: SSAValue, r: SSAValue) -> ClampOp:
        made = depthwise(NegOp(x).result, w, padding=(1, 1, 1, 1))
        biased = AddOp(made, BroadcastOp(b, dims_of(made.result)))
        return ClampOp(AddOp(biased, r), 0, 6)

    shapes = [(2, 9, 11, 20), (3, 3, 1, 20), (20,), (2, 9, 11, 20)]
    check_dispatch(
        block, [floats(rng, *s) for s in shapes], target, rtol=1e-4, atol=1e-5
    )


def test_result_in_another_layout(target: Target, rng: Generator) -> None:
    check_dispatch(
        lambda x: TransposeOp(
            PoolOp(x, "max", (3, 3), layout=CHANNELS_LAST), [0, 3, 1, 2]
        ),
        [floats(rng, 2, 9, 11, 20)],
        target,
    )


def test_global_pool_and_empty_batch(target: Target, rng: Generator) -> None:
    for batch in (0, 1, 3):
        check_dispatch(
            lambda x: PoolOp(x, "average", (7, 7), layout=CHANNELS_LAST),
            [Operand(floats(rng, batch, 7, 7, 40), [N, 7, 7, 40])],
            target,
            rtol=1e-5,
            atol=1e-6,
        )


def test_depthwise_kernel_is_small(target: Target) -> None:
    x, w = np.zeros((1, 56, 56, 64), np.float32), np.zeros((3, 3, 1, 64), np.float32)
    lowered = lower_dispatch(
        lambda x, w: depthwise(x, w, padding=(1, 1, 1, 1)),
        [Operand(x), Operand(w)],
        target,
        compile=False,
    )
    assert lowered.op_count <= 160
