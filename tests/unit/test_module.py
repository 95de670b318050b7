"""Modules: text, files, passes, meaning."""

from pathlib import Path

import numpy as np
import pytest

import nnc
from nnc.errors import CompileError, InputError, LoadError

TEXT = """\
func.func @main(%x: tensor<?x2xf32, #nn.shape<N, 2>> {nn.name = "x"}) -> (tensor<?x2xf32, #nn.shape<N, 2>> {nn.name = "y"}) {
  %w = nn.weight "w" : tensor<2xf32>
  %0 = nn.broadcast %w : (tensor<2xf32>) -> tensor<?x2xf32, #nn.shape<N, 2>>
  %1 = nn.add %x, %0 : (tensor<?x2xf32, #nn.shape<N, 2>>, tensor<?x2xf32, #nn.shape<N, 2>>) -> tensor<?x2xf32, #nn.shape<N, 2>>
  func.return %1 : tensor<?x2xf32, #nn.shape<N, 2>>
}
"""  # noqa: E501 # IR lines are as long as they are
WEIGHTS = {"w": np.array([10, 20], np.float32)}
X = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture
def module() -> nnc.Module:
    return nnc.Module.parse(TEXT, WEIGHTS)


def test_text_reads_back_to_itself(module: nnc.Module):
    text = str(module)
    assert str(nnc.Module.parse(text, WEIGHTS)) == text


def test_interpret_gives_what_the_network_means(module: nnc.Module):
    (by_position,) = module.interpret([X])
    (by_name,) = module.interpret({"x": X})
    np.testing.assert_array_equal(by_position, X + WEIGHTS["w"])
    np.testing.assert_array_equal(by_name, by_position)


def test_interpret_refuses_wrong_input(module: nnc.Module):
    with pytest.raises(InputError):
        module.interpret([X[0]])


def test_save_and_load_keep_text_and_weights(module: nnc.Module, tmp_path: Path):
    module.save(tmp_path / "model.mlir")
    loaded = nnc.Module.load(tmp_path / "model.mlir")
    assert str(loaded) == str(module)
    np.testing.assert_array_equal(loaded.weights["w"], WEIGHTS["w"])
    np.testing.assert_array_equal(nnc.compile(loaded)(X), X + WEIGHTS["w"])


def test_apply_makes_another_module(module: nnc.Module):
    before = str(module)
    changed = module.apply("nnc-nn")
    assert str(module) == before
    assert "nn.dispatch" in str(changed)
    np.testing.assert_array_equal(changed.interpret([X])[0], X + WEIGHTS["w"])


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("make-it-fast", "unknown pass 'make-it-fast'"),
        ("bufferize", "bufferize: nn.add is not in a dispatch"),
        ("bufferize{depth=1}", "pass 'bufferize'"),
    ],
)
def test_apply_refuses_bad_pipelines(module: nnc.Module, pipeline: str, message: str):
    with pytest.raises(CompileError, match=message):
        module.apply(pipeline)


@pytest.mark.parametrize("text", ["", "func.func", TEXT.replace("nn.add", "nn.ad")])
def test_parse_of_bad_text_is_load_error(text: str):
    with pytest.raises(LoadError, match="not a valid module"):
        nnc.Module.parse(text)


def test_parse_verifies():
    text = TEXT.replace("tensor<2xf32>) ->", "tensor<3xf32>) ->").replace(
        ": tensor<2xf32>\n", ": tensor<3xf32>\n"
    )
    with pytest.raises(LoadError, match="does not broadcast"):
        nnc.Module.parse(text)


def test_load_of_binary_file_is_load_error(tmp_path: Path):
    path = tmp_path / "model.mlir"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LoadError, match="is no text"):
        nnc.Module.load(path)


def test_compile_without_weights_names_them():
    with pytest.raises(CompileError, match="weight 'w'"):
        nnc.compile(nnc.Module.parse(TEXT))
