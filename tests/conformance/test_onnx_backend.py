"""
The `onnx` package's own cases for backends, through `NncBackend`.

A case fails if it is not in `expected_failures.toml` and does not pass, and also if it
is there and passes. `update_expected_failures.py` writes that list.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cases import Case, cases, expected_failures
from ops_of_cases import OPS_OF_CASES
from ops_of_cases import text as ops_of_cases


def _parameters() -> list[object]:
    reasons = expected_failures()
    return [
        pytest.param(
            case,
            id=name,
            marks=[pytest.mark.xfail(reason=reasons[name], strict=True)]
            if name in reasons
            else [],
        )
        for name, case in sorted(cases().items())
    ]


@pytest.mark.filterwarnings("ignore")  # of the suite's own comparisons
@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", _parameters())
def test_case(case: Case):
    case.run(None)


def test_every_expected_failure_is_a_case():
    assert not sorted(expected_failures().keys() - cases().keys())


def test_the_suite_is_whole():
    assert len(cases()) >= 2024


def test_ops_of_cases_are_up_to_date():
    assert OPS_OF_CASES.read_text() == ops_of_cases(), "run ops_of_cases.py"
