"""The file format of sections, and every kind of damage to it."""

import os
import random
import struct
from pathlib import Path

import pytest
import xxhash

from nnc.errors import LoadError
from nnc.runtime import container
from nnc.runtime.container import Container, write_container

SECTIONS = {
    "text": [b"some text"],
    "empty": [],
    "pieces": [b"a" * 100, b"", b"b" * 64, b"c"],
    "last": [bytes(range(256)) * 20],
}
FACTS = {"release": "1", "é": "\n"}


def write(path: Path) -> bytes:
    """Write the sections; returns the file."""
    views = {n: [memoryview(p) for p in pieces] for n, pieces in SECTIONS.items()}
    write_container(path, "test", FACTS, views)
    return path.read_bytes()


def read(path: Path) -> dict[str, bytes]:
    """All sections, each read and mapped."""
    with Container(path, "test") as file:
        assert file.facts == FACTS
        found = {name: file.read(name) for name in SECTIONS}
        for name, data in found.items():
            assert bytes(file.map(name)) == data
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_sections_come_back_with_aligned_pieces(path: Path):
    write(path)
    found = read(path)
    assert found["text"] == b"some text"
    assert found["empty"] == b""
    assert found["last"] == SECTIONS["last"][0]
    pieces = found["pieces"]
    assert len(pieces) == 128 + 64 + 1
    assert pieces[:100] == b"a" * 100
    assert pieces[128:192] == b"b" * 64
    assert pieces[192:] == b"c"


def test_sections_start_at_pages_and_gaps_are_zero(path: Path):
    data = write(path)
    at = data.index(b"some text")
    assert at % 4096 == 0
    assert data.index(b"a" * 100) % 4096 == 0
    assert not any(data[at + 9 : at + 4096])


def test_mapped_section_is_read_only_and_outlives_the_file(path: Path):
    write(path)
    with Container(path, "test") as file:
        view = file.map("last")
    path.unlink()
    assert view.readonly
    assert bytes(view) == SECTIONS["last"][0]


def test_file_of_no_sections(path: Path):
    write_container(path, "test", {}, {})
    with Container(path, "test") as file, pytest.raises(LoadError, match="no section"):
        file.read("text")


def test_other_kind_is_refused(path: Path):
    write(path)
    with pytest.raises(LoadError, match="it holds 'test', not 'other'"):
        Container(path, "other")


def test_other_layout_is_refused(path: Path):
    data = bytearray(write(path))
    data[8] += 1
    path.write_bytes(data)
    with pytest.raises(LoadError, match="has layout 2, this release of nnc reads 1"):
        Container(path, "test")


# ---- damage


def test_truncation_anywhere_is_refused(path: Path):
    data = write(path)
    lengths = {*range(0, 600, 7), *range(600, len(data), 499), len(data) - 1}
    for length in sorted(lengths):
        path.write_bytes(data[:length])
        with pytest.raises(LoadError, match="damaged|no file that nnc"):
            read(path)


def test_appended_bytes_are_refused(path: Path):
    path.write_bytes(write(path) + b"x")
    with pytest.raises(LoadError, match="damaged"):
        read(path)


def test_bit_flips_are_refused(path: Path):
    data = write(path)
    header = 40 + struct.unpack("<I", data[12:16])[0]
    used = [*range(header)]
    for pieces in SECTIONS.values():
        start = data.index(b"".join(pieces)[:64]) if pieces else 0
        used += range(start, start + sum(map(len, pieces)), 37)
    generator = random.Random(0)
    for byte in used:
        damaged = bytearray(data)
        damaged[byte] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(LoadError):
            read(path)


@pytest.mark.parametrize("seed", range(20))
def test_garbage_is_refused(path: Path, seed: int):
    garbage = random.Random(seed).randbytes(1 << seed % 14)
    for data in (garbage, container.MAGIC + garbage, write(path)[:40] + garbage):
        path.write_bytes(data)
        with pytest.raises(LoadError):
            Container(path, "test")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b"9" * 10_000,
        b'["test", [], []',
        b'["test", {}, []]',
        b'["test", [["a"]], []]',
        b'["test", [], [["a", 0, 1]]]',
        b'["test", [], [["a", 0, -1, ""]]]',
        b'["test", [], [["a", -4096, 1, ""]]]',
        b'["test", [], [["a", 4096, 1, ""]]]',
        b'["test", [], [["a", 1, 1, ""]]]',
        b'["test", [], [["a", 0, 1e3, ""]]]',
        b'["test", [], [["a", 0, true, ""]]]',
        b'["test", [], [["a", 0, 1, 5]]]',
    ],
    ids=range(18),
)
def test_header_with_a_right_checksum_is_not_believed(path: Path, body: bytes):
    start = struct.pack("<8sIIQ", container.MAGIC, 1, len(body), 40 + len(body))
    path.write_bytes(start + xxhash.xxh3_128_digest(start + body) + body)
    with pytest.raises(LoadError, match="damaged"):
        Container(path, "test")


def test_header_longer_than_the_file_is_refused(path: Path):
    start = struct.pack("<8sIIQ", container.MAGIC, 1, 2**32 - 1, 48)
    path.write_bytes(start + bytes(24))
    with pytest.raises(LoadError, match="its header is cut off"):
        Container(path, "test")


def test_folder_is_no_file(tmp_path: Path):
    with pytest.raises((LoadError, OSError)):
        Container(tmp_path, "test")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_pipe_is_refused_without_waiting(path: Path):
    os.mkfifo(path)
    with pytest.raises(LoadError, match="no regular file"):
        Container(path, "test")


# ---- writing


def test_failed_write_leaves_what_was_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = write(path)

    def fail(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_missing_folder_is_an_os_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "none" / "file")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_file_has_the_permissions_of_any_new_file(path: Path):
    write(path)
    other = path.with_name("other")
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode
