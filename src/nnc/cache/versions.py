"""Which LLVM is installed, without loading it."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_LIBRARIES: Final = frozenset({".so", ".dylib", ".dll"})


@cache
def llvm_state() -> str:
    """
    What tells LLVM's libraries apart: llvmlite is linked to one, its own or another.

    The version of llvmlite says which it should be, the size of the file which it is.
    """
    try:
        spec = find_spec("llvmlite")
    except (ImportError, ValueError):
        return ""
    if spec is None:
        return ""
    found = [
        (item.name, item.stat().st_size)
        for location in spec.submodule_search_locations or ()
        for item in sorted((Path(location) / "binding").iterdir())
        if item.suffix in _LIBRARIES
    ]
    folders = [
        item.name
        for location in spec.submodule_search_locations or ()
        for item in sorted(Path(location).parent.glob("llvmlite-*.dist-info"))
    ]
    return json.dumps([found, folders])
