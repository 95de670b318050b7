"""Which function runs which op on the host, by domain, name and opset version."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, TypeAlias

from nnc.runtime.host_ops.call import Attributes, Call, TypeCall
from nnc.runtime.host_ops.types import HostType
from nnc.runtime.host_ops.values import HostOpError, HostValue

__all__ = ["HostOp", "HostOpError", "find_host_op", "host_op", "supported_host_ops"]

Result: TypeAlias = "HostValue | tuple[HostValue, ...]"
"""The value of an op with one output, or a tuple of those of all."""

Implementation: TypeAlias = "Callable[[Call], Result]"
TypeRule: TypeAlias = "Callable[[TypeCall], HostType | tuple[HostType, ...]]"
Condition: TypeAlias = "Callable[[TypeCall], bool]"

# The modules that register ops when they are imported.
GROUPS: Final = (
    "casts",
    "gather",
    "images",
    "labels",
    "maps",
    "movement",
    "ngrams",
    "optionals",
    "padding",
    "rearrange",
    "scatter",
    "sequences",
    "shapes",
    "strings",
    "tokens",
    "unique",
)

# What numpy raises where shapes or indices of the data do not fit.
_DATA_ERRORS: Final = (ValueError, IndexError, OverflowError, MemoryError)


@dataclass(frozen=True)
class HostOp:
    """An op that the host runs, from opset version `since` on."""

    domain: str
    op_type: str
    since: int
    implementation: Implementation
    types: TypeRule
    condition: Condition | None = None

    def accepts(
        self, inputs: Sequence[HostType | None], attributes: Mapping[str, object]
    ) -> bool:
        """
        Whether the host runs the op for inputs of these types.

        What it does for strings only, native code does for numbers.
        """
        if self.condition is None:
            return True
        return self.condition(TypeCall(self.op_type, inputs, Attributes(attributes), 1))

    def run(
        self,
        inputs: Sequence[HostValue],
        attributes: Mapping[str, object],
        outputs: int = 1,
    ) -> Sequence[HostValue]:
        """
        The outputs of the op, at least `outputs` of them.

        Inputs that are left out are None. Attributes are int, float, str, lists of
        these, and arrays for tensors. Nothing that is passed is changed; outputs may
        share memory with inputs.

        Raises:
            HostOpError: inputs or attributes are not what the op needs.
        """
        call = Call(self.op_type, inputs, Attributes(attributes), outputs)
        try:
            result = self.implementation(call)
        except _DATA_ERRORS as error:
            raise HostOpError(str(error) or type(error).__name__) from error
        return result if isinstance(result, tuple) else (result,)

    def result_types(
        self,
        inputs: Sequence[HostType | None],
        attributes: Mapping[str, object],
        outputs: int = 1,
    ) -> Sequence[HostType]:
        """
        What is known of the outputs before the op runs, for at least `outputs` of them.

        Raises:
            HostOpError: no inputs of these types can be right.
        """
        call = TypeCall(self.op_type, inputs, Attributes(attributes), outputs)
        result = self.types(call)
        return result if isinstance(result, tuple) else (result,)


_OPS: dict[tuple[str, str], list[HostOp]] = {}


def host_op(
    op_type: str,
    *,
    types: TypeRule,
    since: int = 1,
    domain: str = "",
    condition: Condition | None = None,
) -> Callable[[Implementation], Implementation]:
    """
    Register the decorated function for an op from opset version `since` on.

    It holds up to the next registered version of the same op. `types` tells what is
    known of its outputs from the types of its inputs, `condition` whether it runs for
    them at all.
    """

    def register(implementation: Implementation) -> Implementation:
        ops = _OPS.setdefault((domain, op_type), [])
        assert since not in [op.since for op in ops], f"{op_type} {since} twice"
        ops.append(HostOp(domain, op_type, since, implementation, types, condition))
        ops.sort(key=lambda op: op.since)
        return implementation

    return register


def find_host_op(domain: str, op_type: str, version: int) -> HostOp | None:
    """The host op of that name at an opset version, or None if there is none."""
    load_groups()
    ops = _OPS.get(("" if domain == "ai.onnx" else domain, op_type), [])
    position = bisect_right([op.since for op in ops], version)
    return ops[position - 1] if position else None


def supported_host_ops() -> dict[tuple[str, str], list[int]]:
    """The opset versions of all host ops by (domain, op)."""
    load_groups()
    return {key: [op.since for op in _OPS[key]] for key in sorted(_OPS)}


_loaded = False


def load_groups() -> None:
    """Import the modules that register host ops."""
    global _loaded  # once a process
    if not _loaded:
        for group in GROUPS:
            import_module(f"nnc.runtime.host_ops.{group}")
        _loaded = True
