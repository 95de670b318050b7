"""References of matmul and packing."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nnc.dialects.nn import linear as nn
from nnc.dialects.nn.types import F32, tensor_type
from nnc.symbolic import Dim
from nnc.testing import compare, run_one_op

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("lhs", "rhs"),
    [
        ((3, 4), (4, 5)),
        ((2, 3, 4), (4, 5)),
        ((2, 1, 3, 4), (7, 4, 5)),
        ((1, 1), (1, 1)),
        ((3, 0), (0, 5)),
        ((0, 4), (4, 5)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_matmul(lhs: tuple[int, ...], rhs: tuple[int, ...], dtype: Any):
    a = (GENERATOR.normal(size=lhs) * 9).astype(dtype)
    b = (GENERATOR.normal(size=rhs) * 9).astype(dtype)
    expected = np.einsum("...mk,...kn->...mn", a, b).astype(dtype)
    compare(run_one_op(nn.MatmulOp, a, b), expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_matmul_of_narrow_floats_sums_in_f32(dtype: type[np.generic]):
    a, b = np.full((1, 4096), 1.0).astype(dtype), np.full((4096, 1), 1.0).astype(dtype)
    compare(run_one_op(nn.MatmulOp, a, b), np.array([[4096]]).astype(dtype), rtol=0)


def test_matmul_propagates_nan():
    a = np.array([[np.nan, 1], [1, 1]], np.float32)
    result = run_one_op(nn.MatmulOp, a, np.zeros((2, 2), np.float32))
    compare(result, np.array([[np.nan, np.nan], [0, 0]], np.float32))


def test_matmul_of_symbolic_dims():
    n, k = Dim.symbol("N"), Dim.symbol("K")
    a, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    result = run_one_op(nn.MatmulOp, a, b, operand_dims=[[n, k], [k, 4]])
    compare(result, a @ b)


def packed(x: Any, panel: int, groups: int) -> Any:
    """The packed form, element by element as the op's definition says."""
    matrix = x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1])
    columns = x.shape[-1] // groups
    panels = -(-columns // panel)
    result = np.zeros((groups, panels, len(matrix), panel), x.dtype)
    for g, p, k, j in np.ndindex(*result.shape):
        if p * panel + j < columns:
            result[g, p, k, j] = matrix[k, g * columns + p * panel + j]
    return result


@pytest.mark.parametrize(
    ("shape", "panel", "groups"),
    [
        ((3, 8), 4, 1),
        ((3, 7), 4, 1),
        ((2, 2, 3, 6), 4, 2),
        ((1, 1), 16, 1),
        ((4, 0), 16, 1),
        ((0, 8), 4, 2),
    ],
)
def test_pack_and_unpack(shape: tuple[int, ...], panel: int, groups: int):
    x = GENERATOR.normal(size=shape).astype(np.float32)
    result = run_one_op(nn.PackOp, x, panel=panel, groups=groups)
    compare(result, packed(x, panel, groups), rtol=0, atol=0)
    back = run_one_op(
        nn.UnpackOp, result, type=tensor_type(F32, shape), panel=panel, groups=groups
    )
    compare(back, x, rtol=0, atol=0)
