"""Contraction dispatches compiled to machine code, and packed weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute, SSAValue

from nnc.backend.host import resolve_target
from nnc.dialects.nn import MatmulOp, UnpackOp
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.types import NnTensorType, dims_of, element_type_of, tensor_type
from nnc.lowering.tiling import panel_width
from nnc.symbolic import DimLike
from nnc.target import Target
from nnc.testing_dispatches import BuildRegion, LoweredDispatch, Operand, lower_dispatch

Array = npt.NDArray[Any]
Strides = Sequence[DimLike] | None


@dataclass
class Compiled:
    """The machine code of one dispatch."""

    lowered: LoweredDispatch

    @property
    def schedule(self) -> str:
        launch = self.lowered.launch
        assert launch is not None
        assert launch.schedule is not None
        return launch.schedule.data

    @property
    def is_generic(self) -> bool:
        """Whether the kernel is the slow one."""
        return self.lowered.launch is not None and "generic" in self.schedule

    @property
    def tasks(self) -> int:
        launch = self.lowered.launch
        return 0 if launch is None else launch.task_count.evaluate({})

    @property
    def op_count(self) -> int:
        return self.lowered.op_count

    def run(
        self,
        arrays: Sequence[Array],
        sizes: Mapping[str, int] | None = None,
        parts: int = 1,
    ) -> list[Array]:
        """The outputs for these inputs, computed in `parts` ranges of tasks."""
        return self.lowered.run(arrays, sizes or {}, parts)

    def run_in_place(self, arrays: Sequence[Array], parts: int = 1) -> None:
        """Run on the arrays themselves: inputs, then outputs."""
        self.lowered.call([a.ctypes.data for a in arrays], {}, parts)


def compile_dispatch(
    target: Target | str,
    types: Sequence[Attribute],
    body: BuildRegion,
    strides: Mapping[int, Sequence[DimLike]] | None = None,
    output_strides: Sequence[Strides] | None = None,
) -> Compiled:
    """
    Machine code of the dispatch `body` on tensors of `types`.

    `strides` gives those of some inputs; other buffers are contiguous.
    """
    if isinstance(target, str):
        target = Target.named(target)
    operands = [
        Operand(
            np.zeros(0, numpy_dtype(element_type_of(t))),
            dims_of(t),
            (strides or {}).get(i),
        )
        for i, t in enumerate(types)
    ]
    return Compiled(lower_dispatch(body, operands, target, output_strides))


@dataclass(frozen=True)
class Weights:
    """A constant operand: its shape, and how it is packed for a target."""

    target: Target
    shape: tuple[int, ...]
    groups: int = 1
    element_type: Attribute = f32

    @property
    def _columns(self) -> int:
        return self.shape[-1] // self.groups

    @property
    def panel(self) -> int:
        return panel_width(self.target, self.element_type, self._columns)

    @property
    def type(self) -> NnTensorType:
        """The type of the packed operand."""
        rows = int(np.prod(self.shape[:-1]))
        panels = -(-self._columns // self.panel)
        return tensor_type(self.element_type, [self.groups, panels, rows, self.panel])

    def unpacked(self, argument: SSAValue) -> SSAValue:
        """The operand of the contraction for the block argument."""
        whole = tensor_type(self.element_type, self.shape)
        return UnpackOp(argument, whole, self.panel, self.groups).result

    def pack(self, weights: Array) -> Array:
        """What `nn.pack` makes, in numpy."""
        matrix = weights.reshape(-1, self.groups, self._columns)
        panels = -(-self._columns // self.panel)
        padded = np.zeros((*matrix.shape[:2], panels * self.panel), weights.dtype)
        padded[:, :, : self._columns] = matrix
        parts = padded.reshape(-1, self.groups, panels, self.panel)
        return np.ascontiguousarray(parts.transpose(1, 2, 0, 3))


def whole_numbers(seed: int, *shape: int, dtype: npt.DTypeLike = np.float32) -> Array:
    """Small whole numbers: sums of products of them are exact in any order."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


def matmul(a: SSAValue, b: SSAValue) -> SSAValue:
    """The result of an `nn.matmul`."""
    return MatmulOp(a, b).result


class Harness:
    """What tests of contractions need."""

    compile = staticmethod(compile_dispatch)
    numbers = staticmethod(whole_numbers)
    matmul = staticmethod(matmul)
    Weights = Weights


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.isa(name))
        for name in ("generic", "avx2", "avx512")
    ]
)
def target(request: pytest.FixtureRequest) -> Target:
    return resolve_target(request.param)
