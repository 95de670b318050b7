"""The public functions: from a model to something that runs, or to a module."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from nnc.backend.host import check_runs_here, resolve_target
from nnc.cache.request import Request
from nnc.errors import CompileError, LoadError
from nnc.loading import bind
from nnc.options import (
    CompileOptions,
    InputShapes,
    InputValues,
    OnPass,
    OutputKind,
    check_input_shapes,
    check_input_values,
    check_on_pass,
    threads_for,
)
from nnc.runtime.executor import CompiledModel
from nnc.runtime.saved_program import read_saved, write_saved
from nnc.target import Target

# The compiler is imported where it is needed: what is saved or cached loads without.
if TYPE_CHECKING:
    from nnc.module import Module
    from nnc.runtime.program import ProgramModel


def compile(
    model: object,
    *,
    target: str | Target = "native",
    example_inputs: object = None,
    input_shapes: InputShapes | None = None,
    input_values: InputValues | None = None,
    precision: str = "fp32",
    quantize: object = None,
    num_threads: int | None = None,
    cache: bool = True,
    tune: bool = False,
    winograd: str = "auto",
    pipeline: str | None = None,
    on_pass: OnPass | None = None,
) -> CompiledModel | ProgramModel:
    """
    A network compiled for this machine, ready to be called.

    `model` is a path to an .onnx file, its bytes, an `onnx.ModelProto`, or an
    `nnc.Module` at any stage of the compilation. `target` is `native` or a level that
    this CPU can run: `generic`, `sse4.2`, `avx2`, `avx512`, `neon`, with `+feature` and
    `-feature` suffixes, or an `nnc.Target`. `input_shapes` gives, by input name,
    numbers for dims to fix and names for dims to keep free; free dims take any size in
    each run. `input_values` gives inputs the values that they always have: the compiled
    model lacks these inputs. `pipeline` replaces the default pipeline (for a module at
    a later stage, what is left of it).
    `num_threads` is how many threads one run may use, the caller's included; without
    it, as many as the cores that this process is allowed. Results do not depend on it.
    `winograd` says which 3x3 convolutions Winograd's algorithm computes, which rounds
    differently: `auto`, those where that is faster; `f2` or `f4`, the same with tiles
    of this size only; `off`, none.
    `tune` measures which register tiles the contractions of this network are fastest
    with, on `example_inputs` (an array, a sequence in order or a mapping from names;
    else on random inputs): it takes some ten compilations, may gain a few percent, and
    changes no result. `on_pass` is called before each phase, for a progress bar. The
    remaining options accept only their defaults in this release.

    With `cache`, a model that was compiled before comes from the cache on disk, if it
    is a file, bytes or a proto. Everything that decides about the code has to be the
    same: the model's bytes, the options, this CPU, nnc itself. `exe.info.cache` tells.

    Models whose sizes depend on data, or that handle sequences or strings, become a
    `ProgramModel` of several stages, which is used like a `CompiledModel`. What needs
    values of inputs, such as axes, is compiled when the model runs.

    The result may be called from several threads at once. Close it, or drop it, to free
    the code; weights are shared with the model where possible and must not change.

    Raises:
        LoadError: the file is damaged or no model.
        UnsupportedOp: lists every op of the model that nnc does not know.
        CompileError: an option is not supported, the network cannot be compiled, or it
            cannot be tuned as it does not run on the inputs at hand.
        TargetError: the target is unknown, or this CPU cannot run it.

    Example::

        exe = nnc.compile("model.onnx", input_shapes={"x": ["N", 3, 224, 224]})
        y = exe(x)
    """
    options = CompileOptions(
        target=target,
        example_inputs=example_inputs,
        input_shapes=input_shapes,
        input_values=input_values,
        precision=precision,
        quantize=quantize,
        num_threads=num_threads,
        cache=cache,
        tune=tune,
        winograd=winograd,
        pipeline=pipeline,
    )
    return compile_with(model, options, on_pass)


def compile_with(
    model: object, options: CompileOptions, on_pass: OnPass | None = None
) -> CompiledModel | ProgramModel:
    """
    What `compile` does, for options in one record.

    Raises:
        NncError: what `compile` raises.
    """
    options.check()
    check_on_pass(on_pass)
    resolved = resolve_target(options.target)
    check_runs_here(resolved)
    request = Request.of(model, options, resolved)
    cached = request.load(on_pass)
    if cached is not None:
        return cached
    with _collector_paused():
        from nnc.build import Build

        build = Build.of(options, resolved, on_pass)
        saved = build.make(model)
        saved, kept = request.store(saved, build.external_files)
        compiled = build.link(saved)
    compiled.set_cache(kept)
    return compiled


def convert(
    model: object,
    *,
    input_shapes: InputShapes | None = None,
    input_values: InputValues | None = None,
) -> Module:
    """
    The network of a model as an `nn` module: to print, transform, interpret, save.

    `model`, `input_shapes` and `input_values` are those of `nnc.compile`. The result is
    the caller's.

    Raises:
        LoadError: the file is damaged or no model.
        UnsupportedOp: lists every op of the model that nnc does not know.

    Example::

        print(nnc.convert("model.onnx"))
    """
    check_input_shapes(input_shapes)
    check_input_values(input_values)
    from nnc.build import import_module

    return import_module(model, input_shapes, input_values)


def load(
    path: str | os.PathLike[str], *, num_threads: int | None = None
) -> CompiledModel | ProgramModel:
    """
    The compiled model that `CompiledModel.save` wrote to a file.

    Weights are mapped from the file: processes that load it share their memory, and the
    file must not be changed in place while it is used (to replace it is fine). Code in
    the file is run: load only files that you would run as programs. `num_threads` is
    that of `compile`.

    Raises:
        LoadError: the file is missing, damaged, or of another release.
        CompileError: `num_threads` is no number of threads.
        TargetError: this CPU cannot run the code; names what is missing.

    Example::

        nnc.compile("model.onnx").save("model.nnc")
        exe = nnc.load("model.nnc")
    """
    started = time.perf_counter()
    threads = threads_for(num_threads)
    try:
        saved = read_saved(Path(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise LoadError(f"cannot open '{path}': {reason}") from error
    return bind(saved, started, threads)


def compile_to_file(
    model: object,
    path: str | os.PathLike[str],
    *,
    target: str | Target = "native",
    input_shapes: InputShapes | None = None,
    on_pass: OnPass | None = None,
) -> None:
    """
    Write what `CompiledModel.save` would, for any target: nothing is loaded or run.

    Raises:
        OSError: the file cannot be written.
    """
    options = CompileOptions(target=target, input_shapes=input_shapes)
    options.check()
    check_on_pass(on_pass)
    with _collector_paused():
        from nnc.build import Build

        saved = Build.of(options, resolve_target(target), on_pass).make(model)
    write_saved(Path(path), saved, durable=True)


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
    options.check()
    check_on_pass(on_pass)
    with _collector_paused():
        from nnc.build import Build

        return Build.of(options, resolve_target(target), on_pass).emit(model, kind)


@contextmanager
def _collector_paused() -> Generator[None]:
    """
    No cyclic garbage collection for a while.

    IR is a large living graph: the collector walks it again and again, a fifth of the
    time of a compilation, and finds little. So are the classes of xDSL's dialects.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
