"""
plan-arena: lifetimes of the buffers, and their places in the arena.

Before::

    %b = rt.alloc : !rt.buffer<f32, ...>

After::

    %b = rt.alloc {first = 0 : i64, last = 1 : i64, offset = 64 : i64} : !rt.buffer<..>

Positions count the launches (or dispatches) of the function. Offsets are given where
all sizes are constants; otherwise the executor packs by the same function when it sees
a new shape. An alloc that nobody uses is removed.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue
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
    roots: dict[SSAValue, rt.AllocOp] = {}
    lifetimes: dict[rt.AllocOp, tuple[int, int]] = {}
    unused: set[rt.AllocOp] = set()
    position = 0
    for op in function.body.block.ops:
        if isinstance(op, rt.AllocOp):
            roots[op.result] = op
            unused.add(op)
        elif isinstance(op, rt.ViewOp):
            if op.source in roots:
                roots[op.result] = roots[op.source]
        elif isinstance(op, rt.LaunchOp | rt.DispatchOp):
            for operand in op.operands:
                if operand in roots:
                    alloc = roots[operand]
                    first, _ = lifetimes.get(alloc, (position, position))
                    lifetimes[alloc] = (first, position)
                    unused.discard(alloc)
            position += 1
    for alloc in unused:
        if not alloc.result.uses:
            alloc.detach()
            alloc.erase()
    return lifetimes
