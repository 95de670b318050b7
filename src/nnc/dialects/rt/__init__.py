"""The `rt` dialect: the host program over strided buffers and kernel launches."""

from __future__ import annotations

from xdsl.ir import Dialect

from nnc.dialects.rt.control import EndOp, IfOp, LoopOp
from nnc.dialects.rt.memory import AllocOp, ConstantOp, ViewOp, WeightOp
from nnc.dialects.rt.program import AssertEqualOp, DispatchOp, LaunchOp
from nnc.dialects.rt.types import BufferType

RT = Dialect(
    "rt",
    [
        AllocOp,
        AssertEqualOp,
        ConstantOp,
        DispatchOp,
        EndOp,
        IfOp,
        LaunchOp,
        LoopOp,
        ViewOp,
        WeightOp,
    ],
    [BufferType],
)

__all__ = [
    "RT",
    "AllocOp",
    "AssertEqualOp",
    "BufferType",
    "ConstantOp",
    "DispatchOp",
    "EndOp",
    "IfOp",
    "LaunchOp",
    "LoopOp",
    "ViewOp",
    "WeightOp",
]
