"""Kernels that move elements: views, padding, concatenation, gathering, resizing."""

from __future__ import annotations

from typing import Any, cast, get_args

import numpy as np
import pytest
from xdsl.ir import SSAValue

from nnc.dialects.nn import movement as mv
from nnc.dialects.nn.elementwise import AddOp, CastOp, MulOp, NegOp, ReluOp
from nnc.dialects.nn.structure import DimsOp
from nnc.dialects.nn.types import BOOL, F32, I8, I64, dims_of, tensor_type
from nnc.lowering.lower_dispatches.emit import INDEX_OUT_OF_RANGE
from nnc.symbolic import Dim, DimLike
from nnc.target import Target
from nnc.testing_dispatches import Array, Operand, check_dispatch, lower_dispatch

N, M, H = (Dim.symbol(s) for s in "NMH")
Generator = np.random.Generator


def floats(rng: Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


# -- views -----------------------------------------------------------------------


def test_transposes_of_four_axes(target: Target, rng: Generator) -> None:
    x = floats(rng, 2, 3, 4, 5)
    for axes in [(0, 2, 3, 1), (3, 2, 1, 0), (0, 1, 3, 2), (2, 0, 1, 3)]:
        check_dispatch(
            lambda x, axes=axes: mv.TransposeOp(x, axes), [x], target, rtol=0
        )


TILES = [(16, 16), (17, 33), (37, 53), (64, 49), (4, 100), (100, 5), (5, 5), (3, 40)]


@pytest.mark.parametrize("shape", TILES, ids=str)
def test_tiled_transpose_any_shape_and_type(
    target: Target, rng: Generator, shape: tuple[int, int]
) -> None:
    for dtype in ("float32", "float64", "int8", "bool"):
        x = rng.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)
        check_dispatch(lambda x: mv.TransposeOp(x, [1, 0]), [x], target, rtol=0)
    x = floats(rng, *shape)
    check_dispatch(
        lambda x: mv.TransposeOp(x, [1, 0]), [Operand(x, [N, M])], target, rtol=0
    )
    check_dispatch(
        lambda x: mv.TransposeOp(x, [1, 0]),
        [Operand(x, None, [shape[1] + 7, 1])],
        target,
        [[shape[0] + 3, 1]],
        rtol=0,
    )


@pytest.mark.parametrize("shape", TILES, ids=str)
def test_tiled_transpose_with_arithmetic(
    target: Target, rng: Generator, shape: tuple[int, int]
) -> None:
    turned = shape[::-1]

    def build(x: SSAValue, y: SSAValue, b: SSAValue, c: SSAValue) -> list[Any]:
        product = MulOp(mv.TransposeOp(x, [1, 0]), y)
        biased = AddOp(product, mv.BroadcastOp(b, turned))
        return [AddOp(biased, mv.BroadcastOp(c, turned)), NegOp(product)]

    given = [floats(rng, *s) for s in (shape, turned, turned[1:], (turned[0], 1))]
    check_dispatch(build, given, target)
    check_dispatch(lambda x: CastOp(mv.TransposeOp(x, [1, 0]), I8), [given[0]], target)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 21, 7, 5), (0, 2, 3, 1)),
        ((2, 7, 5, 21), (0, 3, 1, 2)),
        ((3, 40, 24), (0, 2, 1)),
    ],
    ids=["to channels last", "to channels first", "keys"],
)
def test_transposing_copies_of_models(
    target: Target, rng: Generator, shape: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    x = floats(rng, *shape)
    check_dispatch(lambda x: mv.TransposeOp(x, axes), [x], target, rtol=0)
    dims: list[DimLike] = [N, *shape[1:]]
    check_dispatch(
        lambda x: mv.TransposeOp(x, axes), [Operand(x, dims)], target, rtol=0
    )


RESHAPES = [
    ((2, 3, 4, 5), (0, 2, 1, 3), (8, 15)),
    ((2, 3, 4, 5), (0, 2, 1, 3), (6, 20)),
    ((6, 4), (0, 1), (4, 6)),
    ((6, 4), (1, 0), (4, 6)),
    ((1, 6, 1, 4), (0, 3, 2, 1), (24, 1)),
    ((2, 3, 4), (2, 0, 1), (2, 2, 2, 3)),
]


@pytest.mark.parametrize(("shape", "axes", "dims"), RESHAPES, ids=str)
def test_reshape_of_a_transpose(
    target: Target,
    rng: Generator,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    dims: tuple[int, ...],
) -> None:
    x = floats(rng, *shape)
    check_dispatch(
        lambda x: ReluOp(mv.ReshapeOp(mv.TransposeOp(x, axes), dims)),
        [x],
        target,
        rtol=0,
    )


def test_reshape_with_unknown_batch(target: Target, rng: Generator) -> None:
    x = Operand(floats(rng, 2, 3, 4, 5), [N, 3, 4, 5])
    check_dispatch(
        lambda x: mv.ReshapeOp(mv.TransposeOp(x, [0, 2, 1, 3]), [N, 4, 15]),
        [x],
        target,
        rtol=0,
    )


def test_slices_forwards_backwards_and_strided(target: Target, rng: Generator) -> None:
    x = floats(rng, 2, 3, 4, 41)
    cases: list[tuple[list[int], list[int], list[int]]] = [
        ([1, 2, 0, 3], [1, 1, 4, 2], [1, 1, 1, -1]),
        ([0, 0, 0, 1], [2, 3, 4, 20], [1, 1, 1, 2]),
        ([0, 0, 3, 40], [2, 3, 4, 41], [1, 1, -1, -1]),
        ([0, 0, 0, 5], [2, 3, 4, 0], [1, 1, 1, 1]),
    ]
    for case in cases:
        check_dispatch(lambda x, case=case: mv.SliceOp(x, *case), [x], target, rtol=0)


# -- padding and concatenation ---------------------------------------------------------


@pytest.mark.parametrize("mode", get_args(mv.PadMode))
def test_pad_modes(target: Target, rng: Generator, mode: mv.PadMode) -> None:
    x = floats(rng, 2, 3, 4, 5)

    def padded(x: SSAValue) -> mv.PadOp:
        return mv.PadOp(x, [0, 1, 2, 3], [0, 2, 1, 2], mode=mode)

    check_dispatch(padded, [x], target, rtol=0)
    check_dispatch(padded, [Operand(x, [N, 3, M, 5])], target, rtol=0)
    for shape in [(3, 20), (1, 20), (2, 7)]:
        check_dispatch(
            lambda x: mv.PadOp(x, [7, 0], [8, 0], mode=mode),
            [floats(rng, *shape)],
            target,
            rtol=0,
        )


def test_pad_empty_operand_reads_nothing(target: Target) -> None:
    x = Operand(np.zeros((0, 3), np.float32), [N, 3])
    check_dispatch(lambda x: mv.PadOp(x, [2, 8], [1, 9]), [x], target, rtol=0)


def test_pad_with_a_value_that_is_an_operand(target: Target, rng: Generator) -> None:
    check_dispatch(
        lambda x, v: mv.PadOp(x, [1, 1], [1, 1], v),
        [floats(rng, 5, 20), np.array(3.5, np.float32)],
        target,
        rtol=0,
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_concat_any_axis(target: Target, rng: Generator, axis: int) -> None:
    arrays: list[Array] = []
    for size in (3, 0, 31, 1):
        shape = [2, 3, 20]
        shape[axis] = size
        arrays.append(floats(rng, *shape))
    check_dispatch(
        lambda *values: ReluOp(mv.ConcatOp(values, axis)), arrays, target, rtol=0
    )


# -- indices ---------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_gather_along_each_axis(
    target: Target, rng: Generator, axis: int, dtype: str
) -> None:
    x = floats(rng, 10, 33)
    size = x.shape[axis]
    for shape in [(), (21,), (4, 3), (0,)]:
        indices = rng.integers(-size, size, shape).astype(dtype)
        check_dispatch(
            lambda x, i: mv.GatherOp(x, i, axis), [x, indices], target, rtol=0
        )


def test_gather_of_unknown_sizes(target: Target, rng: Generator) -> None:
    x = Operand(floats(rng, 10, 33), [M, 33])
    indices = Operand(rng.integers(-10, 10, (4, 3)), [N, 3])
    check_dispatch(mv.GatherOp, [x, indices], target, rtol=0)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("other", [3, 33])
def test_gather_of_an_empty_axis_reads_nothing(
    target: Target, axis: int, count: int, other: int
) -> None:
    shape = (0, other) if axis == 0 else (other, 0)
    x = np.zeros(shape, np.float32)
    dims: list[DimLike] = [*shape]
    dims[axis] = N
    indices = np.zeros(count, np.int64)
    lowered = lower_dispatch(
        lambda x, i: mv.GatherOp(x, i, axis),
        [Operand(x, dims), Operand(indices)],
        target,
    )
    state = np.zeros(8, np.int64)
    lowered.run([x, indices], {"N": 0}, state=state)
    assert state[1] == INDEX_OUT_OF_RANGE


@pytest.mark.parametrize("axis", [0, 1])
def test_gather_elements(target: Target, rng: Generator, axis: int) -> None:
    x = floats(rng, 10, 33)
    size = x.shape[axis]
    indices = rng.integers(-size, size, (9, 21))
    check_dispatch(
        lambda x, i: mv.GatherElementsOp(x, i, axis), [x, indices], target, rtol=0
    )


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("wrong", [10, -11, 2**40, -(2**62)])
def test_gather_wrong_index_is_recorded_and_reads_inside(
    target: Target, rng: Generator, axis: int, wrong: int
) -> None:
    x = floats(rng, 10, 10)
    for place in (0, 16, 18):
        indices = np.zeros(19, np.int64)
        lowered = lower_dispatch(
            lambda x, i: mv.GatherOp(x, i, axis), [Operand(x), Operand(indices)], target
        )
        state = np.zeros(8, np.int64)
        lowered.run([x, indices], {}, state=state)
        assert state[1] == 0
        indices[place] = wrong
        lowered.run([x, indices], {}, state=state)
        assert state[1] == INDEX_OUT_OF_RANGE


def test_iota_and_dims(target: Target, rng: Generator) -> None:
    check_dispatch(lambda: mv.IotaOp(tensor_type(I64, [3, 21]), 1), [], target)
    x = Operand(floats(rng, 3, 21), [N, 21])
    for axis in (0, 1):
        check_dispatch(
            lambda x, axis=axis: AddOp(
                x, mv.IotaOp(tensor_type(F32, dims_of(x)), axis)
            ),
            [x],
            target,
            rtol=0,
        )

    def sizes(x: SSAValue, _: SSAValue) -> AddOp:
        known = mv.BroadcastOp(DimsOp([N, 5, M]), dims_of(x))
        return AddOp(x, CastOp(known, F32))

    operands = [Operand(floats(rng, 4, 3), [N, 3]), Operand(floats(rng, 7), [M])]
    check_dispatch(sizes, operands, target, rtol=0)


# -- resizing --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", get_args(mv.ResizeMode))
@pytest.mark.parametrize("coordinates", get_args(mv.CoordinateMode))
def test_resize_modes(
    target: Target, rng: Generator, mode: mv.ResizeMode, coordinates: mv.CoordinateMode
) -> None:
    check_dispatch(
        lambda x: mv.ResizeOp(x, [2, 9, 4, 3], mode=mode, coordinate_mode=coordinates),
        [floats(rng, 2, 5, 6, 3)],
        target,
        rtol=2e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("nearest", get_args(mv.NearestMode))
def test_resize_nearest_with_scales(
    target: Target, rng: Generator, nearest: mv.NearestMode
) -> None:
    check_dispatch(
        lambda x: mv.ResizeOp(x, [1, 9, 4, 18], [1, 1.8, 0.7, 3], nearest_mode=nearest),
        [floats(rng, 1, 5, 6, 6)],
        target,
        rtol=0,
    )


def test_resize_of_unknown_size_and_of_integers(target: Target, rng: Generator) -> None:
    check_dispatch(
        lambda x: mv.ResizeOp(x, [1, H * 2, 12, 18], mode="linear"),
        [Operand(floats(rng, 1, 5, 6, 6), [1, H, 6, 6])],
        target,
        rtol=2e-5,
        atol=1e-6,
    )
    x = cast(Array, rng.integers(-128, 128, (1, 5, 6, 6)).astype(np.int8))
    check_dispatch(
        lambda x: mv.ResizeOp(x, [1, 10, 12, 18], mode="linear"), [x], target
    )


def test_movement_of_booleans(target: Target, rng: Generator) -> None:
    x = rng.integers(0, 2, (5, 20)).astype(bool)
    check_dispatch(lambda x: mv.PadOp(x, [1, 1], [1, 1]), [x], target)
    check_dispatch(
        lambda x: CastOp(mv.TransposeOp(CastOp(x, F32), [1, 0]), BOOL), [x], target
    )
