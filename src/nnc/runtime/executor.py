"""A compiled model that can be run: inputs are checked, bound, and run natively."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NoReturn, Protocol, cast

import numpy as np

from nnc.errors import Cancelled, CompileError, InputError, InternalError, RunError
from nnc.runtime.arena import RunContext
from nnc.runtime.artifact import Plan, Weight
from nnc.runtime.info import CacheInfo, Info, KernelInfo, PhaseInfo
from nnc.runtime.limits import Limits
from nnc.runtime.output_heap import shared_heap
from nnc.runtime.outputs import check_output, check_overlap, given_outputs
from nnc.runtime.pages import with_reserve
from nnc.runtime.profile import Profile, make_profile, record_runs
from nnc.runtime.runnable import Runnable
from nnc.runtime.saved import MachineCode, SavedModel, write_model
from nnc.runtime.shapes import ShapePlanner, ShapeState, address_of
from nnc.runtime.specs import Array, TensorSpec, as_array, dtype_named, spec_of
from nnc.runtime.state import ErrorCode, StateWord, error_for

_ENTRY: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
"""Calls through it release the GIL."""

# Enumerations and modules are slow to look up.
_ERROR: Final = int(StateWord.ERROR)
_CANCEL: Final = int(StateWord.CANCEL)
_ndarray: Final = np.ndarray

_READABLE: Final = 0x101
"""In `ndarray.flags.num`: contiguous and aligned."""

_RUN_SEED: Final = "run_seed"
"""The op that reads the seed of a run."""

_LONG_RUN_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.1

_LIKELY_SIZE: Final = 1024
"""What the first run may need is judged by free sizes as large as that."""

_GUESSED: Final = 8 << 20
"""The most memory that is had on such a guess: small models should stay small."""

_TOUCHED_AT_LOAD: Final = 256 << 20
"""A larger arena is left to the run that needs it, if one ever does."""


class Code(Protocol):
    """Loaded machine code."""

    def address(self, symbol: str) -> int:
        """Where a function is."""
        ...

    def parallel(self, threads: int) -> int:
        """Where the function is that shares a launch out to that many threads."""
        ...

    def close(self) -> None:
        """Free the code."""
        ...

    def limits(self, target: str, threads: int) -> Limits:
        """What threads of this machine can do at most, with the target's code."""
        ...


@dataclass
class _Resources:
    """What a model has to give back; held apart from it so that a finalizer can."""

    code: Code | None
    contexts: deque[RunContext]

    def close(self) -> None:
        """Free code and arenas."""
        while self.contexts:
            self.contexts.pop().close()
        if self.code is not None:
            self.code.close()


class CompiledModel(Runnable[TensorSpec]):
    """
    A compiled network.

    Call it with the inputs by position or by name; the result is one array, or a named
    tuple of arrays in the order of `outputs`. Inputs are numpy arrays or anything that
    numpy can view (`__array__`, `__dlpack__`) of exactly the declared dtype. Those that
    are C-contiguous are read in place, others are copied once. Outputs are fresh
    arrays. Several threads may run one model at the same time.

    Example::

        exe = nnc.compile("model.onnx")
        probabilities = exe(image)
    """

    def __init__(
        self,
        plan: Plan,
        weights: Mapping[str, Array],
        code: Code,
        info: Info,
        machine_code: MachineCode | None = None,
        num_threads: int = 1,
    ) -> None:
        """
        Bind a plan to its weights (kept, not copied) and its code.

        `machine_code` is what `code` was loaded from; without it there is no `save`.
        """
        self.num_threads: int = num_threads
        """How many threads a run may use, the caller's included."""
        self.inputs: tuple[TensorSpec, ...] = tuple(spec_of(t) for t in plan.inputs)
        """The inputs, in order."""
        self.outputs: tuple[TensorSpec, ...] = tuple(spec_of(t) for t in plan.outputs)
        """The outputs, in order."""
        self._plan = plan
        self._weights = [_bound(w, weights) for w in plan.weights]
        self._info = info
        self._machine_code = machine_code
        self._code = code
        self._entry = _ENTRY(code.address(plan.entry))
        self._planner = ShapePlanner(
            plan, self.inputs, [w.ctypes.data for w in self._weights], num_threads
        )
        self._contexts: deque[RunContext] = deque()
        resources = _Resources(code, self._contexts)
        self._finalizer = weakref.finalize(self, resources.close)
        self._running: deque[None] = deque()
        """As long as there are runs: changed without a lock."""
        self._is_closed = False
        self._lock = threading.Lock()
        self._last_seconds = 0.0
        self._is_dynamic = bool(plan.symbols)
        self._seeds: Iterator[int] | None = None
        """The seeds of the next runs, if anything reads them; `next` needs no lock."""
        self.seed(int.from_bytes(os.urandom(7), "little"))
        self._touch_arena()

    def _touch_arena(self) -> None:
        """Get the memory that the first run needs, in the background."""
        wanted = 0
        # Sizes that do not fit are reported by the run that needs them.
        with suppress(InputError):
            if self._is_dynamic:
                arena, outputs = self._planner.memory(_LIKELY_SIZE)
                wanted = min(arena, _GUESSED)
                shared_heap().reserve_ahead(min(outputs, _GUESSED // 4))
            else:
                shapes = [cast("tuple[int, ...]", spec.shape) for spec in self.inputs]
                wanted = self._planned(shapes).packing.size
        if wanted <= _TOUCHED_AT_LOAD:
            context = RunContext(len(self._planner.bases), self._planner.base_count)
            context.arena.reserve_ahead(wanted)
            self._contexts.append(context)

    def _planned(self, shapes: Sequence[Sequence[int]]) -> ShapeState:
        # Planning looks at shapes only: no memory stands behind these arrays.
        return self._planner.state(
            [
                np.broadcast_to(np.zeros((), spec.dtype), shape)
                for shape, spec in zip(shapes, self.inputs, strict=True)
            ]
        )

    # ---- running

    def profile(self, *args: object, **kwargs: object) -> Profile:
        """
        Where the time of a run goes, launch by launch; called like the model itself.

        Runs the network for about half a second, and the first time measures for
        another half what the machine can do at most. Other runs of this process at the
        same time make the figures worse.

        Raises:
            InputError: the inputs do not fit the model; nothing was run.
            RunError: the data made an op fail; names the source node.

        Example::

            print(exe.profile(image))
        """
        values = self._in_order(args, kwargs)
        arrays = [as_array(v, s) for v, s in zip(values, self.inputs, strict=True)]
        runs = record_runs(lambda log: self._run(arrays, log), len(self._plan.launches))
        return make_profile(
            self._plan,
            self._planner.sizes(arrays),
            runs,
            target=self._info.target,
            threads=self.num_threads,
            limits=self._code.limits(self._info.target, self.num_threads),
        )

    def prepare(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """
        Plan the arena for inputs of these shapes, which their first run else does.

        Raises:
            InputError: the shapes do not fit the model.
        """
        sizes: list[tuple[int, ...]] = []
        for value, spec in zip(self._in_order((), shapes), self.inputs, strict=True):
            shape = tuple(cast("Sequence[int]", value))
            if len(shape) != len(spec.shape) or min(shape, default=0) < 0:
                raise InputError(
                    f"input '{spec.name}': {list(shape)} is no shape for {spec}"
                )
            sizes.append(shape)
        self._planned(sizes)

    def _run(
        self, values: Sequence[object], log: int = 0, out: object = None
    ) -> list[Array]:
        """Run, with times written to `log` if not 0, into `out` or new arrays."""
        inputs, state = self._bound_inputs(values)
        given = None if out is None else given_outputs(out, self.outputs)
        outputs = self._output_arrays(state, given)
        arrays = [*inputs, *outputs]
        addresses = [address_of(a) for a in arrays]
        if given is not None:
            for position, value in enumerate(given, len(inputs)):
                if value is not None:
                    check_overlap(position, addresses, arrays, self._specs)
        self._running.append(None)
        try:
            if self._is_closed:
                self._refuse_closed()
            context = self._borrow()
            try:
                self._launch(context, state, addresses, log)
            finally:
                if self._is_dynamic:
                    self._reserve_more(context, state.packing.size)
                self._contexts.append(context)
        finally:
            self._running.pop()
        return outputs

    def _bound_inputs(
        self, values: Sequence[object]
    ) -> tuple[Sequence[Array], ShapeState]:
        """The inputs as native code can read them, and what their shapes need."""
        # What as_array gives back as it is, found out sooner.
        for value, dtype in zip(values, self._input_dtypes):  # noqa: B905 # for speed
            if type(value) is not _ndarray or value.dtype is not dtype:
                break
            if value.flags.num & _READABLE != _READABLE:
                break
        else:
            ready: Sequence[Any] = values
            state = self._planner.known(ready)
            if state is not None:
                return ready, state
        arrays = [as_array(v, s) for v, s in zip(values, self.inputs, strict=True)]
        return arrays, self._planner.state(arrays)

    def _output_arrays(
        self, state: ShapeState, given: Sequence[object] | None
    ) -> list[Array]:
        shapes = state.output_shapes
        if given is None and state.has_small_outputs:
            pairs = zip(shapes, self._output_dtypes)  # noqa: B905 # for speed
            return [np.empty(shape, dtype) for shape, dtype in pairs]
        empty = shared_heap().empty
        given = given or [None] * len(shapes)
        return [
            empty(shape, spec.dtype)
            if value is None
            else check_output(value, spec, shape)
            for value, shape, spec in zip(given, shapes, self.outputs, strict=True)
        ]

    def _launch(
        self, context: RunContext, state: ShapeState, addresses: Sequence[int], log: int
    ) -> None:
        """Fill the table and call the code."""
        if state.packing.size > context.arena.nbytes:
            context.arena.reserve(state.packing.size)
        context.fill_table(state, self._planner.bases, addresses)
        parallel = self._code.parallel(self.num_threads) if state.ways > 1 else 0
        seed = 0 if self._seeds is None else next(self._seeds)
        context.clear_state(parallel, log, seed)
        self._call(context)
        words = context.state
        if words[_ERROR] or words[_CANCEL]:
            self._raise_error(words, state)

    def _raise_error(self, words: memoryview, state: ShapeState) -> NoReturn:
        """What the run state tells."""
        error = words[StateWord.ERROR]
        if not error:
            raise Cancelled("the run was interrupted")
        if error == ErrorCode.SIZE_MISMATCH:
            raise InputError(state.refusals[words[StateWord.SITE]])
        launch = self._plan.launches[words[StateWord.LAUNCH]]
        raise error_for(error, launch.node)

    def _call(self, context: RunContext) -> None:
        """
        Call the native code, in this thread unless that would keep Ctrl-C waiting.

        Python handles signals in the main thread, between calls of native code. So if
        runs take long, the main thread leaves them to a helper and watches.
        """
        started = perf_counter()
        if (
            self._last_seconds < _LONG_RUN_SECONDS
            or threading.current_thread() is not threading.main_thread()
        ):
            self._entry(context.state_address, context.table_address)
        else:
            # Not Thread.join: interrupted, it takes a running thread for finished.
            done = threading.Event()

            def run() -> None:
                self._entry(context.state_address, context.table_address)
                done.set()

            threading.Thread(target=run).start()
            try:
                while not done.wait(_POLL_SECONDS):
                    pass
            except BaseException:
                context.state[StateWord.CANCEL] = 1
                done.wait()
                raise
        self._last_seconds = perf_counter() - started

    def _borrow(self) -> RunContext:
        try:
            return self._contexts.pop()
        except IndexError:
            return RunContext(len(self._planner.bases), self._planner.base_count)

    def _reserve_more(self, context: RunContext, used: int) -> None:
        """A larger shape may come next."""
        context.arena.reserve_ahead(with_reserve(used), touched=used)
        shared_heap().reserve_ahead()

    def _refuse_closed(self) -> None:
        # Who closes holds the lock until it is decided.
        with self._lock:
            if self._is_closed:
                raise RunError("the compiled model is closed")

    # ---- what it is

    def seed(self, number: int) -> None:
        """
        Let the random numbers of the next runs start from `number`, a new stream each.

        Runs after equal seeds give equal results. It matters to models with random ops
        that have no seed of their own; those draw anew in each run, and begin somewhere
        else in each process until this is called.
        """
        if any(_RUN_SEED in kernel.ops for kernel in self._plan.kernels):
            self._seeds = count(number % 2**62)

    @property
    def info(self) -> Info:
        """What was compiled, what that cost, and what runs have needed so far."""
        largest = self._planner.largest
        return replace(
            self._info,
            arena_bytes=largest.size,
            arena_bound_bytes=largest.lower_bound,
            shapes_planned=self._planner.planned,
        )

    def set_phases(self, phases: Sequence[PhaseInfo]) -> None:
        """Record how long the compilation took."""
        self._info = replace(self._info, phases=tuple(phases))

    def set_cache(self, cache: CacheInfo) -> None:
        """Record what the cache did."""
        self._info = replace(self._info, cache=cache)

    @cached_property
    def _input_dtypes(self) -> list[np.dtype[Any]]:
        return [spec.dtype for spec in self.inputs]

    @cached_property
    def _output_dtypes(self) -> list[np.dtype[Any]]:
        return [spec.dtype for spec in self.outputs]

    @cached_property
    def _specs(self) -> list[TensorSpec]:
        return [*self.inputs, *self.outputs]

    def __repr__(self) -> str:
        inputs = ", ".join(map(str, self.inputs))
        outputs = ", ".join(map(str, self.outputs))
        return f"<CompiledModel ({inputs}) -> ({outputs}) for {self._info.target}>"

    # ---- keeping it

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write the compiled model to a file (`.nnc`), which `nnc.load` reads.

        The file holds code for this target and all weights. It appears whole or, if
        something fails, not at all.

        Raises:
            OSError: it cannot be written.
        """
        if self._machine_code is None:
            raise InternalError("this model has no object code that could be saved")
        weights = {
            w.name: a for w, a in zip(self._plan.weights, self._weights, strict=True)
        }
        # The cache is no matter of who loads the file.
        info = replace(self._info, cache=CacheInfo())
        saved = SavedModel(self._plan, weights, self._machine_code, info)
        write_model(Path(path), saved, durable=True)

    # ---- ending

    def close(self) -> None:
        """
        Free code and arenas; doing it twice is fine, running afterwards is an error.

        Raises:
            RunError: a run is going on in another thread.
        """
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            # A run that began before sees nothing of this, a later one asks.
            if self._running and not was_closed:
                self._is_closed = False
                raise RunError("cannot close a model while it runs")
            self._finalizer()


def _bound(weight: Weight, arrays: Mapping[str, Array]) -> Array:
    """The bytes of a weight, as the code reads them."""
    array = arrays.get(weight.name)
    if array is None:
        raise CompileError(f"weight '{weight.name}' is missing")
    expected = dtype_named(weight.dtype)
    if array.dtype != expected or array.shape != weight.shape:
        raise CompileError(
            f"weight '{weight.name}' should be {expected}{list(weight.shape)}, "
            f"got {array.dtype}{list(array.shape)}"
        )
    return np.require(array, requirements=("C", "A"))


def kernel_infos(plan: Plan) -> tuple[KernelInfo, ...]:
    """A row for each kernel of a plan, in order of their first launches."""
    rows: list[KernelInfo] = []
    for kernel in plan.kernels:
        launches = [n for n in plan.launches if n.kernel == kernel.name]
        rows.append(
            KernelInfo(
                name=kernel.name,
                schedule=launches[0].schedule if launches else "",
                ops=kernel.ops,
                sources=tuple(dict.fromkeys(n.node for n in launches if n.node)),
                launches=len(launches),
            )
        )
    return tuple(rows)
