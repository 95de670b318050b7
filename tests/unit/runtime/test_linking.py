"""The linker for our own object code: what it places, and what it leaves to LLVM's."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnc.backend.host import host_arch, host_system, host_target
from nnc.backend.jit import emit_object, load_object
from nnc.runtime.linking import LinkedObject, Unlinkable
from nnc.target import Target

pytestmark = pytest.mark.skipif(
    (host_arch(), host_system()) != ("x86_64", "linux"),
    reason="LLVM's linker serves all other systems",
)

TEXT = """
@table = internal constant [4 x i64] [i64 3, i64 5, i64 7, i64 11], align 64
@count = internal global i64 40
@scratch = internal global [300 x i64] zeroinitializer, align 64
@where = global ptr @table

declare double @exp(double)

define internal i64 @more(i64 %x) noinline {
  %p = getelementptr [4 x i64], ptr @table, i64 0, i64 %x
  %v = load i64, ptr %p
  ret i64 %v
}

define i64 @add_table(i64 %x) {
  %a = call i64 @more(i64 %x)
  %q = load ptr, ptr @where
  %b = load i64, ptr %q
  %c = add i64 %a, %b
  ret i64 %c
}

define i64 @next() {
  %a = load i64, ptr @count
  %b = add i64 %a, 1
  store i64 %b, ptr @count
  %p = getelementptr [300 x i64], ptr @scratch, i64 0, i64 %b
  %old = load i64, ptr %p
  store i64 1, ptr %p
  %c = add i64 %b, %old
  ret i64 %c
}

define ptr @function() {
  ret ptr @exp
}

define <8 x float> @constant() {
  ret <8 x float> <float 1.0, float 2.0, float 3.0, float 4.0,
                   float 5.0, float 6.0, float 7.0, float 8.0>
}

define double @e(double %x) {
  %y = call double @exp(double %x)
  %z = fadd double %y, 0x3FE3333333333333
  ret double %z
}
"""


def native() -> Target:
    return host_target()


@pytest.fixture(scope="module")
def code() -> bytes:
    return emit_object(f'target triple = "{native().triple}"\n{TEXT}', native())


def test_code_constants_and_data_are_placed(code: bytes) -> None:
    linked = LinkedObject(code)
    integer = ctypes.c_int64
    add = ctypes.CFUNCTYPE(integer, integer)(linked.address("add_table"))
    assert [add(i) for i in range(4)] == [6, 8, 10, 14]
    following = ctypes.CFUNCTYPE(integer)(linked.address("next"))
    assert [following() for _ in range(3)] == [41, 42, 43]
    linked.close()


def test_functions_of_the_c_library_are_found(code: bytes) -> None:
    linked = LinkedObject(code)
    real = ctypes.c_double
    assert ctypes.CFUNCTYPE(real, real)(linked.address("e"))(0.0) == 1.6
    exp = ctypes.CFUNCTYPE(ctypes.c_void_p)(linked.address("function"))()
    assert ctypes.CFUNCTYPE(real, real)(exp)(0.0) == 1.0
    linked.close()


def test_each_has_data_of_its_own(code: bytes) -> None:
    one, other = LinkedObject(code), LinkedObject(code)
    call = ctypes.CFUNCTYPE(ctypes.c_int64)
    assert call(one.address("next"))() == 41
    assert call(other.address("next"))() == 41
    one.close()
    assert call(other.address("next"))() == 42
    other.close()


def test_a_forked_child_has_data_of_its_own(code: bytes) -> None:
    linked = LinkedObject(code)
    following = ctypes.CFUNCTYPE(ctypes.c_int64)(linked.address("next"))
    child = os.fork()
    if child == 0:
        os._exit(0 if (following(), following()) == (41, 42) else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert following() == 41
    linked.close()


def test_no_memory_can_be_written_and_executed(code: bytes) -> None:
    linked = LinkedObject(code)
    address = linked.address("e")
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, access, *_ = line.split()
        start, end = (int(number, 16) for number in place.split("-"))
        if start <= address < end:
            assert access.startswith("r-x")
            break
    else:
        pytest.fail("the code is not mapped")
    linked.close()


def test_only_its_own_functions_have_addresses(code: bytes) -> None:
    linked = LinkedObject(code)
    for name in ("absent", "exp", "more"):
        with pytest.raises(KeyError):
            linked.address(name)
    linked.close()


@pytest.mark.parametrize(
    "text",
    [
        "@t = thread_local global i64 1\ndefine ptr @f() { ret ptr @t }",
        "declare void @nnc_no_such_function()\n"
        "define void @f() { call void @nnc_no_such_function()\nret void }",
        "@c = common global i64 0\ndefine ptr @f() { ret ptr @c }",
    ],
    ids=["thread local", "missing function", "common"],
)
def test_what_takes_another_linker_is_refused(text: str) -> None:
    code = emit_object(f'target triple = "{native().triple}"\n{text}', native())
    with pytest.raises(Unlinkable):
        LinkedObject(code)


def test_other_formats_and_damage_are_refused(code: bytes) -> None:
    arm = Target.named("neon", arch="aarch64")
    other = emit_object(
        f'target triple = "{arm.triple}"\ndefine void @f() {{ ret void }}', arm
    )
    for data in (b"", b"not an object file", code[:70], code[: len(code) // 2], other):
        with pytest.raises(Unlinkable):
            LinkedObject(data)


def test_what_is_refused_here_llvm_links() -> None:
    text = (
        "@c = common global i64 0\n"
        "define i64 @f() {\n%x = load i64, ptr @c\nret i64 %x\n}"
    )
    code = emit_object(f'target triple = "{native().triple}"\n{text}', native())
    with load_object(code) as loaded:
        assert ctypes.CFUNCTYPE(ctypes.c_int64)(loaded.address("f"))() == 0


RUN = """
import sys, numpy as np, nnc
exe = nnc.compile(sys.argv[1], num_threads=2)
(y,) = exe.run(None, {"x": np.arange(12, dtype=np.float32).reshape(3, 4) - 6})
assert y.tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [2, 3, 4, 5]], y
print("llvmlite" in sys.modules)
"""


def test_a_model_from_the_cache_runs_without_llvm(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    path = tmp_path / "relu.onnx"
    onnx.save(model, path)
    environment = {
        **os.environ,
        "NNC_CACHE_DIR": str(tmp_path / "cache"),
        "NNC_CACHE": "",
    }

    def run() -> str:
        made = subprocess.run(
            [sys.executable, "-c", RUN, str(path)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    assert [run(), run()] == ["True", "False"]
