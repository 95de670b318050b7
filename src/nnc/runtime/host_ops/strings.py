"""Strings: joined, split, compared and normalised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from nnc.runtime.host_ops.call import Call, TypeCall
from nnc.runtime.host_ops.regex import Pattern
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.shape_rules import broadcast_sizes
from nnc.runtime.host_ops.types import HostType, tensor
from nnc.runtime.host_ops.values import (
    STRING,
    Array,
    HostOpError,
    HostValue,
    described,
    string_array,
)


def _broadcast(a: Array, b: Array) -> tuple[Array, Array]:
    try:
        x, y = np.broadcast_arrays(a, b)
    except ValueError as error:
        raise HostOpError(
            f"{described(a)} and {described(b)} cannot be broadcast"
        ) from error
    return x, y


# ---------------------------------------------------------------- joined and split


def _concat_types(call: TypeCall) -> HostType:
    return tensor(STRING, broadcast_sizes(call.shape(0), call.shape(1)))


@host_op("StringConcat", since=20, types=_concat_types)
def _concat(call: Call) -> HostValue:
    x, y = _broadcast(call.strings(0), call.strings(1))
    pairs = zip(x.ravel(), y.ravel(), strict=True)
    return string_array((a + b for a, b in pairs), x.shape)


def _split_types(call: TypeCall) -> tuple[HostType, HostType]:
    shape = call.shape(0)
    longer = None if shape is None else (*shape, None)
    return tensor(STRING, longer), tensor("int64", shape)


@host_op("StringSplit", since=20, types=_split_types)
def _split(call: Call) -> tuple[HostValue, HostValue]:
    x = call.strings(0)
    delimiter = call.attributes.text("delimiter", "") or None
    most = -1
    if "maxsplit" in call.attributes:
        most = call.attributes.integer("maxsplit")
    parts: list[list[str]] = [_parts(text, delimiter, most) for text in x.ravel()]
    width = max(map(len, parts), default=0)
    padded = (part for p in parts for part in (*p, *[""] * (width - len(p))))
    counts = np.array([len(p) for p in parts], np.int64)
    return string_array(padded, (*x.shape, width)), counts.reshape(x.shape)


def _parts(text: str, delimiter: str | None, most: int) -> list[str]:
    parts = text.split(delimiter, most)
    if delimiter is None and most >= 0 and len(parts) == most + 1:
        # Python leaves the whitespace at the end of a rest that is not split.
        parts[-1] = parts[-1].rstrip()
    return parts


# ---------------------------------------------------------------- compared


def _bool_types(call: TypeCall) -> HostType:
    return tensor("bool", broadcast_sizes(call.shape(0), call.shape(1)))


@host_op("Equal", types=_bool_types)
def _equal(call: Call) -> HostValue:
    x, y = _broadcast(call.tensor(0), call.tensor(1))
    return np.asarray(np.equal(x, y), np.bool_)


def _match_types(call: TypeCall) -> HostType:
    return tensor("bool", call.shape(0))


@host_op("RegexFullMatch", since=20, types=_match_types)
def _regex_full_match(call: Call) -> HostValue:
    x = call.strings(0)
    pattern = Pattern.compiled(call.attributes.text("pattern", ""))
    matches = np.fromiter(map(pattern.matches, x.ravel()), np.bool_, x.size)
    return matches.reshape(x.shape)


# ---------------------------------------------------------------- normalised

# Languages whose i has its dot in both cases.
_DOTTED_I: Final = ("tr", "az")


def _upper(text: str, locale: str) -> str:
    if locale[:2].lower() in _DOTTED_I:
        text = text.replace("i", "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}")
    return text.upper()


def _lower(text: str, locale: str) -> str:
    if locale[:2].lower() in _DOTTED_I:
        text = text.replace("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i")
        text = text.replace("I", "\N{LATIN SMALL LETTER DOTLESS I}")
    return text.lower()


def _unchanged(text: str, locale: str) -> str:
    return text


_CASES: Final[dict[str, Callable[[str, str], str]]] = {
    "NONE": _unchanged,
    "LOWER": _lower,
    "UPPER": _upper,
}


def _normalizer_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    if shape is None:
        return tensor(STRING)
    return tensor(STRING, (None,) if len(shape) == 1 else (1, None))


@host_op("StringNormalizer", since=10, types=_normalizer_types)
def _normalize(call: Call) -> HostValue:
    x = call.strings(0)
    if x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[0] != 1):
        raise HostOpError(f"{described(x)}: the shape must be [C] or [1, C]")
    attributes = call.attributes
    locale = attributes.text("locale", "en_US")
    action = attributes.text("case_change_action", "NONE")
    if action not in _CASES:
        raise HostOpError(
            f"case_change_action '{action[:40]}' is none of {', '.join(_CASES)}"
        )
    words = list(x.ravel())
    if not attributes.integer("is_case_sensitive", 0):
        kept = _without(words, attributes.texts("stopwords", []), locale)
    else:
        stop = set(attributes.texts("stopwords", []))
        kept = [w for w in words if w not in stop]
    # What is left of nothing is one empty string.
    changed = [_CASES[action](w, locale) for w in kept] or [""]
    return string_array(changed, (len(changed),) if x.ndim == 1 else (1, len(changed)))


def _without(words: Sequence[str], stop_words: Sequence[str], locale: str) -> list[str]:
    """The words that differ from stop words in more than case."""
    stop = {_lower(w, locale) for w in stop_words}
    return [w for w in words if _lower(w, locale) not in stop]
