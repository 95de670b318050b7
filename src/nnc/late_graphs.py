"""Graphs of a program that are compiled when it runs, for the types that come up."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import numpy as np

from nnc.errors import InputValuesNeeded, ModelError, UnsupportedOp
from nnc.runtime.host_values import HostValue
from nnc.runtime.saved_program import LateOptions
from nnc.runtime.specs import Array

if TYPE_CHECKING:
    from nnc.frontends.onnx.late_types import LateSource
    from nnc.runtime.executor import CompiledModel
    from nnc.runtime.program import ProgramModel

    Model: TypeAlias = CompiledModel | ProgramModel

MOST_KEPT: Final = 32
"""Compiled forms of a graph that are kept; the one used longest ago is dropped."""

_MOST_SIZES: Final = 64
"""Vectors of integers up to this length may be shapes: their lengths are fixed."""

Key: TypeAlias = tuple[object, ...]


@dataclass
class _Graph:
    """One graph: its source, and what was compiled of it."""

    data: Array
    source: LateSource | None = None
    deciding: list[int] = field(default_factory=list[int])
    """The inputs whose values are compiled in."""
    has_fixed_sizes: bool = False
    """Whether it can only be compiled for constant sizes."""
    compiled: OrderedDict[Key, Model] = field(
        default_factory=lambda: OrderedDict[Key, "Model"]()
    )
    compilations: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)


class LateGraphs:
    """
    Compiles and runs parts of a model whose types are known only when the model runs.

    A graph is compiled for the element types and ranks of its inputs, and for sizes of
    1, which broadcast; other sizes stay free. If values of inputs decide what it
    computes, it is compiled for each of these, as `nnc.SpecializingModel` does.
    """

    def __init__(
        self, graphs: Mapping[str, Array], options: LateOptions, num_threads: int
    ) -> None:
        """For graphs as serialized models, by name."""
        self._graphs = {name: _Graph(data) for name, data in graphs.items()}
        self._options = options
        self._num_threads = num_threads

    def run(self, graph: str, values: Sequence[HostValue]) -> list[HostValue]:
        """
        The outputs of a graph.

        Raises:
            NncError: what `nnc.compile` and a run raise.
        """
        found = self._graphs[graph]
        with found.lock:
            model, deciding = self._compiled_for(found, values), set(found.deciding)
        return model._run([v for i, v in enumerate(values) if i not in deciding])  # pyright: ignore[reportPrivateUsage] # in order, unchecked

    def count(self, graph: str) -> int:
        """How often a graph was compiled."""
        return self._graphs[graph].compilations

    def close(self) -> None:
        """
        Free all that was compiled.

        Raises:
            RunError: a run is going on in another thread.
        """
        for graph in self._graphs.values():
            with graph.lock:
                while graph.compiled:
                    next(iter(graph.compiled.values())).close()
                    graph.compiled.popitem(last=False)

    def _compiled_for(self, graph: _Graph, values: Sequence[HostValue]) -> Model:
        while True:
            key = _key(graph, values)
            model = graph.compiled.get(key)
            if model is not None:
                graph.compiled.move_to_end(key)
                return model
            try:
                model = self._compile(graph, values)
            except InputValuesNeeded as error:
                names = _source(graph).input_names
                graph.deciding += [names.index(n) for n in error.inputs]
                continue
            except (UnsupportedOp, ModelError):
                # With numbers for all sizes, more can be told of them.
                if graph.has_fixed_sizes:
                    raise
                graph.has_fixed_sizes = True
                continue
            graph.compilations += 1
            graph.compiled[key] = model
            if len(graph.compiled) > MOST_KEPT:
                # Runs of other threads keep what they use.
                graph.compiled.popitem(last=False)
            return model

    def _compile(self, graph: _Graph, values: Sequence[HostValue]) -> Model:
        from nnc.api import compile_with
        from nnc.options import CompileOptions

        source = _source(graph)
        model = source.typed(values, lambda a, n: _sizes(a, n, graph))
        given = {source.input_names[i]: np.array(values[i]) for i in graph.deciding}
        options = CompileOptions(
            target=self._options.target,
            winograd=self._options.winograd,
            num_threads=self._num_threads,
            cache=self._options.cache,
            input_values=given or None,
            defer=False,
        )
        return compile_with(model, options)


def _source(graph: _Graph) -> LateSource:
    from nnc.frontends.onnx.late_types import LateSource

    if graph.source is None:
        graph.source = LateSource(graph.data.tobytes())
    return graph.source


def _key(graph: _Graph, values: Sequence[HostValue]) -> Key:
    types = tuple(_type_key(v, graph) for v in values)
    given = (np.asarray(values[i]) for i in graph.deciding)
    return (types, tuple((a.shape, a.tobytes()) for a in given))


def _type_key(value: HostValue, graph: _Graph) -> object:
    if isinstance(value, np.ndarray):
        array = cast(Array, value)
        if array.dtype == np.object_:
            return ("strings", array.ndim)
        return (array.dtype.name, *_sizes(array, "", graph))
    if isinstance(value, list):
        items = cast("list[HostValue]", value)
        first = _type_key(items[0], graph) if items else None
        kind = cast("Key", first)[0] if isinstance(first, tuple) else ""
        return ("sequence", kind)
    return type(value).__name__


def _sizes(array: Array, name: str, graph: _Graph) -> list[int | str]:
    """The sizes that code for such an array is made for: numbers, and free ones."""
    is_shape = array.ndim == 1 and array.dtype.kind == "i" and array.size <= _MOST_SIZES
    if graph.has_fixed_sizes or is_shape:
        return list(array.shape)
    return [n if n == 1 else f"{name}_{axis}" for axis, n in enumerate(array.shape)]
