"""Sets of characters as regular expressions name them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Final

Ranges = tuple[tuple[str, str], ...]

_LAST: Final = "\U0010ffff"
# Beyond, no character is another one's variant in case that is not found from itself.
_LAST_UNUSUAL_CASE: Final = 0xAC00

PERL: Final[dict[str, Ranges]] = {
    "d": (("0", "9"),),
    "s": (("\t", "\n"), ("\f", "\r"), (" ", " ")),
    "w": (("0", "9"), ("A", "Z"), ("a", "z"), ("_", "_")),
}
"""What `\\d`, `\\s` and `\\w` stand for."""

POSIX: Final[dict[str, Ranges]] = {
    "alnum": (("0", "9"), ("A", "Z"), ("a", "z")),
    "alpha": (("A", "Z"), ("a", "z")),
    "ascii": (("\0", "\x7f"),),
    "blank": (("\t", "\t"), (" ", " ")),
    "cntrl": (("\0", "\x1f"), ("\x7f", "\x7f")),
    "digit": (("0", "9"),),
    "graph": (("!", "~"),),
    "lower": (("a", "z"),),
    "print": ((" ", "~"),),
    "punct": (("!", "/"), (":", "@"), ("[", "`"), ("{", "~")),
    "space": (("\t", "\r"), (" ", " ")),
    "upper": (("A", "Z"),),
    "word": (("0", "9"), ("A", "Z"), ("a", "z"), ("_", "_")),
    "xdigit": (("0", "9"), ("A", "F"), ("a", "f")),
}
"""What `[:name:]` stands for."""

CATEGORIES: Final = frozenset(
    name
    for names in (
        ("C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc"),
        ("Me", "Mn", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po"),
        ("Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs"),
    )
    for name in names
)
"""The general categories of Unicode that `\\p{name}` may name."""


@dataclass(frozen=True)
class CharacterSet:
    """The characters in any of the ranges, categories or parts; or all others."""

    ranges: Ranges = ()
    categories: tuple[str, ...] = ()
    parts: tuple[CharacterSet, ...] = ()
    negated: bool = False
    ignores_case: bool = False

    def __contains__(self, character: str) -> bool:
        if self.ignores_case:
            found = any(map(self._holds, case_variants(character)))
        else:
            found = self._holds(character)
        return found != self.negated

    def _holds(self, character: str) -> bool:
        if any(low <= character <= high for low, high in self.ranges):
            return True
        if self.categories:
            category = unicodedata.category(character)
            if any(category.startswith(c) for c in self.categories):
                return True
        return any(character in part for part in self.parts)


ANY: Final = CharacterSet((("\0", _LAST),))
"""Every character."""

NO_NEWLINE: Final = CharacterSet((("\n", "\n"),), negated=True)
"""Every character but the end of a line."""


def is_word(character: str) -> bool:
    """Whether a character is one of `\\w`."""
    return character == "_" or (character.isascii() and character.isalnum())


def _folded(character: str) -> str:
    """What all variants of a character in case have in common."""
    upper = character.upper()
    lower = (upper if len(upper) == 1 else character).lower()
    return lower if len(lower) == 1 else character


@cache
def _unusual_variants() -> dict[str, tuple[str, ...]]:
    """The characters that fold to another one which is not their only lower case."""
    found: dict[str, tuple[str, ...]] = {}
    for code in range(_LAST_UNUSUAL_CASE):
        character = chr(code)
        folded = _folded(character)
        if character not in (folded, folded.upper()):
            found[folded] = (*found.get(folded, ()), character)
    return found


def case_variants(character: str) -> tuple[str, ...]:
    """The characters that are equal to this one but for case, itself included."""
    folded = _folded(character)
    others = (folded, folded.upper(), *_unusual_variants().get(folded, ()))
    return (character, *(c for c in others if len(c) == 1 and c != character))
