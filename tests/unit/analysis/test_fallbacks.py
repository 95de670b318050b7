"""Slow ways that a compilation reports."""

from __future__ import annotations

import pytest

import nnc
from nnc.analysis.fallbacks import find_fallbacks
from nnc.build import plan_of
from nnc.runtime.info import FallbackInfo


def fallbacks_of(op: str, element: str, operands: str = "%x") -> list[FallbackInfo]:
    """Those of a function of one op on square matrices."""
    type = f"tensor<4x4x{element}>"
    types = ", ".join([type] * len(operands.split(",")))
    text = f"""
      func.func @main(%x: {type}, %y: {type}) -> ({type}) {{
        %0 = nn.{op} {operands} {{loc_name = "node"}} : ({types}) -> {type}
        func.return %0 : {type}
      }}"""
    module = nnc.Module.parse(text).apply("nnc-default{target=generic}")
    return list(find_fallbacks(module.ir, plan_of(module.ir)))


@pytest.mark.parametrize("element", ["i32", "i64"])
def test_matmul_of_integers_is_reported(element: str) -> None:
    (found,) = fallbacks_of("matmul", element, "%x, %y")
    assert found.source == "node"
    assert found.reason.startswith("contraction generic: the general loop nest")


def test_function_of_the_c_library_is_reported() -> None:
    (found,) = fallbacks_of("tan", "f32")
    assert found == FallbackInfo("node", "tan of the C library, one element at a time")


@pytest.mark.parametrize(("op", "operands"), [("matmul", "%x, %y"), ("exp", "%x")])
def test_fast_ways_are_not_reported(op: str, operands: str) -> None:
    assert fallbacks_of(op, "f32", operands) == []
