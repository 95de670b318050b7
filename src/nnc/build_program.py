"""From a model that is no single piece of native code to a program of stages."""

from __future__ import annotations

from nnc import pipelines
from nnc.build import Build
from nnc.errors import CompileError
from nnc.lowering.make_program import make_program
from nnc.module import Module, make_pass, run_pass
from nnc.runtime.info import Info
from nnc.runtime.saved import SavedModel
from nnc.runtime.saved_program import LateOptions, SavedProgram
from nnc.transforms.split_stages import SplitStagesPass, is_split


def make_saved_program(build: Build, module: Module) -> SavedProgram:
    """
    The steps of a program, its stages compiled one after the other.

    The module is used up.

    Raises:
        CompileError: an option is only for models of one stage.
    """
    if build.options.tune:
        raise CompileError(
            "tune=True is for models of one stage, but sizes that depend on data or "
            "values that are no tensors divide this one"
        )
    if not is_split(module.ir):
        with build.phase("import", SplitStagesPass.name):
            run_pass(module, make_pass(pipelines.spec(SplitStagesPass.name)))
    plan, inner = make_program(module.ir)
    steps = build.steps()
    build.total = len(build.phases) + len(inner) * (len(steps) + 1) + 1
    names = {g.graph for step in plan.steps if step.host for g in step.host.graphs}
    graphs = {name: module.weights[name] for name in sorted(names)}
    stages: list[SavedModel] = []
    for number, ir in enumerate(inner):
        ir.detach()
        stage = Module(ir, module.context.clone())
        stages.append(build.make_stage(stage, steps, f"stage {number}: "))
    module.weights.retain(())
    options = build.options
    late = LateOptions(build.target_name, options.winograd, options.cache)
    return SavedProgram(plan, tuple(stages), graphs, late, _info_of(build, stages))


def _info_of(build: Build, stages: list[SavedModel]) -> Info:
    infos = [stage.info for stage in stages]
    return Info(
        target=str(build.target),
        kernels=tuple(kernel for info in infos for kernel in info.kernels),
        weight_bytes=sum(info.weight_bytes for info in infos),
        code_bytes=sum(info.code_bytes for info in infos),
        phases=tuple(build.phases),
        fallbacks=tuple(place for info in infos for place in info.fallbacks),
        code_generations=len(stages),
    )
