"""Movement of strings, against the same movement of numbers and ONNX Runtime."""

from typing import Any

import numpy as np
import pytest

from nnc.runtime.host_ops.registry import HostOpError, find_host_op
from nnc.runtime.host_ops.types import tensor
from nnc.runtime.host_ops.values import string_array

I64 = np.int64


def numbered(*shape: int) -> Any:
    """Different strings."""
    return string_array(map(str, range(int(np.prod(shape)))), shape)


def vector(*values: int) -> Any:
    return np.array(values, I64)


X = numbered(2, 3, 4)
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("Reshape", [X, vector(4, -1)], {}),
    ("Reshape", [X, vector(0, 12)], {}),
    ("Flatten", [X], {"axis": 2}),
    ("Squeeze", [numbered(1, 2, 1)], {}),
    ("Squeeze", [numbered(1, 2, 1), vector(-1)], {}),
    ("Unsqueeze", [X, vector(0, -1)], {}),
    ("Transpose", [X], {}),
    ("Transpose", [X], {"perm": [1, 0, 2]}),
    ("Concat", [X, X[:1]], {"axis": 0}),
    ("Concat", [X, X[:, :, :0]], {"axis": -1}),
    ("Split", [X, vector(1, 3)], {"axis": -1}),
    ("Split", [X], {"axis": 2, "num_outputs": 2}),
    ("Slice", [X, vector(-1, 3), vector(-100, 0), vector(1, 2), vector(-1, -2)], {}),
    ("Slice", [X, vector(1), vector(2**62)], {}),
    ("Slice", [X, vector(5), vector(1), vector(2)], {}),
    ("Compress", [X, np.array([True, False, True])], {"axis": 1}),
    ("Compress", [X, np.array([False, True])], {}),
    ("Expand", [numbered(3, 1), vector(2, 1, 4)], {}),
    ("Tile", [X, vector(1, 2, 0)], {}),
    ("Tile", [numbered(2, 1), vector(2, 3)], {}),
    ("Where", [np.array([[True], [False]]), numbered(2), numbered(1)], {}),
    ("Shape", [X], {"start": -2}),
    ("Size", [X], {}),
    ("Gather", [X, vector(-1, 0)], {"axis": 1}),
    ("Gather", [numbered(3), np.array(1, I64)], {}),
    ("GatherElements", [X[0], np.array([[0, -1, 2]])], {"axis": 1}),
    ("GatherND", [X, np.array([[0, -1], [1, 0]])], {}),
    ("GatherND", [numbered(3), vector(-1)], {}),
    ("GatherND", [X, np.array([[1], [0]])], {"batch_dims": 1}),
    ("ScatterElements", [X[0], np.array([[1, 2]]), numbered(1, 2)], {"axis": 1}),
    ("ScatterND", [X, np.array([[1]]), numbered(1, 3, 4)], {}),
    ("OneHot", [vector(1, -1, 7), np.array(3), np.array(["no", "yes"], object)], {}),
    ("OneHot", [vector(0), np.array(2), np.array(["n", "y"], object)], {"axis": 0}),
    ("Pad", [X[0], vector(1, 0, 0, 2), np.array("p", object)], {}),
    ("Unique", [numbered(3)[[2, 0, 2, 1]]], {"sorted": 0}),
    ("Unique", [X[:, [0, 0, 1]]], {"axis": 1}),
    ("ReverseSequence", [X, vector(2, 1, 0)], {}),
    ("DepthToSpace", [numbered(1, 4, 2, 2)], {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", [numbered(1, 1, 4, 2)], {"blocksize": 2}),
]
IDS = [f"{op}-{i}" for i, (op, _, _) in enumerate(CASES)]


@pytest.mark.parametrize(("op", "inputs", "options"), CASES, ids=IDS)
def test_strings_move_as_in_onnx_runtime(
    host: Any, engine: Any, op: str, inputs: list[Any], options: dict[str, Any]
):
    inputs = [np.asarray(x) for x in inputs]
    outputs = {"Split": 2, "Unique": 4}.get(op, 1)
    # Of what it does not know for strings, or gets wrong, the reference is asked.
    known = op not in ("Pad", "Compress", "DepthToSpace", "SpaceToDepth", "Gather")
    expected = engine(
        "ort" if known else "reference", op, *inputs, outputs=outputs, **options
    )
    found_op = find_host_op("", op, 21)
    assert found_op is not None
    found: list[Any] = list(found_op.run(inputs, options, outputs))
    assert [f.shape for f in found] == [e.shape for e in expected]
    assert [f.tolist() for f in found] == [e.tolist() for e in expected]
    assert all(isinstance(f, np.ndarray) for f in found)


@pytest.mark.parametrize(("op", "inputs", "options"), CASES, ids=IDS)
def test_types_hold_for_what_is_computed(
    op: str, inputs: list[Any], options: dict[str, Any]
):
    outputs = {"Split": 2, "Unique": 4}.get(op, 1)
    found_op = find_host_op("", op, 21)
    assert found_op is not None
    from nnc.runtime.host_ops.shapes import type_of

    inputs = [np.asarray(x) for x in inputs]
    results: list[Any] = list(found_op.run(inputs, options, outputs))
    types = [type_of(x) for x in inputs]
    for known in (types, [tensor(t.dtype, t.shape) for t in types]):
        claimed = found_op.result_types(known, options, outputs)
        for claim, result in zip(claimed, results, strict=True):
            assert claim.dtype == type_of(result).dtype
            if claim.shape is not None:
                assert len(claim.shape) == result.ndim
                pairs = zip(claim.shape, result.shape, strict=True)
                assert all(a is None or a == b for a, b in pairs)
            if claim.value is not None:
                assert list(claim.value) == result.ravel().tolist()


def test_names_of_sizes_go_through():
    found = find_host_op("", "Transpose", 21)
    assert found is not None
    (claim,) = found.result_types([tensor("string", ("N", 3, "M"))], {})
    assert claim == tensor("string", ("M", 3, "N"))
    joined = find_host_op("", "Expand", 21)
    assert joined is not None
    sizes = tensor("int64", (2,))
    (claim,) = joined.result_types([tensor("string", ("N",)), sizes], {})
    assert claim == tensor("string", (None, None))


@pytest.mark.parametrize(
    ("op", "inputs", "options", "text"),
    [
        ("Reshape", [X, vector(5, -1)], {}, "cannot reshape"),
        ("Gather", [X, vector(3)], {"axis": 1}, "index 3 is out of range"),
        ("Gather", [X, vector(0)], {"axis": 3}, "axis 3 is out of range"),
        ("GatherND", [X, np.array([[0, 3]])], {}, "index 3 is out of range"),
        ("GatherElements", [X, np.zeros((3, 1, 1), I64)], {"axis": 1}, "do not"),
        ("ScatterND", [X, np.array([[2]]), X[:1]], {}, "index 2 is out of range"),
        ("ScatterElements", [X, vector(0), X], {"reduction": "add"}, "'add'"),
        ("Transpose", [X], {"perm": [0, 0, 1]}, "no order of 3 axes"),
        ("Slice", [X, vector(0), vector(1), vector(0), vector(0)], {}, "a step is 0"),
        ("Concat", [X, X[0]], {"axis": 0}, "dimensions"),
        ("Split", [X, vector(1, 2)], {"axis": 2}, "cannot be split"),
        ("Squeeze", [X, vector(0)], {}, "squeeze"),
        ("Expand", [X, vector(5, 4)], {}, "broadcast"),
        ("Pad", [X, vector(1, 0)], {}, "2 pads for 3 axes"),
        ("Where", [np.ones(2, bool), X, X], {}, "broadcast"),
    ],
)
def test_bad_data_is_refused(
    host: Any, op: str, inputs: list[Any], options: dict[str, Any], text: str
):
    with pytest.raises(HostOpError, match=text):
        host(op, *inputs, **options)


def test_constants(host: Any):
    assert host("Constant", value_strings=["a", b"b"])[0].tolist() == ["a", "b"]
    assert host("Constant", value_string="a")[0].item() == "a"
    assert host("Constant", value=X)[0] is X


def test_trilu_and_non_zero_of_strings(host: Any):
    square = numbered(2, 2)
    assert host("Trilu", square, upper=0)[0].tolist() == [["0", ""], ["2", "3"]]
    (places,) = host("NonZero", np.array(["a", "", "b"], object))
    assert places.tolist() == [[0, 2]]
