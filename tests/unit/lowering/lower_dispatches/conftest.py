"""Targets and data for tests that run kernels."""

from __future__ import annotations

import numpy as np
import pytest

from nnc.backend.host import resolve_target
from nnc.target import Target


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.isa(name))
        for name in ("generic", "avx2", "avx512")
    ]
)
def target(request: pytest.FixtureRequest) -> Target:
    return resolve_target(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
