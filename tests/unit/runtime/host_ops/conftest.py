"""Host ops run by name, and the same nodes run by ONNX Runtime and the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from nnc.runtime.host_ops.registry import find_host_op

Run: TypeAlias = Callable[..., Any]


def run_host(
    op_type: str, *inputs: Any, domain: str = "", opset: int = 21, **attributes: Any
) -> list[Any]:
    """The outputs of a host op."""
    op = find_host_op(domain, op_type, opset)
    assert op is not None
    return list(op.run(inputs, attributes, 1))


def node_model(
    op_type: str,
    inputs: Sequence[Any],
    domain: str,
    opset: int,
    outputs: int,
    **attributes: Any,
) -> ModelProto:
    """A model of one node for tensors, some of which may be absent."""
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op_type, names, results, domain=domain, **attributes)
    values = [
        helper.make_tensor_value_info(
            name,
            TensorProto.STRING
            if x.dtype == np.object_
            else helper.np_dtype_to_tensor_dtype(x.dtype),
            x.shape,
        )
        for name, x in zip(names, inputs, strict=True)
        if x is not None
    ]
    graph = helper.make_graph(
        [node], "g", values, [helper.make_empty_tensor_value_info(r) for r in results]
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    opsets = [o for o in opsets if o.domain != domain]
    opsets.append(helper.make_opsetid(domain, opset))
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def run_engine(
    engine: str,
    op_type: str,
    *inputs: Any,
    domain: str = "",
    opset: int = 21,
    outputs: int = 1,
    **attributes: Any,
) -> list[Any]:
    """What ONNX Runtime (`ort`) or the reference evaluator (`reference`) gives."""
    model = node_model(op_type, inputs, domain, opset, outputs, **attributes)
    feeds = {f"x{i}": x for i, x in enumerate(inputs) if x is not None}
    if engine == "reference":
        found: Any = ReferenceEvaluator(model).run(None, feeds)
        return list(found)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, feeds))


@pytest.fixture(name="host")
def _host() -> Run:
    return run_host


@pytest.fixture(name="engine")
def _engine() -> Run:
    return run_engine


@pytest.fixture(name="strings")
def _strings() -> Callable[..., Any]:
    def make(*values: Any) -> Any:
        """A tensor of strings from nested lists."""
        return np.array(list(values), np.object_)

    return make
