"""Opening the files that a model names: what is safe, and what is refused."""

from __future__ import annotations

import mmap
import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from nnc.context import NncContext
from nnc.errors import LimitExceeded, LoadError
from nnc.frontends.detect import import_model
from nnc.frontends.loader import files
from nnc.frontends.loader.files import (
    ExternalData,
    external_path,
    read_file,
    read_start,
)

F32 = np.float32
WEIGHT = np.arange(64, dtype=F32)


def model_with(**entries: str) -> ModelProto:
    """A model whose weight `w` has these external data entries."""
    tensor = TensorProto(
        name="w",
        data_type=TensorProto.FLOAT,
        dims=[64],
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [64]) for n in "xy"]
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", infos[:1], infos[1:], [tensor])
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a model, with a data file `w.bin` in it and a secret outside."""
    inner = tmp_path / "model"
    (inner / "sub").mkdir(parents=True)
    (inner / "w.bin").write_bytes(bytes(8) + WEIGHT.tobytes())
    (tmp_path / "secret.bin").write_bytes(bytes(8) + WEIGHT.tobytes())
    return inner


def load(folder: Path, **entries: str) -> Any:
    """The weight as imported from a model file in `folder`."""
    path = folder / "model.onnx"
    path.write_bytes(model_with(**entries).SerializeToString())
    ctx = NncContext()
    import_model(path, ctx=ctx)
    return ctx.weights["w"]


def refused(folder: Path, message: str, **entries: str) -> None:
    """Check that such external data is refused, naming the tensor."""
    with pytest.raises(LoadError, match=f"initializer 'w'.*{message}"):
        load(folder, **entries)


# ---------------------------------------------------------------- external data


def test_external_data_is_read(folder: Path):
    weight = load(folder, location="w.bin", offset="8", length="256")
    np.testing.assert_array_equal(weight, WEIGHT)
    assert not weight.flags.writeable


def test_external_data_needs_no_length(folder: Path):
    np.testing.assert_array_equal(load(folder, location="w.bin", offset="8"), WEIGHT)


def test_external_data_may_lie_in_a_folder_below(folder: Path):
    (folder / "sub" / "w.bin").write_bytes(WEIGHT.tobytes())
    np.testing.assert_array_equal(load(folder, location="sub/w.bin"), WEIGHT)


def test_large_external_data_is_mapped(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "MAP_BYTES", 16)
    weight = load(folder, location="w.bin", offset="8")
    np.testing.assert_array_equal(weight, WEIGHT)


def test_the_model_folder_may_be_a_link(folder: Path):
    link = folder.parent / "link"
    link.symlink_to(folder)
    np.testing.assert_array_equal(load(link, location="w.bin", offset="8"), WEIGHT)


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "sub/../../secret.bin", "sub/../w.bin", "..\\secret.bin"],
)
def test_paths_upwards_are_refused(location: str, folder: Path):
    refused(folder, "outside of the model's folder", location=location)


def test_absolute_paths_are_refused(folder: Path):
    path = str(folder.parent / "secret.bin")
    refused(folder, "must have a relative path", location=path)
    refused(folder, "must have a relative path", location="C:\\w.bin")


def test_links_are_refused(folder: Path):
    (folder / "soft.bin").symlink_to(folder.parent / "secret.bin")
    refused(folder, "through a link", location="soft.bin", offset="8")
    (folder / "inner.bin").symlink_to(folder / "w.bin")
    refused(folder, "through a link", location="inner.bin", offset="8")
    (folder / "up").symlink_to(folder.parent)
    refused(folder, "through a link", location="up/secret.bin", offset="8")


def test_hard_links_are_refused(folder: Path):
    os.link(folder.parent / "secret.bin", folder / "hard.bin")
    refused(folder, "has hard links", location="hard.bin", offset="8")


def test_link_that_appears_after_the_check_is_not_followed(folder: Path):
    (folder / "late.bin").symlink_to(folder.parent / "secret.bin")
    with pytest.raises(LoadError, match="cannot open external data 'late.bin'"):
        files.open_external(folder / "late.bin")


def test_things_that_are_no_files_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    refused(folder, "cannot open|no regular file", location="sub")
    os.mkfifo(folder / "pipe")
    refused(folder, "no regular file", location="pipe")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(folder)
        server.bind("socket")
        refused(folder, "cannot open", location="socket")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"offset": "-4"}, "no offset or length"),
        ({"length": "-1"}, "no offset or length"),
        ({"length": "abc"}, "no offset or length"),
        ({"offset": "²"}, "no offset or length"),
        ({"offset": str(2**64 - 8)}, "lie outside of the"),
        ({"length": str(2**60)}, "lie outside of the"),
        ({"offset": "12"}, "lie outside of the"),
        ({"offset": "8", "length": "128"}, "128 bytes of data"),
        ({"__class__": "x"}, "key '__class__'"),
        ({"location": "none.bin"}, "cannot open external data 'none.bin'"),
        ({"location": ""}, "no file name"),
        ({"location": "w.bin\0.txt"}, "no file name"),
    ],
    ids=str,
)
def test_wrong_entries_are_refused(entries: dict[str, str], message: str, folder: Path):
    refused(folder, message, **{"location": "w.bin", **entries})


def test_external_data_without_a_location_is_refused(folder: Path):
    refused(folder, "without a location", offset="8")


def test_external_data_of_bytes_is_refused():
    data = model_with(location="w.bin").SerializeToString()
    with pytest.raises(LoadError, match="load the model from a path"):
        import_model(data, ctx=NncContext())


def test_external_data_in_a_constant_is_checked_too(folder: Path):
    tensor = model_with(location="../secret.bin").graph.initializer[0]
    node = helper.make_node("Constant", [], ["y"])
    attribute = helper.make_attribute("value", TensorProto())
    attribute.t.CopyFrom(tensor)
    node.attribute.append(attribute)
    info = helper.make_tensor_value_info("y", TensorProto.FLOAT, [64])
    model = helper.make_model(
        helper.make_graph([node], "g", [], [info]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(LoadError, match=r"Constant \(node 'Constant:y'\).*outside of"):
        import_model(path, ctx=NncContext())


def test_a_file_is_opened_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    opened: list[Path] = []
    original = files.open_external

    def counted(path: Path) -> int:
        opened.append(path)
        return original(path)

    monkeypatch.setattr(files, "open_external", counted)
    data = ExternalData(folder)
    for offset in (0, 8):
        assert data.view("w.bin", offset, 8, "w").size == 8
    assert len(opened) == 1


def test_external_path_of_a_plain_name(folder: Path):
    assert external_path(folder, "w.bin") == folder.resolve() / "w.bin"


# ---------------------------------------------------------------- the model file


def test_read_file_returns_all_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1000)
    assert bytes(read_file(path, 10**6)) == b"abc" * 1000
    monkeypatch.setattr(files, "_HUGE_PAGES_FROM", 10)
    assert bytes(read_file(path, 10**6)) == b"abc" * 1000
    assert read_start(path, 4) == b"abca"


def test_read_file_refuses_what_is_too_large(tmp_path: Path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(LimitExceeded, match=f"{2**31} bytes; at most"):
        read_file(path, 2**31 - 1)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_read_file_refuses_devices():
    with pytest.raises(LoadError, match="is no regular file"):
        read_file(Path("/dev/zero"), 10**6)


@pytest.mark.skipif(sys.platform != "linux", reason="what MADV_DONTNEED does on Linux")
def test_memory_of_a_piece_is_given_back_with_its_last_view(tmp_path: Path):
    path = tmp_path / "large"
    count = 10 << 20
    path.write_bytes(b"\x01" * count)
    data = files.read_file(path, count)
    first, second = 1000, 5 << 20
    piece = files.piece_of(data, first, second)
    other = files.piece_of(data, second, count)
    view = piece[24:].view(np.float32).reshape(-1, 2)[7:]
    del piece
    assert bytes(data) == b"\x01" * count
    del view
    gone = np.flatnonzero(np.frombuffer(data, np.uint8) == 0)
    # Whole pages of the piece, and nothing beyond it.
    page = mmap.PAGESIZE
    assert gone[0] == -(-first // page) * page
    assert gone[-1] == second - 1
    assert len(gone) == gone[-1] - gone[0] + 1
    assert (other == 1).all()


def test_piece_of_a_small_file_is_just_a_view(tmp_path: Path):
    path = tmp_path / "small"
    path.write_bytes(b"abcdef")
    data = files.read_file(path, 100)
    assert files.piece_of(data, 2, 4).tobytes() == b"cd"
    assert bytes(data) == b"abcdef"
