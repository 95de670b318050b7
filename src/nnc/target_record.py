"""
Which target a module was lowered for, as an attribute of the module.

Panels of packed weights and the width of vectors are fixed by one pass and relied on by
the next. Code generated from them for a target with other instructions is wrong, or
makes LLVM give up, so every pass that looks at the target says so here first.
"""

from __future__ import annotations

from typing import Final

from xdsl.dialects.builtin import ModuleOp, StringAttr

from nnc.errors import TargetError
from nnc.target import Target

TARGET: Final = "nnc.target"
"""Module attribute: the target's name, with `native` and `generic` spelled out."""


def record_target(module: ModuleOp, target: Target) -> None:
    """
    Write down that a module is now lowered for `target`.

    Raises:
        TargetError: it is lowered for another one already.
    """
    check_target(module, target)
    module.attributes[TARGET] = StringAttr(target.portable_name)


def check_target(module: ModuleOp, target: Target) -> None:
    """
    Check that a module can become code for `target`.

    Raises:
        TargetError: it was lowered for another one.
    """
    recorded = module.attributes.get(TARGET)
    if recorded is None:
        return
    known = recorded.data if isinstance(recorded, StringAttr) else str(recorded)
    wanted = target.portable_name
    if known == wanted:
        return
    meaning = "" if target.name == wanted else f" (here: '{wanted}')"
    raise TargetError(
        f"the module was lowered for target '{known}', which is not "
        f"'{target.name}'{meaning}; give all passes and the compilation one target"
    )
