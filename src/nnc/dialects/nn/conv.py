"""
Windowed ops: convolution and its transpose, pooling. Any number of spatial axes.

Layouts: `channels_first` is `[N, C, spatial...]` with filters `[O, C/groups, k...]`;
`channels_last` is `[N, spatial..., C]` with filters `[k..., C/groups, O]`. A transposed
convolution's filters are `[C, O/groups, k...]` or `[k..., O/groups, C]`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar, Literal

from xdsl.dialects.builtin import (
    BoolAttr,
    DenseArrayBase,
    IntegerAttr,
    StringAttr,
    TensorType,
)
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import (
    Elements,
    NnOp,
    PropertyValue,
    ints,
    require_same_element_type,
)
from nnc.dialects.nn.shapes import window_output_dim
from nnc.dialects.nn.types import (
    NnTensorType,
    ShapeAttr,
    dims_of,
    element_type_of,
    rank_of,
    tensor_type,
)
from nnc.symbolic import Dim, DimLike

Layout = Literal["channels_first", "channels_last"]
CHANNELS_FIRST: Layout = "channels_first"
CHANNELS_LAST: Layout = "channels_last"


class WindowOp(NnOp, ABC):
    """
    A window of `kernel` sliding over the padded spatial axes of `input`.

    `padding` holds the low amounts of all spatial axes, then the high ones.
    """

    # Definitions are collected from subclass to base: the first operand has to
    # be declared in the concrete op to come first; `input` names it for all of them.
    strides = prop_def(DenseArrayBase)
    dilations = prop_def(DenseArrayBase)
    padding = prop_def(ShapeAttr)
    layout = prop_def(StringAttr)
    result = result_def(TensorType)

    @property
    def input(self) -> SSAValue:
        """The tensor that the window slides over."""
        return self.operands[0]

    @property
    def spatial_rank(self) -> int:
        """The number of spatial axes."""
        return rank_of(self.input) - 2

    @property
    def channels_last(self) -> bool:
        """Whether the layout is `channels_last`."""
        return self.layout.data == CHANNELS_LAST

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """The positions of the spatial axes in input and result."""
        first = 1 if self.channels_last else 2
        return tuple(range(first, first + self.spatial_rank))

    @property
    def channel_axis(self) -> int:
        """The position of the channel axis in input and result."""
        return rank_of(self.input) - 1 if self.channels_last else 1

    @property
    def low_padding(self) -> tuple[Dim, ...]:
        """Padding before each spatial axis."""
        return self.padding.dims[: self.spatial_rank]

    @property
    def high_padding(self) -> tuple[Dim, ...]:
        """Padding after each spatial axis."""
        return self.padding.dims[self.spatial_rank :]

    def check_window(self, kernel: Sequence[int]) -> None:
        """
        Check that the window's properties fit the input.

        Raises:
            VerifyException: they do not.
        """
        rank = self.spatial_rank
        if rank < 1:
            raise VerifyException(f"{self.name}: the input has no spatial axis")
        if self.layout.data not in (CHANNELS_FIRST, CHANNELS_LAST):
            raise VerifyException(f"{self.name}: unknown layout '{self.layout.data}'")
        strides, dilations = ints(self.strides), ints(self.dilations)
        if not len(kernel) == len(strides) == len(dilations) == rank:
            raise VerifyException(
                f"{self.name}: kernel, strides and dilations need {rank} values"
            )
        if len(self.padding.dims) != 2 * rank:
            raise VerifyException(f"{self.name}: padding needs {2 * rank} values")
        if min(*kernel, *strides, *dilations) < 1:
            raise VerifyException(
                f"{self.name}: kernel, strides and dilations must be positive"
            )
        for amount in self.padding.dims:
            if (fixed := amount.as_int()) is not None and fixed < 0:
                raise VerifyException(f"{self.name}: negative padding {fixed}")

    def output_dims(
        self, channels: DimLike, kernel: Sequence[int], ceil_mode: bool = False
    ) -> list[Dim]:
        """The result dims for `channels` output channels."""
        dims = list(dims_of(self.input))
        strides, dilations = ints(self.strides), ints(self.dilations)
        padding = self.padding.dims
        for i, axis in enumerate(self.spatial_axes):
            low, high = padding[i], padding[i + self.spatial_rank]
            dims[axis] = window_output_dim(
                dims[axis], kernel[i], strides[i], dilations[i], low, high, ceil_mode
            )
        dims[self.channel_axis] = Dim.of(channels)
        return dims


def _window_properties(
    rank: int,
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
    padding: Sequence[DimLike] | None,
    layout: Layout,
) -> dict[str, PropertyValue]:
    return {
        "strides": list(strides or [1] * rank),
        "dilations": list(dilations or [1] * rank),
        "padding": ShapeAttr.of(padding or [0] * 2 * rank),
        "layout": layout,
    }


@irdl_op_definition
class ConvOp(WindowOp):
    """
    Convolution (cross-correlation) of `input` with `filter`; bias is a separate add.

    Example: `nn.conv %x, %w {strides = array<i64: 2, 2>, ..., groups = 1 : i64}`.
    """

    name = "nn.conv"
    ELEMENTS: ClassVar = Elements.NUMBER

    image = operand_def(TensorType)
    filter = operand_def(TensorType)
    groups = prop_def(IntegerAttr)

    def __init__(
        self,
        input: SSAValue | Operation,
        filter: SSAValue | Operation,
        *,
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        padding: Sequence[DimLike] | None = None,
        groups: int = 1,
        layout: Layout = CHANNELS_FIRST,
    ) -> None:
        input = SSAValue.get(input)
        properties = _window_properties(
            rank_of(input) - 2, strides, dilations, padding, layout
        )
        super().__init__([input, filter], {**properties, "groups": groups})

    @property
    def kernel(self) -> tuple[int, ...]:
        """
        The spatial sizes of the filter.

        Raises:
            VerifyException: they are not constants.
        """
        dims = dims_of(self.filter)
        return _constant_dims(self, dims[:-2] if self.channels_last else dims[2:])

    def inferred_types(self) -> Sequence[NnTensorType]:
        require_same_element_type(self, self.input, self.filter)
        if rank_of(self.filter) != rank_of(self.input):
            raise VerifyException(f"{self.name}: input and filter differ in rank")
        self.check_window(self.kernel)
        filter_dims = dims_of(self.filter)
        out, depth = (
            (filter_dims[-1], filter_dims[-2])
            if self.channels_last
            else (filter_dims[0], filter_dims[1])
        )
        groups = self.groups.value.data
        channels = dims_of(self.input)[self.channel_axis]
        if groups < 1 or channels != depth * groups or out % groups != 0:
            raise VerifyException(
                f"{self.name}: {channels} input channels, {out} outputs and {groups} "
                f"groups do not fit filter {self.filter.type}"
            )
        return [
            tensor_type(element_type_of(self.input), self.output_dims(out, self.kernel))
        ]


@irdl_op_definition
class ConvTransposeOp(WindowOp):
    """
    Transposed convolution: the gradient of `nn.conv` with respect to its input.

    Output size: `(size - 1) * stride + (kernel - 1) * dilation + 1 - low - high +
    output_padding`.
    """

    name = "nn.conv_transpose"
    ELEMENTS: ClassVar = Elements.NUMBER

    image = operand_def(TensorType)
    filter = operand_def(TensorType)
    groups = prop_def(IntegerAttr)
    output_padding = prop_def(DenseArrayBase)

    def __init__(
        self,
        input: SSAValue | Operation,
        filter: SSAValue | Operation,
        *,
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        padding: Sequence[DimLike] | None = None,
        output_padding: Sequence[int] | None = None,
        groups: int = 1,
        layout: Layout = CHANNELS_FIRST,
    ) -> None:
        input = SSAValue.get(input)
        rank = rank_of(input) - 2
        properties = _window_properties(rank, strides, dilations, padding, layout)
        super().__init__(
            [input, filter],
            {
                **properties,
                "groups": groups,
                "output_padding": list(output_padding or [0] * rank),
            },
        )

    @property
    def kernel(self) -> tuple[int, ...]:
        """
        The spatial sizes of the filter.

        Raises:
            VerifyException: they are not constants.
        """
        dims = dims_of(self.filter)
        return _constant_dims(self, dims[:-2] if self.channels_last else dims[2:])

    def inferred_types(self) -> Sequence[NnTensorType]:
        require_same_element_type(self, self.input, self.filter)
        if rank_of(self.filter) != rank_of(self.input):
            raise VerifyException(f"{self.name}: input and filter differ in rank")
        kernel = self.kernel
        self.check_window(kernel)
        filter_dims = dims_of(self.filter)
        depth, out = (
            (filter_dims[-1], filter_dims[-2])
            if self.channels_last
            else (filter_dims[0], filter_dims[1])
        )
        groups, dims = self.groups.value.data, list(dims_of(self.input))
        if groups < 1 or dims[self.channel_axis] != depth or depth % groups != 0:
            raise VerifyException(
                f"{self.name}: {dims[self.channel_axis]} input channels in {groups} "
                f"groups do not fit filter {self.filter.type}"
            )
        strides, dilations = ints(self.strides), ints(self.dilations)
        extra = ints(self.output_padding)
        if len(extra) != self.spatial_rank or min(extra) < 0:
            raise VerifyException(
                f"{self.name}: output_padding needs {self.spatial_rank} values >= 0"
            )
        for i, axis in enumerate(self.spatial_axes):
            dims[axis] = (
                (dims[axis] - 1) * strides[i]
                + ((kernel[i] - 1) * dilations[i] + 1 + extra[i])
                - self.low_padding[i]
                - self.high_padding[i]
            )
        dims[self.channel_axis] = out * groups
        return [tensor_type(element_type_of(self.input), dims)]


PoolKind = Literal["max", "average"]


@irdl_op_definition
class PoolOp(WindowOp):
    """
    The maximum or the average of each window.

    Averages divide by the window's elements inside the input, or with
    `count_padding` by those inside the padded input. A maximum ignores padding and
    propagates NaN. Of no elements, the maximum is -inf (or the smallest integer), the
    average NaN (or 0). Averages of integers truncate.
    """

    name = "nn.pool"
    ELEMENTS: ClassVar = Elements.NUMBER

    image = operand_def(TensorType)
    kind = prop_def(StringAttr)
    kernel_shape = prop_def(DenseArrayBase)
    ceil_mode = prop_def(BoolAttr)
    count_padding = prop_def(BoolAttr)

    def __init__(
        self,
        input: SSAValue | Operation,
        kind: PoolKind,
        kernel: Sequence[int],
        *,
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        padding: Sequence[DimLike] | None = None,
        ceil_mode: bool = False,
        count_padding: bool = False,
        layout: Layout = CHANNELS_FIRST,
    ) -> None:
        properties = _window_properties(
            len(kernel), strides, dilations, padding, layout
        )
        super().__init__(
            [input],
            {
                **properties,
                "kind": kind,
                "kernel_shape": list(kernel),
                "ceil_mode": ceil_mode,
                "count_padding": count_padding,
            },
        )

    @property
    def kernel(self) -> tuple[int, ...]:
        """The window's size on each spatial axis."""
        return ints(self.kernel_shape)

    def inferred_types(self) -> Sequence[NnTensorType]:
        if self.kind.data not in ("max", "average"):
            raise VerifyException(f"{self.name}: unknown kind '{self.kind.data}'")
        self.check_window(self.kernel)
        channels = dims_of(self.input)[self.channel_axis]
        dims = self.output_dims(channels, self.kernel, bool(self.ceil_mode.value.data))
        return [tensor_type(element_type_of(self.input), dims)]


def _constant_dims(op: Operation, dims: Sequence[Dim]) -> tuple[int, ...]:
    values = [d.as_int() for d in dims]
    known = tuple(v for v in values if v is not None)
    if len(known) != len(values):
        raise VerifyException(f"{op.name}: the kernel's size must be constant")
    return known
