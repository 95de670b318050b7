"""Models that run on several threads: the same bits, errors, and many callers."""

import ctypes
import ctypes.util
import os
import platform
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import nnc
from nnc.errors import CompileError, IndexOutOfRange

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX threads")

Array = NDArray[Any]


def onnx_model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[int | str]]],
    constants: dict[str, Array],
) -> bytes:
    """A model with the output `y`."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets).SerializeToString()


def normal(*shape: int) -> NDArray[np.float32]:
    """Reproducible numbers."""
    return np.random.default_rng(len(shape)).standard_normal(shape, np.float32)


def mlp() -> tuple[bytes, dict[str, Array]]:
    """Two matrix products."""
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["y"]),
    ]
    constants: dict[str, Array] = {"a": normal(96, 200), "b": normal(200, 70)}
    return onnx_model(nodes, {"x": (TensorProto.FLOAT, ["N", 96])}, constants), {
        "x": normal(61, 96)
    }


def convolutions() -> tuple[bytes, dict[str, Array]]:
    """A convolution, a depthwise one, pooling."""
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["h", "b"], ["d"], group=40, pads=[1, 1, 1, 1]),
        helper.make_node("HardSwish", ["d"], ["s"]),
        helper.make_node("MaxPool", ["s"], ["p"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"]),
        helper.make_node("Mul", ["p", "g"], ["y"]),
    ]
    constants: dict[str, Array] = {"a": normal(40, 8, 3, 3), "b": normal(40, 1, 3, 3)}
    inputs: dict[str, tuple[int, list[int | str]]] = {
        "x": (TensorProto.FLOAT, [1, 8, 37, 41])
    }
    return onnx_model(nodes, inputs, constants), {"x": normal(1, 8, 37, 41)}


def rows() -> tuple[bytes, dict[str, Array]]:
    """Softmax, normalisation, a transposition and a running sum."""
    nodes = [
        helper.make_node("LayerNormalization", ["x", "w"], ["n"]),
        helper.make_node("Softmax", ["n"], ["s"]),
        helper.make_node("Transpose", ["s"], ["t"], perm=[1, 0]),
        helper.make_node("CumSum", ["t", "axis"], ["c"]),
        helper.make_node("Erf", ["c"], ["y"]),
    ]
    constants: dict[str, Array] = {
        "w": normal(301),
        "axis": np.array(0, np.int64),
    }
    return onnx_model(nodes, {"x": (TensorProto.FLOAT, ["N", 301])}, constants), {
        "x": normal(117, 301)
    }


def gathering() -> tuple[bytes, dict[str, Array]]:
    """An embedding: its rows are checked while it runs."""
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["rows"], name="embedding"),
        helper.make_node("Tanh", ["rows"], ["y"]),
    ]
    inputs: dict[str, tuple[int, list[int | str]]] = {"x": (TensorProto.INT64, ["N"])}
    indices = np.arange(700) * 31 % 50
    return onnx_model(nodes, inputs, {"table": normal(50, 64)}), {"x": indices}


MODELS: dict[str, Callable[[], tuple[bytes, dict[str, Array]]]] = {
    f.__name__: f for f in (mlp, convolutions, rows, gathering)
}


@cache
def compiled(name: str, threads: int | None) -> nnc.CompiledModel:
    """A model for that many threads."""
    exe = nnc.compile(MODELS[name]()[0], num_threads=threads)
    assert isinstance(exe, nnc.CompiledModel)
    return exe


def inputs_of(name: str) -> dict[str, Array]:
    """Its inputs."""
    return MODELS[name]()[1]


@pytest.mark.parametrize("name", list(MODELS))
def test_results_do_not_depend_on_threads(name: str):
    feeds = inputs_of(name)
    expected = compiled(name, 1).run(None, feeds)
    for threads in (2, 3, 4, 7):
        exe = compiled(name, threads)
        assert exe.num_threads == threads
        assert exe._planner.state(list(feeds.values())).ways > 1
        for _ in range(20):
            for a, b in zip(exe.run(None, feeds), expected, strict=True):
                assert a.tobytes() == b.tobytes()


def test_single_thread_uses_no_pool():
    exe = compiled("mlp", 1)
    assert exe._planner.state([normal(61, 96)]).ways == 1


def test_small_sizes_stay_in_the_calling_thread():
    exe = compiled("mlp", 4)
    assert exe._planner.state([normal(1, 96)]).ways == 1
    assert exe._planner.state([normal(2000, 96)]).ways == 4


def test_default_is_what_the_process_may_use():
    from nnc.runtime.threads import default_threads

    assert compiled("mlp", None).num_threads == default_threads()


def test_loaded_model_takes_threads(tmp_path: Any):
    feeds = inputs_of("mlp")
    exe = compiled("mlp", 1)
    exe.save(tmp_path / "m.nnc")
    with nnc.load(tmp_path / "m.nnc", num_threads=3) as loaded:
        assert loaded.num_threads == 3
        found, expected = loaded.run(None, feeds)[0], exe.run(None, feeds)[0]
        assert found.tobytes() == expected.tobytes()
    with pytest.raises(CompileError, match="num_threads must be at least 1, got 0"):
        nnc.load(tmp_path / "m.nnc", num_threads=0)


def test_error_of_a_worker_is_the_callers():
    exe = compiled("gathering", 4)
    good = inputs_of("gathering")["x"]
    for place in (0, 1, len(good) // 2, len(good) - 1):
        bad = good.copy()
        bad[place] = 50
        with pytest.raises(IndexOutOfRange, match=r"node 'embedding"):
            exe(bad)
        assert np.isfinite(exe(good)).all()


@pytest.mark.parametrize("runs", [800, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_threads_share_the_pool(runs: int):
    models = [compiled(name, 3) for name in MODELS]
    feeds = [inputs_of(name) for name in MODELS]
    expected = [
        compiled(name, 1).run(None, f)[0].tobytes()
        for name, f in zip(MODELS, feeds, strict=True)
    ]
    wrong: list[int] = []

    def work(worker: int) -> None:
        for run in range(runs // 8):
            which = (worker + run) % len(models)
            (found,) = models[which].run(None, feeds[which])
            if found.tobytes() != expected[which]:
                wrong.append(which)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert not wrong


def test_models_come_and_go_while_others_run():
    stop = threading.Event()
    exe, feeds = compiled("mlp", 4), inputs_of("mlp")
    expected = exe.run(None, feeds)[0].tobytes()
    wrong: list[bytes] = []

    def work() -> None:
        while not stop.is_set():
            found = exe.run(None, feeds)[0].tobytes()
            if found != expected:
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            with nnc.compile(MODELS["gathering"]()[0], num_threads=4) as other:
                other.run(None, inputs_of("gathering"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong


UPWARD = {"x86_64": 0x800, "aarch64": 0x400000}
"""`FE_UPWARD`."""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in UPWARD,
    reason="knows the rounding modes of these systems only",
)
@pytest.mark.parametrize("threads", [1, 3])
def test_rounding_mode_of_the_caller_does_not_matter_and_stays(threads: int):
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    feeds = inputs_of("rows")
    exe = compiled("rows", threads)
    expected = exe.run(None, feeds)[0].tobytes()
    before = library.fegetround()
    try:
        library.fesetround(UPWARD[platform.machine()])
        found = exe.run(None, feeds)[0].tobytes()
        after = library.fegetround()
    finally:
        library.fesetround(before)
    assert after == UPWARD[platform.machine()]
    assert found == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_child_of_a_fork_runs_models():
    code = """
        import os
        import numpy as np
        import onnx
        from onnx import helper, TensorProto, numpy_helper
        import nnc

        def info(name, shape):
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        w = np.ones((256, 256), np.float32)
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
            [info("x", [64, 256])], [info("y", [64, 256])],
            [numpy_helper.from_array(w, "w")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        exe = nnc.compile(model, num_threads=3)
        x = np.ones((64, 256), np.float32)
        assert (exe(x) == 256).all()
        child = os.fork()
        if child == 0:
            for _ in range(100):
                assert (exe(x) == 256).all()
            os._exit(5)
        for _ in range(100):
            assert (exe(x) == 256).all()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("5\n", 0), done.stderr
