"""
Frozen dataclasses as plain data (numbers, texts, lists and dicts), and back.

What comes back is checked against the annotations of the class: a file that was damaged
or written by another release is refused, whatever fields the records may have got. A
record becomes the list of its fields' values in order; `signature` tells whether a
reader means the same fields.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import (
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

T = TypeVar("T")

Plain = Any
"""What JSON can hold."""

Decoder = Callable[[Plain], Any]


def encode(value: object) -> Plain:
    """`value` as plain data: a record, number, text, or a tuple or set of such."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [encode(v) for v in cast("list[object]", value)]
    if isinstance(value, frozenset):
        return sorted(encode(v) for v in cast("frozenset[object]", value))
    if is_dataclass(value):
        return [encode(getattr(value, f.name)) for f in fields(value)]
    raise TypeError(f"{type(value).__name__} is no plain data")


def decode(kind: type[T], data: Plain) -> T:
    """
    The record of class `kind` that `encode` made `data` from.

    Raises:
        ValueError: the data is not of the form that the class describes.
    """
    return _decoder(kind)(data)


@cache
def signature(kind: type) -> str:
    """The names and types of a class's fields and of the records in them, as text."""
    seen: dict[type, str] = {}
    _describe(kind, seen)
    return ";".join(f"{k.__name__}({text})" for k, text in seen.items())


def _describe(hint: Any, seen: dict[type, str]) -> None:
    for inner in get_args(hint):
        _describe(inner, seen)
    if isinstance(hint, type) and is_dataclass(hint) and hint not in seen:
        hints = get_type_hints(hint)
        names = [f.name for f in fields(hint)]
        seen[hint] = ",".join(f"{name}:{_text(hints[name])}" for name in names)
        for name in names:
            _describe(hints[name], seen)


def _text(hint: Any) -> str:
    if isinstance(hint, type) and not get_args(hint):
        return hint.__name__
    return str(hint)


# ---- decoders, made once a type


@cache
def _decoder(hint: Any) -> Decoder:
    """What turns plain data into a value of an annotation."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        raise TypeError(f"a field of type {hint} cannot be stored")
    if origin is tuple:
        return _tuple_decoder(args)
    if origin is frozenset:
        items = _decoder(args[0])
        return lambda data: frozenset(map(items, _list(data)))
    if origin is Literal:
        return _literal_decoder(args)
    if origin in (Union, types.UnionType):
        return _union_decoder(args)
    if is_dataclass(hint):
        return _record_decoder(cast(type, hint))
    if hint is float:
        return _float
    if hint in (bool, int, str, types.NoneType):
        return _scalar_decoder(hint)
    raise TypeError(f"a field of type {hint} cannot be stored")


def _list(data: Plain) -> list[Plain]:
    if type(data) is not list:
        raise ValueError(f"expected a list, got {_shown(data)}")
    return cast("list[Plain]", data)


def _tuple_decoder(args: tuple[Any, ...]) -> Decoder:
    if len(args) == 2 and args[1] is Ellipsis:
        items = _decoder(args[0])
        return lambda data: tuple(map(items, _list(data)))
    decoders = [_decoder(a) for a in args]

    def decode_fixed(data: Plain) -> tuple[Any, ...]:
        values = _list(data)
        if len(values) != len(decoders):
            raise ValueError(f"expected {len(decoders)} values, got {len(values)}")
        return tuple(d(v) for d, v in zip(decoders, values, strict=True))

    return decode_fixed


def _literal_decoder(args: tuple[Any, ...]) -> Decoder:
    known: set[tuple[object, object]] = {(type(a), a) for a in args}

    def decode_literal(data: Plain) -> Any:
        if type(data) not in (str, int, bool) or (type(data), data) not in known:
            raise ValueError(f"expected one of {args}, got {_shown(data)}")
        return data

    return decode_literal


def _union_decoder(args: tuple[Any, ...]) -> Decoder:
    """One of several plain types, or a record or None."""
    others = [a for a in args if a is not types.NoneType]
    has_none = len(others) < len(args)
    scalars = {a for a in others if a in (bool, int, str, float)}
    if len(others) != 1 and len(scalars) != len(others):
        raise TypeError(f"a field of the types {args} cannot be stored")
    single = _decoder(others[0]) if len(others) == 1 else None

    def decode_union(data: Plain) -> Any:
        if data is None and has_none:
            return None
        if single is not None:
            return single(data)
        if type(data) not in scalars:
            raise ValueError(f"expected one of {args}, got {_shown(data)}")
        return data

    return decode_union


def _scalar_decoder(kind: type) -> Decoder:
    def decode_scalar(data: Plain) -> Any:
        # Not isinstance: a bool is an int.
        if type(data) is not kind:
            raise ValueError(f"expected {kind.__name__}, got {_shown(data)}")
        return data

    return decode_scalar


def _float(data: Plain) -> float:
    if type(data) not in (int, float):
        raise ValueError(f"expected float, got {_shown(data)}")
    return float(data)


def _record_decoder(kind: type) -> Decoder:
    hints = get_type_hints(kind)
    # Made when they are first needed: a record may hold records of its own class.
    decoders: list[Decoder] = []

    def decode_record(data: Plain) -> Any:
        if not decoders:
            decoders.extend(_decoder(hints[f.name]) for f in fields(kind))
        values = _list(data)
        if len(values) != len(decoders):
            raise ValueError(
                f"{kind.__name__} has {len(decoders)} fields, got {len(values)}"
            )
        return kind(*[d(v) for d, v in zip(decoders, values, strict=True)])

    return decode_record


def _shown(data: Plain) -> str:
    text = repr(data)
    return text if len(text) <= 40 else f"{text[:37]}..."
