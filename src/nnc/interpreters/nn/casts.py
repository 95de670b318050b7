"""Reference implementation of `nn.cast`: any element type to any other."""

from __future__ import annotations

from functools import cache
from typing import cast

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import IntegerType

from nnc.dialects.nn import elementwise as nn
from nnc.dialects.nn.dtypes import DType, numpy_dtype
from nnc.dialects.nn.types import (
    F4E2M1FN,
    F6E2M3FN,
    F6E3M2FN,
    F8E8M0FNU,
    SMALL_FLOATS,
    SMALL_INTEGERS,
    element_type_of,
)
from nnc.interpreters.nn.environment import (
    Array,
    Environment,
    References,
    is_floating,
    is_small_integer,
)

REFERENCES = References()

_SMALL_FLOATS = frozenset(map(numpy_dtype, SMALL_FLOATS))
_WITHOUT_NAN = frozenset(map(numpy_dtype, (F4E2M1FN, F6E2M3FN, F6E3M2FN)))
_BITS = {numpy_dtype(t): cast("IntegerType", t).width.data for t in SMALL_INTEGERS}


@REFERENCES.implements(nn.CastOp)
def _cast(op: nn.CastOp, _: Environment, x: Array) -> Array:
    target = element_type_of(op.result)
    x = _plain(x)
    if target == F8E8M0FNU:
        return _to_power_of_two(x, op.rounding, saturates=op.saturates)
    if target in SMALL_FLOATS:
        return _to_small_float(x, numpy_dtype(target), saturates=op.saturates)
    return converted(x, numpy_dtype(target))


def _plain(x: Array) -> Array:
    """The same numbers in a type that numpy computes with."""
    if x.dtype in _SMALL_FLOATS:
        return x.astype(np.float32)
    return x.astype(np.int8) if is_small_integer(x.dtype) else x


def converted(x: Array, dtype: DType) -> Array:
    """`x`, of a type that numpy computes with, as any type but the small floats."""
    if dtype == np.bool_:
        return x != 0
    if (bits := _BITS.get(dtype)) is not None:
        whole = converted(x, np.dtype(np.int32)) if is_floating(x) else x
        return (whole.astype(np.uint8) & ((1 << bits) - 1)).astype(np.uint8).view(dtype)
    if not is_floating(x) or dtype.kind not in "iu":
        return x.astype(dtype)
    limits = np.iinfo(dtype)
    whole = np.trunc(x.astype(np.float64))
    # As floats, the limits of 64-bit integers are rounded up: compare with >=.
    above, below = whole >= float(limits.max), whole <= float(limits.min)
    inside = np.where(above | below | np.isnan(whole), 0, whole).astype(dtype)
    return np.where(above, limits.max, np.where(below, limits.min, inside)).astype(
        dtype
    )


def _to_small_float(x: Array, dtype: DType, *, saturates: bool) -> Array:
    # ml_dtypes rounds f64 twice, the first time to f32.
    x = _rounded_to_odd(x.astype(np.float64))
    if saturates:
        limit = _largest(dtype)
        x = np.clip(x, -limit, limit)
    result = x.astype(dtype)
    if dtype in _WITHOUT_NAN:
        result = np.where(np.isnan(x), np.array(-0.0, dtype), result)
    return result


@cache
def _largest(dtype: DType) -> float:
    """The largest finite number."""
    numbers = np.arange(128, dtype=np.uint8).view(dtype).astype(np.float32)
    return float(numbers[np.isfinite(numbers)].max())


def _rounded_to_odd(x: Array) -> Array:
    """f64 as f32, such that rounding it further is as if that were done once."""
    near = x.astype(np.float32)
    cut = np.where(np.abs(near) > np.abs(x), np.nextafter(near, np.float32(0)), near)
    is_inexact = (cut.astype(np.float64) != x).astype(np.uint32)
    return (cut.view(np.uint32) | is_inexact).view(np.float32)


def _to_power_of_two(x: Array, rounding: str, *, saturates: bool) -> Array:
    """The exponents, biased by 127, of f32 numbers; their signs do not count."""
    x = np.abs(x.astype(np.float32))
    # x = fraction * 2**exponent with a fraction in [0.5, 1), denormals included.
    fraction, exponent = np.frexp(x)
    exponent = exponent.astype(np.int32) - 1
    if rounding == "up":
        exponent += fraction > 0.5
    elif rounding == "nearest":
        exponent += fraction >= 0.75
    too_small = (x == 0) | (x < np.float32(2.0**-127))
    too_large = exponent > 127
    code = np.clip(exponent + 127, 0, 254)
    code = np.where(too_small, 0, np.where(np.isinf(x), 254, code))
    out_of_range = np.isinf(x) | too_small | too_large
    is_nan = np.isnan(x) | (out_of_range & (not saturates))
    return np.where(is_nan, 255, code).astype(np.uint8).view(ml_dtypes.float8_e8m0fnu)
