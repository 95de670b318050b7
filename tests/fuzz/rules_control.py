"""Rules that write branches and loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper
from writer import Rule, Value, Writer

_SAFE: Final = ("Tanh", "Sigmoid", "Relu", "Neg", "Sin", "Softsign")


def _declared(name: str, value: Value) -> ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(value.array.dtype)
    return helper.make_tensor_value_info(name, kind, None)


def _steps(w: Writer, start: str, names: Sequence[str], other: str) -> list[NodeProto]:
    """A chain of ops from one name on, which reads another one too."""
    nodes: list[NodeProto] = []
    for name in names:
        if w.flip(0.7):
            nodes.append(helper.make_node(w.pick(_SAFE), [start], [name]))
        else:
            nodes.append(
                helper.make_node(w.pick(("Add", "Mul", "Max")), [start, other], [name])
            )
        start = name
    return nodes


def _float(w: Writer) -> Value:
    return w.value("f", lambda v: v.array.dtype == np.float32)


def branch(w: Writer) -> None:
    """One of two computations of what is around."""
    x = _float(w)
    y = w.like(x, x.shape)
    condition = w.new((), "bool")
    graphs: dict[str, GraphProto] = {}
    for side in ("then", "else"):
        names = [f"{side}{len(w.nodes)}_{i}" for i in range(w.chance.randint(1, 3))]
        nodes = _steps(w, x.name, names, y.name)
        graphs[f"{side}_branch"] = helper.make_graph(
            nodes, side, [], [_declared(names[-1], x)]
        )
    attributes: dict[str, Any] = graphs
    w.node_all("If", [condition], outer=[x, y], **attributes)


def loop(w: Writer) -> None:
    """Some rounds over a carried value; a slice of each is kept."""
    x = _float(w)
    y = w.like(x, x.shape)
    prefix = f"loop{len(w.nodes)}_"
    names = [f"{prefix}{i}" for i in range(w.chance.randint(1, 3))]
    nodes = _steps(w, f"{prefix}in", names, y.name)
    nodes.append(helper.make_node("Tanh", [names[-1]], [f"{prefix}next"]))
    nodes.append(helper.make_node("Identity", [f"{prefix}cond"], [f"{prefix}go"]))
    nodes.append(helper.make_node("Relu", [f"{prefix}next"], [f"{prefix}slice"]))
    body = helper.make_graph(
        nodes,
        "body",
        [
            helper.make_tensor_value_info(f"{prefix}round", TensorProto.INT64, []),
            helper.make_tensor_value_info(f"{prefix}cond", TensorProto.BOOL, []),
            _declared(f"{prefix}in", x),
        ],
        [
            helper.make_tensor_value_info(f"{prefix}go", TensorProto.BOOL, []),
            _declared(f"{prefix}next", x),
            _declared(f"{prefix}slice", x),
        ],
    )
    trips = w.constant(np.array(w.chance.randint(1, 4), np.int64), is_shared=False)
    go = w.constant(np.array(True), is_shared=False)
    w.node_all("Loop", [trips, go, x], outputs=2, outer=[y], body=body)


def scan(w: Writer) -> None:
    """A running value over slices."""
    x = w.value(
        "f", lambda v: v.rank > 0 and v.array.size > 0 and v.array.dtype == np.float32
    )
    start = w.new(x.shape[1:])
    prefix = f"scan{len(w.nodes)}_"
    nodes = [
        helper.make_node("Add", [f"{prefix}state", f"{prefix}slice"], [f"{prefix}sum"]),
        helper.make_node("Tanh", [f"{prefix}sum"], [f"{prefix}next"]),
        helper.make_node("Neg", [f"{prefix}sum"], [f"{prefix}out"]),
    ]
    body = helper.make_graph(
        nodes,
        "body",
        [_declared(f"{prefix}state", x), _declared(f"{prefix}slice", x)],
        [_declared(f"{prefix}next", x), _declared(f"{prefix}out", x)],
    )
    w.node_all("Scan", [start, x], outputs=2, body=body, num_scan_inputs=1)


RULES: Final[list[Rule]] = [branch, loop, scan]
