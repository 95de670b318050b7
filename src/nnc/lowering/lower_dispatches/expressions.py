"""
What one element of a tensor is, as an expression over the axes of a loop nest.

The rules in `access` turn the ops of a dispatch into a graph of these nodes. It is
plain data: schedules look at it to choose loops and lanes, then `emit` makes IR of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from xdsl.ir import Attribute, Operation, SSAValue

from nnc.lowering.lower_dispatches.index import Index, Var
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg

if TYPE_CHECKING:
    from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder


@dataclass(eq=False)
class Axis(Var):
    """A loop that is not built yet: a counter from 0 below `extent`."""

    is_nonnegative: bool = True


AxisSet = frozenset[Axis]
NO_AXES: AxisSet = frozenset()
DerivedKind = Literal["floordiv", "mod", "min", "max", "value"]


@dataclass(eq=False)
class Derived(Var):
    """An index that is not affine: `kind` of `args`, or the value of a node."""

    kind: DerivedKind = "value"
    args: tuple[Index, ...] = ()
    node: Node | None = None

    @cached_property
    def axes(self) -> AxisSet:
        """The axes that it depends on."""
        found = NO_AXES if self.node is None else self.node.axes
        return found.union(*(axes_of(a) for a in self.args))

    @cached_property
    def ordered_axes(self) -> tuple[Axis, ...]:
        """The axes that it depends on, in a fixed order."""
        return tuple(sorted(self.axes, key=lambda a: a.serial))


def axes_of(*indices: Index) -> AxisSet:
    """The axes that indices depend on."""
    found: set[Axis] = set()
    for index in indices:
        for var in index.terms:
            if isinstance(var, Axis):
                found.add(var)
            else:
                assert isinstance(var, Derived)
                found |= var.axes
    return frozenset(found)


@dataclass(eq=False)
class Node:
    """An element; `type` is what it is computed in."""

    type: Attribute

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The nodes it is computed from."""
        return ()

    @property
    def indices(self) -> tuple[Index, ...]:
        """The index expressions in it."""
        return ()

    @cached_property
    def axes(self) -> AxisSet:
        """The axes that it depends on."""
        return axes_of(*self.indices).union(*(n.axes for n in self.inputs))

    @cached_property
    def ordered_axes(self) -> tuple[Axis, ...]:
        """The axes that it depends on, in a fixed order."""
        return tuple(sorted(self.axes, key=lambda a: a.serial))

    @cached_property
    def holes(self) -> tuple[SSAValue, ...]:
        """The sources of the holes in it."""
        return tuple(dict.fromkeys(h for n in self.inputs for h in n.holes))


@dataclass(eq=False)
class Number(Node):
    """A constant; of a type that is not computed with, its bits."""

    number: float


@dataclass(eq=False)
class Load(Node):
    """An element of a buffer."""

    buffer: BufferArg
    index: Index

    @property
    def indices(self) -> tuple[Index, ...]:
        return (self.index,)


@dataclass(eq=False)
class FromIndex(Node):
    """An index as data."""

    index: Index

    @property
    def indices(self) -> tuple[Index, ...]:
        return (self.index,)


@dataclass(eq=False)
class Apply(Node):
    """An elementwise `nn` op."""

    op: Operation
    args: tuple[Node, ...]

    @property
    def inputs(self) -> tuple[Node, ...]:
        return self.args


Emit = Callable[["KernelBuilder", Sequence[SSAValue]], SSAValue]


@dataclass(eq=False)
class Call(Node):
    """Arithmetic that is no `nn` op: `emit` gets the operands in one width."""

    emit: Emit
    args: tuple[Node, ...]

    @property
    def inputs(self) -> tuple[Node, ...]:
        return self.args


@dataclass(frozen=True)
class Inside:
    """The condition `0 <= index < extent`."""

    index: Index
    extent: Index


@dataclass(eq=False)
class Choose(Node):
    """`inside` where all conditions hold, else `outside`; only that one is read."""

    conditions: tuple[Inside, ...]
    inside: Node
    outside: Node

    @property
    def inputs(self) -> tuple[Node, ...]:
        return (self.inside, self.outside)

    @property
    def indices(self) -> tuple[Index, ...]:
        return tuple(i for c in self.conditions for i in (c.index, c.extent))


@dataclass(eq=False)
class Hole(Node):
    """A value that the schedule provides, such as a sum, where it is on `places`."""

    source: SSAValue
    places: AxisSet = NO_AXES

    @cached_property
    def axes(self) -> AxisSet:
        return self.places

    @cached_property
    def holes(self) -> tuple[SSAValue, ...]:
        return (self.source,)


def walk(roots: Iterable[Node]) -> Iterator[Node]:
    """All nodes that `roots` are computed from, each once, operands first."""
    seen: set[Node] = set()

    def visit(node: Node) -> Iterator[Node]:
        if node in seen:
            return
        seen.add(node)
        for operand in node.inputs:
            yield from visit(operand)
        for index in node.indices:
            yield from visit_index(index)
        yield node

    def visit_index(index: Index) -> Iterator[Node]:
        for var in index.terms:
            if isinstance(var, Derived):
                for argument in var.args:
                    yield from visit_index(argument)
                if var.node is not None:
                    yield from visit(var.node)

    for root in roots:
        yield from visit(root)


def all_indices(roots: Iterable[Node]) -> Iterator[Index]:
    """Every index expression below `roots`, also those inside of others."""

    def inner(index: Index) -> Iterator[Index]:
        yield index
        for var in index.terms:
            if isinstance(var, Derived):
                for argument in var.args:
                    yield from inner(argument)

    for node in walk(roots):
        for index in node.indices:
            yield from inner(index)
