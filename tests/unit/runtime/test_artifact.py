"""Plans as text."""

import pytest

from nnc.errors import LoadError
from nnc.runtime.artifact import (
    Allocation,
    Constraint,
    Kernel,
    Launch,
    Plan,
    SizeCheck,
    Slot,
    SymbolSource,
    Tensor,
    Weight,
)

PLAN = Plan(
    exprs=("N", "0", "4*N", "3"),
    inputs=(Tensor('x é"', "float32", ("N", "3"), (0, 3)),),
    outputs=(Tensor("y", "bool", ("N",), (0,)),),
    symbols=(SymbolSource("N", 0, 0),),
    constraints=(Constraint(0, 3, "node\n1"),),
    sizes=(SizeCheck(0, "conv"),),
    allocations=(Allocation(2, 0, 1, None), Allocation(3, 1, 1, 64)),
    weights=(Weight("w", "bfloat16", (2, 3), 12),),
    launches=(Launch("k", 0, 1, (Slot("state", 0, 1), Slot("arena", 1, 2)), "s", "n"),),
    kernels=(Kernel("k", ("add", "relu")),),
)


def test_plan_json_round_trip_is_equal():
    assert Plan.from_json(PLAN.to_json()) == PLAN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"format": 2}',
        PLAN.to_json()[:-10],
        PLAN.to_json().replace('"axis"', '"axes"'),
    ],
    ids=["empty", "no fields", "no record", "format only", "truncated", "renamed"],
)
def test_plan_from_damaged_json_is_load_error(text: str):
    with pytest.raises(LoadError, match="plan is damaged"):
        Plan.from_json(text)


def test_plan_of_other_format_is_load_error():
    text = PLAN.to_json().replace('"format":2', '"format":99')
    with pytest.raises(LoadError, match="another release"):
        Plan.from_json(text)
