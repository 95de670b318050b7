"""The register tile against numpy over shapes, strides, masks and element types."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import BFloat16Type, Float16Type, f32, f64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, SSAValue

from nnc.backend.cross import QemuProgram
from nnc.backend.host import resolve_target
from nnc.dialects import simd
from nnc.lowering.convert_simd_to_llvm.contract import plan_rows
from nnc.testing_kernels import (
    INDEX,
    KernelWriter,
    NativeKernels,
    Slot,
    compile_kernels,
    kernel,
)

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Tile:
    """A contraction: what `simd.contract` gets, and how."""

    mr: int
    nv: int
    k: int
    outer: int = 1
    inner: int = 1
    a_k_stride: int = 1
    masked: bool = False
    init: bool = False
    constant: bool = True
    """Whether strides and trip counts are constants or arguments."""
    type: Attribute = f32

    def kernel(self, name: str, width: int) -> FuncOp:
        """Offsets, strides and trip counts come in as arguments or constants."""
        accumulator = simd.accumulator_type(self.type, 1)
        numbers = self.numbers(width)

        def body(
            w: KernelWriter, a: SSAValue, b: SSAValue, c: SSAValue, *dims: SSAValue
        ) -> None:
            values = [
                w.index(n) if self.constant else d
                for n, d in zip(numbers, dims, strict=True)
            ]
            a_off, b_off, row, k, n_o, s_o, n_i, s_i, ldb, keep = values
            tiles = list(itertools.product(range(self.mr), range(self.nv)))

            def place(i: int, j: int) -> SSAValue:
                return w.index((i * self.nv + j) * width)

            init = (
                [w(simd.LoadOp(c, place(i, j), width)) for i, j in tiles]
                if self.init
                else []
            )
            op = simd.ContractOp(
                a,
                a_off,
                b,
                b_off,
                row_stride=row,
                k=k,
                outer=(n_o, s_o),
                inner=(n_i, s_i),
                b_stride=ldb,
                mr=self.mr,
                nv=self.nv,
                width=width,
                mask=w(simd.MaskOp(keep, width)) if self.masked else None,
                init=init,
                a_k_stride=self.a_k_stride,
            )
            w.do(op)
            for (i, j), result in zip(tiles, op.acc, strict=True):
                w.do(simd.StoreOp(result, c, place(i, j)))

        types = [simd.PtrType(self.type)] * 2 + [simd.PtrType(accumulator)]
        return kernel(name, [*types, *[INDEX] * 10], body)

    def numbers(self, width: int) -> list[int]:
        keep = max(1, width - 1) if self.masked else width
        ldb = (self.nv - 1) * width + keep
        inner_stride = self.k * self.a_k_stride + 1
        outer_stride = self.inner * inner_stride + 2
        row = self.outer * outer_stride + 3
        return [
            *(5, 7, row, self.k, self.outer, outer_stride),
            *(self.inner, inner_stride, ldb, keep),
        ]

    def arrays(self, width: int) -> tuple[Array, Array, Array]:
        """A, B and C, ending exactly where the last element read lies."""
        a_off, b_off, row, k, n_o, s_o, n_i, s_i, ldb, keep = self.numbers(width)
        rng = np.random.default_rng(self.mr * 100 + k)
        last = (self.mr - 1) * row + (n_o - 1) * s_o + (n_i - 1) * s_i
        a_size = a_off + max(0, last + (k - 1) * self.a_k_stride) + 1
        steps = n_o * n_i * k
        b_size = b_off + max(0, steps - 1) * ldb + (self.nv - 1) * width + keep
        a, b = rng.integers(-8, 8, a_size), rng.integers(-8, 8, b_size)
        c = rng.integers(-8, 8, (self.mr, self.nv, width))
        wide = np.float64 if self.type == f64 else np.float32
        return self._stored(a), self._stored(b), c.astype(wide)

    def _stored(self, x: npt.NDArray[np.int64]) -> Array:
        if self.type == BFloat16Type():
            return (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        if self.type == Float16Type():
            return x.astype(np.float16)
        return x.astype(np.float64 if self.type == f64 else np.float32)

    def _values(self, x: Array) -> npt.NDArray[np.float64]:
        if self.type == BFloat16Type():
            return (x.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        return x.astype(np.float64)

    def expected(self, arrays: Sequence[Array], width: int) -> Array:
        """Exact, because all numbers are small integers."""
        a_off, b_off, row, k, n_o, s_o, n_i, s_i, ldb, keep = self.numbers(width)
        a, b = self._values(arrays[0]), self._values(arrays[1])
        result = arrays[2].astype(np.float64) * self.init
        columns = (self.nv - 1) * width + keep
        for step, (o, p, q) in enumerate(
            itertools.product(range(n_o), range(n_i), range(k))
        ):
            line = np.zeros(self.nv * width)
            start = b_off + step * ldb
            line[:columns] = b[start : start + columns]
            for i in range(self.mr):
                at = a_off + i * row + o * s_o + p * s_i + q * self.a_k_stride
                result[i] += a[at] * line.reshape(self.nv, width)
        return result


TILES = [
    Tile(1, 1, 1),
    Tile(1, 1, 0, init=True),
    Tile(1, 2, 5, constant=False),
    Tile(2, 1, 7, constant=False),
    Tile(3, 2, 4, masked=True),
    Tile(4, 1, 9, outer=3, constant=False),
    Tile(5, 1, 3, outer=2, inner=3, a_k_stride=2),
    Tile(6, 2, 16, inner=2, init=True, masked=True, constant=False),
    Tile(7, 2, 8, outer=3, inner=3, constant=False),
    Tile(8, 1, 0, constant=False),
    Tile(12, 2, 6, constant=False, init=True),
    Tile(14, 2, 33),
    Tile(14, 2, 33, constant=False),
    Tile(14, 2, 5, outer=2, masked=True, constant=False),
    Tile(16, 1, 4, constant=False),
    Tile(20, 1, 4, constant=False),
    Tile(3, 2, 5, type=Float16Type(), constant=False, masked=True),
    Tile(4, 2, 6, type=BFloat16Type(), init=True),
    Tile(5, 1, 6, type=f64, constant=False, masked=True),
]
CONFIGS = ["generic:1", "generic:4", "avx2:8", "avx512:16", "native:8", "neon:4"]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(config, marks=pytest.mark.isa(config.partition(":")[0]))
        for config in CONFIGS
    ],
)
def test_contract_matches_numpy(config: str) -> None:
    name, _, lanes = config.partition(":")
    target, width = resolve_target(name), int(lanes)
    symbols = [f"tile{i}" for i in range(len(TILES))]
    code = compile_kernels(
        [t.kernel(s, width) for t, s in zip(TILES, symbols, strict=True)], target
    )
    foreign = target.arch == "aarch64"
    with QemuProgram(code, symbols) if foreign else NativeKernels(code) as kernels:
        for tile, symbol in zip(TILES, symbols, strict=True):
            arrays = tile.arrays(width)
            slots: list[Slot] = [*arrays, *tile.numbers(width)]
            *_, actual = kernels.run(symbol, slots)
            np.testing.assert_array_equal(
                actual, tile.expected(arrays, width), err_msg=f"{config} {tile}"
            )


@pytest.mark.parametrize("rows", range(1, 33))
def test_plan_rows_reaches_every_row(rows: int) -> None:
    bases, steps, addresses = plan_rows(rows)
    assert [bases[a.base] + a.scale * a.step for a in addresses] == list(range(rows))
    assert all(a.scale in (0, 1, 2, 4, 8) for a in addresses)
    assert {a.step for a in addresses if a.scale} == set(steps)


def test_plan_rows_needs_five_registers_for_fourteen_rows() -> None:
    bases, steps, _ = plan_rows(14)
    assert len(bases) + len(steps) == 5


def test_contract_in_a_loop_keeps_its_state_apart() -> None:
    """Two tiles in one loop body, the second starting from the first one's result."""

    def body(
        w: KernelWriter, a: SSAValue, b: SSAValue, c: SSAValue, n: SSAValue
    ) -> None:
        def step(w: KernelWriter, i: SSAValue) -> None:
            zero, one, four = w.index(0), w.index(1), w.index(4)

            def tile(init: Sequence[SSAValue]) -> SSAValue:
                return w(
                    simd.ContractOp(
                        a,
                        w(arith.MuliOp(i, four)),
                        b,
                        zero,
                        row_stride=zero,
                        k=four,
                        outer=(one, zero),
                        inner=(one, zero),
                        b_stride=four,
                        mr=1,
                        nv=1,
                        width=4,
                        init=init,
                    )
                )

            total = tile([tile([])])
            w.do(simd.StoreOp(total, c, w(arith.MuliOp(i, four))))

        w.loop(w.index(0), n, 1, step)

    function = kernel("k", [simd.PtrType(f32)] * 3 + [INDEX], body)
    rng = np.random.default_rng(0)
    a = rng.integers(-5, 5, (6, 4)).astype(np.float32)
    b = rng.integers(-5, 5, (4, 4)).astype(np.float32)
    kernels = NativeKernels(compile_kernels([function], resolve_target("generic")))
    *_, actual = kernels.run("k", [a, b, np.zeros((6, 4), np.float32), 6])
    np.testing.assert_array_equal(actual, 2 * a @ b)
