"""
How far nnc and ONNX Runtime are from the exact answer, on the measured set.

    python benchmarks/accuracy.py [--target native] [--interpret] [NAME ...]

The exact answer is that of the same network in f64: the pass `widen-floats`, compiled,
or with `--interpret` evaluated by numpy, which shares no kernel with either engine and
takes long. A distance is `max |a - b| / max |b|`, the largest over all outputs that are
floats; the ratio of both should be at most 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "models"))

from catalogue import MEASURED, Case  # noqa: E402 # beside the tests, which use it too

import nnc  # noqa: E402 # as above


def distance(ours: Sequence[Any], exact: Sequence[Any]) -> float:
    """The largest distance of the outputs that are floats."""
    return max(
        float(np.abs(a.astype(np.float64) - b).max()) / (float(np.abs(b).max()) or 1.0)
        for a, b in zip(ours, exact, strict=True)
        if b.dtype == np.float64 and b.size
    )


def exact_outputs(case: Case, target: str, interpret: bool) -> list[Any]:
    """The outputs of the network in f64."""
    wide = {
        name: array.astype(np.float64) if array.dtype == np.float32 else array
        for name, array in case.inputs().items()
    }
    module = nnc.convert(case.network.path).apply("widen-floats")
    if interpret:
        return module.interpret(wide)
    with nnc.compile(module, target=target, num_threads=1) as model:
        return model.run(None, wide)


def measure(case: Case, target: str, interpret: bool) -> tuple[float, float]:
    """The distances of nnc and ONNX Runtime."""
    exact = exact_outputs(case, target, interpret)
    with nnc.compile(case.network.path, target=target) as model:
        ours = model.run(None, case.inputs())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(case.network.path), options, providers=["CPUExecutionProvider"]
    )
    theirs = session.run(None, case.inputs())
    return distance(ours, exact), distance(theirs, exact)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--target", default="native")
    parser.add_argument("--interpret", action="store_true")
    args = parser.parse_args()
    print("| network | nnc | ONNX Runtime | ratio |", "|---|---|---|---|", sep="\n")
    worst = 0.0
    for name in args.names or MEASURED:
        ours, theirs = measure(MEASURED[name], args.target, args.interpret)
        ratio = ours / theirs if theirs else float(ours > 0)
        worst = max(worst, ratio)
        print(f"| {name} | {ours:.2e} | {theirs:.2e} | {ratio:.2f} |", flush=True)
    print(f"\nlargest ratio {worst:.2f}")


if __name__ == "__main__":
    main()
