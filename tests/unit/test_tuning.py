"""Tuning: what is measured, what is chosen, and that results stay what they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import nnc
from nnc import tuning
from nnc.errors import CompileError
from nnc.runtime.executor import CompiledModel
from nnc.runtime.profile import Profile
from nnc.target import Target
from nnc.transforms.set_tiles import parse_tiles


def network() -> bytes:
    """Two products, with an index between them that random inputs do not reach."""
    rng = np.random.default_rng(0)
    weights = {
        "a": rng.standard_normal((40, 70), np.float32),
        "b": rng.standard_normal((70, 33), np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Gather", ["h", "rows"], ["g"], name="pick"),
        helper.make_node("MatMul", ["g", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 40]),
            helper.make_tensor_value_info("rows", TensorProto.INT64, ["M"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets).SerializeToString()


def test_tuned_model_gives_the_same_bits_and_says_what_it_uses():
    x = np.random.default_rng(1).standard_normal((50, 40), np.float32)
    rows = np.arange(0, 50, 3)
    plain = nnc.compile(network())
    tuned = nnc.compile(network(), tune=True, example_inputs=(x, rows))
    np.testing.assert_array_equal(tuned(x, rows), plain(x, rows))
    assert set(parse_tiles(tuned.info.tiles)) <= {0, 1}
    assert "tuning" in [phase.name for phase in tuned.info.phases]


@pytest.mark.parametrize("tile", ["1x1", "3x2:rows", "14x2:columns", "6x4", "9x3"])
@pytest.mark.parametrize("target", ["native", "avx2", "generic"])
def test_every_tile_gives_the_same_bits(tile: str, target: str):
    x = np.random.default_rng(1).standard_normal((50, 40), np.float32)
    rows = np.arange(0, 50, 3)
    before = nnc.convert(network()).apply(
        "canonicalize-nn,fold-constants,decompose-nn,choose-layout,form-dispatches"
    )
    rest = (
        f"pack-weights{{target={target}}},fold-constants,bufferize,"
        f"lower-dispatches{{target={target}}},plan-arena,finalize-kernel-abi,"
        f"convert-simd-to-llvm{{target={target}}},convert-rt-to-llvm"
    )
    plain = nnc.compile(before, target=target, pipeline=rest)
    other = nnc.compile(
        before, target=target, pipeline=f'set-tiles{{all="{tile}"}},{rest}'
    )
    schedules = [kernel.schedule for kernel in other.info.kernels]
    rows_of_tile, _, vectors = tile.partition(":")[0].partition("x")
    assert any(s.endswith(f"x{vectors}") for s in schedules), schedules
    assert all(
        int(s.split()[1].split("x")[0]) <= int(rows_of_tile)
        for s in schedules
        if s.startswith("contraction")
    )
    np.testing.assert_array_equal(other(x, rows), plain(x, rows))


def test_network_that_fails_on_random_inputs_asks_for_examples():
    def only_row(value: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((1, 40), np.float32), np.array([value])

    with pytest.raises(CompileError, match=r"tune: .*node 'pick'.*example_inputs"):
        nnc.compile(network(), tune=True, example_inputs=only_row(1))
    nnc.compile(network(), tune=True, example_inputs=only_row(0)).close()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([np.zeros(1)], "example_inputs has 1 arrays for 2 inputs"),
        (np.zeros(1), "example_inputs has 1 arrays for 2 inputs"),
        ({"x": np.zeros(1)}, "names 'x', but the inputs are 'x', 'rows'"),
    ],
    ids=["list", "array", "mapping"],
)
def test_examples_that_do_not_fit_are_refused(given: Any, message: str):
    with pytest.raises(CompileError, match=message):
        nnc.compile(network(), tune=True, example_inputs=given)


# ---- the choice, on times that are made up


@dataclass
class FakeLaunch:
    """A contraction in a profile."""

    seconds: float
    calls: int = 1
    schedule: str = "contraction 14x2"


@dataclass
class FakeModel:
    """A model whose contractions take these times."""

    launches: list[FakeLaunch]
    inputs: tuple[()] = ()
    closed: list[bool] = field(default_factory=list[bool])

    def profile(self) -> Profile:
        """What `tune` reads of a profile."""
        fake: Any = type("FakeProfile", (), {})()
        fake.launches = self.launches
        fake.seconds = sum(launch.seconds for launch in self.launches)
        return cast(Profile, fake)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.append(True)


def tune_with(times: dict[str, list[float]], usual: list[float]) -> tuple[str, ...]:
    """What is chosen if a tile makes the contractions take these times."""

    def compile(tiles: Sequence[str]) -> CompiledModel:
        chosen = {n: t.text for n, t in parse_tiles(tiles).items()}
        found = [
            times.get(chosen.get(i, ""), usual)[i] if i in chosen else usual[i]
            for i in range(len(usual))
        ]
        return cast(CompiledModel, FakeModel([FakeLaunch(s) for s in found]))

    return tuning.tune(compile, len(usual), Target.named("avx512"), None)


def test_each_contraction_gets_its_fastest_tile():
    chosen = tune_with(
        {"6x4": [0.5, 2.0, 0.9], "9x3": [0.6, 0.7, 1.0]}, [1.0, 1.0, 1.0]
    )
    assert chosen == ("0:6x4", "1:9x3", "2:6x4")


def test_small_gains_are_jitter():
    assert tune_with({"6x4": [0.98, 0.99]}, [1.0, 1.0]) == ()


def test_contraction_that_did_not_run_keeps_its_tile():
    def compile(tiles: Sequence[str]) -> CompiledModel:
        seconds = 0.5 if tiles else 1.0
        launches = [FakeLaunch(seconds), FakeLaunch(0.0, calls=0)]
        return cast(CompiledModel, FakeModel(launches))

    chosen = tuning.tune(compile, 2, Target.named("avx512"), None)
    assert [text.partition(":")[0] for text in chosen] == ["0"]
