"""The target that a module remembers."""

from __future__ import annotations

import pytest
from xdsl.dialects.builtin import ModuleOp, StringAttr

import nnc
from nnc.backend.emit_llvm import emit_llvm
from nnc.errors import TargetError
from nnc.target import Target
from nnc.target_record import TARGET, check_target, record_target

AVX2, AVX512 = Target.named("avx2"), Target.named("avx512")

PASSES = ("pack-weights", "lower-dispatches", "convert-simd-to-llvm")


def test_module_remembers_its_target() -> None:
    module = ModuleOp([])
    check_target(module, AVX2)
    record_target(module, Target.named("sse4.2+avx2-avx2"))
    record_target(module, Target.named("sse4.2+avx"))
    assert module.attributes[TARGET] == StringAttr("sse4.2+avx")


def test_other_target_is_refused_by_both_names() -> None:
    module = ModuleOp([])
    record_target(module, AVX512)
    with pytest.raises(TargetError, match=r"for target 'avx512', .* is not 'avx2'"):
        record_target(module, AVX2)
    with pytest.raises(TargetError, match=r"not 'generic' \(here: 'sse2'\)"):
        check_target(module, Target.named("generic"))


def test_code_generation_checks_the_target() -> None:
    module = ModuleOp([])
    record_target(module, AVX512)
    assert "target triple" in emit_llvm(module, AVX512)
    with pytest.raises(TargetError, match="lowered for target 'avx512'"):
        emit_llvm(module, AVX2)


@pytest.mark.parametrize("first", PASSES)
@pytest.mark.parametrize("second", PASSES)
def test_passes_that_look_at_the_target_agree_on_it(first: str, second: str) -> None:
    module = nnc.Module.parse("builtin.module {}").apply(f"{first}{{target=avx512}}")
    assert f'{TARGET} = "avx512"' in str(module)
    module = nnc.Module.parse(str(module)).apply(f"{second}{{target=avx512}}")
    with pytest.raises(TargetError, match="lowered for target 'avx512'"):
        module.apply(f"{second}{{target=avx2}}")
