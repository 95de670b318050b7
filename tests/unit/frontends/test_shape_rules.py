"""Shape rules as pure functions, checked against numpy at many sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnc.frontends.shape_rules import (
    merged_dims,
    reshaped_dims,
    same_padding,
    simplest,
    single_element,
    slice_range,
)
from nnc.symbolic import Dim

S, T, N = Dim.symbol("S"), Dim.symbol("T"), Dim.symbol("N")
LARGE = 2**63 - 1


def dims(*values: Dim | int) -> list[Dim]:
    """Values as dims."""
    return [Dim.of(v) for v in values]


# ---------------------------------------------------------------- slices


@given(
    st.integers(0, 12), st.integers(-15, 15), st.integers(-15, 15), st.integers(-4, 4)
)
def test_slice_of_a_fixed_axis_is_pythons(size: int, start: int, end: int, step: int):
    if not step:
        return
    expected = list(range(size))[start:end:step]
    found = slice_range(Dim.of(size), start, end, step)
    first, count = found.offset.as_int(), found.size.as_int()
    assert first is not None
    assert count is not None
    assert [first + i * step for i in range(count)] == expected
    assert found.required == size


@given(st.integers(-6, 6), st.integers(-6, 6) | st.just(LARGE), st.integers(1, 3))
def test_slice_of_a_free_axis_is_pythons_or_refused(start: int, end: int, step: int):
    found = slice_range(S, start, end, step)
    for size in range(12):
        sizes = {"S": size}
        count, first = found.size.evaluate(sizes), found.offset.evaluate(sizes)
        expected = list(range(size))[start:end:step]
        # A run refuses a size that is negative, and an axis that is not `required`.
        if count >= 0 and found.required.evaluate(sizes) == size:
            assert [first + i * step for i in range(count)] == expected


@given(st.integers(-6, 6), st.integers(-6, 6) | st.just(LARGE), st.integers(1, 3))
def test_slice_of_a_large_free_axis_is_never_refused(start: int, end: int, step: int):
    found = slice_range(S, start, end, step)
    for size in (20, 33):
        sizes = {"S": size}
        expected = list(range(size))[start:end:step]
        assert found.required.evaluate(sizes) == size
        count = found.size.evaluate(sizes)
        assert count == len(expected)
        if count:
            assert found.offset.evaluate(sizes) == expected[0]


@pytest.mark.parametrize(
    ("start", "end", "offset", "size"),
    [
        (0, LARGE, "0", "S"),
        (0, -1, "0", "S - 1"),
        (1, LARGE, "1", "S - 1"),
        (1, -1, "1", "S - 2"),
        (0, 1, "0", "1"),
        (-1, LARGE, "max(1, S) - 1", "1"),
        (0, 512, "0", "min(512, S)"),
    ],
)
def test_slice_of_a_free_axis_is_simple(start: int, end: int, offset: str, size: str):
    found = slice_range(S, start, end, 1)
    assert (str(found.offset), str(found.size)) == (offset, size)


def test_slice_by_a_free_size_is_clamped():
    assert slice_range(Dim.of(512), 0, S, 1).size == Dim.parse("min(512, S)")
    assert slice_range(S, 0, S, 1).size == S
    assert slice_range(S + T, T, S + T, 1).size == S


def test_backward_slice_of_a_free_axis_starts_at_its_end():
    found = slice_range(S, LARGE, -LARGE - 1, -1)
    assert (found.offset, found.size) == (S - 1, S)


@pytest.mark.parametrize("index", [0, 3, -1, -3])
def test_single_element_lies_inside_what_is_required(index: int):
    found = single_element(S, index)
    for size in range(8):
        if found.required.evaluate({"S": size}) == size:
            assert found.offset.evaluate({"S": size}) == range(size)[index]


# ---------------------------------------------------------------- broadcasting


def test_merged_dims_follow_numpy():
    assert merged_dims(dims(2, 1, 4), dims(3, 1)) == dims(2, 3, 4)
    assert merged_dims(dims(2, 3), dims(2)) is None
    assert merged_dims() == []


def test_merged_dims_take_the_simplest_of_free_sizes():
    assert merged_dims(dims(N, S + 1), dims(1, T)) == dims(N, T)
    assert merged_dims(dims(N), dims(4)) == dims(4)


@pytest.mark.parametrize(
    ("options", "best"),
    [
        (["S", "4"], "4"),
        (["S + 1", "T"], "T"),
        (["long_name", "T"], "T"),
        (["(S + 1) floordiv 2", "2*T"], "2*T"),
        (["min(512, S)", "S"], "S"),
        (["B", "A"], "A"),
    ],
)
def test_simplest_prefers_constants_then_short_ones(options: list[str], best: str):
    assert simplest([Dim.parse(o) for o in options]) == Dim.parse(best)


# ---------------------------------------------------------------- reshapes


@pytest.mark.parametrize(
    ("before", "target", "expected"),
    [
        (dims(2, 3, 4), dims(-1, 4), dims(6, 4)),
        (dims(N, S, 12), dims(0, 0, 3, 4), dims(N, S, 3, 4)),
        (dims(N, S, 12), dims(-1, 12), dims(N * S, 12)),
        (dims(N * S, 12), dims(N, -1, 12), dims(N, S, 12)),
        (dims(2, 3), dims(-1, -1), None),
        (dims(2, 3), dims(4, -1), None),
        (dims(2, 3), dims(0, 0, 0), None),
        (dims(2, 3), dims(-2, 3), None),
        (dims(0, 3), dims(0, -1), None),
    ],
)
def test_reshaped_dims(
    before: list[Dim], target: list[Dim], expected: list[Dim] | None
):
    assert reshaped_dims(before, target, keep_zeros=False) == expected


def test_reshaped_dims_may_keep_zeros():
    assert reshaped_dims(dims(0, 3), dims(3, 0), keep_zeros=True) == dims(3, 0)


# ---------------------------------------------------------------- padding


@given(st.integers(1, 20), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
def test_same_padding_gives_a_window_for_each_stride(
    size: int, kernel: int, stride: int, dilation: int
):
    for upper in (True, False):
        low, high = same_padding(size, kernel, stride, dilation, upper=upper)
        a, b = low.as_int(), high.as_int()
        assert a is not None
        assert b is not None
        assert (b - a if upper else a - b) in (0, 1)
        span = (kernel - 1) * dilation + 1
        assert (size + a + b - span) // stride + 1 >= -(-size // stride)
        free = same_padding(S, kernel, stride, dilation, upper=upper)
        assert [d.evaluate({"S": size}) for d in free] == [a, b]


@pytest.mark.parametrize(("start", "end"), [(1, 3), (0, 0), (2, -2), (-3, 1), (5, 2)])
@pytest.mark.parametrize("step", [-1, -2])
def test_backward_slice_of_a_free_axis_may_be_empty(start: int, end: int, step: int):
    found = slice_range(S, start, end, step)
    for size in range(9):
        expected = range(size)[start:end:step]
        assert found.size.evaluate({"S": size}) == len(expected)
        if expected:
            assert found.offset.evaluate({"S": size}) == expected[0]
