"""nnc as the fuzzers run it, and what counts as the same result."""

from __future__ import annotations

import importlib
import pkgutil
import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

import nnc
from nnc.backend.cross import why_it_cannot_run
from nnc.backend.host import resolve_target
from nnc.errors import InputValuesNeeded
from nnc.runtime.executor import CompiledModel
from nnc.runtime.program import ProgramModel
from nnc.specializing import SpecializingModel

Array = NDArray[Any]

_TOLERANCES: Final = {"float64": 3e-6, "float32": 3e-4, "float16": 3e-2}
_TARGETS: Final = ("avx2", "generic")


class Mismatch(Exception):
    """Results differ; `kind` is where."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Engine:
    """How a model is compiled."""

    target: str = "native"
    winograd: str = "auto"
    threads: int = 1

    @staticmethod
    def random(chance: random.Random) -> Engine:
        """One of those that this machine can run."""
        others = [t for t in _TARGETS if not why_it_cannot_run(resolve_target(t))]
        winograd = chance.choice(("auto", "auto", "off", "f2", "f4"))
        return Engine(
            chance.choice(("native", *others)), winograd, chance.choice((1, 1, 2))
        )

    def __str__(self) -> str:
        return f"{self.target}-{self.winograd}-{self.threads}"

    @property
    def options(self) -> dict[str, Any]:
        """Of `nnc.compile`."""
        return {
            "cache": False,
            "num_threads": self.threads,
            "target": self.target,
            "winograd": self.winograd,
        }

    @contextmanager
    def loaded(
        self, model: bytes
    ) -> Generator[CompiledModel | ProgramModel | SpecializingModel]:
        """The model, compiled for values of inputs where these decide."""
        try:
            exe = nnc.compile(model, **self.options)
        except InputValuesNeeded as error:
            exe = SpecializingModel(model, deciding=error.inputs, **self.options)
        with exe:
            yield exe

    def run(self, model: bytes, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs of one run."""
        with self.loaded(model) as exe:
            return exe.run(None, feeds)

    def interpret(self, model: bytes, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs as nnc's interpreter computes them right after the import."""
        try:
            module = nnc.convert(model)
            names = list(feeds)
        except InputValuesNeeded as error:
            values = {name: feeds[name] for name in error.inputs}
            module = nnc.convert(model, input_values=values)
            names = [name for name in feeds if name not in values]
        return [np.asarray(y) for y in module.interpret([feeds[n] for n in names])]


def difference(ours: Array, theirs: Array, scale: float, precision: str) -> str | None:
    """
    What differs, or None.

    `scale` is the largest value of the model and `precision` its coarsest float type:
    rounding errors of both are allowed.
    """
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{ours.dtype}{ours.shape}, expected {theirs.dtype}{theirs.shape}"
    if theirs.dtype.kind != "f":
        wrong = ours != theirs
        if not wrong.any():
            return None
    else:
        ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
        largest = float(np.abs(theirs).max(initial=0))
        allowed = _TOLERANCES[precision] * (largest + 0.05 * scale)
        wrong = ~(np.abs(ours - theirs) <= allowed)
        if not wrong.any():
            return None
    where = tuple(int(i[0]) for i in np.nonzero(wrong))
    count = np.count_nonzero(wrong)
    return (
        f"{count} of {wrong.size} at {where}: {ours[where]}, expected {theirs[where]}"
    )


def warm_up() -> None:
    """Load the compiler, so that the children need not."""
    for module in pkgutil.walk_packages(nnc.__path__, "nnc."):
        if not module.name.startswith(("nnc.bench", "nnc.tools")):
            importlib.import_module(module.name)
    x = np.ones((1, 3, 8, 8), np.float32)
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n in "xy"]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Softmax", ["c"], ["y"]),
    ]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 3, 3, 3], np.ones(81))
    graph = helper.make_graph(nodes, "warm", infos[:1], infos[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    Engine().run(model.SerializeToString(), {"x": x})
