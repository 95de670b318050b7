"""The options of a compilation as one checked record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, SupportsIndex, TypeAlias, cast

from nnc.errors import CompileError
from nnc.runtime.threads import CAN_SHARE_WORK, MAX_THREADS, default_threads
from nnc.target import Target

InputShapes: TypeAlias = Mapping[str, Sequence[int | str]]
"""By input name: numbers fix a dim, names call it so."""

InputValues: TypeAlias = Mapping[str, object]
"""By input name: the array that the input always is."""

OnPass: TypeAlias = Callable[[str, int, int], None]
"""Told the name of each phase before it runs, its number from 0, and their count."""

OutputKind = Literal["mlir", "ll", "s", "o"]
"""Module text, LLVM IR, assembly, an object file."""

DEFAULT_PIPELINE = "nnc-default"

WINOGRAD_CHOICES = ("auto", "off", "f2", "f4")
"""Where Winograd's algorithm may compute convolutions; f2 and f4 are tile sizes."""


@dataclass(frozen=True)
class CompileOptions:
    """What `nnc.compile` was asked for, apart from the model."""

    target: str | Target = "native"
    example_inputs: object = None
    input_shapes: InputShapes | None = None
    input_values: InputValues | None = None
    precision: str = "fp32"
    quantize: object = None
    num_threads: int | None = None
    cache: bool = True
    tune: bool = False
    winograd: str = "auto"
    pipeline: str | None = None
    defer: bool = True
    """
    Whether nodes that need to know values of inputs are compiled when the model runs;
    else they are an error that names these inputs.
    """

    def check(self) -> None:
        """
        Refuse what this release cannot do, rather than ignore it.

        Raises:
            CompileError: names the option.
        """
        self._check_types()
        if self.precision != "fp32":
            raise CompileError(
                f"precision={self.precision!r} is not in this release; use 'fp32'"
            )
        if self.quantize is not None:
            raise CompileError("quantize is not in this release; leave it out")
        if self.winograd not in WINOGRAD_CHOICES:
            known = ", ".join(f"'{c}'" for c in WINOGRAD_CHOICES)
            raise CompileError(f"winograd={self.winograd!r} is none of {known}")
        if self.example_inputs is not None and not self.tune:
            raise CompileError(
                "example_inputs is what tune=True measures on; to fix sizes of a "
                "model, give input_shapes"
            )

    def _check_types(self) -> None:
        """Callers without a type checker get an error that names the option."""
        _require("target", self.target, (str, Target), "a name or an nnc.Target")
        _require("winograd", self.winograd, (str,), "a string")
        _require("precision", self.precision, (str,), "a string")
        _require("pipeline", self.pipeline, (str, type(None)), "a string or None")
        _require("cache", self.cache, (bool,), "a bool")
        _require("tune", self.tune, (bool,), "a bool")
        threads_for(self.num_threads)
        check_input_shapes(self.input_shapes)
        check_input_values(self.input_values)


def check_on_pass(on_pass: object) -> None:
    """
    Check that an `on_pass` argument can be called.

    Raises:
        CompileError: it cannot.
    """
    if on_pass is not None and not callable(on_pass):
        _refuse("on_pass", on_pass, "a function or None")


def threads_for(num_threads: object) -> int:
    """
    How many threads `num_threads` lets a run use: None, those that this process has.

    Raises:
        CompileError: it is no number of threads, or not one that this system can have.
    """
    if num_threads is None:
        return default_threads()
    if not isinstance(num_threads, SupportsIndex) or isinstance(num_threads, bool):
        _refuse("num_threads", num_threads, "an int or None")
    count = int(num_threads)
    if count < 1:
        raise CompileError(f"num_threads must be at least 1, got {count}")
    if count > 1 and not CAN_SHARE_WORK:
        raise CompileError(
            f"num_threads={count}: one run on several threads is not in this release "
            "for this operating system; several threads may each run the model, though"
        )
    return min(count, MAX_THREADS)


def check_input_values(values: object) -> None:
    """
    Check that an `input_values` argument is of the type that it should be.

    Raises:
        CompileError: it is not.
    """
    if values is None:
        return
    if not isinstance(values, Mapping):
        _refuse("input_values", values, "a mapping from input names to arrays")
    for name in cast("Mapping[object, object]", values):
        if not isinstance(name, str):
            _refuse("input_values", name, "a mapping whose keys are input names")


def check_input_shapes(shapes: object) -> None:
    """
    Check that an `input_shapes` argument is of the type that it should be.

    Raises:
        CompileError: it is not; names the input.
    """
    if shapes is None:
        return
    if not isinstance(shapes, Mapping):
        _refuse("input_shapes", shapes, "a mapping from input names to shapes")
    for name, shape in cast("Mapping[object, object]", shapes).items():
        if not isinstance(name, str):
            _refuse("input_shapes", name, "a mapping whose keys are input names")
        where = f"input_shapes[{name!r}]"
        if isinstance(shape, str | bytes) or not isinstance(shape, Sequence):
            _refuse(where, shape, "a sequence of numbers and names")
        for dim in cast("Sequence[object]", shape):
            if dim is not None and not isinstance(dim, str) and not _is_size(dim):
                _refuse(where, dim, "a sequence of numbers and names")


def _is_size(value: object) -> bool:
    """Whether it is an int, of numpy too."""
    return isinstance(value, SupportsIndex) and not isinstance(value, bool)


def _require(name: str, value: object, kinds: tuple[type, ...], what: str) -> None:
    if not isinstance(value, kinds):
        _refuse(name, value, what)


def _refuse(name: str, value: object, what: str) -> NoReturn:
    raise CompileError(
        f"{name} must be {what}, got {_shown(value)} of type {type(value).__name__}"
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
