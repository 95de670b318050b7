"""
The beginnings of the fuzzers' runs, the same in every run of the tests.

Longer runs are made by hand: `python tests/fuzz/mutants.py --minutes 60 --seed 1`, and
`random_models.py`, `files.py` and `guards.py` in the same way. They write down what
they find.
"""

from __future__ import annotations

import ctypes
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from campaign import Case
from engines import Engine, warm_up
from files import damaged_files
from forked import judge
from guarded import Guards, Side
from guards import guarded_runs
from mutants import mutants
from random_models import check, judged, random_model
from writer import Impossible, Written

from nnc.errors import InternalError, ModelError

_EXAMPLES = 75


@pytest.fixture(autouse=True, scope="module")
def compiler() -> None:
    """Children find the compiler loaded."""
    warm_up()


# ---------------------------------------------------------------- the tools themselves


def raises(error: BaseException) -> Callable[[], None]:
    """A case that raises."""

    def case() -> None:
        raise error

    return case


def loops() -> None:
    """A case that does not end."""
    while True:
        pass


def writes_to_null() -> None:
    """A case that crashes."""
    ctypes.memset(0, 0, 1)


@pytest.mark.parametrize(
    ("case", "outcome", "kind"),
    [
        (lambda: None, "ran", ""),
        (raises(ModelError("bad")), "rejected", "ModelError"),
        (raises(InternalError("bug")), "finding", "InternalError"),
        (raises(KeyError("k")), "finding", "KeyError"),
        (raises(SystemExit(0)), "finding", ""),
        (writes_to_null, "finding", "SIGSEGV"),
        (loops, "finding", "more than 1 s"),
        (lambda: np.ones(2**34), "finding", "MemoryError"),
    ],
)
def test_verdicts(case: Callable[[], object], outcome: str, kind: str) -> None:
    verdict = judge(case, seconds=1)
    assert verdict.outcome == outcome
    assert kind in verdict.kind


@pytest.mark.parametrize("side", ["left", "right"])
def test_guards_end_what_leaves_a_buffer(side: Side) -> None:
    def touch(offset: int) -> None:
        guards = Guards(side)
        array = guards.copy(np.zeros(31, np.float32))
        ctypes.memset(array.ctypes.data + offset, 0, 1)

    assert judge(partial(touch, 0)).outcome == "ran"
    assert judge(partial(touch, 123)).outcome == "ran"
    outside = -1 if side == "left" else 124
    assert judge(partial(touch, outside)).kind.startswith("SIGSEGV")


# ---------------------------------------------------------------- the fuzzers


@pytest.mark.parametrize(
    ("cases", "count"),
    [(mutants, 80), (damaged_files, 150), (guarded_runs, 60)],
    ids=["mutants", "files", "guards"],
)
def test_no_case_is_a_finding(
    cases: Callable[[int], Iterator[Case]], count: int
) -> None:
    for case in itertools.islice(cases(0), count):
        verdict = case.judge()
        assert verdict.outcome != "finding", f"{case.name}: {verdict.text}"


@st.composite
def models(draw: st.DrawFn) -> Written:
    """Random valid models, smaller ones where a failure is shrunk."""
    try:
        return random_model(draw(st.randoms(use_true_random=False)))
    except Impossible:
        reject()


@settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)
@given(models(), st.randoms(use_true_random=False))
def test_random_models_compute_what_the_reference_does(
    written: Written, chance: random.Random
) -> None:
    engine = Engine.random(chance)
    verdict = judged(partial(check, written, engine))
    assert verdict.outcome != "finding", f"{engine}\n{written.model}\n{verdict.text}"
