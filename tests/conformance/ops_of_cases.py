"""
Which ops the model of each case holds: `ops_of_cases.txt`, for the support table.

`update_expected_failures.py` writes the file; alone, this script writes it, too.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, NodeProto
from onnx.backend.test.loader import load_model_tests

OPS_OF_CASES = Path(__file__).with_name("ops_of_cases.txt")

_KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _ops(model: ModelProto) -> list[str]:
    """The ops of a model as `Op` or `domain.Op`, its functions left out."""
    own = {(f.domain, f.name) for f in model.functions}
    keys = {(n.domain, n.op_type) for n in _nodes(model.graph)} - own
    return sorted(
        op if domain in ("", "ai.onnx") else f"{domain}.{op}" for domain, op in keys
    )


def text() -> str:
    """A line a case: its name, then the ops of its model."""
    with warnings.catch_warnings():
        # Expected values are computed when cases are loaded: overflow is meant.
        warnings.simplefilter("ignore")
        return _text()


def _text() -> str:
    lines: list[str] = []
    for kind in _KINDS:
        for case in load_model_tests(kind=kind):
            model = case.model
            if model is None:
                assert case.model_dir is not None
                model = onnx.load(Path(case.model_dir) / "model.onnx")
            lines.append(" ".join([case.name, *_ops(model)]))
    return "\n".join([*sorted(lines), ""])


if __name__ == "__main__":
    OPS_OF_CASES.write_text(text())
    print(f"wrote {OPS_OF_CASES}", file=sys.stderr)
