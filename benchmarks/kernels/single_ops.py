"""
Models of one op, by nnc and by ONNX Runtime, one thread, taking turns.

    python benchmarks/kernels/single_ops.py [--only softmax]

Prints the best time of each, and what share of ONNX Runtime's time nnc takes. The fixed
cost of a call, some microseconds in both, is part of it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

import nnc

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One node on inputs and constants of these shapes."""

    op: str
    inputs: Sequence[tuple[int, ...]]
    constants: Sequence[Array] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    kind: type[np.generic] = np.float32

    @property
    def name(self) -> str:
        """What is printed."""
        shapes = " ".join("x".join(map(str, s)) for s in self.inputs)
        shown = ("axis", "axes", "perm", "kernel_shape", "mode", "keepdims")
        options = [f"{k}={v}" for k, v in self.attributes.items() if k in shown]
        return " ".join([self.op, shapes, *options]).replace(", ", ",")


def floats(*shape: int) -> Array:
    """Random numbers."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Array:
    """A vector of integers."""
    return np.array(values, np.int64)


def window(op: str, size: int, channels: int, **attributes: Any) -> Case:
    """A pool of channels-first images."""
    return Case(op, [(1, channels, size, size)], attributes=attributes)


CASES: Sequence[Case] = (
    Case("Relu", [(1, 64, 112, 112)]),
    Case("Add", [(1, 256, 56, 56), (1, 256, 56, 56)]),
    Case("Add", [(128, 768)], [floats(768)]),
    Case("Mul", [(1, 96, 56, 56), (1, 96, 1, 1)]),
    Case("Sigmoid", [(1, 96, 56, 56)]),
    Case("Tanh", [(1, 96, 56, 56)]),
    Case("Erf", [(128, 3072)]),
    Case("Gelu", [(128, 3072)]),
    Case("HardSwish", [(1, 96, 56, 56)]),
    Case("Exp", [(128, 3072)]),
    Case("Log", [(128, 3072)]),
    Case("Pow", [(128, 3072)], [np.array(3.0, np.float32)]),
    Case("Softmax", [(12, 128, 128)], attributes={"axis": -1}),
    Case("Softmax", [(1, 1000)], attributes={"axis": -1}),
    Case("Softmax", [(1, 8, 512, 512)], attributes={"axis": -1}),
    Case("Softmax", [(1, 16, 64, 64)], attributes={"axis": 1}),
    Case("LogSoftmax", [(64, 1000)], attributes={"axis": -1}),
    Case(
        "LayerNormalization",
        [(128, 768)],
        [floats(768), floats(768)],
        {"axis": -1, "epsilon": 1e-5},
    ),
    Case("InstanceNormalization", [(1, 64, 56, 56)], [floats(64), floats(64)], {}),
    Case("ReduceMean", [(128, 768)], [ints(-1)]),
    Case("ReduceSum", [(512, 512)], [ints(0)]),
    Case("ReduceSum", [(1024, 1024)], [ints(0, 1)]),
    Case("ReduceMax", [(1, 64, 56, 56)], [ints(2, 3)]),
    Case("GlobalAveragePool", [(1, 2048, 7, 7)]),
    Case("ArgMax", [(128, 1000)], attributes={"axis": 1, "keepdims": 0}),
    Case("ArgMax", [(1, 21, 128, 128)], attributes={"axis": 1, "keepdims": 0}),
    Case("CumSum", [(128, 1000)], [np.array(1, np.int64)]),
    Case("CumSum", [(1000, 128)], [np.array(0, np.int64)]),
    window("MaxPool", 112, 64, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    window("AveragePool", 56, 128, kernel_shape=[2, 2], strides=[2, 2]),
    Case("Transpose", [(1, 128, 12, 64)], attributes={"perm": [0, 2, 1, 3]}),
    Case("Transpose", [(1, 12, 128, 64)], attributes={"perm": [0, 1, 3, 2]}),
    Case("Transpose", [(1, 64, 56, 56)], attributes={"perm": [0, 2, 3, 1]}),
    Case("Transpose", [(768, 768)], attributes={"perm": [1, 0]}),
    Case("Concat", [(1, 64, 56, 56), (1, 32, 56, 56)], attributes={"axis": 1}),
    Case(
        "Pad",
        [(1, 64, 56, 56)],
        [ints(0, 0, 1, 1, 0, 0, 1, 1)],
    ),
    Case("Slice", [(1, 128, 56, 56)], [ints(0), ints(64), ints(1)]),
    Case("Expand", [(1, 64, 1, 1)], [ints(1, 64, 56, 56)]),
    Case(
        "Resize",
        [(1, 64, 28, 28)],
        [np.array([], np.float32), np.array([1, 1, 2, 2], np.float32)],
        {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        },
    ),
    Case(
        "Resize",
        [(1, 64, 28, 28)],
        [np.array([], np.float32), np.array([1, 1, 2, 2], np.float32)],
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    ),
    Case("Where", [(128, 768), (128, 768)], [floats(128, 768) > 0]),
    Case("Einsum", [(12, 128, 64)], attributes={"equation": "hij->ihj"}),
)


def model_of(case: Case) -> onnx.ModelProto:
    """The model."""
    inputs = [f"x{i}" for i in range(len(case.inputs))]
    constants = [f"c{i}" for i in range(len(case.constants))]
    operands = [*inputs, *constants]
    if case.op == "Where":
        operands = [*constants, *inputs]
    if case.op == "Resize":
        operands = [*inputs, *constants]
    graph = helper.make_graph(
        [helper.make_node(case.op, operands, ["y"], **case.attributes)],
        "one",
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
            for n, s in zip(inputs, case.inputs, strict=True)
        ],
        [helper.make_value_info("y", onnx.TypeProto())],
        [
            onnx.numpy_helper.from_array(np.asarray(v), n)
            for n, v in zip(constants, case.constants, strict=True)
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    inferred = onnx.shape_inference.infer_shapes(model)
    return inferred


def turns(runs: Sequence[Callable[[], object]], budget: float) -> list[float]:
    """The shortest time of each, measured in turns."""
    best = [float("inf")] * len(runs)
    end = time.perf_counter() + budget
    while time.perf_counter() < end:
        for which, run in enumerate(runs):
            for _ in range(5):
                start = time.perf_counter()
                run()
                best[which] = min(best[which], time.perf_counter() - start)
    return best


def main() -> None:
    """Time the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    print(f"{'op':50} {'nnc us':>9} {'ORT us':>9} {'share':>6}")
    for case in CASES:
        if arguments.only.lower() not in case.name.lower():
            continue
        model = model_of(case)
        feeds = {f"x{i}": floats(*s) for i, s in enumerate(case.inputs)}
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, ["CPUExecutionProvider"]
        )
        executable = nnc.compile(model, num_threads=1, cache=False)
        (expected,) = session.run(None, feeds)
        actual = executable.run(None, feeds)[0]
        np.testing.assert_allclose(actual, expected, 1e-3, 1e-4)
        ours, theirs = turns(
            [
                lambda e=executable, f=feeds: e.run(None, f),
                lambda s=session, f=feeds: s.run(None, f),
            ],
            0.3,
        )
        print(
            f"{case.name:50} {ours * 1e6:9.1f} {theirs * 1e6:9.1f} "
            f"{ours / theirs:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
