"""
Parses regular expressions in the syntax of RE2.

It has no look-around and no references back, so every expression is one in the strict
sense: a finite automaton decides it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from nnc.runtime.host_ops.regex_classes import (
    ANY,
    CATEGORIES,
    NO_NEWLINE,
    PERL,
    POSIX,
    CharacterSet,
)
from nnc.runtime.host_ops.values import HostOpError

MAX_REPEATS: Final = 1000
_MAX_DEPTH: Final = 100
_CONTROL: Final = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_OCTAL: Final = "01234567"
_HEX: Final = "0123456789abcdefABCDEF"


@dataclass(frozen=True)
class Characters:
    """One character of a set."""

    set: CharacterSet


@dataclass(frozen=True)
class Assertion:
    """
    Nothing, at a place that is of a kind.

    The kinds are `start` and `end` of the text, `line start`, `line end`, `boundary` of
    a word, and `inside` for no boundary.
    """

    kind: str


@dataclass(frozen=True)
class Sequence:
    """One part after the other; nothing if there are no parts."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Choice:
    """One of the parts."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Repeat:
    """A part, from `least` to `most` times; any number if `most` is None."""

    part: Expression
    least: int
    most: int | None


Expression: TypeAlias = "Characters | Assertion | Sequence | Choice | Repeat"


@dataclass(frozen=True)
class _Flags:
    i: bool = False
    m: bool = False
    s: bool = False


def parsed(pattern: str) -> Expression:
    """
    The expression that a pattern spells.

    Raises:
        HostOpError: it is not in the syntax of RE2, or too deep, or uses what is not
            supported: single bytes and the scripts of Unicode.
    """
    parser = _Parser(pattern)
    expression = parser.choice(0)
    if not parser.at_end:
        raise parser.error("there is a ')' too many")
    return expression


class _Parser:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._flags = _Flags()

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._pattern)

    def error(self, text: str) -> HostOpError:
        shown = self._pattern if len(self._pattern) <= 60 else self._pattern[:57] + "…"
        return HostOpError(f"pattern '{shown}', position {self._at}: {text}")

    # ---- characters of the pattern

    def _next(self) -> str:
        if self.at_end:
            raise self.error("the pattern ends too early")
        self._at += 1
        return self._pattern[self._at - 1]

    def _skips(self, text: str) -> bool:
        if self._pattern.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _while(self, allowed: str, most: int) -> str:
        start = self._at
        while (
            not self.at_end
            and self._at - start < most
            and self._pattern[self._at] in allowed
        ):
            self._at += 1
        return self._pattern[start : self._at]

    # ---- structure

    def choice(self, depth: int) -> Expression:
        if depth > _MAX_DEPTH:
            raise self.error(f"groups are nested more than {_MAX_DEPTH} deep")
        parts = [self._sequence(depth)]
        while self._skips("|"):
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, depth: int) -> Expression:
        parts: list[Expression] = []
        while not self.at_end and self._pattern[self._at] not in "|)":
            if self._skips("\\Q"):
                new: list[Expression] = self._quoted()
            else:
                single = self._single(depth)
                new = [] if single is None else [single]
            if new:
                new[-1] = self._repeated(new[-1])
            parts += new
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _quoted(self) -> list[Expression]:
        """Plain text up to `\\E`."""
        text, _, _ = self._pattern[self._at :].partition("\\E")
        self._at += len(text)
        self._skips("\\E")
        return [self._literal(c) for c in text]

    def _repeated(self, part: Expression) -> Expression:
        bounds = self._bounds()
        if bounds is None:
            return part
        # Fewest first or most first is the same to a match of the whole text.
        self._skips("?")
        if self._bounds() is not None:
            raise self.error("a repetition is repeated")
        return Repeat(part, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skips(sign):
                return bounds
        return self._counted()

    def _counted(self) -> tuple[int, int | None] | None:
        """The bounds of `{n}`, `{n,}` or `{n,m}`; anything else is plain text."""
        start = self._at
        if not self._skips("{"):
            return None
        least = self._while("0123456789", 9)
        most = least
        if self._skips(","):
            most = self._while("0123456789", 9)
        if not least or not self._skips("}"):
            self._at = start
            return None
        low, high = int(least), int(most) if most else None
        if low > MAX_REPEATS or (high or 0) > MAX_REPEATS:
            raise self.error(f"more than {MAX_REPEATS} repetitions")
        if high is not None and low > high:
            raise self.error(f"{low} repetitions are more than {high}")
        return low, high

    # ---- one item

    def _single(self, depth: int) -> Expression | None:
        character = self._next()
        if character in "*+?":
            raise self.error(f"there is nothing before '{character}' to repeat")
        if character == "(":
            return self._group(depth)
        if character == "[":
            return Characters(self._class())
        if character == ".":
            return Characters(ANY if self._flags.s else NO_NEWLINE)
        if character == "^":
            return Assertion("line start" if self._flags.m else "start")
        if character == "$":
            return Assertion("line end" if self._flags.m else "end")
        return self._escape() if character == "\\" else self._literal(character)

    def _literal(self, character: str) -> Characters:
        ranges = ((character, character),)
        return Characters(CharacterSet(ranges, ignores_case=self._flags.i))

    def _group(self, depth: int) -> Expression | None:
        outer = self._flags
        if self._skips("?P<") or self._skips("?<"):
            self._name()
        elif self._skips("?") and self._changed_flags():
            return None
        inner = self.choice(depth + 1)
        if not self._skips(")"):
            raise self.error("a ')' is missing")
        self._flags = outer
        return inner

    def _name(self) -> None:
        name, closed, _ = self._pattern[self._at :].partition(">")
        word = name.isascii() and name.replace("_", "a").isalnum()
        if not closed or not word:
            raise self.error("a group has no valid name")
        self._at += len(name) + 1

    def _changed_flags(self) -> bool:
        """Read flags after `(?`; whether they hold for the rest of the group around."""
        value, seen = True, False
        while (character := self._next()) not in ":)":
            if character == "-" and value:
                value, seen = False, False
            elif character in "imsU":
                seen = True
                if character != "U":  # which of several matches, does not matter
                    self._flags = replace(self._flags, **{character: value})
            else:
                raise self.error(f"there is no group '(?{character}'")
        if not seen and (character == ")" or not value):
            raise self.error("flags are missing")
        return character == ")"

    # ---- escapes

    def _escape(self) -> Expression:
        at = self._at
        character = self._next()
        assertions = {"A": "start", "z": "end", "b": "boundary", "B": "inside"}
        if character in assertions:
            return Assertion(assertions[character])
        self._at = at
        found = self._named_set()
        if found is not None:
            return Characters(replace(found, ignores_case=self._flags.i))
        return self._literal(self._escaped_character())

    def _named_set(self) -> CharacterSet | None:
        """The set of `\\d` and its like or `\\p{name}`, after the backslash."""
        character = self._next()
        if character.lower() in PERL:
            return CharacterSet(PERL[character.lower()], negated=character.isupper())
        if character not in "pP":
            self._at -= 1
            return None
        name = self._next()
        if name == "{":
            name, closed, _ = self._pattern[self._at :].partition("}")
            if not closed:
                raise self.error("a '}' is missing")
            self._at += len(name) + 1
        negated = (character == "P") != name.startswith("^")
        name = name.removeprefix("^")
        if name == "Any":
            return replace(ANY, negated=negated)
        if name not in CATEGORIES:
            raise self.error(
                f"'{name[:40]}' is no general category of Unicode (scripts are not "
                "supported)"
            )
        return CharacterSet(categories=(name,), negated=negated)

    def _escaped_character(self) -> str:
        character = self._next()
        if character in _CONTROL:
            return _CONTROL[character]
        if character == "x":
            return self._hexadecimal()
        if character in _OCTAL:
            return self._octal(character)
        if character.isascii() and not character.isalnum():
            return character
        raise self.error(f"there is no escape '\\{character}'")

    def _hexadecimal(self) -> str:
        if self._skips("{"):
            digits = self._while(_HEX, 8)
            if not digits or not self._skips("}"):
                raise self.error("'\\x{' needs hexadecimal digits and a '}'")
        else:
            digits = self._while(_HEX, 2)
            if len(digits) != 2:
                raise self.error("'\\x' needs two hexadecimal digits")
        code = int(digits, 16)
        if code > 0x10FFFF:
            raise self.error(f"there is no character {code:#x}")
        return chr(code)

    def _octal(self, first: str) -> str:
        more = self._while(_OCTAL, 2)
        if first != "0" and not more:
            raise self.error(f"there are no references back as '\\{first}'")
        return chr(int(first + more, 8))

    # ---- classes

    def _class(self) -> CharacterSet:
        negated = self._skips("^")
        ranges: list[tuple[str, str]] = []
        parts: list[CharacterSet] = []
        first = True
        while first or not self._skips("]"):
            part = self._class_part()
            if part is None:
                ranges.append(self._range())
            else:
                parts.append(part)
            first = False
        return CharacterSet(
            tuple(ranges),
            parts=tuple(parts),
            negated=negated,
            ignores_case=self._flags.i,
        )

    def _class_part(self) -> CharacterSet | None:
        """A named set within a class."""
        if self._skips("[:"):
            name, closed, _ = self._pattern[self._at :].partition(":]")
            plain = name.removeprefix("^")
            if not closed or plain not in POSIX:
                raise self.error(f"there is no class '[:{name[:20]}:]'")
            self._at += len(name) + 2
            return CharacterSet(POSIX[plain], negated=name != plain)
        if not self.at_end and self._pattern[self._at] == "\\":
            self._at += 1
            found = self._named_set()
            if found is None:
                self._at -= 1
            return found
        return None

    def _range(self) -> tuple[str, str]:
        low = self._class_character()
        start = self._at
        if not self._skips("-"):
            return low, low
        if self.at_end or self._pattern[self._at] == "]":
            self._at = start
            return low, low
        high = self._class_character()
        if high < low:
            raise self.error(f"'{low}-{high}' is no range")
        return low, high

    def _class_character(self) -> str:
        character = self._next()
        return self._escaped_character() if character == "\\" else character
