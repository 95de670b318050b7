"""
The executor on a hand-made plan: a ctypes callback stands in for the machine code.

`y = x + w` in two launches, `t = x` and `y = t + w`; the callback reads the slot table
as kernels do.
"""

import _thread
import ctypes
import gc
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnc.errors import (
    Cancelled,
    CompileError,
    DivisionByZero,
    IndexOutOfRange,
    InputError,
    OutOfMemory,
    RunError,
)
from nnc.runtime import executor
from nnc.runtime.artifact import (
    Allocation,
    Constraint,
    Kernel,
    Launch,
    Plan,
    SizeCheck,
    Slot,
    SymbolSource,
    Tensor,
    Weight,
)
from nnc.runtime.executor import CompiledModel, kernel_infos
from nnc.runtime.info import Info
from nnc.runtime.limits import Level, Limits
from nnc.runtime.state import ErrorCode, StateWord

W = np.array([10, 20, 30], np.float32)

#       0    1    2       3    4      5        6
EXPRS = ("N", "3", "12*N", "0", "3*N", "N - 1", "1000*N")

PLAN = Plan(
    exprs=EXPRS,
    inputs=(Tensor("x", "float32", ("N", "3"), (0, 1)),),
    outputs=(Tensor("y", "float32", ("N", "3"), (0, 1)),),
    symbols=(SymbolSource("N", 0, 0),),
    constraints=(),
    sizes=(SizeCheck(5, "conv1"),),
    allocations=(Allocation(2, 0, 1, None),),
    weights=(Weight("w", "float32", (3,), 12),),
    launches=(
        Launch(
            "copy",
            0,
            3,
            (Slot("state", 0, 3), Slot("input", 0, 3), Slot("arena", 0, 3)),
            "pointwise",
            "first",
        ),
        Launch(
            "add",
            0,
            6,
            (
                Slot("state", 0, 3),
                Slot("arena", 0, 3),
                Slot("weight", 0, 3),
                Slot("output", 0, 3),
                Slot("value", 0, 4),
            ),
            "pointwise",
            "second",
        ),
    ),
    kernels=(Kernel("copy", ()), Kernel("add", ("add",))),
)


def floats(address: int, count: int) -> NDArray[np.float32]:
    """The floats at an address."""
    if count == 0:
        return np.empty(0, np.float32)
    return np.ctypeslib.as_array(
        ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (count,)
    )


def words(address: int, count: int) -> NDArray[np.int64]:
    """The words at an address."""
    return np.ctypeslib.as_array(
        ctypes.cast(address, ctypes.POINTER(ctypes.c_int64)), (count,)
    )


def run_add(state: int, table: int) -> None:
    """What native code would do."""
    slots = [int(w) for w in words(table, 12)]
    rows, _, state_slot, x, t = slots[:5]
    rows_again, _, _, t_again, w, y, count = slots[5:]
    assert (rows, state_slot, t) == (rows_again, state, t_again)
    assert count == rows * 3
    assert t % 64 == 0
    floats(t, count)[:] = floats(x, count)
    values = floats(t, count).reshape(rows, 3) + floats(w, 3)
    floats(y, count)[:] = values.reshape(-1)


@dataclass
class FakeCode:
    """Code whose function is a Python one."""

    function: Callable[[int, int], None] = run_add
    closed: bool = False
    pointer: Any = field(init=False)

    def __post_init__(self) -> None:
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
        self.pointer = kind(self.function)

    def address(self, symbol: str) -> int:
        """Where the callback is."""
        assert symbol == "nnc_run"
        address = ctypes.cast(self.pointer, ctypes.c_void_p).value
        assert address is not None
        return address

    def parallel(self, threads: int) -> int:
        """No threads."""
        return 0

    def close(self) -> None:
        """Remember that."""
        self.closed = True

    def limits(self, target: str, threads: int) -> Limits:
        """Round numbers."""
        return Limits(1e9, (Level(1, 1e9, 1e9),), threads)


def model(
    code: FakeCode | None = None, plan: Plan = PLAN, weights: Any = None
) -> CompiledModel:
    """A compiled model around fake code."""
    info = Info(target="test", kernels=kernel_infos(plan))
    return CompiledModel(plan, weights or {"w": W}, code or FakeCode(), info)


def x_of(rows: int) -> NDArray[np.float32]:
    """An input of that many rows."""
    return np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)


# ---- results


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_call_by_position_and_name_gives_result(rows: int):
    exe, x = model(), x_of(rows)
    np.testing.assert_array_equal(exe(x), x + W)
    np.testing.assert_array_equal(exe(x=x), x + W)


def test_run_gives_list_of_named_outputs():
    exe, x = model(), x_of(2)
    for names in (None, ["y"], ["y", "y"]):
        results = exe.run(names, {"x": x})
        assert len(results) == len(names or ["y"])
        np.testing.assert_array_equal(results[-1], x + W)


def test_outputs_are_fresh_each_run():
    exe = model()
    first = exe(x_of(2))
    exe(x_of(2) + 1)
    np.testing.assert_array_equal(first, x_of(2) + W)


def test_several_outputs_are_a_named_tuple_in_order():
    outputs = tuple(replace(PLAN.outputs[0], name=n) for n in ("b:0", "a", "a"))
    plan = replace(PLAN, outputs=outputs, launches=PLAN.launches)
    exe = model(plan=plan)
    result = exe(x_of(1))
    assert result._fields == ("b_0", "a", "_2")
    np.testing.assert_array_equal(result.b_0, x_of(1) + W)


def test_specs_show_names_dtypes_and_symbols():
    exe = model()
    (x,) = exe.inputs
    assert (x.name, x.dtype, x.shape) == ("x", np.float32, ("N", 3))
    assert str(exe.outputs[0]) == "y: float32[N, 3]"


# ---- what inputs may be


class HasArray:
    """An object with `__array__` only."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return self.array


def every_second(array: NDArray[Any]) -> NDArray[Any]:
    """A view with gaps."""
    return np.repeat(array, 2, axis=0)[::2]


class HasDlpack:
    """An object with `__dlpack__` only."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


@pytest.mark.parametrize(
    "make",
    [
        HasArray,
        HasDlpack,
        np.asfortranarray,
        every_second,
        np.ndarray.tolist,
    ],
    ids=["array", "dlpack", "fortran", "strided", "lists"],
)
def test_input_of_many_kinds_is_read(make: Callable[[Any], object]):
    np.testing.assert_array_equal(model()(make(x_of(4))), x_of(4) + W)


def test_unaligned_input_is_copied():
    raw = np.zeros(4 * 3 * 4 + 1, np.uint8)
    x = raw[1:].view(np.float32).reshape(4, 3)
    x[:] = x_of(4)
    assert not x.flags.aligned
    np.testing.assert_array_equal(model()(x), x_of(4) + W)


def test_contiguous_input_is_not_copied():
    seen: list[int] = []

    def spy(state: int, table: int) -> None:
        seen.append(int(words(table, 4)[3]))
        run_add(state, table)

    x = x_of(3)
    model(FakeCode(spy))(x)
    assert seen == [x.ctypes.data]


# ---- refused before any native code


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        ((), {}, "input 'x' missing"),
        ((x_of(1), x_of(1)), {}, r"the model has 1 input \(x\), got 2"),
        ((x_of(1),), {"x": x_of(1)}, "input 'x' is given twice"),
        ((), {"z": x_of(1)}, "the model has no input 'z'; it has: x"),
        ((x_of(1).astype(np.float64),), {}, "expected dtype float32, got float64"),
        ((x_of(1).astype(">f4"),), {}, "expected dtype float32, got >f4"),
        ((x_of(1)[0],), {}, r"expected 2 axes \(\[N, 3\]\), got 1 \(\[3\]\)"),
        ((np.zeros((2, 4), np.float32),), {}, "axis 1 has size 4, the model expects 3"),
        (([[1, 2, 3]],), {}, "expected float32, got Python values of dtype int64"),
        (([[1.0], [1.0, 2.0]],), {}, "input 'x': .*inhomogeneous"),
        (("abc",), {}, "expected an array, got str"),
        ((None,), {}, "expected an array, got NoneType"),
        ((np.zeros((0, 3), np.float32),), {}, "node 'conv1' has a size of -1"),
    ],
    ids=lambda v: None if not isinstance(v, str) else v[:24],
)
def test_wrong_input_is_refused(arguments: Any, named: Any, message: str):
    def never(state: int, table: int) -> None:
        raise AssertionError("native code ran")

    with pytest.raises(InputError, match=message):
        model(FakeCode(never))(*arguments, **named)


def test_unknown_output_is_refused():
    with pytest.raises(InputError, match="no output 'z'; it has: y"):
        model().run(["z"], {"x": x_of(1)})


def test_equal_symbols_must_have_equal_sizes():
    inputs = (PLAN.inputs[0], Tensor("z", "float32", ("2*N",), (4,)))
    exe = model(plan=replace(PLAN, inputs=inputs))
    exe(x_of(2), np.zeros(4, np.float32))
    message = r"input 'z': axis 0 has size 5, but 2\*N is 4: N = 2 \(axis 0 of 'x'\)"
    with pytest.raises(InputError, match=message):
        exe(x_of(2), np.zeros(5, np.float32))


def test_constraint_names_the_node():
    plan = replace(PLAN, constraints=(Constraint(0, 1, "reshape_7"),))
    exe = model(plan=plan)
    exe(x_of(3))
    with pytest.raises(InputError, match="N = 2: node 'reshape_7' needs N = 3, but"):
        exe(x_of(2))


def test_integer_lists_must_fit_the_dtype():
    plan = replace(PLAN, inputs=(replace(PLAN.inputs[0], dtype="uint8"),))
    with pytest.raises(InputError, match="a value does not fit into uint8"):
        model(plan=plan)([[1, 2, 300]])


# ---- memory


def test_shape_is_planned_once_and_counted():
    exe = model()
    for rows in (2, 3, 2, 3, 2):
        exe(x_of(rows))
    assert exe.info.shapes_planned == 2
    # 3 rows of 12 bytes, rounded up to a cache line.
    assert exe.info.arena_bytes == exe.info.arena_bound_bytes == 64


def test_many_shapes_are_forgotten_but_work():
    exe = model()
    for rows in [*range(1, 100), 1, 2]:
        np.testing.assert_array_equal(exe(x_of(rows)), x_of(rows) + W)
    assert exe.info.shapes_planned == 101


def test_offsets_of_the_plan_are_used():
    plan = replace(PLAN, allocations=(replace(PLAN.allocations[0], offset=128),))
    seen: list[int] = []

    def spy(state: int, table: int) -> None:
        seen.append(int(words(table, 5)[4]))
        run_add(state, table)

    exe = model(FakeCode(spy), plan)
    exe(x_of(2))
    assert exe.info.arena_bytes == 192
    assert seen[0] % 64 == 0


def test_arena_that_cannot_be_had_is_out_of_memory():
    exprs = (*EXPRS, f"{1 << 61}")
    plan = replace(PLAN, exprs=exprs, allocations=(Allocation(7, 0, 1, None),))
    with pytest.raises(OutOfMemory, match="cannot allocate an arena"):
        model(plan=plan)(x_of(1))


def test_output_that_cannot_be_had_is_out_of_memory():
    exprs = (*EXPRS, f"{1 << 61}")
    outputs = (Tensor("y", "float32", (exprs[-1],), (7,)),)
    with pytest.raises(OutOfMemory, match="cannot allocate the outputs"):
        model(plan=replace(PLAN, exprs=exprs, outputs=outputs))(x_of(1))


# ---- errors during a run


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (
            ErrorCode.INDEX_OUT_OF_RANGE,
            IndexOutOfRange,
            r"an index .*\(node 'second'\)",
        ),
        (ErrorCode.DIVISION_BY_ZERO, DivisionByZero, r"divided by zero .*'second'"),
        (99, RunError, "error 99"),
    ],
)
def test_error_word_becomes_exception(code: int, kind: type[RunError], message: str):
    def fail(state: int, table: int) -> None:
        words(state, 8)[[StateWord.ERROR, StateWord.LAUNCH]] = (code, 1)

    exe = model(FakeCode(fail))
    with pytest.raises(kind, match=message):
        exe(x_of(1))


def test_run_after_error_starts_clean():
    fail = [True]

    def sometimes(state: int, table: int) -> None:
        assert not words(state, 8).any()
        if fail.pop() if fail else False:
            words(state, 8)[StateWord.ERROR] = 1
        else:
            run_add(state, table)

    exe = model(FakeCode(sometimes))
    with pytest.raises(IndexOutOfRange):
        exe(x_of(1))
    np.testing.assert_array_equal(exe(x_of(1)), x_of(1) + W)


def test_cancel_word_becomes_exception():
    def cancel(state: int, table: int) -> None:
        words(state, 8)[StateWord.CANCEL] = 1

    with pytest.raises(Cancelled):
        model(FakeCode(cancel))(x_of(1))


def test_interrupt_stops_a_long_run():
    seen: list[bool] = []

    def wait_for_cancel(state: int, table: int) -> None:
        flag = words(state, 8)
        deadline = time.monotonic() + 20
        while not flag[StateWord.CANCEL] and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append(bool(flag[StateWord.CANCEL]))

    exe = model(FakeCode(wait_for_cancel))
    exe._last_seconds = 10.0
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        exe(x_of(1))
    timer.join()
    assert seen == [True]
    exe.close()


# ---- weights


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"v": W}, "weight 'w' is missing"),
        ({"w": W[:2]}, r"should be float32\[3\], got float32\[2\]"),
        ({"w": W.astype(np.int32)}, r"should be float32\[3\], got int32\[3\]"),
    ],
)
def test_weight_that_does_not_fit_is_refused(weights: Any, message: str):
    with pytest.raises(CompileError, match=message):
        model(weights=weights)


# ---- ending and threads


def test_close_frees_code_and_refuses_runs():
    code = FakeCode()
    with model(code) as exe:
        exe(x_of(1))
    assert code.closed
    exe.close()
    with pytest.raises(RunError, match="closed"):
        exe(x_of(1))


def test_run_that_gets_no_memory_does_not_count_as_going_on(
    monkeypatch: pytest.MonkeyPatch,
):
    def fail(*_: object) -> None:
        raise MemoryError

    exe = model()
    held = exe._borrow()
    with monkeypatch.context() as patch:
        patch.setattr(executor, "RunContext", fail)
        with pytest.raises(MemoryError):
            exe(x_of(1))
    exe._contexts.append(held)
    exe.close()


def test_dropped_model_frees_its_code():
    code = FakeCode()
    exe = model(code)
    exe(x_of(1))
    gone = weakref.ref(exe)
    del exe
    gc.collect()
    assert gone() is None
    assert code.closed


def test_close_during_a_run_is_refused():
    entered, leave = threading.Event(), threading.Event()

    def wait(state: int, table: int) -> None:
        entered.set()
        leave.wait(10)

    exe = model(FakeCode(wait))
    thread = threading.Thread(target=exe, args=(x_of(1),))
    thread.start()
    assert entered.wait(10)
    with pytest.raises(RunError, match="while it runs"):
        exe.close()
    leave.set()
    thread.join()
    exe.close()


def test_eight_threads_get_their_own_results():
    exe = model()
    wrong: list[int] = []

    def work(number: int) -> None:
        for i in range(200):
            x = x_of(1 + (number + i) % 5) + number
            if not np.array_equal(exe(x), x + W):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
