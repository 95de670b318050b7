"""
Memory ops of the `simd` dialect.

All of them address elements: `%p[%i]` is the element `i` places after `%p`. A masked
lane that is off reads as zero and touches no memory.
"""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import (
    I64,
    IndexType,
    IntegerAttr,
    i1,
    i64,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect, Pure
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.simd.base import WIDTH, Value, WidthOp, width_attr
from nnc.dialects.simd.types import (
    DATA_CONSTR,
    INT_DATA_CONSTR,
    MASK_CONSTR,
    PtrType,
    data_type,
    element_type_of,
    mask_type,
    width_of,
)


def _pointee(ptr: Value) -> Attribute:
    type = SSAValue.get(ptr).type
    assert isinstance(type, PtrType), f"expected a simd.ptr, got {type}"
    return type.element_type


class MemoryOp(WidthOp):
    """Base of loads and stores: checks the element type and the mask."""

    MOVES: ClassVar[bool] = True

    def _verify_access(
        self, ptr: SSAValue, data: SSAValue, mask: SSAValue | None
    ) -> None:
        assert isinstance(ptr.type, PtrType)
        if element_type_of(data.type) != ptr.type.element_type:
            raise VerifyException(
                f"{self.name}: {data.type} does not fit a pointer to "
                f"{ptr.type.element_type}"
            )
        if mask is not None and mask.type != mask_type(self.lanes):
            raise VerifyException(
                f"{self.name}: the mask must be {mask_type(self.lanes)}, "
                f"got {mask.type}"
            )


@irdl_op_definition
class LoadOp(MemoryOp):
    """
    Read `width` neighbouring elements.

    `%v = simd.load %p[%i] mask %m {width = 8} : !simd.ptr<f32> -> vector<8xf32>`
    """

    name = "simd.load"

    SCALAR_OPERANDS: ClassVar[frozenset[int]] = frozenset({0, 1})

    ptr = operand_def(PtrType)
    index = operand_def(IndexType)
    mask = opt_operand_def(MASK_CONSTR)
    result = result_def(DATA_CONSTR)

    traits = traits_def(MemoryReadEffect())

    assembly_format = (
        "$ptr `[` $index `]` (`mask` $mask^ `:` type($mask))? "
        + WIDTH
        + " attr-dict `:` type($ptr) `->` type($result)"
    )

    def __init__(
        self, ptr: Value, index: Value, width: int = 1, mask: Value | None = None
    ) -> None:
        super().__init__(
            operands=(ptr, index, mask),
            result_types=(data_type(_pointee(ptr), width),),
            properties={"width": width_attr(width)},
        )

    def verify_(self) -> None:
        super().verify_()
        self._verify_access(self.ptr, self.result, self.mask)


@irdl_op_definition
class StoreOp(MemoryOp):
    """
    Write `width` neighbouring elements.

    `simd.store %v, %p[%i] {width = 8} : vector<8xf32>, !simd.ptr<f32>`
    """

    name = "simd.store"

    SCALAR_OPERANDS: ClassVar[frozenset[int]] = frozenset({1, 2})

    value = operand_def(DATA_CONSTR)
    ptr = operand_def(PtrType)
    index = operand_def(IndexType)
    mask = opt_operand_def(MASK_CONSTR)

    traits = traits_def(MemoryWriteEffect())

    assembly_format = (
        "$value `,` $ptr `[` $index `]` (`mask` $mask^ `:` type($mask))? "
        + WIDTH
        + " attr-dict `:` type($value) `,` type($ptr)"
    )

    def __init__(
        self, value: Value, ptr: Value, index: Value, mask: Value | None = None
    ) -> None:
        value = SSAValue.get(value)
        super().__init__(
            operands=(value, ptr, index, mask),
            properties={"width": width_attr(width_of(value.type))},
        )

    def verify_(self) -> None:
        super().verify_()
        self._verify_access(self.ptr, self.value, self.mask)


@irdl_op_definition
class GatherOp(MemoryOp):
    """Lane `l` reads element `indices[l]`; the indices are `i64`."""

    name = "simd.gather"

    SCALAR_OPERANDS: ClassVar[frozenset[int]] = frozenset({0})

    ptr = operand_def(PtrType)
    indices = operand_def(INT_DATA_CONSTR)
    mask = opt_operand_def(MASK_CONSTR)
    result = result_def(DATA_CONSTR)

    traits = traits_def(MemoryReadEffect())

    assembly_format = (
        "$ptr `[` $indices `:` type($indices) `]` (`mask` $mask^ `:` type($mask))? "
        + WIDTH
        + " attr-dict `:` type($ptr) `->` type($result)"
    )

    def __init__(self, ptr: Value, indices: Value, mask: Value | None = None) -> None:
        indices = SSAValue.get(indices)
        width = width_of(indices.type)
        super().__init__(
            operands=(ptr, indices, mask),
            result_types=(data_type(_pointee(ptr), width),),
            properties={"width": width_attr(width)},
        )

    def verify_(self) -> None:
        super().verify_()
        if element_type_of(self.indices.type) != i64:
            raise VerifyException(
                f"simd.gather: indices must be i64, got {self.indices.type}"
            )
        self._verify_access(self.ptr, self.result, self.mask)


@irdl_op_definition
class LoadStridedOp(MemoryOp):
    """Lane `l` reads element `index + l * stride`."""

    name = "simd.load_strided"

    SCALAR_OPERANDS: ClassVar[frozenset[int]] = frozenset({0, 1, 2})

    ptr = operand_def(PtrType)
    index = operand_def(IndexType)
    stride = operand_def(IndexType)
    mask = opt_operand_def(MASK_CONSTR)
    result = result_def(DATA_CONSTR)

    traits = traits_def(MemoryReadEffect())

    assembly_format = (
        "$ptr `[` $index `]` `,` $stride (`mask` $mask^ `:` type($mask))? "
        + WIDTH
        + " attr-dict `:` type($ptr) `->` type($result)"
    )

    def __init__(
        self,
        ptr: Value,
        index: Value,
        stride: Value,
        width: int = 1,
        mask: Value | None = None,
    ) -> None:
        super().__init__(
            operands=(ptr, index, stride, mask),
            result_types=(data_type(_pointee(ptr), width),),
            properties={"width": width_attr(width)},
        )

    def verify_(self) -> None:
        super().verify_()
        self._verify_access(self.ptr, self.result, self.mask)


@irdl_op_definition
class StoreStridedOp(MemoryOp):
    """Lane `l` writes element `index + l * stride`, in lane order."""

    name = "simd.store_strided"

    SCALAR_OPERANDS: ClassVar[frozenset[int]] = frozenset({1, 2, 3})

    value = operand_def(DATA_CONSTR)
    ptr = operand_def(PtrType)
    index = operand_def(IndexType)
    stride = operand_def(IndexType)
    mask = opt_operand_def(MASK_CONSTR)

    traits = traits_def(MemoryWriteEffect())

    assembly_format = (
        "$value `,` $ptr `[` $index `]` `,` $stride (`mask` $mask^ `:` type($mask))? "
        + WIDTH
        + " attr-dict `:` type($value) `,` type($ptr)"
    )

    def __init__(
        self,
        value: Value,
        ptr: Value,
        index: Value,
        stride: Value,
        mask: Value | None = None,
    ) -> None:
        value = SSAValue.get(value)
        super().__init__(
            operands=(value, ptr, index, stride, mask),
            properties={"width": width_attr(width_of(value.type))},
        )

    def verify_(self) -> None:
        super().verify_()
        self._verify_access(self.ptr, self.value, self.mask)


@irdl_op_definition
class MaskOp(WidthOp):
    """The mask whose lane `l` is on when `l < n`: the usual mask of a tail."""

    name = "simd.mask"

    SCALAR_OPERANDS: ClassVar[frozenset[int]] = frozenset({0})

    count = operand_def(IndexType)
    result = result_def(MASK_CONSTR)

    traits = traits_def(Pure())

    assembly_format = "$count " + WIDTH + " attr-dict `:` type($result)"

    def __init__(self, count: Value, width: int) -> None:
        super().__init__(
            operands=(count,),
            result_types=(mask_type(width),),
            properties={"width": width_attr(width)},
        )

    def verify_(self) -> None:
        super().verify_()
        if self.result.type != mask_type(self.lanes):
            raise VerifyException(
                f"simd.mask: the result must be {mask_type(self.lanes)}, "
                f"got {self.result.type}"
            )


@irdl_op_definition
class PtrAddOp(IRDLOperation):
    """The pointer `offset` elements further."""

    name = "simd.ptr_add"

    ptr = operand_def(PtrType)
    offset = operand_def(IndexType)
    result = result_def(PtrType)

    traits = traits_def(Pure())

    assembly_format = "$ptr `,` $offset attr-dict `:` type($ptr) `->` type($result)"

    def __init__(self, ptr: Value, offset: Value) -> None:
        ptr = SSAValue.get(ptr)
        super().__init__(operands=(ptr, offset), result_types=(ptr.type,))

    def verify_(self) -> None:
        if self.ptr.type != self.result.type:
            raise VerifyException(
                f"simd.ptr_add: {self.ptr.type} cannot become {self.result.type}"
            )


@irdl_op_definition
class AllocaOp(IRDLOperation):
    """
    Stack scratch of `count` elements, 64-byte aligned, alive for the whole call.

    The lowering hoists it to the function's entry, so one in a loop is one block.
    """

    name = "simd.alloca"

    count = prop_def(IntegerAttr[I64])
    result = result_def(PtrType)

    traits = traits_def(MemoryWriteEffect())

    assembly_format = "$count attr-dict `:` type($result)"

    def __init__(self, count: int, element_type: Attribute) -> None:
        super().__init__(
            properties={"count": width_attr(count)},
            result_types=(PtrType(element_type),),
        )

    def verify_(self) -> None:
        if self.count.value.data < 1:
            raise VerifyException(
                f"simd.alloca: needs at least one element, got {self.count.value.data}"
            )


@irdl_op_definition
class LoadSlotOp(IRDLOperation):
    """
    Read argument `slot` of a kernel from its table of 8-byte slots.

    Only `finalize-kernel-abi` makes it: `simd.load_slot %slots[2] : !simd.ptr<f32>`.
    """

    name = "simd.load_slot"

    slots = operand_def(PtrType(i64))
    slot = prop_def(IntegerAttr[I64])
    result = result_def(PtrType | IndexType)

    traits = traits_def(MemoryReadEffect())

    assembly_format = "$slots `[` $slot `]` attr-dict `:` type($result)"

    def __init__(self, slots: Value, slot: int, type: Attribute) -> None:
        super().__init__(
            operands=(slots,),
            properties={"slot": width_attr(slot)},
            result_types=(type,),
        )

    def verify_(self) -> None:
        if self.slot.value.data < 0:
            raise VerifyException(
                f"simd.load_slot: slot must not be negative, got {self.slot.value.data}"
            )


@irdl_op_definition
class PrefetchOp(IRDLOperation):
    """
    Ask for the cache line `ahead` bytes after an element, which may be anywhere.

    The element itself is within its buffer. Nothing is read: no result depends on it.
    `simd.prefetch %p[%i] {ahead = 2048} : !simd.ptr<f32>`
    """

    name = "simd.prefetch"

    ptr = operand_def(PtrType)
    index = operand_def(IndexType)
    ahead = prop_def(IntegerAttr[I64])

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = (
        "$ptr `[` $index `]` ` ` `{` `ahead` `=` $ahead `}` attr-dict `:` type($ptr)"
    )

    def __init__(self, ptr: Value, index: Value, ahead: int) -> None:
        super().__init__(operands=(ptr, index), properties={"ahead": width_attr(ahead)})


@irdl_op_definition
class RaiseOp(IRDLOperation):
    """
    Record error `code` at `site` in the run state if `condition` holds.

    Only the first error of a run is kept; the control flow does not change. The state
    is an array of words: cancel flag, error code, site, detail.
    """

    name = "simd.raise"

    state = operand_def(PtrType(i64))
    condition = operand_def(i1)
    detail = opt_operand_def(IndexType)
    code = prop_def(IntegerAttr[I64])
    site = prop_def(IntegerAttr[I64])

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    assembly_format = (
        "$state `,` $condition (`detail` $detail^)? "
        "` ` `{` `code` `=` $code `,` `site` `=` $site `}` attr-dict"
    )

    def __init__(
        self,
        state: Value,
        condition: Value,
        code: int,
        site: int,
        detail: Value | None = None,
    ) -> None:
        super().__init__(
            operands=(state, condition, detail),
            properties={"code": width_attr(code), "site": width_attr(site)},
        )

    def verify_(self) -> None:
        if self.code.value.data == 0:
            raise VerifyException("simd.raise: code 0 means no error")
