"""The schedules of Winograd's convolution: transforming tiles, and their products."""

from nnc.lowering.lower_dispatches.winograd.product import product_kernel
from nnc.lowering.lower_dispatches.winograd.tiles import tiles_kernel

__all__ = ["product_kernel", "tiles_kernel"]
