"""
Elementwise functions: cycles an element, over operands that stay in the L2 cache.

    python benchmarks/kernels/functions.py [--target native] [--only exp] [--double]

The length of a cycle is measured by a chain of dependent additions, so the figures
hold whatever the clock does.
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Callable, Mapping

import numpy as np
from bandwidth import aligned, best_time
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    Float32Type,
    Float64Type,
    TensorType,
)
from xdsl.ir import Operation, SSAValue

from nnc.backend.host import resolve_target
from nnc.backend.jit import emit_object, load_object
from nnc.dialects.nn import elementwise as nn
from nnc.dialects.nn import movement
from nnc.dialects.nn.structure import ConstantOp
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.target import Target
from nnc.testing_dispatches import Operand, lower_dispatch

COUNT = 65536
LINKS, TURNS = 16, 20_000


def number(like: SSAValue, value: float) -> SSAValue:
    """A constant of the shape of `like`."""
    element = element_type_of(like)
    assert isinstance(element, Float32Type | Float64Type)
    scalar = TensorType(element, [])
    constant = ConstantOp(DenseIntOrFPElementsAttr.from_list(scalar, [value]))
    return movement.BroadcastOp(constant, dims_of(like)).result


def gelu(x: SSAValue) -> Operation:
    """`x / 2 * (1 + erf(x / sqrt(2)))`."""
    inner = nn.ErfOp(nn.MulOp(x, number(x, 0.5**0.5)))
    outer = nn.AddOp(inner, number(x, 1.0))
    return nn.MulOp(nn.MulOp(x, outer), number(x, 0.5))


def gelu_tanh(x: SSAValue) -> Operation:
    """The approximation of gelu by tanh."""
    cube = nn.MulOp(nn.MulOp(x, x), x)
    inner = nn.AddOp(x, nn.MulOp(cube, number(x, 0.044715)))
    wave = nn.TanhOp(nn.MulOp(inner, number(x, 0.7978845608)))
    outer = nn.AddOp(wave, number(x, 1.0))
    return nn.MulOp(nn.MulOp(x, outer), number(x, 0.5))


def silu(x: SSAValue) -> Operation:
    """`x * sigmoid(x)`."""
    return nn.MulOp(x, nn.SigmoidOp(x))


def hard_swish(x: SSAValue) -> Operation:
    """`x * clamp(x + 3, 0, 6) / 6`."""
    gate = nn.ClampOp(nn.AddOp(x, number(x, 3.0)), 0.0, 6.0)
    return nn.MulOp(nn.MulOp(x, gate), number(x, 1 / 6))


def mish(x: SSAValue) -> Operation:
    """`x * tanh(log(1 + exp(x)))`."""
    soft = nn.LogOp(nn.AddOp(nn.ExpOp(x), number(x, 1.0)))
    return nn.MulOp(x, nn.TanhOp(soft))


def square_root(x: SSAValue) -> Operation:
    """`sqrt(|x|)`."""
    return nn.SqrtOp(nn.AbsOp(x))


def power(x: SSAValue) -> Operation:
    """`|x| ** 2.2`, as gamma correction does."""
    return nn.PowOp(nn.AbsOp(x), number(x, 2.2))


def power_of(x: SSAValue) -> Operation:
    """`|x| ** x`: nothing known about the exponent."""
    return nn.PowOp(nn.AbsOp(x), x)


CASES: Mapping[str, tuple[Callable[..., Operation], float, float]] = {
    "relu": (nn.ReluOp, -4, 4),
    "hard swish": (hard_swish, -4, 4),
    "sqrt": (square_root, -4, 4),
    "exp": (nn.ExpOp, -10, 10),
    "log": (nn.LogOp, 0.01, 100),
    "tanh": (nn.TanhOp, -4, 4),
    "sigmoid": (nn.SigmoidOp, -8, 8),
    "silu": (silu, -8, 8),
    "erf": (nn.ErfOp, -4, 4),
    "gelu": (gelu, -4, 4),
    "gelu tanh": (gelu_tanh, -4, 4),
    "mish": (mish, -4, 4),
    "pow 2.2": (power, -4, 4),
    "pow x": (power_of, -4, 4),
    "sin": (nn.SinOp, -10, 10),
    "cos": (nn.CosOp, -10, 10),
    "tan": (nn.TanOp, -10, 10),
    "asin": (nn.AsinOp, -1, 1),
    "acos": (nn.AcosOp, -1, 1),
    "atan": (nn.AtanOp, -4, 4),
    "sinh": (nn.SinhOp, -4, 4),
    "cosh": (nn.CoshOp, -4, 4),
    "asinh": (nn.AsinhOp, -4, 4),
    "acosh": (nn.AcoshOp, 1, 10),
    "atanh": (nn.AtanhOp, -0.99, 0.99),
}


def seconds_a_cycle(target: Target) -> float:
    """The time of one of a chain of dependent operations on an integer."""
    lines = [
        f'target triple = "{target.triple}"',
        "define void @kernel(ptr %p, i64 %a, i64 %n) {",
        "entry:",
        "  %first = load i64, ptr %p, align 8",
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [ %n, %entry ], [ %left, %loop ]",
        f"  %x0 = phi i64 [ %first, %entry ], [ %x{2 * LINKS}, %loop ]",
    ]
    for k in range(0, 2 * LINKS, 2):
        lines.append(f"  %x{k + 1} = add i64 %x{k}, %a")
        lines.append(f"  %x{k + 2} = xor i64 %x{k + 1}, %first")
    lines += [
        "  %left = add i64 %i, -1",
        "  %more = icmp sgt i64 %left, 0",
        "  br i1 %more, label %loop, label %done",
        "done:",
        f"  store i64 %x{2 * LINKS}, ptr %p, align 8",
        "  ret void",
        "}",
    ]
    code = load_object(emit_object("\n".join(lines), target))
    signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    function = signature(code.address("kernel"))
    data = np.array([12345], np.int64)
    seconds = best_time(lambda: function(data.ctypes.data, 77, TURNS))
    return seconds / (2 * LINKS * TURNS)


def main() -> None:
    """Time the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="native")
    parser.add_argument("--only", default="")
    parser.add_argument("--double", action="store_true")
    arguments = parser.parse_args()
    target = resolve_target(arguments.target)
    dtype = np.float64 if arguments.double else np.float32
    rng = np.random.default_rng(0)
    cycle = seconds_a_cycle(target)
    print(f"{1e-9 / cycle:.2f} GHz")
    print(f"{'function':12} {'ops':>5} {'us':>9} {'cycles an element':>18}")
    for name, (build, low, high) in CASES.items():
        if arguments.only not in name:
            continue
        x = aligned(rng.uniform(low, high, COUNT).astype(dtype))
        lowered = lower_dispatch(build, [Operand(x)], target)
        y = aligned(np.zeros_like(x))
        run = lowered.prepare([x.ctypes.data, y.ctypes.data])
        seconds = best_time(run, 0.2)
        print(
            f"{name:12} {lowered.op_count:5} {seconds * 1e6:9.2f} "
            f"{seconds / cycle / COUNT:18.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
