"""Records as plain data, and back."""

import json
from dataclasses import dataclass, make_dataclass
from typing import Any, Literal

import pytest

from nnc.runtime.records import decode, encode, signature


@dataclass(frozen=True)
class Inner:
    name: str
    size: int | None = None


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b"]
    items: tuple[Inner, ...]
    pair: tuple[int, str]
    flag: bool
    ratio: float
    tags: frozenset[str]
    dim: int | str
    one: Inner


VALUE = Outer(
    "b",
    (Inner("x", 1), Inner("é\n")),
    (3, "y"),
    True,
    0.5,
    frozenset({"q", "p"}),
    "N",
    Inner("z", -(2**70)),
)


def through_json(value: object) -> Any:
    return json.loads(json.dumps(encode(value)))


def test_round_trip_is_equal():
    assert decode(Outer, through_json(VALUE)) == VALUE


def test_encoding_does_not_depend_on_the_order_of_sets():
    assert encode(frozenset("cab")) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, "c"),
        (0, []),
        (1, "x"),
        (1, [["x"]]),
        (1, [["x", "1"]]),
        (1, [["x", True]]),
        (2, [1]),
        (2, [1, "y", 2]),
        (3, 1),
        (4, "0.5"),
        (4, None),
        (5, {"q": 1}),
        (6, 1.5),
        (6, None),
        (7, None),
        (7, {"name": "z", "size": 1}),
    ],
)
def test_data_of_another_form_is_refused(position: int, value: Any):
    data = through_json(VALUE)
    data[position] = value
    with pytest.raises(ValueError, match="expected|fields"):
        decode(Outer, data)


@pytest.mark.parametrize("data", [None, 1, {}, [], [1] * 7, [1] * 9])
def test_what_is_no_record_is_refused(data: Any):
    with pytest.raises(ValueError, match="expected|fields"):
        decode(Outer, data)


def test_signature_tells_fields_and_types_apart():
    kinds = [
        make_dataclass("A", fields)
        for fields in ([("x", int)], [("x", int), ("y", int)], [("x", int), ("y", str)])
    ]
    assert len(set(map(signature, kinds))) == 3
    assert signature(kinds[0]) == signature(make_dataclass("A", [("x", int)]))


def test_signature_reaches_records_within_records():
    assert "Inner(name:str,size:int | None)" in signature(Outer)


def test_field_that_cannot_be_stored_is_a_type_error():
    @dataclass(frozen=True)
    class Bad:
        what: Any

    with pytest.raises(TypeError, match="cannot be stored"):
        decode(Bad, [1])
    with pytest.raises(TypeError, match="no plain data"):
        encode(Bad(object()))
