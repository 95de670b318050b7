"""Reference implementations of the parts of Winograd's convolution."""

from __future__ import annotations

import numpy as np

from nnc.dialects.nn import winograd as nn
from nnc.dialects.nn.base import location_of
from nnc.errors import RunError
from nnc.interpreters.nn.environment import (
    Array,
    Environment,
    References,
    doubled,
    narrowed,
)
from nnc.winograd import Row

REFERENCES = References()


def _matrix(rows: tuple[Row, ...]) -> Array:
    return np.array([[float(x) for x in row] for row in rows])


def _on_both(matrix: Array, x: Array) -> Array:
    """`matrix @ x @ matrix^T` over the first two axes of `x`."""
    half = np.tensordot(matrix, x, 1)
    return np.moveaxis(np.tensordot(matrix, half, (1, 1)), 0, 1)


@REFERENCES.implements(nn.WinogradFilterOp)
def _filter(op: nn.WinogradFilterOp, env: Environment, x: Array) -> Array:
    result = _on_both(_matrix(op.algorithm.filter_matrix), doubled(x))
    return narrowed(result.reshape(env.shape_of(op.result, op)), x)


@REFERENCES.implements(nn.WinogradInputOp)
def _input(op: nn.WinogradInputOp, env: Environment, x: Array) -> Array:
    tile, size = op.algorithm.tile, op.algorithm.size
    tiles = env.sizes(op.tiles, op)
    low = env.sizes(op.low_padding, op)
    if min(env.sizes(op.padding.dims, op)) < 0:
        raise RunError(f"node '{location_of(op)}': negative padding {op.padding}")
    images, _, _, channels = x.shape
    spans = [n * tile + size - tile for n in tiles]
    padded = np.zeros((images, *spans, channels), np.float64)
    rows, columns = (
        max(0, min(have, span - before))
        for have, span, before in zip(x.shape[1:3], spans, low, strict=True)
    )
    padded[:, low[0] : low[0] + rows, low[1] : low[1] + columns] = x[:, :rows, :columns]
    patches = np.empty((size, size, images, *tiles, channels))
    for i in range(size):
        for j in range(size):
            down, across = (
                slice(p, p + n * tile, tile) for p, n in zip((i, j), tiles, strict=True)
            )
            patches[i, j] = padded[:, down, across]
    elements = _on_both(_matrix(op.algorithm.input_matrix), patches)
    count = images * tiles[0] * tiles[1]
    elements = elements.reshape(size * size, count, channels)
    groups, _, group, _ = shape = env.shape_of(op.result, op)
    result = np.zeros((size * size, groups * group, channels))
    result[:, :count] = elements
    result = result.reshape(size * size, groups, group, channels).swapaxes(0, 1)
    return narrowed(result.reshape(shape), x)


@REFERENCES.implements(nn.WinogradProductOp)
def _product(
    op: nn.WinogradProductOp, env: Environment, tiles: Array, filter_: Array
) -> Array:
    tile, size = op.algorithm.tile, op.algorithm.size
    images, rows, columns = env.sizes(op.image.dims, op)
    counts = env.sizes(op.tile_counts, op)
    products = np.matmul(doubled(tiles), doubled(filter_))
    channels = products.shape[-1]
    rows_given = products.shape[0] * products.shape[2]
    products = products.swapaxes(0, 1).reshape(size * size, rows_given, channels)
    products = products[:, : images * counts[0] * counts[1]]
    products = products.reshape(size, size, images, *counts, channels)
    squares = _on_both(_matrix(op.algorithm.output_matrix), products)
    # [i, j, N, tile row, tile column, O] to [N, tile row, i, tile column, j, O]
    result = squares.transpose(2, 3, 0, 4, 1, 5)
    result = result.reshape(images, counts[0] * tile, counts[1] * tile, channels)
    return narrowed(np.ascontiguousarray(result[:, :rows, :columns]), tiles)
