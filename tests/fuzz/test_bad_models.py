"""Files, graphs, tensors and operands that are wrong: refused, within bounds."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bad_models import BAD_MODELS, BadModel
from engines import warm_up
from forked import judge

import nnc
from nnc.errors import InputValuesNeeded

_SECONDS = 8
_MEMORY = 512 << 20


@pytest.fixture(autouse=True, scope="module")
def compiler() -> None:
    """Children find the compiler loaded."""
    warm_up()


def compile_and_run(bad: BadModel) -> None:
    """What a user does with a model."""
    feeds = dict(bad.feeds)
    try:
        exe = nnc.compile(bad.source, num_threads=1)
    except InputValuesNeeded as error:
        values = {name: feeds.pop(name) for name in error.inputs}
        exe = nnc.compile(bad.source, num_threads=1, input_values=values)
    with exe:
        exe.run(None, feeds)


@pytest.mark.parametrize("name", BAD_MODELS)
def test_bad_model(name: str, tmp_path: Path) -> None:
    bad = BAD_MODELS[name](tmp_path)
    run = partial(compile_and_run, bad)
    verdict = judge(run, seconds=_SECONDS, memory=_MEMORY, allowed=bad.errors)
    assert verdict.outcome == ("rejected" if bad.errors else "ran"), verdict.text
    assert "secret" not in verdict.text.replace("/secret", "")
