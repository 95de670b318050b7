"""
Engines beside each other on one model.

Each engine has a process of its own, as thread pools of two engines in one process
disturb each other. They take turns in bursts, so that what changes about the machine
meets all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any, Final, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nnc.errors import InputError

Array: TypeAlias = NDArray[Any]
EngineName = Literal["nnc", "onnxruntime", "openvino", "torch"]

OURS: Final[EngineName] = "nnc"
PEERS: Final[tuple[EngineName, ...]] = ("onnxruntime", "openvino", "torch")

_WORKER: Final = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Options:
    """How to measure."""

    threads: int = 1
    target: str = "native"
    """Of nnc."""
    input_shapes: Mapping[str, Sequence[int | str]] | None = None
    """Of nnc; see `nnc.compile`."""
    rounds: int = 5
    """How often each engine has its turn."""
    burst_seconds: float = 0.3
    """How long a turn takes."""
    least_runs: int = 2
    """The fewest runs of a turn."""
    cold: bool = True
    """Whether to measure a compilation without the cache, too."""


@dataclass(frozen=True)
class InputInfo:
    """An input of the model, as nnc tells it."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class EngineResult:
    """What was measured of one engine."""

    engine: str
    version: str = ""
    failure: str = ""
    """Why there is nothing else, if so."""
    times: tuple[float, ...] = ()
    """Seconds of the runs."""
    load_seconds: float = 0.0
    """From the import of the engine to a model that can run."""
    cold_seconds: float | None = None
    """The same without a cache."""
    first_seconds: float = 0.0
    """Of the first run."""
    peak_bytes: int = 0
    """Memory of the process after the first run."""
    deviation: float | None = None
    """The largest difference from the first peer over that peer's largest value."""

    @property
    def seconds(self) -> float:
        """The median."""
        return median(self.times) if self.times else 0.0

    @property
    def best_seconds(self) -> float:
        """The least."""
        return min(self.times, default=0.0)

    def record(self) -> dict[str, Any]:
        """As JSON has it; the times as median, least and count."""
        return {
            "engine": self.engine,
            "version": self.version,
            "failure": self.failure,
            "median_ms": self.seconds * 1e3,
            "best_ms": self.best_seconds * 1e3,
            "runs": len(self.times),
            "load_s": self.load_seconds,
            "cold_s": self.cold_seconds,
            "first_ms": self.first_seconds * 1e3,
            "peak_mib": self.peak_bytes / 2**20,
            "deviation": self.deviation,
        }


@dataclass(frozen=True)
class Comparison:
    """All engines on one model."""

    model: str
    threads: int
    shapes: Mapping[str, Sequence[int]]
    results: tuple[EngineResult, ...]

    @property
    def ours(self) -> EngineResult:
        """That of nnc."""
        return next(r for r in self.results if r.engine == OURS)

    @property
    def peers(self) -> tuple[EngineResult, ...]:
        """Those of the other engines that ran."""
        return tuple(r for r in self.results if r.engine != OURS and r.times)

    @property
    def ratio(self) -> float | None:
        """The median of nnc over that of the fastest peer."""
        if not self.peers or not self.ours.times:
            return None
        return self.ours.seconds / min(r.seconds for r in self.peers)

    @property
    def best_ratio(self) -> float | None:
        """The least time of nnc over that of the peer whose is least."""
        if not self.peers or not self.ours.times:
            return None
        return self.ours.best_seconds / min(r.best_seconds for r in self.peers)

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "model": self.model,
            "threads": self.threads,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "ratio": self.ratio,
            "best_ratio": self.best_ratio,
            "engines": [r.record() for r in self.results],
        }


class EngineFailure(Exception):
    """An engine cannot do what it is asked; the text says why."""


class Worker:
    """An engine in a process of its own."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the process, which does nothing yet."""
        self._process = subprocess.Popen(
            # -P: the script's folder is no place to import from.
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **(environment or {})},
        )

    def ask(self, **request: object) -> dict[str, Any]:
        """
        The answer to a request.

        Raises:
            EngineFailure: the engine failed, or its process died.
        """
        stdin = self._stream(self._process.stdin)
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        except BrokenPipeError:
            pass
        for line in self._stream(self._process.stdout):
            if line.startswith("> "):
                answer: dict[str, Any] = json.loads(line[2:])
                if "error" in answer:
                    raise EngineFailure(answer["error"])
                return answer
        raise EngineFailure(f"the process ended with status {self._process.wait()}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            self._stream(stream).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream


@dataclass
class _Turn:
    """An engine that takes part, and what is known of it so far."""

    engine: str
    worker: Worker
    version: str = ""
    load_seconds: float = 0.0
    cold_seconds: float | None = None
    first_seconds: float = 0.0
    peak_bytes: int = 0
    failure: str = ""
    times: list[float] = field(default_factory=list[float])
    outputs: Path = Path()
    inputs: tuple[InputInfo, ...] = ()

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something unless the engine failed; notice if it does."""
        if self.failure:
            return
        try:
            action()
        except EngineFailure as error:
            self.failure = str(error)

    def load(self, model: Path, options: Options, shapes: object) -> None:
        """Load the model."""
        answer = self.worker.ask(
            engine=self.engine,
            model=str(model),
            threads=options.threads,
            target=options.target,
            input_shapes={n: list(s) for n, s in (options.input_shapes or {}).items()},
            shapes=shapes,
        )
        self.load_seconds = answer["load_s"]
        self.inputs = tuple(
            InputInfo(i["name"], i["dtype"], tuple(i["shape"]))
            for i in answer["inputs"]
        )

    def first(self, inputs: Path, folder: Path) -> None:
        """Run it once."""
        self.outputs = folder / f"{self.engine}.npz"
        answer = self.worker.ask(
            do="first", inputs=str(inputs), outputs=str(self.outputs)
        )
        self.first_seconds, self.peak_bytes = answer["first_s"], answer["peak_bytes"]
        self.version = answer["version"]

    def burst(self, options: Options) -> None:
        """Its turn."""
        answer = self.worker.ask(
            do="burst", seconds=options.burst_seconds, least=options.least_runs
        )
        self.times += answer["times"]

    def result(self, deviation: float | None) -> EngineResult:
        """What was measured."""
        return EngineResult(
            engine=self.engine,
            version=self.version,
            failure=self.failure,
            times=() if self.failure else tuple(self.times),
            load_seconds=self.load_seconds,
            cold_seconds=self.cold_seconds,
            first_seconds=self.first_seconds,
            peak_bytes=self.peak_bytes,
            deviation=deviation,
        )


MakeInputs = Callable[[Sequence[InputInfo]], Mapping[str, Array]]


def compare(
    model: Path,
    inputs: Mapping[str, Array] | MakeInputs,
    peers: Sequence[str] = ("onnxruntime",),
    options: Options | None = None,
) -> Comparison:
    """
    Measure nnc and `peers` on a model.

    `inputs` are the arrays by name, or a function that makes them for the inputs that
    nnc tells. An engine that is not installed, or fails, is part of the result: its
    `failure` says why.

    Raises:
        InputError: a peer is unknown, or nnc fails and `inputs` is a function.
    """
    options = options or Options()
    for peer in peers:
        if peer not in PEERS:
            known = ", ".join(PEERS)
            raise InputError(f"no engine is called '{peer}'; known are {known}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return _Session(model, options, folder).run(inputs, peers)


@dataclass
class _Session:
    """One comparison under way."""

    model: Path
    options: Options
    folder: Path
    turns: list[_Turn] = field(default_factory=list[_Turn])

    def run(
        self, inputs: Mapping[str, Array] | MakeInputs, peers: Sequence[str]
    ) -> Comparison:
        """Measure."""
        try:
            return self._run(inputs, peers)
        finally:
            for turn in self.turns:
                turn.worker.close()

    def _run(
        self, inputs: Mapping[str, Array] | MakeInputs, peers: Sequence[str]
    ) -> Comparison:
        ours = self._load_ours()
        if callable(inputs):
            if ours.failure:
                raise InputError(f"nnc cannot load {self.model.name}: {ours.failure}")
            inputs = inputs(ours.inputs)
        shapes = {name: list(array.shape) for name, array in inputs.items()}
        for peer in peers:
            turn = _Turn(peer, Worker())
            self.turns.append(turn)
            turn.attempt(lambda t=turn: t.load(self.model, self.options, shapes))
        arrays = self.folder / "inputs.npz"
        with arrays.open("wb") as file:
            # Not by keywords: inputs may have any name.
            _save_arrays(file, inputs)
        for turn in self.turns:
            turn.attempt(lambda t=turn: t.first(arrays, self.folder))
        for _ in range(self.options.rounds):
            for turn in self.turns:
                turn.attempt(lambda t=turn: t.burst(self.options))
        return Comparison(
            model=self.model.name,
            threads=self.options.threads,
            shapes=shapes,
            results=tuple(t.result(self._deviation(t)) for t in self.turns),
        )

    def _load_ours(self) -> _Turn:
        """nnc from the cache; before that, if wanted, without one."""
        environment: dict[str, str] = {}
        cold = None
        if self.options.cold:
            environment = {"NNC_CACHE": "1", "NNC_CACHE_DIR": str(self.folder / "nnc")}
            with Worker(environment) as worker:
                first = _Turn(OURS, worker)
                first.attempt(lambda: first.load(self.model, self.options, None))
                cold = None if first.failure else first.load_seconds
        turn = _Turn(OURS, Worker(environment), cold_seconds=cold)
        self.turns.append(turn)
        turn.attempt(lambda: turn.load(self.model, self.options, None))
        return turn

    def _deviation(self, turn: _Turn) -> float | None:
        """From the first peer that has outputs."""
        references = [t for t in self.turns if t.engine != OURS and not t.failure]
        if turn.failure or not references or references[0] is turn:
            return None
        return deviation(turn.outputs, references[0].outputs)


def _save_arrays(file: IO[bytes], arrays: Mapping[str, Array]) -> None:
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def deviation(ours: Path, theirs: Path) -> float:
    """
    The largest `max |a - b| / max |b|` over all outputs; inf if they do not compare.
    """
    with np.load(ours) as a, np.load(theirs) as b:
        if a.files != b.files:
            return float("inf")
        return max((_deviation(a[k], b[k]) for k in b.files), default=0.0)


def _deviation(a: Array, b: Array) -> float:
    if a.shape != b.shape:
        return float("inf")
    if not b.size:
        return 0.0
    exact = b.astype(np.float64)
    scale = float(np.abs(exact).max()) or 1.0
    worst = float(np.abs(a.astype(np.float64) - exact).max()) / scale
    return worst if np.isfinite(worst) else float("inf")


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return float(np.exp(np.mean(np.log(values))))
