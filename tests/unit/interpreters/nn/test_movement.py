"""References of the ops that move elements, against torch, onnx and numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from nnc.dialects.nn import movement as nn
from nnc.dialects.nn.types import F32, I64, tensor_type
from nnc.errors import IndexOutOfRange, RunError
from nnc.symbolic import Dim
from nnc.testing import compare, run_one_op

Array = NDArray[Any]
N, M = Dim.symbol("N"), Dim.symbol("M")


def ramp(*shape: int, dtype: Any = np.float32) -> Array:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


# ---------------------------------------------------------------- views


@pytest.mark.parametrize(
    ("before", "after"),
    [((2, 3), (6,)), ((6,), (1, 6)), ((), (1, 1)), ((1,), ()), ((0, 3), (5, 0))],
)
def test_reshape(before: tuple[int, ...], after: tuple[int, ...]):
    x = ramp(*before)
    compare(run_one_op(nn.ReshapeOp, x, dims=after), x.reshape(after))


def test_reshape_of_symbolic_dims():
    x, symbolic = ramp(4, 6), [[N, M]]
    flat = run_one_op(nn.ReshapeOp, x, operand_dims=symbolic, dims=[N * M])
    compare(flat, ramp(24))
    half = run_one_op(nn.ReshapeOp, x, operand_dims=symbolic, dims=[2, N * M // 2])
    compare(half, ramp(2, 12))


def test_reshape_to_another_count_names_the_node():
    with pytest.raises(RunError, match=r"node 'nn.reshape': 3 elements .* \[2, 1\]"):
        run_one_op(
            nn.ReshapeOp, ramp(1, 3), operand_dims=[[N, M]], dims=[2, N * M // 2]
        )


@pytest.mark.parametrize("permutation", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_transpose(permutation: tuple[int, ...]):
    x = ramp(2, 3, 4)
    expected = x.transpose(permutation)
    compare(run_one_op(nn.TransposeOp, x, permutation=permutation), expected)


@pytest.mark.parametrize(
    ("before", "after"),
    [((), (2, 3)), ((3,), (2, 3)), ((2, 1), (2, 3)), ((1, 1), (0, 4)), ((3,), (3,))],
)
def test_broadcast(before: tuple[int, ...], after: tuple[int, ...]):
    x = ramp(*before)
    compare(run_one_op(nn.BroadcastOp, x, dims=after), np.broadcast_to(x, after))


def test_dim_cast_checks_sizes():
    x = ramp(3)
    compare(run_one_op(nn.DimCastOp, x, operand_dims=[[N]], dims=[3]), x)
    with pytest.raises(RunError, match="node 'nn.dim_cast': axis 0 has size 3, but"):
        run_one_op(nn.DimCastOp, x, operand_dims=[[N]], dims=[4])
    with pytest.raises(RunError, match=r"must have size 2\*N - 1 = 5"):
        run_one_op(nn.DimCastOp, x, operand_dims=[[N]], dims=[2 * N - 1])


@pytest.mark.parametrize(
    ("offset", "size", "step"),
    [(0, 7, 1), (2, 3, 2), (6, 7, -1), (5, 3, -2), (3, 0, 1), (6, 1, 5), (1, 1, -1)],
)
def test_slice(offset: int, size: int, step: int):
    x = ramp(2, 7)
    result = run_one_op(
        nn.SliceOp, x, offsets=[1, offset], sizes=[1, size], steps=[1, step]
    )
    compare(result, x[1:, [offset + i * step for i in range(size)]])


def test_slice_of_symbolic_dims():
    x = ramp(5)
    result = run_one_op(
        nn.SliceOp, x, operand_dims=[[N]], offsets=[N - 2], sizes=[N // 2], steps=[-1]
    )
    compare(result, np.array([3, 2], np.float32))
    with pytest.raises(RunError, match="elements 4 to 6 of axis 0"):
        run_one_op(nn.SliceOp, x, operand_dims=[[N]], offsets=[N - 1], sizes=[3])


# ---------------------------------------------------------------- pad and concat


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@pytest.mark.parametrize(
    "amounts", [((0, 1), (2, 0)), ((0, 0), (0, 0)), ((1, 2), (2, 2))]
)
def test_pad(mode: nn.PadMode, amounts: tuple[tuple[int, int], tuple[int, int]]):
    x = ramp(3, 4) + 1
    low, high = zip(*amounts, strict=True)
    result = run_one_op(nn.PadOp, x, low=low, high=high, mode=mode)
    compare(result, np.pad(x, amounts, mode))


@pytest.mark.parametrize("mode", ["reflect", "wrap"])
def test_padding_longer_than_the_axis_goes_on(mode: nn.PadMode):
    x = ramp(3)
    result = run_one_op(nn.PadOp, x, low=[7], high=[8], mode=mode)
    compare(result, np.pad(x, (7, 8), mode))
    single = run_one_op(nn.PadOp, x[:1], low=[2], high=[3], mode=mode)
    compare(single, np.zeros(6, np.float32))


def test_pad_with_a_value():
    x = np.array([True, False])
    result = run_one_op(nn.PadOp, x, np.array(True), low=[1], high=[0])
    compare(result, np.array([True, True, False]))


def test_pad_of_an_empty_axis():
    compare(run_one_op(nn.PadOp, ramp(0), low=[2], high=[0]), np.zeros(2, np.float32))
    with pytest.raises(RunError, match="cannot extend an empty axis"):
        run_one_op(nn.PadOp, ramp(0), low=[1], high=[0], mode="edge")


def test_negative_symbolic_padding_is_an_error():
    with pytest.raises(RunError, match="negative"):
        run_one_op(nn.PadOp, ramp(3), operand_dims=[[N]], low=[N - 5], high=[9])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat(axis: int):
    arrays = [ramp(2, 3), ramp(2, 3) + 7, ramp(2, 3) * 2]
    compare(run_one_op(nn.ConcatOp, *arrays, axis=axis), np.concatenate(arrays, axis))


def test_concat_of_unequal_and_empty_parts():
    arrays = [ramp(2, 0), ramp(2, 3), ramp(2, 1)]
    compare(run_one_op(nn.ConcatOp, *arrays, axis=1), np.concatenate(arrays, 1))


# ---------------------------------------------------------------- gather


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("indices", [2, [0, -1], [[1, 1], [0, -3]], []])
def test_gather(axis: int, indices: Any):
    x = ramp(3, 4, 5)
    positions = np.array(indices, np.int64)
    result = run_one_op(nn.GatherOp, x, positions, axis=axis)
    compare(result, np.take(x, positions, axis))


@pytest.mark.parametrize("index", [3, -4])
@pytest.mark.parametrize("op", [nn.GatherOp, nn.GatherElementsOp])
def test_an_index_outside_of_its_axis_is_an_error(
    op: type[nn.GatherOp | nn.GatherElementsOp], index: int
):
    message = rf"node '{op.name}': index {index} is outside of \[-3, 3\)"
    with pytest.raises(IndexOutOfRange, match=message):
        run_one_op(op, ramp(3), np.array([0, index], np.int32))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gather_elements(axis: int):
    x = ramp(3, 4, 5)
    shape = [2, 3, 4]
    shape[axis] = 6
    indices = np.random.default_rng(0).integers(0, x.shape[axis], shape)
    expected = torch.gather(torch.from_numpy(x), axis, torch.from_numpy(indices))
    result = run_one_op(nn.GatherElementsOp, x, indices - x.shape[axis], axis=axis)
    compare(result, expected.numpy())


def test_iota():
    matrix = run_one_op(nn.IotaOp, type=tensor_type(I64, [2, 3]), axis=1)
    compare(matrix, np.array([[0, 1, 2], [0, 1, 2]]))
    column = run_one_op(nn.IotaOp, type=tensor_type(F32, [2, 3]), axis=-2)
    compare(column, np.array([[0, 0, 0], [1, 1, 1]], np.float32))


# ---------------------------------------------------------------- resize


def onnx_resize(x: Array, dims: list[int], **attributes: Any) -> Array:
    """The answer of onnx's own reference implementation."""
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "g",
        [
            info("x", TensorProto.FLOAT, x.shape),
            info("sizes", TensorProto.INT64, [x.ndim]),
        ],
        [info("y", TensorProto.FLOAT, dims)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    (result,) = ReferenceEvaluator(model).run(
        None, {"x": x, "sizes": np.array(dims, np.int64)}
    )
    return np.asarray(result).astype(x.dtype)


SIZES = ([1, 2, 8, 6], [1, 2, 3, 2], [1, 2, 4, 7], [1, 2, 1, 1])


@pytest.mark.parametrize("dims", SIZES, ids=str)
@pytest.mark.parametrize(
    "coordinates",
    [
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
        "align_corners",
        "asymmetric",
    ],
)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_resize(dims: list[int], coordinates: nn.CoordinateMode, mode: nn.ResizeMode):
    x = np.random.default_rng(0).normal(size=(1, 2, 4, 3)).astype(np.float32)
    result = run_one_op(
        nn.ResizeOp, x, dims=dims, mode=mode, coordinate_mode=coordinates
    )
    expected = onnx_resize(
        x, dims, mode=mode, coordinate_transformation_mode=coordinates
    )
    if coordinates == "pytorch_half_pixel" and dims == [1, 2, 1, 1]:
        # The specification says coordinate 0 here, onnx's implementation says -0.5.
        expected = x[:, :, :1, :1]
    compare(result, expected, atol=1e-5)


@pytest.mark.parametrize("dims", SIZES, ids=str)
@pytest.mark.parametrize(
    "nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
)
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric"])
def test_resize_to_the_nearest(
    dims: list[int], nearest: nn.NearestMode, coordinates: nn.CoordinateMode
):
    x = ramp(1, 2, 4, 3)
    result = run_one_op(
        nn.ResizeOp, x, dims=dims, coordinate_mode=coordinates, nearest_mode=nearest
    )
    expected = onnx_resize(
        x,
        dims,
        mode="nearest",
        coordinate_transformation_mode=coordinates,
        nearest_mode=nearest,
    )
    compare(result, expected)


@pytest.mark.parametrize("size", [5, 8])
def test_resize_uses_given_scales(size: int):
    x = np.random.default_rng(0).normal(size=(1, 1, 4, 4)).astype(np.float32)
    factor = size / 4 + 0.1
    result = run_one_op(
        nn.ResizeOp,
        x,
        dims=[1, 1, size, size],
        scales=[1, 1, factor, factor],
        mode="linear",
    )
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(x), scale_factor=factor, mode="bilinear"
    )
    compare(result, expected.numpy())


def test_resize_of_symbolic_dims():
    x = ramp(1, 1, 2, 3)
    dims: list[Any] = [1, 1, 2 * N, 2 * M]
    result = run_one_op(nn.ResizeOp, x, operand_dims=[[1, 1, N, M]], dims=dims)
    compare(result, x.repeat(2, 2).repeat(2, 3))


def test_resize_of_integers_rounds():
    x = np.array([0, 3], np.uint8)
    result = run_one_op(nn.ResizeOp, x, dims=[4], mode="linear")
    compare(result, np.array([0, 1, 2, 3], np.uint8))


def test_resize_of_an_empty_axis():
    with pytest.raises(RunError, match="cannot resize an empty axis"):
        run_one_op(nn.ResizeOp, ramp(0), dims=[3])
