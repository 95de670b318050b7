"""Where a compilation took a general way instead of a fast one, for people to read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from xdsl.dialects import llvm
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from nnc.runtime.artifact import Plan
from nnc.runtime.info import FallbackInfo

LIBRARY_INTRINSICS: Final = frozenset(
    {
        *("exp", "exp2", "log", "sin", "cos", "tan", "asin", "acos", "atan", "atan2"),
        *("sinh", "cosh", "tanh", "pow"),
    }
)
"""Functions that LLVM knows as `llvm.<name>`, and makes calls of the C library."""

SLOW_SCHEDULES: Final = {
    "contraction generic": (
        "the general loop nest of contractions, one element at a time: no register "
        "tile fits these types or this form"
    ),
}


def find_fallbacks(module: ModuleOp, plan: Plan) -> tuple[FallbackInfo, ...]:
    """The slow ways that the launches of a fully lowered module take, in order."""
    library = {
        op.sym_name.data: calls
        for op in module.ops
        if isinstance(op, llvm.FuncOp) and (calls := _library_calls(op.body.walk()))
    }
    found: dict[FallbackInfo, None] = {}
    for launch in plan.launches:
        source = launch.node or launch.kernel
        if reason := SLOW_SCHEDULES.get(launch.schedule):
            found[FallbackInfo(source, f"{launch.schedule}: {reason}")] = None
        if calls := library.get(launch.kernel):
            reason = f"{', '.join(calls)} of the C library, one element at a time"
            found[FallbackInfo(source, reason)] = None
    return tuple(found)


def _library_calls(ops: Iterable[Operation]) -> list[str]:
    """The functions of the C library that a kernel calls; kernels call no others."""
    names: dict[str, None] = {}
    for op in ops:
        if isinstance(op, llvm.CallIntrinsicOp):
            name = op.intrin.data.removeprefix("llvm.").partition(".")[0]
            if name in LIBRARY_INTRINSICS:
                names[name] = None
        elif isinstance(op, llvm.CallOp) and op.callee is not None:
            names[op.callee.string_value()] = None
    return sorted(names)
