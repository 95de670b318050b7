"""Models of which inputs decide what is computed: compiled once for each value."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import numpy as np

from nnc.api import compile_with
from nnc.errors import InputError, InputValuesNeeded
from nnc.options import CompileOptions
from nnc.runtime.executor import CompiledModel
from nnc.runtime.program import ProgramModel
from nnc.runtime.specs import Array

_Key: TypeAlias = tuple[tuple[str, str, tuple[int, ...], bytes], ...]

MOST_KEPT: Final = 32
"""Compiled models that are kept; the one used longest ago is closed."""


class SpecializingModel:
    """
    A model that is compiled when it is run, for the values of some of its inputs.

    Some networks read from their inputs what others have as attributes: the axes of a
    reduction, the shape of a reshape. Code for any axes would be slow code, so there is
    code for each set of values that comes up. The first run with new values takes as
    long as a compilation; later ones find its result.

    Example::

        model = SpecializingModel("model.onnx", target="avx2")
        (y,) = model.run(None, {"x": x, "axes": np.array([1])})
    """

    def __init__(
        self, model: object, *, deciding: Sequence[str] = (), **options: Any
    ) -> None:
        """
        For a model and the options of `nnc.compile`.

        `deciding` names inputs whose values are to be compiled in; those without which
        the model cannot be compiled are found when it is run.
        """
        self._model = model
        self._options = options
        self._on_pass = options.pop("on_pass", None)
        self._fixed: Mapping[str, object] = options.pop("input_values", None) or {}
        self._deciding = [*deciding]
        self._compiled: OrderedDict[_Key, CompiledModel | ProgramModel] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def deciding(self) -> tuple[str, ...]:
        """The inputs whose values are compiled in, as far as they are known."""
        return tuple(self._deciding)

    @property
    def compilations(self) -> tuple[CompiledModel | ProgramModel, ...]:
        """What is kept of the compiled models, the one used last at the end."""
        return tuple(self._compiled.values())

    def run(
        self, names: Sequence[str] | None, feeds: Mapping[str, object]
    ) -> list[Array]:
        """
        The outputs called `names`, or all for None.

        Raises:
            NncError: what `nnc.compile` and `CompiledModel.run` raise.
        """
        compiled = self.compiled_for(feeds)
        rest = {n: v for n, v in feeds.items() if n not in self._deciding}
        return compiled.run(names, rest)

    def compiled_for(self, feeds: Mapping[str, object]) -> CompiledModel | ProgramModel:
        """
        The compiled model for the values that `feeds` has of the deciding inputs.

        Raises:
            InputError: one of them is missing.
            NncError: what `nnc.compile` raises.
        """
        with self._lock:
            while True:
                key = self._key(feeds)
                found = self._compiled.get(key)
                if found is not None:
                    self._compiled.move_to_end(key)
                    return found
                values = {n: np.array(feeds[n]) for n in self._deciding}
                options = CompileOptions(
                    input_values={**self._fixed, **values} or None,
                    defer=False,
                    **self._options,
                )
                try:
                    made = compile_with(self._model, options, self._on_pass)
                except InputValuesNeeded as error:
                    self._deciding.extend(error.inputs)
                    continue
                self._compiled[key] = made
                if len(self._compiled) > MOST_KEPT:
                    # Runs of other threads keep what they use.
                    self._compiled.popitem(last=False)
                return made

    def _key(self, feeds: Mapping[str, object]) -> _Key:
        missing = [name for name in self._deciding if name not in feeds]
        if missing:
            raise InputError(f"input '{missing[0]}' is missing")
        arrays = [(name, np.asarray(feeds[name])) for name in self._deciding]
        return tuple((n, a.dtype.name, a.shape, a.tobytes()) for n, a in arrays)

    def close(self) -> None:
        """
        Free all that was compiled; running the model compiles it again.

        Raises:
            RunError: a run is going on in another thread.
        """
        with self._lock:
            while self._compiled:
                next(iter(self._compiled.values())).close()
                self._compiled.popitem(last=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
