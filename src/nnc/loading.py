"""From a saved model to one that can be run: no compiler is needed."""

from __future__ import annotations

import time
from dataclasses import replace

from nnc.backend.host import check_code_runs_here
from nnc.backend.jit import LoadedCode
from nnc.runtime.executor import CompiledModel
from nnc.runtime.info import PhaseInfo
from nnc.runtime.saved import SavedModel


def link(saved: SavedModel, num_threads: int) -> CompiledModel:
    """The model, its code linked into this process, which can run it."""
    code = saved.code
    loaded = LoadedCode(code.data, code.pool)
    return CompiledModel(
        saved.plan, saved.weights, loaded, saved.info, code, num_threads
    )


def bind(saved: SavedModel, started: float, num_threads: int) -> CompiledModel:
    """
    The model of a file, ready to run.

    `started` is when the loading began (`time.perf_counter`).

    Raises:
        TargetError: this CPU cannot run the code; names what is missing.
    """
    check_code_runs_here(saved.code.target, saved.code.cpu_features)
    info = replace(saved.info, code_generations=0)
    model = link(replace(saved, info=info), num_threads)
    model.set_phases([PhaseInfo("load", "loading", time.perf_counter() - started)])
    return model
