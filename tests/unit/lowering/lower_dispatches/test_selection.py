"""Scattering and the largest elements, compiled, against the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from xdsl.ir import SSAValue

import nnc
from nnc.dialects.nn.dtypes import element_type_for
from nnc.dialects.nn.movement import TransposeOp
from nnc.dialects.nn.selection import COMBINATIONS, Combination, ScatterOp, TopKOp
from nnc.dialects.nn.types import tensor_type
from nnc.errors import IndexOutOfRange
from nnc.module import Module
from nnc.symbolic import Dim
from nnc.testing import compare
from nnc.testing_passes import Network

Array = NDArray[Any]
TARGETS = [
    pytest.param(name, marks=pytest.mark.isa(name))
    for name in ("native", "avx2", "generic")
]
DTYPES = ["float32", "float64", "float16", "int32", "int64", "uint8"]
N, K, R = (Dim.symbol(name) for name in "NKR")


def random(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    """Few different values, so that many are equal."""
    return np.random.default_rng(seed).integers(0, 9, shape).astype(dtype)


def scatter_network(
    dtype: str, combination: Combination, shape: tuple[Any, Any, Any]
) -> Network:
    """One scatter of rows, columns and updates of these sizes."""
    rows, columns, count = shape
    type_ = element_type_for(np.dtype(dtype))
    types = [
        tensor_type(type_, (rows, columns)),
        tensor_type(element_type_for(np.dtype("int64")), (count,)),
        tensor_type(type_, (count, columns)),
    ]

    def build(net: Network, x: SSAValue, i: SSAValue, u: SSAValue) -> SSAValue:
        return net.add(ScatterOp(x, i, u, combination))

    return Network(types, build)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_scatter(dtype: str, combination: Combination, target: str) -> None:
    network = scatter_network(dtype, combination, (N, R, K))
    exe = nnc.compile(Module(network.module, network.ctx), target=target)
    for rows, columns, count in ((5, 4, 7), (1, 1, 3), (6, 33, 2), (4, 17, 0)):
        x, u = random((rows, columns), dtype), random((count, columns), dtype, 1)
        i = np.random.default_rng(2).integers(-rows, rows, count)
        compare(exe(x, i, u), network.run([x, i, u])[0])


@pytest.mark.parametrize("columns", [1, 3, 16, 40])
def test_scatter_of_constant_sizes(columns: int) -> None:
    network = scatter_network("float32", "add", (9, columns, 5))
    exe = nnc.compile(Module(network.module, network.ctx))
    x, u = random((9, columns), "float32"), random((5, columns), "float32", 1)
    i = np.array([0, 8, -9, -1, 0])
    compare(exe(x, i, u), network.run([x, i, u])[0])


@pytest.mark.parametrize("index", [9, -10, 1 << 40, -(1 << 62)])
def test_scatter_checks_its_indices(index: int) -> None:
    network = scatter_network("float32", "none", (9, 4, 2))
    exe = nnc.compile(Module(network.module, network.ctx))
    i = np.array([3, index])
    arguments = random((9, 4), "float32"), i, random((2, 4), "float32")
    with pytest.raises(IndexOutOfRange):
        exe(*arguments)
    with pytest.raises(IndexOutOfRange):
        network.run(list(arguments))


def top_k_network(
    dtype: str, dims: tuple[Any, Any], count: Any, *, largest: bool, is_turned: bool
) -> Network:
    """The best of each row, or of each column."""
    type_ = element_type_for(np.dtype(dtype))

    def build(net: Network, x: SSAValue) -> list[SSAValue]:
        if is_turned:
            x = net.add(TransposeOp(x, [1, 0]))
        op = TopKOp(x, count, largest)
        net.block.add_op(op)
        return [op.values, op.indices]

    return Network([tensor_type(type_, dims)], build)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_top_k(dtype: str, largest: bool, count: int, target: str) -> None:
    network = top_k_network(dtype, (R, N), count, largest=largest, is_turned=False)
    exe = nnc.compile(Module(network.module, network.ctx), target=target)
    for rows, size in ((3, 7), (1, 50), (0, 8), (20, 300)):
        x = random((rows, size), dtype, size)
        for ours, theirs in zip(exe(x), network.run([x])[0:], strict=True):
            compare(ours, theirs)


@pytest.mark.parametrize("largest", [True, False])
def test_top_k_of_all(largest: bool) -> None:
    """A count that is a size sorts; columns are read where they are."""
    network = top_k_network("float32", (N, R), N, largest=largest, is_turned=True)
    exe = nnc.compile(Module(network.module, network.ctx))
    for size in (1, 2, 3, 10, 100, 1000):
        x = np.random.default_rng(size).standard_normal((size, 3)).astype(np.float32)
        for ours, theirs in zip(exe(x), network.run([x]), strict=True):
            compare(ours, theirs)


def test_nan_is_never_better() -> None:
    network = top_k_network("float32", (1, 6), 4, largest=True, is_turned=False)
    exe = nnc.compile(Module(network.module, network.ctx))
    x = np.array([[np.nan, 1, np.inf, np.nan, -np.inf, 2]], np.float32)
    values, indices = exe(x)
    compare(values, np.array([[np.inf, 2, 1, -np.inf]], np.float32))
    compare(indices, np.array([[2, 5, 1, 4]]))


def test_only_the_indices_are_read() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        op = TopKOp(x, 2)
        net.block.add_op(op)
        return op.indices

    network = Network(
        [tensor_type(element_type_for(np.dtype("float32")), (2, 5))], build
    )
    exe = nnc.compile(Module(network.module, network.ctx))
    x = random((2, 5), "float32")
    compare(exe(x), network.run([x])[0])
