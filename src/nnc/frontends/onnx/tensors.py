"""`TensorProto` to numpy, without a copy where the bytes allow it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, Final

import ml_dtypes
import numpy as np
from onnx import TensorProto

from nnc.errors import LoadError
from nnc.frontends.common import UnsupportedError
from nnc.frontends.loader.files import ExternalData
from nnc.frontends.loader.limits import Limits
from nnc.weights import Array

DType = np.dtype[Any]

DTYPES: Final[Mapping[int, DType]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.DOUBLE: np.dtype(np.float64),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
    TensorProto.INT8: np.dtype(np.int8),
    TensorProto.INT16: np.dtype(np.int16),
    TensorProto.INT32: np.dtype(np.int32),
    TensorProto.INT64: np.dtype(np.int64),
    TensorProto.UINT8: np.dtype(np.uint8),
    TensorProto.UINT16: np.dtype(np.uint16),
    TensorProto.UINT32: np.dtype(np.uint32),
    TensorProto.UINT64: np.dtype(np.uint64),
    TensorProto.BOOL: np.dtype(np.bool_),
}
"""The ONNX element types that `nn` has, and the numpy types of their values."""

# Where a tensor of each type keeps its values if not in raw_data.
_FIELDS: Final[Mapping[int, str]] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
}
_ALL_FIELDS = ("float_data", "double_data", "int32_data", "int64_data", "uint64_data")
_BITS_AS_INT32 = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_EXTERNAL_KEYS = {"location", "offset", "length", "checksum", "basepath"}


def type_name(data_type: int) -> str:
    """What ONNX calls an element type, for errors."""
    if data_type in TensorProto.DataType.values():
        return TensorProto.DataType.Name(data_type).lower()
    return f"number {data_type}"


def dtype_of(data_type: int, what: str) -> DType:
    """
    The numpy type of an ONNX element type.

    Raises:
        LoadError: there is no such type.
        UnsupportedError: `nn` has no such type.
    """
    dtype = DTYPES.get(data_type)
    if dtype is not None:
        return dtype
    if data_type == 0 or data_type not in TensorProto.DataType.values():
        raise LoadError(f"{what} has an unknown element type ({type_name(data_type)})")
    raise UnsupportedError(f"{what} has element type {type_name(data_type)}")


class TensorReader:
    """Reads the tensors of one model."""

    def __init__(self, external: ExternalData, limits: Limits) -> None:
        self._external = external
        self._limits = limits

    @property
    def external_files(self) -> tuple[str, ...]:
        """The files beside the model that tensors were read from."""
        return self._external.locations

    def read(
        self, tensor: TensorProto, what: str, payload: Array | None = None
    ) -> Array:
        """
        The values of `tensor`; `what` names it in errors.

        `payload` is its raw data where that was taken out before parsing.

        Raises:
            LoadError: its data and its shape do not fit, or its file is not safe.
            UnsupportedError: `nn` has no such element type.
        """
        dtype = dtype_of(tensor.data_type, what)
        shape = tuple(tensor.dims)
        if any(d < 0 for d in shape):
            raise LoadError(f"{what} has a negative dimension: {list(shape)}")
        self._limits.check_dims(shape, dtype.itemsize, what)
        if tensor.HasField("segment"):
            raise LoadError(f"{what} is split into segments, which nothing writes")
        if payload is not None:
            self._refuse_second_data(tensor, (), what)
            if tensor.data_location == TensorProto.EXTERNAL:
                raise LoadError(f"{what} has data both in the model and outside")
            data = payload
        elif tensor.data_location == TensorProto.EXTERNAL:
            self._refuse_second_data(tensor, (), what)
            data = self._external_bytes(tensor, math.prod(shape) * dtype.itemsize, what)
        elif tensor.HasField("raw_data"):
            self._refuse_second_data(tensor, ("raw_data",), what)
            data = np.frombuffer(tensor.raw_data, np.uint8)
        else:
            return self._typed_values(tensor, dtype, shape, what)
        if data.size != math.prod(shape) * dtype.itemsize:
            raise LoadError(
                f"{what} has {data.size} bytes of data, but its shape {list(shape)} "
                f"of {dtype} needs {math.prod(shape) * dtype.itemsize}"
            )
        array = data.view(dtype.newbyteorder("<") if dtype.itemsize > 1 else dtype)
        if sys.byteorder == "big":
            array = array.astype(dtype)
        return array.reshape(shape)

    def read_any(self, tensor: TensorProto, what: str) -> Array:
        """
        As `read`, of tensors of strings too: an array of objects.

        Raises:
            LoadError: its data and its shape do not fit.
            UnsupportedError: `nn` has no such element type.
        """
        if tensor.data_type != TensorProto.STRING:
            return self.read(tensor, what)
        shape = tuple(tensor.dims)
        if any(d < 0 for d in shape) or len(tensor.string_data) != math.prod(shape):
            raise LoadError(
                f"{what} has {len(tensor.string_data)} strings, but its shape is "
                f"{list(shape)}"
            )
        self._limits.check_dims(shape, 8, what)
        array = np.empty(len(tensor.string_data), np.object_)
        array[:] = [s.decode("utf-8", "replace") for s in tensor.string_data]
        return array.reshape(shape)

    def _external_bytes(self, tensor: TensorProto, nbytes: int, what: str) -> Array:
        entries: dict[str, str] = {}
        for entry in tensor.external_data:
            if entry.key not in _EXTERNAL_KEYS or entry.key in entries:
                raise LoadError(f"{what}: external data with key '{entry.key[:40]}'")
            entries[entry.key] = entry.value
        if "location" not in entries:
            raise LoadError(f"{what}: external data without a location")
        offset = _parsed_size(entries.get("offset", "0"), what)
        # Writers may leave the length out; then the shape tells it.
        length = _parsed_size(entries.get("length", str(nbytes)), what)
        return self._external.view(entries["location"], offset, length, what)

    def _typed_values(
        self, tensor: TensorProto, dtype: DType, shape: tuple[int, ...], what: str
    ) -> Array:
        field = _FIELDS.get(tensor.data_type, "int32_data")
        self._refuse_second_data(tensor, (field,), what)
        values = getattr(tensor, field)
        if len(values) != math.prod(shape):
            raise LoadError(
                f"{what} has {len(values)} values, but its shape {list(shape)} needs "
                f"{math.prod(shape)}"
            )
        if tensor.data_type in _BITS_AS_INT32:
            return (
                np.array(values, np.int32).astype(np.uint16).view(dtype).reshape(shape)
            )
        if dtype.kind in "iu" and dtype.itemsize < 4:
            # int32_data holds them; what does not fit is cut as in C.
            return np.array(values, np.int32).astype(dtype).reshape(shape)
        return np.array(values, dtype).reshape(shape)

    def _refuse_second_data(
        self, tensor: TensorProto, fields: tuple[str, ...], what: str
    ) -> None:
        others = [f for f in _ALL_FIELDS if f not in fields and len(getattr(tensor, f))]
        if "raw_data" not in fields and tensor.HasField("raw_data") and tensor.raw_data:
            others.append("raw_data")
        if others:
            raise LoadError(
                f"{what} of type {type_name(tensor.data_type)} has data in {others[0]}"
            )


def _parsed_size(text: str, what: str) -> int:
    # Longer numbers are no file sizes, and slow to parse.
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise LoadError(
            f"{what}: '{text[:40]}' is no offset or length of external data"
        )
    return int(text)
