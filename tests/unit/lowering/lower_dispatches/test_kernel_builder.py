"""Where the kernel builder puts ops, and what it folds."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import scf
from xdsl.dialects.builtin import f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue

from nnc.dialects import simd
from nnc.dialects.rt import BufferType
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.symbolic import Dim
from nnc.target import Target

AVX512 = Target.named("avx512")
N, M = Dim.symbol("N"), Dim.symbol("M")


def builder(*shapes: Sequence[Dim | int]) -> KernelBuilder:
    return KernelBuilder(AVX512, [BufferType(f32, s) for s in shapes])


def depth(op: Operation) -> int:
    """How many loops are around an op."""
    count = 0
    while (parent := op.parent_op()) is not None:
        op = parent
        count += isinstance(op, scf.ForOp | scf.IfOp)
    return count


def ops(function: FuncOp, name: str) -> list[Operation]:
    return [op for op in function.walk() if op.name == name]


def finished(kb: KernelBuilder) -> FuncOp:
    kernel = kb.finish()
    kernel.func.verify()
    return kernel.func


def test_invariant_load_and_splat_leave_the_inner_loop() -> None:
    kb = builder([8], [8, 64])
    bias, out = kb.buffers
    with kb.loop(kb.begin, kb.end) as i, kb.loop(0, 64, 16) as j:
        value = kb.splat(kb.load_invariant(bias.ptr, i), 16)
        kb.store(value, out.ptr, out.index([i, j]))
    func = finished(kb)
    assert [depth(op) for op in ops(func, "simd.load")] == [1]
    assert [depth(op) for op in ops(func, "simd.broadcast")] == [1]
    assert [depth(op) for op in ops(func, "arith.muli")] == [1]
    assert [depth(op) for op in ops(func, "simd.store")] == [2]


def test_load_stays_in_its_guard() -> None:
    kb = builder([8], [8])
    source, out = kb.buffers
    with (
        kb.loop(kb.begin, kb.end) as i,
        kb.when(kb.compare("slt", i, 3)),
        kb.loop(0, 8) as j,
    ):
        kb.store(kb.load_invariant(source.ptr, i), out.ptr, j)
    func = finished(kb)
    assert [depth(op) for op in ops(func, "simd.load")] == [2]


def test_address_of_an_outer_row_is_a_pointer_made_once() -> None:
    kb = builder([8, 64])
    (x,) = kb.buffers
    with kb.loop(kb.begin, kb.end) as i, kb.loop(0, 48, 16) as j:
        first = kb.load(x.ptr, x.index([i, j]), 16)
        second = kb.load(x.ptr, x.index([i, j + 8]), 16)
        kb.store(kb.add(simd.AddOp(first, second)), x.ptr, x.index([i, j]))
    func = finished(kb)
    assert sorted(depth(op) for op in ops(func, "simd.ptr_add")) == [1, 2]


def test_one_iteration_needs_no_loop() -> None:
    kb = builder([N])
    with kb.loop(0, 16, 16) as i:
        assert i.dim == 0
    with kb.loop(N, N + 1) as i:
        assert i.dim == N
    assert not ops(finished(kb), "scf.for")


def test_no_iteration_leaves_nothing() -> None:
    kb = builder([8])
    (x,) = kb.buffers
    with kb.loop(4, 4) as i:
        kb.store(kb.constant(1, f32), x.ptr, i)
    start = kb.constant(0, f32)
    assert kb.fold(3, 1, 1, [start], lambda i, v: v) == [start]
    assert not ops(finished(kb), "simd.store")


def test_symbolic_dims_are_arguments_in_order_of_use() -> None:
    kb = builder([N, M])
    (x,) = kb.buffers
    kb.store(kb.constant(1, f32), x.ptr, Index.of(M * N + 3))
    kb.value(N)
    kb.value(M * N + 3)
    kernel = kb.finish()
    assert kernel.dims == (M * N + 3, N)
    assert len(kernel.func.function_type.inputs.data) == 1 + 2 + 2


def test_division_disappears_where_terms_divide() -> None:
    kb = builder([8])
    with kb.loop(0, 8) as i, kb.loop(0, 4) as j:
        quotient, rest = kb.divmod(i * 4 + j, 4)
        assert quotient == i
        assert rest == j
        row, column = kb.divmod(i * N + 3 * N, N)
        assert row == i + 3
        assert column.dim == 0


def test_division_of_a_counter_is_made_once() -> None:
    kb = builder([64])
    (x,) = kb.buffers
    with kb.loop(kb.begin, kb.end, extent=64) as i:
        quotient, rest = kb.divmod(i, 5)
        again, _ = kb.divmod(i, 5)
        assert quotient == again
        kb.store(kb.constant(1, f32), x.ptr, quotient * 5 + rest)
    func = finished(kb)
    assert len(ops(func, "arith.divsi")) == 1
    assert len(ops(func, "arith.remsi")) == 1


def test_minimum_and_comparison_fold_by_ranges() -> None:
    kb = builder([8])
    with kb.loop(0, 8) as i:
        assert kb.minimum(i, 100) == i
        assert kb.maximum(i, 0) == i
        assert kb.compare("slt", i, 8) is True
        assert kb.compare("sge", i, 0) is True
        assert not isinstance(kb.compare("slt", i, 4), bool)


def test_fold_carries_values() -> None:
    kb = builder([N])
    (x,) = kb.buffers

    def body(i: Index, totals: list[SSAValue]) -> list[SSAValue]:
        return [kb.add(simd.AddOp(totals[0], kb.load(x.ptr, i)))]

    (total,) = kb.fold(0, N, 1, [kb.constant(0, f32)], body)
    kb.store(total, x.ptr, 0)
    (loop,) = ops(finished(kb), "scf.for")
    assert len(loop.results) == 1


def test_run_state_is_an_argument_only_if_asked_for() -> None:
    assert "needs_state" not in finished(builder([1])).attributes
    kb = builder([1])
    kb.raise_if(kb.constant(1, simd.mask_type(1)), 1)
    assert "needs_state" in finished(kb).attributes
