"""What the markers of the project mean."""

from __future__ import annotations

import os

import pytest

from nnc.backend.cross import why_it_cannot_run
from nnc.backend.host import resolve_target

# Tests compile anew, and leave the user's cache alone; those of the cache say so.
os.environ["NNC_CACHE"] = "0"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `isa(name)` where code for that target cannot run."""
    for mark in item.iter_markers("isa"):
        (name,) = mark.args
        if reason := why_it_cannot_run(resolve_target(name)):
            pytest.skip(reason)
