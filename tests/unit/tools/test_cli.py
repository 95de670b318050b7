"""The command `nnc`, over a stand-in for the compiler."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import nnc
from nnc.errors import InputError, LoadError
from nnc.runtime.info import FallbackInfo, Info, KernelInfo, PhaseInfo
from nnc.runtime.specs import TensorSpec
from nnc.tools.cli import app
from nnc.tools.console import in_bytes, in_ms
from nnc.tools.inspect_command import shortened, symbols_of
from nnc.tools.run_command import save, statistics_of


class Doubler:
    """A compiled model that doubles its input."""

    inputs = (TensorSpec("x[0]", np.dtype(np.float32), ("N", 2)),)
    outputs = (TensorSpec("out/y", np.dtype(np.float32), ("N", 2)),)
    info = Info(
        target="avx2",
        kernels=(
            KernelInfo("k_conv", "contraction", ("conv", "relu"), ("c1", "c2"), 2),
            KernelInfo("k_add", "elementwise", ("add",), ("a1",), 1),
        ),
        weight_bytes=3 << 20,
        code_bytes=2048,
        phases=(PhaseInfo("import", "read", 0.25), PhaseInfo("nn", "fold", 0.5)),
        fallbacks=(FallbackInfo("node[7]", "odd stride"),),
        arena_bytes=4096,
        arena_bound_bytes=1024,
    )

    def prepare(self, shapes: dict[str, list[int]]) -> None:
        if shapes["x[0]"][0] > 100:
            raise InputError(f"{shapes} is too much")

    def run(self, names: None, feeds: dict[str, Any]) -> list[Any]:
        assert names is None
        return [2 * feeds["x[0]"]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Puts a stand-in in place of `nnc.compile`; what it was asked for."""
    seen: dict[str, Any] = {}

    def compile_model(model: Path, **options: Any) -> Doubler:
        options.pop("on_pass")("fold", 0, 1)
        seen.update(options, model=model)
        if model.suffix == ".bad":
            raise LoadError(f"{model.name} [bold]is not[/bold] a model")
        return Doubler()

    # Not setattr, which would first import the real one.
    monkeypatch.setitem(vars(nnc), "compile", compile_model)
    return seen


def invoke(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "200"})


def test_run_passes_options_on_and_prints_outputs(asked: dict[str, Any]):
    result = invoke(
        *("run", "m.onnx", "--target", "avx2", "--threads", "1"),
        *("--input-shape", "x=1,N", "--dim", "N=3"),
    )
    assert result.exit_code == 0, result.output
    assert asked == {
        "model": Path("m.onnx"),
        "target": "avx2",
        "input_shapes": {"x": (1, "N")},
        "num_threads": 1,
    }
    assert "out/y" in result.stdout
    assert "3×2" in result.stdout
    assert "input x[0]: random float32 3×2, seed 0" in result.stderr


def test_run_reads_and_writes_arrays(asked: dict[str, Any], tmp_path: Path):
    x = np.array([[1, 2], [3, 4]], np.float32)
    np.save(tmp_path / "x.npy", x)
    folder = tmp_path / "out"
    result = invoke("run", "m.onnx", "--input", tmp_path / "x.npy", "-o", folder)
    assert result.exit_code == 0, result.output
    assert asked["target"] == "native"
    np.testing.assert_array_equal(np.load(folder / "out_y.npy"), 2 * x)


@pytest.mark.usefixtures("asked")
def test_inspect_prints_what_was_compiled():
    result = invoke("inspect", "m.onnx", "--dim", "N=7")
    assert result.exit_code == 0, result.output
    expected = (
        *("x[0]", "free dims: N", "k_conv", "contraction", "conv relu", "c1, c2"),
        *("node[7]", "odd stride", "3.0 MiB", "2.0 KiB", "750 ms", "avx2"),
        "4.0 KiB (1.0 KiB live at most) at N=7",
    )
    assert not [text for text in expected if text not in result.stdout]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("run", "m.bad"), "error: m.bad [bold]is not[/bold] a model"),
        (("inspect", "m.bad"), "error: m.bad [bold]is not[/bold] a model"),
        (("run", "m.onnx", "--input-shape", "x"), "error: --input-shape x: write NAME"),
        (("run", "m.onnx", "--dim", "N=x"), "error: --dim N=x: write NAME=SIZE"),
        (("run", "m.onnx", "--input", "no.npy"), "no.npy"),
        (("inspect", "m.onnx", "--dim", "N=101"), "{'x[0]': [101, 2]} is too much"),
        (("compile", "m.onnx", "-o", "m.exe"), "error: m.exe: the suffix says what"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_one(args: Sequence[str], message: str):
    result = invoke(*args)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("asked")
def test_debug_shows_the_error_as_it_was_raised():
    result = invoke("run", "m.bad", "--debug")
    assert isinstance(result.exception, LoadError)


def test_version_and_help():
    assert invoke("--version").stdout.startswith("nnc ")
    for command in ("compile", "run", "inspect"):
        assert command in invoke("--help").stdout
        assert "--target" in invoke(command, "--help").stdout


def test_statistics_leave_out_what_is_not_finite():
    array = np.array([1.0, 3.0, np.nan, np.inf], np.float32)
    assert statistics_of(array) == ("1", "2", "3", "2")
    assert statistics_of(np.array([True, False])) == ("0", "0.5", "1", "")
    assert statistics_of(np.zeros((0, 3))) == ("", "", "", "")


def test_save_refuses_outputs_with_one_file_name(tmp_path: Path):
    outputs = {"a/b": np.zeros(1), "a:b": np.zeros(1)}
    with pytest.raises(InputError, match="two outputs would be written to a_b.npy"):
        save(outputs, tmp_path)


def test_numbers_read_well():
    assert [in_bytes(n) for n in (0, 1023, 1536, 5 << 20, 3 << 30)] == [
        *("0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.00 GiB")
    ]
    assert [in_ms(s) for s in (0.000_012, 0.0034, 0.0123, 1.5)] == [
        *("0.012 ms", "3.400 ms", "12.3 ms", "1500 ms")
    ]


def test_long_lists_are_shortened():
    assert shortened(["a", "b", "c"], 2) == "a, b, and 1 more"
    assert shortened(["a", "b"], 2) == "a, b"
    assert shortened(["a", "b", "c"], None) == "a, b, c"


def test_symbols_are_listed_in_order_of_appearance():
    specs = [
        TensorSpec("a", np.dtype(np.float32), ("N", 3, "H")),
        TensorSpec("b", np.dtype(np.float32), ("H", "W*2", "N")),
    ]
    assert symbols_of(specs) == ["N", "H", "W"]
