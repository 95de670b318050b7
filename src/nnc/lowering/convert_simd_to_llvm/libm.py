"""
Functions without a polynomial of ours: the C library, lane by lane.

LLVM splits a vector intrinsic into scalar library calls, so most of this is one op.
"""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.analysis.fallbacks import LIBRARY_INTRINSICS
from nnc.dialects.simd.types import bits_of, element_type_of, is_vector, width_of
from nnc.lowering.convert_simd_to_llvm.builder import Builder


def call(b: Builder, name: str, *args: SSAValue) -> SSAValue:
    """`name` of the C library on f32 or f64 operands of any width."""
    type = args[0].type
    if name in LIBRARY_INTRINSICS:
        return b.intrinsic(f"llvm.{name}", args, type)
    element = element_type_of(type)
    symbol = name + ("f" if bits_of(type) == 32 else "")
    if not is_vector(type):
        return b.call(symbol, args, element)
    result = b.undef(type)
    for lane in range(width_of(type)):
        scalars = [b.extract_lane(a, lane) for a in args]
        result = b.insert_lane(result, b.call(symbol, scalars, element), lane)
    return result
