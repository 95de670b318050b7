"""Code generation and loading: what is counted, owned, refused and freed."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import pytest

from nnc.backend import jit
from nnc.backend.host import resolve_target
from nnc.backend.jit import LoadedCode, emit_assembly, emit_object, load_object
from nnc.errors import InternalError
from nnc.target import Target

TEXT = """
declare double @exp(double)

define i64 @twice(i64 %x) {
  %y = add i64 %x, %x
  ret i64 %y
}

define double @e(double %x) {
  %y = call double @exp(double %x)
  ret double %y
}
"""


def text(target: Target) -> str:
    return f'target triple = "{target.triple}"\n{TEXT}'


@pytest.fixture(scope="module")
def code() -> bytes:
    target = resolve_target("native")
    return emit_object(text(target), target)


def twice(loaded: LoadedCode) -> int:
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    return function(loaded.address("twice"))(21)


def test_loaded_code_runs_and_finds_the_c_library(code: bytes) -> None:
    with load_object(code) as loaded:
        assert twice(loaded) == 42
        function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
        assert function(loaded.address("e"))(0.0) == 1.0
        assert loaded.address("e") == loaded.address("e")


def test_generating_code_is_counted_and_loading_is_not(code: bytes) -> None:
    before = jit.codegen_count()
    load_object(code).close()
    assert jit.codegen_count() == before
    target = resolve_target("generic")
    emit_object(text(target), target)
    assert jit.codegen_count() == before + 1


def test_equal_text_gives_equal_objects() -> None:
    target = resolve_target("generic")
    assert emit_object(text(target), target) == emit_object(text(target), target)


def test_closing_twice_is_fine_and_counted_once(code: bytes) -> None:
    before = jit.live_engines()
    loaded = load_object(code)
    assert jit.live_engines() == before + 1
    assert not loaded.closed
    loaded.close()
    loaded.close()
    assert loaded.closed
    assert jit.live_engines() == before


def test_dropping_the_last_reference_frees_the_code(code: bytes) -> None:
    before = jit.live_engines()
    loaded = load_object(code)
    twice(loaded)
    del loaded
    gc.collect()
    assert jit.live_engines() == before


def test_closed_code_gives_no_addresses(code: bytes) -> None:
    loaded = load_object(code)
    loaded.close()
    with pytest.raises(InternalError, match="closed"):
        loaded.address("twice")


def test_unknown_symbol_is_an_error_and_keeps_the_rest_usable(code: bytes) -> None:
    with load_object(code) as loaded:
        with pytest.raises(InternalError, match="no function 'absent'"):
            loaded.address("absent")
        assert twice(loaded) == 42


def test_invalid_text_is_an_error() -> None:
    target = resolve_target("native")
    with pytest.raises(InternalError, match="LLVM rejects"):
        emit_object("define i32 @k() { ret i64 0 }", target)


def test_unverifiable_text_is_an_error() -> None:
    target = resolve_target("native")
    bad = (
        "define void @k() {\na:\n  br label %a\nb:\n  %x = add i64 %x, 1\n  ret void\n}"
    )
    with pytest.raises(InternalError, match="LLVM rejects"):
        emit_object(
            f"{bad}\ndefine void @k2() {{ call void @k(i32 1)\nret void }}", target
        )


def test_damaged_object_is_an_error(code: bytes) -> None:
    before = jit.live_engines()
    with pytest.raises(InternalError):
        load_object(b"not an object file")
    assert jit.live_engines() == before


@pytest.mark.parametrize("name", ["generic", "avx2", "avx512", "neon", "neon-dotprod"])
def test_every_target_generates_code(name: str) -> None:
    target = resolve_target(name)
    assert "twice" in emit_assembly(text(target), target)


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="reads Linux's procfs"
)
def test_loading_and_closing_leaves_memory_level(code: bytes) -> None:
    for _ in range(50):
        with load_object(code) as loaded:
            twice(loaded)
    before = resident_kib()
    for _ in range(200):
        with load_object(code) as loaded:
            twice(loaded)
    assert resident_kib() - before < 1024


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="reads Linux's procfs"
)
def test_generating_code_again_and_again_leaves_memory_level() -> None:
    target = resolve_target("native")
    for _ in range(30):
        emit_object(text(target), target)
    before = resident_kib()
    for _ in range(200):
        emit_object(text(target), target)
    assert resident_kib() - before < 2048
