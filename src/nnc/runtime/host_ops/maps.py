"""Maps: dicts from integers or strings to numbers or strings."""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np

from nnc.runtime.host_ops.call import Attributes, Call, TypeCall
from nnc.runtime.host_ops.casts import cast as cast_elements
from nnc.runtime.host_ops.casts import numpy_dtype
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.types import HostType, map_of, sequence, tensor
from nnc.runtime.host_ops.values import (
    STRING,
    Array,
    HostOpError,
    HostValue,
    described,
    string_array,
)

_ML: Final = "ai.onnx.ml"
_CASTS: Final = {"TO_FLOAT": "float32", "TO_INT64": "int64", "TO_STRING": STRING}


def _map(call: Call) -> dict[int | str, Any]:
    value = call.value(0)
    if not isinstance(value, dict):
        raise HostOpError(f"input 0 must be a map, not {described(value)}")
    return value


# ---------------------------------------------------------------- to maps


def _labels(attributes: Attributes) -> list[Any]:
    if "classlabels_strings" in attributes:
        return attributes.texts("classlabels_strings")
    return attributes.integers("classlabels_int64s")


def _zip_types(call: TypeCall) -> HostType:
    key = STRING if "classlabels_strings" in call.attributes else "int64"
    shape = call.shape(0)
    rows = 1 if shape is not None and len(shape) == 1 else shape[0] if shape else None
    element = map_of(key, "float32")
    return sequence(element, rows if isinstance(rows, int) else None)


@host_op("ZipMap", domain=_ML, types=_zip_types)
def _zip_map(call: Call) -> HostValue:
    x, labels = call.tensor(0), _labels(call.attributes)
    if x.ndim not in (1, 2) or x.shape[-1] != len(labels):
        raise HostOpError(f"{len(labels)} labels for {described(x)}")
    rows = x.reshape(-1, len(labels)).tolist()
    return [dict(zip(labels, row, strict=True)) for row in rows]


# ---------------------------------------------------------------- from maps


def _array(values: list[Any], dtype: str) -> Array:
    if dtype == STRING:
        return string_array(values, (len(values),))
    return np.array(values, numpy_dtype(dtype))


def _dtype_of(values: list[Any]) -> str:
    """The element type of the values of a map."""
    if all(isinstance(v, str) for v in values) and values:
        return STRING
    if all(isinstance(v, (int, np.integer)) for v in values) and values:
        return "int64"
    return "float64" if any(isinstance(v, np.float64) for v in values) else "float32"


def _cast_types(call: TypeCall) -> HostType:
    dtype = _cast_dtype(call.attributes)
    if _is_dense(call.attributes):
        return tensor(dtype, (1, None))
    return tensor(dtype, (1, call.attributes.integer("max_map", 1)))


def _cast_dtype(attributes: Attributes) -> str:
    to = attributes.text("cast_to", "TO_FLOAT")
    if to not in _CASTS:
        raise HostOpError(f"cast_to '{to[:40]}' is none of {', '.join(_CASTS)}")
    return _CASTS[to]


def _is_dense(attributes: Attributes) -> bool:
    form = attributes.text("map_form", "DENSE")
    if form not in ("DENSE", "SPARSE"):
        raise HostOpError(f"map_form '{form[:40]}' is neither DENSE nor SPARSE")
    return form == "DENSE"


@host_op("CastMap", domain=_ML, types=_cast_types)
def _cast_map(call: Call) -> HostValue:
    items = sorted(cast("dict[int, Any]", _map(call)).items())
    dtype = numpy_dtype(_cast_dtype(call.attributes))
    values = [value for _, value in items]
    numbers = _array(values, _dtype_of(values))
    if STRING in (_dtype_of(values), _cast_dtype(call.attributes)):
        numbers = cast_elements(numbers, dtype)
    else:
        numbers = numbers.astype(dtype)
    if _is_dense(call.attributes):
        return numbers.reshape(1, -1)
    size = call.attributes.integer("max_map", 1)
    sparse = np.full(size, "" if dtype == np.object_ else 0, dtype)
    for (key, _), number in zip(items, numbers, strict=True):
        if not 0 <= key < size:
            raise HostOpError(f"key {key} is not in a map of {size}")
        sparse[key] = number
    return sparse.reshape(1, -1)


def _vectorizer_types(call: TypeCall) -> HostType:
    value = call.input(0).element
    dtype = value.dtype if value is not None and value.kind == "tensor" else None
    return tensor(dtype, (1, len(_vocabulary(call.attributes))))


def _vocabulary(attributes: Attributes) -> list[Any]:
    if "string_vocabulary" in attributes:
        return attributes.texts("string_vocabulary")
    return attributes.integers("int64_vocabulary")


@host_op("DictVectorizer", domain=_ML, types=_vectorizer_types)
def _dict_vectorizer(call: Call) -> HostValue:
    items, vocabulary = _map(call), _vocabulary(call.attributes)
    dtype = _dtype_of(list(items.values()))
    missing = "" if dtype == STRING else 0
    return _array([items.get(key, missing) for key in vocabulary], dtype)
