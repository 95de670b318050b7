"""LLVM text of each form of op, read back by LLVM itself."""

from __future__ import annotations

import math

import llvmlite.binding as binding
import pytest
from xdsl.context import Context
from xdsl.dialects import arith, func, llvm, scf
from xdsl.dialects.builtin import (
    Builtin,
    Float16Type,
    FloatAttr,
    IntegerAttr,
    ModuleOp,
    VectorType,
    f32,
    f64,
    i1,
    i8,
    i64,
)
from xdsl.ir import Attribute
from xdsl.parser import Parser

from nnc.backend.emit_llvm import constant_text, emit_llvm, type_text
from nnc.dialects.llvmx import LLVMX
from nnc.errors import InternalError
from nnc.target import Target

TARGET = Target.named("avx2")


def module(text: str) -> ModuleOp:
    context = Context()
    for dialect in (Builtin, func.Func, arith.Arith, scf.Scf, llvm.LLVM, LLVMX):
        context.load_dialect(dialect)
    parsed = Parser(context, text).parse_module()
    parsed.verify()
    return parsed


def emit(body: str, args: str = "") -> str:
    """The instructions of one block, checked by LLVM."""
    text = emit_llvm(
        module(f"llvm.func @f({args}) {{\n{body}\nllvm.return\n}}"), TARGET
    )
    with binding.parse_assembly(text) as parsed:
        parsed.verify()
    start = text.index("b0:\n") + 4
    return text[start : text.index("\n  ret void")].strip()


@pytest.mark.parametrize(
    ("type", "text"),
    [
        (i1, "i1"),
        (f32, "float"),
        (Float16Type(), "half"),
        (VectorType(i8, (4,)), "<4 x i8>"),
        (llvm.LLVMPointerType(), "ptr"),
        (llvm.LLVMArrayType(3, f64), "[3 x double]"),
        (llvm.LLVMStructType.from_type_list([i64, i1]), "{ i64, i1 }"),
    ],
    ids=str,
)
def test_types(type: Attribute, text: str) -> None:
    assert type_text(type) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (FloatAttr(1.0, f32), "0x3FF0000000000000"),
        (FloatAttr(0.1, f32), "0x3FB99999A0000000"),
        (FloatAttr(0.1, f64), "0x3FB999999999999A"),
        (FloatAttr(-0.0, f32), "0x8000000000000000"),
        (FloatAttr(math.inf, f32), "0x7FF0000000000000"),
        (FloatAttr(1.5, Float16Type()), "0xH3E00"),
        (IntegerAttr(-3, i8), "-3"),
        (IntegerAttr(1, i1), "true"),
    ],
    ids=str,
)
def test_constants(value: FloatAttr | IntegerAttr, text: str) -> None:
    assert constant_text(value, value.type) == text


def test_nan_constant_is_a_nan() -> None:
    assert constant_text(FloatAttr(math.nan, f32), f32).startswith("0x7FF8")


ONE_LINERS = [
    ("%r = llvm.add %a, %a overflow<nsw> : i64", "%a: i64", "add nsw i64 %v0, %v0"),
    ("%r = llvm.fadd %a, %a : f32", "%a: f32", "fadd float %v0, %v0"),
    ('%r = llvm.icmp "ult" %a, %a : i64', "%a: i64", "icmp ult i64 %v0, %v0"),
    (
        '%r = llvmx.fcmp "olt" %a, %a : vector<4xf32> -> vector<4xi1>',
        "%a: vector<4xf32>",
        "fcmp olt <4 x float> %v0, %v0",
    ),
    (
        "%r = llvmx.select %m, %a, %a : vector<4xi1>, vector<4xf32>",
        "%m: vector<4xi1>, %a: vector<4xf32>",
        "select <4 x i1> %v0, <4 x float> %v1, <4 x float> %v1",
    ),
    (
        "%r = llvm.getelementptr inbounds %p[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32",
        "%p: !llvm.ptr, %i: i64",
        "getelementptr inbounds float, ptr %v0, i64 %v1",
    ),
    (
        "%r = llvm.getelementptr %p[3] : (!llvm.ptr) -> !llvm.ptr, i8",
        "%p: !llvm.ptr",
        "getelementptr i8, ptr %v0, i32 3",
    ),
    (
        "%r = llvm.load %p {alignment = 4 : i64} : !llvm.ptr -> vector<8xf32>",
        "%p: !llvm.ptr",
        "load <8 x float>, ptr %v0, align 4",
    ),
    (
        "%r = llvm.load %p atomic acquire {alignment = 8 : i64} : !llvm.ptr -> i64",
        "%p: !llvm.ptr",
        "load atomic i64, ptr %v0 acquire, align 8",
    ),
    (
        "%r = llvmx.extractelement %v[2] : vector<4xf32> -> f32",
        "%v: vector<4xf32>",
        "extractelement <4 x float> %v0, i64 2",
    ),
    (
        "%r = llvmx.uitofp %a : i64 to f32",
        "%a: i64",
        "uitofp i64 %v0 to float",
    ),
    (
        "%r = llvm.shufflevector %v, %v [3, 1] : vector<4xf32>",
        "%v: vector<4xf32>",
        "shufflevector <4 x float> %v0, <4 x float> %v0, <2 x i32> <i32 3, i32 1>",
    ),
    (
        '%r = llvm.call_intrinsic "llvm.fabs.v4f32"(%v) '
        ": (vector<4xf32>) -> vector<4xf32>",
        "%v: vector<4xf32>",
        "call <4 x float> @llvm.fabs.v4f32(<4 x float> %v0)",
    ),
]


@pytest.mark.parametrize(("op", "args", "text"), ONE_LINERS)
def test_op_with_a_result_is_one_line(op: str, args: str, text: str) -> None:
    emitted = emit(op, args)
    assert emitted.partition(" = ")[2] == text


def test_constants_are_written_where_they_are_used() -> None:
    emitted = emit(
        "%c = llvm.mlir.constant(dense<2.0> : vector<4xf32>) : vector<4xf32>\n"
        "%i = llvm.mlir.constant(dense<[0, 1]> : vector<2xi64>) : vector<2xi64>\n"
        "%r = llvm.fmul %v, %c : vector<4xf32>\n"
        "%s = llvm.add %i, %i : vector<2xi64>",
        "%v: vector<4xf32>",
    )
    assert "splat (float 0x4000000000000000)" in emitted
    assert "<i64 0, i64 1>" in emitted
    assert emitted.count("\n") == 1


def test_gather_and_scatter_compute_lane_addresses_first() -> None:
    emitted = emit(
        "%r = llvmx.masked_gather %p[%i], %m, %v : vector<4xi64>, vector<4xi1>, "
        "vector<4xf32> -> vector<4xf32>\n"
        "llvmx.masked_scatter %r, %p[%i], %m : vector<4xf32>, vector<4xi64>, "
        "vector<4xi1>",
        "%p: !llvm.ptr, %i: vector<4xi64>, %m: vector<4xi1>, %v: vector<4xf32>",
    )
    lines = emitted.splitlines()
    assert "getelementptr inbounds float, ptr %v0, <4 x i64> %v1" in lines[0]
    assert "@llvm.masked.gather.v4f32.v4p0(<4 x ptr>" in lines[1]
    assert "call void @llvm.masked.scatter.v4f32.v4p0(<4 x float>" in lines[3]


def test_compare_exchange_yields_whether_it_stored() -> None:
    emitted = emit("%r = llvmx.cmpxchg %p, %a, %a : i64", "%p: !llvm.ptr, %a: i64")
    first, second = emitted.splitlines()
    assert "cmpxchg ptr %v0, i64 %v1, i64 %v1 monotonic monotonic" in first
    assert "extractvalue { i64, i1 }" in second


LOOP = """
llvm.func @loop(%n: i64) {
  %zero = llvm.mlir.constant(0) : i64
  llvm.br ^bb1(%zero : i64)
^bb1(%i: i64):
  %one = llvm.mlir.constant(1) : i64
  %next = llvm.add %i, %one : i64
  %again = llvm.icmp "slt" %next, %n : i64
  llvm.cond_br %again, ^bb1(%next : i64), ^bb2
^bb2:
  llvm.return
}
"""


def test_block_arguments_become_phis() -> None:
    text = emit_llvm(module(LOOP), TARGET)
    assert "= phi i64 [ 0, %b0 ], [ %v4, %b1 ]" in text
    binding.parse_assembly(text).verify()


def test_equal_modules_give_equal_text_with_the_triple() -> None:
    first, second = (emit_llvm(module(LOOP), TARGET) for _ in range(2))
    assert first == second
    assert first.startswith('target triple = "x86_64-unknown-linux-gnu"\n')


def test_intrinsics_are_declared_once() -> None:
    call = '%{} = llvm.call_intrinsic "llvm.fabs.f32"(%a) : (f32) -> f32'
    text = emit_llvm(
        module(
            "llvm.func @f(%a: f32) {\n"
            + "\n".join(call.format(f"r{i}") for i in range(3))
            + "\nllvm.return\n}\nllvm.func @expf(f32) -> f32"
        ),
        TARGET,
    )
    assert text.count("declare float @llvm.fabs.f32(float)") == 1
    assert "declare float @expf(float)" in text


def test_functions_of_other_levels_are_skipped() -> None:
    text = emit_llvm(module("func.func @host() {\nfunc.return\n}" + LOOP), TARGET)
    assert "@host" not in text


def test_op_without_text_is_an_internal_error() -> None:
    with pytest.raises(InternalError, match="llvm.intr.sqrt"):
        emit("%r = llvm.intr.sqrt(%a) : (f32) -> f32", "%a: f32")
