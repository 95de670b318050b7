"""Cutting payloads out of protobuf messages, against protobuf itself."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from nnc.frontends.loader.protobuf import MIN_PAYLOAD, without_payloads

PATH = (
    ModelProto.GRAPH_FIELD_NUMBER,
    7 - 2,  # GraphProto.initializer
    TensorProto.RAW_DATA_FIELD_NUMBER,
)


def model_of(*sizes: int) -> ModelProto:
    """A model with weights of these numbers of bytes."""
    weights = [
        numpy_helper.from_array(np.arange(n, dtype=np.int64).astype(np.uint8), f"w{i}")
        for i, n in enumerate(sizes)
    ]
    node = helper.make_node("Identity", ["w0"], ["y"])
    info = helper.make_tensor_value_info("y", TensorProto.UINT8, None)
    return helper.make_model(helper.make_graph([node], "g", [], [info], weights))


def test_payloads_are_cut_and_the_rest_stays():
    sizes = (10, MIN_PAYLOAD, 3 * MIN_PAYLOAD + 1, 0, MIN_PAYLOAD - 1, 200_000)
    model = model_of(*sizes)
    data = memoryview(model.SerializeToString())
    slim = without_payloads(data, PATH)
    assert slim is not None
    assert sorted(slim.payloads) == [1, 2, 5]
    for index, payload in slim.payloads.items():
        raw = model.graph.initializer[index].raw_data
        assert bytes(data[payload.start : payload.end]) == raw
    rest = ModelProto.FromString(slim.data)
    for index in slim.payloads:
        assert rest.graph.initializer[index].raw_data == b""
        rest.graph.initializer[index].raw_data = model.graph.initializer[index].raw_data
    assert rest == model


def test_small_payloads_stay():
    assert without_payloads(memoryview(model_of(10).SerializeToString()), PATH) is None


def test_truncated_messages_are_left_to_the_parser():
    data = model_of(MIN_PAYLOAD).SerializeToString()
    for length in range(0, len(data), 7):
        slim = without_payloads(memoryview(data[:length]), PATH)
        assert slim is None


def test_repeated_singular_fields_are_left_to_the_parser():
    data = model_of(MIN_PAYLOAD).SerializeToString()
    # Concatenated messages merge.
    assert without_payloads(memoryview(data + data), PATH) is None


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_never_crash(seed: int):
    data = np.random.default_rng(seed).bytes(10_000)
    slim = without_payloads(memoryview(data), PATH)
    assert slim is None or len(slim.data) < len(data)
