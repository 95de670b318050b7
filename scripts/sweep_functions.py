"""
Largest errors of the elementwise functions, over every f32 number.

    python scripts/sweep_functions.py [--only exp] [--target native] [--step 1]

A full sweep of a function takes minutes. `--step 1009` looks at every 1009th number.
"""

from __future__ import annotations

import argparse

import numpy as np

from nnc.backend.host import resolve_target
from nnc.testing_functions import FUNCTIONS, exact_values, function_kernel, ulps
from nnc.testing_kernels import NativeKernels, compile_kernels

CHUNK = 1 << 22


def worst(kernels: NativeKernels, name: str, step: int) -> tuple[float, np.float32]:
    """The largest error in ulp, and where it is."""
    largest, place = 0.0, np.float32(0)
    for start in range(0, 1 << 32, CHUNK * step):
        count = -(-(min(start + CHUNK * step, 1 << 32) - start) // step)
        bits = np.arange(count, dtype=np.uint32) * np.uint32(step) + np.uint32(start)
        x = bits.view(np.float32)
        y = kernels.run(name, [x, np.zeros_like(x), len(x)])[-1]
        errors = ulps(y.astype(np.float32, copy=False), exact_values(name, x))
        at = int(np.argmax(errors))
        if errors[at] > largest:
            largest, place = float(errors[at]), x[at]
    return largest, place


def main() -> None:
    """Sweep, one function after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--target", default="native")
    parser.add_argument("--step", type=int, default=1)
    arguments = parser.parse_args()
    target = resolve_target(arguments.target)
    names = [n for n in FUNCTIONS if arguments.only in n]
    width = target.lanes(32)
    kernels = NativeKernels(
        compile_kernels([function_kernel(n, width) for n in names], target)
    )
    for name in names:
        largest, place = worst(kernels, name, arguments.step)
        bound = FUNCTIONS[name].bound
        verdict = "" if largest <= bound else "  TOO LARGE"
        print(
            f"{name:8} {largest:.3f} ulp at {place!r}, bound {bound}{verdict}",
            flush=True,
        )


if __name__ == "__main__":
    main()
