"""The comparison that other tests rely on must be able to fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from nnc.dialects.nn import ConcatOp, LayerNormOp
from nnc.dialects.nn.elementwise import AddOp
from nnc.dialects.nn.types import F32, tensor_type
from nnc.symbolic import Dim
from nnc.testing import compare, one_op_module, random_inputs, run_one_op

N = Dim.symbol("N")


def floats(*values: float, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    return np.array(values, dtype)


def test_close_values_pass():
    compare(floats(1, np.nan, np.inf), floats(1 + 1e-6, np.nan, np.inf))
    compare(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))
    compare(np.array([1, 2]), np.array([1, 2]))
    compare(floats(1.0), floats(1.1), rtol=0.2)
    compare(floats(0.0), floats(0.1), atol=0.2)


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (floats(1, 2), floats(1, 3), r"1 of 2 elements differ; at \[1\]"),
        (floats(np.nan), floats(1), "nan"),
        (floats(1), floats(np.nan), "nan"),
        (floats(np.inf), floats(-np.inf), "inf"),
        (floats(np.inf), floats(3e38), "inf"),
        (floats(1), floats(1, 1), r"shape \(1,\), expected \(2,\)"),
        (floats(1), floats(1, dtype=np.float64), "dtype float32, expected float64"),
        (np.array([1, 2]), np.array([1, 3]), "not equal"),
        (np.array([True]), np.array([False]), "not equal"),
    ],
)
def test_differences_fail(actual: object, expected: object, message: str):
    with pytest.raises(AssertionError, match=message):
        compare(np.asarray(actual), np.asarray(expected))


def test_random_inputs_are_reproducible_and_of_the_right_shape():
    module = one_op_module(AddOp, [tensor_type(F32, [N, 3])] * 2)
    first, second = random_inputs(module, seed=1, sizes={"N": 5})
    assert first.shape == second.shape == (5, 3)
    again = random_inputs(module, seed=1, sizes={"N": 5})
    compare(again, [first, second])


def test_run_one_op_with_lists_and_optional_operands():
    x = np.ones((2, 2), np.float32)
    compare(run_one_op(ConcatOp, x, x, axis=0), np.ones((4, 2), np.float32))
    bias = np.full(2, 3, np.float32)
    result = run_one_op(LayerNormOp, x, np.ones(2, np.float32), bias)
    compare(result, np.full((2, 2), 3, np.float32))
