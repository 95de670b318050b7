"""The public functions: from a model to something that runs, or to a module."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

from xdsl.dialects.builtin import ModuleOp, StringAttr

from nnc import pipelines
from nnc.analysis.fallbacks import find_fallbacks
from nnc.backend.emit_llvm import emit_llvm
from nnc.backend.host import check_runs_here, name_of_target, resolve_target
from nnc.backend.jit import LoadedCode, emit_assembly, emit_object
from nnc.dialects.nn.structure import DispatchOp
from nnc.errors import CompileError
from nnc.lowering.convert_rt_to_llvm import PLAN
from nnc.module import Module, make_pass, new_context, run_pass, verify
from nnc.options import (
    DEFAULT_PIPELINE,
    CompileOptions,
    InputShapes,
    check_input_shapes,
)
from nnc.runtime.artifact import Plan
from nnc.runtime.executor import CompiledModel, kernel_infos
from nnc.runtime.info import Info, PhaseInfo
from nnc.target import Target
from nnc.target_record import TARGET, check_target

if TYPE_CHECKING:
    from xdsl.utils.arg_spec import ArgSpec

OnPass: TypeAlias = Callable[[str, int, int], None]
"""Told the name of each phase before it runs, its number from 0, and their count."""

OutputKind = Literal["mlir", "ll", "s", "o"]

_AFTER_PASSES: Final = 2
"""Phases after the passes: code generation and loading."""


def compile(
    model: object,
    *,
    target: str | Target = "native",
    example_inputs: object = None,
    input_shapes: InputShapes | None = None,
    precision: str = "fp32",
    quantize: object = None,
    num_threads: int | None = None,
    cache: bool = True,
    tune: bool = False,
    pipeline: str | None = None,
    on_pass: OnPass | None = None,
) -> CompiledModel:
    """
    A network compiled for this machine, ready to be called.

    `model` is a path to an .onnx file, its bytes, an `onnx.ModelProto`, or an
    `nnc.Module` at any stage of the compilation. `target` is `native` or a level that
    this CPU can run: `generic`, `sse4.2`, `avx2`, `avx512`, `neon`, with `+feature` and
    `-feature` suffixes, or an `nnc.Target`. `input_shapes` gives, by input name,
    numbers for dims to fix and names for dims to keep free; free dims take any size in
    each run. `pipeline` replaces the default pipeline (for a module at a later stage,
    what is left of it).
    `on_pass` is called before each phase, for a progress bar. The remaining options
    accept only their defaults in this release.

    The result may be called from several threads at once. Close it, or drop it, to free
    the code; weights are shared with the model where possible and must not change.

    Raises:
        LoadError: the file is damaged or no model.
        UnsupportedOp: lists every op of the model that nnc does not know.
        CompileError: an option is not supported, or the network cannot be compiled.
        TargetError: the target is unknown, or this CPU cannot run it.

    Example::

        exe = nnc.compile("model.onnx", input_shapes={"x": ["N", 3, 224, 224]})
        y = exe(x)
    """
    options = CompileOptions(
        target=target,
        example_inputs=example_inputs,
        input_shapes=input_shapes,
        precision=precision,
        quantize=quantize,
        num_threads=num_threads,
        cache=cache,
        tune=tune,
        pipeline=pipeline,
    )
    build = _Build.of(options, on_pass)
    check_runs_here(build.target)
    with _collector_paused():
        compiled = build.compile(model)
    compiled.set_phases(build.phases)
    return compiled


def convert(model: object, *, input_shapes: InputShapes | None = None) -> Module:
    """
    The network of a model as an `nn` module: to print, transform, interpret, save.

    `model` and `input_shapes` are those of `nnc.compile`. The result is the caller's.

    Raises:
        LoadError: the file is damaged or no model.
        UnsupportedOp: lists every op of the model that nnc does not know.

    Example::

        print(nnc.convert("model.onnx"))
    """
    check_input_shapes(input_shapes)
    if isinstance(model, Module):
        if input_shapes is not None:
            raise CompileError(
                "input_shapes is for models that are imported; the shapes of a module "
                "are in its text"
            )
        return model
    from nnc.frontends.detect import import_model

    context = new_context()
    # Whatever it is, import_model says so if it is no model.
    ir = import_model(cast(Any, model), input_shapes=input_shapes, ctx=context)
    return Module(ir, context)


def emit(
    model: object,
    kind: OutputKind,
    *,
    target: str | Target = "native",
    input_shapes: InputShapes | None = None,
    pipeline: str | None = None,
    on_pass: OnPass | None = None,
) -> bytes:
    """
    What the compiler makes of a model, for any target: nothing is run.

    Kinds: `mlir`, the module's text at the last level; `ll`, LLVM IR; `s`, assembly;
    `o`, an object file.
    """
    if kind not in get_args(OutputKind):
        raise CompileError(
            f"cannot emit '{kind}'; known are {', '.join(get_args(OutputKind))}"
        )
    options = CompileOptions(
        target=target, input_shapes=input_shapes, pipeline=pipeline
    )
    build = _Build.of(options, on_pass)
    with _collector_paused():
        return build.emit(model, kind)


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


@contextmanager
def _collector_paused() -> Generator[None]:
    """
    No cyclic garbage collection for a while.

    IR is a large living graph: the collector walks it again and again, a fifth of the
    time of a compilation, and finds little.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass
class _Build:
    """One compilation under way: what it was asked for, and how long it took."""

    options: CompileOptions
    target: Target
    target_name: str
    """By which the passes get it."""

    on_pass: OnPass | None
    phases: list[PhaseInfo] = field(default_factory=list[PhaseInfo])
    total: int = 0

    @staticmethod
    def of(options: CompileOptions, on_pass: OnPass | None) -> _Build:
        """
        A compilation with these options.

        Raises:
            CompileError: one of them is not supported; names it.
        """
        options.check()
        if on_pass is not None and not callable(on_pass):
            raise CompileError(f"on_pass must be a function or None, got {on_pass!r}")
        target = options.target
        name = target if isinstance(target, str) else name_of_target(target)
        return _Build(options, resolve_target(target), name, on_pass)

    @contextmanager
    def phase(self, stage: str, name: str) -> Generator[None]:
        """Announce a phase, and take its time."""
        if self.on_pass is not None:
            self.on_pass(name, len(self.phases), max(self.total, len(self.phases) + 1))
        started = time.perf_counter()
        yield
        self.phases.append(PhaseInfo(stage, name, time.perf_counter() - started))

    def lower(self, model: object) -> Module:
        """The module of the model after the pipeline. A given module stays as it is."""
        steps = self._steps()
        self.total = len(steps) + 1 + _AFTER_PASSES
        with self.phase("import", "import"):
            module = convert(model, input_shapes=self.options.input_shapes)
            if module is model:
                if self.options.pipeline is None:
                    _check_not_lowered(module.ir)
                module = Module(module.ir.clone(), module.context.clone())
            verify(module, "import")
        for stage, spec in steps:
            with self.phase(stage, spec.name):
                run_pass(module, make_pass(spec))
        check_target(module.ir, self.target)
        return module

    def compile(self, model: object) -> CompiledModel:
        """The model, loaded into this process."""
        module = self.lower(model)
        with self.phase("llvm", "code generation"):
            data = emit_object(emit_llvm(module.ir, self.target), self.target)
        with self.phase("llvm", "loading"):
            plan = plan_of(module.ir)
            info = Info(
                target=str(self.target),
                kernels=kernel_infos(plan),
                weight_bytes=sum(w.nbytes for w in plan.weights),
                code_bytes=len(data),
                fallbacks=find_fallbacks(module.ir, plan),
                code_generations=1,
            )
            named = {w.name for w in plan.weights}
            arrays = {n: module.weights[n] for n in module.weights if n in named}
            return CompiledModel(plan, arrays, LoadedCode(data), info)

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

    def _steps(self) -> list[tuple[str, ArgSpec]]:
        text = self.options.pipeline
        options = pipelines.PipelineOptions(target=self.target_name)
        if text is not None:
            specs = pipelines.expand(text, defaults=options)
            return [("", spec) for spec in specs]
        steps = pipelines.steps(DEFAULT_PIPELINE, options)
        return [(str(step.stage), step.spec) for step in steps]
