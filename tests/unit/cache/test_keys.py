"""What the key of a cache entry depends on."""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnc.backend.host import resolve_target
from nnc.cache import keys
from nnc.errors import CacheError, LoadError
from nnc.frontends.onnx.identity import proto_hash
from nnc.options import CompileOptions

NATIVE = resolve_target("native")
OPTIONS = CompileOptions()

OTHERS: dict[str, Any] = {
    "input_shapes": {"x": [1]},
    "input_values": {"x": np.array([1])},
    "precision": "bf16",
    "quantize": "int8",
    "tune": True,
    "winograd": "never",
    "pipeline": "",
    "defer": False,
}


def test_key_is_a_file_name_and_the_same_every_time():
    key = keys.key_of("content", OPTIONS, NATIVE)
    assert key == keys.key_of("content", replace(OPTIONS), NATIVE)
    assert key.isalnum()


def test_every_option_of_the_code_is_in_the_key():
    names = {f.name for f in fields(CompileOptions)}
    names -= {"cache", "example_inputs", "num_threads", "target"}
    assert set(OTHERS) == names
    found = {keys.key_of("", replace(OPTIONS, **{n: OTHERS[n]}), NATIVE) for n in names}
    assert len(found | {keys.key_of("", OPTIONS, NATIVE)}) == len(names) + 1


def test_key_tells_content_and_every_fact_of_the_target():
    others: dict[str, Any] = {
        "name": "other",
        "arch": "other",
        "triple": "other",
        "cpu": "other",
        "features": frozenset({"sse2"}),
        "vector_bits": 64,
        "vector_registers": 3,
        "has_masks": not NATIVE.has_masks,
        "has_fma": not NATIVE.has_fma,
        "l1d_bytes": 1,
        "l2_bytes": 1,
    }
    facts = [f.name for f in fields(NATIVE)]
    targets = [replace(NATIVE, **{n: others.get(n, 1)}) for n in facts]
    # An architecture that there is not has no list of features.
    targets = [t for t in targets if t.arch == NATIVE.arch]
    found = {keys.key_of("", OPTIONS, t) for t in targets}
    found |= {keys.key_of(content, OPTIONS, NATIVE) for content in ("", "a", "b")}
    assert len(found) == len(targets) + 3


def test_key_tells_what_the_cpu_can_do_beyond_the_target(
    monkeypatch: pytest.MonkeyPatch,
):
    before = keys.key_of("", OPTIONS, NATIVE)
    monkeypatch.setattr(keys, "other_features", lambda _: ("sse9",))
    assert keys.key_of("", OPTIONS, NATIVE) != before


def test_shapes_that_mean_the_same_have_one_key():
    shapes: list[Any] = [
        {"x": [1, "N"], "y": (2,)},
        {"y": [2], "x": (np.int64(1), "N")},
    ]
    found = {keys.key_of("", replace(OPTIONS, input_shapes=s), NATIVE) for s in shapes}
    assert len(found) == 1


@pytest.mark.parametrize(
    "shapes", [{"x": ["1", "N"]}, {"x": [1, None]}, {"y": [1, "N"]}, {}, None]
)
def test_shapes_that_differ_have_keys_of_their_own(shapes: Any):
    options = replace(OPTIONS, input_shapes={"x": [1, "N"]})
    other = replace(OPTIONS, input_shapes=shapes)
    assert keys.key_of("", options, NATIVE) != keys.key_of("", other, NATIVE)


def test_tuning_depends_on_threads_and_on_the_shapes_of_examples():
    x = np.zeros((2, 3), np.float32)
    plain = [
        replace(OPTIONS, num_threads=n, example_inputs=e)
        for n in (1, 2)
        for e in (x, 0)
    ]
    assert len({keys.key_of("", o, NATIVE) for o in plain}) == 1
    tuned = [replace(o, tune=True) for o in plain]
    assert len({keys.key_of("", o, NATIVE) for o in tuned}) == 4
    same: list[Any] = [[x], (x + 1,), [x.tolist()]]
    options = [replace(OPTIONS, tune=True, example_inputs=e) for e in same]
    assert len({keys.key_of("", o, NATIVE) for o in options[:2]}) == 1
    named = replace(OPTIONS, tune=True, example_inputs={"x": x})
    assert keys.key_of("", named, NATIVE) != keys.key_of("", options[0], NATIVE)


def test_option_without_a_text_has_no_key():
    options = replace(OPTIONS, quantize=object())
    with pytest.raises(CacheError, match="option of type object"):
        keys.key_of("", options, NATIVE)


# ---- nnc itself


def test_compiler_hash_tells_every_source_and_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "nnc"
    (package / "sub").mkdir(parents=True)
    (package / "__init__.py").write_text("a = 1\n")
    (package / "sub" / "b.py").write_text("b = 1\n")
    monkeypatch.setattr(keys.nnc, "__file__", str(package / "__init__.py"))
    found = [keys.fresh_compiler_hash()]
    assert keys.fresh_compiler_hash() == found[0]
    (package / "sub" / "b.py").write_text("b = 2\n")
    found.append(keys.fresh_compiler_hash())
    (package / "sub" / "b.py").rename(package / "sub" / "c.py")
    found.append(keys.fresh_compiler_hash())
    # The same text, split between the files in another way.
    (package / "__init__.py").write_text("a = 1\nb")
    (package / "sub" / "c.py").write_text(" = 2\n")
    found.append(keys.fresh_compiler_hash())
    for name in ("_version", "llvm_state"):
        monkeypatch.setattr(keys, name, lambda *_: "9.9")
        found.append(keys.fresh_compiler_hash())
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("package", keys._PACKAGES)
def test_versions_are_those_of_the_metadata(package: str):
    from importlib.metadata import version

    name = "protobuf" if package == "google.protobuf" else package
    assert keys._version(package) == f"{version(name)}.dist-info"


def test_package_in_development_is_told_by_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "developed"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    before = keys._version("developed")
    os.utime(package / "__init__.py", (1, 1))
    assert before != keys._version("developed") != ""
    assert keys._version("there_is_no_such_package") == ""


def test_values_of_inputs_are_part_of_the_key():
    target = resolve_target("generic")
    found = [
        keys.key_of("", CompileOptions(input_values=values), target)
        for values in (
            None,
            {"a": np.array([1, 2])},
            {"a": np.array([1, 3])},
            {"a": np.array([[1, 2]])},
            {"a": np.array([1, 2], np.int32)},
            {"b": np.array([1, 2])},
            {"a": np.array(1)},
            {"a": 5},
        )
    ]
    assert len(set(found)) == len(found)


# ---- models


def test_file_and_bytes_have_one_hash(tmp_path: Path):
    path = tmp_path / "file"
    for count in (0, 1, 1 << 18, (1 << 20) + 7):
        data = os.urandom(count)
        path.write_bytes(data)
        text, state = keys.file_hash(path)
        assert text == keys.bytes_hash(data)
        assert state == keys.FileState.of(path.stat())


def test_folder_and_pipe_are_no_model(tmp_path: Path):
    with pytest.raises(OSError, match="directory|regular"):
        keys.file_hash(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="no regular file"):
            keys.file_hash(tmp_path / "pipe")


def test_external_hash_tells_names_and_bytes(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    found = [
        keys.external_hash(tmp_path, names)[0]
        for names in (["a"], ["b"], ["a", "b"], ["b", "a"], [])
    ]
    (tmp_path / "a").write_bytes(b"2")
    found.append(keys.external_hash(tmp_path, ["a"])[0])
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", ["../a", "/a", "none", "link"])
def test_external_files_are_as_unsafe_as_for_the_import(tmp_path: Path, name: str):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "a").write_bytes(b"1")
    (folder / "link").symlink_to(tmp_path / "a")
    with pytest.raises(LoadError):
        keys.external_hash(folder, [name])


def proto() -> onnx.ModelProto:
    weights = [
        numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w"),
        helper.make_tensor("v", TensorProto.FLOAT, [2], [1.0, 2.0]),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="one"),
        helper.make_node("LeakyRelu", ["h"], ["y"], name="two", alpha=0.5),
    ]
    kind = TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", kind, ["N", 2])]
    outputs = [helper.make_tensor_value_info("y", kind, ["N", 3])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_equal_protos_have_one_hash():
    model = proto()
    again = onnx.ModelProto.FromString(model.SerializeToString())
    assert proto_hash(model) == proto_hash(again) == proto_hash(proto())


def test_any_change_of_a_proto_changes_its_hash():
    def change_weight(m: onnx.ModelProto) -> None:
        m.graph.initializer[0].raw_data = bytes(24)

    def change_value(m: onnx.ModelProto) -> None:
        m.graph.initializer[1].float_data[1] = 3

    def change_attribute(m: onnx.ModelProto) -> None:
        m.graph.node[1].attribute[0].f = 0.25

    def swap_nodes(m: onnx.ModelProto) -> None:
        nodes = [*reversed(m.graph.node)]
        del m.graph.node[:]
        m.graph.node.extend(nodes)

    def rename_input(m: onnx.ModelProto) -> None:
        m.graph.input[0].name = "z"

    def change_opset(m: onnx.ModelProto) -> None:
        m.opset_import[0].version = 18

    def drop_output(m: onnx.ModelProto) -> None:
        del m.graph.output[0]

    def change_producer(m: onnx.ModelProto) -> None:
        m.producer_name = "p"

    found = [proto_hash(proto())]
    for change in (
        change_weight,
        change_value,
        change_attribute,
        swap_nodes,
        rename_input,
        change_opset,
        drop_output,
        change_producer,
    ):
        model = proto()
        change(model)
        found.append(proto_hash(model))
    assert len(set(found)) == len(found)


def test_what_is_no_model_has_no_hash():
    with pytest.raises(CacheError, match="a GraphProto has no key"):
        proto_hash(proto().graph)
