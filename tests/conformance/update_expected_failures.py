"""
Write `expected_failures.toml` from what fails now: a group for each reason; and
`ops_of_cases.txt`, which the support table counts.

`python tests/conformance/update_expected_failures.py`; the reasons are what
the importer or the comparison says. Look at the difference before it is kept.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cases import EXPECTED_FAILURES, cases, expected_failures
from ops_of_cases import OPS_OF_CASES
from ops_of_cases import text as ops_of_cases
from rich.progress import track

_HEADER = """\
# The cases of the onnx package's backend suite that nnc does not pass yet, by reason.
# Written by update_expected_failures.py; tests hold it exact in both directions.
"""


def reason_of(error: BaseException) -> str:
    """What an error says, without the names that differ from case to case."""
    text = str(error)
    node = re.search(r"- (\S+) \(node '[^']*'\): (.*)", text)
    if node:
        return re.sub(r"\boutput '[^']*'", "an output", f"{node[1]}: {node[2]}")
    kind = re.search(r"- graph \(node [^)]*\): input '[^']*' (.*)", text)
    if kind:
        return f"an input {kind[1]}"
    if isinstance(error, AssertionError):
        return "the result differs"
    return re.sub(r"'[^']*'", "'...'", text.splitlines()[0] if text else repr(error))


def main() -> None:
    """Run every case and write the list."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    failed: dict[str, list[str]] = defaultdict(list)
    known = expected_failures()
    warnings.simplefilter("ignore")
    for name, case in track(sorted(cases().items()), "running"):
        try:
            case.run(None)
        except Exception as error:  # whatever it is, the case fails
            failed[known.get(name) or reason_of(error)].append(name)
    groups = [
        f"[[failure]]\nreason = {json.dumps(reason)}\ncases = [\n"
        + "".join(f'  "{name}",\n' for name in names)
        + "]\n"
        for reason, names in sorted(failed.items())
    ]
    EXPECTED_FAILURES.write_text("\n".join([_HEADER, *groups]))
    OPS_OF_CASES.write_text(ops_of_cases())
    total = len(cases())
    print(f"{total - sum(map(len, failed.values()))} of {total} pass")


if __name__ == "__main__":
    main()
