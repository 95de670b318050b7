"""
From the shapes of the inputs to everything a run needs: sizes, offsets, slot table.

All expressions of a plan are evaluated in one call; the result is kept for each
combination of input shapes, so that this happens once a shape.
"""

from __future__ import annotations

import ctypes
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nnc.errors import InputError
from nnc.runtime.arena import ARENA_BASE, FIRST_ARRAY_BASE, STATE_BASE
from nnc.runtime.arena_packing import ArenaPacker, Packing, aligned
from nnc.runtime.artifact import RECORD_WORDS, Plan, Slot, SymbolSource
from nnc.runtime.output_heap import LARGE
from nnc.runtime.specs import Array, TensorSpec, check_sizes, dtype_named
from nnc.symbolic import compile_dims, parse_dim

Shapes: TypeAlias = tuple[tuple[int, ...], ...]
"""Of all inputs; behind them the elements of those that hold sizes."""

MAX_REMEMBERED: Final = 64
"""Shapes that are kept; the one used longest ago is dropped."""

WORTH_A_THREAD: Final = 5000
"""Nanoseconds of work that make up for calling in another thread."""

_MAX_PATCHES: Final = 32
"""More words are filled in sooner by numpy."""

_table_ids = count()

_MAX_VALUE: Final = 1 << 62


@dataclass(frozen=True)
class ShapeState:
    """What one combination of input shapes needs."""

    table: NDArray[np.int64]
    """Task counts, ways and slots of all launches, relative to their bases."""
    output_shapes: tuple[tuple[int, ...], ...]
    packing: Packing
    ways: int
    """The most threads that a launch is worth."""
    has_small_outputs: bool
    """Whether no output is so large that its memory is worth to be reused."""
    table_id: int
    """No other state of this process has it."""
    patches: tuple[tuple[int, int, int], ...] | None
    """
    Words that point to inputs and outputs: where, to which of them, and how far behind
    its start. None: there are too many, or the program changes its table.
    """
    refusals: Mapping[int, str] = field(default_factory=dict[int, str])
    """What is wrong with the sizes for regions that cannot run, by their guards."""


class ShapePlanner:
    """Makes and remembers the states of a plan."""

    def __init__(
        self,
        plan: Plan,
        inputs: Sequence[TensorSpec],
        weight_addresses: Sequence[int],
        num_threads: int = 1,
    ) -> None:
        """For runs with up to that many threads."""
        self._plan = plan
        self._inputs = inputs
        self._lock = threading.Lock()
        self._states: OrderedDict[Shapes, ShapeState] = OrderedDict()
        self._packer = ArenaPacker([(a.first, a.last) for a in plan.allocations])
        names = [s.name for s in plan.symbols]
        self._evaluate = compile_dims([parse_dim(e) for e in plan.exprs], names)
        self.bases, self._exprs, self._addresses, self._arena_slots = _layout(
            plan, weight_addresses
        )
        self._array_words = np.flatnonzero(self.bases >= FIRST_ARRAY_BASE)
        self._threads = num_threads
        self._tasks = np.array([n.tasks for n in plan.launches], np.intp)
        self._costs = np.array([n.cost for n in plan.launches], np.intp)
        words = [RECORD_WORDS + len(n.slots) for n in plan.launches]
        self._ways_words = np.cumsum([0, *words])[:-1] + 1
        self.base_count = FIRST_ARRAY_BASE + len(plan.inputs) + len(plan.outputs)
        self.listed = sorted({s.input for s in plan.symbols if s.element >= 0})
        """The inputs whose elements are sizes, by position."""
        self.planned = 0
        self.largest = Packing((), 0, 0)
        """Of all shapes so far."""

    def known(self, arrays: Sequence[Array]) -> ShapeState | None:
        """The state for inputs of these shapes, if it was made before."""
        return self._states.get(self._key(arrays))

    def _key(self, arrays: Sequence[Array]) -> Shapes:
        shapes = [a.shape for a in arrays]
        if self.listed:
            shapes += [tuple(arrays[i].reshape(-1).tolist()) for i in self.listed]
        return tuple(shapes)

    def state(self, arrays: Sequence[Array]) -> ShapeState:
        """
        The state for inputs of these shapes.

        Raises:
            InputError: the shapes do not fit the model.
        """
        key = self._key(arrays)
        state = self._states.get(key)
        if state is not None:
            return state
        state = self._make(arrays)
        with self._lock:
            self._states[key] = state
            if len(self._states) > MAX_REMEMBERED:
                self._states.popitem(last=False)
            self.planned += 1
            if state.packing.size >= self.largest.size:
                self.largest = state.packing
        return state

    def sizes(self, arrays: Sequence[Array]) -> dict[str, int]:
        """The size of every symbol, read from inputs of the right ranks."""
        return {
            s.name: arrays[s.input].shape[s.axis]
            if s.element < 0
            else int(arrays[s.input][s.element])
            for s in self._plan.symbols
        }

    def memory(self, size: int) -> tuple[int, int]:
        """
        The bytes that arena and outputs need when every symbol has that size.

        Raises:
            InputError: the model cannot have these sizes.
        """
        values = self._values(dict.fromkeys((s.name for s in self._plan.symbols), size))
        arena = self._pack([values[a.nbytes] for a in self._plan.allocations]).size
        outputs = sum(
            prod(values[e] for e in tensor.exprs) * dtype_named(tensor.dtype).itemsize
            for tensor in self._plan.outputs
        )
        return arena, outputs

    def _make(self, arrays: Sequence[Array]) -> ShapeState:
        for array, spec in zip(arrays, self._inputs, strict=True):
            check_sizes(array, spec)
        plan = self._plan
        sizes = self.sizes(arrays)
        self._check_symbols(arrays, sizes)
        values = self._values(sizes)
        refusals = self._check(values, sizes)
        packing = self._pack([values[a.nbytes] for a in plan.allocations])
        numbers = np.array(values, np.int64)
        table = numbers[self._exprs] + self._addresses
        ways = self._ways(numbers)
        table[self._ways_words] = ways
        for slot, allocation in self._arena_slots:
            table[slot] += packing.offsets[allocation]
        for guard in refusals:
            table[plan.control_start + plan.guards[guard]] = guard + 1
        output_shapes = tuple(
            tuple(values[e] for e in tensor.exprs) for tensor in plan.outputs
        )
        sizes_of_outputs = (
            prod(shape) * dtype_named(tensor.dtype).itemsize
            for shape, tensor in zip(output_shapes, plan.outputs, strict=True)
        )
        return ShapeState(
            table=table,
            output_shapes=output_shapes,
            has_small_outputs=max(sizes_of_outputs, default=0) < LARGE,
            packing=packing,
            ways=int(ways.max(initial=1)),
            table_id=next(_table_ids),
            patches=self._patches(table),
            refusals=refusals,
        )

    def _values(self, sizes: Mapping[str, int]) -> Sequence[int]:
        """All expressions of the plan."""
        try:
            return self._evaluate(*sizes.values())
        except ZeroDivisionError as error:
            raise InputError(
                f"{_sizes_text(sizes)}: a size of the model is divided by zero"
            ) from error

    def _patches(
        self, table: NDArray[np.int64]
    ) -> tuple[tuple[int, int, int], ...] | None:
        words = self._array_words
        if len(words) > _MAX_PATCHES or self._plan.control:
            return None
        positions = self.bases[words] - FIRST_ARRAY_BASE
        found = zip(words, positions, table[words], strict=True)
        return tuple((int(w), int(p), int(o)) for w, p, o in found)

    def _ways(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many threads each launch is worth: no more than it has tasks."""
        most = np.minimum(numbers[self._tasks], self._threads)
        return np.clip(numbers[self._costs] // WORTH_A_THREAD, 1, np.maximum(most, 1))

    def _pack(self, sizes: Sequence[int]) -> Packing:
        packing = self._packer.pack([max(0, s) for s in sizes])
        fixed = [a.offset for a in self._plan.allocations]
        offsets = tuple(o for o in fixed if o is not None)
        if len(offsets) < len(fixed) or offsets == packing.offsets:
            return packing
        # The program's text says where the buffers lie.
        ends = (o + aligned(s) for o, s in zip(offsets, sizes, strict=True))
        return Packing(offsets, max(ends, default=0), packing.lower_bound)

    def _check_symbols(self, arrays: Sequence[Array], sizes: Mapping[str, int]) -> None:
        sources = {s.name: s for s in self._plan.symbols}
        for index, (array, spec) in enumerate(zip(arrays, self._inputs, strict=True)):
            for axis, dim in enumerate(spec.shape):
                if isinstance(dim, int):
                    continue
                expected = parse_dim(dim).evaluate(sizes)
                if array.shape[axis] == expected:
                    continue
                where = ", ".join(
                    f"{name} = {sizes[name]} ({self._place(sources[name])})"
                    for name in sorted(parse_dim(dim).symbols)
                )
                raise InputError(
                    f"input '{self._inputs[index].name}': axis {axis} has size "
                    f"{array.shape[axis]}, but {dim} is {expected}: {where}"
                )

    def _place(self, source: SymbolSource) -> str:
        place = f"axis {source.axis}" if source.element < 0 else "an element"
        return f"{place} of '{self._inputs[source.input].name}'"

    def _check(self, values: Sequence[int], sizes: Mapping[str, int]) -> dict[int, str]:
        """
        What keeps branches and loops from running, by their guards.

        Raises:
            InputError: the program as a whole cannot run.
        """
        plan = self._plan
        refusals: dict[int, str] = {}

        def refuse(guard: int, text: str) -> None:
            text = f"{_sizes_text(sizes)}: {text}"
            if guard < 0:
                raise InputError(text)
            refusals.setdefault(guard, text)

        for check in plan.sizes:
            if values[check.expr] < 0:
                refuse(
                    check.guard,
                    f"the input is too small: node '{check.node}' has a size of "
                    f"{values[check.expr]} ({plan.exprs[check.expr]})",
                )
        for constraint in plan.constraints:
            lhs, rhs = values[constraint.lhs], values[constraint.rhs]
            if lhs != rhs:
                refuse(
                    constraint.guard,
                    f"node '{constraint.node}' needs {plan.exprs[constraint.lhs]} = "
                    f"{plan.exprs[constraint.rhs]}, but these are {lhs} and {rhs}",
                )
        if max((abs(v) for v in values), default=0) > _MAX_VALUE:
            raise InputError(f"{_sizes_text(sizes)}: the sizes are too large")
        return refusals


def _sizes_text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items()) or "inputs"


def _layout(
    plan: Plan, weight_addresses: Sequence[int]
) -> tuple[
    NDArray[np.intp], NDArray[np.intp], NDArray[np.int64], list[tuple[int, int]]
]:
    """
    The table's columns: base, expression and fixed address of every word.

    Bases count as in `nnc.runtime.arena`. Also the words that point into the arena,
    with their allocations.
    """
    first_input = FIRST_ARRAY_BASE
    first_output = first_input + len(plan.inputs)
    starts = {
        "state": STATE_BASE,
        "arena": ARENA_BASE,
        "input": first_input,
        "output": first_output,
    }
    bases: list[int] = []
    exprs: list[int] = []
    addresses: list[int] = []
    arena: list[tuple[int, int]] = []

    def add(slot: Slot) -> None:
        start = starts.get(slot.base, 0)
        is_numbered = slot.base in ("input", "output")
        if slot.base == "arena":
            arena.append((len(bases), slot.index))
        bases.append(start + slot.index if is_numbered else start)
        exprs.append(slot.expr)
        is_weight = slot.base == "weight"
        addresses.append(weight_addresses[slot.index] if is_weight else 0)

    for launch in plan.launches:
        add(Slot("value", 0, launch.tasks))
        add(Slot("value", 0, launch.cost))
        for slot in launch.slots:
            add(slot)
    for slot in plan.control:
        add(slot)
    return (
        np.array(bases, np.intp),
        np.array(exprs, np.intp),
        np.array(addresses, np.int64),
        arena,
    )


_address_of: Final = ctypes.addressof
_char_in: Callable[[Any], ctypes.c_char] = ctypes.c_char.from_buffer


def address_of(array: Array) -> int:
    """Where the elements of a C-contiguous array start."""
    try:
        # Three times as quick as the other way, which always works.
        return _address_of(_char_in(array))
    except (TypeError, ValueError):
        # It is read only or empty, or its dtype is unknown to the buffer protocol.
        return array.ctypes.data
