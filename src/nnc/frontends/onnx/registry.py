"""Which function converts which ONNX op, by domain, name and opset version."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final, TypeAlias

from xdsl.ir import SSAValue

if TYPE_CHECKING:
    from nnc.frontends.common import Builder
    from nnc.frontends.onnx.node import Node

Converted: TypeAlias = "SSAValue | Sequence[SSAValue | None]"
"""The value of a node with one output, or those of all; None where not computed."""

Converter: TypeAlias = "Callable[[Node, Builder], Converted]"

MICROSOFT: Final = "com.microsoft"

# The modules that register converters when they are imported.
GROUPS: Final = (
    "attention",
    "batch_norm",
    "compaction",
    "control",
    "conv",
    "deform",
    "einsum",
    "elementwise",
    "experimental",
    "gather",
    "gradient",
    "indexed_pool",
    "linear",
    "microsoft.attention",
    "microsoft.block_weights",
    "microsoft.conv",
    "microsoft.elementwise",
    "microsoft.grouped_attention",
    "microsoft.linear",
    "microsoft.matrix",
    "microsoft.norm",
    "microsoft.positions",
    "microsoft.quantized",
    "microsoft.quantized_elementwise",
    "microsoft.recurrent",
    "microsoft.standard",
    "ml",
    "movement",
    "norm",
    "pool",
    "quantize",
    "quantized",
    "random",
    "recurrent",
    "reduce",
    "resize",
    "sampling",
    "selection",
    "shape",
    "spectral",
    "support_vectors",
    "suppression",
    "training",
    "trees",
    "unique",
)


@dataclass(frozen=True)
class Entry:
    """A converter, and the opset version from which it holds."""

    since: int
    convert: Converter


_ENTRIES: dict[tuple[str, str], list[Entry]] = {}


def converter(
    op_type: str, *, since: int = 1, domain: str = ""
) -> Callable[[Converter], Converter]:
    """
    Register the decorated function for an op from opset version `since` on.

    It holds up to the next registered version of the same op.
    """

    def register(convert: Converter) -> Converter:
        entries = _ENTRIES.setdefault((domain, op_type), [])
        assert since not in [e.since for e in entries], f"{op_type} {since} twice"
        entries.append(Entry(since, convert))
        entries.sort(key=lambda e: e.since)
        return convert

    return register


def find_converter(domain: str, op_type: str, version: int) -> Converter | None:
    """The converter of an op at an opset version, or None if there is none."""
    entries = entries_of(domain, op_type)
    position = bisect_right([e.since for e in entries], version)
    return entries[position - 1].convert if position else None


def entries_of(domain: str, op_type: str) -> Sequence[Entry]:
    """All converters of an op, by ascending version."""
    load_groups()
    return _ENTRIES.get((normalized_domain(domain), op_type), ())


def supported_ops() -> dict[tuple[str, str], list[int]]:
    """The opset versions of all converters by (domain, op), for the support table."""
    load_groups()
    return {key: [e.since for e in _ENTRIES[key]] for key in sorted(_ENTRIES)}


def normalized_domain(domain: str) -> str:
    """The domain with ONNX's two names for its own made one."""
    return "" if domain == "ai.onnx" else domain


_loaded = False


def load_groups() -> None:
    """Import the modules that register converters."""
    global _loaded  # once a process
    if not _loaded:
        for group in GROUPS:
            import_module(f"nnc.frontends.onnx.{group}")
        _loaded = True
