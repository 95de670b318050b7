"""Branches and loops of the host program."""

from __future__ import annotations

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
)
from xdsl.traits import IsTerminator, MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.types import BOOL, I64, ShapeAttr
from nnc.dialects.rt.types import BufferType, buffer_type_of
from nnc.symbolic import Dim, DimLike


@irdl_op_definition
class EndOp(IRDLOperation):
    """Ends a region: `rt.end`."""

    name = "rt.end"

    traits = traits_def(IsTerminator())
    assembly_format = "attr-dict"


@irdl_op_definition
class IfOp(IRDLOperation):
    """
    Runs one of two regions, as the boolean in a buffer says.

    The regions read and write buffers of the program around them. Example::

        rt.if %c : !rt.buffer<i1, #nn.shape<>, #nn.shape<>> {
          rt.launch @exp(%x, %y) ...
          rt.end
        } else {
          rt.launch @copy(%x, %y) ...
          rt.end
        }
    """

    name = "rt.if"

    condition = operand_def(BufferType)
    then_body = region_def("single_block")
    else_body = region_def("single_block")

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    assembly_format = (
        "$condition `:` type($condition) attr-dict-with-keyword "
        "$then_body `else` $else_body"
    )

    def __init__(
        self, condition: SSAValue, then_body: Region, else_body: Region
    ) -> None:
        super().__init__(operands=[condition], regions=[then_body, else_body])

    def verify_(self) -> None:
        _verify_scalar(self.name, self.condition, BOOL)


@irdl_op_definition
class LoopOp(IRDLOperation):
    """
    Runs a region again and again.

    It ends after `trips` iterations, or as many as the buffer `count` says, or as soon
    as the boolean in `condition` is false (before the first iteration) or that in
    `next` (after each). The number of the iteration is stored to `iteration`.

    In the region, the symbol `index` is that number: offsets of views may depend on it,
    as `a + index * b + index mod 2 * c`. After the loop, offsets may depend in the same
    way on the symbol `ended`, the number of iterations that were run. Example::

        rt.loop "loop$0" ended "loop$0.n" trips <T> {
          %h = rt.view %state {offset = #nn.shape<loop$0 mod 2 * 4>} : ...
          rt.launch @step(%h, ...) ...
          rt.end
        }
    """

    name = "rt.loop"

    index = prop_def(StringAttr)
    ended = prop_def(StringAttr)
    trips = opt_prop_def(ShapeAttr)
    count = opt_operand_def(BufferType)
    condition = opt_operand_def(BufferType)
    next = opt_operand_def(BufferType)
    iteration = opt_operand_def(BufferType)
    body = region_def("single_block")

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = (
        "$index `ended` $ended (`trips` $trips^)? "
        "(`count` `(` $count^ `:` type($count) `)`)? "
        "(`while` `(` $condition^ `:` type($condition) `)`)? "
        "(`next` `(` $next^ `:` type($next) `)`)? "
        "(`iteration` `(` $iteration^ `:` type($iteration) `)`)? "
        "attr-dict-with-keyword $body"
    )

    def __init__(
        self,
        index: str,
        ended: str,
        body: Region,
        *,
        trips: DimLike | None = None,
        count: SSAValue | None = None,
        condition: SSAValue | None = None,
        next: SSAValue | None = None,
        iteration: SSAValue | None = None,
    ) -> None:
        optional = (count, condition, next, iteration)
        super().__init__(
            operands=[[] if v is None else [v] for v in optional],
            properties={
                "index": StringAttr(index),
                "ended": StringAttr(ended),
                "trips": None if trips is None else ShapeAttr.of([trips]),
            },
            regions=[body],
        )

    @property
    def trip_dim(self) -> Dim | None:
        """The bound of the number of iterations, if it is a size."""
        return None if self.trips is None else self.trips.dims[0]

    def verify_(self) -> None:
        if self.trips is not None and len(self.trips.texts) != 1:
            raise VerifyException(f"{self.name}: trips must be one size")
        if self.trips is not None and self.count is not None:
            raise VerifyException(f"{self.name}: trips and count exclude each other")
        if (self.condition is None) != (self.next is None):
            raise VerifyException(f"{self.name}: while and next go together")
        if self.trips is None and self.count is None and self.condition is None:
            raise VerifyException(f"{self.name}: nothing ends the loop")
        for value, type_ in (
            (self.count, I64),
            (self.condition, BOOL),
            (self.next, BOOL),
            (self.iteration, I64),
        ):
            if value is not None:
                _verify_scalar(self.name, value, type_)


REGION_OPS = (IfOp, LoopOp)
"""The ops with control flow."""


def _verify_scalar(name: str, value: SSAValue, element_type: object) -> None:
    type_ = buffer_type_of(value)
    if type_.rank or type_.element_type != element_type:
        raise VerifyException(f"{name}: {type_} should hold one {element_type}")
