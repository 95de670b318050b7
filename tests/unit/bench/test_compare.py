"""Engines beside each other, in processes of their own."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from nnc.bench.compare import (
    EngineResult,
    InputInfo,
    Options,
    compare,
    deviation,
    geometric_mean,
)
from nnc.errors import InputError
from nnc.tools.cli import app

QUICK = Options(rounds=1, burst_seconds=0.01, cold=False)


def save_model(path: Path, op: str = "Relu") -> Path:
    """A model of one op of one free dim."""
    graph = helper.make_graph(
        [helper.make_node(op, ["x/0"], ["y"], name="node")],
        "tiny",
        [helper.make_tensor_value_info("x/0", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rectifier."""
    return save_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


def ones(specs: Sequence[InputInfo]) -> Mapping[str, Any]:
    """Inputs as nnc tells them, for three rows."""
    assert specs == (InputInfo("x/0", "float32", ("N", 4)),)
    return {"x/0": np.ones((3, 4), np.float32)}


@pytest.mark.slow
def test_engines_are_measured_and_agree(model: Path):
    made = compare(model, ones, ["onnxruntime"], QUICK)
    assert [r.engine for r in made.results] == ["nnc", "onnxruntime"]
    assert not [r.failure for r in made.results if r.failure]
    ours, theirs = made.results
    assert ours.deviation == 0.0
    assert theirs.deviation is None
    for result in made.results:
        assert 0 < result.best_seconds <= result.seconds < 1
        assert result.load_seconds > 0
        assert result.peak_bytes > 1 << 20
    assert made.ratio == pytest.approx(ours.seconds / theirs.seconds)
    assert made.shapes == {"x/0": [3, 4]}


@pytest.mark.slow
def test_failures_are_part_of_the_result(model: Path):
    x = np.ones((3, 5), np.float32)
    made = compare(model, {"x/0": x}, ["torch"], QUICK)
    ours, theirs = made.results
    assert ours.failure.startswith("InputError: ")
    expected = "torch is not installed" if _lacks("torch") else "torch runs TorchScript"
    assert theirs.failure.startswith(expected)
    assert made.ratio is None


def _lacks(package: str) -> bool:
    return importlib.util.find_spec(package) is None


@pytest.mark.slow
def test_model_that_nnc_refuses_has_no_inputs_to_make(tmp_path: Path):
    path = save_model(tmp_path / "odd.onnx", "NoSuchOp")
    with pytest.raises(InputError, match=r"cannot load odd.onnx: UnsupportedOp"):
        compare(path, ones, [], QUICK)


def test_unknown_engine_is_refused(model: Path):
    with pytest.raises(InputError, match="no engine is called 'tvm'; known are onnx"):
        compare(model, ones, ["tvm"], QUICK)


def test_times_of_a_result():
    result = EngineResult("nnc", times=(3.0, 1.0, 2.0))
    assert (result.seconds, result.best_seconds) == (2.0, 1.0)
    assert result.record()["median_ms"] == 2000.0


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([1.0, np.nan], [1.0, 4.0], np.inf),
        ([1.0], [1.0, 4.0], np.inf),
        ([], [], 0.0),
        ([0.25, 0.0], [0.0, 0.0], 0.25),
    ],
)
def test_deviation(
    ours: list[float], theirs: list[float], expected: float, tmp_path: Path
):
    np.savez(tmp_path / "a.npz", np.array(ours))
    np.savez(tmp_path / "b.npz", np.array(theirs))
    assert deviation(tmp_path / "a.npz", tmp_path / "b.npz") == expected


def test_geometric_mean():
    assert geometric_mean([0.5, 2.0, 1.0]) == pytest.approx(1.0)


# ---- the commands


def invoke(*args: str | Path) -> Any:
    """Run the command."""
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "200"})


@pytest.mark.slow
def test_bench_prints_a_table_and_writes_json(model: Path, tmp_path: Path):
    result = invoke(
        *("bench", model, "--dim", "N=2", "--vs", "onnxruntime,torch"),
        *("--threads", "1", "--rounds", "1", "--burst", "0.01", "--why"),
        *("--json", tmp_path / "figures.json"),
    )
    assert result.exit_code == 0, result.output
    assert "onnxruntime" in result.output
    assert "torch: torch " in result.output
    assert "What holds it back" in result.output
    (record,) = json.loads((tmp_path / "figures.json").read_text())
    assert record["shapes"] == {"x/0": [2, 4]}
    assert [e["engine"] for e in record["engines"]] == ["nnc", "onnxruntime", "torch"]
    assert record["ratio"] > 0


def test_bench_refuses_threads_that_are_no_numbers(model: Path):
    result = invoke("bench", model, "--threads", "1,two")
    assert result.exit_code == 1
    assert "--threads 1,two: write numbers" in result.output


@pytest.mark.skipif(not _lacks("matplotlib"), reason="matplotlib is installed")
def test_plot_without_matplotlib_says_so(model: Path, tmp_path: Path):
    result = invoke("bench", model, "--plot", tmp_path / "x.svg")
    assert result.exit_code == 1
    assert "matplotlib is not installed" in result.output


def test_profile_prints_a_table_and_writes_files(model: Path, tmp_path: Path):
    result = invoke("profile", model, "--threads", "1", "-o", tmp_path / "x.svg")
    assert result.exit_code == 0, result.output
    assert "GFLOP/s" in result.output
    assert (tmp_path / "x.svg").read_text().startswith("<svg")


def test_profile_refuses_a_suffix_before_anything_runs(tmp_path: Path):
    result = invoke("profile", tmp_path / "missing.onnx", "-o", "x.pdf")
    assert result.exit_code == 1
    assert "a profile is written to" in result.output
