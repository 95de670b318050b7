"""Running sums and positions of extremes."""

from __future__ import annotations

import numpy as np
import pytest

from nnc.dialects.nn.elementwise import CastOp
from nnc.dialects.nn.reduction import ArgReduceKind, ArgReduceOp, CumulativeOp
from nnc.dialects.nn.types import I32
from nnc.symbolic import Dim
from nnc.target import Target
from nnc.testing_dispatches import Operand, check_dispatch

N, M = Dim.symbol("N"), Dim.symbol("M")
Generator = np.random.Generator


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("exclusive", [False, True], ids=["inclusive", "exclusive"])
def test_running_sums(
    target: Target, rng: Generator, axis: int, reverse: bool, exclusive: bool
) -> None:
    x = rng.standard_normal((3, 7, 37)).astype(np.float32)
    whole = rng.integers(-9, 9, (3, 7, 37))
    for operand in (Operand(x), Operand(x, [N, 7, M]), Operand(whole)):
        check_dispatch(
            lambda x: CumulativeOp(x, axis, exclusive, reverse),
            [operand],
            target,
            rtol=1e-5,
            atol=1e-6,
        )


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("exclusive", [False, True], ids=["inclusive", "exclusive"])
def test_running_sums_of_groups_of_vectors(
    target: Target, rng: Generator, reverse: bool, exclusive: bool
) -> None:
    # A group of 8 vectors of 16 lanes, a vector, and a rest.
    x = rng.standard_normal((2, 3, 150)).astype(np.float32)
    for operand in (Operand(x), Operand(x, [N, 3, M])):
        check_dispatch(
            lambda x: CumulativeOp(x, 1, exclusive, reverse), [operand], target
        )


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("kind", ["max", "min"])
def test_positions_with_ties_and_nan(
    target: Target, rng: Generator, axis: int, last: bool, kind: ArgReduceKind
) -> None:
    x = rng.integers(-3, 3, (3, 7, 37)).astype(np.float32)
    x[1, 2, 3] = x[1, 5, 3] = np.nan
    x[2] = 1
    x[0, :, 4] = -np.inf
    for array in (x, rng.integers(-3, 3, (3, 7, 37)).astype(np.int8)):
        for keep in (False, True):
            check_dispatch(
                lambda x, keep=keep: ArgReduceOp(x, kind, axis, keep, last),
                [array],
                target,
            )


def test_position_in_a_long_row_and_cast(target: Target, rng: Generator) -> None:
    x = rng.standard_normal((3, 1000)).astype(np.float32)
    check_dispatch(lambda x: CastOp(ArgReduceOp(x, "max", 1), I32), [x], target)


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("size", [1, 2, 7, 15, 16, 17, 33, 64, 100])
def test_positions_along_rows(
    target: Target, rng: Generator, size: int, last: bool
) -> None:
    x = rng.integers(-3, 3, (6, size)).astype(np.float32)
    x[1] = -np.inf
    x[2, size // 2 :] = np.nan
    x[3, size - 1] = 9
    x[4] = -7
    for operand in (
        Operand(x),
        Operand(x, [N, M]),
        Operand(x.astype(np.float64)),
        Operand(np.nan_to_num(x, neginf=-128).astype(np.int8), [6, M]),
    ):
        check_dispatch(
            lambda x: ArgReduceOp(x, "max", 1, False, last), [operand], target
        )
