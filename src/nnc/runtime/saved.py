"""
A compiled model in a file: its plan, object code and weights.

What can be read here needs neither xDSL nor a frontend nor LLVM. Reading trusts the
file as one trusts a program: checksums find damage, but whoever can write the file
decides what the code in it does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from nnc.errors import LoadError
from nnc.runtime.artifact import FORMAT, Plan, Weight
from nnc.runtime.container import Container, padded, write_container
from nnc.runtime.info import Info
from nnc.runtime.records import decode, encode, signature
from nnc.runtime.specs import Array, dtype_named
from nnc.runtime.state import ErrorCode, StateWord
from nnc.target import Target

KIND: Final = "compiled model"


@dataclass(frozen=True)
class MachineCode:
    """Object code, and the machines that can run it."""

    data: bytes
    target: Target
    cpu_features: tuple[str, ...] = ()
    """What LLVM was free to use beyond the features of the target, by its names."""

    pool: bytes = b""
    """Object code of the thread pool; empty for systems on which there is none."""


@dataclass(frozen=True)
class SavedModel:
    """All of a compiled model."""

    plan: Plan
    weights: Mapping[str, Array]
    code: MachineCode
    info: Info
    """What was compiled, as of then."""


@dataclass(frozen=True)
class ModelRecords:
    """The plain data of a file."""

    plan: Plan
    info: Info
    target: Target
    cpu_features: tuple[str, ...]


def release() -> str:
    """What a file and its reader must agree on: records, and words of the run state."""
    words = [f"{w.name}={w.value}" for kind in (StateWord, ErrorCode) for w in kind]
    return f"{FORMAT};{signature(ModelRecords)};{','.join(words)}"


def write_model(
    path: Path,
    model: SavedModel,
    *,
    facts: Mapping[str, str] | None = None,
    durable: bool = False,
    mode: int = 0o666,
) -> None:
    """
    Write a compiled model to `path`, as `write_container` does.

    Raises:
        OSError: it cannot be written; the file is then as it was.
    """
    text = json.dumps(encode(records_of(model)), separators=(",", ":")).encode()
    write_container(
        path,
        KIND,
        {"release": release(), **(facts or {})},
        {"records": [memoryview(text)], **sections_of(model)},
        durable=durable,
        mode=mode,
    )


def records_of(model: SavedModel) -> ModelRecords:
    """The plain data of a model."""
    code = model.code
    return ModelRecords(model.plan, model.info, code.target, code.cpu_features)


def sections_of(model: SavedModel, suffix: str = "") -> dict[str, list[memoryview]]:
    """The other sections of a file; `suffix` tells them from those of other models."""
    code = model.code
    return {
        f"code{suffix}": [memoryview(code.data)],
        f"pool{suffix}": [memoryview(code.pool)],
        f"weights{suffix}": [
            array_bytes(model.weights[w.name]) for w in distinct_weights(model.plan)
        ],
    }


def model_of(file: Container, records: ModelRecords, suffix: str = "") -> SavedModel:
    """
    The model of these records, from the other sections of a file.

    Raises:
        ValueError: records and sections do not fit.
        LoadError: a section is damaged.
    """
    weights = mapped_weights(file.map(f"weights{suffix}"), records.plan)
    data, pool = file.read(f"code{suffix}"), file.read(f"pool{suffix}")
    code = MachineCode(data, records.target, records.cpu_features, pool)
    return SavedModel(records.plan, weights, code, records.info)


def check_facts(
    file: Container, path: Path, stated: str, facts: Mapping[str, str] | None
) -> None:
    """
    Check what a file says of itself: its release, and `facts`.

    Raises:
        LoadError: it is of another release, or for something else.
    """
    if file.facts.get("release") != stated:
        raise LoadError(
            f"'{path}' was written by another release of nnc: compile the model again"
        )
    for name, text in (facts or {}).items():
        if file.facts.get(name) != text:
            raise LoadError(f"'{path}' is for another {name}")


def read_model(
    path: Path,
    *,
    facts: Mapping[str, str] | None = None,
    check: Callable[[os.stat_result], None] | None = None,
) -> SavedModel:
    """
    The compiled model of a file; its weights are mapped, not read.

    `facts` are those that the file has to state; `check` looks at what the system says
    about the open file, and raises if that will not do.

    Raises:
        LoadError: the file is damaged, no compiled model, or of another release.
        OSError: there is no such file, or it cannot be read.
    """
    with Container(path, KIND) as file:
        return model_in(file, path, facts, check)


def model_in(
    file: Container,
    path: Path,
    facts: Mapping[str, str] | None,
    check: Callable[[os.stat_result], None] | None,
) -> SavedModel:
    """
    The compiled model of an open file; as `read_model`.

    Raises:
        LoadError: the file is damaged, or of another release.
    """
    if check is not None:
        check(file.status)
    check_facts(file, path, release(), facts)
    try:
        records = decode(ModelRecords, json.loads(file.read("records")))
        return model_of(file, records)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LoadError(f"'{path}' is damaged: {error}") from error


def distinct_weights(plan: Plan) -> list[Weight]:
    """The weights of a plan, each once."""
    return list({w.name: w for w in plan.weights}.values())


def array_bytes(array: Array) -> memoryview:
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).data


def mapped_weights(data: memoryview, plan: Plan) -> dict[str, Array]:
    """Views of the section that holds the weights of a plan one after the other."""
    found: dict[str, Array] = {}
    end = 0
    for weight in distinct_weights(plan):
        dtype = dtype_named(weight.dtype)
        start = padded(end)
        end = start + _count(weight) * dtype.itemsize
        if end > data.nbytes:
            raise ValueError(f"weight '{weight.name}' lies outside of its section")
        flat = np.frombuffer(data[start:end], np.uint8).view(dtype)
        found[weight.name] = flat.reshape(weight.shape)
    if end != data.nbytes:
        raise ValueError("there are more weights than the plan has")
    return found


def _count(weight: Weight) -> int:
    count = 1
    for size in weight.shape:
        if size < 0:
            raise ValueError(f"weight '{weight.name}' has a size of {size}")
        count *= size
    return count
