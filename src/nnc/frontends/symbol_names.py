"""Names for free dims: the model's own ones where they can be kept."""

from __future__ import annotations

import re

from nnc.symbolic import SYMBOL_PATTERN

_RESERVED = {"floordiv", "mod", "max", "min"}


class SymbolTable:
    """Gives each free dim of a model a name of its own."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def named(self, original: str) -> str:
        """The symbol for a name of the model; the same name is the same symbol."""
        if original not in self._names:
            self._names[original] = self.fresh(original)
        return self._names[original]

    def fresh(self, wanted: str) -> str:
        """A symbol that nothing else has, called like `wanted` as far as possible."""
        name = re.sub(r"[^A-Za-z0-9_.$]", "_", wanted)[:64]
        if not SYMBOL_PATTERN.match(name) or name in _RESERVED:
            name = f"d_{name}"
        unique, count = name, 0
        while unique in self._taken:
            count += 1
            unique = f"{name}_{count}"
        self._taken.add(unique)
        return unique
