"""How much memory a compilation and a start from the cache take."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

LAYERS, SIZE = 12, 1536
WEIGHT_BYTES = LAYERS * SIZE * SIZE * 4

MEASURE = """
import sys
import numpy as np
import nnc

def high_water():
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["VmHWM"].split()[0]) * 1024

x = np.ones((1, {size}), np.float32)
# Everything is imported, and LLVM has run.
nnc.compile(sys.argv[1], cache=False)(x[:, :3])
before = high_water()
exe = nnc.compile(sys.argv[2], cache={cache})
exe(x)
print(high_water() - before, exe.info.cache.state, exe.info.weight_bytes)
"""


def save(path: Path, layers: int, size: int) -> Path:
    generator = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: list[TensorProto] = []
    for i in range(layers):
        array = generator.standard_normal((size, size)).astype(np.float32)
        weights.append(numpy_helper.from_array(array, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"h{i}"]))
        nodes.append(helper.make_node("Relu", [f"h{i}"], [f"x{i + 1}"]))
    kind = TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x0", kind, ["N", size])]
    outputs = [helper.make_tensor_value_info(f"x{layers}", kind, ["N", size])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small and a large model."""
    folder = tmp_path_factory.mktemp("models")
    small, large = folder / "small.onnx", folder / "large.onnx"
    return save(small, 1, 3), save(large, LAYERS, SIZE)


def measured(
    models: tuple[Path, Path], cache: bool, folder: Path
) -> tuple[int, str, int]:
    """By how much the peak grew, what the cache did, and the bytes of the weights."""
    environment = {**os.environ, "NNC_CACHE": "1", "NNC_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(size=SIZE, cache=cache), *models],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    grown, state, weights = done.stdout.split()
    return int(grown), state, int(weights)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_weights_are_in_memory_once_and_a_bit(
    models: tuple[Path, Path], tmp_path: Path
):
    grown, state, weights = measured(models, False, tmp_path)
    assert state == "off"
    assert weights >= WEIGHT_BYTES
    assert grown < 1.5 * WEIGHT_BYTES
    # The first compilation leaves an entry, the second one starts from it.
    grown, state, _ = measured(models, True, tmp_path)
    assert state == "stored"
    assert grown < 1.5 * WEIGHT_BYTES
    grown, state, _ = measured(models, True, tmp_path)
    assert state == "hit"
    assert grown < 1.2 * WEIGHT_BYTES
