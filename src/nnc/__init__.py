"""
nnc: compile trained neural networks to machine code for the CPU, and run them.

Example::

    exe = nnc.compile("model.onnx")
    y = exe(x)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from nnc import errors
    from nnc.api import compile, convert, load
    from nnc.module import Module
    from nnc.runtime.executor import CompiledModel
    from nnc.runtime.profile import Profile
    from nnc.runtime.program import ProgramModel
    from nnc.runtime.specs import HostSpec, TensorSpec
    from nnc.specializing import SpecializingModel
    from nnc.target import Target

    __version__: str

__all__ = [
    "CompiledModel",
    "HostSpec",
    "Module",
    "Profile",
    "ProgramModel",
    "SpecializingModel",
    "Target",
    "TensorSpec",
    "__version__",
    "compile",
    "convert",
    "errors",
    "load",
]

_PLACES: Final = {
    "CompiledModel": "nnc.runtime.executor",
    "HostSpec": "nnc.runtime.specs",
    "Module": "nnc.module",
    "Profile": "nnc.runtime.profile",
    "ProgramModel": "nnc.runtime.program",
    "SpecializingModel": "nnc.specializing",
    "Target": "nnc.target",
    "TensorSpec": "nnc.runtime.specs",
    "compile": "nnc.api",
    "convert": "nnc.api",
    "load": "nnc.api",
}
"""Imported when they are first asked for, so that `import nnc` costs nothing."""


def __getattr__(name: str) -> object:
    if name in _PLACES:
        value: object = getattr(import_module(_PLACES[name]), name)
    elif name == "errors":
        value = import_module("nnc.errors")
    elif name == "__version__":
        from importlib.metadata import version

        value = version("nnc")
    else:
        raise AttributeError(f"module 'nnc' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
