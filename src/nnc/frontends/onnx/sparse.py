"""`SparseTensorProto` to numpy: dense, as `nn` has no other tensors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from onnx import SparseTensorProto, TensorProto

from nnc.errors import LoadError
from nnc.frontends.loader.limits import Limits
from nnc.frontends.onnx.tensors import TensorReader, dtype_of
from nnc.weights import Array


def dense(
    sparse: SparseTensorProto, reader: TensorReader, limits: Limits, what: str
) -> Array:
    """
    All elements of a sparse tensor; `what` names it in errors.

    Raises:
        LoadError: values, indices and dims do not fit.
        LimitExceeded: it would be too large.
        UnsupportedError: `nn` has no such element type.
    """
    shape = tuple(sparse.dims)
    if any(d < 0 for d in shape):
        raise LoadError(f"{what} has a negative dimension: {list(shape)}")
    dtype = dtype_of(sparse.values.data_type, what)
    limits.check_sparse(shape, dtype.itemsize, what)
    values = reader.read(sparse.values, f"the values of {what}")
    if values.ndim != 1:
        raise LoadError(f"{what} has values of {values.ndim} axes")
    result = np.zeros(math.prod(shape), dtype)
    if len(values):
        result[_places(sparse, reader, shape, len(values), what)] = values
    return result.reshape(shape)


def _places(
    sparse: SparseTensorProto,
    reader: TensorReader,
    shape: tuple[int, ...],
    count: int,
    what: str,
) -> NDArray[np.int64]:
    """Where the values go in the flattened tensor."""
    if sparse.indices.data_type != TensorProto.INT64:
        raise LoadError(f"{what} has indices that are not int64")
    indices: NDArray[np.int64] = reader.read(
        sparse.indices, f"the indices of {what}"
    ).astype(np.int64, copy=False)
    limit = np.array([math.prod(shape)] if indices.ndim == 1 else shape)
    rows = indices.reshape(count, -1) if indices.size % count == 0 else indices
    if rows.shape != (count, len(limit)) or indices.ndim > 2:
        raise LoadError(
            f"{what} has indices of shape {list(indices.shape)} for {count} values of "
            f"a tensor of shape {list(shape)}"
        )
    if (rows < 0).any() or (rows >= limit).any():
        raise LoadError(f"{what} has an index outside of its shape {list(shape)}")
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    factors = np.array([1] if indices.ndim == 1 else strides, np.int64)
    places: NDArray[np.int64] = rows @ factors
    if (np.diff(places) <= 0).any():
        raise LoadError(f"{what} has indices that do not ascend")
    return places
