"""Every element type through compiled models: moved, cast, given, saved and loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, parser
from onnx.reference import ReferenceEvaluator

import nnc
from nnc.dialects.nn.dtypes import ELEMENT_TYPES, numpy_dtype
from nnc.dialects.nn.types import STORED_ONLY
from nnc.frontends.onnx.tensors import DTYPES
from nnc.random_inputs import random_array
from nnc.runtime.specs import number_kind

Array = NDArray[Any]

TARGETS = [pytest.param(t, marks=pytest.mark.isa(t)) for t in ("generic", "avx512")]
STORED = sorted((numpy_dtype(t) for t in STORED_ONLY), key=str)
SMALL = [d for d in STORED if d.kind != "c"]
EVERY = [numpy_dtype(t) for t in ELEMENT_TYPES]
NAMES = {dtype: number for number, dtype in DTYPES.items()}


def elements(dtype: np.dtype[Any], shape: tuple[int, ...], seed: int = 0) -> Array:
    """Any bits that elements may have."""
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape))
    if dtype.kind == "c":
        parts = rng.standard_normal((count, 2)).astype(f"f{dtype.itemsize // 2}")
        return parts.view(dtype).reshape(shape)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.itemsize > 1 and dtype.kind in "fV":
        return rng.standard_normal(shape).astype(dtype)
    name = dtype.name
    bits = next((b for b in (2, 4, 6) if name.lstrip("uintfloa").startswith(str(b))), 8)
    size = dtype.itemsize
    raw = rng.integers(0, 1 << bits, (count, size), np.uint8, endpoint=False)
    return raw.view(dtype).reshape(shape)


def typed_model(
    graph: str, types: Mapping[str, np.dtype[Any]], opset: int = 25
) -> onnx.ModelProto:
    """A model in text form; the inputs and outputs in `types` are of those dtypes."""
    header = f'<ir_version: 13, opset_import: ["": {opset}]>'
    model = parser.parse_model(f"{header} g {graph}")
    for value in (*model.graph.input, *model.graph.output):
        if value.name in types:
            value.type.tensor_type.elem_type = NAMES[types[value.name]]
    return model


def same_bits(actual: Array, expected: Array) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(
        np.ascontiguousarray(actual).reshape(-1).view(np.uint8),
        np.ascontiguousarray(expected).reshape(-1).view(np.uint8),
    )


MOVED = {
    "transpose": ("(float[5,7] x) => (float[7,5] y) { y = Transpose(x) }", None),
    "transpose4": (
        "(float[2,19,3,17] x) => (float[2,17,3,19] y) "
        "{ y = Transpose<perm=[0,3,2,1]>(x) }",
        None,
    ),
    "slice": (
        "(float[9,33] x) => (float[a,b] y) <int64[2] s = {7,1}, int64[2] e = {0,40}, "
        "int64[2] k = {0,1}, int64[2] t = {-2,3}> { y = Slice(x, s, e, k, t) }",
        None,
    ),
    "concat": (
        "(float[3,4] x, float[3,18] z) => (float[3,22] y) { y = Concat<axis=1>(x, z) }",
        None,
    ),
    "gather": (
        "(float[6,21] x, int64[3] i) => (float[6,3] y) { y = Gather<axis=1>(x, i) }",
        {"i": np.array([20, 0, -1])},
    ),
    "elements": (
        "(float[4,5] x, int64[4,2] i) => (float[4,2] y) "
        "{ y = GatherElements<axis=1>(x, i) }",
        {"i": np.array([[1, 0], [4, -1], [2, 2], [-5, 3]])},
    ),
    "scatter": (
        "(float[6,5] x, int64[2,1] i, float[2,5] z) => (float[6,5] y) "
        "{ y = ScatterND(x, i, z) }",
        {"i": np.array([[4], [-6]])},
    ),
    "pad": (
        "(float[3,17] x, float v) => (float[a,b] y) <int64[4] p = {1,0,2,3}> "
        "{ y = Pad(x, p, v) }",
        None,
    ),
    "edge": (
        "(float[3,17] x) => (float[a,b] y) <int64[4] p = {1,0,2,3}> "
        '{ y = Pad<mode="edge">(x, p) }',
        None,
    ),
    "where": (
        "(bool[3,1] c, float[3,17] x, float[17] z) => (float[3,17] y) "
        "{ y = Where(c, x, z) }",
        {"c": np.array([[True], [False], [True]])},
    ),
    "expand": (
        "(float[3,1] x) => (float[a,b,c] y) <int64[3] s = {2,3,19}> "
        "{ y = Expand(x, s) }",
        None,
    ),
    "split": (
        "(float[4,40] x) => (float[4,a] y, float[4,b] w) <int64[2] n = {37,3}> "
        "{ y, w = Split<axis=1>(x, n) }",
        None,
    ),
    "if": (
        "(bool c, float[3] x, float[3] z) => (float[3] y) { y = If (c) <"
        "then_branch = t () => (float[3] u) { u = Identity(x) }, "
        "else_branch = e () => (float[3] v) { v = Identity(z) }> }",
        {"c": np.array(False)},
    ),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", STORED, ids=str)
def test_elements_are_moved_as_bits(dtype: np.dtype[Any], target: str):
    for name, (graph, given) in MOVED.items():
        model = typed_model(graph, dict.fromkeys(("x", "z", "v", "y", "w", "u"), dtype))
        for branch in (
            a.g for n in model.graph.node for a in n.attribute if a.HasField("g")
        ):
            for value in branch.output:
                value.type.tensor_type.elem_type = NAMES[dtype]
        feeds: dict[str, Array] = dict(given or {})
        for seed, value in enumerate(model.graph.input):
            if value.name not in feeds:
                shape = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
                feeds[value.name] = elements(dtype, shape, seed)
        expected = ReferenceEvaluator(model).run(None, feeds)
        actual = nnc.compile(model, target=target, cache=False).run(None, feeds)
        for ours, theirs in zip(actual, expected, strict=True):
            try:
                same_bits(ours, np.asarray(theirs))
            except AssertionError as error:
                raise AssertionError(f"{name} of {dtype}") from error


def tensor(array: Array, name: str, *, raw: bool) -> onnx.TensorProto:
    """An initializer: elements in the field of their type, or as packed bytes."""
    number = NAMES[array.dtype]
    if raw:
        return onnx.numpy_helper.from_array(array, name)
    values = array.ravel()
    if values.dtype.isbuiltin == 2:
        values = values.astype(np.float32)
    return helper.make_tensor(name, number, array.shape, values)


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("count", [0, 1, 3, 7, 41])
@pytest.mark.parametrize("dtype", EVERY, ids=str)
def test_initializers_are_read(dtype: np.dtype[Any], count: int, raw: bool):
    array = elements(dtype, (count,))
    if dtype.isbuiltin == 2:
        wide = array.astype(np.float32)
        array = np.where(np.isfinite(wide), wide, 1).astype(dtype)
    model = typed_model(
        f"(float[1] x) => (float[{count + 1}] y) {{ y = Concat<axis=0>(x, w) }}",
        {"x": dtype, "y": dtype},
    )
    model.graph.initializer.append(tensor(array, "w", raw=raw))
    module = nnc.convert(model)
    x = array[:1] if count else elements(dtype, (1,))
    (actual,) = module.interpret([x])
    same_bits(actual, np.concatenate([x, array]))


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("dtype", SMALL, ids=str)
def test_initializers_of_another_size_are_refused(dtype: np.dtype[Any], raw: bool):
    proto = tensor(np.ones(9, np.float32).astype(dtype), "w", raw=raw)
    model = typed_model(
        "(float[20] x) => (float[20] y) { y = Identity(w) }", {"x": dtype, "y": dtype}
    )
    proto.dims[0] = 20
    model.graph.initializer.append(proto)
    with pytest.raises(nnc.errors.LoadError, match=r"'w' has .* needs"):
        nnc.convert(model)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", STORED, ids=str)
def test_constants_travel_with_a_saved_model(
    dtype: np.dtype[Any], target: str, tmp_path: Path
):
    """Of few elements and of many, in kernels and beside them."""
    few, many, value = (
        elements(dtype, (3,), 1),
        elements(dtype, (3, 50), 2),
        elements(dtype, (1,), 3),
    )
    model = typed_model(
        "(bool[3,1] c) => (float[3,52] y, float[2,5] z) "
        "<int64[2] s = {2,5}, int64[4] p = {0,0,0,2}, int64[1] one = {1}> { "
        "column = Unsqueeze(few, one) t = Where(c, column, many) "
        "y = Pad(t, p, value) z = Expand(value, s) }",
        {"y": dtype, "z": dtype},
    )
    for name, array in (("few", few), ("many", many), ("value", value.reshape(()))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    feeds = {"c": np.array([[True], [False], [False]])}
    exe = nnc.compile(model, target=target, cache=False)
    chosen = np.where(feeds["c"], few[:, None], many)
    outside = np.broadcast_to(value, (3, 2))
    expected = [np.concatenate([chosen, outside], axis=1)]
    expected.append(np.broadcast_to(value, (2, 5)))
    exe.save(tmp_path / "m.nnc")
    for model_ in (exe, nnc.load(tmp_path / "m.nnc")):
        assert [s.dtype for s in model_.outputs] == [dtype, dtype]
        for ours, theirs in zip(model_.run(None, feeds), expected, strict=True):
            same_bits(ours, theirs)


@pytest.mark.parametrize("dtype", EVERY, ids=str)
def test_the_text_of_a_module_reads_back(dtype: np.dtype[Any]):
    array = elements(dtype, (5,))
    model = typed_model(
        "(float[5] x) => (float[5] y) { y = Concat<axis=0>(w) }",
        {"x": dtype, "y": dtype},
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(array, "w"))
    text = str(nnc.convert(model))
    from nnc.module import Module

    again = Module.parse(text)
    assert str(again) == text
    same_bits(again.interpret([array])[0], array)


@pytest.mark.parametrize("dtype", EVERY, ids=str)
def test_random_inputs_and_python_numbers(dtype: np.dtype[Any]):
    model = typed_model(
        "(float[3] x) => (float[3] y) { y = Identity(x) }", {"x": dtype, "y": dtype}
    )
    exe = nnc.compile(model, cache=False)
    (spec,) = exe.inputs
    assert spec.dtype == dtype
    array = random_array(dtype, (3,), np.random.default_rng(0))
    same_bits(exe(array), array)
    numbers = {"b": [True, False, True], "i": [1, 0, 1], "u": [1, 0, 1]}
    given = numbers.get(number_kind(dtype), [0.5, 1.0, 2.0])
    given = [v + 2j for v in given] if dtype.kind == "c" else given
    same_bits(exe(given), np.array(given).astype(dtype))
    if number_kind(dtype) in "iu" and dtype.itemsize == 1:
        with pytest.raises(nnc.errors.InputError, match="does not fit"):
            exe([1, 0, 300])
