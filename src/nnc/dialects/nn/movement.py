"""Ops that move elements and compute nothing: views, padding, gathering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, cast, get_args

from xdsl.dialects.builtin import (
    DenseArrayBase,
    Float64Type,
    IntegerAttr,
    StringAttr,
    TensorType,
    f64,
)
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    var_operand_def,
)
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import (
    NULLARY_FORMAT,
    Elements,
    NnOp,
    ints,
    normalized_axis,
    require_elements,
    require_same_element_type,
)
from nnc.dialects.nn.types import (
    NnTensorType,
    ShapeAttr,
    dims_of,
    element_type_of,
    rank_of,
    tensor_type,
)
from nnc.symbolic import DimLike, dim_product


@irdl_op_definition
class ReshapeOp(NnOp):
    """
    The same elements in row-major order under another shape.

    Element counts must be equal: proven where dims are constants, else checked when the
    model runs.
    """

    name = "nn.reshape"

    operand = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, operand: SSAValue | Operation, dims: Sequence[DimLike]) -> None:
        operand = SSAValue.get(operand)
        super().__init__(
            [operand], result_types=[tensor_type(element_type_of(operand), dims)]
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        before = dim_product(dims_of(self.operand))
        after = dim_product(dims_of(self.result))
        difference = (before - after).as_int()
        if difference is not None and difference != 0:
            raise VerifyException(
                f"{self.name}: {before} elements cannot become {after}"
            )
        return [tensor_type(element_type_of(self.operand), dims_of(self.result))]


@irdl_op_definition
class TransposeOp(NnOp):
    """Axes permuted: result axis `i` is operand axis `permutation[i]`."""

    name = "nn.transpose"

    operand = operand_def(TensorType)
    permutation = prop_def(DenseArrayBase)
    result = result_def(TensorType)

    def __init__(
        self, operand: SSAValue | Operation, permutation: Sequence[int]
    ) -> None:
        super().__init__([operand], {"permutation": list(permutation)})

    @property
    def axes(self) -> tuple[int, ...]:
        """The permutation."""
        return ints(self.permutation)

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims = dims_of(self.operand)
        if sorted(self.axes) != list(range(len(dims))):
            raise VerifyException(
                f"{self.name}: {list(self.axes)} is no permutation of the "
                f"{len(dims)} axes of {self.operand.type}"
            )
        return [
            tensor_type(element_type_of(self.operand), [dims[a] for a in self.axes])
        ]


@irdl_op_definition
class BroadcastOp(NnOp):
    """The operand repeated along axes of size 1 and new leading axes (numpy's rule)."""

    name = "nn.broadcast"

    operand = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, operand: SSAValue | Operation, dims: Sequence[DimLike]) -> None:
        operand = SSAValue.get(operand)
        super().__init__(
            [operand], result_types=[tensor_type(element_type_of(operand), dims)]
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        source, target = dims_of(self.operand), dims_of(self.result)
        offset = len(target) - len(source)
        if offset < 0 or any(
            d != 1 and d != target[offset + i] for i, d in enumerate(source)
        ):
            raise VerifyException(
                f"{self.name}: {self.operand.type} does not broadcast to "
                f"{self.result.type}"
            )
        return [tensor_type(element_type_of(self.operand), target)]


@irdl_op_definition
class DimCastOp(NnOp):
    """
    The same tensor under other names for its dims.

    States that each dim equals the one of the result; checked when the model runs,
    before any kernel. `tensor<?xf32, #nn.shape<A>>` to `tensor<?xf32, #nn.shape<B>>`.
    """

    name = "nn.dim_cast"

    operand = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, operand: SSAValue | Operation, dims: Sequence[DimLike]) -> None:
        operand = SSAValue.get(operand)
        super().__init__(
            [operand], result_types=[tensor_type(element_type_of(operand), dims)]
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        before, after = dims_of(self.operand), dims_of(self.result)
        differences = [(a - b).as_int() for a, b in zip(before, after, strict=False)]
        if len(before) != len(after) or any(d not in (None, 0) for d in differences):
            raise VerifyException(
                f"{self.name}: {self.operand.type} can never be {self.result.type}"
            )
        return [tensor_type(element_type_of(self.operand), after)]


@irdl_op_definition
class SliceOp(NnOp):
    """
    A strided box: element `i` of an axis is operand element `offset + i * step`.

    The size comes from the result type. Offsets are dims and already count from the
    front and lie inside; steps are non-zero constants, negative ones walk backwards.
    """

    name = "nn.slice"

    operand = operand_def(TensorType)
    offsets = prop_def(ShapeAttr)
    steps = prop_def(DenseArrayBase)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        offsets: Sequence[DimLike],
        sizes: Sequence[DimLike],
        steps: Sequence[int] | None = None,
    ) -> None:
        operand = SSAValue.get(operand)
        super().__init__(
            [operand],
            {
                "offsets": ShapeAttr.of(offsets),
                "steps": list(steps or [1] * len(offsets)),
            },
            result_types=[tensor_type(element_type_of(operand), sizes)],
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims, sizes = dims_of(self.operand), dims_of(self.result)
        offsets, steps = self.offsets.dims, ints(self.steps)
        if not len(dims) == len(sizes) == len(offsets) == len(steps):
            raise VerifyException(
                f"{self.name}: offsets, steps and result must have rank {len(dims)}"
            )
        for axis, (dim, size, offset, step) in enumerate(
            zip(dims, sizes, offsets, steps, strict=True)
        ):
            if step == 0:
                raise VerifyException(f"{self.name}: step 0 on axis {axis}")
            ends = (offset, offset + (size - 1) * step)
            outside = [
                e
                for e in ends
                if (v := e.as_int()) is not None
                and (v < 0 or ((n := dim.as_int()) is not None and v >= n))
            ]
            if outside and size != 0:
                raise VerifyException(
                    f"{self.name}: index {outside[0]} of axis {axis} is outside of "
                    f"size {dim}"
                )
        return [tensor_type(element_type_of(self.operand), sizes)]


PadMode = Literal["constant", "reflect", "edge", "wrap"]


@irdl_op_definition
class PadOp(NnOp):
    """
    The operand with `low` and `high` elements added on each axis.

    Mode `constant` fills with the scalar `value` (zero if absent); `edge` repeats the
    border element, `reflect` mirrors without repeating it, `wrap` continues from the
    other side. Negative padding is a slice, not a pad.
    """

    name = "nn.pad"

    operand = operand_def(TensorType)
    value = opt_operand_def(TensorType)
    low = prop_def(ShapeAttr)
    high = prop_def(ShapeAttr)
    mode = prop_def(StringAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        low: Sequence[DimLike],
        high: Sequence[DimLike],
        value: SSAValue | None = None,
        mode: PadMode = "constant",
    ) -> None:
        super().__init__(
            [operand, value],
            {"low": ShapeAttr.of(low), "high": ShapeAttr.of(high), "mode": mode},
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims, low, high = dims_of(self.operand), self.low.dims, self.high.dims
        if not len(dims) == len(low) == len(high):
            raise VerifyException(
                f"{self.name}: low and high must have rank {len(dims)}"
            )
        if self.mode.data not in get_args(PadMode):
            raise VerifyException(f"{self.name}: unknown mode '{self.mode.data}'")
        for amount in (*low, *high):
            if (fixed := amount.as_int()) is not None and fixed < 0:
                raise VerifyException(f"{self.name}: negative padding {fixed}")
        if self.value is not None:
            require_same_element_type(self, self.operand, self.value)
            if rank_of(self.value) != 0:
                raise VerifyException(f"{self.name}: the value must be a scalar")
        return [
            tensor_type(
                element_type_of(self.operand),
                [a + d + b for a, d, b in zip(low, dims, high, strict=True)],
            )
        ]


@irdl_op_definition
class ConcatOp(NnOp):
    """The operands one after another along `axis`."""

    name = "nn.concat"

    arguments = var_operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def __init__(self, arguments: Sequence[SSAValue], axis: int) -> None:
        super().__init__([arguments], {"axis": axis})

    def inferred_types(self) -> Sequence[NnTensorType]:
        if not self.arguments:
            raise VerifyException(f"{self.name}: no operands")
        require_same_element_type(self, *self.arguments)
        axis = normalized_axis(self, self.axis.value.data, rank_of(self.arguments[0]))
        first, *others = [list(dims_of(a)) for a in self.arguments]
        total = first[axis]
        for dims in others:
            total = total + dims[axis]
            if [*dims[:axis], *dims[axis + 1 :]] != [*first[:axis], *first[axis + 1 :]]:
                raise VerifyException(
                    f"{self.name}: operands differ outside of axis {axis}: "
                    + ", ".join(str(a.type) for a in self.arguments)
                )
        first[axis] = total
        return [tensor_type(element_type_of(self.arguments[0]), first)]


@irdl_op_definition
class GatherOp(NnOp):
    """
    Slices of `operand` along `axis`, picked by an index tensor (ONNX Gather).

    `result[p..., i..., q...] = operand[p..., indices[i...], q...]`. Indices in
    [-size, size); others end the run with `IndexOutOfRange`.
    """

    name = "nn.gather"

    operand = operand_def(TensorType)
    indices = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        indices: SSAValue | Operation,
        axis: int = 0,
    ) -> None:
        super().__init__([operand, indices], {"axis": axis})

    def inferred_types(self) -> Sequence[NnTensorType]:
        require_elements(self, Elements.INTEGER, self.indices, "index tensor")
        dims = dims_of(self.operand)
        axis = normalized_axis(self, self.axis.value.data, len(dims))
        return [
            tensor_type(
                element_type_of(self.operand),
                [*dims[:axis], *dims_of(self.indices), *dims[axis + 1 :]],
            )
        ]


@irdl_op_definition
class GatherElementsOp(NnOp):
    """
    One element of `operand` for each index (ONNX GatherElements).

    `result[i, j, k] = operand[indices[i, j, k], j, k]` for axis 0.
    """

    name = "nn.gather_elements"

    operand = operand_def(TensorType)
    indices = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        indices: SSAValue | Operation,
        axis: int = 0,
    ) -> None:
        super().__init__([operand, indices], {"axis": axis})

    def inferred_types(self) -> Sequence[NnTensorType]:
        require_elements(self, Elements.INTEGER, self.indices, "index tensor")
        dims, sizes = dims_of(self.operand), dims_of(self.indices)
        axis = normalized_axis(self, self.axis.value.data, len(dims))
        if len(dims) != len(sizes):
            raise VerifyException(f"{self.name}: operand and indices differ in rank")
        for i, (dim, size) in enumerate(zip(dims, sizes, strict=True)):
            available = (dim - size).as_int()
            if i != axis and available is not None and available < 0:
                raise VerifyException(
                    f"{self.name}: {size} indices on axis {i} of size {dim}"
                )
        return [tensor_type(element_type_of(self.operand), sizes)]


@irdl_op_definition
class IotaOp(NnOp):
    """`0, 1, 2, ...` along `axis`, constant along the others."""

    name = "nn.iota"
    assembly_format = NULLARY_FORMAT

    axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def __init__(self, type: NnTensorType, axis: int = 0) -> None:
        super().__init__([], {"axis": axis}, result_types=[type])

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims = dims_of(self.result)
        normalized_axis(self, self.axis.value.data, len(dims))
        require_elements(self, Elements.NUMBER, self.result, "result")
        return [tensor_type(element_type_of(self.result), dims)]


ResizeMode = Literal["nearest", "linear", "cubic"]
CoordinateMode = Literal[
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
]
NearestMode = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


@irdl_op_definition
class ResizeOp(NnOp):
    """
    The operand sampled on a grid of another size (ONNX Resize).

    The output size comes from the result type. `scales` (one float an axis) maps
    coordinates; where absent, the ratio of the sizes does. A scale times the size is a
    length, which may lie above the output size. Axes whose sizes agree and
    whose scale is 1 are copied. Points beyond the border take its elements; the cubic
    coefficient is -0.75; integers round to even. An empty axis cannot grow.
    """

    name = "nn.resize"
    ELEMENTS: ClassVar = Elements.NUMBER

    operand = operand_def(TensorType)
    scales = prop_def(DenseArrayBase)
    mode = prop_def(StringAttr)
    coordinate_mode = prop_def(StringAttr)
    nearest_mode = prop_def(StringAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        dims: Sequence[DimLike],
        scales: Sequence[float] | None = None,
        mode: ResizeMode = "nearest",
        coordinate_mode: CoordinateMode = "half_pixel",
        nearest_mode: NearestMode = "round_prefer_floor",
    ) -> None:
        operand = SSAValue.get(operand)
        super().__init__(
            [operand],
            {
                "scales": DenseArrayBase.from_list(f64, list(scales or ())),
                "mode": mode,
                "coordinate_mode": coordinate_mode,
                "nearest_mode": nearest_mode,
            },
            result_types=[tensor_type(element_type_of(operand), dims)],
        )

    @property
    def scale_values(self) -> tuple[float, ...]:
        """One scale an axis, or none."""
        scales = cast("DenseArrayBase[Float64Type]", self.scales)
        return tuple(float(s) for s in scales.get_values())

    def inferred_types(self) -> Sequence[NnTensorType]:
        for value, known in (
            (self.mode.data, get_args(ResizeMode)),
            (self.coordinate_mode.data, get_args(CoordinateMode)),
            (self.nearest_mode.data, get_args(NearestMode)),
        ):
            if value not in known:
                raise VerifyException(f"{self.name}: unknown mode '{value}'")
        rank = rank_of(self.operand)
        if rank_of(self.result) != rank or len(self.scales) not in (0, rank):
            raise VerifyException(
                f"{self.name}: result and scales must have rank {rank}"
            )
        return [tensor_type(element_type_of(self.operand), dims_of(self.result))]


VIEW_OPS: tuple[type[NnOp], ...] = (
    ReshapeOp,
    TransposeOp,
    BroadcastOp,
    DimCastOp,
    SliceOp,
)
"""Ops whose result is the operand's storage seen through other strides."""

__all__ = [
    "VIEW_OPS",
    "BroadcastOp",
    "ConcatOp",
    "CoordinateMode",
    "DimCastOp",
    "GatherElementsOp",
    "GatherOp",
    "IotaOp",
    "NearestMode",
    "PadMode",
    "PadOp",
    "ReshapeOp",
    "ResizeMode",
    "ResizeOp",
    "SliceOp",
    "TransposeOp",
]
