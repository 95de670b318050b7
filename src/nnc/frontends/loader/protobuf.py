"""
Taking large byte fields out of protobuf messages before they are parsed.

A parser copies every `bytes` field, and Python copies it once more when it is read.
For weights that is most of the time of loading a model. `without_payloads` walks the
wire format along one path of nested messages, cuts the large byte fields at its end,
and returns them as ranges of the original bytes; the rest is for the real parser, which
also judges whether the message is valid at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
MIN_PAYLOAD: Final = 4096
"""Smaller byte fields stay where they are."""


class _MalformedError(Exception):
    """The bytes are not what this module understands; the parser will tell why."""


@dataclass(frozen=True)
class Payload:
    """A byte field that was cut out: `data[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True)
class Slimmed:
    """A message without its large byte fields."""

    data: bytes
    payloads: dict[int, Payload]
    """What was cut, by the position of its message among its repeated siblings."""


@dataclass(frozen=True)
class _Field:
    number: int
    wire_type: int
    key: int
    start: int
    end: int


def without_payloads(data: memoryview, path: Sequence[int]) -> Slimmed | None:
    """
    `data` without the large byte fields at the end of `path`.

    `path` holds field numbers: singular messages, then one repeated message, then the
    byte field in each of those. None where the bytes are not of that form.
    """
    try:
        return _Slimmer(data, path).run()
    except _MalformedError:
        return None


class _Slimmer:
    def __init__(self, data: memoryview, path: Sequence[int]) -> None:
        self.data = data
        self.path = path
        self.payloads: dict[int, Payload] = {}
        self.count = 0

    def run(self) -> Slimmed | None:
        pieces = self._message(0, len(self.data), 0)
        return Slimmed(b"".join(pieces), self.payloads) if self.payloads else None

    def _message(self, start: int, end: int, level: int) -> list[memoryview | bytes]:
        """The pieces of one message of the path, its cut parts left out."""
        wanted = self.path[level]
        repeated, last = level == len(self.path) - 2, level == len(self.path) - 1
        pieces: list[memoryview | bytes] = []
        copied, found = start, 0
        for field in _fields(self.data, start, end):
            if field.number != wanted or field.wire_type != _BYTES:
                continue
            found += 1
            if found > 1 and not repeated:
                # Parsers merge messages and keep the last bytes; leave that to them.
                raise _MalformedError
            if last:
                if field.end - field.start < MIN_PAYLOAD:
                    continue
                pieces.append(self.data[copied : field.key])
                self.payloads[self.count] = Payload(field.start, field.end)
                copied = field.end
                continue
            before = len(self.payloads)
            inner = self._message(field.start, field.end, level + 1)
            if repeated:
                self.count += 1
            if len(self.payloads) == before:
                continue
            size = sum(map(len, inner))
            pieces.append(self.data[copied : field.key])
            pieces.append(_varint_bytes(field.number << 3 | _BYTES))
            pieces.append(_varint_bytes(size))
            pieces.extend(inner)
            copied = field.end
        pieces.append(self.data[copied:end])
        return pieces


def _fields(data: memoryview, position: int, end: int) -> Iterator[_Field]:
    while position < end:
        key = position
        tag, position = _varint(data, position, end)
        wire_type = tag & 7
        start = position
        if wire_type == _BYTES:
            size, start = _varint(data, position, end)
            position = start + size
        elif wire_type == _VARINT:
            _, position = _varint(data, position, end)
        elif wire_type == _FIXED32:
            position += 4
        elif wire_type == _FIXED64:
            position += 8
        else:
            raise _MalformedError
        if position > end:
            raise _MalformedError
        yield _Field(tag >> 3, wire_type, key, start, position)


def _varint(data: memoryview, position: int, end: int) -> tuple[int, int]:
    """A variable-length integer, and the position after it."""
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _MalformedError


def _varint_bytes(value: int) -> bytes:
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
