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
class _Records:
    """The plain data of a file."""

    plan: Plan
    info: Info
    target: Target
    cpu_features: tuple[str, ...]


def release() -> str:
    """What a file and its reader must agree on: records, and words of the run state."""
    words = [f"{w.name}={w.value}" for kind in (StateWord, ErrorCode) for w in kind]
    return f"{FORMAT};{signature(_Records)};{','.join(words)}"


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
    code = model.code
    records = _Records(model.plan, model.info, code.target, code.cpu_features)
    text = json.dumps(encode(records), separators=(",", ":")).encode()
    weights = [_bytes(model.weights[w.name]) for w in _distinct(model.plan)]
    write_container(
        path,
        KIND,
        {"release": release(), **(facts or {})},
        {
            "records": [memoryview(text)],
            "code": [memoryview(code.data)],
            "pool": [memoryview(code.pool)],
            "weights": weights,
        },
        durable=durable,
        mode=mode,
    )


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
        if check is not None:
            check(file.status)
        if file.facts.get("release") != release():
            raise LoadError(
                f"'{path}' was written by another release of nnc: compile the model "
                "again"
            )
        for name, text in (facts or {}).items():
            if file.facts.get(name) != text:
                raise LoadError(f"'{path}' is for another {name}")
        try:
            records = decode(_Records, json.loads(file.read("records")))
            weights = _weights(file.map("weights"), records.plan)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise LoadError(f"'{path}' is damaged: {error}") from error
        data, pool = file.read("code"), file.read("pool")
    code = MachineCode(data, records.target, records.cpu_features, pool)
    return SavedModel(records.plan, weights, code, records.info)


def written_weights(path: Path, plan: Plan) -> dict[str, Array]:
    """
    The weights of a plan, mapped from the file that this process has just written.

    Raises:
        LoadError: the file is another one by now.
        OSError: it cannot be read.
    """
    with Container(path, KIND) as file:
        try:
            return _weights(file.map("weights", trusted=True), plan)
        except ValueError as error:
            raise LoadError(f"'{path}' is damaged: {error}") from error


def _distinct(plan: Plan) -> list[Weight]:
    """The weights of a plan, each once."""
    return list({w.name: w for w in plan.weights}.values())


def _bytes(array: Array) -> memoryview:
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).data


def _weights(data: memoryview, plan: Plan) -> dict[str, Array]:
    """Views of the section that holds the weights of a plan one after the other."""
    found: dict[str, Array] = {}
    end = 0
    for weight in _distinct(plan):
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
