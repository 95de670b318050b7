"""What ONNX Runtime says about a network: the outside oracle of these tests."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import onnxruntime
from catalogue import NETWORKS, Array, Feeds

TOLERANCE = 1e-4
"""Largest allowed `max |a - b| / max |b|`."""


@lru_cache(maxsize=2)
def _session(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(NETWORKS[name].path), options, providers=["CPUExecutionProvider"]
    )


@lru_cache(maxsize=64)
def _outputs(name: str, sizes: tuple[tuple[str, int], ...]) -> tuple[Array, ...]:
    outputs = _session(name).run(None, NETWORKS[name].inputs(**dict(sizes)))
    return tuple(np.asarray(o) for o in outputs)


def reference_outputs(name: str, **sizes: int) -> tuple[Array, ...]:
    """ONNX Runtime's outputs for the network's inputs of these sizes."""
    return _outputs(name, tuple(sorted(sizes.items())))


def relative_error(actual: Array, expected: Array) -> float:
    """`max |actual - expected| / max |expected|`; inf where shapes or NaNs differ."""
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return float("inf")
    if expected.size == 0:
        return 0.0
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    scale = float(np.abs(expected.astype(np.float64)).max()) or 1.0
    worst = float(difference.max()) / scale
    return worst if np.isfinite(worst) else float("inf")


def assert_matches(name: str, actual: list[Array], **sizes: int) -> None:
    """Assert that `actual` are the network's outputs within the tolerance."""
    expected = reference_outputs(name, **sizes)
    assert len(actual) == len(expected)
    for index, (a, b) in enumerate(zip(actual, expected, strict=True)):
        error = relative_error(np.asarray(a), np.asarray(b))
        assert error <= TOLERANCE, (
            f"{name} {sizes}: output {index} is off by {error:.2e}"
        )


__all__ = ["TOLERANCE", "Feeds", "assert_matches", "reference_outputs"]
