"""References of convolution and pooling against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nnc.dialects.nn import conv as nn
from nnc.errors import RunError
from nnc.symbolic import Dim
from nnc.testing import compare, run_one_op

Array = NDArray[Any]
GENERATOR = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return GENERATOR.normal(size=shape).astype(np.float32)


def tensor(x: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x))


def last(x: Array) -> Array:
    """`[N, C, spatial...]` to `[N, spatial..., C]`."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def filter_last(w: Array) -> Array:
    """`[O, C/groups, k...]` to `[k..., C/groups, O]`."""
    return np.ascontiguousarray(np.moveaxis(w, (1, 0), (-2, -1)))


def check_conv(x: Array, w: Array, padding: list[int], **properties: Any) -> None:
    """Both layouts against torch."""
    rank = x.ndim - 2
    low, high = padding[:rank], padding[rank:]
    # `pad` takes (low, high) of the last axis first.
    sides = [p for pair in zip(low[::-1], high[::-1], strict=True) for p in pair]
    function = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[rank]
    renamed = {{"strides": "stride", "dilations": "dilation"}.get(k, k): v
               for k, v in properties.items()}  # fmt: skip
    expected = function(functional.pad(tensor(x), sides), tensor(w), **renamed).numpy()
    first = run_one_op(nn.ConvOp, x, w, padding=padding, **properties)
    compare(first, expected, atol=1e-4)
    second = run_one_op(
        nn.ConvOp, last(x), filter_last(w), padding=padding, **properties,
        layout=nn.CHANNELS_LAST,
    )  # fmt: skip
    compare(second, last(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("image", "weights", "padding", "properties"),
    [
        ((2, 3, 8, 9), (4, 3, 3, 3), [0, 0, 0, 0], {}),
        ((1, 3, 8, 9), (4, 3, 3, 2), [1, 0, 2, 1], {"strides": [2, 1]}),
        ((1, 3, 9, 9), (4, 3, 3, 3), [2, 2, 2, 2], {"dilations": [2, 1]}),
        ((2, 4, 5, 5), (6, 2, 3, 3), [1, 1, 1, 1], {"groups": 2}),
        ((1, 4, 5, 5), (4, 1, 3, 3), [1, 1, 1, 1], {"groups": 4}),
        ((1, 4, 5, 5), (8, 1, 3, 3), [1, 1, 1, 1], {"groups": 4}),
        ((1, 3, 5, 5), (7, 3, 1, 1), [0, 0, 0, 0], {"strides": [2, 2]}),
        ((1, 3, 2, 2), (4, 3, 3, 3), [0, 1, 1, 1], {}),
        ((0, 3, 5, 5), (4, 3, 3, 3), [0, 0, 0, 0], {}),
        ((2, 3, 11), (4, 3, 3), [1, 2], {"strides": [3]}),
        ((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), [1, 0, 1, 0, 1, 0], {}),
    ],
)
def test_conv(
    image: tuple[int, ...],
    weights: tuple[int, ...],
    padding: list[int],
    properties: dict[str, Any],
):
    check_conv(normal(*image), normal(*weights), padding, **properties)


def test_conv_without_output_positions():
    result = run_one_op(nn.ConvOp, normal(1, 2, 2, 5), normal(3, 2, 4, 3))
    assert result.shape == (1, 3, 0, 3)


def test_conv_in_pieces(monkeypatch: pytest.MonkeyPatch):
    from nnc.interpreters.nn import conv

    monkeypatch.setattr(conv, "MAX_WINDOW_ELEMENTS", 100)
    check_conv(normal(2, 3, 8, 9), normal(4, 3, 3, 3), [1, 1, 1, 1])


def test_conv_of_integers_is_exact():
    x = GENERATOR.integers(-9, 9, (1, 3, 5, 5))
    w = GENERATOR.integers(-9, 9, (2, 3, 3, 3))
    expected = functional.conv2d(torch.from_numpy(x), torch.from_numpy(w)).numpy()
    compare(run_one_op(nn.ConvOp, x, w), expected)


def test_conv_of_symbolic_dims():
    n, h = Dim.symbol("N"), Dim.symbol("H")
    x, w = normal(2, 3, 8, 9), normal(4, 3, 3, 3)
    result = run_one_op(
        nn.ConvOp,
        x,
        w,
        operand_dims=[[n, 3, h, h + 1], [4, 3, 3, 3]],
        padding=[0, 0, h - 7, 0],
    )
    padded = functional.pad(tensor(x), (0, 0, 0, 1))
    compare(result, functional.conv2d(padded, tensor(w)).numpy(), atol=1e-4)
    with pytest.raises(RunError, match=r"node 'nn.conv': size H - 9 is negative \(-1"):
        run_one_op(
            nn.ConvOp,
            x,
            normal(4, 3, 10, 3),
            operand_dims=[[n, 3, h, h + 1], [4, 3, 10, 3]],
        )


@pytest.mark.parametrize(
    ("image", "weights", "padding", "properties"),
    [
        ((2, 3, 4, 5), (3, 4, 3, 3), 0, {}),
        ((1, 3, 4, 5), (3, 4, 3, 2), 1, {"strides": [2, 3]}),
        ((1, 3, 4, 5), (3, 4, 3, 3), 2, {"dilations": [2, 1]}),
        ((1, 4, 4, 5), (4, 3, 3, 3), 1, {"groups": 2, "strides": [2, 2]}),
        ((1, 4, 4, 5), (4, 1, 2, 2), 0, {"groups": 4, "strides": [2, 2]}),
        ((1, 3, 4, 5), (3, 4, 3, 3), 1, {"strides": [2, 2], "output_padding": [1, 1]}),
        ((1, 3, 1, 1), (3, 4, 3, 3), 0, {}),
        ((2, 3, 7), (3, 4, 3), 1, {"strides": [2]}),
    ],
)
def test_conv_transpose(
    image: tuple[int, ...],
    weights: tuple[int, ...],
    padding: int,
    properties: dict[str, Any],
):
    x, w = normal(*image), normal(*weights)
    rank = x.ndim - 2
    names = {"strides": "stride", "dilations": "dilation"}
    renamed = {names.get(k, k): v for k, v in properties.items()}
    function = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d}[rank]
    expected = function(tensor(x), tensor(w), padding=padding, **renamed).numpy()
    amounts = [padding] * 2 * rank
    first = run_one_op(nn.ConvTransposeOp, x, w, padding=amounts, **properties)
    compare(first, expected, atol=1e-4)
    second = run_one_op(
        nn.ConvTransposeOp,
        last(x),
        filter_last(w),
        padding=amounts,
        layout=nn.CHANNELS_LAST,
        **properties,
    )
    compare(second, last(expected), atol=1e-4)


POOLS: list[tuple[tuple[int, ...], list[int], list[int], list[int], bool]] = [
    ((2, 3, 8, 8), [2, 2], [2, 2], [0, 0], False),
    ((1, 3, 8, 9), [3, 3], [2, 2], [1, 1], False),
    ((1, 3, 8, 9), [3, 3], [2, 2], [1, 1], True),
    ((1, 3, 7, 6), [3, 2], [2, 2], [0, 1], True),
    ((1, 3, 7, 7), [7, 7], [1, 1], [0, 0], False),
    ((1, 1, 5, 5), [2, 2], [3, 3], [1, 1], True),
    ((2, 3, 9), [3], [2], [1], True),
]


@pytest.mark.parametrize(("image", "kernel", "strides", "padding", "ceil"), POOLS)
def test_max_pool(
    image: tuple[int, ...],
    kernel: list[int],
    strides: list[int],
    padding: list[int],
    ceil: bool,
):
    # All negative: a padding of zeros would show.
    x = -np.abs(normal(*image)) - 1
    function = {1: functional.max_pool1d, 2: functional.max_pool2d}[len(kernel)]
    expected = function(tensor(x), kernel, strides, padding, ceil_mode=ceil).numpy()
    common: dict[str, Any] = {
        "kind": "max",
        "kernel": kernel,
        "strides": strides,
        "padding": padding * 2,
        "ceil_mode": ceil,
    }
    compare(run_one_op(nn.PoolOp, x, **common), expected)
    second = run_one_op(nn.PoolOp, last(x), **common, layout=nn.CHANNELS_LAST)
    compare(second, last(expected))


@pytest.mark.parametrize(("image", "kernel", "strides", "padding", "ceil"), POOLS)
@pytest.mark.parametrize("count_padding", [False, True])
def test_average_pool(
    image: tuple[int, ...],
    kernel: list[int],
    strides: list[int],
    padding: list[int],
    ceil: bool,
    count_padding: bool,
):
    x = normal(*image)
    function = {1: functional.avg_pool1d, 2: functional.avg_pool2d}[len(kernel)]
    expected = function(
        tensor(x), kernel, strides, padding, ceil, count_include_pad=count_padding
    )
    result = run_one_op(
        nn.PoolOp,
        x,
        kind="average",
        kernel=kernel,
        strides=strides,
        padding=padding * 2,
        ceil_mode=ceil,
        count_padding=count_padding,
    )
    compare(result, expected.numpy(), atol=1e-6)


def test_dilated_and_unevenly_padded_max_pool():
    x = normal(1, 2, 9, 9)
    padded = functional.pad(tensor(x), (0, 2, 1, 0), value=-np.inf)
    expected = functional.max_pool2d(padded, 3, 1, dilation=2).numpy()
    result = run_one_op(
        nn.PoolOp, x, kind="max", kernel=[3, 3], dilations=[2, 2], padding=[1, 0, 0, 2]
    )
    compare(result, expected)


def test_max_pool_propagates_nan():
    x = np.array([[[1, np.nan, 2, 3]]], np.float32)
    result = run_one_op(nn.PoolOp, x, kind="max", kernel=[2])
    compare(result, np.array([[[np.nan, np.nan, 3]]], np.float32))


def test_a_window_without_elements():
    x = np.ones((1, 1, 1), np.float32)
    common: dict[str, Any] = {"kernel": [1], "padding": [1, 0]}
    maximum = run_one_op(nn.PoolOp, x, kind="max", **common)
    compare(maximum, np.array([[[-np.inf, 1]]], np.float32))
    average = run_one_op(nn.PoolOp, x, kind="average", **common)
    compare(average, np.array([[[np.nan, 1]]], np.float32))


def test_pools_of_integers():
    x = np.array([[[-3, 4, -6, 7]]], np.int8)
    compare(
        run_one_op(nn.PoolOp, x, kind="max", kernel=[2], padding=[1, 0]),
        np.array([[[-3, 4, 4, 7]]], np.int8),
    )
    average = run_one_op(nn.PoolOp, x, kind="average", kernel=[3], strides=[1])
    compare(average, np.array([[[-1, 1]]], np.int8))
