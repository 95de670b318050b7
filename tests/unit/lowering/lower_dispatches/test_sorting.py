"""Kernels of sorting, of non-maximum suppression, and of LU factorizations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from xdsl.ir import SSAValue

import nnc
from nnc.dialects.nn.dtypes import element_type_for
from nnc.dialects.nn.linear import LuOp
from nnc.dialects.nn.selection import ArgSortOp
from nnc.dialects.nn.suppression import NonMaxSuppressionOp
from nnc.dialects.nn.types import F32, I64, tensor_type
from nnc.module import Module
from nnc.symbolic import Dim
from nnc.testing import compare
from nnc.testing_passes import Network

Array = NDArray[Any]
TARGETS = [
    pytest.param(name, marks=pytest.mark.isa(name))
    for name in ("native", "avx2", "generic")
]
N, M, R = (Dim.symbol(s) for s in "NMR")


def both(network: Network, *inputs: Array, target: str = "native") -> list[Array]:
    """The results of the kernel, compared with those of the reference."""
    exe = nnc.compile(Module(network.module, network.ctx), target=target)
    ours = exe.run(None, dict(zip([i.name for i in exe.inputs], inputs, strict=True)))
    for mine, theirs in zip(ours, network.run(list(inputs)), strict=True):
        compare(mine, theirs)
    return ours


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint64"])
@pytest.mark.parametrize("columns", [0, 1, 3])
def test_rows_are_sorted(dtype: str, columns: int, target: str) -> None:
    type_ = tensor_type(element_type_for(np.dtype(dtype)), (N, columns))
    network = Network([type_], lambda net, x: net.add(ArgSortOp(x)))
    exe = nnc.compile(Module(network.module, network.ctx), target=target)
    for size in (0, 1, 2, 3, 10, 333):
        # Few values, so that many rows are equal.
        x = np.random.default_rng(size).integers(0, 4, (size, columns)).astype(dtype)
        order = exe(x)
        compare(order, network.run([x])[0])
        rows = [tuple(row) for row in x.tolist()]
        assert order.tolist() == sorted(range(size), key=lambda i: rows[i])


def test_nan_is_sorted_to_the_end() -> None:
    network = Network([tensor_type(F32, (6, 2))], lambda net, x: net.add(ArgSortOp(x)))
    nan = np.nan
    x = [[nan, 1], [2, nan], [2, np.inf], [nan, 0], [-np.inf, 5], [nan, 1]]
    (order,) = both(network, np.array(x, np.float32))
    assert order.tolist() == [4, 2, 1, 3, 0, 5]


def suppression(room: Any) -> Network:
    """Suppression for each class of each image."""

    def build(net: Network, *values: SSAValue) -> list[SSAValue]:
        boxes, scores, threshold, score, limit = values
        op = NonMaxSuppressionOp(boxes, scores, threshold, score, limit, room)
        net.block.add_op(op)
        return [op.picked, op.count]

    types = [
        tensor_type(F32, (M, N, 4)),
        tensor_type(F32, (M, R, N)),
        tensor_type(F32, ()),
        tensor_type(F32, ()),
        tensor_type(I64, ()),
    ]
    return Network(types, build)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("room", [N, 0, 1, 17], ids=str)
def test_suppression(room: Any, target: str) -> None:
    network = suppression(room)
    exe = nnc.compile(Module(network.module, network.ctx), target=target)
    for images, classes, size, limit, least in (
        (2, 3, 40, 100, 0.3),
        (1, 1, 1, 5, np.nan),
        (3, 2, 0, 5, 0.1),
        (1, 2, 200, 7, np.nan),
    ):
        rng = np.random.default_rng(size)
        corners = rng.random((images, size, 2))
        sides = rng.random((images, size, 2))
        sides *= rng.choice([0.0, 0.3], (images, size, 1))
        scores = np.round(rng.random((images, classes, size)), 1)
        scores[..., :2] = np.nan
        inputs = [
            np.concatenate([corners, corners + sides], 2).astype(np.float32),
            scores.astype(np.float32),
            np.array(0.2, np.float32),
            np.array(least, np.float32),
            np.array(limit),
        ]
        named = dict(zip([i.name for i in exe.inputs], inputs, strict=True))
        for ours, theirs in zip(exe.run(None, named), network.run(inputs), strict=True):
            compare(ours, theirs)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_factors_make_the_matrix(dtype: str, target: str) -> None:
    def build(net: Network, x: SSAValue) -> list[SSAValue]:
        op = LuOp(x)
        net.block.add_op(op)
        return list(op.results)

    type_ = tensor_type(element_type_for(np.dtype(dtype)), (R, N, N))
    network = Network([type_], build)
    exe = nnc.compile(Module(network.module, network.ctx), target=target)
    for count, size in ((2, 1), (3, 2), (1, 33), (0, 3), (2, 0)):
        x = np.random.default_rng(size).standard_normal((count, size, size))
        factors, sign = exe(x.astype(dtype))
        expected: list[Array] = network.run([x.astype(dtype)])
        for ours, theirs in zip((factors, sign), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
        lower = np.tril(factors, -1) + np.eye(size)
        product = np.sort(lower @ np.triu(factors), axis=1)
        # Rows are exchanged: the columns hold the same numbers.
        np.testing.assert_allclose(product, np.sort(x, axis=1), rtol=1e-3, atol=1e-4)
