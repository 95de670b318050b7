"""
The exception tree of nnc.

Every error that a user can cause derives from `NncError`. A message names the node
or argument of the *user's* model, says what is wrong and what can be done about it.
Bugs of nnc itself are `InternalError` (or plain assertions), never one of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class NncError(Exception):
    """Base of all errors that nnc raises on purpose."""


class LoadError(NncError):
    """A model, weight or artifact file is damaged, unsafe or not what it claims."""


class LimitExceeded(LoadError):
    """A model exceeds a bound on size, rank, dimension, depth or node count."""


class ModelError(NncError):
    """A well-formed model file describes an invalid network."""


@dataclass(frozen=True)
class UnsupportedNode:
    """One node of a source model that nnc cannot convert, and the reason."""

    node: str
    op: str
    reason: str

    def __str__(self) -> str:
        return f"{self.op} (node '{self.node}'): {self.reason}"


class UnsupportedOp(NncError):
    """The model uses ops that nnc does not support; `nodes` lists all of them."""

    nodes: tuple[UnsupportedNode, ...]

    def __init__(self, nodes: Sequence[UnsupportedNode]) -> None:
        self.nodes = tuple(nodes)
        shown = "\n".join(f"  - {n}" for n in self.nodes)
        count = len(self.nodes)
        super().__init__(
            f"{count} node{'s are' if count != 1 else ' is'} not supported:\n{shown}"
        )


class InputValuesNeeded(UnsupportedOp):
    """
    Values of inputs decide what the network computes; `inputs` are their names.

    It can be compiled for given values: `input_values` of `nnc.compile`.
    """

    inputs: tuple[str, ...]

    def __init__(self, nodes: Sequence[UnsupportedNode], inputs: Sequence[str]) -> None:
        super().__init__(nodes)
        self.inputs = tuple(inputs)
        names = ", ".join(f"'{name}'" for name in inputs)
        self.args = (
            f"{self.args[0]}\nThey depend on the values of {names}: pass "
            f"input_values={{'{inputs[0]}': ...}} to compile for values of these, or "
            "use nnc.SpecializingModel, which compiles once for each",
        )


class CompileError(NncError):
    """The network is valid, but could not be compiled as asked."""


class TargetError(CompileError):
    """The target is unknown, or this machine cannot run code made for it."""


class VerifyError(CompileError):
    """A module or a pass result is not valid, or changed the answer."""


class InputError(NncError, ValueError):
    """An argument of a run does not fit the model: name, dtype, rank or size."""


class RunError(NncError):
    """A run ended with an error that the data caused; names the source node."""


class IndexOutOfRange(RunError, IndexError):
    """An index tensor held an index outside its axis."""


class DivisionByZero(RunError, ZeroDivisionError):
    """An integer division had a zero divisor."""


class OutOfMemory(RunError, MemoryError):
    """The arena or an output could not be allocated."""


class Cancelled(RunError):
    """The run was interrupted."""


class CacheError(NncError):
    """The cache cannot be used as asked; `nnc.compile` warns and goes on without."""


class CacheWarning(UserWarning):
    """The cache of compiled models could not be read or written; nothing is wrong."""


class InternalError(NncError):
    """A bug in nnc: please report it with the model or module that shows it."""
