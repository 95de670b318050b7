"""A program in a file: its steps, and each of its stages as a saved model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from nnc.errors import LoadError
from nnc.runtime.container import Container, write_container
from nnc.runtime.info import Info
from nnc.runtime.program_plan import ProgramPlan
from nnc.runtime.records import decode, encode, signature
from nnc.runtime.saved import (
    KIND,
    ModelRecords,
    SavedModel,
    array_bytes,
    check_facts,
    mapped_weights,
    model_in,
    model_of,
    records_of,
    release,
    sections_of,
    write_model,
)
from nnc.runtime.specs import Array

PROGRAM_KIND: Final = "compiled program"


@dataclass(frozen=True)
class LateOptions:
    """How graphs are compiled that can only be compiled when the program runs."""

    target: str
    winograd: str = "auto"
    cache: bool = False


@dataclass(frozen=True)
class SavedProgram:
    """All of a compiled program."""

    plan: ProgramPlan
    stages: tuple[SavedModel, ...]
    graphs: Mapping[str, Array]
    """By name: parts of the source model, as bytes."""
    options: LateOptions
    info: Info


@dataclass(frozen=True)
class _Records:
    """The plain data of a file."""

    plan: ProgramPlan
    info: Info
    stages: tuple[ModelRecords, ...]
    graphs: tuple[str, ...]
    options: LateOptions


def program_release() -> str:
    """What a file and its reader must agree on."""
    return f"{release()};{signature(_Records)}"


def write_program(
    path: Path,
    program: SavedProgram,
    *,
    facts: Mapping[str, str] | None = None,
    durable: bool = False,
    mode: int = 0o666,
) -> None:
    """
    Write a program to `path`, as `write_container` does.

    Raises:
        OSError: it cannot be written; the file is then as it was.
    """
    stages = tuple(records_of(stage) for stage in program.stages)
    records = _Records(
        program.plan, program.info, stages, tuple(program.graphs), program.options
    )
    text = json.dumps(encode(records), separators=(",", ":")).encode()
    sections = {"records": [memoryview(text)]}
    for number, stage in enumerate(program.stages):
        sections |= sections_of(stage, str(number))
    for number, graph in enumerate(program.graphs.values()):
        sections[f"graph{number}"] = [array_bytes(graph)]
    write_container(
        path,
        PROGRAM_KIND,
        {"release": program_release(), **(facts or {})},
        sections,
        durable=durable,
        mode=mode,
    )


def _program_in(
    file: Container,
    path: Path,
    facts: Mapping[str, str] | None,
    check: Callable[[os.stat_result], None] | None,
) -> SavedProgram:
    """
    The program of an open file; weights are mapped.

    Raises:
        LoadError: the file is damaged, or of another release.
    """
    if check is not None:
        check(file.status)
    check_facts(file, path, program_release(), facts)
    try:
        records = decode(_Records, json.loads(file.read("records")))
        stages = tuple(
            model_of(file, stage, str(number))
            for number, stage in enumerate(records.stages)
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LoadError(f"'{path}' is damaged: {error}") from error
    graphs = {
        name: np.frombuffer(file.read(f"graph{number}"), np.uint8)
        for number, name in enumerate(records.graphs)
    }
    return SavedProgram(records.plan, stages, graphs, records.options, records.info)


def write_saved(
    path: Path,
    saved: SavedModel | SavedProgram,
    *,
    facts: Mapping[str, str] | None = None,
    durable: bool = False,
    mode: int = 0o666,
) -> None:
    """
    Write a model or a program.

    Raises:
        OSError: it cannot be written; the file is then as it was.
    """
    if isinstance(saved, SavedModel):
        write_model(path, saved, facts=facts, durable=durable, mode=mode)
    else:
        write_program(path, saved, facts=facts, durable=durable, mode=mode)


def read_saved(
    path: Path,
    *,
    facts: Mapping[str, str] | None = None,
    check: Callable[[os.stat_result], None] | None = None,
) -> SavedModel | SavedProgram:
    """
    The model or program of a file.

    Raises:
        LoadError: the file is damaged, neither of both, or of another release.
        OSError: there is no such file, or it cannot be read.
    """
    with Container(path, KIND, PROGRAM_KIND) as file:
        read = _program_in if file.kind == PROGRAM_KIND else model_in
        return read(file, path, facts, check)


def with_written_weights(
    path: Path, saved: SavedModel | SavedProgram
) -> SavedModel | SavedProgram:
    """
    What was just written to a file, its weights those that are mapped from there.

    Raises:
        LoadError: the file is another one by now.
        OSError: it cannot be read.
    """
    is_model = isinstance(saved, SavedModel)
    stages = (saved,) if isinstance(saved, SavedModel) else saved.stages
    with Container(path, KIND if is_model else PROGRAM_KIND) as file:
        try:
            mapped = tuple(
                replace(
                    stage,
                    weights=mapped_weights(
                        file.map(f"weights{'' if is_model else n}", trusted=True),
                        stage.plan,
                    ),
                )
                for n, stage in enumerate(stages)
            )
        except ValueError as error:
            raise LoadError(f"'{path}' is damaged: {error}") from error
    if isinstance(saved, SavedModel):
        return mapped[0]
    return replace(saved, stages=mapped)
