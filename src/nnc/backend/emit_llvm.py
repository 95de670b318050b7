"""
The llvm dialect as LLVM IR text: one table from op class to printer.

xDSL can translate its llvm dialect to llvmlite's IR objects (`xdsl.backend.llvm`), and
those print themselves. That way covers scalars: vector intrinsics, vector compare and
select, unaligned vector accesses, bf16, gathers and float to integer conversions are
missing, and it takes four times as long, because each op becomes a second object with
a checked name before it becomes text. LLVM reads text in the end and the object cache
hashes text, so this writes text. Equal modules give equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeAlias

from xdsl.dialects import llvm
from xdsl.dialects.builtin import (
    BFloat16Type,
    DenseIntOrFPElementsAttr,
    Float16Type,
    Float32Type,
    Float64Type,
    FloatAttr,
    IntegerAttr,
    ModuleOp,
)
from xdsl.ir import Attribute, Block, Operation, SSAValue

from nnc.dialects import llvmx
from nnc.dialects.simd.types import bits_of, is_integer, is_vector
from nnc.errors import InternalError
from nnc.target import Arch, Target
from nnc.target_record import check_target

# The op's class is the table key, so each printer knows it; Any stands for that.
Printer: TypeAlias = "Callable[[_FunctionPrinter, Any], str]"

_PRIMITIVES: dict[type[Attribute], str] = {
    Float16Type: "half",
    BFloat16Type: "bfloat",
    Float32Type: "float",
    Float64Type: "double",
    llvm.LLVMPointerType: "ptr",
    llvm.LLVMVoidType: "void",
}


@cache
def type_text(type: Attribute) -> str:
    """LLVM's spelling of a type."""
    if is_integer(type):
        return f"i{type.width.data}"
    if is_vector(type):
        return f"<{type.shape.data[0].data} x {type_text(type.element_type)}>"
    if isinstance(type, llvm.LLVMArrayType):
        return f"[{type.size.data} x {type_text(type.type)}]"
    if isinstance(type, llvm.LLVMStructType):
        return "{ " + ", ".join(type_text(t) for t in type.types.data) + " }"
    return _PRIMITIVES[type.__class__]


def _number(value: float, type: Attribute) -> str:
    if is_integer(type):
        if type.width.data == 1:
            return "true" if value else "false"
        return str(int(value))
    if isinstance(type, Float16Type):
        return f"0xH{struct.unpack('<H', struct.pack('<e', value))[0]:04X}"
    if isinstance(type, BFloat16Type):
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
        return f"0xR{bits >> 16:04X}"
    if isinstance(type, Float32Type) and value == value:
        # LLVM spells f32 constants as the f64 of equal value.
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


@cache
def constant_text(value: Attribute, type: Attribute) -> str:
    """LLVM's spelling of a constant, without its type."""
    if isinstance(value, IntegerAttr | FloatAttr):
        return _number(value.value.data, type)
    assert isinstance(value, DenseIntOrFPElementsAttr)
    assert is_vector(type)
    element = type.element_type
    numbers = [_number(v, element) for v in value.get_values()]
    name = type_text(element)
    if numbers.count(numbers[0]) == len(numbers):
        return f"splat ({name} {numbers[0]})"
    return "<" + ", ".join(f"{name} {n}" for n in numbers) + ">"


class _FunctionPrinter:
    """Names and lines of one function."""

    def __init__(self, declared: dict[str, str], arch: Arch) -> None:
        self.arch: Arch = arch
        self.names: dict[SSAValue, str] = {}
        self.lines: list[str] = []
        self.labels: dict[Block, str] = {}
        self._types: dict[int, tuple[str, Attribute]] = {}
        self.declared = declared
        """Declarations of the intrinsics used so far."""

    def type_text(self, type: Attribute) -> str:
        """LLVM's spelling of a type, found by identity: hashing types is slow."""
        known = self._types.get(id(type))
        if known is None:
            known = (type_text(type), type)
            self._types[id(type)] = known
        return known[0]

    def typed(self, value: SSAValue) -> str:
        """Type and name of an operand."""
        return f"{self.type_text(value.type)} {self.names[value]}"

    def args(self, values: Iterable[SSAValue]) -> str:
        """Call arguments."""
        return ", ".join([self.typed(v) for v in values])

    def print_function(self, op: llvm.FuncOp) -> str:
        """The whole definition."""
        blocks = list(op.body.blocks)
        self.labels = {block: f"b{i}" for i, block in enumerate(blocks)}
        instructions = [self._name_values(block) for block in blocks]
        edges = _incoming(blocks)
        params = self.args(blocks[0].args)
        output = type_text(op.function_type.output)
        self.lines.append(f"define {output} @{op.sym_name.data}({params}) nounwind {{")
        for block, ops in zip(blocks, instructions, strict=True):
            self.lines.append(f"{self.labels[block]}:")
            if block is not blocks[0]:
                self._print_phis(block, edges[block])
            for each in ops:
                self._print_op(each)
        self.lines.append("}\n")
        return "\n".join(self.lines)

    def _name_values(self, block: Block) -> list[Operation]:
        """Name all values of a block; returns the ops that become instructions."""
        names = self.names
        for arg in block.args:
            names[arg] = f"%v{len(names)}"
        instructions: list[Operation] = []
        for op in block.ops:
            if op.results:
                inline = _INLINE.get(type(op))
                if inline is not None:
                    names[op.results[0]] = inline(op)
                    continue
                names[op.results[0]] = f"%v{len(names)}"
            instructions.append(op)
        return instructions

    def _print_op(self, op: Operation) -> None:
        printer = _PRINTERS.get(type(op))
        if printer is None:
            raise InternalError(f"emit-llvm: no LLVM text for '{op.name}'")
        text = printer(self, op)
        if op.results:
            text = f"{self.names[op.results[0]]} = {text}"
        self.lines.append("  " + text)

    def _print_phis(
        self, block: Block, edges: list[tuple[Block, Sequence[SSAValue]]]
    ) -> None:
        for i, arg in enumerate(block.args):
            sources = ", ".join(
                f"[ {self.names[values[i]]}, %{self.labels[source]} ]"
                for source, values in edges
            )
            self.lines.append(
                f"  {self.names[arg]} = phi {self.type_text(arg.type)} {sources}"
            )


def _incoming(
    blocks: Sequence[Block],
) -> dict[Block, list[tuple[Block, Sequence[SSAValue]]]]:
    """For each block, its predecessors and the arguments that they pass."""
    edges: dict[Block, list[tuple[Block, Sequence[SSAValue]]]] = {
        block: [] for block in blocks
    }
    for block in blocks:
        last = block.last_op
        if isinstance(last, llvm.BrOp):
            edges[last.successor].append((block, last.arguments))
        elif isinstance(last, llvm.CondBrOp):
            edges[last.then_block].append((block, last.then_arguments))
            edges[last.else_block].append((block, last.else_arguments))
    return edges


# ---------------------------------------------------------------------------
# Ops that are written where they are used
# ---------------------------------------------------------------------------

_INLINE: dict[type[Operation], Callable[[Any], str]] = {
    llvm.ConstantOp: lambda op: constant_text(op.value, op.result.type),
    llvm.UndefOp: lambda op: "undef",
    llvm.ZeroOp: lambda op: (
        "zeroinitializer"
        if not isinstance(op.res.type, llvm.LLVMPointerType)
        else "null"
    ),
    llvm.AddressOfOp: lambda op: f"@{op.global_name.root_reference.data}",
}

# ---------------------------------------------------------------------------
# One function a form of instruction
# ---------------------------------------------------------------------------


def _binary(word: str) -> Printer:
    def print_op(p: _FunctionPrinter, op: Operation) -> str:
        lhs, rhs = op.operands
        return f"{word} {p.typed(lhs)}, {p.names[rhs]}"

    return print_op


def _wrapping(word: str) -> Printer:
    def print_op(p: _FunctionPrinter, op: llvm.ArithmeticBinOpOverflow) -> str:
        lhs, rhs = op.operands
        text = word
        flags = op.properties.get("overflowFlags")
        if isinstance(flags, IntegerAttr) and flags.value.data:
            words = llvm.OverflowAttr.from_int(flags.value.data).data
            text += "".join(f" {flag.value}" for flag in words)
        return f"{text} {p.typed(lhs)}, {p.names[rhs]}"

    return print_op


def _cast(word: str) -> Printer:
    def print_op(p: _FunctionPrinter, op: Operation) -> str:
        (arg,) = op.operands
        return f"{word} {p.typed(arg)} to {p.type_text(op.results[0].type)}"

    return print_op


def _icmp(p: _FunctionPrinter, op: llvm.ICmpOp) -> str:
    predicate = llvm.ICmpPredicateFlag.from_int(op.predicate.value.data).value
    lhs, rhs = op.operands
    return f"icmp {predicate} {p.typed(lhs)}, {p.names[rhs]}"


def _fcmp(p: _FunctionPrinter, op: llvmx.FCmpOp) -> str:
    lhs, rhs = op.operands
    return f"fcmp {op.predicate.data} {p.typed(lhs)}, {p.names[rhs]}"


def _fcmp_scalar(p: _FunctionPrinter, op: llvm.FCmpOp) -> str:
    predicate = llvm.FCmpPredicateFlag.from_int(op.predicate.value.data).value
    return f"fcmp {predicate} {p.typed(op.lhs)}, {p.names[op.rhs]}"


def _select(p: _FunctionPrinter, op: Operation) -> str:
    return f"select {p.args(op.operands)}"


def _gep(p: _FunctionPrinter, op: llvm.GEPOp) -> str:
    ptr, *dynamic = op.operands
    remaining = iter(dynamic)
    indices = [
        p.typed(next(remaining)) if raw == llvm.GEP_USE_SSA_VAL else f"i32 {raw}"
        for raw in op.rawConstantIndices.iter_values()
    ]
    inbounds = "inbounds " if "inbounds" in op.properties else ""
    element = p.type_text(op.properties["elem_type"])
    return f"getelementptr {inbounds}{element}, {p.typed(ptr)}, {', '.join(indices)}"


_ORDERINGS = dict(llvm.ATOMIC_ORDERING_KEYWORDS)


def _alignment(op: llvm.LoadOp | llvm.StoreOp | llvm.AllocaOp) -> str:
    return "" if op.alignment is None else f", align {op.alignment.value.data}"


def _load(p: _FunctionPrinter, op: llvm.LoadOp) -> str:
    (ptr,) = op.operands
    type = p.type_text(op.results[0].type)
    ordering = op.ordering.value.data
    if ordering:
        word = _ORDERINGS[ordering]
        return f"load atomic {type}, {p.typed(ptr)} {word}{_alignment(op)}"
    return f"load {type}, {p.typed(ptr)}{_alignment(op)}"


def _store(p: _FunctionPrinter, op: llvm.StoreOp) -> str:
    ordering = op.ordering.value.data if op.ordering is not None else 0
    operands = p.args(op.operands)
    if ordering:
        return f"store atomic {operands} {_ORDERINGS[ordering]}{_alignment(op)}"
    return f"store {operands}{_alignment(op)}"


def _alloca(p: _FunctionPrinter, op: llvm.AllocaOp) -> str:
    return f"alloca {type_text(op.elem_type)}, {p.typed(op.size)}{_alignment(op)}"


def _declare(p: _FunctionPrinter, name: str, result: str, args: Iterable[str]) -> None:
    if name not in p.declared:
        p.declared[name] = f"declare {result} @{name}({', '.join(args)})"


def _intrinsic(p: _FunctionPrinter, op: llvm.CallIntrinsicOp) -> str:
    name = op.intrin.data
    result = p.type_text(op.results[0].type) if op.results else "void"
    if name not in p.declared:
        _declare(p, name, result, (p.type_text(a.type) for a in op.operands))
    return f"call {result} @{name}({p.args(op.operands)})"


def _call(p: _FunctionPrinter, op: llvm.CallOp) -> str:
    result = type_text(op.results[0].type) if op.results else "void"
    if op.callee is not None:
        callee = f"@{op.callee.root_reference.data}"
        return f"call {result} {callee}({p.args(op.args)})"
    target, *args = op.args
    return f"call {result} {p.names[target]}({p.args(args)})"


def _insert_element(p: _FunctionPrinter, op: llvm.InsertElementOp) -> str:
    return f"insertelement {p.args(op.operands)}"


def _extract_element(p: _FunctionPrinter, op: llvmx.ExtractElementOp) -> str:
    return f"extractelement {p.typed(op.vector)}, i64 {op.lane.value.data}"


def _shuffle(p: _FunctionPrinter, op: llvm.ShuffleVectorOp) -> str:
    lanes = tuple(op.mask.iter_values())
    if not any(lanes):
        mask = "zeroinitializer"
    else:
        mask = "<" + ", ".join(f"i32 {i}" for i in lanes) + ">"
    return f"shufflevector {p.args(op.operands)}, <{len(lanes)} x i32> {mask}"


def _extract_value(p: _FunctionPrinter, op: llvm.ExtractValueOp) -> str:
    position = ", ".join(str(i) for i in op.position.iter_values())
    return f"extractvalue {p.typed(op.container)}, {position}"


def _fneg(p: _FunctionPrinter, op: llvm.FNegOp) -> str:
    return f"fneg {p.typed(op.arg)}"


def _cmpxchg(p: _FunctionPrinter, op: llvmx.CmpXchgOp) -> str:
    # LLVM gives a pair; only whether it stored is of interest.
    pair = f"{p.names[op.stored]}.pair"
    operands = p.args((op.ptr, op.expected, op.value))
    p.lines.append(f"  {pair} = cmpxchg {operands} monotonic monotonic")
    return f"extractvalue {{ {type_text(op.value.type)}, i1 }} {pair}, 1"


_DEFAULT_MXCSR = 0x1F80
"""All exceptions masked, round to nearest, denormals kept."""


def _enter_float_state(p: _FunctionPrinter, op: llvmx.EnterFloatStateOp) -> str:
    old = p.names[op.old]
    if p.arch == "aarch64":
        _declare(p, "llvm.aarch64.get.fpcr", "i64", ())
        _declare(p, "llvm.aarch64.set.fpcr", "void", ("i64",))
        p.lines.append(f"  {old}.fpcr = call i64 @llvm.aarch64.get.fpcr()")
        p.lines.append("  call void @llvm.aarch64.set.fpcr(i64 0)")
        return f"add i64 {old}.fpcr, 0"
    _declare(p, "llvm.x86.sse.stmxcsr", "void", ("ptr",))
    p.lines += [
        f"  {old}.word = alloca i32",
        f"  call void @llvm.x86.sse.stmxcsr(ptr {old}.word)",
        f"  {old}.mxcsr = load i32, ptr {old}.word",
        *_load_mxcsr(p, f"{old}.new", f"{_DEFAULT_MXCSR}"),
    ]
    return f"zext i32 {old}.mxcsr to i64"


def _restore_float_state(p: _FunctionPrinter, op: llvmx.RestoreFloatStateOp) -> str:
    old = p.names[op.old]
    if p.arch == "aarch64":
        return f"call void @llvm.aarch64.set.fpcr(i64 {old})"
    p.lines.append(f"  {old}.low = trunc i64 {old} to i32")
    *first, last = _load_mxcsr(p, f"{old}.again", f"{old}.low")
    p.lines += first
    return last.strip()


def _load_mxcsr(p: _FunctionPrinter, name: str, value: str) -> list[str]:
    """The lines that set x86's floating-point state."""
    _declare(p, "llvm.x86.sse.ldmxcsr", "void", ("ptr",))
    return [
        f"  {name} = alloca i32",
        f"  store i32 {value}, ptr {name}",
        f"  call void @llvm.x86.sse.ldmxcsr(ptr {name})",
    ]


def _lane_pointers(
    p: _FunctionPrinter, name: str, base: SSAValue, indices: SSAValue, data: SSAValue
) -> tuple[str, str, int]:
    """Operand text of lane addresses, the intrinsic's suffix, bytes of a lane."""
    type = data.type
    assert is_vector(type)
    element, bits = type.element_type, bits_of(type)
    lanes = f"%{name}.ptrs"
    p.lines.append(
        f"  {lanes} = getelementptr inbounds {type_text(element)}, {p.typed(base)}, "
        f"{p.typed(indices)}"
    )
    width = type.shape.data[0].data
    letter = "i" if is_integer(element) else "f"
    suffix = f"v{width}{letter}{bits}.v{width}p0"
    return f"<{width} x ptr> {lanes}", suffix, bits // 8


def _gather(p: _FunctionPrinter, op: llvmx.MaskedGatherOp) -> str:
    pointers, suffix, size = _lane_pointers(
        p, p.names[op.res][1:], op.base, op.indices, op.res
    )
    type, mask = type_text(op.res.type), type_text(op.mask.type)
    name = f"llvm.masked.gather.{suffix}"
    _declare(p, name, type, (pointers.partition(">")[0] + ">", "i32", mask, type))
    others = p.args((op.mask, op.pass_through))
    return f"call {type} @{name}({pointers}, i32 {size}, {others})"


def _scatter(p: _FunctionPrinter, op: llvmx.MaskedScatterOp) -> str:
    pointers, suffix, size = _lane_pointers(
        p, f"s{len(p.lines)}", op.base, op.indices, op.value
    )
    type, mask = type_text(op.value.type), type_text(op.mask.type)
    name = f"llvm.masked.scatter.{suffix}"
    _declare(p, name, "void", (type, pointers.partition(">")[0] + ">", "i32", mask))
    value = p.typed(op.value)
    return f"call void @{name}({value}, {pointers}, i32 {size}, {p.typed(op.mask)})"


def _return(p: _FunctionPrinter, op: llvm.ReturnOp) -> str:
    return f"ret {p.typed(op.arg)}" if op.arg is not None else "ret void"


def _br(p: _FunctionPrinter, op: llvm.BrOp) -> str:
    return f"br label %{p.labels[op.successor]}"


def _cond_br(p: _FunctionPrinter, op: llvm.CondBrOp) -> str:
    then, otherwise = p.labels[op.then_block], p.labels[op.else_block]
    return f"br {p.typed(op.cond)}, label %{then}, label %{otherwise}"


def _unreachable(p: _FunctionPrinter, op: llvm.UnreachableOp) -> str:
    return "unreachable"


_PRINTERS: dict[type[Operation], Printer] = {
    llvm.AddOp: _wrapping("add"),
    llvm.SubOp: _wrapping("sub"),
    llvm.MulOp: _wrapping("mul"),
    llvm.ShlOp: _wrapping("shl"),
    llvm.UDivOp: _binary("udiv"),
    llvm.SDivOp: _binary("sdiv"),
    llvm.URemOp: _binary("urem"),
    llvm.SRemOp: _binary("srem"),
    llvm.LShrOp: _binary("lshr"),
    llvm.AShrOp: _binary("ashr"),
    llvm.AndOp: _binary("and"),
    llvm.OrOp: _binary("or"),
    llvm.XOrOp: _binary("xor"),
    llvm.FAddOp: _binary("fadd"),
    llvm.FSubOp: _binary("fsub"),
    llvm.FMulOp: _binary("fmul"),
    llvm.FDivOp: _binary("fdiv"),
    llvm.FRemOp: _binary("frem"),
    llvm.TruncOp: _cast("trunc"),
    llvm.ZExtOp: _cast("zext"),
    llvm.SExtOp: _cast("sext"),
    llvm.FPExtOp: _cast("fpext"),
    llvm.FPTruncOp: _cast("fptrunc"),
    llvm.SIToFPOp: _cast("sitofp"),
    llvm.BitcastOp: _cast("bitcast"),
    llvm.PtrToIntOp: _cast("ptrtoint"),
    llvm.IntToPtrOp: _cast("inttoptr"),
    llvmx.UIToFPOp: _cast("uitofp"),
    llvmx.FPToSIOp: _cast("fptosi"),
    llvmx.FPToUIOp: _cast("fptoui"),
    llvm.ICmpOp: _icmp,
    llvm.FCmpOp: _fcmp_scalar,
    llvmx.FCmpOp: _fcmp,
    llvm.SelectOp: _select,
    llvmx.SelectOp: _select,
    llvm.FNegOp: _fneg,
    llvm.GEPOp: _gep,
    llvm.LoadOp: _load,
    llvm.StoreOp: _store,
    llvm.AllocaOp: _alloca,
    llvm.CallIntrinsicOp: _intrinsic,
    llvm.CallOp: _call,
    llvm.InsertElementOp: _insert_element,
    llvmx.ExtractElementOp: _extract_element,
    llvm.ShuffleVectorOp: _shuffle,
    llvm.ExtractValueOp: _extract_value,
    llvmx.CmpXchgOp: _cmpxchg,
    llvmx.EnterFloatStateOp: _enter_float_state,
    llvmx.RestoreFloatStateOp: _restore_float_state,
    llvmx.MaskedGatherOp: _gather,
    llvmx.MaskedScatterOp: _scatter,
    llvm.ReturnOp: _return,
    llvm.BrOp: _br,
    llvm.CondBrOp: _cond_br,
    llvm.UnreachableOp: _unreachable,
}


def emit_llvm(module: ModuleOp, target: Target) -> str:
    """
    LLVM IR text of the llvm functions of a module; other ops are ignored.

    Raises:
        TargetError: the module was lowered for another target.
    """
    check_target(module, target)
    declared: dict[str, str] = {}
    bodies: list[str] = []
    for op in module.ops:
        if not isinstance(op, llvm.FuncOp):
            continue
        if op.body.blocks:
            bodies.append(_FunctionPrinter(declared, target.arch).print_function(op))
            continue
        inputs = ", ".join(type_text(t) for t in op.function_type.inputs)
        output = type_text(op.function_type.output)
        declared[op.sym_name.data] = f"declare {output} @{op.sym_name.data}({inputs})"
    header = f'target triple = "{target.triple}"\n'
    return "\n".join([header, *bodies, *declared.values(), ""])
