"""
A program of compiled stages and host steps: frozen records of plain data.

Values are numbered: first the inputs, then what steps give. Steps run in order. Sizes
that steps read from data get names; stages take them as the sizes of their shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

from nnc.runtime.artifact import SymbolSource


@dataclass(frozen=True)
class ValueSpec:
    """
    An input or output of a program.

    `dtype` is empty for what is no tensor, or a tensor whose dtype and rank only a run
    can tell; `kind` then says what it is called in the source model.
    """

    name: str
    dtype: str = ""
    dims: tuple[str, ...] = ()
    kind: str = ""


@dataclass(frozen=True)
class StageCall:
    """Runs a compiled stage, with the values of `sizes` as one more input if any."""

    stage: int
    sizes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SizesRead:
    """The elements of a vector as the values of these symbols; `what` they are."""

    symbols: tuple[str, ...]
    what: str


@dataclass(frozen=True)
class GraphUse:
    """A graph of a node, compiled when it runs, and what it reads from around it."""

    attribute: str
    graph: str
    """Its resource."""
    captured: tuple[int, ...]
    """Positions among the inputs of the step."""


@dataclass(frozen=True)
class HostCall:
    """An op of the source model that Python code runs."""

    domain: str
    op_type: str
    version: int
    attributes: str
    """As JSON."""
    inputs: tuple[int, ...]
    """Positions among the inputs of the step; -1 for one that is absent."""
    graphs: tuple[GraphUse, ...] = ()
    results: tuple[ValueSpec, ...] = ()
    """The types of the outputs, where they are known."""


@dataclass(frozen=True)
class Step:
    """One step; exactly one of the three kinds is there."""

    node: str
    """The source node, for errors."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    stage: StageCall | None = None
    sizes: SizesRead | None = None
    host: HostCall | None = None
    last_reads: tuple[int, ...] = ()
    """Values that nothing reads after this step."""


@dataclass(frozen=True)
class ProgramPlan:
    """A program without its stages and graphs."""

    inputs: tuple[ValueSpec, ...]
    outputs: tuple[ValueSpec, ...]
    results: tuple[int, ...]
    """The values of the outputs."""
    values: int
    """How many values there are."""
    symbols: tuple[SymbolSource, ...]
    """The free sizes of the inputs."""
    steps: tuple[Step, ...]
