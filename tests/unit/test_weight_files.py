"""Weights survive a file, and damaged files are refused."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from nnc.errors import LoadError
from nnc.weight_files import load_weights, save_weights

ARRAYS = {
    "a/weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "odd": np.array([1, 2, 3], np.int8),
    "scalar": np.array(7, np.int64),
    "empty": np.zeros((0, 4), np.float16),
    "flags": np.array([True, False]),
}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_weights_written_and_read_are_equal(tmp_path: Path, suffix: str):
    path = tmp_path / f"weights{suffix}"
    save_weights(path, ARRAYS)
    loaded = load_weights(path)
    assert list(loaded) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].flags.aligned
        np.testing.assert_array_equal(loaded[name], array)


def test_safetensors_file_is_what_others_read(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, ARRAYS)
    theirs = load_file(path)
    assert theirs.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(theirs[name], array)


def test_bfloat16_survives_safetensors_and_is_refused_by_npz(tmp_path: Path):
    array = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    save_weights(tmp_path / "w.safetensors", {"w": array})
    loaded = load_weights(tmp_path / "w.safetensors")["w"]
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)
    with pytest.raises(LoadError, match=r"cannot hold the dtype of w; .*safetensors"):
        save_weights(tmp_path / "w.npz", {"w": array})


def safetensors(header: str) -> bytes:
    """A file with that header and no bytes behind it."""
    return len(header).to_bytes(8, "little") + header.encode()


def entry(dtype: str, shape: str, end: int) -> bytes:
    """A file with the entry of one tensor."""
    fields = f'"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]'
    return safetensors(f'{{"w":{{{fields}}}}}')


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        safetensors("{}")[:-1],
        safetensors("[]"),
        entry("F32", "[9]", 36),
        entry("ABC", "[0]", 0),
        entry("F32", "[2]", 0),
    ],
    ids=["empty", "length", "cut", "list", "outside", "dtype", "shape"],
)
def test_damaged_safetensors_file_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(LoadError, match="is not a .safetensors file"):
        load_weights(path)


def test_damaged_npz_and_other_suffixes_are_refused(tmp_path: Path):
    path = tmp_path / "w.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(LoadError, match="is not a .npz file"):
        load_weights(path)
    with pytest.raises(LoadError, match=r"read from .npz and .safetensors"):
        load_weights(tmp_path / "w.bin")
    with pytest.raises(LoadError, match=r"written as .npz or .safetensors"):
        save_weights(tmp_path / "w.bin", {})
