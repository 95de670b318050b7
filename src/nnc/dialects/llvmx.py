"""
Ops of LLVM IR that xDSL's `llvm` dialect lacks, or has for scalars only.

Each has the name, operands and meaning of MLIR's `llvm` op, so every class here could
move upstream as it is (xDSL 0.74: no extractelement, fptosi, fptoui, uitofp, cmpxchg,
gather and scatter; select and fcmp accept no vectors).
"""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from xdsl.dialects.builtin import (
    I1,
    I64,
    AnyFloatConstr,
    IntegerAttr,
    IntegerType,
    SignlessIntegerConstraint,
    StringAttr,
    VectorType,
    i1,
    i64,
)
from xdsl.dialects.llvm import LLVMPointerType
from xdsl.ir import Attribute, Dialect, SSAValue
from xdsl.irdl import (
    AnyAttr,
    AttrConstraint,
    BaseAttr,
    IRDLOperation,
    VarConstraint,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect, Pure

from nnc.dialects.simd.types import is_vector

_BOOL_CONSTR: AttrConstraint = BaseAttr(IntegerType) | VectorType.constr(
    BaseAttr(IntegerType)
)
_INT_CONSTR: AttrConstraint = SignlessIntegerConstraint | VectorType.constr(
    SignlessIntegerConstraint
)
_FLOAT_CONSTR: AttrConstraint = AnyFloatConstr | VectorType.constr(AnyFloatConstr)


def _bool_like(type: Attribute) -> Attribute:
    return VectorType(i1, type.shape) if is_vector(type) else i1


@irdl_op_definition
class SelectOp(IRDLOperation):
    """LLVM's `select`, with a vector condition too."""

    name = "llvmx.select"

    T: ClassVar[AttrConstraint] = VarConstraint("T", AnyAttr())

    condition = operand_def(_BOOL_CONSTR)
    lhs = operand_def(T)
    rhs = operand_def(T)
    res = result_def(T)

    traits = traits_def(Pure())

    assembly_format = (
        "$condition `,` $lhs `,` $rhs attr-dict `:` type($condition) `,` type($res)"
    )

    def __init__(self, condition: SSAValue, lhs: SSAValue, rhs: SSAValue) -> None:
        super().__init__(operands=(condition, lhs, rhs), result_types=(lhs.type,))


@irdl_op_definition
class FCmpOp(IRDLOperation):
    """LLVM's `fcmp` on scalars and vectors; the predicate is LLVM's word for it."""

    name = "llvmx.fcmp"

    T: ClassVar[AttrConstraint] = VarConstraint("T", _FLOAT_CONSTR)

    predicate = prop_def(StringAttr)
    lhs = operand_def(T)
    rhs = operand_def(T)
    res = result_def(_BOOL_CONSTR)

    traits = traits_def(Pure())

    assembly_format = (
        "$predicate $lhs `,` $rhs attr-dict `:` type($lhs) `->` type($res)"
    )

    def __init__(self, predicate: str, lhs: SSAValue, rhs: SSAValue) -> None:
        super().__init__(
            operands=(lhs, rhs),
            result_types=(_bool_like(lhs.type),),
            properties={"predicate": StringAttr(predicate)},
        )


@irdl_op_definition
class ExtractElementOp(IRDLOperation):
    """LLVM's `extractelement` of a constant lane."""

    name = "llvmx.extractelement"

    vector = operand_def(VectorType)
    lane = prop_def(IntegerAttr[I64])
    res = result_def(AnyAttr())

    traits = traits_def(Pure())

    assembly_format = (
        "$vector `[` $lane `]` attr-dict `:` type($vector) `->` type($res)"
    )

    def __init__(self, vector: SSAValue, lane: int) -> None:
        assert is_vector(vector.type)
        super().__init__(
            operands=(vector,),
            result_types=(vector.type.element_type,),
            properties={"lane": IntegerAttr(lane, i64)},
        )


class _CastOp(IRDLOperation, ABC):
    """A conversion between integers and floats."""

    arg = operand_def(_INT_CONSTR | _FLOAT_CONSTR)
    res = result_def(_INT_CONSTR | _FLOAT_CONSTR)

    traits = traits_def(Pure())

    assembly_format = "$arg attr-dict `:` type($arg) `to` type($res)"

    def __init__(self, arg: SSAValue, type: Attribute) -> None:
        super().__init__(operands=(arg,), result_types=(type,))


@irdl_op_definition
class UIToFPOp(_CastOp):
    """LLVM's `uitofp`."""

    name = "llvmx.uitofp"


@irdl_op_definition
class FPToSIOp(_CastOp):
    """LLVM's `fptosi`; the value must fit."""

    name = "llvmx.fptosi"


@irdl_op_definition
class FPToUIOp(_CastOp):
    """LLVM's `fptoui`; the value must fit."""

    name = "llvmx.fptoui"


@irdl_op_definition
class CmpXchgOp(IRDLOperation):
    """LLVM's `cmpxchg ... monotonic monotonic`; the result says whether it stored."""

    name = "llvmx.cmpxchg"

    T: ClassVar[AttrConstraint] = VarConstraint("T", SignlessIntegerConstraint)

    ptr = operand_def(LLVMPointerType())
    expected = operand_def(T)
    value = operand_def(T)
    stored = result_def(I1)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = "$ptr `,` $expected `,` $value attr-dict `:` type($value)"

    def __init__(self, ptr: SSAValue, expected: SSAValue, value: SSAValue) -> None:
        super().__init__(operands=(ptr, expected, value), result_types=(i1,))


@irdl_op_definition
class MaskedGatherOp(IRDLOperation):
    """
    `llvm.masked.gather` from `base + index`, element by element; off lanes pass.

    Base and index are kept apart because xDSL's getelementptr yields no pointer vector.
    """

    name = "llvmx.masked_gather"

    base = operand_def(LLVMPointerType())
    indices = operand_def(VectorType)
    mask = operand_def(VectorType)
    pass_through = operand_def(VectorType)
    res = result_def(VectorType)

    traits = traits_def(MemoryReadEffect())

    assembly_format = (
        "$base `[` $indices `]` `,` $mask `,` $pass_through attr-dict `:` "
        "type($indices) `,` type($mask) `,` type($pass_through) `->` type($res)"
    )

    def __init__(
        self,
        base: SSAValue,
        indices: SSAValue,
        mask: SSAValue,
        pass_through: SSAValue,
    ) -> None:
        super().__init__(
            operands=(base, indices, mask, pass_through),
            result_types=(pass_through.type,),
        )


@irdl_op_definition
class MaskedScatterOp(IRDLOperation):
    """`llvm.masked.scatter` to `base + index`, element by element, in lane order."""

    name = "llvmx.masked_scatter"

    value = operand_def(VectorType)
    base = operand_def(LLVMPointerType())
    indices = operand_def(VectorType)
    mask = operand_def(VectorType)

    traits = traits_def(MemoryWriteEffect())

    assembly_format = (
        "$value `,` $base `[` $indices `]` `,` $mask attr-dict `:` "
        "type($value) `,` type($indices) `,` type($mask)"
    )

    def __init__(
        self, value: SSAValue, base: SSAValue, indices: SSAValue, mask: SSAValue
    ) -> None:
        super().__init__(operands=(value, base, indices, mask))


@irdl_op_definition
class EnterFloatStateOp(IRDLOperation):
    """
    Round to nearest, keep denormals, trap nothing; gives what was set before.

    The state is the processor's (x86: MXCSR, AArch64: FPCR), so how this is done is
    known only where text for a target is written.
    """

    name = "llvmx.enter_float_state"

    old = result_def(I64)

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    assembly_format = "attr-dict"

    def __init__(self) -> None:
        super().__init__(result_types=(i64,))


@irdl_op_definition
class RestoreFloatStateOp(IRDLOperation):
    """Set the state that `llvmx.enter_float_state` found."""

    name = "llvmx.restore_float_state"

    old = operand_def(I64)

    traits = traits_def(MemoryWriteEffect())
    assembly_format = "$old attr-dict"

    def __init__(self, old: SSAValue) -> None:
        super().__init__(operands=(old,))


LLVMX = Dialect(
    "llvmx",
    [
        CmpXchgOp,
        EnterFloatStateOp,
        ExtractElementOp,
        FCmpOp,
        FPToSIOp,
        FPToUIOp,
        MaskedGatherOp,
        MaskedScatterOp,
        RestoreFloatStateOp,
        SelectOp,
        UIToFPOp,
    ],
)
