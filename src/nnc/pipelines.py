"""
Named pass pipelines: exactly what `nnc.compile` runs and `nnc-opt -p` can run.

A pipeline is data: passes under the stage that they complete, made from one options
record. It never looks at a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Final

from xdsl.utils.arg_spec import ArgSpec, parse_pipeline

from nnc.errors import CompileError


class Stage(StrEnum):
    """Where a pipeline can be left: after the last pass of a stage."""

    IMPORT = "import"
    """`nn` as the frontend wrote it."""
    NN = "nn"
    """Optimised `nn`, grouped into dispatches."""
    BUFFERS = "buffers"
    """`rt` dispatches over strided buffers."""
    SIMD = "simd"
    """`rt` launches over a planned arena, and `simd` kernels."""
    LLVM = "llvm"
    """The `llvm` dialect, ready for the backend."""


@dataclass(frozen=True)
class PipelineOptions:
    """What a pipeline depends on."""

    target: str = "native"
    """Name of the `nnc.Target` that code is made for."""

    winograd: str = "auto"
    """Where Winograd's algorithm may compute convolutions: auto, f2, f4 or off."""


_DEFAULTS: Final = PipelineOptions()


@dataclass(frozen=True)
class Step:
    """One pass with its options, and the stage that it belongs to."""

    stage: Stage
    spec: ArgSpec


def spec(name: str, **options: str | bool | float) -> ArgSpec:
    """A pass with options, in the form that `nnc-opt -p` parses."""
    return ArgSpec(
        name, {key.replace("_", "-"): (value,) for key, value in options.items()}
    )


_CLEAN = (
    spec("canonicalize-nn"),
    spec("simplify-control-flow"),
    spec("fold-constants"),
    spec("eliminate-common-ops"),
)


def nnc_default(options: PipelineOptions) -> Mapping[Stage, tuple[ArgSpec, ...]]:
    """The pipeline of `nnc.compile`."""
    target = options.target
    return {
        Stage.NN: (
            # Simplify what the source model says.
            *_CLEAN,
            spec("fold-batch-norm"),
            spec("raise-attention"),
            # Bring it into the ops and layouts that kernels exist for.
            spec("decompose-nn"),
            spec("choose-layout"),
            *_CLEAN,
            spec("block-thin-convs", target=target),
            spec("apply-winograd", target=target, tiles=options.winograd),
            spec("fold-constants"),
            # Decide what shares a kernel.
            spec("split-reductions"),
            spec("explicit-padding"),
            spec("form-dispatches"),
            spec("pack-weights", target=target),
            spec("fold-constants"),
            spec("drop-unused-weights"),
            spec("verify-dispatched"),
        ),
        Stage.BUFFERS: (spec("bufferize"),),
        Stage.SIMD: (
            spec("lower-dispatches", target=target),
            spec("plan-arena"),
        ),
        Stage.LLVM: (
            spec("finalize-kernel-abi"),
            spec("convert-simd-to-llvm", target=target),
            spec("convert-rt-to-llvm"),
        ),
    }


def nnc_nn(options: PipelineOptions) -> Mapping[Stage, tuple[ArgSpec, ...]]:
    """The `nn` stage of the default pipeline alone."""
    return {Stage.NN: nnc_default(options)[Stage.NN]}


PIPELINES: Final[
    Mapping[str, Callable[[PipelineOptions], Mapping[Stage, tuple[ArgSpec, ...]]]]
] = {
    "nnc-default": nnc_default,
    "nnc-nn": nnc_nn,
}


def steps(name: str, options: PipelineOptions) -> tuple[Step, ...]:
    """The passes of a named pipeline, in order."""
    try:
        make = PIPELINES[name]
    except KeyError:
        known = ", ".join(PIPELINES)
        raise CompileError(f"unknown pipeline '{name}'; known are: {known}") from None
    phases = make(options)
    return tuple(Step(stage, s) for stage in Stage for s in phases.get(stage, ()))


def stop_after(steps: Iterable[Step], stage: Stage) -> tuple[Step, ...]:
    """The steps up to the end of `stage`."""
    stages = tuple(Stage)
    last = stages.index(stage)
    return tuple(s for s in steps if stages.index(s.stage) <= last)


def parse_options(
    name: str, parameters: Mapping[str, tuple[object, ...]], defaults: PipelineOptions
) -> PipelineOptions:
    """The options record from the braces of `name{target=avx2}`."""
    known = {f.name for f in fields(PipelineOptions)}
    values: dict[str, str] = {}
    for key, value in parameters.items():
        if key.replace("-", "_") not in known:
            names = ", ".join(sorted(known))
            raise CompileError(
                f"pipeline '{name}' has no option '{key}'; it has: {names}"
            )
        values[key.replace("-", "_")] = ",".join(str(v) for v in value)
    return replace(defaults, **values)


def expand(
    text: str,
    *,
    stop: Stage | None = None,
    defaults: PipelineOptions = _DEFAULTS,
) -> tuple[ArgSpec, ...]:
    """
    The passes of a textual pipeline, with the pipelines it names spelled out.

    `stop` leaves named pipelines after that stage; passes named alone always stay.
    `defaults` are the options of named pipelines whose text does not say otherwise.
    """
    result: list[ArgSpec] = []
    for item in parse_pipeline(text):
        if item.name not in PIPELINES:
            result.append(item)
            continue
        named = steps(item.name, parse_options(item.name, item.parameters, defaults))
        if stop is not None:
            named = stop_after(named, stop)
        result += [s.spec for s in named]
    return tuple(result)


def to_text(specs: Iterable[ArgSpec]) -> str:
    """The textual pipeline, as `nnc-opt -p` takes it."""
    return ",".join(str(s) for s in specs)
