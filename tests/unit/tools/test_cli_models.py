"""The command `nnc` on a small model, through the real compiler."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner, Result

from nnc.backend.host import host_arch
from nnc.tools.cli import app
from nnc.tools.nnc_opt import NncOptMain

WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3) - 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`relu(x @ w)`, with a free batch."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="product"),
        helper.make_node("Relu", ["m"], ["y"], name="cut"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def invoke(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "200"})


def test_run_computes_what_the_model_says(model: Path, tmp_path: Path):
    x = np.array([[1, 2, 3, 4], [-1, 0, 1, 0]], np.float32)
    np.save(tmp_path / "x.npy", x)
    result = invoke("run", model, "--input", tmp_path / "x.npy", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    expected = np.maximum(x @ WEIGHT, 0)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-6)


def test_run_takes_random_inputs_of_a_seed(model: Path, tmp_path: Path):
    for folder in ("a", "b"):
        result = invoke(
            "run", model, "--dim", "N=5", "--seed", "3", "-o", tmp_path / folder
        )
        assert result.exit_code == 0, result.output
    first, second = (np.load(tmp_path / f / "y.npy") for f in ("a", "b"))
    assert first.shape == (5, 3)
    np.testing.assert_array_equal(first, second)


def test_inspect_shows_tensors_kernels_and_memory(model: Path):
    result = invoke("inspect", model, "--target", "generic", "--dim", "N=2")
    assert result.exit_code == 0, result.output
    expected = ("N × 4", "N × 3", "free dims: N", "product", "cut", "arena", "generic")
    assert not [text for text in expected if text not in result.stdout]


def test_inspect_shows_slow_ways(tmp_path: Path):
    values = [
        helper.make_tensor_value_info(n, TensorProto.INT32, [4, 4]) for n in "abc"
    ]
    node = helper.make_node("MatMul", ["a", "b"], ["c"], name="product")
    graph = helper.make_graph([node], "integers", values[:2], values[2:])
    opsets = [helper.make_opsetid("", 17)]
    path = tmp_path / "integers.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    result = invoke("inspect", path)
    assert result.exit_code == 0, result.output
    assert "Fallbacks" in result.stdout
    assert "contraction generic: the general loop nest" in result.stdout


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".mlir", b"builtin.module"),
        (".ll", b"target triple"),
        (".s", b"\t"),
        (".o", b"\x7fELF"),
        (".nnc", b"\x89nnc"),
    ],
)
def test_compile_writes_each_kind(
    model: Path, tmp_path: Path, suffix: str, content: bytes
):
    output = tmp_path / "folder" / f"tiny{suffix}"
    result = invoke("compile", model, "-o", output, "--target", "neon")
    assert result.exit_code == 0, result.output
    assert content in output.read_bytes()[:200]


def test_compiled_model_runs_and_is_inspected(model: Path, tmp_path: Path):
    output = tmp_path / "tiny.nnc"
    result = invoke("compile", model, "-o", output, "--input-shape", "x=2,4")
    assert result.exit_code == 0, result.output
    x = np.array([[1, 2, 3, 4], [-1, 0, 1, 0]], np.float32)
    np.save(tmp_path / "x.npy", x)
    result = invoke("run", output, "--input", tmp_path / "x.npy", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    expected = np.maximum(x @ WEIGHT, 0)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-6)
    result = invoke("inspect", output)
    assert result.exit_code == 0, result.output
    assert "2 × 4" in result.output


@pytest.mark.parametrize("option", [("--target", "avx2"), ("--input-shape", "x=2,4")])
def test_compiled_model_stays_as_it_was_compiled(
    model: Path, tmp_path: Path, option: tuple[str, str]
):
    output = tmp_path / "tiny.nnc"
    invoke("compile", model, "-o", output)
    result = invoke("run", output, *option)
    assert result.exit_code == 1
    assert "is compiled already" in " ".join(result.output.split())


def test_compiled_model_for_another_machine_is_refused(model: Path, tmp_path: Path):
    output = tmp_path / "tiny.nnc"
    target = "neon" if host_arch() == "x86_64" else "avx2"
    invoke("compile", model, "-o", output, "--target", target)
    result = invoke("run", output)
    assert result.exit_code == 1
    assert "is for machines of architecture" in " ".join(result.output.split())


# ---- the cache


def test_cache_is_shown_and_cleared(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NNC_CACHE", "1")
    monkeypatch.setenv("NNC_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("NNC_CACHE_SIZE", "3G")
    empty = invoke("cache", "show")
    assert empty.exit_code == 0, empty.output
    assert "in use: 0 B of 3.00 GiB" in empty.output
    for expected in ("stored", "hit"):
        result = invoke("inspect", model, "--target", "generic")
        assert result.exit_code == 0, result.output
        assert expected in result.output.split()
    (tmp_path / "odd.nnc").write_bytes(b"odd")
    shown = invoke("cache", "show").output
    assert "tiny.onnx" in shown
    assert "generic" in shown
    assert "(damaged)" in shown
    assert str(tmp_path) in shown
    assert "deleted 2 entries" in invoke("cache", "clear").output
    assert list(tmp_path.iterdir()) == []


def test_cache_that_is_off_cannot_be_shown():
    result = invoke("cache", "show")
    assert result.exit_code == 1
    assert "switched off by NNC_CACHE=0" in result.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--target", "z80"), "unknown target 'z80'"),
        (("--target", "neon"), "neon"),
        (("--input-shape", "z=1,2"), "z"),
        (("--input-shape", "x=1"), "x"),
        (("--input", "x=none.npy"), "none.npy"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(
    model: Path, args: Sequence[str], message: str
):
    result = invoke("run", model, *args)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a\x12"])
def test_files_that_are_no_model_are_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    result = invoke("inspect", path)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "bad.onnx" in result.stderr


def test_truncated_model_is_refused(model: Path, tmp_path: Path):
    path = tmp_path / "cut.onnx"
    path.write_bytes(model.read_bytes()[:-20])
    result = invoke("inspect", path)
    assert result.exit_code == 1
    assert "cut.onnx" in result.stderr


def test_nnc_opt_reads_a_model_and_continues_from_its_text(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    text, weights = tmp_path / "tiny.mlir", tmp_path / "tiny.safetensors"
    stop = ["--stop-after=nn", f"--save-weights={weights}", "-o", str(text)]
    NncOptMain([str(model), *stop, "--pipeline=nnc-default{target=avx2}"]).run()
    rest = ["--pipeline=nnc-default{target=avx2}", "--stop-after=simd"]
    NncOptMain([str(model), *rest]).run()
    whole = capsys.readouterr().out
    NncOptMain([str(text), f"--weights={weights}", *rest]).run()
    assert capsys.readouterr().out == whole
