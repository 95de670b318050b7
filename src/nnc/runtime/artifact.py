"""
What the executor needs to know about a compiled model: frozen records of plain data.

`Plan.to_json` and `Plan.from_json` are inverse; the text travels in the module too.
Sizes, offsets and counts are expressions over the symbols of the input shapes. They
are kept once each in `Plan.exprs`; other records refer to them by position.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, cast

from nnc.errors import LoadError

FORMAT: Final = 2

RECORD_WORDS: Final = 2
"""Words of a launch in the table before its slots: tasks, and threads to use."""

Base = Literal["value", "state", "arena", "weight", "input", "output"]
"""What a slot's number counts from; `value` slots are plain integers."""


@dataclass(frozen=True)
class Tensor:
    """An input or output: its source name, dtype name and dims as expressions."""

    name: str
    dtype: str
    dims: tuple[str, ...]
    exprs: tuple[int, ...]
    """Positions of the dims."""


@dataclass(frozen=True)
class SymbolSource:
    """
    Where the size of a symbol is read: from axis `axis` of input `input`.

    Or it is element `element` of that input, a vector, if that is not -1.
    """

    name: str
    input: int
    axis: int
    element: int = -1


@dataclass(frozen=True)
class Constraint:
    """Two expressions that must be equal; `node` of the source model needs it."""

    lhs: int
    rhs: int
    node: str
    guard: int = -1
    """The guard of the region that needs it; -1 for the program as a whole."""


@dataclass(frozen=True)
class SizeCheck:
    """An expression that must not be negative; `node` of the source model needs it."""

    expr: int
    node: str
    guard: int = -1
    """As that of a constraint."""


@dataclass(frozen=True)
class Allocation:
    """A buffer of the arena, live from launch `first` to launch `last`."""

    nbytes: int
    """Position of the expression."""
    first: int
    last: int
    offset: int | None
    """Bytes from the arena's start, where all sizes are constants."""


@dataclass(frozen=True)
class Weight:
    """A constant: its resource, and what the resource has to be."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class Slot:
    """One word of a launch's arguments: a base and an expression, in bytes."""

    base: Base
    index: int
    """Which allocation, weight, input or output."""
    expr: int


@dataclass(frozen=True)
class Launch:
    """One kernel call: its task count, cost, and the slots that the kernel reads."""

    kernel: str
    tasks: int
    """Position of the expression."""
    cost: int
    """Position of the expression: roughly how many nanoseconds one thread takes."""
    slots: tuple[Slot, ...]
    schedule: str
    node: str
    """The source node(s) that it stands for."""
    work: tuple[str, ...] = ()
    """Operations, bytes read, bytes written; not among `exprs`, as runs ignore them."""


@dataclass(frozen=True)
class Kernel:
    """A function of the object code, for people to read about."""

    name: str
    ops: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A compiled model without its code and weights."""

    exprs: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    symbols: tuple[SymbolSource, ...]
    constraints: tuple[Constraint, ...]
    sizes: tuple[SizeCheck, ...]
    allocations: tuple[Allocation, ...]
    weights: tuple[Weight, ...]
    launches: tuple[Launch, ...]
    kernels: tuple[Kernel, ...]
    control: tuple[Slot, ...] = ()
    """Words of the table behind the launches: what branches and loops need."""
    guards: tuple[int, ...] = ()
    """
    Positions in `control` of words that say whether a region can run: zero, or one more
    than the number of the guard, if sizes that the region needs do not fit.
    """
    entry: str = "nnc_run"
    """Name of the host function in the object code."""

    def to_json(self) -> str:
        """The plan as text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, separators=(",", ":"))

    @property
    def control_start(self) -> int:
        """The position in the table of the first word of `control`."""
        return sum(RECORD_WORDS + len(launch.slots) for launch in self.launches)

    @staticmethod
    def from_json(text: str) -> Plan:
        """
        The plan of a text.

        Raises:
            LoadError: the text is no plan, or of another format.
        """
        try:
            data = json.loads(text)
            if data.pop("format") != FORMAT:
                raise LoadError("the plan was written by another release of nnc")
            return _plan(data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LoadError(f"the plan is damaged: {error}") from error


def _plan(data: Mapping[str, Any]) -> Plan:
    return Plan(
        exprs=tuple(data["exprs"]),
        inputs=tuple(_tensor(d) for d in data["inputs"]),
        outputs=tuple(_tensor(d) for d in data["outputs"]),
        symbols=tuple(SymbolSource(**d) for d in data["symbols"]),
        constraints=tuple(Constraint(**d) for d in data["constraints"]),
        sizes=tuple(SizeCheck(**d) for d in data["sizes"]),
        allocations=tuple(Allocation(**d) for d in data["allocations"]),
        weights=tuple(
            Weight(d["name"], d["dtype"], tuple(d["shape"]), d["nbytes"])
            for d in data["weights"]
        ),
        launches=tuple(_launch(d) for d in data["launches"]),
        kernels=tuple(Kernel(d["name"], tuple(d["ops"])) for d in data["kernels"]),
        control=tuple(Slot(**s) for s in data["control"]),
        guards=tuple(data["guards"]),
        entry=cast(str, data["entry"]),
    )


def _tensor(data: Mapping[str, Any]) -> Tensor:
    return Tensor(
        data["name"], data["dtype"], tuple(data["dims"]), tuple(data["exprs"])
    )


def _launch(data: Mapping[str, Any]) -> Launch:
    return Launch(
        kernel=data["kernel"],
        tasks=data["tasks"],
        cost=data["cost"],
        slots=tuple(Slot(**s) for s in data["slots"]),
        schedule=data["schedule"],
        node=data["node"],
        work=tuple(data["work"]),
    )
