"""
Builds llvm-dialect ops: the one place of this lowering that creates them.

The methods fold constants and drop no-ops as they go, because no mid-level optimiser
runs later. Ops are created without xDSL's keyword machinery: a module has thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

from xdsl.dialects import llvm
from xdsl.dialects.builtin import (
    AnyFloat,
    BFloat16Type,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    StringAttr,
    UnitAttr,
    VectorType,
    i1,
    i8,
    i16,
    i32,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from nnc.dialects import llvmx
from nnc.dialects.simd.types import (
    PtrType,
    bits_of,
    is_float,
    is_integer,
    is_stored_only,
    is_vector,
    width_of,
)
from nnc.target import Target

PTR = llvm.LLVMPointerType()
_NO_WRAP = IntegerAttr(
    llvm.OverflowAttr((llvm.OverflowFlag.NO_SIGNED_WRAP,)).to_int(), 32
)
_MAY_WRAP = IntegerAttr(0, 32)
_NO_FLAGS = IntegerAttr(0, 32)
_UNIT = UnitAttr()
_ICMP = {flag.value: IntegerAttr(flag.to_int(), i64) for flag in llvm.ICmpPredicateFlag}
_WIDEST_PACKED = 64
"""Bits of the widest integers that xDSL has constant vectors of."""
_WRAPPING = (llvm.AddOp, llvm.SubOp, llvm.MulOp, llvm.ShlOp)


@cache
def llvm_type(type: Attribute) -> Attribute:
    """
    The llvm-dialect type of a kernel type: signless integers, opaque pointers.

    bf16 becomes `i16`, its bits: given LLVM's own type for it, code generation calls
    compiler-runtime functions even for moves. Types that are not computed with become
    integers, too.
    """
    if is_vector(type):
        return VectorType(llvm_type(type.element_type), type.shape)
    if is_stored_only(type):
        return IntegerType(bits_of(type))
    if is_integer(type):
        return IntegerType(type.width.data)
    if isinstance(type, IndexType):
        return i64
    if isinstance(type, BFloat16Type):
        return i16
    if isinstance(type, PtrType):
        return PTR
    return type


@cache
def like(type: Attribute, element: Attribute) -> Attribute:
    """`element` with as many lanes as `type` has."""
    return VectorType(element, type.shape) if is_vector(type) else element


@cache
def _raw_index(*indices: int) -> DenseArrayBase[IntegerType]:
    return DenseArrayBase.from_list(i32, indices)


@cache
def _i64_attr(value: int) -> IntegerAttr[IntegerType]:
    return IntegerAttr(value, i64)


def _dense(type: VectorType[Attribute], values: tuple[float, ...]) -> Attribute:
    # Which overload fits depends on the element type.
    return DenseIntOrFPElementsAttr.from_list(cast(Any, type), values)


@cache
def _constant_attr(value: float, type: Attribute) -> Attribute:
    if is_vector(type):
        return _dense(type, (value,))
    if is_integer(type):
        return IntegerAttr(int(value), type, truncate_bits=True)
    assert isinstance(type, AnyFloat)
    return FloatAttr(value, type)


@cache
def _suffix(type: Attribute) -> str:
    if is_vector(type):
        return f"v{width_of(type)}{_suffix(type.element_type)}"
    if isinstance(type, llvm.LLVMPointerType):
        return "p0"
    return f"{'f' if is_float(type) else 'i'}{bits_of(type)}"


class _Memo:
    """Remembers a function of types by identity, because hashing a type is slow."""

    def __init__(self, function: Callable[[Attribute], Any]) -> None:
        self._function = function
        self._known: dict[int, tuple[Attribute, Any]] = {}

    def __call__(self, type: Attribute) -> Any:
        entry = self._known.get(id(type))
        if entry is None:
            # The type is kept, so its identity stays its own.
            entry = (type, self._function(type))
            self._known[id(type)] = entry
        return entry[1]


class Builder:
    """Appends llvm-dialect ops to the current block of one function."""

    target: Target
    region: Region
    block: Block
    """Where ops go; converters that branch move it."""
    constants: dict[tuple[object, Attribute], SSAValue]
    externals: dict[str, llvm.LLVMFunctionType]
    """Functions outside the module that were called, for their declarations."""

    def __init__(self, target: Target, region: Region) -> None:
        self.target = target
        self.region = region
        self.entry = region.blocks[0]
        self.block = self.entry
        self.constants = {}
        self.externals = {}
        self._last_hoisted: Operation | None = None
        self._suffix = _Memo(_suffix)
        self._mask_type = _Memo(lambda type: like(type, i1))
        self._bits_type = _Memo(lambda type: like(type, IntegerType(bits_of(type))))
        self._names: dict[str, StringAttr] = {}

    def _name(self, text: str) -> StringAttr:
        known = self._names.get(text)
        if known is None:
            known = self._names[text] = StringAttr(text)
        return known

    # --- raw insertion ----------------------------------------------------

    def insert(self, op: Operation) -> SSAValue:
        """Append an op that has one result."""
        self.block.add_op(op)
        return op.results[0]

    def hoist(self, op: Operation) -> SSAValue:
        """Put an op without operands at the head of the entry block."""
        if self._last_hoisted is not None:
            self.entry.insert_op_after(op, self._last_hoisted)
        elif self.entry.first_op is not None:
            self.entry.insert_op_before(op, self.entry.first_op)
        else:
            self.entry.add_op(op)
        self._last_hoisted = op
        return op.results[0]

    def new_block(self, arg_types: Sequence[Attribute] = ()) -> Block:
        """A block to branch to; it gets its place when it is entered."""
        return Block(arg_types=arg_types)

    def enter(self, block: Block) -> None:
        """Append to `block` from now on; it follows all earlier blocks."""
        self.region.add_block(block)
        self.block = block

    # --- constants --------------------------------------------------------

    def constant(self, value: float, type: Attribute) -> SSAValue:
        """A scalar constant or a splat."""
        if is_vector(type) and bits_of(type) > _WIDEST_PACKED:
            scalar = self.constant(value, type.element_type)
            return self._copies(scalar, type)
        # 0.0 == -0.0 and NaN != NaN: repr tells floats apart as bits do.
        key = (repr(value) if isinstance(value, float) else value, type)
        known = self.constants.get(key)
        if known is None:
            known = self.hoist(
                llvm.ConstantOp.create(
                    properties={"value": _constant_attr(value, type)},
                    result_types=(type,),
                )
            )
            self.constants[key] = known
        return known

    def vector_constant(self, values: tuple[int, ...], element: Attribute) -> SSAValue:
        """A constant vector of integers."""
        type = VectorType(element, (len(values),))
        known = self.constants.get((values, type))
        if known is None:
            attr = _dense(type, values)
            known = self.hoist(
                llvm.ConstantOp.create(properties={"value": attr}, result_types=(type,))
            )
            self.constants[values, type] = known
        return known

    def i64(self, value: int) -> SSAValue:
        """A constant of type i64."""
        return self.constant(value, i64)

    def undef(self, type: Attribute) -> SSAValue:
        """Any value."""
        known = self.constants.get(("undef", type))
        if known is None:
            known = self.hoist(llvm.UndefOp.create(result_types=(type,)))
            self.constants["undef", type] = known
        return known

    # --- arithmetic -------------------------------------------------------

    def binary(self, op: type[Operation], lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        """`op lhs, rhs` where both have the result's type."""
        properties: dict[str, Attribute] = (
            {"overflowFlags": _MAY_WRAP} if op in _WRAPPING else {}
        )
        return self.insert(
            op.create(
                operands=(lhs, rhs), result_types=(lhs.type,), properties=properties
            )
        )

    def _nsw(self, op: type[Operation], lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        return self.insert(
            op.create(
                operands=(lhs, rhs),
                result_types=(lhs.type,),
                properties={"overflowFlags": _NO_WRAP},
            )
        )

    def index_add(self, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        """Sum of two indices, which never overflows."""
        a, b = int_value(lhs), int_value(rhs)
        if a is not None and b is not None:
            return self.i64(a + b)
        if a == 0:
            return rhs
        if b == 0:
            return lhs
        return self._nsw(llvm.AddOp, lhs, rhs)

    def index_sub(self, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        """Difference of two indices."""
        a, b = int_value(lhs), int_value(rhs)
        if a is not None and b is not None:
            return self.i64(a - b)
        return lhs if b == 0 else self._nsw(llvm.SubOp, lhs, rhs)

    def index_mul(self, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        """Product of two indices."""
        a, b = int_value(lhs), int_value(rhs)
        if a is not None and b is not None:
            return self.i64(a * b)
        if a == 0 or b == 1:
            return lhs
        if b == 0 or a == 1:
            return rhs
        return self._nsw(llvm.MulOp, lhs, rhs)

    def fadd(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Float sum."""
        return self.binary(llvm.FAddOp, a, b)

    def fsub(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Float difference."""
        return self.binary(llvm.FSubOp, a, b)

    def fmul(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Float product."""
        return self.binary(llvm.FMulOp, a, b)

    def fdiv(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Float quotient."""
        return self.binary(llvm.FDivOp, a, b)

    def fma(self, a: SSAValue, b: SSAValue, c: SSAValue) -> SSAValue:
        """`a * b + c`, fused if the target has such an instruction."""
        if not self.target.has_fma:
            return self.fadd(self.fmul(a, b), c)
        return self.intrinsic("llvm.fma", (a, b, c), a.type)

    def fneg(self, a: SSAValue) -> SSAValue:
        """Float with its sign bit flipped."""
        return self.insert(llvm.FNegOp.create(operands=(a,), result_types=(a.type,)))

    def fabs(self, a: SSAValue) -> SSAValue:
        """Float with its sign bit cleared."""
        return self.intrinsic("llvm.fabs", (a,), a.type)

    def add(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Integer sum, wrapping."""
        return self.binary(llvm.AddOp, a, b)

    def sub(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Integer difference, wrapping."""
        return self.binary(llvm.SubOp, a, b)

    def and_(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Bitwise and."""
        return self.binary(llvm.AndOp, a, b)

    def or_(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Bitwise or."""
        return self.binary(llvm.OrOp, a, b)

    def xor(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Bitwise exclusive or."""
        return self.binary(llvm.XOrOp, a, b)

    def not_(self, a: SSAValue) -> SSAValue:
        """Bitwise complement."""
        return self.xor(a, self.constant(-1, a.type))

    def shl(self, a: SSAValue, bits: int) -> SSAValue:
        """Shift left by a constant."""
        return self.binary(llvm.ShlOp, a, self.constant(bits, a.type))

    def lshr(self, a: SSAValue, bits: int) -> SSAValue:
        """Shift right by a constant, filling with zeros."""
        return self.binary(llvm.LShrOp, a, self.constant(bits, a.type))

    def ashr(self, a: SSAValue, bits: int) -> SSAValue:
        """Shift right by a constant, filling with the sign."""
        return self.binary(llvm.AShrOp, a, self.constant(bits, a.type))

    def icmp(self, predicate: str, a: SSAValue, b: SSAValue) -> SSAValue:
        """Integer comparison by LLVM's word for it."""
        return self.insert(
            llvm.ICmpOp.create(
                operands=(a, b),
                result_types=(self._mask_type(a.type),),
                properties={"predicate": _ICMP[predicate]},
            )
        )

    def fcmp(self, predicate: str, a: SSAValue, b: SSAValue) -> SSAValue:
        """Float comparison by LLVM's word for it."""
        return self.insert(
            llvmx.FCmpOp.create(
                operands=(a, b),
                result_types=(self._mask_type(a.type),),
                properties={"predicate": self._name(predicate)},
            )
        )

    def select(self, condition: SSAValue, a: SSAValue, b: SSAValue) -> SSAValue:
        """`a` where the condition holds, else `b`."""
        if a is b:
            return a
        known = int_value(condition)
        if known is not None:
            return a if known else b
        return self.insert(
            llvmx.SelectOp.create(operands=(condition, a, b), result_types=(a.type,))
        )

    # --- conversions ------------------------------------------------------

    def cast(self, op: type[Operation], value: SSAValue, type: Attribute) -> SSAValue:
        """A conversion op such as `llvm.FPExtOp` or `llvmx.FPToSIOp`."""
        if value.type == type:
            return value
        return self.insert(op.create(operands=(value,), result_types=(type,)))

    def bitcast(self, value: SSAValue, type: Attribute) -> SSAValue:
        """The same bits as another type."""
        return self.cast(llvm.BitcastOp, value, type)

    def bits(self, value: SSAValue) -> SSAValue:
        """The bits of floats as integers."""
        return self.bitcast(value, self._bits_type(value.type))

    # --- vectors ----------------------------------------------------------

    def splat(self, scalar: SSAValue, width: int) -> SSAValue:
        """`width` copies of a scalar."""
        if width == 1:
            return scalar
        type = VectorType(scalar.type, (width,))
        if isinstance(scalar.owner, llvm.ConstantOp):
            value = scalar.owner.value
            assert isinstance(value, IntegerAttr | FloatAttr)
            return self.constant(value.value.data, type)
        return self._copies(scalar, type)

    def _copies(self, scalar: SSAValue, type: VectorType[Attribute]) -> SSAValue:
        one = self.insert_lane(self.undef(type), scalar, 0)
        return self.shuffle(one, one, (0,) * width_of(type))

    def insert_lane(self, vector: SSAValue, scalar: SSAValue, lane: int) -> SSAValue:
        """The vector with one lane replaced."""
        return self.insert(
            llvm.InsertElementOp.create(
                operands=(vector, scalar, self.i64(lane)), result_types=(vector.type,)
            )
        )

    def extract_lane(self, vector: SSAValue, lane: int) -> SSAValue:
        """One lane as a scalar."""
        assert is_vector(vector.type)
        return self.insert(
            llvmx.ExtractElementOp.create(
                operands=(vector,),
                result_types=(vector.type.element_type,),
                properties={"lane": _i64_attr(lane)},
            )
        )

    def shuffle(self, a: SSAValue, b: SSAValue, lanes: tuple[int, ...]) -> SSAValue:
        """Lanes picked from the concatenation of two vectors."""
        assert is_vector(a.type)
        return self.insert(
            llvm.ShuffleVectorOp.create(
                operands=(a, b),
                result_types=(VectorType(a.type.element_type, (len(lanes),)),),
                properties={"mask": _raw_index(*lanes)},
            )
        )

    # --- calls ------------------------------------------------------------

    def intrinsic(
        self,
        name: str,
        args: Sequence[SSAValue],
        result: Attribute | None,
        overloads: Sequence[Attribute] | None = None,
    ) -> SSAValue:
        """
        Call an LLVM intrinsic; `overloads` (default: the result) mangle its name.

        Without a result, the return value is meaningless.
        """
        if overloads is None:
            overloads = () if result is None else (result,)
        for overload in overloads:
            name += f".{self._suffix(overload)}"
        op = llvm.CallIntrinsicOp.create(
            operands=tuple(args),
            result_types=() if result is None else (result,),
            properties={
                "intrin": self._name(name),
                "operandSegmentSizes": _raw_index(len(args), 0),
            },
        )
        self.block.add_op(op)
        return op.results[0] if result is not None else args[0]

    def call(self, name: str, args: Sequence[SSAValue], result: Attribute) -> SSAValue:
        """Call a function of the C library."""
        self.externals[name] = llvm.LLVMFunctionType([a.type for a in args], result)
        return self.insert(llvm.CallOp(name, *args, return_type=result))

    # --- memory -----------------------------------------------------------

    def gep(
        self,
        ptr: SSAValue,
        index: SSAValue | int,
        element: Attribute = i8,
        *,
        is_inside: bool = True,
    ) -> SSAValue:
        """The address `index` elements after `ptr`, in or at the end of its memory."""
        constant = index if isinstance(index, int) else int_value(index)
        if constant == 0:
            return ptr
        if constant is not None and -(2**31) < constant < 2**31:
            operands, raw = (ptr,), constant
        else:
            value = self.i64(index) if isinstance(index, int) else index
            operands, raw = (ptr, value), llvm.GEP_USE_SSA_VAL
        return self.insert(
            llvm.GEPOp.create(
                operands=operands,
                result_types=(PTR,),
                properties={
                    "rawConstantIndices": _raw_index(raw),
                    "elem_type": element,
                    "noWrapFlags": _NO_FLAGS,
                    **({"inbounds": _UNIT} if is_inside else {}),
                },
            )
        )

    def prefetch(self, ptr: SSAValue, locality: int) -> None:
        """Ask for the line at `ptr`, which may be any address; 3 is the first cache."""
        read, kind, data = (self.constant(n, i32) for n in (0, locality, 1))
        args = (ptr, read, kind, data)
        self.intrinsic("llvm.prefetch", args, None, overloads=(PTR,))

    def load(self, ptr: SSAValue, type: Attribute, alignment: int) -> SSAValue:
        """A plain load."""
        return self.insert(
            llvm.LoadOp.create(
                operands=(ptr,),
                result_types=(type,),
                properties={
                    "alignment": _i64_attr(alignment),
                    "ordering": _i64_attr(0),
                },
            )
        )

    def store(self, value: SSAValue, ptr: SSAValue, alignment: int) -> None:
        """A plain store."""
        self.block.add_op(
            llvm.StoreOp.create(
                operands=(value, ptr),
                properties={
                    "alignment": _i64_attr(alignment),
                    "ordering": _i64_attr(0),
                },
            )
        )

    def alloca(self, count: int, element: Attribute, alignment: int) -> SSAValue:
        """A stack slot for the whole call."""
        size = self.i64(count)
        op = llvm.AllocaOp.create(
            operands=(size,),
            result_types=(PTR,),
            properties={"alignment": _i64_attr(alignment), "elem_type": element},
        )
        return self.hoist(op)

    # --- control ----------------------------------------------------------

    def br(self, block: Block, args: Sequence[SSAValue] = ()) -> None:
        """Jump."""
        self.block.add_op(llvm.BrOp.create(operands=tuple(args), successors=(block,)))

    def cond_br(
        self,
        condition: SSAValue,
        then: Block,
        then_args: Sequence[SSAValue],
        otherwise: Block,
        else_args: Sequence[SSAValue],
    ) -> None:
        """Branch."""
        self.block.add_op(
            llvm.CondBrOp.create(
                operands=(condition, *then_args, *else_args),
                successors=(then, otherwise),
                properties={
                    "operandSegmentSizes": _raw_index(1, len(then_args), len(else_args))
                },
            )
        )


def int_value(value: SSAValue) -> int | None:
    """The number of a scalar integer constant, None for anything else."""
    owner = value.owner
    if isinstance(owner, llvm.ConstantOp) and isinstance(owner.value, IntegerAttr):
        return owner.value.value.data
    return None


def float_value(value: SSAValue) -> float | None:
    """The number of a float constant or splat, None for anything else."""
    owner = value.owner
    if not isinstance(owner, llvm.ConstantOp):
        return None
    if isinstance(owner.value, FloatAttr):
        return owner.value.value.data
    if isinstance(owner.value, DenseIntOrFPElementsAttr) and is_float(value.type):
        return float(cast(float, owner.value.get_values()[0]))
    return None
