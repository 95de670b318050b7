"""
The type of buffers: memory seen through a shape and strides.

`!rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<80, 1>>` is N rows of 64 floats that start
80 floats apart. Strides count elements and may be zero (repeated) or negative.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import irdl_attr_definition, param_def
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.types import NnTensorType, ShapeAttr, bit_width, tensor_type
from nnc.symbolic import Dim, DimLike, dim_product


@irdl_attr_definition
class BufferType(ParametrizedAttribute, TypeAttribute):
    """A strided buffer; see the module's docstring."""

    name = "rt.buffer"

    element_type: Attribute = param_def()
    shape: ShapeAttr = param_def()
    strides: ShapeAttr = param_def()

    def __init__(
        self,
        element_type: Attribute,
        shape: Sequence[DimLike] | ShapeAttr,
        strides: Sequence[DimLike] | ShapeAttr | None = None,
    ) -> None:
        """Without `strides`, the row-major ones."""
        if not isinstance(shape, ShapeAttr):
            shape = ShapeAttr(shape)
        if strides is None:
            strides = contiguous_strides(shape.dims)
        if not isinstance(strides, ShapeAttr):
            strides = ShapeAttr(strides)
        super().__init__(element_type, shape, strides)

    @property
    def dims(self) -> tuple[Dim, ...]:
        """The sizes of the axes."""
        return self.shape.dims

    @property
    def stride_dims(self) -> tuple[Dim, ...]:
        """The strides of the axes, in elements."""
        return self.strides.dims

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.dims)

    @property
    def element_bytes(self) -> int:
        """Bytes of one element; bool takes one."""
        return bit_width(self.element_type) // 8

    @property
    def is_contiguous(self) -> bool:
        """
        Whether the elements lie in row-major order without gaps, provably.

        The strides of axes of size 1 do not matter.
        """
        expected = contiguous_strides(self.dims)
        return all(
            dim == 1 or stride == wanted
            for dim, stride, wanted in zip(
                self.dims, self.stride_dims, expected, strict=True
            )
        )

    @property
    def span(self) -> Dim:
        """
        Elements from the first to one past the last, for strides >= 0.

        Zero-sized buffers may be given more than they need.
        """
        span = Dim.of(1)
        for dim, stride in zip(self.dims, self.stride_dims, strict=True):
            span = span + (dim - 1) * stride
        return span

    @property
    def tensor_type(self) -> NnTensorType:
        """The `nn` type of the contents."""
        return tensor_type(self.element_type, self.dims)

    def verify(self) -> None:
        if len(self.shape.texts) != len(self.strides.texts):
            raise VerifyException(
                f"{self.name}: {len(self.shape.texts)} dims need as many strides, got "
                f"{len(self.strides.texts)}"
            )


def contiguous_strides(dims: Sequence[DimLike]) -> tuple[Dim, ...]:
    """The row-major strides of a buffer without gaps."""
    return tuple(dim_product(dims[axis + 1 :]) for axis in range(len(dims)))


def buffer_type_of(value: SSAValue | Attribute) -> BufferType:
    """
    The buffer type of a value, or the type itself.

    Raises:
        VerifyException: it is no buffer.
    """
    type_ = value.type if isinstance(value, SSAValue) else value
    if not isinstance(type_, BufferType):
        raise VerifyException(f"expected a buffer, got {type_}")
    return type_
