"""
The register tile: accumulators in phis over the loops outer, inner and k.

    for o < n_o:                      # kernel rows of a convolution
      for p < n_i:                    # kernel columns
        for k < K:                    # channels
          B[j]   = load ...           # nv vectors
          A[i]   = splat(load ...)    # one scalar a row
          acc[i][j] += A[i] * B[j]

A moves with k by one pointer; row i is at a constant offset from it where the row
stride is constant. Where it is not, x86 reaches rows from few base pointers through
its scaled addressing modes, and AArch64 keeps one pointer a row. B is one stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import IntegerType
from xdsl.ir import Attribute, Operation, SSAValue

from nnc.dialects import simd
from nnc.dialects.simd.types import storage_bytes
from nnc.lowering.convert_simd_to_llvm import casts, memory
from nnc.lowering.convert_simd_to_llvm.builder import (
    Builder,
    int_value,
    like,
    llvm_type,
)
from nnc.lowering.convert_simd_to_llvm.lowering import Converter, KernelLowering

State = list[SSAValue]
"""What the loops carry: A pointers, the B pointer, where to prefetch (if anywhere),
then the accumulators."""


@dataclass(frozen=True)
class RowAddress:
    """Row i as base pointer `base` plus `scale` times multiple `step` of the stride."""

    base: int
    scale: int
    step: int


def plan_rows(rows: int) -> tuple[tuple[int, ...], tuple[int, ...], list[RowAddress]]:
    """
    Bases (in rows), stride multiples kept in registers, and the way to each row.

    x86 addresses `base + scale * register` with scale 1, 2, 4 or 8, so two bases and
    the multiples 1, 3 and 5 of the stride reach 14 rows.
    """
    steps = (1, 3, 5) if rows > 3 else (1,)
    reach = {0: (0, 0)} | {
        scale * step: (scale, step)
        for step in reversed(steps)
        for scale in (8, 4, 2, 1)
    }
    bases: list[int] = []
    addresses: list[RowAddress | None] = [None] * rows
    while None in addresses:
        base = addresses.index(None)
        bases.append(base)
        for distance, (scale, step) in reach.items():
            row = base + distance
            if row < rows and addresses[row] is None:
                addresses[row] = RowAddress(len(bases) - 1, scale, step)
    used = {a.step for a in addresses if a is not None and a.scale}
    return tuple(bases), tuple(sorted(used)), [a for a in addresses if a is not None]


class Rows:
    """Where the rows of A are, relative to pointers that move with the loops."""

    pointers: State

    def __init__(
        self,
        b: Builder,
        start: SSAValue,
        stride: SSAValue,
        rows: int,
        element: Attribute,
    ) -> None:
        self._b = b
        self._element = element
        self._constant = int_value(stride)
        self._rows = rows
        size = storage_bytes(element)
        self._addresses: list[RowAddress] = []
        self._multiples: dict[int, SSAValue] = {}
        if self._constant is not None or rows == 1:
            bases: tuple[int, ...] = (0,)
            self._constant = self._constant or 0
        elif b.target.arch == "aarch64":
            bases = tuple(range(rows))
            self._addresses = [RowAddress(i, 0, 0) for i in range(rows)]
        else:
            bases, steps, self._addresses = plan_rows(rows)
            in_bytes = b.index_mul(stride, b.i64(size))
            self._multiples = {
                step: b.index_mul(in_bytes, b.i64(step)) for step in steps
            }
        self.pointers = [
            b.gep(start, b.index_mul(stride, b.i64(base)), element) for base in bases
        ]

    def address(self, pointers: Sequence[SSAValue], row: int) -> SSAValue:
        """The address of a row's element, given the pointers' current values."""
        b = self._b
        if self._constant is not None:
            return b.gep(pointers[0], row * self._constant, self._element)
        place = self._addresses[row]
        base = pointers[place.base]
        if place.scale == 0:
            return base
        # The element type of the getelementptr is the scale of the addressing mode.
        unit = {1: 8, 2: 16, 4: 32, 8: 64}[place.scale]
        return b.gep(base, self._multiples[place.step], IntegerType(unit))


@dataclass
class Tile:
    """One contract op under lowering."""

    b: Builder
    mr: int
    nv: int
    width: int
    element: Attribute
    """Element type of A and B in the kernel."""
    raw: Attribute
    """The same in memory."""
    accumulator: Attribute
    a_k_stride: int
    rows: Rows
    b_stride: SSAValue
    mask: SSAValue | None
    ahead_stride: SSAValue | None
    """From one step to the next, where B is prefetched."""

    @property
    def pointers(self) -> int:
        """How many pointers the loops carry."""
        return len(self.rows.pointers) + 1 + (self.ahead_stride is not None)

    def _load_b(self, pointer: SSAValue, column: int) -> SSAValue:
        b = self.b
        address = b.gep(pointer, column * self.width, self.raw)
        kernel_type = like(self.accumulator, self.element)
        vector = llvm_type(kernel_type)
        raw_type = memory.memory_type(vector)
        if self.mask is not None and column == self.nv - 1:
            raw = memory.masked_load(b, address, raw_type, self.mask)
        else:
            raw = b.load(address, raw_type, storage_bytes(raw_type))
        return self._widen(b.bitcast(raw, vector), kernel_type)

    def _load_a(self, pointers: Sequence[SSAValue], row: int) -> SSAValue:
        b = self.b
        type = llvm_type(self.element)
        address = self.rows.address(pointers, row)
        scalar = b.load(address, self.raw, storage_bytes(self.raw))
        scalar = self._widen(b.bitcast(scalar, type), self.element)
        return b.splat(scalar, self.width)

    def _widen(self, value: SSAValue, type: Attribute) -> SSAValue:
        if casts.is_half(type):
            return casts.half_to_f32(self.b, value, type)
        return value

    def step(self, state: State) -> State:
        """One k: nv vectors of B, and per row one element of A and nv fma."""
        b, n = self.b, len(self.rows.pointers)
        pointers, b_pointer = state[:n], state[n]
        ahead, acc = state[n + 1 : self.pointers], state[self.pointers :]
        columns = [self._load_b(b_pointer, j) for j in range(self.nv)]
        new: State = []
        for i in range(self.mr):
            a = self._load_a(pointers, i)
            new += [b.fma(a, columns[j], acc[i * self.nv + j]) for j in range(self.nv)]
        moved = [b.gep(p, self.a_k_stride, self.raw) for p in pointers]
        moved.append(b.gep(b_pointer, self.b_stride, self.raw))
        for p in ahead:
            assert self.ahead_stride is not None
            b.prefetch(p, memory.NEAREST)
            moved.append(b.gep(p, self.ahead_stride, self.raw, is_inside=False))
        return [*moved, *new]


def counted_loop(
    b: Builder, trips: SSAValue, state: State, body: Callable[[State], State]
) -> State:
    """Run `body` on the state `trips` times; no loop for constants 0 and 1."""
    known = int_value(trips)
    if known is not None and known <= 0:
        return state
    if known == 1:
        return body(state)
    loop = b.new_block([trips.type, *(v.type for v in state)])
    done = b.new_block([v.type for v in state])
    if known is None:
        b.cond_br(b.icmp("sgt", trips, b.i64(0)), loop, (trips, *state), done, state)
    else:
        b.br(loop, (trips, *state))
    b.enter(loop)
    result = body(list(loop.args[1:]))
    left = b.index_add(loop.args[0], b.i64(-1))
    b.cond_br(b.icmp("sgt", left, b.i64(0)), loop, (left, *result), done, result)
    b.enter(done)
    return list(done.args)


def strided_loop(
    b: Builder,
    trips: SSAValue,
    stride: SSAValue,
    pointers: int,
    element: Attribute,
    state: State,
    body: Callable[[State], State],
) -> State:
    """A loop whose first `pointers` values restart `stride` elements further."""

    def one(state: State) -> State:
        inside = body(state)
        moved = [b.gep(p, stride, element) for p in state[:pointers]]
        return [*moved, *inside[pointers:]]

    return counted_loop(b, trips, state, one)


def convert_contract(lw: KernelLowering, op: simd.ContractOp) -> None:
    """The whole tile."""
    b = lw.b
    assert isinstance(op.a.type, simd.PtrType)
    element = op.a.type.element_type
    raw = memory.memory_type(llvm_type(element))
    mr, nv = op.mr.value.data, op.nv.value.data
    accumulator = lw.type_of(op.acc[0])
    a_start = b.gep(lw.value(op.a), lw.value(op.a_offset), raw)
    b_start = b.gep(lw.value(op.b), lw.value(op.b_offset), raw)
    rows = Rows(b, a_start, lw.value(op.row_stride), mr, raw)
    tile = Tile(
        b=b,
        mr=mr,
        nv=nv,
        width=op.lanes,
        element=element,
        raw=raw,
        accumulator=accumulator,
        a_k_stride=op.a_k_stride.value.data,
        rows=rows,
        b_stride=lw.value(op.b_stride),
        mask=lw.value(op.mask) if op.mask is not None else None,
        ahead_stride=lw.value(op.ahead_stride) if op.ahead_stride else None,
    )
    initial = lw.values(op.init) or [b.constant(0.0, accumulator)] * (mr * nv)
    n = len(rows.pointers)
    k, n_outer, n_inner = lw.values((op.k, op.n_outer, op.n_inner))
    outer_stride, inner_stride = lw.values((op.a_outer_stride, op.a_inner_stride))

    def over_k(state: State) -> State:
        return counted_loop(b, k, state, tile.step)

    def over_inner(state: State) -> State:
        return strided_loop(b, n_inner, inner_stride, n, raw, state, over_k)

    ahead: State = []
    if op.ahead is not None:
        ahead = [b.gep(b_start, lw.value(op.ahead), raw, is_inside=False)]
    state = [*rows.pointers, b_start, *ahead, *initial]
    state = strided_loop(b, n_outer, outer_stride, n, raw, state, over_inner)
    for old, new in zip(op.acc, state[tile.pointers :], strict=True):
        lw.define(old, new)


CONVERTERS: dict[type[Operation], Converter] = {simd.ContractOp: convert_contract}
