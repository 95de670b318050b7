"""Reductions, and the normalisations that are built on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

from xdsl.dialects.builtin import (
    BoolAttr,
    DenseArrayBase,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
)
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
)
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import (
    Elements,
    NnOp,
    ints,
    normalized_axis,
    require_elements,
    require_same_element_type,
)
from nnc.dialects.nn.types import (
    I64,
    NnTensorType,
    dims_of,
    element_type_of,
    rank_of,
    tensor_type,
)
from nnc.symbolic import Dim

ReduceKind = Literal["sum", "mean", "max", "min", "prod", "and", "or"]
REDUCE_KINDS: tuple[ReduceKind, ...] = (
    "sum",
    "mean",
    "max",
    "min",
    "prod",
    "and",
    "or",
)


@irdl_op_definition
class ReduceOp(NnOp):
    """
    The operand reduced over `axes`, which stay as size 1 if `keep_dims`.

    Of no elements: sum 0, product 1, mean NaN, max -inf (or the smallest value), min
    +inf (or the largest). NaN propagates through max and min. Means of integers
    truncate. Kinds `and` and `or` are for booleans, the others for numbers.
    """

    name = "nn.reduce"

    operand = operand_def(TensorType)
    kind = prop_def(StringAttr)
    axes = prop_def(DenseArrayBase)
    keep_dims = prop_def(BoolAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        kind: ReduceKind,
        axes: Sequence[int],
        keep_dims: bool = True,
    ) -> None:
        super().__init__(
            [operand], {"kind": kind, "axes": list(axes), "keep_dims": keep_dims}
        )

    @property
    def reduced_axes(self) -> tuple[int, ...]:
        """The axes, counted from the front, ascending."""
        rank = rank_of(self.operand)
        return tuple(sorted(normalized_axis(self, a, rank) for a in ints(self.axes)))

    def inferred_types(self) -> Sequence[NnTensorType]:
        if self.kind.data not in REDUCE_KINDS:
            raise VerifyException(f"{self.name}: unknown kind '{self.kind.data}'")
        logical = self.kind.data in ("and", "or")
        require_elements(
            self, Elements.BOOL if logical else Elements.NUMBER, self.operand
        )
        axes = self.reduced_axes
        if len(set(axes)) != len(axes):
            raise VerifyException(f"{self.name}: an axis is named twice in {axes}")
        keep = bool(self.keep_dims.value.data)
        dims = [
            Dim.of(1) if i in axes else d
            for i, d in enumerate(dims_of(self.operand))
            if keep or i not in axes
        ]
        return [tensor_type(element_type_of(self.operand), dims)]


ArgReduceKind = Literal["max", "min"]


@irdl_op_definition
class ArgReduceOp(NnOp):
    """
    The i64 position of the largest or smallest element along `axis`.

    Of equal elements the first, or with `select_last` the last one counts; NaN counts
    as the largest and as the smallest element. An empty axis ends the run in an error.
    """

    name = "nn.arg_reduce"
    ELEMENTS: ClassVar = Elements.NUMBER

    operand = operand_def(TensorType)
    kind = prop_def(StringAttr)
    axis = prop_def(IntegerAttr)
    keep_dims = prop_def(BoolAttr)
    select_last = prop_def(BoolAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        kind: ArgReduceKind,
        axis: int,
        keep_dims: bool = True,
        select_last: bool = False,
    ) -> None:
        super().__init__(
            [operand],
            {
                "kind": kind,
                "axis": axis,
                "keep_dims": keep_dims,
                "select_last": select_last,
            },
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        if self.kind.data not in ("max", "min"):
            raise VerifyException(f"{self.name}: unknown kind '{self.kind.data}'")
        dims = list(dims_of(self.operand))
        axis = normalized_axis(self, self.axis.value.data, len(dims))
        keep = bool(self.keep_dims.value.data)
        dims[axis : axis + 1] = [Dim.of(1)] if keep else []
        return [tensor_type(I64, dims)]


CumulativeKind = Literal["sum", "prod"]


@irdl_op_definition
class CumulativeOp(NnOp):
    """
    Running sums or products along `axis`; `exclusive` leaves out the element itself.

    Example: `nn.cumulative %x {kind = "sum", axis = 0 : i64, ...}`.
    """

    name = "nn.cumulative"
    ELEMENTS: ClassVar = Elements.NUMBER

    operand = operand_def(TensorType)
    kind = prop_def(StringAttr)
    axis = prop_def(IntegerAttr)
    exclusive = prop_def(BoolAttr)
    reverse = prop_def(BoolAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        axis: int,
        exclusive: bool = False,
        reverse: bool = False,
        kind: CumulativeKind = "sum",
    ) -> None:
        super().__init__(
            [operand],
            {"kind": kind, "axis": axis, "exclusive": exclusive, "reverse": reverse},
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        if self.kind.data not in get_args(CumulativeKind):
            raise VerifyException(f"{self.name}: unknown kind '{self.kind.data}'")
        normalized_axis(self, self.axis.value.data, rank_of(self.operand))
        return [tensor_type(element_type_of(self.operand), dims_of(self.operand))]


@irdl_op_definition
class SoftmaxOp(NnOp):
    """`e^x / sum(e^x)` along `axis`, computed from `x - max(x)`."""

    name = "nn.softmax"
    ELEMENTS: ClassVar = Elements.FLOAT

    operand = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def __init__(self, operand: SSAValue | Operation, axis: int = -1) -> None:
        super().__init__([operand], {"axis": axis})

    def inferred_types(self) -> Sequence[NnTensorType]:
        normalized_axis(self, self.axis.value.data, rank_of(self.operand))
        return [tensor_type(element_type_of(self.operand), dims_of(self.operand))]


@irdl_op_definition
class LayerNormOp(NnOp):
    """
    `(x - mean) / sqrt(variance + epsilon) * scale + bias` over the trailing axes.

    Mean and (biased) variance are taken over the axes from `axis` on; scale and bias,
    where present, have exactly the dims of those axes.
    """

    name = "nn.layer_norm"
    ELEMENTS: ClassVar = Elements.FLOAT

    operand = operand_def(TensorType)
    scale = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    epsilon = prop_def(FloatAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        scale: SSAValue | Operation,
        bias: SSAValue | None = None,
        axis: int = -1,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__(
            [operand, scale, bias], {"axis": axis, "epsilon": float(epsilon)}
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims = dims_of(self.operand)
        axis = normalized_axis(self, self.axis.value.data, len(dims))
        for parameter in (self.scale, self.bias):
            if parameter is None:
                continue
            require_same_element_type(self, self.operand, parameter)
            if dims_of(parameter) != dims[axis:]:
                raise VerifyException(
                    f"{self.name}: scale and bias must have the dims from axis {axis} "
                    f"of {self.operand.type}, got {parameter.type}"
                )
        return [tensor_type(element_type_of(self.operand), dims)]


@irdl_op_definition
class BatchNormOp(NnOp):
    """
    `(x - mean) / sqrt(variance + epsilon) * scale + bias`, one value a channel.

    Channels are `axis`; the four parameters are vectors of that size. Inference only.
    """

    name = "nn.batch_norm"
    ELEMENTS: ClassVar = Elements.FLOAT

    operand = operand_def(TensorType)
    scale = operand_def(TensorType)
    bias = operand_def(TensorType)
    mean = operand_def(TensorType)
    variance = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    epsilon = prop_def(FloatAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        scale: SSAValue | Operation,
        bias: SSAValue | Operation,
        mean: SSAValue | Operation,
        variance: SSAValue | Operation,
        axis: int = 1,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__(
            [operand, scale, bias, mean, variance],
            {"axis": axis, "epsilon": float(epsilon)},
        )

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims = dims_of(self.operand)
        axis = normalized_axis(self, self.axis.value.data, len(dims))
        for parameter in (self.scale, self.bias, self.mean, self.variance):
            require_same_element_type(self, self.operand, parameter)
            if dims_of(parameter) != (dims[axis],):
                raise VerifyException(
                    f"{self.name}: parameters must have {dims[axis]} elements, got "
                    f"{parameter.type}"
                )
        return [tensor_type(element_type_of(self.operand), dims)]
