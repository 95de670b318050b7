"""Contraction dispatches compiled to machine code and run on strided buffers."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from xdsl.builder import ImplicitBuilder
from xdsl.dialects.builtin import ModuleOp, f32
from xdsl.ir import Attribute, Block, SSAValue

from nnc.analysis.dispatches import analyze
from nnc.backend import jit
from nnc.backend.emit_llvm import emit_llvm
from nnc.dialects.nn import MatmulOp, UnpackOp
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.structure import YieldOp
from nnc.dialects.nn.types import dims_of, tensor_type
from nnc.dialects.rt.types import BufferType
from nnc.lowering.convert_simd_to_llvm import convert_module
from nnc.lowering.finalize_kernel_abi import NEEDS_STATE, finalize_kernel
from nnc.lowering.lower_dispatches.contraction import (
    ContractionKernel,
    contraction_kernel,
)
from nnc.lowering.tiling import panel_width
from nnc.symbolic import DimLike
from nnc.target import Target

Array = npt.NDArray[np.generic]
Body = Callable[..., SSAValue | Sequence[SSAValue]]
GUARD = 64
"""Elements around each buffer that nobody may write."""


@dataclass
class Compiled:
    """The machine code of one dispatch."""

    made: ContractionKernel
    buffers: list[BufferType]
    inputs: int
    needs_state: bool
    code: jit.LoadedCode

    @property
    def schedule(self) -> str:
        return self.made.schedule

    def run(
        self,
        arrays: Sequence[Array],
        sizes: Mapping[str, int] | None = None,
        parts: int = 1,
    ) -> list[Array]:
        """The outputs for these inputs, computed in `parts` ranges of tasks."""
        sizes = sizes or {}
        memory = [Memory(b, sizes) for b in self.buffers]
        for place, array in zip(memory, arrays, strict=False):
            place.view[...] = array
        outputs = memory[self.inputs :]
        self.call([m.address for m in memory], sizes, parts)
        for place in outputs:
            place.check_surroundings()
        return [m.view.copy() for m in outputs]

    def call(
        self, addresses: Sequence[int], sizes: Mapping[str, int], parts: int = 1
    ) -> None:
        state = np.zeros(4, np.int64)
        dims = [d.evaluate(sizes) for d in self.made.kernel.dims]
        slots = np.array([state.ctypes.data, *addresses, *dims], np.int64)
        tasks = self.made.tasks.evaluate(sizes)
        signature = ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
        )
        function = signature(self.code.address("kernel"))
        bounds = [tasks * i // parts for i in range(parts + 1)]
        for begin, end in itertools.pairwise(bounds):
            function(slots.ctypes.data, begin, end)


class Memory:
    """A strided buffer with guards around it."""

    def __init__(self, type: BufferType, sizes: Mapping[str, int]) -> None:
        self.shape = [d.evaluate(sizes) for d in type.dims]
        strides = [s.evaluate(sizes) for s in type.stride_dims]
        dtype = np.dtype(numpy_dtype(type.element_type))
        self.strides = [s * dtype.itemsize for s in strides]
        self.low = sum(
            min(0, s * (d - 1)) for s, d in zip(strides, self.shape, strict=True)
        )
        span = sum(abs(s) * max(d - 1, 0) for s, d in zip(strides, self.shape, strict=True))
        self.raw = np.full(span + 1 + 2 * GUARD, 77, dtype)
        self.view = self._view(self.raw)

    def _view(self, raw: Array) -> Array:
        start = raw[GUARD - self.low :]
        return np.lib.stride_tricks.as_strided(start, self.shape, self.strides)

    @property
    def address(self) -> int:
        return self.raw[GUARD - self.low :].ctypes.data

    def check_surroundings(self) -> None:
        """Nothing but the elements of the view was written."""
        copy = self.raw.copy()
        self._view(copy)[...] = 77
        assert (copy == 77).all(), "a kernel wrote outside of its result"


def compile_dispatch(
    target: Target | str,
    types: Sequence[Attribute],
    body: Body,
    strides: Mapping[int, Sequence[DimLike]] | None = None,
    opt_level: int = 1,
) -> Compiled:
    """Machine code of the dispatch `body` on tensors of `types`.

    `strides` gives those of some buffers, inputs then outputs; others are contiguous.
    """
    if isinstance(target, str):
        target = Target.named(target)
    block = Block(arg_types=types)
    with ImplicitBuilder(block):
        results = body(*block.args)
        if isinstance(results, SSAValue):
            results = [results]
        YieldOp(*results)
    tensors = [*types, *(r.type for r in results)]
    buffers = [
        BufferType(t.get_element_type(), dims_of(t), (strides or {}).get(i))  # pyright: ignore[reportAttributeAccessIssue]
        for i, t in enumerate(tensors)
    ]
    made = contraction_kernel(analyze(block), buffers, target)
    function = made.kernel.func
    function.verify()
    needs_state = NEEDS_STATE in function.attributes
    module = ModuleOp([function])
    finalize_kernel(function)
    convert_module(module, target)
    code = jit.load_object(
        jit.emit_object(emit_llvm(module, target), target, opt_level=opt_level)
    )
    return Compiled(made, buffers, len(types), needs_state, code)


def pack(weights: Array, panel: int, groups: int = 1) -> Array:
    """What `nn.pack` makes, in numpy."""
    columns = weights.shape[-1] // groups
    matrix = weights.reshape(-1, groups, columns)
    panels = -(-columns // panel)
    padded = np.zeros((matrix.shape[0], groups, panels * panel), weights.dtype)
    padded[:, :, :columns] = matrix
    parts = padded.reshape(-1, groups, panels, panel)
    return np.ascontiguousarray(parts.transpose(1, 2, 0, 3))


@dataclass(frozen=True)
class Weights:
    """A constant operand: its shape, and the shape it is stored in."""

    target: Target
    shape: tuple[int, ...]
    groups: int = 1
    element_type: Attribute = f32

    @property
    def panel(self) -> int:
        return panel_width(
            self.target, self.element_type, self.shape[-1] // self.groups
        )

    @property
    def type(self) -> Attribute:
        columns = self.shape[-1] // self.groups
        rows = int(np.prod(self.shape[:-1]))
        panels = -(-columns // self.panel)
        return tensor_type(
            self.element_type, [self.groups, panels, rows, self.panel]
        )

    def unpacked(self, argument: SSAValue) -> SSAValue:
        """The operand of the contraction for the block argument."""
        whole = tensor_type(self.element_type, self.shape)
        return UnpackOp(argument, whole, self.panel, self.groups).result

    def pack(self, weights: Array) -> Array:
        return pack(weights, self.panel, self.groups)


def whole_numbers(seed: int, *shape: int, dtype: npt.DTypeLike = np.float32) -> Array:
    """Small whole numbers: sums of products of them are exact in any order."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


def matmul(a: SSAValue, b: SSAValue) -> SSAValue:
    return MatmulOp(a, b).result


class GuardedMemory:
    """Memory that ends at a page nobody may touch."""

    def __init__(self, array: Array) -> None:
        self.page = mmap.PAGESIZE
        size = -(-max(array.nbytes, 1) // self.page) * self.page
        self.map = mmap.mmap(-1, size + self.page)
        libc = ctypes.CDLL(None, use_errno=True)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        protect = libc.mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        assert protect(base + size, self.page, 0) == 0
        self.address = base + size - array.nbytes
        ctypes.memmove(self.address, array.ctypes.data, array.nbytes)


def survives(action: Callable[[], None]) -> bool:
    """Whether `action`, run in a child process, ends without a crash."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0


@dataclass(frozen=True)
class Harness:
    """What tests of contractions need."""

    compile: Callable[..., Compiled] = staticmethod(compile_dispatch)
    numbers: Callable[..., Array] = staticmethod(whole_numbers)
    matmul: Callable[[SSAValue, SSAValue], SSAValue] = staticmethod(matmul)
    Weights: type[Weights] = Weights
    GuardedMemory: type[GuardedMemory] = GuardedMemory
    survives: Callable[[Callable[[], None]], bool] = staticmethod(survives)


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
    return Target.named(request.param)
