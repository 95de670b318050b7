"""
What all frontends build `nn` ops with: broadcasting, constants, locations.

A converter describes one source op in terms of a `Builder`. The builder inserts the
broadcasts and dim casts that `nn` wants explicit, gives every op the location of the
source node, and answers what shape arithmetic is known to hold.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias, cast

import numpy as np
from xdsl.dialects.builtin import DYNAMIC_INDEX, StringAttr, TensorType
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from nnc.analysis.known_values import KnownValues
from nnc.analysis.ratio import Ratio
from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.base import LOCATION, BinaryOp, NnOp, UnaryOp, location_of
from nnc.dialects.nn.constants import constant_value, make_constant
from nnc.dialects.nn.control import IfOp, LoopOp
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.reduction import ReduceKind
from nnc.dialects.nn.types import (
    I64,
    bit_width,
    dims_of,
    element_type_of,
    is_float,
    is_integer,
    rank_of,
    static_shape,
    tensor_type,
    tensor_type_of,
)
from nnc.errors import NncError
from nnc.frontends.loader.limits import DEFAULT_LIMITS, Limits
from nnc.frontends.shape_rules import (
    SliceRange,
    merged_dims,
    simplest,
    single_element,
    slice_range,
)
from nnc.frontends.symbol_names import SymbolTable
from nnc.symbolic import Dim, DimLike, dim_max
from nnc.weights import Array, WeightStore

Operand: TypeAlias = SSAValue | float
"""A value, or a number that takes the element type of the value beside it."""


class UnsupportedError(NncError):
    """
    A converter cannot express its node; the message is the reason.

    The importer collects these into one `UnsupportedOp` for the whole model.
    """


class DependsOnDataError(UnsupportedError):
    """What must be known at compile time is computed from `values`."""

    def __init__(self, reason: str, *values: SSAValue) -> None:
        super().__init__(reason)
        self.values = values


class NeedsHostError(UnsupportedError):
    """A node works on values that native code does not know."""


class InvalidNodeError(NncError):
    """A node breaks the rules of its op; the importer adds which node it is."""


MAX_SIZES = 64
"""Vectors of more elements are data, not sizes."""

# What turns known dims into the shape and type that a reader wants.
_MOST_WRITTEN_OUT: Final = 64
"""More sizes than that are computed by the ops of the model, not listed."""
_SIZE_CASTS = (nn.ReshapeOp, ew.CastOp)


class Builder:
    """Appends ops to a block in the name of one source node after another."""

    def __init__(
        self,
        block: Block,
        weights: WeightStore,
        limits: Limits = DEFAULT_LIMITS,
        symbols: SymbolTable | None = None,
    ) -> None:
        self.block = block
        self.root = block
        """Where all stages of the model begin and end: the block of its function."""
        self.symbols = symbols or SymbolTable()
        """The names of free dims that are taken."""
        self.values_read: list[SSAValue] = []
        """The data that became sizes since somebody cleared this list."""
        self._sizes: dict[SSAValue, Dim] = {}
        self.weights = weights
        self.limits = limits
        self.known_values = KnownValues(weights)
        self.copies = 1
        """How often what is converted now is, in loops that are written out."""
        self._location: StringAttr | None = None
        self._scalars: dict[tuple[bytes, Attribute], SSAValue] = {}
        self.iterations: tuple[SSAValue, ...] = ()
        """The iteration numbers of the loops around, outermost first."""
        self.random_streams = 0
        """How many nodes draw random numbers without a seed."""

    @contextmanager
    def nested(
        self, block: Block, iteration: SSAValue | None = None
    ) -> Generator[None]:
        """
        Append to another block for a while: that of a region, or of one around.

        The block of a loop comes with the number of its iteration.
        """
        outer, scalars, iterations = self.block, self._scalars, self.iterations
        # Values of the region cannot be used behind it.
        self.block, self._scalars = block, dict(scalars)
        if iteration is not None:
            self.iterations = (*iterations, iteration)
        try:
            yield
        finally:
            self.block, self._scalars = outer, scalars
            self.iterations = iterations

    def set_location(self, name: str) -> None:
        """The source node that the ops from here on stand for."""
        self._location = StringAttr(ascii_name(name))

    # ---- ops and constants

    def emit(self, op: NnOp) -> SSAValue:
        """
        Append `op`; its (only) result.

        Raises:
            VerifyException: the op's operands and properties do not fit.
            InvalidNodeError: a size of the result is negative.
            LimitExceeded: the result is too large.
        """
        return self.emit_all(op)[0]

    def emit_all(self, op: NnOp | IfOp | LoopOp) -> list[SSAValue]:
        """
        Append `op`; all of its results.

        Raises:
            VerifyException: the op's operands, properties and regions do not fit.
            InvalidNodeError: a size of a result is negative.
            LimitExceeded: a result is too large.
        """
        op.verify_()
        if self._location is not None:
            op.attributes[LOCATION] = self._location
        self.block.add_op(op)
        for result in op.results:
            self._check_size(result)
        return list(op.results)

    def _check_size(self, value: SSAValue) -> None:
        type_ = tensor_type_of(value)
        require_sizes(dims_of(value), "the shape of the result")
        # Free sizes count as one element: the executor knows them.
        shape = [1 if d == DYNAMIC_INDEX else d for d in type_.get_shape()]
        item_bytes = bit_width(type_.get_element_type()) // 8
        self.limits.check_dims(shape, item_bytes, "the result")

    def constant(self, array: Array, name: str = "constant") -> SSAValue:
        """`array` as a value; large ones become a weight called after `name`."""
        return self.emit(make_constant(array, ascii_name(name), self.weights))

    def scalar(self, number: float, element_type: Attribute) -> SSAValue:
        """A rank-0 constant; equal ones are one value."""
        with np.errstate(all="ignore"):
            array = np.array(number).astype(numpy_dtype(element_type))
        key = (array.tobytes(), element_type)
        if key not in self._scalars:
            self._scalars[key] = self.constant(array)
        return self._scalars[key]

    def full(self, number: float, like: SSAValue) -> SSAValue:
        """A constant of the shape and element type of `like`."""
        scalar = self.scalar(number, element_type_of(like))
        return self.broadcast_to(scalar, dims_of(like))

    def dims(self, dims: Sequence[DimLike]) -> SSAValue:
        """An i64 vector of these dims."""
        return self.emit(nn.DimsOp([Dim.of(d) for d in dims]))

    # ---- what is known at compile time

    def known(self, value: SSAValue) -> list[Dim] | None:
        """What an integer scalar or vector always holds, or None."""
        return self.known_values.dims(value)

    def known_ratios(self, value: SSAValue) -> list[Ratio] | None:
        """What a scalar or vector always holds as exact quotients, or None."""
        return self.known_values.ratios(value)

    def is_at_root(self, value: SSAValue) -> bool:
        """Whether a value is computed outside of all regions."""
        owner = value.owner
        return (owner if isinstance(owner, Block) else owner.parent) is self.root

    def elements(self, value: SSAValue) -> list[Dim | SSAValue] | None:
        """
        What a vector of integers holds: what is known, else i64 scalars.

        None if it is no scalar or vector of constant length, or a long one.
        """
        known = self.known(value)
        if known is not None:
            return list(known)
        shape = static_shape(value)
        if shape is None or len(shape) > 1 or not is_integer(element_type_of(value)):
            return None
        if math.prod(shape) > MAX_SIZES:
            return None
        parts = self._parts(value)
        if parts is not None:
            found = [self.elements(part) for part in parts]
            return [e for part in found if part is not None for e in part]
        with self.at_root(value):
            wide = self.cast(value, I64)
            if not shape:
                return [wide]
            return [self.take(wide, 0, i) for i in range(shape[0])]

    def _parts(self, value: SSAValue) -> Sequence[SSAValue] | None:
        """The vectors that a vector is put together from, if it is."""
        op = value.owner
        if isinstance(op, nn.ConcatOp):
            return op.operands
        if isinstance(op, nn.ReshapeOp | nn.DimCastOp) and rank_of(op.operand) <= 1:
            return op.operands
        if isinstance(op, ew.CastOp) and is_integer(element_type_of(op.operands[0])):
            return op.operands if element_type_of(value) == I64 else None
        return None

    @contextmanager
    def at_root(self, *values: SSAValue) -> Generator[None]:
        """Append outside of all regions for a while, if `values` are there as well."""
        if all(map(self.is_at_root, values)):
            with self.nested(self.root):
                yield
        else:
            yield

    def sizes(self, value: SSAValue, what: str) -> list[Dim]:
        """
        What a vector of sizes holds: dims that are known, else symbols of their own.

        The model then runs in stages: the run reads the symbols when the one that
        computes them is done, and is refused if one is negative.

        Raises:
            DependsOnDataError: sizes can be read only outside of loops and branches,
                and only from vectors of constant length.
        """
        elements = self.elements(value)
        if elements is None:
            raise DependsOnDataError(f"{what} must not depend on data", value)
        return [self.size(e, what) if isinstance(e, SSAValue) else e for e in elements]

    def size(self, scalar: SSAValue, what: str) -> Dim:
        """
        A symbol for an i64 scalar; see `sizes`.

        Raises:
            DependsOnDataError: it is computed in a loop or a branch.
        """
        known = self.known(scalar)
        if known is not None:
            return known[0]
        if scalar not in self._sizes:
            if not self.is_at_root(scalar):
                raise DependsOnDataError(f"{what} must not depend on data", scalar)
            place = "" if self._location is None else self._location.data
            dim = Dim.symbol(self.symbols.fresh(f"{place[-40:]}_size"))
            with self.nested(self.root):
                op = nn.DefineDimsOp(self.reshape(scalar, [1]), [dim], what)
                op.verify_()
                if self._location is not None:
                    op.attributes[LOCATION] = self._location
                self.block.add_op(op)
            self._sizes[scalar] = dim
        self.values_read.append(scalar)
        return self._sizes[scalar]

    def truncate(self, value: SSAValue, axis: int, count: SSAValue) -> SSAValue:
        """
        The first `count` elements along `axis`; `count` is one i64, scalar or vector.

        How many there are, the run reads from `count` when it is computed, and is
        refused if there are more than `value` has, or a negative number.

        Raises:
            DependsOnDataError: it is computed in a loop or a branch.
        """
        with self.at_root(count):
            scalar = self.reshape(count, [])
        size = self.size(scalar, "the number of elements")
        dims = list(dims_of(value))
        value = self.with_dim(value, axis, dim_max(dims[axis], size))
        dims[axis] = size
        return self.emit(nn.SliceOp(value, [0] * len(dims), dims))

    def dim_scalar(self, dim: DimLike) -> SSAValue:
        """A dim as an i64 scalar."""
        return self.reshape(self.dims([dim]), ())

    def constant_value(self, value: SSAValue) -> Array | None:
        """The array of a constant, or None; do not write to it."""
        return constant_value(value, self.weights)

    def constant_scalar(self, value: SSAValue) -> float | None:
        """The number that a constant of one element holds, or None."""
        array = self.constant_value(value)
        return None if array is None or array.size != 1 else array.item()

    def materialize_known(self) -> None:
        """
        Replace shape arithmetic that other ops read as data by its known result.

        Erase what nobody reads first: arithmetic that only converters asked for.
        """
        for op in list(self.block.ops):
            if len(op.results) != 1 or not self._is_read_as_data(op):
                continue
            result = op.results[0]
            elements = self.known_values.elements(result)
            assert elements is not None
            dims = cast("list[Dim]", list(elements.flat))
            if len(dims) > _MOST_WRITTEN_OUT and any(d.symbols for d in dims):
                continue
            last = self.block.last_op
            self.set_location(location_of(op))
            value = self.known_elements(dims, result)
            # Built at the end, as everything; its place is before the first reader.
            while (new_op := self.block.last_op) is not last:
                assert new_op is not None
                new_op.detach()
                self.block.insert_op_before(new_op, op)
                op = new_op
            result.replace_all_uses_with(value)

    def _is_read_as_data(self, op: Operation) -> bool:
        """Whether a known integer that `op` computes has a reader that is not one."""
        if isinstance(op, nn.ConstantOp | nn.WeightOp | nn.DimsOp):
            return False
        if isinstance(op, _SIZE_CASTS) and isinstance(op.operands[0].owner, nn.DimsOp):
            return False
        result = op.results[0]
        return self._is_known_integer(result) and any(
            not all(map(self._is_known_integer, use.operation.results))
            or not use.operation.results
            for use in result.uses
        )

    def _is_known_integer(self, value: SSAValue) -> bool:
        if not isinstance(value.type, TensorType) or is_float(element_type_of(value)):
            return False
        return self.known_values.elements(value) is not None

    def known_elements(self, dims: Sequence[Dim], like: SSAValue) -> SSAValue:
        """Known integers with the shape and element type of `like`."""
        shape, type_ = static_shape(like), element_type_of(like)
        assert shape is not None
        sizes = [v for d in dims if (v := d.as_int()) is not None]
        if len(sizes) == len(dims):
            # By way of objects: u64 has larger numbers than i64.
            array = np.array(sizes, object).astype(numpy_dtype(type_))
            return self.constant(array.reshape(shape))
        return self.cast(self.reshape(self.dims(dims), shape), type_)

    # ---- shapes

    def reshape(self, value: SSAValue, dims: Sequence[DimLike]) -> SSAValue:
        """`value` with other dims; itself if it has them already."""
        target = tuple(map(Dim.of, dims))
        if dims_of(value) == target:
            return value
        return self.emit(nn.ReshapeOp(value, target))

    def dim_cast(self, value: SSAValue, dims: Sequence[DimLike]) -> SSAValue:
        """
        State that `value` has these dims; itself if that is known.

        Raises:
            InvalidNodeError: it never has.
        """
        target = tuple(map(Dim.of, dims))
        if dims_of(value) == target:
            return value
        try:
            return self.emit(nn.DimCastOp(value, target))
        except VerifyException:
            raise InvalidNodeError(
                f"a tensor of shape {shape_text(value)} cannot have shape "
                f"{shape_text(target)}"
            ) from None

    def broadcast_to(self, value: SSAValue, dims: Sequence[DimLike]) -> SSAValue:
        """
        `value` repeated to `dims`; symbolic dims that differ are stated equal.

        Raises:
            InvalidNodeError: numpy's rule does not allow it.
        """
        target = tuple(map(Dim.of, dims))
        source = dims_of(value)
        if source == target:
            return value
        offset = len(target) - len(source)
        if offset < 0:
            raise InvalidNodeError(
                f"shape {shape_text(value)} does not broadcast to {shape_text(target)}"
            )
        one = Dim.of(1)
        cast = [d if d == one else target[offset + i] for i, d in enumerate(source)]
        value = self.dim_cast(value, cast)
        if tuple(cast) == target:
            return value
        return self.emit(nn.BroadcastOp(value, target))

    def broadcast(self, *values: SSAValue) -> list[SSAValue]:
        """
        All values with their common shape.

        Raises:
            InvalidNodeError: they have none.
        """
        shapes = [dims_of(v) for v in values]
        if all(s == shapes[0] for s in shapes):
            return list(values)
        dims = self.common_dims(*shapes)
        return [self.broadcast_to(v, dims) for v in values]

    def common_dims(self, *shapes: Sequence[Dim]) -> list[Dim]:
        """
        The shape that numpy's rule gives, symbolic dims that differ taken as equal.

        Raises:
            InvalidNodeError: there is none.
        """
        dims = merged_dims(*shapes)
        if dims is None:
            shown = ", ".join(map(shape_text, shapes))
            raise InvalidNodeError(f"shapes {shown} do not broadcast")
        return dims

    def equalize(
        self, values: Sequence[SSAValue], axes: Sequence[int]
    ) -> list[SSAValue]:
        """
        The values, whose dims on `axes` are stated equal where they differ.

        Raises:
            InvalidNodeError: constants differ, or ranks.
        """
        shapes = [list(dims_of(v)) for v in values]
        if len({len(s) for s in shapes}) > 1:
            shown = ", ".join(map(shape_text, shapes))
            raise InvalidNodeError(f"shapes {shown} differ in rank")
        for axis in axes:
            dim = simplest([s[axis] for s in shapes])
            for shape in shapes:
                shape[axis] = dim
        return [self.dim_cast(v, s) for v, s in zip(values, shapes, strict=True)]

    def with_dim(self, value: SSAValue, axis: int, dim: DimLike) -> SSAValue:
        """`value`, whose dim on `axis` is stated to be `dim`."""
        dims = list(dims_of(value))
        dims[axis] = Dim.of(dim)
        return self.dim_cast(value, dims)

    def transpose(self, value: SSAValue, permutation: Sequence[int]) -> SSAValue:
        """`value` with its axes permuted; itself if they stay."""
        if list(permutation) == list(range(rank_of(value))):
            return value
        return self.emit(nn.TransposeOp(value, permutation))

    def slice(
        self,
        value: SSAValue,
        starts: Sequence[DimLike],
        ends: Sequence[DimLike],
        axes: Sequence[int],
        steps: Sequence[int],
    ) -> SSAValue:
        """Python's slicing on some axes; bounds may be negative or too large."""
        dims = dims_of(value)
        ranges = [SliceRange(Dim.of(0), d, d) for d in dims]
        strides = [1] * len(dims)
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            if step == 0:
                raise InvalidNodeError(f"the step of axis {axis} is 0")
            ranges[axis] = slice_range(dims[axis], start, end, step)
            strides[axis] = step
        return self._slice(value, ranges, strides)

    def take(self, value: SSAValue, axis: int, index: int) -> SSAValue:
        """
        The slice at a constant `index` of `axis`, which goes.

        Raises:
            InvalidNodeError: the index is outside of the axis.
        """
        dims = dims_of(value)
        size = dims[axis].as_int()
        if size is not None and not -size <= index < size:
            raise InvalidNodeError(f"index {index} is outside of axis {axis} of {size}")
        ranges = [SliceRange(Dim.of(0), d, d) for d in dims]
        ranges[axis] = single_element(dims[axis], index)
        part = self._slice(value, ranges, [1] * len(dims))
        return self.reshape(part, [*dims[:axis], *dims[axis + 1 :]])

    def slice_range(
        self, value: SSAValue, axis: int, picked: SliceRange, step: int
    ) -> SSAValue:
        """What is picked of one axis."""
        dims = dims_of(value)
        ranges = [SliceRange(Dim.of(0), d, d) for d in dims]
        ranges[axis] = picked
        strides = [1] * len(dims)
        strides[axis] = step
        return self._slice(value, ranges, strides)

    def _slice(
        self, value: SSAValue, ranges: Sequence[SliceRange], steps: Sequence[int]
    ) -> SSAValue:
        value = self.dim_cast(value, [r.required for r in ranges])
        sizes = tuple(r.size for r in ranges)
        if dims_of(value) == sizes and all(s == 1 for s in steps):
            return value
        return self.emit(nn.SliceOp(value, [r.offset for r in ranges], sizes, steps))

    # ---- arithmetic

    def unary(self, op: type[UnaryOp], operand: SSAValue) -> SSAValue:
        """One of the ops with one operand."""
        return self.emit(op(operand))

    def binary(self, op: type[BinaryOp], lhs: Operand, rhs: Operand) -> SSAValue:
        """One of the ops with two operands, which broadcast first."""
        left, right = self.broadcast(*self.values(lhs, rhs))
        return self.emit(op(left, right))

    def values(self, *operands: Operand) -> list[SSAValue]:
        """Operands as values: numbers take the element type of the first value."""
        first = next(o for o in operands if isinstance(o, SSAValue))
        return [
            o if isinstance(o, SSAValue) else self.scalar(o, element_type_of(first))
            for o in operands
        ]

    def add(self, lhs: Operand, rhs: Operand) -> SSAValue:
        """`lhs + rhs`."""
        return self.binary(ew.AddOp, lhs, rhs)

    def sub(self, lhs: Operand, rhs: Operand) -> SSAValue:
        """`lhs - rhs`."""
        return self.binary(ew.SubOp, lhs, rhs)

    def mul(self, lhs: Operand, rhs: Operand) -> SSAValue:
        """`lhs * rhs`."""
        return self.binary(ew.MulOp, lhs, rhs)

    def div(self, lhs: Operand, rhs: Operand) -> SSAValue:
        """`lhs / rhs`."""
        return self.binary(ew.DivOp, lhs, rhs)

    def compare(self, lhs: Operand, rhs: Operand, predicate: ew.Predicate) -> SSAValue:
        """Booleans: where `lhs predicate rhs`."""
        left, right = self.broadcast(*self.values(lhs, rhs))
        return self.emit(ew.CompareOp(left, right, predicate))

    def select(self, condition: SSAValue, yes: Operand, no: Operand) -> SSAValue:
        """`yes` where `condition` holds, else `no`."""
        on_true, on_false = self.values(yes, no)
        condition, on_true, on_false = self.broadcast(condition, on_true, on_false)
        return self.emit(ew.SelectOp(condition, on_true, on_false))

    def cast(
        self,
        value: SSAValue,
        element_type: Attribute,
        *,
        saturate: bool = True,
        round_mode: str = "up",
    ) -> SSAValue:
        """`value` with another element type; itself if it has that already."""
        if element_type_of(value) == element_type:
            return value
        op = ew.CastOp(value, element_type, saturate=saturate, round_mode=round_mode)
        return self.emit(op)

    def reduce(
        self,
        value: SSAValue,
        kind: ReduceKind,
        axes: Sequence[int],
        keep_dims: bool = True,
    ) -> SSAValue:
        """`value` reduced over axes; itself if there are none."""
        if not axes:
            return value
        return self.emit(nn.ReduceOp(value, kind, axes, keep_dims))

    def iota(
        self, dims: Sequence[DimLike], axis: int, element_type: Attribute
    ) -> SSAValue:
        """Positions along `axis`."""
        return self.emit(nn.IotaOp(tensor_type(element_type, dims), axis))

    def concat(self, values: Sequence[SSAValue], axis: int) -> SSAValue:
        """The values one after another along `axis`."""
        others = [a for a in range(rank_of(values[0])) if a != axis]
        values = self.equalize(values, others)
        if len(values) == 1:
            return values[0]
        return self.emit(nn.ConcatOp(values, axis))

    def matmul(self, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        """
        The product of matrices; dims that must agree are stated equal.

        Raises:
            InvalidNodeError: they never do.
        """
        left, right = list(dims_of(lhs)), list(dims_of(rhs))
        if min(len(left), len(right)) < 2:
            raise InvalidNodeError(f"{lhs.type} and {rhs.type} are no matrices")
        batch = self.common_dims(left[:-2], right[:-2])
        inner = (left[-1].as_int(), right[-2].as_int())
        if None not in inner and inner[0] != inner[1]:
            raise InvalidNodeError(
                f"matrices of shapes {shape_text(lhs)} and {shape_text(rhs)} cannot be "
                f"multiplied: {inner[0]} columns, {inner[1]} rows"
            )
        depth = simplest([left[-1], right[-2]])
        for dims in (left, right):
            for i in range(len(dims) - 2):
                if dims[i] != 1:
                    dims[i] = batch[i - (len(dims) - 2)]
        left[-1] = right[-2] = depth
        return self.emit(
            nn.MatmulOp(self.dim_cast(lhs, left), self.dim_cast(rhs, right))
        )


def ascii_name(name: str) -> str:
    """`name` with other characters than ASCII escaped: xDSL parses those as bytes."""
    return name if name.isascii() else name.encode("ascii", "backslashreplace").decode()


def shape_text(shape: SSAValue | Sequence[Dim]) -> str:
    """A shape as errors show it: `[N, 3, 224]`."""
    dims = dims_of(shape) if isinstance(shape, SSAValue) else shape
    return f"[{', '.join(map(str, dims))}]"


def dims_of_rank(value: SSAValue, rank: int, what: str) -> tuple[Dim, ...]:
    """
    The dims of a value that must have so many axes.

    Raises:
        InvalidNodeError: it has others.
    """
    dims = dims_of(value)
    if len(dims) != rank:
        raise InvalidNodeError(f"{what} must have {rank} axes: {shape_text(value)}")
    return dims


def require_sizes(dims: Sequence[Dim], what: str) -> None:
    """
    Check that none of `dims` is known to be negative.

    Raises:
        InvalidNodeError: one is.
    """
    negative = [d for d in dims if (v := d.as_int()) is not None and v < 0]
    if negative:
        raise InvalidNodeError(f"{what} holds {negative[0]}")


def erase_dead_ops(block: Block) -> None:
    """Erase the ops of `block` whose results nobody uses, save the terminator."""
    op: Operation | None = block.last_op
    while op is not None:
        previous = op.prev_op
        if op.results and not any(r.first_use is not None for r in op.results):
            op.detach()
            op.erase()
        op = previous


__all__ = [
    "Builder",
    "InvalidNodeError",
    "Operand",
    "UnsupportedError",
    "ascii_name",
    "dims_of_rank",
    "erase_dead_ops",
    "require_sizes",
    "shape_text",
]
