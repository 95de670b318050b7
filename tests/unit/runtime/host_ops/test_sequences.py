"""Sequences and optionals."""

from typing import Any

import numpy as np
import pytest

from nnc.runtime.host_ops.registry import HostOpError, find_host_op, supported_host_ops
from nnc.runtime.host_ops.types import HostType, join, optional, sequence, tensor

A, B, C = (np.full((2, 3), v, np.float32) for v in (1, 2, 3))
INT = np.int64


def same(found: Any, expected: Any) -> bool:
    return len(found) == len(expected) and all(
        np.array_equal(a, b) for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize(
    ("position", "order"),
    [
        (None, [A, B, C]),
        (0, [C, A, B]),
        (2, [A, B, C]),
        (-1, [A, C, B]),
        (-2, [C, A, B]),
    ],
)
def test_insert(host: Any, position: int | None, order: list[Any]):
    given = [A, B]
    place = None if position is None else np.array(position, INT)
    (found,) = host("SequenceInsert", given, C, place)
    assert same(found, order)
    assert same(given, [A, B]), "the input stays"


def test_insert_into_an_empty_sequence(host: Any):
    (empty,) = host("SequenceEmpty", dtype=7)
    assert empty == []
    assert same(host("SequenceInsert", empty, C, np.array(0, INT))[0], [C])


@pytest.mark.parametrize(
    ("position", "left"), [(None, [A, B]), (0, [B, C]), (-1, [A, B]), (1, [A, C])]
)
def test_erase(host: Any, position: int | None, left: list[Any]):
    place = None if position is None else np.array(position, np.int32)
    assert same(host("SequenceErase", [A, B, C], place)[0], left)


def test_look_into(host: Any):
    assert host("SequenceAt", [A, B, C], np.array(-1, INT))[0] is C
    (length,) = host("SequenceLength", [A, B, C])
    assert (length, length.dtype, length.shape) == (3, INT, ())
    assert host("SequenceLength", [])[0] == 0


@pytest.mark.parametrize(
    ("op", "inputs", "text"),
    [
        ("SequenceAt", ([A, B], np.array(2, INT)), "position 2 is out of range"),
        ("SequenceAt", ([], np.array(0, INT)), "sequence of 0"),
        ("SequenceAt", (A, np.array(0, INT)), "must be a sequence, not a tensor"),
        ("SequenceInsert", ([A], B, np.array(-2, INT)), "position -2 is out of range"),
        ("SequenceInsert", ([A], B.astype(INT)), "float32 and int64"),
        ("SequenceErase", ([], None), "is empty"),
        ("SequenceErase", ([A], np.array([0, 1])), "must be one number"),
        ("SequenceConstruct", (A, [B]), "cannot be in a sequence"),
        ("SplitToSequence", (A, np.array([1, 2]), None), "cannot be split into"),
        ("SplitToSequence", (A, np.array(0)), "pieces of 0"),
        ("OptionalGetElement", (None,), "no element"),
    ],
)
def test_bad_data_is_refused(host: Any, op: str, inputs: Any, text: str):
    with pytest.raises(HostOpError, match=text):
        host(op, *inputs)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("split", [None, 1, 2, 5, [1, 1, 2], [0, 4, 0]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_split_agrees_with_the_reference(
    host: Any, engine: Any, axis: int, split: Any, keepdims: int
):
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    inputs = [x, None if split is None else np.array(split, INT)]
    options = {"axis": axis, "keepdims": keepdims}
    (expected,) = engine("reference", "SplitToSequence", *inputs, **options)
    assert same(host("SplitToSequence", *inputs, **options)[0], expected)


def test_split_of_nothing_and_of_strings(host: Any, strings: Any):
    assert host("SplitToSequence", np.zeros((0, 2)))[0] == []
    (parts,) = host("SplitToSequence", strings("a", "b"), keepdims=0)
    assert [p.item() for p in parts] == ["a", "b"]
    assert all(p.dtype == object and p.shape == () for p in parts)


def test_concat(host: Any):
    parts = [A, B[:1], C]
    (joined,) = host("ConcatFromSequence", parts, axis=-2)
    np.testing.assert_array_equal(joined, np.concatenate(parts))
    (stacked,) = host("ConcatFromSequence", [A, B], axis=-1, new_axis=1)
    np.testing.assert_array_equal(stacked, np.stack([A, B], -1))
    for parts, options, text in (
        ([], {"axis": 0}, "empty"),
        ([A, B[:, :1]], {"axis": 0}, "must match"),
        ([A], {"axis": 2}, "axis 2 is out of range"),
    ):
        with pytest.raises(HostOpError, match=text):
            host("ConcatFromSequence", parts, **options)


def test_optionals(host: Any):
    assert host("Optional", A)[0] is A
    assert host("Optional", None)[0] is None
    assert host("OptionalGetElement", A)[0] is A
    for value, has in ((A, True), ([], True), (None, False)):
        (found,) = host("OptionalHasElement", value)
        assert found.dtype == np.bool_
        assert found.item() is has
    assert not host("OptionalHasElement")[0]


# ---------------------------------------------------------------- types


def types_of(op: str, *inputs: Any, **attributes: Any) -> HostType:
    found = find_host_op("", op, 21)
    assert found is not None
    return found.result_types(inputs, attributes)[0]


def test_types_of_sequences():
    x, y = tensor("float32", (2, "N")), tensor("float32", (3, "N"))
    made = types_of("SequenceConstruct", x, y)
    assert made == sequence(tensor("float32", (None, "N")), 2)
    empty = types_of("SequenceEmpty")
    assert types_of("SequenceInsert", empty, x) == sequence(x, 1)
    assert types_of("SequenceInsert", made, x).length == 3
    assert types_of("SequenceErase", made) == sequence(made.element or x, 1)
    assert types_of("SequenceAt", made, tensor("int64", ())) == made.element
    assert types_of("SequenceLength", made).value == (2,)
    split = types_of("SplitToSequence", x, None, axis=1, keepdims=0)
    assert split == sequence(tensor("float32", (2,)))
    both = types_of("ConcatFromSequence", made, axis=1, new_axis=1)
    assert both == tensor("float32", (None, 2, "N"))


def test_joined_types():
    x = tensor("float32", (2, "N"))
    assert join(sequence(tensor("float32"), 0), sequence(x, 3)) == sequence(x)
    assert join(x, tensor("float32", (2, 4))) == tensor("float32", (2, None))
    assert join(x, optional(None)) == optional(x)
    assert join(x, sequence(x)).dtype is None


def test_every_op_is_found_from_its_version_on():
    for (domain, op_type), versions in supported_host_ops().items():
        first = versions[0]
        assert find_host_op(domain, op_type, first - 1) is None
        found = find_host_op(domain, op_type, 99)
        assert found is not None
        assert found.since == versions[-1]
    assert find_host_op("ai.onnx", "SequenceAt", 11) is not None
    assert find_host_op("", "Conv", 11) is None
