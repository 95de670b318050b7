"""
Whole networks, nnc beside ONNX Runtime, one thread each.

    python benchmarks/networks.py [--target avx2] [--rounds 5] [--json FILE] [NAME ...]

Each engine has a process of its own (thread pools of two engines in one process disturb
each other); they take turns in bursts, so that drift of the machine meets both. Printed
are medians, their ratio, the cold compile time (in a fresh process, imports included),
and the error: `max |a - b| / max |b|`, the largest over all outputs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any, Final

import numpy as np

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "models"))

from catalogue import NETWORKS  # noqa: E402 # beside the tests, which use it too

BURST_SECONDS: Final = 0.3


@dataclass(frozen=True)
class Row:
    """One network on one target."""

    name: str
    target: str
    nnc_ms: float
    peer_ms: float
    ratio: float
    compile_s: float
    peer_load_s: float
    error: float


class Engine:
    """An engine in a process of its own."""

    def __init__(self, engine: str, name: str, target: str, folder: Path) -> None:
        self.outputs = folder / f"{engine}.npz"
        command = [sys.executable, __file__, "--worker", engine, "--target", target]
        self._process = subprocess.Popen(
            [*command, "--outputs", str(self.outputs), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.load_s = float(self._answer())

    def burst(self) -> list[float]:
        """Run times, in seconds, of one burst."""
        self._stream(self._process.stdin).write("burst\n")
        self._stream(self._process.stdin).flush()
        return json.loads(self._answer())

    def close(self) -> None:
        """End the process."""
        self._stream(self._process.stdin).close()
        self._process.wait()

    def _answer(self) -> str:
        for line in self._stream(self._process.stdout):
            if line.startswith("> "):
                return line[2:]
        raise RuntimeError("an engine's process ended early")

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream


def work(engine: str, name: str, target: str, outputs: Path) -> None:
    """The process of one engine: load, report, run a burst for every line read."""
    network = NETWORKS[name]
    path, feeds = network.path, network.inputs()
    started = time.perf_counter()
    if engine == "nnc":
        import nnc

        model: Any = nnc.compile(path, target=target)
    else:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        model = onnxruntime.InferenceSession(path, options)
    loaded = time.perf_counter() - started
    results = model.run(None, feeds)
    np.savez(outputs, *results)
    print(f"> {loaded}", flush=True)
    for _ in sys.stdin:
        times: list[float] = []
        while sum(times) < BURST_SECONDS or len(times) < 3:
            started = time.perf_counter()
            model.run(None, feeds)
            times.append(time.perf_counter() - started)
        print(f"> {json.dumps(times)}", flush=True)


def error_between(ours: Path, theirs: Path) -> float:
    """The largest relative error over all outputs."""
    with np.load(ours) as a, np.load(theirs) as b:
        return max(
            float(np.abs(a[k].astype(np.float64) - b[k]).max())
            / (float(np.abs(b[k]).max()) or 1.0)
            for k in b.files
        )


def measure(name: str, target: str, rounds: int) -> Row:
    """Both engines on one network."""
    with tempfile.TemporaryDirectory() as folder:
        ours = Engine("nnc", name, target, Path(folder))
        theirs = Engine("onnxruntime", name, target, Path(folder))
        error = error_between(ours.outputs, theirs.outputs)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            times[0].extend(ours.burst())
            times[1].extend(theirs.burst())
        ours.close()
        theirs.close()
    a, b = median(times[0]) * 1e3, median(times[1]) * 1e3
    return Row(name, target, a, b, a / b, ours.load_s, theirs.load_s, error)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--target", default="native")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--outputs", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.names[0], args.target, args.outputs)
        return
    rows: list[Row] = []
    print("| network | target | nnc ms | ORT ms | ratio | compile s | load s | error |")
    print("|---|---|---|---|---|---|---|---|")
    for name in args.names or NETWORKS:
        row = measure(name, args.target, args.rounds)
        rows.append(row)
        print(
            f"| {row.name} | {row.target} | {row.nnc_ms:.2f} | {row.peer_ms:.2f} | "
            f"{row.ratio:.2f} | {row.compile_s:.2f} | {row.peer_load_s:.2f} | "
            f"{row.error:.1e} |",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in rows], indent=2))


if __name__ == "__main__":
    main()
