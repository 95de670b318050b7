"""Programs of compiled stages and host steps: what runs them, step by step."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from nnc.errors import InputError, NncError, RunError
from nnc.runtime.artifact import Tensor
from nnc.runtime.executor import CompiledModel
from nnc.runtime.host_steps import Graphs, HostStep, host_step
from nnc.runtime.host_values import bound_value, described, owned_values
from nnc.runtime.info import CacheInfo, Info, PhaseInfo, StepInfo
from nnc.runtime.outputs import check_output, given_outputs
from nnc.runtime.profile import Profile, joined
from nnc.runtime.program_plan import ProgramPlan, Step, ValueSpec
from nnc.runtime.runnable import Runnable
from nnc.runtime.saved_program import SavedProgram, write_program
from nnc.runtime.specs import (
    MAX_SIZE,
    HostSpec,
    TensorSpec,
    as_array,
    check_sizes,
    spec_of,
)
from nnc.symbolic import Dim, parse_dim

_Run: TypeAlias = Callable[[list[Any], dict[str, int]], None]
"""A step, ready to run: on the values so far and the sizes so far."""


class ProgramModel(Runnable["TensorSpec | HostSpec"]):
    """
    A compiled network of several stages.

    Where the sizes of a network depend on its data, or where it works with sequences or
    strings, native code runs it piece by piece, and Python code does what is between
    the pieces. Called like a `CompiledModel`; `info.steps` shows the pieces. Inputs and
    outputs that are no tensors are lists (sequences), None (an optional without an
    element), and arrays of dtype object (strings).

    Several threads may run one model at the same time.
    """

    def __init__(
        self,
        plan: ProgramPlan,
        stages: Sequence[CompiledModel],
        graphs: Graphs,
        info: Info,
        saved: SavedProgram | None = None,
        num_threads: int = 1,
    ) -> None:
        """
        Bind a plan to its compiled stages and to what compiles its graphs.

        Without `saved` there is no `save`.
        """
        self.num_threads: int = num_threads
        """How many threads a run may use, the caller's included."""
        self.inputs = tuple(public_spec(v) for v in plan.inputs)
        self.outputs = tuple(public_spec(v) for v in plan.outputs)
        self._plan = plan
        self._stages = tuple(stages)
        self._graphs = graphs
        self._info = info
        self._saved = saved
        self._steps = [self._bound(step) for step in plan.steps]
        self._dims = [_free_dims(spec) for spec in self.inputs]
        self._running: deque[None] = deque()
        self._is_closed = False
        self._lock = threading.Lock()

    # ---- running

    def _run(
        self, values: Sequence[object], log: int = 0, out: object = None
    ) -> list[Any]:
        given = None if out is None else given_outputs(out, self.outputs)
        found: list[Any] = [None] * self._plan.values
        sizes = self._bind_inputs(values, found)
        inputs = list(found[: len(self.inputs)])
        self._running.append(None)
        try:
            if self._is_closed:
                with self._lock:
                    if self._is_closed:
                        raise RunError("the compiled model is closed")
            for step in self._steps:
                step(found, sizes)
        finally:
            self._running.pop()
        results = [found[r] for r in self._plan.results]
        return self._as_outputs(results, inputs, given)

    def _bind_inputs(
        self, values: Sequence[object], found: list[Any]
    ) -> dict[str, int]:
        """Put the inputs among the values; the sizes that they show."""
        for index, (value, spec) in enumerate(zip(values, self.inputs, strict=True)):
            if isinstance(spec, HostSpec):
                found[index] = bound_value(value, spec.kind, spec.name)
                continue
            array = as_array(value, spec)
            check_sizes(array, spec)
            found[index] = array
        sizes = {s.name: int(found[s.input].shape[s.axis]) for s in self._plan.symbols}
        for array, spec, dims in zip(found, self.inputs, self._dims, strict=False):
            for axis, dim in dims:
                if array.shape[axis] != dim.evaluate(sizes):
                    raise InputError(
                        f"input '{spec.name}': axis {axis} has size "
                        f"{array.shape[axis]}, but {dim} is {dim.evaluate(sizes)}"
                    )
        return sizes

    def _as_outputs(
        self,
        results: Sequence[Any],
        inputs: Sequence[Any],
        given: Sequence[object] | None,
    ) -> list[Any]:
        """What the caller gets: no memory twice, and none of the inputs'."""
        if given is None:
            return owned_values(results, inputs)
        outputs: list[Any] = list(results)
        for index, (value, spec) in enumerate(zip(results, self.outputs, strict=True)):
            if given[index] is None:
                continue
            if isinstance(spec, HostSpec):
                raise InputError(f"output '{spec.name}': out= is for tensors")
            outputs[index] = check_output(given[index], spec, value.shape)
            np.copyto(outputs[index], value)
        rest = [i for i, target in enumerate(given) if target is None]
        taken = [*inputs, *(outputs[i] for i in range(len(given)) if i not in rest)]
        for index, value in zip(
            rest, owned_values([results[i] for i in rest], taken), strict=True
        ):
            outputs[index] = value
        return outputs

    # ---- steps

    def _bound(self, step: Step) -> _Run:
        """A step as a function."""
        if step.stage is not None:
            run = self._stage_step(step, self._stages[step.stage.stage])
        elif step.sizes is not None:
            run = _sizes_step(step)
        else:
            run = self._host_step(step, host_step(step, self._graphs))
        dead = step.last_reads
        if not dead:
            return run

        def run_and_drop(found: list[Any], sizes: dict[str, int]) -> None:
            run(found, sizes)
            for value in dead:
                found[value] = None

        return run_and_drop

    def _stage_step(self, step: Step, stage: CompiledModel) -> _Run:
        assert step.stage is not None
        inputs, outputs, names = step.inputs, step.outputs, step.stage.sizes

        def run(found: list[Any], sizes: dict[str, int]) -> None:
            arrays = _stage_inputs(inputs, names, found, sizes)
            results = stage._run(arrays)  # pyright: ignore[reportPrivateUsage] # of the same class
            for position, value in zip(outputs, results, strict=True):
                found[position] = value

        return run

    def _host_step(self, step: Step, host: HostStep) -> _Run:
        assert step.host is not None
        inputs, outputs = step.inputs, step.outputs
        known = [_known_type(spec) for spec in step.host.results]

        def run(found: list[Any], sizes: dict[str, int]) -> None:
            results = host([found[i] for i in inputs])
            if len(results) < len(outputs):
                raise RunError(
                    f"{step.host.op_type if step.host else ''} (node '{step.node}') "
                    f"gave {len(results)} values, not {len(outputs)}"
                )
            for position, value, type_ in zip(outputs, results, known, strict=False):
                found[position] = value
                if type_ is not None:
                    found[position] = _checked(value, type_, sizes, step.node)

        return run

    # ---- what it is

    def seed(self, number: int) -> None:
        """As `CompiledModel.seed`, for every stage; their streams differ."""
        for stage in self._stages:
            stage.seed(number)

    @property
    def info(self) -> Info:
        """What was compiled, what that cost, and what runs have needed so far."""
        infos = [stage.info for stage in self._stages]
        return replace(
            self._info,
            arena_bytes=sum(i.arena_bytes for i in infos),
            arena_bound_bytes=sum(i.arena_bound_bytes for i in infos),
            shapes_planned=sum(i.shapes_planned for i in infos),
            steps=tuple(self._described(step) for step in self._plan.steps),
        )

    def _described(self, step: Step) -> StepInfo:
        if step.stage is not None:
            info = self._stages[step.stage.stage].info
            return StepInfo("stage", f"{info.launches} launches", step.node)
        if step.sizes is not None:
            names = ", ".join(step.sizes.symbols)
            return StepInfo("sizes", f"{names}: {step.sizes.what}", step.node)
        assert step.host is not None
        domain = f"{step.host.domain}." if step.host.domain else ""
        kind = "compiled when run" if step.host.op_type == "Deferred" else "host"
        graphs = [g.graph for g in step.host.graphs]
        made = sum(self._graphs.count(g) for g in graphs)
        text = f"{domain}{step.host.op_type}"
        if graphs:
            text += f", compiled {made} time{'s' if made != 1 else ''} so far"
        return StepInfo(kind, text, step.node)

    def set_phases(self, phases: Sequence[PhaseInfo]) -> None:
        """Record how long the compilation took."""
        self._info = replace(self._info, phases=tuple(phases))

    def set_cache(self, cache: CacheInfo) -> None:
        """Record what the cache did."""
        self._info = replace(self._info, cache=cache)

    @property
    def stages(self) -> tuple[CompiledModel, ...]:
        """The stages that are compiled, in order."""
        return self._stages

    def prepare(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """
        Check that inputs can have these shapes; stages plan theirs when they run.

        Raises:
            InputError: the shapes do not fit the model.
        """
        arrays: list[object] = []
        for value, spec in zip(self._in_order((), shapes), self.inputs, strict=True):
            shape = tuple(cast("Sequence[int]", value))
            if isinstance(spec, HostSpec):
                raise InputError(f"input '{spec.name}' is no tensor: it has no shape")
            if len(shape) != len(spec.shape) or min(shape, default=0) < 0:
                raise InputError(
                    f"input '{spec.name}': {list(shape)} is no shape for {spec}"
                )
            arrays.append(_Shaped(shape))
        sizes = {
            s.name: cast(_Shaped, arrays[s.input]).shape[s.axis]
            for s in self._plan.symbols
        }
        for array, spec, dims in zip(arrays, self.inputs, self._dims, strict=True):
            check_sizes(cast(Any, array), cast(TensorSpec, spec))
            for axis, dim in dims:
                if cast(_Shaped, array).shape[axis] != dim.evaluate(sizes):
                    raise InputError(
                        f"input '{spec.name}': axis {axis} must have size {dim}"
                    )

    def profile(self, *args: object, **kwargs: object) -> Profile:
        """
        Where the time of the stages goes, as `CompiledModel.profile` tells of one.

        Each stage is profiled on the arrays that it gets in a run, for half a second.
        What is between them is not in it.

        Raises:
            InputError: the inputs do not fit the model; nothing was run.
            RunError: the data made an op fail, or there is no stage; names the node.
        """
        found: list[Any] = [None] * self._plan.values
        sizes = self._bind_inputs(self._in_order(args, kwargs), found)
        profiles: list[Profile] = []
        for step, run in zip(self._plan.steps, self._steps, strict=True):
            if step.stage is not None:
                stage = self._stages[step.stage.stage]
                arrays = _stage_inputs(step.inputs, step.stage.sizes, found, sizes)
                if stage.info.launches:
                    profiles.append(stage.profile(*arrays))
            run(found, sizes)
        return joined(profiles)

    def __repr__(self) -> str:
        inputs = ", ".join(map(str, self.inputs))
        outputs = ", ".join(map(str, self.outputs))
        return (
            f"<ProgramModel ({inputs}) -> ({outputs}) of {len(self._plan.steps)} steps "
            f"for {self._info.target}>"
        )

    # ---- keeping and ending it

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write the compiled model to a file (`.nnc`), which `nnc.load` reads.

        Graphs that are compiled when they run are in the file as parts of the source
        model: running these steps then needs the compiler, as it does here.

        Raises:
            OSError: it cannot be written.
        """
        if self._saved is None:
            raise RunError("this model has no object code that could be saved")
        info = replace(self._info, cache=CacheInfo())
        write_program(Path(path), replace(self._saved, info=info), durable=True)

    def close(self) -> None:
        """
        Free code and arenas; doing it twice is fine, running afterwards is an error.

        Raises:
            RunError: a run is going on in another thread.
        """
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            if self._running and not was_closed:
                self._is_closed = False
                raise RunError("cannot close a model while it runs")
            for stage in self._stages:
                stage.close()
            self._graphs.close()


def _stage_inputs(
    inputs: Sequence[int],
    names: Sequence[str],
    found: Sequence[Any],
    sizes: Mapping[str, int],
) -> list[Any]:
    """The arrays for a stage: its inputs, and the sizes that no shape shows."""
    arrays = [found[i] for i in inputs]
    if names:
        arrays.append(np.array([sizes[n] for n in names], np.int64))
    return arrays


class _Shaped:
    """A shape without an array."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


def public_spec(value: ValueSpec) -> TensorSpec | HostSpec:
    """What an input or output looks like to callers."""
    if not value.dtype:
        return HostSpec(value.name, value.kind)
    return spec_of(Tensor(value.name, value.dtype, value.dims, ()))


def _free_dims(spec: TensorSpec | HostSpec) -> list[tuple[int, Dim]]:
    """The axes of an input whose sizes are names or expressions."""
    if isinstance(spec, HostSpec):
        return []
    return [(a, parse_dim(d)) for a, d in enumerate(spec.shape) if isinstance(d, str)]


def _sizes_step(step: Step) -> _Run:
    assert step.sizes is not None
    names, what, node, (source,) = (
        step.sizes.symbols,
        step.sizes.what,
        step.node,
        step.inputs,
    )

    def run(found: list[Any], sizes: dict[str, int]) -> None:
        for name, value in zip(names, found[source].tolist(), strict=True):
            if not 0 <= value <= MAX_SIZE:
                reason = "negative" if value < 0 else f"more than {MAX_SIZE}"
                raise RunError(f"node '{node}': {what} is {value}, which is {reason}")
            sizes[name] = value

    return run


def _known_type(spec: ValueSpec) -> tuple[TensorSpec, list[tuple[int, Dim]]] | None:
    type_ = public_spec(spec)
    return None if isinstance(type_, HostSpec) else (type_, _free_dims(type_))


def _checked(
    value: Any,
    type_: tuple[TensorSpec, list[tuple[int, Dim]]],
    sizes: dict[str, int],
    node: str,
) -> Any:
    """
    The result of a host step, whose type is known; its free sizes become known, too.

    Raises:
        RunError: it is not what was expected.
    """
    spec, dims = type_
    try:
        if not isinstance(value, np.ndarray):
            raise InputError(f"expected a tensor, got {described(value)}")
        array = as_array(cast(object, value), spec)
        check_sizes(array, spec)
    except NncError as error:
        raise RunError(f"node '{node}': {error}") from error
    for axis, dim in dims:
        size = array.shape[axis]
        expected = sizes.setdefault(str(dim), size) if dim.symbols else size
        if expected != size:
            raise RunError(
                f"node '{node}': axis {axis} has size {size}, but {dim} is {expected}"
            )
    return array
