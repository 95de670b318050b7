"""
`verify-numerically`: which pass changed the answer?

A `NumericalVerifier` is called between the passes of a pipeline. As long as the module
is made of `nn` ops, it interprets the module before and after each pass on the same
inputs, and stops at the first pass whose outputs differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from xdsl.dialects.builtin import FunctionType, ModuleOp
from xdsl.passes import ModulePass

from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.errors import NncError, VerifyError
from nnc.interpreters.nn.inputs import main_of
from nnc.random_inputs import Array, choose_sizes, random_array
from nnc.runtime.specs import number_kind

Interpret: TypeAlias = Callable[[ModuleOp, Sequence[Array]], Sequence[Array]]
"""Runs `@main` of an `nn` module on inputs."""

_LEVEL: Final = ("nn.", "func.", "builtin.")


def is_interpretable(module: ModuleOp) -> bool:
    """Whether the module is at the level that the interpreter runs."""
    return all(op.name.startswith(_LEVEL) for op in module.walk())


def random_inputs(
    type_: FunctionType, sizes: Mapping[str, int], generator: np.random.Generator
) -> list[Array]:
    """Inputs of these types; symbols without a size get a small one."""
    shapes = [dims_of(input_) for input_ in type_.inputs]
    chosen = choose_sizes(shapes, sizes, batch=2)
    return [
        random_array(
            numpy_dtype(element_type_of(input_)),
            [dim.evaluate(chosen) for dim in shape],
            generator,
        )
        for input_, shape in zip(type_.inputs, shapes, strict=True)
    ]


def difference(actual: Array, expected: Array) -> float:
    """
    `max |actual - expected| / max |expected|`, over what is finite in both.

    Infinite where shapes, dtypes or the places of NaNs and infinities differ.
    """
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return float("inf")
    if number_kind(expected.dtype) in "iub":
        return 0.0 if np.array_equal(actual, expected) else float("inf")
    if expected.dtype.kind == "c":
        parts = np.dtype(f"f{expected.dtype.itemsize // 2}")
        actual, expected = (
            np.ascontiguousarray(a).reshape(-1).view(parts) for a in (actual, expected)
        )
    ours, theirs = actual.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(theirs)
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True):
        return float("inf")
    if not np.isfinite(ours[finite]).all():
        return float("inf")
    if not finite.any():
        return 0.0
    scale = float(np.abs(theirs[finite]).max()) or 1.0
    return float(np.abs(ours[finite] - theirs[finite]).max()) / scale


class NumericalVerifier:
    """A pipeline callback that names the pass after which the outputs differ."""

    def __init__(
        self,
        interpret: Interpret,
        *,
        sizes: Mapping[str, int] | None = None,
        tolerance: float = 1e-4,
        seed: int = 0,
    ) -> None:
        self._interpret = interpret
        self._sizes = dict(sizes or {})
        self._tolerance = tolerance
        self._seed = seed
        self._inputs: list[Array] = []
        self._expected: Sequence[Array] | None = None

    def __call__(
        self,
        previous: ModulePass | None,
        module: ModuleOp,
        following: ModulePass | None,
    ) -> None:
        """
        Compare the module with itself before `previous`.

        Raises:
            VerifyError: the outputs differ, or the module cannot run any more.
        """
        if not is_interpretable(module):
            return
        if previous is None or self._expected is None:
            type_ = main_of(module).function_type
            generator = np.random.default_rng(self._seed)
            self._inputs = random_inputs(type_, self._sizes, generator)
            self._expected = self._interpret(module, self._inputs)
            return
        try:
            actual = self._interpret(module, self._inputs)
        except NncError as error:
            raise VerifyError(
                f"the module does not run any more after pass '{previous.name}': "
                f"{error}"
            ) from error
        self._compare(previous.name, actual, self._expected)
        # The next pass answers for its own rounding only.
        self._expected = actual

    def _compare(
        self, culprit: str, actual: Sequence[Array], expected: Sequence[Array]
    ) -> None:
        if len(actual) != len(expected):
            raise VerifyError(
                f"pass '{culprit}' changed the answer: "
                f"{len(expected)} outputs became {len(actual)}"
            )
        for index, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
            if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
                raise VerifyError(
                    f"pass '{culprit}' changed the answer: output {index} was "
                    f"{theirs.dtype} {theirs.shape}, is {ours.dtype} {ours.shape}"
                )
            off = difference(ours, theirs)
            if off > self._tolerance:
                raise VerifyError(
                    f"pass '{culprit}' changed the answer: output {index} is off by "
                    f"{off:.2e} (tolerance {self._tolerance:.0e}), "
                    f"{_worst_element(ours, theirs)}"
                )


def _worst_element(actual: Array, expected: Array) -> str:
    """Where two different arrays of equal shape differ most, and how."""
    ours, theirs = actual.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        distance = np.where(ours == theirs, 0.0, np.abs(ours - theirs))
    # NaN in one of them only is as far as can be.
    distance = np.where(np.isnan(ours) & np.isnan(theirs), 0.0, distance)
    distance = np.nan_to_num(distance, nan=np.inf)
    place = np.unravel_index(distance.argmax(), distance.shape)
    position = ", ".join(str(i) for i in place)
    return f"worst at [{position}]: {ours[place]:g} instead of {theirs[place]:g}"
