"""The converter of deformable convolution: samples of the image, then a product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.dialects.nn.types import dims_of, element_type_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.conv import channel_vector, kernel_of
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.pool import spatial_rank_of, window_ints
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.onnx.sampling import Image, Sampler
from nnc.symbolic import Dim, dim_product


@dataclass(frozen=True)
class _Window:
    """The attributes of a node, one value a spatial axis."""

    kernel: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    pads: Sequence[int]
    groups: int
    offset_groups: int

    def output_dims(self, spatial: Sequence[Dim]) -> list[Dim]:
        """How often the window fits on each axis."""
        rank = len(self.kernel)
        result: list[Dim] = []
        for axis, size in enumerate(spatial):
            span = (self.kernel[axis] - 1) * self.dilations[axis] + 1
            padded = size + self.pads[axis] + self.pads[rank + axis]
            result.append((padded - span) // self.strides[axis] + 1)
        return result


@converter("DeformConv", since=19)
def _deform_conv(node: Node, b: Builder) -> Converted:
    x, filter, offset = node.input(0), node.input(1), node.input(2)
    window = _window(node, x, filter)
    batch, channels, *spatial = dims_of(x)
    outer = window.output_dims(spatial)
    groups, offsets = window.groups, window.offset_groups
    x = b.with_dim(x, 1, dims_of(filter)[1] * groups)
    channels = dims_of(x)[1]
    if (known := channels.as_int()) is not None and known % offsets:
        raise InvalidNodeError(f"{known} channels do not make {offsets} offset groups")
    taps, count = dim_product(map(Dim.of, window.kernel)), dim_product(outer)
    rank = len(spatial)
    if rank_of(offset) != rank + 2:
        raise InvalidNodeError(f"an offset of {offset.type} for {x.type}")
    offset = b.dim_cast(offset, [batch, taps * (offsets * rank), *outer])
    # Each offset group samples its channels as if they were an image of their own.
    image = b.reshape(x, [batch * offsets, channels // offsets, *spatial])
    offset = b.reshape(offset, [batch * offsets, taps, rank, count])
    positions = [
        b.reshape(
            b.add(b.take(offset, 2, axis), _grid(b, window, outer, axis, offset)),
            [batch * offsets, taps * count],
        )
        for axis in range(rank)
    ]
    columns = Sampler(b, Image(b, image), "zeros", align=True).sample(
        positions, "linear"
    )
    if (mask := node.optional_input(4)) is not None:
        mask = b.dim_cast(mask, [batch, taps * offsets, *outer])
        columns = b.mul(columns, b.reshape(mask, [batch * offsets, 1, taps * count]))
    depth = (channels // groups) * taps
    results = dims_of(filter)[0]
    columns = b.reshape(columns, [batch, groups, depth, count])
    weights = b.reshape(filter, [groups, results // groups, depth])
    y = b.reshape(b.matmul(weights, columns), [batch, results, *outer])
    bias = node.optional_input(3)
    return y if bias is None else b.add(y, channel_vector(b, bias, rank_of(y)))


def _window(node: Node, x: SSAValue, filter: SSAValue) -> _Window:
    rank = spatial_rank_of(x)
    groups, offsets = node.attr_int("group", 1), node.attr_int("offset_group", 1)
    if groups < 1 or offsets < 1:
        raise InvalidNodeError(f"{groups} groups, {offsets} offset groups")
    results = dims_of(filter)[0].as_int()
    if results is not None and results % groups:
        raise InvalidNodeError(f"{results} filters do not make {groups} groups")
    pads = node.attr_ints("pads", [0] * 2 * rank)
    if len(pads) != 2 * rank:
        raise InvalidNodeError(f"pads has {len(pads)} values for {rank} axes")
    return _Window(
        kernel_of(node, filter, rank),
        window_ints(node, "strides", rank),
        window_ints(node, "dilations", rank),
        pads,
        groups,
        offsets,
    )


def _grid(
    b: Builder, window: _Window, outer: Sequence[Dim], axis: int, like: SSAValue
) -> SSAValue:
    """Where the taps of each window lie on an axis without offsets: `[taps, outer]`."""
    rank, type_ = len(outer), element_type_of(like)
    tap, at = [Dim.of(1)] * (2 * rank), [Dim.of(1)] * (2 * rank)
    tap[axis], at[rank + axis] = Dim.of(window.kernel[axis]), outer[axis]
    step = b.mul(b.iota(tap, axis, type_), window.dilations[axis])
    start = b.mul(b.iota(at, rank + axis, type_), window.strides[axis])
    position = b.add(b.sub(start, window.pads[axis]), step)
    kernel = [Dim.of(k) for k in window.kernel]
    position = b.broadcast_to(position, [*kernel, *outer])
    return b.reshape(position, [dim_product(kernel), dim_product(outer)])
