"""The cases that the `onnx` package has for backends, and those that are to fail."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

with warnings.catch_warnings():
    # Expected values are computed when the suite is imported: overflow is meant.
    warnings.simplefilter("ignore")
    from onnx.backend.test import BackendTest

    from nnc.integrations.onnx_backend import NncBackend

    _SUITE = BackendTest(NncBackend)

EXPECTED_FAILURES = Path(__file__).with_name("expected_failures.toml")

# Networks of the model zoo: those with data in the package run in tests/models.
_LEFT_OUT = ("RealModel",)


@dataclass(frozen=True)
class Case:
    """One case of the suite."""

    name: str
    kind: str
    run: Callable[[object], None]
    """Fails with an exception; the argument is not used."""


@cache
def cases() -> dict[str, Case]:
    """All cases for the CPU, by name."""
    found = [
        Case(name.removesuffix("_cpu"), kind, item.func)
        for kind, items in _SUITE._test_items.items()
        if kind not in _LEFT_OUT
        for name, item in items.items()
        if name.endswith("_cpu")
    ]
    # An operator and a converted network may have the same name.
    by_name = {c.name: c for c in found}
    assert len(by_name) == len(found)
    return by_name


@cache
def expected_failures() -> dict[str, str]:
    """The reason why a case is to fail, by the name of the case."""
    groups = tomllib.loads(EXPECTED_FAILURES.read_text())["failure"]
    return {name: group["reason"] for group in groups for name in group["cases"]}
