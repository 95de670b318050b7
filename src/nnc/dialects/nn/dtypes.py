"""Element types and the numpy dtypes that hold their values."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike
from xdsl.ir import Attribute
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.types import (
    BF16,
    BOOL,
    C64,
    C128,
    F4E2M1FN,
    F6E2M3FN,
    F6E3M2FN,
    F8E4M3FN,
    F8E4M3FNUZ,
    F8E5M2,
    F8E5M2FNUZ,
    F8E8M0FNU,
    F16,
    F32,
    F64,
    I2,
    I4,
    I8,
    I16,
    I32,
    I64,
    U2,
    U4,
    U8,
    U16,
    U32,
    U64,
)

DType = np.dtype[Any]

_DTYPES: dict[Attribute, DType] = {
    BOOL: np.dtype(np.bool_),
    I8: np.dtype(np.int8),
    I16: np.dtype(np.int16),
    I32: np.dtype(np.int32),
    I64: np.dtype(np.int64),
    U8: np.dtype(np.uint8),
    U16: np.dtype(np.uint16),
    U32: np.dtype(np.uint32),
    U64: np.dtype(np.uint64),
    F16: np.dtype(np.float16),
    BF16: np.dtype(ml_dtypes.bfloat16),
    F32: np.dtype(np.float32),
    F64: np.dtype(np.float64),
    F8E4M3FN: np.dtype(ml_dtypes.float8_e4m3fn),
    F8E4M3FNUZ: np.dtype(ml_dtypes.float8_e4m3fnuz),
    F8E5M2: np.dtype(ml_dtypes.float8_e5m2),
    F8E5M2FNUZ: np.dtype(ml_dtypes.float8_e5m2fnuz),
    F8E8M0FNU: np.dtype(ml_dtypes.float8_e8m0fnu),
    F6E2M3FN: np.dtype(ml_dtypes.float6_e2m3fn),
    F6E3M2FN: np.dtype(ml_dtypes.float6_e3m2fn),
    F4E2M1FN: np.dtype(ml_dtypes.float4_e2m1fn),
    I2: np.dtype(ml_dtypes.int2),
    I4: np.dtype(ml_dtypes.int4),
    U2: np.dtype(ml_dtypes.uint2),
    U4: np.dtype(ml_dtypes.uint4),
    C64: np.dtype(np.complex64),
    C128: np.dtype(np.complex128),
}
_ELEMENT_TYPES = {dtype: type_ for type_, dtype in _DTYPES.items()}

ELEMENT_TYPES: tuple[Attribute, ...] = tuple(_DTYPES)
"""All element types that a tensor of the `nn` dialect may have."""


@lru_cache(maxsize=64)
def numpy_dtype(element_type: Attribute) -> DType:
    """
    The dtype whose values are those of `element_type`; bool takes a byte.

    Raises:
        VerifyException: `nn` tensors have no such element type.
    """
    dtype = _DTYPES.get(element_type)
    if dtype is None:
        raise VerifyException(f"{element_type} is no element type of nn tensors")
    return dtype


def element_type_for(dtype: DTypeLike) -> Attribute:
    """
    The element type whose values a numpy dtype holds; byte order is ignored.

    Raises:
        VerifyException: `nn` tensors have no such element type.
    """
    native = np.dtype(dtype).newbyteorder("=")
    element_type = _ELEMENT_TYPES.get(native)
    if element_type is None:
        raise VerifyException(f"nn has no element type for {native} arrays")
    return element_type
