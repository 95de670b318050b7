"""
Building one kernel: scopes, loops, index arithmetic, memory access.

Ops are appended to blocks directly. Every value remembers the depth of the scope it was
made in, and what depends on outer values only is appended to the outer scope: a loop op
is attached to its parent when its body is complete, hence what was added to the parent
in the meantime precedes it. So invariant arithmetic, addresses and loads leave loops by
construction, and no later pass has to move them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from xdsl.dialects import arith, func, scf
from xdsl.dialects.builtin import (
    FunctionType,
    IndexType,
    IntegerAttr,
    UnitAttr,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from nnc.dialects import simd
from nnc.dialects.rt.types import BufferType
from nnc.dialects.simd.base import width_attr
from nnc.dialects.simd.types import element_type_of, width_of
from nnc.lowering.lower_dispatches.index import (
    Index,
    IndexLike,
    ValueVar,
    Var,
    is_below,
    is_nonnegative,
    quotient_extent,
    simplified,
    split,
)
from nnc.symbolic import Dim, DimLike, dim_max, dim_min
from nnc.target import Target

INDEX = IndexType()
_MAY_OVERFLOW = {"overflowFlags": arith.IntegerOverflowAttr("none")}
Predicate = Literal["eq", "ne", "slt", "sle", "sgt", "sge"]
_PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge")
_FOLDED: dict[Predicate, Callable[[int, int], bool]] = {
    "eq": int.__eq__,
    "ne": int.__ne__,
    "slt": int.__lt__,
    "sle": int.__le__,
    "sgt": int.__gt__,
    "sge": int.__ge__,
}


@dataclass(frozen=True)
class BufferArg:
    """A buffer that a kernel reads or writes: where it begins, and its shape."""

    ptr: SSAValue
    element_type: Attribute
    dims: tuple[DimLike, ...]
    strides: tuple[DimLike, ...]

    def index(self, indices: Sequence[IndexLike]) -> Index:
        """The distance in elements of the element at `indices`."""
        total = Index({}, 0)
        for index, stride in zip(indices, self.strides, strict=True):
            total = total + Index.of(index) * stride
        return total


@dataclass(eq=False)
class Scope:
    """A block under construction; `cache` holds values that are known to be in it."""

    block: Block
    is_guarded: bool = False
    cache: dict[Hashable, SSAValue] = field(default_factory=dict[Hashable, SSAValue])


@dataclass(frozen=True)
class Kernel:
    """A finished kernel: its function and the dims that a launch has to pass."""

    func: func.FuncOp
    dims: tuple[Dim, ...]


class KernelBuilder:
    """
    Builds the function of one kernel.

    The function's arguments are the run state (only if `state` was asked for), a
    pointer a buffer, one index a dim in use, and the range of tasks.
    """

    def __init__(self, target: Target, buffers: Sequence[BufferType]) -> None:
        self.target = target
        types = [simd.PtrType(b.element_type) for b in buffers]
        entry = Block(arg_types=[*types, INDEX, INDEX])
        self._scopes: list[Scope] = [Scope(entry)]
        self._depths: dict[SSAValue, int] = {}
        self._dims: dict[Dim, SSAValue] = {}
        self._variables: dict[SSAValue, ValueVar] = {}
        self._state: SSAValue | None = None
        self.buffers: list[BufferArg] = [
            BufferArg(
                ptr,
                b.element_type,
                tuple(map(simplified, b.dims)),
                tuple(map(simplified, b.stride_dims)),
            )
            for ptr, b in zip(entry.args, buffers, strict=False)
        ]
        begin, end = entry.args[-2:]
        self.begin = Index.var(ValueVar(is_nonnegative=True, value=begin))
        self.end = Index.var(ValueVar(is_nonnegative=True, value=end))

    # -- scopes ---------------------------------------------------------------

    @property
    def depth(self) -> int:
        """How many scopes enclose the point of insertion."""
        return len(self._scopes) - 1

    @property
    def state(self) -> SSAValue:
        """The run state; asking for it makes it an argument of the kernel."""
        if self._state is None:
            entry = self._scopes[0].block
            self._state = entry.insert_arg(simd.PtrType(i64), 0)
        return self._state

    def depth_of(self, *values: SSAValue) -> int:
        """The deepest scope that one of `values` was made in."""
        depths = self._depths
        return max((depths.get(v, 0) for v in values), default=0)

    def add(self, op: Operation, depth: int | None = None) -> SSAValue:
        """
        Append `op` to the scope at `depth`, by default the innermost one.

        Returns its first result, or for ops without results anything.
        """
        if depth is None:
            depth = self.depth
        self._scopes[depth].block.add_op(op)
        results = op.results
        if depth:
            for result in results:
                self._depths[result] = depth
        return results[0] if results else self._scopes[0].block.args[0]

    def pure(self, op: Operation) -> SSAValue:
        """Append a pure `op` to the outermost scope that has all of its operands."""
        return self.add(op, self.depth_of(*op.operands))

    def cached(
        self, key: Hashable, depth: int, make: Callable[[], Operation]
    ) -> SSAValue:
        """The value that was made for `key` in the scope at `depth`, or a new one."""
        cache = self._scopes[depth].cache
        value = cache.get(key)
        if value is None:
            value = self.add(make(), depth)
            cache[key] = value
        return value

    def recall(self, key: Hashable) -> SSAValue | None:
        """A value kept under `key` in one of the open scopes."""
        for scope in reversed(self._scopes):
            if (value := scope.cache.get(key)) is not None:
                return value
        return None

    def keep(self, key: Hashable, value: SSAValue, *others: SSAValue) -> SSAValue:
        """Keep `value` under `key` for as long as it and `others` can be used."""
        self._scopes[self.depth_of(value, *others)].cache[key] = value
        return value

    def _push(self, block: Block, *, is_guarded: bool = False) -> None:
        self._scopes.append(Scope(block, is_guarded))
        for arg in block.args:
            self._depths[arg] = self.depth

    def _pop(self, results: Sequence[SSAValue] = ()) -> Block:
        block = self._scopes.pop().block
        block.add_op(scf.YieldOp(*results))
        return block

    # -- control --------------------------------------------------------------

    @contextmanager
    def loop(
        self,
        lower: IndexLike,
        upper: IndexLike,
        step: IndexLike = 1,
        extent: DimLike | None = None,
    ) -> Generator[Index]:
        """
        A loop; gives its counter. One iteration needs no loop.

        `extent` bounds the counter where `upper` is not a dim.
        """
        trips = _trip_count(lower, upper, step)
        if trips == 1:
            yield Index.of(lower)
            return
        bounds = (self.value(lower), self.value(upper), self.value(step))
        block = Block(arg_types=[INDEX])
        self._push(block)
        yield self._counter(block, lower, upper if extent is None else extent)
        self._pop()
        if trips != 0:
            self.add(scf.ForOp(*bounds, [], block))

    def fold(
        self,
        lower: IndexLike,
        upper: IndexLike,
        step: IndexLike,
        initial: Sequence[SSAValue],
        body: Callable[[Index, list[SSAValue]], Sequence[SSAValue]],
        extent: DimLike | None = None,
    ) -> list[SSAValue]:
        """
        A loop that carries values: `body(counter, values)` gives the next ones.

        `extent` bounds the counter where `upper` is not a dim.
        """
        trips = _trip_count(lower, upper, step)
        if trips == 0:
            return list(initial)
        if trips == 1:
            return list(body(Index.of(lower), list(initial)))
        bounds = (self.value(lower), self.value(upper), self.value(step))
        block = Block(arg_types=[INDEX, *(v.type for v in initial)])
        self._push(block)
        until = upper if extent is None else extent
        results = body(self._counter(block, lower, until), list(block.args[1:]))
        self._pop(results)
        loop = scf.ForOp(*bounds, list(initial), block)
        self.add(loop)
        return list(loop.results)

    def _counter(self, block: Block, lower: IndexLike, upper: IndexLike) -> Index:
        extent = Index.of(upper).dim
        nonnegative = is_nonnegative(Index.of(lower))
        return self._variable(block.args[0], extent, nonnegative)

    @contextmanager
    def when(self, condition: SSAValue | bool) -> Generator[None]:
        """Ops that run only if the condition holds; loads stay inside."""
        if condition is True:
            yield
            return
        self._push(Block(), is_guarded=True)
        yield
        block = self._pop()
        if condition is not False:
            self.add(scf.IfOp(condition, [], Region(block)))

    def choose(
        self,
        condition: SSAValue | bool,
        then: Callable[[], Sequence[SSAValue]],
        otherwise: Callable[[], Sequence[SSAValue]],
    ) -> list[SSAValue]:
        """The values that one of two branches gives."""
        if isinstance(condition, bool):
            return list(then() if condition else otherwise())
        regions: list[Region] = []
        types: list[Attribute] = []
        for branch in (then, otherwise):
            self._push(Block(), is_guarded=True)
            results = branch()
            types = [r.type for r in results]
            regions.append(Region(self._pop(results)))
        op = scf.IfOp(condition, types, regions[0], regions[1])
        self.add(op)
        return list(op.results)

    # -- index arithmetic -----------------------------------------------------

    def value(self, index: IndexLike | SSAValue) -> SSAValue:
        """The index as an SSA value, made in the outermost scopes that allow it."""
        if isinstance(index, SSAValue):
            return index
        if not isinstance(index, Index):
            return self._dim(index)
        if not index.terms:
            return self._dim(index.offset)
        total = None if index.offset == 0 else self._dim(index.offset)
        prefix: list[tuple[Var, DimLike]] = []
        key: Hashable = index.offset
        for var, coefficient in index.by_depth():
            prefix.append((var, coefficient))
            key = (key, var, coefficient)
            known = self._scopes[var.depth].cache.get(("index", key))
            if known is None:
                product = self._scaled(var, coefficient)
                if total is None:
                    known = product
                else:
                    known = self.add(_index_op(arith.AddiOp, total, product), var.depth)
                self._scopes[var.depth].cache["index", key] = known
            total = known
        assert total is not None
        return total

    def _scaled(self, var: Var, coefficient: DimLike) -> SSAValue:
        assert isinstance(var, ValueVar), "an axis has no value in this kernel"
        value = var.value
        if coefficient == 1:
            return value
        return self.cached(
            ("scaled", var, coefficient),
            var.depth,
            lambda: _index_op(arith.MuliOp, value, self._dim(coefficient)),
        )

    def _dim(self, dim: DimLike) -> SSAValue:
        dim = simplified(dim)
        if isinstance(dim, int):
            number = dim
            return self.cached(("int", number), 0, lambda: _index_constant(number))
        if dim not in self._dims:
            entry = self._scopes[0].block
            self._dims[dim] = entry.insert_arg(INDEX, len(entry.args) - 2)
        return self._dims[dim]

    def opaque(
        self,
        value: SSAValue,
        extent: DimLike | None = None,
        *,
        nonnegative: bool = False,
    ) -> Index:
        """A computed value of type index as a variable of index expressions."""
        return self._variable(value, extent, nonnegative)

    def _binary(
        self,
        op: type[Operation],
        lhs: IndexLike,
        rhs: IndexLike,
        extent: DimLike | None = None,
        *,
        nonnegative: bool = False,
    ) -> Index:
        a, b = self.value(lhs), self.value(rhs)
        depth = self.depth_of(a, b)
        key = (op, a, b)
        cache = self._scopes[depth].cache
        value = cache.get(key)
        if value is None:
            value = self.add(op.create(operands=(a, b), result_types=(INDEX,)), depth)
            cache[key] = value
        # One variable a value, so that equal expressions stay equal.
        return self._variable(value, extent, nonnegative)

    def _variable(
        self, value: SSAValue, extent: DimLike | None, nonnegative: bool
    ) -> Index:
        if value not in self._variables:
            self._variables[value] = ValueVar(
                self.depth_of(value), extent, nonnegative, value=value
            )
        return Index.var(self._variables[value])

    def floordiv(self, index: IndexLike, divisor: DimLike) -> Index:
        """`index / divisor` rounded down; the divisor is positive."""
        return self.divmod(index, divisor, wants=(True, False))[0]

    def mod(self, index: IndexLike, divisor: DimLike) -> Index:
        """The rest of `floordiv`."""
        return self.divmod(index, divisor, wants=(False, True))[1]

    def divmod(
        self,
        index: IndexLike,
        divisor: DimLike,
        wants: tuple[bool, bool] = (True, True),
    ) -> tuple[Index, Index]:
        """Quotient and rest; terms that the divisor divides need no division."""
        divisor = simplified(divisor)
        quotient, rest = split(Index.of(index), divisor)
        is_positive = is_nonnegative(rest)
        if rest.dim == 0 or (is_positive and is_below(rest, divisor)):
            return quotient, rest
        if isinstance(divisor, Dim):
            # A size of 0 means that nothing is computed, but must not trap either.
            divisor = simplified(dim_max(divisor, 1))
        results = [Index({}, 0), Index({}, 0)]
        if wants[0] or not is_positive:
            op = arith.DivSIOp if is_positive else arith.FloorDivSIOp
            extent = quotient_extent(rest, divisor) if is_positive else None
            results[0] = self._binary(
                op, rest, divisor, extent, nonnegative=is_positive
            )
        if wants[1] and is_positive:
            results[1] = self._binary(
                arith.RemSIOp, rest, divisor, divisor, nonnegative=True
            )
        elif wants[1]:
            value = self.value(rest - results[0] * divisor)
            results[1] = self._variable(value, divisor, nonnegative=True)
        return quotient + results[0], results[1]

    def minimum(self, a: IndexLike, b: IndexLike) -> Index:
        """The smaller of two indices."""
        a, b = Index.of(a), Index.of(b)
        if a.dim is not None and b.dim is not None:
            return Index.of(dim_min(a.dim, b.dim))
        if is_nonnegative(b - a):
            return a
        if is_nonnegative(a - b):
            return b
        nonnegative = is_nonnegative(a) and is_nonnegative(b)
        return self._binary(arith.MinSIOp, a, b, nonnegative=nonnegative)

    def maximum(self, a: IndexLike, b: IndexLike) -> Index:
        """The larger of two indices."""
        a, b = Index.of(a), Index.of(b)
        if a.dim is not None and b.dim is not None:
            return Index.of(dim_max(a.dim, b.dim))
        if is_nonnegative(b - a):
            return b
        if is_nonnegative(a - b):
            return a
        nonnegative = is_nonnegative(a) or is_nonnegative(b)
        return self._binary(arith.MaxSIOp, a, b, nonnegative=nonnegative)

    def compare(
        self, predicate: Predicate, a: IndexLike, b: IndexLike
    ) -> SSAValue | bool:
        """Whether `a predicate b`: a bool if that is known, else an i1."""
        a, b = Index.of(a), Index.of(b)
        difference = (a - b).dim
        if isinstance(difference, int):
            return _FOLDED[predicate](difference, 0)
        if predicate == "slt" and is_below(a - b, 0):
            return True
        if predicate == "sge" and is_nonnegative(a - b):
            return True
        lhs, rhs = self.value(a), self.value(b)
        return self.cached(
            ("cmp", predicate, lhs, rhs),
            self.depth_of(lhs, rhs),
            lambda: arith.CmpiOp(lhs, rhs, _PREDICATES.index(predicate)),
        )

    def both(self, a: SSAValue | bool, b: SSAValue | bool) -> SSAValue | bool:
        """The conjunction of two conditions."""
        if isinstance(a, bool):
            return b if a else False
        if isinstance(b, bool):
            return a if b else False
        return self.pure(arith.AndIOp(a, b))

    def select(self, condition: SSAValue | bool, a: IndexLike, b: IndexLike) -> Index:
        """`a` if the condition holds, else `b`."""
        if isinstance(condition, bool):
            return Index.of(a if condition else b)
        op = arith.SelectOp(condition, self.value(a), self.value(b))
        return self.opaque(self.pure(op))

    # -- data -----------------------------------------------------------------

    def constant(
        self, number: float, element_type: Attribute, width: int = 1
    ) -> SSAValue:
        """A number in every lane."""
        key = ("constant", repr(number), element_type, width)
        return self.cached(key, 0, lambda: simd.ConstantOp(number, element_type, width))

    def splat(self, value: SSAValue, width: int) -> SSAValue:
        """`value` in every lane, unless it has `width` lanes already."""
        if width_of(value.type) == width:
            return value
        depth = self.depth_of(value)
        owner = value.owner
        if isinstance(owner, simd.ConstantOp):
            return self.constant(
                owner.value.value.data, element_type_of(value.type), width
            )
        return self.cached(
            ("splat", value, width), depth, lambda: simd.BroadcastOp(value, width)
        )

    def mask(self, count: IndexLike, width: int) -> SSAValue:
        """The mask of the first `count` lanes."""
        value = self.value(count)
        return self.cached(
            ("mask", value, width),
            self.depth_of(value),
            lambda: simd.MaskOp(value, width),
        )

    def address(self, ptr: SSAValue, index: IndexLike) -> tuple[SSAValue, SSAValue]:
        """
        A pointer and an index that together denote `ptr[index]`.

        What changes in outer scopes only is in the pointer, the rest in the index.
        """
        index = Index.of(index)
        if not index.terms:
            # One pointer serves neighbours at constant distances.
            fixed = index.offset if isinstance(index.offset, int) else 0
            return self._moved(ptr, index + -fixed), self._dim(fixed)
        inner = max(v.depth for v in index.terms)
        deepest = {v: c for v, c in index.terms.items() if v.depth == inner}
        outer = {v: c for v, c in index.terms.items() if v.depth != inner}
        fixed = index.offset if isinstance(index.offset, int) else 0
        if not outer:
            ptr = self._moved(ptr, Index({}, simplified(index.offset - fixed)))
        for depth in sorted({v.depth for v in outer}):
            part = Index({v: c for v, c in outer.items() if v.depth == depth})
            if index.offset != fixed:
                part, index = part + index.offset, Index(index.terms, fixed)
            ptr = self._moved(ptr, part)
        if fixed == 0:
            return ptr, self.value(Index(deepest))
        return self._moved(ptr, Index(deepest)), self._dim(fixed)

    def _moved(self, ptr: SSAValue, distance: Index) -> SSAValue:
        if not distance.terms and distance.offset == 0:
            return ptr
        offset = self.value(distance)
        return self.cached(
            ("moved", ptr, offset),
            self.depth_of(ptr, offset),
            lambda: simd.PtrAddOp.create(
                operands=(ptr, offset), result_types=(ptr.type,)
            ),
        )

    def load(
        self,
        ptr: SSAValue,
        index: IndexLike,
        width: int = 1,
        mask: SSAValue | None = None,
    ) -> SSAValue:
        """Read neighbouring elements, here and now."""
        return self.add(_load_op(*self.address(ptr, index), width, mask))

    def load_invariant(
        self,
        ptr: SSAValue,
        index: IndexLike,
        width: int = 1,
        mask: SSAValue | None = None,
    ) -> SSAValue:
        """
        Read elements that the kernel does not write, once for the scope they vary in.

        The load stays inside of the guards and of the outermost loop around it.
        """
        base, offset = self.address(ptr, index)
        operands = (base, offset) if mask is None else (base, offset, mask)
        depth = max(self.depth_of(*operands), self._load_depth())
        return self.cached(
            ("load", base, offset, width, mask),
            depth,
            lambda: _load_op(base, offset, width, mask),
        )

    def _load_depth(self) -> int:
        """The outermost scope that a load may be moved to."""
        for depth in range(self.depth, 0, -1):
            if self._scopes[depth].is_guarded:
                return depth
        return min(1, self.depth)

    def load_strided(
        self,
        ptr: SSAValue,
        index: IndexLike,
        stride: DimLike,
        width: int,
        mask: SSAValue | None = None,
    ) -> SSAValue:
        """Read elements `stride` apart."""
        base, offset = self.address(ptr, index)
        return self.add(
            simd.LoadStridedOp(base, offset, self.value(stride), width, mask)
        )

    def store(
        self,
        value: SSAValue,
        ptr: SSAValue,
        index: IndexLike,
        mask: SSAValue | None = None,
    ) -> None:
        """Write neighbouring elements."""
        operands = (value, *self.address(ptr, index))
        self.add(
            simd.StoreOp.create(
                operands=operands if mask is None else (*operands, mask),
                properties={"width": width_attr(width_of(value.type))},
            )
        )

    def store_strided(
        self,
        value: SSAValue,
        ptr: SSAValue,
        index: IndexLike,
        stride: DimLike,
        mask: SSAValue | None = None,
    ) -> None:
        """Write elements `stride` apart."""
        base, offset = self.address(ptr, index)
        self.add(simd.StoreStridedOp(value, base, offset, self.value(stride), mask))

    def prefetch(self, ptr: SSAValue, index: IndexLike, ahead: int) -> None:
        """Ask for the cache line `ahead` bytes after an element."""
        self.add(simd.PrefetchOp(*self.address(ptr, index), ahead))

    def to_data(self, index: IndexLike, element_type: Attribute) -> SSAValue:
        """An index as a number of `element_type`."""
        index = Index.of(index)
        if isinstance(index.dim, int):
            return self.constant(index.dim, element_type)
        return self.pure(simd.CastOp(self.value(index), element_type))

    def to_index(self, value: SSAValue) -> Index:
        """An integer scalar as an index."""
        if value.type == INDEX:
            return self.opaque(value)
        return self.opaque(self.pure(simd.CastOp(value, INDEX)))

    def raise_if(self, condition: SSAValue, code: int, site: int = 0) -> None:
        """Record an error of this run if an i1 holds."""
        depth = max(self.depth_of(condition), self._load_depth())
        self.add(simd.RaiseOp(self.state, condition, code, site), depth)

    # -- the end --------------------------------------------------------------

    def finish(self, name: str = "kernel") -> Kernel:
        """The complete function. The builder must not be used afterwards."""
        assert len(self._scopes) == 1, "a scope is still open"
        entry = self._scopes[0].block
        entry.add_op(func.ReturnOp())
        types = [a.type for a in entry.args]
        function = func.FuncOp(name, FunctionType.from_lists(types, []), Region(entry))
        if self._state is not None:
            function.attributes[NEEDS_STATE] = UnitAttr()
        return Kernel(function, tuple(self._dims))


NEEDS_STATE = "needs_state"
"""Attribute of kernels whose first argument is the run state."""


def _trip_count(lower: IndexLike, upper: IndexLike, step: IndexLike) -> int | None:
    """How often a loop runs, if that is a constant."""
    distance = (Index.of(upper) - Index.of(lower)).dim
    by = Index.of(step).dim
    if distance == by and distance is not None:
        return 1
    if isinstance(distance, int) and isinstance(by, int):
        return max(0, -(-distance // by))
    return None


# Ops that kernels are full of are made without the general constructors of xDSL, which
# take several times as long because they look at every definition of the op anew.


def _index_op(op: type[Operation], lhs: SSAValue, rhs: SSAValue) -> Operation:
    """`arith.addi` or `arith.muli` on indices."""
    return op.create(
        operands=(lhs, rhs), result_types=(INDEX,), properties=dict(_MAY_OVERFLOW)
    )


def _load_op(
    ptr: SSAValue, index: SSAValue, width: int, mask: SSAValue | None
) -> Operation:
    assert isinstance(ptr.type, simd.PtrType)
    return simd.LoadOp.create(
        operands=(ptr, index) if mask is None else (ptr, index, mask),
        result_types=(simd.data_type(ptr.type.element_type, width),),
        properties={"width": width_attr(width)},
    )


def _index_constant(number: int) -> Operation:
    return arith.ConstantOp.create(
        result_types=(INDEX,), properties={"value": _index_attribute(number)}
    )


@cache
def _index_attribute(number: int) -> Attribute:
    return IntegerAttr(number, INDEX)
