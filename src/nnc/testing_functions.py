"""
The elementwise functions of kernels in tests: what they mean, and how exact they are.

The bounds are those that `docs/precision.md` states.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from xdsl.dialects import arith
from xdsl.dialects.builtin import f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from nnc.dialects import simd
from nnc.dialects.simd.compute import FloatUnaryOp
from nnc.testing_kernels import INDEX, KernelWriter, kernel

Floats = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]


def _sigmoid(x: Wide) -> Wide:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1 + e)


def _erf(x: Wide) -> Wide:
    return np.fromiter(map(math.erf, x), np.float64, len(x))


@dataclass(frozen=True)
class Function:
    """A function of one operand."""

    op: type[FloatUnaryOp]
    meaning: Callable[[Wide], Wide]
    bound: float
    """The largest error in units in the last place of f32."""

    interval: tuple[float, float]
    """Where it is interesting."""


FUNCTIONS: Final[Mapping[str, Function]] = {
    "exp": Function(simd.ExpOp, np.exp, 1.1, (-104, 89)),
    "exp2": Function(simd.Exp2Op, np.exp2, 1.1, (-150, 128)),
    "expm1": Function(simd.Expm1Op, np.expm1, 1.6, (-2, 2)),
    "log": Function(simd.LogOp, np.log, 0.85, (0.5, 2)),
    "log1p": Function(simd.Log1pOp, np.log1p, 1.5, (-0.999, 1)),
    "tanh": Function(simd.TanhOp, np.tanh, 2.6, (-10, 10)),
    "erf": Function(simd.ErfOp, _erf, 1.7, (-4.5, 4.5)),
    "sigmoid": Function(simd.SigmoidOp, _sigmoid, 5.2, (-90, 90)),
    "sin": Function(simd.SinOp, np.sin, 1.6, (-1e4, 1e4)),
    "cos": Function(simd.CosOp, np.cos, 1.6, (-1e4, 1e4)),
    "tan": Function(simd.TanOp, np.tan, 3.3, (-1e4, 1e4)),
    "asin": Function(simd.AsinOp, np.arcsin, 2.0, (-1, 1)),
    "acos": Function(simd.AcosOp, np.arccos, 1.2, (-1, 1)),
    "asinh": Function(simd.AsinhOp, np.arcsinh, 2.3, (-5, 5)),
    "acosh": Function(simd.AcoshOp, np.arccosh, 2.8, (1, 5)),
    "atanh": Function(simd.AtanhOp, np.arctanh, 2.6, (-1, 1)),
    "atan": Function(simd.AtanOp, np.arctan, 1.5, (-5, 5)),
    "sinh": Function(simd.SinhOp, np.sinh, 2.5, (-89, 89)),
    "cosh": Function(simd.CoshOp, np.cosh, 2.5, (-89, 89)),
}


def function_kernel(name: str, width: int) -> FuncOp:
    """A kernel `name` that applies a function to vectors of so many lanes."""
    op = FUNCTIONS[name].op

    def body(w: KernelWriter, a: SSAValue, out: SSAValue, n: SSAValue) -> None:
        def step(w: KernelWriter, i: SSAValue) -> None:
            mask = w(simd.MaskOp(w(arith.SubiOp(n, i)), width))
            value = w(op(w(simd.LoadOp(a, i, width, mask))))
            w.do(simd.StoreOp(value, out, i, mask))

        w.loop(w.index(0), n, width, step)

    return kernel(name, [simd.PtrType(f32), simd.PtrType(f32), INDEX], body)


def exact_values(name: str, x: Floats) -> Wide:
    """The function in f64."""
    with np.errstate(all="ignore"):
        return np.asarray(FUNCTIONS[name].meaning(x.astype(np.float64)))


def ulps(actual: Floats, exact: Wide) -> Wide:
    """
    Errors in units in the last place of f32 at the exact value.

    NaN for NaN and the infinity that the exact value rounds to are no error.
    """
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        exponent = np.frexp(np.where(np.isfinite(exact), exact, 1))[1] - 1
        unit = np.ldexp(1.0, np.clip(exponent, -126, 1000) - 23)
        error = np.abs(actual.astype(np.float64) - exact) / unit
    same = (actual == rounded) | (np.isnan(actual) & np.isnan(rounded))
    return np.where(same, 0, np.nan_to_num(error, nan=np.inf))
