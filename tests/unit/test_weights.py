"""The weight store, and the context that carries it."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.context import Context

from nnc.context import NncContext, weights_of
from nnc.dialects.nn import NN
from nnc.weights import WeightStore


def test_names_stay_unique():
    store = WeightStore()
    names = [store.add("w", np.zeros(i)) for i in range(3)]
    assert names == ["w", "w.1", "w.2"]
    assert [store[n].size for n in names] == [0, 1, 2]
    assert store.add("w.1", np.zeros(9)) == "w.1.1"


def test_arrays_are_shared_and_read_only():
    store, array = WeightStore(), np.zeros(4, np.float32)
    name = store.add("w", array)
    assert np.shares_memory(store[name], array)
    with pytest.raises(ValueError, match="read-only"):
        store[name][0] = 1
    array[0] = 1  # the owner's own view stays writeable


def test_queries():
    store = WeightStore()
    store.add("a", np.zeros(4, np.float32))
    store.add("b", np.zeros(2, np.int64))
    assert "a" in store
    assert "c" not in store
    assert store.get("c") is None
    assert list(store) == ["a", "b"]
    assert len(store) == 2
    assert store.nbytes == 32
    with pytest.raises(KeyError):
        store["c"]


def test_retain_and_copy():
    store = WeightStore()
    for name in "abc":
        store.add(name, np.zeros(1))
    other = store.copy()
    store.retain(["b", "unknown"])
    assert list(store) == ["b"]
    assert list(other) == ["a", "b", "c"]
    other.add("d", np.zeros(1))
    assert "d" not in store


def test_a_cloned_context_has_weights_of_its_own():
    ctx = NncContext()
    ctx.load_dialect(NN)
    ctx.weights.add("w", np.zeros(1))
    clone = ctx.clone()
    assert isinstance(clone, NncContext)
    assert clone.get_op("nn.relu").name == "nn.relu"
    clone.weights.add("x", np.zeros(1))
    assert list(clone.weights) == ["w", "x"]
    assert list(ctx.weights) == ["w"]


def test_weights_of_a_plain_context_are_none():
    assert len(weights_of(Context())) == 0
    ctx = NncContext()
    assert weights_of(ctx) is ctx.weights
