"""
plan-arena: lifetimes of the buffers, and their places in the arena.

Before::

    %b = rt.alloc : !rt.buffer<f32, ...>

After::

    %b = rt.alloc {first = 0 : i64, last = 1 : i64, offset = 64 : i64} : !rt.buffer<..>

Positions count the launches (or dispatches) of the function, its branches, and both
ends of its loops. What a loop uses but does not allocate lives as long as the loop: the
next iteration may read it. Offsets are given where all sizes are constants; otherwise
the executor packs by the same function when it sees a new shape. An alloc that nobody
uses is removed, its views with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, SSAValue
from xdsl.passes import ModulePass

from nnc.dialects import rt
from nnc.runtime.arena_packing import ArenaPacker


@dataclass(frozen=True)
class PlanArenaPass(ModulePass):
    """Set the lifetime, and where possible the offset, of every rt.alloc."""

    name = "plan-arena"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Plan every function of a module."""
        for function in op.body.block.ops:
            if isinstance(function, FuncOp) and not function.is_declaration:
                plan_function(function)


def plan_function(function: FuncOp) -> None:
    """Set lifetimes and offsets in one function."""
    lifetimes = _lifetimes(function)
    for alloc, (first, last) in lifetimes.items():
        alloc.properties["first"] = IntegerAttr(first, i64)
        alloc.properties["last"] = IntegerAttr(last, i64)
        alloc.properties.pop("offset", None)
    sizes = [alloc.nbytes.as_int() for alloc in lifetimes]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return
    packing = ArenaPacker(list(lifetimes.values())).pack(known)
    for alloc, offset in zip(lifetimes, packing.offsets, strict=True):
        alloc.properties["offset"] = IntegerAttr(offset, i64)


def _lifetimes(function: FuncOp) -> dict[rt.AllocOp, tuple[int, int]]:
    """First and last position at which each alloc is used, perhaps through views."""
    lifetimes = _Lifetimes()
    lifetimes.visit(function.body.block)
    for alloc in lifetimes.unused:
        _erase_unread(alloc)
    return lifetimes.found


def _erase_unread(op: rt.AllocOp | rt.ViewOp) -> None:
    """Erase what nobody reads, for instance because it is empty, and views of it."""
    for use in list(op.result.uses):
        if isinstance(use.operation, rt.ViewOp):
            _erase_unread(use.operation)
    if not op.result.uses:
        op.detach()
        op.erase()


class _Lifetimes:
    """A walk over a function, in order of the text."""

    def __init__(self) -> None:
        self.found: dict[rt.AllocOp, tuple[int, int]] = {}
        self.unused: dict[rt.AllocOp, None] = {}
        self._roots: dict[SSAValue, rt.AllocOp] = {}
        self._depths: dict[rt.AllocOp, int] = {}
        """In how many loops the alloc itself stands."""
        self._loops: list[set[rt.AllocOp]] = []
        """For each loop around here, what it uses from outside of it."""
        self._position = 0

    def visit(self, block: Block) -> None:
        """Visit the ops of a block."""
        for op in block.ops:
            match op:
                case rt.AllocOp():
                    self._roots[op.result] = op
                    self._depths[op] = len(self._loops)
                    self.unused[op] = None
                case rt.ViewOp():
                    if op.source in self._roots:
                        self._roots[op.result] = self._roots[op.source]
                case rt.LaunchOp() | rt.DispatchOp():
                    self._use(op.operands)
                    self._position += 1
                case rt.IfOp():
                    self._use(op.operands)
                    self._position += 1
                    for region in op.regions:
                        self.visit(region.block)
                case rt.LoopOp():
                    self._visit_loop(op)
                case _:
                    pass

    def _visit_loop(self, op: rt.LoopOp) -> None:
        """What a loop uses from outside has to stay for all of its iterations."""
        first = self._position
        self._use(op.operands)
        self._position += 1
        self._loops.append(set())
        self.visit(op.body.block)
        outer = self._loops.pop()
        self._use(op.operands)
        for alloc in outer:
            start, _ = self.found[alloc]
            self.found[alloc] = (min(start, first), self._position)
        self._position += 1

    def _use(self, buffers: Sequence[SSAValue]) -> None:
        for buffer in buffers:
            alloc = self._roots.get(buffer)
            if alloc is None:
                continue
            first, _ = self.found.get(alloc, (self._position, self._position))
            self.found[alloc] = (first, self._position)
            self.unused.pop(alloc, None)
            for loop in self._loops[self._depths[alloc] :]:
                loop.add(alloc)
