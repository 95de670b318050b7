"""The driver: its options, its errors, and what it does not import."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter
from xdsl.utils.exceptions import DiagnosticException

from nnc.dialects.nn.elementwise import AddOp, MulOp
from nnc.tools.nnc_opt import NncOptMain, main
from nnc.weight_files import load_weights

IDENTITY = """\
func.func @identity(%x: tensor<4xf32>) -> tensor<4xf32> {
  func.return %x : tensor<4xf32>
}
"""
UNUSED = """\
func.func @unused() {
  %c = arith.constant 1 : i32
  func.return
}
"""
ADD = """\
func.func @main(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  %0 = nn.add %x, %y : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}
"""
INVALID = """\
func.func @wrong(%x: tensor<4xf32>) -> i32 {
  func.return %x : tensor<4xf32>
}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "input.mlir"
    path.write_text(UNUSED)
    return path


def run_main(monkeypatch: pytest.MonkeyPatch, *args: str | Path) -> object:
    """Run the command; its exit code."""
    monkeypatch.setattr(sys, "argv", ["nnc-opt", *map(str, args)])
    try:
        main()
    except SystemExit as stop:
        return stop.code
    return 0


def test_start_imports_no_framework_and_no_llvm(source: Path):
    code = (
        "import sys\n"
        "from nnc.tools.nnc_opt import NncOptMain\n"
        f"NncOptMain([{str(source)!r}, '-p', 'dce']).run()\n"
        "heavy = ('onnx', 'torch', 'tensorflow', 'llvmlite', 'typer', 'onnxruntime')\n"
        "print(*(m for m in heavy if m in sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "func.func @unused" in done.stdout
    assert done.stderr.strip() == ""


def test_passes_run_in_order(source: Path, capsys: pytest.CaptureFixture[str]):
    NncOptMain([str(source), "-p", "dce"]).run()
    assert "arith.constant" not in capsys.readouterr().out


def test_print_ir_after_prints_the_named_passes_to_stderr(
    source: Path, capsys: pytest.CaptureFixture[str]
):
    NncOptMain(
        [str(source), "-p", "canonicalize,dce,cse", "--print-ir-after=dce"]
    ).run()
    printed = capsys.readouterr().err
    assert printed.count("IR after") == 1
    assert "IR after dce" in printed


def test_print_ir_after_all_prints_after_each(
    source: Path, capsys: pytest.CaptureFixture[str]
):
    NncOptMain([str(source), "-p", "canonicalize,cse", "--print-ir-after=all"]).run()
    printed = capsys.readouterr().err
    assert printed.index("IR after canonicalize") < printed.index("IR after cse")


def test_split_input_file_keeps_the_parts_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "two.mlir"
    path.write_text(f"{IDENTITY}// -----\n{UNUSED}")
    NncOptMain([str(path), "--split-input-file"]).run()
    first, second = capsys.readouterr().out.split("// -----")
    assert "@identity" in first
    assert "@unused" in second


def test_verify_diagnostics_prints_the_error_and_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "wrong.mlir"
    path.write_text(INVALID)
    assert run_main(monkeypatch, path, "--verify-diagnostics") == 0
    assert "Expected arguments to have the same types" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-p", "no-such-pass"), "unknown pass no-such-pass; nnc-opt --list-passes"),
        (("-p", "dce{oops=1}"), "oops"),
        (("-p", "dce{"), "nnc-opt: error:"),
        (("--pipeline=nope",), "unknown pass nope"),
        (("--pipeline=nnc-default{cpu=a}",), "has no option 'cpu'; it has: target"),
        (("--print-ir-after=nope",), "unknown pass nope"),
        (("--weights=none.npz",), "none.npz"),
        (("--weights=none.bin",), "weights are read from .npz and .safetensors"),
    ],
)
def test_wrong_options_are_one_clear_message(
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    message: str,
):
    code = run_main(monkeypatch, source, *args)
    assert isinstance(code, str)
    assert code.startswith("nnc-opt: error:")
    assert message in code


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.mlir", "func.func @", "nnc-opt: error:"),
        ("wrong.mlir", INVALID, "Expected arguments to have the same types"),
        ("binary.mlir", "\udcff", "binary.mlir is no text"),
        ("what.xyz", "", "what.xyz: nnc-opt reads .mlir, .onnx"),
    ],
)
def test_wrong_input_is_one_clear_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: str,
    message: str,
):
    path = tmp_path / name
    path.write_text(content, errors="surrogateescape")
    code = run_main(monkeypatch, path)
    assert isinstance(code, str)
    assert message in code


def test_missing_file_is_one_clear_message(monkeypatch: pytest.MonkeyPatch):
    code = run_main(monkeypatch, "no-such-file.mlir")
    assert isinstance(code, str)
    assert "no-such-file.mlir" in code


@dataclass(frozen=True)
class WrongPass(ModulePass):
    """Turns additions into multiplications."""

    name = "wrong"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for add in [inner for inner in op.walk() if isinstance(inner, AddOp)]:
            product = MulOp(*add.operands)
            Rewriter.replace_op(add, product)


class WithWrongPass(NncOptMain):
    def register_all_passes(self) -> None:
        super().register_all_passes()
        self.available_passes["wrong"] = lambda: WrongPass


def test_verify_numerically_names_the_wrong_pass(tmp_path: Path):
    path = tmp_path / "add.mlir"
    path.write_text(ADD)
    WithWrongPass([str(path), "-p", "wrong"]).run()
    right = WithWrongPass([str(path), "-p", "cse,dce", "--verify-numerically"])
    right.run()
    wrong = WithWrongPass([str(path), "-p", "cse,wrong,dce", "--verify-numerically"])
    with pytest.raises(DiagnosticException, match="pass 'wrong' changed the answer"):
        wrong.run()


def test_weights_are_read_and_written(source: Path, tmp_path: Path):
    given, result = tmp_path / "in.npz", tmp_path / "out.safetensors"
    np.savez(given, w=np.arange(3.0))
    NncOptMain([str(source), f"--weights={given}", f"--save-weights={result}"]).run()
    np.testing.assert_array_equal(load_weights(result)["w"], np.arange(3.0))


def test_list_passes_prints_the_registry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from nnc import registry

    assert run_main(monkeypatch, "--list-passes") == 0
    listed = [line.partition("{")[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(registry.PASSES)


def test_show_pipeline_spells_out_named_pipelines(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    args = (source, "-p", "dce,nnc-default{target=avx2}", "--show-pipeline")
    assert run_main(monkeypatch, *args) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("dce")
    assert "nnc-default" not in shown
