"""
Contraction kernels against the machine's peak of fused multiply-adds.

Run `python benchmarks/kernels/contraction.py [--target avx2] [--only conv] [--cold]`.
Each line is the best of many runs of one kernel on one thread, over buffers that stay
where they are. With `--cold`, runs take turns with copies of the weights that no cache
holds all of, as the layers of a network do. `ops` are those of the kernel; the times
behind them are what it took to build, to convert to LLVM's text, and to generate code
for.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.builder import ImplicitBuilder
from xdsl.dialects.builtin import ModuleOp, f32
from xdsl.ir import Block, SSAValue

from nnc.analysis.dispatches import analyze
from nnc.backend.emit_llvm import emit_llvm
from nnc.backend.host import resolve_target
from nnc.backend.jit import LoadedCode, emit_object, load_object
from nnc.dialects.nn import BroadcastOp, ConvOp, MatmulOp, UnpackOp
from nnc.dialects.nn.elementwise import AddOp, ErfOp, ReluOp
from nnc.dialects.nn.structure import YieldOp
from nnc.dialects.nn.types import dims_of, tensor_type
from nnc.dialects.rt.types import BufferType
from nnc.lowering.convert_simd_to_llvm import convert_module
from nnc.lowering.finalize_kernel_abi import finalize_kernel
from nnc.lowering.lower_dispatches.contraction import contraction_kernel
from nnc.lowering.tiling import panel_width
from nnc.symbolic import Dim, DimLike
from nnc.target import Target
from nnc.testing_dispatches import Operand

Floats = npt.NDArray[np.float32]
SECONDS_A_CASE = 0.25
COLD_BYTES = 128 << 20
"""What all copies of a weight take together, more than the caches hold."""

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


@dataclass
class Case:
    """One layer: what is computed, on which operands, with how much work."""

    name: str
    build: Callable[..., Any]
    operands: Sequence[Operand]
    output_strides: Sequence[DimLike] | None
    flops: int
    sizes: dict[str, int]


def numbers(*shape: int) -> Floats:
    """Non-zero operands: pages of zeros would share one cached page."""
    return np.random.default_rng(0).uniform(0.5, 1.5, shape).astype(np.float32)


def padded(size: int) -> int:
    """A row stride that is no multiple of 4 KiB, as the memory planner picks it."""
    return size + 16 if size * 4 % 4096 == 0 else size


def packed(
    target: Target, row_sizes: Sequence[DimLike], *shape: int
) -> tuple[Floats, Callable[[SSAValue], SSAValue]]:
    """A weight in packed form, and how a dispatch reads it."""
    panel = panel_width(target, f32, shape[-1], row_sizes)
    rows = int(np.prod(shape[:-1]))
    whole = tensor_type(f32, shape)
    return (
        numbers(1, -(-shape[-1] // panel), rows, panel),
        lambda argument: UnpackOp(argument, whole, panel).result,
    )


def after(
    value: SSAValue, bias: SSAValue, others: Sequence[SSAValue], activation: Any
) -> SSAValue:
    """Bias, residuals and activation."""
    total = AddOp(value, BroadcastOp(bias, dims_of(value)).result).result
    for other in others:
        total = AddOp(total, other).result
    return activation(total).result


def matmul(
    target: Target,
    m: int,
    k: int,
    n: int,
    *,
    residual: bool = False,
    dynamic: bool = False,
    activation: Any = ReluOp,
) -> Case:
    """A product with constant weights."""
    rows = Dim.symbol("M") if dynamic else m
    weights, unpacked = packed(target, [rows], k, n)
    a = Operand(numbers(m, k), [rows, k], [padded(k), 1])
    result = Operand(numbers(m, n), [rows, n], [padded(n), 1])
    others = [result] if residual else []

    def build(x: SSAValue, w: SSAValue, b: SSAValue, *rest: SSAValue) -> SSAValue:
        return after(MatmulOp(x, unpacked(w)).result, b, rest, activation)

    name = f"matmul {m}x{k}x{n}" + " unknown M" * dynamic + " residual" * residual
    operands = [a, Operand(weights), Operand(numbers(n)), *others]
    name += f" {activation.name[3:]}" if activation is not ReluOp else ""
    return Case(name, build, operands, result.strides, 2 * m * k * n, {"M": m})


def convolution(
    target: Target,
    size: int,
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    *,
    residual: bool = False,
) -> Case:
    """A square convolution on an image that is padded already."""
    image = (size - 1) * stride + kernel
    row_sizes = [size * size] if kernel == stride == 1 else [size, size]
    weights, unpacked = packed(target, row_sizes, kernel, kernel, inputs, outputs)

    def pixels(side: int, channels: int) -> Operand:
        step = padded(channels)
        strides = [side * side * step, side * step, step, 1]
        return Operand(numbers(1, side, side, channels), None, strides)

    def build(x: SSAValue, w: SSAValue, b: SSAValue, *rest: SSAValue) -> SSAValue:
        conv = ConvOp(x, unpacked(w), strides=[stride] * 2, layout="channels_last")
        return after(conv.result, b, rest, ReluOp)

    result = pixels(size, outputs)
    others = [result] if residual else []
    operands = [
        pixels(image, inputs),
        Operand(weights),
        Operand(numbers(outputs)),
        *others,
    ]
    name = (
        f"conv {size} {inputs}>{outputs} k{kernel} s{stride}" + " residual" * residual
    )
    flops = 2 * size * size * kernel * kernel * inputs * outputs
    return Case(name, build, operands, result.strides, flops, {})


def attention(heads: int, length: int, depth: int, *, dynamic: bool = False) -> Case:
    """The scores of attention heads: no operand is constant."""
    rows = Dim.symbol("S") if dynamic else length
    q = Operand(numbers(heads, length, depth), [heads, rows, depth])
    k = Operand(numbers(heads, depth, length), [heads, depth, rows])
    name = f"scores {heads}x{length}x{depth}" + " unknown S" * dynamic
    flops = 2 * heads * length * length * depth
    return Case(name, MatmulOp, [q, k], None, flops, {"S": length})


def cases(t: Target) -> list[Case]:
    """ResNet-50, MobileNet, BERT."""
    return [
        convolution(t, 112, 3, 64, 7, 2),
        convolution(t, 56, 64, 64, 1),
        convolution(t, 56, 64, 64, 3),
        convolution(t, 56, 64, 256, 1, residual=True),
        convolution(t, 56, 256, 64, 1),
        convolution(t, 28, 128, 128, 3, 2),
        convolution(t, 28, 256, 512, 1, 2),
        convolution(t, 28, 128, 512, 1, residual=True),
        convolution(t, 28, 512, 128, 1),
        convolution(t, 28, 128, 128, 3),
        convolution(t, 14, 256, 256, 3),
        convolution(t, 14, 256, 1024, 1, residual=True),
        convolution(t, 14, 1024, 256, 1),
        convolution(t, 7, 512, 512, 3),
        convolution(t, 7, 512, 2048, 1, residual=True),
        convolution(t, 7, 2048, 512, 1),
        convolution(t, 112, 3, 32, 3, 2),
        convolution(t, 112, 16, 96, 1),
        convolution(t, 56, 96, 24, 1),
        convolution(t, 56, 24, 144, 1),
        convolution(t, 14, 112, 672, 1),
        matmul(t, 128, 768, 768),
        matmul(t, 128, 768, 3072, activation=ErfOp),
        matmul(t, 128, 3072, 768, residual=True),
        matmul(t, 128, 768, 768, dynamic=True),
        matmul(t, 100, 768, 768, dynamic=True),
        matmul(t, 197, 768, 768, residual=True),
        matmul(t, 1500, 384, 384, residual=True),
        matmul(t, 1500, 1536, 384, residual=True),
        matmul(t, 1, 2048, 1000),
        attention(12, 128, 64),
        attention(12, 128, 64, dynamic=True),
    ]


def peak(target: Target) -> float:
    """GFLOP/s of independent multiply-adds in registers."""
    chains, rounds, width = 12, 200_000, target.lanes(32)
    vector = f"<{width} x float>"
    fma = f"@llvm.fma.v{width}f32"
    lines = [
        f'target triple = "{target.triple}"',
        f"declare {vector} {fma}({vector}, {vector}, {vector})",
        "define void @kernel(ptr %p, i64 %unused, i64 %n) {",
        "entry:",
        f"  %a = load {vector}, ptr %p, align 4",
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [ %n, %entry ], [ %left, %loop ]",
    ]
    lines += [
        f"  %x{c} = phi {vector} [ %a, %entry ], [ %y{c}, %loop ]"
        for c in range(chains)
    ]
    for c in range(chains):
        operands = f"{vector} %x{c}, {vector} %a, {vector} %a"
        lines.append(f"  %y{c} = call {vector} {fma}({operands})")
    lines += [
        "  %left = add i64 %i, -1",
        "  %more = icmp sgt i64 %left, 0",
        "  br i1 %more, label %loop, label %done",
        "done:",
    ]
    for c in range(1, chains):
        before = "%y0" if c == 1 else f"%s{c - 1}"
        lines.append(f"  %s{c} = fadd {vector} {before}, %y{c}")
    lines += [f"  store {vector} %s{chains - 1}, ptr %p, align 4", "  ret void", "}"]
    code = load_object(emit_object("\n".join(lines), target))
    data = np.full(64, 1e-3, np.float32)
    best = best_time(code, [data.ctypes.data], rounds)
    return 2 * width * chains * rounds / best / 1e9


def best_time(code: LoadedCode, tables: Sequence[int], tasks: int) -> float:
    """Seconds of a run, in the fastest round of one run a table."""
    function = KERNEL(code.address("kernel"))
    best, end, runs = float("inf"), time.perf_counter() + SECONDS_A_CASE, 0
    while runs < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        for table in tables:
            function(table, 0, tasks)
        best = min(best, (time.perf_counter() - start) / len(tables))
        runs += 1
    return best


def copies(weights: Floats) -> Sequence[Floats]:
    """Copies of the weights that no cache holds all of, one after the other."""
    count = -(-COLD_BYTES // weights.nbytes)
    whole = aligned(count * weights.size).reshape(count, *weights.shape)
    whole[:] = weights
    return list(whole)


def aligned(size: int) -> Floats:
    """Memory on a multiple of 64 bytes."""
    raw = np.empty(size + 16, np.float32)
    return raw[-raw.ctypes.data % 64 // 4 :][:size]


def memory(operand: Operand, sizes: dict[str, int]) -> Floats:
    """A buffer for an operand, all of it touched."""
    steps = [Dim.of(s).evaluate(sizes) for s in operand.strides or ()]
    shape = operand.array.shape
    if not steps:
        return operand.array.copy()
    span = 1 + sum((n - 1) * s for n, s in zip(shape, steps, strict=True))
    return np.full(span, 1.0, np.float32)


def run(case: Case, target: Target, limit: float, *, is_cold: bool) -> str:
    """Measure one case; gives its line of the table."""
    types = [tensor_type(f32, o.shape) for o in case.operands]
    block = Block(arg_types=types)
    with ImplicitBuilder(block):
        result = SSAValue.get(case.build(*block.args))
        YieldOp(result)
    buffers = [BufferType(f32, o.shape, o.strides) for o in case.operands]
    buffers.append(BufferType(f32, dims_of(result), case.output_strides))
    form = analyze(block)
    start = time.perf_counter()
    made = contraction_kernel(form, buffers, target)
    lowering = time.perf_counter()
    function = made.kernel.func
    ops = sum(1 for _ in function.walk()) - 1
    finalize_kernel(function)
    module = ModuleOp([function])
    convert_module(module, target)
    text = emit_llvm(module, target)
    converting = time.perf_counter()
    code = load_object(emit_object(text, target))
    generating = time.perf_counter()
    places = [memory(o, case.sizes) for o in case.operands]
    places.append(np.ones(buffers[-1].span.evaluate(case.sizes), np.float32))
    dims = [d.evaluate(case.sizes) for d in made.kernel.dims]
    tasks = made.tasks.evaluate(case.sizes)
    weights = copies(places[1]) if is_cold else [places[1]]
    tables = [
        np.array(
            [0, *(p.ctypes.data for p in (places[0], w, *places[2:])), *dims], np.int64
        )
        for w in weights
    ]
    best = best_time(code, [t.ctypes.data for t in tables], tasks)
    rate = case.flops / best / 1e9
    times = (lowering - start, converting - lowering, generating - converting)
    return (
        f"{case.name:36} {best * 1e6:9.1f} us {rate:6.1f} GFLOP/s {rate / limit:5.2f}  "
        f"{made.schedule:20} {ops:4} ops "
        + " ".join(f"{t * 1e3:5.1f}" for t in times)
        + " ms"
    )


def main() -> None:
    """Run all cases, or those whose name contains `--only`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="native")
    parser.add_argument("--only", default="")
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    target = resolve_target(options.target)
    limit = peak(target)
    print(f"{target}: {limit:.1f} GFLOP/s of fused multiply-adds")
    for case in cases(target):
        if options.only in case.name:
            print(run(case, target, limit, is_cold=options.cold), flush=True)


if __name__ == "__main__":
    main()
