"""The folder of the cache: where it is, what it holds, what goes first."""

import os
import time
from pathlib import Path

import pytest

from nnc.cache.folder import DEFAULT_SIZE, CacheFolder, folder_of
from nnc.errors import CacheError


def put(folder: CacheFolder, name: str, nbytes: int, age: float = 0) -> Path:
    """A file, last used some seconds ago."""
    path = folder.path / name
    path.write_bytes(bytes(nbytes))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def names(folder: CacheFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


# ---- the environment


def test_environment_names_folder_and_size(tmp_path: Path):
    folder = folder_of({"NNC_CACHE_DIR": str(tmp_path), "NNC_CACHE_SIZE": "10M"})
    assert folder == CacheFolder(tmp_path, 10 << 20)


def test_without_environment_it_is_the_users_cache_folder():
    folder = folder_of({})
    assert folder is not None
    assert folder.path.is_absolute()
    assert "nnc" in str(folder.path)
    assert folder.max_bytes == DEFAULT_SIZE


@pytest.mark.parametrize("text", ["0", "off", "False", " no "])
def test_environment_switches_it_off(text: str):
    assert folder_of({"NNC_CACHE": text, "NNC_CACHE_DIR": "x"}) is None


@pytest.mark.parametrize("text", ["1", "on", ""])
def test_environment_leaves_it_on(text: str):
    assert folder_of({"NNC_CACHE": text, "NNC_CACHE_DIR": "x"}) is not None


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("", DEFAULT_SIZE),
        ("0", 0),
        ("17", 17),
        ("2k", 2 << 10),
        ("3 GiB", 3 << 30),
        ("1TB", 1 << 40),
        (" 5M ", 5 << 20),
    ],
)
def test_sizes(text: str, nbytes: int):
    folder = folder_of({"NNC_CACHE_DIR": "x", "NNC_CACHE_SIZE": text})
    assert folder is not None
    assert folder.max_bytes == nbytes


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NNC_CACHE", "perhaps"),
        ("NNC_CACHE_SIZE", "-1"),
        ("NNC_CACHE_SIZE", "1.5G"),
        ("NNC_CACHE_SIZE", "much"),
        ("NNC_CACHE_SIZE", "9" * 400),
    ],
)
def test_values_without_meaning_are_refused(name: str, text: str):
    with pytest.raises(CacheError, match=f"{name}=.*: it must be"):
        folder_of({name: text})


# ---- entries


def test_entries_are_sorted_by_use(tmp_path: Path):
    folder = CacheFolder(tmp_path)
    put(folder, "b.nnc", 2, age=5)
    put(folder, "a.nnc", 1, age=50)
    put(folder, "c.nnc", 3)
    put(folder, ".nnc-1-x.nnc", 9)
    put(folder, "readme", 9)
    (tmp_path / "d.nnc").mkdir()
    assert [(e.path.name, e.nbytes) for e in folder.entries()] == [
        ("a.nnc", 1),
        ("b.nnc", 2),
        ("c.nnc", 3),
    ]


def test_missing_folder_has_no_entries(tmp_path: Path):
    folder = CacheFolder(tmp_path / "none")
    assert folder.entries() == []
    assert folder.clear() == []
    folder.make_room(tmp_path)


def test_what_was_used_longest_ago_goes_first(tmp_path: Path):
    folder = CacheFolder(tmp_path, max_bytes=100)
    for index, name in enumerate(["d", "c", "b", "a"]):
        put(folder, f"{name}.nnc", 40, age=100 * index + 100)
    kept = put(folder, "new.nnc", 40)
    folder.make_room(kept)
    assert names(folder) == ["d.nnc", "new.nnc"]


def test_use_counts_not_age(tmp_path: Path):
    folder = CacheFolder(tmp_path, max_bytes=80)
    old = put(folder, "old.nnc", 40, age=1000)
    put(folder, "mid.nnc", 40, age=500)
    folder.touch(old)
    folder.make_room(put(folder, "new.nnc", 40))
    assert names(folder) == ["new.nnc", "old.nnc"]


def test_new_entry_stays_even_if_it_is_too_large(tmp_path: Path):
    folder = CacheFolder(tmp_path, max_bytes=10)
    put(folder, "old.nnc", 5, age=9)
    folder.make_room(put(folder, "new.nnc", 50, age=99))
    assert names(folder) == ["new.nnc"]


def test_nothing_goes_while_there_is_room(tmp_path: Path):
    folder = CacheFolder(tmp_path, max_bytes=100)
    put(folder, "old.nnc", 60, age=10**7)
    folder.make_room(put(folder, "new.nnc", 40))
    assert names(folder) == ["new.nnc", "old.nnc"]


def test_abandoned_files_go_after_an_hour(tmp_path: Path):
    folder = CacheFolder(tmp_path)
    put(folder, ".nnc-1-old", 5, age=4000)
    put(folder, ".nnc-2-new", 5, age=10)
    put(folder, "other", 5, age=10**7)
    folder.make_room(put(folder, "a.nnc", 1))
    assert names(folder) == [".nnc-2-new", "a.nnc", "other"]


def test_clear_deletes_entries_only(tmp_path: Path):
    folder = CacheFolder(tmp_path)
    put(folder, "a.nnc", 5)
    put(folder, "notes.txt", 5)
    assert [entry.nbytes for entry in folder.clear()] == [5]
    assert names(folder) == ["notes.txt"]


def test_new_folder_is_for_this_user_only(tmp_path: Path):
    folder = CacheFolder(tmp_path / "a" / "b")
    folder.create()
    folder.create()
    if os.name == "posix":
        assert folder.path.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.name != "posix", reason="owners of POSIX")
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_file_that_others_may_write_is_refused(tmp_path: Path, mode: int):
    folder = CacheFolder(tmp_path)
    path = put(folder, "a.nnc", 1)
    path.chmod(0o644)
    folder.check_owner(path.stat())
    path.chmod(mode)
    with pytest.raises(CacheError, match="other users may write it"):
        folder.check_owner(path.stat())


@pytest.mark.skipif(os.name != "posix", reason="owners of POSIX")
def test_file_of_another_user_is_refused(tmp_path: Path):
    path = put(CacheFolder(tmp_path), "a.nnc", 1)
    fields = list(path.stat())
    fields[4] = os.getuid() + 1
    with pytest.raises(CacheError, match="belongs to another user"):
        CacheFolder(tmp_path).check_owner(os.stat_result(fields))
