"""
The measured set of networks, nnc beside ONNX Runtime and OpenVINO.

    python benchmarks/networks.py [--threads 1,2] [--rounds 5] [--json FILE] [NAME ...]

Names are those of `MEASURED` in tests/models/catalogue.py, or beginnings of them. With
`--json`, each network is written when it is done, and those that the file holds for
the same threads are not measured again: long measurements can be done in pieces.
`--table` only prints what the file holds.

Ratios are the time of nnc over that of the fastest other engine: of the medians, and of
the least times, which tell more where the machine is not idle. See `nnc bench` for how
engines take turns, and for the other columns.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "models"))

from catalogue import MEASURED, Case  # noqa: E402 # beside the tests, which use it too

from nnc.bench.compare import Options, compare, geometric_mean  # noqa: E402 # as above

Record = dict[str, Any]

PEERS: Final = ("onnxruntime", "openvino")
HEADINGS: Final = (
    *("network", "threads", "nnc ms", "ORT ms", "OV ms", "ratio", "of best", "error"),
    *("cold s", "load s", "ORT load s", "MiB", "ORT MiB", "first ms"),
)


def chosen(names: Sequence[str]) -> Iterator[Case]:
    """The cases that the names select; all for none."""
    for name, case in MEASURED.items():
        if not names or any(_selects(n, name) for n in names):
            yield case


def _selects(given: str, name: str) -> bool:
    """Whether a name is that of a case or its network, or begins others' names."""
    exact = given in MEASURED or any(n.startswith(f"{given}@") for n in MEASURED)
    return given in (name, name.partition("@")[0]) if exact else name.startswith(given)


def measure(case: Case, threads: int, args: argparse.Namespace) -> Record:
    """One network with one number of threads."""
    options = Options(
        threads=threads,
        target=args.target,
        rounds=args.rounds,
        burst_seconds=args.burst,
        cold=not args.warm,
    )
    made = compare(case.network.path, case.inputs(), args.vs.split(","), options)
    return {**made.record(), "name": case.name, "target": args.target}


def row(record: Record) -> tuple[str, ...]:
    """A record as cells."""
    engines = {e["engine"]: e for e in record["engines"]}
    ours, ort = engines["nnc"], engines.get("onnxruntime", {})

    def number(engine: Record | None, key: str, form: str) -> str:
        if not engine or engine.get("failure"):
            return "-"
        return "-" if engine.get(key) is None else format(engine[key], form)

    def plain(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    return (
        record["name"],
        str(record["threads"]),
        number(ours, "median_ms", ".3f"),
        number(ort, "median_ms", ".3f"),
        number(engines.get("openvino"), "median_ms", ".3f"),
        plain(record["ratio"]),
        plain(record["best_ratio"]),
        number(ours, "deviation", ".1e"),
        number(ours, "cold_s", ".2f"),
        number(ours, "load_s", ".2f"),
        number(ort, "load_s", ".2f"),
        number(ours, "peak_mib", ".0f"),
        number(ort, "peak_mib", ".0f"),
        number(ours, "first_ms", ".1f"),
    )


def line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def summary(records: Sequence[Record]) -> Iterator[str]:
    """Geometric means by threads, and the networks that have none."""
    for threads in sorted({r["threads"] for r in records}):
        of = [r for r in records if r["threads"] == threads]
        for key, what in (("ratio", "medians"), ("best_ratio", "least times")):
            ratios = [r[key] for r in of if r[key] is not None]
            if ratios:
                yield (
                    f"{threads} threads, {what}: geometric mean "
                    f"{geometric_mean(ratios):.3f} of {len(ratios)} networks, "
                    f"largest {max(ratios):.2f}, {sum(n <= 1 for n in ratios)} at most "
                    "1"
                )
    for record in records:
        for engine in record["engines"]:
            if engine["failure"]:
                text = " ".join(engine["failure"].split())[:160]
                yield f"{record['name']}: {engine['engine']} failed: {text}"


def save(path: Path, records: Sequence[Record]) -> None:
    """Write the records; the file is whole at all times."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(records, indent=1) + "\n")
    partial.replace(path)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--threads", default="1", help="as in 1,2")
    parser.add_argument("--vs", default=",".join(PEERS))
    parser.add_argument("--target", default="native")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--burst", type=float, default=0.3, metavar="SECONDS")
    parser.add_argument("--warm", action="store_true", help="no cold compilation")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--again", action="store_true", help="measure all anew")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    args = parser.parse_args()
    known: list[Record] = []
    if args.json and args.json.exists():
        known = json.loads(args.json.read_text())
    cases = list(chosen(args.names))
    order = {name: index for index, name in enumerate(MEASURED)}
    shown: list[Record] = []
    print(line(HEADINGS), line(["---"] * len(HEADINGS)), sep="\n")
    for threads in map(int, args.threads.split(",")):
        for case in cases:
            key = (case.name, threads, args.target)
            record = next((r for r in known if key_of(r) == key), None)
            if record is None or args.again:
                if args.table:
                    continue
                record = measure(case, threads, args)
                known = [r for r in known if key_of(r) != key] + [record]
                known.sort(key=lambda r: (r["threads"], order.get(r["name"], -1)))
                if args.json:
                    save(args.json, known)
            shown.append(record)
            print(line(row(record)), flush=True)
    print("", *summary(shown), sep="\n")


def key_of(record: Record) -> tuple[str, int, str]:
    """What a measurement is of."""
    return record["name"], record["threads"], record["target"]


if __name__ == "__main__":
    main()
