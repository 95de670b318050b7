"""Inputs that the command line describes."""

from pathlib import Path

import numpy as np
import pytest

from nnc.errors import InputError
from nnc.runtime.specs import TensorSpec
from nnc.tools.inputs import (
    load_inputs,
    parse_shapes,
    parse_sizes,
    random_input,
    sizes_of,
)

IMAGE = TensorSpec("image", np.dtype(np.float32), ("N", 3, "H", "W"))
MASK = TensorSpec("mask", np.dtype(np.bool_), ("N", "H*2"))


def test_shapes_hold_sizes_and_names():
    assert parse_shapes(["x=1,3,H.0,W"]) == {"x": (1, 3, "H.0", "W")}
    assert parse_shapes(["x=1", "a=b=2"]) == {"x": (1,), "a=b": (2,)}


@pytest.mark.parametrize("text", ["1,3", "=1,2", "x=1,-3", "x=1,2.5", "x=1,a b"])
def test_wrong_shapes_are_refused(text: str):
    with pytest.raises(InputError, match="--input-shape"):
        parse_shapes([text])


@pytest.mark.parametrize("text", ["N", "N=", "=3", "N=x", "N=-1"])
def test_wrong_sizes_are_refused(text: str):
    with pytest.raises(InputError, match="--dim"):
        parse_sizes([text])
    assert parse_sizes(["N=4", "seq=7"]) == {"N": 4, "seq": 7}


def test_inputs_come_from_npy_and_npz_files(tmp_path: Path):
    x, y = np.arange(3.0), np.arange(4)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "all.npz", image=x, mask=y)
    by_name = load_inputs([f"image={tmp_path / 'x.npy'}"], [IMAGE, MASK])
    np.testing.assert_array_equal(by_name["image"], x)
    alone = load_inputs([str(tmp_path / "x.npy")], [IMAGE])
    np.testing.assert_array_equal(alone["image"], x)
    archive = load_inputs([str(tmp_path / "all.npz")], [IMAGE, MASK])
    np.testing.assert_array_equal(archive["mask"], y)


def test_wrong_input_files_are_refused(tmp_path: Path):
    bad = tmp_path / "bad.npy"
    bad.write_bytes(b"no array")
    with pytest.raises(InputError, match=r"bad.npy is not a .npy or .npz file"):
        load_inputs([f"image={bad}"], [IMAGE])
    with pytest.raises(InputError, match="say which input it is.* image, mask"):
        load_inputs([str(bad)], [IMAGE, MASK])


def test_pickled_arrays_are_refused(tmp_path: Path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    with pytest.raises(InputError, match="not a .npy or .npz file"):
        load_inputs([f"image={tmp_path / 'objects.npy'}"], [IMAGE])


def test_sizes_are_given_then_read_from_arrays_then_defaults():
    specs = [IMAGE, MASK]
    assert sizes_of(specs, {}, {}) == {"N": 1, "H": 64, "W": 64}
    given = {"W": 8}
    loaded = {"image": np.zeros((5, 3, 32, 16), np.float32)}
    assert sizes_of(specs, given, loaded) == {"N": 5, "H": 32, "W": 8}


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"]
)
def test_random_inputs_fit_the_spec_and_repeat_with_the_seed(dtype: str):
    spec = TensorSpec("x", np.dtype(dtype), ("N", "H*2", 3))
    sizes = {"N": 2, "H": 5}
    first = random_input(spec, sizes, np.random.default_rng(1))
    again = random_input(spec, sizes, np.random.default_rng(1))
    assert first.shape == (2, 10, 3)
    assert first.dtype == spec.dtype
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(
        first, random_input(spec, sizes, np.random.default_rng(2))
    )
