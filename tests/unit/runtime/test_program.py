"""Programs of stages: called, saved, cached, profiled, closed like other models."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, parser

import nnc
from nnc import late_graphs
from nnc.errors import CompileError, InputError, LoadError, RunError, UnsupportedOp

Array = NDArray[Any]
F32 = np.float32

CHAIN = """
(float[N] x) => (float[P] y, int64[1] s) <int64[1] axis = {0}, float half = {0.5}> {
  i = NonZero(x)
  j = Squeeze(i, axis)
  v = Gather(x, j)
  c = Greater(v, half)
  w = Compress<axis = 0>(v, c)
  y = Exp(w)
  s = Shape(v)
}
"""
SEQUENCE = """
(float[N] x, float[M] y) => (float[K] z) <int64 zero = {0}> {
  s = SequenceConstruct(x, y)
  t = SequenceInsert(s, y, zero)
  e = SequenceAt(t, zero)
  z = Neg(e)
}
"""
LATE = (
    "(float[N, M] x, int64[1] a) => (float[P] y) { y = ReduceSum<keepdims = 0>(x, a) }"
)


def parse(graph: str, opset: int = 18) -> ModelProto:
    """A model in text form."""
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> g {graph}')


def numbers(count: int) -> Array:
    """Numbers of which some are zero."""
    generator = np.random.default_rng(count)
    return (generator.integers(0, 2, count) * generator.normal(size=count)).astype(F32)


def right(x: Array) -> tuple[Array, Array]:
    """What CHAIN gives."""
    found = x[x != 0]
    return np.exp(found[found > 0.5]), np.array([len(found)])


def check_chain(exe: Any, x: Array) -> None:
    """Compare a run of CHAIN with numpy."""
    y, s = exe(x)
    expected = right(x)
    np.testing.assert_allclose(y, expected[0], rtol=1e-6)
    np.testing.assert_array_equal(s, expected[1])


@pytest.mark.parametrize("count", [0, 1, 2, 17, 1000])
def test_sizes_none_some_and_all(count: int) -> None:
    with nnc.compile(parse(CHAIN)) as exe:
        check_chain(exe, numbers(count))
        check_chain(exe, np.zeros(count, F32))
        check_chain(exe, np.ones(count, F32))


def test_eight_threads_on_one_program() -> None:
    exe = nnc.compile(parse(CHAIN))
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for count in range(seed, 400, 37):
                check_chain(exe, numbers(count))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_it_is_called_like_any_model() -> None:
    exe = nnc.compile(parse(CHAIN))
    assert isinstance(exe, nnc.ProgramModel)
    assert [str(spec) for spec in exe.inputs] == ["x: float32[N]"]
    assert [spec.name for spec in exe.outputs] == ["y", "s"]
    assert isinstance(exe.outputs[0].shape[0], str)
    x = numbers(9)
    named = exe(x=x)
    assert named.s == named[1]
    assert exe.run(["s"], {"x": x})[0] == named.s
    out = np.empty_like(named.s)
    assert exe(x, out=[None, out])[1] is out
    np.testing.assert_array_equal(out, named.s)
    with pytest.raises(InputError, match="'x'"):
        exe(x.astype(np.float64))
    with pytest.raises(InputError, match="1 input"):
        exe(x, x)
    exe.prepare({"x": [5]})
    with pytest.raises(InputError, match="no shape"):
        exe.prepare({"x": [5, 5]})


def test_equal_names_of_sizes_have_to_be_equal() -> None:
    graph = """(float[N, N] x, float[N] y) => (int64[2, K] z, int64[1, L] w)
    { z = NonZero(x) w = NonZero(y) }"""
    exe = nnc.compile(parse(graph))
    with pytest.raises(InputError, match="'x'.*axis 1.*N"):
        exe(np.ones((2, 3), F32), np.ones(2, F32))
    with pytest.raises(InputError, match="'y'.*axis 0.*N"):
        exe(np.ones((2, 2), F32), np.ones(3, F32))


def test_outputs_share_no_memory_with_inputs_or_each_other() -> None:
    graph = """(float[N] x) => (float[N] a, float[N] b, int64[1, K] c)
    { a = Identity(x) b = Identity(x) c = NonZero(x) }"""
    x = numbers(5)
    a, b, _ = nnc.compile(parse(graph))(x)
    arrays = [x, a, b]
    for i, first in enumerate(arrays):
        assert not any(np.may_share_memory(first, o) for o in arrays[:i])


# ---------------------------------------------------------------- kept


def test_a_saved_program_runs(tmp_path: Path) -> None:
    path = tmp_path / "m.nnc"
    nnc.compile(parse(CHAIN)).save(path)
    exe = nnc.load(path)
    assert exe.info.code_generations == 0
    kinds = [step.kind for step in exe.info.steps]
    assert kinds == ["stage", "sizes", "stage", "sizes", "stage"]
    check_chain(exe, numbers(30))


@pytest.mark.parametrize("graph", [SEQUENCE, LATE])
def test_a_saved_program_compiles_its_late_graphs(graph: str, tmp_path: Path) -> None:
    path = tmp_path / "m.nnc"
    exe = nnc.compile(parse(graph))
    exe.save(path)
    x = numbers(4)
    given = (x.reshape(2, 2), np.array([0])) if graph is LATE else (x, x[:2])
    np.testing.assert_array_equal(nnc.load(path)(*given), exe(*given))


def test_a_damaged_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.nnc"
    nnc.compile(parse(CHAIN)).save(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"\x7fELF") + 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(LoadError, match="checksum"):
        nnc.load(path)


def test_the_cache_keeps_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNC_CACHE", "1")
    monkeypatch.setenv("NNC_CACHE_DIR", str(tmp_path))
    assert nnc.compile(parse(CHAIN)).info.cache.state == "stored"
    exe = nnc.compile(parse(CHAIN))
    assert exe.info.cache.state == "hit"
    check_chain(exe, numbers(12))


def test_a_program_is_profiled() -> None:
    exe = nnc.compile(parse(CHAIN))
    profile = exe.profile(numbers(64))
    assert len(profile.launches) == exe.info.launches
    assert [n.index for n in profile.launches] == list(range(exe.info.launches))
    assert len(profile.timeline.times) == len(profile.timeline.launches) + 1
    assert "compact" in profile.text()
    with pytest.raises(RunError, match="nothing to profile"):
        nnc.compile(parse(LATE)).profile(np.ones((2, 2), F32), np.array([0]))


def test_a_closed_program_does_not_run() -> None:
    with nnc.compile(parse(CHAIN)) as exe:
        pass
    exe.close()
    with pytest.raises(RunError, match="closed"):
        exe(numbers(3))


def test_what_needs_one_stage_is_refused() -> None:
    with pytest.raises(CompileError, match="tune"):
        nnc.compile(parse(CHAIN), tune=True, cache=False)


# ---------------------------------------------------------------- host values


def test_sequences_between_stages() -> None:
    exe = nnc.compile(parse(SEQUENCE))
    kinds = [step.kind for step in exe.info.steps]
    assert kinds.count("host") == 3
    x, y = numbers(4), numbers(7)
    np.testing.assert_array_equal(exe(x, y), -y)
    np.testing.assert_array_equal(exe(y, x), -x)


def test_sequences_as_inputs_and_outputs() -> None:
    graph = """(seq(float[N]) s, float[M] x) => (seq(float[N]) t, int64 n)
    { t = SequenceInsert(s, x) n = SequenceLength(t) }"""
    exe = nnc.compile(parse(graph))
    assert isinstance(exe.inputs[0], nnc.HostSpec)
    assert "sequence" in str(exe.inputs[0])
    x = numbers(3)
    t, n = exe([x, x[:1]], x)
    assert n == 3
    for ours, theirs in zip(t, [x, x[:1], x], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(InputError, match="'s'"):
        exe(object(), x)


def test_errors_of_host_steps_name_the_node() -> None:
    graph = """(seq(float[N]) s, int64 i) => (float[M] y)
    { y = SequenceAt(s, i) }"""
    exe = nnc.compile(parse(graph))
    with pytest.raises(RunError, match="SequenceAt.*'SequenceAt:y'"):
        exe([numbers(2)], np.array(5))


def test_unsupported_nodes_are_found_before_the_run() -> None:
    graph = """(seq(float[N]) s, int64 i) => (float[M] z)
    { y = SequenceAt(s, i) z = Nothing(y) }"""
    with pytest.raises(UnsupportedOp, match="Nothing"):
        nnc.compile(parse(graph))


# ---------------------------------------------------------------- late compilation


def test_late_graphs_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_graphs, "MOST_KEPT", 2)
    exe = nnc.compile(parse(LATE.replace("float[N, M]", "float[A, B, C]")))
    x = np.arange(24, dtype=F32).reshape(2, 3, 4)
    for axis in (0, 1, 2, 0):
        np.testing.assert_array_equal(exe(x, np.array([axis])), x.sum(axis))
    (step,) = exe.info.steps
    assert step.what == "nnc.Deferred, compiled 4 times so far"


def test_late_graphs_are_compiled_once_for_all_sizes_but_one() -> None:
    exe = nnc.compile(parse(LATE))
    for rows, columns in ((2, 3), (5, 7), (2, 2), (0, 4), (1, 3), (1, 1), (1, 9)):
        x = np.ones((rows, columns), F32)
        np.testing.assert_array_equal(exe(x, np.array([0])), x.sum(0))
    (step,) = exe.info.steps
    assert step.what == "nnc.Deferred, compiled 3 times so far"


def test_carried_values_of_a_loop_may_change_their_rank() -> None:
    graph = """
    (float[4] x, int64 n) => (float[K] y) <bool c = {1}, int64[1] first = {0}> {
      y = Loop (n, c, x) <
        body = b (int64 i, bool going, float[L] v) => (bool more, float[M] w)
          { w = Unsqueeze(v, first) more = Identity(going) }
      >
    }
    """
    exe = nnc.compile(parse(graph))
    x = numbers(4)
    for count in (0, 1, 3):
        assert exe(x, np.array(count)).shape == (1,) * count + (4,)


def test_stacks_of_no_iteration_are_what_the_graph_declares() -> None:
    graph = """
    (float[4] x, int64 n) => (float[4] y, float[K, 2] all)
    <bool c = {1}, int64[1] zero = {0}, int64[1] two = {2}> {
      y, all = Loop (n, c, x) <
        body = b (int64 i, bool going, float[4] v) =>
          (bool more, float[4] w, float[2] e)
        {
          s = ReduceSum<keepdims = 0>(v)
          more = Less(s, s)
          w = Neg(v)
          e = Slice(w, zero, two, zero)
        }
      >
    }
    """
    exe = nnc.compile(parse(graph))
    x = numbers(4)
    assert exe(x, np.array(0))[1].shape == (0, 2)
    np.testing.assert_array_equal(exe(x, np.array(9))[1], -x[None, :2])


def test_what_no_run_can_tell_is_refused() -> None:
    graph = """(seq(float[N]) s, int64 i) => (float[M] z)
    { y = Relu(s) z = SequenceAt(y, i) }"""
    exe = nnc.compile(parse(graph))
    with pytest.raises((RunError, UnsupportedOp), match="Relu"):
        exe([numbers(2)], np.array(0))
