"""From a saved model to one that can be run: no compiler is needed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nnc.backend.host import check_code_runs_here
from nnc.backend.jit import LoadedCode
from nnc.runtime.executor import CompiledModel
from nnc.runtime.info import PhaseInfo
from nnc.runtime.saved import SavedModel
from nnc.runtime.saved_program import SavedProgram

if TYPE_CHECKING:
    from nnc.runtime.program import ProgramModel


def link(
    saved: SavedModel | SavedProgram, num_threads: int
) -> CompiledModel | ProgramModel:
    """The model, its code linked into this process, which can run it."""
    if isinstance(saved, SavedModel):
        return link_model(saved, num_threads)
    from nnc.late_graphs import LateGraphs
    from nnc.runtime.program import ProgramModel

    return ProgramModel(
        saved.plan,
        [link_model(stage, num_threads) for stage in saved.stages],
        LateGraphs(saved.graphs, saved.options, num_threads),
        saved.info,
        saved,
        num_threads,
    )


def link_model(saved: SavedModel, num_threads: int) -> CompiledModel:
    """A model that is one piece of native code."""
    code = saved.code
    loaded = LoadedCode(code.data, code.pool)
    return CompiledModel(
        saved.plan, saved.weights, loaded, saved.info, code, num_threads
    )


def bind(
    saved: SavedModel | SavedProgram, started: float, num_threads: int
) -> CompiledModel | ProgramModel:
    """
    The model of a file, ready to run.

    `started` is when the loading began (`time.perf_counter`).

    Raises:
        TargetError: this CPU cannot run the code; names what is missing.
    """
    for stage in saved.stages if isinstance(saved, SavedProgram) else (saved,):
        check_code_runs_here(stage.code.target, stage.code.cpu_features)
    info = replace(saved.info, code_generations=0)
    model = link(replace(saved, info=info), num_threads)
    model.set_phases([PhaseInfo("load", "loading", time.perf_counter() - started)])
    return model
