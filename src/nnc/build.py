"""From a model to code: one compilation, pass by pass."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

from xdsl.dialects.builtin import ModuleOp, StringAttr

from nnc import pipelines
from nnc.analysis.fallbacks import find_fallbacks
from nnc.backend.emit_llvm import emit_llvm
from nnc.backend.host import name_of_target, other_features
from nnc.backend.jit import emit_assembly, emit_object
from nnc.backend.pool.code import pool_object
from nnc.dialects.nn.structure import DispatchOp
from nnc.errors import CompileError, InternalError, NncError, OutOfMemory
from nnc.loading import link, link_model
from nnc.lowering.convert_rt_to_llvm import PLAN
from nnc.module import Module, make_pass, new_context, run_pass, verify
from nnc.options import (
    DEFAULT_PIPELINE,
    CompileOptions,
    InputShapes,
    InputValues,
    OnPass,
    OutputKind,
    threads_for,
)
from nnc.runtime.artifact import Plan
from nnc.runtime.executor import CompiledModel, kernel_infos
from nnc.runtime.info import Info, PhaseInfo
from nnc.runtime.saved import MachineCode, SavedModel
from nnc.runtime.saved_program import SavedProgram
from nnc.target import Target
from nnc.target_record import TARGET, check_target
from nnc.transforms.pack_weights import PackWeightsPass
from nnc.transforms.set_tiles import SetTilesPass, tiled_dispatches
from nnc.transforms.split_stages import has_steps, is_split
from nnc.tuning import tune

if TYPE_CHECKING:
    from xdsl.utils.arg_spec import ArgSpec

    from nnc.runtime.program import ProgramModel

_AFTER_PASSES: Final = 2
"""Phases after the passes: code generation and loading."""


def import_module(
    model: object,
    input_shapes: InputShapes | None,
    input_values: InputValues | None = None,
    *,
    defer: bool = True,
) -> Module:
    """
    The network of a model as an `nn` module; a module is returned as it is.

    Raises:
        LoadError: the file is damaged or no model.
        UnsupportedOp: lists every op of the model that nnc does not know.
        CompileError: `input_shapes` or `input_values` does not fit.
    """
    if isinstance(model, Module):
        for name, value in (
            ("input_shapes", input_shapes),
            ("input_values", input_values),
        ):
            if value is not None:
                raise CompileError(
                    f"{name} is for models that are imported; a module says in its "
                    "text what its inputs are"
                )
        return model
    from nnc.frontends.detect import import_model

    context = new_context()
    # Whatever it is, import_model says so if it is no model.
    ir = import_model(
        cast(Any, model),
        input_shapes=input_shapes,
        input_values=input_values,
        defer=defer,
        ctx=context,
    )
    return Module(ir, context)


def plan_of(module: ModuleOp) -> Plan:
    """
    The plan that a fully lowered module carries.

    Raises:
        CompileError: the module is not fully lowered.
        LoadError: its plan is damaged.
    """
    text = module.attributes.get(PLAN)
    if not isinstance(text, StringAttr):
        raise CompileError(
            "the pipeline did not lower the host program; it must end in "
            "convert-rt-to-llvm"
        )
    return Plan.from_json(text.data)


_LOWERED: Final = frozenset({"rt", "simd", "llvm", "scf"})
"""Dialects of the levels below `nn`."""


def _check_not_lowered(module: ModuleOp) -> None:
    """
    Check that the default pipeline is for this module.

    Raises:
        CompileError: some of its passes ran already.
    """
    sign = TARGET if TARGET in module.attributes else None
    if sign is None:
        lowered = (
            op.name
            for op in module.walk()
            if op.name == DispatchOp.name or op.name.partition(".")[0] in _LOWERED
        )
        sign = next(lowered, None)
    if sign is not None:
        raise CompileError(
            f"the module is lowered already (it has '{sign}'), and the default "
            "pipeline starts from what nnc.convert gives; pipeline= must name the "
            "passes that are left, '' if there are none"
        )


@dataclass
class Build:
    """One compilation under way: what it was asked for, and how long it took."""

    options: CompileOptions
    target: Target
    target_name: str
    """By which the passes get it."""

    on_pass: OnPass | None
    phases: list[PhaseInfo] = field(default_factory=list[PhaseInfo])
    total: int = 0
    external_files: tuple[str, ...] = ()
    """Files beside the model that were read."""
    tiles: tuple[str, ...] = ()
    """What tuning chose."""

    @staticmethod
    def of(
        options: CompileOptions, target: Target, on_pass: OnPass | None = None
    ) -> Build:
        """
        A compilation with these options, which were checked, for their target.

        Raises:
            TargetError: the target has no name that passes could get it by.
        """
        given = options.target
        name = given if isinstance(given, str) else name_of_target(given)
        return Build(options, target, name, on_pass)

    @contextmanager
    def phase(self, stage: str, name: str) -> Generator[None]:
        """
        Announce a phase, and take its time.

        Raises:
            OutOfMemory: the phase found no memory.
            InternalError: it failed in a way that it should not.
        """
        if self.on_pass is not None:
            self.on_pass(name, len(self.phases), max(self.total, len(self.phases) + 1))
        started = time.perf_counter()
        try:
            yield
        except NncError:
            raise
        except MemoryError as error:
            raise OutOfMemory(f"there is no memory left for '{name}'") from error
        except Exception as error:
            raise InternalError(
                f"'{name}' failed, which is a bug of nnc; please report it with the "
                f"model: {type(error).__name__}: {error}"
            ) from error
        self.phases.append(PhaseInfo(stage, name, time.perf_counter() - started))

    def lower(self, model: object) -> Module:
        """
        The module of the model after the pipeline. A given module stays as it is.

        Raises:
            CompileError: it is a program of several stages.
        """
        steps = self.steps()
        self.total = len(steps) + 1 + _AFTER_PASSES
        module = self._imported(model)
        if self._is_program(module):
            raise CompileError(
                "the model is a program of several stages, which is no single module; "
                "nnc-opt -p split-stages shows them"
            )
        return self.lowered(module, steps)

    def _imported(self, model: object) -> Module:
        """The module of the model, for this compilation alone."""
        options = self.options
        with self.phase("import", "import"):
            module = import_module(
                model, options.input_shapes, options.input_values, defer=options.defer
            )
            if module is model:
                if options.pipeline is None:
                    _check_not_lowered(module.ir)
                module = Module(module.ir.clone(), module.context.clone())
            self.external_files = module.context.external_files
            verify(module, "import")
        return module

    def _is_program(self, module: Module) -> bool:
        """Whether it is to be split, or was split already."""
        return self.options.pipeline is None and (
            has_steps(module.ir) or is_split(module.ir)
        )

    def lowered(
        self, module: Module, steps: Sequence[tuple[str, ArgSpec]], prefix: str = ""
    ) -> Module:
        """A module after the passes of a pipeline; `prefix` starts their phases."""
        for position, (stage, spec) in enumerate(steps):
            if self.options.tune and spec.name == PackWeightsPass.name:
                with self.phase(stage, f"{prefix}tuning"):
                    self._tune(module, [s for _, s in steps[position:]])
            with self.phase(stage, f"{prefix}{spec.name}"):
                run_pass(module, make_pass(spec))
        check_target(module.ir, self.target)
        return module

    def make(self, model: object) -> SavedModel | SavedProgram:
        """Everything of the compiled model; nothing is loaded."""
        steps = self.steps()
        self.total = len(steps) + 1 + _AFTER_PASSES
        module = self._imported(model)
        if self._is_program(module):
            from nnc.build_program import make_saved_program

            return make_saved_program(self, module)
        return self.make_stage(module, steps)

    def make_stage(
        self, module: Module, steps: Sequence[tuple[str, ArgSpec]], prefix: str = ""
    ) -> SavedModel:
        """Everything of a module that is one piece of native code."""
        module = self.lowered(module, steps, prefix)
        with self.phase("llvm", f"{prefix}code generation"):
            saved = self._generate(module)
        # What a file says of its compilation includes its code generation.
        return replace(saved, info=replace(saved.info, phases=tuple(self.phases)))

    def _tune(self, module: Module, rest: Sequence[ArgSpec]) -> None:
        """Set the tiles of a module with which the passes `rest` make fast code."""

        def compile(tiles: Sequence[str]) -> CompiledModel:
            candidate = Module(module.ir.clone(), module.context.clone())
            run_pass(candidate, SetTilesPass(tuple(tiles)))
            for spec in rest:
                run_pass(candidate, make_pass(spec))
            saved = self._generate(candidate)
            return link_model(saved, threads_for(self.options.num_threads))

        count = sum(1 for _ in tiled_dispatches(module.ir))
        if count:
            inputs = self.options.example_inputs
            self.tiles = tune(compile, count, self.target, inputs)
            run_pass(module, SetTilesPass(self.tiles))

    def _generate(self, module: Module) -> SavedModel:
        """The code of a fully lowered module, which loses its weights."""
        data = emit_object(emit_llvm(module.ir, self.target), self.target)
        plan = plan_of(module.ir)
        info = Info(
            target=str(self.target),
            kernels=kernel_infos(plan),
            weight_bytes=sum(w.nbytes for w in plan.weights),
            code_bytes=len(data),
            fallbacks=find_fallbacks(module.ir, plan),
            code_generations=1,
            tiles=self.tiles,
        )
        named = {w.name for w in plan.weights}
        arrays = {n: module.weights[n] for n in module.weights if n in named}
        code = MachineCode(
            data, self.target, other_features(self.target), pool_object(self.target)
        )
        # IR is full of cycles and lives on for a while: not so the bytes of weights.
        module.weights.retain(())
        return SavedModel(plan, arrays, code, info)

    def link(self, saved: SavedModel | SavedProgram) -> CompiledModel | ProgramModel:
        """The model that was made, loaded into this process."""
        with self.phase("llvm", "loading"):
            compiled = link(saved, threads_for(self.options.num_threads))
        compiled.set_phases(self.phases)
        return compiled

    def emit(self, model: object, kind: OutputKind) -> bytes:
        """The code of the model, as a file of that kind."""
        module = self.lower(model)
        with self.phase("llvm", "code generation"):
            if kind == "mlir":
                return str(module).encode()
            text = emit_llvm(module.ir, self.target)
            if kind == "ll":
                return text.encode()
            if kind == "s":
                return emit_assembly(text, self.target).encode()
            return emit_object(text, self.target)

    def steps(self) -> list[tuple[str, ArgSpec]]:
        """The passes of the pipeline, and the stage that each belongs to."""
        text = self.options.pipeline
        options = pipelines.PipelineOptions(
            target=self.target_name, winograd=self.options.winograd
        )
        if text is not None:
            specs = pipelines.expand(text, defaults=options)
            return [("", spec) for spec in specs]
        steps = pipelines.steps(DEFAULT_PIPELINE, options)
        return [(str(step.stage), step.spec) for step in steps]
