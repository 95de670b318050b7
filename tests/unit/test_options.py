"""Types of options, checked at run time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnc
from nnc.errors import CompileError
from nnc.options import CompileOptions, check_input_shapes
from nnc.target import Target


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"target": Target.named("avx2")},
        {"num_threads": 1},
        {"winograd": "f2"},
        {"num_threads": np.int64(1)},
        {"input_shapes": {"x": ("N", 3), "y": [np.int64(2), None], "z": []}},
    ],
)
def test_good_options_pass(given: dict[str, Any]) -> None:
    CompileOptions(**given).check()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target": 3}, "target must be a name or an nnc.Target, got 3 of type int"),
        ({"target": None}, "target must be a name or an nnc.Target, got None"),
        ({"num_threads": "a"}, "num_threads must be an int or None, got 'a'"),
        ({"num_threads": True}, "num_threads must be an int or None, got True"),
        ({"num_threads": 1.0}, "num_threads must be an int or None, got 1.0"),
        ({"precision": 32}, "precision must be a string, got 32"),
        ({"pipeline": ["cse"]}, "pipeline must be a string or None"),
        ({"winograd": True}, "winograd must be a string, got True"),
        ({"winograd": "f8"}, "winograd='f8' is none of 'auto', 'off', 'f2', 'f4'"),
        ({"cache": "no"}, "cache must be a bool, got 'no'"),
        ({"tune": 1}, "tune must be a bool, got 1"),
        ({"input_shapes": 5}, "input_shapes must be a mapping .*, got 5"),
        ({"input_shapes": {1: [2]}}, "input_shapes must be a mapping whose keys"),
        ({"input_shapes": {"x": 5}}, r"input_shapes\['x'\] must be a sequence"),
        ({"input_shapes": {"x": "N,3"}}, r"input_shapes\['x'\] must be a sequence"),
        ({"input_shapes": {"x": [2.5]}}, r"numbers and names, got 2.5 of type float"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_wrong_type_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        CompileOptions(**given).check()
    with pytest.raises(CompileError, match=message):
        nnc.compile("there is no such file", **given)


def test_long_values_are_shortened() -> None:
    with pytest.raises(CompileError) as error:
        check_input_shapes(list(range(1000)))
    assert len(str(error.value)) < 200
