"""
Convolution by Winograd's minimal filtering, in three parts.

`nn.conv` with a 3 x 3 filter and stride 1 is
`nn.winograd_product(nn.winograd_input(x), nn.winograd_filter(w))`. Transformed filters
are constants, transformed inputs a value of their own: the products in between are one
matrix product for each of the `(tile + 2)^2` transformed elements. All are channels
last. Points and matrices: `nnc.winograd`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import IntegerAttr, TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import Elements, NnOp, require_same_element_type
from nnc.dialects.nn.shapes import window_output_dim
from nnc.dialects.nn.types import (
    NnTensorType,
    ShapeAttr,
    dims_of,
    element_type_of,
    tensor_type,
)
from nnc.symbolic import Dim, DimLike, ceildiv
from nnc.winograd import KERNEL, TILES, Winograd, winograd


def _algorithm(op: Operation, tile: int) -> Winograd:
    if tile not in TILES:
        raise VerifyException(f"{op.name}: tile {tile} is none of {TILES}")
    return winograd(tile)


@irdl_op_definition
class WinogradFilterOp(NnOp):
    """
    Filters `[3, 3, C, O]` transformed, `G g G^T`: `[(tile + 2)^2, C, O]`.

    Example: `nn.winograd_filter %w {tile = 4 : i64}`.
    """

    name = "nn.winograd_filter"
    ELEMENTS: ClassVar = Elements.FLOAT

    operand = operand_def(TensorType)
    tile = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def __init__(self, operand: SSAValue | Operation, tile: int) -> None:
        super().__init__([operand], {"tile": tile})

    @property
    def algorithm(self) -> Winograd:
        """The matrices."""
        return _algorithm(self, self.tile.value.data)

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims = dims_of(self.operand)
        if len(dims) != 4 or any(d != KERNEL for d in dims[:2]):
            raise VerifyException(
                f"{self.name}: the filter must be [3, 3, C, O], got {self.operand.type}"
            )
        elements = self.algorithm.size**2
        return [tensor_type(element_type_of(self.operand), [elements, *dims[2:]])]


@irdl_op_definition
class WinogradInputOp(NnOp):
    """
    The overlapping tiles of a padded image, transformed, `B^T d B`.

    From `[N, H, W, C]` to `[groups, (tile + 2)^2, group, C]`. Squares of `tile x tile`
    cover the `H + low + high - 2` by `W + low + high - 2` results; in the order of
    images, rows and columns, `group` at a time lie together, as a kernel multiplies
    them. What squares at the border have too much reads as 0, like padding; so do the
    squares that the last group has too much. `padding` holds the low amounts of both
    axes, then the high ones.
    """

    name = "nn.winograd_input"
    ELEMENTS: ClassVar = Elements.FLOAT

    operand = operand_def(TensorType)
    tile = prop_def(IntegerAttr)
    group = prop_def(IntegerAttr)
    padding = prop_def(ShapeAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        operand: SSAValue | Operation,
        tile: int,
        group: int,
        padding: Sequence[DimLike],
    ) -> None:
        super().__init__(
            [operand],
            {"tile": tile, "group": group, "padding": ShapeAttr.of(padding)},
        )

    @property
    def algorithm(self) -> Winograd:
        """The matrices."""
        return _algorithm(self, self.tile.value.data)

    @property
    def low_padding(self) -> tuple[Dim, ...]:
        """Padding before the first row and column."""
        return self.padding.dims[:2]

    @property
    def sizes(self) -> tuple[Dim, ...]:
        """Rows and columns of the convolution's result."""
        padding = self.padding.dims
        return tuple(
            window_output_dim(
                size, KERNEL, 1, 1, padding[i], padding[i + 2], ceil_mode=False
            )
            for i, size in enumerate(dims_of(self.operand)[1:3])
        )

    @property
    def tiles(self) -> tuple[Dim, ...]:
        """How many tiles cover rows and columns."""
        return tuple(ceildiv(s, self.tile.value.data) for s in self.sizes)

    def inferred_types(self) -> Sequence[NnTensorType]:
        dims = dims_of(self.operand)
        if len(dims) != 4 or len(self.padding.dims) != 4:
            raise VerifyException(
                f"{self.name}: the image must be [N, H, W, C] with 4 padding amounts, "
                f"got {self.operand.type} with {len(self.padding.dims)}"
            )
        group = self.group.value.data
        if group < 1:
            raise VerifyException(f"{self.name}: groups of {group} tiles")
        rows, columns = self.tiles
        groups = ceildiv(dims[0] * rows * columns, group)
        shape = [groups, self.algorithm.size**2, group, dims[3]]
        return [tensor_type(element_type_of(self.operand), shape)]


@irdl_op_definition
class WinogradProductOp(NnOp):
    """
    Products of transformed tiles and filters, transformed back, `A^T m A`.

    From `[groups, (tile + 2)^2, group, C]` and `[(tile + 2)^2, C, O]` to `[N, rows,
    columns, O]`, whose first three dims are the property `image`.
    """

    name = "nn.winograd_product"
    ELEMENTS: ClassVar = Elements.FLOAT

    tiles = operand_def(TensorType)
    filter = operand_def(TensorType)
    tile = prop_def(IntegerAttr)
    image = prop_def(ShapeAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        tiles: SSAValue | Operation,
        filter: SSAValue | Operation,
        tile: int,
        image: Sequence[DimLike],
    ) -> None:
        super().__init__([tiles, filter], {"tile": tile, "image": ShapeAttr.of(image)})

    @property
    def algorithm(self) -> Winograd:
        """The matrices."""
        return _algorithm(self, self.tile.value.data)

    @property
    def tile_counts(self) -> tuple[Dim, ...]:
        """How many tiles cover rows and columns."""
        return tuple(ceildiv(s, self.tile.value.data) for s in self.image.dims[1:])

    def inferred_types(self) -> Sequence[NnTensorType]:
        require_same_element_type(self, self.tiles, self.filter)
        tiles, filter = dims_of(self.tiles), dims_of(self.filter)
        if len(tiles) != 4 or len(filter) != 3 or len(self.image.dims) != 3:
            raise VerifyException(
                f"{self.name}: operands need 4 and 3 dims and the image 3, got "
                f"{self.tiles.type}, {self.filter.type} and {self.image}"
            )
        elements = Dim.of(self.algorithm.size**2)
        rows, columns = self.tile_counts
        groups = ceildiv(self.image.dims[0] * rows * columns, tiles[2])
        if tiles[:2] != (groups, elements) or filter[:2] != (elements, tiles[3]):
            raise VerifyException(
                f"{self.name}: {self.tiles.type} and {self.filter.type} do not make "
                f"an image {self.image} by tiles of {self.tile.value.data}"
            )
        return [tensor_type(element_type_of(self.tiles), [*self.image.dims, filter[2]])]
