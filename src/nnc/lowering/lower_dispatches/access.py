"""
Pulling: which element of its operands an element of a value is.

`Elements.at(value, indices)` follows the ops of a dispatch from a value to the buffers
and gives the expression of one element. Each op that moves data is one small rule from
result indices to operand indices; elementwise ops keep the indices.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping, Sequence

from xdsl.dialects.builtin import i64
from xdsl.ir import Attribute, Operation, OpResult, SSAValue

from nnc.dialects.nn import movement as mv
from nnc.dialects.nn.base import ints, location_of
from nnc.dialects.nn.constants import dense_array
from nnc.dialects.nn.structure import ConstantOp, DimsOp, RunSeedOp
from nnc.dialects.nn.types import STORED_ONLY, U64, dims_of, element_type_of
from nnc.errors import CompileError
from nnc.lowering.lower_dispatches.elementwise import ELEMENTWISE, compute_type, convert
from nnc.lowering.lower_dispatches.expressions import (
    Apply,
    Call,
    Choose,
    Derived,
    DerivedKind,
    FromIndex,
    Inside,
    Load,
    Node,
    Number,
)
from nnc.lowering.lower_dispatches.index import (
    Index,
    IndexLike,
    is_below,
    is_nonnegative,
    quotient_extent,
    simplified,
    split,
)
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.symbolic import Dim, DimLike, dim_max, dim_product
from nnc.weights import Array

Indices = tuple[Index, ...]
HoleRule = Callable[[Indices], Node]
ZERO = Index({}, 0)
RUN_SEED_WORD = 7
"""Position of the run's seed in the run state."""


class Elements:
    """The elements of the values of one dispatch."""

    def __init__(
        self,
        buffers: Mapping[SSAValue, BufferArg],
        holes: Mapping[SSAValue, HoleRule] | None = None,
    ) -> None:
        """`holes` are values that the schedule computes itself."""
        self.buffers = buffers
        self.holes = dict(holes or {})
        self._memo: dict[Hashable, Node] = {}
        self._derived: dict[Hashable, Derived] = {}

    def at(self, value: SSAValue, indices: Sequence[IndexLike]) -> Node:
        """The element of `value` at `indices`."""
        position = tuple(map(Index.of, indices))
        key = (value, *(i.key for i in position))
        node = self._memo.get(key)
        if node is None:
            node = self._memo[key] = self._make(value, position)
        return node

    def _make(self, value: SSAValue, indices: Indices) -> Node:
        if (hole := self.holes.get(value)) is not None:
            return hole(indices)
        if (buffer := self.buffers.get(value)) is not None:
            return self._load(buffer, indices)
        assert isinstance(value, OpResult), "a block argument without a buffer"
        op = value.op
        if type(op) in ELEMENTWISE:
            type_ = compute_type(element_type_of(value))
            return Apply(type_, op, tuple(self.at(o, indices) for o in op.operands))
        rule = ELEMENT_RULES.get(type(op))
        if rule is None:
            raise CompileError(
                f"{location_of(op)}: no kernel can compute {op.name} here"
            )
        return rule(self, op, indices)

    def _load(self, buffer: BufferArg, indices: Indices) -> Node:
        """An element of a buffer; of one that may be empty only if there is one."""
        type_ = compute_type(buffer.element_type)
        load = Load(type_, buffer, buffer.index(indices))
        computed = [
            (dim, var)
            for dim, index in zip(buffer.dims, indices, strict=True)
            for var in index.terms
            if isinstance(var, Derived)
        ]
        unknown = [Index.of(d) for d, _ in computed if isinstance(d, Dim)]
        if not unknown:
            return load
        # Affine indices reach an axis of size 0 never, computed ones do. The indices
        # are still looked at, since a wrong one has to end the run.
        looked_at = tuple(FromIndex(i64, Index.var(v)) for _, v in computed)
        nothing = Call(type_, lambda kb, _: kb.constant(0, type_), looked_at)
        conditions = tuple(Inside(ZERO, extent) for extent in unknown)
        return Choose(type_, conditions, load, nothing)

    # -- indices that are not affine ------------------------------------------

    def derived(
        self,
        kind: DerivedKind,
        *args: Index,
        extent: DimLike | None = None,
        nonnegative: bool = False,
    ) -> Index:
        """`kind` of `args` as an index."""
        key = (kind, *(a.key for a in args))
        if key not in self._derived:
            self._derived[key] = Derived(0, extent, nonnegative, kind=kind, args=args)
        return Index.var(self._derived[key])

    def divmod(self, index: Index, divisor: DimLike) -> tuple[Index, Index]:
        """Quotient, rounded down, and rest."""
        divisor = simplified(divisor)
        quotient, rest = split(index, divisor)
        positive = is_nonnegative(rest)
        if rest.dim == 0 or (positive and is_below(rest, divisor)):
            return quotient, rest
        by = Index.of(divisor if isinstance(divisor, int) else dim_max(divisor, 1))
        extent = quotient_extent(rest, divisor) if positive else None
        whole = self.derived("floordiv", rest, by, extent=extent, nonnegative=positive)
        left = self.derived("mod", rest, by, extent=divisor, nonnegative=True)
        return quotient + whole, left

    def minimum(self, a: Index, b: Index) -> Index:
        """The smaller index."""
        if is_nonnegative(b - a):
            return a
        if is_nonnegative(a - b):
            return b
        nonnegative = is_nonnegative(a) and is_nonnegative(b)
        return self.derived("min", a, b, nonnegative=nonnegative)

    def maximum(self, a: Index, b: Index) -> Index:
        """The larger index."""
        if is_nonnegative(a - b):
            return a
        if is_nonnegative(b - a):
            return b
        nonnegative = is_nonnegative(a) or is_nonnegative(b)
        return self.derived("max", a, b, nonnegative=nonnegative)

    def clamped(self, index: Index, extent: DimLike) -> Index:
        """The index moved into `[0, extent)`."""
        last = Index.of(simplified(Dim.of(extent) - 1))
        # Zero wins: of an empty axis nothing may be read, but nothing negative either.
        return self.maximum(self.minimum(index, last), ZERO)

    def from_node(self, node: Node, extent: DimLike | None = None) -> Index:
        """
        An integer element as an index.

        With an `extent` it is an index tensor's: counted from the end if negative, and
        one outside of `[-extent, extent)` ends the run with IndexOutOfRange.
        """
        key = ("value", node, extent)
        if key not in self._derived:
            bound = () if extent is None else (Index.of(extent),)
            self._derived[key] = Derived(
                0, extent, extent is not None, kind="value", args=bound, node=node
            )
        return Index.var(self._derived[key])


# -- rules ---------------------------------------------------------------------


def _reshape(elements: Elements, op: mv.ReshapeOp, indices: Indices) -> Node:
    source, target = dims_of(op.operand), dims_of(op.result)
    return elements.at(op.operand, reshaped(elements, indices, target, source))


def reshaped(
    elements: Elements,
    indices: Indices,
    dims: Sequence[Dim],
    source: Sequence[Dim],
) -> Indices:
    """The indices into `source` dims of the element at `indices` of `dims`."""
    result: list[Index] = []
    left = [(i, d) for i, d in zip(indices, dims, strict=True) if d != 1]
    position = 0
    for axis, size in enumerate(source):
        if size == 1:
            result.append(ZERO)
        elif position < len(left) and left[position][1] == size:
            result.append(left[position][0])
            position += 1
        else:
            rest = [(a, s) for a, s in enumerate(source) if a >= axis and s != 1]
            taken, given = _group(left[position:], rest)
            group = rest[:given]
            linear = ZERO
            for index, dim in left[position : position + taken]:
                linear = linear * dim + index
            inner: list[Index] = []
            for _, dim in reversed(group[1:]):
                linear, part = elements.divmod(linear, dim)
                inner.append(part)
            # The rest is resolved by the same walk, on the dims after the group.
            parts = [linear, *reversed(inner)]
            places = {a: p for (a, _), p in zip(group, parts, strict=True)}
            last = group[-1][0]
            result.extend(places.get(a, ZERO) for a in range(axis, last + 1))
            after = left[position + taken :]
            tail = reshaped(
                elements,
                tuple(i for i, _ in after),
                [d for _, d in after],
                source[last + 1 :],
            )
            return (*result, *tail)
    return tuple(result)


def _group(
    left: Sequence[tuple[Index, Dim]], right: Sequence[tuple[int, Dim]]
) -> tuple[int, int]:
    """Sizes of the shortest runs of equal products; all of both if there are none."""
    for taken in range(1, len(left) + 1):
        product = dim_product(d for _, d in left[:taken])
        for given in range(1, len(right) + 1):
            if dim_product(d for _, d in right[:given]) == product:
                return taken, given
    return len(left), len(right)


def _transpose(elements: Elements, op: mv.TransposeOp, indices: Indices) -> Node:
    source = [ZERO] * len(indices)
    for position, axis in enumerate(op.axes):
        source[axis] = indices[position]
    return elements.at(op.operand, source)


def _broadcast(elements: Elements, op: mv.BroadcastOp, indices: Indices) -> Node:
    dims = dims_of(op.operand)
    own = indices[len(indices) - len(dims) :]
    return elements.at(
        op.operand, [ZERO if d == 1 else i for d, i in zip(dims, own, strict=True)]
    )


def _dim_cast(elements: Elements, op: mv.DimCastOp, indices: Indices) -> Node:
    return elements.at(op.operand, indices)


def _slice(elements: Elements, op: mv.SliceOp, indices: Indices) -> Node:
    return elements.at(
        op.operand,
        [
            i * step + offset
            for i, step, offset in zip(
                indices, ints(op.steps), op.offsets.dims, strict=True
            )
        ],
    )


def _pad(elements: Elements, op: mv.PadOp, indices: Indices) -> Node:
    inner: list[Index] = []
    conditions: list[Inside] = []
    for index, low, high, dim in zip(
        indices, op.low.dims, op.high.dims, dims_of(op.operand), strict=True
    ):
        if low == 0 and high == 0:
            inner.append(index)
            continue
        index = index - low
        if op.mode.data == "constant":
            conditions.append(Inside(index, Index.of(simplified(dim))))
            inner.append(index)
        else:
            inner.append(_continued(elements, op.mode.data, index, dim))
    element = elements.at(op.operand, inner)
    if not conditions:
        return element
    if op.value is None:
        outside: Node = Number(element.type, 0)
    else:
        outside = elements.at(op.value, ())
    return Choose(element.type, tuple(conditions), element, outside)


def _continued(elements: Elements, mode: str, index: Index, dim: Dim) -> Index:
    """Where an element beyond the border of an axis comes from."""
    if mode == "edge":
        return elements.clamped(index, dim)
    if mode == "wrap":
        return elements.divmod(index, dim)[1]
    period = dim_max(dim * 2 - 2, 1)
    folded = elements.divmod(index, period)[1]
    mirrored = elements.minimum(folded, Index.of(simplified(dim * 2 - 2)) - folded)
    return elements.maximum(mirrored, ZERO)


def _concat(elements: Elements, op: mv.ConcatOp, indices: Indices) -> Node:
    axis = op.axis.value.data % len(indices)
    start = Dim.of(0)
    starts: list[Dim] = []
    for argument in op.arguments:
        starts.append(start)
        start = start + dims_of(argument)[axis]
    node: Node | None = None
    for argument, start in zip(reversed(op.arguments), reversed(starts), strict=True):
        local = [*indices[:axis], indices[axis] - start, *indices[axis + 1 :]]
        element = elements.at(argument, local)
        if node is None:
            node = element
            continue
        size = Index.of(simplified(dims_of(argument)[axis]))
        node = Choose(node.type, (Inside(local[axis], size),), element, node)
    assert node is not None
    return node


def _gather(elements: Elements, op: mv.GatherOp, indices: Indices) -> Node:
    dims = dims_of(op.operand)
    axis = op.axis.value.data % len(dims)
    rank = len(dims_of(op.indices))
    picked = elements.at(op.indices, indices[axis : axis + rank])
    index = elements.from_node(picked, simplified(dims[axis]))
    return elements.at(op.operand, [*indices[:axis], index, *indices[axis + rank :]])


def _gather_elements(
    elements: Elements, op: mv.GatherElementsOp, indices: Indices
) -> Node:
    dims = dims_of(op.operand)
    axis = op.axis.value.data % len(dims)
    picked = elements.at(op.indices, indices)
    index = elements.from_node(picked, simplified(dims[axis]))
    return elements.at(op.operand, [*indices[:axis], index, *indices[axis + 1 :]])


def _iota(elements: Elements, op: mv.IotaOp, indices: Indices) -> Node:
    axis = op.axis.value.data % len(indices)
    return FromIndex(compute_type(element_type_of(op.result)), indices[axis])


def _resize(elements: Elements, op: mv.ResizeOp, indices: Indices) -> Node:
    # It pulls through Elements itself, hence the late import.
    from nnc.lowering.lower_dispatches.resample import resized

    return resized(elements, op, indices)


def _constant(elements: Elements, op: ConstantOp, indices: Indices) -> Node:
    type_ = compute_type(element_type_of(op.result))
    numbers = _numbers(dense_array(op.value), type_)
    if len(set(numbers)) == 1:
        return Number(type_, numbers[0])
    position = Index({}, 0)
    for index, dim in zip(indices, dims_of(op.result), strict=True):
        position = position * dim + index
    nodes = [Number(type_, n) for n in numbers or [0]]
    if isinstance(position.dim, int):
        return nodes[position.dim]
    return _chosen(position, nodes)


def _numbers(array: Array, type_: Attribute) -> list[float]:
    """The elements; the bits of those that are not computed with."""
    if type_ not in STORED_ONLY:
        return array.ravel().tolist()
    data, size = array.tobytes(), array.itemsize
    parts = (data[i : i + size] for i in range(0, len(data), size))
    return [int.from_bytes(part, sys.byteorder) for part in parts]


def _chosen(position: Index, nodes: Sequence[Node]) -> Node:
    """The node of that position: a chain of choices."""
    result = nodes[-1]
    for place in range(len(nodes) - 2, -1, -1):
        condition = Inside(position - place, Index.of(1))
        result = Choose(result.type, (condition,), nodes[place], result)
    return result


def _dims(elements: Elements, op: DimsOp, indices: Indices) -> Node:
    (index,) = indices
    nodes = [FromIndex(i64, Index.of(simplified(d))) for d in op.dims.dims]
    if isinstance(index.dim, int):
        return nodes[index.dim]
    return _chosen(index, nodes)


def _run_seed(elements: Elements, op: RunSeedOp, indices: Indices) -> Node:
    def emit(kb: KernelBuilder, _: Sequence[SSAValue]) -> SSAValue:
        word = kb.load_invariant(kb.state, RUN_SEED_WORD)
        return convert(kb, word, U64)

    return Call(U64, emit, (Number(U64, 0),))


ELEMENT_RULES: dict[type[Operation], Callable[..., Node]] = {
    mv.ReshapeOp: _reshape,
    mv.TransposeOp: _transpose,
    mv.BroadcastOp: _broadcast,
    mv.DimCastOp: _dim_cast,
    mv.SliceOp: _slice,
    mv.PadOp: _pad,
    mv.ConcatOp: _concat,
    mv.GatherOp: _gather,
    mv.GatherElementsOp: _gather_elements,
    mv.IotaOp: _iota,
    mv.ResizeOp: _resize,
    ConstantOp: _constant,
    DimsOp: _dims,
    RunSeedOp: _run_seed,
}
"""How each op that moves data finds its element: one row an op."""
