"""
IR for expressions: scalars where an element does not depend on the lanes, else vectors.

An `Emitter` binds axes to index values of a kernel. At most one axis is the *lane*
axis: lane `l` of a vector is the element at counter `+ l` of it. What does not depend
on the lane axis stays scalar and leaves the loops that it does not depend on.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.lowering.lower_dispatches.elementwise import (
    convert,
    emit_elementwise,
    to_compute,
)
from nnc.lowering.lower_dispatches.expressions import (
    Apply,
    Axis,
    Call,
    Choose,
    Derived,
    FromIndex,
    Hole,
    Inside,
    Load,
    Node,
    Number,
)
from nnc.lowering.lower_dispatches.index import Index
from nnc.lowering.lower_dispatches.kernel_builder import KernelBuilder
from nnc.symbolic import DimLike

INDEX_OUT_OF_RANGE = 1
"""Error code of `nnc.errors.IndexOutOfRange` in the run state."""


@dataclass(frozen=True)
class Lanes:
    """Indices of all lanes: lane `l` has `base + l * step + vector[l]`."""

    base: Index
    step: DimLike = 0
    vector: SSAValue | None = None

    @property
    def is_uniform(self) -> bool:
        """Whether all lanes have the same index."""
        return self.vector is None and self.step == 0


class Emitter:
    """Makes the values of nodes for one binding of the axes."""

    def __init__(
        self,
        kb: KernelBuilder,
        axes: Mapping[Axis, Index],
        lane: Axis | None = None,
        width: int = 1,
        mask: SSAValue | None = None,
        holes: Mapping[SSAValue, SSAValue] | None = None,
        stashed: Mapping[Node, Load] | None = None,
        given: Mapping[Node, SSAValue] | None = None,
    ) -> None:
        """
        `mask` are the lanes that exist; `holes` the values of `Hole` sources; `stashed`
        are nodes whose values an earlier loop of the kernel has left in memory; `given`
        are values of nodes that are known already.
        """
        self.kb = kb
        self.axes = axes
        self.lane = lane if width > 1 else None
        self.width = width
        self.mask = mask
        self.holes: Mapping[SSAValue, SSAValue] = holes or {}
        self.stashed = stashed or {}
        self.given = given or {}
        self._guard: SSAValue | None = None
        self._keys = {axis: index.key for axis, index in axes.items()}

    def fill(self, source: SSAValue, value: SSAValue) -> None:
        """Give a `Hole` its value."""
        self.holes = {**self.holes, source: value}

    def vector(self, node: Node) -> SSAValue:
        """The value of `node` in every lane."""
        return self.kb.splat(self.value(node), self.width)

    def value(self, node: Node) -> SSAValue:
        """The value of `node`: a scalar if the lanes agree."""
        if (given := self.given.get(node)) is not None:
            return given
        if isinstance(node, Number):
            return self.kb.constant(node.number, node.type)
        key = self._key(node)
        value = self.kb.recall(key)
        if value is None:
            value = self._make(node)
            # A call may look at operands for an error's sake only: its value is known
            # no further than they are.
            args = node.args if isinstance(node, Call) else ()
            self.kb.keep(key, value, *(self.value(a) for a in args))
        return value

    def _key(self, node: Node | Derived) -> Hashable:
        bound = tuple(self._keys[a] for a in node.ordered_axes)
        holes = self.holes_key(node) if isinstance(node, Node) else None
        if self._depends_on_lane(node):
            return ("node", node, bound, holes, self.width, self.mask, self._guard)
        return ("node", node, bound, holes)

    def holes_key(self, node: Node) -> Hashable:
        """What the holes below `node` hold."""
        return tuple(self.holes.get(h) for h in node.holes)

    def _depends_on_lane(self, node: Node | Derived) -> bool:
        return self.lane is not None and self.lane in node.axes

    def _make(self, node: Node) -> SSAValue:
        if (stash := self.stashed.get(node)) is not None:
            return self._reload(stash)
        match node:
            case Load():
                return self._load(node)
            case Apply():
                operands = [self.value(a) for a in node.args]
                mask = self._active() if self._depends_on_lane(node) else None
                return emit_elementwise(self.kb, node.op, operands, mask)
            case Call():
                values = [self.value(a) for a in node.args]
                if self._depends_on_lane(node):
                    values = [self.kb.splat(v, self.width) for v in values]
                return node.emit(self.kb, values)
            case FromIndex():
                return self._from_index(node)
            case Choose():
                return self._choose(node)
            case Hole():
                return self.holes[node.source]
            case _:
                raise AssertionError(f"no value for {type(node).__name__}")

    # -- memory ---------------------------------------------------------------

    def _active(self) -> SSAValue | None:
        """The lanes that may be read, if not all of them."""
        if self.mask is None or self._guard is None:
            return self._guard or self.mask
        return self.kb.pure(simd.AndOp(self.mask, self._guard))

    def _reload(self, node: Load) -> SSAValue:
        """An element that this kernel has written itself."""
        lanes = self.resolve(node.index)
        ptr, kb = node.buffer.ptr, self.kb
        if self.width == 1 or lanes.step == 1:
            return kb.load(ptr, lanes.base, self.width, self._active())
        return kb.load_strided(ptr, lanes.base, lanes.step, self.width, self._active())

    def _load(self, node: Load) -> SSAValue:
        kb, lanes = self.kb, self.resolve(node.index)
        ptr = node.buffer.ptr
        if lanes.is_uniform and self._guard is None:
            return to_compute(kb, kb.load_invariant(ptr, lanes.base))
        active = self._active()
        if lanes.vector is not None:
            base, offset = kb.address(ptr, lanes.base)
            total = self._data(Lanes(Index({}, 0), lanes.step, lanes.vector))
            first = kb.splat(kb.to_data(kb.opaque(offset), i64), self.width)
            total = kb.pure(simd.AddOp(total, first))
            return to_compute(kb, kb.add(simd.GatherOp(base, total, active)))
        if lanes.step == 1:
            value = kb.load_invariant(ptr, lanes.base, self.width, active)
        else:
            value = kb.load_strided(ptr, lanes.base, lanes.step, self.width, active)
        return to_compute(kb, value)

    # -- indices --------------------------------------------------------------

    def resolve(self, index: Index) -> Lanes:
        """An index over axes as index values of the kernel."""
        base, vector = Index({}, index.offset), None
        step: DimLike = 0
        for var, coefficient in index.terms.items():
            if isinstance(var, Derived):
                part = self._derived(var)
            else:
                assert isinstance(var, Axis)
                part = Lanes(self.axes[var], 1 if var is self.lane else 0)
            base = base + part.base * coefficient
            step = step + part.step * coefficient
            if part.vector is not None:
                scaled = self._times(part.vector, coefficient)
                vector = (
                    scaled
                    if vector is None
                    else self.kb.pure(simd.AddOp(vector, scaled))
                )
        return Lanes(base, Index.of(step).offset, vector)

    def _times(self, vector: SSAValue, factor: DimLike) -> SSAValue:
        if factor == 1:
            return vector
        kb = self.kb
        return kb.pure(
            simd.MulOp(vector, kb.splat(kb.to_data(factor, i64), self.width))
        )

    def _data(self, lanes: Lanes, width: int | None = None) -> SSAValue:
        """Indices as i64 data, one a lane."""
        kb, width = self.kb, width or self.width
        total = lanes.vector
        if lanes.step != 0 and width > 1:
            iota = kb.cached(("iota", width), 0, lambda: simd.IotaOp(width))
            ramp = self._times(iota, lanes.step)
            total = ramp if total is None else kb.pure(simd.AddOp(total, ramp))
        if total is not None and lanes.base.dim == 0:
            return total
        first = kb.splat(kb.to_data(lanes.base, i64), width)
        return first if total is None else kb.pure(simd.AddOp(total, first))

    def _derived(self, var: Derived) -> Lanes:
        if var.node is not None:
            return self._from_node(var)
        args = [self.resolve(a) for a in var.args]
        kb = self.kb
        if all(a.is_uniform for a in args):
            a, b = (lanes.base for lanes in args)
            match var.kind:
                case "floordiv":
                    return Lanes(kb.floordiv(a, _dim(b)))
                case "mod":
                    return Lanes(kb.mod(a, _dim(b)))
                case "min":
                    return Lanes(kb.minimum(a, b))
                case _:
                    return Lanes(kb.maximum(a, b))
        key = self._key(var)
        value = kb.recall(key)
        if value is None:
            a, b = (self._data(lanes) for lanes in args)
            value = kb.keep(key, self._vector_derived(var, a, b))
        return Lanes(Index({}, 0), 0, value)

    def _vector_derived(self, var: Derived, a: SSAValue, b: SSAValue) -> SSAValue:
        kb = self.kb
        match var.kind:
            case "min":
                return kb.pure(simd.MinOp(a, b))
            case "max":
                return kb.pure(simd.MaxOp(a, b))
            case "mod":
                return kb.pure(simd.ModFloorOp(a, b))
            case _:
                rest = kb.pure(simd.ModFloorOp(a, b))
                return kb.pure(simd.DivOp(kb.pure(simd.SubOp(a, rest)), b))

    def _from_node(self, var: Derived) -> Lanes:
        assert var.node is not None
        kb = self.kb
        key = ("index", self._key(var))
        value = kb.recall(key)
        if value is None:
            value = convert(kb, self.value(var.node), i64)
            if var.args:
                value = self._checked(var, value)
            value = kb.keep(key, value)
        if self._depends_on_lane(var):
            return Lanes(Index({}, 0), 0, value)
        return Lanes(kb.to_index(value))

    def _checked(self, var: Derived, value: SSAValue) -> SSAValue:
        """An index from a tensor: counted from the front, and in range."""
        kb = self.kb
        width = self.width if self._depends_on_lane(var) else 1
        (size,) = var.args
        extent = kb.splat(kb.to_data(size, i64), width)
        zero, one = (kb.constant(n, i64, width) for n in (0, 1))
        moved = kb.pure(simd.AddOp(value, extent))
        is_negative = kb.pure(simd.CmpOp("lt", value, zero))
        value = kb.pure(simd.SelectOp(is_negative, moved, value))
        too_low = kb.pure(simd.CmpOp("lt", value, zero))
        too_high = kb.pure(simd.CmpOp("ge", value, extent))
        is_wrong = kb.pure(simd.OrOp(too_low, too_high))
        if width > 1:
            if (active := self._active()) is not None:
                is_wrong = kb.pure(simd.AndOp(is_wrong, active))
            is_wrong = kb.pure(simd.ReduceOp("or", is_wrong))
        kb.raise_if(is_wrong, INDEX_OUT_OF_RANGE)
        last = kb.pure(simd.SubOp(extent, one))
        value = kb.pure(simd.MinOp(value, last))
        return kb.pure(simd.MaxOp(value, zero))

    def _from_index(self, node: FromIndex) -> SSAValue:
        lanes = self.resolve(node.index)
        if lanes.is_uniform:
            return self.kb.to_data(lanes.base, node.type)
        return convert(self.kb, self._data(lanes), node.type)

    # -- choices --------------------------------------------------------------

    def _choose(self, node: Choose) -> SSAValue:
        """One of two values; a uniform condition branches, others mask."""
        kb = self.kb
        uniform: SSAValue | bool = True
        lanes: SSAValue | None = None
        for condition in node.conditions:
            index, extent = self.resolve(condition.index), condition.extent
            if index.is_uniform:
                uniform = kb.both(uniform, self._inside(index.base, extent))
            else:
                found = self._inside_lanes(index, condition)
                lanes = found if lanes is None else kb.pure(simd.AndOp(lanes, found))
        wide = self._depends_on_lane(node)

        def outside() -> list[SSAValue]:
            return [self.vector(node.outside) if wide else self.value(node.outside)]

        def inside() -> list[SSAValue]:
            if lanes is None:
                return [self.vector(node.inside) if wide else self.value(node.inside)]
            return [self._masked(node, lanes)]

        return kb.choose(uniform, inside, outside)[0]

    def _masked(self, node: Choose, lanes: SSAValue) -> SSAValue:
        kb, before = self.kb, self._guard
        self._guard = lanes if before is None else kb.pure(simd.AndOp(lanes, before))
        a = self.vector(node.inside)
        others = kb.pure(simd.NotOp(lanes))
        self._guard = others if before is None else kb.pure(simd.AndOp(others, before))
        b = self.vector(node.outside)
        self._guard = before
        return kb.pure(simd.SelectOp(lanes, a, b))

    def _inside(self, index: Index, extent: Index) -> SSAValue | bool:
        low = self.kb.compare("sge", index, 0)
        high = self.kb.compare("slt", index, self.resolve(extent).base)
        return self.kb.both(low, high)

    def _inside_lanes(self, lanes: Lanes, condition: Inside) -> SSAValue:
        kb = self.kb
        index = self._data(lanes)
        extent = kb.splat(
            kb.to_data(self.resolve(condition.extent).base, i64), self.width
        )
        low = kb.pure(simd.CmpOp("ge", index, kb.constant(0, i64, self.width)))
        high = kb.pure(simd.CmpOp("lt", index, extent))
        return kb.pure(simd.AndOp(low, high))


def _dim(index: Index) -> DimLike:
    assert index.dim is not None, "divisors are sizes"
    return index.dim
