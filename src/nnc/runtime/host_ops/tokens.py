"""Strings cut into tokens, as exported text pipelines do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from nnc.runtime.host_ops.call import Attributes, Call, TypeCall
from nnc.runtime.host_ops.regex import Pattern
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.types import HostType, tensor
from nnc.runtime.host_ops.values import (
    STRING,
    HostOpError,
    HostValue,
    described,
    string_array,
)

_START: Final = "\x02"
_END: Final = "\x03"

_Cut: TypeAlias = Callable[[str], list[str]]


def _matches(pattern: Pattern, text: str) -> Iterator[tuple[int, int]]:
    """The longest matches that are not empty, from left to right."""
    place = 0
    while place < len(text):
        end = pattern.longest(text, place)
        if end is None or end == place:
            place += 1
        else:
            yield place, end
            place = end


def _found(pattern: Pattern) -> _Cut:
    return lambda text: [text[a:b] for a, b in _matches(pattern, text)]


def _between(separators: list[Pattern]) -> _Cut:
    def cut(text: str) -> list[str]:
        pieces = [text]
        for separator in separators:
            pieces = [p for piece in pieces for p in _without(separator, piece)]
        return pieces

    return cut


def _without(separator: Pattern, text: str) -> Iterator[str]:
    """What is left of a text between separators."""
    start = 0
    for place, end in _matches(separator, text):
        yield text[start:place]
        start = end
    yield text[start:]


def _cut(attributes: Attributes) -> _Cut:
    """
    What makes tokens of a string.

    Raises:
        HostOpError: an expression is not valid, or there is not just one way.
    """
    if ("tokenexp" in attributes) == ("separators" in attributes):
        raise HostOpError("there must be either separators or an expression for tokens")
    if "tokenexp" in attributes:
        expression = attributes.text("tokenexp")
        return list if expression == "." else _found(Pattern.compiled(expression))
    separators = attributes.texts("separators")
    if separators == [""]:
        return list
    return _between([Pattern.compiled(s) for s in separators])


def _token_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    return tensor(STRING, None if shape is None else (*shape, None))


@host_op("Tokenizer", domain="com.microsoft", types=_token_types)
def _tokenizer(call: Call) -> HostValue:
    x, attributes = call.strings(0), call.attributes
    if x.ndim not in (1, 2):
        raise HostOpError(f"{described(x)}: the shape must be [C] or [N, C]")
    cut, shortest = _cut(attributes), attributes.integer("mincharnum", 1)
    rows = [[t for t in cut(text) if len(t) >= shortest] for text in x.ravel()]
    width = max(map(len, rows), default=0)
    if attributes.integer("mark", 0):
        rows = [[_START, *row, _END] for row in rows]
        width += 2
    pad = attributes.text("pad_value", "")
    padded = (token for row in rows for token in (*row, *[pad] * (width - len(row))))
    return string_array(padded, (*x.shape, width))
