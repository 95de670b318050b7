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
    TensorProto.FLOAT8E4M3FN: np.dtype(ml_dtypes.float8_e4m3fn),
    TensorProto.FLOAT8E4M3FNUZ: np.dtype(ml_dtypes.float8_e4m3fnuz),
    TensorProto.FLOAT8E5M2: np.dtype(ml_dtypes.float8_e5m2),
    TensorProto.FLOAT8E5M2FNUZ: np.dtype(ml_dtypes.float8_e5m2fnuz),
    TensorProto.FLOAT8E8M0: np.dtype(ml_dtypes.float8_e8m0fnu),
    TensorProto.FLOAT6E2M3: np.dtype(ml_dtypes.float6_e2m3fn),
    TensorProto.FLOAT6E3M2: np.dtype(ml_dtypes.float6_e3m2fn),
    TensorProto.FLOAT4E2M1: np.dtype(ml_dtypes.float4_e2m1fn),
    TensorProto.INT4: np.dtype(ml_dtypes.int4),
    TensorProto.UINT4: np.dtype(ml_dtypes.uint4),
    TensorProto.INT2: np.dtype(ml_dtypes.int2),
    TensorProto.UINT2: np.dtype(ml_dtypes.uint2),
    TensorProto.COMPLEX64: np.dtype(np.complex64),
    TensorProto.COMPLEX128: np.dtype(np.complex128),
}
"""The ONNX element types that `nn` has, and the numpy types of their values."""

# Where a tensor of each type keeps its values if not in raw_data.
_FIELDS: Final[Mapping[int, str]] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
    TensorProto.COMPLEX64: "float_data",
    TensorProto.COMPLEX128: "double_data",
}
_ALL_FIELDS = ("float_data", "double_data", "int32_data", "int64_data", "uint64_data")
_BITS_AS_INT32 = (
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.FLOAT8E4M3FN,
    TensorProto.FLOAT8E4M3FNUZ,
    TensorProto.FLOAT8E5M2,
    TensorProto.FLOAT8E5M2FNUZ,
    TensorProto.FLOAT8E8M0,
    TensorProto.FLOAT6E2M3,
    TensorProto.FLOAT6E3M2,
)
"""Types of which a value of `int32_data` has the bits of one element."""
_PACKED_BITS: Final[Mapping[int, int]] = {
    TensorProto.FLOAT6E2M3: 6,
    TensorProto.FLOAT6E3M2: 6,
    TensorProto.FLOAT4E2M1: 4,
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.INT2: 2,
    TensorProto.UINT2: 2,
}
"""Types whose elements follow each other without a gap, the first in the low bits."""
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
            data = self._external_bytes(tensor, _data_size(tensor, dtype), what)
        elif tensor.HasField("raw_data"):
            self._refuse_second_data(tensor, ("raw_data",), what)
            data = np.frombuffer(tensor.raw_data, np.uint8)
        else:
            return self._typed_values(tensor, dtype, shape, what)
        if data.size != (expected := _data_size(tensor, dtype)):
            raise LoadError(
                f"{what} has {data.size} bytes of data, but its shape {list(shape)} "
                f"of {dtype} needs {expected}"
            )
        if (bits := _PACKED_BITS.get(tensor.data_type)) is not None:
            return _unpacked(data, bits, math.prod(shape)).view(dtype).reshape(shape)
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
        is_packed = tensor.data_type in _PACKED_BITS.keys() - set(_BITS_AS_INT32)
        if is_packed:
            expected = _data_size(tensor, dtype)
        else:
            expected = math.prod(shape) * (2 if dtype.kind == "c" else 1)
        if len(values) != expected:
            raise LoadError(
                f"{what} has {len(values)} values, but its shape {list(shape)} needs "
                f"{expected}"
            )
        if is_packed:
            data = np.array(values, np.int32).astype(np.uint8)
            bits = _PACKED_BITS[tensor.data_type]
            return _unpacked(data, bits, math.prod(shape)).view(dtype).reshape(shape)
        if tensor.data_type in _BITS_AS_INT32:
            unsigned = np.dtype(f"u{dtype.itemsize}")
            return (
                np.array(values, np.int32).astype(unsigned).view(dtype).reshape(shape)
            )
        if dtype.kind == "c":
            part = np.dtype(f"f{dtype.itemsize // 2}")
            return np.array(values, part).view(dtype).reshape(shape)
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


def _data_size(tensor: TensorProto, dtype: DType) -> int:
    """Bytes of the elements of a tensor where they are raw data."""
    bits = _PACKED_BITS.get(tensor.data_type, 8 * dtype.itemsize)
    return (math.prod(tensor.dims) * bits + 7) // 8


def _unpacked(data: Array, bits: int, count: int) -> Array:
    """`count` numbers of `bits` bits, a byte each."""
    # Three bytes hold a whole number of them, whether of 2, 4 or 6 bits.
    whole = np.zeros(-(-data.size // 3) * 3, np.uint8)
    whole[: data.size] = data
    parts = whole.reshape(-1, 3).astype(np.uint32)
    words = parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16
    result = np.empty((len(words), 24 // bits), np.uint8)
    for place in range(24 // bits):
        result[:, place] = (words >> (place * bits)) & ((1 << bits) - 1)
    return result.reshape(-1)[:count]


def _parsed_size(text: str, what: str) -> int:
    # Longer numbers are no file sizes, and slow to parse.
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise LoadError(
            f"{what}: '{text[:40]}' is no offset or length of external data"
        )
    return int(text)
