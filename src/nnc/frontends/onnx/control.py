"""Converters of control flow: branches and loops, whose subgraphs become regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xdsl.ir import Block, Region, SSAValue

from nnc.dialects.nn.control import COUNT, FLAG, IfOp, LoopOp
from nnc.dialects.nn.elementwise import CastOp, CompareOp, MaximumOp
from nnc.dialects.nn.movement import DimCastOp, GatherOp, ReshapeOp, SliceOp
from nnc.dialects.nn.program import ValueType
from nnc.dialects.nn.types import (
    BOOL,
    I64,
    NnTensorType,
    dims_of,
    element_type_of,
    rank_of,
    tensor_type,
    tensor_type_of,
)
from nnc.errors import LimitExceeded
from nnc.frontends.common import (
    Builder,
    DependsOnDataError,
    InvalidNodeError,
    UnsupportedError,
    shape_text,
)
from nnc.frontends.onnx.node import Node, SkippedError
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.regions import build_region, isolate
from nnc.frontends.shape_rules import simplest
from nnc.symbolic import Dim, dim_max


class _ShapeChangesError(UnsupportedError):
    """A carried value, or a result of a branch, has another shape each time."""


def scalar_of(b: Builder, value: SSAValue, type: NnTensorType, what: str) -> SSAValue:
    """
    A value of one element as a scalar.

    Raises:
        InvalidNodeError: it has more elements, or is of another type.
    """
    if element_type_of(value) != type.get_element_type():
        raise InvalidNodeError(f"{what} must be {type.get_element_type()}")
    if any(d.as_int() not in (None, 1) for d in dims_of(value)):
        raise InvalidNodeError(f"{what} must be one element, not {shape_text(value)}")
    value = b.dim_cast(value, [1] * rank_of(value))
    return b.reshape(value, [])


def always(b: Builder, value: SSAValue) -> bool | None:
    """What a condition is known to be."""
    known = b.constant_scalar(value)
    if known is None:
        dims = b.known(value)
        size = None if dims is None or len(dims) != 1 else dims[0].as_int()
        return None if size is None else bool(size)
    return bool(known)


# ---- If


@converter("If")
def _if(node: Node, b: Builder) -> Converted:
    condition = node.input(0)
    taken = always(b, condition)
    if taken is not None:
        graph = node.attr_graph("then_branch" if taken else "else_branch")
        return node.convert_subgraph(graph)
    condition = scalar_of(b, condition, FLAG, "the condition")
    blocks = [Block(), Block()]
    for block, name in zip(blocks, ("then_branch", "else_branch"), strict=True):
        graph = node.attr_graph(name)
        build_region(b, block, lambda graph=graph: node.convert_subgraph(graph))
    b.set_location(node.name)
    if (stated := _stated_branch(b, condition, blocks)) is not None:
        for block in blocks:
            if block is not stated:
                block.drop_all_references()
        return _inline(b, stated)
    try:
        _unify(b, blocks)
    except _ShapeChangesError as error:
        raise DependsOnDataError(str(error), node.input(0)) from None
    captured = isolate(blocks)
    regions = [Region(block) for block in blocks]
    return b.emit_all(IfOp(condition, captured, *regions))


def _stated_branch(
    b: Builder, condition: SSAValue, blocks: Sequence[Block]
) -> Block | None:
    """
    The branch for equal sizes, where the other one has results of other ranks.

    Exporters write a squeeze like this: of an axis of size 1, else of none. The network
    behind it works with one of the two ranks only, so the sizes are taken to be equal.
    The branch itself states that (its `nn.dim_cast` is checked when the model runs).
    """
    ends = [block.last_op for block in blocks]
    ranks = [[rank_of(v) for v in end.operands] for end in ends if end is not None]
    while isinstance(condition.owner, ReshapeOp | DimCastOp | CastOp):
        condition = condition.owner.operands[0]
    comparison = condition.owner
    if ranks[0] == ranks[1] or not isinstance(comparison, CompareOp):
        return None
    sides = [b.known(v) for v in comparison.operands]
    predicate = comparison.predicate.data
    if None in sides or predicate not in ("eq", "ne"):
        return None
    (first,), (second,) = (s for s in sides if s is not None)
    block = blocks[0] if predicate == "eq" else blocks[1]
    stated = (
        {before, after}
        for op in block.ops
        if isinstance(op, DimCastOp)
        for before, after in zip(dims_of(op.operand), dims_of(op.result), strict=True)
    )
    return block if {first, second} in stated else None


def _inline(b: Builder, block: Block) -> list[SSAValue]:
    """Move the ops of a region to where the builder is; what it yields."""
    end = block.last_op
    assert end is not None
    values = list(end.operands)
    end.detach()
    end.erase()
    for op in list(block.ops):
        op.detach()
        b.block.add_op(op)
    return values


def _unify(b: Builder, blocks: Sequence[Block]) -> None:
    """Give what two branches yield equal types."""
    terminators = [block.last_op for block in blocks]
    assert all(terminators)
    first, second = (list(t.operands) for t in terminators if t is not None)
    if len(first) != len(second):
        raise InvalidNodeError(
            f"the branches have {len(first)} and {len(second)} outputs"
        )
    for index, pair in enumerate(zip(first, second, strict=True)):
        types = {element_type_of(v) for v in pair}
        if len(types) > 1:
            raise InvalidNodeError(f"output {index} has another type in each branch")
        dims = _common_shape(index, *map(dims_of, pair))
        for block, value in zip(blocks, pair, strict=True):
            end = block.last_op
            assert end is not None
            end.detach()
            with b.nested(block):
                end.operands[index] = b.dim_cast(value, dims)
            block.add_op(end)


def _common_shape(index: int, first: Sequence[Dim], second: Sequence[Dim]) -> list[Dim]:
    reason = (
        f"output {index} has another shape in each branch ({shape_text(first)} and "
        f"{shape_text(second)})"
    )
    if len(first) != len(second):
        raise _ShapeChangesError(reason)
    dims: list[Dim] = []
    for pair in zip(first, second, strict=True):
        sizes = {d.as_int() for d in pair} - {None}
        if len(sizes) > 1:
            raise _ShapeChangesError(reason)
        dims.append(simplest(list(pair)))
    return dims


# ---- Loop

MAX_UNROLLED = 64
"""Iterations of loops that cannot be loops, and are written out."""

_MAX_COPIES = 4096
"""Copies of a body in loops inside of each other, tries included."""


@dataclass(frozen=True)
class _Loop:
    """The inputs of a Loop node."""

    node: Node
    trips: Dim | None
    """The bound, if it is a size."""
    count: SSAValue | None
    """The bound, if it is data."""
    start: SSAValue | None
    """The first condition, unless it is known to hold."""
    initial: Sequence[SSAValue]

    @staticmethod
    def of(node: Node, b: Builder) -> _Loop:
        limit, condition = node.optional_input(0), node.optional_input(1)
        initial = [v for v in node.inputs[2:] if v is not None]
        if len(initial) != max(0, len(node.inputs) - 2):
            raise InvalidNodeError("an initial value is missing")
        start = None
        if condition is not None:
            start = scalar_of(b, condition, FLAG, "the condition")
        count = None if limit is None else scalar_of(b, limit, COUNT, "the trip count")
        trips: Dim | None = None
        if count is not None and (known := b.known(count)) is not None:
            trips, count = dim_max(known[0], 0), None
        goes_on = True if start is None else always(b, start)
        if goes_on is False:
            trips, count = Dim.of(0), None
        return _Loop(node, trips, count, start if goes_on is None else None, initial)

    def with_known_trips(self, b: Builder) -> _Loop:
        """
        The loop with the bound read when it is computed.

        Raises:
            DependsOnDataError: that is in a loop or a branch.
        """
        assert self.count is not None
        with b.at_root(self.count):
            trips = b.binary(MaximumOp, self.count, 0)
        return replace(self, trips=b.size(trips, "the trip count"), count=None)

    @property
    def is_short(self) -> bool:
        """Whether it can be written out."""
        size = None if self.trips is None or self.start is not None else self.trips
        return size is not None and (size.as_int() or MAX_UNROLLED + 1) <= MAX_UNROLLED

    def refused(self, reason: str) -> DependsOnDataError:
        """The error for a loop whose course must be known, and is not."""
        inputs = (self.node.optional_input(0), self.node.optional_input(1))
        return DependsOnDataError(reason, *(v for v in inputs if v is not None))


@converter("Loop")
def _loop(node: Node, b: Builder) -> Converted:
    loop = _Loop.of(node, b)
    restore = node.convert_subgraph.checkpoint()
    block = Block(arg_types=[COUNT, *(v.type for v in loop.initial)])
    try:
        build_region(b, block, lambda: _body(loop, b, block), block.args[0])
        b.set_location(node.name)
        return _region_loop(loop, b, block)
    except (UnsupportedError, SkippedError) as error:
        block.drop_all_references()
        if loop.is_short:
            restore()
            return _unrolled(loop, b)
        if isinstance(error, _ShapeChangesError):
            raise loop.refused(str(error)) from None
        raise


def _body(loop: _Loop, b: Builder, block: Block) -> Sequence[SSAValue]:
    """The next condition, carried values and elements of an iteration."""
    node, count = loop.node, len(loop.initial)
    # In an iteration, the condition that let it start is true.
    going = b.scalar(1, BOOL)
    graph = node.attr_graph("body")
    values = node.convert_subgraph(graph, [block.args[0], going, *block.args[1:]])
    if not values:
        raise InvalidNodeError("the body has no outputs")
    b.set_location(node.name)
    following = scalar_of(b, values[0], FLAG, "the condition of the body")
    carried = values[1 : 1 + count]
    if len(carried) < count:
        raise InvalidNodeError(
            f"{count} values are carried, the body has {len(values)} outputs"
        )
    carried = [_same(b, *pair) for pair in zip(carried, loop.initial, strict=True)]
    return [following, *carried, *values[1 + count :]]


def _region_loop(loop: _Loop, b: Builder, block: Block) -> list[SSAValue]:
    """The loop with that body."""
    start = loop.start
    terminator = block.last_op
    assert terminator is not None
    is_bounded = loop.trips is not None or loop.count is not None
    if is_bounded and start is None and always(b, terminator.operands[0]):
        terminator.operands = terminator.operands[1:]
    elif start is None:
        start = b.scalar(1, BOOL)
    elements = len(terminator.operands) - len(loop.initial) - int(start is not None)
    if elements and loop.count is not None and start is None:
        loop = loop.with_known_trips(b)
    if elements and (loop.trips is None or start is not None):
        raise loop.refused(
            "the number of iterations depends on data, and so does the size of an "
            "output"
        )
    captured = isolate([block])
    return b.emit_all(
        LoopOp(
            Region(block),
            loop.initial,
            [],
            captured,
            trips=loop.trips,
            count=loop.count,
            condition=start,
        )
    )


def _unrolled(loop: _Loop, b: Builder) -> list[SSAValue]:
    """
    The body once for each iteration.

    For loops whose values change their shapes, or whose sizes depend on the number of
    the iteration.

    Raises:
        UnsupportedError: when the loop ends is not known.
        LimitExceeded: loops inside of each other would be too many copies.
    """
    assert loop.trips is not None
    trips = loop.trips.as_int() or 0
    before = b.copies
    # The body was converted once already, to see that it cannot be a loop's.
    b.copies *= trips + 1
    nodes = b.copies * len(loop.node.attr_graph("body").node)
    if b.copies > _MAX_COPIES or nodes > b.limits.nodes:
        raise LimitExceeded(f"the loop would have to be written out {b.copies} times")
    try:
        return _written_out(loop, trips, b)
    finally:
        b.copies = before


def _written_out(loop: _Loop, trips: int, b: Builder) -> list[SSAValue]:
    node = loop.node
    graph = node.attr_graph("body")
    carried, count = list(loop.initial), len(loop.initial)
    rows: list[list[SSAValue]] = []
    for iteration in range(trips):
        number = b.scalar(iteration, I64)
        with b.nested(b.block, number):
            going = b.scalar(1, BOOL)
            values = node.convert_subgraph(graph, [number, going, *carried])
        b.set_location(node.name)
        goes_on = always(b, values[0])
        if goes_on is None:
            raise UnsupportedError("when the loop ends depends on data")
        if any(isinstance(v.type, ValueType) for v in values):
            raise loop.refused("a value is known only when the model runs")
        carried = values[1 : 1 + count]
        rows.append(values[1 + count :])
        if not goes_on:
            break
    stacked: list[SSAValue] = []
    for elements in zip(*rows, strict=True):
        parts = [b.reshape(e, [1, *dims_of(e)]) for e in elements]
        stacked.append(b.concat(parts, 0))
    return [*carried, *stacked]


def _same(b: Builder, value: SSAValue, like: SSAValue) -> SSAValue:
    """
    `value`, stated to have the type of `like`.

    Raises:
        UnsupportedError: its shape is another one.
    """
    if element_type_of(value) != element_type_of(like):
        raise InvalidNodeError(
            f"a carried value changes from {like.type} to {value.type}"
        )
    before, after = dims_of(like), dims_of(value)
    sizes = [
        {x.as_int(), y.as_int()} - {None} for x, y in zip(before, after, strict=False)
    ]
    if len(before) != len(after) or any(len(s) > 1 for s in sizes):
        raise _ShapeChangesError(
            f"a carried value changes its shape from {shape_text(like)} to "
            f"{shape_text(value)}"
        )
    return b.dim_cast(value, before)


# ---- Scan


@converter("Scan", since=9)
def _scan(node: Node, b: Builder) -> Converted:
    count = node.attr_int("num_scan_inputs")
    inputs = node.variadic_inputs()
    if not 0 < count <= len(inputs):
        raise InvalidNodeError(f"num_scan_inputs is {count} of {len(inputs)} inputs")
    initial, scanned = inputs[:-count], inputs[-count:]
    graph = node.attr_graph("body")
    outputs = len(graph.output) - len(initial)
    if outputs < 0:
        raise InvalidNodeError(f"the body has {len(graph.output)} outputs")
    axes = _per_value(node, "scan_input_axes", count)
    moved = [
        _first_axis(b, value, axis) for value, axis in zip(scanned, axes, strict=True)
    ]
    backwards = _per_value(node, "scan_input_directions", count)
    results = scan(node, b, initial, moved, backwards)
    stacked: list[SSAValue] = []
    axes = _per_value(node, "scan_output_axes", outputs)
    backwards = _per_value(node, "scan_output_directions", outputs)
    for value, axis, back in zip(results[len(initial) :], axes, backwards, strict=True):
        stacked.append(_from_first_axis(b, reversed_if(b, value, back), axis))
    return [*results[: len(initial)], *stacked]


@converter("Scan")
def _scan_of_batch(node: Node, b: Builder) -> Converted:
    """Up to opset 8 there was a batch: a loop over that holds the loop."""
    lengths = node.optional_input(0)
    count = node.attr_int("num_scan_inputs")
    inputs = [v for v in node.inputs[1:] if v is not None]
    if not 0 < count <= len(inputs):
        raise InvalidNodeError(f"num_scan_inputs is {count} of {len(inputs)} inputs")
    backwards = _per_value(node, "directions", count)
    if lengths is not None:
        inputs.append(b.cast(lengths, I64))
    inputs = equal_first(b, inputs)
    batch = dims_of(inputs[0])[0]
    block = Block(
        arg_types=[
            COUNT,
            *(tensor_type(element_type_of(v), dims_of(v)[1:]) for v in inputs),
        ]
    )
    values = block.args[1:]

    def build() -> Sequence[SSAValue]:
        *own, length = values if lengths is not None else (*values, None)
        return scan(node, b, own[:-count], own[-count:], backwards, length)

    build_region(b, block, build, block.args[0])
    b.set_location(node.name)
    captured = isolate([block])
    loop = LoopOp(Region(block), [], inputs, captured, trips=batch)
    return b.emit_all(loop)


def scan(
    node: Node,
    b: Builder,
    initial: Sequence[SSAValue],
    scanned: Sequence[SSAValue],
    backwards: Sequence[int],
    length: SSAValue | None = None,
) -> list[SSAValue]:
    """
    The final states and stacked outputs of a scan along first axes.

    From iteration `length` on, states stay as they are and outputs are zeros.
    """
    scanned = equal_first(b, scanned)
    trips = dims_of(scanned[0])[0]
    scanned = [
        reversed_if(b, v, d) if length is None else _reversed_head(b, v, d, length)
        for v, d in zip(scanned, backwards, strict=True)
    ]
    slices = [tensor_type(element_type_of(v), dims_of(v)[1:]) for v in scanned]
    block = Block(arg_types=[COUNT, *(tensor_type_of(v) for v in initial), *slices])

    def build() -> Sequence[SSAValue]:
        values = node.convert_subgraph(node.attr_graph("body"), block.args[1:])
        b.set_location(node.name)
        if len(values) < len(initial):
            raise InvalidNodeError(f"the body has {len(values)} outputs")
        pairs = zip(values, initial, strict=False)
        states = [_same(b, *pair) for pair in pairs]
        outputs = values[len(initial) :]
        if length is None:
            return [*states, *outputs]
        runs = b.compare(block.args[0], length, "lt")
        old = block.args[1 : 1 + len(initial)]
        states = [b.select(runs, *pair) for pair in zip(states, old, strict=True)]
        return [*states, *(b.select(runs, v, b.full(0, v)) for v in outputs)]

    build_region(b, block, build, block.args[0])
    b.set_location(node.name)
    captured = isolate([block])
    loop = LoopOp(Region(block), initial, scanned, captured, trips=trips)
    return b.emit_all(loop)


def reversed_if(b: Builder, value: SSAValue, backwards: int) -> SSAValue:
    """`value`, read from the end of its first axis if `backwards`."""
    if not backwards:
        return value
    return reverse(b, value, 0)


def _reversed_head(
    b: Builder, value: SSAValue, backwards: int, length: SSAValue
) -> SSAValue:
    """`value` with the first `length` elements in reverse order, if `backwards`."""
    if not backwards:
        return value
    place = b.iota(dims_of(value)[:1], 0, I64)
    mirrored = b.sub(b.sub(length, 1), place)
    return b.emit(GatherOp(value, b.binary(MaximumOp, mirrored, 0), 0))


def reverse(b: Builder, value: SSAValue, axis: int) -> SSAValue:
    """`value` with the order along `axis` turned round."""
    dims = dims_of(value)
    offsets = [d - 1 if a == axis else Dim.of(0) for a, d in enumerate(dims)]
    steps = [-1 if a == axis else 1 for a in range(len(dims))]
    if dims[axis].as_int() in (0, 1):
        return value
    return b.emit(SliceOp(value, offsets, dims, steps))


def equal_first(b: Builder, values: Sequence[SSAValue]) -> list[SSAValue]:
    """
    The values, whose first axes are stated to have one size.

    Raises:
        InvalidNodeError: they never have.
    """
    if any(not rank_of(v) for v in values):
        raise InvalidNodeError("a scalar has no axis to walk along")
    dims = [dims_of(v)[0] for v in values]
    return [b.with_dim(v, 0, simplest(dims)) for v in values]


def _per_value(node: Node, name: str, count: int) -> list[int]:
    values = node.attr_ints(name, [])
    if not values:
        return [0] * count
    if len(values) != count:
        raise InvalidNodeError(f"{name} has {len(values)} entries for {count} values")
    return values


def _first_axis(b: Builder, value: SSAValue, axis: int) -> SSAValue:
    rank = rank_of(value)
    if not -rank <= axis < rank:
        raise InvalidNodeError(f"there is no axis {axis} in {shape_text(value)}")
    axis %= rank
    return b.transpose(value, [axis, *(a for a in range(rank) if a != axis)])


def _from_first_axis(b: Builder, value: SSAValue, axis: int) -> SSAValue:
    rank = rank_of(value)
    if not -rank <= axis < rank:
        raise InvalidNodeError(f"there is no axis {axis} in {shape_text(value)}")
    axis %= rank
    others = list(range(1, rank))
    return b.transpose(value, [*others[:axis], 0, *others[axis:]])
