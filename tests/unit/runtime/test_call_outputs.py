"""`out=`: arrays that callers give for outputs."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nnc
from nnc.errors import InputError

TEXT = """
builtin.module {
  func.func @main(
    %x: tensor<?x4xf32, #nn.shape<N, 4>> {nn.name = "x"}
  ) -> (
    tensor<?x4xf32, #nn.shape<N, 4>> {nn.name = "positive"},
    tensor<?x4xf32, #nn.shape<N, 4>> {nn.name = "negative"}
  ) {
    %0 = nn.relu %x : (tensor<?x4xf32, #nn.shape<N, 4>>) -> tensor<?x4xf32, #nn.shape<N, 4>>
    %1 = nn.neg %x : (tensor<?x4xf32, #nn.shape<N, 4>>) -> tensor<?x4xf32, #nn.shape<N, 4>>
    func.return %0, %1 : tensor<?x4xf32, #nn.shape<N, 4>>, tensor<?x4xf32, #nn.shape<N, 4>>
  }
}
"""  # noqa: E501 # types are long
ONE = """
builtin.module {
  func.func @main(%x: tensor<8xf32> {nn.name = "out"}) -> (tensor<8xf32> {nn.name = "y"}) {
    %0 = nn.neg %x : (tensor<8xf32>) -> tensor<8xf32>
    func.return %0 : tensor<8xf32>
  }
}
"""  # noqa: E501 # types are long

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def exe() -> nnc.CompiledModel:
    exe = nnc.compile(nnc.Module.parse(TEXT))
    assert isinstance(exe, nnc.CompiledModel)
    return exe


@pytest.fixture(scope="module")
def one() -> nnc.CompiledModel:
    exe = nnc.compile(nnc.Module.parse(ONE))
    assert isinstance(exe, nnc.CompiledModel)
    return exe


def x_of(rows: int) -> Floats:
    """An input of that many rows."""
    values: Floats = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4) - 5
    return values


def empty(rows: int) -> Floats:
    """An array for an output."""
    return np.full((rows, 4), 99, np.float32)


def check(result: Any, x: Floats) -> None:
    """Compare both outputs."""
    np.testing.assert_array_equal(result[0], np.maximum(x, 0))
    np.testing.assert_array_equal(result[1], -x)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_sequence_in_order(exe: nnc.CompiledModel, rows: int):
    x, a, b = x_of(rows), empty(rows), empty(rows)
    result = exe(x, out=(a, b))
    assert result[0] is a
    assert result[1] is b
    check((a, b), x)


def test_mapping_by_name_may_leave_some_out(exe: nnc.CompiledModel):
    x, b = x_of(3), empty(3)
    result = exe(x, out={"negative": b})
    assert result.negative is b
    check(result, x)
    result = exe(x=x, out=[None, b])
    assert result.negative is b
    check(result, x)


def test_run_takes_it_too(exe: nnc.CompiledModel):
    x, a, b = x_of(3), empty(3), empty(3)
    found = exe.run(None, {"x": x}, out=[a, b])
    assert found[0] is a
    check(found, x)
    (negative,) = exe.run(["negative"], {"x": x}, out={"negative": b})
    assert negative is b


def test_array_for_the_only_output_and_input_of_that_name(one: nnc.CompiledModel):
    x, y = np.arange(8, dtype=np.float32), np.empty(8, np.float32)
    # The model's input is called `out`: as a keyword it is meant.
    np.testing.assert_array_equal(one(out=x), -x)
    (found,) = one.run(None, {"out": x}, out=y)
    assert found is y
    np.testing.assert_array_equal(y, -x)


def test_other_arrays_in_every_run(exe: nnc.CompiledModel):
    for rows in (2, 3, 2, 2, 3):
        x, a, b = x_of(rows), empty(rows), empty(rows)
        exe(x, out=(a, b))
        check((a, b), x)
        check(exe(x), x)


def test_parts_of_one_array_side_by_side(exe: nnc.CompiledModel):
    memory = np.full((9, 4), 99, np.float32)
    memory[:3] = x_of(3)
    exe(memory[:3], out=(memory[3:6], memory[6:]))
    check((memory[3:6], memory[6:]), x_of(3))


def _read_only() -> Floats:
    array = empty(3)
    array.flags.writeable = False
    return array


def _misaligned() -> Floats:
    return np.zeros(49, np.uint8)[1:].view(np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: 5, "out: expected an array, a sequence or a mapping of arrays, got"),
        (lambda x: "ab", "out: expected an array, a sequence or a mapping"),
        (lambda x: [empty(3)], "out: the model has 2 outputs, got 1 arrays"),
        (lambda x: empty(3), "out: the model has 2 outputs, got 1 arrays"),
        (lambda x: {"y": empty(3)}, "no output 'y'; it has: positive, negative"),
        (lambda x: [5, None], "output 'positive': expected an array, got int"),
        (
            lambda x: [None, empty(3).astype(np.float64)],
            "output 'negative': expected dtype float32, got float64",
        ),
        (
            lambda x: [None, empty(4)],
            r"output 'negative': expected shape \[3, 4\], got \[4, 4\]",
        ),
        (lambda x: [_read_only(), None], "must be writeable, aligned and contiguous"),
        (lambda x: [_misaligned(), None], "must be writeable, aligned and contiguous"),
        (
            lambda x: [np.empty((4, 3), np.float32).T, None],
            "must be writeable, aligned and contiguous",
        ),
        (
            lambda x: [x, None],
            "output 'positive': the array given for it shares memory with 'x'",
        ),
        (
            lambda x: [empty(3)] * 2,
            "output 'positive': the array given for it shares memory with 'negative'",
        ),
    ],
)
def test_what_will_not_do_is_refused(exe: nnc.CompiledModel, make: Any, message: str):
    x = x_of(3)
    before = x.copy()
    with pytest.raises(InputError, match=message):
        exe(x, out=make(x))
    np.testing.assert_array_equal(x, before)
    check(exe(x), x)


def test_overlap_of_a_few_elements_is_refused(exe: nnc.CompiledModel):
    memory = np.zeros((9, 4), np.float32)
    with pytest.raises(InputError, match="shares memory with 'x'"):
        exe(memory[:3], out=(memory[2:5], memory[6:]))
