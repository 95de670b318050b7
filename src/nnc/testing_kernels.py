"""
Build, compile and run single kernels in tests, here or under qemu.

Buffers end where a page without access begins, so a kernel that touches anything past
their end dies at once.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import arith, func, scf
from xdsl.dialects.builtin import IndexType, IntegerAttr, ModuleOp, UnitAttr
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.rewriter import InsertPoint

from nnc.backend.emit_llvm import emit_llvm
from nnc.backend.jit import LoadedCode, emit_object, load_object
from nnc.lowering.convert_simd_to_llvm import convert_module
from nnc.lowering.finalize_kernel_abi import NEEDS_STATE, FinalizeKernelAbiPass
from nnc.target import Target

INDEX = IndexType()
Array = npt.NDArray[np.generic]
Slot = Array | int
"""What a kernel takes in one slot: a buffer or a number."""


class KernelWriter:
    """Inserts ops at the end of a kernel's current block."""

    def __init__(self, block: Block) -> None:
        self._builder = Builder(InsertPoint.at_end(block))

    def __call__(self, op: Operation) -> SSAValue:
        """Insert an op that has results; returns the first."""
        self._builder.insert(op)
        return op.results[0]

    def do(self, op: Operation) -> None:
        """Insert an op for its effect."""
        self._builder.insert(op)

    def index(self, value: int) -> SSAValue:
        """An index constant."""
        op = arith.ConstantOp(IntegerAttr(value, INDEX))
        return self._builder.insert(op).result

    def loop(
        self,
        start: SSAValue,
        stop: SSAValue,
        step: int,
        body: Callable[[KernelWriter, SSAValue], None],
    ) -> None:
        """`for i in range(start, stop, step): body(writer, i)`."""
        block = Block(arg_types=[INDEX])
        inner = KernelWriter(block)
        body(inner, block.args[0])
        inner.do(scf.YieldOp())
        by = self.index(step)
        self.do(scf.ForOp(start, stop, by, [], Region(block)))


def kernel(
    name: str,
    arg_types: Sequence[Attribute],
    body: Callable[..., None],
    *,
    needs_state: bool = False,
) -> func.FuncOp:
    """
    A kernel whose body is written by `body(writer, *args)`.

    `arg_types` leaves out the task range, which the body does not see.
    """
    block = Block(arg_types=[*arg_types, INDEX, INDEX])
    writer = KernelWriter(block)
    body(writer, *block.args[:-2])
    writer.do(func.ReturnOp())
    types = [a.type for a in block.args]
    result = func.FuncOp(name, (types, []), Region(block))
    if needs_state:
        result.attributes[NEEDS_STATE] = UnitAttr()
    return result


def compile_kernels(kernels: Iterable[func.FuncOp], target: Target) -> bytes:
    """Object code of kernels, with the IR verified at every level."""
    module = ModuleOp(list(kernels))
    module.verify()
    FinalizeKernelAbiPass().apply(Context(), module)
    module.verify()
    convert_module(module, target)
    module.verify()
    return emit_object(emit_llvm(module, target), target)


class GuardedBuffer:
    """A copy of an array that ends where a page without access begins."""

    def __init__(self, array: Array) -> None:
        page = mmap.PAGESIZE
        size = -(-max(array.nbytes, 1) // page) * page
        self._map = mmap.mmap(-1, size + page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None)
        assert not libc.mprotect(ctypes.c_void_p(base + size), page, 0)
        self.address = base + size - array.nbytes
        self._shape, self._dtype = array.shape, array.dtype
        self._nbytes = array.nbytes
        ctypes.memmove(
            self.address, np.ascontiguousarray(array).ctypes.data, array.nbytes
        )

    def read(self) -> Array:
        """The contents now."""
        data = ctypes.string_at(self.address, self._nbytes)
        return np.frombuffer(data, self._dtype).reshape(self._shape).copy()


class NativeKernels:
    """Loaded kernels of this machine."""

    def __init__(self, object_code: bytes) -> None:
        self.code: LoadedCode = load_object(object_code)

    def run(
        self,
        name: str,
        slots: Sequence[Slot],
        *,
        begin: int = 0,
        end: int = 1,
        state: Array | None = None,
    ) -> list[Array]:
        """Call a kernel on copies of the buffers; returns them afterwards."""
        buffers = [GuardedBuffer(s) for s in slots if not isinstance(s, int)]
        remaining = iter(buffers)
        words = [s if isinstance(s, int) else next(remaining).address for s in slots]
        run_state = np.zeros(8, np.int64) if state is None else state
        table = np.array([run_state.ctypes.data, *words], np.int64)
        function = ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
        )(self.code.address(name))
        function(table.ctypes.data, begin, end)
        return [b.read() for b in buffers]

    def close(self) -> None:
        """Unload the code."""
        self.code.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
