"""Labels and categories: each element looked up in a table; strings on either side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from nnc.runtime.host_ops.call import Attributes, Call, TypeCall
from nnc.runtime.host_ops.registry import host_op
from nnc.runtime.host_ops.types import HostType, tensor
from nnc.runtime.host_ops.values import (
    STRING,
    Array,
    HostOpError,
    HostValue,
    described,
    dtype_name,
    is_strings,
    string_array,
)

_ML: Final = "ai.onnx.ml"
# Stands for every NaN: a NaN is not equal to itself.
_NAN_KEY: Final = object()


def _key(element: Any) -> Any:
    is_nan = isinstance(element, float) and math.isnan(element)
    return _NAN_KEY if is_nan else element


def looked_up(
    x: Array, table: Mapping[Any, Any], default: Any, dtype: np.dtype[Any]
) -> Array:
    """What a table holds for each element; the default where it holds nothing."""
    values = [table.get(_key(e), default) for e in x.ravel().tolist()]
    if dtype == np.object_:
        return string_array(values, x.shape)
    return np.array(values, dtype).reshape(x.shape)


# ---------------------------------------------------------------- LabelEncoder


def _listed(attributes: Attributes, part: str) -> Array:
    """The keys or the values of a label encoder."""
    if f"{part}_strings" in attributes:
        texts = attributes.texts(f"{part}_strings")
        return string_array(texts, (len(texts),))
    if f"{part}_int64s" in attributes:
        return np.array(attributes.integers(f"{part}_int64s"), np.int64)
    if f"{part}_floats" in attributes:
        return np.array(attributes.numbers(f"{part}_floats"), np.float32)
    return attributes.tensor(f"{part}_tensor").ravel()


def _default(attributes: Attributes, values: Array) -> Any:
    if "default_tensor" in attributes:
        return attributes.tensor("default_tensor").item()
    if is_strings(values):
        return attributes.text("default_string", "_Unused")
    if values.dtype.kind == "f":
        return attributes.number("default_float", -0.0)
    return attributes.integer("default_int64", -1)


def _encoder_types(call: TypeCall) -> HostType:
    return tensor(dtype_name(_listed(call.attributes, "values")), call.shape(0))


@host_op("LabelEncoder", domain=_ML, since=2, types=_encoder_types)
def _label_encoder(call: Call) -> HostValue:
    x = call.tensor(0)
    keys, values = (_listed(call.attributes, part) for part in ("keys", "values"))
    if len(keys) != len(values):
        raise HostOpError(f"{len(keys)} keys for {len(values)} values")
    if is_strings(keys) != is_strings(x):
        raise HostOpError(f"keys of {dtype_name(keys)} for {described(x)}")
    # Of equal keys the last one holds.
    table = dict(zip(map(_key, keys.tolist()), values.tolist(), strict=True))
    return looked_up(x, table, _default(call.attributes, values), values.dtype)


# ---------------------------------------------------------------- categories


def _mapper_types(call: TypeCall) -> HostType:
    dtype = call.dtype(0)
    other = None if dtype is None else "int64" if dtype == STRING else STRING
    return tensor(other, call.shape(0))


def _both_ways(call: Call, texts: list[str], numbers: Iterable[int]) -> HostValue:
    """Strings to their numbers, or numbers to their strings, as the input is."""
    x = call.tensor(0)
    if is_strings(x):
        default = call.attributes.integer("default_int64", -1)
        table = dict(zip(texts, numbers, strict=True))
        return looked_up(x, table, default, np.dtype(np.int64))
    text = call.attributes.text("default_string", "_Unused")
    names = dict(zip(numbers, texts, strict=True))
    return looked_up(x, names, text, np.dtype(np.object_))


@host_op("CategoryMapper", domain=_ML, types=_mapper_types)
def _category_mapper(call: Call) -> HostValue:
    texts = call.attributes.texts("cats_strings")
    numbers = call.attributes.integers("cats_int64s")
    if len(texts) != len(numbers):
        raise HostOpError(f"{len(texts)} strings for {len(numbers)} integers")
    return _both_ways(call, texts, numbers)


@host_op("LabelEncoder", domain=_ML, types=_mapper_types)
def _label_encoder_1(call: Call) -> HostValue:
    texts = call.attributes.texts("classes_strings")
    return _both_ways(call, texts, range(len(texts)))


def _one_hot_types(call: TypeCall) -> HostType:
    shape = call.shape(0)
    count = len(_categories(call.attributes))
    return tensor("float32", None if shape is None else (*shape, count))


def _categories(attributes: Attributes) -> list[Any]:
    if "cats_strings" in attributes:
        return attributes.texts("cats_strings")
    return attributes.integers("cats_int64s")


@host_op("OneHotEncoder", domain=_ML, types=_one_hot_types)
def _one_hot_encoder(call: Call) -> HostValue:
    x, categories = call.tensor(0), _categories(call.attributes)
    if is_strings(x) != ("cats_strings" in call.attributes):
        raise HostOpError(f"the categories are of another type than {described(x)}")
    if not is_strings(x):
        x = x.astype(np.int64)
    table = {category: i for i, category in enumerate(categories)}
    places = looked_up(x, table, -1, np.dtype(np.int64))
    if not call.attributes.integer("zeros", 1) and (places < 0).any():
        wrong = x.ravel()[int(np.argmax(places.ravel() < 0))]
        raise HostOpError(f"'{str(wrong)[:40]}' is in no category")
    hot = places[..., None] == np.arange(len(categories))
    return hot.astype(np.float32)
