"""`nnc.compile` and `nnc.convert` on small models; what they refuse."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import nnc
from nnc import build, pipelines
from nnc.api import emit
from nnc.backend.host import host_arch, host_system, resolve_target
from nnc.backend.jit import codegen_count
from nnc.build import plan_of
from nnc.errors import (
    CompileError,
    DivisionByZero,
    IndexOutOfRange,
    InputError,
    InternalError,
    LoadError,
    NncError,
    OutOfMemory,
    TargetError,
)
from nnc.target import Target


def onnx_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int | str]],
    constants: dict[str, NDArray[Any]] | None = None,
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of one element type."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, dtype, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, dtype, s) for n, s in outputs.items()],
        [numpy_helper.from_array(a, n) for n, a in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node named after its first output."""
    names = outputs.split()
    return helper.make_node(op, inputs.split(), names, name=names[0], **attributes)


SUM = onnx_model(
    [node("Add", "x z", "sum"), node("Relu", "sum", "y")],
    {"x": ["N", 4], "z": ["N", 4]},
    {"y": ["N", 4]},
)


def pair(rows: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inputs of `SUM`."""
    generator = np.random.default_rng(seed)
    x, z = generator.standard_normal((2, rows, 4), np.float32)
    return x, z


@pytest.fixture(scope="module")
def sum_model() -> nnc.CompiledModel:
    exe = nnc.compile(SUM)
    assert isinstance(exe, nnc.CompiledModel)
    return exe


# ---- what it accepts


@pytest.mark.parametrize("kind", ["proto", "bytes", "path", "str", "module"])
def test_compile_takes_models_of_many_kinds(kind: str, tmp_path: Path):
    path = tmp_path / "model.onnx"
    path.write_bytes(SUM.SerializeToString())
    models = {
        "proto": SUM,
        "bytes": SUM.SerializeToString(),
        "path": path,
        "str": str(path),
        "module": nnc.convert(SUM),
    }
    x, z = pair(3)
    np.testing.assert_array_equal(nnc.compile(models[kind])(x, z), np.maximum(x + z, 0))


@pytest.mark.parametrize("rows", [0, 1, 2, 15, 16, 17, 1000])
def test_one_compilation_serves_every_size(sum_model: nnc.CompiledModel, rows: int):
    before = codegen_count()
    x, z = pair(rows)
    np.testing.assert_array_equal(sum_model(x, z), np.maximum(x + z, 0))
    assert codegen_count() == before
    assert sum_model.info.code_generations == 1


def test_specs_come_from_the_source_model(sum_model: nnc.CompiledModel):
    assert [str(s) for s in sum_model.inputs] == [
        "x: float32[N, 4]",
        "z: float32[N, 4]",
    ]
    assert [s.name for s in sum_model.outputs] == ["y"]


def test_input_shapes_fix_dims():
    exe = nnc.compile(SUM, input_shapes={"x": [2, 4], "z": [2, 4]})
    assert exe.inputs[0].shape == (2, 4)
    x, z = pair(2)
    np.testing.assert_array_equal(exe(x, z), np.maximum(x + z, 0))
    with pytest.raises(InputError, match="axis 0 has size 3, the model expects 2"):
        exe(*pair(3))


@pytest.mark.parametrize("stage", ["nn", "buffers", "simd", "llvm"])
def test_compilation_continues_from_the_text_of_any_stage(stage: str):
    steps = pipelines.steps("nnc-default", pipelines.PipelineOptions())
    done = pipelines.stop_after(steps, pipelines.Stage(stage))
    module = nnc.convert(SUM).apply(pipelines.to_text(s.spec for s in done))
    arrays = {name: module.weights[name] for name in module.weights}
    parsed = nnc.Module.parse(str(module), arrays)
    rest = pipelines.to_text(s.spec for s in steps[len(done) :])
    x, z = pair(3)
    exe = nnc.compile(parsed, pipeline=rest)
    np.testing.assert_array_equal(exe(x, z), np.maximum(x + z, 0))


def test_compile_leaves_a_given_module_as_it_is():
    module = nnc.convert(SUM)
    before = str(module)
    nnc.compile(module)
    assert str(module) == before


def test_on_pass_hears_of_every_phase():
    heard: list[tuple[str, int, int]] = []

    def on_pass(name: str, index: int, total: int) -> None:
        heard.append((name, index, total))

    exe = nnc.compile(SUM, on_pass=on_pass)
    assert [name for name, _, _ in heard] == [p.name for p in exe.info.phases]
    assert [index for _, index, _ in heard] == list(range(len(heard)))
    assert {total for _, _, total in heard} == {len(heard)}


def test_info_tells_what_was_compiled(sum_model: nnc.CompiledModel):
    info = sum_model.info
    assert info.target == "native"
    (kernel,) = info.kernels
    assert kernel.sources == ("sum+y",)
    assert kernel.launches == info.launches == 1
    assert info.code_bytes > 0
    assert info.compile_seconds > 0


# ---- errors of the data


def test_index_out_of_range_names_the_node():
    graph = helper.make_graph(
        [node("Gather", "table i", "pick", axis=0)],
        "test",
        [helper.make_tensor_value_info("i", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("pick", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(np.arange(8, dtype="f4").reshape(4, 2), "table")],
    )
    exe = nnc.compile(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    )
    expected = np.array([[6, 7], [6, 7]], np.float32)
    np.testing.assert_array_equal(exe(np.array([3, -1])), expected)
    for index in (4, -5, 1 << 60):
        with pytest.raises(IndexOutOfRange, match="node 'pick'"):
            exe(np.array([0, index]))
    np.testing.assert_array_equal(exe(np.array([3, -1])), expected)


def test_division_by_zero_names_the_node():
    model = onnx_model(
        [node("Div", "x z", "quotient")],
        {"x": ["N"], "z": ["N"]},
        {"quotient": ["N"]},
        dtype=TensorProto.INT32,
    )
    exe = nnc.compile(model)
    x = np.array([6, 7], np.int32)
    np.testing.assert_array_equal(exe(x, np.array([3, 2], np.int32)), [2, 3])
    with pytest.raises(DivisionByZero, match="node 'quotient'"):
        exe(x, np.array([3, 0], np.int32))


# ---- refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bf16"}, "precision='bf16' is not in this release"),
        ({"quantize": "int8"}, "quantize is not in this release"),
        ({"num_threads": 0}, "num_threads must be at least 1"),
        ({"example_inputs": (1,)}, "example_inputs is what tune=True measures on"),
        ({"pipeline": "nonsense"}, "unknown pass 'nonsense'"),
        ({"pipeline": "dce"}, "did not lower the host program"),
        ({"pipeline": "bufferize{speed=9}"}, "pass 'bufferize'"),
    ],
    ids=lambda v: str(v)[:20],
)
def test_option_that_does_nothing_is_refused(options: Any, message: str):
    with pytest.raises(CompileError, match=message):
        nnc.compile(SUM, **options)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("pentium", "unknown target 'pentium'; known are native"),
        ("avx2+warp", "'warp' is not a feature"),
    ],
)
def test_unknown_target_is_refused_before_any_work(target: str, message: str):
    with pytest.raises(TargetError, match=message):
        nnc.compile("there is no such file", target=target)


def test_target_of_another_machine_is_refused_before_any_work():
    foreign = "neon" if host_arch() == "x86_64" else "avx2"
    with pytest.raises(
        TargetError, match=r"for machines of architecture .*; this one is"
    ):
        nnc.compile("there is no such file", target=foreign)


@pytest.mark.parametrize("named", ["generic", "native", "sse2"])
def test_target_may_be_a_record(named: str):
    target = resolve_target(named)
    if named == "sse2" and host_arch() != "x86_64":
        target = Target.named("neon", system=host_system())
    x, z = pair(3)
    with nnc.compile(SUM, target=target) as exe:
        np.testing.assert_array_equal(exe(x, z), np.maximum(x + z, 0))
        assert exe.info.target == target.name
    assert emit(SUM, "s", target=target) == emit(SUM, "s", target=target.name)


def test_target_that_no_name_describes_is_refused():
    target = replace(resolve_target("generic"), vector_registers=3)
    with pytest.raises(TargetError, match="cannot be passed on by name"):
        nnc.compile(SUM, target=target)
    with pytest.raises(TargetError, match="cannot be passed on by name"):
        emit(SUM, "ll", target=target)


def test_emit_and_convert_refuse_wrong_types():
    with pytest.raises(CompileError, match="target must be a name or an nnc.Target"):
        emit(SUM, "ll", target=3)  # pyright: ignore[reportArgumentType] # that is the point
    with pytest.raises(CompileError, match="input_shapes must be a mapping"):
        nnc.convert(SUM, input_shapes=5)  # pyright: ignore[reportArgumentType] # that is the point
    with pytest.raises(CompileError, match="on_pass must be a function or None"):
        nnc.compile(SUM, on_pass=1)  # pyright: ignore[reportArgumentType] # that is the point


PRODUCT = onnx_model(
    [node("MatMul", "x w", "y")],
    {"x": ["N", 64]},
    {"y": ["N", 64]},
    {"w": np.ones((64, 64), np.float32)},
)


@pytest.mark.parametrize("stage", ["nn", "buffers", "simd", "llvm"])
def test_module_of_another_target_is_refused(stage: str):
    steps = pipelines.steps("nnc-default", pipelines.PipelineOptions("avx512"))
    done = len(pipelines.stop_after(steps, pipelines.Stage(stage)))
    module = nnc.convert(PRODUCT)
    module = module.apply(pipelines.to_text(s.spec for s in steps[:done]))
    others = pipelines.steps("nnc-default", pipelines.PipelineOptions("sse2"))
    rest = pipelines.to_text(s.spec for s in others[done:])
    for kind in ("mlir", "s"):
        with pytest.raises(TargetError, match="target 'avx512', which is not 'sse2'"):
            emit(module, kind, target="sse2", pipeline=rest)


@pytest.mark.parametrize("pipeline", ["nnc-nn", "form-dispatches", "nnc-default"])
def test_default_pipeline_is_refused_for_a_lowered_module(pipeline: str):
    module = nnc.convert(PRODUCT).apply(pipeline)
    with pytest.raises(CompileError, match="lowered already .* pipeline= must name"):
        nnc.compile(module)
    with pytest.raises(CompileError, match="lowered already .* pipeline= must name"):
        emit(module, "o")


def test_default_pipeline_takes_an_optimised_module():
    module = nnc.convert(PRODUCT).apply("canonicalize-nn,fold-constants")
    x = np.ones((2, 64), np.float32)
    np.testing.assert_array_equal(nnc.compile(module)(x), np.full((2, 64), 64))


def test_names_of_any_letters_survive_the_text():
    model = onnx_model(
        [node("Relu", "größe", "画像")], {"größe": ["N"]}, {"画像": ["N"]}
    )
    module = nnc.Module.parse(str(nnc.convert(model)))
    x = np.array([-1, 2], np.float32)
    np.testing.assert_array_equal(module.interpret({"größe": x})[0], [0, 2])
    lowered = nnc.Module.parse(str(module.apply("nnc-default")))
    for exe in (nnc.compile(module), nnc.compile(lowered, pipeline="")):
        assert exe.inputs[0].name == "größe"
        (y,) = exe.run(["画像"], {"größe": x})
        np.testing.assert_array_equal(y, [0, 2])


def test_info_shows_slow_ways():
    model = onnx_model(
        [node("MatMul", "x z", "product")],
        {"x": ["N", 4], "z": [4, 4]},
        {"product": ["N", 4]},
        dtype=TensorProto.INT32,
    )
    (fallback,) = nnc.compile(model).info.fallbacks
    assert fallback.source == "product"
    assert fallback.reason.startswith("contraction generic")


def test_input_shapes_of_a_module_are_refused():
    with pytest.raises(CompileError, match="input_shapes is for models that are"):
        nnc.compile(nnc.convert(SUM), input_shapes={"x": [2, 4]})


def test_no_model_is_refused():
    with pytest.raises(LoadError, match="is no model"):
        nnc.compile(42)


def test_all_errors_share_a_base():
    for name in dir(nnc.errors):
        value = getattr(nnc.errors, name)
        if isinstance(value, type) and issubclass(value, Exception):
            if issubclass(value, Warning):
                continue
            assert issubclass(value, NncError), name


# ---- emit


@pytest.mark.parametrize("target", ["generic", "avx2", "avx512", "neon"])
def test_emit_makes_code_for_any_target(target: str):
    assert b"rt.plan" in emit(SUM, "mlir", target=target)
    assert b"define void @nnc_run" in emit(SUM, "ll", target=target)
    assert b"nnc_run" in emit(SUM, "s", target=target)
    assert emit(SUM, "o", target=target)[:4] == b"\x7fELF"


def test_emit_refuses_unknown_kind():
    with pytest.raises(CompileError, match="cannot emit 'exe'; known are mlir"):
        emit(SUM, "exe")  # pyright: ignore[reportArgumentType] # that is the point


def test_plan_is_in_the_text_of_the_last_level():
    text = emit(SUM, "mlir").decode()
    plan = plan_of(nnc.Module.parse(text).ir)
    assert [launch.node for launch in plan.launches] == ["sum+y"]


# ---- many at once, and many in a row


def test_eight_threads_share_one_model(sum_model: nnc.CompiledModel):
    wrong: list[int] = []

    def work(seed: int) -> None:
        for i in range(200):
            x, z = pair(1 + (seed + i) % 7, seed)
            if not np.array_equal(sum_model(x, z), np.maximum(x + z, 0)):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


CYCLES = """
import gc, sys
import numpy as np
import psutil
import nnc
from nnc.backend.jit import live_engines

model = open(sys.argv[1], "rb").read()
ones = np.ones((512, 512), np.float32)

def cycles(count):
    for _ in range(count):
        exe = nnc.compile(model)
        np.testing.assert_array_equal(exe(ones), ones + 1)
    del exe
    gc.collect()
    return psutil.Process().memory_info().rss

before = cycles(10)
print(cycles(50) - before, live_engines())
"""


@pytest.mark.slow
def test_compile_run_drop_leaves_memory_level(tmp_path: Path):
    weights = np.ones((512, 512), np.float32)
    model = onnx_model(
        [node("Add", "x w", "y")],
        {"x": [512, 512]},
        {"y": [512, 512]},
        {"w": weights},
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    # In a process of its own: what other tests left behind is freed at odd times.
    result = subprocess.run(
        [sys.executable, "-c", CYCLES, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    grown, engines = map(int, result.stdout.split())
    assert engines == 0
    # 50 weight arrays would be 50 MiB, 50 engines with their pages more.
    assert grown < 10 << 20


@pytest.mark.parametrize(
    ("failure", "error"),
    [(ValueError("odd"), InternalError), (MemoryError(), OutOfMemory)],
    ids=["bug", "memory"],
)
def test_failures_of_a_pass_name_it(
    failure: Exception, error: type[NncError], monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: object) -> None:
        raise failure

    monkeypatch.setattr(build, "run_pass", fails)
    with pytest.raises(error, match="'canonicalize-nn'") as caught:
        nnc.compile(SUM)
    assert caught.value.__cause__ is failure
