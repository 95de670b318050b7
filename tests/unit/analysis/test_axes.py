from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnc.analysis.axes import AxisMap, merged_permutation
from nnc.analysis.strides import contiguous_strides, reshaped_strides
from nnc.symbolic import Dim

N, S = Dim.symbol("N"), Dim.symbol("S")


def test_axis_map_splits_heads_of_symbolic_batch() -> None:
    axes = AxisMap([N, S, 768])
    assert axes.reshape([N, S, 12, 64])
    axes.transpose([0, 2, 1, 3])
    assert axes.source_dims == [N, S, 12, 64]
    assert axes.permutation == [0, 2, 1, 3]
    assert axes.reshape([N * 12, S, 64])
    assert axes.dims == [N * 12, S, 64]


def test_axis_map_merge_and_split_again_is_row_major() -> None:
    axes = AxisMap([N, S, 768])
    assert axes.reshape([N * S, 768])
    assert axes.reshape([N, S, 12, 64])
    assert axes.is_row_major


def test_axis_map_reshape_that_cuts_across_axes_fails_unchanged() -> None:
    axes = AxisMap([6, 4])
    assert not axes.reshape([4, 6])
    assert axes.dims == [6, 4]


def test_axis_map_unrelated_symbols_fail() -> None:
    assert not AxisMap([N, 12]).reshape([S, 12])


def test_merged_permutation_of_channel_shuffle_has_three_axes() -> None:
    axes = AxisMap([2, 4, 5, 6])
    assert axes.reshape([2, 4, 5, 2, 3])
    axes.transpose([0, 1, 2, 4, 3])
    assert merged_permutation(axes) == ([40, 2, 3], [0, 2, 1])


@st.composite
def view_chains(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    """A shape and views: permutations have as many entries as axes; else reshapes."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    return shape, [
        draw(st.permutations(range(12))) for _ in range(draw(st.integers(0, 4)))
    ]


@given(view_chains())
def test_axis_map_of_random_views_agrees_with_numpy(
    chain: tuple[list[int], list[list[int]]],
) -> None:
    shape, orders = chain
    source = np.arange(int(np.prod(shape))).reshape(shape)
    value, axes = source, AxisMap(shape)
    for step, order in enumerate(orders):
        if step % 2 == 0:
            permutation = [a for a in order if a < value.ndim]
            value = value.transpose(permutation)
            axes.transpose(permutation)
            continue
        # Merge the first two axes, or split the first one.
        dims = list(value.shape)
        if order[0] % 2 and len(dims) > 1:
            target = [dims[0] * dims[1], *dims[2:]]
        elif dims[0] % 2 == 0:
            target = [2, dims[0] // 2, *dims[1:]]
        else:
            target = [*dims, 1]
        value = value.reshape(target)
        if not axes.reshape(target):
            return
    assert [d.as_int() for d in axes.dims] == list(value.shape)
    flat = value.reshape(-1)
    assert axes.is_row_major == np.array_equal(flat, source.reshape(-1))
    dims, permutation = merged_permutation(axes)
    sizes = [d.as_int() or 0 for d in dims]
    rebuilt = source.reshape(sizes).transpose(permutation).reshape(value.shape)
    np.testing.assert_array_equal(rebuilt, value)


def test_reshaped_strides_of_dense_axes_are_dense() -> None:
    dims = [N, S, 768]
    strides = contiguous_strides(dims)
    split = reshaped_strides(dims, strides, [N, S, 12, 64])
    assert split == contiguous_strides([N, S, 12, 64])


@pytest.mark.parametrize(
    ("dims", "strides", "target", "expected"),
    [
        ([4, 6], [12, 1], [4, 2, 3], [12, 3, 1]),
        ([4, 6], [12, 1], [24], None),
        ([4, 6], [6, 1], [24], [1]),
        ([4, 6], [1, 4], [24], None),
        ([1, 6], [99, 2], [6], [2]),
        ([4, 1, 6], [6, 0, 1], [4, 6, 1], [6, 1, 0]),
        ([2, 3, 4], [0, 4, 1], [2, 12], [0, 1]),
        ([2, 3, 4], [0, 4, 1], [24], None),
    ],
    ids=str,
)
def test_reshaped_strides_gives_a_view_or_none(
    dims: list[int], strides: list[int], target: list[int], expected: list[int] | None
) -> None:
    result = reshaped_strides(dims, strides, target)
    found = None if result is None else [s.as_int() for s in result]
    assert found == expected
