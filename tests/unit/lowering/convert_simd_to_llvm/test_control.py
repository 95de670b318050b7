"""Loops, branches, index arithmetic and recorded errors, executed."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects import arith, llvm, scf
from xdsl.dialects.builtin import IntegerType, ModuleOp, f32, f64, i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, Region, SSAValue

from nnc.backend.host import resolve_target
from nnc.dialects import simd
from nnc.errors import InternalError
from nnc.lowering.convert_simd_to_llvm import ConvertSimdToLlvmPass, convert_module
from nnc.lowering.finalize_kernel_abi import FinalizeKernelAbiPass
from nnc.target import Target
from nnc.testing_kernels import (
    INDEX,
    Array,
    KernelWriter,
    NativeKernels,
    Slot,
    compile_kernels,
    kernel,
)

WORDS = simd.PtrType(i64)
IndexOp = Callable[[SSAValue, SSAValue], Operation]


def run(function: FuncOp, *slots: Slot, state: Array | None = None) -> list[Array]:
    code = compile_kernels([function], resolve_target("generic"))
    with NativeKernels(code) as kernels:
        return kernels.run(function.sym_name.data, list(slots), state=state)


def llvm_ops(function: FuncOp) -> list[type[Operation]]:
    """The op classes of a kernel's lowering, constants left out."""
    module = ModuleOp([function])
    FinalizeKernelAbiPass().apply(Context(), module)
    convert_module(module, Target.named("generic"))
    (converted,) = module.ops
    inline = (llvm.ConstantOp, llvm.UndefOp)
    return [type(op) for op in converted.walk() if not isinstance(op, inline)][1:]


def nothing(w: KernelWriter, *args: SSAValue) -> None:
    pass


def store_index(w: KernelWriter, value: SSAValue, out: SSAValue, at: int) -> None:
    word = w(simd.CastOp(value, i64))
    w.do(simd.StoreOp(word, out, w.index(at)))


def loop_sum(w: KernelWriter, *bounds: SSAValue) -> SSAValue:
    """`total = 7; for i in range(*bounds): total = 2 * total + i`."""
    block = Block(arg_types=[INDEX, INDEX])
    inner = KernelWriter(block)
    twice = inner(arith.MuliOp(block.args[1], inner.index(2)))
    inner.do(scf.YieldOp(inner(arith.AddiOp(twice, block.args[0]))))
    start, stop, step = bounds
    return w(scf.ForOp(start, stop, step, [w.index(7)], Region(block)))


@pytest.mark.parametrize(
    ("start", "stop", "step"),
    [(0, 0, 1), (0, 1, 1), (0, 5, 1), (3, 10, 4), (5, 2, 1), (-4, 4, 3), (2, 3, 9)],
)
@pytest.mark.parametrize("constant", [False, True])
def test_for_carries_values_over_every_trip_count(
    start: int, stop: int, step: int, constant: bool
) -> None:
    def body(w: KernelWriter, out: SSAValue, *bounds: SSAValue) -> None:
        if constant:
            bounds = tuple(w.index(n) for n in (start, stop, step))
        store_index(w, loop_sum(w, *bounds), out, 0)

    function = kernel("k", [WORDS, INDEX, INDEX, INDEX], body)
    (result,) = run(function, np.zeros(1, np.int64), start, stop, step)
    expected = 7
    for i in range(start, stop, step):
        expected = 2 * expected + i
    assert result[0] == expected


def test_nested_loops_keep_their_values_apart() -> None:
    def body(w: KernelWriter, out: SSAValue, n: SSAValue) -> None:
        def outer(w: KernelWriter, i: SSAValue) -> None:
            def inner(w: KernelWriter, j: SSAValue) -> None:
                at = w(arith.AddiOp(w(arith.MuliOp(i, n)), j))
                old = w(simd.LoadOp(out, at))
                word = w(simd.CastOp(at, i64))
                w.do(simd.StoreOp(w(simd.AddOp(old, word)), out, at))

            w.loop(i, n, 1, inner)

        w.loop(w.index(0), n, 1, outer)

    (result,) = run(kernel("k", [WORDS, INDEX], body), np.zeros((4, 4), np.int64), 4)
    np.testing.assert_array_equal(result, np.triu(np.arange(16).reshape(4, 4)))


def chosen(w: KernelWriter, condition: SSAValue) -> SSAValue:
    """`5 if condition else 9`."""
    then, otherwise = Block(), Block()
    for block, number in ((then, 5), (otherwise, 9)):
        arm = KernelWriter(block)
        arm.do(scf.YieldOp(arm.index(number)))
    return w(scf.IfOp(condition, [INDEX], Region(then), Region(otherwise)))


@pytest.mark.parametrize("n", [-1, 0, 1])
@pytest.mark.parametrize("constant", [False, True])
def test_if_yields_the_values_of_one_arm(n: int, constant: bool) -> None:
    def body(w: KernelWriter, out: SSAValue, number: SSAValue) -> None:
        number = w.index(n) if constant else number
        condition = w(arith.CmpiOp(number, w.index(0), "sgt"))
        store_index(w, chosen(w, condition), out, 0)

    (result,) = run(kernel("k", [WORDS, INDEX], body), np.zeros(1, np.int64), n)
    assert result[0] == (5 if n > 0 else 9)


@pytest.mark.parametrize("n", [0, 1])
def test_if_without_else_has_only_its_effect(n: int) -> None:
    def body(w: KernelWriter, out: SSAValue, number: SSAValue) -> None:
        then = Block()
        arm = KernelWriter(then)
        store_index(arm, arm.index(3), out, 0)
        arm.do(scf.YieldOp())
        condition = w(arith.CmpiOp(number, w.index(0), "ne"))
        w.do(scf.IfOp(condition, [], Region(then)))
        store_index(w, w.index(4), out, 1)

    (result,) = run(kernel("k", [WORDS, INDEX], body), np.zeros(2, np.int64), n)
    np.testing.assert_array_equal(result, [3 * n, 4])


BINARY: dict[str, tuple[IndexOp, Callable[[int, int], int]]] = {
    "add": (arith.AddiOp, lambda a, b: a + b),
    "sub": (arith.SubiOp, lambda a, b: a - b),
    "mul": (arith.MuliOp, lambda a, b: a * b),
    "div": (arith.DivSIOp, lambda a, b: abs(a) // abs(b) * (1 if a * b >= 0 else -1)),
    "floordiv": (arith.FloorDivSIOp, lambda a, b: a // b),
    "ceildiv": (arith.CeilDivSIOp, lambda a, b: -(-a // b)),
    "rem": (arith.RemSIOp, lambda a, b: abs(a) % abs(b) * (1 if a >= 0 else -1)),
    "min": (arith.MinSIOp, min),
    "max": (arith.MaxSIOp, max),
    "and": (arith.AndIOp, lambda a, b: a & b),
    "or": (arith.OrIOp, lambda a, b: a | b),
    "xor": (arith.XOrIOp, lambda a, b: a ^ b),
}
OPERANDS = [-9, -8, -7, -1, 0, 1, 2, 7, 8, 100]


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("constant", ["none", "right", "both"])
def test_index_arithmetic(name: str, constant: str) -> None:
    op, meaning = BINARY[name]
    pairs = [
        (a, b)
        for a, b in itertools.product(OPERANDS, OPERANDS)
        if b or name not in ("div", "floordiv", "ceildiv", "rem")
    ]

    def body(w: KernelWriter, a: SSAValue, b: SSAValue, out: SSAValue) -> None:
        for i, (x, y) in enumerate(pairs):
            at = w.index(i)
            left = w(simd.CastOp(w(simd.LoadOp(a, at)), INDEX))
            right = w(simd.CastOp(w(simd.LoadOp(b, at)), INDEX))
            if constant != "none":
                right = w.index(y)
            if constant == "both":
                left = w.index(x)
            store_index(w, w(op(left, right)), out, i)

    a, b = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    function = kernel("k", [WORDS, WORDS, WORDS], body)
    *_, result = run(function, a, b, np.zeros_like(a))
    np.testing.assert_array_equal(result, [meaning(x, y) for x, y in pairs])


PREDICATES = {
    "eq": int.__eq__,
    "ne": int.__ne__,
    "slt": int.__lt__,
    "sle": int.__le__,
    "sgt": int.__gt__,
    "sge": int.__ge__,
}


@pytest.mark.parametrize("predicate", PREDICATES)
@pytest.mark.parametrize("constant", [False, True])
def test_index_comparison_and_select(predicate: str, constant: bool) -> None:
    pairs = list(itertools.product([-2, 0, 3], [-2, 0, 3]))

    def body(w: KernelWriter, a: SSAValue, b: SSAValue, out: SSAValue) -> None:
        for i, (x, y) in enumerate(pairs):
            at = w.index(i)
            left = w(simd.CastOp(w(simd.LoadOp(a, at)), INDEX))
            right = w(simd.CastOp(w(simd.LoadOp(b, at)), INDEX))
            if constant:
                left, right = w.index(x), w.index(y)
            holds = w(arith.CmpiOp(left, right, predicate))
            both = w(arith.AndIOp(holds, w(arith.CmpiOp(left, w.index(3), "ne"))))
            picked = w(arith.SelectOp(both, w.index(10), w.index(20)))
            store_index(w, picked, out, i)

    a, b = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    *_, result = run(kernel("k", [WORDS] * 3, body), a, b, np.zeros_like(a))
    expected = [10 if PREDICATES[predicate](x, y) and x != 3 else 20 for x, y in pairs]
    np.testing.assert_array_equal(result, expected)


def raising(*codes: tuple[int, int]) -> FuncOp:
    """Raises each (code, site) if the argument equals the code."""

    def body(w: KernelWriter, state: SSAValue, out: SSAValue, n: SSAValue) -> None:
        for code, site in codes:
            wrong = w(arith.CmpiOp(n, w.index(code), "eq"))
            w.do(simd.RaiseOp(state, wrong, code, site, detail=n))
        store_index(w, w.index(1), out, 0)

    return kernel("k", [WORDS, WORDS, INDEX], body, needs_state=True)


def test_raise_records_and_execution_goes_on() -> None:
    state = np.zeros(8, np.int64)
    (result,) = run(raising((3, 17), (4, 18)), np.zeros(1, np.int64), 4, state=state)
    np.testing.assert_array_equal(state, [0, 4, 18, 4, 0, 0, 0, 0])
    assert result[0] == 1


def test_raise_without_cause_leaves_the_state_alone() -> None:
    state = np.zeros(8, np.int64)
    run(raising((3, 17)), np.zeros(1, np.int64), 5, state=state)
    assert not state.any()


def test_raise_keeps_the_first_error() -> None:
    state = np.array([0, 9, 8, 7, 0, 0, 0, 0], np.int64)
    run(raising((3, 17)), np.zeros(1, np.int64), 3, state=state)
    np.testing.assert_array_equal(state[:4], [0, 9, 8, 7])


def test_constant_trip_counts_zero_and_one_leave_no_loop() -> None:
    def body(w: KernelWriter, out: SSAValue) -> None:
        def store(w: KernelWriter, i: SSAValue) -> None:
            store_index(w, i, out, 0)

        w.loop(w.index(3), w.index(4), 1, store)
        w.loop(w.index(3), w.index(3), 1, store)

    assert llvm_ops(kernel("k", [WORDS], body)) == [
        llvm.GEPOp,
        llvm.LoadOp,
        llvm.StoreOp,
        llvm.ReturnOp,
    ]


def test_contract_with_constant_unit_loops_has_one_block_of_k() -> None:
    def body(w: KernelWriter, a: SSAValue, b: SSAValue, c: SSAValue) -> None:
        zero, one, k = w.index(0), w.index(1), w.index(8)
        op = simd.ContractOp(
            a,
            zero,
            b,
            zero,
            row_stride=w.index(64),
            k=k,
            outer=(one, zero),
            inner=(one, zero),
            b_stride=w.index(8),
            mr=2,
            nv=2,
            width=4,
        )
        w.do(op)
        for i, value in enumerate(op.acc):
            w.do(simd.StoreOp(value, c, w.index(4 * i)))

    ops = llvm_ops(kernel("k", [simd.PtrType(f32)] * 3, body))
    assert ops.count(llvm.CondBrOp) == 1
    assert ops.count(llvm.BrOp) == 1


def test_scalar_masks_branch_around_the_access() -> None:
    def body(w: KernelWriter, a: SSAValue, out: SSAValue, n: SSAValue) -> None:
        mask = w(simd.MaskOp(n, 1))
        value = w(simd.LoadOp(a, w.index(0), 1, mask))
        w.do(simd.StoreOp(value, out, w.index(0), mask))

    ops = llvm_ops(kernel("k", [simd.PtrType(f32)] * 2 + [INDEX], body))
    assert ops.count(llvm.CondBrOp) == 2


def test_foreign_op_in_a_kernel_is_an_internal_error() -> None:
    def body(w: KernelWriter, n: SSAValue) -> None:
        w(arith.SIToFPOp(w(arith.IndexCastOp(n, i64)), f32))

    module = ModuleOp([kernel("k", [INDEX], body)])
    with pytest.raises(InternalError, match=r"arith\.sitofp"):
        convert_module(module, Target.named("generic"))


def test_pass_leaves_other_functions_alone_and_runs_twice() -> None:
    host = FuncOp("main", ([IntegerType(32)], []))
    module = ModuleOp([host, kernel("k", [INDEX], nothing)])
    once = ConvertSimdToLlvmPass(target="avx2")
    once.apply(Context(), module)
    text = str(module)
    assert [type(op) for op in module.ops] == [FuncOp, llvm.FuncOp]
    once.apply(Context(), module)
    assert str(module) == text


def test_called_c_functions_are_declared_once() -> None:
    def body(w: KernelWriter, a: SSAValue) -> None:
        x = w(simd.LoadOp(a, w.index(0)))
        w.do(simd.StoreOp(w(simd.AsinhOp(x)), a, w.index(0)))

    kernels = [kernel(name, [simd.PtrType(f64)], body) for name in ("k0", "k1")]
    module = ModuleOp(kernels)
    convert_module(module, Target.named("generic"))
    module.verify()
    names = [op.sym_name.data for op in module.ops if isinstance(op, llvm.FuncOp)]
    assert names == ["k0", "k1", "asinh"]


def test_boolean_constants_fold_through_logic() -> None:
    def body(w: KernelWriter, out: SSAValue) -> None:
        yes = w(arith.CmpiOp(w.index(1), w.index(2), "slt"))
        no = w(arith.CmpiOp(w.index(2), w.index(1), "slt"))
        picked = w(arith.OrIOp(w(arith.AndIOp(yes, no)), yes))
        store_index(w, chosen(w, picked), out, 0)

    ops = llvm_ops(kernel("k", [WORDS], body))
    assert llvm.CondBrOp not in ops
