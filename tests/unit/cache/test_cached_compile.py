"""`nnc.compile` with the cache: hits, misses, damage, many processes."""

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import nnc
from nnc.backend.jit import codegen_count
from nnc.cache import keys
from nnc.errors import CacheWarning, LoadError
from nnc.runtime.container import Container

W = np.arange(48, dtype=np.float32).reshape(6, 8)
X = np.linspace(-1, 1, 18, dtype=np.float32).reshape(3, 6)


def model(weight: NDArray[Any] = W, *, activation: str = "Relu") -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="product"),
        helper.make_node(activation, ["h"], ["y"], name="activation"),
    ]
    kind = TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", kind, ["N", 6])]
    outputs = [helper.make_tensor_value_info("y", kind, ["N", 8])]
    constants = [numpy_helper.from_array(weight, "w")]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache of its own."""
    monkeypatch.setenv("NNC_CACHE", "1")
    monkeypatch.setenv("NNC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model file."""
    path = tmp_path / "model.onnx"
    path.write_bytes(model().SerializeToString())
    return path


def state(exe: nnc.CompiledModel | nnc.ProgramModel) -> str:
    return exe.info.cache.state


def check(exe: nnc.CompiledModel | nnc.ProgramModel, weight: NDArray[Any] = W) -> None:
    np.testing.assert_allclose(exe(X), np.maximum(X @ weight, 0), rtol=1e-5)


# ---- hits


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "bytearray", "proto"])
def test_second_compilation_is_a_hit_of_equal_bits(folder: Path, path: Path, kind: str):
    data = path.read_bytes()
    made: dict[str, Any] = {
        "path": path,
        "str": str(path),
        "bytes": data,
        "bytearray": bytearray(data),
        "proto": model(),
    }
    first = nnc.compile(made[kind])
    assert state(first) == "stored"
    before = codegen_count()
    second = nnc.compile(made[kind])
    assert state(second) == "hit"
    assert codegen_count() == before
    assert second.info.code_generations == 0
    np.testing.assert_array_equal(second(X), first(X))
    check(second)
    assert (second.inputs, second.outputs) == (first.inputs, first.outputs)
    assert second.info.kernels == first.info.kernels
    assert [e.name for e in folder.iterdir()] == [Path(second.info.cache.path).name]


def test_place_of_the_file_does_not_matter(folder: Path, path: Path):
    nnc.compile(path)
    other = path.with_name("other.onnx")
    other.write_bytes(path.read_bytes())
    assert state(nnc.compile(other)) == "hit"
    assert state(nnc.compile(path.read_bytes())) == "hit"


def test_changed_model_is_a_miss(folder: Path, path: Path):
    nnc.compile(path)
    status = path.stat()
    weight = W.copy()
    weight[3, 3] = 5
    path.write_bytes(model(weight).SerializeToString())
    # Not even size and time tell that it changed.
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    exe = nnc.compile(path)
    assert state(exe) == "stored"
    check(exe, weight)


@pytest.mark.parametrize(
    "options",
    [
        {"input_shapes": {"x": [3, 6]}},
        {"input_shapes": {"x": ["M", 6]}},
        {"target": "generic"},
    ],
    ids=["fixed", "renamed", "target"],
)
def test_other_options_are_a_miss(folder: Path, path: Path, options: dict[str, Any]):
    nnc.compile(path)
    exe = nnc.compile(path, **options)
    assert state(exe) == "stored"
    again = nnc.compile(path, **options)
    assert state(again) == "hit"
    assert again.inputs == exe.inputs
    assert again.info.target == exe.info.target
    assert len(list(folder.iterdir())) == 2


def test_number_of_threads_is_no_matter_of_the_entry(folder: Path, path: Path):
    nnc.compile(path, num_threads=1)
    exe = nnc.compile(path, num_threads=2)
    assert state(exe) == "hit"
    assert exe.num_threads == 2


def test_changed_sources_of_nnc_are_a_miss(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
):
    nnc.compile(path)
    monkeypatch.setattr(keys, "compiler_hash", lambda: "another")
    monkeypatch.setattr(keys, "fresh_compiler_hash", lambda: "another")
    assert state(nnc.compile(path)) == "stored"


def test_hit_announces_one_phase(folder: Path, path: Path):
    nnc.compile(path)
    heard: list[tuple[str, int, int]] = []
    exe = nnc.compile(path, on_pass=lambda *a: heard.append(a))
    assert heard == [("loading from the cache", 0, 1)]
    assert [p.name for p in exe.info.phases] == ["loading"]


def test_hit_marks_the_entry_as_used(folder: Path, path: Path):
    entry = Path(nnc.compile(path).info.cache.path)
    os.utime(entry, (1, 1))
    nnc.compile(path)
    assert entry.stat().st_mtime > 10**9


def test_cached_model_can_be_saved(folder: Path, path: Path, tmp_path: Path):
    nnc.compile(path)
    nnc.compile(path).save(tmp_path / "m.nnc")
    loaded = nnc.load(tmp_path / "m.nnc")
    check(loaded)
    assert state(loaded) == "off"


HIT = """
import sys
import nnc
exe = nnc.compile(sys.argv[1])
heavy = ("xdsl", "onnx", "google.protobuf", "nnc.build", "nnc.frontends.onnx",
         "nnc.dialects", "nnc.lowering", "nnc.transforms", "platformdirs")
print(exe.info.cache.state, *(m for m in heavy if m in sys.modules))
"""


def test_hit_needs_neither_compiler_nor_frontend(folder: Path, path: Path):
    nnc.compile(path)
    done = subprocess.run(
        [sys.executable, "-c", HIT, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["hit"]


# ---- external data


def save_with_external(folder: Path, weight: NDArray[Any]) -> Path:
    path = folder / "external.onnx"
    # An existing file would be appended to.
    (folder / "weights.bin").unlink(missing_ok=True)
    onnx.save_model(
        model(weight),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return path


def test_external_data_counts(folder: Path, tmp_path: Path):
    path = save_with_external(tmp_path, W)
    main = path.read_bytes()
    assert state(nnc.compile(path)) == "stored"
    assert state(nnc.compile(path)) == "hit"
    other = W * 2
    save_with_external(tmp_path, other)
    assert path.read_bytes() == main
    exe = nnc.compile(path)
    assert state(exe) == "stored"
    check(exe, other)
    save_with_external(tmp_path, W)
    exe = nnc.compile(path)
    assert state(exe) == "hit"
    check(exe)


def test_missing_external_data_is_an_error_as_ever(folder: Path, tmp_path: Path):
    path = save_with_external(tmp_path, W)
    nnc.compile(path)
    (tmp_path / "weights.bin").unlink()
    with (
        pytest.warns(CacheWarning, match="not usable"),
        pytest.raises(LoadError, match=r"weights\.bin"),
    ):
        nnc.compile(path)


def test_damaged_list_of_external_files_is_replaced(folder: Path, tmp_path: Path):
    path = save_with_external(tmp_path, W)
    nnc.compile(path)
    (listing,) = folder.glob("*-files.nnc")
    data = bytearray(listing.read_bytes())
    data[-3] ^= 1
    listing.write_bytes(data)
    with pytest.warns(CacheWarning, match="not usable"):
        exe = nnc.compile(path)
    assert state(exe) == "stored"
    assert state(nnc.compile(path)) == "hit"


# ---- off


def test_cache_can_be_left_out(folder: Path, path: Path):
    exe = nnc.compile(path, cache=False)
    assert str(exe.info.cache) == "off: cache=False"
    assert not folder.exists()


def test_environment_switches_it_off(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NNC_CACHE", "off")
    assert str(nnc.compile(path).info.cache) == "off: NNC_CACHE is off"
    assert not folder.exists()


def test_modules_are_not_kept(folder: Path, path: Path):
    assert state(nnc.compile(nnc.convert(path))) == "off"
    assert not folder.exists()


def test_wrong_environment_is_a_warning(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NNC_CACHE_SIZE", "much")
    with pytest.warns(CacheWarning, match="NNC_CACHE_SIZE=much: it must be a size"):
        exe = nnc.compile(path)
    check(exe)
    assert exe.info.cache.note.startswith("NNC_CACHE_SIZE")


def test_failed_compilation_leaves_nothing(folder: Path, path: Path):
    with pytest.raises(nnc.errors.CompileError):
        nnc.compile(path, input_shapes={"z": [1]})
    assert not folder.exists()


# ---- damage


def damaged(data: bytes) -> Sequence[bytes]:
    """The contents of an entry, cut off and with bits flipped."""
    generator = random.Random(0)
    cut = [data[: len(data) * n // 8] for n in range(8)]
    flipped: list[bytes] = []
    for _ in range(12):
        copy = bytearray(data)
        copy[generator.randrange(len(data) // 3)] ^= 1 << generator.randrange(8)
        flipped.append(bytes(copy))
    return [*cut, data + b"x", bytes(len(data)), b"\x7fELF" + data[4:], *flipped]


def test_damaged_entries_are_rebuilt(folder: Path, path: Path):
    entry = Path(nnc.compile(path).info.cache.path)
    data = entry.read_bytes()
    rebuilt = 0
    for contents in damaged(data):
        entry.write_bytes(contents)
        before = codegen_count()
        try:
            exe = nnc.compile(path)
        except CacheWarning:
            # Warnings are errors in tests; without that, it goes on.
            with pytest.warns(CacheWarning, match="not usable"):
                exe = nnc.compile(path)
            assert codegen_count() == before + 1
            assert state(exe) == "stored"
            assert "not usable" in exe.info.cache.note
            assert state(nnc.compile(path)) == "hit"
            rebuilt += 1
        check(exe)
        exe.close()
    # Some flips hit the gaps between sections.
    assert rebuilt >= 12


def test_entry_under_a_wrong_name_is_rebuilt(folder: Path, path: Path):
    entry = Path(nnc.compile(path).info.cache.path)
    other = Path(nnc.compile(model(W * 2)).info.cache.path)
    entry.write_bytes(other.read_bytes())
    with pytest.warns(CacheWarning, match="is for another key"):
        exe = nnc.compile(path)
    check(exe)


def test_entry_of_another_release_is_rebuilt(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
):
    from nnc.runtime import saved

    with monkeypatch.context() as patch:
        patch.setattr(saved, "release", lambda: "older")
        nnc.compile(path)
    with pytest.warns(CacheWarning, match="another release"):
        exe = nnc.compile(path)
    check(exe)
    assert state(nnc.compile(path)) == "hit"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_entry_that_others_may_write_is_not_executed(folder: Path, path: Path):
    entry = Path(nnc.compile(path).info.cache.path)
    entry.chmod(0o666)
    with pytest.warns(CacheWarning, match="other users may write it"):
        exe = nnc.compile(path)
    check(exe)
    assert entry.stat().st_mode & 0o777 == 0o600
    assert state(nnc.compile(path)) == "hit"


def test_link_to_an_entry_is_followed_but_checked(
    folder: Path, path: Path, tmp_path: Path
):
    entry = Path(nnc.compile(path).info.cache.path)
    away = tmp_path / "away"
    entry.rename(away)
    away.write_bytes(away.read_bytes()[:-1])
    entry.symlink_to(away)
    with pytest.warns(CacheWarning, match="damaged"):
        check(nnc.compile(path))
    assert not entry.is_symlink()


# ---- folders that do not work


def test_folder_that_is_a_file_is_a_note(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder.write_text("not a folder")
    with pytest.warns(CacheWarning, match="not kept in the cache|not usable"):
        exe = nnc.compile(path)
    check(exe)
    assert state(exe) == "not stored"
    assert str(folder) in exe.info.cache.note


@pytest.mark.parametrize("call", ["mkdir", "open", "replace"])
def test_folder_that_cannot_be_written_is_a_note(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch, call: str
):
    # Tests may run as root, whom permissions do not stop.
    def refuse(*args: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(folder))

    if call == "mkdir":
        monkeypatch.setattr(Path, "mkdir", refuse)
    elif call == "replace":
        monkeypatch.setattr(os, "replace", refuse)
    else:
        open_file = os.open

        def open_or_refuse(name: Any, flags: int, *args: Any, **options: Any) -> int:
            if flags & os.O_CREAT:
                refuse()
            return open_file(name, flags, *args, **options)

        monkeypatch.setattr(os, "open", open_or_refuse)
    with pytest.warns(CacheWarning, match="not kept in the cache: .*denied"):
        exe = nnc.compile(path)
    check(exe)
    assert state(exe) == "not stored"
    if folder.exists():
        assert list(folder.iterdir()) == []


def test_full_disk_is_a_note_and_leaves_nothing(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
):
    from nnc.runtime import container

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def __enter__(self) -> Any:
            self.file.__enter__()
            return self

        def __exit__(self, *args: object) -> None:
            self.file.__exit__(*args)

        def write(self, data: bytes) -> int:
            if self.file.tell() > 4000:
                raise OSError(28, "No space left on device")
            return self.file.write(data)

    fdopen = os.fdopen

    def open_full(descriptor: int, mode: str, **options: Any) -> Any:
        file = fdopen(descriptor, mode, **options)
        return Full(file) if mode == "wb" else file

    monkeypatch.setattr(container.os, "fdopen", open_full)
    with pytest.warns(CacheWarning, match="No space left"):
        exe = nnc.compile(path)
    check(exe)
    assert list(folder.iterdir()) == []


def test_model_larger_than_the_cache_is_not_kept(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NNC_CACHE_SIZE", "100")
    with pytest.warns(CacheWarning, match="the limit is 100"):
        exe = nnc.compile(path)
    check(exe)
    assert state(exe) == "not stored"


def test_entries_used_longest_ago_make_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    models = [model(W * n) for n in range(1, 5)]
    entries = [Path(nnc.compile(m).info.cache.path) for m in models[:3]]
    size = max(entry.stat().st_size for entry in entries)
    for index, entry in enumerate(entries):
        os.utime(entry, (100 + index, 100 + index))
    assert state(nnc.compile(models[0])) == "hit"
    monkeypatch.setenv("NNC_CACHE_SIZE", str(3 * size))
    nnc.compile(models[3])
    assert [entry.exists() for entry in entries] == [True, False, True]


# ---- things that change meanwhile


def test_model_that_changes_meanwhile_is_not_kept(folder: Path, path: Path):
    def change(name: str, index: int, total: int) -> None:
        if name == "code generation":
            path.write_bytes(model(W * 3).SerializeToString())

    with pytest.warns(CacheWarning, match="changed meanwhile"):
        nnc.compile(path, on_pass=change)
    check(nnc.compile(path), W * 3)


def test_external_data_that_changes_meanwhile_is_not_kept(folder: Path, tmp_path: Path):
    path = save_with_external(tmp_path, W)

    def change(name: str, index: int, total: int) -> None:
        if name == "code generation":
            (tmp_path / "weights.bin").write_bytes((W * 3).tobytes())

    with pytest.warns(CacheWarning, match="changed meanwhile"):
        nnc.compile(path, on_pass=change)
    check(nnc.compile(path), W * 3)


def test_nnc_that_changes_meanwhile_keeps_nothing(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keys, "fresh_compiler_hash", lambda: "changed")
    with pytest.warns(CacheWarning, match="the sources of nnc changed"):
        nnc.compile(path)
    assert not folder.exists()


# ---- many processes

RACE = """
import sys, warnings
import numpy as np
import nnc
warnings.simplefilter("error")
rng = np.random.default_rng(0)
for _ in range(4):
    with nnc.compile(sys.argv[1]) as exe:
        y = exe(np.ones((2, 6), np.float32))
        print(exe.info.cache.state, *y.ravel())
"""


def test_processes_share_the_cache(folder: Path, path: Path):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    expected = np.maximum(np.ones((2, 6), np.float32) @ W, 0).ravel()
    states: list[str] = []
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        for line in out.splitlines():
            word, *values = line.split()
            states.append(word)
            np.testing.assert_allclose([float(v) for v in values], expected, rtol=1e-5)
    assert len(states) == 16
    assert set(states) <= {"hit", "stored"}
    # Each process compiles at most once.
    assert 1 <= states.count("stored") <= 4
    (entry,) = folder.glob("*.nnc")
    with Container(entry) as file:
        assert file.facts["model"] == "model.onnx"


def test_mapped_entry_outlives_its_file(folder: Path, path: Path):
    nnc.compile(path)
    exe = nnc.compile(path)
    assert state(exe) == "hit"
    Path(exe.info.cache.path).unlink()
    check(exe)
    assert state(nnc.compile(path)) == "stored"
