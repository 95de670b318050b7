"""Profiles: of made-up times, and of a small network."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
import pytest

import nnc
from nnc.errors import InputError
from nnc.runtime.artifact import Kernel, Launch, Plan, Slot, Weight
from nnc.runtime.limits import Level, Limits
from nnc.runtime.profile import Log, Profile, Run, make_profile, record_runs

LIMITS = Limits(2e9, (Level(100, 4e9, 2e9), Level(10_000, 1e9, 1e9)))


def plan(*launches: Launch) -> Plan:
    """A plan of these launches, with one weight."""
    return Plan(
        exprs=("1",),
        inputs=(),
        outputs=(),
        symbols=(),
        constraints=(),
        sizes=(),
        allocations=(),
        weights=(Weight("w", "float32", (10,), 40),),
        launches=launches,
        kernels=(Kernel("k", ("add", "relu")), Kernel("m", ("matmul",))),
    )


def launch(kernel: str, *work: str, weight: bool = False, node: str = "n") -> Launch:
    """A launch of that work, which may use the weight."""
    slots = (Slot("weight", 0, 0),) if weight else ()
    return Launch(kernel, 0, 0, slots, "some", node, work)


def run_of(*spans: int, launches: Sequence[int] | None = None) -> Run:
    """A run of launches, by default one after another, that take that long."""
    numbers = np.array(range(len(spans)) if launches is None else launches)
    return Run(numbers, np.cumsum([1000, *spans]))


def profile_of(*launches: Launch, runs: Sequence[Run], **sizes: int) -> Profile:
    """A profile of these runs."""
    return make_profile(
        plan(*launches), sizes, runs, target="t", threads=1, limits=LIMITS
    )


def test_times_are_medians_of_the_quicker_half():
    made = profile_of(
        launch("k", "1", "0", "0"),
        launch("m", "1", "0", "0"),
        runs=[
            run_of(900, 10),
            run_of(10, 20),
            run_of(12, 30),
            run_of(11, 25),
            run_of(50, 900),
        ],
    )
    assert [n.seconds for n in made.launches] == pytest.approx([11e-9, 25e-9])
    assert [n.best_seconds for n in made.launches] == pytest.approx([10e-9, 20e-9])
    assert made.seconds == pytest.approx(36e-9)
    assert made.runs == 5
    assert made.timeline.times.tolist() == [1000, 1010, 1030]


def test_work_is_evaluated_for_the_sizes():
    made = profile_of(launch("k", "2*N", "4*N", "N"), runs=[run_of(100)], N=25)
    (found,) = made.launches
    assert (found.operations, found.bytes_read, found.bytes_written) == (50, 100, 25)
    assert found.gflops == pytest.approx(0.5)
    assert found.gbps == pytest.approx(1.25)
    assert found.ops == ("add", "relu")
    assert found.sources == ("n",)


def test_limit_is_that_of_arithmetic_or_memory_whichever_is_longer():
    made = profile_of(
        launch("m", "2000", "40", "40"),
        launch("k", "2", "100", "0"),
        runs=[run_of(2000, 100)],
    )
    compute, memory = made.launches
    assert (compute.bound, memory.bound) == ("compute", "memory")
    assert compute.limit_seconds == pytest.approx(1e-6)
    assert compute.fraction == pytest.approx(0.5)
    assert memory.limit_seconds == pytest.approx(25e-9)
    assert memory.fraction == pytest.approx(0.25)
    assert made.limit_seconds == pytest.approx(1.025e-6)


def test_weights_come_at_the_rate_of_all_weights():
    # 40 bytes of weights fit the first level, which reads 4 GB/s; so do the rest.
    (found,) = profile_of(
        launch("m", "0", "10040", "0", weight=True), runs=[run_of(1)]
    ).launches
    assert found.memory_seconds == pytest.approx(40 / 4e9 + 10_000 / 1e9)


def test_launch_without_work_has_no_limit():
    made = profile_of(launch("k"), runs=[run_of(10)])
    assert made.launches[0].fraction is None
    assert made.limit_seconds is None
    assert " - " in made.text()


def test_rates_between_levels_are_interpolated():
    assert LIMITS.read_rate(1) == 4e9
    assert LIMITS.read_rate(1000) == pytest.approx(2.5e9)
    assert LIMITS.write_rate(1e9) == 1e9


def test_launches_in_branches_and_loops_are_counted():
    made = profile_of(
        launch("k", "10", "0", "0"),
        launch("m", "1000", "0", "0"),
        launch("k", "1", "0", "0"),
        runs=[run_of(1, 20, 2, 30, launches=[0, 1, 0, 1])],
    )
    assert [n.calls for n in made.launches] == [2, 2, 0]
    assert [n.seconds for n in made.launches] == pytest.approx([3e-9, 50e-9, 0])
    assert [n.operations for n in made.launches] == [20, 2000, 0]
    assert made.launches[1].limit_seconds == pytest.approx(1e-6)


def write(log: int, *entries: tuple[int, int, int]) -> None:
    """Add to a log as native code does."""
    words = (ctypes.c_int64 * 100).from_address(log)
    for entry in entries:
        count, room = words[0], words[1]
        words[0] = count + 1
        if count < room:
            words[2 + 3 * count : 5 + 3 * count] = entry


def test_log_gives_launches_and_times():
    log = Log(3)
    write(log.address, (0, 1, 5), (0, 1, 7), (-1, 2, 1))
    run = log.take()
    assert run.launches.tolist() == [0, 0]
    assert run.times.tolist() == [1_000_000_005, 1_000_000_007, 2_000_000_001]
    assert log.missing == 0
    assert log.take().times.size == 0


def test_runs_are_recorded_even_if_loops_need_more_room():
    def run(log: int) -> None:
        write(log, *((0, 0, i) for i in range(9)), (-1, 0, 9))

    runs = record_runs(run, 1)
    assert len(runs) >= 3
    assert {len(r.launches) for r in runs} == {9}


def test_text_shows_slowest_first_and_counts_the_rest():
    made = profile_of(
        launch("k", "1", "8", "8", node="first"),
        launch("m", "2000", "8", "8", node="second+third"),
        launch("k", "1", "8", "8", node="fourth"),
        runs=[run_of(100, 800, 100)],
    )
    lines = made.text(limit=1).splitlines()
    assert "3 launches" in lines[0]
    assert lines[3].split()[:2] == ["80.0%", "1"]
    assert lines[3].endswith("m [matmul]  second, third")
    assert lines[4] == "... and 2 more launches, 20.0% of the time"
    by_kernel = made.text(by="kernel").splitlines()
    assert by_kernel[4].split()[:2] == ["20.0%", "2"]
    assert by_kernel[4].endswith("first, fourth")


TEXT = """
  func.func @main(%x: tensor<?x64xf32, #nn.shape<N, 64>> {nn.name = "x"})
      -> (tensor<?x32xf32, #nn.shape<N, 32>>) {
    %w = nn.weight "w" : tensor<64x32xf32>
    %0 = nn.matmul %x, %w {loc_name = "dense"}
      : (tensor<?x64xf32, #nn.shape<N, 64>>, tensor<64x32xf32>)
      -> tensor<?x32xf32, #nn.shape<N, 32>>
    %1 = nn.relu %0 {loc_name = "act"}
      : (tensor<?x32xf32, #nn.shape<N, 32>>) -> tensor<?x32xf32, #nn.shape<N, 32>>
    func.return %1 : tensor<?x32xf32, #nn.shape<N, 32>>
  }"""


@pytest.fixture(scope="module")
def exe() -> nnc.CompiledModel:
    """A small network."""
    w = np.ones((64, 32), np.float32)
    exe = nnc.compile(nnc.Module.parse(TEXT, {"w": w}), target="generic")
    assert isinstance(exe, nnc.CompiledModel)
    return exe


def test_profile_of_a_network_shows_its_launches(exe: nnc.CompiledModel):
    made = exe.profile(np.ones((5, 64), np.float32))
    (found,) = [n for n in made.launches if "matmul" in n.ops]
    assert found.operations == 2 * 5 * 32 * 64 + 5 * 32
    assert found.bytes_read == 4 * (5 * 64 + 64 * 32)
    assert found.bytes_written == 4 * 5 * 32
    assert {"dense", "act"} <= set(found.sources)
    assert 0 < found.best_seconds <= found.seconds < 1
    assert sum(n.seconds for n in made.launches) == pytest.approx(made.seconds, rel=0.5)
    assert made.limits is not None
    assert "matmul" in str(made)


def test_profile_leaves_runs_without_stamps(exe: nnc.CompiledModel):
    x = np.ones((3, 64), np.float32)
    exe.profile(x=x)
    np.testing.assert_array_equal(exe(x), np.full((3, 32), 64, np.float32))


def test_profile_checks_inputs(exe: nnc.CompiledModel):
    with pytest.raises(InputError, match="missing"):
        exe.profile()
