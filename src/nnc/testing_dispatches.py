"""
Lower single dispatches in tests, run their kernels, and compare with the interpreter.

Buffers end where a page without access begins (or, in runs that are split into several
calls, begin where one ends), and what lies between the elements of a strided one is
checked to be as before.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, Region, SSAValue

from nnc.backend.emit_llvm import emit_llvm
from nnc.backend.jit import LoadedCode, emit_object, load_object
from nnc.dialects.nn.dtypes import element_type_for, numpy_dtype
from nnc.dialects.nn.structure import DispatchOp, YieldOp
from nnc.dialects.nn.types import dims_of, element_type_of, tensor_type
from nnc.dialects.rt import BufferType, LaunchOp
from nnc.dialects.rt import DispatchOp as RtDispatchOp
from nnc.interpreters.nn import evaluate_op
from nnc.lowering.convert_simd_to_llvm import convert_module
from nnc.lowering.finalize_kernel_abi import finalize_kernel
from nnc.lowering.lower_dispatches.lower import DispatchLowering
from nnc.symbolic import Dim, DimLike
from nnc.target import Target
from nnc.testing_kernels import GuardedBuffer

Array = npt.NDArray[Any]
BuildRegion = Callable[..., SSAValue | Operation | Sequence[SSAValue | Operation]]
SENTINEL = 0xA5


@dataclass
class Operand:
    """An input: its array, and optionally symbolic dims and strides."""

    array: Array
    dims: Sequence[DimLike] | None = None
    strides: Sequence[DimLike] | None = None

    @property
    def shape(self) -> Sequence[DimLike]:
        """The dims as the compiler sees them."""
        return self.array.shape if self.dims is None else self.dims


@dataclass
class LoweredDispatch:
    """A dispatch with its kernel, ready to run."""

    reference: DispatchOp
    kernel: func.FuncOp | None
    launch: LaunchOp | None
    buffers: Sequence[BufferType]
    input_count: int
    code: LoadedCode | None
    assembly: str = ""
    symbols: dict[str, int] = field(default_factory=dict[str, int])
    over: int | None = None
    """The input that the only result is written over."""

    @property
    def op_count(self) -> int:
        """How many ops the kernel has."""
        return 0 if self.kernel is None else sum(1 for _ in self.kernel.walk()) - 1

    def expected(
        self, arrays: Sequence[Array], symbols: Mapping[str, int]
    ) -> list[Array]:
        """What the interpreter computes."""
        with np.errstate(all="ignore"):
            return [np.asarray(a) for a in evaluate_op(self.reference, arrays, symbols)]

    def run(
        self,
        arrays: Sequence[Array],
        symbols: Mapping[str, int],
        splits: int = 1,
        state: Array | None = None,
    ) -> list[Array]:
        """Run the kernel in `splits` calls over its tasks."""
        outputs = [
            np.zeros([d.evaluate(symbols) for d in b.dims], numpy_dtype(b.element_type))
            for b in self.buffers[self.input_count :]
        ]
        memory = [
            _Memory(type, array, symbols, guards_front=splits > 1)
            for type, array in zip(self.buffers, [*arrays, *outputs], strict=True)
        ]
        written = [] if self.over is None else [memory[self.over]]
        if self.launch is not None:
            addresses = [m.address for m in (*memory, *written)]
            self.call(addresses, symbols, splits, state)
        results = [m.read() for m in memory]
        for index, (array, after) in enumerate(zip(arrays, results, strict=False)):
            is_same = array.tobytes() == after.tobytes()
            assert is_same or index == self.over, "the kernel changed an input"
        return [*results[self.input_count :], *(m.read() for m in written)]

    def call(
        self,
        addresses: Sequence[int],
        symbols: Mapping[str, int],
        splits: int = 1,
        state: Array | None = None,
    ) -> None:
        """Call the kernel on memory."""
        self.prepare(addresses, symbols, splits, state)()

    def prepare(
        self,
        addresses: Sequence[int],
        symbols: Mapping[str, int] | None = None,
        splits: int = 1,
        state: Array | None = None,
        part: tuple[int, int] | None = None,
    ) -> Callable[[], None]:
        """A function that runs the kernel on memory; all tasks, or those of a part."""
        assert self.launch is not None
        assert self.code is not None
        sizes = symbols or {}
        dims = [d.evaluate(sizes) for d in self.launch.dims.dims]
        tasks = self.launch.task_count.evaluate(sizes)
        run_state = np.zeros(8, np.int64) if state is None else state
        table = np.array([run_state.ctypes.data, *addresses, *dims], np.int64)
        function = ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
        )(self.code.address("kernel"))
        bounds = [tasks * i // splits for i in range(splits + 1)]
        ranges = [r for r in itertools.pairwise(bounds) if r[0] < r[1]]
        if part is not None:
            ranges = [part]

        def run() -> None:
            for begin, end in ranges:
                function(table.ctypes.data, begin, end)

        return run


class _FrontGuardedBuffer:
    """A copy of an array that begins where a page without access ends."""

    def __init__(self, array: Array) -> None:
        page = mmap.PAGESIZE
        self._map = mmap.mmap(-1, page + max(array.nbytes, 1))
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        assert not ctypes.CDLL(None).mprotect(ctypes.c_void_p(base), page, 0)
        self.address = base + page
        self._array = array
        ctypes.memmove(self.address, array.ctypes.data, array.nbytes)

    def read(self) -> Array:
        """The contents now."""
        data = ctypes.string_at(self.address, self._array.nbytes)
        return np.frombuffer(data, self._array.dtype).copy()


class _Memory:
    """Guarded memory that holds an array under the strides of a buffer type."""

    def __init__(
        self,
        type: BufferType,
        array: Array,
        symbols: Mapping[str, int],
        *,
        guards_front: bool,
    ) -> None:
        self.strides = [s.evaluate(symbols) * array.itemsize for s in type.stride_dims]
        low = sum(
            min(0, s * (n - 1)) for s, n in zip(self.strides, array.shape, strict=True)
        )
        high = sum(
            max(0, s * (n - 1)) for s, n in zip(self.strides, array.shape, strict=True)
        )
        self.low = -low
        self.shape, self.dtype = array.shape, array.dtype
        self.before = np.full(
            0 if array.size == 0 else high - low + array.itemsize, SENTINEL, np.uint8
        )
        if array.size:
            self._view(self.before)[...] = array
        guarded = _FrontGuardedBuffer if guards_front else GuardedBuffer
        self.guarded = guarded(self.before)
        self.address = self.guarded.address + self.low

    def _view(self, data: Array) -> Array:
        start = data[self.low :][: self.dtype.itemsize].view(self.dtype)
        return as_strided(start, self.shape, self.strides)

    def read(self) -> Array:
        """The elements now; what lies between them must not have changed."""
        after = self.guarded.read()
        if not after.size:
            return np.zeros(self.shape, self.dtype)
        result = np.array(self._view(after))
        gaps = self.before.copy()
        self._view(gaps)[...] = result
        assert gaps.tobytes() == after.tobytes(), "the kernel wrote between elements"
        return result


def lower_dispatch(
    build: BuildRegion,
    operands: Sequence[Operand],
    target: Target,
    output_strides: Sequence[Sequence[DimLike] | None] | None = None,
    *,
    compile: bool = True,
    over: int | None = None,
) -> LoweredDispatch:
    """
    Lower a dispatch whose region `build(*block_arguments)` makes.

    Its only result can be written `over` an operand.
    """
    types = [tensor_type(element_type_for(o.array.dtype), o.shape) for o in operands]
    block = Block(arg_types=types)
    made = build(*block.args)
    results = [made] if isinstance(made, SSAValue | Operation) else list(made)
    values = [SSAValue.get(r) for r in results]
    ops = _reachable(values)
    for op in ops:
        if op.parent is None:
            block.add_op(op)
    block.add_op(YieldOp(*values))
    inputs = [
        BufferType(element_type_for(o.array.dtype), o.shape, o.strides)
        for o in operands
    ]
    strides = output_strides or [None] * len(values)
    outputs = [
        BufferType(element_type_of(v), dims_of(v), s)
        for v, s in zip(values, strides, strict=True)
    ]
    if over is not None:
        outputs = []
    region = Region(block)
    body = Block(arg_types=[*inputs, *outputs])
    count = len(inputs)
    written = body.args[count:] if over is None else [body.args[over]]
    dispatch = RtDispatchOp(body.args[:count], written, region)
    body.add_op(dispatch)
    body.add_op(func.ReturnOp())
    arguments = [a.type for a in body.args]
    main = func.FuncOp("main", (arguments, []), Region(body))
    module = ModuleOp([main])
    module.verify()
    source = Block(arg_types=types)
    reference = DispatchOp(list(source.args), region.clone())
    DispatchLowering(module, target).run()
    module.verify()
    launches = [op for op in main.body.block.ops if isinstance(op, LaunchOp)]
    if not launches:
        return LoweredDispatch(
            reference, None, None, (*inputs, *outputs), count, None, over=over
        )
    (launch,) = launches
    (kernel,) = [
        op for op in module.ops if isinstance(op, func.FuncOp) and op is not main
    ]
    shown = kernel.clone()
    code = load_object(compile_kernel(kernel.clone(), target)) if compile else None
    return LoweredDispatch(
        reference, shown, launch, (*inputs, *outputs), count, code, over=over
    )


def compile_kernel(kernel: func.FuncOp, target: Target) -> bytes:
    """Object code of one kernel, called `kernel`."""
    module = ModuleOp([kernel])
    from xdsl.dialects.builtin import StringAttr

    kernel.properties["sym_name"] = StringAttr("kernel")
    finalize_kernel(kernel)
    convert_module(module, target)
    module.verify()
    return emit_object(emit_llvm(module, target), target)


def _reachable(values: Sequence[SSAValue]) -> list[Operation]:
    found: dict[Operation, None] = {}

    def visit(value: SSAValue) -> None:
        op = value.owner
        if isinstance(op, Operation) and op not in found:
            for operand in op.operands:
                visit(operand)
            found[op] = None

    for value in values:
        visit(value)
    return list(found)


def symbols_of(operands: Sequence[Operand]) -> dict[str, int]:
    """The sizes of symbols that are dims by themselves."""
    symbols: dict[str, int] = {}
    for operand in operands:
        for dim, size in zip(operand.shape, operand.array.shape, strict=True):
            names = Dim.of(dim).symbols
            if len(names) == 1 and Dim.symbol(next(iter(names))) == dim:
                symbols[next(iter(names))] = size
    return symbols


def check_dispatch(
    build: BuildRegion,
    operands: Sequence[Operand | Array],
    target: Target,
    output_strides: Sequence[Sequence[DimLike] | None] | None = None,
    *,
    rtol: float | None = None,
    atol: float = 0.0,
    over: int | None = None,
) -> LoweredDispatch:
    """Lower, run whole and split, and compare with the interpreter."""
    given = [o if isinstance(o, Operand) else Operand(o) for o in operands]
    lowered = lower_dispatch(build, given, target, output_strides, over=over)
    symbols = symbols_of(given)
    arrays = [o.array for o in given]
    actual = lowered.run(arrays, symbols)
    split = lowered.run(arrays, symbols, splits=3)
    expected = lowered.expected(arrays, symbols)
    for one, other, wanted in zip(actual, split, expected, strict=True):
        assert one.tobytes() == other.tobytes(), "results depend on the task split"
        assert_close(one, wanted, rtol, atol)
    return lowered


_TOLERANCES = {2: 2e-3, 4: 2e-6, 8: 1e-13}


def assert_close(
    actual: Array, expected: Array, rtol: float | None = None, atol: float = 0.0
) -> None:
    """Compare; exact for integers and booleans."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if actual.dtype.kind in "fV":
        if rtol is None:
            rtol = _TOLERANCES[actual.dtype.itemsize]
            if actual.dtype.kind == "V":
                rtol = 1.6e-2
        np.testing.assert_allclose(
            actual.astype(np.float64), expected.astype(np.float64), rtol, atol
        )
    else:
        np.testing.assert_array_equal(actual, expected)
