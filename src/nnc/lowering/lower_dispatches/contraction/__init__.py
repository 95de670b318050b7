"""The schedule of contractions: matmul and convolution on one register tile."""

from nnc.lowering.lower_dispatches.contraction.schedule import (
    ContractionKernel,
    contraction_kernel,
)

__all__ = ["ContractionKernel", "contraction_kernel"]
