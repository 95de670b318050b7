"""Compiled models in files: `CompiledModel.save` and `nnc.load`."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import nnc
from nnc.backend import host
from nnc.backend.host import resolve_target
from nnc.build import Build
from nnc.errors import (
    IndexOutOfRange,
    InputError,
    InternalError,
    LoadError,
    TargetError,
)
from nnc.options import CompileOptions
from nnc.runtime import saved as saved_module
from nnc.runtime.container import write_container
from nnc.runtime.records import decode, encode
from nnc.runtime.saved import KIND, read_model, release, write_model
from nnc.target import Target

RNG = np.random.default_rng(0)


def info(name: str, shape: list[int | str], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def network(
    nodes: list[onnx.NodeProto],
    inputs: list[Any],
    outputs: list[Any],
    weights: dict[str, NDArray[Any]],
) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def floats(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def dense() -> onnx.ModelProto:
    """A free batch size, two outputs, a weight that is used twice."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w"], ["y"], name="second"),
        helper.make_node("Softmax", ["y"], ["scores"], name="softmax"),
    ]
    outputs = [info("scores", ["N", 48]), info("y", ["N", 48])]
    return network(nodes, [info("x", ["N", 48])], outputs, {"w": floats(48, 48)})


def image() -> onnx.ModelProto:
    """Convolutions, free height and width."""
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], name="conv", pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "d"], ["e"], group=20, pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["e"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    weights = {"k": floats(20, 3, 3, 3), "d": floats(20, 1, 3, 3)}
    return network(nodes, [info("x", [1, 3, "H", "W"])], [info("y", [1, 20])], weights)


def lookup() -> onnx.ModelProto:
    """Integers in, and indices that can be wrong."""
    nodes = [helper.make_node("Gather", ["table", "x"], ["y"], name="embedding")]
    x = info("x", ["N"], TensorProto.INT64)
    return network(nodes, [x], [info("y", ["N", 33])], {"table": floats(50, 33)})


def no_weights() -> onnx.ModelProto:
    nodes = [helper.make_node("Exp", ["é x"], ["y"], name="exp")]
    return network(nodes, [info("é x", ["N"])], [info("y", ["N"])], {})


NETWORKS: dict[str, tuple[Callable[[], onnx.ModelProto], list[NDArray[Any]]]] = {
    "dense": (dense, [floats(1, 48), floats(29, 48)]),
    "image": (image, [floats(1, 3, 9, 17), floats(1, 3, 32, 8)]),
    "lookup": (lookup, [np.array([0, 49, 3, -1])]),
    "no weights": (no_weights, [floats(5), floats(0)]),
}


def results(
    exe: nnc.CompiledModel | nnc.ProgramModel, x: NDArray[Any]
) -> list[NDArray[Any]]:
    return exe.run(None, {exe.inputs[0].name: x})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.nnc"


@pytest.fixture(scope="module")
def lookup_model() -> nnc.CompiledModel:
    exe = nnc.compile(lookup())
    assert isinstance(exe, nnc.CompiledModel)
    return exe


# ---- round trips


@pytest.mark.parametrize("name", NETWORKS)
def test_loaded_model_gives_equal_bits(name: str, path: Path):
    make, inputs = NETWORKS[name]
    exe = nnc.compile(make())
    exe.save(path)
    loaded = nnc.load(path)
    for x in inputs:
        for ours, theirs in zip(results(loaded, x), results(exe, x), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
    assert loaded.inputs == exe.inputs
    assert loaded.outputs == exe.outputs
    assert type(loaded(inputs[0])).__name__ == type(exe(inputs[0])).__name__


@pytest.mark.parametrize("target", ["generic", "avx2"])
def test_target_is_kept(target: str, path: Path):
    if host.missing_features(host.resolve_target(target)):
        pytest.skip(f"this machine cannot run {target}")
    nnc.compile(lookup(), target=target).save(path)
    assert nnc.load(path).info.target == target


def test_info_says_what_was_compiled(lookup_model: nnc.CompiledModel, path: Path):
    lookup_model.save(path)
    loaded = nnc.load(str(path))
    ours, theirs = loaded.info, lookup_model.info
    assert ours.kernels == theirs.kernels
    assert ours.weight_bytes == theirs.weight_bytes
    assert ours.code_bytes == theirs.code_bytes
    assert ours.code_generations == 0
    assert [phase.name for phase in ours.phases] == ["loading"]


def test_errors_of_runs_name_the_source_node(
    lookup_model: nnc.CompiledModel, path: Path
):
    lookup_model.save(path)
    loaded = nnc.load(path)
    with pytest.raises(IndexOutOfRange, match="node 'embedding'"):
        loaded(np.array([50]))
    with pytest.raises(InputError, match="input 'x': expected dtype int64"):
        loaded(np.array([1.0]))


def test_loaded_model_can_be_saved_again(lookup_model: nnc.CompiledModel, path: Path):
    lookup_model.save(path)
    before = path.read_bytes()
    loaded = nnc.load(path)
    loaded.save(path)
    again = nnc.load(path)
    loaded.close()
    x = np.array([7, 8])
    np.testing.assert_array_equal(again(x), lookup_model(x))
    # What it says about its own making is that it was loaded.
    assert len(path.read_bytes()) <= len(before)


def test_weights_are_mapped_read_only_and_aligned(
    lookup_model: nnc.CompiledModel, path: Path
):
    lookup_model.save(path)
    for weight in read_model(path).weights.values():
        assert weight.ctypes.data % 64 == 0
        assert not weight.flags.writeable
        with pytest.raises(ValueError, match="WRITEABLE|writeable"):
            weight.flags.writeable = True


def test_model_runs_on_when_its_file_is_replaced(
    lookup_model: nnc.CompiledModel, path: Path
):
    lookup_model.save(path)
    loaded = nnc.load(path)
    nnc.compile(no_weights()).save(path)
    x = np.array([7, 8])
    np.testing.assert_array_equal(loaded(x), lookup_model(x))


def test_a_weight_is_stored_once(path: Path):
    size = 256
    nodes = [
        helper.make_node("Gather", ["table", "i"], ["a"], axis=0),
        helper.make_node("Gather", ["table", "j"], ["b"], axis=0),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    inputs = [info(n, ["N"], TensorProto.INT64) for n in "ij"]
    weights = {"table": floats(size, size)}
    nnc.compile(network(nodes, inputs, [info("y", ["N", size])], weights)).save(path)
    assert size * size * 4 < path.stat().st_size < size * size * 4 + 100_000


# ---- what it needs

LOAD = """
import sys
import nnc
exe = nnc.load(sys.argv[1])
import numpy as np
exe(np.arange(3))
heavy = ("xdsl", "onnx", "google.protobuf", "nnc.build", "nnc.frontends.onnx",
         "nnc.dialects", "nnc.lowering", "nnc.transforms", "typer", "rich")
print(*(m for m in heavy if m in sys.modules))
"""


def test_loading_needs_neither_compiler_nor_frontend(
    lookup_model: nnc.CompiledModel, path: Path
):
    lookup_model.save(path)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


def test_missing_cpu_feature_is_named(
    lookup_model: nnc.CompiledModel, path: Path, monkeypatch: pytest.MonkeyPatch
):
    lookup_model.save(path)
    weaker = replace(host.host_target(), features=frozenset({"sse2", "neon"}))
    monkeypatch.setattr(host, "host_target", lambda: weaker)
    needed = sorted(read_model(path).code.target.features - weaker.features)
    with pytest.raises(TargetError, match=f"lacks: {', '.join(needed)}"):
        nnc.load(path)


def test_feature_that_only_llvm_knows_is_named(
    lookup_model: nnc.CompiledModel, path: Path
):
    lookup_model.save(path)
    saved = read_model(path)
    code = replace(saved.code, cpu_features=("sse9",))
    write_model(path, replace(saved, code=code))
    with pytest.raises(TargetError, match="lacks: sse9"):
        nnc.load(path)


def test_native_code_names_all_that_the_cpu_has():
    native = host.resolve_target("native")
    known = set(host.known_features(native.arch))
    assert not known.intersection(host.other_features(native))
    assert host.other_features(host.resolve_target("generic")) == ()


def test_other_system_is_refused(lookup_model: nnc.CompiledModel, path: Path):
    lookup_model.save(path)
    saved = read_model(path)
    other = Target.from_features(
        "native",
        host.host_arch(),
        saved.code.target.cpu,
        saved.code.target.features,
        system="windows" if host.host_system() != "windows" else "linux",
    )
    write_model(path, replace(saved, code=replace(saved.code, target=other)))
    with pytest.raises(TargetError, match="the code is for .*; this machine is "):
        nnc.load(path)


# ---- files that are none


def test_missing_file_is_a_load_error(path: Path):
    with pytest.raises(LoadError, match="cannot open '.*model.nnc': No such file"):
        nnc.load(path)


def test_model_of_another_kind_is_a_load_error(path: Path):
    path.write_bytes(dense().SerializeToString())
    with pytest.raises(LoadError, match="is no file that nnc has saved"):
        nnc.load(path)


def test_other_release_is_told(
    lookup_model: nnc.CompiledModel, path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(saved_module, "release", lambda: f"{release()} and more")
        lookup_model.save(path)
    with pytest.raises(LoadError, match="another release of nnc: compile the model"):
        nnc.load(path)


def test_damage_anywhere_is_a_load_error(lookup_model: nnc.CompiledModel, path: Path):
    lookup_model.save(path)
    data = path.read_bytes()
    generator = random.Random(0)
    for part in (0, 0.25, 0.5, 0.75, 0.99):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(LoadError):
            nnc.load(path)
    wrong = 0
    for _ in range(60):
        damaged = bytearray(data)
        byte = generator.randrange(len(data))
        damaged[byte] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        try:
            x = np.array([1])
            np.testing.assert_array_equal(nnc.load(path)(x), lookup_model(x))
        except LoadError:
            wrong += 1
    assert wrong > 10


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_records_that_do_not_fit_the_weights_are_a_load_error(
    lookup_model: nnc.CompiledModel, path: Path, cut: int
):
    lookup_model.save(path)
    saved = read_model(path)
    (name, weight), *_ = saved.weights.items()
    wrong = {1: weight[:-1], 2: np.vstack([weight, weight]), 3: weight[:0]}[cut]
    write_model(path, replace(saved, weights={**saved.weights, name: wrong}))
    with pytest.raises(LoadError, match="is damaged: .*weight"):
        nnc.load(path)


@pytest.mark.parametrize("text", ["null", "[]", "[[],[],[],[]]", "{", "[" * 10**5])
def test_records_of_no_form_are_a_load_error(path: Path, text: str):
    names = ("code", "pool", "weights")
    sections = {n: list[memoryview]() for n in names}
    sections["records"] = [memoryview(text.encode())]
    write_container(path, KIND, {"release": release()}, sections)
    with pytest.raises(LoadError, match="damaged"):
        nnc.load(path)


# ---- saving


def test_save_to_a_missing_folder_is_an_os_error(
    lookup_model: nnc.CompiledModel, tmp_path: Path
):
    with pytest.raises(FileNotFoundError):
        lookup_model.save(tmp_path / "none" / "model.nnc")


def test_failed_save_leaves_the_old_file(
    lookup_model: nnc.CompiledModel, path: Path, monkeypatch: pytest.MonkeyPatch
):
    lookup_model.save(path)
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        lookup_model.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["model.nnc"]


def test_model_without_object_code_cannot_be_saved(
    lookup_model: nnc.CompiledModel, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lookup_model, "_machine_code", None)
    with pytest.raises(InternalError, match="no object code"):
        lookup_model.save(path)


def test_every_record_of_a_model_can_be_stored():
    exe = nnc.compile(image())
    records = (exe.info, host.host_target(), exe._plan)
    for record in records:
        assert decode(type(record), json.loads(json.dumps(encode(record)))) == record


def test_what_is_saved_says_how_long_its_code_took():
    made = Build.of(CompileOptions(), resolve_target("native")).make(lookup())
    assert made.info.phases[-1].name == "code generation"
