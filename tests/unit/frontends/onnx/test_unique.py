"""`Unique` against numpy: sorted or not, flat or along an axis."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from nnc.errors import ModelError

Array = NDArray[Any]


def expected(x: Array, axis: int | None, is_sorted: int) -> list[Array]:
    """Values, first places, inverse and counts."""
    values, first, inverse, counts = np.unique(x, True, True, True, axis=axis)
    inverse = inverse.reshape(-1)
    if not is_sorted:
        order = np.argsort(first)
        values = np.take(values, order, axis or 0)
        first, counts = first[order], counts[order]
        inverse = np.argsort(order)[inverse]
    return [values, first, inverse, counts]


def check(exe: Any, x: Array, axis: int | None, is_sorted: int) -> None:
    """Compare with numpy."""
    for ours, theirs in zip(
        exe.run(None, {"x": x}), expected(x, axis, is_sorted), strict=True
    ):
        assert ours.shape == theirs.shape
        np.testing.assert_array_equal(ours, theirs)


def graph(kind: str, dims: str, axis: int | None, is_sorted: int) -> str:
    """The model of one node."""
    extra = "" if axis is None else f", axis={axis}"
    return (
        f"({kind}[{dims}] x) => ({kind}[] y, int64[] i, int64[] j, int64[] c) "
        f"{{ y, i, j, c = Unique<sorted={is_sorted}{extra}>(x) }}"
    )


@pytest.mark.parametrize("is_sorted", [0, 1])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_all_outputs(axis: int | None, is_sorted: int, compiled: Any, rng: Any) -> None:
    exe = compiled(graph("float", "N, M, K", axis, is_sorted))
    for shape in ((4, 3, 2), (1, 1, 1), (9, 2, 1), (2, 30, 1)):
        check(exe, rng.integers(0, 2, shape).astype(np.float32), axis, is_sorted)


@pytest.mark.parametrize("kind", ["double", "float16", "int8", "uint64", "bool"])
def test_element_types(kind: str, compiled: Any, rng: Any) -> None:
    exe = compiled(graph(kind, "N", None, 1))
    for size in (0, 1, 50):
        x = rng.integers(0, 5, size).astype(exe.inputs[0].dtype)
        check(exe, x, None, 1)


def test_bfloat16(compiled: Any) -> None:
    exe = compiled(graph("bfloat16", "N", None, 1), opset=28)
    y, first, _, counts = exe(np.array([2, 1, 2, 0.5]).astype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(y.astype(np.float32), [0.5, 1, 2])
    np.testing.assert_array_equal(first, [3, 1, 0])
    np.testing.assert_array_equal(counts, [1, 1, 2])


@pytest.mark.parametrize("is_sorted", [0, 1])
def test_nan_equals_nan_and_is_last(is_sorted: int, compiled: Any) -> None:
    exe = compiled(graph("float", "N", None, is_sorted))
    nan = np.nan
    check(exe, np.array([nan, 1, nan, np.inf, -np.inf, 1], np.float32), None, is_sorted)


def test_a_matrix_without_columns_has_equal_rows(compiled: Any) -> None:
    exe = compiled(graph("float", "N, M", 0, 1))
    y, first, inverse, counts = exe(np.zeros((3, 0), np.float32))
    assert y.shape == (1, 0)
    assert (first.tolist(), inverse.tolist(), counts.tolist()) == ([0], [0] * 3, [3])


def test_values_alone_and_what_follows(compiled: Any) -> None:
    exe = compiled(
        "(int64[N] x) => (int64[] y, int64[] n) { u = Unique(x) y = Add(u, u) "
        "n = Shape(y) }"
    )
    y, n = exe(np.array([5, 3, 5, 3, 1]))
    assert (y.tolist(), n.tolist()) == ([2, 6, 10], [3])


def test_an_axis_that_there_is_not(compiled: Any) -> None:
    with pytest.raises(ModelError, match="Unique.*axis 2 does not exist"):
        compiled(graph("float", "N, M", 2, 1))


@pytest.mark.parametrize("is_sorted", [0, 1])
def test_complex_numbers(is_sorted: int, compiled: Any) -> None:
    exe = compiled(graph("complex64", "N", None, is_sorted))
    x = np.array([1 + 2j, 1, -1j, 1 + 2j, 1 - 1j], np.complex64)
    check(exe, x, None, is_sorted)
