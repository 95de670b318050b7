"""The small models of the onnx package, as seeds of mutations."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
from mutate import Draft
from onnx.backend.test.loader import load_model_tests

_CONVERTED = ("simple", "pytorch-operator", "pytorch-converted")


@cache
def node_cases() -> dict[str, Draft]:
    """Node cases whose inputs are arrays, by name."""
    with warnings.catch_warnings():
        # Expected values are computed here: overflow is meant.
        warnings.simplefilter("ignore")
        found = load_model_tests(kind="node")
    drafts: dict[str, Draft] = {}
    for case in found:
        if case.model is None or not case.data_sets:
            continue
        arrays: Sequence[Any] = case.data_sets[0][0]
        names = [i.name for i in case.model.graph.input]
        if all(isinstance(a, np.ndarray) for a in arrays) and len(names) == len(arrays):
            feeds = dict(zip(names, arrays, strict=True))
            drafts[case.name] = Draft(case.model, feeds, random.Random(0))
    return drafts


@cache
def small_files() -> Sequence[bytes]:
    """Serialized models: node cases and small networks of the package."""
    files = [d.model.SerializeToString() for d in node_cases().values()]
    for kind in _CONVERTED:
        for case in load_model_tests(kind=kind):
            model = onnx.load(f"{case.model_dir}/model.onnx")
            data = model.SerializeToString()
            if len(data) < 100_000:
                files.append(data)
    return files
