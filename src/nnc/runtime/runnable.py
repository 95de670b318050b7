"""What all models that can be run share: how inputs are given and outputs returned."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from nnc.errors import InputError
from nnc.runtime.specs import HostSpec, TensorSpec

SpecT = TypeVar("SpecT", bound="TensorSpec | HostSpec")


class Runnable(ABC, Generic[SpecT]):
    """A model with named inputs and outputs, in order."""

    inputs: tuple[SpecT, ...]
    """The inputs, in order."""
    outputs: tuple[SpecT, ...]
    """The outputs, in order."""

    @abstractmethod
    def _run(
        self, values: Sequence[object], log: int = 0, out: object = None
    ) -> list[Any]:
        """Run, with times written to `log` if not 0, into `out` or new arrays."""

    @abstractmethod
    def close(self) -> None:
        """Free what the model holds."""

    def __call__(self, *args: object, **kwargs: object) -> Any:  # one array or a tuple
        """
        Run the network.

        `out=` gives arrays to write the outputs to: one, a sequence in order, or a
        mapping from names; None stands for a new array. They are what is returned. (A
        model that has an input called `out` takes it by this name; use `run` then.)

        Raises:
            InputError: the inputs, or `out`, do not fit the model; nothing was run.
            RunError: the data made an op fail; names the source node.
        """
        if not kwargs and len(args) == len(self.inputs):
            outputs = self._run(args)
        else:
            out = kwargs.pop("out", None) if self._takes_out else None
            outputs = self._run(self._in_order(args, kwargs), 0, out)
        return outputs[0] if len(outputs) == 1 else self._result_type(*outputs)

    def run(
        self,
        names: Sequence[str] | None,
        feeds: Mapping[str, object],
        *,
        out: object = None,
    ) -> list[Any]:
        """
        The outputs called `names`, or all for None, as ONNX Runtime returns them.

        `out` gives arrays for them, as in a call.

        Raises:
            InputError: the inputs or `out` do not fit the model, or there is no such
                output.
            RunError: the data made an op fail; names the source node.
        """
        if names is None:
            return self._run(self._in_order((), feeds), 0, out)
        order = [spec.name for spec in self.outputs]
        for name in names:
            if name not in order:
                raise InputError(
                    f"the model has no output '{name}'; it has: {', '.join(order)}"
                )
        results = self._run(self._in_order((), feeds), 0, out)
        outputs = dict(zip(order, results, strict=True))
        return [outputs[name] for name in names]

    def _in_order(
        self, args: Sequence[object], named: Mapping[str, object]
    ) -> list[object]:
        names = self._input_names
        if len(args) > len(names):
            raise InputError(
                f"the model has {len(names)} input{'s' if len(names) != 1 else ''} "
                f"({', '.join(names)}), got {len(args)}"
            )
        if not named and len(args) == len(names):
            return list(args)
        if not args and len(named) == len(names):
            try:
                return [named[name] for name in names]
            except KeyError:
                pass  # which name is not there is told below
        values = dict(zip(names, args, strict=False))
        for name, value in named.items():
            if name in values:
                raise InputError(f"input '{name}' is given twice")
            if name not in names:
                raise InputError(
                    f"the model has no input '{name}'; it has: {', '.join(names)}"
                )
            values[name] = value
        missing = [f"'{name}'" for name in names if name not in values]
        if missing:
            raise InputError(
                f"input{'s' if len(missing) > 1 else ''} {', '.join(missing)} missing"
            )
        return [values[name] for name in names]

    @cached_property
    def _takes_out(self) -> bool:
        return "out" not in self._input_names

    @cached_property
    def _input_names(self) -> list[str]:
        return [spec.name for spec in self.inputs]

    @cached_property
    def _result_type(self) -> Callable[..., tuple[Any, ...]]:
        names = [re.sub(r"\W", "_", spec.name) for spec in self.outputs]
        # Names that are no identifiers, and doubles, become _0, _1, ...; the fields are
        # those of the model.
        return namedtuple("Outputs", names, rename=True)  # noqa: PYI024 # pyright: ignore[reportUntypedNamedTuple] # names are data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
