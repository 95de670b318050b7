"""The options of a compilation as one checked record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nnc.errors import CompileError

InputShapes: TypeAlias = Mapping[str, Sequence[int | str]]
"""By input name: numbers fix a dim, names call it so."""

DEFAULT_PIPELINE = "nnc-default"


@dataclass(frozen=True)
class CompileOptions:
    """What `nnc.compile` was asked for, apart from the model."""

    target: str = "native"
    example_inputs: object = None
    input_shapes: InputShapes | None = None
    precision: str = "fp32"
    quantize: object = None
    num_threads: int | None = None
    cache: bool = True
    tune: bool = False
    pipeline: str | None = None

    def check(self) -> None:
        """
        Refuse what this release cannot do, rather than ignore it.

        Raises:
            CompileError: names the option.
        """
        if self.precision != "fp32":
            raise CompileError(
                f"precision={self.precision!r} is not in this release; use 'fp32'"
            )
        if self.quantize is not None:
            raise CompileError("quantize is not in this release; leave it out")
        if self.tune:
            raise CompileError("tune is not in this release; leave it out")
        if self.example_inputs is not None:
            raise CompileError(
                "example_inputs is for models that have to be traced, which are not in "
                "this release; for ONNX models give input_shapes"
            )
        if self.num_threads is not None and self.num_threads < 1:
            raise CompileError(
                f"num_threads must be at least 1, got {self.num_threads}"
            )
        if self.num_threads not in (None, 1):
            raise CompileError(
                f"num_threads={self.num_threads}: one run on several threads is not in "
                "this release; several threads may each run the model, though"
            )
