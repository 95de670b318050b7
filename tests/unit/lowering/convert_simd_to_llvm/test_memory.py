"""
Loads, stores, masks, reductions and errors, executed next to guard pages.

A kernel under test that touches one byte past the end of a buffer dies, so the masked
cases prove that lanes which are off are not touched.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    IntegerType,
    Signedness,
    f32,
    f64,
    i32,
    i64,
)
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, SSAValue

from nnc.backend.cross import QemuProgram
from nnc.backend.host import resolve_target
from nnc.dialects import simd
from nnc.testing_kernels import (
    INDEX,
    KernelWriter,
    NativeKernels,
    Slot,
    compile_kernels,
    kernel,
)

Array = npt.NDArray[np.generic]
I1, I8 = IntegerType(1), IntegerType(8)
UI16 = IntegerType(16, Signedness.UNSIGNED)
TYPES: dict[Attribute, str] = {
    f32: "f4",
    f64: "f8",
    Float16Type(): "u2",
    BFloat16Type(): "u2",
    I1: "?",
    I8: "i1",
    UI16: "u2",
    i32: "i4",
    i64: "i8",
}
Runner = Callable[[FuncOp, list[Slot]], list[Array]]


CONFIGS = ["generic:1", "generic:4", "avx2:8", "avx512:16", "avx512:8", "neon:4"]


@pytest.fixture(
    params=[
        pytest.param(config, marks=pytest.mark.isa(config.partition(":")[0]))
        for config in CONFIGS
    ]
)
def machine(request: pytest.FixtureRequest) -> tuple[int, Runner]:
    """A vector width, and a function that runs one kernel of that machine."""
    name, _, width = request.param.partition(":")
    target = resolve_target(name)

    def run(function: FuncOp, slots: list[Slot]) -> list[Array]:
        symbol = function.sym_name.data
        code = compile_kernels([function], target)
        if target.arch == "aarch64":
            with QemuProgram(code, (symbol,)) as program:
                return program.run(symbol, slots)
        return NativeKernels(code).run(symbol, slots)

    return int(width), run


def numbers(type: Attribute, count: int) -> Array:
    rng = np.random.default_rng(count)
    dtype = np.dtype(TYPES[type])
    if dtype.kind == "b":
        return rng.integers(0, 2, count).astype(bool)
    return rng.integers(1, 100, count).astype(dtype)


@pytest.mark.parametrize("type", TYPES, ids=str)
def test_masked_copy_of_every_length_touches_nothing_beyond(
    machine: tuple[int, Runner], type: Attribute
) -> None:
    width, run = machine

    def body(w: KernelWriter, a: SSAValue, out: SSAValue, n: SSAValue) -> None:
        def step(w: KernelWriter, i: SSAValue) -> None:
            mask = w(simd.MaskOp(w(arith.SubiOp(n, i)), width))
            w.do(simd.StoreOp(w(simd.LoadOp(a, i, width, mask)), out, i, mask))

        w.loop(w.index(0), n, width, step)

    copy = kernel("copy", [simd.PtrType(type), simd.PtrType(type), INDEX], body)
    count = 2 * width + max(1, width // 2)
    data = numbers(type, count)
    _, result = run(copy, [data, np.zeros_like(data), count])
    np.testing.assert_array_equal(result, data)


def test_masked_lanes_load_as_zero(machine: tuple[int, Runner]) -> None:
    width, run = machine

    def body(w: KernelWriter, a: SSAValue, out: SSAValue, n: SSAValue) -> None:
        zero = w.index(0)
        value = w(simd.LoadOp(a, zero, width, w(simd.MaskOp(n, width))))
        w.do(simd.StoreOp(value, out, zero))

    function = kernel("k", [simd.PtrType(f32), simd.PtrType(f32), INDEX], body)
    keep = width // 2
    data = np.arange(1, keep + 1, dtype=np.float32)
    _, result = run(function, [data, np.full(width, 9, np.float32), keep])
    np.testing.assert_array_equal(result, np.append(data, np.zeros(width - keep)))


@pytest.mark.parametrize("type", TYPES, ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_gather_reads_any_elements(
    machine: tuple[int, Runner], type: Attribute, masked: bool
) -> None:
    width, run = machine

    def body(
        w: KernelWriter, a: SSAValue, at: SSAValue, out: SSAValue, n: SSAValue
    ) -> None:
        zero = w.index(0)
        mask = w(simd.MaskOp(n, width)) if masked else None
        indices = w(simd.LoadOp(at, zero, width))
        w.do(simd.StoreOp(w(simd.GatherOp(a, indices, mask)), out, zero))

    types = [simd.PtrType(type), simd.PtrType(i64), simd.PtrType(type), INDEX]
    data = numbers(type, 23)
    indices = np.random.default_rng(1).integers(0, 23, width)
    keep = width - 1 if masked else width
    if masked:
        indices[keep:] = 10**9
    result = run(
        kernel("k", types, body), [data, indices, np.zeros(width, data.dtype), keep]
    )[-1]
    expected = np.zeros(width, data.dtype)
    expected[:keep] = data[indices[:keep]]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("type", [f32, I1, Float16Type(), i64], ids=str)
@pytest.mark.parametrize("stride", [1, 3, -2])
@pytest.mark.parametrize("constant", [False, True])
def test_strided_access_reads_and_writes_equal_distances(
    machine: tuple[int, Runner], type: Attribute, stride: int, constant: bool
) -> None:
    width, run = machine
    count = width - 1 or 1
    size = 1 + (count - 1) * abs(stride)
    start = size - 1 if stride < 0 else 0

    def body(w: KernelWriter, a: SSAValue, out: SSAValue, by: SSAValue) -> None:
        mask = w(simd.MaskOp(w.index(count), width))
        first, step = w.index(start), w.index(stride) if constant else by
        value = w(simd.LoadStridedOp(a, first, step, width, mask))
        w.do(simd.StoreStridedOp(value, out, first, step, mask))

    types = [simd.PtrType(type), simd.PtrType(type), INDEX]
    data = numbers(type, size)
    result = run(kernel("k", types, body), [data, np.zeros_like(data), stride])[-1]
    expected = np.zeros_like(data)
    lanes = start + stride * np.arange(count)
    expected[lanes] = data[lanes]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("stride", [2, 5])
def test_unmasked_strided_access_covers_all_lanes(
    machine: tuple[int, Runner], stride: int
) -> None:
    width, run = machine

    def body(w: KernelWriter, a: SSAValue, out: SSAValue, by: SSAValue) -> None:
        zero = w.index(0)
        value = w(simd.LoadStridedOp(a, zero, by, width))
        w.do(simd.StoreStridedOp(value, out, zero, by))

    types = [simd.PtrType(f32), simd.PtrType(f32), INDEX]
    data = numbers(f32, 1 + (width - 1) * stride)
    result = run(kernel("k", types, body), [data, np.zeros_like(data), stride])[-1]
    np.testing.assert_array_equal(result[::stride], data[::stride])


@pytest.mark.parametrize(
    "count", [-5, 0, 1, 2, 7, 15, 16, 2**31, 2**32, 2**40], ids=str
)
def test_mask_of_any_count(machine: tuple[int, Runner], count: int) -> None:
    width, run = machine

    def body(w: KernelWriter, out: SSAValue, n: SSAValue) -> None:
        w.do(simd.StoreOp(w(simd.MaskOp(n, width)), out, w.index(0)))
        constant = w(simd.MaskOp(w.index(count), width))
        w.do(simd.StoreOp(constant, out, w.index(width)))

    function = kernel("k", [simd.PtrType(I1), INDEX], body)
    (result,) = run(function, [np.zeros(2 * width, bool), count])
    np.testing.assert_array_equal(result, np.tile(np.arange(width) < count, 2))


@pytest.mark.parametrize("type", [f32, f64, BFloat16Type(), i32, UI16, I1], ids=str)
@pytest.mark.parametrize("kind", ["add", "mul", "min", "max", "and", "or", "xor"])
def test_reduce_combines_all_lanes(
    machine: tuple[int, Runner], type: Attribute, kind: str
) -> None:
    floating = type in (f32, f64, BFloat16Type())
    if (floating and kind in ("and", "or", "xor")) or (
        type == I1 and kind in ("add", "mul", "min", "max")
    ):
        return
    width, run = machine

    def body(w: KernelWriter, a: SSAValue, out: SSAValue) -> None:
        zero = w.index(0)
        value = w(simd.ReduceOp(kind, w(simd.LoadOp(a, zero, width))))
        w.do(simd.StoreOp(value, out, zero))

    rng = np.random.default_rng(3)
    if floating:
        small = rng.integers(1, 3, width).astype(np.float32)
        as_bf16 = (small.view(np.uint32) >> 16).astype(np.uint16)
        data = as_bf16 if type == BFloat16Type() else small.astype(TYPES[type])
    else:
        data = numbers(type, width)
        small = data
    types = [simd.PtrType(type), simd.PtrType(type)]
    _, result = run(kernel("k", types, body), [data, np.zeros(1, data.dtype)])
    ufuncs = {
        "add": np.add,
        "mul": np.multiply,
        "min": np.minimum,
        "max": np.maximum,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
    }
    expected = ufuncs[kind].reduce(small, dtype=small.dtype)
    actual = result
    if type == BFloat16Type():
        actual = (result.astype(np.uint32) << 16).view(np.float32)
        expected = (np.float32(expected).view(np.uint32) >> 16 << 16).view(np.float32)
    assert actual[0] == expected


def test_reduce_adds_halves_in_a_fixed_order(machine: tuple[int, Runner]) -> None:
    width, run = machine

    def body(w: KernelWriter, a: SSAValue, out: SSAValue) -> None:
        zero = w.index(0)
        w.do(
            simd.StoreOp(
                w(simd.ReduceOp("add", w(simd.LoadOp(a, zero, width)))), out, zero
            )
        )

    data = (np.random.default_rng(4).standard_normal(width) * 1e3).astype(np.float32)
    types = [simd.PtrType(f32), simd.PtrType(f32)]
    _, result = run(kernel("k", types, body), [data, np.zeros(1, np.float32)])
    tree = data
    while len(tree) > 1:
        tree = tree[: len(tree) // 2] + tree[len(tree) // 2 :]
    assert result[0] == tree[0]


def test_alloca_is_one_aligned_block_for_the_whole_call(
    machine: tuple[int, Runner],
) -> None:
    width, run = machine

    def body(w: KernelWriter, out: SSAValue, n: SSAValue) -> None:
        scratch = w(simd.AllocaOp(4 * width, f32))

        def fill(w: KernelWriter, i: SSAValue) -> None:
            number = w(simd.BroadcastOp(w(simd.CastOp(i, f32)), width))
            w.do(simd.StoreOp(number, scratch, i))

        w.loop(w.index(0), n, width, fill)

        def copy(w: KernelWriter, i: SSAValue) -> None:
            later = w(simd.PtrAddOp(scratch, i))
            w.do(simd.StoreOp(w(simd.LoadOp(later, w.index(0), width)), out, i))

        w.loop(w.index(0), n, width, copy)

    function = kernel("k", [simd.PtrType(f32), INDEX], body)
    (result,) = run(function, [np.zeros(4 * width, np.float32), 4 * width])
    np.testing.assert_array_equal(result, np.arange(4).repeat(width) * width)


def test_iota_counts_lanes(machine: tuple[int, Runner]) -> None:
    width, run = machine

    def body(w: KernelWriter, out: SSAValue) -> None:
        w.do(simd.StoreOp(w(simd.IotaOp(width)), out, w.index(0)))

    (result,) = run(kernel("k", [simd.PtrType(i64)], body), [np.zeros(width, np.int64)])
    np.testing.assert_array_equal(result, np.arange(width))
